/*
 * Numbers and texts for people. Whatever comes out of a cache is foreign: texts pass through
 * ntc_ctl_print_text(), so that no key can send control sequences to a terminal.
 */
#ifndef NTC_CTL_FORMAT_H
#define NTC_CTL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define NTC_CTL_NUMBER_SIZE 32

/* "312 B", "4.0 KiB", "1.2 GiB". */
const char *ntc_ctl_bytes_text(uint64_t bytes, char out[NTC_CTL_NUMBER_SIZE]);

/* "850 ns", "1.25 ms", "3.10 s", "2 min 05 s", "3 h 12 min", "5 d 04 h". */
const char *ntc_ctl_duration_text(uint64_t ns, char out[NTC_CTL_NUMBER_SIZE]);

/* How long ago `then` was, in one unit: "12 s", "3 min", "4 h", "9 d"; "now" below a second. */
const char *ntc_ctl_age_text(uint64_t now_wall_ns, uint64_t then_wall_ns, char out[NTC_CTL_NUMBER_SIZE]);

/* "2026-11-23 09:33:29" in local time, "-" for 0. */
const char *ntc_ctl_wall_text(uint64_t wall_ns, char out[NTC_CTL_NUMBER_SIZE]);

/* The wall clock, in ns since 1970. */
uint64_t ntc_ctl_wall_now(void);

/* Write `text` with its control characters (and bytes that are not UTF-8) as \xNN; '\n' and '\t' stay if
 * `lines`. */
void ntc_ctl_print_text(FILE *out, const char *text, size_t len, bool lines);

/* Whether all of it is UTF-8 text without control characters but tab, newline, form feed and return. */
bool ntc_ctl_is_text(const void *bytes, size_t len);

/* Colours: the sequence if `on`, else "". */
enum ntc_ctl_colour {
	NTC_CTL_PLAIN,
	NTC_CTL_BOLD,
	NTC_CTL_DIM,
	NTC_CTL_RED,
	NTC_CTL_GREEN,
	NTC_CTL_YELLOW,
	NTC_CTL_CYAN
};
const char *ntc_ctl_colour(bool on, enum ntc_ctl_colour colour);

#endif
