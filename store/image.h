/*
 * Whole images as the store meets them, in a file, in the index or in the ruins of one: verified, and
 * described by a row. Pure; safe from any thread.
 */
#ifndef NTC_STORE_IMAGE_H
#define NTC_STORE_IMAGE_H

#include "proto/entry.h"
#include "proto/message.h"

/* No image is smaller or larger. */
#define NTC_IMAGE_MIN (NTC_BODY_HEADER + NTC_STAMP_SIZE)
#define NTC_IMAGE_MAX (NTC_BODY_MAX + NTC_STAMP_SIZE)

/* Up to here the daemon keeps images in the index, larger ones in files (docs/store.md has the measurement). */
#define NTC_INLINE_IMAGE_MAX 8192u

/*
 * Verify: layout, checksum, stamp, and that its key has this digest (NULL: any). OK with *row as ntc_image_describe()
 * fills it; BAD_IMAGE otherwise.
 */
enum ntc_status ntc_image_verify(struct ntc_view bytes, const struct ntc_digest *digest, struct ntc_row *row,
				 struct ntc_reason *reason);

/* What an image of `size` bytes says of itself; what it cannot know (uses, pins, where it is) is 0. */
void ntc_image_describe(const struct ntc_image *image, uint64_t size, const struct ntc_digest *digest,
			struct ntc_row *row);

#endif
