/* Pins: what is pinned is neither evicted nor too old, whatever the caps say. */
#include "store_fixture.h"

#include "store/pins.h"
#include "tests/support/unit_sys.h"

static void setup(void)
{
	options = (struct ntc_store_options){ .inline_max = 1000 };
	make_dir();
	open_store();
}

static void teardown(void)
{
	close_store();
	ntc_test_hook_sys(NULL);
	remove_dir();
}

static void on_pin(void *ctx, enum ntc_status st)
{
	struct answer *a = ctx;

	a->removed++;
	a->remove_st = st;
}

static enum ntc_status pin_now(unsigned n, enum ntc_pin what)
{
	struct ntc_digest digest = digest_of(n);
	struct answer a = { 0 };

	ntc_store_pin(store, &digest, ntc_view(NULL, 0), what, on_pin, &a);
	wait_for(&a.removed);
	return a.remove_st;
}

static enum ntc_status pin_key_now(unsigned n, unsigned as, enum ntc_pin what)
{
	struct ntc_digest digest = digest_of(as);
	struct ntc_buffer *key = make_key(n);
	struct answer a = { 0 };

	ntc_store_pin(store, &digest, view_of(key), what, on_pin, &a);
	wait_for(&a.removed);
	ntc_buffer_unref(key);
	return a.remove_st;
}

static void unpin(unsigned n)
{
	struct ntc_digest *digest = malloc(sizeof(*digest));

	*digest = digest_of(n);
	ck_assert(ntc_store_unpin(store, digest, 1));
}

/* Entries of 20000 bytes from `from` on; 10 fit. */
static void crowd(unsigned from, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		put_now(from + i, 'x', 20000);
}

static void cap(uint64_t bytes)
{
	options.max_bytes = bytes;
	reopen_store();
}

/* --- the map ------------------------------------------------------------------------------ */

START_TEST(map_counts)
{
	enum { MANY = 300, STEPS = 60000 };
	static unsigned model[MANY];
	struct ntc_pins pins = { .seed = 5 };
	unsigned random = 1, count = 0;

	ck_assert(!ntc_pins_has(&pins, &(struct ntc_digest){ { 0 } }));
	for (unsigned i = 0; i < STEPS; i++) {
		struct ntc_digest digest = { { 0 } };
		unsigned n = (random = random * 1103515245 + 12345) >> 16, which = n % MANY;

		digest.bytes[0] = (uint8_t)which;
		digest.bytes[15] = (uint8_t)(which >> 8);
		/* Two of three while it fills, one of three while it empties. */
		if (n / MANY % 3 < (i < STEPS / 2 ? 2 : 1)) {
			ck_assert_int_eq(ntc_pins_add(&pins, &digest), NTC_ST_OK);
			model[which]++;
			count++;
		} else {
			ntc_pins_drop(&pins, &digest);
			count -= model[which] != 0;
			model[which] -= model[which] != 0;
		}
		ck_assert_uint_eq(pins.count, count);
		ck_assert_int_eq(ntc_pins_has(&pins, &digest), model[which] != 0);
	}
	for (unsigned which = 0; which < MANY; which++) {
		struct ntc_digest digest = { { (uint8_t)which } };

		digest.bytes[15] = (uint8_t)(which >> 8);
		ck_assert_int_eq(ntc_pins_has(&pins, &digest), model[which] != 0);
	}
	ntc_pins_release(&pins);
	ck_assert_uint_eq(pins.count, 0);
}
END_TEST

START_TEST(map_is_bounded)
{
	struct ntc_pins pins = { 0 };
	struct ntc_digest digest = { { 0 } };

	for (unsigned i = 0; i < NTC_PINS_MAX; i++) {
		memcpy(digest.bytes, &i, sizeof(i));
		ck_assert_int_eq(ntc_pins_add(&pins, &digest), NTC_ST_OK);
	}
	ck_assert_int_eq(ntc_pins_add(&pins, &digest), NTC_ST_BUSY);
	ntc_pins_drop(&pins, &digest);
	ck_assert_int_eq(ntc_pins_add(&pins, &digest), NTC_ST_OK);
	ntc_pins_release(&pins);
}
END_TEST

/* --- in a store --------------------------------------------------------------------------- */

START_TEST(kept_ones_stay)
{
	struct answer a = { 0 };

	cap(210000);
	put_now(0, 'x', 20000);
	put_now(1, 'x', 100);
	ck_assert_int_eq(pin_now(0, NTC_PIN_KEEP), NTC_ST_OK);
	ck_assert_int_eq(pin_key_now(1, 1, NTC_PIN_KEEP), NTC_ST_OK);
	/* Once is enough. */
	ck_assert_int_eq(pin_now(0, NTC_PIN_KEEP), NTC_ST_OK);
	ck_assert_uint_eq(stats_now().pinned, 2);
	ck_assert_uint_gt(stats_now().pinned_bytes, 20100);
	crowd(10, 40);
	reopen_store();
	ck_assert_uint_eq(stats_now().pinned, 2);
	crowd(60, 40);
	ck_assert_int_eq(load_now(0, 'x', 20000), NTC_ST_OK);
	load(1, &a);
	wait_for(&a.loaded);
	ck_assert_uint_eq(a.row.flags & NTC_ROW_PINNED, NTC_ROW_PINNED);
	ntc_buffer_unref(a.image);
	reopen_store();
	ck_assert_uint_le(stats_now().bytes, 210000);
	ck_assert(!stats_now().full_of_pins);
	/* Let go, they go like others. */
	ck_assert_int_eq(pin_now(0, NTC_PIN_LET), NTC_ST_OK);
	ck_assert_int_eq(pin_now(0, NTC_PIN_LET), NTC_ST_NOT_FOUND);
	ck_assert_uint_eq(stats_now().pinned, 1);
	crowd(110, 60);
	ck_assert_int_eq(load_now(0, 'x', 20000), NTC_ST_NOT_FOUND);
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_OK);
}
END_TEST

START_TEST(used_ones_stay_as_long)
{
	cap(210000);
	put_now(0, 'x', 20000);
	ck_assert_int_eq(pin_now(0, NTC_PIN_USE), NTC_ST_OK);
	ck_assert_int_eq(pin_now(0, NTC_PIN_USE), NTC_ST_OK);
	ck_assert_uint_eq(stats_now().pins, 2);
	ck_assert_uint_eq(stats_now().pinned, 0);
	crowd(10, 60);
	unpin(0);
	crowd(70, 60);
	ck_assert_int_eq(load_now(0, 'x', 20000), NTC_ST_OK);
	unpin(0);
	ck_assert_uint_eq(stats_now().pins, 0);
	crowd(130, 60);
	ck_assert_int_eq(load_now(0, 'x', 20000), NTC_ST_NOT_FOUND);
	/* They are nobody's behind a restart. */
	ck_assert_int_eq(pin_now(189, NTC_PIN_USE), NTC_ST_OK);
	reopen_store();
	ck_assert_uint_eq(stats_now().pins, 0);
	crowd(200, 60);
	ck_assert_int_eq(load_now(189, 'x', 20000), NTC_ST_NOT_FOUND);
}
END_TEST

START_TEST(what_is_not_there_is_not_pinned)
{
	struct ntc_digest digest = digest_of(3);
	struct answer put_answer = { 0 }, pinned = { 0 }, removed = { 0 };

	ck_assert_int_eq(pin_now(1, NTC_PIN_KEEP), NTC_ST_NOT_FOUND);
	ck_assert_int_eq(pin_now(1, NTC_PIN_USE), NTC_ST_NOT_FOUND);
	put_now(2, 'x', 100);
	/* Another key under its digest, as far as the store can tell. */
	ck_assert_int_eq(pin_key_now(1, 2, NTC_PIN_KEEP), NTC_ST_NOT_FOUND);
	ck_assert_int_eq(pin_key_now(2, 2, NTC_PIN_KEEP), NTC_ST_OK);
	/* Behind a removal there is nothing; behind a put that is on its way there is. */
	put_now(3, 'x', 100);
	remove_key(3, &removed);
	ck_assert_int_eq(pin_now(3, NTC_PIN_USE), NTC_ST_NOT_FOUND);
	wait_for(&removed.removed);
	put(3, 'x', 100, &put_answer);
	ntc_store_pin(store, &digest, ntc_view(NULL, 0), NTC_PIN_KEEP, on_pin, &pinned);
	wait_for(&pinned.removed);
	ck_assert_int_eq(pinned.remove_st, NTC_ST_OK);
	ck_assert_int_eq(put_answer.durable, 1);
	ck_assert_uint_eq(stats_now().pinned, 2);
	/* Who removes it removes it, pinned or not, and what is put again is not. */
	ck_assert_uint_eq(remove_now(3), 1);
	ck_assert_uint_eq(stats_now().pinned, 1);
	put_now(3, 'x', 100);
	ck_assert_uint_eq(stats_now().pinned, 1);
	ck_assert_int_eq(pin_now(3, NTC_PIN_LET), NTC_ST_NOT_FOUND);
}
END_TEST

START_TEST(more_pins_than_fit)
{
	for (unsigned i = 0; i < 10; i++) {
		put_now(i, 'x', 20000);
		ck_assert_int_eq(pin_now(i, i % 2 ? NTC_PIN_KEEP : NTC_PIN_USE), NTC_ST_OK);
	}
	close_store();
	options.max_bytes = 70000;
	open_store();
	/* Five are kept behind the restart, and three would fit. */
	while (!stats_now().full_of_pins)
		wait_turn();
	ck_assert_uint_eq(stats_now().entries, 5);
	/* Everything goes on; what is not pinned comes and goes. */
	ck_assert_int_eq(put_now(20, 'x', 20000), NTC_STORED_NEW);
	for (unsigned i = 1; i < 10; i += 2)
		ck_assert_int_eq(load_now(i, 'x', 20000), NTC_ST_OK);
	ck_assert_int_eq(put_now(21, 'x', 20000), NTC_STORED_NEW);
	ck_assert_int_eq(put_now(22, 'x', 100), NTC_STORED_NEW);
	reopen_store();
	while (!stats_now().full_of_pins)
		wait_turn();
	ck_assert_uint_eq(stats_now().entries, 5);
	/* Said once in each life. */
	ck_assert_ptr_nonnull(strstr(last_log, "nothing is left that may go"));
	ck_assert_uint_eq(log_count, 2);
	for (unsigned i = 1; i < 6; i += 2)
		ck_assert_int_eq(pin_now(i, NTC_PIN_LET), NTC_ST_OK);
	ck_assert_int_eq(put_now(23, 'x', 100), NTC_STORED_NEW);
	ck_assert_int_eq(put_now(24, 'x', 100), NTC_STORED_NEW);
	ck_assert(!stats_now().full_of_pins);
	ck_assert_uint_le(stats_now().bytes, 70000);
	ck_assert_int_eq(load_now(7, 'x', 20000), NTC_ST_OK);
}
END_TEST

/* --- faults ------------------------------------------------------------------------------- */

static bool broken;

static int inject(enum ntc_test_call call, const char *name, int flags)
{
	(void)name;
	(void)flags;
	return broken && (call == NTC_CALL_WRITE || call == NTC_CALL_FSYNC) ? EIO : 0;
}

/* What could not be written down is not pinned, also as far as anybody is told. */
START_TEST(pins_that_cannot_be_written)
{
	enum ntc_status st;

	close_store();
	ntc_test_hook_sys(inject);
	open_store();
	put_now(1, 'x', 20000);
	put_now(2, 'x', 20000);
	broken = true;
	st = pin_now(1, NTC_PIN_KEEP);
	broken = false;
	ck_assert_int_ne(st, NTC_ST_OK);
	ck_assert_int_ne(st, NTC_ST_NOT_FOUND);
	ck_assert_uint_eq(stats_now().pinned, 0);
	ck_assert_int_eq(pin_now(2, NTC_PIN_KEEP), NTC_ST_OK);
	reopen_store();
	ck_assert_uint_eq(stats_now().pinned, 1);
	ck_assert_int_eq(pin_now(1, NTC_PIN_LET), NTC_ST_NOT_FOUND);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_pins");
	TCase *tc = tcase_create("store_pins");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, map_counts);
	tcase_add_test(tc, map_is_bounded);
	tcase_add_test(tc, kept_ones_stay);
	tcase_add_test(tc, used_ones_stay_as_long);
	tcase_add_test(tc, what_is_not_there_is_not_pinned);
	tcase_add_test(tc, more_pins_than_fit);
	tcase_add_test(tc, pins_that_cannot_be_written);
	tcase_set_timeout(tc, 120);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
