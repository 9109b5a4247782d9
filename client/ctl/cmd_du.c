/* ntcache-ctl du: what the cache is full of, summed up by kind, producer, name or user. */
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "format.h"
#include "select.h"

enum by { BY_KIND, BY_PRODUCER, BY_NAME, BY_USER };
static const char *const by_names[] = { "kind", "producer", "name", "user" };
#define BYS (sizeof(by_names) / sizeof(by_names[0]))

struct arguments {
	enum by by[BYS];
	size_t by_count;
	unsigned long limit;    /* 0 = all */
	bool json;
	struct ntc_ctl_select select;
};

enum { OPT_BY = 256 };

static const struct argp_option options[] = {
	NTC_CTL_SELECT_OPTIONS,
	{ "by", OPT_BY, "LIST", 0, "What to sum up by: kind, producer, name, user, or several with commas (kind)", 0 },
	{ "limit", 'n', "COUNT", 0, "At most so many lines", 0 },
	{ "json", 'j', NULL, 0, "One JSON array", 0 },
	{ 0 },
};

/* "kind,name". */
static void parse_by(struct arguments *args, const char *list, struct argp_state *state)
{
	args->by_count = 0;
	while (*list) {
		size_t len = strcspn(list, ","), by = 0;

		while (by < BYS && (strlen(by_names[by]) != len || strncmp(by_names[by], list, len) != 0))
			by++;
		if (by == BYS)
			argp_error(state, "--by takes kind, producer, name, user, or several with commas, not '%.*s'",
				   (int)len, list);
		for (size_t i = 0; i < args->by_count; i++)
			if (args->by[i] == by)
				argp_error(state, "--by has '%s' twice", by_names[by]);
		args->by[args->by_count++] = (enum by)by;
		list += len + (list[len] == ',');
	}
	if (!args->by_count)
		argp_error(state, "--by what? kind, producer, name, user, or several with commas");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case OPT_BY:
		parse_by(args, arg, state);
		return 0;
	case 'n':
		args->limit = ntc_ctl_parse_number(state, "limit", arg, 1000000000);
		return 0;
	case 'j':
		args->json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "du takes no argument, not '%s'; select with options", arg);
		return 0;
	default:
		return ntc_ctl_select_parse(&args->select, key, arg, state);
	}
}

/* --- summing up --------------------------------------------------------------------------- */

struct sum {
	const struct ntc_row_view *row; /* one of them; NULL: all */
	uint64_t entries, bytes, hits, cost_ns, pinned;
};

/* In the order in which equal ones stand together. */
static int compare_rows(const void *a, const void *b, void *ctx)
{
	const struct ntc_row_view *x = a, *y = b;
	const struct arguments *args = ctx;

	for (size_t i = 0; i < args->by_count; i++) {
		int c = 0;

		switch (args->by[i]) {
		case BY_KIND:
			c = (x->kind > y->kind) - (x->kind < y->kind);
			break;
		case BY_PRODUCER:
			c = strcmp(x->producer, y->producer);
			break;
		case BY_NAME:
			c = strcmp(x->name, y->name);
			break;
		case BY_USER:
			c = (x->uid > y->uid) - (x->uid < y->uid);
			break;
		}
		if (c)
			return c;
	}
	return 0;
}

static int largest_first(const void *a, const void *b)
{
	const struct sum *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	return (x->row > y->row) - (x->row < y->row);
}

static void add(struct sum *sum, const struct ntc_row_view *row)
{
	sum->entries++;
	sum->bytes += row->size;
	sum->hits += row->hits;
	sum->cost_ns += row->cost_ns;
	sum->pinned += row->pinned;
}

/* One sum for each that differs, the largest first. Given: free(). */
static struct sum *sum_up(struct arguments *args, struct ntc_row_view *rows, size_t count, size_t *sums, struct sum *all)
{
	struct sum *sum = ntc_ctl_realloc(NULL, count ? count : 1, sizeof(*sum));
	size_t n = 0;

	if (count)
		qsort_r(rows, count, sizeof(*rows), compare_rows, args);
	for (size_t i = 0; i < count; i++) {
		if (i == 0 || compare_rows(&rows[i - 1], &rows[i], args) != 0)
			sum[n++] = (struct sum){ .row = &rows[i] };
		add(&sum[n - 1], &rows[i]);
		add(all, &rows[i]);
	}
	if (n)
		qsort(sum, n, sizeof(*sum), largest_first);
	*sums = n;
	return sum;
}

/* --- showing ------------------------------------------------------------------------------ */

/* What a sum is about, in one respect. */
static const char *label(const struct sum *sum, enum by by, char number[NTC_CTL_NUMBER_SIZE])
{
	const struct passwd *user;

	switch (by) {
	case BY_KIND:
		return ntc_kind_text(sum->row->kind);
	case BY_PRODUCER:
		return sum->row->producer;
	case BY_NAME:
		return sum->row->name;
	case BY_USER:
		break;
	}
	user = getpwuid(sum->row->uid);
	if (user)
		return user->pw_name;
	snprintf(number, NTC_CTL_NUMBER_SIZE, "%" PRIu32, sum->row->uid);
	return number;
}

static void print_numbers(const struct sum *sum)
{
	char bytes[NTC_CTL_NUMBER_SIZE], cost[NTC_CTL_NUMBER_SIZE];

	printf("%10s %9" PRIu64 " %10" PRIu64 " %12s", ntc_ctl_bytes_text(sum->bytes, bytes), sum->entries, sum->hits,
	       sum->cost_ns ? ntc_ctl_duration_text(sum->cost_ns, cost) : "-");
}

static void print_sums(const struct ntc_ctl *ctl, const struct arguments *args, const struct sum *sums, size_t count,
		       const struct sum *all)
{
	char number[NTC_CTL_NUMBER_SIZE];

	printf("%s%10s %9s %10s %12s", ntc_ctl_colour(ctl->colour, NTC_CTL_BOLD), "SIZE", "ENTRIES", "HITS", "COST");
	for (size_t i = 0; i < args->by_count; i++) {
		fputs(i ? " " : "  ", stdout);
		for (const char *p = by_names[args->by[i]]; *p; p++)
			putchar(*p - 'a' + 'A');
	}
	printf("%s\n", ntc_ctl_colour(ctl->colour, NTC_CTL_PLAIN));
	for (size_t i = 0; i < count; i++) {
		print_numbers(&sums[i]);
		for (size_t k = 0; k < args->by_count; k++) {
			const char *text = label(&sums[i], args->by[k], number);

			fputs(k ? ", " : "  ", stdout);
			ntc_ctl_print_text(stdout, *text ? text : "-", *text ? strlen(text) : 1, false);
		}
		putchar('\n');
	}
	print_numbers(all);
	puts("  in all");
}

static json_t *sums_json(const struct arguments *args, const struct sum *sums, size_t count)
{
	json_t *array = json_array();
	char number[NTC_CTL_NUMBER_SIZE];

	for (size_t i = 0; i < count; i++) {
		json_t *json = json_object();

		for (size_t k = 0; k < args->by_count; k++)
			json_object_set_new(json, by_names[args->by[k]],
					    json_string(label(&sums[i], args->by[k], number)));
		json_object_set_new(json, "entries", json_integer((json_int_t)sums[i].entries));
		json_object_set_new(json, "bytes", json_integer((json_int_t)sums[i].bytes));
		json_object_set_new(json, "hits", json_integer((json_int_t)sums[i].hits));
		json_object_set_new(json, "cost_ns", json_integer((json_int_t)sums[i].cost_ns));
		json_object_set_new(json, "pinned", json_integer((json_int_t)sums[i].pinned));
		json_array_append_new(array, json);
	}
	return array;
}

static int run(const struct ntc_ctl_command *self, struct ntc_ctl *ctl, int argc, char **argv)
{
	struct arguments args = { .by = { BY_KIND }, .by_count = 1 };
	struct sum *sums, all = { 0 };
	struct ntc_row_view *rows;
	size_t count, n;
	int status;

	ntc_ctl_parse(self, ctl, options, parse, &args, argc, argv);
	status = ntc_ctl_select_rows(ctl, &args.select, &rows, &count);
	if (status)
		return status;
	sums = sum_up(&args, rows, count, &n, &all);
	if (args.limit && args.limit < n)
		n = args.limit;
	if (args.json) {
		status = ntc_ctl_write_json(sums_json(&args, sums, n));
	} else {
		print_sums(ctl, &args, sums, n, &all);
		status = ntc_ctl_flush();
	}
	free(sums);
	free(rows);
	return status;
}

const struct ntc_ctl_command ntc_ctl_du = {
	.name = "du",
	.synopsis = "",
	.line = "Sum up what is in the cache by kind, producer, name or user",
	.help = "SIZE is the bytes of the images, COST what making them all cost; the largest\n"
		"come first. PRODUCER is what made an entry, as its notes say; NAME the key's\n"
		"field program, library or name; USER who put it.\n"
		"\nExamples:\n"
		"  ntcache-ctl du\n"
		"  ntcache-ctl du --by name --limit 20\n"
		"  ntcache-ctl du --by user,kind --since 7d\n"
		"  ntcache-ctl du --by producer --json\n"
		"\nExit status: 0 shown; 3 no daemon.",
	.run = run,
};
