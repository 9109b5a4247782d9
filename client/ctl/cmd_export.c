/* ntcache-ctl export: entries into a bundle (docs/bundle.md). */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bundle.h"
#include "ctl.h"
#include "format.h"
#include "output.h"
#include "progress.h"
#include "select.h"

struct arguments {
	const char *file;
	bool no_stamps, json;
	struct ntc_ctl_select select;
};

enum { OPT_NO_STAMPS = 256 };

static const struct argp_option options[] = {
	NTC_CTL_SELECT_OPTIONS,
	NTC_CTL_SELECT_FIELD_OPTION,
	{ "no-stamps", OPT_NO_STAMPS, NULL, 0, "Leave out who made the entries, when and at what cost", 0 },
	{ "json", 'j', NULL, 0, "One JSON object about what was exported", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case OPT_NO_STAMPS:
		args->no_stamps = true;
		return 0;
	case 'j':
		args->json = true;
		return 0;
	case ARGP_KEY_ARG:
		if (args->file)
			argp_error(state, "one file, please: '%s' is a second", arg);
		args->file = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "where to? A file, or - for standard output");
		return 0;
	default:
		return ntc_ctl_select_parse(&args->select, key, arg, state);
	}
}

struct export {
	struct ntc_ctl *ctl;
	const struct arguments *args;
	struct ntc_digest *digests;
	size_t count;
	struct ntc_ctl_pack pack;
	struct ntc_ctl_progress progress;
	uint64_t gone, unreadable;
	int status;
};

/* The digests of the rows that fit, in their order. */
static int choose(struct export *export)
{
	struct ntc_row_view *rows;
	size_t count;
	int status = ntc_ctl_select_rows(export->ctl, &export->args->select, &rows, &count);

	if (status)
		return status;
	export->digests = ntc_ctl_realloc(NULL, count ? count : 1, sizeof(*export->digests));
	for (size_t i = 0; i < count; i++)
		export->digests[i] = rows[i].digest;
	export->count = count;
	free(rows);
	return NTC_CTL_OK;
}

static bool add(void *ctx, size_t i, enum ntc_err err, const struct ntc_row_view *row, struct ntc_entry *entry)
{
	struct export *export = ctx;
	char digest[NTC_DIGEST_TEXT_SIZE];

	(void)row;
	ntc_ctl_progress_show(&export->progress, export->pack.items, i, export->count);
	if (err == NTC_MISS) {
		export->gone++; /* evicted or removed meanwhile, or damaged */
	} else if (err != NTC_OK) {
		ntc_digest_text(&export->digests[i], digest);
		export->status = ntc_ctl_complain(export->ctl, err, "entry %s cannot be read, and is left out", digest);
		export->unreadable++;
	} else if (ntc_ctl_select_entry(&export->args->select, entry) &&
		   !ntc_ctl_pack_add(&export->pack, entry, !export->args->no_stamps)) {
		export->status = ntc_ctl_say(NTC_CTL_FAILED, "writing the bundle failed: %s", strerror(errno));
		return false;
	}
	return true;
}

/* Write the bundle. NTC_CTL_OK: `file` has it whole, though some entries may be left out (export->status). */
static int write_bundle(struct export *export, FILE *file)
{
	enum ntc_err err;
	int status = NTC_CTL_OK;

	if (!ntc_ctl_pack_begin(&export->pack, file, export->digests, export->count))
		return ntc_ctl_say(NTC_CTL_FAILED, "writing the bundle failed: %s", strerror(errno));
	ntc_ctl_progress_begin(&export->progress, "exporting");
	err = ntc_show_many(export->ctl->client, export->digests, export->count, export->ctl->timeout_ms, add, export);
	ntc_ctl_progress_end(&export->progress);
	if (err != NTC_OK)
		status = ntc_ctl_complain(export->ctl, err, "exporting failed after %" PRIu64 " of %zu", export->pack.items,
					  export->count);
	else if (export->status && !export->unreadable)
		status = export->status;
	else if (!ntc_ctl_pack_end(&export->pack))
		status = ntc_ctl_say(NTC_CTL_FAILED, "writing the bundle failed: %s", strerror(errno));
	return status;
}

/* On standard error where the bundle goes to standard output. */
static int report(const struct export *export, const struct ntc_ctl_output *output)
{
	FILE *out = output->standard ? stderr : stdout;
	char bytes[NTC_CTL_NUMBER_SIZE], packed[NTC_CTL_NUMBER_SIZE];
	const struct ntc_ctl_pack *pack = &export->pack;
	json_t *json;

	if (!export->args->json) {
		fprintf(out, "exported %" PRIu64 " %s: %s in %s", pack->items, pack->items == 1 ? "entry" : "entries",
			ntc_ctl_bytes_text(pack->bytes, bytes), ntc_ctl_bytes_text(pack->packed, packed));
		if (export->gone)
			fprintf(out, "; %" PRIu64 " went meanwhile", export->gone);
		if (export->unreadable)
			fprintf(out, "; %" PRIu64 " could not be read", export->unreadable);
		fputc('\n', out);
		return output->standard ? NTC_CTL_OK : ntc_ctl_flush();
	}
	json = json_pack("{sI sI sI sI sI}", "entries", (json_int_t)pack->items, "bytes", (json_int_t)pack->bytes,
			 "bundle_bytes", (json_int_t)pack->packed, "gone", (json_int_t)export->gone, "unreadable",
			 (json_int_t)export->unreadable);
	if (!output->standard)
		return ntc_ctl_write_json(json);
	if (!json || json_dumpf(json, stderr, JSON_INDENT(2)))
		ntc_ctl_no_memory();
	json_decref(json);
	fputc('\n', stderr);
	return NTC_CTL_OK;
}

static int run(const struct ntc_ctl_command *self, struct ntc_ctl *ctl, int argc, char **argv)
{
	struct arguments args = { 0 };
	struct ntc_ctl_output output = { 0 };
	struct export export = { .ctl = ctl, .args = &args };
	int status, closed;

	ntc_ctl_parse(self, ctl, options, parse, &args, argc, argv);
	if (strcmp(args.file, "-") == 0 && isatty(STDOUT_FILENO))
		return ntc_ctl_say(NTC_CTL_USAGE, "a bundle is no text for a terminal: give a file, or a pipe");
	status = choose(&export);
	if (!status)
		status = ntc_ctl_output_open(&output, args.file);
	if (!status)
		status = write_bundle(&export, output.file);
	closed = ntc_ctl_output_close(&output, status == NTC_CTL_OK);
	if (!status)
		status = closed;
	if (!status)
		status = report(&export, &output);
	ntc_ctl_pack_release(&export.pack);
	free(export.digests);
	return status ? status : export.status;
}

const struct ntc_ctl_command ntc_ctl_export = {
	.name = "export",
	.synopsis = "FILE\n-",
	.line = "Write entries into a bundle: one file for CI caches and images",
	.help = "FILE appears whole or not at all; - is standard output. A bundle is a zstd\n"
		"file; the same entries give the same bytes, so that caches of files keep it\n"
		"once. Stamps differ from run to run: --no-stamps leaves them out.\n"
		"Options select what is exported; all that are given must fit. Producer and\n"
		"name are those that `ntcache-ctl du` shows.\n"
		"\nExamples:\n"
		"  ntcache-ctl export cache.zst\n"
		"  ntcache-ctl export --no-stamps --field arch=sm_90 sm_90.zst\n"
		"  ntcache-ctl export --since 7d --kind kernel - | ssh host ntcache-ctl import -\n"
		"  ntcache-ctl export --dir /var/cache/ntcached cache.zst    (its daemon is stopped)\n"
		"\nExit status: 0 exported; 3 no daemon; 4 something could not be read or written.",
	.run = run,
};
