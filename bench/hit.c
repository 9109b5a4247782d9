/* Entries of the hit bench; see hit.h. */
#include "bench/hit.h"

#include <string.h>

uint8_t hit_first(unsigned k)
{
	return (uint8_t)(k * 7 + 1);
}

size_t hit_record(struct hit_set *set, unsigned k)
{
	const struct hit_entry *entry = &set->entries[k];

	memcpy(set->record, entry->key_bytes, entry->key_len);
	memset(set->record + entry->key_len, hit_first(k), set->size);
	return entry->key_len + set->size;
}
