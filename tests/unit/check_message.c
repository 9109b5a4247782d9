/*
 * Messages: their frozen numbers and field lists, every one written, read, cut and stretched; rows.
 *
 * The tests are made from the same lists as the codecs, so that a message that is added is tested too.
 */
#include <check.h>
#include <stdlib.h>
#include <strings.h>

#include "proto/digest.h"
#include "proto/message.h"
#include "tests/support/unit_data.h"

/* On the wire: this list is a second copy on purpose. Fields: 4, 8, d(igest), v(iew). */
static const struct {
	unsigned number;
	const char *name, *fields;
} frozen[] = {
	{ 0x01, "HELLO", "44v" },    { 0x10, "LOOKUP", "v" },     { 0x11, "ACQUIRE", "844488v" },
	{ 0x12, "EXTEND", "88" },    { 0x13, "PUT", "888v" },     { 0x14, "FAIL", "84v" },
	{ 0x15, "RELEASE", "8" },    { 0x16, "SLOT", "888" },     { 0x17, "SYNC", "" },
	{ 0x18, "REMOVE", "dv" },    { 0x19, "LIST", "d44" },     { 0x1a, "SHOW", "d" },
	{ 0x1b, "STATS", "" },       { 0x1c, "PING", "" },        { 0x1d, "CANCEL", "8" },
	{ 0x1e, "HITS", "4v" },      { 0x1f, "SUSPECT", "d" },    { 0x20, "IMPORT", "v8v" },
	{ 0x21, "VERIFY", "d4" },    { 0x22, "COLLECT", "8884" },
	{ 0x23, "PIN", "d4v" },       { 0x24, "UNPIN", "d4v" },
	   { 0x80, "GREETING", "444448888" },
	{ 0x81, "DONE", "8" },       { 0x82, "ERROR", "44v" },    { 0x83, "ENTRY", "48v" },
	{ 0x84, "LEASE", "884" },    { 0x85, "FAILED", "8v" },    { 0x86, "STORED", "4" },
	{ 0x87, "SLOTTED", "4" },    { 0x88, "ROWS", "4v" },      { 0x89, "SHOWN", "v8v" },
	{ 0x8a, "COUNTERS", "v" },   { 0x8b, "VERIFIED", "48v" },
	{ 0x8c, "SEGMENT", "8" },     { 0x8d, "COLLECTED", "888" },
};

#define LETTER_u32 "4"
#define LETTER_u64 "8"
#define LETTER_digest "d"
#define LETTER_view "v"
#define LETTER(type, name) LETTER_##type

START_TEST(test_frozen)
{
#define LISTED(lower, FIELDS) { #lower, "" FIELDS(LETTER) },
	static const struct {
		const char *lower, *fields;
	} listed[] = { NTC_EACH_MESSAGE(LISTED) };
	const size_t n = sizeof(frozen) / sizeof(frozen[0]);
	size_t known = 0;

	ck_assert_uint_eq(sizeof(listed) / sizeof(listed[0]), n);
	for (size_t i = 0; i < n; i++) {
		ck_assert_str_eq(ntc_message_name(frozen[i].number), frozen[i].name);
		ck_assert_msg(strcasecmp(listed[i].lower, frozen[i].name) == 0, "%s", frozen[i].name);
		ck_assert_msg(strcmp(listed[i].fields, frozen[i].fields) == 0, "%s has fields %s", frozen[i].name,
			      listed[i].fields);
	}
	for (unsigned type = 0; type <= 0x10000; type++)
		known += strcmp(ntc_message_name(type), "UNKNOWN") != 0;
	ck_assert_uint_eq(known, n);
}
END_TEST

/* Different bytes for every field of every message. */
static unsigned next;

static void fill_u32(uint32_t *v)
{
	*v = 0x01010101u * ++next + 0x80000000u;
}

static void fill_u64(uint64_t *v)
{
	*v = UINT64_C(0x0101010101010101) * ++next + (UINT64_C(1) << 63);
}

static void fill_digest(struct ntc_digest *v)
{
	memset(v->bytes, (int)++next, sizeof(v->bytes));
}

static void fill_view(struct ntc_view *v)
{
	static const char text[] = "abcdefghijklmnopqrstuvwxyz";

	next++;
	*v = ntc_view(text + next % 7, next % 19);
}

static bool same_u32(const uint32_t *a, const uint32_t *b)
{
	return *a == *b;
}

static bool same_u64(const uint64_t *a, const uint64_t *b)
{
	return *a == *b;
}

static bool same_digest(const struct ntc_digest *a, const struct ntc_digest *b)
{
	return ntc_digest_equal(a, b);
}

static bool same_view(const struct ntc_view *a, const struct ntc_view *b)
{
	return ntc_view_equal(*a, *b);
}

static bool inside_u32(const uint32_t *a, struct ntc_view payload)
{
	(void)a;
	(void)payload;
	return true;
}

static bool inside_u64(const uint64_t *a, struct ntc_view payload)
{
	(void)a;
	(void)payload;
	return true;
}

static bool inside_digest(const struct ntc_digest *a, struct ntc_view payload)
{
	(void)a;
	(void)payload;
	return true;
}

/* Views are borrowed from the payload. */
static bool inside_view(const struct ntc_view *a, struct ntc_view payload)
{
	return a->len == 0 || (a->p >= payload.p && a->len <= (size_t)(payload.p + payload.len - a->p));
}

#define FILL(type, name) fill_##type(&m.name);
#define SAME(type, name) ck_assert_msg(same_##type(&m.name, &back.name), #name);
#define EMPTY(type, name) ck_assert_msg(same_##type(&zero.name, &back.name), #name);
#define INSIDE(type, name) ck_assert_msg(inside_##type(&back.name, whole), #name);
#define DEFINE(lower, FIELDS) \
	static void check_##lower(void) \
	{ \
		struct ntc_msg_##lower m = { 0 }, back, zero = { 0 }; \
		struct ntc_writer count = ntc_writer(NULL, 0), w; \
		struct ntc_view whole, other; \
		uint8_t *memory; \
\
		(void)zero; \
		FIELDS(FILL) \
		ntc_msg_##lower##_write(&count, &m); \
		ck_assert(!count.bad); \
		memory = malloc(count.len + 1); \
		for (size_t cap = 0; cap < count.len; cap++) { \
			uint8_t *small = malloc(cap ? cap : 1); \
\
			w = ntc_writer(small, cap); \
			ntc_msg_##lower##_write(&w, &m); \
			ck_assert(w.bad); \
			free(small); \
		} \
		w = ntc_writer(memory, count.len); \
		ntc_msg_##lower##_write(&w, &m); \
		ck_assert(!w.bad); \
		ck_assert_uint_eq(w.len, count.len); \
		whole = ntc_test_exact(memory, w.len); \
		memset(&back, 0xff, sizeof(back)); \
		ck_assert(ntc_msg_##lower##_read(whole, &back)); \
		FIELDS(SAME) \
		FIELDS(INSIDE) \
		for (size_t len = 0; len < whole.len; len++) { \
			other = ntc_test_exact(whole.p, len); \
			memset(&back, 0xff, sizeof(back)); \
			ck_assert(!ntc_msg_##lower##_read(other, &back)); \
			FIELDS(EMPTY) \
			ntc_test_free(other); \
		} \
		memory[w.len] = 0; \
		other = ntc_test_exact(memory, w.len + 1); \
		ck_assert_msg(!ntc_msg_##lower##_read(other, &back), "a byte behind the last field"); \
		FIELDS(EMPTY) \
		ntc_test_free(other); \
		ck_assert(ntc_msg_##lower##_read(ntc_view(NULL, 0), &back) == (w.len == 0)); \
		ntc_test_free(whole); \
		free(memory); \
	}
NTC_EACH_MESSAGE(DEFINE)

START_TEST(test_each)
{
#define CALL(lower, FIELDS) check_##lower();
	for (int round = 0; round < 20; round++) {
		NTC_EACH_MESSAGE(CALL)
	}
}
END_TEST

/* A view's length that lies. */
START_TEST(test_view_lengths)
{
	static const uint32_t lies[] = { 4, 5, 100, 0x7fffffff, 0xfffffffc, UINT32_MAX };

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct ntc_view bytes = ntc_test_hex("03000000 616263");
		struct ntc_msg_lookup m;

		ck_assert(ntc_msg_lookup_read(bytes, &m));
		ntc_store32((uint8_t *)bytes.p, lies[i]);
		ck_assert(!ntc_msg_lookup_read(bytes, &m));
		ck_assert_ptr_null(m.key.p);
		ntc_test_free(bytes);
	}
}
END_TEST

START_TEST(test_rows)
{
	struct ntc_row row = { .digest = { { 1, 2, 3 } }, .kind = 4, .uid = 5, .size = 6, .put_wall_ns = 7, .cost_ns = 8,
			       .hits = 9, .used = 10, .parts = 11, .key_len = UINT64_MAX, .flags = NTC_ROW_PINNED,
			       .producer = "a compiler 1.2", .image = 1, .weight = 1, .value = 1, .used_age = 1 };
	struct ntc_row back, zero = { .kind = 0 };
	uint8_t memory[2 * NTC_ROW_SIZE];
	struct ntc_writer w = ntc_writer(memory, sizeof(memory));
	struct ntc_reader r;

	/* as long as it may be */
	memset(row.name, 'n', NTC_ROW_TEXT - 1);
	ntc_row_write(&w, &row);
	ck_assert_uint_eq(w.len, NTC_ROW_SIZE);
	ntc_row_write(&w, &row);
	ck_assert(!w.bad);
	r = ntc_reader(memory, sizeof(memory));
	for (int i = 0; i < 2; i++) {
		back = ntc_row_read(&r);
		ck_assert(ntc_digest_equal(&back.digest, &row.digest));
		ck_assert_uint_eq(back.kind, 4);
		ck_assert_uint_eq(back.uid, 5);
		ck_assert_uint_eq(back.size, 6);
		ck_assert_uint_eq(back.put_wall_ns, 7);
		ck_assert_uint_eq(back.cost_ns, 8);
		ck_assert_uint_eq(back.hits, 9);
		ck_assert_uint_eq(back.used, 10);
		ck_assert_uint_eq(back.parts, 11);
		ck_assert(back.key_len == UINT64_MAX);
		ck_assert_uint_eq(back.flags, NTC_ROW_PINNED);
		ck_assert_mem_eq(back.producer, row.producer, NTC_ROW_TEXT);
		ck_assert_mem_eq(back.name, row.name, NTC_ROW_TEXT);
		/* the store's own stays there */
		ck_assert(back.image == 0 && back.weight == 0 && back.value == 0 && back.used_age == 0);
	}
	ck_assert(ntc_read_done(&r));
	back = ntc_row_read(&r);
	ck_assert(r.bad);
	for (size_t len = 0; len < NTC_ROW_SIZE; len++) {
		struct ntc_view cut = ntc_test_exact(memory, len);

		r = ntc_reader(cut.p, cut.len);
		back = ntc_row_read(&r);
		ck_assert(r.bad);
		ck_assert_mem_eq(&back, &zero, sizeof(back));
		ntc_test_free(cut);
	}
	/* texts have one form: printable, ended, zeros behind */
	for (int i = 0; i < 3; i++) {
		static const struct { size_t at; char c; } wrong[] = {
			{ NTC_ROW_SIZE - 1, 'n' }, { 88 + 3, '\n' }, { 88 + 20, 'x' },
		};
		char was = (char)memory[wrong[i].at];

		memory[wrong[i].at] = (uint8_t)wrong[i].c;
		r = ntc_reader(memory, NTC_ROW_SIZE);
		back = ntc_row_read(&r);
		ck_assert(r.bad);
		ck_assert_mem_eq(&back, &zero, sizeof(back));
		memory[wrong[i].at] = (uint8_t)was;
	}
	/* what LIST sends at most fits a frame */
	ck_assert_uint_le(8 + NTC_ROWS_MAX * NTC_ROW_SIZE, NTC_FRAME_MAX);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("message");
	TCase *tc = tcase_create("message");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_test(tc, test_frozen);
	tcase_add_test(tc, test_each);
	tcase_add_test(tc, test_view_lengths);
	tcase_add_test(tc, test_rows);
	suite_add_tcase(s, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
