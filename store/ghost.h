/*
 * The weights of entries that went: who is put again soon has its weight back. A table of fixed size in which
 * later ones displace earlier ones of the same place; it is lost with the process, and nothing but the worth
 * of guesses with it.
 */
#ifndef NTC_STORE_GHOST_H
#define NTC_STORE_GHOST_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/digest.h"

#define NTC_GHOSTS_MAX 262144u /* 16 bytes each, made with the first */

struct ntc_ghosts {
	struct ntc_ghost *places;
};

void ntc_ghosts_release(struct ntc_ghosts *ghosts);

/* An entry with this weight, last used at number `used`, went. */
void ntc_ghosts_add(struct ntc_ghosts *ghosts, const struct ntc_digest *digest, double weight, uint64_t used);

/* Whether it is known, and with what; it is forgotten. */
bool ntc_ghosts_take(struct ntc_ghosts *ghosts, const struct ntc_digest *digest, double *weight,
		     uint64_t *used);

#endif
