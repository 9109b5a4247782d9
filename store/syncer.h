/*
 * How what the writer has written gets to the disk (docs/store.md, Syncing). There are two ways:
 *
 *     one by one   a sync for each file and directory. Costs as much as there are of them, whatever else goes on.
 *     all at once  syncfs(2): hardly more for a hundred files than for one, but it also writes what everybody else has
 *                  left in memory on that file system, which may be much.
 *
 * So a thread of its own, the syncer, syncs all at once, and the writer, which asks for that where it pays, waits no
 * longer than twice what one by one would have taken: then it syncs one by one, and does not ask again for a while.
 *
 * Where puts are not to survive a power cut at once (--durability relaxed) the writer waits for nothing, and the syncer
 * syncs all at once a moment later, on whatever file system.
 *
 * Threads: the writer's, but for the thread itself.
 */
#ifndef NTC_STORE_SYNCER_H
#define NTC_STORE_SYNCER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "store/log.h"

#define NTC_SYNC_ALL_MIN 4u                             /* files and directories; fewer are synced one by one */
#define NTC_SYNC_EACH_FIRST_NS (20 * NTC_NS_PER_MS)     /* what one is thought to take until it was measured */
#define NTC_SYNC_ALL_WAIT_MAX_NS (1 * NTC_NS_PER_S)     /* longest wait for all at once */
#define NTC_SYNC_PAUSE_MIN_NS (100 * NTC_NS_PER_MS)     /* one by one after a wait that was too long; doubled */
#define NTC_SYNC_PAUSE_MAX_NS (60 * NTC_NS_PER_S)       /* each time, up to this */
#define NTC_SYNC_LATER_NS (1 * NTC_NS_PER_S)            /* how long a change waits for its sync when nobody waits for it */

struct ntc_syncer {
	int fd;                         /* a directory of the file system; borrowed */
	const struct ntc_store_log *log;        /* borrowed */
	pthread_t thread;
	bool running;
	bool trusted;                   /* errors of syncfs are told to who calls it */
	/* the writer's alone */
	uint64_t each_ns;               /* what one took lately */
	uint64_t pause_ns, paused_until_ns;
	/* under lock */
	pthread_mutex_t lock;
	pthread_cond_t changed;         /* on CLOCK_MONOTONIC */
	bool wanted;                    /* the writer waits for a sync that has not begun */
	uint64_t due_ns;                /* when one has to begin that nobody waits for; 0 = nothing to sync */
	bool busy;                      /* in syncfs */
	uint64_t done;                  /* how many have ended */
	int err;                        /* what the last one said: 0 or a negative errno */
	int late_err;                   /* that nobody waited for and nobody was told of */
	bool ended;
};

/*
 * Start the thread where there is work for it: if `later` will be asked for, or errors of syncfs on the file system
 * of `fd` are told to who calls it; without it everything is synced one by one. False without memory or threads.
 */
bool ntc_syncer_start(struct ntc_syncer *syncer, int fd, bool later, const struct ntc_store_log *log);

/* Sync what is due and end the thread. Accepts one that was never started. */
void ntc_syncer_stop(struct ntc_syncer *syncer);

/*
 * Sync everything that was written before this call, if that pays for `count` files and directories. True: it is on
 * the disk. False: it is not known to be: sync one by one, and say with _took() how long that took.
 */
bool ntc_syncer_all(struct ntc_syncer *syncer, size_t count);

/* Sync everything written so far, and what is written until then, a moment later. */
void ntc_syncer_later(struct ntc_syncer *syncer);

/* What the last sync that nobody waited for said, once: 0 or a negative errno. */
int ntc_syncer_late_error(struct ntc_syncer *syncer);

/* So long did it take to sync `count` of them one by one. */
void ntc_syncer_took(struct ntc_syncer *syncer, size_t count, uint64_t ns);

#endif
