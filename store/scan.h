/*
 * Reading every row at a start. Of a large index most may have to come from the disk, where it lies scattered between
 * images: so several threads read it, each its shards with a connection of its own.
 */
#ifndef NTC_STORE_SCAN_H
#define NTC_STORE_SCAN_H

#include "store/index.h"
#include "store/table.h"

#define NTC_SCAN_THREADS 8u
#define NTC_SCAN_LARGE (UINT64_C(64) << 20)     /* bytes of an index that is worth them */

/* What a part of the shards has. */
struct ntc_scanned {
	struct ntc_entry *entries;      /* without generations; to be freed */
	size_t count, room;
	uint64_t used;                  /* the largest of all rows, as the next */
	double value;
};

/*
 * Scan the index in `dir`, by `threads` threads (at most NTC_SCAN_THREADS); by one: the calling thread with its connection
 * `index`. Each fills the part of its number. BAD_STORE as ntc_index_scan(). The parts are the caller's to free, also
 * when it fails.
 */
enum ntc_status ntc_scan(const char *dir, struct ntc_index *index, unsigned threads, struct ntc_scanned *parts,
			 struct ntc_reason *reason);

#endif
