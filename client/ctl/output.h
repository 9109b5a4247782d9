/*
 * A file that a command writes: it appears whole or not at all, and what was there before stays until then. "-" is standard output;
 * devices and pipes are written in place.
 */
#ifndef NTC_CTL_OUTPUT_H
#define NTC_CTL_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

struct ntc_ctl_output {
	const char *path;       /* for people; borrowed */
	FILE *file;
	char *temporary;        /* the name until it is finished; NULL: none is needed, or it has none yet */
	bool standard, unnamed; /* standard output; a file without a name */
};

/* Begin. `path` NULL is "-". NTC_CTL_OK, or NTC_CTL_FAILED after a complaint. */
int ntc_ctl_output_open(struct ntc_ctl_output *output, const char *path);

/* End: with `good` the file gets its name once it is on the disk; else it is gone. The same. */
int ntc_ctl_output_close(struct ntc_ctl_output *output, bool good);

#endif
