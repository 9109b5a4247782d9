/* Entry images: what a body may be, every cut and every bit of a good image, finding parts, stamps. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/entry.h"
#include "proto/key.h"
#include "tests/support/unit_data.h"

static uint8_t key_bytes[64];
static struct ntc_view key;

/* A key of one field; the notes are the same bytes. */
static void setup(void)
{
	struct ntc_field f = { ntc_view("BLOCK", 5), NTC_TYPE_INT, ntc_view("\x40", 1) };
	struct ntc_writer w = ntc_writer(key_bytes, sizeof(key_bytes));

	ck_assert_int_eq(ntc_key_write(&w, NTC_KIND_KERNEL, &f, 1, NULL), NTC_ST_OK);
	key = ntc_view(key_bytes, w.len);
}

static struct ntc_part part(const char *name, const void *data, size_t len)
{
	return (struct ntc_part){ ntc_view(name, strlen(name)), ntc_view(data, len) };
}

static struct ntc_view build(const struct ntc_body_spec *spec)
{
	struct ntc_reason reason = { "" };
	enum ntc_status st;
	size_t size = ntc_body_size(spec, &st, &reason);
	uint8_t *memory;

	ck_assert_msg(size > 0 && st == NTC_ST_OK, "%s", reason.text);
	memory = malloc(size);
	memset(memory, 0xee, size);
	ntc_body_write(spec, memory);
	return ntc_view(memory, size);
}

/* A body of three parts with notes, and its stamp. Given. */
static struct ntc_view sample_image(void)
{
	struct ntc_part parts[] = { part("cubin", "\x7f" "ELF and more", 13), part("log", NULL, 0), part("names", "n", 1) };
	struct ntc_body_spec spec = { .key = key, .notes = key, .parts = parts, .part_count = 3 };
	struct ntc_stamp stamp = { 5, 6, 7, 8, 9, "host", "/bin/exe" };
	struct ntc_view body = build(&spec), image;
	struct ntc_body parsed;
	uint8_t *memory = malloc(body.len + NTC_STAMP_SIZE);

	ck_assert_int_eq(ntc_body_parse(body, &parsed, NULL), NTC_ST_OK);
	memcpy(memory, body.p, body.len);
	ntc_stamp_write(&stamp, &parsed.checksum, memory + body.len);
	image = ntc_view(memory, body.len + NTC_STAMP_SIZE);
	ntc_test_free(body);
	return image;
}

/* What a parsed body says, written again, is the same bytes (but for a checksum that was wrong). */
static void rewrite(const struct ntc_body *body)
{
	struct ntc_part *parts = calloc(body->part_count + 1, sizeof(*parts));
	struct ntc_body_spec spec = { body->key, body->notes, parts, body->part_count };
	struct ntc_view again;

	for (size_t i = 0; i < body->part_count; i++)
		parts[i] = ntc_body_part(body, i);
	again = build(&spec);
	ck_assert_uint_eq(again.len, body->bytes.len);
	ck_assert_mem_eq(again.p, body->bytes.p, 8);
	ck_assert_mem_eq(again.p + 24, body->bytes.p + 24, again.len - 24);
	ntc_test_free(again);
	free(parts);
}

START_TEST(test_cut_everywhere)
{
	struct ntc_view image = sample_image();
	struct ntc_body body;
	struct ntc_image parsed;

	ck_assert_int_eq(ntc_image_parse(image, &parsed, NULL), NTC_ST_OK);
	rewrite(&parsed.body);
	for (size_t len = 0; len < image.len; len++) {
		struct ntc_view cut = ntc_test_exact(image.p, len);
		struct ntc_reason reason = { "" };

		ck_assert_int_eq(ntc_image_parse(cut, &parsed, &reason), NTC_ST_BAD_IMAGE);
		ck_assert_uint_gt(strlen(reason.text), 0);
		ck_assert_ptr_null(parsed.stamp);
		if (len + NTC_STAMP_SIZE != image.len) {
			ck_assert_int_eq(ntc_body_parse(cut, &body, NULL), NTC_ST_BAD_IMAGE);
			ck_assert_ptr_null(body.bytes.p);
			ck_assert_uint_eq(body.part_count, 0);
		}
		/* also where the header agrees with the cut */
		if (len >= NTC_BODY_HEADER && len + NTC_STAMP_SIZE < image.len) {
			ntc_store64((uint8_t *)cut.p + 24, len);
			ck_assert_int_eq(ntc_body_parse(cut, &body, NULL), NTC_ST_BAD_IMAGE);
		}
		ntc_test_free(cut);
	}
	ck_assert_int_eq(ntc_body_parse(ntc_view(NULL, 0), &body, NULL), NTC_ST_BAD_IMAGE);
	ck_assert_int_eq(ntc_image_parse(ntc_view(NULL, 0), &parsed, NULL), NTC_ST_BAD_IMAGE);
	ntc_test_free(image);
}
END_TEST

/* No bit can change unseen, in the body or in the stamp. */
START_TEST(test_every_bit)
{
	struct ntc_view image = sample_image(), other = ntc_test_exact(image.p, image.len);
	size_t body_size = image.len - NTC_STAMP_SIZE;
	uint8_t *bytes = (uint8_t *)other.p;

	for (size_t bit = 0; bit < image.len * 8; bit++) {
		struct ntc_image parsed;
		struct ntc_stamp stamp;
		enum ntc_status st;

		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		st = ntc_image_parse(other, &parsed, NULL);
		if (bit / 8 < body_size) {
			if (st == NTC_ST_OK)
				st = ntc_body_verify(&parsed.body);
			ck_assert_msg(st != NTC_ST_OK, "bit %zu", bit);
		} else {
			ck_assert_int_eq(st, NTC_ST_OK);
			ck_assert_int_eq(ntc_body_verify(&parsed.body), NTC_ST_OK);
			ck_assert_int_ne(ntc_stamp_read(parsed.stamp, &parsed.body.checksum, &stamp), NTC_ST_OK);
		}
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	ntc_test_free(other);
	ntc_test_free(image);
}
END_TEST

/* Any other byte anywhere, with a checksum that is right again: refused, or other content in its one layout. */
START_TEST(test_every_byte_sealed_again)
{
	struct ntc_view image = sample_image(), other;
	size_t size = image.len - NTC_STAMP_SIZE, parsed_count = 0;
	uint8_t *bytes;

	other = ntc_test_exact(image.p, size);
	bytes = (uint8_t *)other.p;
	for (size_t at = 24; at < size; at++) {
		for (unsigned v = 0; v < 256; v += at < 320 ? 1 : 51) {
			struct ntc_digest sum;
			struct ntc_body body;

			if (v == image.p[at])
				continue;
			bytes[at] = (uint8_t)v;
			if (ntc_body_parse(other, &body, NULL) != NTC_ST_OK)
				continue;
			parsed_count++;
			sum = ntc_checksum(ntc_view(bytes + 24, size - 24));
			memcpy(bytes + 8, sum.bytes, sizeof(sum.bytes));
			ck_assert_int_eq(ntc_body_parse(other, &body, NULL), NTC_ST_OK);
			ck_assert_int_eq(ntc_body_verify(&body), NTC_ST_OK);
			rewrite(&body);
		}
		bytes[at] = image.p[at];
	}
	ck_assert_uint_gt(parsed_count, 100);
	ntc_test_free(other);
	ntc_test_free(image);
}
END_TEST

START_TEST(test_find)
{
	static const char *const names[] = { "B", "a", "a.so", "ab", "b" };
	struct ntc_part parts[5], found;
	struct ntc_body_spec spec = { .key = key, .parts = parts };
	struct ntc_body body;

	for (spec.part_count = 0; spec.part_count <= 5; spec.part_count++) {
		struct ntc_view bytes;

		if (spec.part_count)
			parts[spec.part_count - 1] = part(names[spec.part_count - 1], names[spec.part_count - 1], 1);
		bytes = build(&spec);
		ck_assert_int_eq(ntc_body_parse(bytes, &body, NULL), NTC_ST_OK);
		ck_assert_int_eq(ntc_body_verify(&body), NTC_ST_OK);
		for (size_t i = 0; i < 5; i++) {
			bool there = ntc_body_find(&body, ntc_view(names[i], strlen(names[i])), &found);

			ck_assert_int_eq(there, i < spec.part_count);
			ck_assert_uint_eq(found.data.len, there);
			if (there)
				ck_assert_uint_eq(found.data.p[0], names[i][0]);
		}
		ck_assert(!ntc_body_find(&body, ntc_view("", 0), &found));
		ck_assert(!ntc_body_find(&body, ntc_view("a.", 2), &found));
		ck_assert(!ntc_body_find(&body, ntc_view("zzz", 3), &found));
		ntc_test_free(bytes);
	}
}
END_TEST

static enum ntc_status refused(const struct ntc_body_spec *spec)
{
	struct ntc_reason reason = { "" };
	enum ntc_status st;

	ck_assert_uint_eq(ntc_body_size(spec, &st, &reason), 0);
	ck_assert_uint_gt(strlen(reason.text), 0);
	ck_assert_uint_eq(ntc_body_size(spec, &st, NULL), 0);
	return st;
}

START_TEST(test_specs_refused)
{
	struct ntc_part twice[] = { part("a", "1", 1), part("a", "2", 1) };
	struct ntc_part unsorted[] = { part("b", "1", 1), part("a", "2", 1) };
	struct ntc_part bad_name = part("a/b", "", 0), good = part("a", "", 0);
	struct ntc_part huge = { ntc_view("a", 1), ntc_view("", NTC_BODY_MAX + 1) };
	struct ntc_part all = { ntc_view("a", 1), ntc_view("", NTC_BODY_MAX) };
	static struct ntc_part many[NTC_PARTS_MAX + 1];
	static char names[NTC_PARTS_MAX + 1][16];
	static uint8_t big_notes[NTC_NOTES_MAX + 1];
	uint8_t foreign[64];
	struct ntc_body_spec spec = { .key = key };

	for (size_t i = 0; i <= NTC_PARTS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "%04zu", i);
		many[i] = part(names[i], NULL, 0);
	}
	spec.parts = twice, spec.part_count = 2;
	ck_assert_int_eq(refused(&spec), NTC_ST_BAD_IMAGE);
	spec.parts = unsorted;
	ck_assert_int_eq(refused(&spec), NTC_ST_BAD_IMAGE);
	spec.parts = &bad_name, spec.part_count = 1;
	ck_assert_int_eq(refused(&spec), NTC_ST_BAD_IMAGE);
	/* sizes are refused before anything is read */
	spec.parts = &huge;
	ck_assert_int_eq(refused(&spec), NTC_ST_TOO_LARGE);
	spec.parts = &all;
	ck_assert_int_eq(refused(&spec), NTC_ST_TOO_LARGE);
	spec.parts = many, spec.part_count = NTC_PARTS_MAX + 1;
	ck_assert_int_eq(refused(&spec), NTC_ST_TOO_LARGE);
	for (size_t i = 0; i < NTC_PARTS_MAX; i++)
		many[i].data = ntc_view("", NTC_BODY_MAX);
	spec.part_count = NTC_PARTS_MAX;
	ck_assert_int_eq(refused(&spec), NTC_ST_TOO_LARGE);

	spec.parts = &good, spec.part_count = 1;
	spec.notes = ntc_view(big_notes, sizeof(big_notes));
	ck_assert_int_eq(refused(&spec), NTC_ST_TOO_LARGE);
	spec.notes = ntc_view("note", 4);
	ck_assert_int_eq(refused(&spec), NTC_ST_BAD_IMAGE);
	spec.notes = ntc_view(NULL, 0);
	memcpy(foreign, key.p, key.len);
	spec.key = ntc_view(foreign, key.len);
	foreign[4] = 6;
	ck_assert_int_eq(refused(&spec), NTC_ST_BAD_KEY);
	foreign[4] = 0;
	ck_assert_int_eq(refused(&spec), NTC_ST_BAD_KEY);
	spec.key = ntc_view(NULL, 0);
	ck_assert_int_eq(refused(&spec), NTC_ST_BAD_KEY);
}
END_TEST

/* As many parts as there may be, with the longest names; the largest key and notes. */
START_TEST(test_limits_reached)
{
	static char names[NTC_PARTS_MAX][NTC_PART_NAME_MAX + 1];
	static struct ntc_part parts[NTC_PARTS_MAX];
	size_t value_len = NTC_KEY_MAX - NTC_KEY_HEADER - NTC_KEY_FIELD_HEADER - 1;
	size_t notes_len = NTC_NOTES_MAX - NTC_KEY_HEADER - NTC_KEY_FIELD_HEADER - 1;
	struct ntc_field f = { ntc_view("k", 1), NTC_TYPE_BYTES, ntc_view(calloc(1, value_len), value_len) };
	struct ntc_body_spec spec = { .parts = parts, .part_count = NTC_PARTS_MAX };
	uint8_t *large_key = malloc(NTC_KEY_MAX), *notes = malloc(NTC_NOTES_MAX);
	struct ntc_writer w = ntc_writer(large_key, NTC_KEY_MAX);
	struct ntc_view bytes;
	struct ntc_body body;

	ck_assert_int_eq(ntc_key_write(&w, NTC_KIND_TUNING, &f, 1, NULL), NTC_ST_OK);
	spec.key = ntc_view(large_key, w.len);
	w = ntc_writer(notes, NTC_NOTES_MAX);
	f.value.len = notes_len;
	ck_assert_int_eq(ntc_key_write(&w, 0, &f, 1, NULL), NTC_ST_OK);
	spec.notes = ntc_view(notes, w.len);
	ck_assert_uint_eq(spec.notes.len, NTC_NOTES_MAX);
	for (size_t i = 0; i < NTC_PARTS_MAX; i++) {
		memset(names[i], 'x', NTC_PART_NAME_MAX);
		snprintf(names[i], 5, "%04zu", i % 10000);
		names[i][4] = 'x';
		parts[i] = part(names[i], names[i], i % 130);
	}
	bytes = build(&spec);
	ck_assert_int_eq(ntc_body_parse(bytes, &body, NULL), NTC_ST_OK);
	ck_assert_int_eq(ntc_body_verify(&body), NTC_ST_OK);
	ck_assert_uint_eq(body.kind, NTC_KIND_TUNING);
	rewrite(&body);
	ntc_test_free(bytes);
	free(notes);
	free(large_key);
	ntc_test_free(f.value);
}
END_TEST

/* A name that would go on behind the body: seen before it is read. The names end where the body does. */
START_TEST(test_name_past_the_end)
{
	char name[NTC_PART_NAME_MAX];
	struct ntc_part empty = { ntc_view(name, 0), ntc_view(NULL, 0) };
	struct ntc_body_spec spec = { .key = key, .parts = &empty, .part_count = 1 };
	size_t table_at = (NTC_BODY_HEADER + key.len + 7) / 8 * 8, names_at = table_at + NTC_PART_ROW;
	struct ntc_view bytes;
	struct ntc_body body;

	memset(name, 'n', sizeof(name));
	empty.name.len = NTC_BODY_ALIGN - names_at % NTC_BODY_ALIGN;
	bytes = build(&spec);
	ck_assert_uint_eq(bytes.len, names_at + empty.name.len);
	ck_assert_int_eq(ntc_body_parse(bytes, &body, NULL), NTC_ST_OK);
	for (uint32_t more = 1; more < 100; more++) {
		ntc_store32((uint8_t *)bytes.p + table_at + 4, (uint32_t)empty.name.len + more);
		ck_assert_int_eq(ntc_body_parse(bytes, &body, NULL), NTC_ST_BAD_IMAGE);
	}
	ntc_test_free(bytes);
}
END_TEST

START_TEST(test_part_names)
{
	char name[256];

	for (unsigned c = 0; c < 256; c++) {
		char two[2] = { 'x', (char)c };
		bool good = c > ' ' && c <= '~' && c != '/';

		ck_assert_int_eq(ntc_part_name_valid(ntc_view(two, 2)), good);
	}
	memset(name, 'n', sizeof(name));
	ck_assert(ntc_part_name_valid(ntc_view(name, 255)));
	ck_assert(!ntc_part_name_valid(ntc_view(name, 256)));
	ck_assert(!ntc_part_name_valid(ntc_view(NULL, 0)));
	ck_assert(!ntc_part_name_valid(ntc_view(".", 1)));
	ck_assert(!ntc_part_name_valid(ntc_view("..", 2)));
	ck_assert(!ntc_part_name_valid(ntc_view(".so", 3)));
	ck_assert(ntc_part_name_valid(ntc_view("a.so", 4)));
}
END_TEST

START_TEST(test_stamp)
{
	struct ntc_digest of = { { 1, 2, 3 } }, other = { { 1, 2, 4 } };
	struct ntc_stamp stamp = { UINT64_MAX, 1, UINT32_MAX, 2, 3, "", "" }, back, zero = { 0 };
	uint8_t out[NTC_STAMP_SIZE];

	/* texts are cut to fit, whatever stands behind their end */
	memset(stamp.host, 'h', sizeof(stamp.host));
	memset(stamp.exe, 'e', sizeof(stamp.exe));
	stamp.exe[4] = '\0';
	ntc_stamp_write(&stamp, &of, out);
	ck_assert_int_eq(ntc_stamp_read(out, &of, &back), NTC_ST_OK);
	ck_assert_uint_eq(strlen(back.host), sizeof(back.host) - 1);
	ck_assert_str_eq(back.exe, "eeee");
	ck_assert(back.put_wall_ns == UINT64_MAX);
	ck_assert_uint_eq(back.cost_ns, 1);
	ck_assert_uint_eq(back.uid, UINT32_MAX);
	ck_assert_uint_eq(back.gid, 2);
	ck_assert_uint_eq(back.pid, 3);
	ck_assert_int_eq(ntc_stamp_read(out, &other, &back), NTC_ST_KEY_MISMATCH);
	ck_assert_mem_eq(&back, &zero, offsetof(struct ntc_stamp, exe) + sizeof(back.exe));
	memset(out, 0, sizeof(out));
	ck_assert_int_eq(ntc_stamp_read(out, &of, &back), NTC_ST_NOT_FOUND);
	out[255] = 1;
	ck_assert_int_eq(ntc_stamp_read(out, &of, &back), NTC_ST_BAD_CHECKSUM);
	ck_assert_mem_eq(&back, &zero, offsetof(struct ntc_stamp, exe) + sizeof(back.exe));
}
END_TEST

/* A stamp that was moved to another body does not vouch for it. */
START_TEST(test_stamp_is_bound)
{
	struct ntc_part a = part("a", "1", 1), b = part("a", "2", 1);
	struct ntc_body_spec spec_a = { .key = key, .parts = &a, .part_count = 1 };
	struct ntc_body_spec spec_b = { .key = key, .parts = &b, .part_count = 1 };
	struct ntc_view one = build(&spec_a), two = build(&spec_b);
	struct ntc_stamp stamp = { 1, 1, 1, 1, 1, "h", "e" }, back;
	struct ntc_body body_one, body_two;
	uint8_t out[NTC_STAMP_SIZE];

	ck_assert_int_eq(ntc_body_parse(one, &body_one, NULL), NTC_ST_OK);
	ck_assert_int_eq(ntc_body_parse(two, &body_two, NULL), NTC_ST_OK);
	ntc_stamp_write(&stamp, &body_one.checksum, out);
	ck_assert_int_eq(ntc_stamp_read(out, &body_one.checksum, &back), NTC_ST_OK);
	ck_assert_int_eq(ntc_stamp_read(out, &body_two.checksum, &back), NTC_ST_KEY_MISMATCH);
	ntc_test_free(one);
	ntc_test_free(two);
}
END_TEST

/* With the key known: the same, except that another key is told from a wrong one. */
START_TEST(test_parse_of_a_key)
{
	struct ntc_view image = sample_image();
	struct ntc_image parsed, plain;
	struct ntc_reason reason;
	uint8_t *bytes = (uint8_t *)image.p;

	ck_assert_int_eq(ntc_image_parse(image, &plain, NULL), NTC_ST_OK);
	ck_assert_int_eq(ntc_image_parse_of(image, key, &parsed, NULL), NTC_ST_OK);
	ck_assert_mem_eq(&parsed, &plain, sizeof(plain));
	ck_assert_int_eq(ntc_image_parse_of(image, ntc_view(key.p, key.len - 1), &parsed, &reason), NTC_ST_KEY_MISMATCH);
	ck_assert_ptr_null(parsed.stamp);
	bytes[NTC_BODY_HEADER + key.len - 1] ^= 1;
	ck_assert_int_eq(ntc_image_parse_of(image, key, &parsed, &reason), NTC_ST_KEY_MISMATCH);
	bytes[NTC_BODY_HEADER + key.len - 1] ^= 1;
	/* All else is looked at: the notes' magic. */
	bytes[NTC_BODY_HEADER + key.len] ^= 1;
	ck_assert_int_eq(ntc_image_parse_of(image, key, &parsed, &reason), NTC_ST_BAD_IMAGE);
	ntc_test_free(image);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("entry");
	TCase *tc = tcase_create("entry");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, test_cut_everywhere);
	tcase_add_test(tc, test_parse_of_a_key);
	tcase_add_test(tc, test_every_bit);
	tcase_add_test(tc, test_every_byte_sealed_again);
	tcase_add_test(tc, test_find);
	tcase_add_test(tc, test_specs_refused);
	tcase_add_test(tc, test_limits_reached);
	tcase_add_test(tc, test_name_past_the_end);
	tcase_add_test(tc, test_part_names);
	tcase_add_test(tc, test_stamp);
	tcase_add_test(tc, test_stamp_is_bound);
	suite_add_tcase(s, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
