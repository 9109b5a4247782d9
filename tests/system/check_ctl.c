/* ntcache-ctl against a real daemon: what each command prints, and what it exits with. */
#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/ntcache.h"
#include "tests/support/harness.h"

#define LIMIT_MS 20000
#define NO_DIGEST "00000000000000000000000000000000"

static struct ntc_test_daemon d;
static struct ntc_client *client;
static struct ntc_test_output o;

static const char binary[] = "\177ELF\0\1\2";

static void put(enum ntc_kind kind, const char *program, int block_size, const char *source, char *digest)
{
	const struct ntc_part_data parts[] = {
		{ "cubin", binary, sizeof(binary) },
		{ "log", "add.cu(3): warning\n", 19 },
	};
	struct ntc_key *key = ntc_key_new(kind), *notes = ntc_key_new(kind);
	struct ntc_entry *entry;
	struct ntc_digest value;

	ntc_key_add_string(key, "program", program, strlen(program));
	ntc_key_add_string(key, "application", source, strlen(source));
	ntc_key_add_int(key, "BLOCK_SIZE", block_size);
	ck_assert_int_eq(ntc_key_seal(key), NTC_OK);
	ntc_key_add_string(notes, "compiler", "by hand", 7);
	ck_assert_int_eq(ntc_key_seal(notes), NTC_OK);
	ck_assert_int_eq(ntc_entry_new(key, notes, parts, 2, &entry), NTC_OK);
	ck_assert_int_eq(ntc_put(client, NULL, entry, UINT64_C(1500000000)), NTC_OK);
	value = ntc_key_digest_of(key);
	ntc_digest_text(&value, digest);
	ntc_entry_unref(entry);
	ntc_key_free(key);
	ntc_key_free(notes);
}

/* Three kernels and a source text, on disk. */
static char add128[NTC_DIGEST_TEXT_SIZE], add256[NTC_DIGEST_TEXT_SIZE], mul[NTC_DIGEST_TEXT_SIZE],
	text[NTC_DIGEST_TEXT_SIZE];

static void setup(void)
{
	ntc_test_setup();
	d = (struct ntc_test_daemon){ 0 };
	ntc_test_start(&d, NULL);
	ck_assert_int_eq(ntc_open(NULL, &client), NTC_OK);
	put(NTC_KIND_KERNEL, "add", 128, "int a;\nint b;\nint c;\n", add128);
	put(NTC_KIND_KERNEL, "add", 256, "int a;\nint B;\nint c;\n", add256);
	put(NTC_KIND_KERNEL, "mul", 64, "float x;\n", mul);
	put(NTC_KIND_SOURCE, "text\033[31m", 1, "pass", text);
	ck_assert_int_eq(ntc_sync(client, LIMIT_MS), NTC_OK);
}

static void teardown(void)
{
	ntc_test_output_clear(&o);
	ntc_close(client);
	ntc_test_teardown();
}

#define RUN(...) \
	(ntc_test_output_clear(&o), ntc_test_command(&o, LIMIT_MS, "ntcache-ctl", __VA_ARGS__, NULL))
#define ck_out(part) ck_assert_msg(strstr(o.out, part), "no '%s' in:\n%s", part, o.out)
#define ck_no_out(part) ck_assert_msg(!strstr(o.out, part), "'%s' in:\n%s", part, o.out)
#define ck_err(part) ck_assert_msg(strstr(o.err, part), "no '%s' in:\n%s", part, o.err)
#define ck_code(expected) ck_assert_msg(o.code == (expected), "exit %d: %s%s", o.code, o.out, o.err)
#define ck_digests(count) ck_assert_uint_eq(o.out_len, (count) * (size_t)NTC_DIGEST_TEXT_SIZE)

static json_t *parsed(void)
{
	json_error_t error;
	json_t *json = json_loads(o.out, 0, &error);

	ck_assert_msg(json != NULL, "%s in:\n%s", error.text, o.out);
	return json;
}

START_TEST(test_ping)
{
	char pid[32];

	snprintf(pid, sizeof(pid), "process %d,", (int)d.pid);
	RUN("ping");
	ck_code(0);
	ck_out(pid);
	RUN("ping", "--socket", d.socket, "--timeout", "5");
	ck_code(0);
	RUN("--socket", d.socket, "ping");
	ck_code(0);
}
END_TEST

START_TEST(test_no_daemon)
{
	static const char *const lines[][3] = {
		{ "ping", NULL, NULL },   { "stats", NULL, NULL }, { "ls", NULL, NULL },
		{ "show", "abcd", NULL }, { "why", "abcd", NULL }, { "rm", "--all", "--yes" },
		{ "rm", NO_DIGEST, NULL }, { "get", "abcd", "log" },
		{ "verify", NULL, NULL },  { "du", NULL, NULL },     { "gc", "--quarantine", NULL },
		{ "export", "/dev/null", NULL },
		{ "import", "/dev/null", NULL },
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		RUN("--socket", ntc_test_path("nobody.sock"), lines[i][0], lines[i][1], lines[i][2]);
		ck_code(3);
		ck_err("--socket");
		ck_assert_str_eq(o.out, "");
	}
}
END_TEST

START_TEST(test_usage)
{
	RUN("stauts");
	ck_code(2);
	ck_err("Did you mean 'stats'?");
	RUN("ls", "--bogus");
	ck_code(2);
	RUN("ls", "--kind", "colonel");
	ck_code(2);
	ck_err("kernel, handle, source, library, tuning");
	RUN("ls", "--field", "novalue");
	ck_code(2);
	RUN("show", "xyz");
	ck_code(2);
	RUN("rm");
	ck_code(2);
	RUN("rm", "--all", add128);
	ck_code(2);
	RUN("get", add128);
	ck_code(2);
	ck_err("which part");
	RUN("--help");
	ck_code(0);
	ck_out("Exit status");
	RUN("why", "--help");
	ck_code(0);
	ck_out("Examples:");
	RUN("help", "why");
	ck_code(0);
	ck_out("Examples:");
}
END_TEST

START_TEST(test_stats)
{
	json_t *json;

	RUN("stats");
	ck_code(0);
	ck_out("misses");
	ck_out("kernel");
	ck_no_out("\033");
	/* Every counter that this daemon has is known to the table. */
	ck_no_out("other\n");
	RUN("stats", "--json");
	ck_code(0);
	json = parsed();
	ck_assert_int_eq(json_integer_value(json_object_get(json, "entries")), 4);
	ck_assert_int_eq(json_integer_value(json_object_get(json, "entries.kernel")), 3);
	ck_assert_int_eq(json_integer_value(json_object_get(json, "puts")), 4);
	json_decref(json);
}
END_TEST

START_TEST(test_ls)
{
	json_t *json, *row;

	RUN("ls");
	ck_code(0);
	ck_out("DIGEST");
	ck_out("mul");
	ck_out("1.50 s");
	/* No key reaches the terminal with its control characters. */
	ck_out("text\\x1b[31m");
	ck_no_out("\033");
	RUN("ls", "-q", "--kind", "source");
	ck_code(0);
	ck_digests(1);
	ck_out(text);
	RUN("ls", "-q", "-f", "program=add", "-f", "BLOCK_SIZE=256");
	ck_code(0);
	ck_digests(1);
	ck_out(add256);
	RUN("ls", "-q", "-f", "application~int B");
	ck_code(0);
	ck_digests(1);
	RUN("ls", "-f", "program=ad");
	ck_code(1);
	ck_assert_str_eq(o.out, "");
	RUN("ls", "-q", "-n", "2");
	ck_code(0);
	ck_digests(2);
	RUN("ls", "--json", "-f", "program=mul");
	ck_code(0);
	json = parsed();
	ck_assert_uint_eq(json_array_size(json), 1);
	row = json_array_get(json, 0);
	ck_assert_str_eq(json_string_value(json_object_get(row, "digest")), mul);
	ck_assert_str_eq(json_string_value(json_object_get(row, "kind")), "kernel");
	ck_assert_str_eq(json_string_value(json_object_get(row, "name")), "mul");
	ck_assert_int_eq(json_integer_value(json_object_get(row, "cost_ns")), 1500000000);
	ck_assert_int_eq(json_integer_value(json_object_get(row, "parts")), 2);
	json_decref(json);
}
END_TEST

START_TEST(test_show)
{
	char prefix[17], host[64];
	json_t *json, *stamp;

	snprintf(prefix, sizeof(prefix), "%.16s", add128);
	RUN("show", prefix);
	ck_code(0);
	ck_out(add128);
	ck_out("BLOCK_SIZE       128");
	ck_out("compiler         \"by hand\"");
	ck_out("cubin");
	ck_out("check_ctl");    /* the maker's executable */
	RUN("show", "--full", add128);
	ck_code(0);
	ck_out("    | int b;\n");
	RUN("show", "--json", add128);
	ck_code(0);
	json = parsed();
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(json, "key"), "application")),
			 "int a;\nint b;\nint c;\n");
	stamp = json_object_get(json, "stamp");
	ck_assert_int_eq(json_integer_value(json_object_get(stamp, "uid")), getuid());
	ck_assert_int_eq(json_integer_value(json_object_get(stamp, "cost_ns")), 1500000000);
	ck_assert_int_eq(gethostname(host, sizeof(host)), 0);
	ck_assert_str_eq(json_string_value(json_object_get(stamp, "host")), host);
	json_decref(json);
	RUN("show", NO_DIGEST);
	ck_code(1);
}
END_TEST

/* Of a few hundred digests two start with the same four digits: the prefix names both, and removes neither.
 */
START_TEST(test_ambiguous)
{
	static char digests[2000][NTC_DIGEST_TEXT_SIZE];
	char prefix[5] = "";
	const char *first = NULL, *second = NULL;

	for (int i = 0; i < 2000 && !second; i++) {
		put(NTC_KIND_KERNEL, "many", i, "", digests[i]);
		for (int j = 0; j < i && !second; j++) {
			if (memcmp(digests[i], digests[j], 4) == 0) {
				first = digests[j];
				second = digests[i];
			}
		}
	}
	ck_assert_ptr_nonnull(second);
	ck_assert_int_eq(ntc_sync(client, LIMIT_MS), NTC_OK);
	memcpy(prefix, second, 4);
	RUN("show", prefix);
	ck_code(2);
	ck_err(first);
	ck_err(second);
	RUN("rm", prefix);
	ck_code(2);
	RUN("show", first);
	ck_code(0);
	RUN("show", second);
	ck_code(0);
}
END_TEST

START_TEST(test_get)
{
	const char *path = ntc_test_path("part");
	char read_back[64];
	struct stat st;
	int fd;

	RUN("get", add128, "log");
	ck_code(0);
	ck_assert_str_eq(o.out, "add.cu(3): warning\n");
	RUN("get", add128, "cubin", "-o", path);
	ck_code(0);
	ck_assert_str_eq(o.out, "");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(read(fd, read_back, sizeof(read_back)), sizeof(binary));
	ck_assert_mem_eq(read_back, binary, sizeof(binary));
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_mode & 0111, 0);
	close(fd);
	/* To a pipe binary parts go as they are. */
	RUN("get", add128, "cubin");
	ck_code(0);
	ck_assert_uint_eq(o.out_len, sizeof(binary));
	RUN("get", add128, "cobin");
	ck_code(1);
	ck_err("  cubin\n");
	RUN("get", add128, "cubin", "-o", ntc_test_path("no/such/folder"));
	ck_code(4);
}
END_TEST

START_TEST(test_why)
{
	char *first, *second;

	RUN("why", add128, add256);
	ck_code(0);
	ck_out("2 of 3 fields differ");
	ck_out("  BLOCK_SIZE\n    - 128\n    + 256\n");
	ck_out("@@ line 2 of 3 and 3 @@\n      int a;\n    - int b;\n    + int B;\n");
	ck_no_out("  program");
	RUN("why", add128);
	ck_code(0);
	/* Of its kind only, the nearest first. */
	first = strstr(o.out, "+++ ");
	ck_assert_ptr_nonnull(first);
	ck_assert_int_eq(strncmp(first + 4, add256, 16), 0);
	second = strstr(first + 4, "+++ ");
	ck_assert_ptr_nonnull(second);
	ck_assert_int_eq(strncmp(second + 4, mul, 16), 0);
	ck_assert_ptr_null(strstr(second + 4, "+++ "));
	RUN("why", text);
	ck_code(1);
	RUN("why", add128, add128);
	ck_code(0);
	ck_out("the keys are the same");
}
END_TEST

START_TEST(test_rm)
{
	RUN("rm", "--all");
	ck_code(2);
	ck_err("--yes");
	RUN("rm", add128, NO_DIGEST, mul);
	ck_code(1);     /* one was not there; the others went */
	RUN("ls", "-q", "--kind", "kernel");
	ck_code(0);
	ck_digests(1);
	ck_out(add256);
	RUN("rm", "--kind", "kernel", "--yes");
	ck_code(0);
	ck_out("removed 1 entry");
	RUN("rm", "--kind", "kernel", "--yes");
	ck_code(1);
	RUN("ls", "-q");
	ck_code(0);
	ck_out(text);
	RUN("rm", "--all", "-y");
	ck_code(0);
	RUN("ls");
	ck_code(1);
}
END_TEST

/* A kept failure has no entry, and is forgotten by its whole digest. */
START_TEST(test_rm_failure)
{
	struct ntc_acquire_options options = NTC_ACQUIRE_OPTIONS_INIT;
	struct ntc_answer answer = { 0 };
	struct ntc_key *key = ntc_key_new(NTC_KIND_KERNEL);
	struct ntc_digest value;
	struct ntc_lease *lease;
	char digest[NTC_DIGEST_TEXT_SIZE];

	ntc_key_add_string(key, "program", "broken", 6);
	ck_assert_int_eq(ntc_key_seal(key), NTC_OK);
	value = ntc_key_digest_of(key);
	ntc_digest_text(&value, digest);
	ck_assert_int_eq(ntc_acquire(client, key, &options, &answer), NTC_MAKE);
	lease = answer.lease;
	answer.lease = NULL;
	ck_assert_int_eq(ntc_fail(lease, NTC_DETERMINISTIC, "no", 2), NTC_OK);
	ntc_answer_clear(&answer);
	ck_assert_int_eq(ntc_acquire(client, key, &options, &answer), NTC_FAILED);
	ntc_answer_clear(&answer);
	RUN("rm", digest);
	ck_assert_int_eq(ntc_acquire(client, key, &options, &answer), NTC_MAKE);
	ntc_answer_clear(&answer);
	ntc_key_free(key);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ctl");
	TCase *tc = tcase_create("commands");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_ping);
	tcase_add_test(tc, test_no_daemon);
	tcase_add_test(tc, test_usage);
	tcase_add_test(tc, test_stats);
	tcase_add_test(tc, test_ls);
	tcase_add_test(tc, test_show);
	tcase_add_test(tc, test_ambiguous);
	tcase_add_test(tc, test_get);
	tcase_add_test(tc, test_why);
	tcase_add_test(tc, test_rm);
	tcase_add_test(tc, test_rm_failure);
	suite_add_tcase(suite, tc);
	return ntc_test_run(suite);
}
