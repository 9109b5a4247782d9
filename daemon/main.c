/* ntcached: parse, open, run, close. */
#include <signal.h>
#include <stdio.h>

#include "daemon/log.h"
#include "daemon/options.h"
#include "daemon/server.h"

/* Exit codes, as sysexits(3) has them: 64 a wrong option; 75 somebody else has the directory or the socket; 70 the rest. */
enum { EXIT_USED_WRONG = 64, EXIT_CANNOT = 70, EXIT_TAKEN = 75 };

int main(int argc, char **argv)
{
	struct ntc_daemon_options options;
	struct ntc_reason reason = { "" };
	struct ntc_server *server;
	enum ntc_status st;

	switch (ntc_options_parse(argc, argv, &options, &reason)) {
	case NTC_OPTIONS_DONE:
		return 0;
	case NTC_OPTIONS_BAD:
		fprintf(stderr, "ntcached: %s\nTry 'ntcached --help'.\n", reason.text);
		return EXIT_USED_WRONG;
	case NTC_OPTIONS_RUN:
		break;
	}
	ntc_log_open(options.log_level);
	/* Writes to a socket whose other end is gone are errors, not the end. */
	signal(SIGPIPE, SIG_IGN);
	/* So are writes past the limit of a file's size (ulimit -f). */
	signal(SIGXFSZ, SIG_IGN);
	st = ntc_server_open(&options, &server, &reason);
	if (st) {
		ntc_log(NTC_LOG_ERROR, "%s", reason.text);
		return st == NTC_ST_LOCKED ? EXIT_TAKEN : EXIT_CANNOT;
	}
	ntc_server_run(server);
	ntc_server_close(server);
	return 0;
}
