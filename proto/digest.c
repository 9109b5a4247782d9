/* Checksums and the text form of digests; see digest.h. */
#include "proto/digest.h"

#include <xxhash.h>

struct ntc_digest ntc_checksum(struct ntc_view bytes)
{
	XXH128_canonical_t canonical;
	struct ntc_digest digest;

	/* xxHash wants a pointer even for no bytes. */
	XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.len ? (const void *)bytes.p : "", bytes.len));
	_Static_assert(sizeof(canonical) == sizeof(digest), "an XXH3-128 has 16 bytes");
	memcpy(digest.bytes, &canonical, sizeof(digest.bytes));
	return digest;
}

void ntc_digest_format(const struct ntc_digest *digest, char text[NTC_DIGEST_TEXT])
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < sizeof(digest->bytes); i++) {
		text[2 * i] = hex[digest->bytes[i] >> 4];
		text[2 * i + 1] = hex[digest->bytes[i] & 15];
	}
	text[NTC_DIGEST_TEXT - 1] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool ntc_digest_parse(const char *text, struct ntc_digest *digest)
{
	struct ntc_digest d = { { 0 } };

	*digest = d;
	if (strlen(text) != NTC_DIGEST_TEXT - 1)
		return false;
	for (size_t i = 0; i < sizeof(d.bytes); i++) {
		int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		d.bytes[i] = (uint8_t)(high << 4 | low);
	}
	*digest = d;
	return true;
}
