/*
 * Loader threads: they read and verify images and answer listings, each with a connection of its own to
 * the index that only reads. They change nothing; what they find damaged is the owner's to set aside.
 */
#ifndef NTC_STORE_LOADER_H
#define NTC_STORE_LOADER_H

#include "store/blob.h"
#include "store/index.h"
#include "store/log.h"
#include "store/op.h"

#define NTC_LOADERS_MAX 64u

struct ntc_loader {
	struct ntc_loaders *all;
	struct ntc_index *index;
	pthread_t thread;
};

struct ntc_loaders {
	struct ntc_queue queue;
	struct ntc_mailbox *mailbox;            /* borrowed, as the next two */
	const struct ntc_blobs *blobs;
	const struct ntc_store_log *log;
	struct ntc_loader loaders[NTC_LOADERS_MAX];
	unsigned count;                         /* running */
	bool started;
};

/* Start `count` threads on the index in `dir`; the borrowed fields are the caller's to fill before. */
enum ntc_status ntc_loaders_start(struct ntc_loaders *loaders, const char *dir, unsigned count,
				  struct ntc_reason *reason);

/* Finish what is queued and end the threads. Accepts what was never started. */
void ntc_loaders_stop(struct ntc_loaders *loaders);

#endif
