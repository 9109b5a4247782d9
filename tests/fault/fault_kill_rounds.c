/*
 * Rounds of kill -9 of a real daemon, at random moments, under workers that put, remove and read through libntcache. After
 * each, the daemon is started and has to know, without help, everything that a worker was told is durable, byte for byte, and
 * nothing that a worker was told is removed. Workers compare what they read meanwhile.
 *
 * Environment: NTC_FAULT_ROUNDS (500; the short version: as many as there is time for).
 */
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/ntcache.h"
#include "proto/bytes.h"
#include "tests/fault/campaign.h"
#include "tests/fault/daemon.h"

enum { WORKERS = 8, EACH = 1 << 15, ENTRIES = WORKERS * EACH, CHANGED = 1 << 14, SAMPLE = 200, CALL_MS = 20000 };

/* What is known of an entry: a state, and above it a number that changes with it. */
enum state { NEVER, UNSURE, THERE, GONE, STATES };

struct shared {
	_Atomic uint32_t known[ENTRIES];
	uint32_t next[WORKERS];                 /* entries that the worker has begun with */
	uint32_t changed[WORKERS][CHANGED];     /* in this round */
	uint32_t changes[WORKERS];
	atomic_uint round;                      /* of which workers may work; even: none */
	atomic_uint parked;                     /* workers that wait for the next one */
	atomic_bool end;
	atomic_ulong puts, durable, removed, reads, hits, refused;
	atomic_uint wrong;
	char what[256];                         /* the first wrong thing */
};
static struct shared *shared;

static void pause_ns(uint64_t ns)
{
	const struct timespec pause = { .tv_sec = (time_t)(ns / NTC_NS_PER_S), .tv_nsec = (long)(ns % NTC_NS_PER_S) };

	nanosleep(&pause, NULL); /* random moments are what is tested; no event is waited for with it */
}

/* --- entries ------------------------------------------------------------------------------ */

static struct ntc_key *key_of(uint32_t n)
{
	struct ntc_key *key = ntc_key_new(NTC_KIND_KERNEL);

	ntc_key_add_string(key, "campaign", "kill", 4);
	ntc_key_add_uint(key, "n", n);
	if (ntc_key_seal(key))
		abort();
	return key;
}

/* Its bytes: most are small, some of them have files of their own, one in 32 is large. */
static size_t bytes_of(uint32_t n, uint8_t *out)
{
	static const size_t sizes[] = { 100, 1500, 4000, 9000, 20000, 700, 3000, 40000 };
	size_t len = n % 32 == 31 ? 300000 : sizes[n / WORKERS % 8];

	for (size_t i = 0; i < len; i += 8) {
		uint64_t word = (n + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15) ^ i * UINT64_C(0xbf58476d1ce4e5b9);

		ntc_store64(out + i, word);
	}
	return len;
}

static uint8_t scratch[300008];

static struct ntc_entry *entry_of(const struct ntc_key *key, uint32_t n)
{
	struct ntc_part_data part = { "binary", scratch, bytes_of(n, scratch) };
	struct ntc_entry *entry = NULL;

	if (ntc_entry_new(key, NULL, &part, 1, &entry))
		abort();
	return entry;
}

static bool right(const struct ntc_entry *entry, uint32_t n)
{
	size_t len = bytes_of(n, scratch);
	struct ntc_part_view part;

	return ntc_entry_find(entry, "binary", &part) == NTC_OK && part.len == len &&
	       memcmp(part.data, scratch, len) == 0;
}

static void wrong(const char *what, uint32_t n)
{
	if (atomic_fetch_add(&shared->wrong, 1) == 0)
		snprintf(shared->what, sizeof(shared->what), "%s (entry %u)", what, n);
}

/* --- a worker ----------------------------------------------------------------------------- */

struct worker {
	unsigned i;
	struct ntc_client *client;
	uint64_t state;
	uint32_t unsynced[64];  /* put, not known to be durable */
	unsigned count;
};

static uint32_t chance(struct worker *w, uint32_t below)
{
	w->state = w->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(w->state >> 33) % below;
}

static enum state state_of(uint32_t n)
{
	return atomic_load(&shared->known[n]) % STATES;
}

/* Only the entry's own worker does. */
static void set(struct worker *w, uint32_t n, enum state state)
{
	uint32_t known = atomic_load(&shared->known[n]);

	atomic_store(&shared->known[n], (known / STATES + 1) * STATES + state);
	if (shared->changes[w->i] < CHANGED)
		shared->changed[w->i][shared->changes[w->i]++] = n;
}

/* The daemon is gone: whatever this answers now says nothing. */
static bool over(unsigned round)
{
	return atomic_load(&shared->round) != round;
}

static struct ntc_client *open_client(const char *socket)
{
	struct ntc_options options = NTC_OPTIONS_INIT;
	struct ntc_client *client = NULL;

	options.socket = socket;
	options.mode = NTC_MODE_ON;
	options.flags = NTC_NO_AUTOSTART;
	if (ntc_open(&options, &client))
		abort();
	return client;
}

static void sync_puts(struct worker *w)
{
	if (w->count && ntc_sync(w->client, CALL_MS) == NTC_OK)
		for (unsigned i = 0; i < w->count; i++) {
			set(w, w->unsynced[i], THERE);
			atomic_fetch_add(&shared->durable, 1);
		}
	/* Those of a failed one stay unsure. */
	w->count = 0;
}

/* Half of them by lease, as a worker that makes what it misses; half as somebody who has it already. */
static enum ntc_err put_entry(struct worker *w, const struct ntc_key *key, uint32_t n)
{
	struct ntc_answer answer = { 0 };
	struct ntc_entry *entry;
	enum ntc_err err;

	if (chance(w, 2)) {
		err = ntc_acquire(w->client, key, NULL, &answer);
		if (answer.entry && !right(answer.entry, n))
			wrong("a worker was given wrong bytes", n);
		if (err != NTC_MAKE) {
			ntc_answer_clear(&answer);
			/* Made alone: then it is not put. */
			return err == NTC_OK ? NTC_KNOWN : NTC_E_NO_DAEMON;
		}
	}
	entry = entry_of(key, n);
	err = ntc_put(w->client, answer.lease, entry, 1000000);
	answer.lease = NULL;
	ntc_entry_unref(entry);
	ntc_answer_clear(&answer);
	return err;
}

static void put(struct worker *w, uint32_t n)
{
	struct ntc_key *key = key_of(n);
	enum ntc_err err;

	set(w, n, UNSURE);
	err = put_entry(w, key, n);
	atomic_fetch_add(&shared->puts, 1);
	if (err == NTC_DIFFERS || err == NTC_E_COLLISION || err == NTC_E_FORMAT || err == NTC_E_IO || err == NTC_E_NO_SPACE)
		wrong(ntc_err_name(err), n);
	if (err < 0)
		atomic_fetch_add(&shared->refused, 1);
	else
		w->unsynced[w->count++] = n;
	ntc_key_free(key);
	if (err < 0)
		pause_ns(NTC_NS_PER_MS);
	else if (w->count == 64 || chance(w, 6) == 0)
		sync_puts(w);
}

static void remove_one(struct worker *w, uint32_t n)
{
	struct ntc_key *key = key_of(n);
	enum ntc_err err;

	set(w, n, UNSURE);
	err = ntc_remove(w->client, key, CALL_MS);
	if (err >= 0) {
		set(w, n, GONE);
		atomic_fetch_add(&shared->removed, 1);
	}
	ntc_key_free(key);
}

/* Look an entry up and compare with what is known, if that did not change meanwhile. */
static void check(struct ntc_client *client, uint32_t n, bool must_answer)
{
	uint32_t before = atomic_load(&shared->known[n]);
	struct ntc_key *key = key_of(n);
	struct ntc_entry *entry = NULL;
	enum ntc_err err = ntc_lookup(client, key, CALL_MS, &entry);
	bool stable = atomic_load(&shared->known[n]) == before;

	if (err == NTC_OK && !right(entry, n))
		wrong("a look-up gave wrong bytes", n);
	if (err == NTC_OK && stable && before % STATES == GONE)
		wrong("a removed entry is there", n);
	if (err == NTC_OK && before == NEVER && stable)
		wrong("an entry is there that nobody put", n);
	if (err == NTC_MISS && stable && before % STATES == THERE)
		wrong("an acknowledged put is lost", n);
	if (err == NTC_E_FORMAT)
		wrong("a damaged entry", n);
	if (must_answer && err != NTC_OK && err != NTC_MISS)
		wrong(ntc_err_name(err), n);
	atomic_fetch_add(&shared->reads, 1);
	atomic_fetch_add(&shared->hits, err == NTC_OK);
	ntc_entry_unref(entry);
	ntc_key_free(key);
}

static void work(struct worker *w)
{
	uint32_t begun = shared->next[w->i], n = (begun ? chance(w, begun) : 0) * WORKERS + w->i;
	unsigned what = chance(w, 100);

	if (what < 40 && begun < EACH) {
		shared->next[w->i] = begun + 1;
		put(w, begun * WORKERS + w->i);
	} else if (what < 50 && begun && state_of(n) != THERE) {
		put(w, n);
	} else if (what < 65 && begun && state_of(n) == THERE) {
		remove_one(w, n);
	} else {
		/* Anybody's. */
		unsigned whose = chance(w, WORKERS);
		uint32_t theirs = shared->next[whose];

		check(w->client, chance(w, theirs ? theirs : 1) * WORKERS + whose, false);
	}
}

static void wait_round(unsigned done)
{
	atomic_fetch_add(&shared->parked, 1);
	while ((atomic_load(&shared->round) == done || atomic_load(&shared->round) % 2 == 0) && !atomic_load(&shared->end))
		pause_ns(NTC_NS_PER_MS / 5);
	atomic_fetch_sub(&shared->parked, 1);
}

static _Noreturn void be_worker(unsigned i, const char *socket, uint64_t seed)
{
	struct worker w = { .i = i, .state = seed };
	unsigned round = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		wait_round(round);
		if (atomic_load(&shared->end))
			_exit(0);
		round = atomic_load(&shared->round);
		w.client = open_client(socket);
		while (!over(round))
			work(&w);
		w.count = 0;
		ntc_close(w.client);
	}
}

/* --- the rounds --------------------------------------------------------------------------- */

/* Without caps. Kill -9 loses nothing in either mode: what was written is the kernel's. */
static const char *const *any_options(void)
{
	static const char *const full[] = { "--max-size", "0", "--log-level", "warning", NULL };
	static const char *const relaxed[] = { "--max-size", "0", "--log-level", "warning", "--durability", "relaxed", NULL };

	return ntc_fault_random() % 3 ? full : relaxed;
}

static void wait_parked(void)
{
	uint64_t until = ntc_clock_mono_ns() + 60 * NTC_NS_PER_S;

	while (atomic_load(&shared->parked) < WORKERS) {
		pause_ns(200000);
		if (ntc_clock_mono_ns() > until) {
			wrong("a worker hangs", 0);
			return;
		}
	}
}

static void start(struct ntc_daemon *d)
{
	/* Now and then it does not even come to serving. */
	while (ntc_fault_random() % 4 == 0) {
		ntc_daemon_spawn(d, any_options());
		pause_ns(ntc_fault_random() % (15 * NTC_NS_PER_MS));
		ntc_daemon_kill(d);
	}
	ntc_daemon_spawn(d, any_options());
	if (!ntc_daemon_ready(d))
		wrong("the daemon does not start", 0);
}

static void check_changed(const struct ntc_daemon *d)
{
	struct ntc_client *client = open_client(d->socket);

	for (unsigned i = 0; i < WORKERS; i++) {
		for (uint32_t c = 0; c < shared->changes[i]; c++)
			check(client, shared->changed[i][c], true);
		shared->changes[i] = 0;
		for (unsigned s = 0; s < SAMPLE / WORKERS && shared->next[i]; s++)
			check(client, (uint32_t)(ntc_fault_random() % shared->next[i]) * WORKERS + i, true);
	}
	ntc_close(client);
}

struct rows {
	size_t count;
};

static bool count_row(void *ctx, const struct ntc_row_view *row)
{
	(void)row;
	((struct rows *)ctx)->count++;
	return true;
}

struct counters {
	int64_t quarantined, recovering;
};

static void find_counter(void *ctx, const char *name, int64_t value)
{
	struct counters *c = ctx;

	if (strcmp(name, "quarantined") == 0)
		c->quarantined = value;
	if (strcmp(name, "recovering") == 0)
		c->recovering = value;
}

/* What goes on behind the start is over: files without rows have them. */
static struct counters settled(struct ntc_client *client)
{
	uint64_t until = ntc_clock_mono_ns() + 60 * NTC_NS_PER_S;
	struct counters c;

	do {
		c = (struct counters){ -1, -1 };
		pause_ns(NTC_NS_PER_MS);
	} while (ntc_stats(client, CALL_MS, find_counter, &c) == NTC_OK && c.recovering && ntc_clock_mono_ns() < until);
	return c;
}

/* Everything, once more. */
static void check_all(const struct ntc_daemon *d)
{
	struct ntc_client *client = open_client(d->socket);
	struct counters counters;
	unsigned long hits;
	struct rows rows = { 0 };

	(void)settled(client); /* judged below */
	atomic_store(&shared->hits, 0);
	for (unsigned i = 0; i < WORKERS; i++)
		for (uint32_t k = 0; k < shared->next[i]; k++)
			check(client, k * WORKERS + i, true);
	hits = atomic_load(&shared->hits);
	if (ntc_list(client, 0, CALL_MS, count_row, &rows) || rows.count != hits)
		wrong("what is listed is not what is there", (uint32_t)rows.count);
	counters = settled(client);
	if (counters.quarantined != 0 || counters.recovering != 0)
		wrong("entries were set aside, or recovery does not end", (uint32_t)counters.quarantined);
	ntc_close(client);
}

/* Told once a round: whatever was found wrong in it. */
static void count_round(unsigned n, const struct ntc_daemon *d)
{
	unsigned found = atomic_exchange(&shared->wrong, 0);

	if (!found) {
		ntc_fault_passed();
		return;
	}
	ntc_fault_failed("round %u: %u times, first: %s", n, found, shared->what);
	if (ntc_fault_failures() < 4)
		ntc_daemon_show(d);
}

int main(void)
{
	const char *wanted = getenv("NTC_FAULT_ROUNDS");
	unsigned rounds = wanted ? (unsigned)strtoul(wanted, NULL, 10) : 500, n;
	pid_t workers[WORKERS];
	struct ntc_daemon d;

	ntc_fault_begin("kill_rounds", false);
	ntc_daemon_init(&d, "killed");
	shared = ntc_fault_shared(sizeof(*shared));
	fflush(NULL);
	for (unsigned i = 0; i < WORKERS; i++) {
		uint64_t seed = ntc_fault_random();

		workers[i] = fork();
		if (workers[i] == 0)
			be_worker(i, d.socket, seed);
	}
	start(&d);
	for (n = 1; n <= rounds && ntc_fault_goes_on() && ntc_fault_failures() < 10; n++) {
		wait_parked();
		atomic_fetch_add(&shared->round, 1); /* odd: they work */
		pause_ns(ntc_fault_random() % (200 * NTC_NS_PER_MS));
		/* One in eight is killed while it ends in good order. */
		if (ntc_fault_random() % 8 == 0) {
			kill(d.pid, SIGTERM);
			pause_ns(ntc_fault_random() % (6 * NTC_NS_PER_MS));
		}
		ntc_daemon_kill(&d);
		atomic_fetch_add(&shared->round, 1);
		wait_parked();
		start(&d);
		if (d.pid)
			check_changed(&d);
		count_round(n, &d);
	}
	if (d.pid)
		check_all(&d);
	if (ntc_daemon_stop(&d))
		wrong("the daemon does not stop", 0);
	count_round(n, &d);
	atomic_store(&shared->end, true);
	for (unsigned i = 0; i < WORKERS; i++)
		(void)waitpid(workers[i], NULL, 0); /* they end, or are killed with this */
	ntc_fault_say("%u rounds: %lu puts, %lu told durable, %lu removals answered, %lu look-ups, %lu calls refused", n - 1,
		      atomic_load(&shared->puts), atomic_load(&shared->durable), atomic_load(&shared->removed),
		      atomic_load(&shared->reads), atomic_load(&shared->refused));
	return ntc_fault_end();
}
