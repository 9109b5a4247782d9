/*
 * The shared segment: hot images in memory that the daemon alone writes and every client reads (docs/segment.md).
 *
 *     header (4096) | table: slots of 32 bytes, in groups of 4 | arena: blocks, multiples of 64
 *
 * This is the readers' half: opening what was mapped, finding, copying, asking afterwards whether it was valid. The writer's
 * is segment_writer.h. A reader takes no lock, makes no system call and writes nothing that is shared. It trusts nothing:
 * every number is loaded once, compared with what is mapped, then used, so that arbitrary bytes are a miss at worst.
 *
 * Pure: no allocation, no I/O; safe from any thread. The memory must stay mapped and must not shrink (a seal).
 */
#ifndef NTC_PROTO_SEGMENT_H
#define NTC_PROTO_SEGMENT_H

#include "proto/digest.h"
#include "proto/entry.h"
#include "proto/racing.h"
#include "proto/status.h"

#define NTC_SEGMENT_VERSION 1u
#define NTC_SEGMENT_HEADER 4096u
#define NTC_SEGMENT_UNIT 64u /* offsets and sizes in the arena count these */
#define NTC_SEGMENT_GROUP 4u /* slots that are probed together; a digest has two groups */
#define NTC_SEGMENT_SLOTS_MIN 8u
#define NTC_SEGMENT_SLOTS_MAX (1u << 26)
#define NTC_SEGMENT_MIN (64u << 10) /* bytes of a whole segment */
#define NTC_SEGMENT_MAX (UINT64_C(64) << 30)
#define NTC_SEGMENT_TRIES 4 /* of one look-up, before it is a miss */

/* A slot, words that are read with care (racing.h). All zero: empty since ever. */
struct ntc_segment_slot {
	uint64_t sequence; /* odd while the others change */
	uint64_t digest[2];
	uint64_t where; /* of the image: first unit in the arena, units << 32; 0 = nothing */
};

/* Offsets of header fields; all others are zero. */
enum {
	NTC_SEGMENT_AT_SIZE = 8,      /* u64: bytes of it all */
	NTC_SEGMENT_AT_SLOTS = 16,    /* u64: a power of two */
	NTC_SEGMENT_AT_INSTANCE = 24, /* u64: the daemon's, as in its greeting */
	NTC_SEGMENT_AT_OWNER = 64,    /* u32: the daemon's thread; the kernel marks it when that dies */
	NTC_SEGMENT_AT_CLOSED = 68,   /* u32: 1 when the daemon let go of it */
};
#define NTC_SEGMENT_OWNER_DIED 0x40000000u /* FUTEX_OWNER_DIED */

/* A mapped segment as a reader sees it. Everything in here was compared with the size that is mapped. */
struct ntc_segment {
	const uint64_t *life; /* owner and closed */
	const struct ntc_segment_slot *table;
	const uint64_t *arena;
	uint64_t groups; /* a power of two, at least 2 */
	uint64_t units;  /* of the arena */
	uint64_t instance;
};

/*
 * Look at `size` mapped bytes (at an address that is a multiple of 64): OK, BAD_VERSION (another version of a segment) or
 * BAD_IMAGE (none). They are borrowed for as long as *segment is used.
 */
enum ntc_status ntc_segment_open(const void *bytes, size_t size, struct ntc_segment *segment,
				 struct ntc_reason *reason);

/* Whether its daemon still answers for what is in it. Ask at the start of each look-up: a dead one's removals are over. */
static inline bool ntc_segment_alive(const struct ntc_segment *segment)
{
	uint64_t life = __atomic_load_n(segment->life, __ATOMIC_ACQUIRE);

	return !(life & NTC_SEGMENT_OWNER_DIED) && life >> 32 == 0;
}

/* Where a look-up found an image. What is read there counts only if ntc_segment_valid() says so afterwards. */
struct ntc_segment_hit {
	const uint64_t *image; /* in the segment, a multiple of 64; every byte may change at any time */
	size_t len;            /* bytes of the image: body and stamp; all of it is in the segment */
	const uint64_t *sequence;
	uint64_t seen;
};

/* Find the image whose whole key is `key` (of that digest). False: there is none now. */
bool ntc_segment_find(const struct ntc_segment *segment, const struct ntc_digest *digest, struct ntc_view key,
		      struct ntc_segment_hit *hit);

/*
 * Find a part of the image where it lies. What is returned is in the image, whatever is written there meanwhile; whether it
 * is that part, ntc_segment_valid() says. False: there is no such part.
 */
bool ntc_segment_part(const struct ntc_segment_hit *hit, struct ntc_view name, struct ntc_view *data);

/* Whether everything read from the image since it was found was the image that is sealed under that key. */
static inline bool ntc_segment_valid(const struct ntc_segment_hit *hit)
{
	return ntc_racing_unchanged(hit->sequence, hit->seen);
}

/* The two groups in which a digest may be; never the same. For the writer and for tests. */
void ntc_segment_groups(const struct ntc_digest *digest, uint64_t groups, uint64_t out[2]);

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words of the segment are little-endian");

/* A digest as the two words of a slot. */
static inline void ntc_segment_words(const struct ntc_digest *digest, uint64_t words[2])
{
	words[0] = ntc_load64(digest->bytes);
	words[1] = ntc_load64(digest->bytes + 8);
}

#endif
