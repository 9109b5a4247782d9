/* ntcache-ctl get: one part of an entry as a file. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"
#include "format.h"

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

/* False with errno. */
static bool write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static int close_output(int fd, bool good)
{
	int saved = errno;

	if (close(fd) != 0 && good)
		return -1;
	errno = saved;
	return good ? 0 : -1;
}

/* A device, a pipe or another special file: written in place. */
static int write_special(const char *path, const struct ntc_part_view *part)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? -1 : close_output(fd, write_all(fd, part->data, part->len));
}

/* A regular file: written under another name beside it, and renamed. */
static int write_regular(const char *path, const struct ntc_part_view *part)
{
	mode_t mask = umask(0);
	char *temporary;
	int fd, result;

	umask(mask);
	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		ntc_ctl_no_memory();
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0) {
		free(temporary);
		return -1;
	}
	result = close_output(fd, write_all(fd, part->data, part->len) && fchmod(fd, 0666 & ~mask) == 0);
	if (result == 0)
		result = rename(temporary, path);
	if (result != 0) {
		int saved = errno;

		unlink(temporary);
		errno = saved;
	}
	free(temporary);
	return result;
}

static int write_part(const struct arguments *args, const struct ntc_part_view *part)
{
	bool standard = !args->output || strcmp(args->output, "-") == 0;
	const char *path = standard ? "standard output" : args->output;
	struct stat st;
	int result;

	if (standard && isatty(STDOUT_FILENO) && !ntc_ctl_is_text(part->data, part->len))
		return ntc_ctl_say(NTC_CTL_USAGE,
				   "part '%s' is no text for a terminal: give -o FILE, or a pipe",
				   args->part);
	if (standard)
		result = write_all(STDOUT_FILENO, part->data, part->len) ? 0 : -1;
	else if (stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		result = write_special(path, part);
	else
		result = write_regular(path, part);
	if (result != 0)
		return ntc_ctl_say(NTC_CTL_FAILED, "writing %s failed: %s", path, strerror(errno));
	return NTC_CTL_OK;
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
