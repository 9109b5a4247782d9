/*
 * Running one command: in a directory, with a given environment, as a process group of its own, its output
 * (both streams) kept up to a limit, no input. Nothing of the group survives the call. Any thread; the
 * program must not reap children that it did not start, nor ignore SIGCHLD.
 */
#ifndef NTC_KERNELS_COMMAND_H
#define NTC_KERNELS_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NTC_COMMAND_LOG_MAX (64u << 10)         /* bytes of output that are kept: the first */
#define NTC_COMMAND_TIME_MAX_S 3600             /* a command runs at most so long */
#define NTC_COMMAND_TICK_S 15

struct ntc_command {
	const char *program;            /* the file to run */
	char *const *words;             /* argv, NULL-terminated */
	char *const *environment;       /* NULL-terminated */
	const char *directory;
	uint64_t limit_ns;              /* how long it may run */
	void (*tick)(void *ctx);        /* called about every 15 s while it runs; may be NULL */
	void *ctx;
};

enum ntc_command_end {
	NTC_COMMAND_EXITED,             /* status is its exit status */
	NTC_COMMAND_SIGNALLED,          /* status is the signal */
	NTC_COMMAND_OVER_TIME,          /* it was killed at its limit */
	NTC_COMMAND_NOT_RUN,            /* status is an errno: it was not started, or its end is not known */
};

struct ntc_command_result {
	enum ntc_command_end end;
	int status;
	char *log;                      /* NUL-terminated, given: free(); NULL only without memory */
	size_t log_len;
};

void ntc_command_run(const struct ntc_command *command, struct ntc_command_result *result);

#endif
