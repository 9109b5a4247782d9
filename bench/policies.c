/* Replays; see policies.h. */
#include "bench/policies.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/heap.h"
#include "bench/random.h"
#include "store/evict.h"

const char *const ntc_policy_names[NTC_POLICIES] = { "FIFO", "LRU", "LRU by size", "GDSF", "ours" };

/* Size-adjusted LRU compares the least recently used of each class: eight classes for each doubling of the size. */
#define CLASSES (32u * 8)

struct cache {
	const struct ntc_trace *trace;
	struct ntc_heap heaps[CLASSES]; /* one, but for LRU by size */
	enum ntc_policy policy;
	uint64_t bytes, max_bytes;
	double inflation;
	uint64_t *uses;         /* by entry, since it is there */
	uint64_t now;           /* uses so far, of all */
	struct ntc_row *rows;   /* ours: by entry */
	struct ntc_evict evict; /* ours */
};

static unsigned class_of(const struct cache *cache, uint32_t entry)
{
	return cache->policy == NTC_POLICY_LRU_SIZE ? (unsigned)(log2(cache->trace->entries[entry].size) * 8)
						    : 0;
}

/* As the store does it, but that each use is a report of its own: how many a report has makes no difference. */
static double value_of(struct cache *cache, uint32_t entry, bool hit)
{
	struct ntc_row *row = &cache->rows[entry];
	struct ntc_random r = { .state = entry };
	uint64_t digest[2];

	if (hit) {
		ntc_evict_use(&cache->evict, row, cache->now, cache->heaps[0].count);
		return row->value;
	}
	digest[0] = ntc_random_next(&r);
	digest[1] = ntc_random_next(&r);
	*row = (struct ntc_row){ .size = cache->trace->entries[entry].size,
				 .cost_ns = cache->trace->entries[entry].cost_ns,
				 .used = cache->now };
	memcpy(row->digest.bytes, digest, sizeof(digest));
	ntc_evict_put(&cache->evict, row, cache->heaps[0].count + 1);
	return row->value;
}

/* What goes first is least. */
static double key_of(struct cache *cache, uint32_t entry, bool hit)
{
	const struct ntc_trace_entry *e = &cache->trace->entries[entry];

	switch (cache->policy) {
	case NTC_POLICY_FIFO:
		return hit ? cache->heaps[0].keys[entry] : (double)cache->now;
	case NTC_POLICY_GDSF:
		return cache->inflation + (double)cache->uses[entry] * (double)e->cost_ns / e->size;
	case NTC_POLICY_OURS:
		return value_of(cache, entry, hit);
	default:
		return (double)cache->now;
	}
}

static uint32_t victim(const struct cache *cache)
{
	double worst = -1;
	uint32_t found = 0;

	if (cache->policy != NTC_POLICY_LRU_SIZE)
		return ntc_heap_top(&cache->heaps[0]);
	for (unsigned c = 0; c < CLASSES; c++) {
		const struct ntc_heap *heap = &cache->heaps[c];
		uint32_t top = heap->count ? ntc_heap_top(heap) : 0;
		double product =
			heap->count ? ((double)cache->now - heap->keys[top]) * cache->trace->entries[top].size
				    : -1;

		if (product > worst) {
			worst = product;
			found = top;
		}
	}
	return found;
}

static void evict(struct cache *cache, uint64_t need)
{
	for (uint64_t freed = 0; freed < need;) {
		uint32_t entry = victim(cache);
		struct ntc_heap *heap = &cache->heaps[class_of(cache, entry)];

		cache->inflation = heap->keys[entry];
		ntc_heap_remove(heap, entry);
		if (cache->policy == NTC_POLICY_OURS)
			ntc_evict_gone(&cache->evict, &cache->rows[entry]);
		cache->uses[entry] = 0;
		freed += cache->trace->entries[entry].size;
		cache->bytes -= cache->trace->entries[entry].size;
	}
}

/* Returns what the use saved. */
static uint64_t use(struct cache *cache, const struct ntc_trace_use *use)
{
	struct ntc_heap *heap = &cache->heaps[class_of(cache, use->entry)];
	const struct ntc_trace_entry *entry = &cache->trace->entries[use->entry];
	bool hit = ntc_heap_has(heap, use->entry);

	cache->now++;
	cache->uses[use->entry] += use->reports;
	ntc_heap_set(heap, use->entry, key_of(cache, use->entry, hit));
	if (hit)
		return entry->worth_ns;
	cache->bytes += entry->size;
	if (cache->policy == NTC_POLICY_OURS)
		evict(cache, ntc_evict_need(cache->bytes, cache->max_bytes, false));
	else
		evict(cache, cache->bytes > cache->max_bytes ? cache->bytes - cache->max_bytes : 0);
	return 0;
}

double ntc_policy_saves(enum ntc_policy policy, const struct ntc_trace *trace, uint64_t max_bytes)
{
	struct cache cache = { .trace = trace, .policy = policy, .max_bytes = max_bytes };
	unsigned classes = policy == NTC_POLICY_LRU_SIZE ? CLASSES : 1;
	double saved = 0;

	cache.uses = calloc(trace->entry_count + 1, sizeof(*cache.uses));
	cache.rows = calloc(trace->entry_count + 1, sizeof(*cache.rows));
	if (!cache.uses || !cache.rows)
		abort();
	ntc_evict_init(&cache.evict, max_bytes, 0);
	for (unsigned c = 0; c < classes; c++)
		ntc_heap_init(&cache.heaps[c], trace->entry_count);
	for (size_t i = 0; i < trace->use_count; i++)
		saved += (double)use(&cache, &trace->uses[i]) / NTC_NS_PER_S;
	for (unsigned c = 0; c < classes; c++)
		ntc_heap_release(&cache.heaps[c]);
	ntc_evict_release(&cache.evict);
	free(cache.rows);
	free(cache.uses);
	return saved;
}
