/* Which entries a command is about; see select.h. */
#include "select.h"

#include <errno.h>
#include <fnmatch.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "format.h"

#define S UINT64_C(1000000000)

bool ntc_ctl_parse_duration(const char *text, uint64_t *ns)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };
	unsigned long long number;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoull(text, &end, 10);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (end[0] != units[i].unit || end[1] != '\0')
			continue;
		if (errno || number > UINT64_MAX / S / units[i].seconds)
			return false;
		*ns = number * units[i].seconds * S;
		return true;
	}
	return false;
}

bool ntc_ctl_parse_bytes(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMGT";
	unsigned long long number;
	const char *unit;
	unsigned shift;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoull(text, &end, 10);
	unit = *end ? strchr(units, *end >= 'a' ? *end - 'a' + 'A' : *end) : NULL;
	if (errno || (*end && (!unit || end[1])))
		return false;
	shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
	if (number > UINT64_MAX >> shift)
		return false;
	*bytes = number << shift;
	return true;
}

bool ntc_ctl_parse_since(const char *text, uint64_t now, uint64_t *wall_ns)
{
	static const char *const forms[] = { "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S" };
	uint64_t ago;

	if (ntc_ctl_parse_duration(text, &ago)) {
		*wall_ns = ago < now ? now - ago : 0;
		return true;
	}
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct tm tm = { .tm_isdst = -1 };
		const char *end = strptime(text, forms[i], &tm);
		time_t seconds;

		if (!end || *end != '\0')
			continue;
		seconds = mktime(&tm);
		if (seconds < 0)
			return false;
		*wall_ns = (uint64_t)seconds * S;
		return true;
	}
	return false;
}

static bool parse_user(const char *text, uint32_t *uid)
{
	const struct passwd *user = getpwnam(text);
	unsigned long number;
	char *end;

	if (user) {
		*uid = user->pw_uid;
		return true;
	}
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoul(text, &end, 10);
	*uid = (uint32_t)number;
	return errno == 0 && *end == '\0' && number < UINT32_MAX;
}

error_t ntc_ctl_select_parse(struct ntc_ctl_select *select, int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'k':
		select->kind = ntc_ctl_parse_kind(state, arg);
		return 0;
	case 'f':
		if (select->field_count == NTC_CTL_SELECT_FIELDS)
			argp_error(state, "more than %d fields", NTC_CTL_SELECT_FIELDS);
		if (!ntc_ctl_filter_parse(arg, &select->fields[select->field_count++]))
			argp_error(state, "--field takes NAME=VALUE or NAME~TEXT, not '%s'", arg);
		return 0;
	case NTC_CTL_SELECT_PRODUCER:
		select->producer = arg;
		return 0;
	case NTC_CTL_SELECT_NAME:
		select->name = arg;
		return 0;
	case NTC_CTL_SELECT_USER:
		select->has_user = true;
		if (!parse_user(arg, &select->uid))
			argp_error(state, "there is no user '%s'; a number is fine too", arg);
		return 0;
	case NTC_CTL_SELECT_SINCE:
		if (!ntc_ctl_parse_since(arg, ntc_ctl_wall_now(), &select->since_wall_ns))
			argp_error(state, "--since takes a day (2026-11-30), or a time ago (90m, 12h, 7d), not '%s'", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

bool ntc_ctl_select_row(const struct ntc_ctl_select *select, const struct ntc_row_view *row)
{
	return (!select->kind || row->kind == select->kind) && (!select->has_user || row->uid == select->uid) &&
	       row->put_wall_ns >= select->since_wall_ns &&
	       (!select->producer || fnmatch(select->producer, row->producer, 0) == 0) &&
	       (!select->name || fnmatch(select->name, row->name, 0) == 0);
}

int ntc_ctl_select_rows(struct ntc_ctl *ctl, const struct ntc_ctl_select *select, struct ntc_row_view **rows,
			size_t *count)
{
	size_t all, fit = 0;
	int status = ntc_ctl_rows(ctl, select->kind, rows, &all);

	*count = 0;
	if (status)
		return status;
	for (size_t i = 0; i < all; i++)
		if (ntc_ctl_select_row(select, &(*rows)[i]))
			(*rows)[fit++] = (*rows)[i];
	*count = fit;
	return NTC_CTL_OK;
}

bool ntc_ctl_select_entry(const struct ntc_ctl_select *select, const struct ntc_entry *entry)
{
	size_t len;
	const void *key = ntc_entry_key(entry, &len);

	for (size_t i = 0; i < select->field_count; i++)
		if (!ntc_ctl_filter_match(&select->fields[i], key, len))
			return false;
	return true;
}
