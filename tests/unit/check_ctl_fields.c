/* The fields of keys in ntcache-ctl: values as text and JSON, filters, differences, neighbours. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "client/ctl/fields.h"

static struct ntc_key *key;
static const void *bytes;
static size_t len;

static void seal(struct ntc_key *k)
{
	ck_assert_msg(ntc_key_seal(k) == NTC_OK, "%s", ntc_key_error(k));
}

static void setup(void)
{
	uint8_t hash[32] = { 0xab };
	char text[400];

	memset(text, 'x', sizeof(text));
	key = ntc_key_new(NTC_KIND_KERNEL);
	ntc_key_add_string(key, "program", "add", 3);
	ntc_key_add_int(key, "BLOCK_SIZE", 128);
	ntc_key_add_int(key, "negative", -7);
	ntc_key_add_uint(key, "huge", UINT64_MAX);
	ntc_key_add_bool(key, "fast", true);
	ntc_key_add_float(key, "eps", 0.5);
	ntc_key_add_none(key, "nothing");
	ntc_key_add_bytes(key, "raw", "\x01\xfe", 2);
	ntc_key_add_sha256(key, "hash", hash);
	ntc_key_add_string(key, "long", text, sizeof(text));
	ntc_key_add_string(key, "with~wave", "a=b", 3);
	ntc_key_list_begin(key, "options");
	ntc_key_add_string(key, NULL, "-use_\"fast\"", 11);
	ntc_key_list_begin(key, NULL);
	ntc_key_add_int(key, NULL, 3);
	ntc_key_list_end(key);
	ntc_key_list_end(key);
	seal(key);
	bytes = ntc_key_bytes(key, &len);
}

static void teardown(void)
{
	ntc_key_free(key);
}

static bool fits(const char *text)
{
	struct ntc_ctl_filter filter;

	ck_assert_msg(ntc_ctl_filter_parse(text, &filter), "%s", text);
	return ntc_ctl_filter_match(&filter, bytes, len);
}

static void ck_full(const char *name, const char *expected)
{
	struct ntc_field_value field;
	size_t text_len;
	char *text;

	ck_assert_msg(ntc_ctl_field_find(bytes, len, name, &field), "%s", name);
	text = ntc_ctl_value_full(&field, &text_len);
	ck_assert_str_eq(text, expected);
	ck_assert_uint_eq(text_len, strlen(expected));
	free(text);
}

START_TEST(test_filter_forms)
{
	static const char *const wrong[] = { "", "x", "=x", "~x", "program" };
	struct ntc_ctl_filter filter;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(!ntc_ctl_filter_parse(wrong[i], &filter), "%s", wrong[i]);
	ck_assert(ntc_ctl_filter_parse("a=b~c", &filter));
	ck_assert(!filter.substring);
	ck_assert_str_eq(filter.value, "b~c");
	ck_assert(ntc_ctl_filter_parse("a~b=c", &filter));
	ck_assert(filter.substring);
	ck_assert_str_eq(filter.value, "b=c");
	ck_assert_uint_eq(filter.name_len, 1);
	ck_assert(ntc_ctl_filter_parse("a=", &filter));
	ck_assert_str_eq(filter.value, "");
}
END_TEST

START_TEST(test_filter_values)
{
	ck_assert(fits("program=add"));
	ck_assert(!fits("program=ad"));
	ck_assert(!fits("program=\"add\""));
	ck_assert(!fits("program=adder"));
	ck_assert(!fits("program="));
	ck_assert(fits("program~dd"));
	ck_assert(fits("program~"));
	ck_assert(!fits("program~sub"));
	ck_assert(!fits("progra=add"));
	ck_assert(!fits("programs=add"));
	ck_assert(fits("BLOCK_SIZE=128"));
	ck_assert(!fits("BLOCK_SIZE=12"));
	ck_assert(!fits("BLOCK_SIZE=128.0"));
	ck_assert(fits("BLOCK_SIZE~12"));
	ck_assert(fits("negative=-7"));
	ck_assert(fits("huge=18446744073709551615"));
	ck_assert(fits("fast=true"));
	ck_assert(!fits("fast=1"));
	ck_assert(fits("eps=0.5"));
	ck_assert(fits("nothing=none"));
	ck_assert(fits("raw=bytes:01fe"));
	ck_assert(fits("hash~sha256:ab00"));
	ck_assert(fits("options~fast"));
	ck_assert(fits("options=[\"-use_\\\"fast\\\"\", [3]]"));
	/* Past where ntc_field_text() cuts. */
	ck_assert(fits("long~xxx"));
	ck_assert(!fits("long~..."));
	ck_assert(!fits("absent~"));
}
END_TEST

START_TEST(test_full_values)
{
	ck_full("program", "add");
	ck_full("BLOCK_SIZE", "128");
	ck_full("raw", "bytes:01fe");
	ck_full("options", "[\"-use_\\\"fast\\\"\", [3]]");
}
END_TEST

START_TEST(test_title)
{
	struct ntc_key *other = ntc_key_new(NTC_KIND_LIBRARY);
	struct ntc_field_value field;
	size_t other_len;
	const void *other_bytes;

	ck_assert(ntc_ctl_field_title(bytes, len, &field));
	ck_assert_uint_eq(field.len, 3);
	ck_assert_mem_eq(field.value, "add", 3);
	/* A number is no title; the next name is. */
	ntc_key_add_int(other, "program", 1);
	ntc_key_add_string(other, "name", "lib", 3);
	seal(other);
	other_bytes = ntc_key_bytes(other, &other_len);
	ck_assert(ntc_ctl_field_title(other_bytes, other_len, &field));
	ck_assert_mem_eq(field.value, "lib", 3);
	ntc_key_free(other);
}
END_TEST

START_TEST(test_json)
{
	json_t *json = ntc_ctl_list_json(bytes, len), *list;

	ck_assert_str_eq(json_string_value(json_object_get(json, "program")), "add");
	ck_assert_int_eq(json_integer_value(json_object_get(json, "BLOCK_SIZE")), 128);
	ck_assert_int_eq(json_integer_value(json_object_get(json, "negative")), -7);
	ck_assert_str_eq(json_string_value(json_object_get(json, "huge")), "18446744073709551615");
	ck_assert(json_is_true(json_object_get(json, "fast")));
	ck_assert(json_real_value(json_object_get(json, "eps")) == 0.5);
	ck_assert(json_is_null(json_object_get(json, "nothing")));
	ck_assert_uint_eq(json_string_length(json_object_get(json, "long")), 400);
	ck_assert_str_eq(json_string_value(json_object_get(json, "raw")), "bytes:01fe");
	list = json_object_get(json, "options");
	ck_assert_uint_eq(json_array_size(list), 2);
	ck_assert_str_eq(json_string_value(json_array_get(list, 0)), "-use_\"fast\"");
	ck_assert_int_eq(json_integer_value(json_array_get(json_array_get(list, 1), 0)), 3);
	json_decref(json);
}
END_TEST

static void note(void *ctx, const struct ntc_field_value *a, const struct ntc_field_value *b)
{
	const struct ntc_field_value *any = a ? a : b;
	char *log = ctx;

	snprintf(log + strlen(log), 256 - strlen(log), "%c%.*s%c ", a ? '<' : ' ', (int)any->name_len, any->name, b ? '>' : ' ');
}

START_TEST(test_diff)
{
	struct ntc_key *other = ntc_key_new(NTC_KIND_KERNEL);
	const void *other_bytes;
	size_t other_len, total;
	char log[256] = "";

	ntc_key_add_string(other, "program", "sub", 3);
	ntc_key_add_int(other, "BLOCK_SIZE", 128);
	ntc_key_add_int(other, "eps", 1);       /* another type */
	ntc_key_add_bool(other, "zzz", false);  /* only here */
	ntc_key_add_bytes(other, "fast", "\x01", 1); /* another type, the same bytes */
	seal(other);
	other_bytes = ntc_key_bytes(other, &other_len);
	ck_assert_uint_eq(ntc_ctl_diff(bytes, len, bytes, len, note, log, &total), 0);
	ck_assert_str_eq(log, "");
	ck_assert_uint_eq(total, 12);
	ck_assert_uint_eq(ntc_ctl_diff(bytes, len, other_bytes, other_len, note, log, &total), 12);
	ck_assert_uint_eq(total, 13);
	ck_assert_str_eq(log,
			 "<eps> <fast> <hash  <huge  <long  <negative  <nothing  <options  <program> <raw  "
			 "<with~wave   zzz> ");
	ck_assert_uint_eq(ntc_ctl_diff(other_bytes, other_len, bytes, len, NULL, NULL, NULL), 12);
	ck_assert_uint_eq(ntc_ctl_diff(NULL, 0, NULL, 0, NULL, NULL, &total), 0);
	ck_assert_uint_eq(ntc_ctl_diff(bytes, len, NULL, 0, NULL, NULL, &total), 12);
	ntc_key_free(other);
}
END_TEST

/* Parts at `line`, with these lines (NULL: the text ends before). */
static void ck_parts(const char *a, const char *b, size_t line, const char *left, const char *right)
{
	struct ntc_ctl_text_diff diff;

	ntc_ctl_text_diff(a, strlen(a), b, strlen(b), &diff);
	ck_assert_uint_eq(diff.line, line);
	ck_assert_int_eq(diff.a.text != NULL, left != NULL);
	ck_assert_int_eq(diff.b.text != NULL, right != NULL);
	ck_assert(!left || (diff.a.len == strlen(left) && memcmp(diff.a.text, left, diff.a.len) == 0));
	ck_assert(!right || (diff.b.len == strlen(right) && memcmp(diff.b.text, right, diff.b.len) == 0));
}

START_TEST(test_text_diff)
{
	struct ntc_ctl_text_diff diff;

	ck_parts("a\nb\nc\n", "a\nB\nc\n", 2, "b", "B");
	ck_parts("a", "b", 1, "a", "b");
	ck_parts("a\n", "a\nb", 2, NULL, "b");
	ck_parts("a\nb", "a\n", 2, "b", NULL);
	ck_parts("", "x", 1, NULL, "x");
	ck_parts("a\n\nb", "a\nb", 2, "", "b");
	ck_parts("a\n", "a", 2, NULL, NULL);
	ntc_ctl_text_diff("1\n2\n3\n", 6, "1\n2\n4", 5, &diff);
	ck_assert_uint_eq(diff.a_lines, 3);
	ck_assert_uint_eq(diff.b_lines, 3);
	ck_assert_uint_eq(diff.before.len, 1);
	ck_assert_int_eq(diff.before.text[0], '2');
}
END_TEST

START_TEST(test_nearest)
{
	static const size_t distances[] = { 9, 4, 7, 4, 1, 12, 4, 2 };
	struct ntc_ctl_nearest nearest = { 0 };

	for (size_t i = 0; i < sizeof(distances) / sizeof(distances[0]); i++) {
		struct ntc_digest digest = { .bytes = { (uint8_t)i } };

		ntc_ctl_nearest_add(&nearest, distances[i], &digest);
		ck_assert_uint_eq(nearest.count, i < 3 ? i + 1 : 3);
	}
	ck_assert_uint_eq(nearest.at[0].distance, 1);
	ck_assert_uint_eq(nearest.at[0].digest.bytes[0], 4);
	ck_assert_uint_eq(nearest.at[1].distance, 2);
	ck_assert_uint_eq(nearest.at[1].digest.bytes[0], 7);
	/* Of those at distance 4 the first stays. */
	ck_assert_uint_eq(nearest.at[2].distance, 4);
	ck_assert_uint_eq(nearest.at[2].digest.bytes[0], 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ctl_fields");
	TCase *tc = tcase_create("fields");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_filter_forms);
	tcase_add_test(tc, test_filter_values);
	tcase_add_test(tc, test_full_values);
	tcase_add_test(tc, test_title);
	tcase_add_test(tc, test_json);
	tcase_add_test(tc, test_diff);
	tcase_add_test(tc, test_text_diff);
	tcase_add_test(tc, test_nearest);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
