/*
 * Loads, puts and removals: what the owner decides about single entries. Owner thread only; nothing
 * here touches the disk.
 *
 * An entry is *nowhere*, *in memory* (put, not durable yet; pending.h has its image) or *on disk* (in
 * the table only). Calls on what is nowhere or in memory are decided at once. Calls on what is on disk
 * need its key: a load is sent to a loader; a put, or a removal by key, starts a *compare*, and
 * until that is back every call on the digest lines up behind it, so that all are decided in the order
 * in which they came.
 *
 * Every entry has a generation. What a loader found counts only if the table still has the entry
 * of that generation: otherwise it was removed, evicted or replaced while it was read.
 */
#include "store/owner.h"

#include "base/clock.h"
#include "proto/entry.h"
#include "store/image.h"
#include "store/sys.h"

/* An image that a call is decided against. All borrowed. */
struct known {
	struct ntc_buffer *image;
	int fd;
	const struct ntc_row *row;
};

static struct ntc_image parse(const struct ntc_buffer *buffer)
{
	struct ntc_image image;

	/* Verified before it got here, by the caller of put or by a loader. */
	(void)ntc_image_parse(ntc_view(buffer->bytes, buffer->len), &image, NULL);
	return image;
}

static bool key_fits(const struct ntc_op *op, const struct ntc_buffer *image)
{
	return !op->has_key || ntc_view_equal(parse(image).body.key, ntc_view(op->key, op->key_len));
}

/* --- answers ------------------------------------------------------------------------------ */

/* Answer any call without a result, and free it. */
static void answer(struct ntc_store *store, struct ntc_op *op, enum ntc_status st)
{
	if (op->type == NTC_OP_LOAD)
		op->fn.load(op->ctx, st, NULL);
	else if (op->type == NTC_OP_PUT)
		op->fn.decided(op->ctx, st, 0);
	else if (op->type == NTC_OP_REMOVE)
		op->fn.remove(op->ctx, st, 0);
	else if (op->type == NTC_OP_VERIFY)
		op->fn.verify(op->ctx, st, op->row.size, op->items);
	else if (op->type == NTC_OP_PIN)
		op->fn.pin(op->ctx, st);
	ntc_store_op_free(store, op);
}

static void answer_load(struct ntc_store *store, struct ntc_op *op, const struct known *known)
{
	const struct ntc_entry *entry = ntc_table_find(&store->table, &op->digest);
	/* The callback may remove the entry, and with it the last other reference. */
	struct ntc_buffer *image = ntc_buffer_ref(known->image);
	struct ntc_loaded loaded = { .image = image, .fd = known->fd, .row = *known->row };

	if (entry && entry->touched) {
		loaded.row.hits += store->touches[entry->touched - 1].hits;
		loaded.row.used = store->touches[entry->touched - 1].used;
	}
	if (key_fits(op, image))
		op->fn.load(op->ctx, NTC_ST_OK, &loaded);
	else
		op->fn.load(op->ctx, NTC_ST_COLLISION, NULL);
	ntc_buffer_unref(image);
	ntc_store_op_free(store, op);
}

static void answer_put(struct ntc_store *store, struct ntc_op *op, const struct known *known)
{
	struct ntc_body ours = parse(op->image).body, theirs = parse(known->image).body;
	bool equal = ours.bytes.len == theirs.bytes.len && ntc_digest_equal(&ours.checksum, &theirs.checksum);

	if (!ntc_view_equal(ours.key, theirs.key))
		op->fn.decided(op->ctx, NTC_ST_COLLISION, 0);
	else
		op->fn.decided(op->ctx, NTC_ST_OK, equal ? NTC_STORED_KNOWN : NTC_STORED_DIFFERS);
	ntc_store_op_free(store, op);
}

/* --- what changes an entry ---------------------------------------------------------------- */

static void accept_put(struct ntc_store *store, struct ntc_op *op)
{
	struct ntc_image image = parse(op->image);
	ntc_put_fn *decided = op->fn.decided;
	struct ntc_pending *pending;
	void *ctx = op->ctx;

	if (store->max_bytes && op->image->len > store->max_bytes) {
		answer(store, op, NTC_ST_NO_SPACE);
		return;
	}
	if (store->disk.is.st) {
		answer(store, op, store->disk.is.st);
		return;
	}
	/* One image of any size is always taken, or a large one never would be. */
	if (store->stats.queued_bytes && (store->stats.queued_bytes >= store->max_queued_bytes ||
			op->image->len > store->max_queued_bytes - store->stats.queued_bytes)) {
		answer(store, op, NTC_ST_BUSY);
		return;
	}
	pending = ntc_pending_get(&store->pending, &op->digest);
	if (!pending) {
		answer(store, op, NTC_ST_NO_MEMORY);
		return;
	}
	ntc_image_describe(&image, op->image->len, &op->digest, &op->row);
	op->row.used = ++store->recency;
	op->row.used_age = ntc_age_read(&store->age, ntc_clock_wall_ns());
	op->entries = store->table.count + 1;
	op->generation = ++store->generation;
	if (!ntc_table_insert(&store->table, &(struct ntc_entry){
			.digest = op->digest, .cost_ns = op->row.cost_ns, .size = (uint32_t)op->image->len,
			.generation = op->generation, .kind = (uint8_t)op->row.kind,
			.in_index = op->image->len <= store->writer.inline_max })) {
		ntc_pending_settle(&store->pending, pending);
		answer(store, op, NTC_ST_NO_MEMORY);
		return;
	}
	pending->image = ntc_buffer_ref(op->image);
	pending->row = op->row;
	pending->generation = op->generation;
	pending->jobs++;
	store->stats.queued_bytes += op->image->len;
	/* Before the callback, which may remove the entry: that has to be behind this. */
	ntc_queue_push(&store->writer.queue, op);
	decided(ctx, NTC_ST_OK, NTC_STORED_NEW);
}

/* Remove whatever is there, or make sure that nothing is. */
static void accept_remove(struct ntc_store *store, struct ntc_op *op)
{
	struct ntc_pending *pending = ntc_pending_get(&store->pending, &op->digest);
	struct ntc_entry *entry = ntc_table_find(&store->table, &op->digest);

	if (!pending) {
		answer(store, op, NTC_ST_NO_MEMORY);
		return;
	}
	if (entry) {
		op->had_row = true;
		op->row.size = entry->size;
		op->row.kind = entry->kind;
		op->row.cost_ns = entry->cost_ns;
		op->row.flags = (entry->in_index ? NTC_ROW_INDEX : 0) | (entry->pinned ? NTC_ROW_PINNED : 0);
		ntc_store_forget(store, entry);
	}
	ntc_buffer_unref(pending->image);
	pending->image = NULL;
	pending->jobs++;
	ntc_queue_push(&store->writer.queue, op);
}

/* The writer has the row. */
static void accept_pin(struct ntc_store *store, struct ntc_op *op)
{
	op->generation = ntc_table_find(&store->table, &op->digest)->generation;
	ntc_queue_push(&store->writer.queue, op);
}

/* The entry's file is damaged, or gone: a miss from now on. */
static void drop(struct ntc_store *store, struct ntc_entry *entry, bool damaged)
{
	struct ntc_digest digest = entry->digest;
	struct ntc_op *op = ntc_store_op_new(store, NTC_OP_QUARANTINE, &digest, NULL);
	struct ntc_pending *pending = op ? ntc_pending_get(&store->pending, &digest) : NULL;

	ntc_store_forget(store, entry);
	if (damaged)
		store->stats.quarantined++;
	if (!pending) {
		/* The next start meets the file or the row again. */
		ntc_store_op_free(store, op);
		return;
	}
	pending->jobs++;
	ntc_queue_push(&store->writer.queue, op);
}

/* --- deciding ----------------------------------------------------------------------------- */

static void send_load(struct ntc_store *store, struct ntc_op *op, const struct ntc_entry *entry)
{
	op->generation = entry->generation;
	ntc_queue_push(&store->loaders.queue, op);
}

/* Have the entry read, `op` and what comes after it waiting. */
static void compare(struct ntc_store *store, struct ntc_op *op, const struct ntc_entry *entry)
{
	struct ntc_pending *pending = ntc_pending_get(&store->pending, &op->digest);
	struct ntc_op *load = pending ? ntc_store_op_new(store, NTC_OP_COMPARE, &op->digest, NULL) : NULL;

	if (!load) {
		ntc_pending_settle(&store->pending, pending);
		answer(store, op, NTC_ST_NO_MEMORY);
		return;
	}
	pending->comparing = true;
	ntc_op_unpop(&pending->waiting, op);
	send_load(store, load, entry);
}

/* Have the disk asked for what the table does not know, `op` and what comes after it waiting. */
static void look(struct ntc_store *store, struct ntc_op *op)
{
	struct ntc_pending *pending = ntc_pending_get(&store->pending, &op->digest);
	struct ntc_op *look = pending ? ntc_store_op_new(store, NTC_OP_LOOK, &op->digest, NULL) : NULL;

	if (!look) {
		ntc_pending_settle(&store->pending, pending);
		answer(store, op, NTC_ST_NO_MEMORY);
		return;
	}
	pending->comparing = true;
	ntc_op_unpop(&pending->waiting, op);
	look->entries = store->table.count;
	look->row.used = store->recency;
	look->row.used_age = ntc_age_read(&store->age, ntc_clock_wall_ns());
	ntc_queue_push(&store->writer.queue, look);
}

static void decide(struct ntc_store *store, struct ntc_op *op, const struct known *known)
{
	if (op->type == NTC_OP_LOAD)
		answer_load(store, op, known);
	else if (op->type == NTC_OP_PUT)
		answer_put(store, op, known);
	else if (!key_fits(op, known->image))
		answer(store, op, op->type == NTC_OP_PIN ? NTC_ST_NOT_FOUND : NTC_ST_OK);
	else if (op->type == NTC_OP_PIN)
		accept_pin(store, op);
	else
		accept_remove(store, op);
}

/* One call, against what is there now. `compared` is a compare or look that just came back well, or NULL. */
static void step(struct ntc_store *store, struct ntc_op *op, const struct ntc_op *compared)
{
	struct ntc_pending *pending = ntc_pending_find(&store->pending, &op->digest);
	struct ntc_entry *entry = ntc_table_find(&store->table, &op->digest);

	/* What is on its way to the writer decides what will be there. */
	if (!entry && !compared && !(pending && pending->jobs) && ntc_recovery_hides(store, &op->digest))
		look(store, op);
	else if (pending && pending->image)
		decide(store, op, &(struct known){ .image = pending->image, .fd = -1, .row = &pending->row });
	else if (entry && compared && compared->image && compared->generation == entry->generation)
		decide(store, op, &(struct known){ .image = compared->image, .fd = compared->fd, .row = &compared->row });
	else if (entry && op->type == NTC_OP_LOAD)
		send_load(store, op, entry);
	else if (entry && (op->type == NTC_OP_PUT || op->has_key))
		compare(store, op, entry);
	else if (entry && op->type == NTC_OP_PIN)
		accept_pin(store, op);
	else if (op->type == NTC_OP_REMOVE)
		accept_remove(store, op);
	else if (op->type == NTC_OP_PUT)
		accept_put(store, op);
	else
		answer(store, op, NTC_ST_NOT_FOUND);
}

/* A call, new or again. */
static void submit(struct ntc_store *store, struct ntc_op *op)
{
	struct ntc_pending *pending = ntc_pending_find(&store->pending, &op->digest);

	if (ntc_pending_waits(pending))
		ntc_op_push(&pending->waiting, op);
	else
		step(store, op, NULL);
}

/* --- what comes back from the threads ----------------------------------------------------- */

/* The writer is done with an op of this digest. */
static struct ntc_pending *job_done(struct ntc_store *store, const struct ntc_op *op)
{
	struct ntc_pending *pending = ntc_pending_find(&store->pending, &op->digest);

	pending->jobs--;
	return pending;
}

static void put_done(struct ntc_store *store, struct ntc_op *op)
{
	struct ntc_pending *pending = job_done(store, op);
	uint64_t took = op->durable_ns - op->submitted_ns;
	ntc_durable_fn *durable = op->fn.durable;
	enum ntc_status st = op->st;
	void *ctx = op->ctx;

	store->stats.queued_bytes -= op->image->len;
	if (st)
		store->stats.puts_lost++;
	else
		store->stats.puts_durable++;
	if (took > store->stats.group_wait_max_ns)
		store->stats.group_wait_max_ns = took;
	if (pending->image && pending->generation == op->generation) {
		ntc_buffer_unref(pending->image);
		pending->image = NULL;
		if (st)
			ntc_store_forget(store, ntc_table_find(&store->table, &op->digest));
	}
	ntc_pending_settle(&store->pending, pending);
	ntc_store_op_free(store, op);
	if (durable)
		durable(ctx, st);
	ntc_store_evict(store);
}

static void remove_done(struct ntc_store *store, struct ntc_op *op)
{
	struct ntc_pending *pending = job_done(store, op);
	bool idle = !pending->jobs && !pending->image && !ntc_pending_waits(pending);

	/* It could not be removed: the entry is there as before, unless somebody put it again. Without memory for
	 * that it is a miss until the next start. */
	if (op->st && op->in_place && op->had_row && idle && !ntc_table_find(&store->table, &op->digest))
		(void)ntc_table_insert(&store->table, &(struct ntc_entry){
			.digest = op->digest, .cost_ns = op->row.cost_ns, .size = (uint32_t)op->row.size,
			.generation = ++store->generation, .kind = (uint8_t)op->row.kind,
			.in_index = op->row.flags & NTC_ROW_INDEX, .pinned = op->row.flags & NTC_ROW_PINNED });
	ntc_pending_settle(&store->pending, pending);
	op->fn.remove(op->ctx, op->st, !op->st && op->had_row ? 1 : 0);
	ntc_store_op_free(store, op);
}

static void load_done(struct ntc_store *store, struct ntc_op *op)
{
	struct ntc_pending *pending = ntc_pending_find(&store->pending, &op->digest);
	struct ntc_entry *entry = ntc_table_find(&store->table, &op->digest);

	if (entry && entry->generation != op->generation && ++op->tries < NTC_LOAD_TRIES) {
		/* Another one is there now. */
		ntc_buffer_unref(op->image);
		op->image = NULL;
		ntc_sys_close(op->fd);
		op->fd = -1;
		submit(store, op);
		return;
	}
	if (!entry || entry->generation != op->generation || (pending && pending->image)) {
		answer(store, op, NTC_ST_NOT_FOUND);
		return;
	}
	if (op->st == NTC_ST_BAD_IMAGE || op->st == NTC_ST_NOT_FOUND) {
		drop(store, entry, op->st == NTC_ST_BAD_IMAGE);
		op->st = NTC_ST_NOT_FOUND;
	}
	if (op->st)
		answer(store, op, op->st);
	else
		answer_load(store, op, &(struct known){ .image = op->image, .fd = op->fd, .row = &op->row });
}

static void suspect_done(struct ntc_store *store, struct ntc_op *op)
{
	struct ntc_entry *entry = ntc_table_find(&store->table, &op->digest);

	if (entry && entry->generation == op->generation &&
	    (op->st == NTC_ST_BAD_IMAGE || op->st == NTC_ST_NOT_FOUND))
		drop(store, entry, op->st == NTC_ST_BAD_IMAGE);
	ntc_store_op_free(store, op);
}

static void verify_done(struct ntc_store *store, struct ntc_op *op)
{
	struct ntc_entry *entry = ntc_table_find(&store->table, &op->digest);

	if (!entry || entry->generation != op->generation) {
		answer(store, op, NTC_ST_NOT_FOUND);
		return;
	}
	if ((op->st == NTC_ST_BAD_IMAGE || op->st == NTC_ST_NOT_FOUND) && op->repair)
		drop(store, entry, op->st == NTC_ST_BAD_IMAGE);
	answer(store, op, op->st == NTC_ST_NOT_FOUND ? NTC_ST_BAD_IMAGE : op->st);
}

/*
 * Decide everything that waited for a compare or look, and what comes to wait meanwhile. `unknown`: nobody knows
 * what is there, so nobody is told that it is known, or put over it.
 */
static void drain(struct ntc_store *store, struct ntc_pending *pending, struct ntc_op *compared, bool unknown)
{
	enum ntc_status st = compared->st;
	struct ntc_op_list failed = { 0 };
	struct ntc_op *op;

	if (unknown) {
		failed = pending->waiting;
		pending->waiting = (struct ntc_op_list){ 0 };
	}
	pending->draining = true;
	while (!pending->comparing && (op = ntc_op_pop(&pending->waiting)))
		step(store, op, st ? NULL : compared);
	pending->draining = false;
	ntc_pending_settle(&store->pending, pending);
	ntc_store_op_free(store, compared);
	while ((op = ntc_op_pop(&failed)))
		answer(store, op, st);
}

static void compare_done(struct ntc_store *store, struct ntc_op *compared)
{
	struct ntc_pending *pending = ntc_pending_find(&store->pending, &compared->digest);
	struct ntc_entry *entry = ntc_table_find(&store->table, &compared->digest);
	enum ntc_status st = compared->st;
	bool gone = st == NTC_ST_BAD_IMAGE || st == NTC_ST_NOT_FOUND;
	bool same = entry && entry->generation == compared->generation;

	pending->comparing = false;
	if (same && gone)
		drop(store, entry, st == NTC_ST_BAD_IMAGE);
	drain(store, pending, compared, same && st && !gone);
}

static void look_done(struct ntc_store *store, struct ntc_op *looked)
{
	struct ntc_pending *pending = ntc_pending_find(&store->pending, &looked->digest);

	pending->comparing = false;
	store->stats.quarantined += looked->found.damaged;
	if (looked->had_row && !looked->st) {
		store->stats.adopted += looked->count;
		ntc_recovery_enter(store, &looked->row);
	}
	drain(store, pending, looked, looked->st != NTC_ST_OK);
	ntc_store_evict(store);
}

void ntc_store_entry_done(struct ntc_store *store, struct ntc_op *op)
{
	switch (op->type) {
	case NTC_OP_PUT:
		put_done(store, op);
		break;
	case NTC_OP_REMOVE:
		remove_done(store, op);
		break;
	case NTC_OP_LOAD:
		load_done(store, op);
		break;
	case NTC_OP_COMPARE:
		compare_done(store, op);
		break;
	case NTC_OP_LOOK:
		look_done(store, op);
		break;
	case NTC_OP_SUSPECT:
		suspect_done(store, op);
		break;
	case NTC_OP_VERIFY:
		verify_done(store, op);
		break;
	default:
		/* A failed quarantine was logged; the entry is out of the table either way. */
		ntc_pending_settle(&store->pending, job_done(store, op));
		ntc_store_op_free(store, op);
	}
}

/* --- calls -------------------------------------------------------------------------------- */

static void load(struct ntc_store *store, const struct ntc_digest *digest, const struct ntc_view *key,
		 ntc_load_fn *fn, void *ctx)
{
	struct ntc_op *op;

	/* The common miss allocates nothing. An image in memory is in the table too. */
	if (!ntc_table_find(&store->table, digest) && !ntc_pending_waits(ntc_pending_find(&store->pending, digest)) &&
	    !ntc_recovery_hides(store, digest)) {
		fn(ctx, NTC_ST_NOT_FOUND, NULL);
		return;
	}
	op = store->ops < NTC_STORE_OPS_MAX ? ntc_store_op_new(store, NTC_OP_LOAD, digest, key) : NULL;
	if (!op) {
		fn(ctx, store->ops < NTC_STORE_OPS_MAX ? NTC_ST_NO_MEMORY : NTC_ST_BUSY, NULL);
		return;
	}
	op->fn.load = fn;
	op->ctx = ctx;
	submit(store, op);
}

void ntc_store_load(struct ntc_store *store, struct ntc_view key, ntc_load_fn *fn, void *ctx)
{
	struct ntc_digest digest = ntc_key_digest(key);

	load(store, &digest, &key, fn, ctx);
}

void ntc_store_load_digest(struct ntc_store *store, const struct ntc_digest *digest, ntc_load_fn *fn, void *ctx)
{
	load(store, digest, NULL, fn, ctx);
}

void ntc_store_put(struct ntc_store *store, struct ntc_buffer *image, ntc_put_fn *decided, ntc_durable_fn *durable,
		   void *ctx)
{
	struct ntc_digest digest = ntc_key_digest(parse(image).body.key);
	struct ntc_op *op = NULL;

	if (store->ops < NTC_STORE_OPS_MAX)
		op = ntc_store_op_new(store, NTC_OP_PUT, &digest, NULL);
	if (!op) {
		decided(ctx, store->ops < NTC_STORE_OPS_MAX ? NTC_ST_NO_MEMORY : NTC_ST_BUSY, 0);
		return;
	}
	op->image = ntc_buffer_ref(image);
	op->submitted_ns = ntc_clock_mono_ns();
	op->fn.decided = decided;
	op->fn.durable = durable;
	op->ctx = ctx;
	submit(store, op);
}

static void remove_entry(struct ntc_store *store, const struct ntc_digest *digest, const struct ntc_view *key,
			 ntc_remove_fn *fn, void *ctx)
{
	struct ntc_op *op = NULL;

	if (store->ops < NTC_STORE_OPS_MAX)
		op = ntc_store_op_new(store, NTC_OP_REMOVE, digest, key);
	if (!op) {
		fn(ctx, store->ops < NTC_STORE_OPS_MAX ? NTC_ST_NO_MEMORY : NTC_ST_BUSY, 0);
		return;
	}
	op->fn.remove = fn;
	op->ctx = ctx;
	submit(store, op);
}

void ntc_store_remove(struct ntc_store *store, struct ntc_view key, ntc_remove_fn *fn, void *ctx)
{
	struct ntc_digest digest = ntc_key_digest(key);

	remove_entry(store, &digest, &key, fn, ctx);
}

void ntc_store_remove_digest(struct ntc_store *store, const struct ntc_digest *digest, ntc_remove_fn *fn, void *ctx)
{
	remove_entry(store, digest, NULL, fn, ctx);
}

void ntc_store_pin(struct ntc_store *store, const struct ntc_digest *digest, struct ntc_view key, enum ntc_pin what,
		   ntc_pin_fn *fn, void *ctx)
{
	struct ntc_op *op = NULL;

	if (store->ops < NTC_STORE_OPS_MAX)
		op = ntc_store_op_new(store, NTC_OP_PIN, digest, key.len ? &key : NULL);
	if (!op) {
		fn(ctx, store->ops < NTC_STORE_OPS_MAX ? NTC_ST_NO_MEMORY : NTC_ST_BUSY);
		return;
	}
	op->pin = what;
	op->fn.pin = fn;
	op->ctx = ctx;
	submit(store, op);
}

void ntc_store_suspect(struct ntc_store *store, const struct ntc_digest *digest)
{
	const struct ntc_pending *pending = ntc_pending_find(&store->pending, digest);
	struct ntc_entry *entry = ntc_table_find(&store->table, digest);
	struct ntc_op *op;

	/* What is in memory has no file yet. A suspicion may be dropped: the next reader has it again. */
	if (!entry || (pending && pending->image) || store->ops >= NTC_STORE_OPS_MAX)
		return;
	op = ntc_store_op_new(store, NTC_OP_SUSPECT, digest, NULL);
	if (op)
		send_load(store, op, entry);
}

void ntc_store_verify(struct ntc_store *store, const struct ntc_digest *digest, bool repair, ntc_verify_fn *fn,
		      void *ctx)
{
	const struct ntc_pending *pending = ntc_pending_find(&store->pending, digest);
	struct ntc_entry *entry = ntc_table_find(&store->table, digest);
	struct ntc_op *op;

	if (!entry || (pending && pending->image)) {
		fn(ctx, entry ? NTC_ST_OK : NTC_ST_NOT_FOUND, 0, NULL);
		return;
	}
	op = store->ops < NTC_STORE_OPS_MAX ? ntc_store_op_new(store, NTC_OP_VERIFY, digest, NULL) : NULL;
	if (!op) {
		fn(ctx, store->ops < NTC_STORE_OPS_MAX ? NTC_ST_NO_MEMORY : NTC_ST_BUSY, 0, NULL);
		return;
	}
	op->repair = repair;
	op->fn.verify = fn;
	op->ctx = ctx;
	send_load(store, op, entry);
}
