/* ntcache-ctl show: everything about one entry. */
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "fields.h"
#include "format.h"

struct arguments {
	const char *digest;
	bool full, json;
};

static const struct argp_option options[] = {
	{ "full", 'F', NULL, 0, "Long texts in full", 0 },
	{ "json", 'j', NULL, 0, "One JSON object; texts are always in full", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case 'F':
		args->full = true;
		return 0;
	case 'j':
		args->json = true;
		return 0;
	case ARGP_KEY_ARG:
		if (args->digest)
			argp_error(state, "one digest, please: '%s' is a second", arg);
		args->digest = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which entry? `ntcache-ctl ls` lists them");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void print_heading(const struct ntc_ctl *ctl, const char *heading)
{
	printf("%s%s%s\n", ntc_ctl_colour(ctl->colour, NTC_CTL_BOLD), heading,
	       ntc_ctl_colour(ctl->colour, NTC_CTL_PLAIN));
}

static void print_line(const char *name, const char *text)
{
	printf("  %-16s ", name);
	ntc_ctl_print_text(stdout, text, strlen(text), false);
	putchar('\n');
}

/* A text of several lines, each behind a margin. */
static void print_lines(const char *text, size_t len)
{
	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t line = end ? (size_t)(end - text) : len;

		fputs("    | ", stdout);
		ntc_ctl_print_text(stdout, text, line, true);
		putchar('\n');
		line += end ? 1 : 0;
		text += line;
		len -= line;
	}
}

/* The width of the column of names: as wide as the longest, within reason. */
static int name_width(const void *list, size_t len)
{
	struct ntc_field_value field;
	size_t at = 0, width = 16;

	while (ntc_field_next(list, len, &at, &field))
		width = field.name_len > width ? field.name_len : width;
	return width > 32 ? 32 : (int)width;
}

static void print_fields(const struct ntc_ctl *ctl, const void *list, size_t len, bool full)
{
	struct ntc_field_value field;
	size_t at = 0, text_len;
	int width = name_width(list, len);

	while (ntc_field_next(list, len, &at, &field)) {
		bool lines = full && field.type == NTC_TYPE_STRING && field.len &&
			     memchr(field.value, '\n', field.len);
		char *text = full && (lines || field.type == NTC_TYPE_LIST || field.type == NTC_TYPE_BYTES ||
				      field.len > 40)
				     ? ntc_ctl_value_full(&field, &text_len)
				     : NULL;

		if (!text) {
			text = ntc_ctl_value_short(&field);
			text_len = strlen(text);
		}
		printf("  %s%-*.*s%s ", ntc_ctl_colour(ctl->colour, NTC_CTL_CYAN), width,
		       (int)field.name_len, field.name, ntc_ctl_colour(ctl->colour, NTC_CTL_PLAIN));
		if (lines) {
			printf("text of %zu bytes:\n", field.len);
			print_lines(text, text_len);
		} else {
			ntc_ctl_print_text(stdout, text, text_len, false);
			putchar('\n');
		}
		free(text);
	}
}

static void print_stamp(const struct ntc_ctl *ctl, const struct ntc_stamp_view *stamp)
{
	const struct passwd *user = getpwuid(stamp->uid);
	char number[NTC_CTL_NUMBER_SIZE], maker[128];

	print_heading(ctl, "stamp");
	print_line("put", ntc_ctl_wall_text(stamp->put_wall_ns, number));
	print_line("cost", ntc_ctl_duration_text(stamp->cost_ns, number));
	snprintf(maker, sizeof(maker), "user %" PRIu32 "%s%s%s, group %" PRIu32 ", process %" PRIu32,
		 stamp->uid, user ? " (" : "", user ? user->pw_name : "", user ? ")" : "", stamp->gid,
		 stamp->pid);
	print_line("maker", maker);
	print_line("executable", stamp->exe);
	print_line("host", stamp->host);
}

static int print_text(const struct ntc_ctl *ctl, const struct ntc_row_view *row, struct ntc_entry *entry,
		      bool full)
{
	char digits[NTC_DIGEST_TEXT_SIZE], number[NTC_CTL_NUMBER_SIZE];
	struct ntc_digest digest = ntc_entry_digest(entry);
	struct ntc_stamp_view stamp;
	const void *list;
	size_t len;

	ntc_digest_text(&digest, digits);
	printf("%s%s%s %s, %s, %" PRIu64 " hits", ntc_ctl_colour(ctl->colour, NTC_CTL_YELLOW), digits,
	       ntc_ctl_colour(ctl->colour, NTC_CTL_PLAIN), ntc_kind_text(ntc_entry_kind(entry)),
	       ntc_ctl_bytes_text(row->size, number), row->hits);
	puts(row->pinned ? ", pinned" : "");
	print_heading(ctl, "key");
	list = ntc_entry_key(entry, &len);
	print_fields(ctl, list, len, full);
	list = ntc_entry_notes(entry, &len);
	if (len) {
		print_heading(ctl, "notes");
		print_fields(ctl, list, len, full);
	}
	if (ntc_entry_stamp(entry, &stamp))
		print_stamp(ctl, &stamp);
	print_heading(ctl, "parts");
	for (size_t i = 0; i < ntc_entry_part_count(entry); i++) {
		struct ntc_part_view part = ntc_entry_part(entry, i);

		printf("  %-16.*s %10s%s\n", (int)part.name_len, part.name,
		       ntc_ctl_bytes_text(part.len, number),
		       ntc_ctl_is_text(part.data, part.len) ? "  text" : "");
	}
	return ntc_ctl_flush();
}

static json_t *stamp_json(struct ntc_entry *entry)
{
	struct ntc_stamp_view stamp;
	json_t *json;

	if (!ntc_entry_stamp(entry, &stamp))
		return json_null();
	json = json_object();
	json_object_set_new(json, "put_wall_ns", json_integer((json_int_t)stamp.put_wall_ns));
	json_object_set_new(json, "cost_ns", json_integer((json_int_t)stamp.cost_ns));
	json_object_set_new(json, "uid", json_integer(stamp.uid));
	json_object_set_new(json, "gid", json_integer(stamp.gid));
	json_object_set_new(json, "pid", json_integer(stamp.pid));
	/* Names of files and hosts may be no UTF-8; such a one is left out. */
	json_object_set_new(json, "host", json_string(stamp.host));
	json_object_set_new(json, "exe", json_string(stamp.exe));
	return json;
}

static int print_json(const struct ntc_row_view *row, struct ntc_entry *entry)
{
	json_t *json = json_object(), *parts = json_array();
	struct ntc_digest digest = ntc_entry_digest(entry);
	char digits[NTC_DIGEST_TEXT_SIZE];
	const void *list;
	size_t len;

	ntc_digest_text(&digest, digits);
	json_object_set_new(json, "digest", json_string(digits));
	json_object_set_new(json, "kind", json_string(ntc_kind_text(ntc_entry_kind(entry))));
	json_object_set_new(json, "size", json_integer((json_int_t)row->size));
	json_object_set_new(json, "hits", json_integer((json_int_t)row->hits));
	json_object_set_new(json, "pinned", json_boolean(row->pinned));
	json_object_set_new(json, "stored", json_string(row->in_index ? "index" : "file"));
	list = ntc_entry_key(entry, &len);
	json_object_set_new(json, "key", ntc_ctl_list_json(list, len));
	list = ntc_entry_notes(entry, &len);
	json_object_set_new(json, "notes", ntc_ctl_list_json(list, len));
	json_object_set_new(json, "stamp", stamp_json(entry));
	for (size_t i = 0; i < ntc_entry_part_count(entry); i++) {
		struct ntc_part_view part = ntc_entry_part(entry, i);
		json_t *one = json_object();

		json_object_set_new(one, "name", json_stringn(part.name, part.name_len));
		json_object_set_new(one, "size", json_integer((json_int_t)part.len));
		json_array_append_new(parts, one);
	}
	json_object_set_new(json, "parts", parts);
	return ntc_ctl_write_json(json);
}

static int run(const struct ntc_ctl_command *self, struct ntc_ctl *ctl, int argc, char **argv)
{
	struct arguments args = { 0 };
	struct ntc_row_view row = { 0 };
	struct ntc_entry *entry;
	int status;

	ntc_ctl_parse(self, ctl, options, parse, &args, argc, argv);
	status = ntc_ctl_fetch(ctl, args.digest, &row, &entry);
	if (status)
		return status;
	status = args.json ? print_json(&row, entry) : print_text(ctl, &row, entry, args.full);
	ntc_entry_unref(entry);
	return status;
}

const struct ntc_ctl_command ntc_ctl_show = {
	.name = "show",
	.synopsis = "DIGEST",
	.line = "Show one entry: every field of its key, notes, stamp, parts",
	.help = "Looking at an entry counts as no hit.\n"
		"\nExamples:\n"
		"  ntcache-ctl show 7d2f\n"
		"  ntcache-ctl show --full 7d2f83c1a05be694 | less\n"
		"  ntcache-ctl show --json 7d2f | jq .key.arch\n"
		"\nExit status: 0 shown; 1 no such entry; 2 several digests start so; 3 no daemon.",
	.run = run,
};
