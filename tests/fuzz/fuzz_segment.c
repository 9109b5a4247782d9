/*
 * Any bytes as a shared segment: opened or refused, looked up in, copied and parsed, without a step outside.
 *
 * Each input is tried as it is (padded to the smallest segment) and as the contents of one whose header is right: a byte for the
 * number of slots, a record for each slot in which the key may be, the rest is the arena's beginning. No mutation
 * would find a digest.
 */
#include <string.h>

#include "proto/segment.h"
#include "tests/fuzz/fuzz.h"

/* The key of the worked example in docs/entry.md: BLOCK = 64. */
static const uint8_t key_bytes[24] = {
	0x4e, 0x54, 0x4b, 0x01, 0x01, 0x00, 0x01, 0x00, 0x18, 0x00, 0x00, 0x00,
	0x03, 0x05, 0x01, 0x00, 0x00, 0x00, 0x42, 0x4c, 0x4f, 0x43, 0x4b, 0x40
};

enum {
	RECORD = 9, /* flags u8, place u64 */
	RIGHT_DIGEST = 1,
	CHANGING = 2,
	NEAR = 4,  /* the place is within the input */
	SMALL = 8, /* and so is its size */
	SIZE = NTC_SEGMENT_MIN
};

static void look_up(const uint8_t *memory)
{
	struct ntc_view key = ntc_view(key_bytes, sizeof(key_bytes));
	struct ntc_digest digest = ntc_key_digest(key);
	struct ntc_reason reason = { "" };
	struct ntc_segment segment;
	struct ntc_segment_hit hit;
	struct ntc_image image;
	uint8_t *copy;

	if (ntc_segment_open(memory, SIZE, &segment, &reason)) {
		FUZZ_REQUIRE(reason.text[0] && !segment.table);
		return;
	}
	(void)ntc_segment_alive(&segment); /* either is fine */
	if (!ntc_segment_find(&segment, &digest, key, &hit)) {
		FUZZ_REQUIRE(!hit.image);
		return;
	}
	FUZZ_REQUIRE((const uint8_t *)hit.image >= (const uint8_t *)segment.arena && hit.len <= SIZE &&
		     (size_t)((const uint8_t *)hit.image - memory) <= SIZE - hit.len);
	FUZZ_REQUIRE(ntc_segment_valid(&hit));
	for (int i = 0; i < 2; i++) {
		struct ntc_view part, name = i ? ntc_view("log", 3) : ntc_view("cubin", 5);

		if (ntc_segment_part(&hit, name, &part))
			FUZZ_REQUIRE(part.p >= (const uint8_t *)hit.image && part.len <= hit.len &&
				     (size_t)(part.p - (const uint8_t *)hit.image) <= hit.len - part.len);
		else
			FUZZ_REQUIRE(!part.p && !part.len);
	}
	copy = fuzz_alloc(hit.len);
	ntc_racing_copy_out(copy, hit.image, hit.len);
	FUZZ_REQUIRE(memcmp(copy + 64, key_bytes, sizeof(key_bytes)) == 0);
	if (ntc_image_parse(ntc_view(copy, hit.len), &image, NULL) == NTC_ST_OK) {
		FUZZ_REQUIRE(ntc_view_equal(image.body.key, key));
		for (size_t i = 0; i < image.body.part_count; i++) {
			struct ntc_part part = ntc_body_part(&image.body, i);

			FUZZ_REQUIRE(part.data.p >= copy && part.data.len <= hit.len &&
				     (size_t)(part.data.p - copy) <= hit.len - part.data.len);
		}
	}
	free(copy);
}

static void seal(uint8_t *memory, const uint8_t *data, size_t size)
{
	struct ntc_digest digest = ntc_key_digest(ntc_view(key_bytes, sizeof(key_bytes)));
	uint64_t slots = NTC_SEGMENT_SLOTS_MIN << (data[0] % 8), groups[2];
	size_t used = 1, arena = NTC_SEGMENT_HEADER + slots * sizeof(struct ntc_segment_slot);

	memcpy(memory, "NTCSEGM\1", 8);
	ntc_store64(memory + NTC_SEGMENT_AT_SIZE, SIZE);
	ntc_store64(memory + NTC_SEGMENT_AT_SLOTS, slots);
	ntc_segment_groups(&digest, slots / NTC_SEGMENT_GROUP, groups);
	for (unsigned i = 0; i < 2 * NTC_SEGMENT_GROUP && size - used >= RECORD; i++, used += RECORD) {
		uint64_t where = ntc_load64(data + used + 1), near = size / NTC_SEGMENT_UNIT + 1;
		uint8_t flags = data[used];
		uint8_t *slot = memory + NTC_SEGMENT_HEADER +
				(groups[i / NTC_SEGMENT_GROUP] * NTC_SEGMENT_GROUP + i % NTC_SEGMENT_GROUP) *
					sizeof(struct ntc_segment_slot);

		if (flags & NEAR)
			where = (where >> 32 << 32) | (uint32_t)where % near;
		if (flags & SMALL)
			where = (uint32_t)where | (where >> 32) % near << 32;
		ntc_store64(slot, flags & CHANGING ? 1 : 2);
		if (flags & RIGHT_DIGEST)
			memcpy(slot + 8, digest.bytes, sizeof(digest.bytes));
		ntc_store64(slot + 24, where);
	}
	if (size - used > SIZE - arena)
		size = used + SIZE - arena;
	memcpy(memory + arena, data + used, size - used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *memory = aligned_alloc(NTC_SEGMENT_UNIT, SIZE);

	FUZZ_REQUIRE(memory != NULL);
	memset(memory, 0, SIZE);
	if (size)
		memcpy(memory, data, size < SIZE ? size : SIZE);
	look_up(memory);
	if (size) {
		memset(memory, 0, SIZE);
		seal(memory, data, size);
		look_up(memory);
	}
	free(memory);
	return 0;
}
