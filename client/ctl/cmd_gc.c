/* ntcache-ctl gc: make room, once. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "format.h"
#include "select.h"

struct arguments {
	struct ntc_collect_options options;
	bool bounded, json;
};

enum { OPT_BYTES = 256, OPT_ENTRIES, OPT_AGE };

static const struct argp_option options[] = {
	{ "max-bytes", OPT_BYTES, "SIZE", 0, "Down to so many bytes of images; K, M, G or T of 1024", 0 },
	{ "max-entries", OPT_ENTRIES, "COUNT", 0, "Down to so many entries", 0 },
	{ "max-age", OPT_AGE, "TIME", 0, "Nothing that was not used for so long: 90m, 12h, 30d, 8w", 0 },
	{ "quarantine", 'q', NULL, 0, "Also the files that were set aside as damaged", 0 },
	{ "json", 'j', NULL, 0, "One JSON object", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;
	struct ntc_collect_options *o = &args->options;

	switch (key) {
	case OPT_BYTES:
		args->bounded = true;
		if (!ntc_ctl_parse_bytes(arg, &o->max_bytes))
			argp_error(state, "--max-bytes takes a number of bytes, or one with K, M, G or T, not '%s'", arg);
		return 0;
	case OPT_ENTRIES:
		args->bounded = true;
		o->max_entries = ntc_ctl_parse_number(state, "max-entries", arg, 1000000000000);
		return 0;
	case OPT_AGE:
		args->bounded = true;
		if (!ntc_ctl_parse_duration(arg, &o->max_age_ns))
			argp_error(state, "--max-age takes 90m, 12h, 30d or 8w, not '%s'", arg);
		return 0;
	case 'q':
		args->bounded = true;
		o->quarantine = true;
		return 0;
	case 'j':
		args->json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "gc takes no argument, not '%s'", arg);
		return 0;
	case ARGP_KEY_END:
		if (!args->bounded)
			argp_error(state, "down to what? --max-bytes, --max-entries, --max-age, or --quarantine");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int report(const struct arguments *args, const struct ntc_collect_result *collected)
{
	char bytes[NTC_CTL_NUMBER_SIZE];

	if (args->json)
		return ntc_ctl_write_json(json_pack("{sI sI sI}", "entries", (json_int_t)collected->entries, "bytes",
						    (json_int_t)collected->bytes, "files", (json_int_t)collected->files));
	printf("evicted %" PRIu64 " %s (%s)", collected->entries, collected->entries == 1 ? "entry" : "entries",
	       ntc_ctl_bytes_text(collected->bytes, bytes));
	if (args->options.quarantine)
		printf(", removed %" PRIu64 " damaged %s", collected->files, collected->files == 1 ? "file" : "files");
	putchar('\n');
	return ntc_ctl_flush();
}

static int run(const struct ntc_ctl_command *self, struct ntc_ctl *ctl, int argc, char **argv)
{
	struct arguments args = { .options = NTC_COLLECT_OPTIONS_INIT };
	struct ntc_collect_result collected;
	enum ntc_err err;
	int status;

	ntc_ctl_parse(self, ctl, options, parse, &args, argc, argv);
	status = ntc_ctl_open(ctl);
	if (status)
		return status;
	err = ntc_collect(ctl->client, &args.options, ctl->timeout_ms, &collected);
	if (err != NTC_OK)
		return ntc_ctl_complain(ctl, err, "making room failed");
	return report(&args, &collected);
}

const struct ntc_ctl_command ntc_ctl_gc = {
	.name = "gc",
	.synopsis = "",
	.line = "Evict what is worth least, once, down to a bound",
	.help = "What is worth least goes first, as when the daemon makes room by itself (its\n"
		"options --max-size, --max-entries, --max-age set bounds that it always keeps).\n"
		"What is pinned, or in use by a worker, stays, whatever the bound. Waiting for a\n"
		"large eviction may take --timeout.\n"
		"\nExamples:\n"
		"  ntcache-ctl gc --max-bytes 2G\n"
		"  ntcache-ctl gc --max-age 30d --quarantine\n"
		"  ntcache-ctl gc --dir /var/cache/ntcached --max-entries 100000    (its daemon is stopped)\n"
		"\nExit status: 0 done; 3 no daemon.",
	.run = run,
};
