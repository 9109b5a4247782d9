/* Compile slots; see slot.h. */
#include "daemon/slot.h"

#include <stdlib.h>
#include <sys/queue.h>

/* A slot that somebody has, or a wait for one. */
struct slot {
	TAILQ_ENTRY(slot) link;
	uint64_t conn, task, lease, request;
	uint64_t until_ns;      /* waits only */
};
TAILQ_HEAD(slot_list, slot);

struct ntc_slots {
	unsigned max;
	uint64_t wait_max_ns;
	ntc_answer_slot_fn *answer;
	void *ctx;
	struct slot_list held, waiting;
	struct ntc_slot_counts counts;
};

struct ntc_slots *ntc_slots_new(unsigned max, uint64_t wait_max_ns, ntc_answer_slot_fn *answer, void *ctx)
{
	struct ntc_slots *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->max = max;
	s->wait_max_ns = wait_max_ns;
	s->answer = answer;
	s->ctx = ctx;
	s->counts.max = max;
	TAILQ_INIT(&s->held);
	TAILQ_INIT(&s->waiting);
	return s;
}

static void list_clear(struct slot_list *list)
{
	struct slot *slot;

	while ((slot = TAILQ_FIRST(list))) {
		TAILQ_REMOVE(list, slot, link);
		free(slot);
	}
}

void ntc_slots_free(struct ntc_slots *s)
{
	if (!s)
		return;
	list_clear(&s->held);
	list_clear(&s->waiting);
	free(s);
}

/* Whether one more task may compile now. */
static bool slot_is_free(const struct ntc_slots *s)
{
	return s->max == 0 || s->counts.busy < s->max;
}

static void slot_grant(struct ntc_slots *s, struct slot *slot)
{
	TAILQ_INSERT_TAIL(&s->held, slot, link);
	s->counts.busy++;
	s->counts.granted++;
	s->answer(s->ctx, slot->conn, slot->request, NTC_SLOT_GRANTED);
}

static void wait_end(struct ntc_slots *s, struct slot *slot, enum ntc_slot_verdict verdict)
{
	TAILQ_REMOVE(&s->waiting, slot, link);
	if (verdict == NTC_SLOT_OVER)
		s->counts.over++;
	s->answer(s->ctx, slot->conn, slot->request, verdict);
	free(slot);
}

/* Free what is held; the caller lets the next ones in. */
static void slot_release(struct ntc_slots *s, struct slot *slot)
{
	TAILQ_REMOVE(&s->held, slot, link);
	s->counts.busy--;
	free(slot);
}

static void admit(struct ntc_slots *s)
{
	struct slot *slot;

	while (slot_is_free(s) && (slot = TAILQ_FIRST(&s->waiting))) {
		TAILQ_REMOVE(&s->waiting, slot, link);
		slot_grant(s, slot);
	}
}

enum ntc_status ntc_slots_ask(struct ntc_slots *s, uint64_t conn, uint64_t task, uint64_t lease, uint64_t request,
			      uint64_t wait_ns, uint64_t now_ns)
{
	struct slot *slot;

	TAILQ_FOREACH(slot, &s->held, link) {
		if (slot->conn == conn && slot->task == task) {
			s->answer(s->ctx, conn, request, NTC_SLOT_SHARED);
			return NTC_ST_OK;
		}
	}
	slot = malloc(sizeof(*slot));
	if (!slot)
		return NTC_ST_NO_MEMORY;
	*slot = (struct slot){
		.conn = conn,
		.task = task,
		.lease = lease,
		.request = request,
		.until_ns = now_ns + (wait_ns && wait_ns < s->wait_max_ns ? wait_ns : s->wait_max_ns),
	};
	if (slot_is_free(s))
		slot_grant(s, slot);
	else
		TAILQ_INSERT_TAIL(&s->waiting, slot, link);
	return NTC_ST_OK;
}

void ntc_slots_end(struct ntc_slots *s, uint64_t lease)
{
	struct slot *slot, *next;

	for (slot = TAILQ_FIRST(&s->waiting); slot; slot = next) {
		next = TAILQ_NEXT(slot, link);
		if (slot->lease == lease)
			wait_end(s, slot, NTC_SLOT_OVER);
	}
	for (slot = TAILQ_FIRST(&s->held); slot; slot = next) {
		next = TAILQ_NEXT(slot, link);
		if (slot->lease == lease)
			slot_release(s, slot);
	}
	admit(s);
}

void ntc_slots_cancel(struct ntc_slots *s, uint64_t conn, uint64_t request)
{
	struct slot *slot;

	TAILQ_FOREACH(slot, &s->waiting, link) {
		if (slot->conn == conn && slot->request == request) {
			wait_end(s, slot, NTC_SLOT_CANCELLED);
			return;
		}
	}
}

void ntc_slots_drop(struct ntc_slots *s, uint64_t conn)
{
	struct slot *slot, *next;

	for (slot = TAILQ_FIRST(&s->waiting); slot; slot = next) {
		next = TAILQ_NEXT(slot, link);
		if (slot->conn == conn) {
			TAILQ_REMOVE(&s->waiting, slot, link);
			free(slot);
		}
	}
	for (slot = TAILQ_FIRST(&s->held); slot; slot = next) {
		next = TAILQ_NEXT(slot, link);
		if (slot->conn == conn)
			slot_release(s, slot);
	}
	admit(s);
}

void ntc_slots_tick(struct ntc_slots *s, uint64_t now_ns)
{
	struct slot *slot, *next;

	for (slot = TAILQ_FIRST(&s->waiting); slot; slot = next) {
		next = TAILQ_NEXT(slot, link);
		if (slot->until_ns <= now_ns)
			wait_end(s, slot, NTC_SLOT_OVER);
	}
}

bool ntc_slots_busy(const struct ntc_slots *s)
{
	return !TAILQ_EMPTY(&s->waiting);
}

struct ntc_slot_counts ntc_slots_counts(const struct ntc_slots *s)
{
	return s->counts;
}
