/*
 * The index; see index.h. WAL, so that loaders read while the writer writes; synchronous FULL, so that a
 * commit survives a power cut (NORMAL where that is not asked for). 64-bit numbers are stored in SQLite's signed integers, bit for bit.
 */
#include "store/index.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/entry.h"
#include "proto/key.h"
#include "store/evict.h"
#include "store/image.h"
#include "store/schema.h"
#include "store/vfs.h"

#define COLUMNS "digest, kind, uid, size, put_wall_ns, cost_ns, hits, used, parts, key_len, pinned, image, weight, " \
	"value, used_age, producer, name"

enum statement {
	BEGIN, COMMIT, ROLLBACK, FIND, FIND_IMAGE, LIST, CHEAPEST, EACH, SCAN, SHARD, GET, PUT, PUT_IMAGE, REMOVE, REMOVE_IMAGE,
	TOUCH,
	PIN, SET, FORGET,
	STATEMENTS,
};

static const char *const sql[STATEMENTS] = {
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[FIND] = "SELECT " COLUMNS " FROM entry WHERE digest = ?1",
	/* One statement, so that nobody changes anything between row and image. */
	[FIND_IMAGE] = "SELECT " COLUMNS ", bytes FROM entry LEFT JOIN image ON image.id = entry.image WHERE digest = ?1",
	[LIST] = "SELECT " COLUMNS " FROM entry WHERE digest > ?1 AND (?2 = 0 OR kind = ?2) ORDER BY digest LIMIT ?3",
	[CHEAPEST] = "SELECT " COLUMNS " FROM entry WHERE pinned = 0 ORDER BY value",
	[EACH] = "SELECT " COLUMNS " FROM entry",
	[SCAN] = "SELECT digest, kind, size, cost_ns, used, image, value, pinned FROM entry WHERE digest >= ?1 "
		 "AND digest <= ?2 ORDER BY digest",
	[SHARD] = "SELECT digest, image FROM entry WHERE digest >= ?1 AND digest <= ?2 ORDER BY digest",
	[GET] = "SELECT bytes FROM value WHERE name = ?1",
	[PUT] = "INSERT OR REPLACE INTO entry (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, "
		"?12, ?13, ?14, ?15, ?16, ?17)",
	[PUT_IMAGE] = "INSERT INTO image (bytes) VALUES (?1)",
	[REMOVE] = "DELETE FROM entry WHERE digest = ?1",
	[REMOVE_IMAGE] = "DELETE FROM image WHERE id = (SELECT image FROM entry WHERE digest = ?1)",
	[TOUCH] = "UPDATE entry SET hits = ?2, used = ?3, used_age = ?4, weight = ?5, value = ?6 WHERE digest = ?1",
	[PIN] = "UPDATE entry SET pinned = ?2 WHERE digest = ?1",
	[SET] = "INSERT OR REPLACE INTO value (name, bytes) VALUES (?1, ?2)",
	[FORGET] = "DELETE FROM value WHERE name = ?1",
};

struct ntc_index {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];   /* prepared when first used */
	bool reader;
	bool relaxed;   /* commits may not survive a power cut */
	bool clean;     /* it says that it was closed well, which the first change takes back */
};

enum ntc_status ntc_index_status(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return NTC_ST_OK;
	case SQLITE_FULL:
		return ntc_vfs_errno() == EDQUOT ? NTC_ST_QUOTA : NTC_ST_NO_SPACE;
	case SQLITE_READONLY:
		return NTC_ST_DISK_READ_ONLY;
	case SQLITE_NOMEM:
		return NTC_ST_NO_MEMORY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR: /* every statement here is right for our schema, so the schema is not ours */
	case SQLITE_MISMATCH:
	case SQLITE_FORMAT:
		return NTC_ST_BAD_STORE;
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN:
		return ntc_status_from_errno(ntc_vfs_errno());
	default:
		return NTC_ST_IO;
	}
}

const char *ntc_index_error(const struct ntc_index *index)
{
	if (!index)
		return "there is none";
	return index->db ? sqlite3_errmsg(index->db) : "out of memory";
}

/* The statement, ready for binding; NULL with *st. */
static sqlite3_stmt *prepare(struct ntc_index *index, enum statement which, enum ntc_status *st)
{
	sqlite3_stmt **stmt;

	/* There is none while it could not be opened: see index.h. */
	*st = NTC_ST_IO;
	if (!index)
		return NULL;
	stmt = &index->statements[which];
	*st = NTC_ST_OK;
	if (!*stmt)
		*st = ntc_index_status(sqlite3_prepare_v3(index->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, stmt, NULL));
	return *st ? NULL : *stmt;
}

/* End the use of a statement that was stepped with `rc`. */
static enum ntc_status finish(sqlite3_stmt *stmt, int rc)
{
	/* Reset repeats the error of the step; bindings point to what the caller owns. */
	(void)sqlite3_reset(stmt);
	(void)sqlite3_clear_bindings(stmt);
	return ntc_index_status(rc);
}

static int bind_digest(sqlite3_stmt *stmt, int at, const struct ntc_digest *digest)
{
	return sqlite3_bind_blob(stmt, at, digest->bytes, sizeof(digest->bytes), SQLITE_STATIC);
}

static int bind_number(sqlite3_stmt *stmt, int at, uint64_t v)
{
	return sqlite3_bind_int64(stmt, at, (sqlite3_int64)v);
}

static uint64_t number(sqlite3_stmt *stmt, int column)
{
	return (uint64_t)sqlite3_column_int64(stmt, column);
}

/* A text of at most NTC_ROW_TEXT - 1 printable characters. */
static bool read_text(sqlite3_stmt *stmt, int column, char out[NTC_ROW_TEXT])
{
	const unsigned char *text = sqlite3_column_text(stmt, column);
	int len = sqlite3_column_bytes(stmt, column);

	if (!text || len < 0 || len >= (int)NTC_ROW_TEXT)
		return false;
	for (int i = 0; i < len; i++) {
		if (text[i] < 0x20 || text[i] >= 0x7f)
			return false;
		out[i] = (char)text[i];
	}
	return true;
}

static bool read_digest(sqlite3_stmt *stmt, struct ntc_digest *digest)
{
	const void *bytes = sqlite3_column_blob(stmt, 0);

	if (!bytes || sqlite3_column_bytes(stmt, 0) != sizeof(digest->bytes))
		return false;
	memcpy(digest->bytes, bytes, sizeof(digest->bytes));
	return true;
}

/* Whether a row of ours can have this kind, and what is in `row`. */
static bool is_ours(uint32_t kind, const struct ntc_row *row)
{
	return ntc_kind_known(kind) && row->size >= NTC_IMAGE_MIN && row->size <= NTC_IMAGE_MAX &&
	       ntc_evict_plausible(row->weight, row->value);
}

/* Whatever the file holds, only rows that we would write come out of here. */
static enum ntc_status read_row(sqlite3_stmt *stmt, struct ntc_row *row)
{
	*row = (struct ntc_row){
		.size = number(stmt, 3),
		.weight = sqlite3_column_double(stmt, 12),
		.value = sqlite3_column_double(stmt, 13),
	};
	if (!read_digest(stmt, &row->digest) || number(stmt, 1) > UINT32_MAX ||
	    !is_ours((uint32_t)number(stmt, 1), row) || number(stmt, 2) > UINT32_MAX || number(stmt, 10) > 1)
		return NTC_ST_BAD_STORE;
	row->kind = (uint32_t)number(stmt, 1);
	row->uid = (uint32_t)number(stmt, 2);
	row->put_wall_ns = number(stmt, 4);
	row->cost_ns = number(stmt, 5);
	row->hits = number(stmt, 6);
	row->used = number(stmt, 7);
	row->parts = number(stmt, 8);
	row->key_len = number(stmt, 9);
	row->image = number(stmt, 11);
	row->used_age = number(stmt, 14);
	row->flags = (number(stmt, 10) ? NTC_ROW_PINNED : 0) | (row->image ? NTC_ROW_INDEX : 0);
	if (!read_text(stmt, 15, row->producer) || !read_text(stmt, 16, row->name))
		return NTC_ST_BAD_STORE;
	return NTC_ST_OK;
}

/* --- opening ------------------------------------------------------------------------------ */

static int first_number(void *ctx, int columns, char **values, char **names)
{
	(void)names;
	if (columns == 1 && values[0])
		*(long long *)ctx = strtoll(values[0], NULL, 10);
	return 0;
}

static int ask(sqlite3 *db, const char *question, long long *answer)
{
	*answer = -1;
	return sqlite3_exec(db, question, first_number, answer, NULL);
}

static int first_is_ok(void *ctx, int columns, char **values, char **names)
{
	(void)names;
	*(bool *)ctx = columns == 1 && values[0] && strcmp(values[0], "ok") == 0;
	return 0;
}

static enum ntc_status refuse(struct ntc_index *index, int rc, struct ntc_reason *reason)
{
	/* "disk I/O error" alone would leave open whether the disk is full or broken. */
	if ((rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN)
		return ntc_reject(reason, ntc_index_status(rc), "the index: %s: %s", ntc_index_error(index),
				  strerror(ntc_vfs_errno()));
	return ntc_reject(reason, ntc_index_status(rc), "the index: %s", ntc_index_error(index));
}

/* Whose file is it, and which version's? An empty one becomes ours. */
static enum ntc_status own(struct ntc_index *index, const char *dir, struct ntc_reason *reason)
{
	long long application, version, tables;
	bool ours;
	int rc = ask(index->db, "PRAGMA application_id", &application);

	if (rc == SQLITE_OK)
		rc = ask(index->db, "PRAGMA user_version", &version);
	if (rc == SQLITE_OK)
		rc = ask(index->db, "SELECT count(*) FROM sqlite_schema", &tables);
	if (rc != SQLITE_OK)
		return refuse(index, rc, reason);
	/* Not for want of rights: the file is open for writing. Its header says so. */
	if (sqlite3_db_readonly(index->db, "main") == 1 && !ntc_vfs_opened_read_only(index->db))
		return ntc_reject(reason, NTC_ST_BAD_STORE, "the index is in a format that cannot be written");
	if (application == 0 && version == 0 && tables == 0) {
		rc = ntc_schema_make(index->db);
		return rc == SQLITE_OK ? NTC_ST_OK : refuse(index, rc, reason);
	}
	if (application != NTC_INDEX_APPLICATION)
		return ntc_reject(reason, NTC_ST_BAD_STORE, "the index is another program's");
	if (version < NTC_INDEX_VERSION)
		return ntc_schema_migrate(index->db, dir, version, reason);
	/* A newer version has other tables: that is its reason to be one. */
	rc = ntc_schema_compare(index->db, &ours);
	if (rc != SQLITE_OK)
		return refuse(index, rc, reason);
	if (ours != (version == NTC_INDEX_VERSION))
		return ntc_reject(reason, NTC_ST_BAD_STORE, "the index says that it has version %lld; its tables do not",
				  version);
	if (!ours)
		return ntc_reject(reason, NTC_ST_NEWER_STORE,
				  "the index has version %lld; this daemon knows up to %d: use a newer one, or another directory",
				  version, NTC_INDEX_VERSION);
	return NTC_ST_OK;
}

/* SQLite's look at structure: of all, or of one table. */
static enum ntc_status look(struct ntc_index *index, const char *pragma, struct ntc_reason *reason)
{
	bool whole = false;
	int rc;

	ntc_vfs_clear_errno();
	rc = sqlite3_exec(index->db, pragma, first_is_ok, &whole, NULL);
	if (rc != SQLITE_OK)
		return refuse(index, rc, reason);
	/* A page that could not be read is damage to the check; the disk may only be sick. */
	if (!whole && ntc_vfs_errno())
		return ntc_reject(reason, ntc_status_from_errno(ntc_vfs_errno()), "the index cannot be read: %s",
				  strerror(ntc_vfs_errno()));
	return whole ? NTC_ST_OK : ntc_reject(reason, NTC_ST_BAD_STORE, "the index is damaged");
}

/*
 * After a clean end nothing can be wrong that the reading of all rows does not meet, but for where "clean" itself
 * is: it could not be taken back, and no change would ever go through.
 */
static enum ntc_status examine(struct ntc_index *index, struct ntc_reason *reason)
{
	void *clean = NULL;
	size_t len = 0;
	enum ntc_status st = ntc_index_get(index, "clean", &clean, &len);

	index->clean = clean != NULL;
	free(clean);
	if (st)
		return ntc_reject(reason, st, "the index: %s", ntc_index_error(index));
	return look(index, "PRAGMA quick_check(value)", reason);
}

bool ntc_index_clean(const struct ntc_index *index)
{
	return index->clean;
}

static int wanted(void *stop)
{
	return atomic_load((atomic_bool *)stop);
}

enum ntc_status ntc_index_check(struct ntc_index *index, atomic_bool *stop, struct ntc_reason *reason)
{
	enum ntc_status st;

	sqlite3_progress_handler(index->db, 1000, wanted, stop);
	st = look(index, "PRAGMA quick_check(1)", reason);
	sqlite3_progress_handler(index->db, 0, NULL, NULL);
	/* What was broken off says nothing. */
	return atomic_load(stop) ? ntc_reject(reason, NTC_ST_CANCELLED, "broken off") : st;
}

/* The connection of a new struct to the database at `path`. */
static int connect_path(struct ntc_index *index, const char *path)
{
	int flags = SQLITE_OPEN_NOMUTEX |
		    (index->reader ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
	int rc = sqlite3_open_v2(path, &index->db, flags, ntc_vfs_name());

	if (rc == SQLITE_OK)
		/* Nobody else writes: the only wait is for a person's sqlite3 shell. */
		rc = sqlite3_busy_timeout(index->db, 5000);
	if (rc == SQLITE_OK)
		/* The file may be damaged or made by somebody else: no functions or triggers of its own. */
		rc = sqlite3_exec(index->db, "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
				  "PRAGMA temp_store = MEMORY", NULL, NULL, NULL);
	return rc;
}

static int configure(struct ntc_index *index)
{
	return sqlite3_exec(index->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;"
			    "PRAGMA journal_size_limit = 67108864", NULL, NULL, NULL);
}

static enum ntc_status connect_to(const char *dir, const char *name, bool reader, struct ntc_index **out,
				  struct ntc_reason *reason)
{
	struct ntc_index *index = calloc(1, sizeof(*index));
	char path[PATH_MAX];
	int rc;

	*out = NULL;
	if (!index)
		return ntc_reject(reason, NTC_ST_NO_MEMORY, "out of memory");
	index->reader = reader;
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) >= sizeof(path)) {
		free(index);
		return ntc_reject(reason, NTC_ST_IO, "the name of the cache directory is too long");
	}
	rc = connect_path(index, path);
	if (rc != SQLITE_OK) {
		enum ntc_status st = refuse(index, rc, reason);

		ntc_index_close(index, false);
		return st;
	}
	*out = index;
	return NTC_ST_OK;
}

enum ntc_status ntc_index_open(const char *dir, struct ntc_index **out, struct ntc_reason *reason)
{
	struct ntc_index *index;
	enum ntc_status st = connect_to(dir, NTC_INDEX_NAME, false, &index, reason);
	int rc;

	*out = NULL;
	if (st)
		return st;
	/* What it is comes before any change to it: a newer version's index is left as it was. */
	st = own(index, dir, reason);
	if (!st) {
		rc = configure(index);
		if (rc != SQLITE_OK)
			st = refuse(index, rc, reason);
	}
	if (!st)
		st = examine(index, reason);
	if (st) {
		ntc_index_close(index, false);
		return st;
	}
	*out = index;
	return NTC_ST_OK;
}

enum ntc_status ntc_index_open_reader(const char *dir, struct ntc_index **out, struct ntc_reason *reason)
{
	return connect_to(dir, NTC_INDEX_NAME, true, out, reason);
}

enum ntc_status ntc_index_make(const char *dir, const char *name, struct ntc_index **out, struct ntc_reason *reason)
{
	enum ntc_status st = connect_to(dir, name, false, out, reason);
	int rc;

	if (st)
		return st;
	rc = sqlite3_exec((*out)->db, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = ntc_schema_make((*out)->db);
	if (rc == SQLITE_OK)
		return NTC_ST_OK;
	st = refuse(*out, rc, reason);
	ntc_index_close(*out, false);
	*out = NULL;
	return st;
}

enum ntc_status ntc_index_unset(struct ntc_index *index, const char *name)
{
	enum ntc_status st;
	sqlite3_stmt *stmt = prepare(index, FORGET, &st);
	int rc;

	if (!stmt)
		return st;
	rc = sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
	return finish(stmt, rc == SQLITE_OK ? sqlite3_step(stmt) : rc);
}

bool ntc_index_read_only(const struct ntc_index *index)
{
	/* What SQLite thinks of this connection, which does not change when the file system does. */
	return !index->reader && sqlite3_db_readonly(index->db, "main") == 1;
}

static void disconnect(struct ntc_index *index)
{
	for (int i = 0; i < STATEMENTS; i++)
		(void)sqlite3_finalize(index->statements[i]); /* repeats an error told before */
	memset(index->statements, 0, sizeof(index->statements));
	(void)sqlite3_close(index->db); /* cannot be busy: everything is finalized */
	index->db = NULL;
}

enum ntc_status ntc_index_reopen(struct ntc_index *index)
{
	struct ntc_index fresh = { .clean = index->clean };
	int rc = connect_path(&fresh, sqlite3_db_filename(index->db, "main"));
	enum ntc_status st = NTC_ST_DISK_READ_ONLY;

	if (rc == SQLITE_OK && !ntc_index_read_only(&fresh))
		rc = configure(&fresh);
	if (rc != SQLITE_OK)
		st = ntc_index_status(rc);
	if (rc != SQLITE_OK || ntc_index_read_only(&fresh)) {
		disconnect(&fresh);
		return st;
	}
	disconnect(index);
	*index = fresh;
	return NTC_ST_OK;
}

void ntc_index_close(struct ntc_index *index, bool clean)
{
	if (!index)
		return;
	if (index->db && !index->reader && clean != index->clean && !ntc_index_read_only(index)) {
		/* Only saves the next open some work, so a failure costs only that. */
		(void)(clean ? ntc_index_set(index, "clean", "1", 1) : ntc_index_unset(index, "clean"));
		(void)sqlite3_wal_checkpoint_v2(index->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	}
	disconnect(index);
	free(index);
}

/* --- reading ------------------------------------------------------------------------------ */

/* A copy of the column behind the row's. */
static enum ntc_status read_image(sqlite3_stmt *stmt, struct ntc_buffer **image)
{
	const void *bytes = sqlite3_column_blob(stmt, 17);
	int len = sqlite3_column_bytes(stmt, 17);

	if (!bytes)
		/* The row says that there is one. */
		return sqlite3_errcode(sqlite3_db_handle(stmt)) == SQLITE_NOMEM ? NTC_ST_NO_MEMORY : NTC_ST_BAD_STORE;
	*image = ntc_buffer_new((size_t)len);
	if (!*image)
		return NTC_ST_NO_MEMORY;
	memcpy((*image)->bytes, bytes, (size_t)len);
	return NTC_ST_OK;
}

enum ntc_status ntc_index_find(struct ntc_index *index, const struct ntc_digest *digest, struct ntc_row *row,
			       struct ntc_buffer **image)
{
	enum ntc_status st, bad = NTC_ST_OK;
	sqlite3_stmt *stmt = prepare(index, image ? FIND_IMAGE : FIND, &st);
	int rc;

	*row = (struct ntc_row){ 0 };
	if (image)
		*image = NULL;
	if (!stmt)
		return st;
	rc = bind_digest(stmt, 1, digest);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		bad = read_row(stmt, row);
	if (rc == SQLITE_ROW && !bad && image && row->image)
		bad = read_image(stmt, image);
	st = finish(stmt, rc);
	if (!st)
		st = bad ? bad : rc == SQLITE_ROW ? NTC_ST_OK : NTC_ST_NOT_FOUND;
	if (st)
		*row = (struct ntc_row){ 0 };
	return st;
}

/* Step through a bound statement, at most `limit` rows. */
static enum ntc_status collect(sqlite3_stmt *stmt, int rc, struct ntc_row *rows, size_t limit, size_t *count,
			       bool *more)
{
	enum ntc_status st, bad = NTC_ST_OK;

	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		rc = sqlite3_step(stmt);
		if (rc != SQLITE_ROW)
			break;
		if (*count == limit) {
			*more = true;
			break;
		}
		bad = read_row(stmt, &rows[*count]);
		if (bad)
			break;
		++*count;
	}
	st = finish(stmt, rc);
	st = st ? st : bad;
	if (st) {
		*count = 0;
		*more = false;
	}
	return st;
}

enum ntc_status ntc_index_list(struct ntc_index *index, const struct ntc_digest *after, unsigned kind,
			       struct ntc_row *rows, size_t limit, size_t *count, bool *more)
{
	enum ntc_status st;
	sqlite3_stmt *stmt = prepare(index, LIST, &st);
	int rc;

	*count = 0;
	*more = false;
	if (!stmt)
		return st;
	rc = bind_digest(stmt, 1, after);
	if (rc == SQLITE_OK)
		rc = bind_number(stmt, 2, kind);
	if (rc == SQLITE_OK)
		rc = bind_number(stmt, 3, limit + 1);
	return collect(stmt, rc, rows, limit, count, more);
}

enum ntc_status ntc_index_cheapest(struct ntc_index *index, bool (*may_go)(const void *ctx, const struct ntc_row *row),
				   const void *ctx, struct ntc_row *rows, size_t limit, size_t *count)
{
	enum ntc_status st, bad = NTC_ST_OK;
	sqlite3_stmt *stmt = prepare(index, CHEAPEST, &st);
	int rc = SQLITE_ROW;

	*count = 0;
	if (!stmt)
		return st;
	while (!bad && *count < limit && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		bad = read_row(stmt, &rows[*count]);
		*count += !bad && (!may_go || may_go(ctx, &rows[*count]));
	}
	st = finish(stmt, rc);
	st = st ? st : bad;
	if (st)
		*count = 0;
	return st;
}

/* Bind the digests of the shards `first` to `last` as the first two parameters. */
static int bind_shards(sqlite3_stmt *stmt, unsigned first, unsigned last)
{
	uint8_t from[sizeof(struct ntc_digest)] = { (uint8_t)first }, to[sizeof(struct ntc_digest)];
	int rc = sqlite3_bind_blob(stmt, 1, from, sizeof(from), SQLITE_TRANSIENT);

	memset(to, 0xff, sizeof(to));
	to[0] = (uint8_t)last;
	return rc == SQLITE_OK ? sqlite3_bind_blob(stmt, 2, to, sizeof(to), SQLITE_TRANSIENT) : rc;
}

enum ntc_status ntc_index_scan(struct ntc_index *index, unsigned from, unsigned to, ntc_index_row_fn *each, void *ctx)
{
	enum ntc_status st, stopped = NTC_ST_OK;
	sqlite3_stmt *stmt = prepare(index, SCAN, &st);
	struct ntc_row row = { .weight = 1 };
	struct ntc_digest last = { { 0 } };
	bool first = true;
	int rc = SQLITE_ROW;

	if (!stmt)
		return st;
	if (bind_shards(stmt, from, to) != SQLITE_OK)
		return finish(stmt, SQLITE_NOMEM);
	while (!stopped && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		uint64_t kind = number(stmt, 1);

		row.size = number(stmt, 2);
		row.cost_ns = number(stmt, 3);
		row.used = number(stmt, 4);
		row.image = number(stmt, 5);
		row.value = sqlite3_column_double(stmt, 6);
		row.flags = number(stmt, 7) ? NTC_ROW_PINNED : 0;
		/* Ascending: so none comes twice, whatever the file holds. */
		if (!read_digest(stmt, &row.digest) || kind > UINT32_MAX || number(stmt, 7) > 1 || !is_ours((uint32_t)kind, &row) ||
		    (!first && memcmp(row.digest.bytes, last.bytes, sizeof(last.bytes)) <= 0)) {
			stopped = NTC_ST_BAD_STORE;
			break;
		}
		row.kind = (uint32_t)kind;
		last = row.digest;
		first = false;
		stopped = each(ctx, &row);
	}
	st = finish(stmt, rc);
	return st ? st : stopped;
}

enum ntc_status ntc_index_each(struct ntc_index *index, ntc_index_row_fn *each, void *ctx)
{
	enum ntc_status st, stopped = NTC_ST_OK;
	sqlite3_stmt *stmt = prepare(index, EACH, &st);
	struct ntc_row row;
	int rc = SQLITE_ROW;

	if (!stmt)
		return st;
	while (!stopped && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		if (!read_row(stmt, &row))
			stopped = each(ctx, &row);
	}
	st = finish(stmt, rc);
	return st ? st : stopped;
}

enum ntc_status ntc_index_shard(struct ntc_index *index, unsigned shard,
				enum ntc_status (*each)(void *ctx, const struct ntc_digest *digest, bool in_index), void *ctx)
{
	enum ntc_status st, stopped = NTC_ST_OK;
	sqlite3_stmt *stmt = prepare(index, SHARD, &st);
	struct ntc_digest digest;
	int rc = SQLITE_ROW;

	if (!stmt)
		return st;
	if (bind_shards(stmt, shard, shard) != SQLITE_OK)
		return finish(stmt, SQLITE_NOMEM);
	while (!stopped && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		stopped = read_digest(stmt, &digest) ? each(ctx, &digest, number(stmt, 1) != 0) : NTC_ST_BAD_STORE;
	}
	st = finish(stmt, rc);
	return st ? st : stopped;
}

enum ntc_status ntc_index_get(struct ntc_index *index, const char *name, void **p, size_t *len)
{
	enum ntc_status st;
	sqlite3_stmt *stmt = prepare(index, GET, &st);
	int rc, size;

	*p = NULL;
	*len = 0;
	if (!stmt)
		return st;
	rc = sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		const void *bytes = sqlite3_column_blob(stmt, 0);

		size = sqlite3_column_bytes(stmt, 0);
		*p = malloc(size > 0 ? (size_t)size : 1);
		if (*p && bytes && size > 0) {
			memcpy(*p, bytes, (size_t)size);
			*len = (size_t)size;
		}
		st = *p ? NTC_ST_OK : NTC_ST_NO_MEMORY;
	}
	(void)finish(stmt, rc); /* the status of rc is taken here */
	return st ? st : ntc_index_status(rc);
}

/* --- changing ----------------------------------------------------------------------------- */

static enum ntc_status run(struct ntc_index *index, enum statement which)
{
	enum ntc_status st;
	sqlite3_stmt *stmt = prepare(index, which, &st);

	return stmt ? finish(stmt, sqlite3_step(stmt)) : st;
}

enum ntc_status ntc_index_durable(struct ntc_index *index, bool durable)
{
	enum ntc_status st;

	if (!index)
		return NTC_ST_IO;
	if (index->relaxed == !durable)
		return NTC_ST_OK;
	st = ntc_index_status(sqlite3_exec(index->db, durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
					   NULL, NULL, NULL));
	if (!st)
		index->relaxed = !durable;
	return st;
}

enum ntc_status ntc_index_checkpoint(struct ntc_index *index)
{
	return !index ? NTC_ST_IO : ntc_index_status(sqlite3_wal_checkpoint_v2(index->db, NULL, SQLITE_CHECKPOINT_PASSIVE,
										NULL, NULL));
}

enum ntc_status ntc_index_begin(struct ntc_index *index)
{
	enum ntc_status st = NTC_ST_OK;

	/* What ends a transaction is ready before it begins, or without memory it could not be ended. */
	if (!prepare(index, COMMIT, &st) || !prepare(index, ROLLBACK, &st))
		return st;
	st = run(index, BEGIN);
	/* Not at open: a start writes nothing, so that it needs no room on the disk. */
	if (!st && index->clean)
		st = ntc_index_unset(index, "clean");
	if (st)
		ntc_index_rollback(index);
	return st;
}

enum ntc_status ntc_index_commit(struct ntc_index *index)
{
	enum ntc_status st = run(index, COMMIT);

	if (st)
		ntc_index_rollback(index);
	else
		index->clean = false;
	return st;
}

void ntc_index_rollback(struct ntc_index *index)
{
	/* SQLite rolls back by itself after some errors; then there is nothing to do. */
	if (index && !sqlite3_get_autocommit(index->db))
		(void)run(index, ROLLBACK);
}

/* Run a statement on one digest. */
static enum ntc_status run_on(struct ntc_index *index, enum statement which, const struct ntc_digest *digest)
{
	enum ntc_status st;
	sqlite3_stmt *stmt = prepare(index, which, &st);
	int rc;

	if (!stmt)
		return st;
	rc = bind_digest(stmt, 1, digest);
	return finish(stmt, rc == SQLITE_OK ? sqlite3_step(stmt) : rc);
}

static enum ntc_status put_image(struct ntc_index *index, const struct ntc_buffer *image, uint64_t *id)
{
	enum ntc_status st;
	sqlite3_stmt *stmt = prepare(index, PUT_IMAGE, &st);
	int rc;

	if (!stmt)
		return st;
	rc = sqlite3_bind_blob64(stmt, 1, image->bytes, image->len, SQLITE_STATIC);
	st = finish(stmt, rc == SQLITE_OK ? sqlite3_step(stmt) : rc);
	if (!st)
		*id = (uint64_t)sqlite3_last_insert_rowid(index->db);
	return st;
}

static enum ntc_status put_row(struct ntc_index *index, const struct ntc_row *row)
{
	const uint64_t numbers[] = { row->kind, row->uid, row->size, row->put_wall_ns, row->cost_ns, row->hits, row->used,
				     row->parts, row->key_len, row->flags & NTC_ROW_PINNED ? 1 : 0, row->image };
	enum { NUMBERS = sizeof(numbers) / sizeof(numbers[0]) };
	enum ntc_status st;
	sqlite3_stmt *stmt = prepare(index, PUT, &st);
	int rc;

	if (!stmt)
		return st;
	rc = bind_digest(stmt, 1, &row->digest);
	for (int i = 0; rc == SQLITE_OK && i < NUMBERS; i++)
		rc = bind_number(stmt, 2 + i, numbers[i]);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_double(stmt, 2 + NUMBERS, row->weight);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_double(stmt, 3 + NUMBERS, row->value);
	if (rc == SQLITE_OK)
		rc = bind_number(stmt, 4 + NUMBERS, row->used_age);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(stmt, 5 + NUMBERS, row->producer, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(stmt, 6 + NUMBERS, row->name, -1, SQLITE_STATIC);
	return finish(stmt, rc == SQLITE_OK ? sqlite3_step(stmt) : rc);
}

enum ntc_status ntc_index_put(struct ntc_index *index, struct ntc_row *row, const struct ntc_buffer *image)
{
	/* A row that this replaces may have one. */
	enum ntc_status st = run_on(index, REMOVE_IMAGE, &row->digest);

	row->image = 0;
	row->flags &= ~(uint64_t)NTC_ROW_INDEX;
	if (!st && image)
		st = put_image(index, image, &row->image);
	if (!st && image)
		row->flags |= NTC_ROW_INDEX;
	return st ? st : put_row(index, row);
}

enum ntc_status ntc_index_remove(struct ntc_index *index, const struct ntc_digest *digest)
{
	enum ntc_status st = run_on(index, REMOVE_IMAGE, digest);

	return st ? st : run_on(index, REMOVE, digest);
}

enum ntc_status ntc_index_touch(struct ntc_index *index, const struct ntc_row *row)
{
	const uint64_t numbers[] = { row->hits, row->used, row->used_age };
	enum ntc_status st;
	sqlite3_stmt *stmt = prepare(index, TOUCH, &st);
	int rc;

	if (!stmt)
		return st;
	rc = bind_digest(stmt, 1, &row->digest);
	for (int i = 0; rc == SQLITE_OK && i < 3; i++)
		rc = bind_number(stmt, 2 + i, numbers[i]);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_double(stmt, 5, row->weight);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_double(stmt, 6, row->value);
	return finish(stmt, rc == SQLITE_OK ? sqlite3_step(stmt) : rc);
}

enum ntc_status ntc_index_pin(struct ntc_index *index, const struct ntc_digest *digest, bool pinned)
{
	enum ntc_status st;
	sqlite3_stmt *stmt = prepare(index, PIN, &st);
	int rc;

	if (!stmt)
		return st;
	rc = bind_digest(stmt, 1, digest);
	if (rc == SQLITE_OK)
		rc = bind_number(stmt, 2, pinned);
	return finish(stmt, rc == SQLITE_OK ? sqlite3_step(stmt) : rc);
}

enum ntc_status ntc_index_set(struct ntc_index *index, const char *name, const void *p, size_t len)
{
	enum ntc_status st;
	sqlite3_stmt *stmt = prepare(index, SET, &st);
	int rc;

	if (!stmt)
		return st;
	rc = sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = len ? sqlite3_bind_blob64(stmt, 2, p, len, SQLITE_STATIC) : sqlite3_bind_zeroblob(stmt, 2, 0);
	return finish(stmt, rc == SQLITE_OK ? sqlite3_step(stmt) : rc);
}
