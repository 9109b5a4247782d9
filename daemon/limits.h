/*
 * Every limit of the daemon that is not an option, in one place; docs/limits.md says what happens at each.
 */
#ifndef NTC_DAEMON_LIMITS_H
#define NTC_DAEMON_LIMITS_H

#include "base/clock.h"

/* --- one connection ----------------------------------------------------------------------- */

#define NTC_SESSION_ACQUIRES_MAX 4096u              /* leases held and acquires unanswered */
#define NTC_SESSION_REQUESTS_MAX 8192u              /* requests unanswered, of all sorts */
#define NTC_SESSION_PUTS_MAX 256u                   /* puts that are not decided yet */
#define NTC_SESSION_PINS_MAX 4096u                  /* entries that it has in use, PINs unanswered included */
#define NTC_SESSION_KEYS_MAX (64u << 20)            /* bytes of keys that are being looked up for its acquires */
#define NTC_SESSION_INPUT_MIN (16u << 10)           /* bytes of the input buffer; grows to one frame */
#define NTC_SESSION_FDS_MAX 4u                      /* received descriptors that wait for their frame */
#define NTC_SESSION_FRAMES 64u                      /* requests handled before others have their turn */
#define NTC_SESSION_OUTPUT_PAUSE (1u << 20)         /* bytes unsent: no more requests are read */
#define NTC_SESSION_OUTPUT_MAX (64u << 20)          /* bytes unsent: the session is ended */
#define NTC_SESSION_SEND_PACKETS 16                 /* answers sent at once */
#define NTC_PACKET_FD_BYTES (64u << 10)             /* what an unsent descriptor counts as */
#define NTC_SESSION_HELLO_NS (10 * NTC_NS_PER_S)    /* from accept to HELLO */
#define NTC_SESSION_LINGER_NS (5 * NTC_NS_PER_S)    /* from the last request to the last byte sent */
#define NTC_SESSION_NAME_MAX 64u                    /* bytes of the name in HELLO that are kept */

/* Reported hits that are believed, per connection and second: digests, and hits in all. */
#define NTC_SESSION_REPORTS_PER_S 65536u
#define NTC_SESSION_HITS_PER_S 100000000u

/* --- all connections ---------------------------------------------------------------------- */

#define NTC_KEYS_MAX (UINT64_C(512) << 20)          /* bytes of the keys of all acquires */
#define NTC_OUTPUT_MAX (UINT64_C(1) << 30)          /* bytes unsent, of all connections */
#define NTC_ACCEPTS 64u                             /* connections accepted before others have their turn */
#define NTC_ACCEPT_PAUSE_NS (100 * NTC_NS_PER_MS)   /* no accepting, after descriptors ran out */
#define NTC_BACKLOG 1024                            /* connections that wait to be accepted */
#define NTC_SPARE_FDS 128u                          /* kept free of connections: store, loads, bodies */
#define NTC_FDS_PER_CONNECTION 2u                   /* the socket and the pidfd */

/* --- bodies ------------------------------------------------------------------------------- */

#define NTC_INGEST_ON_LOOP (1u << 20)               /* bytes of a body that the loop reads itself */
#define NTC_INGEST_JOBS_MAX 64u                     /* larger bodies waiting to be read */
#define NTC_INGEST_BYTES_MAX (UINT64_C(512) << 20)  /* their bytes; one is always taken */
#define NTC_QUEUED_BYTES_MAX (UINT64_C(512) << 20)  /* images on their way to the disk */

/* --- the shared segment ------------------------------------------------------------------- */

#define NTC_PUBLISHER_SHARE 256u                    /* no image takes more than this part of it; larger ones are read from files */
#define NTC_PUBLISHER_IMAGE_MAX (2u << 20)          /* nor more bytes: publishing holds the loop up for so long */
#define NTC_PUBLISHER_IMAGE_LEAST (16u << 10)       /* bytes that may go into a small one too, up to a sixteenth of it */
#define NTC_PUBLISHER_SEEN 8192u                    /* digests that are remembered as used once */
#define NTC_PUBLISHER_LOADS_MAX 16u                 /* images being read for it */

/* --- times -------------------------------------------------------------------------------- */

#define NTC_LEASE_MAX_NS (3600 * NTC_NS_PER_S)      /* longest lease, whatever the estimate or extension */
#define NTC_COST_MAX_NS (24 * 3600 * NTC_NS_PER_S)  /* largest cost of a put that is believed */
#define NTC_DRAIN_NS (5 * NTC_NS_PER_S)             /* from SIGTERM until unsent answers are given up */
#define NTC_DRAIN_TICK_NS (5 * NTC_NS_PER_MS)
#define NTC_LOST_SAID_NS (10 * NTC_NS_PER_S)        /* between two lines of the log about lost puts */
#define NTC_SAVE_NS (1 * NTC_NS_PER_S)              /* between two savings of the counters */

#endif
