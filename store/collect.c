/*
 * Making room for somebody who waits: bounds that are kept once, whatever the caps are. One run at a time; each step is an
 * EVICT, and what it brings back decides the next. Owner thread only.
 */
#include "store/owner.h"

#include "base/clock.h"

static void finish(struct ntc_store *store, enum ntc_status st)
{
	struct ntc_collected result = store->collect.result;
	ntc_collect_fn *fn = store->collect.fn;
	void *ctx = store->collect.ctx;

	store->collect.on = false; /* before the callback, which may ask for another */
	fn(ctx, st, &result);
}

static uint64_t above(uint64_t now, uint64_t bound)
{
	return now > bound ? now - bound : 0;
}

/* The next thing to do, or the end. */
static void step(struct ntc_store *store)
{
	uint64_t bytes = above(store->table.bytes, store->collect.bounds.max_bytes);
	uint64_t entries = above(store->table.count, store->collect.bounds.max_entries);
	struct ntc_op *op;

	if (store->closing) {
		finish(store, NTC_ST_SHUTTING_DOWN);
		return;
	}
	if (!store->collect.sweep && !store->collect.aging && !bytes && !entries) {
		finish(store, NTC_ST_OK);
		return;
	}
	op = ntc_store_op_new(store, NTC_OP_EVICT, &store->collect.after, NULL);
	if (!op) {
		finish(store, NTC_ST_NO_MEMORY);
		return;
	}
	op->collect = true;
	op->sweep = store->collect.sweep;
	if (store->collect.aging) {
		op->before_age = store->collect.before_age;
	} else {
		op->need = bytes;
		op->need_entries = entries;
	}
	ntc_store_flush_touches(store);
	ntc_queue_push(&store->writer.queue, op);
}

void ntc_store_collect_done(struct ntc_store *store, const struct ntc_op *op)
{
	const struct ntc_row *rows = op->items;
	bool by_value = op->need || op->need_entries;

	store->collect.result.files += op->files;
	store->collect.result.entries += op->count;
	for (size_t i = 0; i < op->count; i++)
		store->collect.result.bytes += rows[i].size;
	if (op->sweep)
		store->collect.sweep = false;
	if (op->before_age) {
		store->collect.after = op->digest;
		store->collect.aging = op->more;
	}
	/* What is left may not go, or is not on the disk yet. */
	if (op->st || (by_value && op->count == 0))
		finish(store, op->st == NTC_ST_BAD_STORE ? NTC_ST_IO : op->st);
	else
		step(store);
}

void ntc_store_collect(struct ntc_store *store, const struct ntc_collect *bounds, ntc_collect_fn *fn, void *ctx)
{
	uint64_t age = ntc_age_read(&store->age, ntc_clock_wall_ns()), limit = bounds->max_age_ns / NTC_NS_PER_S;

	if (store->collect.on || store->ops >= NTC_STORE_OPS_MAX) {
		fn(ctx, NTC_ST_BUSY, NULL);
		return;
	}
	store->collect.bounds = *bounds;
	store->collect.result = (struct ntc_collected){ 0 };
	store->collect.after = (struct ntc_digest){ { 0 } };
	/* What was not used for longer than the limit, in whole seconds. */
	store->collect.aging = bounds->max_age_ns != UINT64_MAX && age > limit;
	store->collect.before_age = store->collect.aging ? age - limit : 0;
	store->collect.sweep = bounds->quarantine;
	store->collect.fn = fn;
	store->collect.ctx = ctx;
	store->collect.on = true;
	step(store);
}
