/*
 * Daemons, children and commands. All of them get SIGKILL when the thread that started them ends, and
 * their ends are seen through pidfds, so nothing here polls.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/harness.h"
#include "tests/support/harness_private.h"

#define WORDS_MAX 64

/* Those that run: copies, as a test's own struct may be gone when teardown comes. */
static struct ntc_test_daemon running[16];

/* --- processes ---------------------------------------------------------------------------- */

/* fork() for children that end with the test. */
static pid_t fork_child(void)
{
	pid_t parent = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
	}
	return pid;
}

static int status_code(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Wait for the end of `pid`: its exit code, or -1 when the time is over (it runs on). */
static int reap_until(pid_t pid, uint64_t end_ms)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd fd = { .fd = pidfd, .events = POLLIN };
	int status, ready = 0;

	ck_assert_msg(pidfd >= 0, "pidfd_open %d: %s", (int)pid, strerror(errno));
	do {
		uint64_t now = now_ms();

		ready = poll(&fd, 1, now < end_ms ? (int)(end_ms - now) : 0);
	} while (ready < 0 && errno == EINTR);
	close(pidfd);
	if (ready <= 0)
		return -1;
	while (waitpid(pid, &status, 0) < 0)
		ck_assert_msg(errno == EINTR, "waitpid %d: %s", (int)pid, strerror(errno));
	return status_code(status);
}

int ntc_test_reap(pid_t pid, int timeout_ms)
{
	int code = reap_until(pid, now_ms() + (uint64_t)timeout_ms);

	ck_assert_msg(code >= 0, "process %d still runs after %d ms", (int)pid, timeout_ms);
	return code;
}

void ntc_test_spawn(struct ntc_test_group *group, unsigned n, ntc_test_child_fn *fn, void *ctx)
{
	int barrier[2], ready[2];
	char byte = 0;

	ck_assert_uint_le(n, 128);
	ck_assert_int_eq(pipe2(barrier, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	group->n = n;
	for (unsigned i = 0; i < n; i++) {
		group->pids[i] = fork_child();
		ck_assert_msg(group->pids[i] >= 0, "fork: %s", strerror(errno));
		if (group->pids[i] == 0) {
			int code;

			close(barrier[1]);
			if (write(ready[1], &byte, 1) != 1)
				_exit(126);
			close(ready[0]);
			close(ready[1]);
			/* Released when the last write end is closed. */
			while (read(barrier[0], &byte, 1) < 0 && errno == EINTR)
				;
			close(barrier[0]);
			code = fn(ctx, i);
			fflush(NULL);
			_exit(code);
		}
	}
	close(ready[1]);
	close(barrier[0]);
	for (unsigned i = 0; i < n; i++)
		ck_assert_msg(read(ready[0], &byte, 1) == 1, "a child ended before it was released");
	close(ready[0]);
	group->barrier = barrier[1];
}

void ntc_test_release(struct ntc_test_group *group)
{
	close(group->barrier);
	group->barrier = -1;
}

void ntc_test_collect(struct ntc_test_group *group, int timeout_ms, int *codes)
{
	uint64_t end = now_ms() + (uint64_t)timeout_ms;
	unsigned late = 0, bad = 0;

	for (unsigned i = 0; i < group->n; i++) {
		int code = reap_until(group->pids[i], end);

		if (code < 0) {
			fprintf(stderr, "child %u (process %d) still runs after %d ms\n", i, (int)group->pids[i],
				timeout_ms);
			kill(group->pids[i], SIGKILL);
			code = reap_until(group->pids[i], now_ms() + 10000);
			late++;
		}
		group->pids[i] = 0;
		if (code && !codes)
			fprintf(stderr, "child %u: exit code %d\n", i, code);
		bad += code != 0;
		if (codes)
			codes[i] = code;
	}
	ck_assert_msg(late == 0, "%u of %u children were not done in time", late, group->n);
	ck_assert_msg(codes || bad == 0, "%u of %u children failed", bad, group->n);
}

void ntc_test_children(unsigned n, ntc_test_child_fn *fn, void *ctx, int timeout_ms, int *codes)
{
	struct ntc_test_group group = { .barrier = -1 };

	ntc_test_spawn(&group, n, fn, ctx);
	ntc_test_release(&group);
	ntc_test_collect(&group, timeout_ms, codes);
}

/* --- commands ----------------------------------------------------------------------------- */

/* Read two pipes to their ends, growing NUL-terminated buffers. False when the time is over. */
static bool drain(const int pipes[2], char *text[2], size_t len[2], uint64_t end_ms)
{
	struct pollfd fds[2] = { { .fd = pipes[0], .events = POLLIN }, { .fd = pipes[1], .events = POLLIN } };

	for (int i = 0; i < 2; i++) {
		text[i] = calloc(1, 1);
		len[i] = 0;
	}
	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		uint64_t now = now_ms();

		if (now >= end_ms)
			return false;
		if (poll(fds, 2, (int)(end_ms - now)) < 0)
			continue;
		for (int i = 0; i < 2; i++) {
			char chunk[8192];
			ssize_t n;

			if (!fds[i].revents)
				continue;
			n = read(fds[i].fd, chunk, sizeof(chunk));
			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0) {
				fds[i].fd = -1;
				continue;
			}
			text[i] = realloc(text[i], len[i] + (size_t)n + 1);
			ck_assert_ptr_nonnull(text[i]);
			memcpy(text[i] + len[i], chunk, (size_t)n);
			len[i] += (size_t)n;
			text[i][len[i]] = 0;
		}
	}
	return true;
}

void ntc_test_command(struct ntc_test_output *output, int timeout_ms, ...)
{
	char *words[WORDS_MAX + 1], *text[2];
	uint64_t end = now_ms() + (uint64_t)timeout_ms;
	int out[2], err[2], count = 0;
	size_t len[2];
	bool whole;
	va_list args;
	pid_t pid;

	va_start(args, timeout_ms);
	while ((words[count] = va_arg(args, char *)))
		ck_assert_int_lt(++count, WORDS_MAX);
	va_end(args);
	ck_assert_int_gt(count, 0);
	if (!strchr(words[0], '/')) {
		const char *built = ntc_test_built("bin");
		char path[1024];

		snprintf(path, sizeof(path), "%s/%s", built, words[0]);
		if (access(path, X_OK) == 0)
			words[0] = strdupa(path);
	}
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(err, O_CLOEXEC), 0);
	pid = fork_child();
	ck_assert_msg(pid >= 0, "fork: %s", strerror(errno));
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY);

		if (null < 0 || dup2(null, 0) < 0 || dup2(out[1], 1) < 0 || dup2(err[1], 2) < 0)
			_exit(126);
		execvp(words[0], words);
		fprintf(stderr, "%s: %s\n", words[0], strerror(errno));
		_exit(127);
	}
	close(out[1]);
	close(err[1]);
	whole = drain((int[]){ out[0], err[0] }, text, len, end);
	close(out[0]);
	close(err[0]);
	if (!whole)
		kill(pid, SIGKILL);
	output->code = reap_until(pid, whole ? end : now_ms() + 10000);
	output->out = text[0];
	output->err = text[1];
	output->out_len = len[0];
	output->err_len = len[1];
	ck_assert_msg(whole && output->code >= 0, "%s still runs after %d ms; it said:\n%s%s", words[0], timeout_ms,
		      text[0], text[1]);
}

void ntc_test_output_clear(struct ntc_test_output *output)
{
	free(output->out);
	free(output->err);
	*output = (struct ntc_test_output){ 0 };
}

/* --- daemons ------------------------------------------------------------------------------ */

/* The socket on which daemons say that they are ready. */
static int notify_socket(struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ck_assert_msg(fd >= 0, "socket: %s", strerror(errno));
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(addr->sun_path, sizeof(addr->sun_path), "%s", ntc_test_path("notify"));
	unlink(addr->sun_path);
	ck_assert_msg(bind(fd, (struct sockaddr *)addr, sizeof(*addr)) == 0, "bind: %s", strerror(errno));
	return fd;
}

static bool says_ready(int notify)
{
	char text[1024];
	ssize_t n = recv(notify, text, sizeof(text) - 1, MSG_DONTWAIT);
	char *line, *save = NULL;

	if (n <= 0)
		return false;
	text[n] = 0;
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (strcmp(line, "READY=1") == 0)
			return true;
	return false;
}

/* Wait for READY=1 while the daemon lives. */
static void wait_ready(struct ntc_test_daemon *d, int notify)
{
	uint64_t end = now_ms() + (uint64_t)ntc_test_ms(20000);
	int pidfd = (int)syscall(SYS_pidfd_open, d->pid, 0);
	struct pollfd fds[2] = { { .fd = notify, .events = POLLIN }, { .fd = pidfd, .events = POLLIN } };

	ck_assert_msg(pidfd >= 0, "pidfd_open: %s", strerror(errno));
	for (;;) {
		uint64_t now = now_ms();

		if (says_ready(notify))
			break;
		ck_assert_msg(now < end, "%s is not ready after 20 s; see its log below", d->name);
		if (poll(fds, 2, (int)(end - now)) > 0 && !fds[0].revents && fds[1].revents) {
			ck_abort_msg("%s ended with code %d before it was ready; see its log below", d->name,
				     ntc_test_wait_exit(d, 1000));
		}
	}
	close(pidfd);
}

static void exec_daemon(const struct ntc_test_daemon *d, char **words, const struct sockaddr_un *notify)
{
	int null = open("/dev/null", O_RDONLY);
	int log = open(d->log, O_WRONLY | O_CREAT | O_APPEND, 0600);

	if (null < 0 || log < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
		_exit(126);
	/* Nothing of the test's own: no descriptors, no handling of signals. */
	if (close_range(3, ~0u, 0) < 0)
		_exit(126);
	signal(SIGPIPE, SIG_DFL);
	setenv("NOTIFY_SOCKET", notify->sun_path, 1);
	unsetenv("NTCACHE_SOCKET");
	unsetenv("NTCACHE_DIR");
	execvp(words[0], words);
	fprintf(stderr, "%s: %s\n", words[0], strerror(errno));
	_exit(127);
}

void ntc_test_start(struct ntc_test_daemon *d, ...)
{
	char *words[WORDS_MAX + 1], wrapper[256], *save = NULL, *word;
	const char *wrap = getenv("NTC_TEST_WRAPPER");
	struct sockaddr_un addr;
	size_t count = 0, slot = 0;
	va_list args;
	int notify;

	ck_assert_msg(d->pid == 0, "%s runs already", d->name);
	while (slot < 16 && running[slot].pid)
		slot++;
	ck_assert_uint_lt(slot, 16);
	d->name = d->name ? d->name : "main";
	d->program = d->program ? d->program : "bin/ntcached";
	snprintf(d->socket, sizeof(d->socket), "%s", ntc_test_path("%s.sock", d->name));
	snprintf(d->cache, sizeof(d->cache), "%s", ntc_test_path("%s.cache", d->name));
	snprintf(d->log, sizeof(d->log), "%s", ntc_test_path("%s.log", d->name));

	snprintf(wrapper, sizeof(wrapper), "%s", wrap ? wrap : "");
	for (word = strtok_r(wrapper, " ", &save); word; word = strtok_r(NULL, " ", &save))
		words[count++] = word;
	words[count++] = (char *)(d->program[0] == '/' ? d->program : ntc_test_built(d->program));
	words[count++] = (char *)"--dir";
	words[count++] = d->cache;
	words[count++] = (char *)"--socket";
	words[count++] = d->socket;
	va_start(args, d);
	while ((words[count] = va_arg(args, char *)))
		ck_assert_uint_lt(++count, WORDS_MAX);
	va_end(args);

	notify = notify_socket(&addr);
	d->pid = fork_child();
	if (d->pid == 0)
		exec_daemon(d, words, &addr);
	ck_assert_msg(d->pid > 0, "fork: %s", strerror(errno));
	running[slot] = *d;
	wait_ready(d, notify);
	close(notify);
	unlink(addr.sun_path);
}

static void forget(pid_t pid)
{
	for (size_t i = 0; i < 16; i++)
		if (running[i].pid == pid)
			running[i].pid = 0;
}

int ntc_test_wait_exit(struct ntc_test_daemon *d, int timeout_ms)
{
	pid_t pid = d->pid;
	int code;

	ck_assert_msg(pid > 0, "%s does not run", d->name);
	code = reap_until(pid, now_ms() + (uint64_t)timeout_ms);
	ck_assert_msg(code >= 0, "%s still runs after %d ms", d->name, timeout_ms);
	d->pid = 0;
	forget(pid);
	return code;
}

void ntc_test_stop(struct ntc_test_daemon *d)
{
	int code;

	if (d->pid == 0)
		return;
	kill(d->pid, SIGCONT);
	kill(d->pid, SIGTERM);
	code = ntc_test_wait_exit(d, ntc_test_ms(10000));
	ck_assert_msg(code == 0, "%s was told to stop and ended with code %d; see its log below", d->name, code);
}

void ntc_test_kill(struct ntc_test_daemon *d)
{
	ck_assert_msg(d->pid > 0, "%s does not run", d->name);
	kill(d->pid, SIGKILL);
	ck_assert_int_eq(ntc_test_wait_exit(d, 10000), 128 + SIGKILL);
}

void ntc_test_stop_all(void)
{
	for (size_t i = 0; i < 16; i++)
		if (running[i].pid) {
			struct ntc_test_daemon d = running[i];

			ntc_test_stop(&d);
		}
}

bool ntc_test_log_has(const struct ntc_test_daemon *d, const char *text)
{
	FILE *f = fopen(d->log, "re");
	char *line = NULL;
	size_t size = 0;
	bool found = false;

	while (f && !found && getline(&line, &size, f) >= 0)
		found = strstr(line, text);
	free(line);
	if (f)
		fclose(f);
	return found;
}
