/*
 * Kept failures: keys that can't be made, with the maker's log, for a short time. Found by whole key.
 * Bounded in number and bytes: the oldest go first. One thread; no clock of its own.
 */
#ifndef NTC_DAEMON_FAILURE_H
#define NTC_DAEMON_FAILURE_H

#include "proto/bytes.h"
#include "proto/digest.h"
#include "proto/status.h"

#define NTC_FAILURES_MAX 1024u              /* kept at once */
#define NTC_FAILURES_BYTES_MAX (16u << 20)  /* keys and logs together */

struct ntc_failures;

/* `keep_ns`: how long each is kept; 0 keeps none. NULL without memory. */
struct ntc_failures *ntc_failures_new(uint64_t keep_ns);
void ntc_failures_free(struct ntc_failures *failures); /* accepts NULL */

/* Keep a failure of `key`, replacing an earlier one. Copies key and log. Without memory it is not kept. */
void ntc_failures_add(struct ntc_failures *failures, struct ntc_view key, const struct ntc_digest *digest,
		      struct ntc_view log, uint64_t now_ns);

/* The kept log of `key` (borrowed until the next call here) and its age; false if there is none. */
bool ntc_failures_find(struct ntc_failures *failures, struct ntc_view key, const struct ntc_digest *digest,
		       uint64_t now_ns, struct ntc_view *log, uint64_t *age_ns);

/* Forget that key's failure, or (with an empty key) those of all keys under the digest. Returns how many. */
unsigned ntc_failures_forget(struct ntc_failures *failures, struct ntc_view key,
			     const struct ntc_digest *digest);

/* Kept now. */
unsigned ntc_failures_count(const struct ntc_failures *failures);

#endif
