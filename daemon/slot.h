/*
 * Compile slots: permission to use a core now. At most `max` tasks have one; the others queue, for a
 * limited time. A slot is tied to the lease it was asked for and ends with it. A task that holds a slot is
 * never made to ask for a second: nested makes share the first.
 *
 * Rules alone: no sockets, no clock. One thread. The callback must not call back into the module.
 */
#ifndef NTC_DAEMON_SLOT_H
#define NTC_DAEMON_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/status.h"

struct ntc_slots;

enum ntc_slot_verdict {
	NTC_SLOT_GRANTED,
	NTC_SLOT_SHARED,        /* the task's earlier slot */
	NTC_SLOT_OVER,          /* the longest wait is over: go on without */
	NTC_SLOT_CANCELLED,
};

typedef void ntc_answer_slot_fn(void *ctx, uint64_t conn, uint64_t request, enum ntc_slot_verdict verdict);

struct ntc_slot_counts {
	uint64_t granted, over; /* since the start */
	uint64_t busy, max;     /* now; max 0 = no limit */
};

/* `max` 0 = no limit. `wait_max_ns`: longest wait. NULL without memory. */
struct ntc_slots *ntc_slots_new(unsigned max, uint64_t wait_max_ns, ntc_answer_slot_fn *answer, void *ctx);
void ntc_slots_free(struct ntc_slots *slots); /* accepts NULL */

/*
 * Ask for a slot for `lease`, a live lease of `conn`. Answers by the callback, now or later, exactly once;
 * unless NO_MEMORY is returned or the connection is dropped. `wait_ns` 0 = wait_max_ns.
 */
enum ntc_status ntc_slots_ask(struct ntc_slots *slots, uint64_t conn, uint64_t task, uint64_t lease,
			      uint64_t request, uint64_t wait_ns, uint64_t now_ns);

/* The lease is over: so are its slot, and its wait for one (answered OVER). Nothing if it had none. */
void ntc_slots_end(struct ntc_slots *slots, uint64_t lease);

/* Answer that request CANCELLED, if it still waits. */
void ntc_slots_cancel(struct ntc_slots *slots, uint64_t conn, uint64_t request);

/* The connection ended: its slots are free, its waits go unanswered. */
void ntc_slots_drop(struct ntc_slots *slots, uint64_t conn);

/* Answer OVER to the waits that are over by now. Same rhythm as ntc_flights_tick(). */
void ntc_slots_tick(struct ntc_slots *slots, uint64_t now_ns);
bool ntc_slots_busy(const struct ntc_slots *slots);

struct ntc_slot_counts ntc_slots_counts(const struct ntc_slots *slots);

#endif
