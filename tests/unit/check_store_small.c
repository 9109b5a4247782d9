/* Small images, which live in the index: the same promises as for files, and nothing of them anywhere else. */
#include "store_fixture.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "store/image.h"
#include "tests/support/unit_sys.h"

static void setup(void)
{
	options = (struct ntc_store_options){ .inline_max = NTC_INLINE_IMAGE_MAX };
	make_dir();
	open_store();
}

static void teardown(void)
{
	close_store();
	ntc_test_hook_sys(NULL);
	remove_dir();
}

/* Ask the index of a closed store. */
static long long ask(const char *question)
{
	sqlite3_stmt *stmt;
	long long answer;
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(file("index.sqlite3"), &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(db, question, -1, &stmt, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
	answer = sqlite3_column_int64(stmt, 0);
	ck_assert_int_eq(sqlite3_finalize(stmt), SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	return answer;
}

static void run_sql(const char *text)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(file("index.sqlite3"), &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* Every row has its image and every image its row. */
static void check_index(long long rows)
{
	ck_assert_int_eq(ask("SELECT count(*) FROM entry"), rows);
	ck_assert_int_eq(ask("SELECT count(*) FROM entry WHERE image != 0"), ask("SELECT count(*) FROM image"));
	ck_assert_int_eq(ask("SELECT count(*) FROM entry JOIN image ON id = image WHERE size = length(bytes)"),
			 ask("SELECT count(*) FROM image"));
}

/* The size of a part with which an image has exactly `size` bytes. */
static size_t part_of(size_t size)
{
	struct ntc_buffer *image = make_image(1, 'x', 64);
	size_t part = size - image->len + 64;

	ntc_buffer_unref(image);
	return part;
}

START_TEST(size_decides_where)
{
	size_t most = part_of(NTC_INLINE_IMAGE_MAX);
	struct answer a = { 0 }, b = { 0 };

	put_now(1, 'x', most);
	put_now(2, 'y', most + 1);
	ck_assert(!exists(blob_file(1)));
	ck_assert(exists(blob_file(2)));
	for (int i = 0; i < 2; i++) {
		struct ntc_buffer *image = make_image(1, 'x', most);

		load(1, &a);
		load(2, &b);
		wait_for(&a.loaded);
		wait_for(&b.loaded);
		ck_assert_int_eq(a.load_st, NTC_ST_OK);
		ck_assert(!a.had_fd);
		ck_assert_uint_eq(a.row.flags, NTC_ROW_INDEX);
		ck_assert_uint_eq(a.row.size, NTC_INLINE_IMAGE_MAX);
		ck_assert_uint_eq(a.row.cost_ns, 77);
		ck_assert(ntc_view_equal(view_of(image), view_of(a.image)));
		ck_assert_int_eq(b.load_st, NTC_ST_OK);
		ck_assert(b.had_fd);
		ck_assert_uint_eq(b.row.flags, 0);
		ntc_buffer_unref(image);
		a.loaded = b.loaded = 0;
		reopen_store();
	}
	ntc_buffer_unref(a.image);
	ntc_buffer_unref(b.image);
	ck_assert_uint_eq(stats_now().entries, 2);
	ck_assert_uint_eq(stats_now().adopted + stats_now().dropped_rows, 0);
	/* Where it is stays, whatever the limit is now. */
	close_store();
	options.inline_max = 0;
	open_store();
	ck_assert_int_eq(load_now(1, 'x', most), NTC_ST_OK);
	ck_assert_int_eq(put_now(1, 'x', most), NTC_STORED_KNOWN);
	ck_assert_uint_eq(remove_now(1), 1);
	options.inline_max = 2 * NTC_INLINE_IMAGE_MAX;
	reopen_store();
	ck_assert_int_eq(load_now(1, 'x', most), NTC_ST_NOT_FOUND);
	ck_assert_int_eq(load_now(2, 'y', most + 1), NTC_ST_OK);
	ck_assert_uint_eq(remove_now(2), 1);
	ck_assert(!exists(blob_file(2)));
	close_store();
	check_index(0);
	open_store();
}
END_TEST

START_TEST(small_entries_take_no_files)
{
	struct answer *a = calloc(200, sizeof(*a));

	for (unsigned i = 0; i < 200; i++)
		put(i, 'x', 100, &a[i]);
	for (unsigned i = 0; i < 200; i++)
		wait_for(&a[i].durable);
	free(a);
	/* Not even directories. */
	ck_assert_int_eq(count_names(file("default"), ""), 2);
	reopen_store();
	for (unsigned i = 0; i < 200; i++)
		ck_assert_int_eq(load_now(i, 'x', 100), NTC_ST_OK);
	close_store();
	check_index(200);
	open_store();
}
END_TEST

START_TEST(second_put_is_known_or_differs)
{
	struct answer a[5] = { 0 };

	put_now(1, 'x', 100);
	ck_assert_int_eq(put_now(1, 'x', 100), NTC_STORED_KNOWN);
	ck_assert_int_eq(put_now(1, 'y', 100), NTC_STORED_DIFFERS);
	/* A file would go elsewhere; the first stays. */
	ck_assert_int_eq(put_now(1, 'y', 100000), NTC_STORED_DIFFERS);
	ck_assert(!exists(blob_file(1)));
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_OK);
	/* In order behind a compare, from the index to a file and back. */
	put(1, 'y', 100, &a[0]);
	remove_key(1, &a[1]);
	put(1, 'y', 100000, &a[2]);
	remove_key(1, &a[3]);
	put(1, 'z', 200, &a[4]);
	wait_for(&a[4].decided);
	wait_for(&a[4].durable);
	ck_assert_int_eq(a[0].stored, NTC_STORED_DIFFERS);
	ck_assert_uint_eq(a[1].remove_count, 1);
	ck_assert_int_eq(a[2].stored, NTC_STORED_NEW);
	ck_assert_uint_eq(a[3].remove_count, 1);
	ck_assert_int_eq(load_now(1, 'z', 200), NTC_ST_OK);
	ck_assert(!exists(blob_file(1)));
	close_store();
	check_index(1);
	open_store();
}
END_TEST

static bool holds(const char *path, const void *what, size_t len)
{
	FILE *f = fopen(path, "r");
	char *bytes;
	bool found;
	long size;

	if (!f)
		return false;
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	bytes = malloc((size_t)size + 1);
	ck_assert_uint_eq(fread(bytes, 1, (size_t)size, f), (size_t)size);
	fclose(f);
	found = memmem(bytes, (size_t)size, what, len) != NULL;
	free(bytes);
	return found;
}

START_TEST(removed_is_gone_for_good)
{
	char bytes[64];

	memset(bytes, 'q', sizeof(bytes));
	for (unsigned i = 0; i < 60; i++)
		put_now(i, i == 30 || i == 31 ? 'q' : 'x', i % 2 ? 7000 : 700);
	close_store();
	ck_assert(holds(file("index.sqlite3"), bytes, sizeof(bytes)));
	open_store();
	ck_assert_uint_eq(remove_now(30), 1);
	ck_assert_uint_eq(remove_now(31), 1);
	ck_assert_uint_eq(remove_now(31), 0);
	ck_assert_int_eq(load_now(30, 'q', 700), NTC_ST_NOT_FOUND);
	close_store();
	/* Not even in its ruins. */
	ck_assert(!holds(file("index.sqlite3"), bytes, sizeof(bytes)));
	check_index(58);
	open_store();
	ck_assert_int_eq(load_now(30, 'q', 700), NTC_ST_NOT_FOUND);
	ck_assert_int_eq(load_now(31, 'q', 7000), NTC_ST_NOT_FOUND);
	ck_assert_int_eq(load_now(32, 'x', 700), NTC_ST_OK);
	ck_assert_uint_eq(stats_now().entries, 58);
}
END_TEST

START_TEST(evicted_rows_take_their_images_along)
{
	size_t size, small = 0;

	put_now(0, 'x', 2000);
	put_now(1, 'x', 100000);
	size = stats_now().bytes;
	close_store();
	options.max_bytes = size;
	open_store();
	/* The large ones go first, and then there are still too many small ones. */
	for (unsigned i = 2; i < 200; i++)
		put_now(i, 'x', i % 4 ? 2000 : 100000);
	reopen_store();
	ck_assert_uint_le(stats_now().bytes, size);
	for (unsigned i = 0; i < 200; i++)
		small += i % 4 && i != 1 && load_now(i, 'x', 2000) == NTC_ST_OK;
	ck_assert_uint_gt(small, 30);
	ck_assert_uint_lt(small, 60);
	size = stats_now().entries;
	close_store();
	check_index((long long)size);
	open_store();
}
END_TEST

/* A file that an eviction or a failed put left under the digest of an entry in the index. */
static void leave_file(unsigned n, uint8_t fill)
{
	struct ntc_buffer *image = make_image(n, fill, 100);
	char path[512];

	snprintf(path, sizeof(path), "%s", blob_file(n));
	*strrchr(path, '/') = '\0';
	ck_assert(mkdir(path, 0700) == 0 || errno == EEXIST);
	write_file(blob_file(n), image->bytes, image->len);
	ntc_buffer_unref(image);
}

START_TEST(row_wins_over_a_file_that_was_left)
{
	put_now(1, 'x', 100);
	close_store();
	leave_file(1, 'y');
	open_store();
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_OK);
	reopen_store();
	ck_assert(!exists(blob_file(1)));
	ck_assert_uint_eq(stats_now().entries, 1);
	ck_assert_uint_eq(stats_now().adopted, 0);
	/* A removal takes both. */
	leave_file(1, 'y');
	ck_assert_uint_eq(remove_now(1), 1);
	ck_assert(!exists(blob_file(1)));
	reopen_store();
	ck_assert_int_eq(load_now(1, 'y', 100), NTC_ST_NOT_FOUND);
}
END_TEST

START_TEST(damaged_image_is_a_miss)
{
	put_now(1, 'x', 100);
	put_now(2, 'x', 5000);
	put_now(3, 'x', 100);
	put_now(4, 'x', 100);
	close_store();
	/* A wrong byte, a cut tail, another entry's. */
	run_sql("UPDATE image SET bytes = CAST(substr(bytes, 1, 200) || x'21' || substr(bytes, 202) AS BLOB) WHERE id = 1;"
		"UPDATE image SET bytes = substr(bytes, 1, 3000) WHERE id = 2;"
		"UPDATE image SET bytes = (SELECT bytes FROM image WHERE id = 4) WHERE id = 3");
	open_store();
	ck_assert_uint_eq(stats_now().entries, 4);
	for (unsigned i = 1; i < 4; i++)
		ck_assert_int_eq(load_now(i, 'x', i == 2 ? 5000 : 100), NTC_ST_NOT_FOUND);
	ck_assert_int_eq(load_now(4, 'x', 100), NTC_ST_OK);
	ck_assert_uint_eq(stats_now().quarantined, 3);
	ck_assert_int_eq(put_now(1, 'y', 100), NTC_STORED_NEW);
	reopen_store();
	ck_assert_uint_eq(stats_now().entries, 2);
	close_store();
	check_index(2);
	open_store();
}
END_TEST

/* As on a full disk. */
static void allow_writes(bool allow)
{
	static struct rlimit limit;
	struct rlimit none;

	if (!limit.rlim_max)
		ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	ck_assert(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, allow ? &limit : &none), 0);
}

START_TEST(what_cannot_be_written_changes_nothing)
{
	struct answer a = { 0 }, b = { 0 }, c = { 0 };

	put_now(1, 'x', 100);
	put_now(2, 'x', 100000);
	allow_writes(false);
	put(3, 'x', 100, &a);
	wait_for(&a.durable);
	remove_key(1, &b);
	wait_for(&b.removed);
	remove_key(2, &c);
	wait_for(&c.removed);
	allow_writes(true);
	ck_assert_int_ne(a.durable_st, NTC_ST_OK);
	ck_assert_int_eq(load_now(3, 'x', 100), NTC_ST_NOT_FOUND);
	/* The image in the index is still there, and so is the entry; a file is gone whatever the index says. */
	ck_assert_int_ne(b.remove_st, NTC_ST_OK);
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_OK);
	ck_assert_int_eq(c.remove_st, NTC_ST_OK);
	ck_assert_int_eq(load_now(2, 'x', 100000), NTC_ST_NOT_FOUND);
	ck_assert_uint_eq(remove_now(1), 1);
	wait_for_disk(NTC_ST_OK);
	ck_assert_int_eq(put_now(3, 'y', 100), NTC_STORED_NEW);
	reopen_store();
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_NOT_FOUND);
	ck_assert_int_eq(load_now(2, 'x', 100000), NTC_ST_NOT_FOUND);
	ck_assert_int_eq(load_now(3, 'y', 100), NTC_ST_OK);
	close_store();
	check_index(1);
	open_store();
}
END_TEST

/* --- a damaged index -------------------------------------------------------------------------- */

enum { RUINED = 60 };

static size_t ruined_size(unsigned n)
{
	return n % 5 == 0 ? 100000 : 60 * n;
}

static void damage_header(void)
{
	int fd = open(file("index.sqlite3"), O_WRONLY);

	ck_assert_int_eq(pwrite(fd, "not a database, really", 22, 0), 22);
	close(fd);
}

static void damage_version(void)
{
	run_sql("PRAGMA user_version = 130");
}

static const struct {
	void (*damage)(void);
	bool readable;          /* hits, recency, the age clock, counters */
} damages[] = { { damage_header, false }, { damage_version, true } };

static void check_all_but_third(void)
{
	for (unsigned n = 0; n < RUINED; n++)
		ck_assert_int_eq(load_now(n, 'x', ruined_size(n)), n % 3 ? NTC_ST_OK : NTC_ST_NOT_FOUND);
}

START_TEST(damaged_index_gives_images_back)
{
	struct ntc_digest digest = digest_of(1);
	struct answer a = { 0 };

	for (unsigned n = 0; n < RUINED; n++)
		put_now(n, 'x', ruined_size(n));
	for (unsigned n = 0; n < RUINED; n += 3)
		ck_assert_uint_eq(remove_now(n), 1);
	ntc_store_hit(store, &digest, 3);
	close_store();
	run_sql("UPDATE entry SET pinned = 1, used_age = 77 WHERE hits = 3");
	damages[_i].damage();
	open_store();
	check_all_but_third();
	load(1, &a);
	wait_for(&a.loaded);
	ck_assert_uint_eq(a.row.hits, damages[_i].readable ? 3 : 0);
	ck_assert_uint_eq(a.row.flags & NTC_ROW_PINNED, damages[_i].readable ? NTC_ROW_PINNED : 0);
	ntc_buffer_unref(a.image);
	ck_assert_int_eq(count_names(dir, "index.sqlite3.damaged-"), 1);
	close_store();
	check_index(RUINED - RUINED / 3);
	ck_assert_int_eq(ask("SELECT count(*) FROM entry WHERE used_age = 77"), damages[_i].readable);
	open_store();
	check_all_but_third();
	ck_assert_int_eq(count_names(dir, "index.sqlite3.damaged-"), 1);
}
END_TEST

/* What is committed may be in the journal alone when the damage is met. */
START_TEST(ruins_are_read_with_their_journal)
{
	int status;
	pid_t pid;

	close_store();
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		open_store();
		for (unsigned n = 0; n < RUINED; n++)
			put_now(n, 'x', ruined_size(n));
		for (unsigned n = 0; n < RUINED; n += 3)
			ck_assert_uint_eq(remove_now(n), 1);
		kill(getpid(), SIGKILL);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	damage_header();
	/* The journal has a good first page, so nothing is wrong yet. */
	open_store();
	check_all_but_third();
	close_store();
	damage_header();
	open_store();
	check_all_but_third();
	ck_assert_int_eq(count_names(dir, "index.sqlite3.damaged-"), 1);
}
END_TEST

/* Where a crash may leave a rebuild: with a part of a new index, or between any two renames. */
START_TEST(interrupted_rebuild_is_finished)
{
	char path[512], to[512];

	for (unsigned n = 0; n < 20; n++)
		put_now(n, 'x', 100);
	close_store();
	/* Half a new index is nothing. */
	write_file(file("index.sqlite3.tmp"), "half", 4);
	damage_header();
	open_store();
	ck_assert(!exists(file("index.sqlite3.tmp")));
	ck_assert_uint_eq(stats_now().entries, 20);
	put_now(20, 'x', 100);
	close_store();
	/* A whole one beside the old one, which has a journal: both go. The journal is not the new one's. */
	snprintf(path, sizeof(path), "%s", file("index.sqlite3"));
	ck_assert_int_eq(rename(path, file("index.sqlite3.new")), 0);
	write_file(file("index.sqlite3"), "damaged", 7);
	write_file(file("index.sqlite3-wal"), "journal", 7);
	open_store();
	ck_assert_uint_eq(stats_now().entries, 21);
	ck_assert_int_eq(count_names(dir, "index.sqlite3.damaged-"), 3);
	ck_assert_int_eq(count_names(dir, "index.sqlite3.new"), 0);
	close_store();
	/* The old one is away already, its journal not. */
	snprintf(to, sizeof(to), "%s", file("index.sqlite3.new"));
	ck_assert_int_eq(rename(path, to), 0);
	write_file(file("index.sqlite3-wal"), "journal", 7);
	open_store();
	ck_assert_uint_eq(stats_now().entries, 21);
	ck_assert_int_eq(count_names(dir, "index.sqlite3.damaged-"), 4);
	for (unsigned n = 0; n < 21; n++)
		ck_assert_int_eq(load_now(n, 'x', 100), NTC_ST_OK);
}
END_TEST

/* Damage that no start meets: a list of free pages that leads nowhere. */
static void damage_freelist(void)
{
	static const uint8_t nowhere[8] = { 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 9 };
	int fd = open(file("index.sqlite3"), O_WRONLY);

	ck_assert_int_eq(pwrite(fd, nowhere, sizeof(nowhere), 32), sizeof(nowhere));
	close(fd);
}

static void fill_ruined(void)
{
	for (unsigned n = 0; n < RUINED; n++)
		put_now(n, 'x', ruined_size(n));
	for (unsigned n = 0; n < RUINED; n += 3)
		ck_assert_uint_eq(remove_now(n), 1);
}

/* A put that meets damage is written into the index that takes the place of the damaged one. */
START_TEST(damage_met_by_a_put_is_mended)
{
	struct ntc_digest digest = digest_of(1);
	struct answer a[4] = { 0 };

	fill_ruined();
	ntc_store_hit(store, &digest, 3);
	close_store();
	damage_freelist();
	open_store();
	ck_assert_uint_eq(stats_now().rebuilds, 0);
	put(100, 'y', 7000, &a[0]);
	remove_key(1, &a[1]);
	put(101, 'y', 100000, &a[2]);
	wait_for(&a[2].durable);
	ck_assert_int_eq(a[0].durable_st, NTC_ST_OK);
	ck_assert_int_eq(a[1].remove_st, NTC_ST_OK);
	ck_assert_int_eq(a[2].durable_st, NTC_ST_OK);
	settle();
	ck_assert_uint_eq(stats_now().rebuilds, 1);
	ck_assert_int_eq(count_names(dir, "index.sqlite3.damaged-"), 1);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(load_now(1, 'x', ruined_size(1)), NTC_ST_NOT_FOUND);
		ck_assert_int_eq(load_now(100, 'y', 7000), NTC_ST_OK);
		ck_assert_int_eq(load_now(101, 'y', 100000), NTC_ST_OK);
		for (unsigned n = 2; n < RUINED; n++)
			ck_assert_int_eq(load_now(n, 'x', ruined_size(n)), n % 3 ? NTC_ST_OK : NTC_ST_NOT_FOUND);
		ck_assert_uint_eq(stats_now().entries, RUINED - RUINED / 3 + 1);
		reopen_store();
	}
	close_store();
	check_index(RUINED - RUINED / 3 + 1);
	open_store();
	ck_assert_int_eq(count_names(dir, "index.sqlite3.damaged-"), 1);
}
END_TEST

/* Damage that only reading meets: nothing leads to the images any more. */
START_TEST(damage_met_by_a_load_is_mended)
{
	static const char zeros[4096];
	struct answer a = { 0 };
	long long root;
	int fd;

	fill_ruined();
	close_store();
	root = ask("SELECT rootpage FROM sqlite_schema WHERE name = 'image'");
	fd = open(file("index.sqlite3"), O_WRONLY);
	ck_assert_int_eq(pwrite(fd, zeros, sizeof(zeros), (off_t)(root - 1) * (off_t)sizeof(zeros)), sizeof(zeros));
	close(fd);
	open_store();
	ck_assert_uint_eq(stats_now().rebuilds, 0);
	/* Not known to be gone, and not given either. */
	load(1, &a);
	wait_for(&a.loaded);
	ck_assert_int_eq(a.load_st, NTC_ST_IO);
	settle();
	ck_assert_uint_eq(stats_now().rebuilds, 1);
	check_all_but_third();
	reopen_store();
	check_all_but_third();
	ck_assert_int_eq(count_names(dir, "index.sqlite3.damaged-"), 1);
}
END_TEST

/* A row that nobody would write is passed over by the rebuild: the others keep what they have. */
START_TEST(a_bad_row_costs_no_other)
{
	struct answer a = { 0 };
	char text[200], digits[NTC_DIGEST_TEXT];
	struct ntc_digest digest;

	for (unsigned n = 0; n < 10; n++) {
		put_now(n, 'x', n % 2 ? 100 : 100000);
		digest = digest_of(n);
		ntc_store_hit(store, &digest, 5);
	}
	close_store();
	digest = digest_of(3);
	ntc_digest_format(&digest, digits);
	snprintf(text, sizeof(text), "UPDATE entry SET producer = char(10) WHERE digest = x'%s'", digits);
	run_sql(text);
	open_store();
	ck_assert_uint_eq(stats_now().rebuilds, 0);
	ck_assert_int_eq(load_now(3, 'x', 100), NTC_ST_IO);
	settle();
	ck_assert_uint_eq(stats_now().rebuilds, 1);
	for (unsigned n = 0; n < 10; n++) {
		a = (struct answer){ 0 };
		load(n, &a);
		wait_for(&a.loaded);
		ck_assert_int_eq(a.load_st, NTC_ST_OK);
		ck_assert_uint_eq(a.row.hits, n == 3 ? 0 : 5);
		ntc_buffer_unref(a.image);
	}
}
END_TEST

/* Where the last end was not clean somebody looks closely, behind the start. */
START_TEST(damage_met_by_the_check_is_mended)
{
	fill_ruined();
	close_store();
	run_sql("DELETE FROM value WHERE name = 'clean'");
	damage_freelist();
	open_store();
	ck_assert_uint_eq(stats_now().rebuilds, 1);
	check_all_but_third();
	ck_assert_int_eq(count_names(dir, "index.sqlite3.damaged-"), 1);
	reopen_store();
	ck_assert_uint_eq(stats_now().rebuilds, 0);
	check_all_but_third();
}
END_TEST

/* A check that is broken off by an end is made up for by the next start. */
START_TEST(check_that_is_broken_off_is_done_again)
{
	fill_ruined();
	close_store();
	run_sql("DELETE FROM value WHERE name = 'clean'");
	for (int i = 0; i < 20; i++) {
		ck_assert_int_eq(try_open(), NTC_ST_OK);
		close_store();
		if (ask("SELECT count(*) FROM value WHERE name = 'clean'"))
			break; /* it was done before the end came */
	}
	open_store();
	check_all_but_third();
	close_store();
	ck_assert_int_eq(ask("SELECT count(*) FROM value WHERE name = 'clean'"), 1);
	open_store();
}
END_TEST

/* Images that are lost with the index are gone from the table too. */
START_TEST(what_is_lost_is_forgotten)
{
	uint64_t bytes;

	for (unsigned n = 0; n < 30; n++)
		put_now(n, 'x', n % 2 ? 100 : 100000);
	bytes = stats_now().bytes;
	close_store();
	run_sql("UPDATE image SET bytes = zeroblob(length(bytes)) WHERE id % 3 = 0");
	damage_freelist();
	open_store();
	put_now(100, 'y', 7000);
	settle();
	ck_assert_uint_eq(stats_now().rebuilds, 1);
	ck_assert_uint_eq(stats_now().entries, 26);
	ck_assert_uint_lt(stats_now().bytes, bytes + 8192);
	reopen_store();
	ck_assert_uint_eq(stats_now().entries, 26);
}
END_TEST

/* --- before the sweep has come by ------------------------------------------------------------- */

static atomic_bool no_listing;

static int refuse_lists(enum ntc_test_call call, const char *name, int flags)
{
	(void)flags;
	return no_listing && call == NTC_CALL_LIST && name && strlen(name) == 2 ? EIO : 0;
}

START_TEST(hits_do_not_wait_for_the_sweep)
{
	fill_ruined();
	close_store();
	ntc_test_hook_sys(refuse_lists);
	no_listing = true;
	ck_assert_int_eq(try_open(), NTC_ST_OK);
	check_all_but_third();
	ck_assert_int_eq(put_now(0, 'x', 100), NTC_STORED_NEW);
	ck_assert_uint_eq(remove_now(0), 1);
	ck_assert(stats_now().recovering);
	/* A close does not wait for it either. */
	close_store();
	ck_assert_int_eq(try_open(), NTC_ST_OK);
	no_listing = false;
	settle();
	check_all_but_third();
}
END_TEST

/* A new index has no rows of blobs: what is asked for is looked for, and decided as if it had. */
START_TEST(rebuilt_is_known_before_the_sweep)
{
	struct answer a = { 0 };
	struct ntc_digest digest;

	fill_ruined();
	close_store();
	damage_header();
	ntc_test_hook_sys(refuse_lists);
	no_listing = true;
	ck_assert_int_eq(try_open(), NTC_ST_OK);
	ck_assert_int_eq(put_now(5, 'x', ruined_size(5)), NTC_STORED_KNOWN);
	ck_assert_int_eq(put_now(10, 'y', ruined_size(10)), NTC_STORED_DIFFERS);
	ck_assert_int_eq(put_now(10, 'y', 100), NTC_STORED_DIFFERS);
	/* Several calls behind one look keep their order. */
	load(20, &a);
	remove_key(20, &a);
	put(20, 'z', 100000, &a);
	wait_for(&a.durable);
	ck_assert_int_eq(a.load_st, NTC_ST_OK);
	ck_assert_uint_eq(a.remove_count, 1);
	ck_assert_int_eq(a.stored, NTC_STORED_NEW);
	ntc_buffer_unref(a.image);
	digest = digest_of(25);
	a = (struct answer){ 0 };
	ntc_store_remove_digest(store, &digest, on_remove, &a);
	wait_for(&a.removed);
	ck_assert_uint_eq(a.remove_count, 1);
	ck_assert(!exists(blob_file(25)));
	ck_assert_int_eq(load_now(25, 'x', ruined_size(25)), NTC_ST_NOT_FOUND);
	ck_assert_int_eq(load_now(35, 'x', ruined_size(35)), NTC_ST_OK);
	ck_assert_int_eq(load_now(1000, 'x', 100), NTC_ST_NOT_FOUND);
	/* And still so at the next start. */
	close_store();
	ck_assert_int_eq(try_open(), NTC_ST_OK);
	ck_assert_int_eq(load_now(40, 'x', ruined_size(40)), NTC_ST_OK);
	no_listing = false;
	settle();
	ck_assert_int_eq(load_now(20, 'z', 100000), NTC_ST_OK);
	ck_assert_int_eq(load_now(25, 'x', ruined_size(25)), NTC_ST_NOT_FOUND);
	ck_assert_uint_eq(stats_now().entries, RUINED - RUINED / 3 - 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_small");
	TCase *tc = tcase_create("store_small");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, size_decides_where);
	tcase_add_test(tc, small_entries_take_no_files);
	tcase_add_test(tc, second_put_is_known_or_differs);
	tcase_add_test(tc, removed_is_gone_for_good);
	tcase_add_test(tc, evicted_rows_take_their_images_along);
	tcase_add_test(tc, row_wins_over_a_file_that_was_left);
	tcase_add_test(tc, damaged_image_is_a_miss);
	tcase_add_test(tc, what_cannot_be_written_changes_nothing);
	tcase_add_loop_test(tc, damaged_index_gives_images_back, 0, (int)(sizeof(damages) / sizeof(*damages)));
	tcase_add_test(tc, ruins_are_read_with_their_journal);
	tcase_add_test(tc, interrupted_rebuild_is_finished);
	tcase_add_test(tc, damage_met_by_a_put_is_mended);
	tcase_add_test(tc, damage_met_by_a_load_is_mended);
	tcase_add_test(tc, a_bad_row_costs_no_other);
	tcase_add_test(tc, damage_met_by_the_check_is_mended);
	tcase_add_test(tc, check_that_is_broken_off_is_done_again);
	tcase_add_test(tc, what_is_lost_is_forgotten);
	tcase_add_test(tc, hits_do_not_wait_for_the_sweep);
	tcase_add_test(tc, rebuilt_is_known_before_the_sweep);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
