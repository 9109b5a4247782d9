/* An index of version 1, made by SQL as that version made it, becomes one of this version, or stays as it was. */
#include "store_fixture.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>

#include "proto/digest.h"

static const char version_1[] =
	"BEGIN IMMEDIATE;"
	"CREATE TABLE entry ("
	" digest BLOB PRIMARY KEY, kind INTEGER NOT NULL, uid INTEGER NOT NULL, size INTEGER NOT NULL,"
	" put_wall_ns INTEGER NOT NULL, cost_ns INTEGER NOT NULL, hits INTEGER NOT NULL, used INTEGER NOT NULL,"
	" parts INTEGER NOT NULL, key_len INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE INDEX entry_used ON entry (used);"
	"CREATE TABLE value (name TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT, WITHOUT ROWID;"
	"PRAGMA application_id = 1314145073;"
	"PRAGMA user_version = 1;"
	"COMMIT;";

static void sql(const char *text)
{
	char *error = NULL;
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(file("index.sqlite3"), &db), SQLITE_OK);
	ck_assert_msg(sqlite3_exec(db, text, NULL, NULL, &error) == SQLITE_OK, "%s: %s", text, error ? error : "");
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static long long ask(const char *path, const char *question)
{
	sqlite3_stmt *stmt;
	long long answer;
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(db, question, -1, &stmt, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
	answer = sqlite3_column_int64(stmt, 0);
	ck_assert_int_eq(sqlite3_finalize(stmt), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	return answer;
}

enum { ENTRIES = 20 };

static void setup(void)
{
	options = (struct ntc_store_options){ 0 };
	make_dir();
	open_store();
}

static void teardown(void)
{
	close_store();
	remove_dir();
}

/* Images of ENTRIES large entries in their files; the index that version 1 would have, with uses of its own. */
static void make_version_1(void)
{
	char text[512], digits[NTC_DIGEST_TEXT];

	for (unsigned i = 0; i < ENTRIES; i++)
		put_now(i, 'x', 100000);
	close_store();
	ck_assert_int_eq(unlink(file("index.sqlite3")), 0);
	sql(version_1);
	for (unsigned i = 0; i < ENTRIES; i++) {
		struct ntc_digest digest = digest_of(i);
		struct ntc_buffer *image = make_image(i, 'x', 100000);

		ntc_digest_format(&digest, digits);
		snprintf(text, sizeof(text), "INSERT INTO entry VALUES (x'%s', 1, 5, %zu, %u, 77, %u, %u, 1, 24)", digits,
			 image->len, 1000 + i, i, 100 + i);
		sql(text);
		ntc_buffer_unref(image);
	}
	sql("INSERT INTO value VALUES ('counters', x'4e544b01000000000c000000'), ('clean', x'31')");
}

/* The one copy of the index, or NULL. Static. */
static const char *the_copy(void)
{
	static char path[600];
	DIR *d = opendir(dir);
	struct dirent *e;

	path[0] = '\0';
	while ((e = readdir(d))) {
		if (strncmp(e->d_name, "index.sqlite3.v1-2", 18) == 0)
			snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
	}
	closedir(d);
	return path[0] ? path : NULL;
}

START_TEST(version_1_is_migrated_after_a_copy)
{
	struct answer a = { 0 };
	struct stat st;

	make_version_1();
	open_store();
	ck_assert_uint_eq(stats_now().entries, ENTRIES);
	ck_assert_uint_eq(stats_now().adopted + stats_now().dropped_rows, 0);
	ck_assert_uint_eq(ntc_store_saved_counters(store).len, 12);
	for (unsigned i = 0; i < ENTRIES; i++)
		ck_assert_int_eq(load_now(i, 'x', 100000), NTC_ST_OK);
	load(7, &a);
	wait_for(&a.loaded);
	ck_assert_uint_eq(a.row.hits, 7);
	ck_assert_uint_eq(a.row.used, 107);
	ntc_buffer_unref(a.image);
	/* What comes now counts as used later. */
	put_now(ENTRIES, 'y', 100000);
	a = (struct answer){ 0 };
	load(ENTRIES, &a);
	wait_for(&a.loaded);
	ck_assert_uint_gt(a.row.used, 100 + ENTRIES - 1);
	ntc_buffer_unref(a.image);
	close_store();
	ck_assert_int_eq(ask(file("index.sqlite3"), "PRAGMA user_version"), 2);
	/* What it had goes first, the least recently used of it before the rest. */
	ck_assert_int_eq(ask(file("index.sqlite3"), "SELECT count(*) FROM entry WHERE image = 0"), ENTRIES + 1);
	ck_assert_int_eq(ask(file("index.sqlite3"), "SELECT count(*) FROM entry WHERE value = used - 120"), ENTRIES);
	ck_assert_int_eq(ask(file("index.sqlite3"), "SELECT count(*) FROM sqlite_schema WHERE name = 'entry_1'"), 0);
	/* The copy is the whole version 1, for its owner alone. */
	ck_assert_int_eq(count_names(dir, "index.sqlite3.v1-"), 1);
	ck_assert_ptr_nonnull(the_copy());
	ck_assert_int_eq(stat(the_copy(), &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(ask(the_copy(), "PRAGMA user_version"), 1);
	ck_assert_int_eq(ask(the_copy(), "SELECT count(*) FROM entry WHERE used >= 100"), ENTRIES);
	open_store();
	ck_assert_uint_eq(stats_now().entries, ENTRIES + 1);
	ck_assert_int_eq(count_names(dir, "index.sqlite3.v1-"), 1);
}
END_TEST

/* A new index and one that came from version 1 are the same thing. */
START_TEST(migrated_schema_is_the_new_one)
{
	static const char question[] =
		"SELECT count(*) FROM (SELECT type, name, sql FROM sqlite_schema EXCEPT SELECT type, name, sql FROM other.sqlite_schema)";
	char attach[700], path[512];
	sqlite3_stmt *stmt;
	sqlite3 *db;

	close_store();
	snprintf(path, sizeof(path), "%s", file("new.sqlite3"));
	ck_assert_int_eq(rename(file("index.sqlite3"), path), 0);
	open_store();
	make_version_1();
	open_store();
	close_store();
	ck_assert_int_eq(sqlite3_open(file("index.sqlite3"), &db), SQLITE_OK);
	snprintf(attach, sizeof(attach), "ATTACH '%s' AS other", path);
	ck_assert_int_eq(sqlite3_exec(db, attach, NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(db, question, -1, &stmt, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
	ck_assert_int_eq(sqlite3_column_int(stmt, 0), 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	open_store();
}
END_TEST

/* Whatever is in its way, the index stays what it was, and the next start gets through. */
START_TEST(migration_that_fails_changes_nothing)
{
	struct rlimit limit, small;

	make_version_1();
	/* What an earlier attempt left half-way. */
	write_file(file("index.sqlite3.v1-copy"), "half", 4);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = limit;
	small.rlim_cur = 4096;
	ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	ck_assert_int_ne(try_open(), NTC_ST_OK);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(ask(file("index.sqlite3"), "PRAGMA user_version"), 1);
	ck_assert_int_eq(ask(file("index.sqlite3"), "SELECT count(*) FROM entry"), ENTRIES);
	ck_assert_int_eq(count_names(dir, "index.sqlite3.damaged-"), 0);
	open_store();
	ck_assert_uint_eq(stats_now().entries, ENTRIES);
	ck_assert_int_eq(count_names(dir, "index.sqlite3.v1-"), 1);
	ck_assert_ptr_nonnull(the_copy());
}
END_TEST

START_TEST(versions_that_never_were_are_set_aside)
{
	put_now(1, 'x', 100000);
	close_store();
	sql("PRAGMA user_version = 0");
	open_store();
	ck_assert_int_eq(count_names(dir, "index.sqlite3.damaged-"), 1);
	ck_assert_uint_eq(stats_now().entries, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_migrate");
	TCase *tc = tcase_create("store_migrate");

	tcase_set_timeout(tc, 100);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, version_1_is_migrated_after_a_copy);
	tcase_add_test(tc, migrated_schema_is_the_new_one);
	tcase_add_test(tc, migration_that_fails_changes_nothing);
	tcase_add_test(tc, versions_that_never_were_are_set_aside);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
