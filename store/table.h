/*
 * What the owner knows of every entry without asking a disk: an open-addressing hash table by digest.
 * 40 bytes an entry, at most three quarters full: at most 107 bytes for each.
 *
 * Pointers to entries are good until the next insertion or removal. Owner thread only.
 */
#ifndef NTC_STORE_TABLE_H
#define NTC_STORE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/ntcache_types.h"

struct ntc_entry {
	struct ntc_digest digest;
	uint64_t cost_ns;
	uint32_t size;          /* bytes of the image, which are always fewer than 4 GiB */
	uint32_t generation;    /* which put made it: tells it from an earlier one of its digest */
	uint32_t touched;       /* 1 + its place among the uses not yet written, or 0 */
	uint8_t kind;           /* 0 = a free place */
	bool in_index;          /* its image is in the index, not in a file */
	bool seen;              /* its file is there; used by recovery only */
	bool pinned;            /* its row says that it stays */
};

struct ntc_table {
	struct ntc_entry *entries;      /* given back by release */
	size_t places;                  /* a power of two, or 0 */
	size_t count;
	uint64_t bytes;
	uint64_t pinned, pinned_bytes;
	uint64_t kind_count[NTC_KIND_TUNING + 1], kind_bytes[NTC_KIND_TUNING + 1];
	uint64_t seed;                  /* so that nobody can choose keys that crowd together */
};

void ntc_table_init(struct ntc_table *table, uint64_t seed);
void ntc_table_release(struct ntc_table *table);

/* The entry, or NULL. */
struct ntc_entry *ntc_table_find(const struct ntc_table *table, const struct ntc_digest *digest);

/* Copy `entry` (of a digest that is not there) into it; NULL without memory. */
struct ntc_entry *ntc_table_insert(struct ntc_table *table, const struct ntc_entry *entry);

/* Pin what ntc_table_find() found, or let it go. */
void ntc_table_pin(struct ntc_table *table, struct ntc_entry *entry, bool pinned);

/* Remove what ntc_table_find() found. */
void ntc_table_remove(struct ntc_table *table, struct ntc_entry *entry);

#endif
