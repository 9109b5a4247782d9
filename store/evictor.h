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

/* Whether making room may take this one: nobody has pinned it. */
bool ntc_evictor_may_go(const void *writer, const struct ntc_row *row);

/* A PIN: in the transaction its row is found and changed; behind it, what is in use is noted. */
enum ntc_status ntc_evictor_record_pin(struct ntc_writer_thread *writer, struct ntc_op *op);
void ntc_evictor_pin(struct ntc_writer_thread *writer, struct ntc_op *op);

/* An UNPIN. */
void ntc_evictor_unpin(struct ntc_writer_thread *writer, const struct ntc_op *op);

/* An EVICT: what goes comes back in `items`. */
void ntc_evictor_evict(struct ntc_writer_thread *writer, struct ntc_op *op);

#endif
