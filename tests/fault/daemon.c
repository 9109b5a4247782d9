/* A real daemon for campaigns; see daemon.h. */
#include "tests/fault/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/fault/campaign.h"
#include "tests/support/wire.h"

enum { WORDS = 32, LIMIT_S = 60, SHOWN = 4096 };

void ntc_daemon_init(struct ntc_daemon *d, const char *name)
{
	*d = (struct ntc_daemon){ 0 };
	snprintf(d->dir, sizeof(d->dir), "%s", ntc_fault_path("%s.cache", name));
	snprintf(d->socket, sizeof(d->socket), "%s", ntc_fault_path("%s.sock", name));
	snprintf(d->log, sizeof(d->log), "%s", ntc_fault_path("%s.log", name));
}

static _Noreturn void become(const struct ntc_daemon *d, const char *const *options)
{
	const char *build = getenv("NTC_TEST_BUILD");
	int null = open("/dev/null", O_RDONLY), log = open(d->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	const char *words[WORDS] = { NULL, "--dir", d->dir, "--socket", d->socket };
	char program[512];

	snprintf(program, sizeof(program), "%s/bin/ntcached", build ? build : "build");
	words[0] = program;
	for (size_t i = 0; options && options[i] && i + 6 < WORDS; i++)
		words[i + 5] = options[i];
	if (null < 0 || log < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 ||
	    close_range(3, ~0u, 0) < 0)
		_exit(126);
	execv(program, (char **)words);
	_exit(127);
}

void ntc_daemon_spawn(struct ntc_daemon *d, const char *const *options)
{
	pid_t parent = getpid();

	fflush(NULL);
	d->pid = fork();
	if (d->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
		become(d, options);
	}
	if (d->pid < 0) {
		perror("fork");
		exit(2);
	}
}

/* Its end, if it has come: true. */
static bool ended(struct ntc_daemon *d, int *status)
{
	if (waitpid(d->pid, status, WNOHANG) != d->pid)
		return false;
	d->pid = 0;
	return true;
}

bool ntc_daemon_ready(struct ntc_daemon *d)
{
	const struct timespec pause = { .tv_nsec = 500000 };
	uint64_t until = ntc_clock_mono_ns() + LIMIT_S * NTC_NS_PER_S;
	int status;

	/* What it says to a service manager would be an event to wait for, but needs one more socket. */
	while (!ended(d, &status) && ntc_clock_mono_ns() < until) {
		struct wire w;
		bool greeted = wire_hello(&w, d->socket);

		wire_close(&w);
		if (greeted)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

static int wait_end(struct ntc_daemon *d)
{
	struct pollfd end = { .fd = (int)syscall(SYS_pidfd_open, d->pid, 0), .events = POLLIN };
	int status, ready = -1;

	if (end.fd >= 0)
		ready = poll(&end, 1, LIMIT_S * 1000);
	close(end.fd);
	if (ready <= 0)
		kill(d->pid, SIGKILL);
	while (waitpid(d->pid, &status, 0) < 0 && errno == EINTR)
		;
	d->pid = 0;
	if (ready <= 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void ntc_daemon_kill(struct ntc_daemon *d)
{
	if (!d->pid)
		return;
	kill(d->pid, SIGKILL);
	(void)wait_end(d); /* however it ended */
}

int ntc_daemon_stop(struct ntc_daemon *d)
{
	if (!d->pid)
		return -1;
	kill(d->pid, SIGTERM);
	return wait_end(d);
}

void ntc_daemon_show(const struct ntc_daemon *d)
{
	char text[SHOWN + 1];
	int fd = open(d->log, O_RDONLY | O_CLOEXEC);
	off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : 0;
	ssize_t n = fd >= 0 ? pread(fd, text, SHOWN, size > SHOWN ? size - SHOWN : 0) : 0;

	if (fd >= 0)
		close(fd);
	printf("--- %s\n%.*s\n---\n", d->log, n > 0 ? (int)n : 0, text);
}
