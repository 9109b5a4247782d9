/*
 * The harness of the system tests: real daemons and processes in a private directory, for Check.
 *
 *     START_TEST(test_second_daemon)
 *     {
 *             struct ntc_test_daemon d = { 0 };
 *
 *             ntc_test_start(&d, "--lease-time", "1", NULL);
 *             ...                                    // a client with no options finds it ($NTCACHE_SOCKET)
 *             ntc_test_stop(&d);                     // SIGTERM, exits 0; teardown does it too
 *     }
 *     END_TEST
 *
 *     int main(void)
 *     {
 *             Suite *suite = suite_create("daemon");
 *             TCase *tc = tcase_create("start");
 *
 *             tcase_add_checked_fixture(tc, ntc_test_setup, ntc_test_teardown);
 *             tcase_add_test(tc, test_second_daemon);
 *             suite_add_tcase(suite, tc);
 *             return ntc_test_run(suite);
 *     }
 *
 * Each test has a new directory with a short path, and an environment in which HOME, XDG_* and NTCACHE_*
 * lead nowhere else. When the test is over, however it ends (assertion, signal, time limit), a keeper process kills
 * whatever the test left running, prints the daemons' logs if it failed, and removes the directory.
 *
 * A call that cannot do its work fails the test with a message; none returns an error unless it says so.
 * Threads: the calls belong to the test's main thread (a daemon dies with the thread that started it).
 *
 * Environment:
 *     NTC_TEST_BUILD     build folder (tests/run.sh sets it; default "build")
 *     NTC_TEST_WRAPPER   words put before every daemon's command, such as "valgrind -q --error-exitcode=9"
 *     NTC_TEST_SLOW=N    multiply the harness's time limits by N (10 with a wrapper)
 *     NTC_TEST_SEED=N    the seed of ntc_test_seed()
 *     NTC_TEST_KEEP=1    leave the directories of failed tests
 *     CK_FORK=no         (Check's) all in one process, for a debugger
 */
#ifndef NTC_TESTS_SUPPORT_HARNESS_H
#define NTC_TESTS_SUPPORT_HARNESS_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* --- a test's frame ----------------------------------------------------------------------- */

/* The checked fixture. Teardown stops the daemons that still run and fails the test unless they exit 0. */
void ntc_test_setup(void);
void ntc_test_teardown(void);

/* main(): run the suite (taken), wait until everything is cleaned up. Returns main's status. */
int ntc_test_run(Suite *suite);

/* The private directory, such as "/tmp/ntc-x1y2z3". Lives until teardown. */
const char *ntc_test_dir(void);

/* A path in it, like printf. Static; good until the 16th call from here. */
const char *ntc_test_path(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A file of the build folder: "bin/ntcached", "system/helper_x". Static, as above. */
const char *ntc_test_built(const char *name);

/* `ms` with the factor of NTC_TEST_SLOW: for limits that a slow machine may need, not for what is tested. */
int ntc_test_ms(int ms);

/* --- daemons ------------------------------------------------------------------------------ */

/*
 * One daemon. Start with zeros, or with the first two fields set. Starting it again after stop or kill
 * uses the same directory and socket. At most 16 in a test.
 */
struct ntc_test_daemon {
	const char *name;       /* its files: NAME.sock, NAME.log, NAME.cache; default "main", the one that
				 * $NTCACHE_SOCKET points to. Borrowed. */
	const char *program;    /* in the build folder, or an absolute path; default "bin/ntcached". Borrowed. */
	pid_t pid;              /* 0 while it does not run */
	char socket[96], cache[96], log[96];
};

/*
 * Start `PROGRAM --dir CACHE --socket SOCKET ARG... NULL` and return when it has said READY=1 to $NOTIFY_SOCKET.
 */
void ntc_test_start(struct ntc_test_daemon *d, ...) __attribute__((sentinel));

/* SIGTERM; it has to exit 0 within 10 s. Nothing happens to one that does not run. */
void ntc_test_stop(struct ntc_test_daemon *d);

/* SIGKILL, and wait until it is gone. */
void ntc_test_kill(struct ntc_test_daemon *d);

/* Wait until it ends by itself and return its exit code (128 + signal). */
int ntc_test_wait_exit(struct ntc_test_daemon *d, int timeout_ms);

/* Whether its log has `text` (now). */
bool ntc_test_log_has(const struct ntc_test_daemon *d, const char *text);

/* --- processes ---------------------------------------------------------------------------- */

/*
 * What a child process runs; its return value (0 to 127) is the exit code. Assertions of Check do not work in
 * children: use NTC_CHILD_CHECK. `ctx` is the child's copy; use ntc_test_shared() to bring things back.
 */
typedef int ntc_test_child_fn(void *ctx, unsigned i);

/* In a child function: leave with exit code 1 and a message unless `condition`. */
#define NTC_CHILD_CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: child %d: %s\n", __FILE__, __LINE__, (int)getpid(), #condition); \
			return 1; \
		} \
	} while (0)

/*
 * Run `n` children that start `fn` at the same moment, and wait until all have ended. `codes` (may be NULL:
 * then all must be 0) gets n exit codes: 128 + signal if killed; who is not done in time is killed and fails the test.
 */
void ntc_test_children(unsigned n, ntc_test_child_fn *fn, void *ctx, int timeout_ms, int *codes);

/* The same in three steps: when spawned, all stand at the barrier. Zero-initialise. At most 128. */
struct ntc_test_group {
	unsigned n;
	pid_t pids[128];        /* 0 when collected */
	int barrier;            /* write end; -1 when released */
};
void ntc_test_spawn(struct ntc_test_group *group, unsigned n, ntc_test_child_fn *fn, void *ctx);
void ntc_test_release(struct ntc_test_group *group);
void ntc_test_collect(struct ntc_test_group *group, int timeout_ms, int *codes);

/* Wait for one child (any pid of ours) and return its exit code (128 + signal). */
int ntc_test_reap(pid_t pid, int timeout_ms);

/* A command's end. Clear with ntc_test_output_clear(). */
struct ntc_test_output {
	int code;               /* exit code, or 128 + signal */
	char *out, *err;        /* NUL-terminated */
	size_t out_len, err_len;
};

/*
 * Run `WORD... NULL` without a shell and without input; a first word without '/' is looked for in the build
 * folder's bin/, then in PATH. Fails the test after `timeout_ms`.
 */
void ntc_test_command(struct ntc_test_output *output, int timeout_ms, ...) __attribute__((sentinel));
void ntc_test_output_clear(struct ntc_test_output *output);

/* --- meeting points ----------------------------------------------------------------------- */

/* Zeroed memory that children share with the test; never unmapped. */
void *ntc_test_shared(size_t size);

/*
 * An event that processes and threads signal to each other (an eventfd that counts; inherited by
 * children, closed in commands and daemons). Waiting takes one signal, or fails after `timeout_ms`; a child gets
 * false, as assertions do not work there.
 */
int ntc_test_event(void);
void ntc_test_signal(int event);
bool ntc_test_await(int event, int timeout_ms);

/* Where there is no event to wait for: ask every 2 ms until true; false after `timeout_ms`. */
bool ntc_test_until(int timeout_ms, bool (*condition)(void *ctx), void *ctx);

/* --- chance ------------------------------------------------------------------------------- */

/* A seed, printed: $NTC_TEST_SEED or a random one. And numbers from it (SplitMix64). */
uint64_t ntc_test_seed(void);
uint64_t ntc_test_random(uint64_t *state);

#endif
