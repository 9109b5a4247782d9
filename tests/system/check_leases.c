/*
 * What happens to leases when processes die, stop, or lose their daemon.
 */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/harness.h"
#include "tests/support/making.h"

#define HANDOVER_MS 100 /* from a holder's death to the next holder's lease */

struct shared {
	pid_t forked;           /* child of the holder */
	uint64_t got_ns;        /* when the waiter had its lease */
	uint64_t waited_ns;     /* how long it waited by its own account */
	int held, resumed;      /* events */
};
static struct shared *shared;

static void setup(void)
{
	ntc_test_setup();
	shared = ntc_test_shared(sizeof(*shared));
	shared->held = ntc_test_event();
	shared->resumed = ntc_test_event();
}

static bool somebody_waits(void *ctx)
{
	return making_counter(ctx, "waits") > 0;
}

/* Take the lease of key 1, say so, and never end. */
static int hold(void *ctx, unsigned i)
{
	struct ntc_answer answer = { 0 };
	struct ntc_key *key = making_key(1);
	const bool *fork_too = ctx;

	(void)i;
	NTC_CHILD_CHECK(ntc_acquire(making_client(NULL), key, NULL, &answer) == NTC_MAKE);
	if (*fork_too) {
		shared->forked = fork();
		NTC_CHILD_CHECK(shared->forked >= 0);
	}
	if (!*fork_too || shared->forked != 0)
		ntc_test_signal(shared->held);
	for (;;)
		pause();
}

/* Ask for key 1, wait until it is ours, make it. */
static int wait_and_make(void *ctx, unsigned i)
{
	struct ntc_answer answer = { 0 };
	struct ntc_client *client = making_client(NULL);
	struct ntc_key *key = making_key(1);
	struct ntc_entry *entry = making_entry(key, 1);

	(void)ctx;
	(void)i;
	NTC_CHILD_CHECK(ntc_acquire(client, key, NULL, &answer) == NTC_MAKE);
	shared->got_ns = ntc_clock_mono_ns();
	shared->waited_ns = answer.waited_ns;
	NTC_CHILD_CHECK(ntc_put(client, answer.lease, entry, 1) == NTC_OK);
	answer.lease = NULL;
	ntc_answer_clear(&answer);
	ntc_entry_unref(entry);
	ntc_key_free(key);
	ntc_close(client);
	return 0;
}

static void kill_holder(bool fork_too)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_test_group holder = { .barrier = -1 }, waiter = { .barrier = -1 };
	struct ntc_client *client;
	uint64_t killed_ns;

	ntc_test_start(&d, NULL);
	client = making_client(NULL);
	ntc_test_spawn(&holder, 1, hold, &fork_too);
	ntc_test_release(&holder);
	ntc_test_await(shared->held, ntc_test_ms(5000));
	ntc_test_spawn(&waiter, 1, wait_and_make, NULL);
	ntc_test_release(&waiter);
	ck_assert(ntc_test_until(ntc_test_ms(5000), somebody_waits, client));

	killed_ns = ntc_clock_mono_ns();
	kill(holder.pids[0], SIGKILL);
	ntc_test_collect(&waiter, ntc_test_ms(5000), NULL);
	ck_assert_uint_ge(shared->got_ns, killed_ns);
	ck_assert_uint_le((shared->got_ns - killed_ns) / NTC_NS_PER_MS, (uint64_t)ntc_test_ms(HANDOVER_MS));
	ck_assert_int_eq(ntc_test_reap(holder.pids[0], 5000), 128 + SIGKILL);
	if (fork_too)
		ck_assert_msg(kill(shared->forked, 0) == 0, "the forked child should have lived all the while");
	ck_assert_int_eq(making_counter(client, "leases_lost"), 1);
	ck_assert_int_eq(making_counter(client, "leases"), 2);
	ntc_close(client);
}

START_TEST(test_holder_killed)
{
	kill_holder(false);
}
END_TEST

/* The forked child keeps the connection open: only the process's end tells. */
START_TEST(test_holder_with_child_killed)
{
	kill_holder(true);
}
END_TEST

/* --- a stopped holder --------------------------------------------------------------------- */

static int hold_stopped(void *ctx, unsigned i)
{
	struct ntc_answer answer = { 0 };
	struct ntc_client *client = making_client(NULL);
	struct ntc_key *key = making_key(1);
	struct ntc_entry *entry = making_entry(key, 1);

	(void)ctx;
	(void)i;
	NTC_CHILD_CHECK(ntc_acquire(client, key, NULL, &answer) == NTC_MAKE);
	ntc_test_signal(shared->held);
	raise(SIGSTOP);
	/* Late: the lease is somebody else's, what was made is known. */
	NTC_CHILD_CHECK(ntc_test_await(shared->resumed, ntc_test_ms(5000)));
	NTC_CHILD_CHECK(ntc_extend(answer.lease, 1000) == NTC_E_LEASE);
	NTC_CHILD_CHECK(ntc_put(client, answer.lease, entry, 1) == NTC_KNOWN);
	answer.lease = NULL;
	ntc_answer_clear(&answer);
	ntc_entry_unref(entry);
	ntc_key_free(key);
	ntc_close(client);
	return 0;
}

START_TEST(test_holder_stopped)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_test_group holder = { .barrier = -1 }, waiter = { .barrier = -1 };
	struct ntc_client *client;
	uint64_t start_ns;

	ntc_test_start(&d, "--lease-time", "0.5", NULL);
	client = making_client(NULL);
	ntc_test_spawn(&holder, 1, hold_stopped, NULL);
	start_ns = ntc_clock_mono_ns();
	ntc_test_release(&holder);
	ntc_test_await(shared->held, ntc_test_ms(5000));
	ntc_test_spawn(&waiter, 1, wait_and_make, NULL);
	ntc_test_release(&waiter);
	ntc_test_collect(&waiter, ntc_test_ms(10000), NULL);
	/* Not before its time, and not long after. */
	ck_assert_uint_ge((shared->got_ns - start_ns) / NTC_NS_PER_MS, 500);
	ck_assert_uint_le((shared->got_ns - start_ns) / NTC_NS_PER_MS, (uint64_t)ntc_test_ms(1500));
	ck_assert_int_eq(making_counter(client, "leases_expired"), 1);

	kill(holder.pids[0], SIGCONT);
	ntc_test_signal(shared->resumed);
	ntc_test_collect(&holder, ntc_test_ms(10000), NULL);
	ntc_close(client);
}
END_TEST

/* --- a killed daemon ---------------------------------------------------------------------- */

#define WORKERS 8
#define KEYS 120        /* of a round */
#define ROUNDS 4

struct work {
	uint64_t seed;
	uint64_t first;                         /* number of the round's first key */
	int made;                               /* event: something was made */
	uint32_t acknowledged[ROUNDS * KEYS];   /* it is durable: the daemon said so */
};

/* Stands for a compile; long enough that what is left outlasts a client's pause between two looks for a daemon (1 s). */
static void take_time(void)
{
	struct timespec compile = { .tv_nsec = 15 * 1000000 };

	nanosleep(&compile, NULL);
}

/* Get one entry as a worker does. *stored: it was put, and the daemon took it. */
static int get_one(struct ntc_client *client, uint64_t number, int made, bool *stored)
{
	struct ntc_answer answer = { 0 };
	struct ntc_key *key = making_key(number);
	enum ntc_err err = ntc_acquire(client, key, NULL, &answer);

	if (err == NTC_MAKE || err == NTC_ALONE) {
		if (err == NTC_MAKE)
			(void)ntc_slot(answer.lease, NTC_NO_TIMEOUT); /* with or without, it is made */
		take_time();
		answer.entry = making_entry(key, number);
		*stored = ntc_put(client, answer.lease, answer.entry, 15 * NTC_NS_PER_MS) == NTC_OK;
		answer.lease = NULL;
		ntc_test_signal(made);
	} else {
		NTC_CHILD_CHECK(err == NTC_OK);
	}
	NTC_CHILD_CHECK(making_right(answer.entry, number));
	ntc_answer_clear(&answer);
	ntc_key_free(key);
	return 0;
}

/* One worker: all keys of the round in its own order, noting what is acknowledged. */
static int work_through(void *ctx, unsigned i)
{
	struct work *work = ctx;
	uint64_t state = work->seed + work->first + i, stored[4];
	struct ntc_client *client = making_client(NULL);
	uint32_t order[KEYS], count = 0;

	for (uint32_t k = 0; k < KEYS; k++) {
		uint32_t other = (uint32_t)(ntc_test_random(&state) % (k + 1));

		order[k] = order[other];
		order[other] = k;
	}
	for (uint32_t k = 0; k < KEYS; k++) {
		uint64_t number = work->first + order[k];
		bool put = false;

		if (get_one(client, number, work->made, &put))
			return 1;
		if (put)
			stored[count++] = number;
		if (count == 4 || k == KEYS - 1) {
			if (ntc_sync(client, ntc_test_ms(20000)) == NTC_OK)
				while (count)
					work->acknowledged[stored[--count]] = 1;
			count = 0;
		}
	}
	ntc_close(client);
	return 0;
}

START_TEST(test_daemon_killed)
{
	struct ntc_test_daemon d = { 0 };
	struct work *work = ntc_test_shared(sizeof(*work));
	uint32_t acknowledged = 0, served = 0;
	struct ntc_client *client;

	work->seed = ntc_test_seed();
	ntc_test_start(&d, NULL);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct ntc_test_group workers = { .barrier = -1 };

		work->first = (uint64_t)round * KEYS;
		work->made = ntc_test_event();
		ntc_test_spawn(&workers, WORKERS, work_through, work);
		ntc_test_release(&workers);
		/* At another point of the work each time. */
		for (uint32_t n = 0; n < KEYS * (round + 1) / (ROUNDS + 1); n++)
			ntc_test_await(work->made, ntc_test_ms(20000));
		ntc_test_kill(&d);
		ntc_test_start(&d, NULL);
		ntc_test_collect(&workers, ntc_test_ms(60000), NULL);
		client = making_client(NULL);
		served += making_counter(client, "leases") > 0;
		ntc_close(client);
	}
	ck_assert_msg(served > 0, "no worker ever found a restarted daemon");

	/* What it acknowledged before or after a kill, by its own word: SHOW asks the index, not the files. */
	ntc_test_kill(&d);
	ntc_test_start(&d, NULL);
	client = making_client(NULL);
	for (uint32_t k = 0; k < ROUNDS * KEYS; k++) {
		struct ntc_key *key = making_key(k);
		struct ntc_digest digest = ntc_key_digest_of(key);
		struct ntc_entry *entry = NULL;
		enum ntc_err err = ntc_show(client, &digest, 10000, NULL, &entry);

		acknowledged += work->acknowledged[k];
		if (work->acknowledged[k])
			ck_assert_msg(err == NTC_OK, "key %u was acknowledged and is gone: %s", k, ntc_err_name(err));
		if (err == NTC_OK)
			ck_assert_msg(making_right(entry, k), "key %u has other bytes", k);
		ntc_entry_unref(entry);
		ntc_key_free(key);
	}
	ck_assert_uint_gt(acknowledged, ROUNDS * KEYS / 10);
	fprintf(stderr, "%u of %u keys acknowledged, %u of %u restarted daemons gave leases\n", acknowledged,
		ROUNDS * KEYS, served, ROUNDS);
	ck_assert_int_eq(making_counter(client, "quarantined"), 0);
	ntc_close(client);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("leases");
	TCase *tc = tcase_create("holders");

	tcase_add_checked_fixture(tc, setup, ntc_test_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_holder_killed);
	tcase_add_test(tc, test_holder_with_child_killed);
	tcase_add_test(tc, test_holder_stopped);
	suite_add_tcase(suite, tc);
	tc = tcase_create("daemon");
	tcase_add_checked_fixture(tc, ntc_test_setup, ntc_test_teardown);
	tcase_set_timeout(tc, 180);
	tcase_add_test(tc, test_daemon_killed);
	suite_add_tcase(suite, tc);
	return ntc_test_run(suite);
}
