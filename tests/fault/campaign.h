/*
 * The frame of the fault campaigns (tests/fault/): a campaign is a program that tries to break something many
 * times over, counts, and ends with the line "N passed, M failed". Check is no help here: one failure must
 * not end the rest, and what is tried dies on purpose.
 *
 *     int main(void)
 *     {
 *             ntc_fault_begin("sweep");
 *             for (n = 1; ntc_fault_goes_on(); n++)
 *                     ntc_fault_try(run, &n, "the %u-th call fails", n);
 *             return ntc_fault_end();
 *     }
 *
 * Environment:
 *     NTC_FAULT_SECONDS=N  stop after about so many seconds: a sample in random order (0, default: everything)
 *     NTC_FAULT_ONLY=GLOB  only what a failure of that text was about, such as "put, call 7, EIO"
 *     NTC_TEST_SEED=N      the seed; printed
 *     NTC_TEST_KEEP=1      leave the directory where something failed
 *     NTC_TEST_SLOW=N      multiply time limits by N
 *     TMPDIR               where the private directory is made; default /tmp
 */
#ifndef NTC_TESTS_FAULT_CAMPAIGN_H
#define NTC_TESTS_FAULT_CAMPAIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

/*
 * Begin: private directory, seed, time. `fast`: in memory (/dev/shm) where there is room and TMPDIR does not say
 * otherwise; right for whatever only dies by signals, as the kernel keeps what was written.
 */
void ntc_fault_begin(const char *name, bool fast);

/* Print the totals, remove the directory; main's status. */
int ntc_fault_end(void);

/* A file of the private directory. Static; good until the 8th call from here. */
const char *ntc_fault_path(const char *fmt, ...) NTC_PRINTF(1, 2);

/* --- time --------------------------------------------------------------------------------- */

/* Whether the time that NTC_FAULT_SECONDS gives is not over. */
bool ntc_fault_goes_on(void);

/* From here on the limit is `share` percent of all time more, so that each part of a program has its turn. */
void ntc_fault_share(unsigned share);

/* Whether there is a limit: the short version. */
bool ntc_fault_is_short(void);

/* --- counting ----------------------------------------------------------------------------- */

void ntc_fault_passed(void);
void ntc_fault_failed(const char *fmt, ...) NTC_PRINTF(1, 2); /* printed, the first 50 of them */
unsigned ntc_fault_failures(void);

/* Whether $NTC_FAULT_ONLY, if there is one, fits the text. */
bool ntc_fault_chosen(const char *fmt, ...) NTC_PRINTF(1, 2);

/* A line about what was done. */
void ntc_fault_say(const char *fmt, ...) NTC_PRINTF(1, 2);

/* --- chance ------------------------------------------------------------------------------- */

uint64_t ntc_fault_random(void);

/* 0 .. count-1 in random order where time is short, else in order. Given: free(). */
uint32_t *ntc_fault_order(uint32_t count);

/* --- children ----------------------------------------------------------------------------- */

/* Zeroed memory that is shared with children; never unmapped. */
void *ntc_fault_shared(size_t size);

/*
 * What is tried, in a child process of its own: 0 is good. One that uses ntc_fault_expect() says why it is not.
 */
typedef int ntc_fault_fn(void *ctx);

/* In a child: unless `condition`, note the text (like printf) as what went wrong and leave with 1. */
#define ntc_fault_expect(condition, ...) \
	do { \
		if (!(condition)) \
			ntc_fault_leave(__FILE__, __LINE__, __VA_ARGS__); \
	} while (0)
_Noreturn void ntc_fault_leave(const char *file, int line, const char *fmt, ...) NTC_PRINTF(3, 4);

/*
 * Run `fn` in a child and wait: its exit code, 128 + signal if it was killed, -1 if it was not done in time (and
 * was killed for it). Nothing is counted.
 */
int ntc_fault_run(ntc_fault_fn *fn, void *ctx);

/* What the last child noted with ntc_fault_expect(); "" for nothing. */
const char *ntc_fault_noted(void);

/* Run it and count: passed if it ends with 0. `fmt` says what was tried. */
bool ntc_fault_try(ntc_fault_fn *fn, void *ctx, const char *fmt, ...) NTC_PRINTF(3, 4);

/* --- files -------------------------------------------------------------------------------- */

/* Copy a tree of files and directories, with their modes, to a name that is free. Usable in children. */
void ntc_fault_copy(const char *from, const char *to);

/* Remove a tree; nothing happens if there is none. */
void ntc_fault_remove(const char *path);

/* How many names of a directory begin with `prefix`. */
unsigned ntc_fault_count(const char *path, const char *prefix);

#endif
