/* ntcache-ctl: which entries a command is about, and how long one will take. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/ctl/progress.h"
#include "client/ctl/select.h"

#define S UINT64_C(1000000000)

START_TEST(test_durations)
{
	static const struct {
		const char *text;
		uint64_t seconds;
	} good[] = { { "0s", 0 }, { "90s", 90 }, { "15m", 900 }, { "12h", 43200 }, { "7d", 604800 }, { "2w", 1209600 } };
	static const char *const bad[] = { "",	 "7",	"d",   "-1d", "+1d", " 1d", "1 d", "1dd", "1y", "1.5h",
					   "0x1d", "99999999999999999999d", "18446744073709551615s", "1d " };
	uint64_t ns;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ck_assert(ntc_ctl_parse_duration(good[i].text, &ns));
		ck_assert(ns == good[i].seconds * S);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!ntc_ctl_parse_duration(bad[i], &ns), "'%s'", bad[i]);
}
END_TEST

START_TEST(test_bytes)
{
	static const char *const bad[] = { "", "K", "-1", "1KB", "1.5G", " 1", "1P", "18446744073709551616", "16777216T" };
	uint64_t bytes;

	ck_assert(ntc_ctl_parse_bytes("0", &bytes) && bytes == 0);
	ck_assert(ntc_ctl_parse_bytes("4096", &bytes) && bytes == 4096);
	ck_assert(ntc_ctl_parse_bytes("64k", &bytes) && bytes == 65536);
	ck_assert(ntc_ctl_parse_bytes("3G", &bytes) && bytes == UINT64_C(3) << 30);
	ck_assert(ntc_ctl_parse_bytes("18446744073709551615", &bytes) && bytes == UINT64_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!ntc_ctl_parse_bytes(bad[i], &bytes), "'%s'", bad[i]);
}
END_TEST

START_TEST(test_since)
{
	static const char *const bad[] = { "", "yesterday", "2026", "2026-13-01", "2026-01-01x", "2026-01-01 25:00", "1969-01-01" };
	uint64_t now = 2000000000 * S, at;

	setenv("TZ", "UTC", 1);
	tzset();
	ck_assert(ntc_ctl_parse_since("1d", now, &at) && at == now - 86400 * S);
	ck_assert(ntc_ctl_parse_since("4000w", now, &at) && at == 0);
	ck_assert(ntc_ctl_parse_since("2026-11-30", now, &at) && at == 1795996800 * S);
	ck_assert(ntc_ctl_parse_since("2026-11-30 14:30", now, &at) && at == (1795996800 + 52200) * S);
	ck_assert(ntc_ctl_parse_since("2026-11-30 14:30:05", now, &at) && at == (1795996800 + 52205) * S);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!ntc_ctl_parse_since(bad[i], now, &at), "'%s'", bad[i]);
}
END_TEST

START_TEST(test_rows)
{
	struct ntc_row_view row = { .kind = NTC_KIND_KERNEL, .uid = 7, .put_wall_ns = 100, .producer = "nvrtc 13.0", .name = "matmul" };
	const struct {
		struct ntc_ctl_select select;
		bool fits;
	} cases[] = {
		{ { 0 }, true },
		{ { .kind = NTC_KIND_KERNEL }, true },
		{ { .kind = NTC_KIND_LIBRARY }, false },
		{ { .producer = "nvrtc*" }, true },
		{ { .producer = "nvrtc" }, false },
		{ { .producer = "" }, false },
		{ { .name = "mat[am]ul" }, true },
		{ { .name = "Matmul" }, false },
		{ { .has_user = true, .uid = 7 }, true },
		{ { .has_user = true }, false },
		{ { .since_wall_ns = 100 }, true },
		{ { .since_wall_ns = 101 }, false },
		{ { .kind = NTC_KIND_KERNEL, .name = "*", .producer = "*", .has_user = true, .uid = 7, .since_wall_ns = 1 }, true },
		{ { .kind = NTC_KIND_KERNEL, .name = "x*", .producer = "*", .has_user = true, .uid = 7, .since_wall_ns = 1 }, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(ntc_ctl_select_row(&cases[i].select, &row) == cases[i].fits, "case %zu", i);
	row.producer[0] = '\0';
	ck_assert(ntc_ctl_select_row(&(struct ntc_ctl_select){ .producer = "" }, &row));
}
END_TEST

START_TEST(test_time_left)
{
	ck_assert(ntc_ctl_progress_left(25, 100, 10 * S) == 30 * S);
	ck_assert(ntc_ctl_progress_left(99, 100, 99 * S) == S);
	/* Nothing is said before there is something to go by, nor at the end, nor where the whole is not known. */
	ck_assert(ntc_ctl_progress_left(0, 100, 10 * S) == 0);
	ck_assert(ntc_ctl_progress_left(25, 100, S / 10) == 0);
	ck_assert(ntc_ctl_progress_left(100, 100, 10 * S) == 0);
	ck_assert(ntc_ctl_progress_left(200, 100, 10 * S) == 0);
	ck_assert(ntc_ctl_progress_left(5, 0, 10 * S) == 0);
	ck_assert(ntc_ctl_progress_left(1, UINT64_C(1) << 50, 10 * S) > 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("select");
	TCase *tc = tcase_create("select");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_test(tc, test_durations);
	tcase_add_test(tc, test_bytes);
	tcase_add_test(tc, test_since);
	tcase_add_test(tc, test_rows);
	tcase_add_test(tc, test_time_left);
	suite_add_tcase(s, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
