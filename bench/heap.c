/* A binary heap with places; see heap.h. */
#include "bench/heap.h"

#include <stdlib.h>

void ntc_heap_init(struct ntc_heap *heap, size_t entries)
{
	heap->keys = calloc(entries + 1, sizeof(*heap->keys));
	heap->places = calloc(entries + 1, sizeof(*heap->places));
	heap->order = calloc(entries + 1, sizeof(*heap->order));
	heap->count = 0;
	if (!heap->keys || !heap->places || !heap->order)
		abort();
}

void ntc_heap_release(struct ntc_heap *heap)
{
	free(heap->keys);
	free(heap->places);
	free(heap->order);
}

static void place(struct ntc_heap *heap, size_t at, uint32_t entry)
{
	heap->order[at] = entry;
	heap->places[entry] = (uint32_t)at + 1;
}

/* Move `entry`, whose place is `at`, to where it belongs. */
static void settle(struct ntc_heap *heap, size_t at, uint32_t entry)
{
	double key = heap->keys[entry];

	while (at && heap->keys[heap->order[(at - 1) / 2]] > key) {
		place(heap, at, heap->order[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < heap->count &&
		    heap->keys[heap->order[child + 1]] < heap->keys[heap->order[child]])
			child++;
		if (child >= heap->count || heap->keys[heap->order[child]] >= key)
			break;
		place(heap, at, heap->order[child]);
		at = child;
	}
	place(heap, at, entry);
}

void ntc_heap_set(struct ntc_heap *heap, uint32_t entry, double key)
{
	size_t at = heap->places[entry] ? heap->places[entry] - 1 : heap->count++;

	heap->keys[entry] = key;
	settle(heap, at, entry);
}

void ntc_heap_remove(struct ntc_heap *heap, uint32_t entry)
{
	size_t at = heap->places[entry] - 1;
	uint32_t last = heap->order[--heap->count];

	heap->places[entry] = 0;
	if (last != entry)
		settle(heap, at, last);
}
