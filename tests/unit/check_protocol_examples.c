/*
 * The worked examples of docs/protocol.md, docs/key.md and docs/entry.md, read from the pages themselves: decoded,
 * every field compared with what the page says it is, and encoded again to the same bytes. And the numbers that the
 * pages name, against the lists in the code.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "proto/entry.h"
#include "proto/key.h"
#include "proto/message.h"
#include "tests/support/unit_data.h"

/* --- one table for all messages ----------------------------------------------------------- */

enum sort { SORT_u32, SORT_u64, SORT_digest, SORT_view };

struct member {
	const char *name;
	enum sort sort;
	size_t at;
};

struct codec {
	const char *name;
	unsigned type;
	const struct member *members;
	bool (*read)(struct ntc_view payload, void *m);
	void (*write)(struct ntc_writer *w, const void *m);
};

#define CODEC(lower, FIELDS) \
	static bool read_##lower(struct ntc_view payload, void *m) \
	{ \
		return ntc_msg_##lower##_read(payload, m); \
	} \
	static void write_##lower(struct ntc_writer *w, const void *m) \
	{ \
		ntc_msg_##lower##_write(w, m); \
	}
NTC_EACH_MESSAGE(CODEC)

/* offsetof() needs the struct's name, which field lists do not have: so offsets are taken from an object. */
#define MEMBER(sort, name) { #name, SORT_##sort, (size_t)((const char *)&m->name - (const char *)m) },
#define TABLE(lower, FIELDS) \
	static const struct member *members_##lower(void) \
	{ \
		static const struct ntc_msg_##lower object; \
		const struct ntc_msg_##lower *m = &object; \
		const struct member list[] = { FIELDS(MEMBER) { NULL, SORT_u32, 0 } }; \
		static struct member kept[sizeof(list) / sizeof(list[0])]; \
\
		(void)m; \
		memcpy(kept, list, sizeof(list)); \
		return kept; \
	}
NTC_EACH_MESSAGE(TABLE)

static struct codec codec_of(const char *name)
{
	struct codec found = { .name = name };

#define FIND(lower, FIELDS) \
	if (strcasecmp(name, #lower) == 0) { \
		found.members = members_##lower(); \
		found.read = read_##lower; \
		found.write = write_##lower; \
	}
	NTC_EACH_MESSAGE(FIND)
#define NUMBER(upper, number) \
	if (strcmp(name, #upper) == 0) \
		found.type = number;
	NTC_MESSAGE_LIST(NUMBER)
	ck_assert_msg(found.read != NULL && found.type, "no message is called %s", name);
	return found;
}

/* Large enough and aligned for every message. */
union any {
	uint64_t align;
	char bytes[256];
};
#define FITS(lower, FIELDS) _Static_assert(sizeof(struct ntc_msg_##lower) <= sizeof(union any), #lower);
NTC_EACH_MESSAGE(FITS)

/* --- lines of a block --------------------------------------------------------------------- */

/* "hex ; name value": what stands left of the semicolon is appended to `hex`; the rest, if any, is returned. */
static char *annotation(char *line, char *hex, size_t room)
{
	char *semicolon = strchr(line, ';');

	if (semicolon)
		*semicolon = '\0';
	ck_assert_uint_lt(strlen(hex) + strlen(line), room);
	strcat(hex, line);
	strcat(hex, " ");
	return semicolon ? semicolon + 1 + (semicolon[1] == ' ') : NULL;
}

static uint64_t number(const char *text)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 10);
	ck_assert_msg(errno == 0 && end != text && !*end, "not a number: %s", text);
	return n;
}

static void compare(const char *message, const struct member *member, const void *m, const char *said)
{
	const char *at = (const char *)m + member->at;
	struct ntc_digest digest;
	struct ntc_view view;
	uint32_t u32;
	uint64_t u64;

	switch (member->sort) {
	case SORT_u32:
		memcpy(&u32, at, sizeof(u32));
		ck_assert_msg(u32 == number(said), "%s.%s is %u, not %s", message, member->name, u32, said);
		break;
	case SORT_u64:
		memcpy(&u64, at, sizeof(u64));
		ck_assert_msg(u64 == number(said), "%s.%s is %llu, not %s", message, member->name,
			      (unsigned long long)u64, said);
		break;
	case SORT_digest:
		ck_assert(ntc_digest_parse(said, &digest));
		ck_assert_msg(memcmp(at, &digest, sizeof(digest)) == 0, "%s.%s is not %s", message, member->name, said);
		break;
	case SORT_view:
		memcpy(&view, at, sizeof(view));
		if (strcmp(said, "empty") == 0) {
			ck_assert_uint_eq(view.len, 0);
		} else if (*said == '"') {
			char text[256];
			size_t n = 0;

			for (const char *p = said + 1; strcmp(p, "\"") != 0; p++) {
				ck_assert(*p != '\0' && n < sizeof(text));
				if (strncmp(p, "\\n", 2) == 0)
					p++, text[n++] = '\n';
				else
					text[n++] = *p;
			}
			ck_assert_msg(ntc_view_equal(view, ntc_view(text, n)), "%s.%s is not %s", message,
				      member->name, said);
		} else {
			char bytes[32];

			snprintf(bytes, sizeof(bytes), "%zu bytes", view.len);
			ck_assert_str_eq(bytes, said);
		}
		break;
	}
}

static void check_frame(void *ctx, char *name, char *text)
{
	struct codec codec = codec_of(name);
	const struct member *member = codec.members;
	char hex[4096] = "", *said[32], *line;
	size_t count = 0, used;
	uint8_t again[1024];
	struct ntc_writer w;
	struct ntc_frame frame;
	struct ntc_view bytes;
	union any m;

	ck_assert_msg(!((bool *)ctx)[codec.type], "%s has two examples", name);
	((bool *)ctx)[codec.type] = true;
	while ((line = ntc_test_line(&text))) {
		char *note = annotation(line, hex, sizeof(hex));

		if (note) {
			ck_assert_uint_lt(count, 32);
			said[count++] = note;
		}
	}
	bytes = ntc_test_hex(hex);
	ck_assert_int_eq(ntc_frame_parse(bytes, &frame, &used), NTC_ST_OK);
	ck_assert_msg(used == bytes.len, "%s: %zu bytes, its frame has %zu", name, bytes.len, used);
	ck_assert_msg(frame.type == codec.type, "%s has type %#x", name, frame.type);
	ck_assert_uint_ge(count, 4);
	ck_assert(strncmp(said[0], "length ", 7) == 0 && number(said[0] + 7) == frame.payload.len);
	ck_assert(strncmp(said[1], "type ", 5) == 0 && strcmp(said[1] + 5, name) == 0);
	ck_assert(strncmp(said[2], "flags ", 6) == 0 && number(said[2] + 6) == frame.flags);
	ck_assert(strncmp(said[3], "id ", 3) == 0 && number(said[3] + 3) == frame.id);

	ck_assert_msg(codec.read(frame.payload, &m), "%s cannot be read", name);
	for (size_t i = 4; i < count; i++, member++) {
		size_t len;

		ck_assert_msg(member->name != NULL, "%s has no field for: %s", name, said[i]);
		len = strlen(member->name);
		ck_assert_msg(strncmp(said[i], member->name, len) == 0 && said[i][len] == ' ', "%s: %s, not %s", name,
			      member->name, said[i]);
		compare(name, member, &m, said[i] + len + 1);
	}
	ck_assert_msg(member->name == NULL, "%s: the page leaves out %s", name, member->name);

	w = ntc_writer(again + NTC_FRAME_HEADER, sizeof(again) - NTC_FRAME_HEADER);
	codec.write(&w, &m);
	ck_assert(!w.bad);
	ntc_frame_write_header(again, frame.type, frame.flags, frame.id, (uint32_t)w.len);
	ck_assert(ntc_view_equal(bytes, ntc_view(again, NTC_FRAME_HEADER + w.len)));
	ntc_test_free(bytes);
}

START_TEST(test_frames)
{
	bool seen[256] = { false };
	size_t messages = 0;

#define COUNT(upper, number) messages++;
	NTC_MESSAGE_LIST(COUNT)
	ck_assert_uint_eq(ntc_test_blocks("docs/protocol.md", "frame", check_frame, seen), messages);
}
END_TEST

/* Each message has a heading with its number and says each of its fields; each status has its row. */
START_TEST(test_numbers)
{
	char *page = ntc_test_source_file("docs/protocol.md", NULL), expected[128];

#define HEADING(upper, number) \
	snprintf(expected, sizeof(expected), "\n### 0x%02x %s", number, #upper); \
	ck_assert_msg(strstr(page, expected) != NULL, "the page lacks: %s", expected + 1);
	NTC_MESSAGE_LIST(HEADING)
#define ROW(name, number, retry, text) \
	snprintf(expected, sizeof(expected), "\n| %d | %s | %s | ", number, #name, (retry) ? "yes" : "no"); \
	ck_assert_msg((number) == 0 || strstr(page, expected) != NULL, "the page lacks: %s", expected + 1);
	NTC_STATUS_LIST(ROW)
	free(page);
}
END_TEST

/* --- key.md ------------------------------------------------------------------------------- */

static void check_key_example(void *ctx, char *name, char *text)
{
	struct ntc_field fields[16];
	char hex[1024] = "", *line, *digest_said = NULL, *values[16];
	uint8_t ints[16][9], memory[256];
	size_t n = 0, size_said = 0;
	struct ntc_digest digest;
	char digest_text[NTC_DIGEST_TEXT];
	struct ntc_writer w = ntc_writer(memory, sizeof(memory));
	struct ntc_view bytes;
	unsigned kind = 0;

	(void)ctx;
	(void)name;
	while ((line = ntc_test_line(&text))) {
		char *note = annotation(line, hex, sizeof(hex)), field[64], type[16];
		int end = 0;

		ck_assert_ptr_nonnull(note);
		if (sscanf(note, "kind %u", &kind) == 1 || sscanf(note, "size %zu", &size_said) == 1)
			continue;
		if (strncmp(note, "digest ", 7) == 0)
			digest_said = note + 7;
		if (strncmp(note, "field ", 6) != 0 || sscanf(note + 6, "%63s %15s %n", field, type, &end) != 2 || !end)
			continue;
		ck_assert_uint_lt(n, 16);
		values[n] = note + 6 + end;
		fields[n].name = ntc_view(note + 6, strlen(field));
		if (strcmp(type, "int") == 0) {
			fields[n].type = NTC_TYPE_INT;
			fields[n].value = ntc_view(ints[n], ntc_value_int((int64_t)number(values[n]), ints[n]));
		} else if (strcmp(type, "bool") == 0) {
			fields[n].type = NTC_TYPE_BOOL;
			ints[n][0] = (uint8_t)number(values[n]);
			fields[n].value = ntc_view(ints[n], 1);
		} else {
			ck_assert_str_eq(type, "string");
			fields[n].type = NTC_TYPE_STRING;
			fields[n].value = ntc_view(values[n], strlen(values[n]));
		}
		n++;
	}
	ck_assert_uint_ge(n, 3);
	bytes = ntc_test_hex(hex);
	ck_assert_uint_eq(bytes.len, size_said);
	ck_assert_int_eq(ntc_key_check(bytes, NULL), NTC_ST_OK);
	ck_assert_int_eq(ntc_key_write(&w, kind, fields, n, NULL), NTC_ST_OK);
	ck_assert(ntc_view_equal(bytes, ntc_view(memory, w.len)));
	digest = ntc_key_digest(bytes);
	ntc_digest_format(&digest, digest_text);
	ck_assert_ptr_nonnull(digest_said);
	ck_assert_str_eq(digest_text, digest_said);
	ntc_test_free(bytes);
}

START_TEST(test_key)
{
	ck_assert_uint_eq(ntc_test_blocks("docs/key.md", "key", check_key_example, NULL), 1);
}
END_TEST

/* --- entry.md ----------------------------------------------------------------------------- */

static void check_entry_example(void *ctx, char *name, char *text)
{
	struct ntc_field field = { ntc_view("BLOCK", 5), NTC_TYPE_INT, ntc_view("\x40", 1) };
	struct ntc_part parts[] = {
		{ ntc_view("cubin", 5), ntc_view("\x7f" "ELF", 4) },
		{ ntc_view("log", 3), ntc_view(NULL, 0) },
	};
	struct ntc_stamp stamp = { UINT64_C(1767225600123456789), 1500000000, 1000, 100, 4242, "worker-7",
				   "/usr/bin/python3.11" };
	struct ntc_body_spec spec = { .parts = parts, .part_count = 2 };
	char hex[4096] = "", *line;
	uint8_t key[64], image[1024];
	struct ntc_writer w = ntc_writer(key, sizeof(key));
	struct ntc_view bytes;
	struct ntc_body body;
	enum ntc_status st;
	size_t size, at = 0, notes = 0;

	(void)ctx;
	(void)name;
	ck_assert_int_eq(ntc_key_write(&w, NTC_KIND_KERNEL, &field, 1, NULL), NTC_ST_OK);
	spec.key = ntc_view(key, w.len);
	size = ntc_body_size(&spec, &st, NULL);
	ck_assert_uint_eq(size, 256);
	ntc_body_write(&spec, image);
	ck_assert_int_eq(ntc_body_parse(ntc_view(image, size), &body, NULL), NTC_ST_OK);
	ntc_stamp_write(&stamp, &body.checksum, image + size);
	while ((line = ntc_test_line(&text))) {
		char *note = annotation(line, hex, sizeof(hex));
		char one[128] = "";
		struct ntc_view of_line;

		/* a note that begins with a number says the offset of its line */
		if (note && *note >= '0' && *note <= '9') {
			ck_assert_uint_eq(strtoul(note, NULL, 10), at);
			notes++;
		}
		(void)annotation(line, one, sizeof(one));
		of_line = ntc_test_hex(one);
		at += of_line.len;
		ntc_test_free(of_line);
	}
	ck_assert_uint_ge(notes, 10);
	bytes = ntc_test_hex(hex);
	ck_assert_uint_eq(bytes.len, size + NTC_STAMP_SIZE);
	for (size_t i = 0; i < bytes.len; i++)
		ck_assert_msg(bytes.p[i] == image[i], "byte %zu of the image is %02x, the page says %02x", i, image[i],
			      bytes.p[i]);
	ntc_test_free(bytes);
}

START_TEST(test_entry)
{
	ck_assert_uint_eq(ntc_test_blocks("docs/entry.md", "entry", check_entry_example, NULL), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("examples");
	TCase *tc = tcase_create("examples");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_test(tc, test_frames);
	tcase_add_test(tc, test_numbers);
	tcase_add_test(tc, test_key);
	tcase_add_test(tc, test_entry);
	suite_add_tcase(s, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
