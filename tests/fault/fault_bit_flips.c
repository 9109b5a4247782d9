/*
 * Bits that flip, and coarser damage, in every field of a blob file and every kind of page of the index and its WAL
 * (damage.h). Nobody may ever be given a wrong part, nothing may crash, and a start needs no help: what is damaged is found and
 * a miss, or harmless.
 *
 * Blobs are met in four ways: by a look-up in a running store, by the adoption of files without rows, by a worker that reads the
 * file itself (libntcache), and by the put that follows.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/ntcache.h"
#include "proto/entry.h"
#include "store/blob.h"
#include "store/image.h"
#include "tests/fault/campaign.h"
#include "tests/fault/daemon.h"
#include "tests/fault/damage.h"
#include "tests/fault/trial.h"

/* How many of each are tried in full. */
enum { BLOB_FLIPS = 3000, ADOPTED_FLIPS = 1000, CLIENT_FLIPS = 1000, INDEX_FLIPS = 4000, BATCH = 100, ENTRIES = 32 };
enum { CALL_MS = 60000 };

enum result { FOUND, HARMLESS, RESULTS };

struct shared {
	struct ntc_ledger ledger;
	unsigned results[NTC_DAMAGES][RESULTS];
	unsigned lost[NTC_DAMAGES], back[NTC_DAMAGES];  /* entries, by damage to the index */
	unsigned done;                                  /* of this batch */
	enum ntc_damage now;
};
static struct shared *shared;

static void count(enum ntc_damage damage, enum result result)
{
	shared->results[damage][result]++;
	shared->done++;
}

static enum ntc_damage any(enum ntc_damage first, enum ntc_damage last)
{
	return shared->now = (enum ntc_damage)(first + ntc_fault_random() % (last - first + 1));
}

/* --- a store ------------------------------------------------------------------------------ */

static char dir[256];

static struct ntc_trial trial_in(const char *name, uint64_t inline_max)
{
	snprintf(dir, sizeof(dir), "%s", ntc_fault_path("%s", name));
	return (struct ntc_trial){
		.ledger = &shared->ledger,
		.options = { .dir = dir, .max_queued_bytes = 64 << 20, .loaders = 2, .inline_max = inline_max,
			     .log = ntc_trial_log },
		.damaged = true,
	};
}

static const char *below(const char *name)
{
	static char paths[2][400];
	static unsigned next;

	snprintf(paths[++next % 2], sizeof(paths[0]), "%s/%s", dir, name);
	return paths[next % 2];
}

/* DIR/default/ab/ab12... of an entry. Static. */
static const char *blob_file(unsigned n)
{
	static char path[300];
	struct ntc_digest digest = ntc_trial_digest(n);
	char name[NTC_BLOB_PATH];

	ntc_blob_path(&digest, name);
	snprintf(path, sizeof(path), "%s/default/%s", dir, name);
	return path;
}

/* Damage the file of an entry in some way. */
static enum ntc_damage damage_file(const char *path, const char *other_path)
{
	struct ntc_copy copy = { 0 }, other = { 0 };
	enum ntc_damage damage;

	ntc_copy_read(&other, other_path);
	do {
		ntc_copy_read(&copy, path);
		damage = any(NTC_DAMAGE_MAGIC, NTC_DAMAGE_FOREIGN);
	} while (!ntc_damage_blob(&copy, damage, &other));
	ntc_copy_write(&copy, path);
	ntc_copy_release(&copy);
	ntc_copy_release(&other);
	return damage;
}

static enum ntc_damage damage_entry(unsigned n)
{
	char other[300];

	snprintf(other, sizeof(other), "%s", blob_file((n + 1 + (unsigned)(ntc_fault_random() % (ENTRIES - 1))) % ENTRIES));
	return damage_file(blob_file(n), other);
}

/* --- blobs -------------------------------------------------------------------------------- */

static int put_blobs(void *ctx)
{
	struct ntc_trial t = trial_in("blobs", 0);

	(void)ctx;
	(void)ntc_trial_open(&t); /* judges by itself, as all below */
	for (unsigned n = 0; n < ENTRIES; n++)
		(void)ntc_trial_put(&t, n);
	ntc_trial_close(&t);
	return 0;
}

static int look_up(void *ctx)
{
	struct ntc_trial t = trial_in("blobs", 0);

	(void)ctx;
	(void)ntc_trial_open(&t);
	for (unsigned i = 0; i < BATCH; i++) {
		unsigned n = (unsigned)(ntc_fault_random() % ENTRIES);
		enum ntc_damage damage = damage_entry(n);

		t.ledger->state[n] = NTC_TRIAL_UNSURE;
		/* By a look-up, or by the put that finds something under the key. */
		if (i % 4)
			ntc_fault_expect(ntc_trial_load(&t, n) == NTC_ST_NOT_FOUND, "entry %u is not found out", n);
		(void)ntc_trial_put(&t, n);
		ntc_fault_expect(ntc_trial_load(&t, n) == NTC_ST_OK, "entry %u cannot be put again", n);
		count(damage, FOUND);
	}
	ntc_trial_close(&t);
	return 0;
}

static void remove_index(void)
{
	static const char *const suffixes[] = { "", "-wal", "-shm" };

	for (size_t i = 0; i < NTC_COUNT(suffixes); i++) {
		char name[64];

		snprintf(name, sizeof(name), "index.sqlite3%s", suffixes[i]);
		(void)unlink(below(name)); /* there may be none */
	}
}

static int adopt(void *ctx)
{
	struct ntc_trial t = trial_in("blobs", 0);
	enum ntc_damage damages[ENTRIES];
	struct ntc_store_stats stats;

	(void)ctx;
	for (unsigned n = 0; n < ENTRIES; n += 2) {
		damages[n] = damage_entry(n);
		t.ledger->state[n] = NTC_TRIAL_UNSURE;
	}
	remove_index();
	(void)ntc_trial_open(&t);
	for (unsigned n = 0; n < ENTRIES; n++)
		ntc_fault_expect(ntc_trial_load(&t, n) == (n % 2 ? NTC_ST_OK : NTC_ST_NOT_FOUND), "entry %u: wrongly adopted",
				 n);
	ntc_store_stats(t.store, &stats);
	ntc_fault_expect(stats.quarantined == ENTRIES / 2, "%llu of %d damaged files were set aside",
			 (unsigned long long)stats.quarantined, ENTRIES / 2);
	for (unsigned n = 0; n < ENTRIES; n += 2) {
		(void)ntc_trial_put(&t, n);
		count(damages[n], FOUND);
	}
	ntc_trial_close(&t);
	return 0;
}

/* --- by a worker -------------------------------------------------------------------------- */

static struct ntc_daemon daemon_;

/* The parts of an entry's image, as a worker makes them. */
static struct ntc_entry *entry_of(struct ntc_view image, struct ntc_key **key)
{
	struct ntc_part_data parts[8];
	char names[8][64];
	struct ntc_entry *entry = NULL;
	struct ntc_image parsed;

	ntc_fault_expect(ntc_image_parse(image, &parsed, NULL) == NTC_ST_OK && parsed.body.part_count <= 8, "no image");
	for (size_t i = 0; i < parsed.body.part_count; i++) {
		struct ntc_part part = ntc_body_part(&parsed.body, i);

		snprintf(names[i], sizeof(names[i]), "%.*s", (int)part.name.len, (const char *)part.name.p);
		parts[i] = (struct ntc_part_data){ names[i], part.data.p, part.data.len };
	}
	ntc_fault_expect(ntc_key_from_bytes(parsed.body.key.p, parsed.body.key.len, key) == NTC_OK &&
				 ntc_entry_new(*key, NULL, parts, parsed.body.part_count, &entry) == NTC_OK,
			 "no entry: %s", ntc_last_error());
	return entry;
}

static bool same_parts(const struct ntc_entry *a, const struct ntc_entry *b)
{
	if (ntc_entry_part_count(a) != ntc_entry_part_count(b))
		return false;
	for (size_t i = 0; i < ntc_entry_part_count(a); i++) {
		struct ntc_part_view x = ntc_entry_part(a, i), y = ntc_entry_part(b, i);

		if (x.name_len != y.name_len || memcmp(x.name, y.name, x.name_len) != 0 || x.len != y.len ||
		    memcmp(x.data, y.data, x.len) != 0)
			return false;
	}
	return true;
}

/* Entries that are large enough for files of their own. */
static unsigned any_large(void)
{
	return (unsigned)(ntc_fault_random() % (ENTRIES / 4)) * 4 + 2 + (unsigned)(ntc_fault_random() % 2);
}

static struct ntc_entry *put_entry(struct ntc_client *client, unsigned n, struct ntc_key **key)
{
	struct ntc_buffer *image = ntc_trial_image(n);
	struct ntc_entry *made = entry_of(ntc_view(image->bytes, image->len), key);
	enum ntc_err err = ntc_put(client, NULL, made, 1);

	ntc_fault_expect(err == NTC_OK || err == NTC_KNOWN, "put %u: %s", n, ntc_last_error());
	err = ntc_sync(client, CALL_MS);
	ntc_fault_expect(err == NTC_OK, "sync: %s", ntc_last_error());
	ntc_buffer_unref(image);
	return made;
}

static void ask_worker(struct ntc_client *client, unsigned n, unsigned other)
{
	struct ntc_key *key = NULL, *other_key = NULL;
	struct ntc_entry *made = put_entry(client, n, &key), *found = NULL;
	char other_path[300];
	enum ntc_damage damage;
	enum ntc_err err;

	ntc_entry_unref(put_entry(client, other, &other_key));
	ntc_key_free(other_key);
	snprintf(other_path, sizeof(other_path), "%s", blob_file(other));
	damage = damage_file(blob_file(n), other_path);
	err = ntc_lookup(client, key, CALL_MS, &found);
	ntc_fault_expect(err == NTC_MISS || err == NTC_OK, "look-up %u: %s", n, ntc_last_error());
	/* The body is good where only the stamp is damaged. */
	ntc_fault_expect(err == NTC_MISS || damage == NTC_DAMAGE_STAMP, "entry %u is not found out", n);
	ntc_fault_expect(!found || same_parts(found, made), "entry %u has wrong parts", n);
	count(damage, found ? HARMLESS : FOUND);
	ntc_entry_unref(found);
	ntc_entry_unref(made);
	ntc_key_free(key);
}

static int ask_workers(void *ctx)
{
	struct ntc_options options = NTC_OPTIONS_INIT;
	struct ntc_client *client = NULL;

	(void)ctx;
	snprintf(dir, sizeof(dir), "%s", daemon_.dir);
	options.socket = daemon_.socket;
	options.mode = NTC_MODE_ON;
	options.flags = NTC_NO_AUTOSTART;
	ntc_fault_expect(ntc_open(&options, &client) == NTC_OK, "no client");
	for (unsigned i = 0; i < BATCH; i++) {
		unsigned n = any_large();

		ask_worker(client, n, (n + 4) % ENTRIES);
	}
	ntc_close(client);
	return 0;
}

/* --- the index ---------------------------------------------------------------------------- */

enum { SMALL = 220, LARGE = 6, REMOVED = 30, LATER = 12 };

/* Many small entries, a few with files, some removed. */
static void put_many(struct ntc_trial *t)
{
	for (unsigned n = 0; n < 2 * SMALL; n++)
		if (ntc_trial_is_small(n) || n < 2 * LARGE)
			(void)ntc_trial_put(t, n);
	for (unsigned n = 40; n < 40 + 2 * REMOVED; n++)
		if (ntc_trial_is_small(n))
			(void)ntc_trial_remove(t, n, true);
}

static int prepare_closed(void *ctx)
{
	struct ntc_trial t = trial_in("closed", NTC_INLINE_IMAGE_MAX);

	(void)ctx;
	(void)ntc_trial_open(&t);
	put_many(&t);
	ntc_trial_close(&t);
	return 0;
}

/* A part of it, the last, is in the WAL alone. */
static int prepare_crashed(void *ctx)
{
	struct ntc_trial t = trial_in("crashed", NTC_INLINE_IMAGE_MAX);

	(void)ctx;
	(void)ntc_trial_open(&t);
	put_many(&t);
	ntc_trial_close(&t);
	(void)ntc_trial_open(&t);
	for (unsigned n = 40; n < 40 + 2 * LATER; n++)
		if (ntc_trial_is_small(n))
			(void)ntc_trial_put(&t, n);
	for (unsigned n = 300; n < 300 + LATER; n++)
		if (ntc_trial_is_small(n))
			(void)ntc_trial_remove(&t, n, false);
	kill(getpid(), SIGKILL);
	return 1;
}

struct golden {
	char dir[256];
	struct ntc_ledger ledger;
	struct ntc_pages pages;
	struct ntc_copy db, wal;
};

static int meet_damage(void *ctx)
{
	struct ntc_trial t = trial_in("trial", NTC_INLINE_IMAGE_MAX);

	(void)ctx;
	t.rebuilt = t.tolerant = true;
	(void)ntc_trial_open(&t);
	for (unsigned n = 0; n < NTC_TRIAL_ENTRIES; n++)
		(void)ntc_trial_load(&t, n);
	ntc_trial_list(&t);
	for (unsigned n = NTC_TRIAL_ENTRIES - 4; n < NTC_TRIAL_ENTRIES; n++) {
		(void)ntc_trial_put(&t, n);
		(void)ntc_trial_load(&t, n);
		(void)ntc_trial_remove(&t, n, true);
	}
	shared->back[shared->now] += t.back;
	ntc_trial_close(&t);
	/* The next start has made good what the calls above met. */
	t.lost = 0;
	(void)ntc_trial_open(&t);
	for (unsigned n = 0; n < NTC_TRIAL_ENTRIES; n++)
		(void)ntc_trial_load(&t, n);
	shared->lost[shared->now] += t.lost;
	t.tolerant = false;
	for (unsigned n = NTC_TRIAL_ENTRIES - 4; n < NTC_TRIAL_ENTRIES; n++) {
		(void)ntc_trial_put(&t, n);
		(void)ntc_trial_load(&t, n);
		(void)ntc_trial_remove(&t, n, false);
	}
	ntc_trial_close(&t);
	count(shared->now, t.lost || ntc_fault_count(dir, "index.sqlite3.damaged-") ||
				   ntc_fault_count(below("default/quarantine"), "") ? FOUND : HARMLESS);
	return 0;
}

static void prepare_golden(struct golden *g, const char *name, ntc_fault_fn *fn)
{
	memset(&shared->ledger, 0, sizeof(shared->ledger));
	(void)ntc_fault_run(fn, NULL); /* one of them is killed on purpose */
	if (*ntc_fault_noted()) {
		ntc_fault_failed("%s cannot be prepared: %s", name, ntc_fault_noted());
		return;
	}
	snprintf(g->dir, sizeof(g->dir), "%s", ntc_fault_path("%s", name));
	g->ledger = shared->ledger;
	snprintf(dir, sizeof(dir), "%s", g->dir);
	ntc_copy_read(&g->db, below("index.sqlite3"));
	if (access(below("index.sqlite3-wal"), F_OK) == 0)
		ntc_copy_read(&g->wal, below("index.sqlite3-wal"));
	/* Not the directory itself: SQLite would recover its WAL. */
	ntc_copy_write(&g->db, ntc_fault_path("%s.pages", name));
	ntc_pages_read(&g->pages, ntc_fault_path("%s.pages", name));
}

static void damage_index(const struct golden *g)
{
	struct ntc_copy db = { 0 }, wal = { 0 };
	enum ntc_damage damage;

	snprintf(dir, sizeof(dir), "%s", ntc_fault_path("trial"));
	ntc_fault_remove(dir);
	ntc_fault_copy(g->dir, dir);
	shared->ledger = g->ledger;
	do {
		ntc_copy_read(&db, below("index.sqlite3"));
		if (g->wal.len)
			ntc_copy_read(&wal, below("index.sqlite3-wal"));
		damage = any(NTC_DAMAGE_DB_HEADER, g->wal.len ? NTC_DAMAGE_WAL_SWAPPED : NTC_DAMAGE_DB_SWAPPED);
	} while (!ntc_damage_index(&db, &wal, &g->pages, damage));
	ntc_copy_write(&db, below("index.sqlite3"));
	if (g->wal.len)
		ntc_copy_write(&wal, below("index.sqlite3-wal"));
	ntc_copy_release(&db);
	ntc_copy_release(&wal);
}

/* --- all ---------------------------------------------------------------------------------- */

static void batches(ntc_fault_fn *fn, unsigned wanted, const char *what)
{
	unsigned all = 0;

	while (all < wanted && ntc_fault_goes_on() && ntc_fault_failures() < 20) {
		int code;

		shared->done = 0;
		code = ntc_fault_run(fn, NULL);
		for (unsigned i = 0; i < shared->done; i++)
			ntc_fault_passed();
		all += shared->done;
		if (code)
			ntc_fault_failed("%s, %s: code %d, %s", what, ntc_damage_names[shared->now], code, ntc_fault_noted());
	}
	ntc_fault_say("%s: %u", what, all);
}

static void flip_index(const char *name, ntc_fault_fn *prepare, unsigned wanted)
{
	static struct golden golden;
	unsigned i;

	golden = (struct golden){ 0 };
	prepare_golden(&golden, name, prepare);
	for (i = 0; i < wanted && golden.pages.count && ntc_fault_goes_on() && ntc_fault_failures() < 20; i++) {
		damage_index(&golden);
		if (!ntc_fault_try(meet_damage, NULL, "index of a store that was %s, %s", name, ntc_damage_names[shared->now]) &&
		    ntc_fault_failures() == 1)
			ntc_fault_copy(ntc_fault_path("trial"), ntc_fault_path("first-failure"));
	}
	ntc_fault_say("index, %s: %u", name, i);
	ntc_copy_release(&golden.db);
	ntc_copy_release(&golden.wal);
	free(golden.pages.class_of);
}

int main(void)
{
	/* Whoever has an entry from shared memory does not look at its file. */
	static const char *const options[] = { "--segment-size", "0", NULL };

	ntc_fault_begin("bit_flips", true);
	shared = ntc_fault_shared(sizeof(*shared));
	if (ntc_fault_try(put_blobs, NULL, "putting")) {
		ntc_fault_share(15);
		batches(look_up, BLOB_FLIPS, "blobs, looked up");
		ntc_fault_share(15);
		batches(adopt, ADOPTED_FLIPS, "blobs, adopted");
	}
	ntc_daemon_init(&daemon_, "daemon");
	ntc_daemon_spawn(&daemon_, options);
	if (ntc_daemon_ready(&daemon_)) {
		ntc_fault_share(15);
		batches(ask_workers, CLIENT_FLIPS, "blobs, read by workers");
	}
	if (ntc_daemon_stop(&daemon_)) {
		ntc_fault_failed("the daemon did not live through it");
		ntc_daemon_show(&daemon_);
	}
	ntc_fault_share(20);
	flip_index("closed", prepare_closed, INDEX_FLIPS / 2);
	ntc_fault_share(20);
	flip_index("crashed", prepare_crashed, INDEX_FLIPS / 2);
	for (unsigned i = 0; i < NTC_DAMAGES; i++)
		ntc_fault_say("%-32s %5u found %5u harmless %5u entries lost %5u back", ntc_damage_names[i],
			      shared->results[i][FOUND], shared->results[i][HARMLESS], shared->lost[i], shared->back[i]);
	return ntc_fault_end();
}
