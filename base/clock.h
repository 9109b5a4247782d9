/*
 * Clocks. Limits are measured on the monotonic clock; the wall clock is only ever shown to people.
 */
#ifndef NTC_BASE_CLOCK_H
#define NTC_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NTC_NS_PER_MS UINT64_C(1000000)
#define NTC_NS_PER_S UINT64_C(1000000000)

static inline uint64_t ntc_clock_read(clockid_t clock)
{
	struct timespec ts;

	/* Both clocks below always exist on Linux, so this cannot fail. */
	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * NTC_NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Nanoseconds on CLOCK_MONOTONIC: for every limit, deadline and duration. */
static inline uint64_t ntc_clock_mono_ns(void)
{
	return ntc_clock_read(CLOCK_MONOTONIC);
}

/* Nanoseconds since 1970 on the wall clock: for stamps that people read, never for limits. */
static inline uint64_t ntc_clock_wall_ns(void)
{
	return ntc_clock_read(CLOCK_REALTIME);
}

#endif
