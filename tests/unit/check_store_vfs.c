/*
 * SQLite on the store's seam: several connections in several threads, other processes, recovery, what is synced
 * when, and which code an error becomes.
 */
#include "store_fixture.h"

#include <sqlite3.h>
#include <stdatomic.h>

#include "store/vfs.h"
#include "tests/support/unit_sys.h"

static void setup(void)
{
	make_dir();
}

static void teardown(void)
{
	ntc_test_hook_sys(NULL);
	remove_dir();
}

static sqlite3 *connect_with(const char *vfs, int flags)
{
	char path[512];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/db", dir);
	ck_assert_int_eq(sqlite3_open_v2(path, &db, SQLITE_OPEN_NOMUTEX | flags, vfs), SQLITE_OK);
	return db;
}

static sqlite3 *connect_db(void)
{
	return connect_with(ntc_vfs_name(), SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
}

static void run(sqlite3 *db, const char *text)
{
	int rc = sqlite3_exec(db, text, NULL, NULL, NULL);

	ck_assert_msg(rc == SQLITE_OK, "%s: %s", text, sqlite3_errmsg(db));
}

static int first_text(void *ctx, int columns, char **values, char **names)
{
	(void)columns;
	(void)names;
	snprintf(ctx, 64, "%s", values[0] ? values[0] : "");
	return 0;
}

/* The answer's first value. Static, a thread's own. */
static const char *ask(sqlite3 *db, const char *text)
{
	static _Thread_local char answer[64];

	answer[0] = '\0';
	if (sqlite3_exec(db, text, first_text, answer, NULL) != SQLITE_OK)
		snprintf(answer, sizeof(answer), "%s", sqlite3_errmsg(db));
	return answer;
}

static sqlite3 *make_db(const char *mode)
{
	sqlite3 *db = connect_db();
	char text[64];

	snprintf(text, sizeof(text), "PRAGMA journal_mode = %s", mode);
	ck_assert_str_eq(ask(db, text), mode);
	run(db, "PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 100000; CREATE TABLE t (a, b);"
	    "INSERT INTO t VALUES (1, 0), (2, 0), (3, 0)");
	return db;
}

/* --- names ---------------------------------------------------------------------------------- */

START_TEST(wal_stays_and_no_shm_is_made)
{
	sqlite3 *db;
	struct stat st;

	write_file(file("db-shm"), "from an earlier version", 23);
	db = make_db("wal");
	ck_assert(exists(file("db-wal")));
	ck_assert(!exists(file("db-shm")));
	ck_assert_int_eq(stat(file("db-wal"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_gt(st.st_size, 0);
	ck_assert_int_eq(stat(file("db"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	sqlite3_close(db);
	ck_assert_int_eq(stat(file("db-wal"), &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	/* Anybody's SQLite reads it, and what that leaves is read again. */
	db = connect_with("unix", SQLITE_OPEN_READWRITE);
	ck_assert_str_eq(ask(db, "SELECT count(*) FROM t"), "3");
	run(db, "INSERT INTO t VALUES (4, 0)");
	sqlite3_close(db);
	db = connect_db();
	ck_assert_str_eq(ask(db, "SELECT count(*) FROM t"), "4");
	sqlite3_close(db);
}
END_TEST

START_TEST(another_file_under_its_name_is_another_database)
{
	sqlite3 *old = make_db("delete"), *new;
	char to[512];

	snprintf(to, sizeof(to), "%s", file("aside"));
	ck_assert_int_eq(rename(file("db"), to), 0);
	run(old, "BEGIN EXCLUSIVE");
	new = connect_db();
	run(new, "CREATE TABLE other (a); INSERT INTO other VALUES (7)");
	ck_assert_str_eq(ask(new, "SELECT a FROM other"), "7");
	sqlite3_close(new);
	run(old, "ROLLBACK");
	ck_assert_str_eq(ask(old, "SELECT count(*) FROM t"), "3");
	sqlite3_close(old);
}
END_TEST

/* --- several connections -------------------------------------------------------------------- */

enum { ROUNDS = 300, READERS = 4, WRITERS = 3 };

static atomic_bool writing;

/* Every transaction moves something between two rows: a reader that sees half of one sees another sum. */
static void *write_rows(void *ctx)
{
	sqlite3 *db = connect_db();

	(void)ctx;
	sqlite3_busy_timeout(db, 60000);
	run(db, "PRAGMA wal_autocheckpoint = 20");
	for (int i = 0; i < ROUNDS; i++)
		run(db, "BEGIN IMMEDIATE; UPDATE t SET b = b + 1 WHERE a = 1; UPDATE t SET b = b - 1 WHERE a = 2;"
			"UPDATE t SET b = b + 1 WHERE a = 3; INSERT INTO t VALUES (9, 0); COMMIT");
	sqlite3_close(db);
	return NULL;
}

static void *read_rows(void *ctx)
{
	sqlite3 *db = connect_with(ntc_vfs_name(), SQLITE_OPEN_READONLY);
	size_t *reads = ctx;
	int last = 0;

	sqlite3_busy_timeout(db, 60000);
	while (atomic_load(&writing)) {
		int now;

		ck_assert_str_eq(ask(db, "SELECT sum(b) = (SELECT b FROM t WHERE a = 3) FROM t"), "1");
		now = atoi(ask(db, "SELECT b FROM t WHERE a = 3"));
		ck_assert_int_ge(now, last);
		last = now;
		++*reads;
	}
	sqlite3_close(db);
	return NULL;
}

static const char *const modes[] = { "wal", "delete" };

START_TEST(threads_read_and_write)
{
	pthread_t readers[READERS], writers[WRITERS];
	size_t reads[READERS] = { 0 };
	sqlite3 *db = make_db(modes[_i]);
	char count[16];

	atomic_store(&writing, true);
	for (int i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_create(&readers[i], NULL, read_rows, &reads[i]), 0);
	for (int i = 0; i < WRITERS; i++)
		ck_assert_int_eq(pthread_create(&writers[i], NULL, write_rows, NULL), 0);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	atomic_store(&writing, false);
	for (int i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	snprintf(count, sizeof(count), "%d", ROUNDS * WRITERS);
	ck_assert_str_eq(ask(db, "SELECT b FROM t WHERE a = 3"), count);
	ck_assert_str_eq(ask(db, "PRAGMA integrity_check"), "ok");
	sqlite3_close(db);
	db = connect_with("unix", SQLITE_OPEN_READWRITE);
	ck_assert_str_eq(ask(db, "SELECT b FROM t WHERE a = 3"), count);
	ck_assert_str_eq(ask(db, "PRAGMA integrity_check"), "ok");
	sqlite3_close(db);
}
END_TEST

START_TEST(locks_of_a_rollback_journal)
{
	sqlite3 *a = make_db("delete"), *b = connect_db(), *c = connect_db();

	/* A reader delays a commit, and nobody begins to read meanwhile. */
	run(b, "BEGIN; SELECT * FROM t");
	run(a, "BEGIN; INSERT INTO t VALUES (5, 0)");
	ck_assert_str_eq(ask(c, "SELECT count(*) FROM t"), "3");
	ck_assert_int_eq(sqlite3_exec(c, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_BUSY);
	ck_assert_int_eq(sqlite3_exec(a, "COMMIT", NULL, NULL, NULL), SQLITE_BUSY);
	ck_assert_str_eq(ask(c, "SELECT count(*) FROM t"), "database is locked");
	ck_assert_str_eq(ask(b, "SELECT count(*) FROM t"), "3");
	run(b, "COMMIT");
	run(a, "COMMIT");
	ck_assert_str_eq(ask(c, "SELECT count(*) FROM t"), "4");
	sqlite3_close(a);
	sqlite3_close(b);
	sqlite3_close(c);
}
END_TEST

START_TEST(reader_keeps_its_snapshot_from_being_checkpointed)
{
	sqlite3 *a = make_db("wal"), *b = connect_db();
	int frames, done;

	run(b, "BEGIN; SELECT * FROM t");
	run(a, "UPDATE t SET b = 5");
	ck_assert_int_eq(sqlite3_wal_checkpoint_v2(a, NULL, SQLITE_CHECKPOINT_TRUNCATE, &frames, &done), SQLITE_BUSY);
	ck_assert_str_eq(ask(b, "SELECT sum(b) FROM t"), "0");
	run(b, "COMMIT");
	ck_assert_str_eq(ask(b, "SELECT sum(b) FROM t"), "15");
	ck_assert_int_eq(sqlite3_wal_checkpoint_v2(a, NULL, SQLITE_CHECKPOINT_TRUNCATE, &frames, &done), SQLITE_OK);
	sqlite3_close(a);
	sqlite3_close(b);
}
END_TEST

/* --- other processes ------------------------------------------------------------------------ */

/* What `work` returns in a child, which ends without closing anything. */
static int in_child(int (*work)(void))
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (!pid)
		_exit(work());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int read_as_a_shell(void)
{
	sqlite3 *db = connect_with("unix", SQLITE_OPEN_READWRITE);

	return sqlite3_exec(db, "SELECT * FROM t", NULL, NULL, NULL);
}

START_TEST(others_are_locked_out)
{
	sqlite3 *db = make_db("wal"), *shell;
	int rc;

	ck_assert_int_eq(in_child(read_as_a_shell), SQLITE_BUSY);
	ck_assert_str_eq(ask(db, "SELECT count(*) FROM t"), "3");
	sqlite3_close(db);
	ck_assert_int_eq(in_child(read_as_a_shell), SQLITE_OK);
	/* And are not disturbed. */
	shell = connect_with("unix", SQLITE_OPEN_READWRITE);
	run(shell, "BEGIN; SELECT * FROM t");
	db = connect_db();
	rc = sqlite3_exec(db, "SELECT * FROM t", NULL, NULL, NULL);
	ck_assert_int_eq(rc, SQLITE_BUSY);
	ck_assert(exists(file("db-shm")));
	sqlite3_close(shell);
	ck_assert_str_eq(ask(db, "SELECT count(*) FROM t"), "3");
	ck_assert(!exists(file("db-shm")));
	sqlite3_close(db);
}
END_TEST

static int write_and_die(void)
{
	sqlite3 *db = connect_db();

	run(db, "INSERT INTO t VALUES (4, 0); PRAGMA cache_size = 1; BEGIN");
	/* Some of this is in the file already: a rollback journal is hot, a WAL's frames are not committed. */
	for (int i = 0; i < 2000; i++)
		run(db, "INSERT INTO t VALUES (5, randomblob(500))");
	return 0;
}

START_TEST(what_a_killed_process_left_is_recovered)
{
	sqlite3 *db = make_db(modes[_i]);

	sqlite3_close(db);
	ck_assert_int_eq(in_child(write_and_die), 0);
	db = connect_db();
	ck_assert_str_eq(ask(db, "SELECT count(*) FROM t"), "4");
	ck_assert_str_eq(ask(db, "PRAGMA integrity_check"), "ok");
	sqlite3_close(db);
}
END_TEST

/* --- syncs and errors ----------------------------------------------------------------------- */

static int counts[NTC_CALLS];
static enum ntc_test_call failing;
static int failure;

static int count_or_fail(enum ntc_test_call call, const char *name, int flags)
{
	(void)name;
	(void)flags;
	counts[call]++;
	return call == failing ? failure : 0;
}

static void watch_calls(enum ntc_test_call call, int err)
{
	memset(counts, 0, sizeof(counts));
	failing = call;
	failure = err;
}

START_TEST(commits_are_synced_and_a_new_journal_with_its_name)
{
	sqlite3 *db;

	ntc_test_hook_sys(count_or_fail);
	watch_calls(NTC_CALL_NONE, 0);
	db = make_db("wal");
	watch_calls(NTC_CALL_NONE, 0);
	run(db, "INSERT INTO t VALUES (4, 0)");
	ck_assert_int_eq(counts[NTC_CALL_FDATASYNC], 1);
	ck_assert_int_eq(counts[NTC_CALL_FSYNC], 0);
	sqlite3_close(db);
	db = connect_db();
	run(db, "PRAGMA synchronous = FULL; SELECT * FROM t");
	watch_calls(NTC_CALL_NONE, 0);
	/* The header of the WAL, and the frames; with the first of them the directory. */
	run(db, "INSERT INTO t VALUES (5, 0)");
	ck_assert_int_eq(counts[NTC_CALL_FDATASYNC], 2);
	ck_assert_int_eq(counts[NTC_CALL_FSYNC], 1);
	sqlite3_close(db);
}
END_TEST

static const struct { enum ntc_test_call call; int err, rc; } failures[] = {
	{ NTC_CALL_WRITE, ENOSPC, SQLITE_FULL },
	{ NTC_CALL_WRITE, EDQUOT, SQLITE_FULL },
	{ NTC_CALL_WRITE, EIO, SQLITE_IOERR_WRITE },
	{ NTC_CALL_FDATASYNC, EIO, SQLITE_IOERR_FSYNC },
	{ NTC_CALL_FSYNC, EIO, SQLITE_IOERR_DIR_FSYNC },
	{ NTC_CALL_OPEN, EMFILE, SQLITE_IOERR_DIR_FSYNC },
	{ NTC_CALL_STAT, EIO, SQLITE_IOERR_FSTAT },
	{ NTC_CALL_READ, EIO, SQLITE_IOERR_READ },
};

START_TEST(errors_have_their_code_and_errno)
{
	sqlite3 *db = make_db("delete");
	int rc;

	sqlite3_close(db);
	db = connect_db();
	run(db, "PRAGMA journal_mode = PERSIST; INSERT INTO t VALUES (4, 0)");
	sqlite3_close(db);
	ntc_test_hook_sys(count_or_fail);
	watch_calls(NTC_CALL_NONE, 0);
	db = connect_db();
	run(db, "PRAGMA journal_mode = PERSIST");
	sqlite3_extended_result_codes(db, 1);
	/* The journal is open; its directory was not synced. */
	run(db, "BEGIN IMMEDIATE; UPDATE t SET b = 1");
	watch_calls(failures[_i].call, failures[_i].err);
	if (failures[_i].call == NTC_CALL_READ || failures[_i].call == NTC_CALL_STAT) {
		run(db, "ROLLBACK");
		sqlite3_close(db);
		watch_calls(NTC_CALL_NONE, 0);
		db = connect_db();
		sqlite3_extended_result_codes(db, 1);
		watch_calls(failures[_i].call, failures[_i].err);
		rc = sqlite3_exec(db, "SELECT * FROM t", NULL, NULL, NULL);
	} else {
		rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	}
	ck_assert_msg(rc == failures[_i].rc, "%d, %d: %s", rc, sqlite3_extended_errcode(db), sqlite3_errmsg(db));
	if (rc != SQLITE_FULL)
		ck_assert_int_eq(ntc_vfs_errno(), failures[_i].err);
	watch_calls(NTC_CALL_NONE, 0);
	sqlite3_close(db);
	db = connect_db();
	ck_assert_str_eq(ask(db, "PRAGMA integrity_check"), "ok");
	sqlite3_close(db);
}
END_TEST

START_TEST(what_cannot_be_opened_says_why)
{
	sqlite3 *db;

	ntc_test_hook_sys(count_or_fail);
	watch_calls(NTC_CALL_OPEN, EMFILE);
	ck_assert_int_eq(sqlite3_open_v2(file("db"), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, ntc_vfs_name()),
			 SQLITE_CANTOPEN);
	ck_assert_int_eq(ntc_vfs_errno(), EMFILE);
	sqlite3_close(db);
	watch_calls(NTC_CALL_NONE, 0);
	/* No directory and no link is taken for a database, and no temporary file is made. */
	ck_assert_int_eq(mkdir(file("db"), 0700), 0);
	ck_assert_int_eq(sqlite3_open_v2(file("db"), &db, SQLITE_OPEN_READWRITE, ntc_vfs_name()), SQLITE_CANTOPEN);
	sqlite3_close(db);
	ck_assert_int_eq(rmdir(file("db")), 0);
	ck_assert_int_eq(symlink("elsewhere", file("db")), 0);
	ck_assert_int_eq(sqlite3_open_v2(file("db"), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, ntc_vfs_name()),
			 SQLITE_CANTOPEN);
	sqlite3_close(db);
	ck_assert(!exists(file("elsewhere")));
	ck_assert_int_eq(unlink(file("db")), 0);
	db = connect_db();
	run(db, "PRAGMA temp_store = FILE; PRAGMA cache_size = 1; CREATE TEMP TABLE u (a)");
	ck_assert_int_eq(sqlite3_exec(db, "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
				      "INSERT INTO u SELECT randomblob(500) FROM n", NULL, NULL, NULL), SQLITE_CANTOPEN);
	sqlite3_close(db);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_vfs");
	TCase *tc = tcase_create("vfs");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, wal_stays_and_no_shm_is_made);
	tcase_add_test(tc, another_file_under_its_name_is_another_database);
	tcase_add_loop_test(tc, threads_read_and_write, 0, 2);
	tcase_add_test(tc, locks_of_a_rollback_journal);
	tcase_add_test(tc, reader_keeps_its_snapshot_from_being_checkpointed);
	tcase_add_test(tc, others_are_locked_out);
	tcase_add_loop_test(tc, what_a_killed_process_left_is_recovered, 0, 2);
	tcase_add_test(tc, commits_are_synced_and_a_new_journal_with_its_name);
	tcase_add_loop_test(tc, errors_have_their_code_and_errno, 0, sizeof(failures) / sizeof(failures[0]));
	tcase_add_test(tc, what_cannot_be_opened_says_why);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
