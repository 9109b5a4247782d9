/* Compile slots and kept failures: the rules by themselves. */
#include "daemon/failure.h"
#include "daemon/slot.h"

#include <check.h>
#include <stdlib.h>

#define S UINT64_C(1000000000)

struct told {
	uint64_t conn, request;
	enum ntc_slot_verdict verdict;
};

static struct told told[64];
static size_t told_count;
static struct ntc_slots *slots;

static void on_answer(void *ctx, uint64_t conn, uint64_t request, enum ntc_slot_verdict verdict)
{
	(void)ctx;
	told[told_count++] = (struct told){ conn, request, verdict };
}

static void start(void)
{
	told_count = 0;
	slots = ntc_slots_new(2, 10 * S, on_answer, NULL);
	ck_assert_ptr_nonnull(slots);
}

static void stop(void)
{
	ntc_slots_free(slots);
}

/* conn, task, lease = request. */
static void ask(uint64_t conn, uint64_t task, uint64_t lease)
{
	ck_assert_int_eq(ntc_slots_ask(slots, conn, task, lease, lease, 0, 0), NTC_ST_OK);
}

static void expect(uint64_t request, enum ntc_slot_verdict verdict)
{
	ck_assert_uint_gt(told_count, 0);
	ck_assert_uint_eq(told[told_count - 1].request, request);
	ck_assert_int_eq(told[told_count - 1].verdict, verdict);
}

START_TEST(as_many_as_allowed)
{
	ask(1, 1, 10);
	ask(2, 1, 20);
	ask(3, 1, 30);
	ck_assert_uint_eq(told_count, 2);
	expect(20, NTC_SLOT_GRANTED);
	ck_assert_uint_eq(ntc_slots_counts(slots).busy, 2);
	ntc_slots_end(slots, 10);
	expect(30, NTC_SLOT_GRANTED);
	ck_assert_uint_eq(ntc_slots_counts(slots).busy, 2);
	ntc_slots_end(slots, 10);
	ck_assert_uint_eq(told_count, 3);
}
END_TEST

START_TEST(nested_makes_share)
{
	ask(1, 1, 10);
	ask(1, 1, 11);
	expect(11, NTC_SLOT_SHARED);
	/* The nested lease's end frees nothing. */
	ntc_slots_end(slots, 11);
	ck_assert_uint_eq(ntc_slots_counts(slots).busy, 1);
	ask(1, 2, 12);
	expect(12, NTC_SLOT_GRANTED);
}
END_TEST

START_TEST(nobody_waits_for_ever)
{
	ask(1, 1, 10);
	ask(2, 1, 20);
	ask(3, 1, 30);
	ntc_slots_tick(slots, 9 * S);
	ck_assert_uint_eq(told_count, 2);
	ntc_slots_tick(slots, 10 * S);
	expect(30, NTC_SLOT_OVER);
	ck_assert(!ntc_slots_busy(slots));
	ck_assert_uint_eq(ntc_slots_counts(slots).over, 1);
}
END_TEST

START_TEST(ends_cancels_drops)
{
	ask(1, 1, 10);
	ask(2, 1, 20);
	ask(3, 1, 30);
	ask(4, 1, 40);
	ask(5, 1, 50);
	ntc_slots_end(slots, 30);
	expect(30, NTC_SLOT_OVER);
	ntc_slots_cancel(slots, 4, 50);
	ck_assert_uint_eq(told_count, 3);
	ntc_slots_cancel(slots, 4, 40);
	expect(40, NTC_SLOT_CANCELLED);
	ntc_slots_drop(slots, 1);
	expect(50, NTC_SLOT_GRANTED);
	ntc_slots_drop(slots, 2);
	ntc_slots_drop(slots, 5);
	ck_assert_uint_eq(ntc_slots_counts(slots).busy, 0);
}
END_TEST

START_TEST(no_limit)
{
	struct ntc_slots *unlimited = ntc_slots_new(0, S, on_answer, NULL);

	for (uint64_t i = 0; i < 50; i++)
		ck_assert_int_eq(ntc_slots_ask(unlimited, i, 1, i, i, 0, 0), NTC_ST_OK);
	ck_assert_uint_eq(told_count, 50);
	ntc_slots_free(unlimited);
}
END_TEST

/* --- kept failures ------------------------------------------------------------------------ */

static struct ntc_view text(const char *s)
{
	return ntc_view(s, strlen(s));
}

START_TEST(failures_are_kept_for_a_while)
{
	struct ntc_failures *f = ntc_failures_new(60 * S);
	struct ntc_digest d = { { 1 } };
	struct ntc_view log;
	uint64_t age;

	ck_assert(!ntc_failures_find(f, text("k"), &d, 0, &log, &age));
	ntc_failures_add(f, text("k"), &d, text("line 1"), 0);
	ck_assert(ntc_failures_find(f, text("k"), &d, 59 * S, &log, &age));
	ck_assert(ntc_view_equal(log, text("line 1")));
	ck_assert_uint_eq(age, 59 * S);
	ntc_failures_add(f, text("k"), &d, text("line 2"), 59 * S);
	ck_assert_uint_eq(ntc_failures_count(f), 1);
	ck_assert(ntc_failures_find(f, text("k"), &d, 118 * S, &log, &age));
	ck_assert(ntc_view_equal(log, text("line 2")));
	ck_assert(!ntc_failures_find(f, text("k"), &d, 119 * S, &log, &age));
	ck_assert_uint_eq(ntc_failures_count(f), 0);
	ntc_failures_free(f);
}
END_TEST

START_TEST(failures_belong_to_whole_keys)
{
	struct ntc_failures *f = ntc_failures_new(60 * S);
	struct ntc_digest d = { { 1 } };
	struct ntc_view log;
	uint64_t age;

	ntc_failures_add(f, text("k1"), &d, text("one"), 0);
	ck_assert(!ntc_failures_find(f, text("k2"), &d, 0, &log, &age));
	ntc_failures_add(f, text("k2"), &d, text("two"), 0);
	ck_assert_uint_eq(ntc_failures_forget(f, text("k1"), &d), 1);
	ck_assert(ntc_failures_find(f, text("k2"), &d, 0, &log, &age));
	ntc_failures_add(f, text("k1"), &d, text("one"), 0);
	ck_assert_uint_eq(ntc_failures_forget(f, text(""), &d), 2);
	ntc_failures_free(f);
}
END_TEST

START_TEST(failures_are_bounded)
{
	struct ntc_failures *f = ntc_failures_new(60 * S);
	char *log = calloc(1, 64 << 10);

	for (uint32_t i = 0; i < 5000; i++) {
		struct ntc_digest d = { { (uint8_t)i, (uint8_t)(i >> 8) } };

		ntc_failures_add(f, ntc_view(&i, sizeof(i)), &d, ntc_view(log, i < 2000 ? 64 << 10 : 1), 0);
		ck_assert_uint_le(ntc_failures_count(f), i < 2000 ? 256 : NTC_FAILURES_MAX);
	}
	ck_assert_uint_eq(ntc_failures_count(f), NTC_FAILURES_MAX);
	free(log);
	ntc_failures_free(f);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("slot and failure");
	TCase *slot = tcase_create("slot"), *failure = tcase_create("failure");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(slot, start, stop);
	tcase_add_test(slot, as_many_as_allowed);
	tcase_add_test(slot, nested_makes_share);
	tcase_add_test(slot, nobody_waits_for_ever);
	tcase_add_test(slot, ends_cancels_drops);
	tcase_add_test(slot, no_limit);
	suite_add_tcase(suite, slot);
	tcase_add_test(failure, failures_are_kept_for_a_while);
	tcase_add_test(failure, failures_belong_to_whole_keys);
	tcase_add_test(failure, failures_are_bounded);
	suite_add_tcase(suite, failure);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
