/*
 * Libraries made ahead of time, through a real daemon: one command for everybody, and nothing left by what was killed. The
 * command is nvcc where there is one; what needs to count or to be stopped in the middle runs a shell script.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "kernels/ntcache_cuda.h"
#include "kernels/nvcc.h"
#include "tests/support/harness.h"

#define WORKERS 8
#define FRESH_MAX_MS 20

struct shared {
	unsigned made[WORKERS];         /* what a worker got was made by itself */
	uint64_t took_ns[WORKERS];
	char logs[WORKERS][512];
	char count[128];                /* a file to which every run of the script adds a byte */
	char pid_file[128];
};

/* Bytes in the file of that name. */
static unsigned runs(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (unsigned)st.st_size : 0;
}

/* What commands leave in the user's directory. */
static unsigned left_over(void)
{
	const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	struct dirent *entry;
	unsigned n = 0;
	char path[256];
	DIR *dir;

	snprintf(path, sizeof(path), "%s%s/ntcache/work", cache ? cache : home, cache ? "" : "/.cache");
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

static struct ntc_library_spec *script_spec(const char *script, const char *a, const char *b)
{
	struct ntc_library_spec *spec = ntc_library_spec_new("script");
	const char *const words[] = { "sh", "-c", script, "sh", a, b };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		ntc_library_spec_arg(spec, words[i]);
	ntc_library_spec_output(spec, "out");
	return spec;
}

/* --- nvcc --------------------------------------------------------------------------------- */

static const char source[] =
	"#include \"k.h\"\n"
	"__global__ void scale(float *p) { p[threadIdx.x] *= FACTOR; }\n"
	"extern \"C\" int factor(void) { return FACTOR; }\n";
static const char header[] = "#define FACTOR 42\n";

static struct ntc_library_spec *nvcc_spec(void)
{
	static const char *const words[] = { "nvcc", "-shared", "-arch=sm_90", "-Xcompiler", "-fPIC", "-o", "libk.so", "k.cu" };
	struct ntc_library_spec *spec = ntc_library_spec_new("k");

	for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++)
		ntc_library_spec_arg(spec, words[k]);
	ntc_library_spec_input(spec, "k.cu", source, sizeof(source) - 1);
	ntc_library_spec_input(spec, "k.h", header, sizeof(header) - 1);
	ntc_library_spec_output(spec, "libk.so");
	return spec;
}

/* Whether the entry's library can be loaded and its function called. */
static bool works(struct ntc_entry *entry)
{
	int (*factor)(void) = NULL;
	void *library;
	char *path;

	if (ntc_entry_part_path(entry, "libk.so", &path) != NTC_OK)
		return false;
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	free(path);
	if (library)
		*(void **)&factor = dlsym(library, "factor");
	return factor && factor() == 42;
}

static int get_from_nvcc(void *ctx, unsigned i)
{
	uint64_t start = ntc_clock_mono_ns();
	struct ntc_library_spec *spec = nvcc_spec();
	struct shared *shared = ctx;
	struct ntc_client *client;
	struct ntc_entry *entry;
	char *log = NULL;
	enum ntc_err err;

	NTC_CHILD_CHECK(ntc_open(NULL, &client) == NTC_OK);
	err = ntc_library_get(client, spec, NULL, &entry, &log);
	if (err)
		fprintf(stderr, "%s: %s\n%s\n", ntc_err_name(err), ntc_last_error(), log ? log : "");
	NTC_CHILD_CHECK(err == NTC_OK);
	NTC_CHILD_CHECK(works(entry));
	shared->took_ns[i] = ntc_clock_mono_ns() - start;
	shared->made[i] = ntc_entry_source(entry) == NTC_FROM_MAKER;
	ntc_entry_unref(entry);
	ntc_library_spec_free(spec);
	ntc_close(client);
	return 0;
}

START_TEST(eight_workers_run_nvcc_once)
{
	struct shared *shared = ntc_test_shared(sizeof(*shared));
	struct ntc_test_daemon d = { 0 };
	uint64_t best = UINT64_MAX;
	unsigned made = 0;
	char *nvcc = ntc_tool_find("nvcc");

	if (!nvcc) {
		puts("skipped: no nvcc in PATH");
		return;
	}
	free(nvcc);
	ntc_test_start(&d, NULL);
	ntc_test_children(WORKERS, get_from_nvcc, shared, 100000, NULL);
	for (int i = 0; i < WORKERS; i++)
		made += shared->made[i];
	ck_assert_uint_eq(made, 1);
	ck_assert_uint_eq(left_over(), 0);
	/* A fresh process has it in 20 ms: the best of a few, as others use this machine too. */
	for (int i = 0; i < 5; i++) {
		shared->made[0] = 1;
		ntc_test_children(1, get_from_nvcc, shared, 60000, NULL);
		ck_assert_uint_eq(shared->made[0], 0);
		if (shared->took_ns[0] < best)
			best = shared->took_ns[0];
	}
	printf("a fresh process: library loaded after %.1f ms\n", (double)best / 1e6);
	ck_assert_uint_le(best, (uint64_t)ntc_test_ms(FRESH_MAX_MS) * NTC_NS_PER_MS);
}
END_TEST

/* A worker whose nvcc is killed: told so, as of a passing trouble. */
static int get_from_killed_nvcc(void *ctx, unsigned i)
{
	struct ntc_library_spec *spec = nvcc_spec();
	struct ntc_client *client;
	struct ntc_entry *entry;

	(void)ctx;
	(void)i;
	NTC_CHILD_CHECK(ntc_open(NULL, &client) == NTC_OK);
	NTC_CHILD_CHECK(ntc_library_get(client, spec, NULL, &entry, NULL) < NTC_OK);
	ntc_library_spec_free(spec);
	ntc_close(client);
	return 0;
}

/* The first child of a process, or 0. */
static int child_of(int pid)
{
	char path[64];
	int child = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	file = fopen(path, "r");
	if (!file)
		return 0;
	if (fscanf(file, "%d", &child) != 1)
		child = 0;
	fclose(file);
	return child;
}

/* nvcc runs one of its tools: it is half-way. */
static bool nvcc_is_half_way(void *ctx)
{
	int nvcc = child_of(*(const int *)ctx);

	return nvcc && child_of(nvcc);
}

START_TEST(a_killed_nvcc_leaves_nothing)
{
	struct shared *shared = ntc_test_shared(sizeof(*shared));
	struct ntc_test_daemon d = { 0 };
	struct ntc_test_group first = { 0 };
	char *nvcc = ntc_tool_find("nvcc");
	unsigned made = 0;

	if (!nvcc) {
		puts("skipped: no nvcc in PATH");
		return;
	}
	free(nvcc);
	ntc_test_start(&d, NULL);
	ntc_test_spawn(&first, 1, get_from_killed_nvcc, NULL);
	ntc_test_release(&first);
	ck_assert(ntc_test_until(60000, nvcc_is_half_way, &first.pids[0]));
	ck_assert_int_eq(kill(child_of(first.pids[0]), SIGKILL), 0);
	ntc_test_collect(&first, 60000, NULL);
	ck_assert_uint_eq(left_over(), 0);
	ntc_test_children(2, get_from_nvcc, shared, 100000, NULL);
	for (int i = 0; i < 2; i++)
		made += shared->made[i];
	ck_assert_uint_eq(made, 1);
	ck_assert_uint_eq(left_over(), 0);
}
END_TEST

/* --- scripts ------------------------------------------------------------------------------ */

static int get_failure(void *ctx, unsigned i)
{
	struct shared *shared = ctx;
	struct ntc_library_spec *spec = script_spec("printf x >> \"$1\"; echo broken; exit 1", shared->count, "");
	struct ntc_client *client;
	struct ntc_entry *entry;
	char *log = NULL;

	NTC_CHILD_CHECK(ntc_open(NULL, &client) == NTC_OK);
	NTC_CHILD_CHECK(ntc_library_get(client, spec, NULL, &entry, &log) == NTC_FAILED && log);
	snprintf(shared->logs[i], sizeof(shared->logs[i]), "%s", log);
	free(log);
	ntc_library_spec_free(spec);
	ntc_close(client);
	return 0;
}

START_TEST(a_failing_command_runs_once)
{
	struct shared *shared = ntc_test_shared(sizeof(*shared));
	struct ntc_test_daemon d = { 0 };

	snprintf(shared->count, sizeof(shared->count), "%s", ntc_test_path("count"));
	ntc_test_start(&d, NULL);
	ntc_test_children(WORKERS, get_failure, shared, 60000, NULL);
	ck_assert_uint_eq(runs(shared->count), 1);
	for (int i = 0; i < WORKERS; i++)
		ck_assert_str_eq(shared->logs[i], "broken\n");
	ck_assert_uint_eq(left_over(), 0);
}
END_TEST

/* The first run leaves half a file and is killed, in the middle, with everything it started. */
static const char killed_first[] = "printf x >> \"$1\"; if mkdir \"$2\" 2>/dev/null; then echo half > out; kill -9 $$; fi; echo whole > out";

static int get_after_kill(void *ctx, unsigned i)
{
	struct shared *shared = ctx;
	struct ntc_library_spec *spec = script_spec(killed_first, shared->count, shared->pid_file);
	struct ntc_part_view out;
	struct ntc_client *client;
	struct ntc_entry *entry;
	enum ntc_err err;

	NTC_CHILD_CHECK(ntc_open(NULL, &client) == NTC_OK);
	err = ntc_library_get(client, spec, NULL, &entry, NULL);
	/* The worker whose command it was is told so, and may ask again. */
	shared->made[i] = err != NTC_OK;
	if (err < 0)
		err = ntc_library_get(client, spec, NULL, &entry, NULL);
	NTC_CHILD_CHECK(err == NTC_OK);
	NTC_CHILD_CHECK(ntc_entry_find(entry, "out", &out) == NTC_OK && out.len == 6 && memcmp(out.data, "whole\n", 6) == 0);
	ntc_entry_unref(entry);
	ntc_library_spec_free(spec);
	ntc_close(client);
	return 0;
}

START_TEST(a_killed_command_is_run_by_another)
{
	struct shared *shared = ntc_test_shared(sizeof(*shared));
	struct ntc_test_daemon d = { 0 };
	unsigned failed = 0;

	snprintf(shared->count, sizeof(shared->count), "%s", ntc_test_path("count"));
	snprintf(shared->pid_file, sizeof(shared->pid_file), "%s", ntc_test_path("first"));
	ntc_test_start(&d, NULL);
	ntc_test_children(WORKERS, get_after_kill, shared, 60000, NULL);
	for (int i = 0; i < WORKERS; i++)
		failed += shared->made[i];
	ck_assert_uint_eq(failed, 1);
	ck_assert_uint_eq(runs(shared->count), 2);
	ck_assert_uint_eq(left_over(), 0);
}
END_TEST

/* The worker itself is killed while its command runs: another worker makes it. */
static const char stuck_first[] = "printf x >> \"$1\"; if mkdir \"$1.first\" 2>/dev/null; then echo half > out; echo $$ > \"$2.new\"; "
				  "mv \"$2.new\" \"$2\"; exec sleep 1000; fi; echo whole > out";

static int get_stuck(void *ctx, unsigned i)
{
	struct shared *shared = ctx;
	struct ntc_library_spec *spec = script_spec(stuck_first, shared->count, shared->pid_file);
	struct ntc_part_view out;
	struct ntc_client *client;
	struct ntc_entry *entry;

	(void)i;
	NTC_CHILD_CHECK(ntc_open(NULL, &client) == NTC_OK);
	NTC_CHILD_CHECK(ntc_library_get(client, spec, NULL, &entry, NULL) == NTC_OK);
	NTC_CHILD_CHECK(ntc_entry_find(entry, "out", &out) == NTC_OK && out.len == 6 && memcmp(out.data, "whole\n", 6) == 0);
	ntc_entry_unref(entry);
	ntc_library_spec_free(spec);
	ntc_close(client);
	return 0;
}

static bool is_running(void *ctx)
{
	return access(ctx, F_OK) == 0;
}

START_TEST(a_killed_worker_leaves_nothing_to_trip_over)
{
	struct shared *shared = ntc_test_shared(sizeof(*shared));
	struct ntc_test_daemon d = { 0 };
	struct ntc_test_group first = { 0 };
	int code, orphan = 0;
	FILE *file;

	snprintf(shared->count, sizeof(shared->count), "%s", ntc_test_path("count"));
	snprintf(shared->pid_file, sizeof(shared->pid_file), "%s", ntc_test_path("pid"));
	ntc_test_start(&d, NULL);
	ntc_test_spawn(&first, 1, get_stuck, shared);
	ntc_test_release(&first);
	ck_assert(ntc_test_until(30000, is_running, shared->pid_file));
	ck_assert_int_eq(kill(first.pids[0], SIGKILL), 0);
	ntc_test_collect(&first, 10000, &code);
	ck_assert_int_eq(code, 128 + SIGKILL);
	ntc_test_children(WORKERS, get_stuck, shared, 60000, NULL);
	ck_assert_uint_eq(runs(shared->count), 2);
	/* The command of the killed worker is nobody's now. */
	file = fopen(shared->pid_file, "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fscanf(file, "%d", &orphan), 1);
	fclose(file);
	(void)kill(orphan, SIGKILL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("library");
	TCase *tcase = tcase_create("command");

	tcase_add_checked_fixture(tcase, ntc_test_setup, ntc_test_teardown);
	tcase_set_timeout(tcase, 180);
	tcase_add_test(tcase, eight_workers_run_nvcc_once);
	tcase_add_test(tcase, a_killed_nvcc_leaves_nothing);
	tcase_add_test(tcase, a_failing_command_runs_once);
	tcase_add_test(tcase, a_killed_command_is_run_by_another);
	tcase_add_test(tcase, a_killed_worker_leaves_nothing_to_trip_over);
	suite_add_tcase(suite, tcase);
	return ntc_test_run(suite);
}
