/* What the messages mean; see request.h. */
#include "daemon/request.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/limits.h"
#include "daemon/log.h"
#include "proto/key.h"

/* --- answers that come later -------------------------------------------------------------- */

struct ntc_later *ntc_later_new(struct ntc_server *server, struct ntc_client_state *client, uint64_t id, size_t size)
{
	struct ntc_later *later = NULL;

	if (client->pending >= NTC_SESSION_REQUESTS_MAX) {
		ntc_reply_error(client->session, id, NTC_ST_BUSY, "too many requests of this connection are unanswered");
		return NULL;
	}
	later = calloc(1, size);
	if (!later) {
		ntc_reply_error(client->session, id, NTC_ST_NO_MEMORY, NULL);
		return NULL;
	}
	later->server = server;
	later->connection = ntc_session_number(client->session);
	later->id = id;
	client->pending++;
	return later;
}

struct ntc_client_state *ntc_later_end(struct ntc_later *later)
{
	struct ntc_client_state *client = ntc_server_client(later->server, later->connection);

	if (client)
		client->pending--;
	free(later);
	return client;
}

/* --- looking up --------------------------------------------------------------------------- */

bool ntc_request_key_good(struct ntc_client_state *client, uint64_t id, struct ntc_view key)
{
	struct ntc_reason reason;
	enum ntc_status st = ntc_key_check(key, &reason);

	if (!st && !ntc_kind_known(ntc_key_kind(key)))
		st = ntc_reject(&reason, NTC_ST_BAD_KEY, "kind %u is not known", ntc_key_kind(key));
	if (st)
		ntc_reply_error(client->session, id, st, reason.text);
	return !st;
}

static void count_hit(struct ntc_server *server, unsigned kind, const struct ntc_digest *digest, struct ntc_view image)
{
	server->stats.hits_socket++;
	if (kind <= NTC_KIND_TUNING)
		server->stats.hits_by_kind[kind]++;
	ntc_publisher_used(server->publisher, server->store, digest, 1, image);
	ntc_stats_saved_time(&server->stats, ntc_store_hit(server->store, digest, 1), 1);
}

/* Answer with an entry that was found, and count the hit. */
static void reply_hit(struct ntc_server *server, struct ntc_client_state *client, uint64_t id,
		      const struct ntc_loaded *loaded)
{
	struct ntc_outgoing outgoing = { .image = loaded->image, .fd = loaded->fd };

	count_hit(server, loaded->row.kind, &loaded->row.digest, ntc_view(loaded->image->bytes, loaded->image->len));
	ntc_reply_entry(client->session, id, 0, &outgoing);
	ntc_outgoing_release(&outgoing);
}

/*
 * The same for what is in the shared segment: who asks for it cannot read there, and is answered at memory's speed too.
 * False: it is not there, is being removed (the store's table knows), or is too large to be inside the answer.
 */
static bool reply_published(struct ntc_server *server, struct ntc_client_state *client, uint64_t id,
			    const struct ntc_digest *digest, struct ntc_view key)
{
	struct ntc_view image = ntc_publisher_find(server->publisher, digest, key);
	unsigned kind = ntc_store_kind(server->store, digest);

	if (!image.len || image.len > NTC_INLINE_MAX || !kind)
		return false;
	ntc_reply_entry_inside(client->session, id, 0, image);
	count_hit(server, kind, digest, ntc_view(NULL, 0));
	return true;
}

static void count_miss(struct ntc_server *server, enum ntc_status st)
{
	server->stats.misses++;
	if (st == NTC_ST_COLLISION)
		server->stats.collisions++;
}

static void lookup_loaded(void *ctx, enum ntc_status st, const struct ntc_loaded *loaded)
{
	struct ntc_later *later = ctx;
	struct ntc_server *server = later->server;
	uint64_t id = later->id;
	struct ntc_client_state *client = ntc_later_end(later);

	if (st)
		count_miss(server, st);
	if (!client)
		return;
	if (st)
		ntc_reply_error(client->session, id, st == NTC_ST_COLLISION ? NTC_ST_NOT_FOUND : st, NULL);
	else
		reply_hit(server, client, id, loaded);
}

static void handle_lookup(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame)
{
	struct ntc_msg_lookup m;
	struct ntc_digest digest;
	struct ntc_later *later;

	if (!ntc_msg_lookup_read(frame->payload, &m)) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, NULL);
		return;
	}
	if (!ntc_request_key_good(client, frame->id, m.key))
		return;
	digest = ntc_key_digest(m.key);
	if (reply_published(server, client, frame->id, &digest, m.key))
		return;
	later = ntc_later_new(server, client, frame->id, sizeof(*later));
	if (later)
		ntc_store_load(server->store, m.key, lookup_loaded, later);
}

/* --- acquiring ---------------------------------------------------------------------------- */

/* An ACQUIRE that the store is asked about, with its key. */
struct ntc_acquire {
	struct ntc_later later;
	LIST_ENTRY(ntc_acquire) link;   /* in its client's, as long as there is one */
	struct ntc_ask ask;
	unsigned loads;
	bool cancelled;
	uint8_t key[];
};

/* Loads that come back with nothing before the key is taken for missing. */
#define LOADS_MAX 3u

/* It is not there: to the flights. */
static void acquire_ask(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_ask *ask)
{
	enum ntc_status st;

	if (server->draining) {
		ntc_reply_error(client->session, ask->asker.request, NTC_ST_SHUTTING_DOWN, NULL);
		return;
	}
	if (client->asks >= NTC_SESSION_ACQUIRES_MAX) {
		ntc_reply_error(client->session, ask->asker.request, NTC_ST_BUSY,
				"this connection holds or waits for too many leases");
		return;
	}
	client->asks++;
	st = ntc_flights_ask(server->flights, ask, ntc_clock_mono_ns());
	if (st) {
		client->asks--;
		ntc_reply_error(client->session, ask->asker.request, st, NULL);
	}
	ntc_server_arm_tick(server);
}

static void acquire_loaded(void *ctx, enum ntc_status st, const struct ntc_loaded *loaded);

/* May answer and free it before this returns. */
static void acquire_load(struct ntc_acquire *acquire)
{
	struct ntc_server *server = acquire->later.server;

	acquire->loads++;
	server->submitting = acquire;
	ntc_store_load(server->store, acquire->ask.key, acquire_loaded, acquire);
	server->submitting = NULL;
}

/* It is no longer the store's; freed by the caller. */
static void acquire_leave(struct ntc_client_state *client, struct ntc_acquire *acquire)
{
	LIST_REMOVE(acquire, link);
	client->loading_bytes -= acquire->ask.key.len;
	client->pending--;
}

/*
 * While the store was reading, somebody may have put the key (what was there was damaged, or another key's that was
 * removed). A load that finds nothing *at once* says that nothing is there now, and nothing can happen between
 * that and asking for the lease. One that took its time says nothing of now: ask again.
 */
static void acquire_loaded(void *ctx, enum ntc_status st, const struct ntc_loaded *loaded)
{
	struct ntc_acquire *acquire = ctx;
	struct ntc_server *server = acquire->later.server;
	struct ntc_client_state *client = ntc_server_client(server, acquire->later.connection);
	bool at_once = server->submitting == acquire;

	server->submitting = NULL;
	if (!client) {
		free(acquire);
		return;
	}
	if (st && !at_once && !acquire->cancelled && acquire->loads < LOADS_MAX) {
		acquire_load(acquire);
		return;
	}
	acquire_leave(client, acquire);
	if (st == NTC_ST_OK) {
		reply_hit(server, client, acquire->later.id, loaded);
	} else {
		count_miss(server, st);
		/* Who has hung up waits for nothing any more. */
		if (acquire->cancelled || ntc_session_finishing(client->session))
			ntc_reply_error(client->session, acquire->later.id, NTC_ST_CANCELLED, NULL);
		else
			acquire_ask(server, client, &acquire->ask);
	}
	free(acquire);
}

/* A copy of the message and its key, among those that load. NULL: answered with an ERROR. */
static struct ntc_acquire *acquire_new(struct ntc_server *server, struct ntc_client_state *client, uint64_t id,
				       const struct ntc_msg_acquire *m)
{
	struct ntc_acquire *acquire;

	if (m->key.len > NTC_SESSION_KEYS_MAX - client->loading_bytes) {
		ntc_reply_error(client->session, id, NTC_ST_BUSY, "too many bytes of keys are being looked up");
		return NULL;
	}
	acquire = (struct ntc_acquire *)ntc_later_new(server, client, id, sizeof(*acquire) + m->key.len);
	if (!acquire)
		return NULL;
	memcpy(acquire->key, m->key.p, m->key.len);
	acquire->ask = (struct ntc_ask){
		.asker = { .conn = acquire->later.connection, .task = m->task, .request = id },
		.key = ntc_view(acquire->key, m->key.len),
		.digest = ntc_key_digest(m->key),
		.group = m->group,
		.width = m->width,
		.estimate_ns = m->estimate_ns,
		.wait_ns = m->wait_ns,
		.nowait = m->flags & NTC_ACQUIRE_NOWAIT,
	};
	LIST_INSERT_HEAD(&client->loading, acquire, link);
	client->loading_bytes += m->key.len;
	return acquire;
}

static void handle_acquire(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame)
{
	uint64_t now = ntc_clock_mono_ns(), age;
	struct ntc_acquire *acquire;
	struct ntc_msg_acquire m;
	struct ntc_view log;

	if (!ntc_msg_acquire_read(frame->payload, &m) ||
	    (m.flags & ~(NTC_ACQUIRE_RETRY | NTC_ACQUIRE_NOWAIT | NTC_ACQUIRE_REFRESH)) || m.width == 0) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, NULL);
		return;
	}
	if (!ntc_request_key_good(client, frame->id, m.key))
		return;
	acquire = acquire_new(server, client, frame->id, &m);
	if (!acquire)
		return;
	if (!(m.flags & NTC_ACQUIRE_RETRY) &&
	    ntc_failures_find(server->failures, m.key, &acquire->ask.digest, now, &log, &age)) {
		acquire_leave(client, acquire);
		ntc_reply_failed(client->session, frame->id, age, log);
		free(acquire);
	} else if (m.flags & NTC_ACQUIRE_REFRESH) {
		acquire_leave(client, acquire);
		acquire_ask(server, client, &acquire->ask);
		free(acquire);
	} else if (reply_published(server, client, frame->id, &acquire->ask.digest, m.key)) {
		acquire_leave(client, acquire);
		free(acquire);
	} else {
		acquire_load(acquire);
	}
}

void ntc_request_answer_wait(void *ctx, const struct ntc_asker *asker, enum ntc_verdict verdict,
			     const struct ntc_grant *grant, const void *result)
{
	struct ntc_server *server = ctx;
	struct ntc_client_state *client = ntc_server_client(server, asker->conn);
	/* The flights do not know what they carry; nothing but this function reads it again. */
	struct ntc_made *made = (struct ntc_made *)result;
	const struct ntc_view *log = result;

	if (!client)
		return;
	if (verdict != NTC_VERDICT_LEASE)
		client->asks--;
	switch (verdict) {
	case NTC_VERDICT_LEASE:
		ntc_reply_lease(client->session, asker->request, grant->lease, grant->time_ns,
				grant->waited ? NTC_LEASE_WAITED : 0);
		break;
	case NTC_VERDICT_PUT:
		ntc_stats_saved_time(&server->stats, made->cost_ns, 1);
		ntc_reply_entry(client->session, asker->request, NTC_ENTRY_WAITED, &made->outgoing);
		break;
	case NTC_VERDICT_FAILED:
		ntc_reply_failed(client->session, asker->request, 0, *log);
		break;
	case NTC_VERDICT_CIRCULAR:
		ntc_reply_error(client->session, asker->request, NTC_ST_CIRCULAR, NULL);
		break;
	case NTC_VERDICT_OVER:
		ntc_reply_error(client->session, asker->request, NTC_ST_WAIT_OVER, NULL);
		break;
	case NTC_VERDICT_CANCELLED:
		ntc_reply_error(client->session, asker->request,
				server->draining ? NTC_ST_SHUTTING_DOWN : NTC_ST_CANCELLED, NULL);
		break;
	}
}

void ntc_request_lease_ended(void *ctx, const struct ntc_asker *holder, uint64_t lease)
{
	struct ntc_server *server = ctx;
	struct ntc_client_state *client = ntc_server_client(server, holder->conn);

	if (client)
		client->asks--;
	ntc_slots_end(server->slots, lease);
}

/* --- a lease's life ----------------------------------------------------------------------- */

static void handle_extend(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame)
{
	uint64_t time_ns, connection = ntc_session_number(client->session);
	struct ntc_msg_extend m;
	enum ntc_status st;

	if (!ntc_msg_extend_read(frame->payload, &m)) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, NULL);
		return;
	}
	st = ntc_flights_extend(server->flights, connection, m.lease, m.time_ns, ntc_clock_mono_ns(), &time_ns);
	if (st)
		ntc_reply_error(client->session, frame->id, st, NULL);
	else
		ntc_reply_lease(client->session, frame->id, m.lease, time_ns, 0);
}

static void handle_fail(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame)
{
	uint64_t connection = ntc_session_number(client->session), now = ntc_clock_mono_ns();
	struct ntc_lease_view lease;
	struct ntc_msg_fail m;
	enum ntc_status st;

	if (!ntc_msg_fail_read(frame->payload, &m) ||
	    (m.failure != NTC_FAILURE_DETERMINISTIC && m.failure != NTC_FAILURE_TRANSIENT)) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, NULL);
		return;
	}
	if (m.log.len > NTC_LOG_MAX)
		m.log.len = NTC_LOG_MAX;
	st = ntc_flights_find_lease(server->flights, connection, m.lease, &lease);
	if (st) {
		ntc_reply_error(client->session, frame->id, st, NULL);
		return;
	}
	if (m.failure == NTC_FAILURE_DETERMINISTIC) {
		server->stats.failures_deterministic++;
		/* Kept first: the view of the lease ends with the flight. */
		ntc_failures_add(server->failures, lease.key, &lease.digest, m.log, now);
		ntc_flights_fail(server->flights, connection, m.lease, &m.log, now);
	} else {
		server->stats.failures_transient++;
		ntc_flights_release(server->flights, connection, m.lease, now);
	}
	ntc_reply_done(client->session, frame->id, 0);
}

static void handle_release(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame)
{
	struct ntc_msg_release m;
	enum ntc_status st;

	if (!ntc_msg_release_read(frame->payload, &m)) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, NULL);
		return;
	}
	st = ntc_flights_release(server->flights, ntc_session_number(client->session), m.lease, ntc_clock_mono_ns());
	if (st)
		ntc_reply_error(client->session, frame->id, st, NULL);
	else
		ntc_reply_done(client->session, frame->id, 0);
}

static void handle_slot(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame)
{
	uint64_t connection = ntc_session_number(client->session);
	struct ntc_lease_view lease;
	struct ntc_msg_slot m;
	enum ntc_status st;

	if (!ntc_msg_slot_read(frame->payload, &m)) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, NULL);
		return;
	}
	st = ntc_flights_find_lease(server->flights, connection, m.lease, &lease);
	if (!st && server->draining)
		st = NTC_ST_SHUTTING_DOWN;
	if (!st && client->slot_waits >= NTC_SESSION_REQUESTS_MAX)
		st = NTC_ST_BUSY;
	if (st) {
		ntc_reply_error(client->session, frame->id, st, NULL);
		return;
	}
	client->slot_waits++;
	st = ntc_slots_ask(server->slots, connection, m.task, m.lease, frame->id, m.wait_ns, ntc_clock_mono_ns());
	if (st) {
		client->slot_waits--;
		ntc_reply_error(client->session, frame->id, st, NULL);
	}
	ntc_server_arm_tick(server);
}

void ntc_request_answer_slot(void *ctx, uint64_t connection, uint64_t id, enum ntc_slot_verdict verdict)
{
	struct ntc_server *server = ctx;
	struct ntc_client_state *client = ntc_server_client(server, connection);

	if (!client)
		return;
	client->slot_waits--;
	if (verdict == NTC_SLOT_OVER)
		ntc_reply_error(client->session, id, NTC_ST_WAIT_OVER, NULL);
	else if (verdict == NTC_SLOT_CANCELLED)
		ntc_reply_error(client->session, id, NTC_ST_CANCELLED, NULL);
	else
		ntc_reply_slotted(client->session, id, verdict == NTC_SLOT_SHARED);
}

/* The store is still looking: what it does not find is not to be waited for. */
static void cancel_early(struct ntc_client_state *client, uint64_t id)
{
	struct ntc_acquire *acquire;

	LIST_FOREACH(acquire, &client->loading, link)
		if (acquire->later.id == id)
			acquire->cancelled = true;
}

static void handle_cancel(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame)
{
	uint64_t connection = ntc_session_number(client->session);
	struct ntc_msg_cancel m;

	if (!ntc_msg_cancel_read(frame->payload, &m)) {
		ntc_session_end(client->session, "a malformed CANCEL");
		return;
	}
	cancel_early(client, m.request);
	ntc_sync_cancel(server, client, m.request);
	ntc_flights_cancel(server->flights, connection, m.request, ntc_clock_mono_ns());
	ntc_slots_cancel(server->slots, connection, m.request);
}

/* --- removing ----------------------------------------------------------------------------- */

struct removal {
	struct ntc_later later;
	struct ntc_digest digest;
	unsigned forgotten;     /* kept failures */
};

static void removed(void *ctx, enum ntc_status st, uint64_t count)
{
	struct removal *removal = ctx;
	uint64_t id = removal->later.id, all = count + removal->forgotten;
	struct ntc_client_state *client;

	/* Also of another key under that digest: it is only read from its file then. */
	ntc_publisher_remove(removal->later.server->publisher, &removal->digest);
	client = ntc_later_end(&removal->later);
	if (!client)
		return;
	if (st)
		ntc_reply_error(client->session, id, st, "it is not known to be gone");
	else
		ntc_reply_done(client->session, id, all);
}

static void handle_remove(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame)
{
	struct ntc_digest digest;
	struct removal *removal;
	struct ntc_msg_remove m;

	if (!ntc_msg_remove_read(frame->payload, &m)) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, NULL);
		return;
	}
	if (m.key.len && !ntc_request_key_good(client, frame->id, m.key))
		return;
	removal = (struct removal *)ntc_later_new(server, client, frame->id, sizeof(*removal));
	if (!removal)
		return;
	digest = m.key.len ? ntc_key_digest(m.key) : m.digest;
	removal->digest = digest;
	removal->forgotten = ntc_failures_forget(server->failures, m.key, &digest);
	if (m.key.len)
		ntc_store_remove(server->store, m.key, removed, removal);
	else
		ntc_store_remove_digest(server->store, &digest, removed, removal);
}

/* --- seeing ------------------------------------------------------------------------------- */

static void listed(void *ctx, enum ntc_status st, const struct ntc_row *rows, size_t count, bool more)
{
	struct ntc_later *later = ctx;
	uint64_t id = later->id;
	struct ntc_client_state *client = ntc_later_end(later);

	if (!client)
		return;
	if (st)
		ntc_reply_error(client->session, id, st, NULL);
	else
		ntc_reply_rows(client->session, id, rows, count, more);
}

static void handle_list(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame)
{
	struct ntc_later *later;
	struct ntc_msg_list m;

	if (!ntc_msg_list_read(frame->payload, &m) || m.limit == 0 || (m.kind && !ntc_kind_known(m.kind))) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, NULL);
		return;
	}
	later = ntc_later_new(server, client, frame->id, sizeof(*later));
	if (later)
		ntc_store_list(server->store, &m.after, m.kind, m.limit < NTC_ROWS_MAX ? m.limit : NTC_ROWS_MAX,
			       listed, later);
}

static void shown(void *ctx, enum ntc_status st, const struct ntc_loaded *loaded)
{
	struct ntc_later *later = ctx;
	uint64_t id = later->id;
	struct ntc_client_state *client = ntc_later_end(later);
	struct ntc_outgoing outgoing;

	if (!client)
		return;
	if (st) {
		ntc_reply_error(client->session, id, st, NULL);
		return;
	}
	outgoing = (struct ntc_outgoing){ .image = loaded->image, .fd = loaded->fd };
	ntc_reply_shown(client->session, id, &loaded->row, &outgoing);
	ntc_outgoing_release(&outgoing);
}

static void handle_show(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame)
{
	struct ntc_later *later;
	struct ntc_msg_show m;

	if (!ntc_msg_show_read(frame->payload, &m)) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, NULL);
		return;
	}
	later = ntc_later_new(server, client, frame->id, sizeof(*later));
	if (later)
		ntc_store_load_digest(server->store, &m.digest, shown, later);
}

static void handle_stats(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame)
{
	uint8_t list[16384];
	struct ntc_msg_stats m;

	if (!ntc_msg_stats_read(frame->payload, &m)) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, NULL);
		return;
	}
	ntc_reply_counters(client->session, frame->id,
			   ntc_view(list, ntc_server_counters(server, list, sizeof(list))));
}

static void handle_ping(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame)
{
	struct ntc_msg_ping m;

	(void)server;
	if (ntc_msg_ping_read(frame->payload, &m))
		ntc_reply_done(client->session, frame->id, (uint64_t)getpid());
	else
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, NULL);
}

/* --- reports ------------------------------------------------------------------------------ */

/* Whether one more reported digest with so many hits is believed: so many a second and connection. */
static bool report_believed(struct ntc_client_state *client, uint32_t hits, uint64_t now_ns)
{
	if (now_ns - client->report_since_ns >= NTC_NS_PER_S) {
		client->report_since_ns = now_ns;
		client->reports = 0;
		client->reported_hits = 0;
	}
	if (client->reports >= NTC_SESSION_REPORTS_PER_S || client->reported_hits + hits > NTC_SESSION_HITS_PER_S)
		return false;
	client->reports++;
	client->reported_hits += hits;
	return true;
}

static void handle_hits(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame)
{
	uint64_t now = ntc_clock_mono_ns(), *counter;
	struct ntc_msg_hits m;
	struct ntc_reader r;

	if (!ntc_msg_hits_read(frame->payload, &m) || m.hits.len % NTC_HIT_SIZE || m.rung < NTC_RUNG_PROCESS ||
	    m.rung > NTC_RUNG_FILE) {
		server->reports_dropped++;
		return;
	}
	counter = m.rung == NTC_RUNG_PROCESS ? &server->stats.hits_process :
		  m.rung == NTC_RUNG_SEGMENT ? &server->stats.hits_segment :
					       &server->stats.hits_file;
	r = ntc_reader(m.hits.p, m.hits.len);
	while (r.left) {
		struct ntc_view bytes = ntc_read_view(&r, sizeof(struct ntc_digest));
		uint32_t hits = ntc_read32(&r);
		struct ntc_digest digest;
		unsigned kind;

		memcpy(digest.bytes, bytes.p, sizeof(digest.bytes));
		kind = ntc_store_kind(server->store, &digest);
		/* Evicted: what is still in the segment goes too. */
		if (!kind)
			ntc_publisher_remove(server->publisher, &digest);
		if (!kind || !report_believed(client, hits, now)) {
			server->reports_dropped++;
			continue;
		}
		*counter += hits;
		server->stats.hits_by_kind[kind] += hits;
		ntc_publisher_used(server->publisher, server->store, &digest, hits, ntc_view(NULL, 0));
		ntc_stats_saved_time(&server->stats, ntc_store_hit(server->store, &digest, hits), hits);
	}
}

static void handle_suspect(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame)
{
	struct ntc_msg_suspect m;

	/* Looking at a file costs a read: they are believed as hits are. */
	if (ntc_msg_suspect_read(frame->payload, &m) && report_believed(client, 0, ntc_clock_mono_ns()))
		ntc_store_suspect(server->store, &m.digest);
}

/* --- greeting and dispatch ---------------------------------------------------------------- */

static void handle_hello(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame)
{
	struct ntc_msg_hello m;

	(void)server;
	/* The first field never changes, whatever else another version's HELLO has. */
	if (!client->greeted && frame->payload.len >= 4 && ntc_load32(frame->payload.p) != NTC_PROTOCOL_VERSION) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_VERSION, "this daemon speaks protocol version 1");
		ntc_session_finish(client->session, "another protocol version");
		return;
	}
	if (client->greeted || !ntc_msg_hello_read(frame->payload, &m)) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, "not a HELLO, or the second one");
		ntc_session_finish(client->session, "a bad HELLO");
		return;
	}
	client->greeted = true;
	ntc_session_greeted(client->session);
	client->read_only = m.flags & NTC_HELLO_READ_ONLY;
	if (m.name.len > NTC_SESSION_NAME_MAX)
		m.name.len = NTC_SESSION_NAME_MAX;
	ntc_log(NTC_LOG_DEBUG, "connection %llu is %.*s", (unsigned long long)ntc_session_number(client->session),
		(int)m.name.len, m.name.len ? (const char *)m.name.p : "");
}

/* The messages that bring a body, perhaps in a descriptor. */
typedef void body_handler_fn(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame,
			     int fd);

static body_handler_fn *body_handler(unsigned type)
{
	return type == NTC_MSG_PUT ? ntc_put_handle : type == NTC_MSG_IMPORT ? ntc_import_handle : NULL;
}

typedef void handler_fn(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame);

/* A message, its handler, and whether a client that may only read may send it. */
static const struct handler {
	handler_fn *handle;
	bool writes;
} handlers[] = {
	[NTC_MSG_HELLO] = { handle_hello, false },
	[NTC_MSG_LOOKUP] = { handle_lookup, false },
	[NTC_MSG_ACQUIRE] = { handle_acquire, true },
	[NTC_MSG_EXTEND] = { handle_extend, true },
	[NTC_MSG_FAIL] = { handle_fail, true },
	[NTC_MSG_RELEASE] = { handle_release, true },
	[NTC_MSG_SLOT] = { handle_slot, true },
	[NTC_MSG_SYNC] = { ntc_sync_handle, true },
	[NTC_MSG_REMOVE] = { handle_remove, true },
	[NTC_MSG_LIST] = { handle_list, false },
	[NTC_MSG_SHOW] = { handle_show, false },
	[NTC_MSG_STATS] = { handle_stats, false },
	[NTC_MSG_PING] = { handle_ping, false },
	[NTC_MSG_CANCEL] = { handle_cancel, false },
	[NTC_MSG_HITS] = { handle_hits, false },
	[NTC_MSG_SUSPECT] = { handle_suspect, false },
	[NTC_MSG_VERIFY] = { ntc_verify_handle, false },
	[NTC_MSG_COLLECT] = { ntc_collect_handle, true },
	[NTC_MSG_PIN] = { ntc_pin_handle, true },
	[NTC_MSG_UNPIN] = { ntc_unpin_handle, true },
};

void ntc_request_handle(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame,
			int fd)
{
	const struct handler *handler =
		frame->type < sizeof(handlers) / sizeof(handlers[0]) ? &handlers[frame->type] : NULL;
	body_handler_fn *takes_body = body_handler(frame->type);

	server->stats.requests++;
	if (!client->greeted && frame->type != NTC_MSG_HELLO) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, "the first message has to be HELLO");
		ntc_session_finish(client->session, "no HELLO");
	} else if (!takes_body && (!handler || !handler->handle)) {
		ntc_reply_error(client->session, frame->id, NTC_ST_UNKNOWN_TYPE, NULL);
	} else if (fd >= 0 && !takes_body) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_FRAME, "only PUT and IMPORT bring a descriptor");
	} else if (client->read_only && (takes_body || handler->writes)) {
		ntc_reply_error(client->session, frame->id, NTC_ST_READ_ONLY, NULL);
	} else if (takes_body) {
		takes_body(server, client, frame, fd);
	} else {
		handler->handle(server, client, frame);
	}
}
