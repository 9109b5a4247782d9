/* The writer of the shared segment; see segment_writer.h. */
#include "proto/segment_writer.h"

#define BYTES_PER_SLOT 2048u           /* of the whole segment */
#define GROW_BYTES (UINT64_C(1) << 20) /* memory is taken in steps of this */
#define NOTHING UINT64_MAX

/*
 * A block is a unit of its own header and an image. The header is the writer's alone; it is written like all the rest
 * because readers that come too late may be copying these bytes.
 */
struct block {
	uint64_t size; /* units, with the header */
	uint64_t slot; /* of the image's slot + 1; 0 = free */
};

static uint64_t slots_for(uint64_t size)
{
	uint64_t slots = NTC_SEGMENT_SLOTS_MIN;

	while (slots < NTC_SEGMENT_SLOTS_MAX && slots * BYTES_PER_SLOT < size)
		slots *= 2;
	return slots;
}

uint64_t ntc_segment_table_end(uint64_t size)
{
	return NTC_SEGMENT_HEADER + slots_for(size) * sizeof(struct ntc_segment_slot);
}

static void store32(uint8_t *p, uint32_t value)
{
	__atomic_store_n((uint32_t *)(void *)p, value, __ATOMIC_RELEASE);
}

bool ntc_segment_make(void *bytes, size_t size, uint64_t instance, ntc_segment_grow_fn *grow, void *ctx,
		      struct ntc_segment_writer *writer)
{
	uint64_t *words = bytes, first, slots = slots_for(size);
	const uint8_t magic[8] = { 'N', 'T', 'C', 'S', 'E', 'G', 'M', NTC_SEGMENT_VERSION };

	*writer = (struct ntc_segment_writer){ 0 };
	if (size < NTC_SEGMENT_MIN || size > NTC_SEGMENT_MAX || size % 4096)
		return false;
	*writer = (struct ntc_segment_writer){
		.base = bytes,
		.table = (struct ntc_segment_slot *)(words + NTC_SEGMENT_HEADER / 8),
		.arena = words + ntc_segment_table_end(size) / 8,
		.groups = slots / NTC_SEGMENT_GROUP,
		.units = (size - ntc_segment_table_end(size)) / NTC_SEGMENT_UNIT,
		.grow = grow,
		.ctx = ctx,
	};
	memcpy(&first, magic, sizeof(first));
	ntc_racing_store(words + NTC_SEGMENT_AT_SIZE / 8, size);
	ntc_racing_store(words + NTC_SEGMENT_AT_SLOTS / 8, slots);
	ntc_racing_store(words + NTC_SEGMENT_AT_INSTANCE / 8, instance);
	__atomic_store_n(words, first, __ATOMIC_RELEASE);
	return true;
}

/* --- blocks ------------------------------------------------------------------------------- */

static uint64_t *at_unit(const struct ntc_segment_writer *w, uint64_t unit)
{
	return w->arena + unit * (NTC_SEGMENT_UNIT / 8);
}

static struct block block_read(const struct ntc_segment_writer *w, uint64_t unit)
{
	const uint64_t *p = at_unit(w, unit);

	return (struct block){ ntc_racing_load(p), ntc_racing_load(p + 1) };
}

static void block_write(const struct ntc_segment_writer *w, uint64_t unit, struct block block)
{
	uint64_t *p = at_unit(w, unit);

	ntc_racing_store(p, block.size);
	ntc_racing_store(p + 1, block.slot);
}

/* The block of the image that a slot points to. */
static uint64_t block_of(const struct ntc_segment_slot *slot)
{
	return (uint32_t)ntc_racing_load(&slot->where) - 1;
}

static uint64_t image_bytes(const struct ntc_segment_slot *slot)
{
	return (ntc_racing_load(&slot->where) >> 32) * NTC_SEGMENT_UNIT;
}

/* --- slots -------------------------------------------------------------------------------- */

static bool slot_free(const struct ntc_segment_slot *slot)
{
	return ntc_racing_load(&slot->where) == 0;
}

static void slot_write(struct ntc_segment_slot *slot, const uint64_t digest[2], uint64_t where)
{
	ntc_racing_change(&slot->sequence);
	ntc_racing_store(&slot->digest[0], digest[0]);
	ntc_racing_store(&slot->digest[1], digest[1]);
	ntc_racing_store(&slot->where, where);
	ntc_racing_whole(&slot->sequence);
}

/* Take an image out of the table. Its bytes may be written over from now on. */
static void slot_clear(struct ntc_segment_writer *w, struct ntc_segment_slot *slot)
{
	static const uint64_t nothing[2];

	w->entries--;
	w->bytes -= image_bytes(slot);
	slot_write(slot, nothing, 0);
}

/* Take an image out of the table and free its block. */
static void retract(struct ntc_segment_writer *w, struct ntc_segment_slot *slot)
{
	uint64_t unit = block_of(slot);
	struct block block = block_read(w, unit);

	slot_clear(w, slot);
	block_write(w, unit, (struct block){ .size = block.size });
}

/* The eight slots in which a digest may be. */
struct places {
	struct ntc_segment_slot *slot[2 * NTC_SEGMENT_GROUP];
};

static struct places places_of(const struct ntc_segment_writer *w, const struct ntc_digest *digest)
{
	struct places places;
	uint64_t groups[2];

	ntc_segment_groups(digest, w->groups, groups);
	for (unsigned i = 0; i < 2 * NTC_SEGMENT_GROUP; i++)
		places.slot[i] =
			w->table + groups[i / NTC_SEGMENT_GROUP] * NTC_SEGMENT_GROUP + i % NTC_SEGMENT_GROUP;
	return places;
}

static struct ntc_segment_slot *slot_of(const struct ntc_segment_writer *w, const struct ntc_digest *digest)
{
	struct places places = places_of(w, digest);
	uint64_t words[2];

	ntc_segment_words(digest, words);
	for (unsigned i = 0; i < 2 * NTC_SEGMENT_GROUP; i++) {
		struct ntc_segment_slot *slot = places.slot[i];

		if (!slot_free(slot) && ntc_racing_load(&slot->digest[0]) == words[0] &&
		    ntc_racing_load(&slot->digest[1]) == words[1])
			return slot;
	}
	return NULL;
}

/* A place for a digest that has none: in the emptier group, or with both full another one's. */
static struct ntc_segment_slot *slot_take(struct ntc_segment_writer *w, const struct ntc_digest *digest)
{
	struct places places = places_of(w, digest);
	struct ntc_segment_slot *free_one[2] = { NULL, NULL }, *victim;
	unsigned free_slots[2] = { 0, 0 };

	for (unsigned i = 0; i < 2 * NTC_SEGMENT_GROUP; i++) {
		/* The first: readers look there first. */
		if (slot_free(places.slot[i]) && !free_slots[i / NTC_SEGMENT_GROUP]++)
			free_one[i / NTC_SEGMENT_GROUP] = places.slot[i];
	}
	if (free_slots[0] || free_slots[1])
		return free_one[free_slots[1] > free_slots[0]];
	/* Any, but not the same one for ever. */
	victim = places.slot[w->published % (2 * NTC_SEGMENT_GROUP)];
	retract(w, victim);
	w->evicted++;
	return victim;
}

/* --- room --------------------------------------------------------------------------------- */

/* Take more memory for the ring, at least `least` units. */
static bool grow(struct ntc_segment_writer *w, uint64_t least)
{
	uint64_t step = GROW_BYTES / NTC_SEGMENT_UNIT,
		 from = (uint64_t)((uint8_t *)at_unit(w, w->ready) - w->base);

	if (w->ready == w->units)
		return false;
	if (step < least)
		step = least;
	if (step > w->units - w->ready)
		step = w->units - w->ready;
	if (w->grow && !w->grow(w->ctx, from, from + step * NTC_SEGMENT_UNIT)) {
		/* Not asked again: this is as large as it gets. */
		w->units = w->ready;
		return false;
	}
	w->ready += step;
	return true;
}

/*
 * Room for `units` in a row: from the cursor on, everything goes. Nothing goes round the end of the arena: what is too
 * little there stays a free block until the cursor comes by.
 */
static uint64_t make_room(struct ntc_segment_writer *w, uint64_t units)
{
	uint64_t start = w->cursor, gathered = 0;
	bool round = false;

	while (gathered < units) {
		uint64_t at = start + gathered;
		struct block block;

		if (at == w->ready) {
			if (grow(w, units - gathered)) {
				gathered += w->ready - at;
				continue;
			}
			if (gathered)
				block_write(w, start, (struct block){ .size = gathered });
			start = gathered = 0;
			/* From the beginning to the end is all there is. */
			if (round) {
				w->cursor = 0;
				return NOTHING;
			}
			round = true;
			continue;
		}
		block = block_read(w, at);
		if (block.slot) {
			slot_clear(w, w->table + (block.slot - 1));
			w->evicted++;
		}
		gathered += block.size;
	}
	if (gathered > units)
		block_write(w, start + units, (struct block){ .size = gathered - units });
	w->cursor = start + units;
	return start;
}

/* --- the writer's calls ------------------------------------------------------------------- */

bool ntc_segment_publish(struct ntc_segment_writer *w, const struct ntc_digest *digest, struct ntc_view image)
{
	uint64_t units = image.len / NTC_SEGMENT_UNIT, unit = NOTHING, words[2];
	struct ntc_segment_slot *slot;

	if (image.len % NTC_SEGMENT_UNIT == 0 && units && units < w->units && units < UINT32_MAX)
		unit = make_room(w, units + 1);
	/* Making room may have taken the old one away. */
	slot = slot_of(w, digest);
	if (unit == NOTHING) {
		if (slot)
			retract(w, slot);
		return false;
	}
	/* In the table's eyes nothing is here yet: only readers that are too late can see these bytes come. */
	ntc_racing_copy_in(at_unit(w, unit + 1), image.p, image.len);
	if (slot) {
		uint64_t old = block_of(slot);

		w->bytes -= image_bytes(slot);
		w->entries--;
		block_write(w, old, (struct block){ .size = block_read(w, old).size });
	} else {
		/* So that a slot that is emptied here does not free the new block. */
		block_write(w, unit, (struct block){ .size = units + 1 });
		slot = slot_take(w, digest);
	}
	block_write(w, unit, (struct block){ .size = units + 1, .slot = (uint64_t)(slot - w->table) + 1 });
	ntc_segment_words(digest, words);
	slot_write(slot, words, (unit + 1) | units << 32);
	w->entries++;
	w->bytes += image.len;
	w->published++;
	return true;
}

bool ntc_segment_unpublish(struct ntc_segment_writer *w, const struct ntc_digest *digest)
{
	struct ntc_segment_slot *slot = slot_of(w, digest);

	if (slot)
		retract(w, slot);
	return slot;
}

bool ntc_segment_has(const struct ntc_segment_writer *w, const struct ntc_digest *digest)
{
	return slot_of(w, digest);
}

void ntc_segment_close(struct ntc_segment_writer *w)
{
	store32(w->base + NTC_SEGMENT_AT_CLOSED, 1);
}
