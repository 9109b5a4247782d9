/* Reading every row; see scan.h. */
#include "store/scan.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/blob.h"

struct worker {
	const char *dir;
	struct ntc_index *index;        /* NULL: it opens one */
	unsigned first, last;           /* shards */
	struct ntc_scanned *part;
	enum ntc_status st;
	struct ntc_reason reason;
	pthread_t thread;
	bool running;
};

static enum ntc_status add_row(void *ctx, const struct ntc_row *row)
{
	struct ntc_scanned *part = ctx;

	if (part->count == part->room) {
		size_t room = part->room ? part->room * 2 : 1024;
		struct ntc_entry *entries = reallocarray(part->entries, room, sizeof(*entries));

		if (!entries)
			return NTC_ST_NO_MEMORY;
		part->entries = entries;
		part->room = room;
	}
	part->entries[part->count++] = (struct ntc_entry){
		.digest = row->digest, .cost_ns = row->cost_ns, .size = (uint32_t)row->size, .kind = (uint8_t)row->kind,
		.in_index = row->image != 0, .pinned = row->flags & NTC_ROW_PINNED,
	};
	if (row->used > part->used)
		part->used = row->used;
	if (row->value > part->value)
		part->value = row->value;
	return NTC_ST_OK;
}

static void *run(void *ctx)
{
	struct worker *w = ctx;
	struct ntc_index *own = NULL;

	if (!w->index)
		w->st = ntc_index_open_reader(w->dir, &own, &w->reason);
	if (w->st)
		return NULL;
	w->st = ntc_index_scan(w->index ? w->index : own, w->first, w->last, add_row, w->part);
	if (w->st)
		(void)ntc_reject(&w->reason, w->st, "the index: %s", ntc_index_error(w->index ? w->index : own));
	ntc_index_close(own, false);
	return NULL;
}

enum ntc_status ntc_scan(const char *dir, struct ntc_index *index, unsigned threads, struct ntc_scanned *parts,
			 struct ntc_reason *reason)
{
	struct worker workers[NTC_SCAN_THREADS] = { 0 };
	enum ntc_status st = NTC_ST_OK;
	sigset_t all, before;

	/* Signals are the owner's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; i < threads; i++) {
		struct worker *w = &workers[i];

		*w = (struct worker){
			.dir = dir, .index = i == 0 ? index : NULL, .first = NTC_BLOB_SHARDS * i / threads,
			.last = NTC_BLOB_SHARDS * (i + 1) / threads - 1, .part = &parts[i],
		};
		w->running = i > 0 && pthread_create(&w->thread, NULL, run, w) == 0;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	/* What there was no thread for is done here. */
	for (unsigned i = 0; i < threads; i++) {
		if (!workers[i].running)
			run(&workers[i]);
	}
	for (unsigned i = 0; i < threads; i++) {
		if (workers[i].running)
			pthread_join(workers[i].thread, NULL);
		if (workers[i].st && !st)
			st = ntc_reject(reason, workers[i].st, "%s", workers[i].reason.text);
	}
	return st;
}
