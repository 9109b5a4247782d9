/* A line that says how far it is; see progress.h. */
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "format.h"

#define MS UINT64_C(1000000)
#define EVERY (100 * MS)
#define LEFT_MAX (UINT64_C(100) * 86400 * 1000 * MS)    /* longer is no news */
#define TRUSTED (500 * MS)      /* the first moments say little of the rest */

static struct ntc_ctl_progress *current;

static uint64_t mono_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

uint64_t ntc_ctl_progress_left(uint64_t done, uint64_t total, uint64_t took_ns)
{
	double left;

	if (took_ns < TRUSTED || done == 0 || done >= total)
		return 0;
	left = (double)took_ns / (double)done * (double)(total - done);
	return left < (double)LEFT_MAX ? (uint64_t)left : LEFT_MAX;
}

void ntc_ctl_progress_begin(struct ntc_ctl_progress *progress, const char *what)
{
	*progress = (struct ntc_ctl_progress){ .what = what, .on = isatty(STDERR_FILENO), .began_ns = mono_now() };
	progress->said_ns = progress->began_ns;
	current = progress;
}

void ntc_ctl_progress_hide(void)
{
	if (!current || !current->shown)
		return;
	fputs("\r\033[K", stderr);
	current->shown = false;
}

void ntc_ctl_progress_show(struct ntc_ctl_progress *progress, uint64_t entries, uint64_t done, uint64_t total)
{
	uint64_t now, left;
	char text[NTC_CTL_NUMBER_SIZE];

	if (!progress->on)
		return;
	now = mono_now();
	if (now - progress->said_ns < EVERY)
		return;
	progress->said_ns = now;
	left = ntc_ctl_progress_left(done, total, now - progress->began_ns);
	fprintf(stderr, "\r%s: %" PRIu64 " %s", progress->what, entries, entries == 1 ? "entry" : "entries");
	if (total)
		fprintf(stderr, ", %.0f %%", done < total ? (double)done * 100 / (double)total : 100.0);
	if (left)
		fprintf(stderr, ", %s to go", ntc_ctl_duration_text(left, text));
	fputs("\033[K", stderr);
	progress->shown = true;
}

void ntc_ctl_progress_end(struct ntc_ctl_progress *progress)
{
	ntc_ctl_progress_hide();
	if (current == progress)
		current = NULL;
}
