/*
 * A power cut: what a disk (disk.h) can hold when the power goes at a moment of its record.
 *
 * What was synced is there. Of the rest of a file, each sector of 512 bytes is as it was at some moment since, and so is
 * its length; or each write was made or was not. Of the rest of a directory, each name means what it meant at some
 * moment since. So un-synced writes are dropped, reordered and torn, and names come and go without each other.
 */
#ifndef NTC_TESTS_FAULT_CUT_H
#define NTC_TESTS_FAULT_CUT_H

#include "tests/fault/disk.h"

struct ntc_cut {
	size_t at;              /* so many records were made */
	uint64_t seed;          /* what became of the un-synced ones */
	uint32_t without;       /* syncs that were left out: bits of enum ntc_disk_sync */
};

/* Make the directory `to` (there is none) what the disk's root is after the cut. In a child: memory is not freed. */
void ntc_cut_make(const struct ntc_disk *disk, const struct ntc_cut *cut, const char *to);

#endif
