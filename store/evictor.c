/* Making room; see evictor.h. */
#include "store/evictor.h"

#include <stdlib.h>

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

/* The first `count` of `rows` go; those that are gone are the first *gone behind it. */
static enum ntc_status remove_rows(struct ntc_writer_thread *writer, struct ntc_row *rows, size_t count,
				   size_t *gone)
{
	enum ntc_status st, failed = NTC_ST_OK;
	bool begun;

	*gone = 0;
	for (size_t i = 0; i < count; i++) {
		/* Whose file cannot be unlinked stays. */
		if (!rows[i].image && ntc_blob_unlink(writer->blobs, &rows[i].digest)) {
			failed = NTC_ST_IO;
			continue;
		}
		ntc_evict_gone(&writer->evict, &rows[i]);
		rows[(*gone)++] = rows[i];
	}
	st = ntc_index_begin(writer->index);
	begun = !st;
	for (size_t i = 0; i < *gone && !st; i++)
		st = ntc_index_remove(writer->index, &rows[i].digest);
	if (!st)
		st = ntc_evictor_save(writer);
	if (!st)
		st = ntc_index_commit(writer->index);
	if (st && begun)
		ntc_index_rollback(writer->index);
	if (st) {
		/* The files are gone even where the rows are not; images in the index are still there. */
		count = *gone;
		*gone = 0;
		for (size_t i = 0; i < count; i++)
			if (!rows[i].image)
				rows[(*gone)++] = rows[i];
	}
	return st ? st : failed;
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
	if (!op->st && op->before_age) {
		op->st = ntc_index_aged(writer->index, op->before_age, &op->digest, rows, NTC_EVICT_BATCH, &count, &op->more);
		if (count)
			op->digest = rows[count - 1].digest;
	} else if (!op->st && (op->need || op->need_entries)) {
		op->st = ntc_index_cheapest(writer->index, rows, NTC_EVICT_BATCH, &count);
		if (!op->st)
			count = ntc_evict_choose(rows, count, op->need, op->need_entries);
	}
	if (!op->st)
		op->st = remove_rows(writer, rows, count, &gone);
	writer->index_damaged |= op->st == NTC_ST_BAD_STORE;
	if (op->st)
		ntc_store_log(writer->log, NTC_LOG_ERROR, "eviction: %s", ntc_status_text(op->st));
	op->items = rows;
	op->count = gone;
}
