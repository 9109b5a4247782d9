/* The store's small parts without a store: buffers, the table, the choice of victims. */
#include "store_fixture.h"

#include "store/age.h"
#include "store/table.h"

START_TEST(buffer_lives_until_the_last_reference)
{
	struct ntc_buffer *a = ntc_buffer_new(3), *b;

	ck_assert_uint_eq(a->len, 3);
	memcpy(a->bytes, "abc", 3);
	b = ntc_buffer_ref(a);
	ck_assert_ptr_eq(a, b);
	ntc_buffer_unref(a);
	ck_assert_mem_eq(b->bytes, "abc", 3);
	ntc_buffer_unref(b);
	ntc_buffer_unref(NULL);
	ck_assert_ptr_null(ntc_buffer_new(SIZE_MAX));
}
END_TEST

static struct ntc_entry numbered(uint32_t n)
{
	struct ntc_entry entry = { .size = n + 1, .kind = (uint8_t)(1 + n % NTC_KIND_TUNING) };

	/* Crowded on purpose: the mixing has only a few bits to work with. */
	ntc_store32(entry.digest.bytes + 4 * (n % 4), n);
	return entry;
}

START_TEST(table_agrees_with_an_array)
{
	enum { N = 3000, STEPS = 200000 };
	static bool there[N];
	struct ntc_table table;
	uint64_t bytes = 0, count = 0;
	uint32_t random = 12345;

	ntc_table_init(&table, 42);
	for (int step = 0; step < STEPS; step++) {
		uint32_t n;
		struct ntc_entry entry, *found;

		random = random * 1664525 + 1013904223;
		n = (random >> 8) % N;
		entry = numbered(n);
		found = ntc_table_find(&table, &entry.digest);
		ck_assert_int_eq(found != NULL, there[n]);
		if (found) {
			ck_assert_uint_eq(found->size, n + 1);
			ntc_table_remove(&table, found);
			bytes -= n + 1;
			count--;
		} else {
			ck_assert_ptr_nonnull(ntc_table_insert(&table, &entry));
			bytes += n + 1;
			count++;
		}
		there[n] = !there[n];
		ck_assert_uint_eq(table.count, count);
		ck_assert_uint_eq(table.bytes, bytes);
	}
	for (uint32_t n = 0; n < N; n++) {
		struct ntc_entry entry = numbered(n);

		ck_assert_int_eq(ntc_table_find(&table, &entry.digest) != NULL, there[n]);
	}
	for (int kind = 1; kind <= NTC_KIND_TUNING; kind++)
		bytes -= table.kind_bytes[kind];
	for (int kind = 1; kind <= NTC_KIND_TUNING; kind++)
		count -= table.kind_count[kind];
	ck_assert_uint_eq(bytes + count, 0);
	ck_assert_uint_le(table.places * sizeof(struct ntc_entry), 120 * 3000);
	ntc_table_release(&table);
}
END_TEST

START_TEST(ages_follow_the_clock_but_not_its_steps)
{
	const uint64_t s = NTC_NS_PER_S, start = UINT64_C(1700000000) * s;
	struct ntc_age age = { 0 }, again;
	uint8_t saved[NTC_AGE_SIZE];

	/* From the first reading on, wherever the clock stands. */
	ck_assert_uint_eq(ntc_age_read(&age, start), 0);
	ck_assert_uint_eq(ntc_age_read(&age, start + 10 * s + 5), 10);
	ck_assert_uint_eq(ntc_age_read(&age, start + 10 * s + 6), 10);
	/* A day is the most that counts, whichever way. */
	ck_assert_uint_eq(ntc_age_read(&age, start + 86410 * s), 86410);
	ck_assert_uint_eq(ntc_age_read(&age, start + (86410 + 86401) * s), 86410);
	ck_assert_uint_eq(ntc_age_read(&age, start), 86410);
	ck_assert_uint_eq(ntc_age_read(&age, start + s), 86411);
	/* Saved: what passes meanwhile counts by the same rule. */
	ntc_age_save(&age, saved);
	again = ntc_age_load(saved, sizeof(saved));
	ck_assert_uint_eq(ntc_age_read(&again, start + 101 * s), 86511);
	/* Nothing, a part, or nonsense: from 0. */
	again = ntc_age_load(NULL, 0);
	ck_assert_uint_eq(ntc_age_read(&again, start), 0);
	again = ntc_age_load(saved, sizeof(saved) - 1);
	ck_assert_uint_eq(ntc_age_read(&again, start), 0);
	memset(saved, 0xff, sizeof(saved));
	again = ntc_age_load(saved, sizeof(saved));
	ck_assert_uint_eq(ntc_age_read(&again, start), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_parts");
	TCase *tc = tcase_create("store_parts");

	tcase_add_test(tc, buffer_lives_until_the_last_reference);
	tcase_add_test(tc, table_agrees_with_an_array);
	tcase_add_test(tc, ages_follow_the_clock_but_not_its_steps);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
