/* ntcache-ctl help: the same as --help. */
#include "ctl.h"
#include "overview.h"

static error_t parse(int key, char *arg, struct argp_state *state)
{
	const char **about = state->input;

	if (key != ARGP_KEY_ARG)
		return ARGP_ERR_UNKNOWN;
	if (*about)
		argp_error(state, "help is about one command");
	*about = arg;
	return 0;
}

static int run(const struct ntc_ctl_command *self, struct ntc_ctl *ctl, int argc, char **argv)
{
	const struct ntc_ctl_command *command;
	const char *about = NULL;
	char help[] = "--help", *words[] = { help, help, NULL };
	const struct argp argp = {
		.options = ntc_ctl_common_options,
		.parser = ntc_ctl_parse_common,
		.args_doc = "COMMAND [ARGUMENT...]",
		.doc = ntc_ctl_overview(),
	};
	char name[] = "ntcache-ctl";

	ntc_ctl_parse(self, ctl, NULL, parse, &about, argc, argv);
	if (!about) {
		argp_help(&argp, stdout, ARGP_HELP_STD_HELP & ~(ARGP_HELP_EXIT_OK | ARGP_HELP_EXIT_ERR),
			  name);
		return ntc_ctl_flush();
	}
	command = ntc_ctl_command_find(about);
	if (!command)
		return ntc_ctl_say(NTC_CTL_USAGE, "there is no command '%s'. There are:%s", about,
				   ntc_ctl_names());
	return command->run(command, ctl, 2, words); /* prints and ends the program */
}

const struct ntc_ctl_command ntc_ctl_help = {
	.name = "help",
	.synopsis = "[COMMAND]",
	.line = "Say what a command does",
	.help = "Examples:\n"
		"  ntcache-ctl help\n"
		"  ntcache-ctl help ls",
	.run = run,
};
