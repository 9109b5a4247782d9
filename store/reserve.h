/*
 * Space kept for the index: the file DIR/reserve, which is given up when the disk is full, so that what makes room
 * (a removal, an eviction) can be written down there. The writer's alone.
 */
#ifndef NTC_STORE_RESERVE_H
#define NTC_STORE_RESERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

#define NTC_RESERVE_SIZE (1u << 20)

#define NTC_RESERVE_WAIT_NS (10 * NTC_NS_PER_S)         /* until the next attempt to have it */

struct ntc_reserve {
	int dir;                /* borrowed */
	bool there;
	uint64_t next_ns;
};

/* Have it from now on, if the disk gives it; does nothing if it was asked a moment ago. */
void ntc_reserve_keep(struct ntc_reserve *reserve);

/* Give it up. False: there was none. */
bool ntc_reserve_spend(struct ntc_reserve *reserve);

#endif
