/* ntcache-ctl stats: the daemon's counters. */
#include "counters.h"
#include "ctl.h"

static const struct argp_option options[] = {
	{ "json", 'j', NULL, 0, "One JSON object: the counters by name, as in docs/stats.md", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	bool *json = state->input;

	switch (key) {
	case 'j':
		*json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "stats takes no argument, not '%s'", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void add(void *ctx, const char *name, int64_t value)
{
	ntc_ctl_counters_add(ctx, name, value);
}

static int write_json(const struct ntc_ctl_counters *counters)
{
	json_t *json = json_object();

	for (size_t i = 0; i < counters->count; i++)
		json_object_set_new(json, counters->at[i].name, json_integer(counters->at[i].value));
	return ntc_ctl_write_json(json);
}

static int run(const struct ntc_ctl_command *self, struct ntc_ctl *ctl, int argc, char **argv)
{
	struct ntc_ctl_counters counters = { 0 };
	bool json = false;
	enum ntc_err err;
	int status;

	ntc_ctl_parse(self, ctl, options, parse, &json, argc, argv);
	status = ntc_ctl_open(ctl);
	if (status)
		return status;
	err = ntc_stats(ctl->client, ctl->timeout_ms, add, &counters);
	if (err != NTC_OK) {
		status = ntc_ctl_complain(ctl, err, "asking for the statistics failed");
	} else if (json) {
		status = write_json(&counters);
	} else {
		ntc_ctl_counters_print(&counters, stdout, ctl->colour);
		status = ntc_ctl_flush();
	}
	ntc_ctl_counters_release(&counters);
	return status;
}

const struct ntc_ctl_command ntc_ctl_stats = {
	.name = "stats",
	.synopsis = "",
	.line = "Show hits, misses, leases, waits, compiles, time spent and saved",
	.help = "What each counter means is in docs/stats.md. Counters that this program does\n"
		"not know are shown under \"other\".\n"
		"\nExamples:\n"
		"  ntcache-ctl stats\n"
		"  ntcache-ctl stats --json | jq '.saved_time_ns / 1e9'",
	.run = run,
};
