/*
 * ntcache-ctl: look into a daemon's cache and keep it in order. This file finds the command; each command is
 * one file, cmd_NAME.c (ctl.h).
 */
#include <argp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "overview.h"
#include "private.h"

struct arguments {
	struct ntc_ctl *ctl;
	int argc;               /* the command and what stands behind it */
	char **argv;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *arguments = state->input;
	error_t result;

	switch (key) {
	case ARGP_KEY_ARG:
		arguments->argv = &state->argv[state->next - 1];
		arguments->argc = state->argc - state->next + 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which command? One of:%s", ntc_ctl_names());
		return 0;
	default:
		state->input = arguments->ctl;
		result = ntc_ctl_parse_common(key, arg, state);
		state->input = arguments;
		return result;
	}
}

static int unknown(const char *name)
{
	const struct ntc_ctl_command *nearest = ntc_ctl_command_nearest(name);

	if (nearest)
		return ntc_ctl_say(NTC_CTL_USAGE, "there is no command '%s'. Did you mean '%s'?", name,
				   nearest->name);
	return ntc_ctl_say(NTC_CTL_USAGE, "there is no command '%s'. There are:%s", name, ntc_ctl_names());
}

int main(int argc, char **argv)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	struct ntc_ctl ctl = {
		.timeout_ms = NTC_CTL_TIMEOUT_MS,
		.colour = isatty(STDOUT_FILENO) && !(no_color && *no_color) &&
			  !(term && strcmp(term, "dumb") == 0),
	};
	struct arguments arguments = { .ctl = &ctl };
	const struct argp argp = {
		.options = ntc_ctl_common_options, .parser = parse, .args_doc = "COMMAND [ARGUMENT...]",
		.doc = ntc_ctl_overview(),
	};
	const struct ntc_ctl_command *command;
	int status;

	argp_err_exit_status = NTC_CTL_USAGE;
	argp_program_version = "ntcache-ctl " NTC_VERSION;
	/* In order: options behind the command are the command's. */
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &arguments);
	command = ntc_ctl_command_find(arguments.argv[0]);
	status = command ? command->run(command, &ctl, arguments.argc, arguments.argv)
			 : unknown(arguments.argv[0]);
	ntc_close(ctl.client);
	return ntc_ctl_private_stop(status);
}
