/*
 * What bounds the cache: caps on bytes and entries, the limit on age, and pins, which hold against both. The owner
 * decides that something has to go; the writer chooses what and removes it (evictor.h). Owner thread only.
 */
#include "store/owner.h"

#include <inttypes.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/evict.h"

/* --- caps --------------------------------------------------------------------------------- */

/* What is above the caps goes; behind one that took something, down to where an eviction ends. */
static void evict(struct ntc_store *store, bool under_way)
{
	uint64_t bytes = ntc_evict_need(store->table.bytes, store->max_bytes, under_way);
	uint64_t entries = ntc_evict_need(store->table.count, store->max_entries, under_way);
	struct ntc_op *op = bytes || entries ? ntc_store_op_new(store, NTC_OP_EVICT, NULL, NULL) : NULL;

	if (!bytes && !entries)
		store->full_of_pins = false;
	/* Without memory: with the next put. */
	store->evicting = op != NULL;
	if (!op)
		return;
	op->need = bytes;
	op->need_entries = entries;
	/* It chooses by what is in the index. */
	ntc_store_flush_touches(store);
	ntc_queue_push(&store->writer.queue, op);
}

void ntc_store_evict(struct ntc_store *store)
{
	if (!store->evicting)
		evict(store, false);
}

/* The writer has removed these. */
static void forget_rows(struct ntc_store *store, const struct ntc_op *op)
{
	uint64_t *entries = op->before_age ? &store->stats.expired : &store->stats.evicted;
	uint64_t *bytes = op->before_age ? &store->stats.expired_bytes : &store->stats.evicted_bytes;
	const struct ntc_row *rows = op->items;

	for (size_t i = 0; i < op->count; i++) {
		struct ntc_entry *entry = ntc_table_find(&store->table, &rows[i].digest);
		const struct ntc_pending *pending = ntc_pending_find(&store->pending, &rows[i].digest);

		/* An image in memory was put after this, or it would be durable and told so before this. */
		if (!entry || (pending && pending->image))
			continue;
		(*entries)++;
		*bytes += entry->size;
		ntc_store_forget(store, entry);
	}
}

void ntc_store_evict_done(struct ntc_store *store, struct ntc_op *op)
{
	bool gone = op->count != 0, collect = op->collect, stuck = !op->st && !gone;

	forget_rows(store, op);
	if (collect)
		ntc_store_collect_done(store, op);
	ntc_store_op_free(store, op);
	if (collect)
		return;
	store->evicting = false;
	/* The rest, and what came meanwhile. */
	if (gone)
		evict(store, true);
	if (!stuck || !(store->table.pinned || store->stats.pins))
		return;
	/* Puts are taken nevertheless: who pins more than fits has the disk for it, and is told. */
	if (!store->full_of_pins)
		ntc_store_log(&store->log, NTC_LOG_WARNING,
			      "over a cap, and nothing is left that may go: %" PRIu64 " entries of %" PRIu64
			      " bytes are pinned, and %" PRIu64 " are in use",
			      store->table.pinned, store->table.pinned_bytes, store->stats.pins);
	store->full_of_pins = true;
}

/* --- pins --------------------------------------------------------------------------------- */

void ntc_store_pin_done(struct ntc_store *store, struct ntc_op *op)
{
	struct ntc_entry *entry = ntc_table_find(&store->table, &op->digest);
	enum ntc_status st = op->st == NTC_ST_BAD_STORE ? NTC_ST_IO : op->st;
	ntc_pin_fn *fn = op->fn.pin;
	void *ctx = op->ctx;

	if (!st && op->pin == NTC_PIN_USE)
		store->stats.pins++;
	else if (!st && entry && entry->generation == op->generation)
		ntc_table_pin(&store->table, entry, op->pin == NTC_PIN_KEEP);
	ntc_store_op_free(store, op);
	fn(ctx, st);
	/* What was let go may have to. */
	ntc_store_evict(store);
}

bool ntc_store_unpin(struct ntc_store *store, struct ntc_digest *digests, size_t count)
{
	struct ntc_op *op = ntc_store_op_new(store, NTC_OP_UNPIN, NULL, NULL);

	if (!op)
		return false;
	op->items = digests;
	op->count = count;
	store->stats.pins -= count;
	ntc_queue_push(&store->writer.queue, op);
	ntc_store_evict(store);
	return true;
}

/* --- age ---------------------------------------------------------------------------------- */

/* Between two looks. The age clock is read with each, which it wants at least once a day. */
static uint64_t period_s(const struct ntc_store *store)
{
	uint64_t period = store->max_age_ns / NTC_NS_PER_S / 16;

	if (!store->max_age_ns || period > NTC_EXPIRE_PERIOD_MAX_S)
		return NTC_EXPIRE_PERIOD_MAX_S;
	return period ? period : 1;
}

bool ntc_store_start_clock(struct ntc_store *store)
{
	const struct timespec period = { .tv_sec = (time_t)period_s(store) };
	const struct itimerspec always = { .it_interval = period, .it_value = period };

	return timerfd_settime(store->clock, 0, &always, NULL) == 0;
}

static void expired(void *ctx, enum ntc_status st, const struct ntc_collected *result)
{
	(void)ctx;
	/* The statistics have it; what did not go, or if somebody else's run is under way: the next time. */
	(void)st;
	(void)result;
}

void ntc_store_tick(struct ntc_store *store)
{
	const struct ntc_collect old = { .max_bytes = UINT64_MAX, .max_entries = UINT64_MAX,
					 .max_age_ns = store->max_age_ns };
	uint64_t ticks;

	/* EAGAIN: it is not time yet. */
	if (read(store->clock, &ticks, sizeof(ticks)) != sizeof(ticks))
		return;
	(void)ntc_age_read(&store->age, ntc_clock_wall_ns());
	if (store->max_age_ns)
		ntc_store_collect(store, &old, expired, store);
}
