/* ntcache-ctl rm: remove entries, and forget kept failures. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "format.h"

struct arguments {
	char **digests;         /* borrowed from argv */
	size_t count;
	unsigned kind;
	bool all, yes;
};

static const struct argp_option options[] = {
	{ "kind", 'k', "KIND", 0, "Every entry of that kind", 0 },
	{ "all", 'a', NULL, 0, "Every entry", 0 },
	{ "yes", 'y', NULL, 0, "Do not ask", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case 'k':
		args->kind = ntc_ctl_parse_kind(state, arg);
		return 0;
	case 'a':
		args->all = true;
		return 0;
	case 'y':
		args->yes = true;
		return 0;
	case ARGP_KEY_ARG:
		args->digests = ntc_ctl_realloc(args->digests, args->count + 1, sizeof(*args->digests));
		args->digests[args->count++] = arg;
		return 0;
	case ARGP_KEY_END:
		if ((args->count != 0) + (args->kind != 0) + args->all != 1)
			argp_error(state, "what? Digests, or --kind KIND, or --all: one of the three");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Remove one. A kept failure has no entry, so a whole digest without one is still sent. */
static int remove_one(struct ntc_ctl *ctl, const char *text)
{
	struct ntc_digest digest;
	enum ntc_err err;
	int status = ntc_ctl_resolve(ctl, text, &digest);

	if (status)
		return status;
	err = ntc_remove_digest(ctl->client, &digest, ctl->timeout_ms);
	if (err == NTC_MISS)
		return ntc_ctl_say(NTC_CTL_NOTHING,
				   "there is no entry %s (a kept failure, if there was one, is forgotten)",
				   text);
	return err == NTC_OK ? NTC_CTL_OK : ntc_ctl_complain(ctl, err, "removing %s failed", text);
}

/* Everything named is tried; the first failure is the exit status, but a daemon that is gone ends it. */
static int remove_named(struct ntc_ctl *ctl, const struct arguments *args)
{
	int first = NTC_CTL_OK;

	for (size_t i = 0; i < args->count; i++) {
		int status = remove_one(ctl, args->digests[i]);

		first = first ? first : status;
		if (status == NTC_CTL_NO_DAEMON)
			break;
	}
	return first;
}

static int confirm(const struct arguments *args, size_t count, uint64_t bytes)
{
	const char *kind = args->kind ? ntc_kind_text(args->kind) : "", *space = args->kind ? " " : "";
	char size[NTC_CTL_NUMBER_SIZE], answer[16];

	if (args->yes)
		return NTC_CTL_OK;
	ntc_ctl_bytes_text(bytes, size);
	if (!isatty(STDIN_FILENO))
		return ntc_ctl_say(
			NTC_CTL_USAGE,
			"%zu %s%sentries (%s) would go and there is no terminal to ask at: add --yes", count,
			kind, space, size);
	fprintf(stderr, "Remove %zu %s%s%s (%s)? [y/N] ", count, kind, space,
		count == 1 ? "entry" : "entries", size);
	if (fgets(answer, sizeof(answer), stdin) &&
	    (strcasecmp(answer, "y\n") == 0 || strcasecmp(answer, "yes\n") == 0))
		return NTC_CTL_OK;
	return ntc_ctl_say(NTC_CTL_NOTHING, "nothing was removed");
}

static int remove_rows(struct ntc_ctl *ctl, const struct arguments *args)
{
	struct ntc_row_view *rows;
	uint64_t bytes = 0, removed = 0;
	size_t count;
	int status = ntc_ctl_rows(ctl, args->kind, &rows, &count);

	if (status)
		return status;
	for (size_t i = 0; i < count; i++)
		bytes += rows[i].size;
	if (count == 0)
		status = ntc_ctl_say(NTC_CTL_NOTHING, "there is nothing to remove");
	else
		status = confirm(args, count, bytes);
	for (size_t i = 0; status == NTC_CTL_OK && i < count; i++) {
		enum ntc_err err = ntc_remove_digest(ctl->client, &rows[i].digest, ctl->timeout_ms);

		if (err == NTC_OK)
			removed++;
		else if (err != NTC_MISS) /* somebody else removed it: as good */
			status = ntc_ctl_complain(ctl, err, "removing failed after %" PRIu64 " of %zu",
						  removed, count);
	}
	if (status == NTC_CTL_OK) {
		printf("removed %" PRIu64 " %s\n", removed, removed == 1 ? "entry" : "entries");
		status = ntc_ctl_flush();
	}
	free(rows);
	return status;
}

static int run(const struct ntc_ctl_command *self, struct ntc_ctl *ctl, int argc, char **argv)
{
	struct arguments args = { 0 };
	int status;

	ntc_ctl_parse(self, ctl, options, parse, &args, argc, argv);
	status = ntc_ctl_open(ctl);
	if (status == NTC_CTL_OK)
		status = args.count ? remove_named(ctl, &args) : remove_rows(ctl, &args);
	free(args.digests);
	return status;
}

const struct ntc_ctl_command ntc_ctl_rm = {
	.name = "rm",
	.synopsis = "DIGEST...\n--kind KIND\n--all",
	.line = "Remove entries; forget kept failures",
	.help = "Returns when no new look-up finds them. Who holds an entry already keeps it.\n"
		"--kind and --all ask before they remove, and without a terminal want --yes.\n"
		"A whole digest (32 digits) also forgets a kept failure: the next worker tries\n"
		"again.\n"
		"\nExamples:\n"
		"  ntcache-ctl rm 7d2f 91ac\n"
		"  ntcache-ctl rm --kind tuning\n"
		"  ntcache-ctl rm --all --yes\n"
		"  ntcache-ctl ls -q --field arch=sm_80 | xargs ntcache-ctl rm\n"
		"\nExit status: 0 all removed; 1 something was not there, or you said no; 3 no daemon.",
	.run = run,
};
