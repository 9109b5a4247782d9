/* A daemon for a bench; see daemon.h. */
#include "bench/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"

#define ARGS_MAX 24
#define START_TRIES 2000 /* of 5 ms */

static void run_daemon(const struct ntc_bench_daemon *daemon, va_list more)
{
	const char *build = getenv("NTC_TEST_BUILD");
	char program[512];
	const char *args[ARGS_MAX + 1] = { program,        "--dir",       daemon->dir, "--socket",
					   daemon->socket, "--log-level", "warning" };
	size_t n = 7;

	snprintf(program, sizeof(program), "%s/bin/ntcached", build ? build : "build");
	while (n < ARGS_MAX && (args[n] = va_arg(more, const char *)))
		n++;
	/* What ends the bench ends the daemon. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	execv(program, (char *const *)args);
	perror(program);
	_exit(127);
}

struct ntc_client *ntc_bench_client(const struct ntc_bench_daemon *daemon)
{
	struct ntc_options options = NTC_OPTIONS_INIT;
	struct ntc_client *client;

	options.socket = daemon->socket;
	options.flags = NTC_NO_AUTOSTART;
	options.mode = NTC_MODE_ON;
	if (ntc_open(&options, &client))
		ntc_bench_die("a client: %s", ntc_last_error());
	return client;
}

void ntc_bench_daemon_start(struct ntc_bench_daemon *daemon, const char *dir, const char *name, ...)
{
	struct timespec pause = { .tv_nsec = 5000000 };
	enum ntc_err err = NTC_E_NO_DAEMON;
	va_list more;

	snprintf(daemon->dir, sizeof(daemon->dir), "%s/%s", dir, name);
	snprintf(daemon->socket, sizeof(daemon->socket), "%s/%s.sock", dir, name);
	fflush(NULL);
	daemon->pid = fork();
	if (daemon->pid == 0) {
		va_start(more, name);
		run_daemon(daemon, more);
	}
	if (daemon->pid < 0)
		ntc_bench_die("fork: %s", strerror(errno));
	for (int i = 0; err && i < START_TRIES; i++) {
		/* A new client each time: one that has failed waits before it tries again. */
		struct ntc_client *client = ntc_bench_client(daemon);

		err = ntc_ping(client, 1000, NULL);
		ntc_close(client);
		if (waitpid(daemon->pid, NULL, WNOHANG))
			ntc_bench_die("the daemon does not start");
		nanosleep(&pause, NULL);
	}
	if (err)
		ntc_bench_die("the daemon does not answer: %s", ntc_last_error());
}

void ntc_bench_daemon_stop(struct ntc_bench_daemon *daemon)
{
	int status;

	kill(daemon->pid, SIGTERM);
	while (waitpid(daemon->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		ntc_bench_die("the daemon ended with status %d", status);
}

struct find {
	const char *name;
	int64_t value;
};

static void find_counter(void *ctx, const char *name, int64_t value)
{
	struct find *find = ctx;

	if (strcmp(name, find->name) == 0)
		find->value = value;
}

int64_t ntc_bench_counter(struct ntc_client *client, const char *name)
{
	struct find find = { .name = name };

	if (ntc_stats(client, NTC_NO_TIMEOUT, find_counter, &find))
		ntc_bench_die("the counters: %s", ntc_last_error());
	return find.value;
}
