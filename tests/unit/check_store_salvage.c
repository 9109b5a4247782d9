/* Images out of the ruins of an index: all that is whole, nothing that was removed, no belief in any number. */
#include "store_fixture.h"

#include <signal.h>

#include "store/salvage.h"
#include "tests/support/unit_sys.h"

enum { ENTRIES = 120, PAGE = NTC_SALVAGE_PAGE };

/* Sizes that end before, at and behind a page, and take chains of every length up to 16. */
static size_t part_size(unsigned n)
{
	return n % 4 == 0 ? 100 + n : n % 4 == 1 ? 2000 + 16 * n : n % 4 == 2 ? 3300 + 8 * n : 500 * n;
}

static uint8_t part_fill(unsigned n)
{
	return (uint8_t)('a' + n % 26);
}

static void setup(void)
{
	options = (struct ntc_store_options){ .inline_max = 1 << 17 };
	make_dir();
}

static void teardown(void)
{
	ntc_test_hook_sys(NULL);
	remove_dir();
}

static void put_all(void)
{
	struct answer *a = calloc(ENTRIES, sizeof(*a));

	for (unsigned n = 0; n < ENTRIES; n++)
		put(n, part_fill(n), part_size(n), &a[n]);
	for (unsigned n = 0; n < ENTRIES; n++)
		wait_for(&a[n].durable);
	free(a);
}

/* --- what comes out ----------------------------------------------------------------------- */

static unsigned found[ENTRIES]; /* how often each */

static enum ntc_status count_one(void *ctx, const struct ntc_row *row, const struct ntc_buffer *image)
{
	(void)ctx;
	for (unsigned n = 0; n < ENTRIES; n++) {
		struct ntc_digest digest = digest_of(n);
		struct ntc_buffer *whole;

		if (!ntc_digest_equal(&digest, &row->digest))
			continue;
		whole = make_image(n, part_fill(n), part_size(n));
		ck_assert(ntc_view_equal(view_of(whole), view_of(image)));
		ck_assert_uint_eq(row->size, whole->len);
		ck_assert_uint_eq(row->cost_ns, 77);
		ntc_buffer_unref(whole);
		found[n]++;
		return NTC_ST_OK;
	}
	ck_abort_msg("an image that nobody put");
	return NTC_ST_IO;
}

static struct ntc_salvaged salvage(void)
{
	struct ntc_salvaged salvaged;
	int fd = open(dir, O_RDONLY | O_DIRECTORY);
	enum ntc_status st;

	memset(found, 0, sizeof(found));
	st = ntc_salvage(fd, "index.sqlite3", count_one, NULL, &salvaged, &reason);
	ck_assert_msg(st == NTC_ST_OK, "%s", reason.text);
	close(fd);
	return salvaged;
}

static unsigned found_count(void)
{
	unsigned count = 0;

	for (unsigned n = 0; n < ENTRIES; n++) {
		ck_assert_uint_le(found[n], 1);
		count += found[n];
	}
	return count;
}

START_TEST(everything_whole_is_found)
{
	struct ntc_salvaged salvaged;

	open_store();
	put_all();
	close_store();
	salvaged = salvage();
	ck_assert_uint_eq(found_count(), ENTRIES);
	ck_assert_uint_eq(salvaged.images, ENTRIES);
	ck_assert_uint_eq(salvaged.lost, 0);
}
END_TEST

START_TEST(removed_is_not_found)
{
	open_store();
	put_all();
	for (unsigned n = 0; n < ENTRIES; n += 3)
		ck_assert_uint_eq(remove_now(n), 1);
	close_store();
	(void)salvage();
	ck_assert_uint_eq(found_count(), ENTRIES - ENTRIES / 3);
	for (unsigned n = 0; n < ENTRIES; n += 3)
		ck_assert_uint_eq(found[n], 0);
	/* Nor when it was moved about on its page before. */
	open_store();
	for (unsigned n = 1; n < ENTRIES; n += 3)
		ck_assert_uint_eq(remove_now(n), 1);
	close_store();
	(void)salvage();
	ck_assert_uint_eq(found_count(), ENTRIES / 3);
}
END_TEST

/* In a process that is killed with everything in the WAL, and ends it with puts and removals behind an earlier end. */
static void work_and_die(void)
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		open_store();
		put_all();
		for (unsigned n = 0; n < ENTRIES; n += 5)
			ck_assert_uint_eq(remove_now(n), 1);
		kill(getpid(), SIGKILL);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
}

START_TEST(what_is_committed_counts)
{
	struct stat st;

	work_and_die();
	ck_assert_int_eq(stat(file("index.sqlite3-wal"), &st), 0);
	ck_assert_int_gt(st.st_size, 100 * PAGE);
	(void)salvage();
	ck_assert_uint_eq(found_count(), ENTRIES - ENTRIES / 5);
	for (unsigned n = 0; n < ENTRIES; n += 5)
		ck_assert_uint_eq(found[n], 0);
	/* As SQLite does it: the WAL counts up to its last whole commit. */
	ck_assert_int_eq(truncate(file("index.sqlite3-wal"), st.st_size - 1), 0);
	(void)salvage();
	ck_assert_uint_ge(found_count(), ENTRIES - ENTRIES / 5);
	ck_assert_uint_le(found_count(), ENTRIES - ENTRIES / 5 + 1);
}
END_TEST

static uint8_t *read_file(const char *path, size_t *len)
{
	FILE *f = fopen(path, "r");
	uint8_t *bytes;

	ck_assert_ptr_nonnull(f);
	fseek(f, 0, SEEK_END);
	*len = (size_t)ftell(f);
	rewind(f);
	bytes = malloc(*len + 1);
	ck_assert_uint_eq(fread(bytes, 1, *len, f), *len);
	fclose(f);
	return bytes;
}

START_TEST(damage_costs_what_it_hits)
{
	unsigned random = 1, worst = ENTRIES;
	uint8_t *bytes;
	size_t len;

	open_store();
	put_all();
	close_store();
	bytes = read_file(file("index.sqlite3"), &len);
	/* A page of zeros anywhere costs at most what is in it or leads through it. */
	for (size_t page = 0; page < len / PAGE; page++) {
		uint8_t kept[PAGE];

		memcpy(kept, bytes + page * PAGE, PAGE);
		memset(bytes + page * PAGE, 0, PAGE);
		write_file(file("index.sqlite3"), bytes, len);
		(void)salvage();
		worst = found_count() < worst ? found_count() : worst;
		memcpy(bytes + page * PAGE, kept, PAGE);
	}
	ck_assert_uint_ge(worst, ENTRIES - 20);
	/* Bytes anywhere, single and in heaps: what comes out is what was put. */
	for (int round = 0; round < 600; round++) {
		uint8_t *copy = malloc(len);
		size_t cut = len;

		memcpy(copy, bytes, len);
		for (int i = 0; i < 1 << round % 12; i++) {
			size_t at;

			random = random * 1103515245 + 12345;
			at = (size_t)(random >> 4) % len;
			/* Mostly where pages say what is where. */
			if (round % 3)
				at = at / PAGE * PAGE + at % 24;
			random = random * 1103515245 + 12345;
			copy[at] = (uint8_t)(random >> 16);
		}
		if (round % 7 == 0)
			cut = (size_t)(random >> 4) % len;
		write_file(file("index.sqlite3"), copy, cut);
		free(copy);
		(void)salvage();
		(void)found_count();
	}
	free(bytes);
}
END_TEST

/* Chains that lead to themselves, and cells on top of each other: it ends, and soon. */
START_TEST(hostile_files_end)
{
	size_t pages = 64, len = pages * PAGE;
	uint8_t *bytes = calloc(1, len);
	struct ntc_salvaged salvaged;

	for (size_t page = 0; page < pages; page++) {
		uint8_t *begin = bytes + page * PAGE + (page ? 0 : 100);
		unsigned cells = 500;
		/* A row of a mebibyte, and header of one blob that fills it. */
		static const uint8_t cell[] = { 0xc0, 0x80, 0x06, 1, 6, 0, 0x81, 0x80, 0x80, 0x0c };

		begin[0] = 13;
		begin[3] = (uint8_t)(cells >> 8), begin[4] = (uint8_t)cells;
		for (unsigned i = 0; i < cells; i++) {
			begin[8 + 2 * i] = (uint8_t)((1200 + i % 8) >> 8);
			begin[9 + 2 * i] = (uint8_t)(1200 + i % 8);
		}
		memcpy(bytes + page * PAGE + 1200, cell, sizeof(cell));
		/* Every word behind is the number of a page. */
		for (size_t at = 1300; at + 4 <= PAGE; at += 4)
			bytes[page * PAGE + at + 3] = (uint8_t)(page + 1);
	}
	write_file(file("index.sqlite3"), bytes, len);
	free(bytes);
	salvaged = salvage();
	ck_assert_uint_eq(salvaged.images, 0);
	ck_assert_uint_eq(salvaged.pages, pages);
	ck_assert_uint_gt(salvaged.lost, pages);
	/* Other things that are no index. */
	write_file(file("index.sqlite3"), "", 0);
	ck_assert_uint_eq(salvage().pages, 0);
	write_file(file("index.sqlite3"), "SQLite format 3", 16);
	ck_assert_uint_eq(salvage().images, 0);
}
END_TEST

START_TEST(a_wal_that_lies_is_passed_over)
{
	uint8_t *wal, *copy;
	unsigned random = 7;
	size_t len;

	work_and_die();
	wal = read_file(file("index.sqlite3-wal"), &len);
	copy = malloc(len);
	for (int round = 0; round < 200; round++) {
		memcpy(copy, wal, len);
		for (int i = 0; i < 1 << round % 6; i++) {
			size_t at;

			random = random * 1103515245 + 12345;
			at = (size_t)(random >> 4) % len;
			if (round % 2)
				at = at < 4152 ? at % 32 : 32 + (at - 32) / 4120 * 4120 + at % 24;
			copy[at < len ? at : 0] ^= (uint8_t)(1 << i % 8);
		}
		write_file(file("index.sqlite3-wal"), copy, len);
		(void)salvage();
		(void)found_count();
	}
	free(copy);
	free(wal);
}
END_TEST

static int fail_reads(enum ntc_test_call call, const char *name, int flags)
{
	static int reads;

	(void)name;
	(void)flags;
	return call == NTC_CALL_READ && ++reads == 20 ? EIO : 0;
}

START_TEST(sick_disks_decide_nothing)
{
	struct ntc_salvaged salvaged;
	int fd = open(dir, O_RDONLY | O_DIRECTORY);

	ck_assert_int_eq(ntc_salvage(fd, "index.sqlite3", count_one, NULL, &salvaged, &reason), NTC_ST_NOT_FOUND);
	open_store();
	put_all();
	close_store();
	ntc_test_hook_sys(fail_reads);
	ck_assert_int_eq(ntc_salvage(fd, "index.sqlite3", count_one, NULL, &salvaged, &reason), NTC_ST_IO);
	ntc_test_hook_sys(NULL);
	close(fd);
	(void)salvage();
	ck_assert_uint_eq(found_count(), ENTRIES);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_salvage");
	TCase *tc = tcase_create("store_salvage");

	tcase_set_timeout(tc, 100);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, everything_whole_is_found);
	tcase_add_test(tc, removed_is_not_found);
	tcase_add_test(tc, what_is_committed_counts);
	tcase_add_test(tc, damage_costs_what_it_hits);
	tcase_add_test(tc, hostile_files_end);
	tcase_add_test(tc, a_wal_that_lies_is_passed_over);
	tcase_add_test(tc, sick_disks_decide_nothing);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
