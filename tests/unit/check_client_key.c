/* The key builder, fields as text, outcomes: what of the client library needs no daemon. */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/errmap.h"
#include "client/ntcache.h"
#include "proto/key.h"
#include "tests/support/unit_data.h"

static struct ntc_key *sealed(struct ntc_key *key)
{
	ck_assert_msg(ntc_key_seal(key) == NTC_OK, "%s", ntc_key_error(key));
	return key;
}

static bool same(const struct ntc_key *a, const struct ntc_key *b)
{
	size_t a_len, b_len;
	const void *a_bytes = ntc_key_bytes(a, &a_len), *b_bytes = ntc_key_bytes(b, &b_len);

	return ntc_view_equal(ntc_view(a_bytes, a_len), ntc_view(b_bytes, b_len));
}

START_TEST(test_order_does_not_matter)
{
	struct ntc_key *a = ntc_key_new(NTC_KIND_KERNEL), *b = ntc_key_new(NTC_KIND_KERNEL);
	struct ntc_key *c = ntc_key_new(NTC_KIND_SOURCE);
	struct ntc_digest da, db;

	ntc_key_add_int(a, "BLOCK", 128);
	ntc_key_add_string(a, "arch", "sm_90", 5);
	ntc_key_add_string(b, "arch", "sm_90", 5);
	ntc_key_add_uint(b, "BLOCK", 128);
	ntc_key_add_int(c, "BLOCK", 128);
	ntc_key_add_string(c, "arch", "sm_90", 5);
	sealed(a), sealed(b), sealed(c);
	ck_assert(same(a, b));
	ck_assert(!same(a, c));
	da = ntc_key_digest_of(a);
	db = ntc_key_digest_of(b);
	ck_assert_mem_eq(&da, &db, sizeof(da));
	ntc_key_free(a), ntc_key_free(b), ntc_key_free(c);
}
END_TEST

START_TEST(test_first_error_sticks)
{
	struct ntc_key *key = ntc_key_new(NTC_KIND_KERNEL);

	ntc_key_add_int(key, "bad name", 1);
	ntc_key_add_int(key, "also=bad", 1);
	ck_assert_int_eq(ntc_key_seal(key), NTC_E_KEY);
	ck_assert_ptr_nonnull(strstr(ntc_key_error(key), "bad name"));
	ck_assert_str_eq(ntc_last_error(), ntc_key_error(key));
	ck_assert_ptr_null(ntc_key_bytes(key, NULL));
	ntc_key_free(key);

	key = ntc_key_new(NTC_KIND_KERNEL);
	ntc_key_add_int(key, "x", 1);
	ntc_key_add_int(key, "x", 1);
	ck_assert_int_eq(ntc_key_seal(key), NTC_E_KEY);
	ck_assert_ptr_nonnull(strstr(ntc_key_error(key), "x is there twice"));
	ntc_key_free(key);

	key = ntc_key_new(NTC_KIND_KERNEL);
	ntc_key_add_string(key, "text", "\xff", 1);
	ck_assert_int_eq(ntc_key_seal(key), NTC_E_KEY);
	ntc_key_free(key);

	key = ntc_key_new((enum ntc_kind)99);
	ck_assert_int_eq(ntc_key_seal(key), NTC_E_INVALID);
	ntc_key_free(key);

	key = ntc_key_new(NTC_KIND_KERNEL);
	ntc_key_seal(key);
	ntc_key_add_none(key, "late");
	ck_assert_int_eq(ntc_key_seal(key), NTC_E_INVALID);
	ntc_key_free(key);

	key = ntc_key_new(NTC_KIND_KERNEL);
	ntc_key_add_bytes(key, "p", NULL, 3);
	ck_assert_int_eq(ntc_key_seal(key), NTC_E_INVALID);
	ntc_key_free(key);
	ck_assert_int_eq(ntc_key_seal(NULL), NTC_E_NO_MEMORY);
}
END_TEST

START_TEST(test_lists)
{
	struct ntc_key *key = ntc_key_new(NTC_KIND_KERNEL), *open = ntc_key_new(NTC_KIND_KERNEL);
	struct ntc_field_value field;
	size_t len, at = 0;
	char text[200];
	const void *bytes;

	ntc_key_list_begin(key, "shape");
	ntc_key_add_int(key, NULL, 3);
	ntc_key_list_begin(key, NULL);
	ntc_key_add_bool(key, NULL, true);
	ntc_key_add_none(key, NULL);
	ntc_key_list_end(key);
	ntc_key_add_float(key, NULL, 0.5);
	ntc_key_list_end(key);
	ntc_key_list_begin(key, "empty");
	ntc_key_list_end(key);
	sealed(key);
	bytes = ntc_key_bytes(key, &len);
	ck_assert(ntc_field_next(bytes, len, &at, &field));
	ck_assert_mem_eq(field.name, "empty", 5);
	ntc_field_text(&field, text, sizeof(text));
	ck_assert_str_eq(text, "[]");
	ck_assert(ntc_field_next(bytes, len, &at, &field));
	ck_assert_mem_eq(field.name, "shape", 5);
	ntc_field_text(&field, text, sizeof(text));
	ck_assert_str_eq(text, "[3, [true, none], 0.5]");
	ck_assert(!ntc_field_next(bytes, len, &at, &field));
	ntc_key_free(key);

	ntc_key_list_begin(open, "a");
	ck_assert_int_eq(ntc_key_seal(open), NTC_E_INVALID);
	ntc_key_free(open);

	key = ntc_key_new(NTC_KIND_KERNEL);
	ntc_key_list_end(key);
	ck_assert_int_eq(ntc_key_seal(key), NTC_E_INVALID);
	ntc_key_free(key);

	key = ntc_key_new(NTC_KIND_KERNEL);
	ntc_key_list_begin(key, "deep");
	for (int i = 0; i < NTC_KEY_DEPTH_MAX; i++)
		ntc_key_list_begin(key, NULL);
	ck_assert_int_eq(ntc_key_seal(key), NTC_E_KEY);
	ntc_key_free(key);
}
END_TEST

START_TEST(test_too_large)
{
	static char big[NTC_KEY_MAX + 1];
	struct ntc_key *key = ntc_key_new(NTC_KIND_SOURCE), *many = ntc_key_new(NTC_KIND_SOURCE);
	static const uint8_t abc[32] = {
		0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
		0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
		0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
	};
	struct ntc_key *a = ntc_key_new(NTC_KIND_SOURCE), *b = ntc_key_new(NTC_KIND_SOURCE);
	char name[16];

	memset(big, 'x', sizeof(big));
	ntc_key_add_string(key, "source", big, sizeof(big));
	ck_assert_int_eq(ntc_key_seal(key), NTC_E_TOO_LARGE);
	ck_assert_ptr_nonnull(strstr(ntc_key_error(key), "SHA-256"));
	ntc_key_free(key);
	for (int i = 0; i <= NTC_KEY_FIELDS_MAX; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		ntc_key_add_none(many, name);
	}
	ck_assert_int_eq(ntc_key_seal(many), NTC_E_TOO_LARGE);
	ntc_key_free(many);
	ntc_key_add_sha256_of(a, "big", "abc", 3);
	ntc_key_add_sha256(b, "big", abc);
	ck_assert(same(sealed(a), sealed(b)));
	ntc_key_free(a), ntc_key_free(b);
}
END_TEST

START_TEST(test_from_bytes)
{
	struct ntc_key *key = ntc_key_new(NTC_KIND_HANDLE), *copy, *none;
	size_t len;
	char *bytes;

	ntc_key_add_int(key, "x", -1);
	sealed(key);
	ntc_key_bytes(key, &len);
	bytes = malloc(len);
	memcpy(bytes, ntc_key_bytes(key, NULL), len);
	ck_assert_int_eq(ntc_key_from_bytes(bytes, len, &copy), NTC_OK);
	ck_assert(same(key, copy));
	ck_assert_int_eq(ntc_key_from_bytes(bytes, len - 1, &none), NTC_E_KEY);
	ck_assert_ptr_null(none);
	bytes[0] ^= 1;
	ck_assert_int_eq(ntc_key_from_bytes(bytes, len, &none), NTC_E_KEY);
	free(bytes);
	ntc_key_free(key), ntc_key_free(copy);
}
END_TEST

/* The text of one value, added as item of a list or as a field. */
static const char *text_of(void (*add)(struct ntc_key *key))
{
	static char text[512];
	struct ntc_key *key = ntc_key_new(NTC_KIND_KERNEL);
	struct ntc_field_value field;
	size_t len, at = 0;
	const void *bytes;

	add(key);
	bytes = ntc_key_bytes(sealed(key), &len);
	ck_assert(ntc_field_next(bytes, len, &at, &field));
	ck_assert_uint_lt(ntc_field_text(&field, text, sizeof(text)), sizeof(text));
	ntc_key_free(key);
	return text;
}

#define VALUE(name, call) \
	static void name(struct ntc_key *key) \
	{ \
		call; \
	}
VALUE(int_min, ntc_key_add_int(key, "v", INT64_MIN))
VALUE(int_minus, ntc_key_add_int(key, "v", -129))
VALUE(int_zero, ntc_key_add_int(key, "v", 0))
VALUE(uint_max, ntc_key_add_uint(key, "v", UINT64_MAX))
VALUE(float_tenth, ntc_key_add_float(key, "v", 0.1))
VALUE(float_one, ntc_key_add_float(key, "v", 1.0))
VALUE(float_minus_zero, ntc_key_add_float(key, "v", -0.0))
VALUE(float_nan, ntc_key_add_float(key, "v", NAN))
VALUE(float_big, ntc_key_add_float(key, "v", 1e300))
VALUE(string_odd, ntc_key_add_string(key, "v", "a\"b\n\x01", 5))
VALUE(bytes_few, ntc_key_add_bytes(key, "v", "\x00\xff", 2))
VALUE(bool_false, ntc_key_add_bool(key, "v", false))

START_TEST(test_text)
{
	char small[4];
	struct ntc_field_value field = { .type = NTC_TYPE_STRING, .value = "hello", .len = 5 };
	uint8_t wide[32];
	struct ntc_field_value big = { .type = NTC_TYPE_INT, .value = wide, .len = 32 };
	char text[100], long_text[300], out[300];

	ck_assert_str_eq(text_of(int_min), "-9223372036854775808");
	ck_assert_str_eq(text_of(int_minus), "-129");
	ck_assert_str_eq(text_of(int_zero), "0");
	ck_assert_str_eq(text_of(uint_max), "18446744073709551615");
	ck_assert_str_eq(text_of(float_tenth), "0.1");
	ck_assert_str_eq(text_of(float_one), "1.0");
	ck_assert_str_eq(text_of(float_minus_zero), "-0.0");
	ck_assert_str_eq(text_of(float_nan), "nan");
	ck_assert_str_eq(text_of(float_big), "1e+300");
	ck_assert_str_eq(text_of(string_odd), "\"a\\\"b\\n\\x01\"");
	ck_assert_str_eq(text_of(bytes_few), "bytes:00ff");
	ck_assert_str_eq(text_of(bool_false), "false");

	ck_assert_uint_eq(ntc_field_text(&field, small, sizeof(small)), 7);
	ck_assert_str_eq(small, "\"he");
	ck_assert_uint_eq(ntc_field_text(&field, NULL, 0), 7);
	/* -2^255, the longest there is. */
	memset(wide, 0, sizeof(wide));
	wide[31] = 0x80;
	ntc_field_text(&big, text, sizeof(text));
	ck_assert_str_eq(text,
			 "-57896044618658097711785492504343953926634992332820282019728792003956564819968");
	memset(long_text, 'y', sizeof(long_text));
	field.value = long_text, field.len = sizeof(long_text);
	ntc_field_text(&field, out, sizeof(out));
	ck_assert_ptr_nonnull(strstr(out, "... (300 bytes)"));
}
END_TEST

START_TEST(test_outcomes)
{
	for (int err = NTC_E_NO_PART; err <= NTC_DIFFERS; err++) {
		ck_assert_str_ne(ntc_err_name((enum ntc_err)err), "UNKNOWN");
		ck_assert_uint_gt(strlen(ntc_err_text((enum ntc_err)err)), 3);
	}
	ck_assert_str_eq(ntc_err_name((enum ntc_err) - 99), "UNKNOWN");
	/* Every status has an outcome of its own; only unknown numbers and language trouble are PROTOCOL. */
#define X(name, number, retry, text) \
	ck_assert_msg(number == 0 || ntc_err_from_status(number) != NTC_OK, #name); \
	ck_assert_msg(number < 1 || (number <= 4) || number == 10 || \
			      ntc_err_from_status(number) != NTC_E_PROTOCOL, \
		      #name);
	NTC_STATUS_LIST(X)
#undef X
	ck_assert_int_eq(ntc_err_from_status(12345), NTC_E_PROTOCOL);
	ck_assert_int_eq(ntc_explain(NTC_E_IO, "%s!", "x"), NTC_E_IO);
	ck_assert_str_eq(ntc_last_error(), "x!");
	ntc_explain(NTC_E_IO, "%s and y", ntc_last_error());
	ck_assert_str_eq(ntc_last_error(), "x! and y");
	ck_assert_uint_eq(ntc_kind_from_text(ntc_kind_text(NTC_KIND_LIBRARY)), NTC_KIND_LIBRARY);
	ck_assert_uint_eq(ntc_kind_from_text(NULL), 0);
}
END_TEST

/* --- tests/vectors/keys.json by way of the builder ----------------------------------------- */

static const char *text_at(json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	ck_assert_ptr_nonnull(text);
	return text;
}

/* "bytes": hexadecimal, or {repeat, count}. */
static struct ntc_view bytes_at(json_t *field)
{
	json_t *bytes = json_object_get(field, "bytes");
	struct ntc_view unit, all;
	uint8_t *p;
	size_t count;

	if (!json_is_object(bytes))
		return ntc_test_hex(json_string_value(bytes));
	unit = ntc_test_hex(text_at(bytes, "repeat"));
	count = (size_t)json_integer_value(json_object_get(bytes, "count"));
	p = malloc(unit.len * count + 1);
	for (size_t i = 0; i < count; i++)
		memcpy(p + i * unit.len, unit.p, unit.len);
	all = ntc_view(p, unit.len * count);
	ntc_test_free(unit);
	return all;
}

static void add_json_bytes(struct ntc_key *key, json_t *field, const char *name, const char *type)
{
	struct ntc_view bytes = bytes_at(field);

	if (strcmp(type, "string") == 0)
		ntc_key_add_string(key, name, (const char *)bytes.p, bytes.len);
	else if (strcmp(type, "sha256") == 0)
		ntc_key_add_sha256(key, name, bytes.p);
	else
		ntc_key_add_bytes(key, name, bytes.p, bytes.len);
	ntc_test_free(bytes);
}

static void add_json_int(struct ntc_key *key, json_t *field, const char *name, bool *can)
{
	const char *text = text_at(field, "value");

	errno = 0;
	if (*text == '-')
		ntc_key_add_int(key, name, strtoll(text, NULL, 10));
	else
		ntc_key_add_uint(key, name, strtoull(text, NULL, 10));
	/* The builder has no integers of more than 64 bits. */
	if (errno == ERANGE)
		*can = false;
}

static void add_json_float(struct ntc_key *key, json_t *field, const char *name)
{
	uint64_t bits = strtoull(text_at(field, "bits"), NULL, 16);
	double v;

	memcpy(&v, &bits, sizeof(v));
	ntc_key_add_float(key, name, v);
}

static void add_json(struct ntc_key *key, json_t *field, const char *name, bool *can)
{
	const char *type = text_at(field, "type");

	if (strcmp(type, "none") == 0) {
		ntc_key_add_none(key, name);
	} else if (strcmp(type, "bool") == 0) {
		ntc_key_add_bool(key, name, json_is_true(json_object_get(field, "value")));
	} else if (strcmp(type, "int") == 0) {
		add_json_int(key, field, name, can);
	} else if (strcmp(type, "float") == 0) {
		add_json_float(key, field, name);
	} else if (strcmp(type, "string") == 0 && json_object_get(field, "value")) {
		ntc_key_add_string(key, name, text_at(field, "value"),
				   json_string_length(json_object_get(field, "value")));
	} else if (strcmp(type, "list") == 0) {
		json_t *item;
		size_t i;

		ntc_key_list_begin(key, name);
		json_array_foreach(json_object_get(field, "items"), i, item) add_json(key, item, NULL, can);
		ntc_key_list_end(key);
	} else {
		add_json_bytes(key, field, name, type);
	}
}

/* The key of a vector; NULL if the builder has no words for it. */
static struct ntc_key *build(json_t *vector)
{
	struct ntc_key *key = ntc_key_new((enum ntc_kind)json_integer_value(json_object_get(vector, "kind")));
	bool can = ntc_kind_known((unsigned)json_integer_value(json_object_get(vector, "kind")));
	json_t *field;
	size_t i;

	json_array_foreach(json_object_get(vector, "fields"), i, field)
		add_json(key, field, text_at(field, "name"), &can);
	if (!can) {
		ntc_key_free(key);
		return NULL;
	}
	return key;
}

START_TEST(test_vectors)
{
	size_t len, i, built = 0;
	char *file = ntc_test_source_file("tests/vectors/keys.json", &len);
	json_t *root = json_loadb(file, len, JSON_ALLOW_NUL, NULL), *vector;

	ck_assert_ptr_nonnull(root);
	json_array_foreach(json_object_get(root, "valid"), i, vector)
	{
		struct ntc_key *key = build(vector);
		struct ntc_digest digest;
		char text[NTC_DIGEST_TEXT_SIZE];
		const void *bytes;
		size_t size;

		if (!key)
			continue;
		built++;
		ck_assert_msg(ntc_key_seal(key) == NTC_OK, "%s: %s", text_at(vector, "name"),
			      ntc_key_error(key));
		digest = ntc_key_digest_of(key);
		ntc_digest_text(&digest, text);
		ck_assert_str_eq(text, text_at(vector, "digest"));
		bytes = ntc_key_bytes(key, &size);
		ck_assert_uint_eq(size, (size_t)json_integer_value(json_object_get(vector, "size")));
		if (json_object_get(vector, "hex")) {
			char *hex = ntc_test_to_hex(ntc_view(bytes, size));

			ck_assert_str_eq(hex, text_at(vector, "hex"));
			free(hex);
		}
		ntc_key_free(key);
	}
	ck_assert_uint_gt(built, 20);
	json_array_foreach(json_object_get(root, "refused_fields"), i, vector)
	{
		struct ntc_key *key = build(vector);
		enum ntc_err err = ntc_key_seal(key);

		ck_assert_msg(err == NTC_E_KEY || err == NTC_E_TOO_LARGE, "%s: %s", text_at(vector, "name"),
			      ntc_err_name(err));
		ntc_key_free(key);
	}
	json_decref(root);
	free(file);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client_key");
	TCase *tc = tcase_create("key");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, test_order_does_not_matter);
	tcase_add_test(tc, test_first_error_sticks);
	tcase_add_test(tc, test_lists);
	tcase_add_test(tc, test_too_large);
	tcase_add_test(tc, test_from_bytes);
	tcase_add_test(tc, test_text);
	tcase_add_test(tc, test_outcomes);
	tcase_add_test(tc, test_vectors);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
