/* Frames: headers, every cut, several in a buffer, what loses the stream. */
#include <check.h>
#include <stdlib.h>

#include "proto/frame.h"
#include "tests/support/unit_data.h"

START_TEST(test_header)
{
	struct ntc_view expected = ntc_test_hex("03000000 1c00 0100 efcdab8967452301");
	uint8_t out[NTC_FRAME_HEADER];

	ntc_frame_write_header(out, 0x1c, NTC_FRAME_DESCRIPTOR, UINT64_C(0x0123456789abcdef), 3);
	ck_assert_mem_eq(out, expected.p, sizeof(out));
	ck_assert_uint_eq(expected.len, NTC_FRAME_HEADER);
	ntc_test_free(expected);
}
END_TEST

START_TEST(test_cut_everywhere)
{
	struct ntc_view whole = ntc_test_hex("03000000 1c00 0100 efcdab8967452301 616263");
	struct ntc_frame frame, zero = { 0 };
	size_t used;

	for (size_t len = 0; len < whole.len; len++) {
		struct ntc_view cut = ntc_test_exact(whole.p, len);

		memset(&frame, 0xff, sizeof(frame));
		ck_assert_int_eq(ntc_frame_parse(cut, &frame, &used), NTC_ST_NOT_FOUND);
		ck_assert_uint_eq(used, len < NTC_FRAME_HEADER ? NTC_FRAME_HEADER : whole.len);
		ck_assert_mem_eq(&frame, &zero, sizeof(frame));
		ntc_test_free(cut);
	}
	ck_assert_int_eq(ntc_frame_parse(ntc_view(NULL, 0), &frame, &used), NTC_ST_NOT_FOUND);
	ck_assert_uint_eq(used, NTC_FRAME_HEADER);
	ck_assert_int_eq(ntc_frame_parse(whole, &frame, &used), NTC_ST_OK);
	ck_assert_uint_eq(used, whole.len);
	ck_assert_uint_eq(frame.type, 0x1c);
	ck_assert_uint_eq(frame.flags, NTC_FRAME_DESCRIPTOR);
	ck_assert(frame.id == UINT64_C(0x0123456789abcdef));
	ck_assert(ntc_view_equal(frame.payload, ntc_view("abc", 3)));
	ntc_test_free(whole);
}
END_TEST

START_TEST(test_stream)
{
	struct ntc_view stream = ntc_test_hex("00000000 1c00 0000 0100000000000000"
					      "01000000 ffff 0000 0200000000000000 7a"
					      "00000000 0000 0000 0300000000000000 0000");
	size_t at = 0;

	for (uint64_t id = 1; id <= 3; id++) {
		struct ntc_frame frame;
		size_t used;

		ck_assert_int_eq(ntc_frame_parse(ntc_view(stream.p + at, stream.len - at), &frame, &used), NTC_ST_OK);
		ck_assert(frame.id == id);
		at += used;
	}
	ck_assert_uint_eq(stream.len - at, 2);
	ntc_test_free(stream);
}
END_TEST

START_TEST(test_refused)
{
	uint8_t header[NTC_FRAME_HEADER];
	struct ntc_frame frame, zero = { 0 };
	size_t used;

	ntc_frame_write_header(header, 1, 0, 1, NTC_FRAME_MAX);
	ck_assert_int_eq(ntc_frame_parse(ntc_view(header, sizeof(header)), &frame, &used), NTC_ST_NOT_FOUND);
	ck_assert_uint_eq(used, NTC_FRAME_HEADER + NTC_FRAME_MAX);
	ntc_frame_write_header(header, 1, 0, 1, NTC_FRAME_MAX + 1);
	ck_assert_int_eq(ntc_frame_parse(ntc_view(header, sizeof(header)), &frame, &used), NTC_ST_BAD_FRAME);
	ck_assert_mem_eq(&frame, &zero, sizeof(frame));
	ntc_frame_write_header(header, 1, 0, 1, UINT32_MAX);
	ck_assert_int_eq(ntc_frame_parse(ntc_view(header, sizeof(header)), &frame, &used), NTC_ST_BAD_FRAME);
	for (unsigned bit = 0; bit < 16; bit++) {
		ntc_frame_write_header(header, 1, 1u << bit, 1, 0);
		ck_assert_int_eq(ntc_frame_parse(ntc_view(header, sizeof(header)), &frame, &used),
				 bit == 0 ? NTC_ST_OK : NTC_ST_BAD_FRAME);
	}
}
END_TEST

/* The largest frame, with its bytes. */
START_TEST(test_largest)
{
	uint8_t *bytes = calloc(1, NTC_FRAME_HEADER + NTC_FRAME_MAX);
	struct ntc_frame frame;
	size_t used;

	ntc_frame_write_header(bytes, 0x13, 0, 7, NTC_FRAME_MAX);
	ck_assert_int_eq(ntc_frame_parse(ntc_view(bytes, NTC_FRAME_HEADER + NTC_FRAME_MAX - 1), &frame, &used),
			 NTC_ST_NOT_FOUND);
	ck_assert_int_eq(ntc_frame_parse(ntc_view(bytes, NTC_FRAME_HEADER + NTC_FRAME_MAX), &frame, &used), NTC_ST_OK);
	ck_assert_uint_eq(frame.payload.len, NTC_FRAME_MAX);
	free(bytes);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("frame");
	TCase *tc = tcase_create("frame");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_test(tc, test_header);
	tcase_add_test(tc, test_cut_everywhere);
	tcase_add_test(tc, test_stream);
	tcase_add_test(tc, test_refused);
	tcase_add_test(tc, test_largest);
	suite_add_tcase(s, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
