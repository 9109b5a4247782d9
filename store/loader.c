/* Loader threads; see loader.h. */
#include "store/loader.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "store/image.h"

/*
 * Damage met here is the writer's to make good: the owner tells it, and which index this was. What it is for who asked:
 * IO, or what keeps the index from being made good.
 */
static enum ntc_status note_damage(struct ntc_loader *loader, struct ntc_op *op, enum ntc_status found)
{
	op->damaged = found == NTC_ST_BAD_STORE;
	op->rebuilds = loader->all->rebuilds;
	if (!loader->index)
		found = loader->opened;
	if (found != NTC_ST_BAD_STORE)
		return found;
	return loader->all->broken ? loader->all->broken : NTC_ST_IO;
}

/* From the index, or the file if it has none there. */
static enum ntc_status read_image(struct ntc_loader *loader, struct ntc_op *op, struct ntc_reason *reason)
{
	struct ntc_row row;
	enum ntc_status found = ntc_index_find(loader->index, &op->digest, &row, &op->image), st;

	found = note_damage(loader, op, found);
	if (op->image) {
		st = ntc_image_verify(ntc_view(op->image->bytes, op->image->len), &op->digest, &op->row, reason);
	} else {
		st = ntc_blob_load(loader->all->blobs, &op->digest, &op->image, &op->fd, &op->row, reason);
		/* No file does not say that there is no entry, as long as the index could not be asked. */
		if (st == NTC_ST_NOT_FOUND && found && found != NTC_ST_NOT_FOUND)
			st = ntc_reject(reason, found, "the index: %s", ntc_index_error(loader->index));
	}
	/* What the image cannot know. Without a row (or an index) it was never used. */
	if (!st && !found) {
		op->row.hits = row.hits;
		op->row.used = row.used;
		op->row.flags = row.flags;
	}
	return st;
}

static void load(struct ntc_loader *loader, struct ntc_op *op)
{
	struct ntc_reason reason = { "" };
	char text[NTC_DIGEST_TEXT];

	op->st = read_image(loader, op, &reason);
	if (!op->st)
		return;
	ntc_buffer_unref(op->image);
	op->image = NULL;
	if (op->st != NTC_ST_NOT_FOUND) {
		ntc_digest_format(&op->digest, text);
		ntc_store_log(loader->all->log, NTC_LOG_WARNING, "%s cannot be read: %s", text, reason.text);
	}
}

/*
 * As a load, but of what the disk has rather than the page cache. The image is not kept: only what is wrong with it.
 */
static void verify(struct ntc_loader *loader, struct ntc_op *op)
{
	struct ntc_reason reason = { "" };

	ntc_blob_uncache(loader->all->blobs, &op->digest);
	op->st = read_image(loader, op, &reason);
	if (op->st)
		op->items = strdup(reason.text); /* without memory for it: no text */
	ntc_buffer_unref(op->image);
	op->image = NULL;
}

static void list(struct ntc_loader *loader, struct ntc_op *op)
{
	struct ntc_row *rows = calloc(op->limit ? op->limit : 1, sizeof(*rows));

	op->items = rows;
	op->st = rows ? ntc_index_list(loader->index, &op->digest, op->kind, rows, op->limit, &op->count, &op->more)
		      : NTC_ST_NO_MEMORY;
	op->st = note_damage(loader, op, op->st);
	if (op->st)
		ntc_store_log(loader->all->log, NTC_LOG_ERROR, "the index cannot be read: %s",
			      ntc_index_error(loader->index));
}

/* The next op, or NULL when the queue has ended and is empty. */
static struct ntc_op *take(struct ntc_queue *queue)
{
	struct ntc_op *op;

	pthread_mutex_lock(&queue->lock);
	while (!queue->ops.head && !queue->ended)
		pthread_cond_wait(&queue->changed, &queue->lock);
	op = ntc_op_pop(&queue->ops);
	if (op)
		queue->count--;
	pthread_mutex_unlock(&queue->lock);
	return op;
}

static void *run(void *ctx)
{
	struct ntc_loader *loader = ctx;
	struct ntc_op *op;

	while ((op = take(&loader->all->queue))) {
		struct ntc_op_list done = { 0 };

		ntc_mailbox_wait_room(loader->all->mailbox);
		pthread_rwlock_rdlock(&loader->all->indexes);
		/* After a rebuild; without one, files can be read. */
		if (!loader->index)
			loader->opened = ntc_index_open_reader(loader->all->dir, &loader->index, NULL);
		if (op->type == NTC_OP_LIST)
			list(loader, op);
		else if (op->type == NTC_OP_VERIFY)
			verify(loader, op);
		else
			load(loader, op);
		pthread_rwlock_unlock(&loader->all->indexes);
		ntc_op_push(&done, op);
		ntc_mailbox_post(loader->all->mailbox, &done);
	}
	return NULL;
}

/* Whoever waits to write goes before those who come to read. */
static bool lock_init(pthread_rwlock_t *lock)
{
	pthread_rwlockattr_t attr;
	bool ok;

	if (pthread_rwlockattr_init(&attr))
		return false;
	ok = !pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) &&
	     !pthread_rwlock_init(lock, &attr);
	(void)pthread_rwlockattr_destroy(&attr); /* cannot fail here */
	return ok;
}

enum ntc_status ntc_loaders_start(struct ntc_loaders *loaders, unsigned count, struct ntc_reason *reason)
{
	enum ntc_status st = NTC_ST_OK;
	sigset_t all, before;

	if (!ntc_queue_init(&loaders->queue))
		return ntc_reject(reason, NTC_ST_NO_MEMORY, "out of memory");
	if (!lock_init(&loaders->indexes)) {
		ntc_queue_release(&loaders->queue);
		return ntc_reject(reason, NTC_ST_NO_MEMORY, "out of memory");
	}
	loaders->started = true;
	if (count < 1)
		count = 1;
	if (count > NTC_LOADERS_MAX)
		count = NTC_LOADERS_MAX;
	/* Signals are the owner's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (!st && loaders->count < count) {
		struct ntc_loader *loader = &loaders->loaders[loaders->count];

		loader->all = loaders;
		st = ntc_index_open_reader(loaders->dir, &loader->index, reason);
		if (st)
			break;
		if (pthread_create(&loader->thread, NULL, run, loader)) {
			ntc_index_close(loader->index, false);
			st = ntc_reject(reason, NTC_ST_NO_MEMORY, "no more threads");
			break;
		}
		loaders->count++;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (st)
		ntc_loaders_stop(loaders);
	return st;
}

void ntc_loaders_pause(struct ntc_loaders *loaders)
{
	pthread_rwlock_wrlock(&loaders->indexes);
	for (unsigned i = 0; i < loaders->count; i++) {
		ntc_index_close(loaders->loaders[i].index, false);
		loaders->loaders[i].index = NULL;
	}
}

void ntc_loaders_resume(struct ntc_loaders *loaders, enum ntc_status broken)
{
	loaders->rebuilds += !broken;
	loaders->broken = broken;
	pthread_rwlock_unlock(&loaders->indexes);
}

void ntc_loaders_stop(struct ntc_loaders *loaders)
{
	if (!loaders->started)
		return;
	ntc_queue_end(&loaders->queue);
	for (unsigned i = 0; i < loaders->count; i++) {
		pthread_join(loaders->loaders[i].thread, NULL);
		ntc_index_close(loaders->loaders[i].index, false);
	}
	pthread_rwlock_destroy(&loaders->indexes);
	ntc_queue_release(&loaders->queue);
	loaders->count = 0;
	loaders->started = false;
}
