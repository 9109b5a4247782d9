/*
 * XXH3-128 in the two places that use it: the digest that finds a key, and the checksum that finds
 * damage. Guards against accidents, not against people.
 */
#ifndef NTC_PROTO_DIGEST_H
#define NTC_PROTO_DIGEST_H

#include <stdbool.h>

#include "proto/bytes.h"
#include "proto/ntcache_types.h"

#define NTC_DIGEST_TEXT 33  /* 32 hexadecimal digits and a NUL */

/*
 * The digest of a key's canonical bytes. Alone in key_digest.c, so that a test build can link a
 * weaker one and meet collisions (tests/support/weak_digest.c).
 */
struct ntc_digest ntc_key_digest(struct ntc_view key);

/* The checksum of any bytes; what the entry image is sealed with. */
struct ntc_digest ntc_checksum(struct ntc_view bytes);

static inline bool ntc_digest_equal(const struct ntc_digest *a, const struct ntc_digest *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* 32 lower-case hexadecimal digits. */
void ntc_digest_format(const struct ntc_digest *digest, char text[NTC_DIGEST_TEXT]);

/* Exactly 32 hexadecimal digits of either case; false (and *digest zero) for anything else. */
bool ntc_digest_parse(const char *text, struct ntc_digest *digest);

#endif
