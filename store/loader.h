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
	enum ntc_status opened;         /* why there is none */
	pthread_t thread;
};

struct ntc_loaders {
	struct ntc_queue queue;
	struct ntc_mailbox *mailbox;            /* borrowed, as the next three */
	const struct ntc_blobs *blobs;
	const struct ntc_store_log *log;
	const char *dir;
	/* Held for reading with each use of an index, for writing while the index is rebuilt. */
	pthread_rwlock_t indexes;
	uint64_t rebuilds;                      /* of the index; under `indexes`, as the next */
	enum ntc_status broken;                 /* why the index could not be rebuilt, or OK */
	struct ntc_loader loaders[NTC_LOADERS_MAX];
	unsigned count;                         /* running */
	bool started;
};

/* Start `count` threads; the borrowed fields are the caller's to fill before. */
enum ntc_status ntc_loaders_start(struct ntc_loaders *loaders, unsigned count, struct ntc_reason *reason);

/* Close their connections and let none be used, until it is resumed. The writer's. */
void ntc_loaders_pause(struct ntc_loaders *loaders);
void ntc_loaders_resume(struct ntc_loaders *loaders, enum ntc_status broken);

/* Finish what is queued and end the threads. Accepts what was never started. */
void ntc_loaders_stop(struct ntc_loaders *loaders);

#endif
