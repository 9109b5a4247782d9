/*
 * Which entries a command is about: by kind, producer, name, user, age and key fields. All that are given must fit. An argp child
 * parser: a command that selects lists its options and hands on the keys it does not know.
 */
#ifndef NTC_CTL_SELECT_H
#define NTC_CTL_SELECT_H

#include <argp.h>
#include <stdbool.h>

#include "ctl.h"
#include "fields.h"
#include "ntcache.h"

#define NTC_CTL_SELECT_FIELDS 32

struct ntc_ctl_select {
	unsigned kind;                  /* 0 = all */
	const char *producer, *name;    /* patterns of fnmatch(3), or NULL; borrowed */
	bool has_user;
	uint32_t uid;
	uint64_t since_wall_ns;         /* put then or later */
	size_t field_count;
	struct ntc_ctl_filter fields[NTC_CTL_SELECT_FIELDS];
};

/* The options, to be put among a command's own: what rows tell. */
enum { NTC_CTL_SELECT_PRODUCER = 0x500, NTC_CTL_SELECT_NAME, NTC_CTL_SELECT_USER, NTC_CTL_SELECT_SINCE };
#define NTC_CTL_SELECT_OPTIONS \
	{ "kind", 'k', "KIND", 0, "Only kernel, handle, source, library or tuning", 0 }, \
	{ "producer", NTC_CTL_SELECT_PRODUCER, "PATTERN", 0, "Only what was made by this, such as 'nvrtc*'", 0 }, \
	{ "name", NTC_CTL_SELECT_NAME, "PATTERN", 0, "Only entries of this name, such as 'matmul*'", 0 }, \
	{ "user", NTC_CTL_SELECT_USER, "USER", 0, "Only what this user put (name or number)", 0 }, \
	{ "since", NTC_CTL_SELECT_SINCE, "TIME", 0, "Only what was put since: 2026-11-30, or 90m, 12h, 7d ago", 0 }

/* For commands that read the entries themselves, besides. */
#define NTC_CTL_SELECT_FIELD_OPTION \
	{ "field", 'f', "NAME=VALUE", 0, \
	  "Only entries whose key has this value; NAME~TEXT: a value with TEXT in it. May be given several times", 0 }

/* As an argp parser does, for both: 0, or ARGP_ERR_UNKNOWN. Wrong values end the program. */
error_t ntc_ctl_select_parse(struct ntc_ctl_select *select, int key, char *arg, struct argp_state *state);

/*
 * All rows that fit, as far as rows tell, in order of digests. *rows is given: free().
 */
int ntc_ctl_select_rows(struct ntc_ctl *ctl, const struct ntc_ctl_select *select, struct ntc_row_view **rows,
			size_t *count);

/* Whether a row fits, as far as rows tell. */
bool ntc_ctl_select_row(const struct ntc_ctl_select *select, const struct ntc_row_view *row);

/* Whether the entry's key has the fields. */
bool ntc_ctl_select_entry(const struct ntc_ctl_select *select, const struct ntc_entry *entry);

/*
 * A time as people write it: "7d" (s, m, h, d, w) before `now`, or "2026-11-30", "2026-11-30 14:00" in local time. False if it is
 * neither. Pure, but for the time zone.
 */
bool ntc_ctl_parse_since(const char *text, uint64_t now_wall_ns, uint64_t *wall_ns);

/* "4096", "64K", "2G": bytes, with a unit of 1024. False for anything else. */
bool ntc_ctl_parse_bytes(const char *text, uint64_t *bytes);

/* "90s", "15m", "12h", "7d", "2w", in ns. False for anything else. */
bool ntc_ctl_parse_duration(const char *text, uint64_t *ns);

#endif
