/*
 * The frame of a test: private directory, scrubbed environment, and the keeper that cleans up.
 *
 * Check runs each test in a child process that is gone at once when an assertion fails, so nothing in it
 * can clean up then. The keeper is a process of its own session that waits for the test's end (its pidfd, or
 * `done` from teardown), kills what is left, prints logs and removes the directory. What is left is found by the
 * directory's name in its environment or command line, which every descendant has: also a daemon
 * that a client started in a session of its own.
 *
 * Every keeper holds the write end of a pipe whose other end is read by ntc_test_run(): so the test program
 * does not end before its keepers.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/harness.h"
#include "tests/support/harness_private.h"

struct test_state *ntc_test_state;

static char test_dir[64];
static pid_t keeper;
static int finished = -1;       /* eventfd: teardown is through */
static int keepers[2] = { -1, -1 };

int ntc_test_ms(int ms)
{
	const char *slow = getenv("NTC_TEST_SLOW"), *wrapper = getenv("NTC_TEST_WRAPPER");
	long factor = slow ? strtol(slow, NULL, 10) : wrapper && *wrapper ? 10 : 1;

	return factor > 1 && factor <= 1000 ? ms * (int)factor : ms;
}

const char *ntc_test_dir(void)
{
	return test_dir;
}

static char *static_path(void)
{
	static char paths[16][512];
	static unsigned next;

	return paths[next++ % 16];
}

const char *ntc_test_path(const char *fmt, ...)
{
	char *path = static_path();
	int used = snprintf(path, 512, "%s/", test_dir);
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(path + used, 512 - (size_t)used, fmt, args); /* a cut path is not found: the test fails */
	va_end(args);
	return path;
}

const char *ntc_test_built(const char *name)
{
	const char *build = getenv("NTC_TEST_BUILD");
	char *path = static_path();

	(void)snprintf(path, 512, "%s/%s", build ? build : "build", name); /* as above */
	return path;
}

/* --- the keeper --------------------------------------------------------------------------- */

static bool file_mentions(const char *path, const char *what)
{
	static char text[256 << 10];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return false;
	while (len < sizeof(text) && (n = read(fd, text + len, sizeof(text) - len)) > 0)
		len += (size_t)n;
	close(fd);
	return memmem(text, len, what, strlen(what));
}

/* Kill every process that has the directory in its environment or command line. How many were there? */
static unsigned kill_left(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	unsigned found = 0;
	char path[64];

	while (proc && (e = readdir(proc))) {
		pid_t pid = (pid_t)strtol(e->d_name, NULL, 10);

		if (pid <= 1 || pid == getpid() || pid == ntc_test_state->test)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/environ", pid);
		if (!file_mentions(path, test_dir)) {
			snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
			if (!file_mentions(path, test_dir))
				continue;
		}
		kill(pid, SIGKILL);
		found++;
	}
	if (proc)
		closedir(proc);
	return found;
}

/* The last 64 KiB of every log, to stderr. */
static void print_logs(void)
{
	DIR *dir = opendir(test_dir);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		size_t len = strlen(e->d_name);
		char line[4096];
		FILE *f;

		if (len < 4 || strcmp(e->d_name + len - 4, ".log") != 0)
			continue;
		f = fopen(ntc_test_path("%s", e->d_name), "re");
		if (!f)
			continue;
		fprintf(stderr, "--- %s of the failed test\n", e->d_name);
		if (fseek(f, -65536, SEEK_END) != 0)
			rewind(f);
		while (fgets(line, sizeof(line), f))
			fprintf(stderr, "    %s", line);
		fclose(f);
	}
	if (dir)
		closedir(dir);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (type == FTW_DNR)
		chmod(path, 0700);
	remove(path);
	return 0;
}

/* The keeper's whole life. */
static void keep(int test, int done)
{
	struct pollfd fds[2] = { { .fd = test, .events = POLLIN }, { .fd = done, .events = POLLIN } };
	struct timespec pause = { .tv_nsec = 5000000 };
	const char *keep_dir = getenv("NTC_TEST_KEEP");

	/* Who reads the output may be gone, and who interrupts the tests does not mean the cleaning up. */
	for (const int *sig = (const int[]){ SIGPIPE, SIGINT, SIGTERM, SIGHUP, 0 }; *sig; sig++)
		signal(*sig, SIG_IGN);
	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		;
	/* Its group has the forked children, if Check made one. Before the test is reaped the number is safe. */
	if (fds[0].revents && ntc_test_state->own_group)
		kill(-ntc_test_state->test, SIGKILL);
	for (int i = 0; i < 400 && kill_left(); i++)
		nanosleep(&pause, NULL);
	if (!ntc_test_state->passed)
		print_logs();
	if (!ntc_test_state->passed && keep_dir && *keep_dir == '1')
		fprintf(stderr, "--- kept: %s\n", test_dir);
	else
		nftw(test_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	_exit(0);
}

/* --- fixture ------------------------------------------------------------------------------ */

static void scrub_environment(void)
{
	/* Where the compiler is belongs to the machine, not to the test. */
	char *nvrtc = getenv("NTCACHE_NVRTC");
	extern char **environ;
	static const char *const unset[] = {
		"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "CACHE_DIRECTORY",
		"STATE_DIRECTORY", "RUNTIME_DIRECTORY", "WATCHDOG_USEC", "WATCHDOG_PID",
	};

	nvrtc = nvrtc ? strdup(nvrtc) : NULL;
	for (size_t i = 0; environ[i];) {
		const char *eq = strchr(environ[i], '=');
		char name[64];

		if (eq && eq - environ[i] < 64 && strncmp(environ[i], "NTCACHE", 7) == 0) {
			snprintf(name, sizeof(name), "%.*s", (int)(eq - environ[i]), environ[i]);
			unsetenv(name);
		} else {
			i++;
		}
	}
	for (size_t i = 0; i < sizeof(unset) / sizeof(unset[0]); i++)
		unsetenv(unset[i]);
	if (nvrtc)
		setenv("NTCACHE_NVRTC", nvrtc, 1);
	free(nvrtc);
	setenv("HOME", ntc_test_path("home"), 1);
	setenv("XDG_CACHE_HOME", ntc_test_path("home/.cache"), 1);
	setenv("XDG_CONFIG_HOME", ntc_test_path("home/.config"), 1);
	setenv("XDG_STATE_HOME", ntc_test_path("home/.state"), 1);
	setenv("XDG_RUNTIME_DIR", ntc_test_path("run"), 1);
	setenv("TMPDIR", ntc_test_path("tmp"), 1);
	setenv("NTCACHE_SOCKET", ntc_test_path("main.sock"), 1);
	setenv("NTCACHE_DIR", ntc_test_path("main.cache"), 1);
	setenv("NTCACHE_PARTS", ntc_test_path("parts"), 1);
	setenv("NTCACHE_DAEMON", ntc_test_built("bin/ntcached"), 1);
	setenv("LC_ALL", "C.UTF-8", 1);
}

void ntc_test_setup(void)
{
	/* The outer one: without fork, TMPDIR is the last test's. */
	static char outer[48];
	const char *tmp = getenv("TMPDIR");
	int pidfd;

	/* A socket's path has at most 107 bytes. */
	if (!*outer)
		snprintf(outer, sizeof(outer), "%s", tmp && *tmp == '/' && strlen(tmp) <= 40 ? tmp : "/tmp");
	snprintf(test_dir, sizeof(test_dir), "%s/ntc-XXXXXX", outer);
	ck_assert_msg(mkdtemp(test_dir), "mkdtemp %s: %s", test_dir, strerror(errno));

	ntc_test_state = ntc_test_shared(sizeof(*ntc_test_state));
	ntc_test_state->test = getpid();
	ntc_test_state->own_group = getpgrp() == getpid() && getppid() != 1;
	finished = ntc_test_event();
	pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	ck_assert_msg(pidfd >= 0, "pidfd_open: %s", strerror(errno));
	fflush(NULL);
	keeper = fork();
	ck_assert_msg(keeper >= 0, "fork: %s", strerror(errno));
	if (keeper == 0) {
		setsid();
		keep(pidfd, finished);
	}
	close(pidfd);

	for (const char *const *d = (const char *const[]){ "home", "home/.cache", "run", "tmp", NULL }; *d; d++)
		ck_assert_msg(mkdir(ntc_test_path("%s", *d), 0700) == 0, "mkdir %s: %s", *d, strerror(errno));
	scrub_environment();
}

void ntc_test_teardown(void)
{
	ntc_test_stop_all();
	ntc_test_state->passed = true;
	ntc_test_signal(finished);
	while (waitpid(keeper, NULL, 0) < 0 && errno == EINTR)
		;
	close(finished);
}

int ntc_test_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	struct pollfd end = { .events = POLLIN };
	int failed;

	if (pipe2(keepers, O_CLOEXEC) < 0) {
		perror("pipe2");
		return 2;
	}
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	close(keepers[1]);
	end.fd = keepers[0];
	if (poll(&end, 1, ntc_test_ms(15000)) <= 0)
		fprintf(stderr, "a keeper or a child of a test is still running\n");
	return failed != 0;
}

/* --- meeting points, chance --------------------------------------------------------------- */

void *ntc_test_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_msg(p != MAP_FAILED, "mmap: %s", strerror(errno));
	return p;
}

int ntc_test_event(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE | EFD_NONBLOCK);

	ck_assert_msg(fd >= 0, "eventfd: %s", strerror(errno));
	return fd;
}

void ntc_test_signal(int event)
{
	uint64_t one = 1;

	while (write(event, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

bool ntc_test_await(int event, int timeout_ms)
{
	uint64_t end = now_ms() + (uint64_t)timeout_ms, one;

	for (;;) {
		uint64_t now = now_ms();
		struct pollfd fd = { .fd = event, .events = POLLIN };

		if (read(event, &one, sizeof(one)) == sizeof(one))
			return true;
		if (now >= end)
			break;
		(void)poll(&fd, 1, (int)(end - now)); /* the read above decides */
	}
	if (getpid() == ntc_test_state->test)
		ck_abort_msg("nobody signalled within %d ms", timeout_ms);
	return false;
}

bool ntc_test_until(int timeout_ms, bool (*condition)(void *ctx), void *ctx)
{
	uint64_t end = now_ms() + (uint64_t)timeout_ms;
	struct timespec pause = { .tv_nsec = 2000000 };

	while (!condition(ctx)) {
		if (now_ms() >= end)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

uint64_t ntc_test_seed(void)
{
	const char *text = getenv("NTC_TEST_SEED");
	uint64_t seed;

	if (text)
		seed = strtoull(text, NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		ck_abort_msg("getrandom: %s", strerror(errno));
	fprintf(stderr, "NTC_TEST_SEED=0x%llx\n", (unsigned long long)seed);
	return seed;
}

uint64_t ntc_test_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}
