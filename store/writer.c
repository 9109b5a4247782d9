/* The writer thread; see writer.h for the groups and docs/store.md for the order of things on disk. */
#include "store/writer.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/evictor.h"
#include "store/mend.h"
#include "store/rebuild.h"
#include "store/sweep.h"
#include "store/transact.h"

struct group {
	struct ntc_op *ops[NTC_GROUP_MAX];
	struct ntc_blob_temp temps[NTC_GROUP_MAX];
	bool published[NTC_GROUP_MAX];          /* a put's file has its final name */
	bool shards[NTC_BLOB_SHARDS];           /* names changed there */
	size_t count;
};

/* An op that has to see what was done before it, or takes long enough alone. */
static bool stands_alone(const struct ntc_op *op)
{
	return op->type == NTC_OP_EVICT || op->type == NTC_OP_SWEEP || op->type == NTC_OP_LOOK ||
	       op->type == NTC_OP_SWEPT || op->type == NTC_OP_REBUILD;
}

static bool names_entry(const struct ntc_op *op)
{
	return op->type == NTC_OP_PUT || op->type == NTC_OP_REMOVE || op->type == NTC_OP_QUARANTINE;
}

static bool group_has(const struct group *g, const struct ntc_digest *digest)
{
	for (size_t i = 0; i < g->count; i++) {
		if (names_entry(g->ops[i]) && ntc_digest_equal(&g->ops[i]->digest, digest))
			return true;
	}
	return false;
}

/* --- collecting --------------------------------------------------------------------------- */

/* Whether the op can join: phases do not keep the order of two ops on one entry. */
static bool fits(const struct group *g, const struct ntc_op *op)
{
	if (!g->count)
		return true;
	if (g->count == NTC_GROUP_MAX || stands_alone(op) || stands_alone(g->ops[0]))
		return false;
	return !names_entry(op) || !group_has(g, &op->digest);
}

/* Fill *g; false when the queue has ended and is empty. */
static bool collect(struct ntc_writer_thread *writer, struct group *g)
{
	struct ntc_queue *queue = &writer->queue;
	uint64_t until = 0;
	struct timespec ts;
	bool full = false;
	size_t puts = 0;

	memset(g, 0, sizeof(*g));
	pthread_mutex_lock(&queue->lock);
	for (;;) {
		while (queue->ops.head && !full) {
			full = !fits(g, queue->ops.head);
			if (full)
				break;
			g->ops[g->count++] = ntc_op_pop(&queue->ops);
			queue->count--;
			puts += g->ops[g->count - 1]->type == NTC_OP_PUT;
			if (puts && !until)
				until = ntc_clock_mono_ns() + writer->group_wait_ns;
		}
		/* Whoever waited for the last group has put again: more is not to be expected. */
		if (puts && puts >= writer->last_puts && writer->last_puts)
			break;
		if (full || queue->ended || (g->count && (!until || ntc_clock_mono_ns() >= until)))
			break;
		if (!g->count) {
			pthread_cond_wait(&queue->changed, &queue->lock);
			continue;
		}
		ts.tv_sec = (time_t)(until / NTC_NS_PER_S);
		ts.tv_nsec = (long)(until % NTC_NS_PER_S);
		pthread_cond_timedwait(&queue->changed, &queue->lock, &ts);
	}
	pthread_mutex_unlock(&queue->lock);
	if (puts)
		writer->last_puts = puts;
	return g->count > 0;
}

/* --- one group, phase by phase ------------------------------------------------------------ */

static bool has_file(const struct ntc_writer_thread *writer, const struct ntc_op *op)
{
	return op->type == NTC_OP_PUT && op->image->len > writer->inline_max;
}

static void write_files(struct ntc_writer_thread *writer, struct group *g)
{
	for (size_t i = 0; i < g->count; i++) {
		g->temps[i].fd = -1;
		if (has_file(writer, g->ops[i]))
			g->ops[i]->st = ntc_blob_write(writer->blobs, &g->ops[i]->digest, g->ops[i]->image, &g->temps[i]);
	}
}

/* One way or the other (syncer.h); or, where nobody waits for it, later. */
static void sync_files(struct ntc_writer_thread *writer, struct group *g)
{
	uint64_t start = ntc_clock_mono_ns();
	size_t count = 0;
	bool all;

	for (size_t i = 0; i < g->count; i++)
		count += g->temps[i].fd >= 0;
	all = writer->relaxed || ntc_syncer_all(&writer->syncer, count);
	/* All are on their way before the first is waited for. */
	for (size_t i = 0; i < g->count && !all; i++) {
		if (g->temps[i].fd >= 0)
			ntc_blob_start(&g->temps[i]);
	}
	for (size_t i = 0; i < g->count; i++) {
		if (g->temps[i].fd >= 0 && all)
			ntc_blob_close(&g->temps[i]);
		else if (g->temps[i].fd >= 0)
			g->ops[i]->st = ntc_blob_sync(&g->temps[i]);
	}
	if (!all)
		ntc_syncer_took(&writer->syncer, count, ntc_clock_mono_ns() - start);
}

static void change_names(struct ntc_writer_thread *writer, struct group *g)
{
	for (size_t i = 0; i < g->count; i++) {
		struct ntc_op *op = g->ops[i];

		if (!names_entry(op) || op->st || (op->type == NTC_OP_PUT && !has_file(writer, op)))
			continue;
		/* A removal is for good in either mode. */
		if (!writer->relaxed || op->type == NTC_OP_REMOVE)
			g->shards[op->digest.bytes[0]] = true;
		if (op->type == NTC_OP_PUT) {
			op->st = ntc_blob_publish(writer->blobs, &op->digest, &g->temps[i]);
			g->published[i] = !op->st;
		} else if (op->type == NTC_OP_REMOVE) {
			/* Of an image in the index too: a file that an eviction or a failed put left must not be adopted. */
			op->st = ntc_blob_unlink(writer->blobs, &op->digest);
			op->in_place = op->st != NTC_ST_OK;
		} else {
			op->st = ntc_blob_quarantine(writer->blobs, &op->digest);
		}
	}
}

static void sync_names(struct ntc_writer_thread *writer, struct group *g)
{
	uint64_t start = ntc_clock_mono_ns();
	size_t count = 0;

	for (unsigned shard = 0; shard < NTC_BLOB_SHARDS; shard++)
		count += g->shards[shard] && !writer->blobs->synced[shard];
	if (ntc_syncer_all(&writer->syncer, count)) {
		ntc_blobs_synced(writer->blobs);
		return;
	}
	for (unsigned shard = 0; shard < NTC_BLOB_SHARDS; shard++) {
		enum ntc_status st = g->shards[shard] ? ntc_blob_sync_shard(writer->blobs, shard) : NTC_ST_OK;

		if (!st)
			continue;
		for (size_t i = 0; i < g->count; i++) {
			if (names_entry(g->ops[i]) && g->ops[i]->digest.bytes[0] == shard && !g->ops[i]->st &&
			    (g->ops[i]->type != NTC_OP_PUT || has_file(writer, g->ops[i])))
				g->ops[i]->st = st;
		}
	}
	ntc_syncer_took(&writer->syncer, count, ntc_clock_mono_ns() - start);
}

static enum ntc_status record_age(struct ntc_writer_thread *writer, const struct ntc_age *age)
{
	uint8_t saved[NTC_AGE_SIZE];
	enum ntc_status st;

	ntc_age_save(age, saved);
	st = ntc_index_set(writer->index, NTC_AGE_NAME, saved, sizeof(saved));
	return st ? st : ntc_evictor_save(writer);
}

static enum ntc_status record_touch(struct ntc_writer_thread *writer, const struct ntc_touch *touch, uint64_t entries)
{
	struct ntc_row row;
	enum ntc_status st = ntc_index_find(writer->index, &touch->digest, &row, NULL);

	if (st)
		return st == NTC_ST_NOT_FOUND ? NTC_ST_OK : st;
	ntc_evict_use(&writer->evict, &row, touch->used, entries);
	row.hits += touch->hits;
	if (touch->used_age > row.used_age)
		row.used_age = touch->used_age;
	return ntc_index_touch(writer->index, &row);
}

static enum ntc_status record_op(struct ntc_writer_thread *writer, struct ntc_op *op)
{
	const struct ntc_touch *touches = op->items;
	struct ntc_index *index = writer->index;
	enum ntc_status st = NTC_ST_OK;

	switch (op->type) {
	case NTC_OP_PUT:
		ntc_evict_put(&writer->evict, &op->row, op->entries);
		return ntc_index_put(index, &op->row, has_file(writer, op) ? NULL : op->image);
	case NTC_OP_REMOVE:
	case NTC_OP_QUARANTINE:
		return ntc_index_remove(index, &op->digest);
	case NTC_OP_TOUCH:
		for (size_t i = 0; i < op->count && !st; i++)
			st = record_touch(writer, &touches[i], op->entries);
		return st ? st : record_age(writer, &op->age);
	case NTC_OP_COUNTERS:
		st = ntc_index_set(index, "counters", op->items, op->count);
		return st ? st : record_age(writer, &op->age);
	case NTC_OP_PIN:
		return ntc_evictor_record_pin(writer, op);
	default:
		return NTC_ST_OK;
	}
}

/*
 * What became of a removal whose row could not be deleted because of `st`. A file that is gone for good is
 * removed, whatever the index says: its row is dropped when it is met again. So removing files works on a full
 * disk. An image in the index is still there.
 */
static void check_removal(const struct ntc_writer_thread *writer, struct ntc_op *op, enum ntc_status st)
{
	struct ntc_row row;
	enum ntc_status found = ntc_index_find(writer->index, &op->digest, &row, NULL);

	if (found == NTC_ST_NOT_FOUND || (!found && !row.image))
		return;
	if (!op->st)
		op->st = st;
	op->in_place = true;
}

static enum ntc_status record_ops(struct ntc_writer_thread *writer, void *ctx)
{
	const struct group *g = ctx;
	enum ntc_status st = NTC_ST_OK;

	for (size_t i = 0; i < g->count && !st; i++) {
		if (!g->ops[i]->st)
			st = record_op(writer, g->ops[i]);
	}
	return st;
}

/* The rows and small images of everything that went well so far, in one transaction. */
static enum ntc_status commit(struct ntc_writer_thread *writer, struct group *g)
{
	enum ntc_status st;
	bool removal = false;

	for (size_t i = 0; i < g->count; i++)
		removal |= g->ops[i]->type == NTC_OP_REMOVE;
	st = ntc_index_durable(writer->index, !writer->relaxed || removal);
	if (!st)
		st = ntc_transact(writer, record_ops, g);
	if (removal && ntc_status_unwritable(st)) {
		for (size_t i = 0; i < g->count; i++) {
			if (g->ops[i]->type != NTC_OP_REMOVE && !g->ops[i]->st)
				g->ops[i]->st = st;
		}
		st = ntc_transact_on_full(writer, st, record_ops, g);
	}
	if (st)
		ntc_transact_say(writer, "the index cannot be written", st);
	return st;
}

static void record(struct ntc_writer_thread *writer, struct group *g)
{
	enum ntc_status st = commit(writer, g);

	/* A group that meets damage is written into the index that takes the place of the damaged one. */
	if (st == NTC_ST_BAD_STORE || !writer->index) {
		st = ntc_mend(writer);
		if (!st)
			st = commit(writer, g);
	}
	if (st == NTC_ST_BAD_STORE) {
		writer->index_damaged = true;
		st = NTC_ST_IO;
	}
	for (size_t i = 0; i < g->count; i++) {
		struct ntc_op *op = g->ops[i];

		if (op->type == NTC_OP_REMOVE && (st || op->st) && !op->in_place)
			check_removal(writer, op, st);
		else if (op->type != NTC_OP_REMOVE && op->type != NTC_OP_QUARANTINE && !op->st)
			op->st = st;
		if (op->type == NTC_OP_PIN)
			ntc_evictor_pin(writer, op);
		else if (op->type == NTC_OP_UNPIN)
			ntc_evictor_unpin(writer, op);
	}
}

/* Puts that failed leave nothing. */
static void undo(struct ntc_writer_thread *writer, struct group *g)
{
	for (size_t i = 0; i < g->count; i++) {
		struct ntc_op *op = g->ops[i];

		if (op->type != NTC_OP_PUT || !op->st)
			continue;
		ntc_blob_discard(writer->blobs, &g->temps[i]);
		/* If the unlink fails or does not survive, the next start adopts a whole image: a put that was
		 * not acknowledged may be there. */
		if (g->published[i] && ntc_blob_unlink(writer->blobs, &op->digest))
			ntc_store_log(writer->log, NTC_LOG_WARNING, "a blob without a row stays until the next start");
	}
}

static void write_group(struct ntc_writer_thread *writer, struct group *g)
{
	write_files(writer, g);
	sync_files(writer, g);
	change_names(writer, g);
	sync_names(writer, g);
	record(writer, g);
	undo(writer, g);
	if (writer->relaxed)
		ntc_syncer_later(&writer->syncer);
}

/* --- recovery ------------------------------------------------------------------------------ */

static void recover(struct ntc_writer_thread *writer, struct ntc_op *op)
{
	const struct ntc_sweeper sweeper = {
		.blobs = writer->blobs, .index = writer->index, .evict = &writer->evict, .log = writer->log,
	};

	if (op->type == NTC_OP_SWEEP) {
		ntc_sweep_slice(&sweeper, op);
	} else if (op->type == NTC_OP_LOOK) {
		ntc_sweep_entry(&sweeper, op);
	} else if (op->type == NTC_OP_SWEPT) {
		op->st = ntc_index_begin(writer->index);
		if (!op->st)
			op->st = ntc_index_unset(writer->index, NTC_REBUILDING_NAME);
		if (!op->st)
			op->st = ntc_index_commit(writer->index);
		if (op->st)
			ntc_index_rollback(writer->index);
	} else if (op->rebuilds == writer->loaders->rebuilds) {
		/* Whoever met the damage, it was this index. */
		writer->index_damaged = true;
	}
	writer->index_damaged |= op->st == NTC_ST_BAD_STORE;
}

/* --- the thread --------------------------------------------------------------------------- */

/* Find out what is wrong with the disk when something failed because of it, or whether it is well again. */
static void try_disk(struct ntc_writer_thread *writer, const struct group *g)
{
	/* One that nobody waited for. */
	bool wanted = !writer->disk.st && ntc_syncer_late_error(&writer->syncer);

	for (size_t i = 0; i < g->count; i++)
		wanted |= g->ops[i]->type == NTC_OP_TRY || (!writer->disk.st && ntc_disk_blamed(g->ops[i]->st));
	if (writer->index_damaged && writer->mend_st)
		/* Nor does it take anything as long as there is no whole index: who puts is told why. */
		writer->disk = (struct ntc_disk_state){ .st = writer->mend_st };
	else if (wanted)
		writer->disk = ntc_disk_try(writer->blobs, writer->index);
	if (!writer->disk.st)
		ntc_reserve_keep(&writer->reserve);
}

static void post(struct ntc_writer_thread *writer, struct group *g)
{
	struct ntc_op_list done = { 0 };
	uint64_t now = ntc_clock_mono_ns();

	writer->groups += !stands_alone(g->ops[0]) || g->ops[0]->type == NTC_OP_EVICT;
	for (size_t i = 0; i < g->count; i++) {
		g->ops[i]->durable_ns = now;
		g->ops[i]->groups = writer->groups;
		g->ops[i]->by_writer = true;
		g->ops[i]->disk = writer->disk;
		ntc_op_push(&done, g->ops[i]);
	}
	ntc_mailbox_post(writer->mailbox, &done);
}

static void *run(void *ctx)
{
	struct ntc_writer_thread *writer = ctx;
	struct group g;

	/* Before the first group, which may need it. */
	ntc_reserve_keep(&writer->reserve);
	while (collect(writer, &g)) {
		if (g.ops[0]->type == NTC_OP_EVICT)
			ntc_evictor_evict(writer, g.ops[0]);
		else if (stands_alone(g.ops[0]))
			recover(writer, g.ops[0]);
		else
			write_group(writer, &g);
		/* Before the disk is tried: without an index it takes nothing. */
		if (writer->index_damaged)
			(void)ntc_mend(writer); /* or later; it says so itself */
		try_disk(writer, &g);
		post(writer, &g);
	}
	return NULL;
}

bool ntc_writer_start(struct ntc_writer_thread *writer)
{
	sigset_t all, before;

	if (!ntc_queue_init(&writer->queue))
		return false;
	if (!ntc_syncer_start(&writer->syncer, writer->blobs->domain, writer->relaxed, writer->log)) {
		ntc_queue_release(&writer->queue);
		return false;
	}
	/* Signals are the owner's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	writer->running = pthread_create(&writer->thread, NULL, run, writer) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!writer->running) {
		ntc_syncer_stop(&writer->syncer);
		ntc_queue_release(&writer->queue);
	}
	return writer->running;
}

void ntc_writer_stop(struct ntc_writer_thread *writer)
{
	if (!writer->running)
		return;
	ntc_queue_end(&writer->queue);
	pthread_join(writer->thread, NULL);
	ntc_syncer_stop(&writer->syncer);
	ntc_queue_release(&writer->queue);
	writer->running = false;
}
