/*
 * Blob files: one image each, under DIR/default/ab/ab12... A file under its final name is whole: it was
 * written and synced under another name first. What is read is verified; what is damaged is not returned.
 *
 * Reading is safe from any thread; everything else is the writer's (or recovery's, before the threads).
 */
#ifndef NTC_STORE_BLOB_H
#define NTC_STORE_BLOB_H

#include <stdbool.h>

#include "proto/entry.h"
#include "proto/message.h"
#include "store/buffer.h"

#define NTC_BLOB_SHARDS 256u            /* directories, by the first byte of the digest */
#define NTC_BLOB_PATH 36                /* "ab/" 32 hexadecimal digits and a NUL */
#define NTC_BLOB_TRIAL (64u << 10)      /* bytes that a disk has to take to be well */
#define NTC_BLOB_QUARANTINE_MAX 64u     /* files kept in quarantine; more are unlinked instead */

struct ntc_blobs {
	int domain;             /* DIR/default */
	int path;               /* the same, O_PATH */
	int tmp, quarantine;
	bool group_readable;
	bool made[NTC_BLOB_SHARDS];     /* the shard's directory is there, durably */
	bool synced[NTC_BLOB_SHARDS];   /* what happened to names in it is on disk */
	unsigned quarantined;           /* files in quarantine */
	uint64_t next_temp;
};

/* A file being written. */
struct ntc_blob_temp {
	int fd;                 /* -1 = none */
	char name[64];          /* in tmp; "" = none */
};

/* Open the domain's directories below `dir`, made if they do not exist. */
enum ntc_status ntc_blobs_open(struct ntc_blobs *blobs, int dir, const char *domain, bool group_readable,
			       struct ntc_reason *reason);
void ntc_blobs_close(struct ntc_blobs *blobs);

/* "ab/ab12...": where the blob is, below the domain's directory. */
void ntc_blob_path(const struct ntc_digest *digest, char path[NTC_BLOB_PATH]);

/* --- reading ------------------------------------------------------------------------------ */

/*
 * Read and verify. OK: *image is given (one reference), *fd is open at it for reading (close it; pass
 * NULL for none) and *row says what the image itself knows. NOT_FOUND: no such file. BAD_IMAGE: damaged, or not
 * the image of a key with that digest. NO_FILES, NO_MEMORY, IO: it could not be read.
 */
enum ntc_status ntc_blob_load(const struct ntc_blobs *blobs, const struct ntc_digest *digest,
			      struct ntc_buffer **image, int *fd, struct ntc_row *row, struct ntc_reason *reason);

/* Let the page cache forget what it has of it, so that the next read asks the disk. */
void ntc_blob_uncache(const struct ntc_blobs *blobs, const struct ntc_digest *digest);

/* --- writing ------------------------------------------------------------------------------ */

/*
 * In this order: write, sync, publish, sync the shard. A temp that is not published is discarded. Where more than one is
 * written before the first sync, start them all: their syncs then wait for the disk together.
 */
enum ntc_status ntc_blob_write(struct ntc_blobs *blobs, const struct ntc_digest *digest,
			       const struct ntc_buffer *image, struct ntc_blob_temp *temp);
void ntc_blob_start(const struct ntc_blob_temp *temp);
enum ntc_status ntc_blob_sync(struct ntc_blob_temp *temp);
/* In the place of the sync, where it was synced with everything else. */
void ntc_blob_close(struct ntc_blob_temp *temp);
enum ntc_status ntc_blob_publish(struct ntc_blobs *blobs, const struct ntc_digest *digest,
				 struct ntc_blob_temp *temp);
void ntc_blob_discard(struct ntc_blobs *blobs, struct ntc_blob_temp *temp);

/* Unlink; OK also if there is none. Durable only when the shard has been synced. */
enum ntc_status ntc_blob_unlink(struct ntc_blobs *blobs, const struct ntc_digest *digest);

/* Move it to quarantine (or, that being full, unlink it); OK also if there is none. */
enum ntc_status ntc_blob_quarantine(struct ntc_blobs *blobs, const struct ntc_digest *digest);

/* Make what happened to names in a shard durable; costs nothing if it is. */
enum ntc_status ntc_blob_sync_shard(struct ntc_blobs *blobs, unsigned shard);
/* In the place of that for every shard: everything that has happened so far was synced. */
void ntc_blobs_synced(struct ntc_blobs *blobs);

/* Whether the disk takes a file: write one, sync it, take it back. 0 or a negative errno. */
int ntc_blobs_try(struct ntc_blobs *blobs);

/* --- start-up ----------------------------------------------------------------------------- */

/* Unlink everything in tmp. */
enum ntc_status ntc_blobs_sweep(struct ntc_blobs *blobs, uint64_t *swept);

/* The same in quarantine; the writer's too. */
enum ntc_status ntc_blobs_sweep_quarantine(struct ntc_blobs *blobs, uint64_t *swept);

/* Call `each` with every digest that has a file in the shard; *strangers counts other names met. */
enum ntc_status ntc_blobs_each(struct ntc_blobs *blobs, unsigned shard,
			       enum ntc_status (*each)(void *ctx, const struct ntc_digest *digest), void *ctx,
			       uint64_t *strangers);

#endif
