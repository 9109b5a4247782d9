/*
 * The rules of leases and waits: each by itself, then all of them under random operations, with the
 * invariants of flight.h checked from the inside after every step. That is why the source is included.
 */
#include "daemon/flight.c"

#include <check.h>
#include <stdio.h>

#define S UINT64_C(1000000000)

/* What the callbacks said, newest last. */
struct told {
	struct ntc_asker asker;
	enum ntc_verdict verdict;
	uint64_t lease, time_ns;
	bool waited;
	const void *result;
};

static struct told told[200000];
static size_t told_count;
static uint64_t ended[100000];
static size_t ended_count;
static struct ntc_flights *flights;

static void on_answer(void *ctx, const struct ntc_asker *asker, enum ntc_verdict verdict, const struct ntc_grant *grant,
		      const void *result)
{
	ck_assert_ptr_eq(ctx, &told_count);
	ck_assert_int_eq(verdict == NTC_VERDICT_LEASE, grant != NULL);
	told[told_count++] = (struct told){
		.asker = *asker,
		.verdict = verdict,
		.lease = grant ? grant->lease : 0,
		.time_ns = grant ? grant->time_ns : 0,
		.waited = grant && grant->waited,
		.result = result,
	};
}

static void on_ended(void *ctx, const struct ntc_asker *holder, uint64_t lease)
{
	(void)ctx;
	ck_assert_uint_gt(holder->conn, 0);
	ended[ended_count++] = lease;
}

static void start(void)
{
	struct ntc_flight_options options = {
		.lease_ns = 60 * S,
		.lease_max_ns = 3600 * S,
		.wait_max_ns = 3600 * S,
		.key_bytes_max = 4096,
		.answer = on_answer,
		.lease_ended = on_ended,
		.ctx = &told_count,
	};

	told_count = ended_count = 0;
	flights = ntc_flights_new(&options);
	ck_assert_ptr_nonnull(flights);
}

static void stop(void)
{
	ntc_flights_free(flights);
}

static struct ntc_digest digest_of(const char *key)
{
	return ntc_checksum(ntc_view(key, strlen(key)));
}

/* Ask; the last of what was told is the answer if there is one. */
static void ask_full(uint64_t conn, uint64_t task, uint64_t request, const char *key, uint32_t group, uint32_t width,
		     bool nowait, uint64_t wait_ns, uint64_t now)
{
	struct ntc_ask ask = {
		.asker = { .conn = conn, .task = task, .request = request },
		.key = ntc_view(key, strlen(key)),
		.digest = digest_of(key),
		.group = group,
		.width = width,
		.wait_ns = wait_ns,
		.nowait = nowait,
	};

	ck_assert_int_eq(ntc_flights_ask(flights, &ask, now), NTC_ST_OK);
}

static void ask(uint64_t conn, uint64_t task, uint64_t request, const char *key)
{
	ask_full(conn, task, request, key, 0, 1, false, 0, 0);
}

static void put(const char *key)
{
	struct ntc_digest digest = digest_of(key);

	ntc_flights_put(flights, ntc_view(key, strlen(key)), &digest, key, 0);
}

static void expect(uint64_t conn, uint64_t request, enum ntc_verdict verdict)
{
	const struct told *t;

	ck_assert_uint_gt(told_count, 0);
	t = &told[told_count - 1];
	ck_assert_uint_eq(t->asker.conn, conn);
	ck_assert_uint_eq(t->asker.request, request);
	ck_assert_int_eq(t->verdict, verdict);
}

static uint64_t last_lease(void)
{
	return told[told_count - 1].lease;
}

START_TEST(first_asker_makes_others_get_it)
{
	ask(1, 1, 10, "k");
	expect(1, 10, NTC_VERDICT_LEASE);
	ck_assert(!told[0].waited);
	ck_assert_uint_eq(told[0].time_ns, 60 * S);
	ask(2, 1, 20, "k");
	ask(3, 1, 30, "k");
	ck_assert_uint_eq(told_count, 1);
	put("k");
	ck_assert_uint_eq(told_count, 3);
	expect(3, 30, NTC_VERDICT_PUT);
	ck_assert_uint_eq(told[1].asker.request, 20);
	ck_assert_str_eq(told[1].result, "k");
	ck_assert_uint_eq(ended_count, 1);
	ck_assert(!ntc_flights_busy(flights));
	ck_assert_uint_eq(ntc_flights_counts(flights).handovers, 2);
	ck_assert_uint_eq(ntc_flights_counts(flights).waits, 2);
}
END_TEST

START_TEST(release_and_drop_hand_the_lease_on)
{
	uint64_t first, second;

	ask(1, 1, 10, "k");
	first = last_lease();
	ask(2, 1, 20, "k");
	ask(3, 1, 30, "k");
	ck_assert_int_eq(ntc_flights_release(flights, 2, first, 0), NTC_ST_NO_SUCH_LEASE);
	ck_assert_int_eq(ntc_flights_release(flights, 1, first, 0), NTC_ST_OK);
	expect(2, 20, NTC_VERDICT_LEASE);
	second = last_lease();
	ck_assert_uint_ne(first, second);
	ck_assert(told[told_count - 1].waited);
	ck_assert_int_eq(ntc_flights_release(flights, 1, first, 0), NTC_ST_NO_SUCH_LEASE);
	ntc_flights_drop(flights, 2, 0);
	expect(3, 30, NTC_VERDICT_LEASE);
	ck_assert_uint_eq(ntc_flights_counts(flights).lost, 1);
	ntc_flights_drop(flights, 3, 0);
	ck_assert(!ntc_flights_busy(flights));
	ck_assert_uint_eq(told_count, 3);
}
END_TEST

START_TEST(a_dropped_connection_never_gets_its_own_lease)
{
	ask(1, 1, 10, "k");
	ask(1, 2, 11, "k");
	ask(2, 1, 20, "k");
	ntc_flights_drop(flights, 1, 0);
	expect(2, 20, NTC_VERDICT_LEASE);
	ck_assert_uint_eq(told_count, 2);
}
END_TEST

START_TEST(failure_answers_everyone)
{
	ask(1, 1, 10, "k");
	ask(2, 1, 20, "k");
	ask(3, 1, 30, "k");
	ck_assert_int_eq(ntc_flights_fail(flights, 1, last_lease(), "log", 0), NTC_ST_OK);
	expect(3, 30, NTC_VERDICT_FAILED);
	ck_assert_str_eq(told[1].result, "log");
	ck_assert(!ntc_flights_busy(flights));
}
END_TEST

START_TEST(times_end_leases_and_waits)
{
	uint64_t lease, given;

	ask_full(1, 1, 10, "k", 0, 1, false, 0, 0);
	lease = last_lease();
	ask_full(2, 1, 20, "k", 0, 1, false, 100 * S, 0);
	ask_full(3, 1, 30, "k", 0, 1, false, 5 * S, 0);
	ntc_flights_tick(flights, 4 * S);
	ck_assert_uint_eq(told_count, 1);
	ntc_flights_tick(flights, 5 * S);
	expect(3, 30, NTC_VERDICT_OVER);
	ck_assert_int_eq(ntc_flights_extend(flights, 1, lease, 80 * S, 10 * S, &given), NTC_ST_OK);
	ck_assert_uint_eq(given, 80 * S);
	ntc_flights_tick(flights, 89 * S);
	ck_assert_uint_eq(told_count, 2);
	ntc_flights_tick(flights, 90 * S);
	expect(2, 20, NTC_VERDICT_LEASE);
	ck_assert_uint_eq(ntc_flights_counts(flights).expired, 1);
	ck_assert_int_eq(ntc_flights_extend(flights, 1, lease, S, 91 * S, &given), NTC_ST_NO_SUCH_LEASE);
	ck_assert_int_eq(ntc_flights_extend(flights, 2, last_lease(), UINT64_MAX, 91 * S, &given), NTC_ST_OK);
	ck_assert_uint_eq(given, 3600 * S);
}
END_TEST

START_TEST(estimates_lengthen_a_lease)
{
	ck_assert_uint_eq(lease_time(flights, 0), 60 * S);
	ck_assert_uint_eq(lease_time(flights, 15 * S), 60 * S);
	ck_assert_uint_eq(lease_time(flights, 100 * S), 400 * S);
	ck_assert_uint_eq(lease_time(flights, UINT64_MAX), 3600 * S);
}
END_TEST

START_TEST(not_wanting_to_wait_and_cancelling)
{
	ask_full(1, 1, 10, "k", 0, 1, true, 0, 0);
	expect(1, 10, NTC_VERDICT_LEASE);
	ask_full(2, 1, 20, "k", 0, 1, true, 0, 0);
	expect(2, 20, NTC_VERDICT_OVER);
	ask(2, 1, 21, "k");
	ntc_flights_cancel(flights, 1, 21, 0);
	ck_assert_uint_eq(told_count, 2);
	ntc_flights_cancel(flights, 2, 21, 0);
	expect(2, 21, NTC_VERDICT_CANCELLED);
	ntc_flights_cancel(flights, 2, 21, 0);
	ck_assert_uint_eq(told_count, 3);
}
END_TEST

START_TEST(workers_with_one_list_share_it)
{
	const char *keys[4] = { "a", "b", "c", "d" };
	uint64_t lease_a;

	/* Connection 1 names all four and gets one; connection 2 gets another. */
	for (uint64_t i = 0; i < 4; i++)
		ask_full(1, 1, 10 + i, keys[i], 7, 1, false, 0, 0);
	ck_assert_uint_eq(told_count, 1);
	expect(1, 10, NTC_VERDICT_LEASE);
	lease_a = last_lease();
	for (uint64_t i = 0; i < 4; i++)
		ask_full(2, 1, 20 + i, keys[i], 7, 1, false, 0, 0);
	ck_assert_uint_eq(told_count, 2);
	expect(2, 21, NTC_VERDICT_LEASE);
	/* When 1 has made its own, 2 hears of it and 1 takes the next that nobody makes. */
	put("a");
	ck_assert_uint_eq(told_count, 4);
	ck_assert_int_eq(told[2].verdict, NTC_VERDICT_PUT);
	ck_assert_uint_eq(told[2].asker.request, 20);
	expect(1, 12, NTC_VERDICT_LEASE);
	ck_assert(!told[3].waited);
	ck_assert_uint_eq(ended[0], lease_a);
	put("b");
	expect(2, 23, NTC_VERDICT_LEASE);
	put("c");
	put("d");
	ck_assert(!ntc_flights_busy(flights));
	ck_assert_uint_eq(ntc_flights_counts(flights).leases, 4);
	ck_assert_uint_eq(ntc_flights_counts(flights).circles, 0);
}
END_TEST

START_TEST(a_group_may_be_wider)
{
	const char *keys[4] = { "a", "b", "c", "d" };

	for (uint64_t i = 0; i < 4; i++)
		ask_full(1, 1, 10 + i, keys[i], 7, 3, false, 0, 0);
	ck_assert_uint_eq(told_count, 3);
	put("b");
	expect(1, 13, NTC_VERDICT_LEASE);
}
END_TEST

START_TEST(circle_of_two)
{
	ask(1, 1, 10, "a");
	ask(2, 1, 20, "b");
	ask(1, 1, 11, "b");
	ck_assert_uint_eq(told_count, 2);
	ask(2, 1, 21, "a");
	expect(2, 21, NTC_VERDICT_CIRCULAR);
	put("b");
	expect(1, 11, NTC_VERDICT_PUT);
}
END_TEST

START_TEST(circle_of_one)
{
	ask(1, 1, 10, "a");
	ask(1, 1, 11, "a");
	expect(1, 11, NTC_VERDICT_CIRCULAR);
	/* Another task of the same connection just waits. */
	ask(1, 2, 12, "a");
	ck_assert_uint_eq(told_count, 2);
}
END_TEST

START_TEST(circle_closed_by_a_hand_over)
{
	uint64_t a;

	/* 1 makes a; 2 makes b and waits for a; 3 waits for a, makes c; then 2 waits ... */
	ask(1, 1, 10, "a");
	a = last_lease();
	ask(3, 1, 30, "c");
	ask(2, 1, 20, "c");
	ask(2, 2, 21, "b");
	ask(3, 1, 31, "b");
	ask(2, 2, 22, "a");
	/* 3 waits for b (task 2/2), which waits for a (1). No circle yet. Now 3 gets a? It does not ask. */
	ck_assert_uint_eq(ntc_flights_counts(flights).circles, 0);
	ask(3, 1, 32, "a");
	ck_assert_uint_eq(ntc_flights_counts(flights).circles, 0);
	/* 1 gives a up: it goes to 2/2, which asked first: still none. */
	ck_assert_int_eq(ntc_flights_release(flights, 1, a, 0), NTC_ST_OK);
	ck_assert_uint_eq(ntc_flights_counts(flights).circles, 0);
	/* 2/2 gives a up, it goes to 3, which waits for b of 2/2, which waits for nothing: none. */
	ck_assert_int_eq(ntc_flights_release(flights, 2, last_lease(), 0), NTC_ST_OK);
	expect(3, 32, NTC_VERDICT_LEASE);
	ck_assert_uint_eq(ntc_flights_counts(flights).circles, 0);
	/* Now 2/2 asks for a again: 2/2 -> 3 (a) -> 2/2 (b). */
	ask(2, 2, 23, "a");
	expect(2, 23, NTC_VERDICT_CIRCULAR);
}
END_TEST

START_TEST(granting_closes_a_circle)
{
	uint64_t a;

	/* 1 holds a. 2 holds b, waits for a. 3 waits for a behind 2, ... and 2 waits for what 3 holds. */
	ask(1, 1, 10, "a");
	a = last_lease();
	ask(3, 1, 30, "c");
	ask(2, 1, 20, "a");     /* 2 waits for a first */
	ask(3, 1, 31, "a");     /* then 3 */
	ask(2, 1, 21, "c");     /* 2 also waits for c, which 3 makes */
	ck_assert_uint_eq(ntc_flights_counts(flights).circles, 0);
	/* a goes to 2. Then 3 waits for 2 (a), and 2 for 3 (c): its wait for c is answered. */
	ck_assert_int_eq(ntc_flights_release(flights, 1, a, 0), NTC_ST_OK);
	expect(2, 21, NTC_VERDICT_CIRCULAR);
	ck_assert_uint_eq(ntc_flights_counts(flights).circles, 1);
}
END_TEST

START_TEST(a_busy_group_is_not_waiting)
{
	/* 1 and 2 share a list; each holds one key and will collect the other's. That is no circle. */
	ask_full(1, 1, 10, "a", 5, 1, false, 0, 0);
	ask_full(1, 1, 11, "b", 5, 1, false, 0, 0);
	ask_full(2, 1, 20, "a", 5, 1, false, 0, 0);
	ask_full(2, 1, 21, "b", 5, 1, false, 0, 0);
	ck_assert_uint_eq(told_count, 2);
	/* While making b, 2 needs a as well: it waits for 1, which is busy with a. No circle either. */
	ask(2, 1, 22, "a");
	ck_assert_uint_eq(ntc_flights_counts(flights).circles, 0);
	put("a");
	put("b");
	ck_assert(!ntc_flights_busy(flights));
	ck_assert_uint_eq(ntc_flights_counts(flights).circles, 0);
}
END_TEST

START_TEST(a_group_that_ran_out_of_leases_waits)
{
	/*
	 * 1 holds x and has a list (a, b); 2 holds b and waits for x. While 1 makes a it is not waiting for b;
	 * when a is put and only b is left, it is: a circle, broken then.
	 */
	ask(1, 1, 10, "x");
	ask(2, 1, 20, "b");
	ask_full(1, 1, 11, "a", 5, 1, false, 0, 0);
	ask_full(1, 1, 12, "b", 5, 1, false, 0, 0);
	ask(2, 1, 21, "x");
	ck_assert_uint_eq(ntc_flights_counts(flights).circles, 0);
	put("a");
	expect(1, 12, NTC_VERDICT_CIRCULAR);
}
END_TEST

START_TEST(put_by_somebody_else)
{
	uint64_t lease;

	ask(1, 1, 10, "k");
	lease = last_lease();
	ask(2, 1, 20, "k");
	put("k");
	expect(2, 20, NTC_VERDICT_PUT);
	ck_assert_int_eq(ntc_flights_release(flights, 1, lease, 0), NTC_ST_NO_SUCH_LEASE);
	put("nobody asked");
}
END_TEST

START_TEST(one_digest_two_keys)
{
	struct ntc_ask a = { .asker = { .conn = 1, .task = 1, .request = 1 }, .key = ntc_view("a", 1), .width = 1 };
	struct ntc_ask b = { .asker = { .conn = 2, .task = 1, .request = 2 }, .key = ntc_view("b", 1), .width = 1 };
	struct ntc_lease_view view;

	ck_assert_int_eq(ntc_flights_ask(flights, &a, 0), NTC_ST_OK);
	ck_assert_int_eq(ntc_flights_ask(flights, &b, 0), NTC_ST_OK);
	ck_assert_uint_eq(told_count, 2);
	ck_assert_int_eq(told[1].verdict, NTC_VERDICT_LEASE);
	ntc_flights_put(flights, a.key, &a.digest, NULL, 0);
	ck_assert_int_eq(ntc_flights_find_lease(flights, 1, told[0].lease, &view), NTC_ST_NO_SUCH_LEASE);
	ck_assert_int_eq(ntc_flights_find_lease(flights, 2, told[1].lease, &view), NTC_ST_OK);
	ck_assert(ntc_view_equal(view.key, b.key));
	ck_assert_int_eq(ntc_flights_find_lease(flights, 1, told[1].lease, &view), NTC_ST_NO_SUCH_LEASE);
}
END_TEST

START_TEST(keys_are_bounded)
{
	char big[4000];
	struct ntc_ask a = { .asker = { .conn = 1, .task = 1, .request = 1 }, .key = ntc_view(big, sizeof(big)) };

	memset(big, 'x', sizeof(big));
	ck_assert_int_eq(ntc_flights_ask(flights, &a, 0), NTC_ST_OK);
	a.key.len = 97;
	ck_assert_int_eq(ntc_flights_ask(flights, &a, 0), NTC_ST_NO_MEMORY);
	ntc_flights_drop(flights, 1, 0);
	ck_assert_int_eq(ntc_flights_ask(flights, &a, 0), NTC_ST_OK);
}
END_TEST

/* --- random operations -------------------------------------------------------------------- */

#define CONNS 5
#define TASKS 3
#define KEYS 9

/* Forward search for a way from a task back to itself along blocking waits; plain and slow on purpose. */
static bool reaches(const struct task *from, const struct task *to, const struct task **seen, size_t *n)
{
	struct claim *w;

	for (size_t i = 0; i < *n; i++)
		if (seen[i] == from)
			return false;
	seen[(*n)++] = from;
	TAILQ_FOREACH(w, &from->waits, of_task) {
		if (!wait_blocks(w) || !w->flight->holder)
			continue;
		if (w->flight->holder->task == to || reaches(w->flight->holder->task, to, seen, n))
			return true;
	}
	return false;
}

static void check_invariants(void)
{
	const struct task *seen[CONNS * TASKS + 1];
	size_t waits = 0, leases = 0;
	struct flight *flight;
	struct group *group;
	struct task *task;
	struct claim *c;

	for (size_t b = 0; b < BUCKETS; b++) {
		LIST_FOREACH(flight, &flights->flights[b], in_bucket) {
			ck_assert(flight->holder || !TAILQ_EMPTY(&flight->waits));
			TAILQ_FOREACH(c, &flight->waits, on_flight) {
				waits++;
				ck_assert_ptr_eq(c->flight, flight);
				if (!flight->holder)
					ck_assert(!wait_may_have_lease(c));
			}
			leases += flight->holder != NULL;
		}
		LIST_FOREACH(task, &flights->tasks[b], in_bucket) {
			size_t n = 0;

			ck_assert_uint_eq(task->pins, 0);
			ck_assert(!TAILQ_EMPTY(&task->leases) || !TAILQ_EMPTY(&task->waits));
			ck_assert_msg(!reaches(task, task, seen, &n), "a circle stands");
		}
		LIST_FOREACH(group, &flights->groups[b], in_bucket) {
			ck_assert_uint_eq(group->pins, 0);
			ck_assert(group->held || !TAILQ_EMPTY(&group->waits));
			ck_assert_uint_le(group->held, group->width);
		}
	}
	TAILQ_FOREACH(c, &flights->waits, in_all)
		waits--;
	TAILQ_FOREACH(c, &flights->leases, in_all)
		leases--;
	ck_assert_uint_eq(waits, 0);
	ck_assert_uint_eq(leases, 0);
}

/* A small generator, so that a failure can be repeated from its seed. */
static uint32_t random_state;
static uint32_t pick(uint32_t below)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (random_state >> 8) % below;
}

static struct claim *some_lease(void)
{
	struct claim *c;
	uint32_t n = 0;

	TAILQ_FOREACH(c, &flights->leases, in_all)
		n++;
	if (n == 0)
		return NULL;
	n = pick(n);
	TAILQ_FOREACH(c, &flights->leases, in_all)
		if (n-- == 0)
			break;
	return c;
}

START_TEST(random_operations)
{
	uint64_t now = 0, request = 0, given;
	size_t asked = 0, dropped_before;

	random_state = (uint32_t)_i * 7919u + 1;
	for (int step = 0; step < 4000; step++) {
		uint64_t conn = 1 + pick(CONNS);
		char key[2] = { (char)('a' + pick(KEYS)), 0 };
		struct claim *lease = some_lease();

		ck_assert_uint_lt(told_count, sizeof(told) / sizeof(told[0]) - 100);
		switch (pick(12)) {
		case 0:
		case 1:
		case 2:
		case 3:
			ask_full(conn, 1 + pick(TASKS), ++request, key, 0, 1, pick(10) == 0, (1 + pick(50)) * S, now);
			asked++;
			break;
		case 4:
		case 5:
			ask_full(conn, 1 + (conn % TASKS), ++request, key, 1 + pick(2), 1 + pick(2), false,
				 (1 + pick(50)) * S, now);
			asked++;
			break;
		case 6:
			put(key);
			break;
		case 7:
			if (lease)
				ck_assert_int_eq(ntc_flights_release(flights, lease->asker.conn, lease->lease, now),
						 NTC_ST_OK);
			break;
		case 8:
			if (lease)
				ck_assert_int_eq(ntc_flights_fail(flights, lease->asker.conn, lease->lease, "log", now),
						 NTC_ST_OK);
			break;
		case 9:
			now += pick(20) * S;
			ntc_flights_tick(flights, now);
			break;
		case 10:
			if (lease)
				ck_assert_int_eq(ntc_flights_extend(flights, lease->asker.conn, lease->lease,
								    pick(90) * S, now, &given),
						 NTC_ST_OK);
			break;
		case 11:
			dropped_before = told_count;
			if (pick(4) == 0)
				ntc_flights_drop(flights, conn, now);
			else
				ntc_flights_cancel(flights, conn, request ? 1 + pick((uint32_t)request) : 0, now);
			for (size_t i = dropped_before; i < told_count; i++)
				ck_assert(told[i].verdict == NTC_VERDICT_CANCELLED || told[i].asker.conn != conn ||
					  told[i].verdict == NTC_VERDICT_CIRCULAR);
			break;
		}
		check_invariants();
	}
	/* Nobody was answered twice. */
	for (size_t i = 1; i < told_count; i++)
		ck_assert_uint_le(told[i].asker.request, request);
	ck_assert_uint_le(told_count, asked);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flight");
	TCase *rules = tcase_create("rules"), *random = tcase_create("random");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(rules, start, stop);
	tcase_add_test(rules, first_asker_makes_others_get_it);
	tcase_add_test(rules, release_and_drop_hand_the_lease_on);
	tcase_add_test(rules, a_dropped_connection_never_gets_its_own_lease);
	tcase_add_test(rules, failure_answers_everyone);
	tcase_add_test(rules, times_end_leases_and_waits);
	tcase_add_test(rules, estimates_lengthen_a_lease);
	tcase_add_test(rules, not_wanting_to_wait_and_cancelling);
	tcase_add_test(rules, workers_with_one_list_share_it);
	tcase_add_test(rules, a_group_may_be_wider);
	tcase_add_test(rules, circle_of_two);
	tcase_add_test(rules, circle_of_one);
	tcase_add_test(rules, circle_closed_by_a_hand_over);
	tcase_add_test(rules, granting_closes_a_circle);
	tcase_add_test(rules, a_busy_group_is_not_waiting);
	tcase_add_test(rules, a_group_that_ran_out_of_leases_waits);
	tcase_add_test(rules, put_by_somebody_else);
	tcase_add_test(rules, one_digest_two_keys);
	tcase_add_test(rules, keys_are_bounded);
	suite_add_tcase(suite, rules);
	tcase_add_checked_fixture(random, start, stop);
	tcase_add_loop_test(random, random_operations, 0, 20);
	tcase_set_timeout(random, 60);
	suite_add_tcase(suite, random);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
