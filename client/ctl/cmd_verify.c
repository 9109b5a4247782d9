/* ntcache-ctl verify: have the daemon compare what its disk has of the entries with their checksums and keys. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "format.h"
#include "progress.h"
#include "select.h"

struct arguments {
	bool repair, json;
	struct ntc_ctl_select select;
};

static const struct argp_option options[] = {
	NTC_CTL_SELECT_OPTIONS,
	{ "repair", 'r', NULL, 0, "Set aside what is damaged: a miss from now on", 0 },
	{ "json", 'j', NULL, 0, "One JSON object, with everything that is not good", 0 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *args = state->input;

	switch (key) {
	case 'r':
		args->repair = true;
		return 0;
	case 'j':
		args->json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "verify takes no argument, not '%s'; select with options", arg);
		return 0;
	default:
		return ntc_ctl_select_parse(&args->select, key, arg, state);
	}
}

struct verify {
	const struct arguments *args;
	struct ntc_row_view *rows;
	size_t count;
	struct ntc_ctl_progress progress;
	uint64_t all_bytes, bytes;      /* of images: in all, passed */
	uint64_t good, damaged, gone, unreadable;
	json_t *findings;               /* NULL: they are said */
};

static void tell(struct verify *verify, const struct ntc_digest *digest, const char *what, const char *why)
{
	char text[NTC_DIGEST_TEXT_SIZE];
	json_t *json;

	ntc_digest_text(digest, text);
	if (verify->findings) {
		json = json_object();
		json_object_set_new(json, "digest", json_string(text));
		json_object_set_new(json, "state", json_string(what));
		json_object_set_new(json, "why", json_string(why));
		json_array_append_new(verify->findings, json);
		return;
	}
	ntc_ctl_progress_hide();
	printf("%s  %s: ", text, what);
	ntc_ctl_print_text(stdout, why, strlen(why), false);
	putchar('\n');
}

static bool take(void *ctx, size_t i, enum ntc_err err, uint64_t size)
{
	struct verify *verify = ctx;
	const char *why = ntc_last_error();

	(void)size;
	if (err == NTC_OK) {
		verify->good++;
	} else if (err == NTC_MISS) {
		verify->gone++; /* evicted or removed since it was listed */
	} else if (err == NTC_E_FORMAT) {
		verify->damaged++;
		tell(verify, &verify->rows[i].digest, verify->args->repair ? "damaged, set aside" : "damaged", why);
	} else {
		verify->unreadable++;
		tell(verify, &verify->rows[i].digest, "unreadable", *why ? why : ntc_err_text(err));
	}
	verify->bytes += verify->rows[i].size;
	ntc_ctl_progress_show(&verify->progress, i + 1, verify->bytes, verify->all_bytes);
	return true;
}

static int report(const struct verify *verify)
{
	char bytes[NTC_CTL_NUMBER_SIZE];
	json_t *json;

	if (verify->findings) {
		json = json_pack("{sI sI sI sI sI sb sO}", "good", (json_int_t)verify->good, "damaged",
				 (json_int_t)verify->damaged, "unreadable", (json_int_t)verify->unreadable, "gone",
				 (json_int_t)verify->gone, "bytes", (json_int_t)verify->bytes, "repaired",
				 verify->args->repair, "findings", verify->findings);
		return ntc_ctl_write_json(json);
	}
	printf("verified %zu %s, %s: %" PRIu64 " damaged", verify->count, verify->count == 1 ? "entry" : "entries",
	       ntc_ctl_bytes_text(verify->bytes, bytes), verify->damaged);
	if (verify->damaged && verify->args->repair)
		fputs(" and set aside", stdout);
	if (verify->unreadable)
		printf(", %" PRIu64 " unreadable", verify->unreadable);
	if (verify->gone)
		printf(", %" PRIu64 " went meanwhile", verify->gone);
	putchar('\n');
	if (verify->damaged && !verify->args->repair)
		puts("`ntcache-ctl verify --repair` sets aside what is damaged; it is made again when it is needed");
	return ntc_ctl_flush();
}

static int verify_all(struct ntc_ctl *ctl, struct verify *verify)
{
	struct ntc_digest *digests = ntc_ctl_realloc(NULL, verify->count ? verify->count : 1, sizeof(*digests));
	enum ntc_err err;

	for (size_t i = 0; i < verify->count; i++) {
		digests[i] = verify->rows[i].digest;
		verify->all_bytes += verify->rows[i].size;
	}
	ntc_ctl_progress_begin(&verify->progress, "verifying");
	err = ntc_verify_many(ctl->client, digests, verify->count, verify->args->repair ? NTC_VERIFY_REPAIR : 0,
			      ctl->timeout_ms, take, verify);
	ntc_ctl_progress_end(&verify->progress);
	free(digests);
	if (err == NTC_OK)
		return report(verify);
	return ntc_ctl_complain(ctl, err, "verifying failed after %" PRIu64 " of %zu entries",
				verify->good + verify->damaged + verify->gone + verify->unreadable, verify->count);
}

static int run(const struct ntc_ctl_command *self, struct ntc_ctl *ctl, int argc, char **argv)
{
	struct arguments args = { 0 };
	struct verify verify = { .args = &args };
	int status;

	ntc_ctl_parse(self, ctl, options, parse, &args, argc, argv);
	verify.findings = args.json ? json_array() : NULL;
	status = ntc_ctl_select_rows(ctl, &args.select, &verify.rows, &verify.count);
	if (!status)
		status = verify_all(ctl, &verify);
	if (!status && (verify.unreadable || (verify.damaged && !args.repair)))
		status = NTC_CTL_FAILED;
	json_decref(verify.findings);
	free(verify.rows);
	return status;
}

const struct ntc_ctl_command ntc_ctl_verify = {
	.name = "verify",
	.synopsis = "",
	.line = "Check every entry on the disk against checksum and key",
	.help = "The daemon reads what its disk has, and not what a cache has, of every entry or\n"
		"of those that options select, and goes on serving meanwhile. Each that is\n"
		"damaged or gone is named with the reason. It can do no harm to leave them:\n"
		"whoever reads a damaged entry finds out, and makes it again.\n"
		"\nExamples:\n"
		"  ntcache-ctl verify\n"
		"  ntcache-ctl verify --repair --kind library\n"
		"  ntcache-ctl verify --dir /var/cache/ntcached    (its daemon is stopped)\n"
		"\nExit status: 0 all are good (or, with --repair, set aside); 3 no daemon; 4 some\n"
		"are damaged or could not be read.",
	.run = run,
};
