/* What the store is doing while something fails; see scenarios.h. */
#include "tests/fault/scenarios.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "store/blob.h"
#include "store/image.h"
#include "tests/fault/campaign.h"

/* Entries 2 and 3 modulo 4 are large: they have files of their own; the others live in the index. */
enum { ORPHAN = 30, NO_FILE = 6, DAMAGED = 10 };

/* DIR/default/ab/ab12... of an entry. Static. */
static const char *blob_file(const struct ntc_trial *t, unsigned n)
{
	static char path[600];
	struct ntc_digest digest = ntc_trial_digest(n);
	char below[NTC_BLOB_PATH];

	ntc_blob_path(&digest, below);
	snprintf(path, sizeof(path), "%s/default/%s", t->options.dir, below);
	return path;
}

static void write_file(const char *path, const void *p, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ntc_fault_expect(fd >= 0 && write(fd, p, len) == (ssize_t)len, "%s cannot be written", path);
	close(fd);
}

/* A whole image under its final name that the index does not know. */
static void write_orphan(const struct ntc_trial *t, unsigned n)
{
	struct ntc_buffer *image = ntc_trial_image(n);
	char shard[600];

	snprintf(shard, sizeof(shard), "%s", blob_file(t, n));
	*strrchr(shard, '/') = '\0';
	(void)mkdir(shard, 0700); /* it may be there */
	write_file(blob_file(t, n), image->bytes, image->len);
	ntc_buffer_unref(image);
}

static void overwrite(const char *path, const char *with, off_t at)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	ntc_fault_expect(fd >= 0 && pwrite(fd, with, strlen(with), at) == (ssize_t)strlen(with), "%s cannot be damaged",
			 path);
	close(fd);
}

/* --- preparing ---------------------------------------------------------------------------- */

static void prepare_nothing(struct ntc_trial *t)
{
	ntc_trial_close(t);
	ntc_fault_remove(t->options.dir);
}

static void prepare_some(struct ntc_trial *t)
{
	for (unsigned n = 0; n < 12; n++)
		(void)ntc_trial_put(t, n); /* judges by itself, as all calls here */
}

/* Half of it done when a crash came, and what other crashes left. */
static void prepare_crash(struct ntc_trial *t)
{
	prepare_some(t);
	for (unsigned n = 3; n < 5; n++)
		(void)ntc_trial_remove(t, n, false);
	/* A removal of which only the first step is done. */
	ntc_fault_expect(unlink(blob_file(t, NO_FILE)) == 0, "entry %d has no file", NO_FILE);
	t->ledger->state[NO_FILE] = NTC_TRIAL_GONE;
	for (unsigned n = ORPHAN; n < ORPHAN + 2; n++) {
		write_orphan(t, n);
		t->ledger->state[n] = NTC_TRIAL_UNSURE;
	}
	for (unsigned i = 0; i < 2; i++) {
		char path[600];

		snprintf(path, sizeof(path), "%s/default/tmp/0123456789abcdef0123456789abcdef.%u", t->options.dir, i);
		write_file(path, "half", 4);
	}
	t->ledger->told = true;
	kill(getpid(), SIGKILL);
}

static void settled_crash(struct ntc_ledger *ledger)
{
	for (unsigned n = ORPHAN; n < ORPHAN + 2; n++)
		ledger->state[n] = NTC_TRIAL_THERE;
}

static void prepare_damaged_blobs(struct ntc_trial *t)
{
	prepare_some(t);
	ntc_trial_close(t);
	/* One with a row, one without; both are misses, and can be put again. */
	overwrite(blob_file(t, DAMAGED), "damage", 300);
	write_orphan(t, ORPHAN);
	overwrite(blob_file(t, ORPHAN), "damage", 300);
	t->ledger->state[DAMAGED] = t->ledger->state[ORPHAN] = NTC_TRIAL_UNSURE;
}

static void prepare_damaged_index(struct ntc_trial *t)
{
	char path[600];

	prepare_some(t);
	ntc_trial_close(t);
	snprintf(path, sizeof(path), "%s/index.sqlite3", t->options.dir);
	overwrite(path, "not a database, really", 0);
}

/* A list of free pages that leads nowhere: no start looks at it, the first change needs it. */
static void prepare_unseen_damage(struct ntc_trial *t)
{
	static const uint8_t nowhere[8] = { 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 9 };
	char path[600];
	int fd;

	prepare_some(t);
	ntc_trial_close(t);
	snprintf(path, sizeof(path), "%s/index.sqlite3", t->options.dir);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || pwrite(fd, nowhere, sizeof(nowhere), 32) != sizeof(nowhere))
		abort();
	close(fd);
}

/* The index as version 1 made it, of the rows that are there. */
static void prepare_version_1(struct ntc_trial *t)
{
	static const char version_1[] =
		"BEGIN IMMEDIATE;"
		"CREATE TABLE entry ("
		" digest BLOB PRIMARY KEY, kind INTEGER NOT NULL, uid INTEGER NOT NULL, size INTEGER NOT NULL,"
		" put_wall_ns INTEGER NOT NULL, cost_ns INTEGER NOT NULL, hits INTEGER NOT NULL, used INTEGER NOT NULL,"
		" parts INTEGER NOT NULL, key_len INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
		"CREATE INDEX entry_used ON entry (used);"
		"CREATE TABLE value (name TEXT PRIMARY KEY, bytes BLOB NOT NULL) STRICT, WITHOUT ROWID;"
		"PRAGMA application_id = 1314145073;"
		"PRAGMA user_version = 1;"
		"COMMIT;";
	char now[600], old[600], attach[700];
	sqlite3 *db = NULL;

	prepare_some(t);
	ntc_trial_close(t);
	snprintf(now, sizeof(now), "%s/index.sqlite3", t->options.dir);
	snprintf(old, sizeof(old), "%s/old.sqlite3", t->options.dir);
	snprintf(attach, sizeof(attach), "ATTACH '%s' AS now", now);
	ntc_fault_expect(sqlite3_open(old, &db) == SQLITE_OK &&
				 sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL) == SQLITE_OK &&
				 sqlite3_exec(db, version_1, NULL, NULL, NULL) == SQLITE_OK &&
				 sqlite3_exec(db, attach, NULL, NULL, NULL) == SQLITE_OK &&
				 sqlite3_exec(db, "INSERT INTO main.entry SELECT digest, kind, uid, size, put_wall_ns, cost_ns, hits,"
						  " used, parts, key_len FROM now.entry", NULL, NULL, NULL) == SQLITE_OK,
			 "no index of version 1: %s", sqlite3_errmsg(db));
	sqlite3_close(db);
	ntc_fault_expect(rename(old, now) == 0, "no index of version 1");
}

/* --- running ------------------------------------------------------------------------------ */

static void run_put(struct ntc_trial *t)
{
	(void)ntc_trial_open(t); /* judges by itself, as all calls here */
	ntc_trial_arm(t, true);
	for (unsigned n = 12; n < 16; n++)
		(void)ntc_trial_put(t, n);
	ntc_trial_put_all(t, 16, 4);
	(void)ntc_trial_put(t, 3);
	ntc_trial_put_other(t, 2);
	(void)ntc_trial_load(t, 13);
	(void)ntc_trial_load(t, 7);
	ntc_trial_list(t);
}

/* As a bundle comes in: many at once, known ones between them. */
static void run_import(struct ntc_trial *t)
{
	(void)ntc_trial_open(t);
	ntc_trial_arm(t, true);
	for (unsigned n = 8; n < 40; n += 16)
		ntc_trial_put_all(t, n, 16);
}

static void run_remove(struct ntc_trial *t)
{
	(void)ntc_trial_open(t);
	ntc_trial_arm(t, true);
	for (unsigned n = 0; n < 6; n++)
		(void)ntc_trial_remove(t, n, n % 2);
	(void)ntc_trial_remove(t, 100, false);
	(void)ntc_trial_load(t, 2);
	(void)ntc_trial_put(t, 1);
	(void)ntc_trial_remove(t, 1, false);
}

static void run_evict(struct ntc_trial *t)
{
	(void)ntc_trial_open(t);
	ntc_trial_arm(t, true);
	for (unsigned n = 12; n < 20; n++)
		(void)ntc_trial_put(t, n);
	(void)ntc_trial_remove(t, 12, false);
	ntc_trial_list(t);
}

/* Everything that is written late is written at the end. */
static void run_close(struct ntc_trial *t)
{
	static const uint8_t counters[] = { 0, 0, 0, 0 };

	(void)ntc_trial_open(t);
	ntc_trial_arm(t, true);
	for (unsigned n = 0; n < 12; n++) {
		struct ntc_digest digest = ntc_trial_digest(n);

		(void)ntc_store_hit(t->store, &digest, n); /* what it cost does not matter */
	}
	ntc_store_save_counters(t->store, ntc_view(counters, sizeof(counters)));
	ntc_trial_close(t);
	ntc_trial_arm(t, false);
	(void)ntc_trial_open(t);
}

/* A start that fails is tried again: once while what fails may last, and with nothing failing. */
static void run_start(struct ntc_trial *t)
{
	ntc_trial_arm(t, true);
	for (int i = 0; i < 2 && ntc_trial_open(t); i++)
		;
	if (t->store) {
		for (unsigned n = 0; n < 12; n++)
			if (t->ledger->state[n] == NTC_TRIAL_GONE)
				(void)ntc_trial_load(t, n);
		(void)ntc_trial_put(t, 12);
		(void)ntc_trial_remove(t, 0, true);
	}
	ntc_trial_arm(t, false);
	if (!t->store)
		(void)ntc_trial_open(t);
}

static void run_damaged_blobs(struct ntc_trial *t)
{
	run_start(t);
	ntc_trial_arm(t, true);
	(void)ntc_trial_load(t, DAMAGED);
	(void)ntc_trial_put(t, DAMAGED);
	(void)ntc_trial_put(t, ORPHAN);
}

const struct ntc_scenario ntc_scenarios[] = {
	{ .name = "put", .prepare = prepare_some, .run = run_put },
	{ .name = "import", .prepare = prepare_some, .run = run_import },
	{ .name = "remove", .prepare = prepare_some, .run = run_remove },
	{ .name = "put, relaxed", .prepare = prepare_some, .run = run_put, .relaxed = true },
	{ .name = "remove, relaxed", .prepare = prepare_some, .run = run_remove, .relaxed = true },
	{ .name = "evict", .prepare = prepare_some, .run = run_evict, .max_bytes = 200000 },
	{ .name = "close", .prepare = prepare_some, .run = run_close },
	{ .name = "first start", .prepare = prepare_nothing, .run = run_start },
	{ .name = "start", .prepare = prepare_some, .run = run_start },
	{ .name = "start after a crash", .prepare = prepare_crash, .run = run_start, .settled = settled_crash },
	{ .name = "damaged entries", .prepare = prepare_damaged_blobs, .run = run_damaged_blobs, .damaged = true },
	{ .name = "damaged index", .prepare = prepare_damaged_index, .run = run_start, .rebuilt = true },
	{ .name = "index damaged unseen", .prepare = prepare_unseen_damage, .run = run_put, .rebuilt = true },
	{ .name = "migration", .prepare = prepare_version_1, .run = run_start, .in_files = true },
};
const unsigned ntc_scenario_count = NTC_COUNT(ntc_scenarios);

/* --- one trial ---------------------------------------------------------------------------- */

static const char *copy_of(const struct ntc_scenario *s)
{
	return ntc_fault_path("prepared.%u", (unsigned)(s - ntc_scenarios));
}

static void set_options(const struct ntc_scenario *s, struct ntc_trial *t, struct ntc_ledger *ledger, const char *dir)
{
	*t = (struct ntc_trial){
		.ledger = ledger,
		.options = { .dir = dir, .max_bytes = s->max_bytes, .max_queued_bytes = 64 << 20, .loaders = 2,
			     .inline_max = NTC_INLINE_IMAGE_MAX, .relaxed = s->relaxed, .log = ntc_trial_log },
		.evicts = s->max_bytes != 0,
		.damaged = s->damaged,
		.rebuilt = s->rebuilt,
	};
}

struct preparation {
	const struct ntc_scenario *s;
	struct ntc_ledger *ledger;
};

static int prepare(void *ctx)
{
	const struct preparation *p = ctx;
	struct ntc_trial t;

	set_options(p->s, &t, p->ledger, copy_of(p->s));
	if (p->s->in_files)
		t.options.inline_max = 0;
	(void)ntc_trial_open(&t);
	p->s->prepare(&t);
	ntc_trial_close(&t);
	t.ledger->told = true;
	return 0;
}

void ntc_scenario_prepare(const struct ntc_scenario *s, struct ntc_ledger *prepared)
{
	struct preparation p = { s, prepared };

	/* Known before the first child is made, so that none has to reckon it. */
	for (unsigned n = 0; n < NTC_TRIAL_ENTRIES; n++)
		ntc_trial_know(n);
	(void)ntc_fault_run(prepare, &p); /* it may end by a signal: `told` says whether it came to its end */
	if (!prepared->told)
		ntc_fault_failed("%s cannot be prepared: %s", s->name, ntc_fault_noted());
}

void ntc_scenario_setup(const struct ntc_scenario *s, const struct ntc_ledger *prepared, struct ntc_trial *t,
			struct ntc_ledger *ledger)
{
	static char dir[512];

	snprintf(dir, sizeof(dir), "%s", ntc_fault_path("trial"));
	ntc_fault_remove(dir);
	if (access(copy_of(s), F_OK) == 0)
		ntc_fault_copy(copy_of(s), dir);
	memcpy(ledger, prepared, sizeof(*ledger));
	ledger->told = false;
	set_options(s, t, ledger, dir);
}

void ntc_scenario_run(const struct ntc_scenario *s, struct ntc_trial *t)
{
	s->run(t);
	ntc_trial_arm(t, false);
	ntc_trial_settle(t);
	/* Over: whatever was refused before is taken now. */
	for (unsigned n = 0; n < NTC_TRIAL_ENTRIES; n++)
		if (t->ledger->state[n] == NTC_TRIAL_UNSURE && !(s->settled && n >= ORPHAN))
			(void)ntc_trial_put(t, n);
	(void)ntc_trial_put(t, 50);
	(void)ntc_trial_load(t, 50);
	(void)ntc_trial_remove(t, 50, false);
	for (unsigned n = 0; n < 12; n++)
		(void)ntc_trial_load(t, n);
	ntc_trial_close(t);
	t->ledger->told = true;
}

void ntc_scenario_judge(const struct ntc_scenario *s, struct ntc_trial *t)
{
	if (s->settled)
		s->settled(t->ledger);
	ntc_trial_judge(t);
}
