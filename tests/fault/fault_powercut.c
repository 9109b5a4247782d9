/*
 * Power cuts. The store works on a disk that remembers (disk.h); then the power is cut at random moments (cut.h), half of
 * them just after something was acknowledged, and the store is started on what could be left: what was acknowledged is
 * there byte for byte, what was removed is gone, the rest is whole or missing, and nothing was set aside (trial.h).
 *
 * That this finds what it is for is shown by leaving out one sync after the other: each time some cuts go wrong.
 *
 * NTC_FAULT_ONLY='recording 2, cut 17' with the seed of a run tries one of its cuts again; threads may have made another
 * record then, so a failed cut's directory is kept with NTC_TEST_KEEP=1.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "proto/key.h"
#include "store/image.h"
#include "store/index.h"
#include "tests/fault/campaign.h"
#include "tests/fault/cut.h"
#include "tests/fault/disk.h"
#include "tests/fault/trial.h"

enum {
	CUTS = 2000, CUTS_EACH = 100,           /* of all recordings; of one */
	PROOF_CUTS = 20, PROOF_ROUNDS = 40,      /* without a sync: of one recording; until some go wrong */
	ENTRIES = 160,                          /* put and removed; the trial has others of its own */
};

/* --- what the store does ------------------------------------------------------------------ */

struct work {
	const char *name;
	unsigned steps;
	uint64_t max_bytes, inline_max;
	bool fresh;             /* begins in an empty directory, else in what a cut of the one before left */
	bool relaxed;           /* what is acknowledged is durable with the next sync of everything */
	bool damage;            /* of the index, before it begins */
	bool open;              /* is not closed until the end, so that the WAL gets long and begins again */
};

static const struct work works[] = {
	{ .name = "a new directory", .steps = 30, .inline_max = NTC_INLINE_IMAGE_MAX, .fresh = true },
	{ .name = "after a cut", .steps = 60, .inline_max = NTC_INLINE_IMAGE_MAX },
	{ .name = "many commits", .steps = 2500, .inline_max = NTC_INLINE_IMAGE_MAX, .open = true },
	{ .name = "more images in the index", .steps = 60, .inline_max = 2 * NTC_INLINE_IMAGE_MAX },
	{ .name = "evictions", .steps = 80, .inline_max = NTC_INLINE_IMAGE_MAX, .max_bytes = 300000 },
	{ .name = "relaxed", .steps = 150, .inline_max = NTC_INLINE_IMAGE_MAX, .relaxed = true },
	{ .name = "all images in files", .steps = 60, .max_bytes = 300000 },
	{ .name = "relaxed, all images in files", .steps = 80, .relaxed = true },
	{ .name = "another new directory", .steps = 40, .inline_max = 2 * NTC_INLINE_IMAGE_MAX, .fresh = true },
	{ .name = "a damaged index", .steps = 20, .inline_max = NTC_INLINE_IMAGE_MAX, .damage = true },
	{ .name = "after a cut of that", .steps = 20, .inline_max = NTC_INLINE_IMAGE_MAX },
};

/* What works so far can have left: files that are torn, an index that is damaged. */
static bool torn, ruined;

static struct ntc_disk *disk;
static struct ntc_ledger *ledger;       /* at the end of the recording */
static struct ntc_ledger *judged;       /* at a cut */

static void log_line(void *ctx, enum ntc_log_level level, const char *text)
{
	(void)ctx;
	if (getenv("NTC_TEST_LOG"))
		fprintf(stderr, "%d %s\n", level, text);
}

static void set_options(struct ntc_trial *t, const struct work *work, struct ntc_ledger *of, const char *root)
{
	static char dir[512];

	snprintf(dir, sizeof(dir), "%s/above/cache", root);
	*t = (struct ntc_trial){
		.ledger = of,
		.options = { .dir = dir, .max_bytes = work->max_bytes, .inline_max = work->inline_max,
			     .relaxed = work->relaxed,
			     .max_queued_bytes = 64 << 20, .loaders = 2, .log = log_line, .group_wait_ns = NTC_NS_PER_MS },
		.evicts = work->max_bytes != 0,
		.removes = true,
		.damaged = torn,
		.rebuilt = ruined,
	};
}

static void save_counters(struct ntc_trial *t)
{
	struct ntc_field field = { .name = ntc_view("hits", 4), .type = NTC_TYPE_INT };
	uint8_t value[9], bytes[64];
	struct ntc_writer w = ntc_writer(bytes, sizeof(bytes));

	field.value = ntc_view(value, ntc_value_int(7, value));
	if (ntc_key_write(&w, 0, &field, 1, NULL))
		abort();
	ntc_store_save_counters(t->store, ntc_view(bytes, w.len));
}

static void step(struct ntc_trial *t, bool may_close)
{
	unsigned n = (unsigned)(ntc_fault_random() % ENTRIES), how = (unsigned)(ntc_fault_random() % 100);
	struct ntc_digest digest = ntc_trial_digest(n);

	if (how < 45) {
		(void)ntc_trial_put(t, n); /* judges by itself, as all of these */
	} else if (how < 60) {
		ntc_trial_put_all(t, n, 1 + (unsigned)(ntc_fault_random() % 16));
	} else if (how < 80) {
		(void)ntc_trial_remove(t, n, how % 2);
	} else if (how < 90) {
		(void)ntc_trial_load(t, n);
		(void)ntc_store_hit(t->store, &digest, 3); /* what it cost does not matter */
	} else if (how < 96 || !may_close) {
		save_counters(t);
	} else {
		ntc_trial_close(t);
		(void)ntc_trial_open(t);
	}
}

static void damage_index(const char *dir)
{
	static const char text[] = "not a database, really";
	char path[600];
	int fd;

	snprintf(path, sizeof(path), "%s/" NTC_INDEX_NAME, dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ntc_fault_expect(fd >= 0 && pwrite(fd, text, sizeof(text), 0) == sizeof(text), "%s cannot be damaged", path);
	close(fd);
}

static int record(void *ctx)
{
	const struct work *work = ctx;
	const char *root = ntc_fault_path("disk");
	struct ntc_trial t;

	set_options(&t, work, ledger, root);
	t.note = ntc_disk_note;
	if (work->damage)
		damage_index(t.options.dir);
	ntc_disk_begin(disk, root);
	(void)ntc_trial_open(&t);
	for (unsigned i = 0; i < work->steps; i++)
		step(&t, !work->open);
	ntc_trial_close(&t);
	return 0;
}

/* --- cuts --------------------------------------------------------------------------------- */

struct attempt {
	const struct work *work;
	const struct ntc_ledger *before;        /* the recording */
	struct ntc_cut cut;
};

static int make_cut(void *ctx)
{
	const struct attempt *a = ctx;

	ntc_cut_make(disk, &a->cut, ntc_fault_path("cut"));
	return 0;
}

static int judge(void *ctx)
{
	const struct attempt *a = ctx;
	struct ntc_trial t;

	ntc_cut_make(disk, &a->cut, ntc_fault_path("cut"));
	set_options(&t, a->work, judged, ntc_fault_path("cut"));
	ntc_trial_judge(&t);
	return 0;
}

/* What was told before the cut, and holds. */
static void ledger_at(const struct attempt *a, struct ntc_ledger *at)
{
	bool told[NTC_TRIAL_ENTRIES] = { false };

	memcpy(at, a->before, sizeof(*at));
	for (size_t i = 0; i < a->cut.at; i++) {
		const struct ntc_disk_record *r = &disk->records[i];
		bool is_there = r->what == NTC_DISK_NOTE && r->other == NTC_TRIAL_THERE;

		if (is_there && a->work->relaxed)
			told[r->node] = true;
		else if (r->what == NTC_DISK_NOTE)
			at->state[r->node] = (uint8_t)r->other;
		if (r->what == NTC_DISK_NOTE && !is_there)
			told[r->node] = false;
		for (unsigned n = 0; r->what == NTC_DISK_ALL && n < NTC_TRIAL_ENTRIES; n++)
			if (told[n])
				at->state[n] = NTC_TRIAL_THERE;
	}
}

static bool matters(const struct ntc_disk_record *r, uint32_t without)
{
	return without ? (r->syncs & without) != 0 : r->what == NTC_DISK_NOTE;
}

static size_t count_matters(uint32_t without)
{
	size_t count = 0;

	for (size_t i = disk->began; i < disk->count; i++)
		count += matters(&disk->records[i], without);
	return count;
}

/* How long a sync at `at` is the last one of what it syncs; 24 records at most. */
static size_t effect_of(size_t at)
{
	size_t last = at + 24 < disk->count ? at + 24 : disk->count;

	for (size_t i = at + 1; i < last; i++)
		if (disk->records[i].what == NTC_DISK_SYNC && disk->records[i].node == disk->records[at].node)
			return i - at;
	return last - at;
}

/* Any moment, or one at which a cut can do most: just after something was told, or soon after a sync that is left out. */
static size_t choose_moment(uint32_t without)
{
	size_t count = count_matters(without), chosen, at;

	if (!count || ntc_fault_random() & 1)
		return disk->began + (size_t)(ntc_fault_random() % (disk->count - disk->began + 1));
	chosen = (size_t)(ntc_fault_random() % count);
	for (at = disk->began; at < disk->count; at++)
		if (matters(&disk->records[at], without) && !chosen--)
			break;
	return at + 1 + (without ? (size_t)(ntc_fault_random() % effect_of(at)) : 0);
}

static void choose(struct attempt *a, uint32_t without)
{
	a->cut = (struct ntc_cut){ .at = choose_moment(without), .seed = ntc_fault_random(), .without = without };
	ledger_at(a, judged);
	ntc_fault_remove(ntc_fault_path("cut"));
}

/* --- without a sync ----------------------------------------------------------------------- */

static const char *const sync_texts[NTC_DISK_SYNC_KINDS] = {
#define X(name, text) [NTC_DISK_SYNC_##name] = text,
	NTC_DISK_SYNCS(X)
#undef X
};
static unsigned tried_without[NTC_DISK_SYNC_KINDS], wrong_without[NTC_DISK_SYNC_KINDS];

static void leave_out(struct attempt *a, unsigned sync)
{
	/* Not every recording has it. */
	for (unsigned i = 0; i < PROOF_CUTS && count_matters(1u << sync); i++) {
		choose(a, 1u << sync);
		tried_without[sync]++;
		if (ntc_fault_run(judge, a) == 0)
			continue;
		wrong_without[sync]++;
	}
}

static bool proof_is_whole(void)
{
	for (unsigned sync = 1; sync < NTC_DISK_SYNC_KINDS; sync++)
		if (!wrong_without[sync])
			return false;
	return true;
}

static void tell_proof(void)
{
	for (unsigned sync = 1; sync < NTC_DISK_SYNC_KINDS; sync++) {
		ntc_fault_say("without %s: %u of %u cuts wrong", sync_texts[sync], wrong_without[sync],
			      tried_without[sync]);
		if (wrong_without[sync])
			ntc_fault_passed();
		else
			ntc_fault_failed("%s can be left out", sync_texts[sync]);
	}
}

/* --- the campaign ------------------------------------------------------------------------- */

static unsigned recordings, cuts;

/* For people: what the start met, not what it made of it. */
static void keep_cut(const struct attempt *a, unsigned cut)
{
	ntc_fault_remove(ntc_fault_path("cut"));
	if (!ntc_fault_run(make_cut, (void *)a))
		(void)rename(ntc_fault_path("cut"), ntc_fault_path("wrong.%u.%u", recordings, cut)); /* only to look at */
}

/* One recording and its cuts; the next begins with what one more cut leaves. */
static void try_work(const struct work *work, bool proof)
{
	static struct ntc_ledger before;
	struct attempt a = { .work = work, .before = &before };

	if (work->fresh) {
		torn = ruined = false;
		memset(ledger, 0, sizeof(*ledger));
		ntc_fault_remove(ntc_fault_path("disk"));
		if (mkdir(ntc_fault_path("disk"), 0700) != 0)
			abort();
	}
	torn |= work->relaxed;
	ruined |= work->damage;
	before = *ledger;
	if (!ntc_fault_try(record, (void *)work, "recording %u: %s", ++recordings, work->name))
		return;
	for (unsigned i = 1; i <= CUTS_EACH && !proof && ntc_fault_goes_on(); i++) {
		choose(&a, 0);
		if (!ntc_fault_chosen("recording %u, cut %u", recordings, i))
			continue;
		cuts++;
		if (!ntc_fault_try(judge, &a, "recording %u, cut %u (%s, record %zu of %zu)", recordings, i, work->name,
				   a.cut.at, disk->count))
			keep_cut(&a, i);
	}
	for (unsigned sync = 1; sync < NTC_DISK_SYNC_KINDS && proof; sync++)
		if (!wrong_without[sync])
			leave_out(&a, sync);
	choose(&a, 0);
	if (!ntc_fault_run(make_cut, &a)) {
		*ledger = *judged;
		/* What may have been evicted may be missing from now on. */
		for (unsigned n = 0; n < NTC_TRIAL_ENTRIES && work->max_bytes; n++)
			if (ledger->state[n] == NTC_TRIAL_THERE)
				ledger->state[n] = NTC_TRIAL_UNSURE;
		ntc_fault_remove(ntc_fault_path("disk"));
		(void)rename(ntc_fault_path("cut"), ntc_fault_path("disk")); /* the next recording fails without */
	}
}

int main(void)
{
	ntc_fault_begin("powercut", true);
	disk = ntc_fault_shared(sizeof(*disk));
	ledger = ntc_fault_shared(sizeof(*ledger));
	judged = ntc_fault_shared(sizeof(*judged));
	while (ntc_fault_goes_on() && (ntc_fault_is_short() || cuts < CUTS))
		for (size_t i = 0; i < NTC_COUNT(works) && ntc_fault_goes_on(); i++)
			try_work(&works[i], false);
	ntc_fault_say("%u recordings, %u cuts", recordings, cuts);
	if (!ntc_fault_is_short()) {
		for (unsigned round = 0; round < PROOF_ROUNDS && !proof_is_whole(); round++)
			for (size_t i = 0; i < NTC_COUNT(works); i++)
				try_work(&works[i], true);
		tell_proof();
	}
	return ntc_fault_end();
}
