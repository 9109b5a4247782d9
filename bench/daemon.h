/*
 * A daemon for a bench: build/bin/ntcached (or that of $NTC_TEST_BUILD) on a directory of its own. A call that cannot
 * do its work says so and ends the program; the daemon ends with it.
 */
#ifndef NTC_BENCH_DAEMON_H
#define NTC_BENCH_DAEMON_H

#include <stdint.h>
#include <sys/types.h>

#include "ntcache.h"

struct ntc_bench_daemon {
	pid_t pid;
	char dir[256], socket[256];
};

/* Start it on `DIR/NAME` with the options `ARG... NULL`; returns when it answers. */
void ntc_bench_daemon_start(struct ntc_bench_daemon *daemon, const char *dir, const char *name, ...)
	__attribute__((sentinel));
void ntc_bench_daemon_stop(struct ntc_bench_daemon *daemon);

/* A client of it. */
struct ntc_client *ntc_bench_client(const struct ntc_bench_daemon *daemon);

/* One of its counters; 0 if it has none of that name. */
int64_t ntc_bench_counter(struct ntc_client *client, const char *name);

#endif
