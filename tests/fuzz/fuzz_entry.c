/*
 * Any bytes as a body, as an image and as a stamp: refused, or read in full and written again to the same bytes.
 *
 * Each input is tried as it is and once more sealed: with magics, length and checksums set right, which no mutation
 * would find.
 */
#include "tests/fuzz/fuzz.h"

#include "proto/entry.h"
#include "proto/key.h"

/* Offsets of docs/entry.md. */
enum { BODY_CHECKSUM = 8, BODY_SEALED = 24, STAMP_CHECKSUM = 8, STAMP_SEALED = 24 };

static bool inside(struct ntc_view v, struct ntc_view bytes)
{
	return v.p >= bytes.p && v.len <= bytes.len && (size_t)(v.p - bytes.p) <= bytes.len - v.len;
}

/* All of a parsed body; written again it is the same, except for a checksum that was wrong. */
static void use_body(const struct ntc_body *body)
{
	struct ntc_part *parts = calloc(body->part_count + 1, sizeof(*parts));
	struct ntc_body_spec spec = { body->key, body->notes, parts, body->part_count };
	struct ntc_reason reason;
	enum ntc_status st;
	uint8_t *again;
	size_t size;

	FUZZ_REQUIRE(parts != NULL);
	FUZZ_REQUIRE(inside(body->key, body->bytes) && ntc_key_check(body->key, NULL) == NTC_ST_OK);
	FUZZ_REQUIRE(ntc_kind_known(body->kind));
	FUZZ_REQUIRE(body->notes.len == 0 || inside(body->notes, body->bytes));
	for (size_t i = 0; i < body->part_count; i++) {
		struct ntc_part found;

		parts[i] = ntc_body_part(body, i);
		FUZZ_REQUIRE(inside(parts[i].name, body->bytes) && inside(parts[i].data, body->bytes));
		FUZZ_REQUIRE((size_t)(parts[i].data.p - body->bytes.p) % NTC_BODY_ALIGN == 0);
		FUZZ_REQUIRE(ntc_body_find(body, parts[i].name, &found) && found.data.p == parts[i].data.p &&
			     found.data.len == parts[i].data.len);
	}
	size = ntc_body_size(&spec, &st, &reason);
	FUZZ_REQUIRE(st == NTC_ST_OK && size == body->bytes.len);
	again = fuzz_alloc(size);
	ntc_body_write(&spec, again);
	FUZZ_REQUIRE(memcmp(again, body->bytes.p, BODY_CHECKSUM) == 0);
	FUZZ_REQUIRE(memcmp(again + BODY_SEALED, body->bytes.p + BODY_SEALED, size - BODY_SEALED) == 0);
	FUZZ_REQUIRE((memcmp(again + BODY_CHECKSUM, body->checksum.bytes, sizeof(body->checksum.bytes)) == 0) ==
		     (ntc_body_verify(body) == NTC_ST_OK));
	free(again);
	free(parts);
}

static bool use_stamp(const uint8_t *bytes, const struct ntc_digest *of)
{
	uint8_t again[NTC_STAMP_SIZE];
	struct ntc_stamp stamp;

	if (ntc_stamp_read(bytes, of, &stamp) != NTC_ST_OK)
		return false;
	ntc_stamp_write(&stamp, of, again);
	FUZZ_REQUIRE(memcmp(again, bytes, NTC_STAMP_SIZE) == 0);
	return true;
}

static void use(struct ntc_view bytes)
{
	struct ntc_reason reason = { "" };
	struct ntc_image image;
	struct ntc_body body;

	if (ntc_body_parse(bytes, &body, &reason) == NTC_ST_OK)
		use_body(&body);
	else
		FUZZ_REQUIRE(reason.text[0]);
	if (ntc_image_parse(bytes, &image, NULL) == NTC_ST_OK) {
		FUZZ_REQUIRE(image.stamp + NTC_STAMP_SIZE == bytes.p + bytes.len);
		use_body(&image.body);
		(void)use_stamp(image.stamp, &image.body.checksum); /* either is fine */
	}
}

static void seal_body(uint8_t *p, size_t size)
{
	struct ntc_digest sum;

	memcpy(p, "NTCBODY\1", 8);
	ntc_store64(p + BODY_SEALED, size);
	sum = ntc_checksum(ntc_view(p + BODY_SEALED, size - BODY_SEALED));
	memcpy(p + BODY_CHECKSUM, sum.bytes, sizeof(sum.bytes));
}

static void seal_stamp(uint8_t *p, const uint8_t *body_checksum)
{
	struct ntc_digest sum;

	memcpy(p, "NTCSTMP\1", 8);
	memcpy(p + STAMP_SEALED, body_checksum, 16);
	sum = ntc_checksum(ntc_view(p + STAMP_SEALED, NTC_STAMP_SIZE - STAMP_SEALED));
	memcpy(p + STAMP_CHECKSUM, sum.bytes, sizeof(sum.bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;

	use(ntc_view(data, size));
	if (size < NTC_BODY_HEADER)
		return 0;
	copy = fuzz_alloc(size);
	memcpy(copy, data, size);
	seal_body(copy, size);
	use(ntc_view(copy, size));
	if (size >= NTC_BODY_HEADER + NTC_STAMP_SIZE) {
		memcpy(copy, data, size);
		seal_body(copy, size - NTC_STAMP_SIZE);
		seal_stamp(copy + size - NTC_STAMP_SIZE, copy + BODY_CHECKSUM);
		use(ntc_view(copy, size));
	}
	free(copy);
	return 0;
}
