/* Loads, stores, the sticky reader and the sticky writer; digests as text. */
#include <check.h>
#include <stdlib.h>

#include "proto/bytes.h"
#include "proto/digest.h"
#include "tests/support/unit_data.h"

START_TEST(test_views)
{
	struct ntc_view none = { 0 };

	ck_assert(ntc_view_equal(none, ntc_view("", 0)));
	ck_assert(ntc_view_equal(ntc_view("ab", 2), ntc_view("abc", 2)));
	ck_assert(!ntc_view_equal(ntc_view("ab", 2), ntc_view("ab", 1)));
	ck_assert(!ntc_view_equal(ntc_view("ab", 2), none));
	ck_assert_int_eq(ntc_view_compare(none, none), 0);
	ck_assert_int_lt(ntc_view_compare(none, ntc_view("a", 1)), 0);
	ck_assert_int_gt(ntc_view_compare(ntc_view("a", 1), none), 0);
	ck_assert_int_lt(ntc_view_compare(ntc_view("a", 1), ntc_view("ab", 2)), 0);
	ck_assert_int_lt(ntc_view_compare(ntc_view("ab", 2), ntc_view("b", 1)), 0);
	/* unsigned bytes */
	ck_assert_int_lt(ntc_view_compare(ntc_view("\x7f", 1), ntc_view("\x80", 1)), 0);
}
END_TEST

START_TEST(test_loads_and_stores)
{
	struct ntc_view b = ntc_test_hex("01 fe 83 04 85 06 87 f8");
	uint8_t out[8];

	ck_assert_uint_eq(ntc_load16(b.p), 0xfe01);
	ck_assert_uint_eq(ntc_load32(b.p), 0x0483fe01u);
	ck_assert_uint_eq(ntc_load32(b.p + 4), 0xf8870685u);
	ck_assert(ntc_load64(b.p) == UINT64_C(0xf88706850483fe01));
	ck_assert_uint_eq(ntc_load16(b.p + 1), 0x83fe); /* unaligned */
	ntc_store64(out, UINT64_C(0xf88706850483fe01));
	ck_assert_mem_eq(out, b.p, 8);
	ntc_store32(out, 0x0483fe01u);
	ck_assert_mem_eq(out, b.p, 4);
	ntc_store16(out, 0xfe01);
	ck_assert_mem_eq(out, b.p, 2);
	ntc_test_free(b);
}
END_TEST

START_TEST(test_reader)
{
	struct ntc_view b = ntc_test_hex("01 0203 04050607 08090a0b0c0d0e0f 02000000 6162 00000000");
	struct ntc_reader r = ntc_reader(b.p, b.len);
	struct ntc_view v;

	ck_assert_uint_eq(ntc_read8(&r), 1);
	ck_assert_uint_eq(ntc_read16(&r), 0x0302);
	ck_assert_uint_eq(ntc_read32(&r), 0x07060504u);
	ck_assert(ntc_read64(&r) == UINT64_C(0x0f0e0d0c0b0a0908));
	v = ntc_read_counted(&r);
	ck_assert(ntc_view_equal(v, ntc_view("ab", 2)));
	ck_assert(!ntc_read_done(&r));
	v = ntc_read_counted(&r);
	ck_assert_uint_eq(v.len, 0);
	ck_assert(ntc_read_done(&r));
	ck_assert_uint_eq(ntc_read_view(&r, 0).len, 0);
	ck_assert(ntc_read_done(&r));
	ntc_test_free(b);
}
END_TEST

START_TEST(test_reader_sticks)
{
	struct ntc_view b = ntc_test_hex("ff ff ff");
	struct ntc_reader r = ntc_reader(b.p, b.len);

	ck_assert_uint_eq(ntc_read32(&r), 0);
	ck_assert(r.bad);
	ck_assert_uint_eq(ntc_read8(&r), 0); /* though a byte is there */
	ck_assert_uint_eq(ntc_read16(&r), 0);
	ck_assert(ntc_read64(&r) == 0);
	ck_assert_ptr_null(ntc_read_view(&r, 0).p);
	ck_assert_uint_eq(ntc_read_counted(&r).len, 0);
	ck_assert(!ntc_read_done(&r));

	/* each width, one byte short */
	for (size_t width = 1; width <= 8; width *= 2) {
		struct ntc_view cut = ntc_test_exact("\xff\xff\xff\xff\xff\xff\xff", width - 1);

		r = ntc_reader(cut.p, cut.len);
		ck_assert((width == 1 ? ntc_read8(&r) : width == 2 ? ntc_read16(&r) : width == 4 ? ntc_read32(&r) :
			   ntc_read64(&r)) == 0);
		ck_assert(r.bad);
		ntc_test_free(cut);
	}
	r = ntc_reader(b.p, b.len);
	ck_assert_uint_eq(ntc_read_view(&r, SIZE_MAX).len, 0);
	ck_assert(r.bad);
	r = ntc_reader(NULL, 0);
	ck_assert(ntc_read_done(&r));
	ck_assert_uint_eq(ntc_read_view(&r, 0).len, 0);
	ck_assert(!r.bad);
	ntc_test_free(b);

	b = ntc_test_hex("ffffffff 00");
	r = ntc_reader(b.p, b.len);
	ck_assert_uint_eq(ntc_read_counted(&r).len, 0);
	ck_assert(r.bad);
	ntc_test_free(b);
}
END_TEST

static void write_all(struct ntc_writer *w)
{
	ntc_write8(w, 1);
	ntc_write16(w, 0x0302);
	ntc_write32(w, 0x07060504u);
	ntc_write64(w, UINT64_C(0x0f0e0d0c0b0a0908));
	ntc_write_zeros(w, 3);
	ntc_write_counted(w, ntc_view("ab", 2));
	ntc_write_counted(w, ntc_view(NULL, 0));
	ntc_write_bytes(w, NULL, 0);
	ntc_write_zeros(w, 0);
}

START_TEST(test_writer)
{
	struct ntc_view expected = ntc_test_hex("01 0203 04050607 08090a0b0c0d0e0f 000000 02000000 6162 00000000");
	struct ntc_writer count = ntc_writer(NULL, 0);

	write_all(&count);
	ck_assert(!count.bad);
	ck_assert_uint_eq(count.len, expected.len);
	for (size_t cap = 0; cap <= expected.len + 1; cap++) {
		uint8_t *memory = malloc(cap ? cap : 1);
		struct ntc_writer w = ntc_writer(memory, cap);

		write_all(&w);
		ck_assert_int_eq(w.bad, cap < expected.len);
		ck_assert_uint_le(w.len, cap);
		ck_assert_mem_eq(memory, expected.p, w.len);
		if (!w.bad)
			ck_assert_uint_eq(w.len, expected.len);
		free(memory);
	}
	ntc_test_free(expected);
}
END_TEST

START_TEST(test_writer_sticks)
{
	uint8_t memory[4] = { 9, 9, 9, 9 };
	struct ntc_writer w = ntc_writer(memory, sizeof(memory));

	ntc_write8(&w, 1);
	ntc_write32(&w, 2);
	ck_assert(w.bad);
	ntc_write8(&w, 3); /* would fit */
	ck_assert_uint_eq(w.len, 1);
	ck_assert_uint_eq(memory[1], 9);
	ck_assert_ptr_null(ntc_write_room(&w, 0));

	w = ntc_writer(NULL, 0);
	ck_assert_ptr_null(ntc_write_room(&w, SIZE_MAX - 1));
	ck_assert(!w.bad);
	ntc_write16(&w, 1);
	ck_assert(w.bad); /* not wrapped */
	w = ntc_writer(NULL, 0);
	ntc_write_counted(&w, ntc_view("", (size_t)UINT32_MAX + 1));
	ck_assert(w.bad);
}
END_TEST

START_TEST(test_digest)
{
	static const char empty[] = "99aa06d3014798d86001c324468d497f"; /* XXH3-128 of nothing */
	struct ntc_digest d = ntc_checksum(ntc_view(NULL, 0)), e;
	char text[NTC_DIGEST_TEXT];

	ntc_digest_format(&d, text);
	ck_assert_str_eq(text, empty);
	e = ntc_checksum(ntc_view("", 0));
	ck_assert(ntc_digest_equal(&d, &e));
	ck_assert(ntc_digest_parse(empty, &e));
	ck_assert(ntc_digest_equal(&d, &e));
	ck_assert(ntc_digest_parse("99AA06D3014798D86001C324468D497F", &e));
	ck_assert(ntc_digest_equal(&d, &e));
	e.bytes[15] ^= 1;
	ck_assert(!ntc_digest_equal(&d, &e));
}
END_TEST

START_TEST(test_digest_refused)
{
	static const char *const bad[] = {
		"", "9", "99aa06d3014798d86001c324468d497", "99aa06d3014798d86001c324468d497f0",
		"99aa06d3014798d86001c324468d497g", " 9aa06d3014798d86001c324468d497f", "0x9a06d3014798d86001c324468d497f",
		"99aa06d3014798d86001c324468d497\xff",
	};
	const struct ntc_digest zero = { { 0 } };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct ntc_digest d = { { 1 } };

		ck_assert_msg(!ntc_digest_parse(bad[i], &d), "%s", bad[i]);
		ck_assert(ntc_digest_equal(&d, &zero));
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("bytes");
	TCase *tc = tcase_create("bytes");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_test(tc, test_views);
	tcase_add_test(tc, test_loads_and_stores);
	tcase_add_test(tc, test_reader);
	tcase_add_test(tc, test_reader_sticks);
	tcase_add_test(tc, test_writer);
	tcase_add_test(tc, test_writer_sticks);
	tcase_add_test(tc, test_digest);
	tcase_add_test(tc, test_digest_refused);
	suite_add_tcase(s, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
