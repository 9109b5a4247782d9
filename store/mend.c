/* Mending; see mend.h. */
#include "store/mend.h"

#include <stdlib.h>

#include "base/clock.h"
#include "store/rebuild.h"
#include "store/table.h"

struct survivors {
	struct ntc_entry *entries;
	size_t count, room;
};

static enum ntc_status add_survivor(void *ctx, const struct ntc_row *row)
{
	struct survivors *s = ctx;

	if (!row->image)
		return NTC_ST_OK;
	if (s->count == s->room) {
		size_t room = s->room ? s->room * 2 : 256;
		struct ntc_entry *entries = reallocarray(s->entries, room, sizeof(*entries));

		if (!entries)
			return NTC_ST_NO_MEMORY;
		s->entries = entries;
		s->room = room;
	}
	s->entries[s->count++] = (struct ntc_entry){
		.digest = row->digest, .cost_ns = row->cost_ns, .size = (uint32_t)row->size, .kind = (uint8_t)row->kind,
		.in_index = true, .pinned = row->flags & NTC_ROW_PINNED,
	};
	return NTC_ST_OK;
}

static enum ntc_status exchange(struct ntc_writer_thread *writer, struct ntc_op *op, struct ntc_reason *reason)
{
	struct survivors survivors = { 0 };
	enum ntc_status st;

	ntc_checker_stop(writer->checker);
	ntc_loaders_pause(writer->loaders);
	ntc_index_close(writer->index, false);
	writer->index = NULL;
	st = ntc_rebuild(writer->dir, writer->dir_fd, "the index is damaged", writer->log, reason);
	/* Damaged still, it may be good for something, if there is no other that should not lack what it is told. */
	if (!st || !ntc_rebuild_pending(writer->dir_fd)) {
		enum ntc_status opened = ntc_index_open(writer->dir, &writer->index, st ? NULL : reason);

		st = st ? st : opened;
	}
	ntc_loaders_resume(writer->loaders, st);
	if (st)
		return st;
	/* Without memory for them, what is lost is found out entry by entry. */
	op->st = ntc_index_scan(writer->index, 0, NTC_BLOB_SHARDS - 1, add_survivor, &survivors);
	op->items = survivors.entries;
	op->count = op->st ? 0 : survivors.count;
	return NTC_ST_OK;
}

/* Once more at once, as it may have been bad luck; then not before a while. Memory comes back without a word. */
static void put_off(struct ntc_writer_thread *writer, enum ntc_status st)
{
	writer->index_damaged = true;
	if (writer->mend_st && st != NTC_ST_NO_MEMORY)
		writer->mend_wait_ns = writer->mend_wait_ns ? writer->mend_wait_ns * 2 : NTC_NS_PER_S;
	if (writer->mend_wait_ns > NTC_MEND_WAIT_MAX_NS)
		writer->mend_wait_ns = NTC_MEND_WAIT_MAX_NS;
	writer->mend_at = ntc_clock_mono_ns() + writer->mend_wait_ns;
	writer->mend_st = st;
}

enum ntc_status ntc_mend(struct ntc_writer_thread *writer)
{
	struct ntc_reason reason = { "" };
	struct ntc_op_list done = { 0 };
	enum ntc_status st;
	struct ntc_op *op;

	if (ntc_clock_mono_ns() < writer->mend_at)
		return writer->mend_st;
	op = ntc_op_new(NTC_OP_REBUILT, NULL, NULL);
	st = op ? exchange(writer, op, &reason) : ntc_reject(&reason, NTC_ST_NO_MEMORY, "out of memory");
	/* Damage is no reason that anybody else could do something about. */
	if (st == NTC_ST_BAD_STORE || st == NTC_ST_NEWER_STORE)
		st = NTC_ST_IO;
	if (st) {
		ntc_op_free(op);
		ntc_store_log(writer->log, NTC_LOG_ERROR, "the index stays damaged: %s", reason.text);
		put_off(writer, st);
		return st;
	}
	writer->index_damaged = false;
	writer->mend_wait_ns = 0;
	writer->mend_st = NTC_ST_OK;
	ntc_op_push(&done, op);
	ntc_mailbox_post(writer->mailbox, &done);
	return NTC_ST_OK;
}
