/*
 * Start-up: make the directory and the index agree, whatever a crash left (docs/store.md lists the
 * states), and fill the table. Before the threads; may take as long as there are blobs without rows.
 *
 * Every entry of the table comes from a row; the listing of the shards marks those whose file is there.
 * So a start reads names, not files: only a blob without a row is opened.
 */
#include "store/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "proto/key.h"
#include "store/evictor.h"
#include "store/rebuild.h"
#include "store/sys.h"

enum { REBUILDS_MAX = 2 };

/* A growing array of digests or rows. */
struct list {
	void *items;
	size_t count, room;
};

static void *list_add(struct list *list, size_t size)
{
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 64;
		void *items = reallocarray(list->items, room, size);

		if (!items)
			return NULL;
		list->items = items;
		list->room = room;
	}
	return (char *)list->items + size * list->count++;
}

/* --- the index ---------------------------------------------------------------------------- */

/* SQLite makes files with the umask's mode; an empty file of ours is a new index to it. */
static enum ntc_status make_file(struct ntc_store *store, struct ntc_reason *reason)
{
	int fd = ntc_sys_open(store->dir_fd, NTC_INDEX_NAME, O_RDWR | O_CREAT | O_NOFOLLOW, 0600), err;

	if (fd < 0)
		return ntc_reject(reason, ntc_status_from_errno(-fd), "the index: %s", strerror(-fd));
	err = ntc_sys_chmod(fd, 0600);
	if (!err)
		err = ntc_sys_fsync(store->dir_fd);
	ntc_sys_close(fd);
	return err ? ntc_reject(reason, ntc_status_from_errno(-err), "the index: %s", strerror(-err)) : NTC_ST_OK;
}

static enum ntc_status enter_row(void *ctx, const struct ntc_row *row)
{
	struct ntc_store *store = ctx;
	struct ntc_entry entry = {
		.digest = row->digest, .cost_ns = row->cost_ns, .size = (uint32_t)row->size,
		.generation = ++store->generation, .kind = (uint8_t)row->kind, .in_index = row->image != 0,
	};

	if (ntc_table_find(&store->table, &row->digest))
		return NTC_ST_BAD_STORE;
	if (row->used > store->recency)
		store->recency = row->used;
	/* The guess where nothing was saved: whatever comes is worth more than what is there. */
	if (row->value > store->writer.evict.inflation)
		store->writer.evict.inflation = row->value;
	return ntc_table_insert(&store->table, &entry) ? NTC_ST_OK : NTC_ST_NO_MEMORY;
}

static enum ntc_status read_index(struct ntc_store *store, struct ntc_reason *reason)
{
	enum ntc_status st = make_file(store, reason);
	size_t age_len = 0;
	void *age = NULL;

	if (!st)
		st = ntc_index_open(store->dir, &store->index, reason);
	if (st)
		return st;
	store->writer.evict.inflation = 0;
	st = ntc_index_each(store->index, enter_row, store);
	if (!st)
		st = ntc_index_get(store->index, "counters", &store->saved, &store->saved_len);
	if (!st)
		st = ntc_index_get(store->index, NTC_AGE_NAME, &age, &age_len);
	if (!st)
		store->age = ntc_age_load(age, age_len);
	free(age);
	store->writer.index = store->index;
	if (!st)
		st = ntc_evictor_load(&store->writer);
	return st ? ntc_reject(reason, st, "the index: %s", ntc_index_error(store->index)) : NTC_ST_OK;
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
		ntc_index_close(store->index, false);
		store->index = NULL;
		ntc_table_release(&store->table);
		ntc_table_init(&store->table, seed);
		store->recency = 0;
		st = ntc_rebuild(store->dir, store->dir_fd, why.text, &store->log, reason);
	}
	return st ? st : ntc_reject(reason, NTC_ST_BAD_STORE, "%s", why.text);
}

/* --- the files ---------------------------------------------------------------------------- */

struct walk {
	struct ntc_store *store;
	struct list orphans;    /* struct ntc_digest: files without rows */
};

static enum ntc_status meet_file(void *ctx, const struct ntc_digest *digest)
{
	struct walk *walk = ctx;
	struct ntc_entry *entry = ntc_table_find(&walk->store->table, digest);
	struct ntc_digest *orphan;

	if (entry && entry->in_index) {
		/* Two images of one entry: the one in the index was put later. */
		enum ntc_status st = ntc_blob_unlink(&walk->store->blobs, digest);

		if (!st)
			walk->store->stats.swept++;
		return st;
	}
	if (entry) {
		entry->seen = true;
		return NTC_ST_OK;
	}
	orphan = list_add(&walk->orphans, sizeof(*orphan));
	if (!orphan)
		return NTC_ST_NO_MEMORY;
	*orphan = *digest;
	return NTC_ST_OK;
}

/* Rows without files go: the file was removed, evicted, set aside, or never got its name. */
static enum ntc_status drop_rows(struct ntc_store *store)
{
	enum ntc_status st = NTC_ST_OK;
	struct list gone = { 0 };
	bool begun = false;

	for (size_t i = 0; i < store->table.places && !st; i++) {
		const struct ntc_entry *entry = &store->table.entries[i];
		struct ntc_digest *digest;

		if (!entry->kind || entry->seen || entry->in_index)
			continue;
		digest = list_add(&gone, sizeof(*digest));
		if (digest)
			*digest = entry->digest;
		else
			st = NTC_ST_NO_MEMORY;
	}
	if (!st && gone.count) {
		st = ntc_index_begin(store->index);
		begun = !st;
	}
	for (size_t i = 0; i < gone.count && !st; i++)
		st = ntc_index_remove(store->index, (struct ntc_digest *)gone.items + i);
	if (!st && begun)
		st = ntc_index_commit(store->index);
	if (st && begun)
		ntc_index_rollback(store->index);
	/* The table follows the files even where the index cannot be written now. */
	for (size_t i = 0; i < gone.count; i++)
		ntc_table_remove(&store->table,
				 ntc_table_find(&store->table, (struct ntc_digest *)gone.items + i));
	store->stats.dropped_rows = gone.count;
	free(gone.items);
	return st;
}

static int by_age(const void *va, const void *vb)
{
	const struct ntc_row *a = va, *b = vb;

	return (a->put_wall_ns > b->put_wall_ns) - (a->put_wall_ns < b->put_wall_ns);
}

/* Rows for whole images, in order of their stamps: that is the best guess of their recency. */
static enum ntc_status insert_rows(struct ntc_store *store, struct list *rows)
{
	struct ntc_row *row = rows->items;
	bool shards[NTC_BLOB_SHARDS] = { false };
	enum ntc_status st = NTC_ST_OK;

	if (!rows->count)
		return NTC_ST_OK;
	qsort(row, rows->count, sizeof(*row), by_age);
	for (size_t i = 0; i < rows->count; i++)
		shards[row[i].digest.bytes[0]] = true;
	/* Their names may not have reached the disk yet, and from now on they count as durable. */
	for (unsigned shard = 0; shard < NTC_BLOB_SHARDS && !st; shard++)
		st = shards[shard] ? ntc_blob_sync_shard(&store->blobs, shard) : NTC_ST_OK;
	if (st)
		return st;
	st = ntc_index_begin(store->index);
	if (st)
		return st;
	for (size_t i = 0; i < rows->count && !st; i++) {
		row[i].used = ++store->recency;
		row[i].used_age = ntc_age_read(&store->age, ntc_clock_wall_ns());
		ntc_evict_put(&store->writer.evict, &row[i], store->table.count + 1);
		st = ntc_index_put(store->index, &row[i], NULL);
	}
	if (!st)
		st = ntc_index_commit(store->index);
	if (st) {
		ntc_index_rollback(store->index);
		return st;
	}
	for (size_t i = 0; i < rows->count && !st; i++)
		st = enter_row(store, &row[i]);
	store->stats.adopted = rows->count;
	return st;
}

/* Files without rows: renamed but not committed before a crash, or the index is new. */
static enum ntc_status adopt(struct ntc_store *store, const struct list *orphans)
{
	enum ntc_status st = NTC_ST_OK;
	struct list rows = { 0 };

	for (size_t i = 0; i < orphans->count && !st; i++) {
		const struct ntc_digest *digest = (struct ntc_digest *)orphans->items + i;
		struct ntc_buffer *image = NULL;
		struct ntc_reason reason;
		char text[NTC_DIGEST_TEXT];
		struct ntc_row row, *place;

		st = ntc_blob_load(&store->blobs, digest, &image, NULL, &row, &reason);
		ntc_buffer_unref(image);
		if (!st) {
			place = list_add(&rows, sizeof(*place));
			if (place)
				*place = row;
			else
				st = NTC_ST_NO_MEMORY;
			continue;
		}
		ntc_digest_format(digest, text);
		ntc_store_log(&store->log, NTC_LOG_WARNING, "%s cannot be adopted: %s", text, reason.text);
		if (st == NTC_ST_BAD_IMAGE) {
			st = ntc_blob_quarantine(&store->blobs, digest);
			if (!st)
				store->stats.quarantined++;
		}
		/* Out of reach this time; a put goes over it, the next start looks again. */
		st = NTC_ST_OK;
	}
	if (!st)
		st = insert_rows(store, &rows);
	free(rows.items);
	return st;
}

enum ntc_status ntc_store_recover(struct ntc_store *store, struct ntc_reason *reason)
{
	struct walk walk = { .store = store };
	enum ntc_status st = open_index(store, reason);
	uint64_t strangers = 0;

	if (st)
		return st;
	if (store->saved_len && (ntc_key_check(ntc_view(store->saved, store->saved_len), NULL) ||
				 ntc_key_kind(ntc_view(store->saved, store->saved_len)) != 0)) {
		ntc_store_log(&store->log, NTC_LOG_WARNING, "the saved counters are damaged and begin again at zero");
		store->saved_len = 0;
	}
	st = ntc_blobs_sweep(&store->blobs, &store->stats.swept);
	if (!st)
		st = ntc_blobs_each(&store->blobs, meet_file, &walk, &strangers);
	if (st) {
		st = ntc_reject(reason, st, "the blob directory: %s", ntc_status_text(st));
		goto out;
	}
	if (strangers)
		ntc_store_log(&store->log, NTC_LOG_WARNING, "%" PRIu64 " names in the blob directory are not ours",
			      strangers);
	st = drop_rows(store);
	if (!st && walk.orphans.count)
		st = adopt(store, &walk.orphans);
	/* What a full disk keeps from being written down now is met again at the next start. */
	if (ntc_status_unwritable(st)) {
		ntc_store_log(&store->log, NTC_LOG_WARNING, "recovery is not complete: %s", ntc_status_text(st));
		ntc_disk_found(&store->disk, &(struct ntc_disk_state){ .st = st }, ntc_clock_mono_ns(),
			       &store->log);
		st = NTC_ST_OK;
	}
	if (st) {
		st = ntc_reject(reason, st == NTC_ST_BAD_STORE ? NTC_ST_IO : st, "recovery: %s",
				ntc_index_error(store->index));
		goto out;
	}
	if (store->stats.swept || store->stats.adopted || store->stats.dropped_rows || store->stats.quarantined)
		ntc_store_log(&store->log, NTC_LOG_NOTICE,
			      "recovered: %" PRIu64 " temporary files swept, %" PRIu64 " images adopted, %" PRIu64
			      " rows dropped, %" PRIu64 " images set aside", store->stats.swept, store->stats.adopted,
			      store->stats.dropped_rows, store->stats.quarantined);
out:
	free(walk.orphans.items);
	return st;
}
