/* The table of entries: linear probing, removal by shifting back, so that there are no tombstones. */
#include "store/table.h"

#include <stdlib.h>
#include <string.h>

#include "proto/digest.h"

enum { FIRST_PLACES = 64 };

_Static_assert(sizeof(struct ntc_entry) == 40, "limits.md and table.h say 40");

void ntc_table_init(struct ntc_table *table, uint64_t seed)
{
	*table = (struct ntc_table){ .seed = seed };
}

void ntc_table_release(struct ntc_table *table)
{
	free(table->entries);
	ntc_table_init(table, 0);
}

static size_t home_of(const struct ntc_table *table, const struct ntc_digest *digest)
{
	uint64_t h = ntc_load64(digest->bytes) ^ table->seed;

	h = (h ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15);
	h ^= ntc_load64(digest->bytes + 8);
	h = (h ^ h >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
	return (size_t)(h ^ h >> 32) & (table->places - 1);
}

struct ntc_entry *ntc_table_find(const struct ntc_table *table, const struct ntc_digest *digest)
{
	if (!table->places)
		return NULL;
	for (size_t i = home_of(table, digest);; i = (i + 1) & (table->places - 1)) {
		struct ntc_entry *e = &table->entries[i];

		if (!e->kind)
			return NULL;
		if (ntc_digest_equal(&e->digest, digest))
			return e;
	}
}

static struct ntc_entry *place(struct ntc_table *table, const struct ntc_entry *entry)
{
	size_t i = home_of(table, &entry->digest);

	while (table->entries[i].kind)
		i = (i + 1) & (table->places - 1);
	table->entries[i] = *entry;
	return &table->entries[i];
}

static bool grow(struct ntc_table *table)
{
	size_t places = table->places ? table->places * 2 : FIRST_PLACES, old_places = table->places;
	struct ntc_entry *entries = calloc(places, sizeof(*entries)), *old = table->entries;

	if (!entries)
		return false;
	table->entries = entries;
	table->places = places;
	for (size_t i = 0; i < old_places; i++) {
		if (old[i].kind)
			place(table, &old[i]);
	}
	free(old);
	return true;
}

/* Count it among the pinned, or take it out. */
static void count_pinned(struct ntc_table *table, const struct ntc_entry *entry, bool more)
{
	if (!entry->pinned)
		return;
	table->pinned += more ? 1 : UINT64_MAX;
	table->pinned_bytes += more ? entry->size : -(uint64_t)entry->size;
}

void ntc_table_pin(struct ntc_table *table, struct ntc_entry *entry, bool pinned)
{
	count_pinned(table, entry, false);
	entry->pinned = pinned;
	count_pinned(table, entry, true);
}

struct ntc_entry *ntc_table_insert(struct ntc_table *table, const struct ntc_entry *entry)
{
	/* Places are at least 64, so 3/4 of them leave one free: every search ends. */
	if (table->count >= table->places / 4 * 3 && !grow(table))
		return NULL;
	table->count++;
	table->bytes += entry->size;
	table->kind_count[entry->kind]++;
	table->kind_bytes[entry->kind] += entry->size;
	count_pinned(table, entry, true);
	return place(table, entry);
}

void ntc_table_remove(struct ntc_table *table, struct ntc_entry *entry)
{
	size_t mask = table->places - 1, hole = (size_t)(entry - table->entries);

	table->count--;
	table->bytes -= entry->size;
	table->kind_count[entry->kind]--;
	table->kind_bytes[entry->kind] -= entry->size;
	count_pinned(table, entry, false);
	/* Move into the hole whatever would not be found across it. */
	for (size_t i = (hole + 1) & mask; table->entries[i].kind; i = (i + 1) & mask) {
		size_t home = home_of(table, &table->entries[i].digest);

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			table->entries[hole] = table->entries[i];
			hole = i;
		}
	}
	memset(&table->entries[hole], 0, sizeof(table->entries[hole]));
}
