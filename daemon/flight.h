/*
 * Flights: who is making what, and who waits for it (docs/design.md, "Flights: leases and waits").
 *
 * A *flight* is one key that somebody asked for and nobody has. It has at most one *lease* and a queue of
 * *waits*. This module is the rules alone: no sockets, no clock (times are given), no disk. It speaks to
 * its owner by two callbacks.
 *
 *     task ──holds──► lease ──of──► flight ◄──on── wait ──by──► task
 *                        └──counts in──► group ◄──member of──┘
 *
 * Invariants, between calls:
 *   - a flight without a lease has only waits whose group already holds its width;
 *   - no circle of blocking waits exists;
 *   - a flight has a lease or a wait, and so have a task and a group.
 *
 * One thread. Callbacks must not call back into the module, except ntc_flights_find_lease().
 */
#ifndef NTC_DAEMON_FLIGHT_H
#define NTC_DAEMON_FLIGHT_H

#include "proto/bytes.h"
#include "proto/digest.h"
#include "proto/status.h"

struct ntc_flights;

/* How a wait ends. */
enum ntc_verdict {
	NTC_VERDICT_LEASE,      /* make it: `grant` is set */
	NTC_VERDICT_PUT,        /* it was put: `result` is what ntc_flights_put() was given */
	NTC_VERDICT_FAILED,     /* it failed for good: `result` is what ntc_flights_fail() was given */
	NTC_VERDICT_CIRCULAR,   /* the wait would never end */
	NTC_VERDICT_OVER,       /* its longest time is over, or it did not want to wait */
	NTC_VERDICT_CANCELLED,
};

/* A lease as its holder is told. */
struct ntc_grant {
	uint64_t lease;         /* number, never 0, never given twice */
	uint64_t time_ns;       /* from the grant until it is over */
	bool waited;            /* it was somebody else's before */
};

/* Who is answered: what the ask said. */
struct ntc_asker {
	uint64_t conn;          /* connection number */
	uint64_t task;          /* unique within the connection */
	uint64_t request;       /* the request's id within the connection */
};

struct ntc_flight_options {
	uint64_t lease_ns;      /* time of a lease; longer if four times its estimate is */
	uint64_t lease_max_ns;  /* longest time of a lease, also by extension */
	uint64_t wait_max_ns;   /* longest wait */
	uint64_t key_bytes_max; /* of all flights */
	/* A wait is answered. `grant` with LEASE, `result` with PUT and FAILED, else NULL; borrowed. */
	void (*answer)(void *ctx, const struct ntc_asker *asker, enum ntc_verdict verdict,
		       const struct ntc_grant *grant, const void *result);
	/* A lease ended, for whatever reason. Told before anything that follows from it. */
	void (*lease_ended)(void *ctx, const struct ntc_asker *holder, uint64_t lease);
	void *ctx;
};

/* What is counted since the start. */
struct ntc_flight_counts {
	uint64_t leases;        /* given */
	uint64_t expired;       /* ended by their time */
	uint64_t lost;          /* ended because their connection or process did */
	uint64_t waits;         /* asks that were not answered at once */
	uint64_t handovers;     /* waits answered PUT */
	uint64_t circles;       /* waits answered CIRCULAR */
};

/* NULL without memory. Options are copied. */
struct ntc_flights *ntc_flights_new(const struct ntc_flight_options *options);

/* Drops everything unanswered, without callbacks. Accepts NULL. */
void ntc_flights_free(struct ntc_flights *flights);

struct ntc_ask {
	struct ntc_asker asker;
	struct ntc_view key;            /* whole, checked; copied if a flight has to be made */
	struct ntc_digest digest;       /* of the key */
	uint32_t group, width;          /* group 0: by itself; width: leases the group may hold, at least 1 */
	uint64_t estimate_ns;           /* what making it is expected to cost; 0 = unknown */
	uint64_t wait_ns;               /* longest wait; 0 = wait_max_ns */
	bool nowait;                    /* OVER at once where it would have to wait for somebody */
};

/*
 * Ask for a lease. Answers by the callback, now or later, exactly once; unless this returns NO_MEMORY (also
 * for more keys than key_bytes_max; then never), or the connection is dropped first.
 */
enum ntc_status ntc_flights_ask(struct ntc_flights *flights, const struct ntc_ask *ask, uint64_t now_ns);

/* A live lease of a connection, for reading; borrowed until the next call here. */
struct ntc_lease_view {
	struct ntc_view key;
	struct ntc_digest digest;
	uint64_t since_ns;              /* when it was given */
};

/* OK or NO_SUCH_LEASE. */
enum ntc_status ntc_flights_find_lease(const struct ntc_flights *flights, uint64_t conn, uint64_t lease,
				       struct ntc_lease_view *view);

/*
 * Everyone who waits for the key is answered PUT, its lease (whoever has it) is over, the flight ends. Does
 * nothing if nobody flies it.
 */
void ntc_flights_put(struct ntc_flights *flights, struct ntc_view key, const struct ntc_digest *digest,
		     const void *result, uint64_t now_ns);

/* The holder says that it can't be made: everyone who waits is answered FAILED. OK or NO_SUCH_LEASE. */
enum ntc_status ntc_flights_fail(struct ntc_flights *flights, uint64_t conn, uint64_t lease, const void *result,
				 uint64_t now_ns);

/* The holder gives up: the next wait that may have it is answered LEASE. OK or NO_SUCH_LEASE. */
enum ntc_status ntc_flights_release(struct ntc_flights *flights, uint64_t conn, uint64_t lease, uint64_t now_ns);

/* More time, from now; *time_ns is what was given (at most lease_max_ns). OK or NO_SUCH_LEASE. */
enum ntc_status ntc_flights_extend(struct ntc_flights *flights, uint64_t conn, uint64_t lease, uint64_t want_ns,
				   uint64_t now_ns, uint64_t *time_ns);

/* Answer that request's wait CANCELLED, if it still waits. */
void ntc_flights_cancel(struct ntc_flights *flights, uint64_t conn, uint64_t request, uint64_t now_ns);

/* Nobody is to wait any longer: all waits are answered CANCELLED. Leases stay. */
void ntc_flights_stop_waits(struct ntc_flights *flights);

/* A connection or its process ended: its waits go unanswered, its leases to the next. */
void ntc_flights_drop(struct ntc_flights *flights, uint64_t conn, uint64_t now_ns);

/*
 * End what is over by now: leases go to the next wait, waits are answered OVER. To be called every
 * NTC_FLIGHT_TICK_NS while ntc_flights_busy().
 */
#define NTC_FLIGHT_TICK_NS UINT64_C(50000000)
void ntc_flights_tick(struct ntc_flights *flights, uint64_t now_ns);
bool ntc_flights_busy(const struct ntc_flights *flights);

struct ntc_flight_counts ntc_flights_counts(const struct ntc_flights *flights);

#endif
