/*
 * Allocations that fail on purpose. In the programs of tests/fault/ our own objects call malloc() and its like through
 * here (the linker's --wrap; see the Makefile), and so do SQLite and libevent when ntc_allocations_take() has been
 * called. Every block is accounted for, so that leaks show without a sanitizer.
 *
 * Any thread. Nothing fails unless armed.
 */
#ifndef NTC_TESTS_FAULT_ALLOCATIONS_H
#define NTC_TESTS_FAULT_ALLOCATIONS_H

#include <stdbool.h>
#include <stddef.h>

/* Begin to account for blocks, and have SQLite and libevent allocate here. Before they are used in this process. */
void ntc_allocations_take(void);

/* Fail the n-th allocation from now (0: none, only count), or from it on all. */
void ntc_allocations_arm(unsigned n, bool lasting);
void ntc_allocations_disarm(void);

/* Since armed: allocations counted, and whether one failed. */
unsigned ntc_allocations_counted(void);
bool ntc_allocations_fired(void);

/* Allocations of this thread neither count nor fail while calm: those of the test itself. Returns what it was. */
bool ntc_allocations_calm(bool calm);

/* Blocks that were allocated since ntc_allocations_take() and are not free. */
size_t ntc_allocations_live(void);

/* Print where the first blocks that live were allocated, to standard error. */
void ntc_allocations_show(void);

#endif
