/*
 * ntcache-ctl why: which fields of two keys differ. With one entry: how its nearest neighbours (same kind,
 * fewest differing fields) differ from it, which tells why something was compiled again.
 */
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "fields.h"
#include "format.h"

#define DIGITS 16       /* of a digest */
#define LONG_TEXT 60    /* bytes; longer strings are shown as the line that differs */

struct arguments {
	const char *a, *b;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (args->b)
			argp_error(state, "two entries at most: '%s' is a third", arg);
		*(args->a ? &args->b : &args->a) = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which entry? `ntcache-ctl ls` lists them");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void print_value(const struct ntc_field_value *field)
{
	char *text = ntc_ctl_value_short(field);

	ntc_ctl_print_text(stdout, text, strlen(text), false);
	free(text);
}

/* One side of a difference: `mark`, and the value or line behind it. */
static void print_side(bool colour, char mark, const struct ntc_field_value *field,
		       const struct ntc_ctl_line *line)
{
	printf("    %s%c ",
	       ntc_ctl_colour(colour, mark == '-'   ? NTC_CTL_RED
				      : mark == '+' ? NTC_CTL_GREEN
						    : NTC_CTL_DIM),
	       mark);
	if (line)
		ntc_ctl_print_text(stdout, line->text, line->len, true);
	else
		print_value(field);
	printf("%s\n", ntc_ctl_colour(colour, NTC_CTL_PLAIN));
}

static bool is_long_text(const struct ntc_field_value *field)
{
	return field->type == NTC_TYPE_STRING && field->len &&
		(field->len > LONG_TEXT || memchr(field->value, '\n', field->len));
}

static void print_text_diff(bool colour, const struct ntc_field_value *a, const struct ntc_field_value *b)
{
	struct ntc_ctl_text_diff diff;

	ntc_ctl_text_diff(a->value, a->len, b->value, b->len, &diff);
	if (!diff.a.text && !diff.b.text) {
		printf("    only the newline at the end differs\n");
		return;
	}
	printf("    %s@@ line %zu of %zu and %zu @@%s\n", ntc_ctl_colour(colour, NTC_CTL_CYAN), diff.line,
	       diff.a_lines, diff.b_lines, ntc_ctl_colour(colour, NTC_CTL_PLAIN));
	if (diff.before.text)
		print_side(colour, ' ', NULL, &diff.before);
	if (diff.a.text)
		print_side(colour, '-', NULL, &diff.a);
	if (diff.b.text)
		print_side(colour, '+', NULL, &diff.b);
}

static void print_diff(void *ctx, const struct ntc_field_value *a, const struct ntc_field_value *b)
{
	const struct ntc_ctl *ctl = ctx;
	const struct ntc_field_value *any = a ? a : b;

	printf("  %s%.*s%s\n", ntc_ctl_colour(ctl->colour, NTC_CTL_BOLD), (int)any->name_len, any->name,
	       ntc_ctl_colour(ctl->colour, NTC_CTL_PLAIN));
	if (a && b && a->type == NTC_TYPE_STRING && b->type == NTC_TYPE_STRING &&
	    (is_long_text(a) || is_long_text(b))) {
		print_text_diff(ctl->colour, a, b);
		return;
	}
	if (a)
		print_side(ctl->colour, '-', a, NULL);
	if (b)
		print_side(ctl->colour, '+', b, NULL);
}

static void print_entry(const struct ntc_ctl *ctl, char mark, struct ntc_entry *entry)
{
	struct ntc_digest digest = ntc_entry_digest(entry);
	char digits[NTC_DIGEST_TEXT_SIZE];
	struct ntc_field_value title;
	size_t len;
	const void *key = ntc_entry_key(entry, &len);

	ntc_digest_text(&digest, digits);
	printf("%s%c%c%c %.*s %s ", ntc_ctl_colour(ctl->colour, mark == '-' ? NTC_CTL_RED : NTC_CTL_GREEN),
	       mark, mark, mark, DIGITS, digits, ntc_kind_text(ntc_entry_kind(entry)));
	if (ntc_ctl_field_title(key, len, &title))
		ntc_ctl_print_text(stdout, title.value, title.len, false);
	printf("%s\n", ntc_ctl_colour(ctl->colour, NTC_CTL_PLAIN));
}

static void compare(struct ntc_ctl *ctl, struct ntc_entry *a, struct ntc_entry *b)
{
	size_t a_len, b_len, differ, total;
	const void *a_key = ntc_entry_key(a, &a_len), *b_key = ntc_entry_key(b, &b_len);

	print_entry(ctl, '-', a);
	print_entry(ctl, '+', b);
	differ = ntc_ctl_diff(a_key, a_len, b_key, b_len, NULL, NULL, &total);
	if (ntc_entry_kind(a) != ntc_entry_kind(b))
		printf("the kinds differ, and %zu of %zu fields\n", differ, total);
	else if (differ)
		printf("%zu of %zu fields differ\n", differ, total);
	else
		printf("the keys are the same\n");
	(void)ntc_ctl_diff(a_key, a_len, b_key, b_len, print_diff, ctl, NULL); /* counted above */
}

/* The nearest entries of the same kind: reads every one of them. */
static int find_nearest(struct ntc_ctl *ctl, struct ntc_entry *entry, struct ntc_ctl_nearest *nearest)
{
	struct ntc_digest self = ntc_entry_digest(entry);
	struct ntc_row_view *rows;
	size_t count, len, other_len;
	const void *key = ntc_entry_key(entry, &len), *other_key;
	int status = ntc_ctl_rows(ctl, ntc_entry_kind(entry), &rows, &count);

	for (size_t i = 0; status == NTC_CTL_OK && i < count; i++) {
		struct ntc_entry *other = NULL;
		enum ntc_err err;

		if (memcmp(rows[i].digest.bytes, self.bytes, sizeof(self.bytes)) == 0)
			continue;
		err = ntc_show(ctl->client, &rows[i].digest, ctl->timeout_ms, NULL, &other);
		if (err == NTC_MISS)
			continue; /* removed meanwhile */
		if (err != NTC_OK) {
			status = ntc_ctl_complain(ctl, err, "reading the entries of that kind failed");
			break;
		}
		other_key = ntc_entry_key(other, &other_len);
		ntc_ctl_nearest_add(nearest, ntc_ctl_diff(key, len, other_key, other_len, NULL, NULL, NULL),
				    &rows[i].digest);
		ntc_entry_unref(other);
	}
	free(rows);
	return status;
}

static int neighbours(struct ntc_ctl *ctl, struct ntc_entry *entry, const char *name)
{
	struct ntc_ctl_nearest nearest = { 0 };
	int status = find_nearest(ctl, entry, &nearest);

	if (status)
		return status;
	if (nearest.count == 0)
		return ntc_ctl_say(NTC_CTL_NOTHING, "%s is the only entry of its kind", name);
	for (size_t i = 0; i < nearest.count; i++) {
		struct ntc_entry *other;
		enum ntc_err err =
			ntc_show(ctl->client, &nearest.at[i].digest, ctl->timeout_ms, NULL, &other);

		if (err == NTC_MISS)
			continue;
		if (err != NTC_OK)
			return ntc_ctl_complain(ctl, err, "reading a neighbour failed");
		if (i)
			putchar('\n');
		compare(ctl, entry, other);
		ntc_entry_unref(other);
	}
	return NTC_CTL_OK;
}

static int run(const struct ntc_ctl_command *self, struct ntc_ctl *ctl, int argc, char **argv)
{
	struct arguments args = { 0 };
	struct ntc_entry *a = NULL, *b = NULL;
	int status;

	ntc_ctl_parse(self, ctl, NULL, parse, &args, argc, argv);
	status = ntc_ctl_fetch(ctl, args.a, NULL, &a);
	if (status == NTC_CTL_OK && args.b)
		status = ntc_ctl_fetch(ctl, args.b, NULL, &b);
	if (status == NTC_CTL_OK && b)
		compare(ctl, a, b);
	else if (status == NTC_CTL_OK)
		status = neighbours(ctl, a, args.a);
	if (status == NTC_CTL_OK)
		status = ntc_ctl_flush();
	ntc_entry_unref(a);
	ntc_entry_unref(b);
	return status;
}

const struct ntc_ctl_command ntc_ctl_why = {
	.name = "why",
	.synopsis = "A [B]",
	.line = "Say which key fields differ: why was it compiled again?",
	.help = "A and B are digests. Without B, A is compared with its three nearest\n"
		"neighbours: entries of the same kind with the fewest differing fields. Of long\n"
		"texts the first differing line is shown.\n"
		"\nExamples:\n"
		"  ntcache-ctl why 7d2f 91ac\n"
		"  ntcache-ctl why $(ntcache-ctl ls -q -n 1)\n"
		"\nExit status: 0 compared; 1 no such entry, or nothing to compare it with; 3 no daemon.",
	.run = run,
};
