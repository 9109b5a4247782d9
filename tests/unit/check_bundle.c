/* Bundles: their marks, and the reader's way through whole, damaged and cut ones. */
#include <check.h>
#include <stdlib.h>

#include "proto/bundle.h"
#include "proto/digest.h"
#include "tests/support/unit_data.h"

#define ITEMS 12

/* --- a bundle whose frames are any bytes: the reader does not look into them ---------------- */

struct made {
	uint8_t bytes[ITEMS * 512];
	size_t len;
	size_t at[ITEMS + 2];   /* of the head, the items, the tail */
};

static void add(struct made *made, const struct ntc_bundle_mark *mark)
{
	ntc_bundle_mark_write(mark, made->bytes + made->len);
	made->len += NTC_BUNDLE_MARK;
}

/* `salt` makes it another bundle. Frames are full of bytes that marks begin with. */
static void make(struct made *made, size_t items, uint8_t salt)
{
	struct ntc_bundle_mark mark = { .sort = NTC_BUNDLE_HEAD, .number = items };

	*made = (struct made){ .len = 0 };
	mark.id = ntc_bundle_id(ntc_view(&salt, 1));
	add(made, &mark);
	for (size_t i = 0; i < items; i++) {
		made->at[i + 1] = made->len;
		mark.sort = NTC_BUNDLE_ITEM;
		mark.number = i;
		mark.digest.bytes[0] = (uint8_t)(i + 1);
		mark.image = 64 * (5 + i);
		mark.packed = 40 + 7 * i;
		add(made, &mark);
		for (size_t n = 0; n < mark.packed; n++)
			made->bytes[made->len++] = n % 3 ? 0x5b : (uint8_t)(n ^ i);
	}
	made->at[items + 1] = made->len;
	add(made, &(struct ntc_bundle_mark){ .sort = NTC_BUNDLE_TAIL, .id = mark.id, .number = items });
}

/* What a reader tells of some bytes. */
struct told {
	enum ntc_bundle_event last;
	bool began, read[ITEMS], missing[ITEMS];
	unsigned entries, damages;
	uint64_t at, bytes;             /* of the last damage, or the cut */
};

/* Read it with windows that grow by `step` bytes at a time (0 = all at once), each a heap block of its own. */
static struct told tell(const uint8_t *bytes, size_t len, size_t step)
{
	struct ntc_bundle_reader reader = { 0 };
	struct told told = { .last = NTC_BUNDLE_MORE };
	size_t at = 0, end = step && step < len ? step : len;

	for (unsigned turns = 0;; turns++) {
		struct ntc_view window = ntc_test_exact(bytes + at, end - at);
		struct ntc_bundle_found found;
		bool eof = end == len;
		size_t used;

		ck_assert_uint_lt(turns, 4 * len + 100);
		told.last = ntc_bundle_next(&reader, window, eof, &found, &used);
		ck_assert_uint_le(used, window.len);
		if (told.last == NTC_BUNDLE_ENTRY) {
			ck_assert(found.packed.p >= window.p && found.packed.p + found.packed.len == window.p + used);
			ck_assert_uint_eq(found.packed.len, found.mark.packed);
			ck_assert_uint_lt(found.mark.number, ITEMS);
			told.read[found.mark.number] = true;
			told.entries++;
		} else if (told.last == NTC_BUNDLE_DAMAGE) {
			told.damages++;
			ck_assert_uint_eq(found.at + found.bytes, at + used);
			for (uint64_t i = 0; i < found.missing; i++) {
				ck_assert_uint_lt(found.first + i, ITEMS);
				told.missing[found.first + i] = true;
			}
		} else if (told.last == NTC_BUNDLE_BEGIN) {
			told.began = true;
		}
		if (told.last == NTC_BUNDLE_DAMAGE || told.last == NTC_BUNDLE_CUT) {
			told.at = found.at;
			told.bytes = found.bytes;
		}
		at += used;
		ntc_test_free(window);
		ck_assert(told.last == NTC_BUNDLE_ALIEN || reader.offset == at);
		if (told.last == NTC_BUNDLE_MORE) {
			ck_assert(!eof && found.need > end - at);
			end = end + step < len ? end + step : len;
		} else if (told.last >= NTC_BUNDLE_END) {
			return told;
		}
	}
}

/* --- marks -------------------------------------------------------------------------------- */

START_TEST(test_marks)
{
	struct ntc_bundle_mark marks[] = {
		{ .sort = NTC_BUNDLE_HEAD, .id = { "head" }, .number = 7 },
		{ NTC_BUNDLE_ITEM, { "item" }, NTC_BUNDLE_ITEMS_MAX - 1, { "\xff" }, 320, 1, { "seal" } },
		{ NTC_BUNDLE_ITEM, { "item" }, 0, { "" }, (UINT64_C(1) << 30) + 256,
		  ntc_bundle_packed_max((UINT64_C(1) << 30) + 256), { "" } },
		{ .sort = NTC_BUNDLE_TAIL, .number = NTC_BUNDLE_ITEMS_MAX },
	};
	uint8_t bytes[NTC_BUNDLE_MARK], again[NTC_BUNDLE_MARK];

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		struct ntc_bundle_mark read, zero = { 0 };

		ntc_bundle_mark_write(&marks[i], bytes);
		ck_assert(ntc_bundle_mark_read(bytes, &read));
		ntc_bundle_mark_write(&read, again);
		ck_assert_mem_eq(bytes, again, sizeof(bytes));
		ck_assert_uint_eq(read.number, marks[i].number);
		ck_assert_uint_eq(read.packed, marks[i].packed);
		for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
			bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			ck_assert(!ntc_bundle_mark_read(bytes, &read));
			ck_assert_mem_eq(&read, &zero, sizeof(read));
			bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}
END_TEST

/* Well sealed, and still not in the one form. */
START_TEST(test_refused_marks)
{
	uint64_t most = (UINT64_C(1) << 30) + 256;
	struct ntc_bundle_mark marks[] = {
		{ .sort = 0 },
		{ .sort = 4 },
		{ .sort = NTC_BUNDLE_HEAD, .number = NTC_BUNDLE_ITEMS_MAX + 1 },
		{ .sort = NTC_BUNDLE_HEAD, .digest = { "x" } },
		{ .sort = NTC_BUNDLE_HEAD, .image = 320 },
		{ .sort = NTC_BUNDLE_TAIL, .packed = 1 },
		{ .sort = NTC_BUNDLE_TAIL, .seal = { "x" } },
		{ .sort = NTC_BUNDLE_ITEM, .number = NTC_BUNDLE_ITEMS_MAX, .image = 320, .packed = 1 },
		{ .sort = NTC_BUNDLE_ITEM, .image = 256, .packed = 1 },
		{ .sort = NTC_BUNDLE_ITEM, .image = 321, .packed = 1 },
		{ .sort = NTC_BUNDLE_ITEM, .image = 320, .packed = 0 },
		{ .sort = NTC_BUNDLE_ITEM, .image = 320, .packed = ntc_bundle_packed_max(320) + 1 },
		{ .sort = NTC_BUNDLE_ITEM, .image = most + 64, .packed = 1 },
		{ .sort = NTC_BUNDLE_ITEM, .image = UINT64_MAX - 63, .packed = UINT64_MAX },
	};
	uint8_t bytes[NTC_BUNDLE_MARK];
	struct ntc_bundle_mark read;

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		ntc_bundle_mark_write(&marks[i], bytes);
		ck_assert_msg(!ntc_bundle_mark_read(bytes, &read), "mark %zu", i);
	}
}
END_TEST

/* --- reading ------------------------------------------------------------------------------ */

START_TEST(test_whole)
{
	static const size_t steps[] = { 0, 1, 7, NTC_BUNDLE_MARK - 1, NTC_BUNDLE_MARK, NTC_BUNDLE_MARK + 1, 2 * NTC_BUNDLE_MARK, 1000 };
	struct made made;

	for (size_t items = 0; items <= ITEMS; items += 3) {
		make(&made, items, 1);
		for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
			struct told told = tell(made.bytes, made.len, steps[i]);

			ck_assert_int_eq(told.last, NTC_BUNDLE_END);
			ck_assert(told.began);
			ck_assert_uint_eq(told.entries, items);
			ck_assert_uint_eq(told.damages, 0);
		}
	}
}
END_TEST

/* One flipped byte in a mark loses its entry alone and is told; in a frame nothing is lost (its own checks find it). */
START_TEST(test_flipped)
{
	struct made made;

	make(&made, ITEMS, 1);
	for (size_t at = 0; at < made.len; at++) {
		struct told told;
		size_t mark = 0;

		made.bytes[at] ^= (uint8_t)(1 + at % 255);
		told = tell(made.bytes, made.len, at % 5 ? 0 : 13);
		made.bytes[at] ^= (uint8_t)(1 + at % 255);
		while (mark <= ITEMS && at >= made.at[mark] + NTC_BUNDLE_MARK && at >= made.at[mark + 1])
			mark++;
		if (at >= made.at[mark] + NTC_BUNDLE_MARK) {
			ck_assert_int_eq(told.last, NTC_BUNDLE_END);
			ck_assert_uint_eq(told.damages, 0);
			ck_assert_uint_eq(told.entries, ITEMS);
		} else if (mark == 0) {
			ck_assert_int_eq(told.last, NTC_BUNDLE_END);
			ck_assert(told.damages == 1 && !told.began && told.at == 0 && told.bytes == NTC_BUNDLE_MARK);
			ck_assert_uint_eq(told.entries, ITEMS);
		} else if (mark == ITEMS + 1) {
			ck_assert_int_eq(told.last, NTC_BUNDLE_CUT);
			ck_assert_uint_eq(told.at, made.at[mark]);
			ck_assert_uint_eq(told.entries, ITEMS);
		} else {
			ck_assert_int_eq(told.last, NTC_BUNDLE_END);
			ck_assert_uint_eq(told.damages, 1);
			ck_assert_uint_eq(told.entries, ITEMS - 1);
			ck_assert(told.missing[mark - 1] && !told.read[mark - 1]);
			ck_assert(told.at == made.at[mark] && told.bytes == made.at[mark + 1] - made.at[mark]);
		}
	}
}
END_TEST

START_TEST(test_cut)
{
	struct made made;

	make(&made, ITEMS, 1);
	for (size_t len = 0; len < made.len; len++) {
		struct told told = tell(made.bytes, len, len % 3 ? 0 : 17);
		unsigned whole = 0;

		while (whole < ITEMS && made.at[whole + 2] <= len)
			whole++;
		ck_assert_int_eq(told.last, len < NTC_BUNDLE_MARK ? NTC_BUNDLE_ALIEN : NTC_BUNDLE_CUT);
		ck_assert_uint_eq(told.entries, len < NTC_BUNDLE_MARK ? 0 : whole);
		ck_assert_uint_eq(told.damages, 0);
	}
}
END_TEST

/* Bytes taken out, put in, or swapped: what is whole and in order comes through. */
START_TEST(test_moved)
{
	struct made made, other;
	struct told told;
	size_t len;

	make(&made, ITEMS, 1);
	other = made;
	/* Without item 4. */
	memmove(other.bytes + made.at[5], other.bytes + made.at[6], made.len - made.at[6]);
	len = made.len - (made.at[6] - made.at[5]);
	told = tell(other.bytes, len, 0);
	ck_assert(told.last == NTC_BUNDLE_END && told.damages == 1 && told.missing[4] && told.entries == ITEMS - 1);
	ck_assert_uint_eq(told.bytes, 0);
	/* Item 4 twice. */
	memcpy(other.bytes, made.bytes, made.at[6]);
	memcpy(other.bytes + made.at[6], made.bytes + made.at[5], made.len - made.at[5]);
	len = made.len + (made.at[6] - made.at[5]);
	told = tell(other.bytes, len, 0);
	ck_assert(told.last == NTC_BUNDLE_END && told.damages == 1 && told.entries == ITEMS);
	/* Bytes behind the tail. */
	memcpy(other.bytes, made.bytes, made.len);
	memcpy(other.bytes + made.len, made.bytes, 300);
	told = tell(other.bytes, made.len + 300, 100);
	ck_assert(told.last == NTC_BUNDLE_END && told.damages == 1 && told.entries == ITEMS && told.bytes == 300);
	/* Two bundles. */
	ck_assert_uint_le(2 * made.len, sizeof(other.bytes));
	memcpy(other.bytes + made.len, made.bytes, made.len);
	told = tell(other.bytes, 2 * made.len, 0);
	ck_assert(told.last == NTC_BUNDLE_END && told.damages == 1 && told.bytes == made.len && told.entries == ITEMS);
}
END_TEST

/* A bundle that is some entry's data is not taken for the outer one's rest, wherever the damage is. */
START_TEST(test_bundle_in_a_bundle)
{
	struct ntc_bundle_mark mark = { .sort = NTC_BUNDLE_HEAD, .id = { "outer" }, .number = 2 };
	struct made inner, outer = { .len = 0 };
	struct told told;

	make(&inner, 3, 2);
	add(&outer, &mark);
	mark = (struct ntc_bundle_mark){ NTC_BUNDLE_ITEM, { "outer" }, 0, { "\0" }, 4096, inner.len, { "" } };
	outer.at[1] = outer.len;
	add(&outer, &mark);
	memcpy(outer.bytes + outer.len, inner.bytes, inner.len);
	outer.len += inner.len;
	mark.number = 1;
	mark.digest.bytes[0] = 9;
	outer.at[2] = outer.len;
	add(&outer, &mark);
	memcpy(outer.bytes + outer.len, inner.bytes, inner.len);
	outer.len += inner.len;
	add(&outer, &(struct ntc_bundle_mark){ .sort = NTC_BUNDLE_TAIL, .id = { "outer" }, .number = 2 });
	told = tell(outer.bytes, outer.len, 0);
	ck_assert(told.last == NTC_BUNDLE_END && told.entries == 2 && told.damages == 0);
	for (size_t i = 0; i < NTC_BUNDLE_MARK; i++) {
		outer.bytes[outer.at[1] + i] ^= 0x20;
		told = tell(outer.bytes, outer.len, 0);
		ck_assert(told.last == NTC_BUNDLE_END && told.entries == 1 && told.read[1] && told.missing[0]);
		outer.bytes[outer.at[1] + i] ^= 0x20;
	}
	/* Both marks before the inner one. */
	outer.bytes[0] ^= 1;
	outer.bytes[outer.at[1]] ^= 1;
	told = tell(outer.bytes, outer.len, 0);
	ck_assert_int_eq(told.last, NTC_BUNDLE_ALIEN);
}
END_TEST

START_TEST(test_alien)
{
	static const char *const aliens[] = { "", "PK\3\4", "[*M\x18X", "\x28\xb5\x2f\xfd" };
	uint8_t zeros[1000] = { 0 };
	struct made made;

	for (size_t i = 0; i < sizeof(aliens) / sizeof(aliens[0]); i++) {
		memcpy(zeros, aliens[i], strlen(aliens[i]));
		ck_assert_int_eq(tell(zeros, strlen(aliens[i]), 0).last, NTC_BUNDLE_ALIEN);
		ck_assert_int_eq(tell(zeros, sizeof(zeros), 0).last, NTC_BUNDLE_ALIEN);
		ck_assert_int_eq(tell(zeros, sizeof(zeros), 1).last, NTC_BUNDLE_ALIEN);
	}
	/* The rest of one. */
	make(&made, ITEMS, 1);
	ck_assert_int_eq(tell(made.bytes + 1, made.len - 1, 0).last, NTC_BUNDLE_ALIEN);
	ck_assert_int_eq(tell(made.bytes + NTC_BUNDLE_MARK, made.len - NTC_BUNDLE_MARK, 0).last, NTC_BUNDLE_ALIEN);
}
END_TEST

/* --- docs/bundle.md ----------------------------------------------------------------------- */

static void check_example(void *ctx, char *name, char *text)
{
	struct ntc_bundle_mark mark, said = { NTC_BUNDLE_ITEM, { "" }, 0, { "" }, 512, 214, { "" } };
	uint8_t bytes[NTC_BUNDLE_MARK];
	char hex[1024] = "", *line;
	struct ntc_view page;

	(void)ctx;
	ck_assert_str_eq(name, "MARK");
	while ((line = ntc_test_line(&text))) {
		line[strcspn(line, ";")] = '\0';
		ck_assert_uint_lt(strlen(hex) + strlen(line) + 1, sizeof(hex));
		strcat(hex, line);
		strcat(hex, " ");
	}
	page = ntc_test_hex(hex);
	ck_assert(ntc_digest_parse("baac399252f95dd54dad729cba812903", &said.digest));
	said.seal = ntc_bundle_seal(ntc_view("frame", 5));
	said.id = ntc_bundle_id(ntc_view(said.digest.bytes, sizeof(said.digest.bytes)));
	ntc_bundle_mark_write(&said, bytes);
	ck_assert_msg(ntc_view_equal(page, ntc_view(bytes, sizeof(bytes))), "the page should say: %s",
		      ntc_test_to_hex(ntc_view(bytes, sizeof(bytes))));
	ck_assert(ntc_bundle_mark_read(page.p, &mark));
	ntc_test_free(page);
}

START_TEST(test_example)
{
	ck_assert_uint_eq(ntc_test_blocks("docs/bundle.md", "bundle", check_example, NULL), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("bundle");
	TCase *tc = tcase_create("bundle");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_marks);
	tcase_add_test(tc, test_refused_marks);
	tcase_add_test(tc, test_whole);
	tcase_add_test(tc, test_flipped);
	tcase_add_test(tc, test_cut);
	tcase_add_test(tc, test_moved);
	tcase_add_test(tc, test_bundle_in_a_bundle);
	tcase_add_test(tc, test_alien);
	tcase_add_test(tc, test_example);
	suite_add_tcase(s, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
