/*
 * A disk that remembers: everything that the store tells it (store/sys.h), in order, with the bytes; and, between
 * that, what the store told its callers. From this a power cut at any moment can be worked out (cut.h).
 *
 * The record lies in memory shared with the parent of the process that makes it.
 */
#ifndef NTC_TESTS_FAULT_DISK_H
#define NTC_TESTS_FAULT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NTC_DISK_RECORDS = 1 << 17, NTC_DISK_NODES = 1 << 13, NTC_DISK_ROOT = 1 };
#define NTC_DISK_BYTES (UINT64_C(256) << 20)

/* What a sync is for: each can be left out (cut.h). */
#define NTC_DISK_SYNCS(X) \
	X(ALL, "the sync of everything at once") \
	X(IMAGE, "the sync of an image's file") \
	X(SHARD, "the sync of a shard's directory") \
	X(DOMAIN, "the sync of the directory of shards") \
	X(CACHE, "all syncs of the cache directory") \
	X(WAL_NAME, "the sync of the cache directory for the name of a WAL") \
	X(PARENT, "the sync of the directory above the cache directory") \
	X(WAL, "all syncs of the WAL") \
	X(WAL_HEADER, "the sync of the header of a WAL that begins again") \
	X(INDEX, "the sync of the index at a checkpoint") \
	X(JOURNAL, "the sync of the journal that makes the index") \
	X(NEW_INDEX, "the sync of a new index for the place of a damaged one")

enum ntc_disk_sync {
	NTC_DISK_NO_SYNC,
#define X(name, text) NTC_DISK_SYNC_##name,
	NTC_DISK_SYNCS(X)
#undef X
	NTC_DISK_SYNC_KINDS
};

enum ntc_disk_what {
	NTC_DISK_WRITE,         /* bytes of a file, from `at` */
	NTC_DISK_TRUNCATE,      /* a file to the length `at` */
	NTC_DISK_NAME,          /* `other` has the name `bytes` in the directory `node` now; 0: nothing has */
	NTC_DISK_SYNC,          /* a file or directory; `syncs` says what for, a bit each */
	NTC_DISK_ALL,           /* `syncs` too */
	NTC_DISK_NOTE,          /* of the caller's: `node` is in the state `other` */
};

struct ntc_disk_record {
	enum ntc_disk_what what;
	uint32_t node, other, syncs;
	uint64_t at, bytes, len;        /* `bytes`: where in the disk's */
	uint64_t ns;                    /* when */
};

struct ntc_disk {
	size_t count, nodes;            /* nodes: 1 is the root */
	uint64_t used;
	size_t began;                   /* the records before it are what was there */
	bool directory[NTC_DISK_NODES];
	struct ntc_disk_record records[NTC_DISK_RECORDS];
	uint8_t bytes[NTC_DISK_BYTES];
};

/* In a child: begin with what is in the directory `root`, all of it on the disk, and record what is done below it from
 * now on. Once a process, before a store is open. */
void ntc_disk_begin(struct ntc_disk *disk, const char *root);

/* Something to know of the moment: recorded as it is. */
void ntc_disk_note(uint32_t what, uint32_t state);

#endif
