/* Kernels through a real daemon: one compile for everybody, one log for everybody. Skipped without NVRTC. */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/ntcache_cuda.h"
#include "kernels/nvrtc.h"
#include "tests/support/harness.h"

#define WORKERS 8

static const char good_text[] = "extern \"C\" __global__ void k(float *p) { p[threadIdx.x] = BLOCK * SCALE; }\n";

/* What the workers tell the test. */
struct shared {
	_Atomic uint64_t compiles, opened;
	unsigned sizes[WORKERS];
	char logs[WORKERS][2048];
};

static struct ntc_kernel_spec *spec_of(const char *text, int block)
{
	struct ntc_kernel_spec *spec = ntc_kernel_spec_new("k", "sm_90");

	ntc_kernel_spec_application(spec, text, strlen(text));
	ntc_kernel_spec_config_int(spec, "BLOCK", block);
	ntc_kernel_spec_config_float(spec, "SCALE", 0.5);
	return spec;
}

static int get_good(void *ctx, unsigned i)
{
	struct shared *shared = ctx;
	struct ntc_kernel_spec *spec = spec_of(good_text, 64);
	struct ntc_part_view cubin;
	struct ntc_client *client;
	struct ntc_entry *entry;

	NTC_CHILD_CHECK(ntc_open(NULL, &client) == NTC_OK);
	NTC_CHILD_CHECK(ntc_kernel_get(client, spec, NULL, &entry, NULL) == NTC_OK);
	NTC_CHILD_CHECK(ntc_entry_find(entry, "cubin", &cubin) == NTC_OK && cubin.len > 0);
	shared->sizes[i] = (unsigned)cubin.len;
	atomic_fetch_add(&shared->compiles, ntc_compiler_calls());
	atomic_fetch_add(&shared->opened, ntc_nvrtc_is_open());
	ntc_entry_unref(entry);
	ntc_kernel_spec_free(spec);
	ntc_close(client);
	return 0;
}

START_TEST(eight_workers_compile_once)
{
	struct shared *shared = ntc_test_shared(sizeof(*shared));
	struct ntc_test_daemon d = { 0 };

	ntc_test_start(&d, NULL);
	ntc_test_children(WORKERS, get_good, shared, 60000, NULL);
	ck_assert_uint_eq(shared->compiles, 1);
	ck_assert_uint_eq(shared->opened, 1);
	for (int i = 1; i < WORKERS; i++)
		ck_assert_uint_eq(shared->sizes[i], shared->sizes[0]);
	/* Fresh processes, warm: nobody opens NVRTC. */
	ntc_test_children(WORKERS, get_good, shared, 60000, NULL);
	ck_assert_uint_eq(shared->compiles, 1);
	ck_assert_uint_eq(shared->opened, 1);
}
END_TEST

static int get_broken(void *ctx, unsigned i)
{
	struct shared *shared = ctx;
	struct ntc_kernel_spec *spec = spec_of("__global__ void k(float *p) { nonsense; }\n", 64);
	struct ntc_client *client;
	struct ntc_entry *entry;
	char *log = NULL;

	NTC_CHILD_CHECK(ntc_open(NULL, &client) == NTC_OK);
	NTC_CHILD_CHECK(ntc_kernel_get(client, spec, NULL, &entry, &log) == NTC_FAILED);
	NTC_CHILD_CHECK(entry == NULL && log != NULL);
	snprintf(shared->logs[i], sizeof(shared->logs[i]), "%s", log);
	atomic_fetch_add(&shared->compiles, ntc_compiler_calls());
	free(log);
	ntc_kernel_spec_free(spec);
	ntc_close(client);
	return 0;
}

START_TEST(a_broken_source_is_compiled_once)
{
	struct shared *shared = ntc_test_shared(sizeof(*shared));
	struct ntc_test_daemon d = { 0 };

	ntc_test_start(&d, NULL);
	ntc_test_children(WORKERS, get_broken, shared, 60000, NULL);
	ck_assert_uint_eq(shared->compiles, 1);
	ck_assert_ptr_nonnull(strstr(shared->logs[0], "nonsense"));
	for (int i = 1; i < WORKERS; i++)
		ck_assert_str_eq(shared->logs[i], shared->logs[0]);
}
END_TEST

struct killing {
	struct shared shared;
	int held;               /* event: the first worker has the lease */
	int compiled;
};

/* Worker 0 takes the lease and is killed while it "compiles"; the others wait for it. */
static int compile_and_die(void *ctx, unsigned i)
{
	struct killing *killing = ctx;
	struct ntc_kernel_spec *spec;
	struct ntc_answer answer = { 0 };
	const struct ntc_key *key;
	struct ntc_client *client;

	if (i) {
		NTC_CHILD_CHECK(ntc_test_await(killing->held, 30000));
		return get_good(&killing->shared, i);
	}
	spec = spec_of(good_text, 64);
	NTC_CHILD_CHECK(ntc_open(NULL, &client) == NTC_OK);
	NTC_CHILD_CHECK(ntc_kernel_spec_key(spec, &key) == NTC_OK);
	NTC_CHILD_CHECK(ntc_acquire(client, key, NULL, &answer) == NTC_MAKE);
	for (int k = 1; k < WORKERS; k++)
		ntc_test_signal(killing->held);
	raise(SIGKILL);
	return 1;
}

START_TEST(a_killed_compile_is_done_by_another)
{
	struct killing *killing = ntc_test_shared(sizeof(*killing));
	struct ntc_test_daemon d = { 0 };
	int codes[WORKERS];

	killing->held = ntc_test_event();
	ntc_test_start(&d, NULL);
	ntc_test_children(WORKERS, compile_and_die, killing, 60000, codes);
	ck_assert_int_eq(codes[0], 128 + SIGKILL);
	for (int i = 1; i < WORKERS; i++)
		ck_assert_int_eq(codes[i], 0);
	ck_assert_uint_eq(killing->shared.compiles, 1);
}
END_TEST

/* The collision that started this project: one source text, other block sizes; everybody gets what they asked for. */
static int get_own_config(void *ctx, unsigned i)
{
	unsigned *sums = ctx;
	struct ntc_kernel_spec *spec = spec_of(good_text, 32 << (i % 4)), *same = spec_of(good_text, 32 << (i % 4));
	struct ntc_part_view got, made;
	struct ntc_client *client;
	struct ntc_entry *entry, *own;

	NTC_CHILD_CHECK(ntc_open(NULL, &client) == NTC_OK);
	NTC_CHILD_CHECK(ntc_kernel_get(client, spec, NULL, &entry, NULL) == NTC_OK);
	NTC_CHILD_CHECK(ntc_kernel_compile(same, &own, NULL, NULL) == NTC_OK);
	NTC_CHILD_CHECK(ntc_entry_find(entry, "cubin", &got) == NTC_OK);
	NTC_CHILD_CHECK(ntc_entry_find(own, "cubin", &made) == NTC_OK);
	NTC_CHILD_CHECK(got.len == made.len && memcmp(got.data, made.data, got.len) == 0);
	sums[i] = 1;
	ntc_entry_unref(entry);
	ntc_entry_unref(own);
	ntc_kernel_spec_free(spec);
	ntc_kernel_spec_free(same);
	ntc_close(client);
	return 0;
}

START_TEST(configs_are_not_mixed_up)
{
	unsigned *done = ntc_test_shared(2 * WORKERS * sizeof(*done));
	struct ntc_test_daemon d = { 0 };

	ntc_test_start(&d, NULL);
	ntc_test_children(2 * WORKERS, get_own_config, done, 60000, NULL);
	for (int i = 0; i < 2 * WORKERS; i++)
		ck_assert_uint_eq(done[i], 1);
}
END_TEST

/* Asked in a child: the workers have to begin with nothing found. */
static bool nvrtc_is_there(void)
{
	struct ntc_compiler_info info;
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(ntc_compiler_find(&info) == NTC_OK ? 0 : 1);
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(void)
{
	Suite *suite = suite_create("kernels");
	TCase *tcase = tcase_create("nvrtc");

	if (!nvrtc_is_there()) {
		puts("skipped: no NVRTC on this machine");
		return 0;
	}
	tcase_add_checked_fixture(tcase, ntc_test_setup, ntc_test_teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, eight_workers_compile_once);
	tcase_add_test(tcase, a_broken_source_is_compiled_once);
	tcase_add_test(tcase, a_killed_compile_is_done_by_another);
	tcase_add_test(tcase, configs_are_not_mixed_up);
	suite_add_tcase(suite, tcase);
	return ntc_test_run(suite);
}
