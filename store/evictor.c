/* Making room; see evictor.h. */
#include "store/evictor.h"

#include <stdlib.h>

#include "store/transact.h"

enum ntc_status ntc_evictor_load(struct ntc_writer_thread *writer)
{
	size_t len = 0;
	void *p = NULL;
	enum ntc_status st = ntc_index_get(writer->index, NTC_EVICT_NAME, &p, &len);

	/* Nothing, or damage: what there is stays. */
	if (!st)
		(void)ntc_evict_load(&writer->evict, p, len);
	free(p);
	return st;
}

enum ntc_status ntc_evictor_save(struct ntc_writer_thread *writer)
{
	uint8_t saved[NTC_EVICT_SIZE];

	ntc_evict_save(&writer->evict, saved);
	return ntc_index_set(writer->index, NTC_EVICT_NAME, saved, sizeof(saved));
}

/* --- pins --------------------------------------------------------------------------------- */

bool ntc_evictor_may_go(const void *ctx, const struct ntc_row *row)
{
	const struct ntc_writer_thread *writer = ctx;

	return !(row->flags & NTC_ROW_PINNED) && !ntc_pins_has(&writer->pins, &row->digest);
}

enum ntc_status ntc_evictor_record_pin(struct ntc_writer_thread *writer, struct ntc_op *op)
{
	enum ntc_status st = ntc_index_find(writer->index, &op->digest, &op->row, NULL);
	bool pinned = op->row.flags & NTC_ROW_PINNED;

	if (!st && op->pin == NTC_PIN_LET && !pinned)
		st = NTC_ST_NOT_FOUND;
	op->had_row = !st;
	if (st == NTC_ST_NOT_FOUND)
		return NTC_ST_OK;
	if (st || op->pin == NTC_PIN_USE || pinned == (op->pin == NTC_PIN_KEEP))
		return st;
	return ntc_index_pin(writer->index, &op->digest, op->pin == NTC_PIN_KEEP);
}

void ntc_evictor_pin(struct ntc_writer_thread *writer, struct ntc_op *op)
{
	if (!op->st && !op->had_row)
		op->st = NTC_ST_NOT_FOUND;
	else if (!op->st && op->pin == NTC_PIN_USE)
		op->st = ntc_pins_add(&writer->pins, &op->digest);
}

void ntc_evictor_unpin(struct ntc_writer_thread *writer, const struct ntc_op *op)
{
	const struct ntc_digest *digests = op->items;

	for (size_t i = 0; i < op->count; i++)
		ntc_pins_drop(&writer->pins, &digests[i]);
}

/* --- removing ----------------------------------------------------------------------------- */

struct victims {
	struct ntc_row *rows;
	size_t count;
};

static enum ntc_status forget_rows(struct ntc_writer_thread *writer, void *ctx)
{
	const struct victims *gone = ctx;
	enum ntc_status st = NTC_ST_OK;

	for (size_t i = 0; i < gone->count && !st; i++)
		st = ntc_index_remove(writer->index, &gone->rows[i].digest);
	return st ? st : ntc_evictor_save(writer);
}

/* The first `count` of `rows` go; those that are gone are the first *gone behind it. */
static enum ntc_status remove_rows(struct ntc_writer_thread *writer, const struct ntc_op *op, struct ntc_row *rows,
				   size_t count, size_t *gone)
{
	struct victims victims = { .rows = rows };
	enum ntc_status st, failed = NTC_ST_OK;
	size_t unlinked = 0;

	for (size_t i = 0; i < count; i++) {
		st = rows[i].image ? NTC_ST_OK : ntc_blob_unlink(writer->blobs, &rows[i].digest);
		/* Whose file cannot be unlinked stays. */
		if (st) {
			failed = st;
			continue;
		}
		if (!op->before_age)
			ntc_evict_gone(&writer->evict, &rows[i]);
		rows[unlinked++] = rows[i];
	}
	victims.count = unlinked;
	st = ntc_transact(writer, forget_rows, &victims);
	if (ntc_status_unwritable(st)) {
		/* The others follow when there is room for writing them down. */
		victims.count = unlinked < NTC_EVICT_FEW ? unlinked : NTC_EVICT_FEW;
		st = ntc_transact_on_full(writer, st, forget_rows, &victims);
	}
	if (st)
		victims.count = 0;
	/* The files are gone even where the rows are not; images in the index are still there. */
	*gone = 0;
	for (size_t i = 0; i < unlinked; i++) {
		if (i < victims.count || !rows[i].image)
			rows[(*gone)++] = rows[i];
	}
	return st ? st : failed;
}

/* The next rows of least value. */
static enum ntc_status find_cheap(struct ntc_writer_thread *writer, const struct ntc_op *op, struct ntc_row *rows,
				  size_t *count)
{
	enum ntc_status st = ntc_index_cheapest(writer->index, ntc_evictor_may_go, writer, rows, NTC_EVICT_BATCH, count);

	if (!st)
		*count = ntc_evict_choose(rows, *count, op->need, op->need_entries);
	return st;
}

/* Those of the next slice behind op->digest that are too old. A slice is little work, however few of it go. */
static enum ntc_status find_old(struct ntc_writer_thread *writer, struct ntc_op *op, struct ntc_row *rows, size_t *count)
{
	size_t seen = 0;
	enum ntc_status st = ntc_index_list(writer->index, &op->digest, 0, rows, NTC_EVICT_BATCH, &seen, &op->more);

	if (!st && seen)
		op->digest = rows[seen - 1].digest;
	for (size_t i = 0; i < seen && !st; i++)
		if (rows[i].used_age < op->before_age && ntc_evictor_may_go(writer, &rows[i]))
			rows[(*count)++] = rows[i];
	return st;
}

/*
 * Directories are not synced: an entry that comes back after a power cut is whole and was never removed by
 * anybody.
 */
void ntc_evictor_evict(struct ntc_writer_thread *writer, struct ntc_op *op)
{
	struct ntc_row *rows = calloc(NTC_EVICT_BATCH, sizeof(*rows));
	size_t count = 0, gone = 0;

	op->st = rows ? NTC_ST_OK : NTC_ST_NO_MEMORY;
	if (!op->st && op->sweep)
		op->st = ntc_blobs_sweep_quarantine(writer->blobs, &op->files);
	if (!op->st && op->before_age)
		op->st = find_old(writer, op, rows, &count);
	else if (!op->st && (op->need || op->need_entries))
		op->st = find_cheap(writer, op, rows, &count);
	if (!op->st && count)
		op->st = remove_rows(writer, op, rows, count, &gone);
	writer->index_damaged |= op->st == NTC_ST_BAD_STORE;
	if (op->st)
		ntc_transact_say(writer, "eviction", op->st);
	op->items = rows;
	op->count = gone;
}
