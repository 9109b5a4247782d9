/* Reference-counted bytes; see buffer.h. */
#include "store/buffer.h"

#include <stdlib.h>

struct ntc_buffer *ntc_buffer_new(size_t len)
{
	struct ntc_buffer *buffer;

	if (len > SIZE_MAX - sizeof(*buffer))
		return NULL;
	buffer = malloc(sizeof(*buffer) + len);
	if (!buffer)
		return NULL;
	atomic_init(&buffer->refs, 1);
	buffer->len = len;
	return buffer;
}

struct ntc_buffer *ntc_buffer_ref(struct ntc_buffer *buffer)
{
	/* Whoever refers to it already has seen its bytes, so nothing needs to be ordered here. */
	atomic_fetch_add_explicit(&buffer->refs, 1, memory_order_relaxed);
	return buffer;
}

void ntc_buffer_unref(struct ntc_buffer *buffer)
{
	/* All uses by other threads come before the free. */
	if (buffer && atomic_fetch_sub_explicit(&buffer->refs, 1, memory_order_acq_rel) == 1)
		free(buffer);
}
