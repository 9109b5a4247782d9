/*
 * Recovery: making directory and index agree, whatever a crash left (docs/store.md lists the states).
 *
 * Before the threads: the index is opened, or rebuilt where it is damaged, and its rows fill the table: from then on
 * hits are served. Behind that the owner has the writer sweep one shard after the other (sweep.h), a slice at a time,
 * while a checker looks closely at an index that was not closed clean.
 *
 * While the index is new, blobs may lack their rows: what the table does not know is looked for on disk (entries.c)
 * until its shard has been swept.
 */
#include "store/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "proto/key.h"
#include "store/evictor.h"
#include "store/rebuild.h"
#include "store/scan.h"
#include "store/sys.h"

enum { REBUILDS_MAX = 2 };

/* --- the index ---------------------------------------------------------------------------- */

/* SQLite makes files with the umask's mode; an empty file of ours is a new index to it. */
static enum ntc_status make_file(struct ntc_store *store, struct ntc_reason *reason)
{
	int fd = ntc_sys_open(store->dir_fd, NTC_INDEX_NAME, O_RDWR | O_CREAT | O_NOFOLLOW, 0600), err;

	/* Then there is one, or the start fails when it is opened. */
	if (fd == -EROFS)
		return NTC_ST_OK;
	if (fd < 0)
		return ntc_reject(reason, ntc_status_from_errno(-fd), "the index: %s", strerror(-fd));
	err = ntc_sys_chmod(fd, 0600);
	if (!err)
		err = ntc_sys_fsync(store->dir_fd);
	ntc_sys_close(fd);
	return err ? ntc_reject(reason, ntc_status_from_errno(-err), "the index: %s", strerror(-err)) : NTC_ST_OK;
}

static enum ntc_status enter(struct ntc_store *store, const struct ntc_scanned *part)
{
	if (part->used > store->recency)
		store->recency = part->used;
	/* The guess where nothing was saved: whatever comes is worth more than what is there. */
	if (part->value > store->writer.evict.inflation)
		store->writer.evict.inflation = part->value;
	for (size_t i = 0; i < part->count; i++) {
		struct ntc_entry entry = part->entries[i];

		entry.generation = ++store->generation;
		if (!ntc_table_insert(&store->table, &entry))
			return NTC_ST_NO_MEMORY;
	}
	return NTC_ST_OK;
}

/* Every row into the table. */
static enum ntc_status read_rows(struct ntc_store *store, struct ntc_reason *reason)
{
	struct ntc_scanned parts[NTC_SCAN_THREADS] = { 0 };
	struct stat file = { 0 };
	bool large = !ntc_sys_stat_at(store->dir_fd, NTC_INDEX_NAME, &file) && (uint64_t)file.st_size >= NTC_SCAN_LARGE;
	enum ntc_status st = ntc_scan(store->dir, store->writer.index, large ? NTC_SCAN_THREADS : 1, parts, reason);

	store->writer.evict.inflation = 0;
	for (unsigned i = 0; i < NTC_SCAN_THREADS; i++) {
		if (!st)
			st = enter(store, &parts[i]);
		free(parts[i].entries);
		if (st == NTC_ST_NO_MEMORY)
			(void)ntc_reject(reason, st, "out of memory");
	}
	return st;
}

static enum ntc_status read_index(struct ntc_store *store, struct ntc_reason *reason)
{
	enum ntc_status st = make_file(store, reason);
	size_t age_len = 0;
	void *age = NULL;

	if (!st)
		st = ntc_index_open(store->dir, &store->writer.index, reason);
	if (!st)
		st = read_rows(store, reason);
	if (st)
		return st;
	st = ntc_index_get(store->writer.index, "counters", &store->saved, &store->saved_len);
	if (!st)
		st = ntc_index_get(store->writer.index, NTC_AGE_NAME, &age, &age_len);
	if (!st)
		store->age = ntc_age_load(age, age_len);
	free(age);
	if (!st)
		st = ntc_evictor_load(&store->writer);
	return st ? ntc_reject(reason, st, "the index: %s", ntc_index_error(store->writer.index)) : NTC_ST_OK;
}

static enum ntc_status open_index(struct ntc_store *store, struct ntc_reason *reason)
{
	enum ntc_status st = ntc_rebuild_finish(store->dir_fd, &store->log, reason);
	struct ntc_reason why = { "" };

	for (int i = 0; i < REBUILDS_MAX && !st; i++) {
		uint64_t seed = store->table.seed;

		st = read_index(store, &why);
		if (st != NTC_ST_BAD_STORE)
			return st ? ntc_reject(reason, st, "%s", why.text) : NTC_ST_OK;
		ntc_index_close(store->writer.index, false);
		store->writer.index = NULL;
		ntc_table_release(&store->table);
		ntc_table_init(&store->table, seed);
		store->recency = 0;
		st = ntc_rebuild(store->dir, store->dir_fd, why.text, &store->log, reason);
	}
	return st ? st : ntc_reject(reason, NTC_ST_BAD_STORE, "%s", why.text);
}

enum ntc_status ntc_store_recover(struct ntc_store *store, struct ntc_reason *reason)
{
	enum ntc_status st = open_index(store, reason);
	size_t len = 0;
	void *p = NULL;

	if (st)
		return st;
	if (store->saved_len && (ntc_key_check(ntc_view(store->saved, store->saved_len), NULL) ||
				 ntc_key_kind(ntc_view(store->saved, store->saved_len)) != 0)) {
		ntc_store_log(&store->log, NTC_LOG_WARNING, "the saved counters are damaged and begin again at zero");
		store->saved_len = 0;
	}
	st = ntc_index_get(store->writer.index, NTC_REBUILDING_NAME, &p, &len);
	if (st)
		return ntc_reject(reason, st, "the index: %s", ntc_index_error(store->writer.index));
	store->recovery.rebuilding = p != NULL;
	free(p);
	store->recovery.checked = ntc_index_clean(store->writer.index) || store->recovery.rebuilding;
	st = ntc_blobs_sweep(&store->blobs, &store->stats.swept);
	/* What is left is swept by the next start. */
	if (st == NTC_ST_DISK_READ_ONLY)
		st = NTC_ST_OK;
	return st ? ntc_reject(reason, st, "the blob directory: %s", ntc_status_text(st)) : NTC_ST_OK;
}

/* --- the sweep ---------------------------------------------------------------------------- */

static void update(struct ntc_store *store)
{
	struct ntc_recovery *r = &store->recovery;

	store->stats.recovering = r->left || r->sweeping || r->rebuilding || r->checking || r->damage_told;
}

static void send(struct ntc_store *store, struct ntc_op *op)
{
	store->recovery.sweeping = true;
	ntc_queue_push(&store->writer.queue, op);
}

/* Try again in a second. */
static void wait(struct ntc_store *store)
{
	store->recovery.waiting = true;
	ntc_store_set_timer(store, NTC_NS_PER_S);
}

/* The next slice: of the shard that `done` is in the middle of, or of the next one; or what ends the sweep. */
static void go_on(struct ntc_store *store, const struct ntc_op *done)
{
	struct ntc_recovery *r = &store->recovery;
	struct ntc_op *op;

	if (r->sweeping || store->closing || (!r->left && !r->rebuilding))
		return;
	op = ntc_store_op_new(store, r->left ? NTC_OP_SWEEP : NTC_OP_SWEPT, NULL, NULL);
	if (!op) {
		wait(store);
		return;
	}
	while (r->left && r->swept[r->next])
		r->next = (r->next + 1) % NTC_BLOB_SHARDS;
	op->shard = r->next;
	if (done && done->more && done->shard == op->shard) {
		op->more = true;
		op->digest = done->digest;
	}
	/* What is adopted counts as used now. */
	op->entries = store->table.count;
	op->row.used = store->recency;
	op->row.used_age = ntc_age_read(&store->age, ntc_clock_wall_ns());
	send(store, op);
}

static void sweep_ended(struct ntc_store *store)
{
	struct ntc_recovery *r = &store->recovery;
	struct ntc_store_stats *stats = &store->stats;

	r->rebuilding = false;
	if (r->strangers)
		ntc_store_log(&store->log, NTC_LOG_WARNING, "%" PRIu64 " names in the blob directory are not ours",
			      r->strangers);
	if (stats->swept || stats->adopted || stats->dropped_rows || stats->quarantined)
		ntc_store_log(&store->log, NTC_LOG_NOTICE,
			      "recovered: %" PRIu64 " temporary files swept, %" PRIu64 " images adopted, %" PRIu64
			      " rows dropped, %" PRIu64 " images set aside", stats->swept, stats->adopted,
			      stats->dropped_rows, stats->quarantined);
}

/* What a slice cannot do now (a full disk) it may do later; the other shards have their turn first. */
static void slice_failed(struct ntc_store *store, const struct ntc_op *op)
{
	struct ntc_recovery *r = &store->recovery;

	if (!r->failed++)
		ntc_store_log(&store->log, NTC_LOG_WARNING, "recovery is not complete: %s", ntc_status_text(op->st));
	r->next = (r->next + 1) % NTC_BLOB_SHARDS;
	if (r->failed >= r->left)
		wait(store);
	else
		go_on(store, NULL);
}

static void slice_done(struct ntc_store *store, const struct ntc_op *op)
{
	const struct ntc_row *rows = op->items;
	struct ntc_recovery *r = &store->recovery;

	r->sweeping = false;
	store->stats.swept += op->found.doubles;
	store->stats.quarantined += op->found.damaged;
	for (size_t i = 0; i < op->count; i++) {
		struct ntc_entry *entry = ntc_table_find(&store->table, &rows[i].digest);
		const struct ntc_pending *pending = ntc_pending_find(&store->pending, &rows[i].digest);

		if (rows[i].kind) {
			store->stats.adopted++;
			/* What is under way was accepted behind the slice, or waits for a look of its own. */
			if (!pending)
				ntc_recovery_enter(store, &rows[i]);
			continue;
		}
		store->stats.dropped_rows += !op->st;
		/* An image in memory was put behind the slice. */
		if (entry && !(pending && pending->image))
			ntc_store_forget(store, entry);
	}
	if (op->st) {
		slice_failed(store, op);
		return;
	}
	r->failed = 0;
	if (!op->more) {
		r->strangers += op->found.strangers;
		r->left -= !r->swept[op->shard];
		r->swept[op->shard] = true;
	}
	if (!r->left && !r->rebuilding)
		sweep_ended(store);
	go_on(store, op);
	ntc_store_evict(store);
}

static void swept(struct ntc_store *store, const struct ntc_op *op)
{
	struct ntc_recovery *r = &store->recovery;

	r->sweeping = false;
	/* Another rebuild may have begun the sweep anew. */
	if (r->left)
		go_on(store, NULL);
	else if (op->st)
		wait(store);
	else
		sweep_ended(store);
}

static void sweep_all(struct ntc_store *store)
{
	memset(store->recovery.swept, 0, sizeof(store->recovery.swept));
	store->recovery.left = NTC_BLOB_SHARDS;
	go_on(store, NULL);
}

bool ntc_recovery_hides(const struct ntc_store *store, const struct ntc_digest *digest)
{
	return store->recovery.rebuilding && !store->recovery.swept[digest->bytes[0]];
}

void ntc_recovery_enter(struct ntc_store *store, const struct ntc_row *row)
{
	struct ntc_entry entry = {
		.digest = row->digest, .cost_ns = row->cost_ns, .size = (uint32_t)row->size, .kind = (uint8_t)row->kind,
		.in_index = row->image != 0,
	};

	if (ntc_table_find(&store->table, &row->digest))
		return;
	entry.generation = ++store->generation;
	(void)ntc_table_insert(&store->table, &entry); /* see owner.h */
}

/* --- damage ------------------------------------------------------------------------------- */

void ntc_recovery_damaged(struct ntc_store *store, uint64_t rebuilds)
{
	struct ntc_op *op;

	if (store->recovery.damage_told || store->closing)
		return;
	op = ntc_store_op_new(store, NTC_OP_REBUILD, NULL, NULL);
	/* Without memory: whoever meets it next. */
	if (!op)
		return;
	op->rebuilds = rebuilds;
	store->recovery.damage_told = true;
	update(store);
	ntc_queue_push(&store->writer.queue, op);
}

/* Images that the new index does not have are lost. */
static void forget_lost(struct ntc_store *store)
{
	struct ntc_digest *lost = NULL;
	size_t count = 0, room = 0;

	for (size_t i = 0; i < store->table.places; i++) {
		struct ntc_entry *entry = &store->table.entries[i];
		const struct ntc_pending *pending;

		if (!entry->kind || !entry->in_index)
			continue;
		pending = ntc_pending_find(&store->pending, &entry->digest);
		if (entry->seen || (pending && pending->image)) {
			entry->seen = false;
			continue;
		}
		if (count == room) {
			struct ntc_digest *more;

			room = room ? room * 2 : 256;
			more = reallocarray(lost, room, sizeof(*lost));
			if (!more)
				break; /* whoever asks for it finds out */
			lost = more;
		}
		lost[count++] = entry->digest;
	}
	for (size_t i = 0; i < count; i++)
		ntc_store_forget(store, ntc_table_find(&store->table, &lost[i]));
	if (count)
		ntc_store_log(&store->log, NTC_LOG_WARNING, "%zu entries are lost with the damaged index", count);
	free(lost);
}

static void rebuilt(struct ntc_store *store, const struct ntc_op *op)
{
	const struct ntc_entry *entries = op->items;

	store->stats.rebuilds++;
	store->recovery.checked = true;
	for (size_t i = 0; i < op->count && !op->st; i++) {
		struct ntc_entry *entry = ntc_table_find(&store->table, &entries[i].digest);

		if (entry) {
			entry->seen = entry->in_index;
			ntc_table_pin(&store->table, entry, entries[i].pinned);
		} else if (!ntc_pending_find(&store->pending, &entries[i].digest))
			(void)ntc_table_insert(&store->table, &(struct ntc_entry){
				.digest = entries[i].digest, .cost_ns = entries[i].cost_ns, .size = entries[i].size,
				.generation = ++store->generation, .kind = entries[i].kind, .in_index = true,
				.seen = true, .pinned = entries[i].pinned }); /* without memory as if it were lost, until the next start */
	}
	if (!op->st)
		forget_lost(store);
	store->recovery.rebuilding = true;
	sweep_all(store);
}

/* --- all of it ---------------------------------------------------------------------------- */

static void start_check(struct ntc_store *store)
{
	struct ntc_op *op = ntc_store_op_new(store, NTC_OP_CHECK, NULL, NULL);

	/* If it cannot be started, the next start looks. */
	if (!op || !ntc_checker_start(&store->checker, &store->mailbox, store->dir, &store->log, op)) {
		ntc_store_op_free(store, op);
		return;
	}
	store->recovery.checking = true;
}

void ntc_recovery_begin(struct ntc_store *store)
{
	if (!store->recovery.checked)
		start_check(store);
	sweep_all(store);
	update(store);
}

void ntc_recovery_done(struct ntc_store *store, struct ntc_op *op)
{
	switch (op->type) {
	case NTC_OP_SWEEP:
		slice_done(store, op);
		break;
	case NTC_OP_SWEPT:
		swept(store, op);
		break;
	case NTC_OP_CHECK:
		store->recovery.checking = false;
		store->recovery.checked |= op->st == NTC_ST_OK;
		if (op->st == NTC_ST_BAD_STORE)
			ntc_recovery_damaged(store, 0);
		break;
	case NTC_OP_REBUILT:
		rebuilt(store, op);
		break;
	default:
		store->recovery.damage_told = false;
	}
	update(store);
	ntc_store_op_free(store, op);
}

void ntc_recovery_tick(struct ntc_store *store)
{
	if (!store->recovery.waiting)
		return;
	store->recovery.waiting = false;
	go_on(store, NULL);
}

void ntc_recovery_end(struct ntc_store *store)
{
	ntc_checker_hurry(&store->checker);
}
