/*
 * Allocations that fail on purpose. In the programs of tests/fault/ our own objects call malloc() and its like through
 * here (the linker's --wrap; see the Makefile), and so do SQLite and libevent when ntc_allocations_take() has been
 * called. Every block is accounted for, so that leaks show without a sanitizer.
 *
 * Any thread. Nothing fails unless armed.
 */
#ifndef NTC_TESTS_FAULT_ALLOCATIONS_H
#define NTC_TESTS_FAULT_ALLOCATIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Which allocation fails. In memory that other processes see: from ntc_fault_shared(). */
struct ntc_allocations {
	atomic_bool armed;
	atomic_uint at;         /* the n-th that is counted; 0 = none */
	atomic_bool lasting;    /* and all after it */
	atomic_bool fired;
	atomic_uint count;      /* while armed */
};

/*
 * In this process, from here on: account for blocks, obey `state` (borrowed), have SQLite and libevent allocate here. Before
 * they are used in it.
 */
void ntc_allocations_take(struct ntc_allocations *state);

/* Begin to count, and fail the n-th; and an end to it. From any process. */
void ntc_allocations_arm(struct ntc_allocations *state, unsigned n, bool lasting);
void ntc_allocations_disarm(struct ntc_allocations *state);

/* Allocations of this thread neither count nor fail while calm: those of the test itself. Returns what it was. */
bool ntc_allocations_calm(bool calm);

/* Blocks that were allocated since ntc_allocations_take() and are not free. */
size_t ntc_allocations_live(void);

/* In a child, when everything is closed: whatever still lives was leaked. SQLite is shut down. */
void ntc_allocations_expect_none(void);

#endif
