/*
 * What the writer does to make room: the entries of least value (evict.h) go. Writer thread only, but for
 * loading.
 */
#ifndef NTC_STORE_EVICTOR_H
#define NTC_STORE_EVICTOR_H

#include "store/writer.h"

#define NTC_EVICT_BATCH 256u /* entries evicted by one op */
#define NTC_EVICT_FEW 16u    /* the same, where the disk is full */

/* Take up what ntc_evictor_save() left in the index. Before the thread runs. */
enum ntc_status ntc_evictor_load(struct ntc_writer_thread *writer);

/* Write down what the policy knows beside the rows. In a transaction. */
enum ntc_status ntc_evictor_save(struct ntc_writer_thread *writer);

/* An EVICT: what goes comes back in `items`. */
void ntc_evictor_evict(struct ntc_writer_thread *writer, struct ntc_op *op);

#endif
