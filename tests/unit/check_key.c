/* Keys: limits at their edges, every cut and every bit of a good key, walking and finding, names of kinds. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/key.h"
#include "tests/support/unit_data.h"

static struct ntc_field field(const char *name, enum ntc_type type, const void *value, size_t len)
{
	return (struct ntc_field){ .name = ntc_view(name, strlen(name)), .type = type, .value = ntc_view(value, len) };
}

/* A key of all types; given. */
static struct ntc_view sample(void)
{
	static const uint8_t list[] = { 2, 0, 0, 0, NTC_TYPE_INT, 1, 0, 0, 0, 7, NTC_TYPE_LIST, 4, 0, 0, 0, 0, 0, 0, 0 };
	static const uint8_t sha[32] = { 1, 2, 3 };
	uint8_t n[9], f[8];
	size_t n_len = ntc_value_int(-300, n);
	struct ntc_field fields[] = {
		field("a", NTC_TYPE_NONE, NULL, 0),
		field("b", NTC_TYPE_BOOL, "\1", 1),
		field("c", NTC_TYPE_INT, n, n_len),
		field("d", NTC_TYPE_FLOAT, f, ntc_value_float(0.5, f)),
		field("e", NTC_TYPE_STRING, "gr\xc3\xb6\xc3\x9f" "e", 7),
		field("f", NTC_TYPE_BYTES, "\xff", 1),
		field("g", NTC_TYPE_LIST, list, sizeof(list)),
		field("h", NTC_TYPE_SHA256, sha, sizeof(sha)),
	};
	struct ntc_writer count = ntc_writer(NULL, 0), w;
	uint8_t *memory;

	ck_assert_int_eq(ntc_key_write(&count, NTC_KIND_KERNEL, fields, 8, NULL), NTC_ST_OK);
	memory = malloc(count.len);
	w = ntc_writer(memory, count.len);
	ck_assert_int_eq(ntc_key_write(&w, NTC_KIND_KERNEL, fields, 8, NULL), NTC_ST_OK);
	ck_assert_int_eq(ntc_key_check(ntc_view(memory, count.len), NULL), NTC_ST_OK);
	return ntc_view(memory, count.len);
}

/* What a checked key says, written again, is the same bytes. Walks lists too. */
static void rewrite(struct ntc_view key)
{
	struct ntc_field *fields = calloc(ntc_key_field_count(key) + 1, sizeof(*fields));
	struct ntc_reader r = ntc_key_fields(key);
	uint8_t *memory = malloc(key.len);
	struct ntc_writer w = ntc_writer(memory, key.len);
	size_t n = 0;

	while (ntc_key_next(&r, &fields[n]))
		n++;
	ck_assert_uint_eq(n, ntc_key_field_count(key));
	ck_assert_int_eq(ntc_key_write(&w, ntc_key_kind(key), fields, n, NULL), NTC_ST_OK);
	ck_assert(ntc_view_equal(ntc_view(memory, w.len), key));
	free(memory);
	free(fields);
}

START_TEST(test_cut_everywhere)
{
	struct ntc_view key = sample();

	rewrite(key);
	for (size_t len = 0; len < key.len; len++) {
		struct ntc_view cut = ntc_test_exact(key.p, len);
		struct ntc_reason reason = { "" };

		ck_assert_int_eq(ntc_key_check(cut, &reason), NTC_ST_BAD_KEY);
		ck_assert_uint_gt(strlen(reason.text), 0);
		ntc_test_free(cut);
		if (len >= NTC_KEY_HEADER) { /* also one that says so itself */
			cut = ntc_test_exact(key.p, len);
			ntc_store32((uint8_t *)cut.p + 8, (uint32_t)len);
			ck_assert_int_eq(ntc_key_check(cut, NULL), NTC_ST_BAD_KEY);
			ntc_test_free(cut);
		}
	}
	ck_assert_int_eq(ntc_key_check(ntc_view(NULL, 0), NULL), NTC_ST_BAD_KEY);
	ntc_test_free(key);
}
END_TEST

/* Any other byte anywhere: refused, or another key in canonical form with another digest. */
START_TEST(test_every_byte)
{
	struct ntc_view key = sample(), other = ntc_test_exact(key.p, key.len);
	struct ntc_digest real = ntc_key_digest(key);
	uint8_t *bytes = (uint8_t *)other.p;

	for (size_t at = 0; at < key.len; at++) {
		for (unsigned v = 0; v < 256; v++) {
			struct ntc_digest digest;

			if (v == key.p[at])
				continue;
			bytes[at] = (uint8_t)v;
			if (ntc_key_check(other, NULL) != NTC_ST_OK)
				continue;
			rewrite(other);
			digest = ntc_key_digest(other);
			ck_assert(!ntc_digest_equal(&digest, &real));
		}
		bytes[at] = key.p[at];
	}
	ntc_test_free(other);
	ntc_test_free(key);
}
END_TEST

START_TEST(test_small_buffers)
{
	struct ntc_field fields[] = { field("a", NTC_TYPE_STRING, "value", 5), field("b", NTC_TYPE_NONE, NULL, 0) };
	struct ntc_writer count = ntc_writer(NULL, 0);

	ck_assert_int_eq(ntc_key_write(&count, 1, fields, 2, NULL), NTC_ST_OK);
	for (size_t cap = 0; cap < count.len; cap++) {
		uint8_t *memory = malloc(cap ? cap : 1);
		struct ntc_writer w = ntc_writer(memory, cap);
		struct ntc_reason reason;

		ck_assert_int_eq(ntc_key_write(&w, 1, fields, 2, &reason), NTC_ST_TOO_LARGE);
		ck_assert(w.bad);
		free(memory);
	}
}
END_TEST

START_TEST(test_field_count)
{
	static char names[NTC_KEY_FIELDS_MAX + 1][16];
	static struct ntc_field fields[NTC_KEY_FIELDS_MAX + 1];
	struct ntc_writer w = ntc_writer(NULL, 0);
	struct ntc_reason reason = { "" };
	uint8_t *memory;

	for (int i = 0; i <= NTC_KEY_FIELDS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "f%04d", i);
		fields[i] = field(names[i], NTC_TYPE_NONE, NULL, 0);
	}
	ck_assert_int_eq(ntc_key_write(&w, 1, fields, NTC_KEY_FIELDS_MAX + 1, &reason), NTC_ST_TOO_LARGE);
	ck_assert_ptr_nonnull(strstr(reason.text, "4097"));
	ck_assert_int_eq(ntc_key_write(&w, 1, fields, NTC_KEY_FIELDS_MAX, NULL), NTC_ST_OK);
	memory = malloc(w.len);
	w = ntc_writer(memory, w.len);
	ck_assert_int_eq(ntc_key_write(&w, 1, fields, NTC_KEY_FIELDS_MAX, NULL), NTC_ST_OK);
	ck_assert_int_eq(ntc_key_check(ntc_view(memory, w.len), NULL), NTC_ST_OK);
	rewrite(ntc_view(memory, w.len));
	free(memory);
	w = ntc_writer(NULL, 0);
	ck_assert_int_eq(ntc_key_write(&w, 65536, fields, 0, &reason), NTC_ST_BAD_KEY);
	ck_assert_int_eq(ntc_key_write(&w, 65535, NULL, 0, &reason), NTC_ST_OK);
}
END_TEST

START_TEST(test_size)
{
	size_t most = NTC_KEY_MAX - NTC_KEY_HEADER - NTC_KEY_FIELD_HEADER - 1;
	char *value = calloc(1, most + 2);
	uint8_t *memory = malloc(NTC_KEY_MAX + 1);
	struct ntc_field f = field("b", NTC_TYPE_BYTES, value, most);
	struct ntc_writer w = ntc_writer(memory, NTC_KEY_MAX + 1);
	struct ntc_reason reason = { "" };

	ck_assert_int_eq(ntc_key_write(&w, 1, &f, 1, NULL), NTC_ST_OK);
	ck_assert_uint_eq(w.len, NTC_KEY_MAX);
	ck_assert_int_eq(ntc_key_check(ntc_view(memory, NTC_KEY_MAX), NULL), NTC_ST_OK);
	ntc_store32(memory + 8, NTC_KEY_MAX + 1);
	ntc_store32(memory + NTC_KEY_HEADER + 2, (uint32_t)most + 1);
	ck_assert_int_eq(ntc_key_check(ntc_view(memory, NTC_KEY_MAX + 1), &reason), NTC_ST_TOO_LARGE);
	w = ntc_writer(memory, NTC_KEY_MAX + 1);
	f.value.len = most + 1;
	ck_assert_int_eq(ntc_key_write(&w, 1, &f, 1, &reason), NTC_ST_TOO_LARGE);
	ck_assert_ptr_nonnull(strstr(reason.text, "field b"));
	ck_assert_uint_eq(w.len, 0);
	ck_assert(!w.bad);
	free(memory);
	free(value);
}
END_TEST

/* All fields at once over the limit, each below it. */
START_TEST(test_size_of_many)
{
	static uint8_t value[NTC_KEY_MAX / 4];
	struct ntc_field fields[] = {
		field("a", NTC_TYPE_BYTES, value, sizeof(value)), field("b", NTC_TYPE_BYTES, value, sizeof(value)),
		field("c", NTC_TYPE_BYTES, value, sizeof(value)), field("d", NTC_TYPE_BYTES, value, sizeof(value)),
	};
	struct ntc_writer w = ntc_writer(NULL, 0);

	ck_assert_int_eq(ntc_key_write(&w, 1, fields, 4, NULL), NTC_ST_TOO_LARGE);
	ck_assert_int_eq(ntc_key_write(&w, 1, fields, 3, NULL), NTC_ST_OK);
}
END_TEST

START_TEST(test_names)
{
	char name[257];

	for (unsigned c = 0; c < 256; c++) {
		char one = (char)c;
		bool good = c > ' ' && c <= '~' && c != '=';

		ck_assert_int_eq(ntc_key_name_valid(ntc_view(&one, 1)), good);
	}
	memset(name, 'n', sizeof(name));
	ck_assert(ntc_key_name_valid(ntc_view(name, 255)));
	ck_assert(!ntc_key_name_valid(ntc_view(name, 256)));
	ck_assert(!ntc_key_name_valid(ntc_view(NULL, 0)));
}
END_TEST

/* Every text of one to three bytes, and the edges of four, against the definition of UTF-8. */
START_TEST(test_utf8)
{
	unsigned good[4] = { 0 };

	for (unsigned a = 0; a < 256; a++) {
		uint8_t t[4] = { (uint8_t)a };

		good[0] += ntc_value_check(NTC_TYPE_STRING, ntc_view(t, 1), NULL) == NTC_ST_OK;
		if (a < 0xc0)
			continue;
		for (unsigned b = 0; b < 256; b++) {
			t[1] = (uint8_t)b;
			good[1] += ntc_value_check(NTC_TYPE_STRING, ntc_view(t, 2), NULL) == NTC_ST_OK;
			if (a < 0xe0)
				continue;
			for (unsigned c = 0; c < 256; c++) {
				t[2] = (uint8_t)c;
				good[2] += ntc_value_check(NTC_TYPE_STRING, ntc_view(t, 3), NULL) == NTC_ST_OK;
				if (a < 0xf0)
					continue;
				t[3] = 0x80;
				good[3] += ntc_value_check(NTC_TYPE_STRING, ntc_view(t, 4), NULL) == NTC_ST_OK;
			}
		}
	}
	ck_assert_uint_eq(good[0], 0x80);
	ck_assert_uint_eq(good[1], 0x800 - 0x80);
	ck_assert_uint_eq(good[2], 0x10000 - 0x800 - 0x800);   /* without the surrogates */
	ck_assert_uint_eq(good[3], (0x110000 - 0x10000) / 64); /* one of 64 last bytes */
}
END_TEST

START_TEST(test_ints)
{
	static const struct {
		int64_t v;
		size_t len;
	} sizes[] = {
		{ 0, 1 }, { -1, 1 }, { 127, 1 }, { 128, 2 }, { -128, 1 }, { -129, 2 }, { 32767, 2 }, { 32768, 3 },
		{ INT32_MIN, 4 }, { INT32_MAX, 4 }, { INT64_C(1) << 32, 5 }, { INT64_MAX, 8 }, { INT64_MIN, 8 },
	};
	uint8_t b[9];
	int64_t back;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ck_assert_uint_eq(ntc_value_int(sizes[i].v, b), sizes[i].len);
		ck_assert(ntc_value_get_int(ntc_view(b, sizes[i].len), &back));
		ck_assert(back == sizes[i].v);
	}
	/* a shift at a time: every bit, both signs */
	for (int bit = 0; bit < 63; bit++) {
		for (int64_t d = -1; d <= 1; d++) {
			int64_t v = (INT64_C(1) << bit) + d;

			for (int sign = 0; sign < 2; sign++, v = -v) {
				size_t len = ntc_value_int(v, b);

				ck_assert_int_eq(ntc_value_check(NTC_TYPE_INT, ntc_view(b, len), NULL), NTC_ST_OK);
				ck_assert(ntc_value_get_int(ntc_view(b, len), &back));
				ck_assert(back == v);
			}
		}
	}
	ck_assert_uint_eq(ntc_value_uint(UINT64_MAX, b), 9);
	ck_assert_int_eq(ntc_value_check(NTC_TYPE_INT, ntc_view(b, 9), NULL), NTC_ST_OK);
	ck_assert(!ntc_value_get_int(ntc_view(b, 9), &back));
	ck_assert(!ntc_value_get_int(ntc_view(NULL, 0), &back));
	ck_assert(back == 0);
}
END_TEST

START_TEST(test_floats)
{
	uint8_t b[8];
	uint64_t bits = UINT64_C(0xfff0000000000001);
	double nan, back;

	memcpy(&nan, &bits, sizeof(nan));
	ck_assert_uint_eq(ntc_value_float(nan, b), 8);
	ck_assert(ntc_load64(b) == UINT64_C(0x7ff8000000000000));
	ntc_value_float(-0.0, b);
	ck_assert(ntc_load64(b) == UINT64_C(1) << 63);
	ck_assert_int_eq(ntc_value_check(NTC_TYPE_FLOAT, ntc_view(b, 8), NULL), NTC_ST_OK);
	ntc_value_float(-1.5e300, b);
	back = ntc_value_get_float(ntc_view(b, 8));
	ck_assert(back == -1.5e300);
	ck_assert(ntc_value_get_float(ntc_view(b, 7)) == 0);
	ck_assert(ntc_value_get_float(ntc_view(NULL, 0)) == 0);
}
END_TEST

/* Empty values of every type behind a NULL pointer. */
START_TEST(test_empty_values)
{
	struct ntc_view none = { 0 };

	for (unsigned type = 0; type < 300; type++) {
		bool good = type == NTC_TYPE_NONE || type == NTC_TYPE_STRING || type == NTC_TYPE_BYTES;

		ck_assert_int_eq(ntc_value_check(type, none, NULL) == NTC_ST_OK, good);
	}
}
END_TEST

START_TEST(test_list_items)
{
	struct ntc_view list = ntc_test_hex("02000000 03 01000000 07 05 02000000 6869");
	struct ntc_reader r = ntc_reader(list.p + 4, list.len - 4);
	enum ntc_type type;
	struct ntc_view value;

	ck_assert_int_eq(ntc_value_check(NTC_TYPE_LIST, list, NULL), NTC_ST_OK);
	ck_assert(ntc_value_next_item(&r, &type, &value));
	ck_assert_int_eq(type, NTC_TYPE_INT);
	ck_assert(ntc_value_next_item(&r, &type, &value));
	ck_assert_int_eq(type, NTC_TYPE_STRING);
	ck_assert(ntc_view_equal(value, ntc_view("hi", 2)));
	ck_assert(!ntc_value_next_item(&r, &type, &value));
	ck_assert(!ntc_value_next_item(&r, &type, &value));
	ntc_test_free(list);
}
END_TEST

/* Depth counts lists, wherever in a list the deeper one stands. */
START_TEST(test_depth)
{
	uint8_t memory[512];
	size_t len = 4;

	memset(memory, 0, sizeof(memory));
	for (int depth = 1; depth <= 10; depth++) {
		uint8_t outer[512];
		struct ntc_writer w = ntc_writer(outer, sizeof(outer));
		struct ntc_reason reason = { "" };
		enum ntc_status st = ntc_value_check(NTC_TYPE_LIST, ntc_view(memory, len), &reason);

		ck_assert_int_eq(st, depth <= NTC_KEY_DEPTH_MAX ? NTC_ST_OK : NTC_ST_BAD_KEY);
		ntc_write32(&w, 2);
		ntc_value_write_item(&w, NTC_TYPE_NONE, ntc_view(NULL, 0));
		ntc_value_write_item(&w, NTC_TYPE_LIST, ntc_view(memory, len));
		ck_assert(!w.bad);
		memcpy(memory, outer, w.len);
		len = w.len;
	}
}
END_TEST

START_TEST(test_find)
{
	struct ntc_view key = sample();
	struct ntc_field f;

	ck_assert(ntc_key_find(key, "f", &f));
	ck_assert_int_eq(f.type, NTC_TYPE_BYTES);
	ck_assert(ntc_view_equal(f.value, ntc_view("\xff", 1)));
	ck_assert(ntc_key_find(key, "h", &f));
	ck_assert(!ntc_key_find(key, "i", &f));
	ck_assert_uint_eq(f.name.len, 0);
	ck_assert(!ntc_key_find(key, "", &f));
	ck_assert(!ntc_key_find(key, "ff", &f));
	ntc_test_free(key);
}
END_TEST

/* Errors name the field, and a name is never cut into something else's message. */
START_TEST(test_reasons)
{
	struct ntc_field fields[] = { field("b", NTC_TYPE_BOOL, "\2", 1), field("a", NTC_TYPE_NONE, NULL, 0) };
	struct ntc_writer w = ntc_writer(NULL, 0);
	struct ntc_reason reason = { "" };

	ck_assert_int_eq(ntc_key_write(&w, 1, fields, 1, &reason), NTC_ST_BAD_KEY);
	ck_assert_ptr_nonnull(strstr(reason.text, "field b"));
	ck_assert_ptr_nonnull(strstr(reason.text, "bool"));
	fields[0].value = ntc_view("\1", 1);
	ck_assert_int_eq(ntc_key_write(&w, 1, fields, 2, &reason), NTC_ST_BAD_KEY);
	ck_assert_ptr_nonnull(strstr(reason.text, "field a"));
	ck_assert_ptr_nonnull(strstr(reason.text, "order"));
	fields[1] = fields[0];
	ck_assert_int_eq(ntc_key_write(&w, 1, fields, 2, &reason), NTC_ST_BAD_KEY);
	ck_assert_ptr_nonnull(strstr(reason.text, "twice"));
	ck_assert_uint_eq(w.len, 0);
}
END_TEST

START_TEST(test_frozen_numbers)
{
	static const char *const kinds[] = { "kernel", "handle", "source", "library", "tuning" };
	static const char *const types[] = { "none", "bool", "int", "float", "string", "bytes", "list", "sha256" };

	for (unsigned i = 0; i < 5; i++) {
		ck_assert_str_eq(ntc_kind_name(i + 1), kinds[i]);
		ck_assert_uint_eq(ntc_kind_parse(kinds[i]), i + 1);
		ck_assert(ntc_kind_known(i + 1));
	}
	for (unsigned i = 0; i < 8; i++)
		ck_assert_str_eq(ntc_type_name(i + 1), types[i]);
	for (unsigned n = 0; n < 1000; n++) {
		if (n < 1 || n > 5) {
			ck_assert(!ntc_kind_known(n));
			ck_assert_str_eq(ntc_kind_name(n), "unknown");
		}
		if (n < 1 || n > 8)
			ck_assert_str_eq(ntc_type_name(n), "unknown");
	}
	ck_assert(!ntc_kind_known(UINT32_MAX));
	ck_assert_str_eq(ntc_type_name(UINT32_MAX), "unknown");
	ck_assert_uint_eq(ntc_kind_parse("unknown"), 0);
	ck_assert_uint_eq(ntc_kind_parse(""), 0);
	ck_assert_uint_eq(ntc_kind_parse("Kernel"), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("key");
	TCase *tc = tcase_create("key");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_cut_everywhere);
	tcase_add_test(tc, test_every_byte);
	tcase_add_test(tc, test_small_buffers);
	tcase_add_test(tc, test_field_count);
	tcase_add_test(tc, test_size);
	tcase_add_test(tc, test_size_of_many);
	tcase_add_test(tc, test_names);
	tcase_add_test(tc, test_utf8);
	tcase_add_test(tc, test_ints);
	tcase_add_test(tc, test_floats);
	tcase_add_test(tc, test_empty_values);
	tcase_add_test(tc, test_list_items);
	tcase_add_test(tc, test_depth);
	tcase_add_test(tc, test_find);
	tcase_add_test(tc, test_reasons);
	tcase_add_test(tc, test_frozen_numbers);
	suite_add_tcase(s, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
