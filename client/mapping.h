/*
 * The shared segment in this process: mapped read-only from the descriptor that the daemon handed over.
 */
#ifndef NTC_CLIENT_MAPPING_H
#define NTC_CLIENT_MAPPING_H

#include "proto/segment.h"

struct ntc_mapping {
	struct ntc_segment segment;
	void *bytes;
	size_t size;
	/* the client's, once it has been replaced (client.h) */
	unsigned lanes_left;            /* those that may still read in it, a bit each */
	struct ntc_mapping *next;
};

/*
 * Map the segment of that daemon. NULL if it is not one that can be read safely and for ever: unsealed, of another size, version
 * or daemon; or without memory. The descriptor stays the caller's. Given: ntc_mapping_free().
 */
struct ntc_mapping *ntc_mapping_new(int fd, uint64_t size, uint64_t instance);
void ntc_mapping_free(struct ntc_mapping *mapping);     /* accepts NULL */

#endif
