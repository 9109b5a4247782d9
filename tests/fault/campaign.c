/* The frame of the fault campaigns; see campaign.h. */
#include "tests/fault/campaign.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

enum { FAILURES_SHOWN = 50, CHILD_LIMIT_MS = 60000 };
#define FAST_NEEDS (UINT64_C(512) << 20)

static const char *campaign;
static char dir[256];
static unsigned passed, failed;
static uint64_t seed, state, all_ns, limit_ns, began_ns;
static char *noted; /* shared with children */

#define NOTED_MAX 1024u

/* --- the frame ---------------------------------------------------------------------------- */

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", campaign, what, strerror(errno));
	exit(2);
}

static bool has_room(const char *path)
{
	struct statvfs fs;

	return access(path, W_OK) == 0 && statvfs(path, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_bsize >= FAST_NEEDS;
}

void ntc_fault_begin(const char *name, bool fast)
{
	const char *seconds = getenv("NTC_FAULT_SECONDS"), *given = getenv("NTC_TEST_SEED"), *tmp = getenv("TMPDIR");

	campaign = name;
	setvbuf(stdout, NULL, _IOLBF, 0);
	began_ns = ntc_clock_mono_ns();
	all_ns = (seconds ? strtoull(seconds, NULL, 10) : 0) * NTC_NS_PER_S;
	limit_ns = all_ns ? began_ns + all_ns : 0;
	if (given)
		seed = strtoull(given, NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		give_up("getrandom");
	state = seed;
	if (!tmp || !*tmp)
		tmp = fast && has_room("/dev/shm") ? "/dev/shm" : "/tmp";
	snprintf(dir, sizeof(dir), "%s/ntc-fault-XXXXXX", tmp);
	if (!mkdtemp(dir))
		give_up(dir);
	noted = ntc_fault_shared(NOTED_MAX);
	ntc_fault_say("NTC_TEST_SEED=0x%llx in %s", (unsigned long long)seed, dir);
}

int ntc_fault_end(void)
{
	const char *keep = getenv("NTC_TEST_KEEP");

	if (failed && keep && *keep == '1')
		ntc_fault_say("kept: %s", dir);
	else
		ntc_fault_remove(dir);
	ntc_fault_say("%.1f s", (double)(ntc_clock_mono_ns() - began_ns) / (double)NTC_NS_PER_S);
	printf("%u passed, %u failed\n", passed, failed);
	return failed || !passed ? EXIT_FAILURE : EXIT_SUCCESS;
}

const char *ntc_fault_path(const char *fmt, ...)
{
	static char paths[8][512];
	static unsigned next;
	char *path = paths[next++ % 8];
	int used = snprintf(path, 512, "%s/", dir);
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(path + used, 512 - (size_t)used, fmt, args); /* a cut path is not found */
	va_end(args);
	return path;
}

/* --- time --------------------------------------------------------------------------------- */

bool ntc_fault_goes_on(void)
{
	return !limit_ns || ntc_clock_mono_ns() < limit_ns;
}

void ntc_fault_share(unsigned share)
{
	if (all_ns)
		limit_ns = ntc_clock_mono_ns() + all_ns / 100 * share;
}

bool ntc_fault_is_short(void)
{
	return all_ns != 0;
}

/* --- counting ----------------------------------------------------------------------------- */

static void say(const char *prefix, const char *fmt, va_list args)
{
	printf("%s: %s", campaign, prefix);
	vprintf(fmt, args);
	putchar('\n');
}

void ntc_fault_say(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say("", fmt, args);
	va_end(args);
}

void ntc_fault_passed(void)
{
	passed++;
}

void ntc_fault_failed(const char *fmt, ...)
{
	va_list args;

	if (failed++ >= FAILURES_SHOWN)
		return;
	va_start(args, fmt);
	say("FAILED: ", fmt, args);
	va_end(args);
}

unsigned ntc_fault_failures(void)
{
	return failed;
}

bool ntc_fault_chosen(const char *fmt, ...)
{
	const char *only = getenv("NTC_FAULT_ONLY");
	char text[256];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args); /* cut is good enough */
	va_end(args);
	return !only || fnmatch(only, text, 0) == 0;
}

/* --- chance ------------------------------------------------------------------------------- */

/* SplitMix64. */
uint64_t ntc_fault_random(void)
{
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint32_t *ntc_fault_order(uint32_t count)
{
	uint32_t *order = calloc(count ? count : 1, sizeof(*order));

	if (!order)
		give_up("memory");
	for (uint32_t i = 0; i < count; i++)
		order[i] = i;
	for (uint32_t i = count; ntc_fault_is_short() && i > 1; i--) {
		uint32_t with = (uint32_t)(ntc_fault_random() % i), kept = order[i - 1];

		order[i - 1] = order[with];
		order[with] = kept;
	}
	return order;
}

/* --- children ----------------------------------------------------------------------------- */

void *ntc_fault_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		give_up("mmap");
	return p;
}

void ntc_fault_leave(const char *file, int line, const char *fmt, ...)
{
	int used = snprintf(noted, NOTED_MAX, "%s:%d: ", file, line);
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(noted + used, NOTED_MAX - (size_t)used, fmt, args); /* cut is good enough */
	va_end(args);
	_exit(1);
}

const char *ntc_fault_noted(void)
{
	return noted;
}

static int child_limit_ms(void)
{
	const char *slow = getenv("NTC_TEST_SLOW");
	long factor = slow ? strtol(slow, NULL, 10) : 1;

	return factor > 1 && factor <= 1000 ? CHILD_LIMIT_MS * (int)factor : CHILD_LIMIT_MS;
}

int ntc_fault_run(ntc_fault_fn *fn, void *ctx)
{
	struct pollfd end = { .events = POLLIN };
	/* Its numbers are its own, and the next child's are others. */
	uint64_t child_state = ntc_fault_random();
	pid_t parent = getpid(), pid;
	int status, ready;

	noted[0] = '\0';
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		give_up("fork");
	if (pid == 0) {
		int code;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
		state = child_state;
		code = fn(ctx);
		fflush(NULL);
		_exit(code);
	}
	end.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (end.fd < 0)
		give_up("pidfd_open");
	do
		ready = poll(&end, 1, child_limit_ms());
	while (ready < 0 && errno == EINTR);
	close(end.fd);
	if (ready <= 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			give_up("waitpid");
	if (ready <= 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool ntc_fault_try(ntc_fault_fn *fn, void *ctx, const char *fmt, ...)
{
	int code = ntc_fault_run(fn, ctx);
	char what[256];
	va_list args;

	if (code == 0) {
		ntc_fault_passed();
		return true;
	}
	va_start(args, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, args); /* cut is good enough */
	va_end(args);
	if (code < 0)
		ntc_fault_failed("%s: it hangs", what);
	else if (code >= 128)
		ntc_fault_failed("%s: it ended by signal %d", what, code - 128);
	else
		ntc_fault_failed("%s: code %d, %s", what, code, *noted ? noted : "which says nothing");
	return false;
}

/* --- files -------------------------------------------------------------------------------- */

static void copy_file(const char *from, const char *to, mode_t mode)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char bytes[65536];
	ssize_t n = -1;

	while (in >= 0 && out >= 0 && (n = read(in, bytes, sizeof(bytes))) > 0)
		if (write(out, bytes, (size_t)n) != n)
			give_up(to);
	if (n != 0 || fchmod(out, mode) != 0)
		give_up(from);
	close(in);
	close(out);
}

void ntc_fault_copy(const char *from, const char *to)
{
	struct dirent *e;
	struct stat st;
	DIR *list;

	if (lstat(from, &st) != 0)
		give_up(from);
	if (!S_ISDIR(st.st_mode)) {
		copy_file(from, to, st.st_mode & 07777);
		return;
	}
	list = opendir(from);
	if (mkdir(to, 0700) != 0 || !list)
		give_up(to);
	while ((e = readdir(list))) {
		char a[1024], b[1024];

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(a, sizeof(a), "%s/%s", from, e->d_name);
		snprintf(b, sizeof(b), "%s/%s", to, e->d_name);
		ntc_fault_copy(a, b);
	}
	closedir(list);
	if (chmod(to, st.st_mode & 07777) != 0)
		give_up(to);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void ntc_fault_remove(const char *path)
{
	if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
		give_up(path);
}

unsigned ntc_fault_count(const char *path, const char *prefix)
{
	DIR *list = opendir(path);
	unsigned count = 0;
	struct dirent *e;

	if (!list)
		give_up(path);
	while ((e = readdir(list)))
		count += e->d_name[0] != '.' && strncmp(e->d_name, prefix, strlen(prefix)) == 0;
	closedir(list);
	return count;
}
