/*
 * The rules of leases and waits; see flight.h.
 *
 * One object, the *claim*, is first a wait and then, where it is granted, a lease: so granting needs no
 * memory and cannot fail. Everything is found through small hash tables and linked by sys/queue lists.
 *
 * Looking for circles. An edge leads from a task to the holder of what it waits for, if the wait blocks
 * it. A new circle always passes through the task whose edges changed: the one that asked, the one that was
 * granted a lease (edges to it), the one whose group ran out of leases (its waits block now). From that
 * task the edges are walked *backwards*, over the tasks that wait, directly or not, for its leases; then a
 * wait of its own for one of those closes a circle. A task without leases, the common case, costs nothing.
 */
#include "daemon/flight.h"

#include <stdlib.h>
#include <sys/queue.h>

#define BUCKETS 4096u

struct flight;
struct task;
struct group;

/* A wait, and once granted (`lease` not 0) a lease. */
struct claim {
	struct ntc_asker asker;
	struct flight *flight;
	struct task *task;
	struct group *group;            /* NULL: by itself */
	uint64_t estimate_ns;
	uint64_t until_ns;              /* when the wait, then the lease, is over */
	uint64_t lease;                 /* its number, or 0: still a wait */
	uint64_t since_ns;              /* of a lease: when it was given */
	TAILQ_ENTRY(claim) on_flight;   /* waits only */
	TAILQ_ENTRY(claim) of_group;    /* waits only */
	TAILQ_ENTRY(claim) of_task;     /* in the task's waits or leases */
	TAILQ_ENTRY(claim) in_all;      /* in all waits or all leases */
	LIST_ENTRY(claim) in_bucket;    /* leases only: by number */
};
TAILQ_HEAD(claims, claim);
LIST_HEAD(lease_bucket, claim);

struct flight {
	LIST_ENTRY(flight) in_bucket;
	struct ntc_digest digest;
	struct claim *holder;
	struct claims waits;
	bool was_held;
	size_t key_len;
	uint8_t key[];
};
LIST_HEAD(flight_bucket, flight);

struct task {
	LIST_ENTRY(task) in_bucket;
	uint64_t conn, id;
	struct claims waits, leases;
	unsigned pins;                  /* kept though nothing refers to it */
	uint64_t walk;                  /* the last walk that came by */
	struct task *walk_next;
};
LIST_HEAD(task_bucket, task);

struct group {
	LIST_ENTRY(group) in_bucket;
	uint64_t conn;
	uint32_t id, width, held;
	unsigned pins;
	struct claims waits;
};
LIST_HEAD(group_bucket, group);

struct ntc_flights {
	struct ntc_flight_options options;
	struct ntc_flight_counts counts;
	uint64_t last_lease, last_walk;
	uint64_t key_bytes;             /* of all flights */
	struct claims waits, leases;    /* all */
	struct flight_bucket flights[BUCKETS];
	struct task_bucket tasks[BUCKETS];
	struct group_bucket groups[BUCKETS];
	struct lease_bucket by_number[BUCKETS];
};

struct ntc_flights *ntc_flights_new(const struct ntc_flight_options *options)
{
	struct ntc_flights *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->options = *options;
	TAILQ_INIT(&f->waits);
	TAILQ_INIT(&f->leases);
	return f;
}

/* --- finding and making ------------------------------------------------------------------- */

static size_t bucket_of_digest(const struct ntc_digest *digest)
{
	return ntc_load32(digest->bytes) % BUCKETS;
}

/* Connections and ids count up from small numbers; spread them (Fibonacci hashing). */
static size_t bucket_of_pair(uint64_t a, uint64_t b)
{
	return (size_t)(((a ^ (b << 20) ^ (b >> 44)) * UINT64_C(0x9e3779b97f4a7c15)) >> 40) % BUCKETS;
}

static struct flight *flight_find(const struct ntc_flights *f, struct ntc_view key, const struct ntc_digest *digest)
{
	struct flight *flight;

	LIST_FOREACH(flight, &f->flights[bucket_of_digest(digest)], in_bucket)
		if (ntc_digest_equal(&flight->digest, digest) &&
		    ntc_view_equal(ntc_view(flight->key, flight->key_len), key))
			return flight;
	return NULL;
}

static struct flight *flight_make(struct ntc_flights *f, struct ntc_view key, const struct ntc_digest *digest)
{
	struct flight *flight = flight_find(f, key, digest);

	if (flight)
		return flight;
	if (key.len > f->options.key_bytes_max - f->key_bytes)
		return NULL;
	flight = malloc(sizeof(*flight) + key.len);
	if (!flight)
		return NULL;
	f->key_bytes += key.len;
	*flight = (struct flight){ .digest = *digest, .key_len = key.len };
	if (key.len)
		memcpy(flight->key, key.p, key.len);
	TAILQ_INIT(&flight->waits);
	LIST_INSERT_HEAD(&f->flights[bucket_of_digest(digest)], flight, in_bucket);
	return flight;
}

static struct task *task_make(struct ntc_flights *f, uint64_t conn, uint64_t id)
{
	struct task_bucket *bucket = &f->tasks[bucket_of_pair(conn, id)];
	struct task *task;

	LIST_FOREACH(task, bucket, in_bucket)
		if (task->conn == conn && task->id == id)
			return task;
	task = calloc(1, sizeof(*task));
	if (!task)
		return NULL;
	task->conn = conn;
	task->id = id;
	TAILQ_INIT(&task->waits);
	TAILQ_INIT(&task->leases);
	LIST_INSERT_HEAD(bucket, task, in_bucket);
	return task;
}

/* The width is what the first ask said: while it has waits, nothing else makes one of them eligible. */
static struct group *group_make(struct ntc_flights *f, uint64_t conn, uint32_t id, uint32_t width)
{
	struct group_bucket *bucket = &f->groups[bucket_of_pair(conn, id)];
	struct group *group;

	LIST_FOREACH(group, bucket, in_bucket)
		if (group->conn == conn && group->id == id)
			return group;
	group = calloc(1, sizeof(*group));
	if (!group)
		return NULL;
	group->conn = conn;
	group->id = id;
	group->width = width ? width : 1;
	TAILQ_INIT(&group->waits);
	LIST_INSERT_HEAD(bucket, group, in_bucket);
	return group;
}

static struct claim *lease_find(const struct ntc_flights *f, uint64_t conn, uint64_t lease)
{
	struct claim *c;

	LIST_FOREACH(c, &f->by_number[lease % BUCKETS], in_bucket)
		if (c->lease == lease)
			return c->asker.conn == conn ? c : NULL;
	return NULL;
}

/* Forget those of the three that nothing refers to any more. Each may be NULL. */
static void sweep(struct ntc_flights *f, struct flight *flight, struct task *task, struct group *group)
{
	if (flight && !flight->holder && TAILQ_EMPTY(&flight->waits)) {
		LIST_REMOVE(flight, in_bucket);
		f->key_bytes -= flight->key_len;
		free(flight);
	}
	if (task && !task->pins && TAILQ_EMPTY(&task->waits) && TAILQ_EMPTY(&task->leases)) {
		LIST_REMOVE(task, in_bucket);
		free(task);
	}
	if (group && !group->pins && group->held == 0 && TAILQ_EMPTY(&group->waits)) {
		LIST_REMOVE(group, in_bucket);
		free(group);
	}
}

/* --- waits -------------------------------------------------------------------------------- */

static void wait_link(struct ntc_flights *f, struct claim *c)
{
	TAILQ_INSERT_TAIL(&c->flight->waits, c, on_flight);
	TAILQ_INSERT_TAIL(&c->task->waits, c, of_task);
	TAILQ_INSERT_TAIL(&f->waits, c, in_all);
	if (c->group)
		TAILQ_INSERT_TAIL(&c->group->waits, c, of_group);
}

static void wait_unlink(struct ntc_flights *f, struct claim *c)
{
	TAILQ_REMOVE(&c->flight->waits, c, on_flight);
	TAILQ_REMOVE(&c->task->waits, c, of_task);
	TAILQ_REMOVE(&f->waits, c, in_all);
	if (c->group)
		TAILQ_REMOVE(&c->group->waits, c, of_group);
}

/* End a wait: answered, unless its connection is gone. */
static void wait_end(struct ntc_flights *f, struct claim *c, bool tell, enum ntc_verdict verdict, const void *result)
{
	wait_unlink(f, c);
	if (tell)
		f->options.answer(f->options.ctx, &c->asker, verdict, NULL, result);
	sweep(f, c->flight, c->task, c->group);
	free(c);
}

static bool wait_may_have_lease(const struct claim *c)
{
	return !c->group || c->group->held < c->group->width;
}

/* Whether the wait keeps its task from going on: not while its group has something to make. */
static bool wait_blocks(const struct claim *c)
{
	return !c->group || c->group->held == 0;
}

/* --- circles ------------------------------------------------------------------------------ */

/* Mark every task that waits, directly or over others, for a lease of `start`. */
static void mark_waiters_of(struct ntc_flights *f, struct task *start)
{
	struct task *tail = start;
	struct claim *lease, *wait;

	start->walk = ++f->last_walk;
	start->walk_next = NULL;
	for (struct task *task = start; task; task = task->walk_next) {
		TAILQ_FOREACH(lease, &task->leases, of_task) {
			TAILQ_FOREACH(wait, &lease->flight->waits, on_flight) {
				if (!wait_blocks(wait) || wait->task->walk == f->last_walk)
					continue;
				wait->task->walk = f->last_walk;
				wait->task->walk_next = NULL;
				tail->walk_next = wait->task;
				tail = wait->task;
			}
		}
	}
}

/* Break every circle through `task` by answering its own waits that close one. May free the task. */
static void break_circles(struct ntc_flights *f, struct task *task)
{
	struct claim *wait, *next;
	uint64_t walk;

	if (TAILQ_EMPTY(&task->leases) || TAILQ_EMPTY(&task->waits))
		return;
	mark_waiters_of(f, task);
	walk = f->last_walk;
	/* The task has a lease, so it outlives its waits here. */
	for (wait = TAILQ_FIRST(&task->waits); wait; wait = next) {
		next = TAILQ_NEXT(wait, of_task);
		if (!wait_blocks(wait) || !wait->flight->holder || wait->flight->holder->task->walk != walk)
			continue;
		f->counts.circles++;
		wait_end(f, wait, true, NTC_VERDICT_CIRCULAR, NULL);
	}
}

/* --- leases ------------------------------------------------------------------------------- */

static uint64_t lease_time(const struct ntc_flights *f, uint64_t estimate_ns)
{
	uint64_t most = f->options.lease_max_ns;
	uint64_t time = estimate_ns > most / 4 ? most : 4 * estimate_ns;

	if (time < f->options.lease_ns)
		time = f->options.lease_ns;
	return time < most ? time : most;
}

/* Turn a wait into the lease of its flight, which nobody holds. */
static void grant(struct ntc_flights *f, struct claim *c, uint64_t now_ns)
{
	struct ntc_grant g;

	wait_unlink(f, c);
	c->lease = ++f->last_lease;
	c->since_ns = now_ns;
	g = (struct ntc_grant){
		.lease = c->lease,
		.time_ns = lease_time(f, c->estimate_ns),
		.waited = c->flight->was_held,
	};
	c->until_ns = now_ns + g.time_ns;
	c->flight->holder = c;
	c->flight->was_held = true;
	if (c->group)
		c->group->held++;
	TAILQ_INSERT_TAIL(&c->task->leases, c, of_task);
	TAILQ_INSERT_TAIL(&f->leases, c, in_all);
	LIST_INSERT_HEAD(&f->by_number[c->lease % BUCKETS], c, in_bucket);
	f->counts.leases++;
	f->options.answer(f->options.ctx, &c->asker, NTC_VERDICT_LEASE, &g, NULL);
	break_circles(f, c->task);
}

/* Nobody holds the flight: give it to the first wait that may have it. */
static void offer_flight(struct ntc_flights *f, struct flight *flight, uint64_t now_ns)
{
	struct claim *c;

	TAILQ_FOREACH(c, &flight->waits, on_flight) {
		if (wait_may_have_lease(c)) {
			grant(f, c, now_ns);
			return;
		}
	}
}

/* The group may hold more: let it take what it waits for and nobody makes. */
static void offer_group(struct ntc_flights *f, struct group *group, uint64_t now_ns)
{
	struct claim *c = TAILQ_FIRST(&group->waits);

	while (c && group->held < group->width) {
		struct claim *next = TAILQ_NEXT(c, of_group);

		if (!c->flight->holder) {
			grant(f, c, now_ns);
			/* Granting may have answered other waits of this group: start over. */
			next = TAILQ_FIRST(&group->waits);
		}
		c = next;
	}
}

/*
 * End a lease: first the flight goes to whoever waits for it, then the holder's group takes another. The
 * group counts the lease until its turn comes, so that its waits do not look blocking in between.
 */
static void lease_end(struct ntc_flights *f, struct claim *c, uint64_t now_ns)
{
	struct flight *flight = c->flight;
	struct group *group = c->group;
	struct task *task = c->task;

	LIST_REMOVE(c, in_bucket);
	TAILQ_REMOVE(&f->leases, c, in_all);
	TAILQ_REMOVE(&task->leases, c, of_task);
	flight->holder = NULL;
	task->pins++;
	if (group)
		group->pins++;
	f->options.lease_ended(f->options.ctx, &c->asker, c->lease);
	offer_flight(f, flight, now_ns);
	if (group) {
		group->held--;
		offer_group(f, group, now_ns);
		if (group->held == 0)
			break_circles(f, task);
		group->pins--;
	}
	task->pins--;
	free(c);
	sweep(f, flight, task, group);
}

/* --- what the owner asks for -------------------------------------------------------------- */

enum ntc_status ntc_flights_ask(struct ntc_flights *f, const struct ntc_ask *ask, uint64_t now_ns)
{
	struct claim *c = calloc(1, sizeof(*c));
	struct flight *flight = NULL;
	struct group *group = NULL;
	struct task *task = NULL;
	uint64_t wait_ns = ask->wait_ns && ask->wait_ns < f->options.wait_max_ns ? ask->wait_ns :
										   f->options.wait_max_ns;

	if (c)
		flight = flight_make(f, ask->key, &ask->digest);
	if (flight)
		task = task_make(f, ask->asker.conn, ask->asker.task);
	if (task && ask->group)
		group = group_make(f, ask->asker.conn, ask->group, ask->width);
	if (!task || (ask->group && !group)) {
		free(c);
		sweep(f, flight, task, group);
		return NTC_ST_NO_MEMORY;
	}
	*c = (struct claim){
		.asker = ask->asker,
		.flight = flight,
		.task = task,
		.group = group,
		.estimate_ns = ask->estimate_ns,
		.until_ns = now_ns + wait_ns,
	};
	wait_link(f, c);
	if (!flight->holder)
		offer_flight(f, flight, now_ns);
	if (c->lease)
		return NTC_ST_OK;
	if (ask->nowait) {
		wait_end(f, c, true, NTC_VERDICT_OVER, NULL);
		return NTC_ST_OK;
	}
	f->counts.waits++;
	break_circles(f, task);
	return NTC_ST_OK;
}

enum ntc_status ntc_flights_find_lease(const struct ntc_flights *f, uint64_t conn, uint64_t lease,
				       struct ntc_lease_view *view)
{
	const struct claim *c = lease_find(f, conn, lease);

	*view = (struct ntc_lease_view){ 0 };
	if (!c)
		return NTC_ST_NO_SUCH_LEASE;
	view->key = ntc_view(c->flight->key, c->flight->key_len);
	view->digest = c->flight->digest;
	view->since_ns = c->since_ns;
	return NTC_ST_OK;
}

/* Answer all waits of a flight, then end its lease. Frees the flight. */
static void flight_end(struct ntc_flights *f, struct flight *flight, enum ntc_verdict verdict, const void *result,
		       uint64_t now_ns)
{
	struct claim *holder = flight->holder;
	struct claim *c = TAILQ_FIRST(&flight->waits);

	while (c) {
		struct claim *next = TAILQ_NEXT(c, on_flight);

		/* The last wait of a flight without a holder takes the flight with it. */
		wait_end(f, c, true, verdict, result);
		c = next;
	}
	if (holder)
		lease_end(f, holder, now_ns);
}

void ntc_flights_put(struct ntc_flights *f, struct ntc_view key, const struct ntc_digest *digest, const void *result,
		     uint64_t now_ns)
{
	struct flight *flight = flight_find(f, key, digest);
	const struct claim *c;

	if (!flight)
		return;
	TAILQ_FOREACH(c, &flight->waits, on_flight)
		f->counts.handovers++;
	flight_end(f, flight, NTC_VERDICT_PUT, result, now_ns);
}

enum ntc_status ntc_flights_fail(struct ntc_flights *f, uint64_t conn, uint64_t lease, const void *result,
				 uint64_t now_ns)
{
	struct claim *c = lease_find(f, conn, lease);

	if (!c)
		return NTC_ST_NO_SUCH_LEASE;
	flight_end(f, c->flight, NTC_VERDICT_FAILED, result, now_ns);
	return NTC_ST_OK;
}

enum ntc_status ntc_flights_release(struct ntc_flights *f, uint64_t conn, uint64_t lease, uint64_t now_ns)
{
	struct claim *c = lease_find(f, conn, lease);

	if (!c)
		return NTC_ST_NO_SUCH_LEASE;
	lease_end(f, c, now_ns);
	return NTC_ST_OK;
}

enum ntc_status ntc_flights_extend(struct ntc_flights *f, uint64_t conn, uint64_t lease, uint64_t want_ns,
				   uint64_t now_ns, uint64_t *time_ns)
{
	struct claim *c = lease_find(f, conn, lease);

	*time_ns = 0;
	if (!c)
		return NTC_ST_NO_SUCH_LEASE;
	*time_ns = want_ns < f->options.lease_max_ns ? want_ns : f->options.lease_max_ns;
	c->until_ns = now_ns + *time_ns;
	return NTC_ST_OK;
}

void ntc_flights_cancel(struct ntc_flights *f, uint64_t conn, uint64_t request, uint64_t now_ns)
{
	struct claim *c;

	(void)now_ns;
	TAILQ_FOREACH(c, &f->waits, in_all) {
		if (c->asker.conn == conn && c->asker.request == request) {
			wait_end(f, c, true, NTC_VERDICT_CANCELLED, NULL);
			return;
		}
	}
}

void ntc_flights_stop_waits(struct ntc_flights *f)
{
	struct claim *c;

	while ((c = TAILQ_FIRST(&f->waits)))
		wait_end(f, c, true, NTC_VERDICT_CANCELLED, NULL);
}

void ntc_flights_drop(struct ntc_flights *f, uint64_t conn, uint64_t now_ns)
{
	struct claim *c, *next;

	/* The waits first, so that none of the leases goes to the same connection. */
	for (c = TAILQ_FIRST(&f->waits); c; c = next) {
		next = TAILQ_NEXT(c, in_all);
		if (c->asker.conn == conn)
			wait_end(f, c, false, NTC_VERDICT_CANCELLED, NULL);
	}
	/* Ending a lease frees no other one; new ones are added at the tail and are not this connection's. */
	for (c = TAILQ_FIRST(&f->leases); c; c = next) {
		next = TAILQ_NEXT(c, in_all);
		if (c->asker.conn == conn) {
			f->counts.lost++;
			lease_end(f, c, now_ns);
		}
	}
}

void ntc_flights_tick(struct ntc_flights *f, uint64_t now_ns)
{
	struct claim *c, *next;

	for (c = TAILQ_FIRST(&f->leases); c; c = next) {
		next = TAILQ_NEXT(c, in_all);
		if (c->until_ns <= now_ns) {
			f->counts.expired++;
			lease_end(f, c, now_ns);
		}
	}
	for (c = TAILQ_FIRST(&f->waits); c; c = next) {
		next = TAILQ_NEXT(c, in_all);
		if (c->until_ns <= now_ns)
			wait_end(f, c, true, NTC_VERDICT_OVER, NULL);
	}
}

bool ntc_flights_busy(const struct ntc_flights *f)
{
	return !TAILQ_EMPTY(&f->waits) || !TAILQ_EMPTY(&f->leases);
}

struct ntc_flight_counts ntc_flights_counts(const struct ntc_flights *f)
{
	return f->counts;
}

void ntc_flights_free(struct ntc_flights *f)
{
	struct claim *c;

	if (!f)
		return;
	while ((c = TAILQ_FIRST(&f->waits)))
		wait_end(f, c, false, NTC_VERDICT_CANCELLED, NULL);
	while ((c = TAILQ_FIRST(&f->leases))) {
		TAILQ_REMOVE(&f->leases, c, in_all);
		TAILQ_REMOVE(&c->task->leases, c, of_task);
		c->flight->holder = NULL;
		if (c->group)
			c->group->held--;
		sweep(f, c->flight, c->task, c->group);
		free(c);
	}
	free(f);
}
