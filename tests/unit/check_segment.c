/* The shared segment: both halves on one piece of memory. */
#include "proto/segment_writer.h"

#include <check.h>
#include <stdlib.h>

#include "tests/support/unit_data.h"
#include "tests/support/unit_image.h"

#define KIB 1024u
#define SIZE (256 * KIB)

static uint8_t *memory;
static size_t memory_size;
static struct ntc_segment_writer writer;
static struct ntc_segment reader;
static bool may_grow;
static uint64_t grown_to;

static bool on_grow(void *ctx, uint64_t from, uint64_t to)
{
	(void)ctx;
	ck_assert_uint_eq(from, grown_to);
	ck_assert_uint_gt(to, from);
	ck_assert_uint_le(to, memory_size);
	if (may_grow)
		grown_to = to;
	return may_grow;
}

static void start_with(size_t size)
{
	memory_size = size;
	memory = aligned_alloc(4096, size);
	ck_assert_ptr_nonnull(memory);
	memset(memory, 0, size);
	may_grow = true;
	grown_to = ntc_segment_table_end(size);
	ck_assert(ntc_segment_make(memory, size, 77, on_grow, NULL, &writer));
	ck_assert_int_eq(ntc_segment_open(memory, size, &reader, NULL), NTC_ST_OK);
}

static void start(void)
{
	start_with(SIZE);
}

static void stop(void)
{
	free(memory);
}

/* Publish the image of key `k`, whose content is of round `round`. */
static bool publish(uint32_t k, uint32_t round, size_t size)
{
	struct ntc_digest digest;
	struct ntc_view image = ntc_test_image(k, round, size, &digest);
	bool done = ntc_segment_publish(&writer, &digest, image);

	ntc_test_free(image);
	return done;
}

static struct ntc_digest digest_of(uint32_t k)
{
	uint8_t key[NTC_TEST_KEY_MAX];

	return ntc_key_digest(ntc_test_key(k, key));
}

static bool find(uint32_t k, struct ntc_segment_hit *hit)
{
	uint8_t key[NTC_TEST_KEY_MAX];
	struct ntc_view view = ntc_test_key(k, key);
	struct ntc_digest digest = ntc_key_digest(view);

	return ntc_segment_find(&reader, &digest, view, hit);
}

/* What a reader gets: the round of the image, every byte of which was compared; -1 if it is not there. */
static long get(uint32_t k)
{
	struct ntc_segment_hit hit;
	uint32_t round;
	uint8_t *copy;

	if (!find(k, &hit))
		return -1;
	copy = malloc(hit.len);
	ck_assert_ptr_nonnull(copy);
	ntc_racing_copy_out(copy, hit.image, hit.len);
	ck_assert(ntc_segment_valid(&hit));
	ck_assert(ntc_test_image_good(ntc_view(copy, hit.len), k, &round));
	free(copy);
	return round;
}

static bool unpublish(uint32_t k)
{
	struct ntc_digest digest = digest_of(k);

	return ntc_segment_unpublish(&writer, &digest);
}

/* --- opening ------------------------------------------------------------------------------ */

START_TEST(opens_only_what_it_is)
{
	static const size_t words[] = { 0, NTC_SEGMENT_AT_SIZE, NTC_SEGMENT_AT_SLOTS };
	struct ntc_segment s;
	struct ntc_reason reason;

	ck_assert_uint_eq(reader.instance, 77);
	ck_assert_uint_eq(reader.groups, writer.groups);
	ck_assert_uint_eq(reader.units, writer.units);
	ck_assert_ptr_eq(reader.arena, writer.arena);
	ck_assert_int_eq(ntc_segment_open(memory, SIZE - 4096, &s, &reason), NTC_ST_BAD_IMAGE);
	ck_assert_int_eq(ntc_segment_open(memory, 4096, &s, &reason), NTC_ST_BAD_IMAGE);
	for (size_t i = 0; i < 3; i++)
		for (unsigned byte = 0; byte < 8; byte++) {
			memory[words[i] + byte] ^= 0x21;
			ck_assert_int_eq(ntc_segment_open(memory, SIZE, &s, &reason),
					 i == 0 && byte == 7 ? NTC_ST_BAD_VERSION : NTC_ST_BAD_IMAGE);
			ck_assert_ptr_null(s.table);
			memory[words[i] + byte] ^= 0x21;
		}
	/* A power of two, but more than there is memory for. */
	ntc_store64(memory + NTC_SEGMENT_AT_SLOTS, SIZE / 32);
	ck_assert_int_eq(ntc_segment_open(memory, SIZE, &s, &reason), NTC_ST_BAD_IMAGE);
	ntc_store64(memory + NTC_SEGMENT_AT_SLOTS, 4);
	ck_assert_int_eq(ntc_segment_open(memory, SIZE, &s, &reason), NTC_ST_BAD_IMAGE);
}
END_TEST

START_TEST(is_made_of_what_can_be)
{
	struct ntc_segment_writer w;

	ck_assert(!ntc_segment_make(memory, NTC_SEGMENT_MIN - 4096, 1, NULL, NULL, &w));
	ck_assert(!ntc_segment_make(memory, NTC_SEGMENT_MIN + 64, 1, NULL, NULL, &w));
	memset(memory, 0, NTC_SEGMENT_MIN);
	ck_assert(ntc_segment_make(memory, NTC_SEGMENT_MIN, 1, NULL, NULL, &w));
	ck_assert_int_eq(ntc_segment_open(memory, NTC_SEGMENT_MIN, &reader, NULL), NTC_ST_OK);
}
END_TEST

START_TEST(tells_when_it_is_over)
{
	ck_assert(ntc_segment_alive(&reader));
	/* As the kernel does it when the owner dies: bit 30, whoever it was. */
	ntc_store32(memory + NTC_SEGMENT_AT_OWNER, 4242);
	ck_assert(ntc_segment_alive(&reader));
	ntc_store32(memory + NTC_SEGMENT_AT_OWNER, NTC_SEGMENT_OWNER_DIED);
	ck_assert(!ntc_segment_alive(&reader));
	ntc_store32(memory + NTC_SEGMENT_AT_OWNER, 4242);
	ntc_segment_close(&writer);
	ck_assert(!ntc_segment_alive(&reader));
}
END_TEST

/* --- publishing --------------------------------------------------------------------------- */

START_TEST(finds_what_was_published)
{
	for (uint32_t k = 0; k < 20; k++) {
		ck_assert_int_eq(get(k), -1);
		ck_assert(publish(k, k, 1000 + 100 * k));
		ck_assert_int_eq(get(k), k);
	}
	for (uint32_t k = 0; k < 20; k++)
		ck_assert_int_eq(get(k), k);
	ck_assert_uint_eq(writer.entries, 20);
	ck_assert_uint_eq(writer.published, 20);
	ck_assert_uint_eq(writer.evicted, 0);
}
END_TEST

START_TEST(compares_the_whole_key)
{
	uint8_t key[NTC_TEST_KEY_MAX];
	struct ntc_view view = ntc_test_key(5, key);
	struct ntc_digest digest = ntc_key_digest(view);
	struct ntc_segment_hit hit;

	ck_assert(publish(5, 1, 1000));
	for (size_t i = 0; i < view.len; i++) {
		key[i] ^= 1;
		ck_assert_msg(!ntc_segment_find(&reader, &digest, view, &hit), "byte %zu of the key", i);
		ck_assert_ptr_null(hit.image);
		key[i] ^= 1;
	}
	ck_assert(ntc_segment_find(&reader, &digest, view, &hit));
	view.len--;
	ck_assert(!ntc_segment_find(&reader, &digest, view, &hit));
}
END_TEST

START_TEST(a_removal_ends_reading)
{
	struct ntc_segment_hit hit;

	ck_assert(!unpublish(1));
	ck_assert(publish(1, 1, 1000));
	ck_assert(find(1, &hit));
	ck_assert(ntc_segment_valid(&hit));
	ck_assert(unpublish(1));
	ck_assert(!ntc_segment_valid(&hit));
	ck_assert_int_eq(get(1), -1);
	ck_assert_uint_eq(writer.entries, 0);
	ck_assert_uint_eq(writer.bytes, 0);
	/* The same slot again: an old reader is not taken in. */
	ck_assert(publish(1, 1, 1000));
	ck_assert(!ntc_segment_valid(&hit));
	ck_assert_int_eq(get(1), 1);
}
END_TEST

START_TEST(replaces)
{
	struct ntc_segment_hit hit;

	ck_assert(publish(1, 1, 1000));
	ck_assert(find(1, &hit));
	ck_assert(publish(1, 2, 5000));
	ck_assert(!ntc_segment_valid(&hit));
	ck_assert_int_eq(get(1), 2);
	ck_assert_uint_eq(writer.entries, 1);
	ck_assert_uint_lt(writer.bytes, 6000);
	/* Also where the new one needs the old one's room. */
	for (uint32_t i = 0; i < 40; i++) {
		ck_assert(publish(1, i, 150 * KIB));
		ck_assert_int_eq(get(1), i);
		ck_assert_uint_eq(writer.entries, 1);
	}
}
END_TEST

START_TEST(what_does_not_fit_leaves_nothing)
{
	ck_assert(publish(1, 1, 1000));
	ck_assert(publish(2, 1, 1000));
	ck_assert(!publish(1, 2, SIZE));
	ck_assert_int_eq(get(1), -1);
	ck_assert_int_eq(get(2), 1);
	/* The largest that does. */
	ck_assert(publish(3, 1, (size_t)writer.units * 64 - 64 - 1024));
	ck_assert_int_eq(get(3), 1);
	ck_assert_int_eq(get(2), -1);
	ck_assert(publish(2, 2, 1000));
	ck_assert_int_eq(get(2), 2);
}
END_TEST

START_TEST(a_slot_left_half_written_is_a_miss)
{
	struct ntc_segment_slot *slot;
	struct ntc_segment_hit hit;

	ck_assert(publish(1, 1, 1000));
	ck_assert(find(1, &hit));
	slot = (struct ntc_segment_slot *)(uintptr_t)hit.sequence;
	slot->sequence++;
	ck_assert(!ntc_segment_valid(&hit));
	ck_assert_int_eq(get(1), -1);
	slot->digest[0] = 0;
	ck_assert_int_eq(get(1), -1);
	/* Others in its group are found all the same. */
	for (uint32_t k = 2; k < 60; k++) {
		ck_assert(publish(k, 1, 100));
		ck_assert_int_eq(get(k), 1);
	}
}
END_TEST

START_TEST(slots_that_lie_are_misses)
{
	struct ntc_segment_slot *slot;
	struct ntc_segment_hit hit;
	uint64_t first, units, where;

	ck_assert(publish(1, 1, 1000));
	ck_assert(find(1, &hit));
	slot = (struct ntc_segment_slot *)(uintptr_t)hit.sequence;
	where = slot->where;
	first = (uint32_t)where;
	units = where >> 32;
	ck_assert_int_eq(get(1), 1);
	for (uint64_t bad = 0; bad < 5; bad++) { /* too short to be an image */
		slot->where = first | bad << 32;
		ck_assert(!find(1, &hit));
	}
	slot->where = first | (writer.units - first + 1) << 32;
	ck_assert(!find(1, &hit));
	slot->where = first | UINT64_C(0xffffffff) << 32;
	ck_assert(!find(1, &hit));
	slot->where = writer.units | units << 32;
	ck_assert(!find(1, &hit));
	slot->where = UINT32_MAX | units << 32;
	ck_assert(!find(1, &hit));
	/* The end of the arena is inside. */
	slot->where = first | (writer.units - first) << 32;
	ck_assert(find(1, &hit));
	ck_assert_ptr_eq((const uint8_t *)hit.image + hit.len, memory + SIZE);
	/* A key that would reach beyond its image. */
	slot->where = where;
	ntc_store32((uint8_t *)(uintptr_t)reader.arena + first * 64 + 32, UINT32_MAX);
	ck_assert(!find(1, &hit));
}
END_TEST

START_TEST(finds_parts_where_they_lie)
{
	struct ntc_segment_hit hit;
	struct ntc_view part;
	uint64_t *words, *row, kept, key_and_notes, table;
	struct ntc_view name = ntc_view("data", 4);

	ck_assert(publish(1, 1, 1000));
	ck_assert(find(1, &hit));
	ck_assert(ntc_segment_part(&hit, name, &part));
	ck_assert_uint_eq(part.len, 1000);
	ck_assert_uint_eq((uintptr_t)part.p % 64, 0);
	ck_assert_uint_eq(ntc_load32(part.p), 1); /* its round */
	ck_assert(!ntc_segment_part(&hit, ntc_view("dat", 3), &part));
	ck_assert_ptr_null(part.p);
	ck_assert(!ntc_segment_part(&hit, ntc_view("datb", 4), &part));
	/* Every number that leads there, wrong. */
	words = (uint64_t *)(uintptr_t)hit.image;
	key_and_notes = words[4];
	table = (64 + (uint32_t)key_and_notes + (key_and_notes >> 32) + 7) / 8;
	row = words + table;
	words[4] = UINT64_MAX;
	ck_assert(!ntc_segment_part(&hit, name, &part));
	words[4] = key_and_notes;
	kept = words[5];
	words[5] = UINT32_MAX;
	ck_assert(!ntc_segment_part(&hit, name, &part));
	words[5] = 0;
	ck_assert(!ntc_segment_part(&hit, name, &part));
	words[5] = kept;
	kept = row[0];
	row[0] = (kept >> 32 << 32) | UINT32_MAX;
	ck_assert(!ntc_segment_part(&hit, name, &part));
	row[0] = (kept >> 32 << 32) | (hit.len - NTC_STAMP_SIZE - 3);
	ck_assert(!ntc_segment_part(&hit, name, &part));
	row[0] = kept;
	kept = row[1];
	row[1] = hit.len - NTC_STAMP_SIZE - 999;
	ck_assert(!ntc_segment_part(&hit, name, &part));
	row[1] = UINT64_MAX - 100;
	ck_assert(!ntc_segment_part(&hit, name, &part));
	row[1] = hit.len - NTC_STAMP_SIZE - 1000;
	ck_assert(ntc_segment_part(&hit, name, &part));
	row[1] = kept;
	row[2] = UINT64_MAX;
	ck_assert(!ntc_segment_part(&hit, name, &part));
}
END_TEST

/* --- room --------------------------------------------------------------------------------- */

START_TEST(the_oldest_make_room)
{
	uint32_t k = 0, there = 0;

	while (!writer.evicted)
		ck_assert(publish(k++, 1, 5000));
	/* Nothing went before the arena was full. */
	ck_assert_uint_gt((k + 1) * 6 * KIB, writer.units * 64 - 6 * KIB);
	ck_assert_int_eq(get(0), -1);
	for (uint32_t i = 0; i < 200; i++)
		ck_assert(publish(k++, 1, 5000));
	for (uint32_t i = 0; i < k; i++)
		there += get(i) == 1;
	ck_assert_uint_eq(there, writer.entries);
	/* The newest are there, in a row. */
	for (uint32_t i = k - there; i < k; i++)
		ck_assert_int_eq(get(i), 1);
}
END_TEST

START_TEST(a_full_table_gives_up_a_slot)
{
	uint32_t there = 0;

	/* Images of less than 1 KiB fill the table before the arena. */
	for (uint32_t k = 0; k < 400; k++) {
		ck_assert(publish(k, 1, 8));
		ck_assert_int_eq(get(k), 1);
	}
	for (uint32_t k = 0; k < 400; k++)
		there += get(k) == 1;
	ck_assert_uint_eq(there, writer.entries);
	ck_assert_uint_eq(there + writer.evicted, 400);
	ck_assert_uint_gt(there, writer.groups * NTC_SEGMENT_GROUP / 2);
}
END_TEST

START_TEST(two_thirds_of_the_table_can_be_used)
{
	stop();
	start_with(16 * KIB * KIB);
	for (uint32_t k = 0; k < writer.groups * NTC_SEGMENT_GROUP * 2 / 3; k++)
		ck_assert(publish(k, 1, 8));
	ck_assert_uint_lt(writer.evicted, writer.entries / 200);
}
END_TEST

START_TEST(without_memory_it_stays_small)
{
	uint32_t k = 0;

	stop();
	start_with(8 * KIB * KIB);
	while (grown_to < 2 * KIB * KIB)
		ck_assert(publish(k++, 1, 5000));
	may_grow = false;
	for (uint32_t i = 0; i < 1000; i++) {
		ck_assert(publish(k++, 1, 5000));
		ck_assert_int_eq(get(k - 1), 1);
	}
	ck_assert_uint_le(writer.units * 64, 3 * KIB * KIB);
	ck_assert_uint_gt(writer.evicted, 0);
	may_grow = true;
	ck_assert(!publish(k, 1, 4 * KIB * KIB));
	stop();
	start_with(SIZE);
	may_grow = false;
	ck_assert(!publish(1, 1, 1000));
	ck_assert_int_eq(get(1), -1);
}
END_TEST

/* --- everything at once ------------------------------------------------------------------- */

/* What the segment holds is always a part of what a model says was published last; and its sums are right. */
START_TEST(agrees_with_a_model)
{
	enum { KEYS = 300 };
	long last[KEYS];
	uint64_t x = 88172645463325252u;

	for (int i = 0; i < KEYS; i++)
		last[i] = -1;
	for (uint32_t step = 0; step < 20000; step++) {
		uint32_t k;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		k = (uint32_t)(x >> 8) % KEYS;
		switch (x % 8) {
		case 0:
			ck_assert(unpublish(k) || get(k) == -1);
			last[k] = -1;
			break;
		default:
			ck_assert(publish(k, step, (size_t)(x >> 40) % (x % 64 == 5 ? 100 * KIB : 4 * KIB)));
			last[k] = step;
			ck_assert_int_eq(get(k), step);
		}
		if (step % 100 == 0) {
			uint64_t there = 0;

			for (uint32_t i = 0; i < KEYS; i++) {
				long got = get(i);

				ck_assert(got == -1 || got == last[i]);
				there += got >= 0;
			}
			ck_assert_uint_eq(there, writer.entries);
		}
	}
	for (uint32_t i = 0; i < KEYS; i++)
		(void)unpublish(i); /* it may be gone */
	ck_assert_uint_eq(writer.entries, 0);
	ck_assert_uint_eq(writer.bytes, 0);
	/* All of it is room again. */
	ck_assert(publish(1, 1, (size_t)writer.units * 64 - 64 - 1024));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("segment");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, start, stop);
	tcase_add_test(tc, opens_only_what_it_is);
	tcase_add_test(tc, is_made_of_what_can_be);
	tcase_add_test(tc, tells_when_it_is_over);
	tcase_add_test(tc, finds_what_was_published);
	tcase_add_test(tc, compares_the_whole_key);
	tcase_add_test(tc, a_removal_ends_reading);
	tcase_add_test(tc, replaces);
	tcase_add_test(tc, what_does_not_fit_leaves_nothing);
	tcase_add_test(tc, a_slot_left_half_written_is_a_miss);
	tcase_add_test(tc, slots_that_lie_are_misses);
	tcase_add_test(tc, finds_parts_where_they_lie);
	tcase_add_test(tc, the_oldest_make_room);
	tcase_add_test(tc, a_full_table_gives_up_a_slot);
	tcase_add_test(tc, two_thirds_of_the_table_can_be_used);
	tcase_add_test(tc, without_memory_it_stays_small);
	tcase_add_test(tc, agrees_with_a_model);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
