/*
 * The cache directory: everything that outlives the daemon (docs/store.md).
 *
 *     DIR/lock                  held (flock) by the one daemon that owns DIR
 *     DIR/index.sqlite3         WAL; a row per entry, small images, counters, schema version
 *     DIR/default/ab/ab12...    one file per larger image of the domain "default", named by its key's digest
 *     DIR/default/tmp/          images being written; swept at start
 *     DIR/default/quarantine/   images that failed their checksum
 *
 * Threads. The *owner* (the daemon's event loop) makes every call below; none of them waits for a
 * disk. A *writer* thread alone changes the directory and the index, in order of submission, in groups
 * with one commit each. *Loader* threads read and verify images. Their results come back as messages:
 * ntc_store_event_fd() becomes readable and ntc_store_dispatch() runs the callbacks on the owner.
 *
 * The owner keeps, in memory, a table of every entry (digest, size, recency) and the images on their way
 * to the disk: those are visible already. Every compare is of whole keys; a digest alone only finds.
 *
 * Errors are enum ntc_status. Views are borrowed for the call unless said otherwise.
 */
#ifndef NTC_STORE_STORE_H
#define NTC_STORE_STORE_H

#include <sys/types.h>

#include "proto/digest.h"
#include "proto/entry.h"
#include "proto/message.h"
#include "proto/status.h"
#include "store/buffer.h"

struct ntc_store;

enum ntc_log_level { NTC_LOG_ERROR = 3, NTC_LOG_WARNING = 4, NTC_LOG_NOTICE = 5, NTC_LOG_INFO = 6, NTC_LOG_DEBUG = 7 };

struct ntc_store_options {
	const char *dir;                /* made (0700, or 0750 if group_readable) if it does not exist */
	uint64_t max_bytes;             /* of images; those of least value go when it is passed (docs/eviction.md); 0 = no cap */
	uint64_t max_entries;           /* the same for the number of entries */
	uint64_t max_age_ns;            /* entries go that were not used for so long, by the age clock (age.h); 0 = never */
	uint64_t max_queued_bytes;      /* of images not yet on disk; more are refused with BUSY */
	uint64_t inline_max;            /* images up to so many bytes live in the index; 0 = none */
	uint64_t group_wait_ns;         /* how long the writer may collect a group after its first put */
	unsigned loaders;               /* loader threads */
	bool relaxed;                   /* a put counts as durable when it survives the end of the process (store.md) */
	bool allow_network;             /* the directory may be on a network file system */
	bool group_readable;            /* blob files 0640 in 0750 directories, for a machine-wide daemon */
	/* Called from any thread; `text` is one line without a newline. May be NULL. */
	void (*log)(void *ctx, enum ntc_log_level level, const char *text);
	void *log_ctx;
};

/*
 * Open or make the directory: lock it, open or make the index (a new one in the place of a damaged one), sweep temporary
 * files, fill the table, start the threads. Behind that, while calls are served, verified images without rows are
 * adopted, rows without images dropped, and an index that was not closed clean is looked at closely.
 *
 * Fails LOCKED (another daemon, named in *reason), NEWER_STORE, BAD_STORE, NO_SPACE, IO, NO_MEMORY with
 * nothing left open. Call before any other thread exists that could fork.
 */
enum ntc_status ntc_store_open(const struct ntc_store_options *options, struct ntc_store **store,
			       struct ntc_reason *reason);

/*
 * Write everything submitted, flush hits and counters, end the threads, unlock, free. Callbacks still
 * outstanding are run (with their real outcome) before it returns. Accepts NULL. This one may wait.
 */
void ntc_store_close(struct ntc_store *store);

/* Readable when ntc_store_dispatch() has something to do. Owned by the store. */
int ntc_store_event_fd(const struct ntc_store *store);

/* Run the callbacks of finished work on the calling (owner) thread. */
void ntc_store_dispatch(struct ntc_store *store);

/* The domain's blob directory, O_PATH, for handing to clients; images are at "ab/ab12..." below it.
 * Owned by the store. */
int ntc_store_blob_dir(const struct ntc_store *store);

/* --- loading ------------------------------------------------------------------------------ */

/* What a load found. Everything is borrowed for the callback; take a reference or dup to keep. */
struct ntc_loaded {
	struct ntc_buffer *image;       /* verified: body, checksum and key */
	int fd;                         /* the blob file open for reading, or -1 (in the index, or not on disk yet) */
	struct ntc_row row;
};

/*
 * `st` OK: *loaded is set. NOT_FOUND: nothing there, or something that had to be quarantined.
 * COLLISION: another key holds the digest. BUSY, NO_FILES, NO_MEMORY, IO: the disk could not be asked; a
 * miss for the caller, but nothing is known to be wrong with the entry.
 */
typedef void ntc_load_fn(void *ctx, enum ntc_status st, const struct ntc_loaded *loaded);

/*
 * Find the entry of `key` and verify it. `fn` is called exactly once: at once (before this returns) where
 * the table has nothing under the digest or the image is still in memory, else from dispatch. A hit is not counted: see ntc_store_hit().
 */
void ntc_store_load(struct ntc_store *store, struct ntc_view key, ntc_load_fn *fn, void *ctx);

/* The same, by digest: whatever key holds it. */
void ntc_store_load_digest(struct ntc_store *store, const struct ntc_digest *digest, ntc_load_fn *fn,
			   void *ctx);

/* --- putting ------------------------------------------------------------------------------ */

/*
 * OK with *result: visible from now on (NEW), or there already (KNOWN, DIFFERS). COLLISION, BUSY, IO, NO_SPACE,
 * NO_FILES, QUOTA, DISK_READ_ONLY, NO_MEMORY: not taken.
 */
typedef void ntc_put_fn(void *ctx, enum ntc_status st, enum ntc_stored result);

/* OK: the image survives a power cut (relaxed: the end of the process). Otherwise it could not be written and is gone again. */
typedef void ntc_durable_fn(void *ctx, enum ntc_status st);

/*
 * Put an image (parsed and verified by the caller, stamped; a reference is taken). `decided` is called
 * exactly once, at once or from dispatch; `durable` exactly once after `decided` said NEW, never otherwise. A put
 * of a key that is being removed is ordered behind the removal.
 */
void ntc_store_put(struct ntc_store *store, struct ntc_buffer *image, ntc_put_fn *decided,
		   ntc_durable_fn *durable, void *ctx);

/* --- removing ----------------------------------------------------------------------------- */

/*
 * OK with the number removed (0 or 1): gone from disk for good, and from every look-up. Otherwise (IO, BUSY,
 * NO_MEMORY ...) it is not known to be gone.
 */
typedef void ntc_remove_fn(void *ctx, enum ntc_status st, uint64_t removed);

/* Remove the entry of `key` (another key's entry under the same digest stays), or whatever entry has the
 * digest. `fn` is called exactly once, at once or from dispatch, behind everything submitted before. */
void ntc_store_remove(struct ntc_store *store, struct ntc_view key, ntc_remove_fn *fn, void *ctx);
void ntc_store_remove_digest(struct ntc_store *store, const struct ntc_digest *digest, ntc_remove_fn *fn,
			     void *ctx);

/* A client says that this entry's file looks bad: verify it, and set it aside if it is. */
void ntc_store_suspect(struct ntc_store *store, const struct ntc_digest *digest);

/*
 * Look at what the disk has of an entry. OK: good, `size` bytes were read; BAD_IMAGE: damaged, or gone from the disk, `why` says
 * how (borrowed); with `repair` it is set aside and a miss from now on. NOT_FOUND: no such entry, or it went meanwhile. BUSY,
 * NO_FILES, NO_MEMORY, IO: it could not be read. What is not on disk yet is good. `fn` is called exactly once, at once or from
 * dispatch.
 */
typedef void ntc_verify_fn(void *ctx, enum ntc_status st, uint64_t size, const char *why);
void ntc_store_verify(struct ntc_store *store, const struct ntc_digest *digest, bool repair, ntc_verify_fn *fn,
		      void *ctx);

/* --- pinning ------------------------------------------------------------------------------ */

enum ntc_pin {
	NTC_PIN_USE,            /* stays until ntc_store_unpin(), or until the store is closed; each takes back one */
	NTC_PIN_KEEP,           /* stays: its row says so, also after a restart */
	NTC_PIN_LET,            /* takes KEEP back */
};

/*
 * OK: from now on the entry is not evicted, nor removed for its age (LET: it may be). NOT_FOUND: there is none; LET: it
 * was not kept. Otherwise (BUSY, IO, NO_SPACE, NO_MEMORY) nothing has changed.
 */
typedef void ntc_pin_fn(void *ctx, enum ntc_status st);

/*
 * Pin the entry of `key`, or where that is empty whatever entry has the digest. `fn` is called exactly once, at once
 * or from dispatch, behind everything submitted before. Who removes an entry removes a pinned one, too.
 */
void ntc_store_pin(struct ntc_store *store, const struct ntc_digest *digest, struct ntc_view key, enum ntc_pin what,
		   ntc_pin_fn *fn, void *ctx);

/* Take back `count` USE pins that were answered OK. `digests` is taken, to be freed; false: it is not, for want of
 * memory. */
bool ntc_store_unpin(struct ntc_store *store, struct ntc_digest *digests, size_t count);

/* --- making room -------------------------------------------------------------------------- */

/* Bounds to be kept once; UINT64_MAX = none. */
struct ntc_collect {
	uint64_t max_bytes, max_entries;
	uint64_t max_age_ns;            /* since the last use */
	bool quarantine;                /* remove the files that were set aside */
};

struct ntc_collected {
	uint64_t entries, bytes;        /* that went, and bytes of their images */
	uint64_t files;                 /* that had been set aside */
};

/*
 * Evict what is worth least until the cache keeps the bounds, or nothing that may go is left. OK with *result (borrowed); BUSY: another
 * one is under way; IO, NO_MEMORY: it stopped there. `fn` is called exactly once, at once or from dispatch.
 */
typedef void ntc_collect_fn(void *ctx, enum ntc_status st, const struct ntc_collected *result);
void ntc_store_collect(struct ntc_store *store, const struct ntc_collect *bounds, ntc_collect_fn *fn, void *ctx);

/* --- bookkeeping -------------------------------------------------------------------------- */

/*
 * Note `count` uses of an entry: in memory now, on disk with the next batch (about once a second).
 * Returns what making it cost, in ns, or 0 if there is no such entry (then nothing is noted).
 */
uint64_t ntc_store_hit(struct ntc_store *store, const struct ntc_digest *digest, uint64_t count);

/* The kind of an entry, or 0 if there is no such entry. */
unsigned ntc_store_kind(const struct ntc_store *store, const struct ntc_digest *digest);

/* Rows in order of digests behind `after`; borrowed for the callback. What is not on disk yet is left out. */
typedef void ntc_list_fn(void *ctx, enum ntc_status st, const struct ntc_row *rows, size_t count, bool more);
void ntc_store_list(struct ntc_store *store, const struct ntc_digest *after, unsigned kind, size_t limit,
		    ntc_list_fn *fn, void *ctx);

/* What the store counts since it was made (persisted) or since it was opened. */
struct ntc_store_stats {
	uint64_t entries, bytes;                    /* now */
	uint64_t entries_by_kind[NTC_KIND_TUNING + 1], bytes_by_kind[NTC_KIND_TUNING + 1];
	uint64_t queued_bytes;                      /* now, on their way to the disk */
	uint64_t groups, puts_durable, puts_lost;   /* since opened */
	uint64_t group_wait_max_ns;                 /* since opened: longest from put to durable */
	enum ntc_status disk;                       /* OK, or why puts are refused, now */
	int disk_errno;                             /* behind that; 0 if there is none */
	uint64_t disk_since_wall_ns;                /* when it became so; 0: it was never otherwise since opened */
	uint64_t expired, expired_bytes;            /* since opened: gone for their age */
	uint64_t pinned, pinned_bytes;              /* now: kept (NTC_PIN_KEEP) */
	uint64_t pins;                              /* now: in use (NTC_PIN_USE) */
	bool full_of_pins;                          /* now: over a cap, and nothing is left that may go */
	uint64_t evicted, evicted_bytes, quarantined, adopted, dropped_rows, swept; /* since opened */
	uint64_t rebuilds;                          /* since opened: of an index found damaged while it was open */
	bool recovering;                            /* now: files and rows may still differ, or damage be found */
};
void ntc_store_stats(const struct ntc_store *store, struct ntc_store_stats *stats);

/*
 * The daemon's own counters, kept across restarts as one field list (proto/key.h, kind 0). The saved
 * view is what was there at open, valid until close; empty for a new directory. Saving copies the bytes
 * and writes them with the next group.
 */
struct ntc_view ntc_store_saved_counters(const struct ntc_store *store);
void ntc_store_save_counters(struct ntc_store *store, struct ntc_view counters);

#endif
