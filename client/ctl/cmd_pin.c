/* ntcache-ctl pin, unpin: entries that are never evicted. */
#include <stdlib.h>

#include "ctl.h"

struct arguments {
	char **digests; /* borrowed from argv */
	size_t count;
};

static const struct argp_option options[] = { { 0 } };

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		args->digests = ntc_ctl_realloc(args->digests, args->count + 1, sizeof(*args->digests));
		args->digests[args->count++] = arg;
		return 0;
	case ARGP_KEY_END:
		if (!args->count)
			argp_error(state, "which? One digest or more, or enough of their beginnings");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int pin_one(struct ntc_ctl *ctl, const char *text, bool pin)
{
	struct ntc_digest digest;
	enum ntc_err err;
	int status = ntc_ctl_resolve(ctl, text, &digest);

	if (status)
		return status;
	err = pin ? ntc_pin_digest(ctl->client, &digest, NTC_PIN_KEPT, ctl->timeout_ms)
		  : ntc_unpin_digest(ctl->client, &digest, NTC_PIN_KEPT, ctl->timeout_ms);
	if (err == NTC_MISS)
		return ntc_ctl_say(NTC_CTL_NOTHING, pin ? "there is no entry %s" : "%s is not pinned", text);
	return err == NTC_OK
		       ? NTC_CTL_OK
		       : ntc_ctl_complain(ctl, err, "%s %s failed", pin ? "pinning" : "unpinning", text);
}

/* Everything named is tried; the first failure is the exit status, but a daemon that is gone ends it. */
static int pin_all(struct ntc_ctl *ctl, const struct arguments *args, bool pin)
{
	int first = NTC_CTL_OK, status = NTC_CTL_OK;

	for (size_t i = 0; i < args->count && status != NTC_CTL_NO_DAEMON; i++) {
		status = pin_one(ctl, args->digests[i], pin);
		first = first ? first : status;
	}
	return first;
}

static int run_either(const struct ntc_ctl_command *self, struct ntc_ctl *ctl, int argc, char **argv,
		      bool pin)
{
	struct arguments args = { 0 };
	int status;

	ntc_ctl_parse(self, ctl, options, parse, &args, argc, argv);
	status = ntc_ctl_open(ctl);
	if (status == NTC_CTL_OK)
		status = pin_all(ctl, &args, pin);
	free(args.digests);
	return status;
}

static int run_pin(const struct ntc_ctl_command *self, struct ntc_ctl *ctl, int argc, char **argv)
{
	return run_either(self, ctl, argc, argv, true);
}

static int run_unpin(const struct ntc_ctl_command *self, struct ntc_ctl *ctl, int argc, char **argv)
{
	return run_either(self, ctl, argc, argv, false);
}

const struct ntc_ctl_command ntc_ctl_pin = {
	.name = "pin",
	.synopsis = "DIGEST...",
	.line = "Keep entries for ever",
	.help = "Pinned entries are never evicted, whatever the daemon's caps, nor removed for\n"
		"their age, also after a restart; ls marks them with *. Only rm removes them. Pinning\n"
		"is the operator's: the daemon's own user, or root. Pins that take more than the\n"
		"caps allow are kept nevertheless; stats tells.\n"
		"\nExamples:\n"
		"  ntcache-ctl pin 7d2f 91ac\n"
		"  ntcache-ctl ls -q --field program=matmul | xargs ntcache-ctl pin\n"
		"\nExit status: 0 all pinned; 1 something was not there; 3 no daemon.",
	.run = run_pin,
};

const struct ntc_ctl_command ntc_ctl_unpin = {
	.name = "unpin",
	.synopsis = "DIGEST...",
	.line = "Let pinned entries be evicted again",
	.help = "Takes back what pin did.\n"
		"\nExamples:\n"
		"  ntcache-ctl unpin 7d2f\n"
		"\nExit status: 0 all let go; 1 something was not pinned; 3 no daemon.",
	.run = run_unpin,
};
