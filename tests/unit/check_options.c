/* The command line, its environment and its defaults; counters as a field list. */
#include <check.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "daemon/options.h"
#include "daemon/stats.h"
#include "proto/key.h"

static struct ntc_daemon_options o;
static struct ntc_reason reason;

static void setup(void)
{
	static const char *const names[] = { "NTCACHE_DIR", "CACHE_DIRECTORY", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR",
					     "NTCACHE_SOCKET" };

	for (size_t i = 0; i < NTC_COUNT(names); i++)
		unsetenv(names[i]);
	setenv("HOME", "/home/somebody", 1);
	reason = (struct ntc_reason){ "" };
}

#define PARSE(...) \
	({ \
		const char *argv_[] = { "ntcached", ##__VA_ARGS__, NULL }; \
		ntc_options_parse((int)NTC_COUNT(argv_) - 1, (char **)argv_, &o, &reason); \
	})

START_TEST(test_defaults)
{
	char own[64];

	ck_assert_int_eq(PARSE(), NTC_OPTIONS_RUN);
	ck_assert_str_eq(o.dir, "/home/somebody/.cache/ntcached");
	snprintf(own, sizeof(own), "/tmp/ntcached-%u/ntcached.sock", (unsigned)geteuid());
	ck_assert_str_eq(o.socket, own);
	ck_assert(o.own_socket_dir);
	ck_assert(!o.system);
	ck_assert_uint_eq(o.socket_mode, 0600);
	ck_assert_uint_eq(o.socket_group, (gid_t)-1);
	ck_assert_uint_eq(o.max_size, UINT64_C(10) << 30);
	ck_assert_uint_eq(o.max_entry, 256u << 20);
	ck_assert_uint_eq(o.segment_size, 64u << 20);
	ck_assert_uint_eq(o.max_compiles, (unsigned)sysconf(_SC_NPROCESSORS_ONLN));
	ck_assert_uint_eq(o.max_connections, 4096);
	ck_assert_uint_eq(o.lease_ns, 60 * NTC_NS_PER_S);
	ck_assert_uint_eq(o.slot_wait_ns, 10 * NTC_NS_PER_S);
	ck_assert_uint_eq(o.wait_ns, 3600 * NTC_NS_PER_S);
	ck_assert_uint_eq(o.failure_ns, 60 * NTC_NS_PER_S);
	ck_assert_uint_eq(o.idle_exit_ns, 0);
	ck_assert_int_eq(o.log_level, NTC_LOG_INFO);
	ck_assert_uint_eq(o.max_entries, 0);
	ck_assert_uint_eq(o.max_age_ns, 0);
	ck_assert(!o.relaxed);
	ck_assert(!o.allow_network);
}
END_TEST

/* The first that is set counts; what is empty is not set. */
START_TEST(test_environment)
{
	setenv("XDG_CACHE_HOME", "/xdg", 1);
	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	ck_assert_int_eq(PARSE(), NTC_OPTIONS_RUN);
	ck_assert_str_eq(o.dir, "/xdg/ntcached");
	ck_assert_str_eq(o.socket, "/run/user/7/ntcached/ntcached.sock");
	ck_assert(o.own_socket_dir);
	setenv("CACHE_DIRECTORY", "/var/cache/one:/var/cache/two", 1);
	ck_assert_int_eq(PARSE(), NTC_OPTIONS_RUN);
	ck_assert_str_eq(o.dir, "/var/cache/one");
	setenv("NTCACHE_DIR", "/mine", 1);
	setenv("NTCACHE_SOCKET", "/mine.sock", 1);
	ck_assert_int_eq(PARSE(), NTC_OPTIONS_RUN);
	ck_assert_str_eq(o.dir, "/mine");
	ck_assert_str_eq(o.socket, "/mine.sock");
	ck_assert(!o.own_socket_dir);
	ck_assert_int_eq(PARSE("--dir", "d", "--socket=s"), NTC_OPTIONS_RUN);
	ck_assert_str_eq(o.dir, "d");
	ck_assert_str_eq(o.socket, "s");
	ck_assert(!o.own_socket_dir);
	setenv("NTCACHE_DIR", "", 1);
	ck_assert_int_eq(PARSE(), NTC_OPTIONS_RUN);
	ck_assert_str_eq(o.dir, "/var/cache/one");
	unsetenv("CACHE_DIRECTORY");
	setenv("XDG_CACHE_HOME", "relative/is/ignored", 1);
	ck_assert_int_eq(PARSE(), NTC_OPTIONS_RUN);
	ck_assert_str_eq(o.dir, "/home/somebody/.cache/ntcached");
	unsetenv("HOME");
	ck_assert_int_eq(PARSE(), NTC_OPTIONS_BAD);
	ck_assert_ptr_nonnull(strstr(reason.text, "--dir"));
}
END_TEST

START_TEST(test_values)
{
	ck_assert_int_eq(PARSE("--max-size", "3G", "--max-entry", "4k", "--max-compiles", "0", "--max-connections", "1",
			       "--lease-time", "0.25", "--slot-wait", "0", "--wait-time", ".5", "--failure-time", "1.5",
			       "--idle-exit", "600", "--segment-size", "64k", "--log-level", "debug", "--socket-mode", "0660", "--socket-group", "0"),
			 NTC_OPTIONS_RUN);
	ck_assert_uint_eq(o.max_size, UINT64_C(3) << 30);
	ck_assert_uint_eq(o.max_entry, 4096);
	ck_assert_uint_eq(o.segment_size, 65536);
	ck_assert_uint_eq(o.max_compiles, 0);
	ck_assert_uint_eq(o.max_connections, 1);
	ck_assert_uint_eq(o.lease_ns, NTC_NS_PER_S / 4);
	ck_assert_uint_eq(o.slot_wait_ns, 0);
	ck_assert_uint_eq(o.wait_ns, NTC_NS_PER_S / 2);
	ck_assert_uint_eq(o.failure_ns, 3 * NTC_NS_PER_S / 2);
	ck_assert_uint_eq(o.idle_exit_ns, 600 * NTC_NS_PER_S);
	ck_assert_int_eq(o.log_level, NTC_LOG_DEBUG);
	ck_assert_uint_eq(o.socket_mode, 0660);
	ck_assert_uint_eq(o.socket_group, 0);
	ck_assert_int_eq(PARSE("--durability", "relaxed", "--allow-network-fs"), NTC_OPTIONS_RUN);
	ck_assert(o.relaxed);
	ck_assert(o.allow_network);
	ck_assert_int_eq(PARSE("--durability", "full"), NTC_OPTIONS_RUN);
	ck_assert(!o.relaxed);
	ck_assert_int_eq(PARSE("--max-entries", "1000000", "--max-age", "30d", "--idle-exit", "1.5h", "--wait-time", "2m"),
			 NTC_OPTIONS_RUN);
	ck_assert_uint_eq(o.max_entries, 1000000);
	ck_assert_uint_eq(o.max_age_ns, 30 * 86400 * NTC_NS_PER_S);
	ck_assert_uint_eq(o.idle_exit_ns, 5400 * NTC_NS_PER_S);
	ck_assert_uint_eq(o.wait_ns, 120 * NTC_NS_PER_S);
	ck_assert_int_eq(PARSE("--max-age", "0"), NTC_OPTIONS_RUN);
	ck_assert_uint_eq(o.max_age_ns, 0);
}
END_TEST

START_TEST(test_system)
{
	const struct group *root = getgrgid(0);

	ck_assert_int_eq(PARSE("--system", "--socket-group", root->gr_name), NTC_OPTIONS_RUN);
	ck_assert(o.system);
	ck_assert_str_eq(o.socket, "/run/ntcached/ntcached.sock");
	ck_assert_str_eq(o.dir, "/var/cache/ntcached");
	ck_assert(!o.own_socket_dir);
	ck_assert_uint_eq(o.socket_mode, 0660);
	ck_assert_uint_eq(o.socket_group, 0);
	/* In any order, and what is said counts more. */
	ck_assert_int_eq(PARSE("--socket-mode", "600", "--socket-group", "0", "--dir", "d", "--system"), NTC_OPTIONS_RUN);
	ck_assert_uint_eq(o.socket_mode, 0600);
	ck_assert_str_eq(o.dir, "d");
	if (!getgrnam("ntcache")) {
		ck_assert_int_eq(PARSE("--system"), NTC_OPTIONS_BAD);
		ck_assert_ptr_nonnull(strstr(reason.text, "--socket-group"));
	}
}
END_TEST

/* What is wrong is named, with what is allowed. */
static const char *const wrong[][2] = {
	{ "--durability", "" }, { "--durability", "FULL" }, { "--durability", "relax" },
	{ "--max-size", "" }, { "--max-size", "-1" }, { "--max-size", "10X" }, { "--max-size", "10GB" },
	{ "--max-size", " 1" }, { "--max-size", "99999999999999999999" }, { "--max-size", "99999999T" },
	{ "--max-size", "0x10" }, { "--max-entry", "0" }, { "--max-entry", "4095" }, { "--max-entry", "2G" },
	{ "--segment-size", "63K" }, { "--segment-size", "65G" }, { "--segment-size", "1" },
	{ "--max-compiles", "-1" }, { "--max-compiles", "two" }, { "--max-compiles", "1.5" },
	{ "--max-compiles", "4294967297" }, { "--max-connections", "0" }, { "--max-connections", "1000001" },
	{ "--lease-time", "0" }, { "--lease-time", "-1" }, { "--lease-time", "inf" }, { "--lease-time", "nan" },
	{ "--max-entries", "1K" }, { "--max-entries", "-1" }, { "--max-entries", "" }, { "--max-age", "0.5" },
	{ "--max-age", "d" }, { "--max-age", "1dd" }, { "--max-age", "1d2" }, { "--max-age", "40000d" },
	{ "--lease-time", "1e3" }, { "--lease-time", "1s" }, { "--lease-time", "1.2.3" }, { "--lease-time", "." },
	{ "--wait-time", "99999999999" }, { "--idle-exit", "" }, { "--socket-mode", "0888" },
	{ "--socket-mode", "1777" }, { "--socket-mode", "rw" }, { "--socket-group", "no such group" },
	{ "--socket-group", "4294967295" }, { "--log-level", "loud" }, { "--dir", "" }, { "--socket", "" },
};

START_TEST(test_wrong)
{
	const char *option = wrong[_i][0];

	ck_assert_msg(PARSE(option, wrong[_i][1]) == NTC_OPTIONS_BAD, "%s '%s'", option, wrong[_i][1]);
	ck_assert_msg(strstr(reason.text, option) && strstr(reason.text, " is not "), "%s", reason.text);
}
END_TEST

START_TEST(test_not_options)
{
	char path[PATH_MAX + 10];

	ck_assert_int_eq(PARSE("--no-such"), NTC_OPTIONS_BAD);
	ck_assert_ptr_nonnull(strstr(reason.text, "--no-such"));
	ck_assert_int_eq(PARSE("-x"), NTC_OPTIONS_BAD);
	ck_assert_int_eq(PARSE("--dir"), NTC_OPTIONS_BAD);
	ck_assert_ptr_nonnull(strstr(reason.text, "--dir"));
	ck_assert_int_eq(PARSE("--system=yes"), NTC_OPTIONS_BAD);
	ck_assert_int_eq(PARSE("start"), NTC_OPTIONS_BAD);
	ck_assert_ptr_nonnull(strstr(reason.text, "start"));
	memset(path, 'a', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	ck_assert_int_eq(PARSE("--dir", path), NTC_OPTIONS_BAD);
	path[0] = '/';
	setenv("NTCACHE_DIR", path, 1);
	ck_assert_int_eq(PARSE(), NTC_OPTIONS_BAD);
	ck_assert_ptr_nonnull(strstr(reason.text, "$NTCACHE_DIR"));
}
END_TEST

START_TEST(test_help)
{
	ck_assert_ptr_nonnull(freopen("/dev/null", "w", stdout));
	ck_assert_int_eq(PARSE("--help"), NTC_OPTIONS_DONE);
	ck_assert_int_eq(PARSE("--version"), NTC_OPTIONS_DONE);
}
END_TEST

/* --- counters ----------------------------------------------------------------------------- */

static int64_t value_of(struct ntc_view list, const char *name)
{
	struct ntc_field field;
	int64_t value = -1;

	if (ntc_key_find(list, name, &field))
		ck_assert(ntc_value_get_int(field.value, &value));
	return value;
}

/* What is saved comes back, and adds up. */
START_TEST(test_counters)
{
	struct ntc_stats stats = { .requests = 1, .hits_file = 300, .saved_time_ns = UINT64_MAX }, again = { .requests = 41 };
	struct ntc_counter list[NTC_COUNTERS_MAX];
	uint8_t bytes[8192];
	struct ntc_view saved;

	stats.makes_by_kind[NTC_KIND_SOURCE] = 70000;
	saved = ntc_view(bytes, ntc_counters_write(list, ntc_stats_list(&stats, list), bytes, sizeof(bytes)));
	ck_assert_uint_gt(saved.len, 0);
	ck_assert_int_eq(ntc_key_check(saved, &reason), NTC_ST_OK);
	ck_assert_int_eq(value_of(saved, "hits.file"), 300);
	ck_assert_int_eq(value_of(saved, "makes.source"), 70000);
	ck_assert_int_eq(value_of(saved, "saved_time_ns"), INT64_MAX);
	ck_assert_int_eq(value_of(saved, "misses"), 0);
	ntc_stats_load(&again, saved);
	ck_assert_uint_eq(again.requests, 42);
	ck_assert_uint_eq(again.hits_file, 300);
	ck_assert_uint_eq(again.makes_by_kind[NTC_KIND_SOURCE], 70000);
	ck_assert_uint_eq(ntc_counters_write(list, ntc_stats_list(&stats, list), bytes, 100), 0);
	/* A damaged list is no list. */
	bytes[0] ^= 1;
	again = (struct ntc_stats){ 0 };
	ntc_stats_load(&again, saved);
	ck_assert_uint_eq(again.hits_file, 0);
}
END_TEST

/* Clients say costs and counts: sums stop at the top. */
START_TEST(test_saved_time)
{
	struct ntc_stats stats = { 0 };

	ntc_stats_saved_time(&stats, 7, 6);
	ck_assert_uint_eq(stats.saved_time_ns, 42);
	ntc_stats_saved_time(&stats, UINT64_C(1) << 40, UINT64_C(1) << 40);
	ck_assert_uint_eq(stats.saved_time_ns, INT64_MAX);
	ntc_stats_saved_time(&stats, 1, 1);
	ck_assert_uint_eq(stats.saved_time_ns, INT64_MAX);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options");
	TCase *tc = tcase_create("options"), *counters = tcase_create("counters");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, test_defaults);
	tcase_add_test(tc, test_environment);
	tcase_add_test(tc, test_values);
	tcase_add_test(tc, test_system);
	tcase_add_loop_test(tc, test_wrong, 0, (int)NTC_COUNT(wrong));
	tcase_add_test(tc, test_not_options);
	tcase_add_test(tc, test_help);
	tcase_add_test(counters, test_counters);
	tcase_add_test(counters, test_saved_time);
	suite_add_tcase(suite, tc);
	suite_add_tcase(suite, counters);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
