/*
 * ntcache_types.h - the few types that libntcache's callers share with the wire and the disk.
 *
 * Included by ntcache.h; include that. Numbers here are part of frozen formats (docs/key.md,
 * docs/entry.md) and are never changed or reused.
 */
#ifndef NTCACHE_TYPES_H
#define NTCACHE_TYPES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What an entry is. All but tuning never change: the first accepted put stays. */
enum ntc_kind {
	NTC_KIND_KERNEL = 1,    /* a compiled kernel: binary, log, lowered names */
	NTC_KIND_HANDLE = 2,    /* the recipe of a JIT handle */
	NTC_KIND_SOURCE = 3,    /* a generated source text */
	NTC_KIND_LIBRARY = 4,   /* a shared library with its headers, made ahead of time */
	NTC_KIND_TUNING = 5,    /* trials of a tuning; merged by the daemon */
};

/* The type of one field's value, in keys and in notes. */
enum ntc_type {
	NTC_TYPE_NONE = 1,      /* no value */
	NTC_TYPE_BOOL = 2,
	NTC_TYPE_INT = 3,       /* any integer of up to 256 bits, one form */
	NTC_TYPE_FLOAT = 4,     /* binary64; -0.0 is not 0.0; every NaN is one NaN */
	NTC_TYPE_STRING = 5,    /* UTF-8 */
	NTC_TYPE_BYTES = 6,
	NTC_TYPE_LIST = 7,      /* values of any types, in order */
	NTC_TYPE_SHA256 = 8,    /* stands for a value too large to be in the key */
};

/* XXH3-128 of a key's canonical bytes, most significant byte first: finds an entry, proves nothing. */
struct ntc_digest {
	uint8_t bytes[16];
};

#ifdef __cplusplus
}
#endif

#endif
