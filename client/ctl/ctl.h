/*
 * ntcache-ctl: what its commands share. Each command is one file, cmd_NAME.c, with one descriptor; a new one
 * is such a file and its name in NTC_CTL_COMMANDS. One thread; memory that cannot be had ends the program.
 */
#ifndef NTC_CTL_CTL_H
#define NTC_CTL_CTL_H

#include <argp.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "ntcache.h"

/* What the program exits with (ntcache-ctl(1)). */
enum ntc_ctl_exit {
	NTC_CTL_OK = 0,
	NTC_CTL_NOTHING = 1,    /* no such entry or part; nothing to do */
	NTC_CTL_USAGE = 2,      /* wrong arguments; nothing was done */
	NTC_CTL_NO_DAEMON = 3,  /* nobody answers at the socket */
	NTC_CTL_FAILED = 4,     /* any other failure */
};

#define NTC_CTL_TIMEOUT_MS 30000

struct ntc_ctl {
	const char *socket;             /* --socket, or NULL; borrowed */
	const char *dir;                /* --dir, or NULL; borrowed */
	bool makes_dir;                 /* the command makes it, if there is none */
	int timeout_ms;                 /* of each request; --timeout */
	bool colour;                    /* standard output shows colours */
	struct ntc_client *client;      /* by ntc_ctl_open(); closed by main() */
};

struct ntc_ctl_command {
	const char *name;
	const char *synopsis;           /* the arguments behind the options; '\n' parts alternatives */
	const char *line;               /* one line for the list of commands */
	const char *help;               /* what --help says below the options, with examples */
	int (*run)(const struct ntc_ctl_command *self, struct ntc_ctl *ctl, int argc, char **argv);
};

/* In the order of the list that people see. */
#define NTC_CTL_COMMANDS(X) \
	X(ping) \
	X(stats) \
	X(ls) \
	X(show) \
	X(get) \
	X(why) \
	X(rm) \
	X(export) \
	X(import) \
	X(verify) \
	X(du) \
	X(gc) \
	X(pin) \
	X(unpin) \
	X(help)

#define X(name) extern const struct ntc_ctl_command ntc_ctl_##name;
NTC_CTL_COMMANDS(X)
#undef X

/* All commands, NULL behind the last. */
extern const struct ntc_ctl_command *const ntc_ctl_commands[];

/* The command of that name, or NULL. */
const struct ntc_ctl_command *ntc_ctl_command_find(const char *name);

/* The command whose name is nearest to a mistyped one, or NULL if none is near. */
const struct ntc_ctl_command *ntc_ctl_command_nearest(const char *name);

/* --- arguments ---------------------------------------------------------------------------- */

/*
 * Parse a command's arguments: `options` (may be NULL) are its own, besides --socket, --timeout and --help;
 * `parse` gets `input`. Wrong arguments end the program with NTC_CTL_USAGE, --help with 0.
 */
void ntc_ctl_parse(const struct ntc_ctl_command *command, struct ntc_ctl *ctl,
		   const struct argp_option *options, argp_parser_t parse, void *input, int argc,
		   char **argv);

/* The options that may stand before and behind the command; a parser for them, whose input is the ctl. */
extern const struct argp_option ntc_ctl_common_options[];
error_t ntc_ctl_parse_common(int key, char *arg, struct argp_state *state);

/* A whole number from 0 to `max`, or end the program with what was wrong with `arg` of `option`. */
unsigned long ntc_ctl_parse_number(struct argp_state *state, const char *option, const char *arg,
				   unsigned long max);

/* The kind of that name; an unknown one ends the program with the list of kinds. */
unsigned ntc_ctl_parse_kind(struct argp_state *state, const char *arg);

/* --- the daemon --------------------------------------------------------------------------- */

/* Make the client, once; with --dir, and the daemon that it asks. Returns NTC_CTL_OK, or the exit status after a complaint. */
int ntc_ctl_open(struct ntc_ctl *ctl);

/*
 * Say on standard error what failed, why and what to do next, and return the exit status for `err`. Call it
 * before anything else of the library, whose last error it reads.
 */
int ntc_ctl_complain(struct ntc_ctl *ctl, enum ntc_err err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same without an error of the library. Returns `status`. */
int ntc_ctl_say(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* All rows of a kind (0 = all), in order of digests. *rows is given: free(). */
int ntc_ctl_rows(struct ntc_ctl *ctl, unsigned kind, struct ntc_row_view **rows, size_t *count);

/*
 * The digest that `text`, all 32 digits or the first (at least 4), means. Complains if it is no digest, if
 * no entry has it, or if several have it (they are listed). All 32 digits are taken as they are.
 */
int ntc_ctl_resolve(struct ntc_ctl *ctl, const char *text, struct ntc_digest *digest);

/* Resolve and fetch. *entry is given: unref. `row` may be NULL. */
int ntc_ctl_fetch(struct ntc_ctl *ctl, const char *text, struct ntc_row_view *row, struct ntc_entry **entry);

/* --- output ------------------------------------------------------------------------------- */

/* Write `json` (taken) to standard output. */
int ntc_ctl_write_json(json_t *json);

/* Flush standard output: NTC_CTL_OK, or NTC_CTL_FAILED after a complaint. */
int ntc_ctl_flush(void);

/* --- memory ------------------------------------------------------------------------------- */

/* As realloc() of `count` times `size` bytes; never NULL for a size above 0. */
void *ntc_ctl_realloc(void *p, size_t count, size_t size);

/* End the program for want of memory. */
void ntc_ctl_no_memory(void) __attribute__((noreturn));

#endif
