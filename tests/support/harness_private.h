/* What the files of the harness share. */
#ifndef NTC_TESTS_SUPPORT_HARNESS_PRIVATE_H
#define NTC_TESTS_SUPPORT_HARNESS_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* Shared with the keeper. */
struct test_state {
	pid_t test;
	bool own_group;         /* the test leads a process group of its own: Check's fork mode */
	volatile bool passed;
};
extern struct test_state *ntc_test_state;

/* Stop every daemon that runs; each must exit 0. */
void ntc_test_stop_all(void);

static inline uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

#endif
