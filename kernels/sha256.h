/* SHA-256 (nettle's), and bytes as hexadecimal text. */
#ifndef NTC_KERNELS_SHA256_H
#define NTC_KERNELS_SHA256_H

#include <nettle/sha2.h>
#include <stddef.h>
#include <stdint.h>

#define NTC_SHA256_TEXT 65

/* The digest of what was added to `ctx`, which starts anew. */
static inline void ntc_sha256_end(struct sha256_ctx *ctx, uint8_t sha256[32])
{
	sha256_digest(ctx, SHA256_DIGEST_SIZE, sha256);
}

/* `len` bytes as 2 * len lower-case digits and a NUL. */
static inline void ntc_hex(const uint8_t *bytes, size_t len, char *text)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	text[2 * len] = '\0';
}

#endif
