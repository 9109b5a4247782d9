/* Lanes: who is in one is alone there, and every hit is counted once. */
#include "client/lane.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>

static struct ntc_lane *lanes;
static uint8_t taken[NTC_LIMIT_HITS * NTC_HIT_SIZE];

static void start(void)
{
	lanes = ntc_lanes_new();
	ck_assert_ptr_nonnull(lanes);
}

static void stop(void)
{
	ntc_lanes_free(lanes);
}

static struct ntc_digest digest_of(uint32_t n)
{
	struct ntc_digest digest = { { 0 } };

	ntc_store32(digest.bytes, n);
	ntc_store32(digest.bytes + 12, n * 7);
	return digest;
}

static bool count(struct ntc_lane *lane, uint32_t n, enum ntc_rung rung)
{
	struct ntc_digest digest = digest_of(n);

	return ntc_lane_count(lane, &digest, rung);
}

/* The hits of one digest among those that were taken. */
static uint32_t of(uint32_t n, size_t len)
{
	struct ntc_digest digest = digest_of(n);
	uint32_t hits = 0;

	for (size_t at = 0; at < len; at += NTC_HIT_SIZE)
		if (memcmp(taken + at, digest.bytes, sizeof(digest.bytes)) == 0)
			hits += ntc_load32(taken + at + sizeof(digest.bytes));
	return hits;
}

START_TEST(everyone_alone)
{
	struct ntc_lane *in[NTC_LIMIT_LANES];

	for (unsigned i = 0; i < NTC_LIMIT_LANES; i++) {
		in[i] = ntc_lane_enter(lanes);
		ck_assert_ptr_nonnull(in[i]);
		for (unsigned k = 0; k < i; k++)
			ck_assert_ptr_ne(in[i], in[k]);
		ck_assert(!ntc_lane_try(in[i]));
	}
	/* All full, and nobody leaves: not waited for. There is one more to count in. */
	ck_assert_ptr_null(ntc_lane_enter(lanes));
	ck_assert_ptr_eq(ntc_lane_spare(lanes), &lanes[NTC_LIMIT_LANES]);
	ntc_lane_leave(&lanes[NTC_LIMIT_LANES]);
	ntc_lane_leave(in[3]);
	ck_assert_ptr_eq(ntc_lane_enter(lanes), in[3]);
	for (unsigned i = 0; i < NTC_LIMIT_LANES; i++)
		ntc_lane_leave(in[i]);
	/* The same thread comes to the same lane. */
	ck_assert_ptr_eq(ntc_lane_enter(lanes), in[0]);
}
END_TEST

START_TEST(counts_by_rung)
{
	struct ntc_lane *lane = ntc_lane_enter(lanes);
	size_t len;

	ck_assert(!ntc_lane_counted(lane));
	for (int i = 0; i < 5; i++)
		ck_assert(count(lane, 1, NTC_RUNG_SEGMENT));
	ck_assert(count(lane, 1, NTC_RUNG_FILE));
	/* Its neighbours, which look for a place where it is. */
	ck_assert(count(lane, 1 + NTC_LIMIT_HITS, NTC_RUNG_SEGMENT));
	ck_assert(count(lane, 1 + 2 * NTC_LIMIT_HITS, NTC_RUNG_PROCESS));
	ck_assert(ntc_lane_counted(lane));
	len = ntc_lane_take(lane, NTC_RUNG_SEGMENT, taken);
	ck_assert_uint_eq(len, 2 * NTC_HIT_SIZE);
	ck_assert_uint_eq(of(1, len), 5);
	ck_assert_uint_eq(of(1 + NTC_LIMIT_HITS, len), 1);
	ck_assert_uint_eq(ntc_lane_take(lane, NTC_RUNG_SEGMENT, taken), 0);
	/* A place that is free again, in front of one that is not. */
	ck_assert(count(lane, 1 + 2 * NTC_LIMIT_HITS, NTC_RUNG_PROCESS));
	len = ntc_lane_take(lane, NTC_RUNG_PROCESS, taken);
	ck_assert_uint_eq(len, NTC_HIT_SIZE);
	ck_assert_uint_eq(of(1 + 2 * NTC_LIMIT_HITS, len), 2);
	len = ntc_lane_take(lane, NTC_RUNG_FILE, taken);
	ck_assert_uint_eq(len, NTC_HIT_SIZE);
	ck_assert_uint_eq(of(1, len), 1);
	ck_assert(!ntc_lane_counted(lane));
}
END_TEST

START_TEST(says_when_it_is_full)
{
	struct ntc_lane *lane = ntc_lane_enter(lanes);
	uint32_t n = 0;
	size_t len;

	while (count(lane, n * 3, NTC_RUNG_SEGMENT))
		n++;
	ck_assert_uint_gt(n, NTC_LIMIT_HITS / 2);
	ck_assert_uint_le(n, NTC_LIMIT_HITS);
	/* What is known is counted all the same. */
	ck_assert(count(lane, 0, NTC_RUNG_SEGMENT));
	len = ntc_lane_take(lane, NTC_RUNG_SEGMENT, taken);
	ck_assert_uint_eq(len, n * NTC_HIT_SIZE);
	ck_assert_uint_eq(of(0, len), 2);
	for (uint32_t i = 1; i < n; i++)
		ck_assert_uint_eq(of(i * 3, len), 1);
	ck_assert(count(lane, n * 3, NTC_RUNG_SEGMENT));
}
END_TEST

START_TEST(a_child_begins_anew)
{
	struct ntc_lane *lane = ntc_lane_enter(lanes), *other = ntc_lane_enter(lanes);

	ck_assert(count(lane, 1, NTC_RUNG_SEGMENT));
	ntc_lane_leave(lane);
	ck_assert(count(other, 1, NTC_RUNG_FILE));
	ntc_lanes_forked(lanes);
	for (unsigned i = 0; i < NTC_LANES; i++) {
		ck_assert(!ntc_lane_counted(&lanes[i]));
		ck_assert(ntc_lane_try(&lanes[i]));
	}
	ck_assert(count(lane, 1, NTC_RUNG_SEGMENT));
	ck_assert_uint_eq(of(1, ntc_lane_take(lane, NTC_RUNG_SEGMENT, taken)), 1);
}
END_TEST

enum { THREADS = 16, COUNTS = 20000 };

static void *count_on(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < COUNTS; i++) {
		struct ntc_lane *lane = ntc_lane_enter(lanes);

		if (!lane)
			lane = ntc_lane_spare(lanes);
		if (!count(lane, i % 50, NTC_RUNG_SEGMENT))
			abort();
		ntc_lane_leave(lane);
	}
	return NULL;
}

START_TEST(threads_count_all)
{
	pthread_t threads[THREADS];
	uint64_t hits = 0;

	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, count_on, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < NTC_LANES; i++) {
		size_t len = ntc_lane_take(&lanes[i], NTC_RUNG_SEGMENT, taken);

		for (uint32_t n = 0; n < 50; n++)
			hits += of(n, len);
	}
	ck_assert_uint_eq(hits, THREADS * COUNTS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lane");
	TCase *tc = tcase_create("lane");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, start, stop);
	tcase_add_test(tc, everyone_alone);
	tcase_add_test(tc, counts_by_rung);
	tcase_add_test(tc, says_when_it_is_full);
	tcase_add_test(tc, a_child_begins_anew);
	tcase_add_test(tc, threads_count_all);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
