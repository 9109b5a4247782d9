/* ntcache-ctl get: one part of an entry as a file. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "format.h"
#include "output.h"

struct arguments {
	const char *digest, *part, *output;
};

static const struct argp_option options[] = {
	{ "output", 'o', "FILE", 0, "Write to FILE, which appears whole or not at all; - is standard output",
	  0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case 'o':
		args->output = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (args->part)
			argp_error(state, "one part, please: '%s' is a second", arg);
		*(args->digest ? &args->part : &args->digest) = arg;
		return 0;
	case ARGP_KEY_END:
		if (!args->part)
			argp_error(state, "which %s", args->digest ? "part? `ntcache-ctl show` lists them" :
				   "entry and part? `ntcache-ctl ls` lists entries");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int no_part(struct ntc_entry *entry, const struct arguments *args)
{
	ntc_ctl_say(0, "entry %s has no part '%s'. It has:", args->digest, args->part);
	for (size_t i = 0; i < ntc_entry_part_count(entry); i++) {
		struct ntc_part_view part = ntc_entry_part(entry, i);

		fprintf(stderr, "  %.*s\n", (int)part.name_len, part.name);
	}
	return NTC_CTL_NOTHING;
}

static int write_part(const struct arguments *args, const struct ntc_part_view *part)
{
	bool standard = !args->output || strcmp(args->output, "-") == 0, written;
	struct ntc_ctl_output output;
	int status, closed;

	if (standard && isatty(STDOUT_FILENO) && !ntc_ctl_is_text(part->data, part->len))
		return ntc_ctl_say(NTC_CTL_USAGE,
				   "part '%s' is no text for a terminal: give -o FILE, or a pipe",
				   args->part);
	status = ntc_ctl_output_open(&output, args->output);
	if (status)
		return status;
	written = fwrite(part->data, 1, part->len, output.file) == part->len;
	if (!written)
		status = ntc_ctl_say(NTC_CTL_FAILED, "writing %s failed: %s", output.path, strerror(errno));
	closed = ntc_ctl_output_close(&output, written);
	return status ? status : closed;
}

static int run(const struct ntc_ctl_command *self, struct ntc_ctl *ctl, int argc, char **argv)
{
	struct arguments args = { 0 };
	struct ntc_part_view part;
	struct ntc_entry *entry;
	enum ntc_err err;
	int status;

	ntc_ctl_parse(self, ctl, options, parse, &args, argc, argv);
	status = ntc_ctl_fetch(ctl, args.digest, NULL, &entry);
	if (status)
		return status;
	err = ntc_entry_find(entry, args.part, &part);
	if (err == NTC_E_NO_PART)
		status = no_part(entry, &args);
	else if (err != NTC_OK)
		status = ntc_ctl_complain(ctl, err, "reading part '%s' failed", args.part);
	else
		status = write_part(&args, &part);
	ntc_entry_unref(entry);
	return status;
}

const struct ntc_ctl_command ntc_ctl_get = {
	.name = "get",
	.synopsis = "DIGEST PART",
	.line = "Write one part of an entry to a file",
	.help = "Without -o the part goes to standard output, unless that is a terminal and\n"
		"the part is no text.\n"
		"\nExamples:\n"
		"  ntcache-ctl get 7d2f log\n"
		"  ntcache-ctl get 7d2f cubin -o add.cubin\n"
		"  ntcache-ctl get 7d2f cubin > add.cubin && cuobjdump -sass add.cubin\n"
		"\nExit status: 0 written; 1 no such entry or part; 3 no daemon.",
	.run = run,
};
