/*
 * The writer's changes to the index: a transaction each, and what there is to be done where the disk is full.
 */
#ifndef NTC_STORE_TRANSACT_H
#define NTC_STORE_TRANSACT_H

#include "store/writer.h"

/* Changes the index by ntc_index_put() and the like. May be called again. */
typedef enum ntc_status ntc_change_fn(struct ntc_writer_thread *writer, void *ctx);

/* All of `change`, or nothing. */
enum ntc_status ntc_transact(struct ntc_writer_thread *writer, ntc_change_fn *change, void *ctx);

/*
 * What makes room has to go through on a full disk: the same once more after it failed with `st`, with the reserve's
 * space, and with the journal's own, emptied. Returns `st` where nothing more can be done.
 */
enum ntc_status ntc_transact_on_full(struct ntc_writer_thread *writer, enum ntc_status st, ntc_change_fn *change,
				     void *ctx);

/* `what` failed. What a bad disk does is said once (disk.h), not each time. */
void ntc_transact_say(const struct ntc_writer_thread *writer, const char *what, enum ntc_status st);

#endif
