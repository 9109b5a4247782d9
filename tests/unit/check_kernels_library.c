/* Specifications of libraries, and libraries made by commands, without a daemon. */
#include <check.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "kernels/command.h"
#include "kernels/nvcc.h"
#include "kernels/ntcache_cuda.h"

static char root[] = "/tmp/ntc-library-XXXXXX";
static struct ntc_client *client;

/* Run a shell script, which has to end well. */
static void sh(const char *script)
{
	char *words[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
	char *environment[] = { (char *)"PATH=/usr/local/bin:/usr/bin:/bin", NULL };
	struct ntc_command command = { "/bin/sh", words, environment, root, 60 * NTC_NS_PER_S, NULL, NULL };
	struct ntc_command_result result;

	ntc_command_run(&command, &result);
	ck_assert_int_eq(result.end, NTC_COMMAND_EXITED);
	ck_assert_int_eq(result.status, 0);
	free(result.log);
}

static void setup(void)
{
	struct ntc_options options = NTC_OPTIONS_INIT;

	(void)memcpy(root + strlen(root) - 6, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(root));
	ck_assert_int_eq(setenv("XDG_CACHE_HOME", root, 1), 0);
	unsetenv("LD_LIBRARY_PATH");
	options.mode = NTC_MODE_OFF;
	ck_assert_int_eq(ntc_open(&options, &client), NTC_OK);
}

static void teardown(void)
{
	char command[64];

	ntc_close(client);
	(void)snprintf(command, sizeof(command), "rm -rf %s", root);
	sh(command);
}

static struct ntc_library_spec *shell(const char *script)
{
	struct ntc_library_spec *spec = ntc_library_spec_new("lib");

	ntc_library_spec_arg(spec, "sh");
	ntc_library_spec_arg(spec, "-c");
	ntc_library_spec_arg(spec, script);
	ntc_library_spec_output(spec, "out");
	return spec;
}

static struct ntc_digest digest_of(struct ntc_library_spec *spec)
{
	const struct ntc_key *key;
	struct ntc_digest digest;
	enum ntc_err err = ntc_library_spec_key(spec, &key);

	ck_assert_msg(err == NTC_OK, "%s: %s", ntc_err_name(err), ntc_last_error());
	digest = ntc_key_digest_of(key);
	ntc_library_spec_free(spec);
	return digest;
}

static bool equal(struct ntc_digest a, struct ntc_digest b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

/* Nothing of any command is left behind. */
static void check_clean(void)
{
	char path[128];
	struct dirent *entry;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "%s/ntcache/work", root);
	dir = opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir)))
		ck_assert_msg(entry->d_name[0] == '.', "%s is left", entry->d_name);
	closedir(dir);
}

START_TEST(everything_is_in_the_key)
{
	struct ntc_digest seen[16];
	struct ntc_library_spec *spec;
	char tool[64], command[128];
	size_t n = 0;

	(void)snprintf(tool, sizeof(tool), "%s/tool", root);
	(void)snprintf(command, sizeof(command), "echo one > %s", tool);
	sh(command);
	seen[n++] = digest_of(shell("true"));
	ck_assert(equal(seen[0], digest_of(shell("true"))));
#define VARY(change) \
	do { \
		spec = shell("true"); \
		change; \
		seen[n++] = digest_of(spec); \
		for (size_t i = 0; i + 1 < n; i++) \
			ck_assert_msg(!equal(seen[i], seen[n - 1]), "%s: as number %zu", #change, i); \
	} while (0)
	VARY(ntc_library_spec_arg(spec, "more"));
	VARY(ntc_library_spec_output(spec, "more"));
	VARY(ntc_library_spec_input(spec, "in", "1", 1));
	VARY(ntc_library_spec_input(spec, "in", "2", 1));
	VARY(ntc_library_spec_input(spec, "in2", "1", 1));
	VARY(ntc_library_spec_tool(spec, tool));
#undef VARY
	/* Another first word, and the libraries that tools load. */
	spec = ntc_library_spec_new("lib");
	ntc_library_spec_arg(spec, "true");
	ntc_library_spec_output(spec, "out");
	seen[n] = digest_of(spec);
	for (size_t i = 0; i < n; i++)
		ck_assert(!equal(seen[i], seen[n]));
	setenv("LD_LIBRARY_PATH", "/nonexistent", 1);
	ck_assert(!equal(seen[0], digest_of(shell("true"))));
	unsetenv("LD_LIBRARY_PATH");
	ck_assert(equal(seen[0], digest_of(shell("true"))));
}
END_TEST

START_TEST(a_tool_is_its_content)
{
	char tool[64], command[128];
	struct ntc_digest first, second;
	struct ntc_library_spec *spec;

	(void)snprintf(tool, sizeof(tool), "%s/tool", root);
	for (int i = 0; i < 2; i++) {
		(void)snprintf(command, sizeof(command), "echo %d > %s", i, tool);
		sh(command);
		spec = shell("true");
		ntc_library_spec_tool(spec, tool);
		*(i ? &second : &first) = digest_of(spec);
	}
	ck_assert(!equal(first, second));
}
END_TEST

START_TEST(order_of_inputs_and_outputs_does_not_matter)
{
	struct ntc_digest digests[2];

	for (int i = 0; i < 2; i++) {
		struct ntc_library_spec *spec = shell("true");

		ntc_library_spec_output(spec, i ? "x" : "y");
		ntc_library_spec_output(spec, i ? "y" : "x");
		ntc_library_spec_input(spec, i ? "a" : "b", i ? "1" : "2", 1);
		ntc_library_spec_input(spec, i ? "b" : "a", i ? "2" : "1", 1);
		digests[i] = digest_of(spec);
	}
	ck_assert(equal(digests[0], digests[1]));
}
END_TEST

static void refused(struct ntc_library_spec *spec, enum ntc_err err, const char *word)
{
	const struct ntc_key *key;

	ck_assert_int_eq(ntc_library_spec_key(spec, &key), err);
	ck_assert_ptr_null(key);
	ck_assert_msg(strstr(ntc_last_error(), word), "%s: %s", word, ntc_last_error());
	ntc_library_spec_free(spec);
}

START_TEST(what_cannot_be)
{
	static const char *const inputs[] = { "", "/a", "a/../b", "..", ".", "a//b", "a/", "./a", "a b", "a=b" };
	static const char *const outputs[] = { "", "a/b", ".a", "log", "a b", "out" };
	struct ntc_library_spec *spec;

	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		spec = shell("true");
		ntc_library_spec_input(spec, inputs[i], "", 0);
		refused(spec, NTC_E_KEY, "input");
	}
	for (size_t i = 0; i < sizeof(outputs) / sizeof(outputs[0]); i++) {
		spec = shell("true");
		ntc_library_spec_output(spec, outputs[i]);
		refused(spec, NTC_E_KEY, "output");
	}
	refused(ntc_library_spec_new("lib"), NTC_E_KEY, "command");
	refused(ntc_library_spec_new("a b"), NTC_E_KEY, "name");
	refused(NULL, NTC_E_NO_MEMORY, "spec");
	spec = ntc_library_spec_new("lib");
	ntc_library_spec_arg(spec, "no-such-program-anywhere");
	ntc_library_spec_output(spec, "x");
	refused(spec, NTC_E_IO, "no-such-program-anywhere");
	spec = shell("true");
	ntc_library_spec_tool(spec, "/nonexistent/tool");
	refused(spec, NTC_E_IO, "/nonexistent/tool");
}
END_TEST

static enum ntc_err get(struct ntc_library_spec *spec, struct ntc_entry **entry, char **log)
{
	enum ntc_err err = ntc_library_get(client, spec, NULL, entry, log);

	ntc_library_spec_free(spec);
	check_clean();
	return err;
}

START_TEST(a_command_makes_an_entry)
{
	struct ntc_library_spec *spec = shell("cat sub/in > out; echo said; echo \"$LC_ALL $SOURCE_DATE_EPOCH $SECRET.\"; ls; "
					      "test -d \"$HOME\" && test -d \"$TMPDIR\"");
	struct ntc_part_view part;
	struct ntc_entry *entry;
	char *log;

	setenv("SECRET", "x", 1);
	ntc_library_spec_input(spec, "sub/in", "content", 7);
	ck_assert_int_eq(get(spec, &entry, &log), NTC_OK);
	ck_assert_ptr_null(log);
	ck_assert_int_eq(ntc_entry_find(entry, "out", &part), NTC_OK);
	ck_assert_uint_eq(part.len, 7);
	ck_assert_int_eq(memcmp(part.data, "content", 7), 0);
	ck_assert_int_eq(ntc_entry_find(entry, "log", &part), NTC_OK);
	ck_assert_uint_eq(part.len, strlen("said\nC 0 .\nout\nsub\n"));
	ck_assert_int_eq(memcmp(part.data, "said\nC 0 .\nout\nsub\n", part.len), 0);
	ntc_entry_unref(entry);
}
END_TEST

START_TEST(failures_are_told_apart)
{
	struct ntc_entry *entry;
	char *log;

	ck_assert_int_eq(get(shell("echo no >&2; exit 1"), &entry, &log), NTC_FAILED);
	ck_assert_ptr_null(entry);
	ck_assert_str_eq(log, "no\n");
	free(log);
	ck_assert_int_eq(get(shell("true"), &entry, &log), NTC_FAILED);
	ck_assert_ptr_nonnull(strstr(log, "left no file out"));
	free(log);
	ck_assert_int_eq(get(shell("ln -s /etc/passwd out"), &entry, &log), NTC_FAILED);
	free(log);
	ck_assert_int_eq(get(shell("mkdir out"), &entry, &log), NTC_FAILED);
	free(log);
	ck_assert_int_lt(get(shell("echo part > out; kill -9 $$"), &entry, &log), 0);
	ck_assert_ptr_null(entry);
	free(log);
	ck_assert_int_lt(get(shell("echo 'as: No space left on device'; exit 1"), &entry, &log), 0);
	free(log);
	ck_assert_int_lt(get(shell("exit 137"), &entry, &log), 0);
	free(log);
}
END_TEST

START_TEST(nvcc_is_all_its_tools)
{
	char *words[] = { (char *)"nvcc", NULL }, *nvcc = ntc_tool_find("nvcc");
	struct ntc_spec_list tools = { 0 };
	static const char *const expected[] = { "cicc ", "ptxas ", "cudafe++ ", "fatbinary ", "include sha256:", "crt sha256:",
						"libcudart_static.a ", "cc1plus build-id:", "ld", "as" };

	if (!nvcc) {
		printf("skipped: no nvcc in PATH\n");
		return;
	}
	ck_assert(ntc_nvcc_tools(nvcc, words, &tools));
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		bool found = false;

		for (size_t k = 0; k < tools.count; k++)
			found = found || strstr(tools.items[k], expected[i]);
		ck_assert_msg(found, "%s", expected[i]);
	}
	ntc_spec_list_release(&tools);
	free(nvcc);
}
END_TEST

START_TEST(nvcc_makes_a_library)
{
	static const char text[] = "__global__ void k(int *p) { *p = 1; }\nextern \"C\" int answer(void) { return 42; }\n";
	static const char *const words[] = { "nvcc", "-shared", "-arch=sm_90", "-Xcompiler", "-fPIC", "-o", "libk.so", "k.cu" };
	struct ntc_library_spec *spec;
	char *nvcc = ntc_tool_find("nvcc"), *path = NULL, *log = NULL;
	struct ntc_entry *entry;
	int (*answer)(void);
	enum ntc_err err;
	void *library;

	if (!nvcc) {
		printf("skipped: no nvcc in PATH\n");
		return;
	}
	free(nvcc);
	spec = ntc_library_spec_new("k");
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		ntc_library_spec_arg(spec, words[i]);
	ntc_library_spec_input(spec, "k.cu", text, sizeof(text) - 1);
	ntc_library_spec_output(spec, "libk.so");
	err = get(spec, &entry, &log);
	ck_assert_msg(err == NTC_OK, "%s: %s\n%s", ntc_err_name(err), ntc_last_error(), log ? log : "");
	ck_assert_int_eq(ntc_entry_part_path(entry, "libk.so", &path), NTC_OK);
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	ck_assert_msg(library != NULL, "%s", dlerror());
	*(void **)&answer = dlsym(library, "answer");
	ck_assert_ptr_nonnull(answer);
	ck_assert_int_eq(answer(), 42);
	dlclose(library);
	free(path);
	ntc_entry_unref(entry);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kernels: libraries");
	TCase *tcase = tcase_create("libraries");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 100);
	tcase_add_test(tcase, everything_is_in_the_key);
	tcase_add_test(tcase, a_tool_is_its_content);
	tcase_add_test(tcase, order_of_inputs_and_outputs_does_not_matter);
	tcase_add_test(tcase, what_cannot_be);
	tcase_add_test(tcase, a_command_makes_an_entry);
	tcase_add_test(tcase, failures_are_told_apart);
	tcase_add_test(tcase, nvcc_is_all_its_tools);
	tcase_add_test(tcase, nvcc_makes_a_library);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
