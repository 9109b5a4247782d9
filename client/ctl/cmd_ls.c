/*
 * ntcache-ctl ls: the entries, newest first. The daemon's rows know no fields, so names and filters read the
 * entries themselves, one by one; what --limit cuts off is not read.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "fields.h"
#include "format.h"
#include "select.h"

#define DIGITS 16       /* of a digest, in the table */

struct arguments {
	unsigned long limit;    /* 0 = all */
	bool json, quiet;
	struct ntc_ctl_select select;
};

static const struct argp_option options[] = {
	NTC_CTL_SELECT_OPTIONS,
	NTC_CTL_SELECT_FIELD_OPTION,
	{ "limit", 'n', "COUNT", 0, "At most so many", 0 },
	{ "quiet", 'q', NULL, 0, "Digests only, in full", 0 },
	{ "json", 'j', NULL, 0, "One JSON array", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case 'n':
		args->limit = ntc_ctl_parse_number(state, "limit", arg, 1000000000);
		return 0;
	case 'q':
		args->quiet = true;
		return 0;
	case 'j':
		args->json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "ls takes no argument, not '%s'; select with options", arg);
		return 0;
	default:
		return ntc_ctl_select_parse(&args->select, key, arg, state);
	}
}

static int newest_first(const void *a, const void *b)
{
	const struct ntc_row_view *x = a, *y = b;

	if (x->put_wall_ns != y->put_wall_ns)
		return x->put_wall_ns < y->put_wall_ns ? 1 : -1;
	return memcmp(x->digest.bytes, y->digest.bytes, sizeof(x->digest.bytes));
}

static json_t *row_json(const struct ntc_row_view *row, struct ntc_entry *entry)
{
	char digest[NTC_DIGEST_TEXT_SIZE];
	struct ntc_field_value title;
	size_t len;
	const void *key = ntc_entry_key(entry, &len);
	json_t *json = json_object();

	ntc_digest_text(&row->digest, digest);
	json_object_set_new(json, "digest", json_string(digest));
	json_object_set_new(json, "kind", json_string(ntc_kind_text(row->kind)));
	json_object_set_new(json, "size", json_integer((json_int_t)row->size));
	json_object_set_new(json, "put_wall_ns", json_integer((json_int_t)row->put_wall_ns));
	json_object_set_new(json, "cost_ns", json_integer((json_int_t)row->cost_ns));
	json_object_set_new(json, "hits", json_integer((json_int_t)row->hits));
	json_object_set_new(json, "uid", json_integer(row->uid));
	json_object_set_new(json, "parts", json_integer((json_int_t)row->parts));
	json_object_set_new(json, "pinned", json_boolean(row->pinned));
	json_object_set_new(json, "stored", json_string(row->in_index ? "index" : "file"));
	json_object_set_new(json, "name",
			    ntc_ctl_field_title(key, len, &title) ? ntc_ctl_value_json(&title) : json_null());
	return json;
}

static void print_heading(const struct ntc_ctl *ctl)
{
	printf("%s%-*s  %-8s %10s %6s %11s %7s  %s%s\n", ntc_ctl_colour(ctl->colour, NTC_CTL_BOLD), DIGITS,
	       "DIGEST", "KIND", "SIZE", "AGE", "COST", "HITS", "NAME",
	       ntc_ctl_colour(ctl->colour, NTC_CTL_PLAIN));
}

static void print_row(const struct ntc_ctl *ctl, const struct ntc_row_view *row, struct ntc_entry *entry,
		      bool first)
{
	char digest[NTC_DIGEST_TEXT_SIZE], size[NTC_CTL_NUMBER_SIZE], age[NTC_CTL_NUMBER_SIZE],
		cost[NTC_CTL_NUMBER_SIZE];
	struct ntc_field_value title;
	size_t len;
	const void *key = ntc_entry_key(entry, &len);

	if (first)
		print_heading(ctl);
	ntc_digest_text(&row->digest, digest);
	printf("%s%.*s%s%c %-8s %10s %6s %11s %7" PRIu64 "  ", ntc_ctl_colour(ctl->colour, NTC_CTL_YELLOW),
	       DIGITS, digest, ntc_ctl_colour(ctl->colour, NTC_CTL_PLAIN), row->pinned ? '*' : ' ',
	       ntc_kind_text(row->kind),
	       ntc_ctl_bytes_text(row->size, size),
	       ntc_ctl_age_text(ntc_ctl_wall_now(), row->put_wall_ns, age),
	       row->cost_ns ? ntc_ctl_duration_text(row->cost_ns, cost) : "-", row->hits);
	if (ntc_ctl_field_title(key, len, &title))
		ntc_ctl_print_text(stdout, title.value, title.len, false);
	else
		putchar('-');
	putchar('\n');
}

/* Read and show the rows. *shown counts what fits. */
static int list(struct ntc_ctl *ctl, const struct arguments *args, const struct ntc_row_view *rows,
		size_t count, json_t *array, size_t *shown)
{
	bool read = args->select.field_count || !args->quiet;
	char digest[NTC_DIGEST_TEXT_SIZE];

	for (size_t i = 0; i < count && (args->limit == 0 || *shown < args->limit); i++) {
		struct ntc_entry *entry = NULL;
		enum ntc_err err =
			read ? ntc_show(ctl->client, &rows[i].digest, ctl->timeout_ms, NULL, &entry) : NTC_OK;

		if (err == NTC_MISS)
			continue; /* removed meanwhile */
		ntc_digest_text(&rows[i].digest, digest);
		if (err != NTC_OK)
			return ntc_ctl_complain(ctl, err, "reading entry %s failed", digest);
		if (!entry || ntc_ctl_select_entry(&args->select, entry)) {
			if (array)
				json_array_append_new(array, args->quiet ? json_string(digest)
									 : row_json(&rows[i], entry));
			else if (args->quiet)
				puts(digest);
			else
				print_row(ctl, &rows[i], entry, *shown == 0);
			++*shown;
		}
		ntc_entry_unref(entry);
	}
	return NTC_CTL_OK;
}

static int run(const struct ntc_ctl_command *self, struct ntc_ctl *ctl, int argc, char **argv)
{
	struct arguments args = { 0 };
	struct ntc_row_view *rows;
	size_t count, shown = 0;
	json_t *array;
	int status;

	ntc_ctl_parse(self, ctl, options, parse, &args, argc, argv);
	status = ntc_ctl_select_rows(ctl, &args.select, &rows, &count);
	if (status)
		return status;
	if (count)
		qsort(rows, count, sizeof(*rows), newest_first);
	array = args.json ? json_array() : NULL;
	status = list(ctl, &args, rows, count, array, &shown);
	free(rows);
	if (status)
		json_decref(array);
	else
		status = array ? ntc_ctl_write_json(array) : ntc_ctl_flush();
	return status ? status : shown ? NTC_CTL_OK : NTC_CTL_NOTHING;
}

const struct ntc_ctl_command ntc_ctl_ls = {
	.name = "ls",
	.synopsis = "",
	.line = "List entries: digest, kind, size, age, cost, hits, name",
	.help = "Newest first. A VALUE is written as `ntcache-ctl show` shows it, strings\n"
		"without quotes. * behind a digest: the entry is pinned.\n"
		"COST is what making the entry cost; NAME is the key's field program, library\n"
		"or name.\n"
		"\nExamples:\n"
		"  ntcache-ctl ls --limit 20\n"
		"  ntcache-ctl ls --kind kernel --field arch=sm_90 -f config.BLOCK_SIZE=128\n"
		"  ntcache-ctl ls --field 'application~__shared__'\n"
		"  ntcache-ctl ls --quiet --kind library | xargs ntcache-ctl rm\n"
		"\nExit status: 0 something was listed; 1 nothing fits; 3 no daemon.",
	.run = run,
};
