/*
 * Entries inside the library: one allocation that holds the entry, a body and, where the daemon has seen
 * it, the stamp behind that. Immutable once made; the count is atomic.
 */
#ifndef NTC_CLIENT_ENTRY_H
#define NTC_CLIENT_ENTRY_H

#include "client/ntcache.h"
#include "proto/entry.h"

struct ntc_entry {
	void *block;                /* of malloc(): this, and the image behind it */
	unsigned refs;              /* atomic */
	enum ntc_source source;
	struct ntc_body body;       /* views into the image */
	const uint8_t *stamp;       /* NTC_STAMP_SIZE bytes of the image, or NULL */
	struct ntc_digest digest;   /* of the key */
};

/*
 * Memory for an image of `size` bytes, aligned to NTC_BODY_ALIGN, so that its parts are; what becomes an entry has its place in front of
 * it. NULL without memory. Given: ntc_image_free() (accepts NULL), unless an entry is made of it.
 */
uint8_t *ntc_image_memory(size_t size);
void ntc_image_free(uint8_t *memory);

/*
 * The entry of an image (body and stamp) that came from a file or the socket: layout and checksum are
 * checked, and that its key is `key` (any, if that is empty). `memory` is taken. *entry is given.
 * OK, BAD_IMAGE, BAD_KEY, BAD_CHECKSUM, TOO_LARGE; KEY_MISMATCH for a good image of another key.
 */
enum ntc_status ntc_entry_from_image(uint8_t *memory, size_t size, struct ntc_view key, enum ntc_source source,
				     struct ntc_entry **entry, struct ntc_reason *reason);

/*
 * The entry of an image that was copied out of the shared segment: the daemon verified it before it published it, and its key
 * is `key` (canonical, of that digest). `memory` is taken. *entry is given. OK, KEY_MISMATCH, or what is wrong with it.
 */
enum ntc_status ntc_entry_from_segment(uint8_t *memory, size_t size, struct ntc_view key, const struct ntc_digest *digest,
				       struct ntc_entry **entry, struct ntc_reason *reason);

/*
 * The same as ntc_entry_from_image(), read with pread() from a descriptor whose size has to be at least `size` (not closed).
 * Also NO_MEMORY, IO or what the errno says.
 */
enum ntc_status ntc_entry_from_fd(int fd, uint64_t size, struct ntc_view key, enum ntc_source source,
				  struct ntc_entry **entry, struct ntc_reason *reason);

#endif
