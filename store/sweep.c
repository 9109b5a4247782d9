/* The sweep; see sweep.h. */
#include "store/sweep.h"

#include <stdlib.h>
#include <string.h>

/* A digest that a file or a row has. */
struct name {
	struct ntc_digest digest;
	bool in_index;          /* a row's: so has it the image */
};

struct names {
	struct name *items;
	size_t count, room;
};

static enum ntc_status add_name(struct names *names, const struct ntc_digest *digest, bool in_index)
{
	if (names->count == names->room) {
		size_t room = names->room ? names->room * 2 : 256;
		struct name *items = reallocarray(names->items, room, sizeof(*items));

		if (!items)
			return NTC_ST_NO_MEMORY;
		names->items = items;
		names->room = room;
	}
	names->items[names->count++] = (struct name){ .digest = *digest, .in_index = in_index };
	return NTC_ST_OK;
}

static enum ntc_status add_file(void *ctx, const struct ntc_digest *digest)
{
	return add_name(ctx, digest, false);
}

static int compare(const struct ntc_digest *a, const struct ntc_digest *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static int by_digest(const void *a, const void *b)
{
	return compare(&((const struct name *)a)->digest, &((const struct name *)b)->digest);
}

/* --- one shard ---------------------------------------------------------------------------- */

struct slice {
	const struct ntc_sweeper *sweeper;
	struct ntc_op *op;
	struct names files, rows;
	size_t room;            /* in op->items */
	unsigned verified;
	uint64_t bytes;
};

static enum ntc_status report(struct slice *s, const struct ntc_row *row)
{
	if (s->op->count == s->room) {
		size_t room = s->room ? s->room * 2 : 64;
		struct ntc_row *rows = reallocarray(s->op->items, room, sizeof(*rows));

		if (!rows)
			return NTC_ST_NO_MEMORY;
		s->op->items = rows;
		s->room = room;
	}
	((struct ntc_row *)s->op->items)[s->op->count++] = *row;
	return NTC_ST_OK;
}

/* What is known of an entry from its image alone: that counts as used when recovery began. */
static void begin_uses(const struct ntc_sweeper *sweeper, const struct ntc_op *op, struct ntc_row *row)
{
	row->used = op->row.used;
	row->used_age = op->row.used_age;
	ntc_evict_put(sweeper->evict, row, op->entries);
}

/* Read and verify a file without a row. OK with kind 0: there is nothing to adopt. */
static enum ntc_status look_at(const struct ntc_sweeper *sweeper, struct ntc_op *op, const struct ntc_digest *digest,
			       struct ntc_row *row)
{
	struct ntc_buffer *image = NULL;
	struct ntc_reason reason = { "" };
	char text[NTC_DIGEST_TEXT];
	enum ntc_status st = ntc_blob_load(sweeper->blobs, digest, &image, NULL, row, &reason);

	ntc_buffer_unref(image);
	if (!st) {
		begin_uses(sweeper, op, row);
		return NTC_ST_OK;
	}
	*row = (struct ntc_row){ .kind = 0 };
	if (st == NTC_ST_NOT_FOUND)
		return NTC_ST_OK;
	ntc_digest_format(digest, text);
	ntc_store_log(sweeper->log, NTC_LOG_WARNING, "%s cannot be adopted: %s", text, reason.text);
	if (st != NTC_ST_BAD_IMAGE)
		return st;
	st = ntc_blob_quarantine(sweeper->blobs, digest);
	if (!st)
		op->found.damaged++;
	return st;
}

/* A file that no row names. */
static enum ntc_status meet_orphan(struct slice *s, const struct ntc_digest *digest)
{
	struct ntc_row row;
	enum ntc_status st = look_at(s->sweeper, s->op, digest, &row);

	s->verified++;
	s->bytes += row.size;
	/* Descriptors and memory come back; a file that the disk does not give stays for the next start. */
	if (st && st != NTC_ST_NO_FILES && st != NTC_ST_NO_MEMORY)
		return NTC_ST_OK;
	return st || !row.kind ? st : report(s, &row);
}

static enum ntc_status meet_double(struct slice *s, const struct ntc_digest *digest)
{
	enum ntc_status st = ntc_blob_unlink(s->sweeper->blobs, digest);

	if (!st)
		s->op->found.doubles++;
	return st;
}

/* Both lists side by side, in order of digests. */
static enum ntc_status merge(struct slice *s, const struct ntc_digest *after)
{
	enum ntc_status st = NTC_ST_OK;
	size_t f = 0, r = 0;

	while (!st && (f < s->files.count || r < s->rows.count)) {
		const struct name *file = f < s->files.count ? &s->files.items[f] : NULL;
		const struct name *row = r < s->rows.count ? &s->rows.items[r] : NULL;
		int order = !file ? 1 : !row ? -1 : compare(&file->digest, &row->digest);
		const struct ntc_digest *digest = order <= 0 ? &file->digest : &row->digest;

		f += order <= 0;
		r += order >= 0;
		if (after && compare(digest, after) <= 0)
			continue;
		if (s->verified >= NTC_SWEEP_FILES || s->bytes >= NTC_SWEEP_BYTES) {
			s->op->more = true;
			return NTC_ST_OK;
		}
		if (order < 0)
			st = meet_orphan(s, digest);
		else if (order == 0 && row->in_index)
			st = meet_double(s, digest);
		else if (order > 0 && !row->in_index)
			st = report(s, &(struct ntc_row){ .digest = *digest });
		s->op->digest = *digest;
	}
	return st;
}

static enum ntc_status record(const struct ntc_sweeper *sweeper, struct ntc_op *op)
{
	struct ntc_row *rows = op->items;
	enum ntc_status st = NTC_ST_OK;
	bool adopted = false;

	if (!op->count)
		return NTC_ST_OK;
	for (size_t i = 0; i < op->count; i++)
		adopted |= rows[i].kind != 0;
	/* Their names may not have reached the disk yet, and from now on they count as durable. */
	if (adopted)
		st = ntc_blob_sync_shard(sweeper->blobs, op->shard);
	if (st)
		return st;
	st = ntc_index_durable(sweeper->index, true);
	if (!st)
		st = ntc_index_begin(sweeper->index);
	for (size_t i = 0; i < op->count && !st; i++)
		st = rows[i].kind ? ntc_index_put(sweeper->index, &rows[i], NULL)
				  : ntc_index_remove(sweeper->index, &rows[i].digest);
	if (!st)
		st = ntc_index_commit(sweeper->index);
	if (st)
		ntc_index_rollback(sweeper->index);
	return st;
}

static void keep_dropped(struct ntc_op *op)
{
	struct ntc_row *rows = op->items;
	size_t kept = 0;

	for (size_t i = 0; i < op->count; i++) {
		if (!rows[i].kind)
			rows[kept++] = rows[i];
	}
	op->count = kept;
}

static enum ntc_status add_row(void *ctx, const struct ntc_digest *digest, bool in_index)
{
	return add_name(ctx, digest, in_index);
}

void ntc_sweep_slice(const struct ntc_sweeper *sweeper, struct ntc_op *op)
{
	struct slice s = { .sweeper = sweeper, .op = op };
	struct ntc_digest after = op->digest;
	bool behind = op->more;

	op->more = false;
	op->st = ntc_blobs_each(sweeper->blobs, op->shard, add_file, &s.files, &op->found.strangers);
	if (!op->st)
		op->st = ntc_index_shard(sweeper->index, op->shard, add_row, &s.rows);
	if (!op->st && s.files.count)
		qsort(s.files.items, s.files.count, sizeof(*s.files.items), by_digest);
	if (!op->st)
		op->st = merge(&s, behind ? &after : NULL);
	if (!op->st)
		op->st = record(sweeper, op);
	if (op->st) {
		/* What has no file has none, whatever can be written. */
		keep_dropped(op);
		op->more = behind;
		op->digest = after;
	}
	free(s.files.items);
	free(s.rows.items);
}

void ntc_sweep_entry(const struct ntc_sweeper *sweeper, struct ntc_op *op)
{
	struct ntc_row row = { .kind = 0 };

	/* The sweep may have come by. */
	op->st = ntc_index_find(sweeper->index, &op->digest, &row, NULL);
	if (op->st == NTC_ST_NOT_FOUND) {
		op->st = look_at(sweeper, op, &op->digest, &row);
		if (!op->st && row.kind) {
			op->shard = op->digest.bytes[0];
			op->items = malloc(sizeof(row));
			op->st = op->items ? NTC_ST_OK : NTC_ST_NO_MEMORY;
			if (!op->st) {
				memcpy(op->items, &row, sizeof(row));
				op->count = 1;
				op->st = record(sweeper, op);
			}
		}
	}
	op->had_row = !op->st && row.kind;
	if (op->had_row)
		op->row = row;
}
