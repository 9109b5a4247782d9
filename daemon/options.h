/*
 * What the daemon was asked to do: command line, environment, defaults.
 */
#ifndef NTC_DAEMON_OPTIONS_H
#define NTC_DAEMON_OPTIONS_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/status.h"
#include "store/store.h"

struct ntc_daemon_options {
	char dir[PATH_MAX];             /* the cache directory */
	char socket[PATH_MAX];          /* where to listen, unless a socket is handed over */
	bool own_socket_dir;            /* the socket's directory is this user's own: made and checked */
	bool system;
	mode_t socket_mode;
	gid_t socket_group;             /* (gid_t)-1 = the process's */
	uint64_t max_size;              /* bytes; 0 = no limit */
	uint64_t max_entries;           /* 0 = no limit */
	uint64_t max_age_ns;            /* since the last use; 0 = no limit */
	uint64_t max_entry;             /* bytes of a body */
	bool relaxed;                   /* --durability relaxed */
	bool allow_network;
	uint64_t segment_size;          /* bytes; 0 = none */
	unsigned max_compiles;          /* 0 = no limit */
	unsigned max_connections;
	uint64_t lease_ns, slot_wait_ns, wait_ns, failure_ns;
	uint64_t idle_exit_ns;          /* 0 = never */
	enum ntc_log_level log_level;
};

enum ntc_options_result {
	NTC_OPTIONS_RUN,        /* *options is set */
	NTC_OPTIONS_DONE,       /* --help or --version was printed */
	NTC_OPTIONS_BAD,        /* *reason says what is wrong and what is allowed */
};

/* Parse the command line (getopt: one call at a time) over environment and defaults. */
enum ntc_options_result ntc_options_parse(int argc, char **argv, struct ntc_daemon_options *options,
					  struct ntc_reason *reason);

/*
 * The parsers of single values. A size is digits with an optional K, M, G or T (powers of 1024); a time is
 * seconds, or with m, h or d minutes, hours or days, with a fraction if wanted, up to a hundred years. False if
 * it is not that.
 */
bool ntc_parse_size(const char *text, uint64_t *bytes);
bool ntc_parse_seconds(const char *text, uint64_t *ns);

#endif
