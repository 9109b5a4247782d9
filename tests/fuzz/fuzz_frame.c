/*
 * Any bytes as a stream of frames. Every payload is given to every message's decoder: what one accepts is written
 * again to the same bytes, with all views inside the payload.
 */
#include "tests/fuzz/fuzz.h"

#include "proto/message.h"

static bool inside_u32(const uint32_t *v, struct ntc_view payload)
{
	(void)v;
	(void)payload;
	return true;
}

static bool inside_u64(const uint64_t *v, struct ntc_view payload)
{
	(void)v;
	(void)payload;
	return true;
}

static bool inside_digest(const struct ntc_digest *v, struct ntc_view payload)
{
	(void)v;
	(void)payload;
	return true;
}

static bool inside_view(const struct ntc_view *v, struct ntc_view payload)
{
	return v->len == 0 || (v->p >= payload.p && v->len <= payload.len &&
			       (size_t)(v->p - payload.p) <= payload.len - v->len);
}

#define INSIDE(type, name) FUZZ_REQUIRE(inside_##type(&m.name, payload));
#define DEFINE(lower, FIELDS) \
	static bool try_##lower(struct ntc_view payload) \
	{ \
		struct ntc_msg_##lower m; \
		struct ntc_writer w; \
		uint8_t *again; \
\
		if (!ntc_msg_##lower##_read(payload, &m)) \
			return false; \
		FIELDS(INSIDE) \
		again = fuzz_alloc(payload.len); \
		w = ntc_writer(again, payload.len); \
		ntc_msg_##lower##_write(&w, &m); \
		FUZZ_REQUIRE(!w.bad && ntc_view_equal(payload, ntc_view(again, w.len))); \
		free(again); \
		return true; \
	}
NTC_EACH_MESSAGE(DEFINE)

static void read_rows(struct ntc_view rows)
{
	struct ntc_reader r = ntc_reader(rows.p, rows.len);

	while (r.left >= NTC_ROW_SIZE) {
		const uint8_t *from = r.p;
		uint8_t again[NTC_ROW_SIZE];
		struct ntc_writer w = ntc_writer(again, sizeof(again));
		struct ntc_row row = ntc_row_read(&r);

		if (r.bad)
			return;
		ntc_row_write(&w, &row);
		FUZZ_REQUIRE(!w.bad && memcmp(from, again, sizeof(again)) == 0);
	}
	if (r.left) {
		(void)ntc_row_read(&r);
		FUZZ_REQUIRE(r.bad);
	}
}

static void try_each(unsigned type, struct ntc_view payload)
{
	struct ntc_msg_rows rows;

#define TRY(lower, FIELDS) (void)try_##lower(payload);
	NTC_EACH_MESSAGE(TRY)
	if (ntc_msg_rows_read(payload, &rows))
		read_rows(rows.rows);
	FUZZ_REQUIRE(ntc_message_name(type)[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t at = 0;

	for (;;) {
		struct ntc_view rest = ntc_view(data + at, size - at);
		uint8_t header[NTC_FRAME_HEADER];
		struct ntc_frame frame;
		enum ntc_status st;
		size_t used = 0;

		st = ntc_frame_parse(rest, &frame, &used);
		if (st == NTC_ST_NOT_FOUND) {
			FUZZ_REQUIRE(used > rest.len && used <= NTC_FRAME_HEADER + NTC_FRAME_MAX);
			break;
		}
		if (st != NTC_ST_OK)
			break;
		FUZZ_REQUIRE(used <= rest.len && used == NTC_FRAME_HEADER + frame.payload.len);
		ntc_frame_write_header(header, frame.type, frame.flags, frame.id, (uint32_t)frame.payload.len);
		FUZZ_REQUIRE(memcmp(header, rest.p, sizeof(header)) == 0);
		try_each(frame.type, frame.payload);
		at += used;
	}
	return 0;
}
