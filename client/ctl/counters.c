/* The daemon's counters as a table for people; see counters.h. */
#include "counters.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "format.h"

/* ERROR and SINCE are left out while they are 0. */
enum unit { COUNT, BYTES, TIME, WALL, DISK, ERROR, SINCE, DURABILITY };

/* In the order of the table; a row without a name opens a section. */
static const struct row {
	const char *name, *label;
	enum unit unit;
} rows[] = {
	{ NULL, "daemon", COUNT },
	{ "started_wall_ns", "started", WALL },
	{ "uptime_ns", "up", TIME },
	{ "connections", "connections now", COUNT },
	{ "connections_total", "connections in all", COUNT },
	{ "requests", "requests", COUNT },
	{ NULL, "look-ups", COUNT },
	{ "hits.process", "hits in the process", COUNT },
	{ "hits.segment", "hits in the segment", COUNT },
	{ "hits.file", "hits in files", COUNT },
	{ "hits.socket", "hits over the socket", COUNT },
	{ "misses", "misses", COUNT },
	{ NULL, "making", COUNT },
	{ "leases", "leases", COUNT },
	{ "leases_expired", "leases expired", COUNT },
	{ "leases_lost", "leases lost with holder", COUNT },
	{ "waits", "waits", COUNT },
	{ "handovers", "hand-overs", COUNT },
	{ "makes", "compiles", COUNT },
	{ "failures.deterministic", "failures, deterministic", COUNT },
	{ "failures.transient", "failures, transient", COUNT },
	{ "circles", "circles of waits", COUNT },
	{ "slots_busy", "slots busy now", COUNT },
	{ "slots_max", "slots", COUNT },
	{ "slots_granted", "slots granted", COUNT },
	{ "slots_over", "slot waits over", COUNT },
	{ "make_time_ns", "compile time spent", TIME },
	{ "saved_time_ns", "compile time saved", TIME },
	{ NULL, "store", COUNT },
	{ "disk", "disk", DISK },
	{ "disk_errno", "disk error", ERROR },
	{ "disk_since_wall_ns", "disk so since", SINCE },
	{ "relaxed", "durability", DURABILITY },
	{ "entries", "entries", COUNT },
	{ "bytes", "size", BYTES },
	{ "max_bytes", "largest size", BYTES },
	{ "max_entries", "most entries", COUNT },
	{ "queued_bytes", "not yet on disk", BYTES },
	{ "puts", "puts", COUNT },
	{ "puts_known", "puts of known entries", COUNT },
	{ "differs", "puts that differ", COUNT },
	{ "collisions", "collisions", COUNT },
	{ "imports", "imported entries", COUNT },
	{ "puts_refused", "puts refused", COUNT },
	{ "puts_lost", "puts lost to the disk", COUNT },
	{ "groups", "groups written", COUNT },
	{ "group_wait_max_ns", "longest until durable", TIME },
	{ "evicted", "evicted", COUNT },
	{ "evicted_bytes", "evicted size", BYTES },
	{ "pinned", "pinned entries", COUNT },
	{ "pinned_bytes", "their size", BYTES },
	{ "pins", "pinned while in use", COUNT },
	{ "full_of_pins", "full of pinned entries", COUNT },
	{ "expired", "expired", COUNT },
	{ "expired_bytes", "expired size", BYTES },
	{ "quarantined", "quarantined", COUNT },
	{ "adopted", "adopted", COUNT },
	{ "rows_dropped", "rows without files", COUNT },
	{ "files_swept", "files swept", COUNT },
	{ "rebuilds", "rebuilds of the index", COUNT },
	{ "recovering", "recovering now", COUNT },
	{ "reports_dropped", "reports dropped", COUNT },
	{ NULL, "shared segment", COUNT },
	{ "segment_size", "memory, at most", BYTES },
	{ "segment_entries", "entries in it", COUNT },
	{ "segment_bytes", "their size", BYTES },
	{ "segment_published", "published", COUNT },
	{ "segment_promoted", "of those, on use", COUNT },
	{ "segment_evicted", "made room", COUNT },
};

/* Per kind: the counters PREFIX.KIND are the columns of a table of their own. */
static const struct column {
	const char *prefix, *label;
	enum unit unit;
} columns[] = {
	{ "entries.", "entries", COUNT },
	{ "bytes.", "size", BYTES },
	{ "hits.kind.", "hits", COUNT },
	{ "makes.", "compiles", COUNT },
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define KINDS_MAX 32

void ntc_ctl_counters_add(struct ntc_ctl_counters *counters, const char *name, int64_t value)
{
	if (counters->count == counters->room) {
		counters->room = counters->room ? counters->room * 2 : 64;
		counters->at = ntc_ctl_realloc(counters->at, counters->room, sizeof(*counters->at));
	}
	counters->at[counters->count] = (struct ntc_ctl_counter){ .name = strdup(name), .value = value };
	if (!counters->at[counters->count++].name)
		ntc_ctl_no_memory();
}

void ntc_ctl_counters_release(struct ntc_ctl_counters *counters)
{
	for (size_t i = 0; i < counters->count; i++)
		free(counters->at[i].name);
	free(counters->at);
	*counters = (struct ntc_ctl_counters){ 0 };
}

static struct ntc_ctl_counter *find(const struct ntc_ctl_counters *counters, const char *name)
{
	for (size_t i = 0; i < counters->count; i++)
		if (strcmp(counters->at[i].name, name) == 0)
			return &counters->at[i];
	return NULL;
}

bool ntc_ctl_counters_get(const struct ntc_ctl_counters *counters, const char *name, int64_t *value)
{
	const struct ntc_ctl_counter *counter = find(counters, name);

	if (counter)
		*value = counter->value;
	return counter != NULL;
}

/* docs/stats.md has the numbers. */
static const char *disk_text(int64_t value)
{
	static const struct {
		int64_t value;
		const char *text;
	} states[] = {
		{ 0, "ok" },
		{ 33, "full: puts are refused" },
		{ 34, "failing: puts are refused" },
		{ 35, "out of descriptors: puts are refused" },
		{ 36, "quota used up: puts are refused" },
		{ 37, "read-only: puts are refused" },
	};

	for (size_t i = 0; i < COUNT_OF(states); i++)
		if (states[i].value == value)
			return states[i].text;
	return "bad: puts are refused";
}

static const char *value_text(enum unit unit, int64_t value, char out[NTC_CTL_NUMBER_SIZE])
{
	if (unit == DISK)
		return disk_text(value);
	if (unit == DURABILITY)
		return value ? "relaxed" : "full";
	if (unit == ERROR && value > 0 && value < 4096)
		return strerror((int)value);
	if (unit == COUNT || unit == ERROR || value < 0) {
		snprintf(out, NTC_CTL_NUMBER_SIZE, "%" PRId64, value);
		return out;
	}
	if (unit == BYTES)
		return ntc_ctl_bytes_text((uint64_t)value, out);
	return unit == TIME ? ntc_ctl_duration_text((uint64_t)value, out)
			    : ntc_ctl_wall_text((uint64_t)value, out);
}

static void print_heading(FILE *out, bool colour, const char *heading)
{
	fprintf(out, "%s%s%s\n", ntc_ctl_colour(colour, NTC_CTL_BOLD), heading,
		ntc_ctl_colour(colour, NTC_CTL_PLAIN));
}

/* The share of look-ups that were hits: said behind the misses, where both are known. */
static void print_rate(const struct ntc_ctl_counters *counters, FILE *out)
{
	static const char *const rungs[] = { "hits.process", "hits.segment", "hits.file", "hits.socket" };
	double hits = 0, misses;
	int64_t value;

	for (size_t i = 0; i < COUNT_OF(rungs); i++)
		if (ntc_ctl_counters_get(counters, rungs[i], &value))
			hits += (double)value;
	if (!ntc_ctl_counters_get(counters, "misses", &value))
		return;
	misses = (double)value;
	if (hits + misses > 0)
		fprintf(out, "  %-26s %.1f %%\n", "hit rate", 100 * hits / (hits + misses));
}

static void print_rows(struct ntc_ctl_counters *counters, FILE *out, bool colour)
{
	const char *heading = NULL;
	char text[NTC_CTL_NUMBER_SIZE];

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct ntc_ctl_counter *counter = rows[i].name ? find(counters, rows[i].name) : NULL;

		if (!rows[i].name)
			heading = rows[i].label;
		if (!counter)
			continue;
		counter->shown = true;
		if (counter->value == 0 && (rows[i].unit == ERROR || rows[i].unit == SINCE))
			continue;
		if (heading)
			print_heading(out, colour, heading);
		heading = NULL;
		fprintf(out, "  %-26s %s\n", rows[i].label, value_text(rows[i].unit, counter->value, text));
		if (strcmp(rows[i].name, "misses") == 0)
			print_rate(counters, out);
	}
}

/* The KIND of a counter PREFIX.KIND, or NULL. */
static const char *kind_of(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(columns); i++) {
		size_t len = strlen(columns[i].prefix);

		if (strncmp(name, columns[i].prefix, len) == 0 && name[len] != '\0' &&
		    !strchr(name + len, '.'))
			return name + len;
	}
	return NULL;
}

static void print_kind(struct ntc_ctl_counters *counters, FILE *out, const char *kind)
{
	char name[128], text[NTC_CTL_NUMBER_SIZE];

	fprintf(out, "  %-14s", kind);
	for (size_t i = 0; i < COUNT_OF(columns); i++) {
		struct ntc_ctl_counter *counter;

		snprintf(name, sizeof(name), "%s%s", columns[i].prefix, kind);
		counter = find(counters, name);
		if (counter)
			counter->shown = true;
		fprintf(out, " %12s", counter ? value_text(columns[i].unit, counter->value, text) : "-");
	}
	fputc('\n', out);
}

static void print_kinds(struct ntc_ctl_counters *counters, FILE *out, bool colour)
{
	const char *kinds[KINDS_MAX];
	size_t count = 0;

	for (size_t i = 0; i < counters->count; i++) {
		const char *kind = kind_of(counters->at[i].name);
		size_t k = 0;

		while (kind && k < count && strcmp(kinds[k], kind) != 0)
			k++;
		/* Names too long for a column, and kinds past all reason, stay for "other". */
		if (kind && k == count && count < KINDS_MAX && strlen(kind) <= 14)
			kinds[count++] = kind;
	}
	if (count == 0)
		return;
	print_heading(out, colour, "kinds");
	fprintf(out, "  %-14s", "");
	for (size_t i = 0; i < COUNT_OF(columns); i++)
		fprintf(out, " %12s", columns[i].label);
	fputc('\n', out);
	for (size_t k = 0; k < count; k++)
		print_kind(counters, out, kinds[k]);
}

void ntc_ctl_counters_print(struct ntc_ctl_counters *counters, FILE *out, bool colour)
{
	bool heading = false;

	for (size_t i = 0; i < counters->count; i++)
		counters->at[i].shown = false;
	print_rows(counters, out, colour);
	print_kinds(counters, out, colour);
	for (size_t i = 0; i < counters->count; i++) {
		if (counters->at[i].shown)
			continue;
		if (!heading)
			print_heading(out, colour, "other");
		heading = true;
		fputs("  ", out);
		ntc_ctl_print_text(out, counters->at[i].name, strlen(counters->at[i].name), false);
		fprintf(out, "%*s %" PRId64 "\n",
			(int)(strlen(counters->at[i].name) < 26 ? 26 - strlen(counters->at[i].name) : 0), "",
			counters->at[i].value);
	}
}
