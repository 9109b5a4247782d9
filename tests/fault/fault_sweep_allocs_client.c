/*
 * For every n, the n-th allocation of libntcache fails in a worker that makes one call of each kind of a real daemon, once or
 * with all after it. Each call says NTC_E_NO_MEMORY, or what means that a worker goes on alone; nothing leaks, and when it is over
 * the same calls work, with the same client and the same daemon.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/ntcache.h"
#include "tests/fault/allocations.h"
#include "tests/fault/campaign.h"
#include "tests/fault/daemon.h"

enum { CALL_MS = 20000, LARGE = 300000, PARTS_MAX = 3 };

struct attempt {
	unsigned n;             /* 0: only count */
	bool lasting;
	uint64_t number;        /* of its first key: no two attempts share one */
};

static struct ntc_allocations *allocations;
static struct ntc_daemon daemon_;
static bool strict;             /* nothing fails any more */
static bool was_fired;          /* before the call under way */

/* --- calls and their outcomes ------------------------------------------------------------- */

/* Before each call. */
static void begin(void)
{
	was_fired = atomic_load(&allocations->fired);
}

/* Whether a call came out as wanted; if not, an allocation failed in it, and it says so. */
static bool came(const char *call, enum ntc_err err, enum ntc_err wanted)
{
	bool hit = atomic_load(&allocations->fired) && (!was_fired || atomic_load(&allocations->lasting));

	if (err == wanted)
		return true;
	ntc_fault_expect(!strict && hit, "%s: %s: %s", call, ntc_err_name(err), ntc_last_error());
	/* Alone: a worker makes it by itself, whatever the reason is. */
	ntc_fault_expect(err == NTC_E_NO_MEMORY || err == NTC_ALONE, "%s without memory: %s: %s", call, ntc_err_name(err),
			 ntc_last_error());
	return false;
}

/* Calls on a lease: without memory the connection may have been given up, and the lease with it. */
static bool came_of_lease(const char *call, enum ntc_err err)
{
	if (err == NTC_E_LEASE && !strict && atomic_load(&allocations->fired))
		return false;
	return came(call, err, NTC_OK);
}

#define CALL(call, wanted) (begin(), came(#call, call, wanted))
#define CALL_OF_LEASE(call) (begin(), came_of_lease(#call, call))

/* When a connection was given up, nobody knows of the puts over it, and the next sync says so, once. */
static bool sync_puts(struct ntc_client *client)
{
	static bool told;
	enum ntc_err err;

	begin();
	err = ntc_sync(client, CALL_MS);
	if (err != NTC_E_NO_DAEMON || !atomic_load(&allocations->fired) || (told && strict))
		return came("ntc_sync", err, NTC_OK);
	told = strict;
	return false;
}

/* --- keys and entries --------------------------------------------------------------------- */

static struct ntc_key *key_of(uint64_t number)
{
	struct ntc_key *key;

	begin();
	key = ntc_key_new(NTC_KIND_KERNEL);
	ntc_key_add_string(key, "application", "__global__ void f();", 20);
	ntc_key_add_uint(key, "number", number);
	ntc_key_add_sha256_of(key, "headers", "abc", 3);
	ntc_key_list_begin(key, "options");
	ntc_key_add_string(key, NULL, "-O3", 3);
	ntc_key_add_bool(key, NULL, true);
	ntc_key_list_end(key);
	ntc_key_add_float(key, "scale", 0.5);
	if (came("ntc_key_seal", ntc_key_seal(key), NTC_OK))
		return key;
	/* Built again, it can be. */
	ntc_key_free(key);
	return NULL;
}

static size_t size_of(uint64_t number)
{
	return number % 2 ? LARGE : 1000;
}

static void fill(uint8_t *out, uint64_t number)
{
	for (size_t i = 0; i < size_of(number); i++)
		out[i] = (uint8_t)(number * 31 + i * 7 + (i >> 8));
}

static enum ntc_err make_entry(const struct ntc_key *key, uint64_t number, struct ntc_entry **entry)
{
	static uint8_t bytes[LARGE];
	struct ntc_part_data parts[PARTS_MAX] = { { "log", "made", 4 }, { "binary", bytes, size_of(number) }, { "a", "", 0 } };

	fill(bytes, number);
	return ntc_entry_new(key, NULL, parts, PARTS_MAX, entry);
}

static void expect_right(const struct ntc_entry *entry, uint64_t number)
{
	static uint8_t bytes[LARGE];
	struct ntc_part_view part;

	fill(bytes, number);
	ntc_fault_expect(ntc_entry_find(entry, "binary", &part) == NTC_OK && part.len == size_of(number) &&
				 memcmp(part.data, bytes, part.len) == 0,
			 "entry %llu is wrong", (unsigned long long)number);
}

/* --- the script --------------------------------------------------------------------------- */

/* Make one entry, by a lease, and find it. */
static void make_one(struct ntc_client *client, uint64_t number)
{
	struct ntc_key *key = key_of(number);
	struct ntc_entry *entry = NULL, *found = NULL;
	struct ntc_answer answer = { 0 };
	bool put = false;
	char *path;

	if (!key)
		return;
	(void)CALL(ntc_lookup(client, key, CALL_MS, &found), NTC_MISS);
	if (CALL(make_entry(key, number, &entry), NTC_OK)) {
		if (CALL(ntc_acquire(client, key, NULL, &answer), NTC_MAKE)) {
			(void)CALL_OF_LEASE(ntc_slot(answer.lease, CALL_MS));
			(void)CALL_OF_LEASE(ntc_extend(answer.lease, 1000));
			put = CALL_OF_LEASE(ntc_put(client, answer.lease, entry, 1000));
			answer.lease = NULL;
		}
		ntc_answer_clear(&answer);
		if (CALL(ntc_entry_part_path(entry, "log", &path), NTC_OK))
			free(path);
	}
	if (put)
		(void)sync_puts(client); /* judges by itself */
	if (put && CALL(ntc_lookup(client, key, CALL_MS, &found), NTC_OK)) {
		expect_right(found, number);
		ntc_entry_unref(found);
	}
	ntc_entry_unref(entry);
	ntc_key_free(key);
}

static enum ntc_err make(void *ctx, const struct ntc_make *m, struct ntc_entry **entry, char **log)
{
	(void)log;
	return make_entry(m->key, *(const uint64_t *)ctx, entry);
}

static void fetch_one(struct ntc_client *client, uint64_t number)
{
	struct ntc_key *key = key_of(number);
	struct ntc_entry *entry = NULL;

	if (key && CALL(ntc_fetch(client, key, NULL, make, &number, &entry, NULL), NTC_OK))
		expect_right(entry, number);
	ntc_entry_unref(entry);
	ntc_key_free(key);
}

static void fail_one(struct ntc_client *client, uint64_t number)
{
	struct ntc_key *key = key_of(number);
	struct ntc_answer answer = { 0 };

	if (key && CALL(ntc_acquire(client, key, NULL, &answer), NTC_MAKE)) {
		bool failed = CALL_OF_LEASE(ntc_fail(answer.lease, NTC_DETERMINISTIC, "error: it cannot be", 19));

		answer.lease = NULL;
		ntc_answer_clear(&answer);
		/* A failure that did not arrive leaves the lease to its time: not asked for again. */
		if (failed)
			(void)CALL(ntc_acquire(client, key, NULL, &answer), NTC_FAILED);
	}
	ntc_answer_clear(&answer);
	ntc_key_free(key);
}

struct many {
	struct ntc_client *client;
	struct ntc_key *keys[3];
	uint64_t number;
	bool put[3];
};

/* Each is answered with the task to make it. */
static bool on_answer(void *ctx, size_t i, struct ntc_answer *answer)
{
	struct many *many = ctx;
	struct ntc_entry *entry = NULL;
	bool before = was_fired;

	if (answer->err == NTC_OK)
		expect_right(answer->entry, many->number + i);
	else if (came("one of ntc_acquire_many", answer->err, NTC_MAKE) &&
		 CALL(make_entry(many->keys[i], many->number + i, &entry), NTC_OK)) {
		many->put[i] = CALL_OF_LEASE(ntc_put(many->client, answer->lease, entry, 1));
		answer->lease = NULL;
		ntc_entry_unref(entry);
	}
	was_fired = before;
	return true;
}

static void make_many(struct ntc_client *client, uint64_t number)
{
	struct ntc_acquire_options options = NTC_ACQUIRE_OPTIONS_INIT;
	struct many many = { .client = client, .number = number };
	bool built = true;

	options.width = 2;
	for (unsigned i = 0; i < 3; i++) {
		many.keys[i] = key_of(number + i);
		built = built && many.keys[i];
	}
	if (built)
		(void)CALL(ntc_acquire_many(client, (const struct ntc_key *const *)many.keys, 3, &options, on_answer, &many),
			   NTC_OK);
	for (unsigned i = 0; i < 3; i++) {
		struct ntc_entry *found = NULL;

		if (many.put[i] && CALL(ntc_lookup(client, many.keys[i], CALL_MS, &found), NTC_OK))
			expect_right(found, number + i);
		ntc_entry_unref(found);
		ntc_key_free(many.keys[i]);
	}
}

static bool on_row(void *ctx, const struct ntc_row_view *row)
{
	(void)row;
	return ++*(unsigned *)ctx < 10;
}

static void on_counter(void *ctx, const char *name, int64_t value)
{
	(void)name;
	(void)value;
	++*(unsigned *)ctx;
}

/* What ntcache-ctl asks. */
static void look_after(struct ntc_client *client, uint64_t number)
{
	struct ntc_key *key = key_of(number), *copy = NULL;
	struct ntc_entry *entry = NULL, *shown = NULL, *gone = NULL;
	struct ntc_row_view row;
	struct ntc_digest digest;
	unsigned rows = 0, counters = 0;
	const void *bytes;
	size_t len;

	(void)CALL(ntc_ping(client, CALL_MS, NULL), NTC_OK);
	(void)CALL(ntc_stats(client, CALL_MS, on_counter, &counters), NTC_OK);
	if (!key)
		return;
	digest = ntc_key_digest_of(key);
	bytes = ntc_key_bytes(key, &len);
	if (CALL(ntc_key_from_bytes(bytes, len, &copy), NTC_OK))
		ntc_key_free(copy);
	if (CALL(make_entry(key, number, &entry), NTC_OK) && CALL(ntc_put(client, NULL, entry, 1), NTC_OK) &&
	    sync_puts(client)) {
		(void)CALL(ntc_list(client, 0, CALL_MS, on_row, &rows), rows < 10 ? NTC_OK : NTC_MISS);
		if (CALL(ntc_show(client, &digest, CALL_MS, &row, &shown), NTC_OK))
			expect_right(shown, number);
		if (CALL(ntc_remove(client, key, CALL_MS), NTC_OK))
			(void)CALL(ntc_lookup(client, key, CALL_MS, &gone), NTC_MISS);
	}
	ntc_entry_unref(shown);
	ntc_entry_unref(entry);
	ntc_key_free(key);
}

static void script(struct ntc_client *client, uint64_t number)
{
	make_one(client, number);
	make_one(client, number + 1); /* a large one: by a memfd, and read from its file */
	fetch_one(client, number + 2);
	fail_one(client, number + 3);
	make_many(client, number + 4);
	look_after(client, number + 8);
	ntc_report(client);
}

static enum ntc_err open_client(struct ntc_client **client)
{
	struct ntc_options options = NTC_OPTIONS_INIT;

	options.socket = daemon_.socket;
	options.mode = NTC_MODE_ON;
	options.flags = NTC_NO_AUTOSTART;
	options.name = "sweep";
	return ntc_open(&options, client);
}

static int run(void *ctx)
{
	const struct attempt *a = ctx;
	struct ntc_client *client = NULL;

	ntc_allocations_take(allocations);
	ntc_allocations_arm(allocations, a->n, a->lasting);
	if (CALL(open_client(&client), NTC_OK))
		script(client, a->number);
	ntc_allocations_disarm(allocations);
	strict = true;
	if (!client)
		ntc_fault_expect(open_client(&client) == NTC_OK, "no client afterwards: %s", ntc_last_error());
	script(client, a->number + 20);
	ntc_close(client);
	ntc_allocations_expect_none();
	return 0;
}

static uint64_t attempts;

static void attempt(unsigned n, bool lasting)
{
	const char *way = n == 0 ? "none fails" : lasting ? "fails with all after it" : "fails";
	struct attempt a = { n, lasting, ++attempts * 100 };

	if (n && !ntc_fault_chosen("allocation %u, %s", n, way))
		return;
	memset(allocations, 0, sizeof(*allocations));
	(void)ntc_fault_try(run, &a, "allocation %u, %s", n, way); /* it counts */
}

int main(void)
{
	unsigned count, done = 0;
	uint32_t *order;

	ntc_fault_begin("sweep_allocs_client", true);
	allocations = ntc_fault_shared(sizeof(*allocations));
	if (setenv("NTCACHE_PARTS", ntc_fault_path("parts"), 1) != 0)
		return EXIT_FAILURE;
	ntc_daemon_init(&daemon_, "daemon");
	ntc_daemon_spawn(&daemon_, NULL);
	if (!ntc_daemon_ready(&daemon_)) {
		ntc_fault_failed("the daemon does not start");
		ntc_daemon_show(&daemon_);
		return ntc_fault_end();
	}
	attempt(0, false);
	count = atomic_load(&allocations->count);
	order = ntc_fault_order(2 * count);
	for (uint32_t i = 0; i < 2 * count && ntc_fault_goes_on(); i++, done++)
		attempt(order[i] / 2 + 1, order[i] % 2);
	free(order);
	ntc_fault_say("%u allocations, %u trials", count, done);
	if (ntc_daemon_stop(&daemon_)) {
		ntc_fault_failed("the daemon did not live through it");
		ntc_daemon_show(&daemon_);
	}
	return ntc_fault_end();
}
