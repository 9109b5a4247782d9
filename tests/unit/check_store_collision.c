/* Two keys with one digest: the second is never the first, whatever is done with it. */
#include "store_fixture.h"

/* Instead of proto/key_digest.c: every key has the same one. */
struct ntc_digest ntc_key_digest(struct ntc_view key)
{
	struct ntc_digest digest;

	(void)key;
	memset(digest.bytes, 0x5a, sizeof(digest.bytes));
	return digest;
}

static void setup(void)
{
	options = (struct ntc_store_options){ 0 };
	make_dir();
	open_store();
}

static void teardown(void)
{
	close_store();
	remove_dir();
}

/* Everything with key 2 while key 1 holds the digest. */
static void second_key_touches_nothing(void)
{
	struct answer a = { 0 };

	ck_assert_int_eq(load_now(2, 'y', 100), NTC_ST_COLLISION);
	put(2, 'y', 100, &a);
	wait_for(&a.decided);
	ck_assert_int_eq(a.decided_st, NTC_ST_COLLISION);
	ck_assert_uint_eq(remove_now(2), 0);
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_OK);
	ck_assert_int_eq(a.durable, 0);
}

START_TEST(in_memory)
{
	struct answer a = { 0 };

	close_store();
	options.group_wait_ns = 300 * NTC_NS_PER_MS;
	open_store();
	put(1, 'x', 100, &a);
	second_key_touches_nothing();
	ck_assert_int_eq(a.durable, 0);
	wait_for(&a.durable);
	ck_assert_int_eq(a.durable_st, NTC_ST_OK);
}
END_TEST

START_TEST(on_disk)
{
	put_now(1, 'x', 100);
	second_key_touches_nothing();
	reopen_store();
	second_key_touches_nothing();
	/* Once the first is gone the digest is free. */
	ck_assert_uint_eq(remove_now(1), 1);
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_NOT_FOUND);
	ck_assert_int_eq(put_now(2, 'y', 100), NTC_STORED_NEW);
	ck_assert_int_eq(load_now(2, 'y', 100), NTC_ST_OK);
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_COLLISION);
}
END_TEST

START_TEST(many_at_once_have_one_winner)
{
	struct answer a[16] = { 0 };
	unsigned won = 0;

	put_now(99, 'x', 100);
	for (unsigned i = 0; i < 16; i++) {
		/* The first to remove and the first to put behind it win. */
		remove_key(i % 2 ? 98 : 99, &a[i]);
		put(i, 'x', 100, &a[i]);
	}
	for (unsigned i = 0; i < 16; i++)
		wait_for(&a[i].decided);
	for (unsigned i = 0; i < 16; i++) {
		if (a[i].decided_st == NTC_ST_OK && a[i].stored == NTC_STORED_NEW)
			won++;
		else
			ck_assert_int_eq(a[i].decided_st, NTC_ST_COLLISION);
	}
	ck_assert_uint_eq(won, 1);
	ck_assert_int_eq(load_now(0, 'x', 100), NTC_ST_OK);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_collision");
	TCase *tc = tcase_create("store_collision");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, in_memory);
	tcase_add_test(tc, on_disk);
	tcase_add_test(tc, many_at_once_have_one_winner);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
