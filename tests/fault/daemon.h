/* A real daemon for campaigns: started, killed, started again in one directory. It dies with its parent. */
#ifndef NTC_TESTS_FAULT_DAEMON_H
#define NTC_TESTS_FAULT_DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

struct ntc_daemon {
	char dir[128], socket[100], log[128];
	pid_t pid;              /* 0: it does not run */
};

/* Name its directory, socket and log below the campaign's directory. */
void ntc_daemon_init(struct ntc_daemon *d, const char *name);

/* Start it with these options ("--max-size", "0", NULL) and do not wait. */
void ntc_daemon_spawn(struct ntc_daemon *d, const char *const *options);

/* Wait until it greets; false if it ends first, or after a minute. */
bool ntc_daemon_ready(struct ntc_daemon *d);

/* SIGKILL, and its end. Nothing happens to one that does not run. */
void ntc_daemon_kill(struct ntc_daemon *d);

/* SIGTERM and its end: its exit code, 128 + signal, or -1 if it had to be killed after a minute. */
int ntc_daemon_stop(struct ntc_daemon *d);

/* The last lines of its log, to standard output. */
void ntc_daemon_show(const struct ntc_daemon *d);

#endif
