/*
 * The index: a row per entry and a few named values, in SQLite (the only place that knows it). It is
 * derived data: everything but hits and recency can be rebuilt from the blobs.
 *
 * While the index cannot be opened there is none: every call on a NULL index but close fails IO.
 *
 * One struct is one connection, used by one thread at a time: the writer's may change the index, a
 * loader's only reads. SQLite's codes become BAD_STORE (damaged), NO_MEMORY, or what
 * the errno behind them becomes (status.h).
 */
#ifndef NTC_STORE_INDEX_H
#define NTC_STORE_INDEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/message.h"
#include "store/buffer.h"

#define NTC_INDEX_NAME "index.sqlite3"
#define NTC_INDEX_APPLICATION 0x4e544331    /* "NTC1" */
#define NTC_INDEX_VERSION 2

struct ntc_index;

/*
 * Open the index in the directory `dir`, made if it does not exist, for the writer; an older version's is
 * migrated (schema.h). NEWER_STORE if a newer version wrote it; BAD_STORE if it is damaged or not ours.
 */
enum ntc_status ntc_index_open(const char *dir, struct ntc_index **index, struct ntc_reason *reason);

/* Another connection to an index that is open already, for reading. */
enum ntc_status ntc_index_open_reader(const char *dir, struct ntc_index **index, struct ntc_reason *reason);

/* A new index under another name, without a journal: of no worth before it is closed and synced. */
enum ntc_status ntc_index_make(const char *dir, const char *name, struct ntc_index **index, struct ntc_reason *reason);

/* Close; `clean` notes that the next open need not look for damage. Accepts NULL. */
void ntc_index_close(struct ntc_index *index, bool clean);

/* Whether it was closed clean before it was opened, and nothing was changed since. */
bool ntc_index_clean(const struct ntc_index *index);

/*
 * Look closely at an index that was not: BAD_STORE if it is damaged, IO and others if it could not be read. Reads all
 * of it. CANCELLED if `stop` (any thread's) was set meanwhile, which breaks it off soon.
 */
enum ntc_status ntc_index_check(struct ntc_index *index, atomic_bool *stop, struct ntc_reason *reason);

/* Whether the file system was read-only when it was opened: nothing can be changed until it is opened again. */
bool ntc_index_read_only(const struct ntc_index *index);
/* Open it again, for changes. Otherwise (DISK_READ_ONLY ...) it is as it was. */
enum ntc_status ntc_index_reopen(struct ntc_index *index);

/* What an SQLite code means to us. */
enum ntc_status ntc_index_status(int rc);

/* SQLite's words for the last failure. Borrowed until the next call. */
const char *ntc_index_error(const struct ntc_index *index);

/* --- reading ------------------------------------------------------------------------------ */

/*
 * NOT_FOUND if there is none. An image that is in the index is given as *image (one reference, not verified), NULL
 * for one in a file. NULL for `image`: the row alone.
 */
enum ntc_status ntc_index_find(struct ntc_index *index, const struct ntc_digest *digest, struct ntc_row *row,
			       struct ntc_buffer **image);

/* Up to `limit` rows in order of digests behind `after`, of one kind or (0) all; *more if there are others. */
enum ntc_status ntc_index_list(struct ntc_index *index, const struct ntc_digest *after, unsigned kind,
			       struct ntc_row *rows, size_t limit, size_t *count, bool *more);

/* Up to `limit` rows that are not pinned and that `may_go` (NULL: all), least value first. */
enum ntc_status ntc_index_cheapest(struct ntc_index *index, bool (*may_go)(const void *ctx, const struct ntc_row *row),
				   const void *ctx, struct ntc_row *rows, size_t limit, size_t *count);

/* Stops what calls it if it does not return OK. */
typedef enum ntc_status ntc_index_row_fn(void *ctx, const struct ntc_row *row);

/* The rows of the shards (first bytes of digests) `from` to `to` in order of digests, but of each only digest, kind, size,
 * cost, `used`, `image`, value and whether it is pinned. BAD_STORE if a row is
 * not one that we would write, as far as that shows. */
enum ntc_status ntc_index_scan(struct ntc_index *index, unsigned from, unsigned to, ntc_index_row_fn *each, void *ctx);

/* Every row that we would write, whole; others are passed over. */
enum ntc_status ntc_index_each(struct ntc_index *index, ntc_index_row_fn *each, void *ctx);

/* The digests of a shard (their first byte) in order; stops as above. */
enum ntc_status ntc_index_shard(struct ntc_index *index, unsigned shard,
				enum ntc_status (*each)(void *ctx, const struct ntc_digest *digest, bool in_index), void *ctx);

/* The value of that name: its bytes, to be freed (NULL if there is none). */
enum ntc_status ntc_index_get(struct ntc_index *index, const char *name, void **p, size_t *len);

/* --- changing (the writer's connection, between begin and commit) ------------------------- */

/*
 * Whether commits survive a power cut from now on, as they do at first. Those that do not survive the end of the
 * process, and a power cut once the file system has been synced; they are never half there.
 */
enum ntc_status ntc_index_durable(struct ntc_index *index, bool durable);
enum ntc_status ntc_index_begin(struct ntc_index *index);
/* OK: it is there (see above). Otherwise nothing of it is. */
enum ntc_status ntc_index_commit(struct ntc_index *index);
/* Copy the journal into the database as far as nobody reads it, so that it need not grow. Not in a transaction. */
enum ntc_status ntc_index_checkpoint(struct ntc_index *index);
/* Does nothing if no transaction is open. */
void ntc_index_rollback(struct ntc_index *index);

/*
 * Insert or replace a row, and with it the image if it is to be in the index (NULL: it is in a file). row->image and
 * its flag are set.
 */
enum ntc_status ntc_index_put(struct ntc_index *index, struct ntc_row *row, const struct ntc_buffer *image);
/* The row and the image if that is in the index; OK also if there was none. */
enum ntc_status ntc_index_remove(struct ntc_index *index, const struct ntc_digest *digest);
/* What uses change in a row (hits, used, used_age, weight, value), if it is there. */
enum ntc_status ntc_index_touch(struct ntc_index *index, const struct ntc_row *row);
/* NTC_ROW_PINNED or not, if it is there. */
enum ntc_status ntc_index_pin(struct ntc_index *index, const struct ntc_digest *digest, bool pinned);
enum ntc_status ntc_index_set(struct ntc_index *index, const char *name, const void *p, size_t len);
enum ntc_status ntc_index_unset(struct ntc_index *index, const char *name);

#endif
