/* Arguments: the options that every command has, and the values of options; see ctl.h. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

const struct argp_option ntc_ctl_common_options[] = {
	{ "socket", 's', "PATH", 0,
	  "The daemon's socket; otherwise $NTCACHE_SOCKET, the user's, the machine's", -2 },
	{ "dir", 'd', "DIR", 0, "Not a running daemon, but this cache directory, whose daemon is stopped", -2 },
	{ "timeout", 't', "SECONDS", 0, "Longest wait for one answer (30)", -2 },
	{ 0 },
};

unsigned long ntc_ctl_parse_number(struct argp_state *state, const char *option, const char *arg,
				   unsigned long max)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(arg, &end, 10);
	if (!isdigit((unsigned char)arg[0]) || *end != '\0' || errno != 0 || number > max)
		argp_error(state, "--%s takes a whole number from 0 to %lu, not '%s'", option, max, arg);
	return number;
}

unsigned ntc_ctl_parse_kind(struct argp_state *state, const char *arg)
{
	unsigned kind = ntc_kind_from_text(arg);

	if (kind == 0)
		argp_error(state, "there is no kind '%s': kernel, handle, source, library, tuning", arg);
	return kind;
}

error_t ntc_ctl_parse_common(int key, char *arg, struct argp_state *state)
{
	struct ntc_ctl *ctl = state->input;

	switch (key) {
	case 's':
		if (*arg == '\0')
			argp_error(state, "--socket takes the path of a socket");
		ctl->socket = arg;
		return 0;
	case 'd':
		if (*arg == '\0')
			argp_error(state, "--dir takes a cache directory");
		ctl->dir = arg;
		return 0;
	case ARGP_KEY_END:
		if (ctl->dir && ctl->socket)
			argp_error(state, "--dir and --socket: one of the two");
		return 0;
	case 't':
		ctl->timeout_ms = (int)ntc_ctl_parse_number(state, "timeout", arg, 86400) * 1000;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The common options are the parent of the command's own: this hands them their input. */
struct both {
	struct ntc_ctl *ctl;
	void *input;
};

static error_t parse_both(int key, char *arg, struct argp_state *state)
{
	struct both *both = state->input;
	error_t result;

	if (key == ARGP_KEY_INIT) {
		state->child_inputs[0] = both->input;
		return 0;
	}
	state->input = both->ctl;
	result = ntc_ctl_parse_common(key, arg, state);
	state->input = both;
	return result;
}

void ntc_ctl_parse(const struct ntc_ctl_command *command, struct ntc_ctl *ctl,
		   const struct argp_option *options, argp_parser_t parse, void *input, int argc, char **argv)
{
	const struct argp own = { .options = options, .parser = parse };
	const struct argp_child children[] = { { .argp = &own }, { 0 } };
	struct both both = { ctl, input };
	struct argp argp = {
		.options = ntc_ctl_common_options, .parser = parse_both, .args_doc = command->synopsis,
		.children = children,
	};
	char name[64], *doc = NULL;

	/* argp names the program by argv[0]. */
	snprintf(name, sizeof(name), "ntcache-ctl %s", command->name);
	argv[0] = name;
	if (asprintf(&doc, "%s%s\v%s", command->line, strchr(".?!", command->line[strlen(command->line) - 1]) ? "" : ".", command->help) < 0)
		ntc_ctl_no_memory();
	argp.doc = doc;
	(void)argp_parse(&argp, argc, argv, 0, NULL, &both); /* wrong arguments do not return */
	free(doc);
}
