/*
 * The demo's processes: each has its pidfd, dies with the demo (PR_SET_PDEATHSIG), and is killed by its
 * process id when something goes wrong. Signals that ask the demo to stop arrive in a descriptor, so they
 * are seen wherever it waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/demo/demo.h"

#define WORDS_MAX 16
#define TICK_MS 100 /* how often progress is shown */

bool demo_begin(struct demo *demo)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	demo->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	demo->daemon_pidfd = -1;
	if (demo->signals < 0)
		return demo_fail("signalfd: %s", strerror(errno));
	/* Short: a socket's path has at most 107 bytes. */
	snprintf(demo->dir, sizeof(demo->dir), "/tmp/ntc-demo-XXXXXX");
	if (!mkdtemp(demo->dir)) {
		demo->dir[0] = '\0';
		return demo_fail("a directory in /tmp: %s", strerror(errno));
	}
	snprintf(demo->socket, sizeof(demo->socket), "%s/ntcached.sock", demo->dir);
	return true;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void kill_and_reap(pid_t *pid)
{
	if (*pid <= 0)
		return;
	kill(*pid, SIGKILL);
	while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
		;
	*pid = 0;
}

void demo_end(struct demo *demo)
{
	for (unsigned w = 0; w < DEMO_WORKERS; w++)
		kill_and_reap(&demo->workers[w]);
	kill_and_reap(&demo->daemon);
	if (demo->daemon_pidfd >= 0)
		close(demo->daemon_pidfd);
	if (demo->signals >= 0)
		close(demo->signals);
	for (int p = 0; p < DEMO_PHASES; p++) {
		if (demo->seen[p].board)
			munmap(demo->seen[p].board, sizeof(struct demo_board));
		demo->seen[p].board = NULL;
	}
	if (demo->dir[0] && nftw(demo->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
		fprintf(stderr, "demo: %s is left behind: %s\n", demo->dir, strerror(errno));
	demo->dir[0] = '\0';
}

/* --- starting ----------------------------------------------------------------------------- */

/* In a child: an environment in which only what the demo says decides. */
static void set_environment(const struct demo *demo, bool off)
{
	static const char *const others[] = {
		"NTCACHE_DIR",    "NTCACHE_LOG",     "NTCACHE_AUTOSTART", "NTCACHE_PARTS",
		"NTCACHE_DAEMON", "CACHE_DIRECTORY", "LISTEN_FDS",        "LISTEN_PID",
		"LISTEN_FDNAMES", "NOTIFY_SOCKET",   "WATCHDOG_USEC",     "WATCHDOG_PID",
	};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		unsetenv(others[i]);
	setenv("NTCACHE", off ? "off" : "on", 1);
	setenv("NTCACHE_SOCKET", demo->socket, 1);
}

/*
 * fork() and exec `words`. `keep` (-1 ends it) are descriptors that the program inherits; `out` and `err`
 * become its stdout and stderr unless -1; `notify` is its $NOTIFY_SOCKET or NULL. Returns the process id,
 * or -1 with errno.
 */
static pid_t start(const struct demo *demo, const char *const *words, const int *keep, int out, int err,
		   const char *notify, bool off)
{
	pid_t parent = getpid(), pid;
	sigset_t none;

	fflush(NULL);
	pid = fork();
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	set_environment(demo, off);
	if (notify)
		setenv("NOTIFY_SOCKET", notify, 1);
	for (; keep && *keep >= 0; keep++)
		fcntl(*keep, F_SETFD, 0);
	if (out >= 0)
		dup2(out, STDOUT_FILENO);
	if (err >= 0)
		dup2(err, STDERR_FILENO);
	execv(words[0], (char *const *)(uintptr_t)words);
	fprintf(stderr, "demo: %s: %s\n", words[0], strerror(errno));
	_exit(127);
}

/* Wait for a process's end: true if it exited 0. */
static bool reap(pid_t *pid, const char *name)
{
	int status;

	while (waitpid(*pid, &status, 0) < 0)
		if (errno != EINTR)
			return demo_fail("waitpid: %s", strerror(errno));
	*pid = 0;
	if (WIFSIGNALED(status))
		return demo_fail("%s was killed by signal %d", name, WTERMSIG(status));
	return WEXITSTATUS(status) == 0 || demo_fail("%s ended with status %d", name, WEXITSTATUS(status));
}

/* --- the daemon --------------------------------------------------------------------------- */

static void daemon_log_path(const struct demo *demo, char *out, size_t size)
{
	snprintf(out, size, "%s/ntcached.log", demo->dir);
}

void demo_print_daemon_log(const struct demo *demo)
{
	char path[128], line[512];
	FILE *file;

	daemon_log_path(demo, path, sizeof(path));
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		fprintf(stderr, "ntcached: %s", line);
	if (file)
		fclose(file);
}

bool demo_start_daemon(struct demo *demo)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct pollfd fds[3];
	char program[4200], cache[128], text[256];
	const char *words[] = { program, "--dir", cache, "--socket", demo->socket, NULL };
	int notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), log = -1;
	bool good = false;
	ssize_t n;

	snprintf(program, sizeof(program), "%s/ntcached", demo->bin);
	snprintf(cache, sizeof(cache), "%s/cache", demo->dir);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", demo->dir);
	if (notify < 0 || bind(notify, (struct sockaddr *)&address, sizeof(address)) != 0) {
		demo_fail("%s: %s", address.sun_path, strerror(errno));
		goto out;
	}
	daemon_log_path(demo, text, sizeof(text));
	log = open(text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log < 0) {
		demo_fail("%s: %s", text, strerror(errno));
		goto out;
	}
	demo->daemon = start(demo, words, NULL, -1, log, address.sun_path, false);
	if (demo->daemon > 0)
		demo->daemon_pidfd = (int)syscall(SYS_pidfd_open, demo->daemon, 0);
	if (demo->daemon < 0 || demo->daemon_pidfd < 0) {
		demo_fail("%s: %s", program, strerror(errno));
		goto out;
	}
	fds[0] = (struct pollfd){ .fd = notify, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = demo->daemon_pidfd, .events = POLLIN };
	fds[2] = (struct pollfd){ .fd = demo->signals, .events = POLLIN };
	for (;;) {
		if (poll(fds, 3, 30000) <= 0 && errno != EINTR) {
			demo_fail("the daemon is not ready after 30 s");
			goto out;
		}
		if (fds[1].revents || fds[2].revents) {
			demo_fail(fds[1].revents ? "the daemon ended at once" : "interrupted");
			goto out;
		}
		n = recv(notify, text, sizeof(text) - 1, MSG_DONTWAIT);
		if (n > 0) {
			text[n] = '\0';
			if (strstr(text, "READY=1"))
				break;
		}
	}
	good = true;
out:
	if (notify >= 0)
		close(notify);
	if (log >= 0)
		close(log);
	return good;
}

bool demo_stop_daemon(struct demo *demo)
{
	struct pollfd fd = { .fd = demo->daemon_pidfd, .events = POLLIN };
	int ready;

	kill(demo->daemon, SIGTERM);
	do
		ready = poll(&fd, 1, 30000);
	while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return demo_fail("the daemon runs on 30 s after SIGTERM");
	return reap(&demo->daemon, "the daemon");
}

bool demo_print_stats(struct demo *demo)
{
	char program[4200], line[512];
	const char *words[] = { program, "stats", NULL };
	int ends[2];
	FILE *file;
	pid_t pid;

	snprintf(program, sizeof(program), "%s/ntcache-ctl", demo->bin);
	if (pipe2(ends, O_CLOEXEC) != 0)
		return demo_fail("pipe: %s", strerror(errno));
	pid = start(demo, words, NULL, ends[1], -1, NULL, false);
	close(ends[1]);
	file = fdopen(ends[0], "r");
	if (pid < 0 || !file)
		return demo_fail("%s: %s", program, strerror(errno));
	while (fgets(line, sizeof(line), file))
		printf("  %s", line);
	fclose(file);
	return reap(&pid, "ntcache-ctl");
}

/* --- workers ------------------------------------------------------------------------------ */

void demo_cubin_path(const struct demo *demo, enum demo_phase phase, unsigned worker, char *out, size_t size)
{
	snprintf(out, size, "%s/cubins-%d-%u", demo->dir, (int)phase, worker);
}

/* Memory that the workers of a phase share with us. The descriptor is given. */
static int new_board(struct demo_seen *seen)
{
	int fd = memfd_create("demo-board", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, sizeof(struct demo_board)) != 0) {
		demo_fail("memfd: %s", strerror(errno));
		goto failed;
	}
	seen->board = mmap(NULL, sizeof(struct demo_board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (seen->board == MAP_FAILED) {
		seen->board = NULL;
		demo_fail("mmap: %s", strerror(errno));
		goto failed;
	}
	return fd;
failed:
	if (fd >= 0)
		close(fd);
	return -1;
}

/*
 * Time to go is reckoned by what takes time: in the cold phase the kernels that were made, as most answers
 * come all at once at its end.
 */
static void show_progress(const struct demo *demo, enum demo_phase phase)
{
	const struct demo_seen *seen = &demo->seen[phase];
	size_t done = 0, made = 0, all = demo->items * DEMO_WORKERS, to_make;
	double passed = (double)(ntc_clock_mono_ns() - seen->release_ns) / 1e9;

	if (!demo->progress || seen->release_ns == 0)
		return;
	for (unsigned w = 0; w < DEMO_WORKERS; w++) {
		const struct demo_record *record = &seen->board->workers[w];
		uint32_t mine = record->done;

		done += mine;
		for (uint32_t i = 0; i < mine; i++)
			made += record->spans[i].source == NTC_FROM_MAKER;
	}
	to_make = phase == DEMO_OFF ? all : demo->items;
	printf("\r  %-9s %4zu of %zu kernels, %.0f s", demo_phase_name(phase), done, all, passed);
	if (made > 0 && made <= to_make && passed > 1)
		printf(", about %.0f s to go", passed / (double)made * (double)(to_make - made));
	printf("\033[K");
	fflush(stdout);
}

/* Nothing but progress until `pid` ends or something else happens; false if the demo has to stop. */
static bool wait_for(struct demo *demo, enum demo_phase phase, int fd, const char *what)
{
	uint64_t end = ntc_clock_mono_ns() + DEMO_PHASE_LIMIT_S * NTC_NS_PER_S;
	struct pollfd fds[3] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = demo->signals, .events = POLLIN },
		{ .fd = demo->daemon_pidfd, .events = POLLIN },
	};

	while (!(poll(fds, 3, TICK_MS) > 0 && fds[0].revents)) {
		if (fds[1].revents)
			return demo_fail("interrupted");
		if (fds[2].revents)
			return demo_fail("the daemon ended");
		if (ntc_clock_mono_ns() > end)
			return demo_fail("%s: nothing after %d s", what, DEMO_PHASE_LIMIT_S);
		show_progress(demo, phase);
	}
	return true;
}

static pid_t start_worker(struct demo *demo, enum demo_phase phase, unsigned w, int board, int ready,
			  int barrier)
{
	char texts[5][24], cubins[128];
	const char *words[] = { demo->self, "--worker", texts[0], texts[1], texts[2],
				texts[3],   texts[4],   cubins,   NULL };
	int keep[] = { board, ready, barrier, -1 };

	snprintf(texts[0], sizeof(texts[0]), "%u", w);
	snprintf(texts[1], sizeof(texts[1]), "%llu", (unsigned long long)demo->seed);
	snprintf(texts[2], sizeof(texts[2]), "%d", board);
	snprintf(texts[3], sizeof(texts[3]), "%d", ready);
	snprintf(texts[4], sizeof(texts[4]), "%d", barrier);
	demo_cubin_path(demo, phase, w, cubins, sizeof(cubins));
	return start(demo, words, keep, -1, -1, NULL, phase == DEMO_OFF);
}

/* One worker's end, its message if it has one. */
static bool collect(struct demo *demo, enum demo_phase phase, unsigned w)
{
	int pidfd = (int)syscall(SYS_pidfd_open, demo->workers[w], 0);
	char name[64];
	bool good;

	snprintf(name, sizeof(name), "%s: worker %u", demo_phase_name(phase), w);
	if (pidfd < 0)
		return demo_fail("pidfd_open: %s", strerror(errno));
	good = wait_for(demo, phase, pidfd, name);
	close(pidfd);
	if (!good)
		return false;
	good = reap(&demo->workers[w], name);
	if (demo->seen[phase].board->workers[w].error[0])
		return demo_fail("%s: %s", name, demo->seen[phase].board->workers[w].error);
	return good;
}

bool demo_run_workers(struct demo *demo, enum demo_phase phase)
{
	int ready[2] = { -1, -1 }, barrier[2] = { -1, -1 };
	int board = new_board(&demo->seen[phase]);
	unsigned standing = 0;
	bool good = false;
	char byte;

	if (board < 0 || pipe2(ready, O_CLOEXEC) != 0 || pipe2(barrier, O_CLOEXEC) != 0) {
		demo_fail("a phase's descriptors: %s", strerror(errno));
		goto out;
	}
	for (unsigned w = 0; w < DEMO_WORKERS; w++) {
		demo->workers[w] = start_worker(demo, phase, w, board, ready[1], barrier[0]);
		if (demo->workers[w] < 0) {
			demo_fail("fork: %s", strerror(errno));
			goto out;
		}
	}
	/* A worker that fails before the barrier closes its end, so reading ends when the last one did. */
	close(ready[1]);
	ready[1] = -1;
	while (standing < DEMO_WORKERS) {
		if (!wait_for(demo, phase, ready[0], "workers at the barrier"))
			goto out;
		if (read(ready[0], &byte, 1) != 1)
			break;
		standing++;
	}
	demo->seen[phase].release_ns = ntc_clock_mono_ns();
	close(barrier[1]);
	barrier[1] = -1;
	good = true;
	for (unsigned w = 0; good && w < DEMO_WORKERS; w++)
		good = collect(demo, phase, w);
	if (demo->progress)
		printf("\r\033[K");
out:
	for (int i = 0; i < 2; i++) {
		if (ready[i] >= 0)
			close(ready[i]);
		if (barrier[i] >= 0)
			close(barrier[i]);
	}
	if (board >= 0)
		close(board);
	return good;
}
