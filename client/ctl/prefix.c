/* The first digits of a digest; see prefix.h. */
#include "prefix.h"

#include <ctype.h>
#include <string.h>

bool ntc_ctl_prefix_parse(const char *text, struct ntc_ctl_prefix *prefix)
{
	size_t len = strlen(text);

	*prefix = (struct ntc_ctl_prefix){ .len = 0 };
	if (len < NTC_CTL_PREFIX_LEAST || len >= sizeof(prefix->digits))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isxdigit((unsigned char)text[i]))
			return false;
		prefix->digits[i] = (char)tolower((unsigned char)text[i]);
	}
	prefix->len = len;
	return true;
}

bool ntc_ctl_prefix_whole(const struct ntc_ctl_prefix *prefix, struct ntc_digest *digest)
{
	return prefix->len == NTC_DIGEST_TEXT_SIZE - 1 && ntc_digest_from_text(prefix->digits, digest);
}

bool ntc_ctl_prefix_match(const struct ntc_ctl_prefix *prefix, const struct ntc_digest *digest)
{
	char text[NTC_DIGEST_TEXT_SIZE];

	ntc_digest_text(digest, text);
	return memcmp(text, prefix->digits, prefix->len) == 0;
}

void ntc_ctl_matches_add(struct ntc_ctl_matches *matches, const struct ntc_ctl_prefix *prefix,
			 const struct ntc_digest *digest)
{
	if (!ntc_ctl_prefix_match(prefix, digest))
		return;
	if (matches->count < NTC_CTL_PREFIX_LISTED)
		matches->at[matches->count] = *digest;
	matches->count++;
}
