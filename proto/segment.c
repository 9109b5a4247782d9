/* Readers of the shared segment; see segment.h. */
#include "proto/segment.h"

/* Offsets in a body and in a row of its table (docs/entry.md): words of eight bytes, some with two numbers. */
enum {
	BODY_KEY_NOTES = 32, /* length of the key, length of the notes << 32 */
	BODY_PARTS = 40,     /* number of parts, length of their names << 32 */
	BODY_KEY = 64,
	ROW_NAME = 0, /* where the name is, its length << 32 */
	ROW_DATA_AT = 8,
	ROW_DATA_LEN = 16,
};

#define PAGE 4096u
#define PREFETCHED (16 * PAGE)

static const uint8_t magic[8] = { 'N', 'T', 'C', 'S', 'E', 'G', 'M', NTC_SEGMENT_VERSION };

enum ntc_status ntc_segment_open(const void *bytes, size_t size, struct ntc_segment *segment,
				 struct ntc_reason *reason)
{
	const uint64_t *words = bytes;
	uint64_t said, slots, first, arena;
	uint8_t opening[8];

	*segment = (struct ntc_segment){ 0 };
	if (size < NTC_SEGMENT_MIN || size > NTC_SEGMENT_MAX)
		return ntc_reject(reason, NTC_ST_BAD_IMAGE, "a segment of %zu bytes", size);
	first = ntc_racing_load(words);
	said = ntc_racing_load(words + NTC_SEGMENT_AT_SIZE / 8);
	slots = ntc_racing_load(words + NTC_SEGMENT_AT_SLOTS / 8);
	memcpy(opening, &first, sizeof(opening));
	if (memcmp(opening, magic, sizeof(magic) - 1) != 0)
		return ntc_reject(reason, NTC_ST_BAD_IMAGE, "not a segment");
	if (opening[7] != NTC_SEGMENT_VERSION)
		return ntc_reject(reason, NTC_ST_BAD_VERSION, "a segment of version %u", opening[7]);
	if (said != size)
		return ntc_reject(reason, NTC_ST_BAD_IMAGE, "a segment of %zu bytes that says it has %llu",
				  size, (unsigned long long)said);
	if (slots < NTC_SEGMENT_SLOTS_MIN || slots > NTC_SEGMENT_SLOTS_MAX || (slots & (slots - 1)))
		return ntc_reject(reason, NTC_ST_BAD_IMAGE, "a segment of %llu slots",
				  (unsigned long long)slots);
	arena = NTC_SEGMENT_HEADER + slots * sizeof(struct ntc_segment_slot);
	if (arena >= size)
		return ntc_reject(reason, NTC_ST_BAD_IMAGE, "a segment without an arena");
	*segment = (struct ntc_segment){
		.life = words + NTC_SEGMENT_AT_OWNER / 8,
		.table = (const struct ntc_segment_slot *)(words + NTC_SEGMENT_HEADER / 8),
		.arena = words + arena / 8,
		.groups = slots / NTC_SEGMENT_GROUP,
		.units = (size - arena) / NTC_SEGMENT_UNIT,
		.instance = ntc_racing_load(words + NTC_SEGMENT_AT_INSTANCE / 8),
	};
	return NTC_ST_OK;
}

void ntc_segment_groups(const struct ntc_digest *digest, uint64_t groups, uint64_t out[2])
{
	uint64_t words[2];

	ntc_segment_words(digest, words);
	out[0] = words[0] & (groups - 1);
	out[1] = words[1] & (groups - 1);
	if (out[0] == out[1])
		out[1] ^= 1;
}

/* Up to 64 bytes, word by word, without an end before the end. */
static bool equal_words(const uint64_t *shared, const uint8_t *with, size_t len)
{
	uint64_t differ = 0, word;
	size_t i;

	for (i = 0; i < len / 8; i++) {
		memcpy(&word, with + 8 * i, sizeof(word));
		differ |= ntc_racing_load(shared + i) ^ word;
	}
	if (len % 8) {
		word = 0;
		memcpy(&word, with + 8 * i, len % 8);
		differ |= (ntc_racing_load(shared + i) ^ word) & ((UINT64_C(1) << len % 8 * 8) - 1);
	}
	return differ == 0;
}

#ifndef NTC_RACING_ASM
static bool ntc_racing_equal64(const uint64_t *shared, const uint8_t *with)
{
	return equal_words(shared, with, 64);
}
#endif

bool ntc_racing_equal(const uint64_t *shared, const void *with, size_t len)
{
	const uint8_t *p = with;
	size_t at = 0;

	for (; at + 64 <= len; at += 64)
		if (!ntc_racing_equal64(shared + at / 8, p + at))
			return false;
	return equal_words(shared + at / 8, p + at, len - at);
}

enum look { NOT_HERE, FOUND, CHANGING };

/* The image that a slot points to: false if that cannot be. */
static bool image_of(const struct ntc_segment *segment, uint64_t where, struct ntc_segment_hit *hit)
{
	uint64_t first = (uint32_t)where, units = where >> 32;

	if (first >= segment->units || units > segment->units - first ||
	    units < (NTC_BODY_HEADER + NTC_STAMP_SIZE) / NTC_SEGMENT_UNIT ||
	    units > (NTC_BODY_MAX + NTC_STAMP_SIZE) / NTC_SEGMENT_UNIT)
		return false;
	hit->image = segment->arena + first * (NTC_SEGMENT_UNIT / 8);
	hit->len = (size_t)(units * NTC_SEGMENT_UNIT);
	return true;
}

/*
 * What is looked at next, by page: finding where pages are takes as long as comparing the key, and can be done meanwhile. A
 * prefetch has no effect but that, wherever it points.
 */
static void prefetch(const struct ntc_segment_hit *hit)
{
	for (size_t at = PAGE; at < hit->len && at <= PREFETCHED; at += PAGE)
		__builtin_prefetch((const uint8_t *)hit->image + at);
}

/* Whether the image bears this key; all of it lies in the image. */
static bool has_key(const struct ntc_segment_hit *hit, struct ntc_view key)
{
	uint32_t len = (uint32_t)ntc_racing_load(hit->image + BODY_KEY_NOTES / 8);

	/* Behind the first load: its page is wanted first. */
	prefetch(hit);
	return len == key.len && key.len <= hit->len - BODY_KEY - NTC_STAMP_SIZE &&
	       ntc_racing_equal(hit->image + BODY_KEY / 8, key.p, key.len);
}

static enum look look_at(const struct ntc_segment *segment, const struct ntc_segment_slot *slot,
			 const uint64_t digest[2], struct ntc_view key, struct ntc_segment_hit *hit)
{
	uint64_t sequence = ntc_racing_begin(&slot->sequence);

	if (ntc_racing_load(&slot->digest[0]) != digest[0] || ntc_racing_load(&slot->digest[1]) != digest[1])
		return sequence & 1 ? CHANGING : NOT_HERE;
	if (sequence & 1)
		return CHANGING;
	hit->sequence = &slot->sequence;
	hit->seen = sequence;
	if (image_of(segment, ntc_racing_load(&slot->where), hit) && has_key(hit, key))
		return FOUND;
	/* Another key has this digest; or it was torn, then something else may be there by now. */
	return ntc_racing_unchanged(&slot->sequence, sequence) ? NOT_HERE : CHANGING;
}

bool ntc_segment_find(const struct ntc_segment *segment, const struct ntc_digest *digest, struct ntc_view key,
		      struct ntc_segment_hit *hit)
{
	uint64_t groups[2], words[2];
	bool changing = true;

	ntc_segment_groups(digest, segment->groups, groups);
	ntc_segment_words(digest, words);
	for (int tries = 0; changing && tries < NTC_SEGMENT_TRIES; tries++) {
		changing = false;
		for (unsigned i = 0; i < 2 * NTC_SEGMENT_GROUP; i++) {
			const struct ntc_segment_slot *slot =
				segment->table + groups[i / NTC_SEGMENT_GROUP] * NTC_SEGMENT_GROUP +
				i % NTC_SEGMENT_GROUP;
			enum look look = look_at(segment, slot, words, key, hit);

			if (look == FOUND)
				return true;
			changing |= look == CHANGING;
		}
	}
	*hit = (struct ntc_segment_hit){ 0 };
	return false;
}

/* Bytes at any offset. Parts' names are short, and few. */
static bool equal_at(const struct ntc_segment_hit *hit, uint64_t at, struct ntc_view with)
{
	const uint8_t *bytes = (const uint8_t *)hit->image + at;

	for (size_t i = 0; i < with.len; i++)
		if (__atomic_load_n(bytes + i, NTC_RACING_LOAD) != with.p[i])
			return false;
	return true;
}

bool ntc_segment_part(const struct ntc_segment_hit *hit, struct ntc_view name, struct ntc_view *data)
{
	uint64_t lengths = ntc_racing_load(hit->image + BODY_KEY_NOTES / 8), body = hit->len - NTC_STAMP_SIZE;
	uint64_t table = (BODY_KEY + (uint64_t)(uint32_t)lengths + (lengths >> 32) + 7) / 8 * 8;
	uint64_t parts = (uint32_t)ntc_racing_load(hit->image + BODY_PARTS / 8);

	*data = ntc_view(NULL, 0);
	if (table > body || parts > (body - table) / NTC_PART_ROW || parts > NTC_PARTS_MAX)
		return false;
	for (uint64_t i = 0; i < parts; i++) {
		const uint64_t *row = hit->image + (table + i * NTC_PART_ROW) / 8;
		uint64_t named = ntc_racing_load(row + ROW_NAME / 8), name_at = (uint32_t)named, at, len;

		if (named >> 32 != name.len || name_at > body || name.len > body - name_at ||
		    !equal_at(hit, name_at, name))
			continue;
		at = ntc_racing_load(row + ROW_DATA_AT / 8);
		len = ntc_racing_load(row + ROW_DATA_LEN / 8);
		if (at > body || len > body - at)
			return false;
		*data = ntc_view((const uint8_t *)hit->image + at, (size_t)len);
		return true;
	}
	return false;
}
