/*
 * The sweep: where files and index are made to agree, a shard at a time, while the daemon serves. Files without rows
 * are verified and adopted, or set aside; rows without files are dropped; a file beside an image in the index goes.
 *
 * On the writer's thread, between its groups. As nobody else changes either, what a slice sees is how things are, and
 * puts and removals lie before or behind it.
 */
#ifndef NTC_STORE_SWEEP_H
#define NTC_STORE_SWEEP_H

#include "store/blob.h"
#include "store/evict.h"
#include "store/index.h"
#include "store/log.h"
#include "store/op.h"

/* What one slice verifies of files without rows at most, but for a single larger one: others have their turn. */
#define NTC_SWEEP_FILES 64u
#define NTC_SWEEP_BYTES (UINT64_C(8) << 20)

struct ntc_sweeper {
	struct ntc_blobs *blobs;
	struct ntc_index *index;
	struct ntc_evict *evict;
	const struct ntc_store_log *log;
};

/*
 * A slice of the shard op->shard, behind op->digest if op->more: back with `items` (struct ntc_row: adopted, or of
 * kind 0: dropped), `found`, and with `more` and `digest` if there is more. Or with a status: to be tried again; nothing
 * was changed in the index, and `items` are rows that are to be dropped.
 */
void ntc_sweep_slice(const struct ntc_sweeper *sweeper, struct ntc_op *op);

/* One entry that may be there: back with its row (had_row), or without, if it is not. */
void ntc_sweep_entry(const struct ntc_sweeper *sweeper, struct ntc_op *op);

#endif
