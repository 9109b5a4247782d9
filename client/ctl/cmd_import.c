/* ntcache-ctl import: the entries of a bundle into the cache (docs/bundle.md). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundle.h"
#include "ctl.h"
#include "format.h"
#include "progress.h"

struct arguments {
	const char *file;
	bool json;
};

static const struct argp_option options[] = {
	{ "json", 'j', NULL, 0, "One JSON object, with every refusal", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case 'j':
		args->json = true;
		return 0;
	case ARGP_KEY_ARG:
		if (args->file)
			argp_error(state, "one file, please: '%s' is a second", arg);
		args->file = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "where from? A file, or - for standard input");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

struct import {
	struct ntc_ctl_unpack unpack;
	struct ntc_ctl_progress progress;
	uint64_t size;                  /* of the file; 0 = not known */
	uint64_t fresh, known, differs, refused, damaged;
	bool whole;                     /* the bundle's end was seen */
	int status;
	json_t *refusals;               /* NULL: they are said */
};

/* Tell of something that did not come through. `digest` may be NULL. */
static void tell(struct import *import, const struct ntc_digest *digest, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void tell(struct import *import, const struct ntc_digest *digest, const char *fmt, ...)
{
	char text[NTC_DIGEST_TEXT_SIZE], why[600];
	va_list args;
	json_t *json;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	import->status = NTC_CTL_FAILED;
	if (digest)
		ntc_digest_text(digest, text);
	if (import->refusals) {
		json = json_object();
		json_object_set_new(json, "digest", digest ? json_string(text) : json_null());
		json_object_set_new(json, "why", json_string(why));
		json_array_append_new(import->refusals, json);
		return;
	}
	ntc_ctl_progress_hide();
	fprintf(stderr, "ntcache-ctl: %s%s", digest ? text : "", digest ? ": " : "");
	ntc_ctl_print_text(stderr, why, strlen(why), false); /* some of it is foreign */
	fputc('\n', stderr);
}

/* Items that are not there, or bytes that are none. */
static void tell_damage(struct import *import, const struct ntc_bundle_found *found)
{
	char where[96] = "";

	if (found->bytes)
		snprintf(where, sizeof(where), " (bytes %" PRIu64 " to %" PRIu64 " of the bundle are damaged)", found->at,
			 found->at + found->bytes - 1);
	import->damaged += found->missing;
	if (found->missing == 1)
		tell(import, NULL, "entry %" PRIu64 " of the bundle is lost%s", found->first, where);
	else if (found->missing)
		tell(import, NULL, "entries %" PRIu64 " to %" PRIu64 " of the bundle are lost%s", found->first,
		     found->first + found->missing - 1, where);
	else
		tell(import, NULL, "no entry is lost, but%s", where);
}

static void tell_end(struct import *import, const struct ntc_ctl_unpacked_item *item)
{
	char meant[64] = "";

	if (import->unpack.reader.meant)
		snprintf(meant, sizeof(meant), " of at most %" PRIu64, import->unpack.reader.meant);
	switch (item->what) {
	case NTC_CTL_UNPACKED_END:
		import->whole = true;
		break;
	case NTC_CTL_UNPACKED_CUT:
		tell(import, NULL, "the bundle is cut short, or damaged at its end: %" PRIu64 "%s entries were there",
		     import->unpack.reader.items - import->unpack.reader.missing, meant);
		break;
	case NTC_CTL_UNPACKED_ALIEN:
		tell(import, NULL, "this is no bundle; `ntcache-ctl export` writes them");
		break;
	default:
		tell(import, NULL, "reading the bundle failed: %s", strerror(import->unpack.error));
	}
}

static struct ntc_entry *next_entry(void *ctx)
{
	struct import *import = ctx;
	struct ntc_ctl_unpacked_item item;

	for (;;) {
		ntc_ctl_unpack_next(&import->unpack, &item);
		switch (item.what) {
		case NTC_CTL_UNPACKED_ENTRY:
			return item.entry;
		case NTC_CTL_UNPACKED_BAD:
			import->damaged++;
			tell(import, &item.found.mark.digest, "entry %" PRIu64 " of the bundle is lost: %s",
			     item.found.mark.number, item.why);
			break;
		case NTC_CTL_UNPACKED_DAMAGE:
			tell_damage(import, &item.found);
			break;
		default:
			tell_end(import, &item);
			return NULL;
		}
	}
}

static bool told(void *ctx, struct ntc_entry *entry, enum ntc_err err)
{
	struct import *import = ctx;
	struct ntc_digest digest = ntc_entry_digest(entry);

	if (err == NTC_OK)
		import->fresh++;
	else if (err == NTC_KNOWN)
		import->known++;
	else if (err == NTC_DIFFERS)
		import->differs++;
	else {
		const char *why = ntc_last_error();

		import->refused++;
		tell(import, &digest, "refused: %s%s%s", ntc_err_text(err), *why ? ": " : "", why);
	}
	ntc_ctl_progress_show(&import->progress, import->fresh + import->known + import->differs + import->refused,
			      import->unpack.reader.offset, import->size);
	return true;
}

static int report(const struct import *import)
{
	json_t *json;

	if (import->refusals) {
		json = json_pack("{sI sI sI sI sI sb sO}", "new", (json_int_t)import->fresh, "known",
				 (json_int_t)import->known, "differs", (json_int_t)import->differs, "refused",
				 (json_int_t)import->refused, "damaged", (json_int_t)import->damaged, "whole",
				 import->whole, "refusals", import->refusals);
		return ntc_ctl_write_json(json);
	}
	printf("%" PRIu64 " new, %" PRIu64 " known", import->fresh, import->known);
	if (import->differs)
		printf(", %" PRIu64 " known with other content, which stays", import->differs);
	printf(", %" PRIu64 " refused", import->refused);
	if (import->damaged)
		printf(", %" PRIu64 " damaged", import->damaged);
	putchar('\n');
	return ntc_ctl_flush();
}

static int import_all(struct ntc_ctl *ctl, struct import *import)
{
	enum ntc_err err;
	int status = ntc_ctl_open(ctl);

	if (status)
		return status;
	ntc_ctl_progress_begin(&import->progress, "importing");
	err = ntc_import(ctl->client, ctl->timeout_ms, next_entry, told, import);
	ntc_ctl_progress_end(&import->progress);
	if (err == NTC_OK)
		return report(import);
	return ntc_ctl_complain(ctl, err, "importing failed after %" PRIu64 " new and %" PRIu64 " known entries",
				import->fresh, import->known + import->differs);
}

static int run(const struct ntc_ctl_command *self, struct ntc_ctl *ctl, int argc, char **argv)
{
	struct arguments args = { 0 };
	struct import import = { .size = 0 };
	int fd = STDIN_FILENO, status;
	struct stat st;

	ntc_ctl_parse(self, ctl, options, parse, &args, argc, argv);
	ctl->makes_dir = true;
	if (strcmp(args.file, "-") != 0)
		fd = open(args.file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	else if (isatty(fd))
		return ntc_ctl_say(NTC_CTL_USAGE, "nobody types a bundle: give a file, or a pipe");
	if (fd < 0)
		return ntc_ctl_say(NTC_CTL_FAILED, "opening %s failed: %s", args.file, strerror(errno));
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		import.size = (uint64_t)st.st_size;
	import.refusals = args.json ? json_array() : NULL;
	ntc_ctl_unpack_init(&import.unpack, fd);
	status = import_all(ctl, &import);
	ntc_ctl_unpack_release(&import.unpack);
	json_decref(import.refusals);
	if (fd != STDIN_FILENO)
		close(fd);
	return status ? status : import.status;
}

const struct ntc_ctl_command ntc_ctl_import = {
	.name = "import",
	.synopsis = "FILE\n-",
	.line = "Take the entries of a bundle into the cache",
	.help = "Every entry is checked. What is damaged or refused is told with its digest and\n"
		"the reason, and the rest goes on: one flipped byte loses one entry. When it\n"
		"returns, the new entries survive a power cut; importing again does no harm.\n"
		"A bundle is code that others will run: take it from where you trust it.\n"
		"The entries' stamps are taken from root and the daemon's own user; for others\n"
		"the daemon makes them anew.\n"
		"\nExamples:\n"
		"  ntcache-ctl import cache.zst\n"
		"  curl -sf https://ci.example/cache.zst | ntcache-ctl import -\n"
		"  ntcache-ctl import --dir /var/cache/ntcached cache.zst    (its daemon is stopped)\n"
		"\nExit status: 0 all entries are there now; 3 no daemon; 4 some are not.",
	.run = run,
};
