/*
 * Which entries are in use by somebody who asked that they stay: digests, each with how often. The writer's; it passes
 * over them when it makes room. Zero-initialised: empty.
 */
#ifndef NTC_STORE_PINS_H
#define NTC_STORE_PINS_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/digest.h"
#include "proto/status.h"

#define NTC_PINS_MAX 65536u     /* of all connections; more are refused with BUSY */

struct ntc_pins {
	struct ntc_pin_place *places;   /* open addressing; given back by release */
	size_t place_count;             /* a power of two, or 0 */
	size_t digests;                 /* that are there */
	size_t count;                   /* pins */
	uint64_t seed;                  /* so that nobody can choose keys that crowd together */
};

void ntc_pins_release(struct ntc_pins *pins);

/* One more. BUSY, NO_MEMORY: it is not. */
enum ntc_status ntc_pins_add(struct ntc_pins *pins, const struct ntc_digest *digest);

/* One less, if there is one. */
void ntc_pins_drop(struct ntc_pins *pins, const struct ntc_digest *digest);

bool ntc_pins_has(const struct ntc_pins *pins, const struct ntc_digest *digest);

#endif
