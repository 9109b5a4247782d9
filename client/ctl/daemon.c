/* What commands ask the daemon together, and how they say what went wrong; see ctl.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"
#include "format.h"
#include "prefix.h"
#include "private.h"
#include "progress.h"

/* --- memory and output -------------------------------------------------------------------- */

void ntc_ctl_no_memory(void)
{
	fputs("ntcache-ctl: out of memory\n", stderr);
	exit(NTC_CTL_FAILED);
}

void *ntc_ctl_realloc(void *p, size_t count, size_t size)
{
	p = reallocarray(p, count, size);
	if (!p && count && size)
		ntc_ctl_no_memory();
	return p;
}

int ntc_ctl_flush(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return NTC_CTL_OK;
	return ntc_ctl_say(NTC_CTL_FAILED, "writing to standard output failed: %s", strerror(errno));
}

int ntc_ctl_write_json(json_t *json)
{
	/* A terminal gets no character that it could take for a command. */
	size_t flags = JSON_INDENT(2) | (isatty(STDOUT_FILENO) ? JSON_ENSURE_ASCII : 0);
	int failed;

	if (!json)
		ntc_ctl_no_memory();
	failed = json_dumpf(json, stdout, flags);
	json_decref(json);
	putchar('\n');
	if (failed)
		return ntc_ctl_say(NTC_CTL_FAILED, "writing JSON to standard output failed");
	return ntc_ctl_flush();
}

int ntc_ctl_say(int status, const char *fmt, ...)
{
	va_list args;

	ntc_ctl_progress_hide();
	fputs("ntcache-ctl: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return status;
}

/* What to try next, where the library can't know it. */
static const char *remedy(enum ntc_err err)
{
	switch (err) {
	case NTC_E_NO_DAEMON:
		return "start one (`systemctl --user start ntcached.socket`, or `ntcached`), "
		       "or name its socket with --socket";
	case NTC_E_DENIED:
		return "ask as the daemon's user or as root, or join its group";
	case NTC_E_TIMEOUT:
		return "try again, or give it longer with --timeout";
	case NTC_E_PROTOCOL:
		return "daemon and ntcache-ctl must speak the same version: restart the daemon";
	default:
		return NULL;
	}
}

int ntc_ctl_complain(struct ntc_ctl *ctl, enum ntc_err err, const char *fmt, ...)
{
	const char *why = ntc_last_error(), *next = remedy(err);
	va_list args;

	(void)ctl;
	ntc_ctl_progress_hide();
	fputs("ntcache-ctl: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, ": %s\n", ntc_err_text(err));
	if (*why) {
		fputs("  ", stderr);
		ntc_ctl_print_text(stderr, why, strlen(why), false);
		fputc('\n', stderr);
	}
	if (next)
		fprintf(stderr, "  %s\n", next);
	if (err == NTC_E_NO_DAEMON)
		return NTC_CTL_NO_DAEMON;
	return err == NTC_MISS || err == NTC_E_NO_PART ? NTC_CTL_NOTHING : NTC_CTL_FAILED;
}

/* --- requests ----------------------------------------------------------------------------- */

int ntc_ctl_open(struct ntc_ctl *ctl)
{
	struct ntc_options options = NTC_OPTIONS_INIT;
	enum ntc_err err;

	if (ctl->client)
		return NTC_CTL_OK;
	if (ctl->dir) {
		int status = ntc_ctl_private_start(ctl->dir, ctl->makes_dir, &ctl->socket);

		if (status)
			return status;
	}
	options.socket = ctl->socket;
	options.mode = NTC_MODE_ON;             /* $NTCACHE=off is for workers */
	options.flags = NTC_NO_AUTOSTART;       /* looking must not change what is there */
	options.name = "ntcache-ctl";
	err = ntc_open(&options, &ctl->client);
	if (err == NTC_OK && ctl->dir)
		err = ntc_ping(ctl->client, ctl->timeout_ms, NULL);
	/* Connected: the private daemon's socket has done its work. */
	if (ctl->dir)
		ntc_ctl_private_hide();
	return err == NTC_OK ? NTC_CTL_OK : ntc_ctl_complain(ctl, err, "starting failed");
}

struct rows {
	struct ntc_row_view *at;
	size_t count, room;
};

static bool add_row(void *ctx, const struct ntc_row_view *row)
{
	struct rows *rows = ctx;

	if (rows->count == rows->room) {
		rows->room = rows->room ? rows->room * 2 : 256;
		rows->at = ntc_ctl_realloc(rows->at, rows->room, sizeof(*rows->at));
	}
	rows->at[rows->count++] = *row;
	return true;
}

int ntc_ctl_rows(struct ntc_ctl *ctl, unsigned kind, struct ntc_row_view **out, size_t *count)
{
	struct rows rows = { 0 };
	enum ntc_err err;
	int status;

	*out = NULL;
	*count = 0;
	status = ntc_ctl_open(ctl);
	if (status)
		return status;
	err = ntc_list(ctl->client, kind, ctl->timeout_ms, add_row, &rows);
	if (err < 0) {
		status = ntc_ctl_complain(ctl, err, "listing the entries failed");
		free(rows.at);
		return status;
	}
	*out = rows.at;
	*count = rows.count;
	return NTC_CTL_OK;
}

struct search {
	struct ntc_ctl_prefix prefix;
	struct ntc_ctl_matches matches;
};

static bool match_row(void *ctx, const struct ntc_row_view *row)
{
	struct search *search = ctx;

	ntc_ctl_matches_add(&search->matches, &search->prefix, &row->digest);
	return true;
}

static int ambiguous(const char *text, const struct ntc_ctl_matches *matches)
{
	size_t shown = matches->count < NTC_CTL_PREFIX_LISTED ? matches->count : NTC_CTL_PREFIX_LISTED;
	char digits[NTC_DIGEST_TEXT_SIZE];

	ntc_ctl_say(0, "%s is the start of %zu digests: give more digits", text, matches->count);
	for (size_t i = 0; i < shown; i++) {
		ntc_digest_text(&matches->at[i], digits);
		fprintf(stderr, "  %s\n", digits);
	}
	if (matches->count > shown)
		fprintf(stderr, "  ... and %zu more\n", matches->count - shown);
	return NTC_CTL_USAGE;
}

int ntc_ctl_resolve(struct ntc_ctl *ctl, const char *text, struct ntc_digest *digest)
{
	struct search search = { 0 };
	enum ntc_err err;
	int status;

	if (!ntc_ctl_prefix_parse(text, &search.prefix))
		return ntc_ctl_say(NTC_CTL_USAGE,
				   "'%s' is no digest: give 32 hexadecimal digits or the first %d or more; "
				   "`ntcache-ctl ls` lists them",
				   text, NTC_CTL_PREFIX_LEAST);
	if (ntc_ctl_prefix_whole(&search.prefix, digest))
		return NTC_CTL_OK;
	status = ntc_ctl_open(ctl);
	if (status)
		return status;
	err = ntc_list(ctl->client, 0, ctl->timeout_ms, match_row, &search);
	if (err < 0)
		return ntc_ctl_complain(ctl, err, "looking for %s failed", text);
	if (search.matches.count == 0)
		return ntc_ctl_say(NTC_CTL_NOTHING,
				   "no entry's digest starts with %s; `ntcache-ctl ls` lists them", text);
	if (search.matches.count > 1)
		return ambiguous(text, &search.matches);
	*digest = search.matches.at[0];
	return NTC_CTL_OK;
}

int ntc_ctl_fetch(struct ntc_ctl *ctl, const char *text, struct ntc_row_view *row, struct ntc_entry **entry)
{
	struct ntc_digest digest;
	enum ntc_err err;
	int status;

	*entry = NULL;
	status = ntc_ctl_open(ctl);
	if (status == NTC_CTL_OK)
		status = ntc_ctl_resolve(ctl, text, &digest);
	if (status)
		return status;
	err = ntc_show(ctl->client, &digest, ctl->timeout_ms, row, entry);
	if (err == NTC_MISS)
		return ntc_ctl_say(NTC_CTL_NOTHING, "there is no entry %s; `ntcache-ctl ls` lists them",
				   text);
	return err == NTC_OK ? NTC_CTL_OK : ntc_ctl_complain(ctl, err, "reading entry %s failed", text);
}
