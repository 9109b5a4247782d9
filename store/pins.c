/* Pins; see pins.h. */
#include "store/pins.h"

#include <stdlib.h>
#include <string.h>

#include "proto/bytes.h"

enum { FIRST_PLACES = 64 };

struct ntc_pin_place {
	struct ntc_digest digest;
	uint32_t count; /* 0 = free */
};

void ntc_pins_release(struct ntc_pins *pins)
{
	free(pins->places);
	*pins = (struct ntc_pins){ .seed = pins->seed };
}

static size_t home_of(const struct ntc_pins *pins, const struct ntc_digest *digest)
{
	uint64_t h = (ntc_load64(digest->bytes) ^ pins->seed) * UINT64_C(0x9e3779b97f4a7c15);

	h = (h ^ h >> 32 ^ ntc_load64(digest->bytes + 8)) * UINT64_C(0xbf58476d1ce4e5b9);
	return (size_t)(h >> 32) & (pins->place_count - 1);
}

/* Where it is, or where it would be. There is always a free place. */
static struct ntc_pin_place *place_of(const struct ntc_pins *pins, const struct ntc_digest *digest)
{
	size_t i = home_of(pins, digest);

	while (pins->places[i].count && !ntc_digest_equal(&pins->places[i].digest, digest))
		i = (i + 1) & (pins->place_count - 1);
	return &pins->places[i];
}

static bool grow(struct ntc_pins *pins)
{
	size_t old_count = pins->place_count, count = old_count ? old_count * 2 : FIRST_PLACES;
	struct ntc_pin_place *places = calloc(count, sizeof(*places)), *old = pins->places;

	if (!places)
		return false;
	pins->places = places;
	pins->place_count = count;
	for (size_t i = 0; i < old_count; i++)
		if (old[i].count)
			*place_of(pins, &old[i].digest) = old[i];
	free(old);
	return true;
}

enum ntc_status ntc_pins_add(struct ntc_pins *pins, const struct ntc_digest *digest)
{
	struct ntc_pin_place *place;

	if (pins->count >= NTC_PINS_MAX)
		return NTC_ST_BUSY;
	if (pins->digests >= pins->place_count / 2 && !grow(pins))
		return NTC_ST_NO_MEMORY;
	place = place_of(pins, digest);
	pins->digests += place->count == 0;
	pins->count++;
	place->digest = *digest;
	place->count++;
	return NTC_ST_OK;
}

void ntc_pins_drop(struct ntc_pins *pins, const struct ntc_digest *digest)
{
	struct ntc_pin_place *place = pins->place_count ? place_of(pins, digest) : NULL;
	size_t mask = pins->place_count - 1, hole;

	if (!place || !place->count)
		return;
	pins->count--;
	if (--place->count)
		return;
	pins->digests--;
	hole = (size_t)(place - pins->places);
	/* Move into the hole whatever would not be found across it. */
	for (size_t i = (hole + 1) & mask; pins->places[i].count; i = (i + 1) & mask) {
		size_t home = home_of(pins, &pins->places[i].digest);

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			pins->places[hole] = pins->places[i];
			hole = i;
		}
	}
	memset(&pins->places[hole], 0, sizeof(pins->places[hole]));
}

bool ntc_pins_has(const struct ntc_pins *pins, const struct ntc_digest *digest)
{
	return pins->count && place_of(pins, digest)->count;
}
