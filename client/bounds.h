/*
 * Every limit of the client library, in one place. Each public call ends: by its own `timeout_ms`, or
 * with NTC_NO_TIMEOUT by the limit here. docs/limits.md lists them for people.
 */
#ifndef NTC_CLIENT_BOUNDS_H
#define NTC_CLIENT_BOUNDS_H

#include <stdint.h>

#include "base/clock.h"

/* --- times, in nanoseconds ---------------------------------------------------------------- */

#define NTC_LIMIT_CONNECT (1 * NTC_NS_PER_S)        /* connect(): the daemon's backlog is full */
#define NTC_LIMIT_GREETING (2 * NTC_NS_PER_S)       /* from connect() to the greeting */
#define NTC_LIMIT_BACKOFF (1 * NTC_NS_PER_S)        /* between two attempts where the first found nobody */
#define NTC_LIMIT_BACKOFF_FACTOR 10                 /* or so many times what the failed attempt took */
#define NTC_LIMIT_BACKOFF_MAX (30 * NTC_NS_PER_S)   /* but at most */
#define NTC_LIMIT_REQUEST (10 * NTC_NS_PER_S)       /* a request that the daemon answers at once */
#define NTC_LIMIT_PUT (60 * NTC_NS_PER_S)           /* a put, from the memfd to STORED */
#define NTC_LIMIT_SLOT (15 * NTC_NS_PER_S)          /* a compile slot; the daemon's own limit is 10 s */
#define NTC_LIMIT_SYNC (60 * NTC_NS_PER_S)          /* until every put is durable */
#define NTC_LIMIT_LIST (60 * NTC_NS_PER_S)          /* a whole listing */
#define NTC_LIMIT_ACQUIRE (3600 * NTC_NS_PER_S)     /* waiting for somebody else's result */
#define NTC_LIMIT_CANCEL (2 * NTC_NS_PER_S)         /* from a CANCEL to the answer of what it cancels */
#define NTC_LIMIT_SILENCE (10 * NTC_NS_PER_S)       /* while waiting: from a PING to any sign of life */
#define NTC_LIMIT_REPORT (100 * NTC_NS_PER_MS)      /* sending a batch of hits */
#define NTC_REPORT_EVERY (1 * NTC_NS_PER_S)         /* between two batches */
#define NTC_LIMIT_AUTOSTART (5 * NTC_NS_PER_S)      /* until a started daemon answers */
#define NTC_AUTOSTART_POLL (10 * NTC_NS_PER_MS)     /* between two looks at a starting daemon */
#define NTC_AUTOSTART_IDLE_S 600                    /* seconds after which a started daemon leaves */

/* --- sizes -------------------------------------------------------------------------------- */

#define NTC_LIMIT_WINDOW 512                        /* keys of one acquire_many asked for at once */
#define NTC_LIMIT_MANY 64                           /* entries shown or verified at once */
#define NTC_LIMIT_IMPORTS 512                       /* entries imported at once; and their bytes, one of any size */
#define NTC_LIMIT_IMPORT_BYTES (64u << 20)
#define NTC_LIMIT_LANES 8                           /* threads of a client that hit without meeting */
#define NTC_LIMIT_HITS 1024                         /* digests counted in a lane before a batch is sent */
#define NTC_LIMIT_FDS 16                            /* received descriptors waiting for their frame */
#define NTC_LIMIT_REASON 512                        /* bytes of ntc_last_error() */
#define NTC_LIMIT_NAME 64                           /* bytes of the program's name */

/* A time on the monotonic clock at which to give up: `timeout_ms` from now, or `limit_ns` where there is none. */
static inline uint64_t ntc_deadline(int timeout_ms, uint64_t limit_ns)
{
	return ntc_clock_mono_ns() + (timeout_ms < 0 ? limit_ns : (uint64_t)timeout_ms * NTC_NS_PER_MS);
}

static inline uint64_t ntc_deadline_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

#endif
