/* The vectors of tests/vectors: keys and entries that every implementation of the formats has to agree on. */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "proto/entry.h"
#include "proto/key.h"
#include "tests/support/unit_data.h"

#define VALUES_MAX 64

static json_t *vectors(const char *path)
{
	json_error_t error;
	char *text = ntc_test_source_file(path, NULL);
	json_t *root = json_loads(text, JSON_ALLOW_NUL, &error);

	ck_assert_msg(root != NULL, "%s:%d: %s", path, error.line, error.text);
	free(text);
	ck_assert_int_eq(json_integer_value(json_object_get(root, "format")), 1);
	return root;
}

static const char *text_of(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	ck_assert_msg(text != NULL, "a vector lacks %s", member);
	return text;
}

static unsigned status_of(const json_t *v)
{
	const char *name = text_of(v, "error");

	for (unsigned n = 1; n < 50; n++)
		if (strcmp(ntc_status_name(n), name) == 0)
			return n;
	ck_abort_msg("no such status: %s", name);
}

/* "00ff" or {"repeat": "00ff", "count": n}. */
static struct ntc_view blob(const json_t *given)
{
	struct ntc_view unit;
	size_t count;
	uint8_t *all;

	if (json_is_string(given))
		return ntc_test_hex(json_string_value(given));
	unit = ntc_test_hex(text_of(given, "repeat"));
	count = (size_t)json_integer_value(json_object_get(given, "count"));
	all = malloc(unit.len * count);
	ck_assert_ptr_nonnull(all);
	for (size_t i = 0; i < count; i++)
		memcpy(all + i * unit.len, unit.p, unit.len);
	ntc_test_free(unit);
	return ntc_view(all, unit.len * count);
}

static unsigned type_of(const json_t *value)
{
	const char *name = text_of(value, "type");

	for (unsigned type = NTC_TYPE_NONE; type <= NTC_TYPE_SHA256; type++)
		if (strcmp(ntc_type_name(type), name) == 0)
			return type;
	ck_abort_msg("no such type: %s", name);
}

/* Decimal text of any size: digit by digit into 40 bytes of two's complement, then the shortest form. */
static struct ntc_view int_bytes(const char *text)
{
	uint8_t n[40] = { 0 };
	bool negative = *text == '-';
	size_t len = sizeof(n);
	int64_t small;
	char *end;

	for (const char *p = text + negative; *p; p++) {
		unsigned carry = (unsigned)(*p - '0');

		for (size_t i = 0; i < sizeof(n); i++) {
			carry += n[i] * 10u;
			n[i] = (uint8_t)carry;
			carry >>= 8;
		}
	}
	if (negative) {
		unsigned carry = 1;

		for (size_t i = 0; i < sizeof(n); i++) {
			carry += (uint8_t)~n[i];
			n[i] = (uint8_t)carry;
			carry >>= 8;
		}
	}
	while (len > 1 && n[len - 1] == (n[len - 2] & 0x80 ? 0xff : 0))
		len--;
	/* where it fits, the library has to agree */
	errno = 0;
	small = strtoll(text, &end, 10);
	if (errno == 0) {
		uint8_t ours[9];
		int64_t back;

		ck_assert_uint_eq(ntc_value_int(small, ours), len);
		ck_assert_mem_eq(ours, n, len);
		ck_assert(ntc_value_get_int(ntc_view(n, len), &back));
		ck_assert(back == small);
		if (small >= 0) {
			ck_assert_uint_eq(ntc_value_uint((uint64_t)small, ours), len);
			ck_assert_mem_eq(ours, n, len);
		}
	} else {
		int64_t back;
		uint64_t unsigned_ = (errno = 0, strtoull(text, &end, 10));

		ck_assert(!ntc_value_get_int(ntc_view(n, len), &back));
		ck_assert(back == 0);
		if (errno == 0 && !negative) {
			uint8_t ours[9];

			ck_assert_uint_eq(ntc_value_uint(unsigned_, ours), len);
			ck_assert_mem_eq(ours, n, len);
		}
	}
	return ntc_test_exact(n, len);
}

static struct ntc_view value_bytes(const json_t *value)
{
	json_t *v = json_object_get(value, "value");
	uint8_t small[8];

	switch (type_of(value)) {
	case NTC_TYPE_NONE:
		return ntc_test_exact(NULL, 0);
	case NTC_TYPE_BOOL:
		return ntc_test_exact(json_is_true(v) ? "\1" : "\0", 1);
	case NTC_TYPE_INT:
		return int_bytes(json_string_value(v));
	case NTC_TYPE_FLOAT: {
		uint64_t bits = strtoull(text_of(value, "bits"), NULL, 16);
		double d;

		memcpy(&d, &bits, sizeof(d));
		return ntc_test_exact(small, ntc_value_float(d, small));
	}
	case NTC_TYPE_STRING:
		if (v)
			return ntc_test_exact(json_string_value(v), json_string_length(v));
		break;
	case NTC_TYPE_LIST: {
		const json_t *items = json_object_get(value, "items");
		struct ntc_writer w = ntc_writer(NULL, 0);
		uint8_t *memory = NULL;

		for (int pass = 0; pass < 2; pass++) {
			const json_t *item;
			size_t i;

			ntc_write32(&w, (uint32_t)json_array_size(items));
			json_array_foreach(items, i, item) {
				struct ntc_view b = value_bytes(item);

				ntc_value_write_item(&w, type_of(item), b);
				ntc_test_free(b);
			}
			ck_assert(!w.bad);
			if (!pass) {
				memory = malloc(w.len);
				w = ntc_writer(memory, w.len);
			}
		}
		return ntc_view(memory, w.len);
	}
	default:
		break;
	}
	return blob(json_object_get(value, "bytes"));
}

static int by_name(const void *a, const void *b)
{
	return ntc_view_compare(((const struct ntc_field *)a)->name, ((const struct ntc_field *)b)->name);
}

struct built {
	struct ntc_field fields[VALUES_MAX];
	size_t n;
};

static struct built *build(const json_t *v)
{
	struct built *built = calloc(1, sizeof(*built));
	const json_t *field, *fields = json_object_get(v, "fields");
	size_t i;

	ck_assert_ptr_nonnull(built);
	json_array_foreach(fields, i, field) {
		const json_t *name = json_object_get(field, "name");

		ck_assert_uint_lt(built->n, VALUES_MAX);
		built->fields[built->n++] = (struct ntc_field){
			.name = ntc_view(json_string_value(name), json_string_length(name)),
			.type = type_of(field),
			.value = value_bytes(field),
		};
	}
	qsort(built->fields, built->n, sizeof(built->fields[0]), by_name);
	return built;
}

static void built_free(struct built *built)
{
	for (size_t i = 0; i < built->n; i++)
		ntc_test_free(built->fields[i].value);
	free(built);
}

static void replay_key(const json_t *v)
{
	unsigned kind = (unsigned)json_integer_value(json_object_get(v, "kind"));
	size_t size = (size_t)json_integer_value(json_object_get(v, "size"));
	const char *hex = json_string_value(json_object_get(v, "hex"));
	struct built *built = build(v);
	struct ntc_writer count = ntc_writer(NULL, 0), w;
	struct ntc_reason reason = { "" };
	char digest_text[NTC_DIGEST_TEXT];
	struct ntc_digest digest;
	struct ntc_field field;
	struct ntc_reader r;
	struct ntc_view key;
	uint8_t *memory;

	ck_assert_msg(!ntc_key_write(&count, kind, built->fields, built->n, &reason), "%s: %s", text_of(v, "name"),
		      reason.text);
	ck_assert_uint_eq(count.len, size);
	memory = malloc(size);
	w = ntc_writer(memory, size);
	ck_assert_int_eq(ntc_key_write(&w, kind, built->fields, built->n, NULL), NTC_ST_OK);
	ck_assert_uint_eq(w.len, size);
	key = ntc_view(memory, size);
	if (hex) {
		char *ours = ntc_test_to_hex(key);

		ck_assert_msg(strcmp(ours, hex) == 0, "%s: %s", text_of(v, "name"), ours);
		free(ours);
	}
	digest = ntc_key_digest(key);
	ntc_digest_format(&digest, digest_text);
	ck_assert_msg(strcmp(digest_text, text_of(v, "digest")) == 0, "%s: %s", text_of(v, "name"), digest_text);
	ck_assert_int_eq(ntc_key_check(key, &reason), NTC_ST_OK);
	ck_assert_uint_eq(ntc_key_kind(key), kind);
	ck_assert_uint_eq(ntc_key_field_count(key), built->n);
	r = ntc_key_fields(key);
	for (size_t i = 0; i < built->n; i++) {
		ck_assert(ntc_key_next(&r, &field));
		ck_assert(ntc_view_equal(field.name, built->fields[i].name));
		ck_assert_uint_eq(field.type, built->fields[i].type);
		ck_assert(ntc_view_equal(field.value, built->fields[i].value));
	}
	ck_assert(!ntc_key_next(&r, &field));
	free(memory);
	built_free(built);
}

START_TEST(test_keys)
{
	json_t *root = vectors("tests/vectors/keys.json"), *list = json_object_get(root, "valid"), *v;
	size_t i;

	ck_assert_uint_ge(json_array_size(list), 70);
	json_array_foreach(list, i, v)
		replay_key(v);
	json_decref(root);
}
END_TEST

START_TEST(test_keys_refused)
{
	json_t *root = vectors("tests/vectors/keys.json"), *v;
	size_t i;

	ck_assert_uint_ge(json_array_size(json_object_get(root, "refused_fields")), 20);
	json_array_foreach(json_object_get(root, "refused_fields"), i, v) {
		struct built *built = build(v);
		struct ntc_writer w = ntc_writer(NULL, 0);
		struct ntc_reason reason = { "" };
		unsigned st = ntc_key_write(&w, 1, built->fields, built->n, &reason);

		ck_assert_msg(st == status_of(v), "%s: %s", text_of(v, "name"), ntc_status_name(st));
		ck_assert_uint_gt(strlen(reason.text), 0);
		ck_assert_uint_eq(w.len, 0);
		built_free(built);
	}
	ck_assert_uint_ge(json_array_size(json_object_get(root, "refused_bytes")), 40);
	json_array_foreach(json_object_get(root, "refused_bytes"), i, v) {
		struct ntc_view bytes = ntc_test_hex(text_of(v, "hex"));
		struct ntc_reason reason = { "" };
		unsigned st = ntc_key_check(bytes, &reason);

		ck_assert_msg(st == status_of(v), "%s: %s (%s)", text_of(v, "name"), ntc_status_name(st), reason.text);
		ck_assert_uint_gt(strlen(reason.text), 0);
		ntc_test_free(bytes);
	}
	json_decref(root);
}
END_TEST

static int by_part_name(const void *a, const void *b)
{
	return ntc_view_compare(((const struct ntc_part *)a)->name, ((const struct ntc_part *)b)->name);
}

static struct ntc_stamp stamp_of(const json_t *s)
{
	struct ntc_stamp stamp = { 0 };

	stamp.put_wall_ns = (uint64_t)json_integer_value(json_object_get(s, "put_wall_ns"));
	stamp.cost_ns = (uint64_t)json_integer_value(json_object_get(s, "cost_ns"));
	stamp.uid = (uint32_t)json_integer_value(json_object_get(s, "uid"));
	stamp.gid = (uint32_t)json_integer_value(json_object_get(s, "gid"));
	stamp.pid = (uint32_t)json_integer_value(json_object_get(s, "pid"));
	snprintf(stamp.host, sizeof(stamp.host), "%s", text_of(s, "host"));
	snprintf(stamp.exe, sizeof(stamp.exe), "%s", text_of(s, "exe"));
	return stamp;
}

static void replay_entry(const json_t *v)
{
	struct ntc_view key = ntc_test_hex(text_of(v, "key")), notes = ntc_test_hex(text_of(v, "notes"));
	struct ntc_view expected = ntc_test_hex(text_of(v, "image"));
	const json_t *list = json_object_get(v, "parts"), *p;
	struct ntc_part parts[8], found;
	struct ntc_body_spec spec = { .key = key, .notes = notes, .parts = parts };
	struct ntc_stamp stamp = stamp_of(json_object_get(v, "stamp")), back;
	char checksum[NTC_DIGEST_TEXT];
	struct ntc_reason reason;
	struct ntc_image image;
	enum ntc_status st;
	uint8_t *memory;
	size_t size, i;

	json_array_foreach(list, i, p) {
		ck_assert_uint_lt(i, 8);
		parts[spec.part_count++] = (struct ntc_part){
			.name = ntc_view(text_of(p, "name"), strlen(text_of(p, "name"))),
			.data = ntc_test_hex(text_of(p, "hex")),
		};
	}
	qsort(parts, spec.part_count, sizeof(parts[0]), by_part_name);
	size = ntc_body_size(&spec, &st, &reason);
	ck_assert_int_eq(st, NTC_ST_OK);
	ck_assert_uint_eq(size, json_integer_value(json_object_get(v, "body_size")));
	ck_assert_uint_eq(size + NTC_STAMP_SIZE, expected.len);
	memory = malloc(expected.len);
	ntc_body_write(&spec, memory);
	ck_assert_msg(memcmp(memory, expected.p, size) == 0, "%s: body", text_of(v, "name"));
	memcpy(memory + size, expected.p + size, NTC_STAMP_SIZE);
	ck_assert_int_eq(ntc_image_parse(ntc_view(memory, expected.len), &image, &reason), NTC_ST_OK);
	ck_assert_int_eq(ntc_body_verify(&image.body), NTC_ST_OK);
	ntc_digest_format(&image.body.checksum, checksum);
	ck_assert_str_eq(checksum, text_of(v, "checksum"));
	ntc_stamp_write(&stamp, &image.body.checksum, memory + size);
	ck_assert_msg(memcmp(memory + size, expected.p + size, NTC_STAMP_SIZE) == 0, "%s: stamp", text_of(v, "name"));
	ck_assert_int_eq(ntc_stamp_read(image.stamp, &image.body.checksum, &back), NTC_ST_OK);
	ck_assert_uint_eq(back.pid, stamp.pid);
	ck_assert_str_eq(back.exe, stamp.exe);
	ck_assert(ntc_view_equal(image.body.key, key));
	ck_assert(ntc_view_equal(image.body.notes, notes));
	ck_assert_uint_eq(image.body.kind, ntc_key_kind(key));
	ck_assert_uint_eq(image.body.part_count, spec.part_count);
	for (i = 0; i < spec.part_count; i++) {
		struct ntc_part at = ntc_body_part(&image.body, i);

		ck_assert(ntc_view_equal(at.name, parts[i].name));
		ck_assert(ntc_view_equal(at.data, parts[i].data));
		ck_assert_uint_eq((size_t)(at.data.p - memory) % NTC_BODY_ALIGN, 0);
		ck_assert(ntc_body_find(&image.body, parts[i].name, &found));
		ck_assert_ptr_eq(found.data.p, at.data.p);
		ntc_test_free(parts[i].data);
	}
	free(memory);
	ntc_test_free(expected);
	ntc_test_free(notes);
	ntc_test_free(key);
}

START_TEST(test_entries)
{
	json_t *root = vectors("tests/vectors/entries.json"), *v;
	size_t i;

	ck_assert_uint_ge(json_array_size(json_object_get(root, "valid")), 8);
	json_array_foreach(json_object_get(root, "valid"), i, v)
		replay_entry(v);
	json_decref(root);
}
END_TEST

START_TEST(test_entries_refused)
{
	json_t *root = vectors("tests/vectors/entries.json"), *v;
	struct ntc_body body;
	struct ntc_digest checksum;
	size_t i;

	ck_assert_uint_ge(json_array_size(json_object_get(root, "refused_bodies")), 40);
	json_array_foreach(json_object_get(root, "refused_bodies"), i, v) {
		struct ntc_view bytes = ntc_test_hex(text_of(v, "hex"));
		struct ntc_reason reason = { "" };
		unsigned st = ntc_body_parse(bytes, &body, &reason);

		if (st)
			ck_assert_uint_gt(strlen(reason.text), 0);
		else
			st = ntc_body_verify(&body);
		ck_assert_msg(st == status_of(v), "%s: %s (%s)", text_of(v, "name"), ntc_status_name(st), reason.text);
		ntc_test_free(bytes);
	}
	v = json_array_get(json_object_get(root, "valid"), 2);
	ck_assert_str_eq(text_of(v, "name"), "a kernel");
	ck_assert(ntc_digest_parse(text_of(v, "checksum"), &checksum));
	json_array_foreach(json_object_get(root, "refused_stamps"), i, v) {
		struct ntc_view bytes = ntc_test_hex(text_of(v, "hex"));
		struct ntc_stamp stamp, zero = { 0 };
		unsigned st;

		ck_assert_uint_eq(bytes.len, NTC_STAMP_SIZE);
		st = ntc_stamp_read(bytes.p, &checksum, &stamp);
		ck_assert_msg(st == status_of(v), "%s: %s", text_of(v, "name"), ntc_status_name(st));
		ck_assert_mem_eq(&stamp, &zero, offsetof(struct ntc_stamp, exe) + sizeof(stamp.exe));
		ntc_test_free(bytes);
	}
	ck_assert_uint_ge(i, 9);
	json_decref(root);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vectors");
	TCase *tc = tcase_create("vectors");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_keys);
	tcase_add_test(tc, test_keys_refused);
	tcase_add_test(tc, test_entries);
	tcase_add_test(tc, test_entries_refused);
	suite_add_tcase(s, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
