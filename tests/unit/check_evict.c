/* The eviction policy by itself, and in a cache of a few entries that is played through by hand. */
#include "store/evict.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define S UINT64_C(1000000000)
#define MS UINT64_C(1000000)
#define KIB UINT64_C(1024)

static struct ntc_digest numbered(uint64_t n)
{
	struct ntc_digest digest;
	uint64_t mixed = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);

	mixed ^= mixed >> 29;
	memcpy(digest.bytes, &mixed, 8);
	mixed = (mixed ^ n) * UINT64_C(0xbf58476d1ce4e5b9);
	mixed ^= mixed >> 32;
	memcpy(digest.bytes + 8, &mixed, 8);
	return digest;
}

/* --- pure --------------------------------------------------------------------------------- */

START_TEST(victims_are_worth_least)
{
	struct ntc_row rows[5] = { { .value = 9, .size = 10 },
				   { .value = 3, .size = 10 },
				   { .value = 5, .size = 10 },
				   { .value = -1, .size = 10 },
				   { .value = 7, .size = 10 } };

	ck_assert_uint_eq(ntc_evict_choose(rows, 5, 25, 0), 3);
	ck_assert(rows[0].value == -1);
	ck_assert(rows[1].value == 3);
	ck_assert(rows[2].value == 5);
	ck_assert_uint_eq(ntc_evict_choose(rows, 5, 20, 0), 2);
	ck_assert_uint_eq(ntc_evict_choose(rows, 5, 1000, 0), 5);
	ck_assert_uint_eq(ntc_evict_choose(rows, 5, 0, 0), 0);
	ck_assert_uint_eq(ntc_evict_choose(rows, 5, 5, 4), 4);
	ck_assert_uint_eq(ntc_evict_choose(rows, 5, 0, 9), 5);
	ck_assert_uint_eq(ntc_evict_choose(NULL, 0, 5, 5), 0);
}
END_TEST

START_TEST(what_has_to_go)
{
	ck_assert_uint_eq(ntc_evict_need(1000, 1000, false), 0);
	ck_assert_uint_eq(ntc_evict_need(1001, 1000, false), 11);
	ck_assert_uint_eq(ntc_evict_need(1000, 1000, true), 10);
	ck_assert_uint_eq(ntc_evict_need(990, 1000, true), 0);
	ck_assert_uint_eq(ntc_evict_need(UINT64_MAX, 0, false), 0);
	ck_assert_uint_eq(ntc_evict_need(UINT64_MAX, 0, true), 0);
	ck_assert_uint_eq(ntc_evict_need(UINT64_MAX, UINT64_MAX - 1, false), UINT64_MAX / 100 + 2);
	ck_assert_uint_eq(ntc_evict_need(2, 1, false), 2);
}
END_TEST

START_TEST(weights_follow_use)
{
	double weight = ntc_evict_weight(0, 0), most = 0;

	ck_assert(weight == 1);
	/* A use in the same moment adds nothing, one much later nearly one, and what was long ago counts half. */
	ck_assert(ntc_evict_weight(1, 0) == 1);
	ck_assert(ntc_evict_weight(4, NTC_EVICT_HALVING_ROUNDS) > 2.99);
	ck_assert(ntc_evict_weight(4, NTC_EVICT_HALVING_ROUNDS) <= 3);
	ck_assert(fabs(ntc_evict_weight(1, NTC_EVICT_ROW_ROUNDS) - 1.5) < 0.02);
	ck_assert(ntc_evict_weight(50, 1e9) == 1);
	ck_assert(ntc_evict_weight(1, -5) == 1);
	/* Ten thousand uses in a row are not worth more than a few spread out. */
	for (int i = 0; i < 10000; i++)
		weight = ntc_evict_weight(weight, 1e-4);
	ck_assert(weight < ntc_evict_weight(ntc_evict_weight(1, 2), 2));
	/* However it is used, a row can have the weight. */
	for (double rounds = 1e-6; rounds < 100; rounds *= 1.5) {
		weight = 1;
		for (int i = 0; i < 2000000; i++)
			weight = ntc_evict_weight(weight, rounds);
		most = fmax(most, weight);
	}
	ck_assert(ntc_evict_plausible(most, 0));
	ck_assert(most > 30);
}
END_TEST

START_TEST(density_is_time_for_room)
{
	double density = ntc_evict_density(1, 100 * MS, 10 * KIB);

	ck_assert(ntc_evict_density(2, 100 * MS, 10 * KIB) == density + 1);
	ck_assert(ntc_evict_density(1, 200 * MS, 10 * KIB) == density + 1);
	ck_assert(ntc_evict_density(1, 100 * MS, 20 * KIB) == density - 1);
	/* An hour, or a lie, is no more than the longest cost that is believed; nothing is no less than the shortest. */
	ck_assert(ntc_evict_density(1, UINT64_MAX, KIB) == ntc_evict_density(1, NTC_EVICT_COST_MAX_NS, KIB));
	ck_assert(ntc_evict_density(1, 0, KIB) == ntc_evict_density(1, NTC_EVICT_COST_MIN_NS, KIB));
	ck_assert(isfinite(ntc_evict_density(1, 0, 0)));
}
END_TEST

START_TEST(values_rank)
{
	/* A typical one is worth 1 above inflation, at any sharpness; the sharper, the farther apart the others. */
	ck_assert(ntc_evict_value(7, 0.7, 3, 3) == 8);
	ck_assert(ntc_evict_value(7, 3, 3, 3) == 8);
	ck_assert(ntc_evict_value(0, 3, 5, 3) == 64);
	ck_assert(ntc_evict_value(0, 1, 5, 3) == 4);
	ck_assert(ntc_evict_value(0, 3, 2, 3) == 0.125);
	/* Nothing is worth so much that inflation would not come up to it. */
	ck_assert(ntc_evict_value(0, 3, 1000, 0) == ntc_evict_value(0, 3, 2000, 0));
	ck_assert(ntc_evict_value(5, 3, -1000, 0) >= 5);
}
END_TEST

START_TEST(damaged_rows_are_seen)
{
	ck_assert(ntc_evict_plausible(1, 0));
	ck_assert(ntc_evict_plausible(0.01, -1e6));
	ck_assert(!ntc_evict_plausible(0, 0));
	ck_assert(!ntc_evict_plausible(-1, 0));
	ck_assert(!ntc_evict_plausible(1e3, 0));
	ck_assert(!ntc_evict_plausible((double)NAN, 0));
	ck_assert(!ntc_evict_plausible(1, (double)NAN));
	ck_assert(!ntc_evict_plausible(1, (double)INFINITY));
	ck_assert(!ntc_evict_plausible(1, 1e300));
}
END_TEST

/* --- a cache of a few entries ------------------------------------------------------------- */

#define ROWS 4096u

static struct ntc_evict evict;
static struct ntc_row rows[ROWS]; /* by number; size 0: not in it */
static uint64_t bytes, entries, used;

static void begin(uint64_t max_bytes, uint64_t max_entries)
{
	memset(rows, 0, sizeof(rows));
	bytes = entries = used = 0;
	ntc_evict_init(&evict, max_bytes, max_entries);
}

static void make_room(void)
{
	for (;;) {
		uint64_t need = ntc_evict_need(bytes, evict.max_bytes, false);
		uint64_t need_entries = ntc_evict_need(entries, evict.max_entries, false);
		unsigned least = ROWS;

		if (!need && !need_entries)
			return;
		for (unsigned i = 0; i < ROWS; i++)
			if (rows[i].size && (least == ROWS || rows[i].value < rows[least].value))
				least = i;
		ntc_evict_gone(&evict, &rows[least]);
		bytes -= rows[least].size;
		entries--;
		rows[least].size = 0;
	}
}

/* Whether it was there. */
static bool use(unsigned number, uint64_t size, uint64_t cost_ns)
{
	struct ntc_row *row = &rows[number];
	bool hit = row->size != 0;

	used++;
	if (hit) {
		ntc_evict_use(&evict, row, used, entries);
		return true;
	}
	*row = (struct ntc_row){ .digest = numbered(number), .size = size, .cost_ns = cost_ns, .used = used };
	entries++;
	bytes += size;
	ntc_evict_put(&evict, row, entries);
	ck_assert(ntc_evict_plausible(row->weight, row->value));
	make_room();
	return false;
}

static void end(void)
{
	ntc_evict_release(&evict);
}

START_TEST(once_used_ones_do_not_push_out_the_core)
{
	unsigned hits = 0;

	begin(40 * KIB, 0);
	for (unsigned i = 0; i < 3000; i++) {
		/* A core of 20, each used every 40 uses; between them what is used once. 40 fit. */
		if (i % 2)
			hits += use(i / 2 % 20, KIB, 100 * MS);
		else
			(void)use(100 + i, KIB, 100 * MS);
	}
	ck_assert_uint_ge(hits, 1400);
	end();
}
END_TEST

START_TEST(what_is_dear_stays_longer_but_not_for_ever)
{
	unsigned cheap = 0, dear = 0;

	begin(10 * KIB, 0);
	for (unsigned i = 0; i < 200; i++)
		(void)use(i, KIB, 50 * MS);
	(void)use(200, KIB, 50 * MS);
	(void)use(201, KIB, 500 * MS);
	for (unsigned i = 202; i < ROWS && rows[201].size; i++) {
		(void)use(i, KIB, 50 * MS);
		cheap += rows[200].size != 0;
		dear++;
	}
	ck_assert_uint_ge(cheap, 5);
	ck_assert_uint_ge(dear, 10 * cheap);
	ck_assert_uint_eq(rows[201].size, 0);
	end();
}
END_TEST

START_TEST(small_ones_stay_longer)
{
	begin(1000 * KIB, 0);
	(void)use(0, 100 * KIB, 100 * MS);
	(void)use(1, 1 * KIB, 100 * MS);
	for (unsigned i = 2; i < 400; i++)
		(void)use(i, 10 * KIB, 100 * MS);
	ck_assert_uint_eq(rows[0].size, 0);
	ck_assert_uint_ne(rows[1].size, 0);
	end();
}
END_TEST

START_TEST(size_is_nothing_where_only_entries_count)
{
	begin(0, 100);
	(void)use(0, 100 * KIB, 110 * MS);
	(void)use(1, 1 * KIB, 100 * MS);
	ck_assert(rows[0].value > rows[1].value);
	for (unsigned i = 2; i < 1000; i++) {
		(void)use(i, KIB, 100 * MS);
		ck_assert_uint_le(entries, 100);
	}
	end();
}
END_TEST

START_TEST(both_caps_hold)
{
	begin(100 * KIB, 50);
	for (unsigned i = 0; i < 2000; i++) {
		(void)use(i % 300, i % 7 ? 512 : 8 * KIB, i % 11 * 10 * MS);
		ck_assert_uint_le(entries, 50);
		ck_assert_uint_le(bytes, 100 * KIB);
	}
	end();
}
END_TEST

START_TEST(who_comes_back_has_its_weight)
{
	double weight;

	begin(8 * KIB, 0);
	for (unsigned i = 0; i < 12; i++) {
		(void)use(0, KIB, 100 * MS);
		for (unsigned k = 1; k < 6; k++)
			(void)use(k, KIB, 100 * MS);
	}
	weight = rows[0].weight;
	ck_assert(weight > 4);
	for (unsigned i = 10; rows[0].size; i++)
		(void)use(i, KIB, 2 * S);
	(void)use(0, KIB, 100 * MS);
	ck_assert(rows[0].weight > weight / 2);
	/* Somebody else has not. */
	(void)use(3000, KIB, 100 * MS);
	ck_assert(rows[3000].weight == 1);
	end();
}
END_TEST

START_TEST(ghosts_are_bounded)
{
	struct ntc_digest digest = numbered(1), other = numbered(2);
	struct ntc_ghosts ghosts = { 0 };
	double weight = 0;
	uint64_t when = 0;

	ck_assert(!ntc_ghosts_take(&ghosts, &digest, &weight, &when));
	ntc_ghosts_add(&ghosts, &digest, 2.5, 77);
	ck_assert(!ntc_ghosts_take(&ghosts, &other, &weight, &when));
	ck_assert(ntc_ghosts_take(&ghosts, &digest, &weight, &when));
	ck_assert(weight == 2.5);
	ck_assert_uint_eq(when, 77);
	ck_assert(!ntc_ghosts_take(&ghosts, &digest, &weight, &when));
	ntc_ghosts_add(&ghosts, &digest, 2.5, 77);
	for (uint64_t i = 10; i < 10 + 20 * (uint64_t)NTC_GHOSTS_MAX; i++) {
		struct ntc_digest many = numbered(i);

		ntc_ghosts_add(&ghosts, &many, 1, i);
	}
	ck_assert(!ntc_ghosts_take(&ghosts, &digest, &weight, &when));
	ntc_ghosts_release(&ghosts);
}
END_TEST

/* --- which sharpness ---------------------------------------------------------------------- */

START_TEST(shadows_learn_that_recency_counts)
{
	double before;

	/* Working sets of 30 equally dear entries that are used some times and never again, beside dear ones that were
	 * used as often long ago. */
	begin(40 * KIB, 0);
	before = ntc_shadow_sharpness(&evict.shadow);
	for (unsigned i = 0; i < 60000; i++) {
		unsigned set = i / 300;

		(void)use((set * 30 + i % 30) % ROWS, KIB, set % 2 && i % 3 == 0 ? 5 * S : 50 * MS);
	}
	ck_assert(ntc_shadow_sharpness(&evict.shadow) < before);
	end();
}
END_TEST

START_TEST(shadows_learn_that_density_counts)
{
	uint64_t random = 1;
	double before;

	/* All equally likely at any time: only what they cost makes a difference. */
	begin(60 * KIB, 0);
	before = ntc_shadow_sharpness(&evict.shadow);
	for (unsigned i = 0; i < 60000; i++) {
		random = random * UINT64_C(6364136223846793005) + 1;
		(void)use((unsigned)(random >> 33) % 1000, KIB,
			  (uint64_t)(1 + (random >> 33) % 1000) * 5 * MS);
	}
	ck_assert(ntc_shadow_sharpness(&evict.shadow) > before);
	end();
}
END_TEST

/* A cache of many entries is sampled, and the sample stays small: this must not take long, nor go out of bounds. */
START_TEST(shadows_sample_large_caches)
{
	begin(UINT64_C(1) << 40, 0);
	for (uint64_t i = 0; i < 300000; i++) {
		struct ntc_row row = { .digest = numbered(i % 200000),
				       .size = (i % 50 + 1) * KIB,
				       .cost_ns = i % 100 * MS,
				       .used = i + 1 };

		ntc_evict_put(&evict, &row, i + 1);
		if (i % 3 == 0)
			ntc_evict_gone(&evict, &row);
	}
	ck_assert(evict.inflation > 0);
	end();
}
END_TEST

/* --- kept --------------------------------------------------------------------------------- */

START_TEST(what_is_learnt_is_kept)
{
	uint8_t saved[NTC_EVICT_SIZE], bad[NTC_EVICT_SIZE];
	struct ntc_evict again;
	double nan = (double)NAN;

	begin(20 * KIB, 0);
	for (unsigned i = 0; i < 500; i++)
		(void)use(i, KIB, i * MS);
	ck_assert(evict.inflation > 0);
	evict.shadow.chosen = 2;
	ntc_evict_save(&evict, saved);
	ntc_evict_init(&again, 1, 1);
	ck_assert(ntc_evict_load(&again, saved, sizeof(saved)));
	ck_assert(again.inflation == evict.inflation);
	ck_assert(again.typical == evict.typical);
	ck_assert(ntc_shadow_sharpness(&again.shadow) == ntc_shadow_sharpness(&evict.shadow));
	/* Nothing, something else, damage. */
	ntc_evict_init(&again, 1, 1);
	ck_assert(!ntc_evict_load(&again, NULL, 0));
	ck_assert(!ntc_evict_load(&again, saved, sizeof(saved) - 1));
	for (size_t at = 0; at < sizeof(saved); at += 8) {
		memcpy(bad, saved, sizeof(bad));
		memcpy(bad + at, &nan, sizeof(nan));
		ck_assert(!ntc_evict_load(&again, bad, sizeof(bad)));
	}
	memcpy(bad, saved, sizeof(bad));
	bad[0] = NTC_SHADOWS;
	ck_assert(!ntc_evict_load(&again, bad, sizeof(bad)));
	ck_assert(again.inflation == 0);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("evict");
	TCase *tc = tcase_create("pure");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, victims_are_worth_least);
	tcase_add_test(tc, what_has_to_go);
	tcase_add_test(tc, weights_follow_use);
	tcase_add_test(tc, density_is_time_for_room);
	tcase_add_test(tc, values_rank);
	tcase_add_test(tc, damaged_rows_are_seen);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	tc = tcase_create("cache");
	tcase_add_test(tc, once_used_ones_do_not_push_out_the_core);
	tcase_add_test(tc, what_is_dear_stays_longer_but_not_for_ever);
	tcase_add_test(tc, small_ones_stay_longer);
	tcase_add_test(tc, size_is_nothing_where_only_entries_count);
	tcase_add_test(tc, both_caps_hold);
	tcase_add_test(tc, who_comes_back_has_its_weight);
	tcase_add_test(tc, ghosts_are_bounded);
	tcase_add_test(tc, shadows_learn_that_recency_counts);
	tcase_add_test(tc, shadows_learn_that_density_counts);
	tcase_add_test(tc, shadows_sample_large_caches);
	tcase_add_test(tc, what_is_learnt_is_kept);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
