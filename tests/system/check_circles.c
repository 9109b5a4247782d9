/*
 * Who waits for whom: circles, makes inside makes, and holders of slots that do not move. Nobody may hang for
 * longer than a limit that has a name. Lease times are left at their 60 s, so that a circle which only a
 * lease's end would break fails the test.
 */
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "tests/support/harness.h"
#include "tests/support/making.h"

#define PROCESSES 2
#define THREADS 2       /* of each process */
#define TASKS (PROCESSES * THREADS)
#define ROUNDS 20

struct shared {
	int held[TASKS];        /* events: everybody holds its own key */
	uint32_t circular;      /* answers without a lease */
};

struct thread {
	struct shared *shared;
	struct ntc_client *client;
	unsigned task;
	int result;
};

static const uint64_t round_keys = 1000;

static int in_circle_round(struct thread *t, unsigned round)
{
	uint64_t own = round * round_keys + t->task, next = round * round_keys + (t->task + 1) % TASKS;
	struct ntc_answer mine = { 0 }, other = { 0 };
	struct ntc_key *own_key = making_key(own), *next_key = making_key(next);
	struct ntc_entry *entry = making_entry(own_key, own);
	enum ntc_err err;

	NTC_CHILD_CHECK(ntc_acquire(t->client, own_key, NULL, &mine) == NTC_MAKE);
	/* All hold theirs before anybody asks for its neighbour's. */
	for (unsigned i = 0; i < TASKS; i++)
		ntc_test_signal(t->shared->held[i]);
	for (unsigned i = 0; i < TASKS; i++)
		NTC_CHILD_CHECK(ntc_test_await(t->shared->held[t->task], ntc_test_ms(10000)));
	err = ntc_acquire(t->client, next_key, NULL, &other);
	if (err == NTC_ALONE) {
		__atomic_add_fetch(&t->shared->circular, 1, __ATOMIC_RELAXED);
	} else {
		NTC_CHILD_CHECK(err == NTC_OK);
		NTC_CHILD_CHECK(making_right(other.entry, next));
	}
	NTC_CHILD_CHECK(ntc_put(t->client, mine.lease, entry, 1) == NTC_OK);
	mine.lease = NULL;
	ntc_answer_clear(&mine);
	ntc_answer_clear(&other);
	ntc_entry_unref(entry);
	ntc_key_free(own_key);
	ntc_key_free(next_key);
	return 0;
}

static void *in_circle(void *arg)
{
	struct thread *t = arg;

	for (unsigned round = 0; round < ROUNDS && !t->result; round++)
		t->result = in_circle_round(t, round);
	return NULL;
}

/* A process of the circle: one client, a task for each thread. */
static int circle_process(void *ctx, unsigned i)
{
	struct thread threads[THREADS];
	pthread_t ids[THREADS];
	struct ntc_client *client = making_client(NULL);
	int result = 0;

	for (unsigned t = 0; t < THREADS; t++) {
		/* Neighbours in the circle are in different processes. */
		threads[t] = (struct thread){ ctx, client, t * PROCESSES + i, 0 };
		NTC_CHILD_CHECK(pthread_create(&ids[t], NULL, in_circle, &threads[t]) == 0);
	}
	for (unsigned t = 0; t < THREADS; t++) {
		pthread_join(ids[t], NULL);
		result |= threads[t].result;
	}
	ntc_close(client);
	return result;
}

START_TEST(test_circle)
{
	struct ntc_test_daemon d = { 0 };
	struct shared *shared = ntc_test_shared(sizeof(*shared));
	struct ntc_client *client;

	for (unsigned i = 0; i < TASKS; i++)
		shared->held[i] = ntc_test_event();
	ntc_test_start(&d, NULL);
	ntc_test_children(PROCESSES, circle_process, shared, ntc_test_ms(20000), NULL);
	/* One of each circle goes on alone, and no more than needed. */
	ck_assert_uint_eq(shared->circular, ROUNDS);
	client = making_client(NULL);
	ck_assert_int_eq(making_counter(client, "circles"), ROUNDS);
	ck_assert_int_eq(making_counter(client, "leases_expired"), 0);
	ntc_close(client);
}
END_TEST

/* --- makes inside makes, with one slot ---------------------------------------------------- */

#define DEPTH 4
#define NESTED_WORKERS 4

struct nest {
	struct ntc_client *client;
	uint64_t number;
	unsigned depth;
	bool without_slot;
};

/* Making an entry needs the next one first, which is made in the same way. */
static enum ntc_err make_nested(void *ctx, const struct ntc_make *m, struct ntc_entry **entry, char **log)
{
	struct nest *nest = ctx;

	(void)log;
	if (m->lease && !m->has_slot)
		nest->without_slot = true;
	if (nest->depth > 1) {
		struct nest inner = { nest->client, nest->number + 1, nest->depth - 1, false };
		struct ntc_key *key = making_key(inner.number);
		struct ntc_entry *needed = NULL;
		enum ntc_err err = ntc_fetch(nest->client, key, NULL, make_nested, &inner, &needed, NULL);

		ntc_key_free(key);
		ntc_entry_unref(needed);
		nest->without_slot |= inner.without_slot;
		if (err)
			return err;
	}
	*entry = making_entry(m->key, nest->number);
	return *entry ? NTC_OK : NTC_E_NO_MEMORY;
}

/* Each worker its own chain of keys: all compete for the one slot, none for a key. */
static int nested_worker(void *ctx, unsigned i)
{
	struct ntc_client *client = making_client(NULL);

	(void)ctx;
	for (unsigned round = 0; round < 10; round++) {
		struct nest nest = { client, (i * 100 + round) * 100, DEPTH, false };
		struct ntc_key *key = making_key(nest.number);
		struct ntc_entry *entry = NULL;

		NTC_CHILD_CHECK(ntc_fetch(client, key, NULL, make_nested, &nest, &entry, NULL) == NTC_OK);
		NTC_CHILD_CHECK(making_right(entry, nest.number));
		NTC_CHILD_CHECK(!nest.without_slot);
		ntc_entry_unref(entry);
		ntc_key_free(key);
	}
	ntc_close(client);
	return 0;
}

START_TEST(test_nested)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_client *client;

	ntc_test_start(&d, "--max-compiles", "1", NULL);
	/* Much shorter than one wait for a slot (10 s) would be. */
	ntc_test_children(NESTED_WORKERS, nested_worker, NULL, ntc_test_ms(8000), NULL);
	client = making_client(NULL);
	ck_assert_int_eq(making_counter(client, "slots_over"), 0);
	ck_assert_int_eq(making_counter(client, "slots_busy"), 0);
	ck_assert_int_eq(making_counter(client, "makes"), NESTED_WORKERS * 10 * DEPTH);
	ntc_close(client);
}
END_TEST

/* --- stopped holders of all slots --------------------------------------------------------- */

#define SLOT_WAIT_MS 700

static int stop_with_slot(void *ctx, unsigned i)
{
	struct ntc_answer answer = { 0 };
	const int *holding = ctx;

	NTC_CHILD_CHECK(ntc_acquire(making_client(NULL), making_key(i), NULL, &answer) == NTC_MAKE);
	NTC_CHILD_CHECK(ntc_slot(answer.lease, NTC_NO_TIMEOUT) == NTC_OK);
	ntc_test_signal(*holding);
	raise(SIGSTOP);
	return 0;
}

START_TEST(test_slots_held)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_test_group holders = { .barrier = -1 };
	struct ntc_answer answer = { 0 };
	struct ntc_client *client;
	struct ntc_entry *entry;
	struct ntc_key *key;
	int holding = ntc_test_event(), codes[2];
	uint64_t start_ns, waited_ms;

	ntc_test_start(&d, "--max-compiles", "2", "--slot-wait", "0.7", NULL);
	ntc_test_spawn(&holders, 2, stop_with_slot, &holding);
	ntc_test_release(&holders);
	ntc_test_await(holding, ntc_test_ms(5000));
	ntc_test_await(holding, ntc_test_ms(5000));

	client = making_client(NULL);
	ck_assert_int_eq(making_counter(client, "slots_busy"), 2);
	key = making_key(7);
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_MAKE);
	start_ns = ntc_clock_mono_ns();
	ck_assert_int_eq(ntc_slot(answer.lease, NTC_NO_TIMEOUT), NTC_ALONE);
	waited_ms = (ntc_clock_mono_ns() - start_ns) / NTC_NS_PER_MS;
	ck_assert_uint_ge(waited_ms, SLOT_WAIT_MS - 50);
	ck_assert_uint_le(waited_ms, (uint64_t)ntc_test_ms(SLOT_WAIT_MS + 500));
	/* The lease is still ours: the work goes on without a slot. */
	entry = making_entry(key, 7);
	ck_assert_int_eq(ntc_put(client, answer.lease, entry, 1), NTC_OK);
	answer.lease = NULL;
	ntc_entry_unref(entry);
	ntc_answer_clear(&answer);
	ntc_key_free(key);
	ck_assert_int_eq(making_counter(client, "slots_over"), 1);

	/* Dead holders hold nothing. */
	for (unsigned i = 0; i < 2; i++)
		kill(holders.pids[i], SIGKILL);
	ntc_test_collect(&holders, 5000, codes);
	key = making_key(8);
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_MAKE);
	ck_assert_int_eq(ntc_slot(answer.lease, NTC_NO_TIMEOUT), NTC_OK);
	ntc_release(answer.lease);
	answer.lease = NULL;
	ntc_answer_clear(&answer);
	ntc_key_free(key);
	ntc_close(client);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("circles");
	TCase *tc = tcase_create("circles");

	tcase_add_checked_fixture(tc, ntc_test_setup, ntc_test_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_circle);
	tcase_add_test(tc, test_nested);
	tcase_add_test(tc, test_slots_held);
	suite_add_tcase(suite, tc);
	return ntc_test_run(suite);
}
