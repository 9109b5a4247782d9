/*
 * The writer thread: it alone changes the directory and the index, in the order of submission. What it does to make
 * room is in evictor.c.
 *
 * It takes ops in groups: what comes within group_wait_ns of the group's first put, or until as many puts are there
 * as were in the last group, up to NTC_GROUP_MAX ops, a digest at most once. A group is written in phases, each for
 * all its ops (docs/store.md says why in this order): temporary files; their syncs; renames and unlinks; syncs of the
 * directories; one transaction. Then all of them are posted to the mailbox in order.
 */
#ifndef NTC_STORE_WRITER_H
#define NTC_STORE_WRITER_H

#include "store/blob.h"
#include "store/checker.h"
#include "store/evict.h"
#include "store/index.h"
#include "store/loader.h"
#include "store/log.h"
#include "store/op.h"
#include "store/pins.h"
#include "store/reserve.h"
#include "store/syncer.h"

#define NTC_GROUP_MAX 64u

struct ntc_writer_thread {
	struct ntc_queue queue;
	struct ntc_mailbox *mailbox;            /* borrowed, as the next five */
	struct ntc_blobs *blobs;
	struct ntc_loaders *loaders;
	struct ntc_checker *checker;
	const char *dir;
	int dir_fd;
	struct ntc_index *index;                /* NULL while it cannot be opened */
	const struct ntc_store_log *log;
	struct ntc_evict evict;                 /* the policy; recovery's before the thread runs */
	struct ntc_reserve reserve;             /* its `dir` is to be set */
	struct ntc_pins pins;                   /* in use */
	uint64_t inline_max;                    /* images up to so many bytes go into the index */
	uint64_t group_wait_ns;
	bool relaxed;                           /* see docs/store.md */
	uint64_t groups;
	size_t last_puts;                       /* in the last group that had any */
	struct ntc_disk_state disk;             /* as it was found last */
	bool index_damaged;                     /* met, and not made good */
	uint64_t mend_at, mend_wait_ns;         /* mend.h: not before; waited for it the last time */
	enum ntc_status mend_st;                /* why it failed then */
	struct ntc_syncer syncer;
	pthread_t thread;
	bool running;
};

/* Fields above `queue` excepted are the caller's to fill. False without memory or threads. */
bool ntc_writer_start(struct ntc_writer_thread *writer);

/* Finish what is queued and end the thread. Accepts one that was never started. */
void ntc_writer_stop(struct ntc_writer_thread *writer);

#endif
