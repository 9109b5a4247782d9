/*
 * The first digits of a digest, as people type them. Pure.
 */
#ifndef NTC_CTL_PREFIX_H
#define NTC_CTL_PREFIX_H

#include <stdbool.h>

#include "ntcache.h"

#define NTC_CTL_PREFIX_LEAST 4      /* digits */
#define NTC_CTL_PREFIX_LISTED 10    /* digests named when a prefix fits several */

struct ntc_ctl_prefix {
	char digits[NTC_DIGEST_TEXT_SIZE];  /* in lower case */
	size_t len;
};

/* False if `text` is not 4 to 32 hexadecimal digits. */
bool ntc_ctl_prefix_parse(const char *text, struct ntc_ctl_prefix *prefix);

/* Whether it is a whole digest; then *digest is set. */
bool ntc_ctl_prefix_whole(const struct ntc_ctl_prefix *prefix, struct ntc_digest *digest);

bool ntc_ctl_prefix_match(const struct ntc_ctl_prefix *prefix, const struct ntc_digest *digest);

/* What a prefix fits: fed with digests, keeps the first few and counts all. */
struct ntc_ctl_matches {
	size_t count;
	struct ntc_digest at[NTC_CTL_PREFIX_LISTED];
};
void ntc_ctl_matches_add(struct ntc_ctl_matches *matches, const struct ntc_ctl_prefix *prefix,
			 const struct ntc_digest *digest);

#endif
