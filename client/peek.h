/* The second rung: looking at what the shared segment has. Copying it is one way of looking. */
#ifndef NTC_CLIENT_PEEK_H
#define NTC_CLIENT_PEEK_H

#include "client/client.h"

struct ntc_peek {
	struct ntc_segment_hit hit;
};

/*
 * ntc_peek() without the looks at its arguments: true if `fn` was called and the last time saw something valid, which is then counted as
 * a hit. Quick, and without a system call: most of what hits ends here.
 */
bool ntc_peek_at(struct ntc_client *client, const struct ntc_key *key, ntc_peek_fn *fn, void *ctx);

#endif
