/* Ghosts; see ghost.h. */
#include "store/ghost.h"

#include <stdlib.h>

#include "proto/bytes.h"

struct ntc_ghost {
	uint32_t tag; /* of the digest, behind the bytes that say the place */
	float weight; /* 0: nobody */
	uint64_t used;
};

void ntc_ghosts_release(struct ntc_ghosts *ghosts)
{
	free(ghosts->places);
	ghosts->places = NULL;
}

static struct ntc_ghost *place_of(const struct ntc_ghosts *ghosts, const struct ntc_digest *digest)
{
	return &ghosts->places[ntc_load32(digest->bytes) % NTC_GHOSTS_MAX];
}

void ntc_ghosts_add(struct ntc_ghosts *ghosts, const struct ntc_digest *digest, double weight, uint64_t used)
{
	/* Without memory nobody is remembered. */
	if (!ghosts->places)
		ghosts->places = calloc(NTC_GHOSTS_MAX, sizeof(*ghosts->places));
	if (ghosts->places)
		*place_of(ghosts, digest) = (struct ntc_ghost){ .tag = ntc_load32(digest->bytes + 4),
								.weight = (float)weight,
								.used = used };
}

bool ntc_ghosts_take(struct ntc_ghosts *ghosts, const struct ntc_digest *digest, double *weight,
		     uint64_t *used)
{
	struct ntc_ghost *ghost = ghosts->places ? place_of(ghosts, digest) : NULL;

	if (!ghost || !(ghost->weight > 0) || ghost->tag != ntc_load32(digest->bytes + 4))
		return false;
	*weight = (double)ghost->weight;
	*used = ghost->used;
	ghost->weight = 0;
	return true;
}
