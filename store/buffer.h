/*
 * Reference-counted bytes: an entry's image in memory, shared by the event loop, the writer thread and
 * the replies in flight. The bytes are filled by whoever made the buffer and never change afterwards.
 * Counting is atomic; the last reference frees from whichever thread drops it.
 */
#ifndef NTC_STORE_BUFFER_H
#define NTC_STORE_BUFFER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct ntc_buffer {
	atomic_uint refs;
	size_t len;
	uint8_t bytes[];
};

/* A buffer of `len` uninitialised bytes and one reference, or NULL without memory. */
struct ntc_buffer *ntc_buffer_new(size_t len);

struct ntc_buffer *ntc_buffer_ref(struct ntc_buffer *buffer);

/* Accepts NULL. */
void ntc_buffer_unref(struct ntc_buffer *buffer);

#endif
