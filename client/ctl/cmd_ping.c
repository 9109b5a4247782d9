/* ntcache-ctl ping: is there a daemon? */
#include <inttypes.h>
#include <time.h>

#include "ctl.h"
#include "format.h"

static error_t parse(int key, char *arg, struct argp_state *state)
{
	if (key == ARGP_KEY_ARG)
		argp_error(state, "ping takes no argument, not '%s'", arg);
	return ARGP_ERR_UNKNOWN;
}

static uint64_t mono_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) + (uint64_t)ts.tv_nsec;
}

static int run(const struct ntc_ctl_command *self, struct ntc_ctl *ctl, int argc, char **argv)
{
	char took[NTC_CTL_NUMBER_SIZE];
	uint64_t pid, start;
	enum ntc_err err;
	int status;

	ntc_ctl_parse(self, ctl, NULL, parse, NULL, argc, argv);
	status = ntc_ctl_open(ctl);
	if (status)
		return status;
	/* The first answer pays for connecting; the second shows what a request costs. */
	err = ntc_ping(ctl->client, ctl->timeout_ms, &pid);
	if (err == NTC_OK) {
		start = mono_now();
		err = ntc_ping(ctl->client, ctl->timeout_ms, &pid);
	}
	if (err != NTC_OK)
		return ntc_ctl_complain(ctl, err, "ping");
	printf("ntcached answers: process %" PRIu64 ", %s\n", pid,
	       ntc_ctl_duration_text(mono_now() - start, took));
	return ntc_ctl_flush();
}

const struct ntc_ctl_command ntc_ctl_ping = {
	.name = "ping",
	.synopsis = "",
	.line = "Say whether a daemon answers, its process id and the round trip",
	.help = "Examples:\n"
		"  ntcache-ctl ping\n"
		"  ntcache-ctl ping --socket /run/ntcached/ntcached.sock\n"
		"  ntcache-ctl ping --timeout 1 || echo 'no cache on this machine'\n"
		"\nExit status: 0 a daemon answers; 3 none does.",
	.run = run,
};
