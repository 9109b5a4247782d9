/*
 * A line on the terminal that says how far a long command is and how long it will take. Nothing at all where standard error
 * is no terminal. What ntc_ctl_say() writes goes above it.
 */
#ifndef NTC_CTL_PROGRESS_H
#define NTC_CTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct ntc_ctl_progress {
	bool on, shown;
	const char *what;       /* "verifying"; borrowed */
	uint64_t began_ns, said_ns;
};

void ntc_ctl_progress_begin(struct ntc_ctl_progress *progress, const char *what);

/* `entries` are done. `done` of `total` of whatever tells best how much there is; `total` 0 = nobody knows. Cheap. */
void ntc_ctl_progress_show(struct ntc_ctl_progress *progress, uint64_t entries, uint64_t done, uint64_t total);

/* Take the line away. */
void ntc_ctl_progress_end(struct ntc_ctl_progress *progress);

/* Take it away until it is shown again: somebody else is about to write. */
void ntc_ctl_progress_hide(void);

/* The time that is left, in ns, if so much took `took_ns`; 0 = not known yet. Pure. */
uint64_t ntc_ctl_progress_left(uint64_t done, uint64_t total, uint64_t took_ns);

#endif
