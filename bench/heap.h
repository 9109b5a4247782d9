/*
 * A heap of entries by a key that may change: the smallest is on top. For entries 0 to count - 1, each in
 * it at most once.
 */
#ifndef NTC_BENCH_HEAP_H
#define NTC_BENCH_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ntc_heap {
	double *keys;     /* by entry */
	uint32_t *places; /* by entry: its place + 1, 0 if it is not there */
	uint32_t *order;
	size_t count;
};

void ntc_heap_init(struct ntc_heap *heap, size_t entries);
void ntc_heap_release(struct ntc_heap *heap);

static inline bool ntc_heap_has(const struct ntc_heap *heap, uint32_t entry)
{
	return heap->places[entry] != 0;
}

/* Put it in, or move it to its new place. */
void ntc_heap_set(struct ntc_heap *heap, uint32_t entry, double key);

/* The entry on top; there must be one. */
static inline uint32_t ntc_heap_top(const struct ntc_heap *heap)
{
	return heap->order[0];
}

void ntc_heap_remove(struct ntc_heap *heap, uint32_t entry);

#endif
