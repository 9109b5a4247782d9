/* What ntcache-ctl reads and prints: numbers, foreign texts, digest prefixes, command names, counters. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/counters.h"
#include "client/ctl/ctl.h"
#include "client/ctl/format.h"
#include "client/ctl/prefix.h"

#define S UINT64_C(1000000000)

static char number[NTC_CTL_NUMBER_SIZE];

START_TEST(test_numbers)
{
	ck_assert_str_eq(ntc_ctl_bytes_text(0, number), "0 B");
	ck_assert_str_eq(ntc_ctl_bytes_text(1023, number), "1023 B");
	ck_assert_str_eq(ntc_ctl_bytes_text(1024, number), "1.0 KiB");
	ck_assert_str_eq(ntc_ctl_bytes_text((1u << 20) - 1, number), "1.0 MiB");
	ck_assert_str_eq(ntc_ctl_bytes_text(UINT64_C(10) << 30, number), "10.0 GiB");
	ck_assert_str_eq(ntc_ctl_bytes_text(UINT64_MAX, number), "16.0 EiB");
	ck_assert_str_eq(ntc_ctl_duration_text(999, number), "999 ns");
	ck_assert_str_eq(ntc_ctl_duration_text(1000, number), "1.00 us");
	ck_assert_str_eq(ntc_ctl_duration_text(12345678, number), "12.34 ms");
	ck_assert_str_eq(ntc_ctl_duration_text(S * 59, number), "59.00 s");
	ck_assert_str_eq(ntc_ctl_duration_text(S * 125, number), "2 min 05 s");
	ck_assert_str_eq(ntc_ctl_duration_text(S * 3600 * 27, number), "1 d 03 h");
	ck_assert_str_eq(ntc_ctl_age_text(S * 100, S * 40, number), "1 min");
	ck_assert_str_eq(ntc_ctl_age_text(S, S * 40, number), "now");
	ck_assert_str_eq(ntc_ctl_age_text(S, 0, number), "-");
	ck_assert_str_eq(ntc_ctl_wall_text(0, number), "-");
}
END_TEST

static void ck_printed(const char *text, size_t len, bool lines, const char *expected)
{
	char *printed = NULL;
	size_t size;
	FILE *out = open_memstream(&printed, &size);

	ntc_ctl_print_text(out, text, len, lines);
	fclose(out);
	ck_assert_str_eq(printed, expected);
	free(printed);
}

START_TEST(test_foreign_text)
{
	ck_printed("plain \xc3\xa4", 8, false, "plain \xc3\xa4");
	ck_printed("\033[31mred", 8, false, "\\x1b[31mred");
	ck_printed("\xc2\x9b" "31m", 5, true, "\\xc2\\x9b31m");         /* the one-character CSI */
	ck_printed("a\xe2\x80\xae" "b", 5, false, "a\\xe2\\x80\\xae" "b");  /* right to left from here */
	ck_printed("a\n\tb\r", 5, false, "a\\n\\tb\\x0d");
	ck_printed("a\n\tb\r", 5, true, "a\n\tb\\x0d");
	ck_printed("\xff\xc0\x80\xe2\x82", 5, false, "\\xff\\xc0\\x80\\xe2\\x82");
	ck_printed("a\0b", 3, false, "a\\x00b");
}
END_TEST

START_TEST(test_is_text)
{
	ck_assert(ntc_ctl_is_text("", 0));
	ck_assert(ntc_ctl_is_text("a\tb\r\n\xe2\x82\xac\n", 9));
	ck_assert(!ntc_ctl_is_text("\177ELF", 4));
	ck_assert(!ntc_ctl_is_text("a\0", 2));
	ck_assert(!ntc_ctl_is_text("\033c", 2));
	ck_assert(!ntc_ctl_is_text("\xed\xa0\x80", 3));     /* half a surrogate pair */
	ck_assert(!ntc_ctl_is_text("\xe2\x82", 2));
}
END_TEST

START_TEST(test_prefix_forms)
{
	struct ntc_ctl_prefix prefix;
	struct ntc_digest digest;

	ck_assert(!ntc_ctl_prefix_parse("", &prefix));
	ck_assert(!ntc_ctl_prefix_parse("abc", &prefix));
	ck_assert(!ntc_ctl_prefix_parse("abcg", &prefix));
	ck_assert(!ntc_ctl_prefix_parse("abcd ", &prefix));
	ck_assert(!ntc_ctl_prefix_parse("0123456789abcdef0123456789abcdef0", &prefix));
	ck_assert(ntc_ctl_prefix_parse("ABcd", &prefix));
	ck_assert_str_eq(prefix.digits, "abcd");
	ck_assert(!ntc_ctl_prefix_whole(&prefix, &digest));
	ck_assert(ntc_ctl_prefix_parse("0123456789ABCDEF0123456789abcdef", &prefix));
	ck_assert(ntc_ctl_prefix_whole(&prefix, &digest));
	ck_assert_uint_eq(digest.bytes[0], 0x01);
	ck_assert_uint_eq(digest.bytes[15], 0xef);
}
END_TEST

START_TEST(test_prefix_matches)
{
	struct ntc_digest a = { .bytes = { 0xab, 0xcd, 0xe1 } }, b = { .bytes = { 0xab, 0xcd, 0xe2 } };
	struct ntc_ctl_matches matches = { 0 };
	struct ntc_ctl_prefix prefix;

	ck_assert(ntc_ctl_prefix_parse("abcde", &prefix));
	ntc_ctl_matches_add(&matches, &prefix, &a);
	ntc_ctl_matches_add(&matches, &prefix, &b);
	ck_assert_uint_eq(matches.count, 2);
	matches.count = 0;
	ck_assert(ntc_ctl_prefix_parse("ABCDE2", &prefix));
	ntc_ctl_matches_add(&matches, &prefix, &a);
	ntc_ctl_matches_add(&matches, &prefix, &b);
	ck_assert_uint_eq(matches.count, 1);
	ck_assert_mem_eq(matches.at[0].bytes, b.bytes, 16);
	/* Only the first few are kept, but all are counted. */
	for (int i = 0; i < 100; i++)
		ntc_ctl_matches_add(&matches, &prefix, &b);
	ck_assert_uint_eq(matches.count, 101);
}
END_TEST

static const char *nearest(const char *name)
{
	const struct ntc_ctl_command *command = ntc_ctl_command_nearest(name);

	return command ? command->name : "";
}

START_TEST(test_commands)
{
	ck_assert_str_eq(nearest("stat"), "stats");
	ck_assert_str_eq(nearest("status"), "stats");
	ck_assert_str_eq(nearest("pnig"), "ping");
	ck_assert_str_eq(nearest("hsow"), "show");
	ck_assert_str_eq(nearest("hwy"), "why");
	ck_assert_str_eq(nearest("quarantine"), "");
	ck_assert_str_eq(nearest(""), "");
	ck_assert_str_eq(nearest("a-word-that-is-longer-than-any-command-could-be"), "");
	ck_assert_ptr_eq(ntc_ctl_command_find("l"), NULL);
	ck_assert_ptr_eq(ntc_ctl_command_find("ls"), &ntc_ctl_ls);
	for (size_t i = 0; ntc_ctl_commands[i]; i++) {
		const struct ntc_ctl_command *command = ntc_ctl_commands[i];

		ck_assert(command->run && command->synopsis && command->line[0]);
		ck_assert_msg(strstr(command->help, "Examples:\n"), "%s", command->name);
		ck_assert_msg(strlen(command->line) < 68, "%s", command->name);
	}
}
END_TEST

START_TEST(test_counters)
{
	struct ntc_ctl_counters counters = { 0 };
	char *text = NULL;
	size_t size;
	int64_t value;
	FILE *out;

	ntc_ctl_counters_add(&counters, "hits.file", 90);
	ntc_ctl_counters_add(&counters, "misses", 10);
	ntc_ctl_counters_add(&counters, "saved_time_ns", 2500000000);
	ntc_ctl_counters_add(&counters, "entries.kernel", 5);
	ntc_ctl_counters_add(&counters, "makes.novelty", 6);
	ntc_ctl_counters_add(&counters, "hits.kind.kernel", 77);
	ntc_ctl_counters_add(&counters, "of_tomorrow", 42);
	ntc_ctl_counters_add(&counters, "bytes.", 3);
	ck_assert(ntc_ctl_counters_get(&counters, "misses", &value));
	ck_assert_int_eq(value, 10);
	ck_assert(!ntc_ctl_counters_get(&counters, "leases", &value));
	out = open_memstream(&text, &size);
	ntc_ctl_counters_print(&counters, out, false);
	fclose(out);
	ck_assert_str_eq(text, "look-ups\n"
			 "  hits in files              90\n"
			 "  misses                     10\n"
			 "  hit rate                   90.0 %\n"
			 "making\n"
			 "  compile time saved         2.50 s\n"
			 "kinds\n"
			 "                      entries         size         hits     compiles\n"
			 "  kernel                    5            -           77            -\n"
			 "  novelty                   -            -            -            6\n"
			 "other\n"
			 "  of_tomorrow                42\n"
			 "  bytes.                     3\n");
	free(text);
	ntc_ctl_counters_release(&counters);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ctl_text");
	TCase *tc = tcase_create("text");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tc, test_numbers);
	tcase_add_test(tc, test_foreign_text);
	tcase_add_test(tc, test_is_text);
	tcase_add_test(tc, test_prefix_forms);
	tcase_add_test(tc, test_prefix_matches);
	tcase_add_test(tc, test_commands);
	tcase_add_test(tc, test_counters);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
