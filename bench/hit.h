/*
 * The systems that are measured side by side on hits (bench_hit.c): ours and those that people use instead.
 *
 * All hold the same entries: number k has a canonical key of about 2 KiB and a value of a given size. A look-up is by the
 * key's digest (which every user has: it is made with the key), and ends with a comparison of the whole key, byte by byte. Then the
 * value is either *copied* out, or looked at *in place*: one byte in every 4 KiB of it, and whatever says that this was
 * valid. What the others store under a digest is the key with the value behind it.
 *
 * A system is loaded by the bench's process; then any number of forked processes open it and get from it.
 */
#ifndef NTC_BENCH_HIT_H
#define NTC_BENCH_HIT_H

#include <stdint.h>
#include <sys/types.h>

#include "ntcache.h"

#define HIT_KEY_TEXT 2000u /* bytes of the key's one long field */
#define HIT_STEP 4096u     /* in place: one byte of so many is looked at */

struct hit_entry {
	struct ntc_key *key;
	const uint8_t *key_bytes;
	size_t key_len;
	char name[33]; /* the digest in hexadecimal */
};

struct hit_set {
	const char *dir; /* a private directory, on a disk */
	size_t size;     /* of a value */
	unsigned count;
	struct hit_entry *entries;
	uint8_t *record; /* scratch: key and value */
	size_t record_max;
};

/* Key and value of entry `k` in set->record; returns its bytes. */
size_t hit_record(struct hit_set *set, unsigned k);

/* The first byte of the value of entry `k`; all others follow from it. */
uint8_t hit_first(unsigned k);

struct hit_system {
	const char *bench, *system; /* as in results.json */
	size_t least;               /* smallest value with which it can be */
	/* Hold the set; by the bench. Returns the process that serves it, or 0. */
	pid_t (*load)(struct hit_set *set);
	void (*unload)(void);
	/* By each process that measures. */
	void *(*open)(struct hit_set *set);
	/* Get entry `k`; returns the first byte of its value. Ends the program if it is not there, or its key another's. */
	uint8_t (*get)(void *opened, const struct hit_set *set, unsigned k);
};

/* Each ends with one without a name. */
extern const struct hit_system hit_ours[], hit_peers[], hit_floors[];

/* The least that attaching to somebody's shared memory takes: connect, be sent two descriptors, map one. */
extern const struct hit_system hit_floor_attach;

/* Put so many new entries of 4 KiB a second to our daemon, for ever: somebody who works while others read. */
_Noreturn void hit_put_on(unsigned per_second);

#endif
