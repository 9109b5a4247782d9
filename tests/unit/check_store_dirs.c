/* Directories by path: what is made with which mode, and which names are synced before what. */
#include "store_fixture.h"

#include <limits.h>

#include "store/dirs.h"
#include "tests/support/unit_sys.h"

static int made, synced, synced_first;
static enum ntc_test_call failing;
static int failure;

/* Every name that is made is synced before the next one is. */
static int watch(enum ntc_test_call call, const char *name, int flags)
{
	(void)flags;
	(void)name;
	if (call == failing)
		return failure;
	if (call == NTC_CALL_MKDIR) {
		if (!made)
			synced_first = synced;
		ck_assert_int_eq(synced, made + synced_first);
		made++;
	}
	synced += call == NTC_CALL_FSYNC;
	return 0;
}

static void begin(void)
{
	made = synced = synced_first = 0;
	failing = NTC_CALL_NONE;
	ntc_test_hook_sys(watch);
}

static void setup(void)
{
	make_dir();
	begin();
}

static void teardown(void)
{
	ntc_test_hook_sys(NULL);
	remove_dir();
}

static mode_t mode_of(const char *name)
{
	struct stat st;

	ck_assert_int_eq(stat(file(name), &st), 0);
	return st.st_mode & 07777;
}

START_TEST(missing_ones_are_made_and_synced)
{
	umask(022);
	ck_assert_int_eq(ntc_dirs_make(file("a/b/c//"), 0750, "first"), 0);
	ck_assert_uint_eq(mode_of("a"), 0700);
	ck_assert_uint_eq(mode_of("a/b"), 0700);
	ck_assert_uint_eq(mode_of("a/b/c"), 0750);
	ck_assert_int_eq(made, 3);
	/* What was there may have been made by a start that did not come to the sync. */
	ck_assert_int_eq(synced_first, 1);
	ck_assert_int_eq(synced, 4);
}
END_TEST

START_TEST(what_is_there_is_synced_until_it_is_used)
{
	ck_assert_int_eq(mkdir(file("a"), 0700), 0);
	ck_assert_int_eq(ntc_dirs_make(file("a"), 0700, "first"), 0);
	ck_assert_int_eq(synced, 1);
	write_file(file("a/first"), "", 0);
	begin();
	ck_assert_int_eq(ntc_dirs_make(file("a"), 0700, "first"), 0);
	ck_assert_int_eq(synced, 0);
	ck_assert_int_eq(made, 0);
}
END_TEST

START_TEST(failures_are_told)
{
	char path[PATH_MAX + 2];

	failing = NTC_CALL_FSYNC;
	failure = EIO;
	ck_assert_int_eq(ntc_dirs_make(file("a"), 0700, "first"), -EIO);
	failing = NTC_CALL_MKDIR;
	failure = ENOSPC;
	ck_assert_int_eq(ntc_dirs_make(file("b"), 0700, "first"), -ENOSPC);
	begin();
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	ck_assert_int_eq(ntc_dirs_make(path, 0700, "first"), -ENAMETOOLONG);
	ck_assert_int_eq(ntc_dirs_make("", 0700, "first"), -ENOENT);
	ck_assert_int_eq(ntc_dirs_sync_above("/nonexistent/name"), -ENOENT);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_dirs");
	TCase *tc = tcase_create("dirs");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, missing_ones_are_made_and_synced);
	tcase_add_test(tc, what_is_there_is_synced_until_it_is_used);
	tcase_add_test(tc, failures_are_told);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
