/*
 * The daemon's counters (docs/stats.md) as a table for people. Pure: counters in, text out. Counters that are
 * absent are not shown; those of names unknown here are shown as they are.
 */
#ifndef NTC_CTL_COUNTERS_H
#define NTC_CTL_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct ntc_ctl_counter {
	char *name;
	int64_t value;
	bool shown;             /* private */
};

struct ntc_ctl_counters {
	struct ntc_ctl_counter *at;
	size_t count, room;
};

/* `name` is copied. */
void ntc_ctl_counters_add(struct ntc_ctl_counters *counters, const char *name, int64_t value);
void ntc_ctl_counters_release(struct ntc_ctl_counters *counters);

/* The value of a counter; false if it is absent. */
bool ntc_ctl_counters_get(const struct ntc_ctl_counters *counters, const char *name, int64_t *value);

void ntc_ctl_counters_print(struct ntc_ctl_counters *counters, FILE *out, bool colour);

#endif
