/* The schema of the index and what became of earlier ones; see schema.h. docs/store.md explains the columns. */
#include "store/schema.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/index.h"
#include "store/sys.h"
#include "store/vfs.h"

#define TABLES \
	"CREATE TABLE entry (" \
	" digest BLOB PRIMARY KEY, kind INTEGER NOT NULL, uid INTEGER NOT NULL, size INTEGER NOT NULL," \
	" put_wall_ns INTEGER NOT NULL, cost_ns INTEGER NOT NULL, hits INTEGER NOT NULL, used INTEGER NOT NULL," \
	" parts INTEGER NOT NULL, key_len INTEGER NOT NULL, pinned INTEGER NOT NULL, image INTEGER NOT NULL," \
	" weight REAL NOT NULL, value REAL NOT NULL, used_age INTEGER NOT NULL, producer TEXT NOT NULL," \
	" name TEXT NOT NULL) STRICT, WITHOUT ROWID;" \
	"CREATE INDEX entry_value ON entry (value) WHERE pinned = 0;" \
	"CREATE TABLE image (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;"
#define VERSION "PRAGMA user_version = 2;"
_Static_assert(NTC_INDEX_APPLICATION == 1314145073 && NTC_INDEX_VERSION == 2, "the texts here say so too");

static const char make[] =
	"BEGIN IMMEDIATE;"
	TABLES
	"CREATE TABLE value (name TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT, WITHOUT ROWID;"
	"PRAGMA application_id = 1314145073;"
	VERSION
	"COMMIT;";

/* Version 1 had every image in a file, evicted by recency alone, and knew no names: those stay empty until the
 * entry is put again. What is not used again goes as it would have, before everything that is (values below 0). */
static const char from_1[] =
	"BEGIN IMMEDIATE;"
	"DROP INDEX entry_used;"
	"ALTER TABLE entry RENAME TO entry_1;"
	TABLES
	"INSERT INTO entry SELECT digest, kind, uid, size, put_wall_ns, cost_ns, hits, used, parts, key_len, 0, 0,"
	" 1.0, used - 1.0 - (SELECT max(used) FROM entry_1), 0, '', '' FROM entry_1;"
	"DROP TABLE entry_1;"
	VERSION
	"COMMIT;";

static int run(sqlite3 *db, const char *text)
{
	int rc = sqlite3_exec(db, text, NULL, NULL, NULL);

	/* Nothing to undo where SQLite has done it by itself; the first failure is the one to tell. */
	if (rc != SQLITE_OK && !sqlite3_get_autocommit(db))
		(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

int ntc_schema_make(sqlite3 *db)
{
	return run(db, make);
}

/* All of a database's definitions in one text, to be freed. */
static int definitions(sqlite3 *db, char **text)
{
	sqlite3_stmt *stmt = NULL;
	const char *all = NULL;
	int rc = sqlite3_prepare_v2(db, "SELECT group_concat(type || name || tbl_name || coalesce(sql, ''), ';') FROM"
				    " (SELECT * FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name)", -1, &stmt, NULL);

	*text = NULL;
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		all = (const char *)sqlite3_column_text(stmt, 0);
	if (all)
		*text = strdup(all);
	if (rc == SQLITE_ROW || rc == SQLITE_DONE)
		rc = all && !*text ? SQLITE_NOMEM : SQLITE_OK;
	(void)sqlite3_finalize(stmt); /* repeats an error of above */
	return rc;
}

int ntc_schema_compare(sqlite3 *db, bool *same)
{
	char *theirs = NULL, *ours = NULL;
	sqlite3 *empty = NULL;
	int rc = definitions(db, &theirs);

	if (rc == SQLITE_OK)
		rc = sqlite3_open_v2(":memory:", &empty, SQLITE_OPEN_READWRITE | SQLITE_OPEN_MEMORY, NULL);
	if (rc == SQLITE_OK)
		rc = ntc_schema_make(empty);
	if (rc == SQLITE_OK)
		rc = definitions(empty, &ours);
	*same = theirs && ours && strcmp(theirs, ours) == 0;
	(void)sqlite3_close(empty); /* nothing of it is kept */
	free(theirs);
	free(ours);
	return rc;
}

/* --- copy --------------------------------------------------------------------------------- */

/* The file `temp`, written by SQLite without a sync, gets a name of its own durably. */
static int name_copy(int dir, const char *temp, long long version)
{
	char date[32], name[96];
	time_t now = time(NULL);
	int fd = ntc_sys_open(dir, temp, O_RDONLY | O_NOFOLLOW, 0), err;
	struct tm tm;

	if (fd < 0)
		return fd;
	err = ntc_sys_fsync(fd);
	ntc_sys_close(fd);
	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", &tm);
	(void)snprintf(name, sizeof(name), NTC_INDEX_NAME ".v%lld-%s", version, date);
	if (!err)
		err = ntc_sys_rename(dir, temp, dir, name);
	return err ? err : ntc_sys_fsync(dir);
}

/* Everything that is committed, WAL or not, in one file. */
static enum ntc_status copy(sqlite3 *db, const char *path, long long version, struct ntc_reason *reason)
{
	char temp[64], into[PATH_MAX + 64];
	int dir = ntc_sys_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0), err = dir, fd;
	sqlite3_stmt *stmt = NULL;
	int rc = SQLITE_OK;

	(void)snprintf(temp, sizeof(temp), NTC_INDEX_NAME ".v%lld-copy", version);
	(void)snprintf(into, sizeof(into), "%s/%s", path, temp);
	if (err < 0)
		goto out;
	/* What an earlier attempt left. */
	err = ntc_sys_unlink(dir, temp);
	if (err && err != -ENOENT)
		goto out;
	/* SQLite would make it with the umask's mode; it takes an empty file that is there. */
	err = fd = ntc_sys_open(dir, temp, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd < 0)
		goto out;
	ntc_sys_close(fd);
	ntc_vfs_clear_errno();
	rc = sqlite3_prepare_v2(db, "VACUUM INTO ?1", -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(stmt, 1, into, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt) == SQLITE_DONE ? SQLITE_OK : sqlite3_errcode(db);
	(void)sqlite3_finalize(stmt); /* repeats the error of the step */
	err = rc == SQLITE_OK ? name_copy(dir, temp, version) : 0;
out:
	ntc_sys_close(dir);
	if (err < 0)
		return ntc_reject(reason, ntc_status_from_errno(-err), "no copy of the index before its migration: %s",
				  strerror(-err));
	/* SQLite takes any failure to look at the file for a file that is in the way. */
	if (rc != SQLITE_OK && ntc_vfs_errno())
		return ntc_reject(reason, ntc_status_from_errno(ntc_vfs_errno()),
				  "no copy of the index before its migration: %s", strerror(ntc_vfs_errno()));
	if (rc != SQLITE_OK)
		return ntc_reject(reason, ntc_index_status(rc), "no copy of the index before its migration: %s",
				  sqlite3_errmsg(db));
	return NTC_ST_OK;
}

enum ntc_status ntc_schema_migrate(sqlite3 *db, const char *dir, long long version, struct ntc_reason *reason)
{
	enum ntc_status st;
	int rc;

	if (version != 1)
		return ntc_reject(reason, NTC_ST_BAD_STORE, "the index has version %lld, which never was", version);
	st = copy(db, dir, version, reason);
	if (st)
		return st;
	rc = run(db, from_1);
	if (rc != SQLITE_OK)
		return ntc_reject(reason, ntc_index_status(rc), "the migration of the index from version %lld: %s", version,
				  sqlite3_errmsg(db));
	return NTC_ST_OK;
}
