/* The map of what is under way: chained, so that pointers stay good while others come and go. */
#include "store/pending.h"

#include <stdlib.h>

enum { FIRST_BUCKETS = 256 };

bool ntc_pending_map_init(struct ntc_pending_map *map, uint64_t seed)
{
	*map = (struct ntc_pending_map){ .seed = seed };
	map->buckets = calloc(FIRST_BUCKETS, sizeof(struct ntc_pending *));
	map->bucket_count = map->buckets ? FIRST_BUCKETS : 0;
	return map->buckets != NULL;
}

void ntc_pending_map_release(struct ntc_pending_map *map)
{
	for (size_t i = 0; i < map->bucket_count; i++) {
		struct ntc_pending *p = map->buckets[i], *next;

		for (; p; p = next) {
			next = p->next;
			ntc_buffer_unref(p->image);
			free(p);
		}
	}
	free(map->buckets);
	*map = (struct ntc_pending_map){ 0 };
}

static size_t bucket_of(const struct ntc_pending_map *map, const struct ntc_digest *digest)
{
	uint64_t h = (ntc_load64(digest->bytes) ^ map->seed) * UINT64_C(0x9e3779b97f4a7c15);

	h = (h ^ h >> 32 ^ ntc_load64(digest->bytes + 8)) * UINT64_C(0xbf58476d1ce4e5b9);
	return (size_t)(h >> 32) & (map->bucket_count - 1);
}

struct ntc_pending *ntc_pending_find(const struct ntc_pending_map *map, const struct ntc_digest *digest)
{
	struct ntc_pending *p = map->buckets[bucket_of(map, digest)];

	while (p && !ntc_digest_equal(&p->digest, digest))
		p = p->next;
	return p;
}

/* Without memory the chains only get longer. */
static void grow(struct ntc_pending_map *map)
{
	size_t old_count = map->bucket_count;
	struct ntc_pending **old = map->buckets, **buckets = calloc(old_count * 2, sizeof(*buckets));

	if (!buckets)
		return;
	map->buckets = buckets;
	map->bucket_count = old_count * 2;
	for (size_t i = 0; i < old_count; i++) {
		struct ntc_pending *p = old[i], *next;

		for (; p; p = next) {
			struct ntc_pending **bucket = &buckets[bucket_of(map, &p->digest)];

			next = p->next;
			p->next = *bucket;
			*bucket = p;
		}
	}
	free(old);
}

struct ntc_pending *ntc_pending_get(struct ntc_pending_map *map, const struct ntc_digest *digest)
{
	struct ntc_pending *p = ntc_pending_find(map, digest), **bucket;

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	if (map->count >= map->bucket_count)
		grow(map);
	bucket = &map->buckets[bucket_of(map, digest)];
	p->digest = *digest;
	p->next = *bucket;
	*bucket = p;
	map->count++;
	return p;
}

void ntc_pending_settle(struct ntc_pending_map *map, struct ntc_pending *pending)
{
	struct ntc_pending **at;

	if (!pending || pending->image || pending->jobs || pending->comparing || pending->draining ||
	    pending->waiting.head)
		return;
	at = &map->buckets[bucket_of(map, &pending->digest)];
	while (*at != pending)
		at = &(*at)->next;
	*at = pending->next;
	map->count--;
	free(pending);
}
