/* The frozen numbers of outcomes, their names, texts and advice; reasons for people. */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "proto/status.h"

/* The numbers are on the wire: this list is a second copy on purpose. */
static const struct {
	unsigned number;
	const char *name;
	bool retry;
} frozen[] = {
	{ 0, "OK", false },
	{ 1, "BAD_FRAME", false },
	{ 2, "BAD_VERSION", false },
	{ 3, "UNKNOWN_TYPE", false },
	{ 4, "BAD_MESSAGE", false },
	{ 5, "BAD_KEY", false },
	{ 6, "BAD_IMAGE", false },
	{ 7, "BAD_CHECKSUM", false },
	{ 8, "KEY_MISMATCH", false },
	{ 9, "TOO_LARGE", false },
	{ 10, "BAD_DESCRIPTOR", false },
	{ 11, "NO_SUCH_LEASE", false },
	{ 12, "READ_ONLY", false },
	{ 13, "FORBIDDEN", false },
	{ 20, "NOT_FOUND", false },
	{ 21, "COLLISION", false },
	{ 22, "MAKE_FAILED", false },
	{ 23, "CIRCULAR", false },
	{ 24, "CANCELLED", false },
	{ 25, "WAIT_OVER", true },
	{ 30, "BUSY", true },
	{ 31, "SHUTTING_DOWN", true },
	{ 32, "NO_MEMORY", true },
	{ 33, "NO_SPACE", true },
	{ 34, "IO", true },
	{ 35, "NO_FILES", true },
	{ 36, "QUOTA", true },
	{ 37, "DISK_READ_ONLY", true },
	{ 40, "LOCKED", true },
	{ 41, "NEWER_STORE", false },
	{ 42, "BAD_STORE", false },
};

START_TEST(test_frozen)
{
	size_t known = 0;

	for (size_t i = 0; i < sizeof(frozen) / sizeof(frozen[0]); i++) {
		ck_assert_str_eq(ntc_status_name(frozen[i].number), frozen[i].name);
		ck_assert_int_eq(ntc_status_retry(frozen[i].number), frozen[i].retry);
		ck_assert_uint_gt(strlen(ntc_status_text(frozen[i].number)), 0);
	}
	for (unsigned n = 0; n < 70000; n++)
		known += strcmp(ntc_status_name(n), "UNKNOWN") != 0;
	ck_assert_uint_eq(known, sizeof(frozen) / sizeof(frozen[0]));
	ck_assert_str_eq(ntc_status_name(99), "UNKNOWN");
	ck_assert_uint_gt(strlen(ntc_status_text(99)), 0);
	ck_assert(!ntc_status_retry(99));
}
END_TEST

START_TEST(test_errno)
{
	ck_assert_int_eq(ntc_status_from_errno(ENOSPC), NTC_ST_NO_SPACE);
	ck_assert_int_eq(ntc_status_from_errno(EFBIG), NTC_ST_NO_SPACE);
	ck_assert_int_eq(ntc_status_from_errno(EDQUOT), NTC_ST_QUOTA);
	ck_assert_int_eq(ntc_status_from_errno(EMFILE), NTC_ST_NO_FILES);
	ck_assert_int_eq(ntc_status_from_errno(ENFILE), NTC_ST_NO_FILES);
	ck_assert_int_eq(ntc_status_from_errno(ENOMEM), NTC_ST_NO_MEMORY);
	ck_assert_int_eq(ntc_status_from_errno(EIO), NTC_ST_IO);
	ck_assert_int_eq(ntc_status_from_errno(EROFS), NTC_ST_DISK_READ_ONLY);
	ck_assert_int_eq(ntc_status_from_errno(0), NTC_ST_IO);
}
END_TEST

START_TEST(test_unwritable)
{
	for (unsigned n = 0; n < 100; n++)
		ck_assert_int_eq(ntc_status_unwritable((enum ntc_status)n), n == 33 || n == 36 || n == 37);
}
END_TEST

START_TEST(test_reject)
{
	struct ntc_reason reason;
	char longer[1000];

	ck_assert_int_eq(ntc_reject(NULL, NTC_ST_BUSY, "%d", 1), NTC_ST_BUSY);
	ck_assert_int_eq(ntc_reject(&reason, NTC_ST_IO, "%s of %d", "one", 7), NTC_ST_IO);
	ck_assert_str_eq(reason.text, "one of 7");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	ck_assert_int_eq(ntc_reject(&reason, NTC_ST_IO, "%s", longer), NTC_ST_IO);
	ck_assert_uint_eq(strlen(reason.text), sizeof(reason.text) - 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("status");
	TCase *tc = tcase_create("status");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_test(tc, test_frozen);
	tcase_add_test(tc, test_errno);
	tcase_add_test(tc, test_unwritable);
	tcase_add_test(tc, test_reject);
	suite_add_tcase(s, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
