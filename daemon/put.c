/*
 * PUT, IMPORT and SYNC: what a maker hands over, or somebody brings from elsewhere, from its bytes to the disk.
 *
 *     bytes (inside, or a sealed memfd) ─► checked ─► stamped ─► the store says NEW, KNOWN, DIFFERS ─► the waits are
 *     answered, the lease ends, STORED is sent ─► later: durable, which SYNC waits for
 *
 * A PUT ends its lease whatever its answer. An IMPORT has none, and is answered when it is durable: who brings many
 * keeps so many under way as fit into the queue, and hears of each what became of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "daemon/limits.h"
#include "daemon/log.h"
#include "daemon/request.h"
#include "proto/key.h"

/* One put on its way. Lives until the store has called back for the last time. */
struct put {
	struct ntc_server *server;
	uint64_t connection, id;
	uint64_t lease, cost_ns, number;
	struct ntc_peer peer;
	unsigned kind;
	bool import;
	struct ntc_digest digest;       /* of its key */
	struct ntc_buffer *image;       /* until it is decided */
	size_t stamp_len;               /* of an import: the stamp that it brought, or 0 */
	uint8_t stamp[];
};

/* A SYNC that waits for all puts up to a number, whoever's they are: one that was answered KNOWN leans on another's. */
struct ntc_sync {
	TAILQ_ENTRY(ntc_sync) link;
	uint64_t connection, id;
	uint64_t up_to;
	uint64_t left;
};

static void put_free(struct put *put)
{
	ntc_buffer_unref(put->image);
	free(put);
}

/* It is about to be answered: who waits for that, or NULL. */
static struct ntc_client_state *put_answered(const struct put *put)
{
	struct ntc_client_state *client = ntc_server_client(put->server, put->connection);

	if (client && put->import)
		client->pending--;
	else if (client)
		client->puts_undecided--;
	return client;
}

/* Answer that it was not taken, end the lease, forget it. */
static void put_refuse(struct put *put, enum ntc_status st, const char *text)
{
	struct ntc_client_state *client = put_answered(put);
	struct ntc_server *server = put->server;

	if (st == NTC_ST_COLLISION) {
		server->stats.collisions++;
		ntc_log(NTC_LOG_WARNING, "pid %d put an entry whose digest another key has: not stored", (int)put->peer.pid);
	} else {
		struct ntc_store_stats store;

		ntc_store_stats(server->store, &store);
		server->stats.puts_refused++;
		/* That the disk is bad is said once, not for every put. */
		ntc_log(store.disk == st ? NTC_LOG_DEBUG : NTC_LOG_NOTICE, "a put of pid %d is refused: %s", (int)put->peer.pid,
			text ? text : ntc_status_text(st));
	}
	/* NO_SUCH_LEASE is fine: it was made without one, or too late. */
	(void)ntc_flights_release(server->flights, put->connection, put->lease, ntc_clock_mono_ns());
	if (client)
		ntc_reply_error(client->session, put->id, st, text);
	put_free(put);
}

/* --- durable ------------------------------------------------------------------------------ */

static void sync_answer(struct ntc_server *server, struct ntc_sync *sync)
{
	struct ntc_client_state *client = ntc_server_client(server, sync->connection);
	enum ntc_status st = client->put_failure;
	char text[128];

	snprintf(text, sizeof(text), "a put could not be written: %s", ntc_status_text(st));
	client->put_failure = NTC_ST_OK;
	client->leans = false;
	client->pending--;
	TAILQ_REMOVE(&server->syncs, sync, link);
	if (st)
		ntc_reply_error(client->session, sync->id, st, text);
	else
		ntc_reply_done(client->session, sync->id, 0);
	free(sync);
}

/* A put is lost: its maker hears of it at the next SYNC (of an import: in its answer), and so does everybody who was told KNOWN. */
static void put_lost(struct put *put, enum ntc_status st)
{
	struct ntc_server *server = put->server;
	uint64_t now = ntc_clock_mono_ns();
	struct ntc_client_state *client;

	TAILQ_FOREACH(client, &server->clients, link)
		if ((client->leans || (!put->import && ntc_session_number(client->session) == put->connection)) &&
		    !client->put_failure)
			client->put_failure = st;
	/* A full disk loses every put: say it now and then; `puts_lost` counts them. */
	if (server->lost_said_ns && now - server->lost_said_ns < NTC_LOST_SAID_NS)
		return;
	server->lost_said_ns = now;
	ntc_log(NTC_LOG_WARNING, "a put of pid %d was lost: %s", (int)put->peer.pid, ntc_status_text(st));
}

static void import_durable(struct put *put, enum ntc_status st)
{
	struct ntc_client_state *client = put_answered(put);

	put->server->stats.imports += !st;
	if (client && st)
		ntc_reply_error(client->session, put->id, st, "it could not be written");
	else if (client)
		ntc_reply_stored(client->session, put->id, NTC_STORED_NEW);
}

static void put_durable(void *ctx, enum ntc_status st)
{
	struct put *put = ctx;
	struct ntc_server *server = put->server;
	struct ntc_sync *sync, *next;

	server->puts_undurable--;
	if (st) {
		ntc_publisher_remove(server->publisher, &put->digest);
		put_lost(put, st);
	}
	if (put->import)
		import_durable(put, st);
	for (sync = TAILQ_FIRST(&server->syncs); sync; sync = next) {
		next = TAILQ_NEXT(sync, link);
		if (put->number <= sync->up_to && --sync->left == 0)
			sync_answer(server, sync);
	}
	put_free(put);
}

void ntc_sync_handle(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame)
{
	struct ntc_sync *sync;
	struct ntc_msg_sync m;

	if (!ntc_msg_sync_read(frame->payload, &m)) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, NULL);
		return;
	}
	if (client->pending >= NTC_SESSION_REQUESTS_MAX) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BUSY, NULL);
		return;
	}
	sync = calloc(1, sizeof(*sync));
	if (!sync) {
		ntc_reply_error(client->session, frame->id, NTC_ST_NO_MEMORY, NULL);
		return;
	}
	*sync = (struct ntc_sync){
		.connection = ntc_session_number(client->session),
		.id = frame->id,
		.up_to = server->last_put,
		.left = server->puts_undurable,
	};
	TAILQ_INSERT_TAIL(&server->syncs, sync, link);
	client->pending++;
	if (sync->left == 0)
		sync_answer(server, sync);
}

static void sync_forget(struct ntc_server *server, struct ntc_sync *sync)
{
	TAILQ_REMOVE(&server->syncs, sync, link);
	free(sync);
}

void ntc_sync_cancel(struct ntc_server *server, struct ntc_client_state *client, uint64_t id)
{
	struct ntc_sync *sync;

	TAILQ_FOREACH(sync, &server->syncs, link) {
		if (sync->id == id && sync->connection == ntc_session_number(client->session)) {
			sync_forget(server, sync);
			client->pending--;
			ntc_reply_error(client->session, id, NTC_ST_CANCELLED, NULL);
			return;
		}
	}
}

void ntc_sync_drop(struct ntc_server *server, uint64_t connection)
{
	struct ntc_sync *sync, *next;

	for (sync = TAILQ_FIRST(&server->syncs); sync; sync = next) {
		next = TAILQ_NEXT(sync, link);
		if (sync->connection == connection)
			sync_forget(server, sync);
	}
}

/* --- decided ------------------------------------------------------------------------------ */

/* Hand an image to everyone who waits for its key; ends the lease. An earlier failure is history. */
static void hand_over(struct ntc_server *server, struct ntc_buffer *image, int fd, uint64_t cost_ns)
{
	struct ntc_made made = { .outgoing = { .image = image, .fd = fd }, .cost_ns = cost_ns };
	struct ntc_digest digest;
	struct ntc_image parsed;

	if (ntc_image_parse(ntc_view(image->bytes, image->len), &parsed, NULL))
		return;
	digest = ntc_key_digest(parsed.body.key);
	ntc_failures_forget(server->failures, parsed.body.key, &digest);
	ntc_flights_put(server->flights, parsed.body.key, &digest, &made, ntc_clock_mono_ns());
	ntc_outgoing_release(&made.outgoing);
}

/* Of two bodies the first stays: those who wait get that one. */
struct differing {
	struct ntc_server *server;
	uint64_t connection, lease;
};

static void differing_loaded(void *ctx, enum ntc_status st, const struct ntc_loaded *loaded)
{
	struct differing *d = ctx;

	if (!st)
		hand_over(d->server, loaded->image, loaded->fd, loaded->row.cost_ns);
	else
		(void)ntc_flights_release(d->server->flights, d->connection, d->lease, ntc_clock_mono_ns());
	free(d);
}

static void hand_over_the_first(struct put *put)
{
	struct differing *d = malloc(sizeof(*d));
	struct ntc_image parsed;

	if (!d || ntc_image_parse(ntc_view(put->image->bytes, put->image->len), &parsed, NULL)) {
		free(d);
		(void)ntc_flights_release(put->server->flights, put->connection, put->lease, ntc_clock_mono_ns());
		return;
	}
	*d = (struct differing){ .server = put->server, .connection = put->connection, .lease = put->lease };
	ntc_store_load(put->server->store, parsed.body.key, differing_loaded, d);
}

static void put_decided(void *ctx, enum ntc_status st, enum ntc_stored result)
{
	struct put *put = ctx;
	struct ntc_server *server = put->server;
	struct ntc_client_state *client;
	bool later = put->import && result == NTC_STORED_NEW;

	if (st) {
		/* It can't be kept, but it is what they wait for: better than that each makes it, one after the other. */
		hand_over(server, put->image, -1, put->cost_ns);
		put_refuse(put, st, NULL);
		return;
	}
	if (put->cost_ns && !put->import) {
		server->stats.makes++;
		server->stats.makes_by_kind[put->kind]++;
		server->stats.make_time_ns += put->cost_ns;
	}
	/* Before anybody is answered: who is, and looks again, finds it there. What is imported is not in use yet. */
	if (result == NTC_STORED_NEW && !put->import)
		ntc_publisher_put(server->publisher, &put->digest, ntc_view(put->image->bytes, put->image->len));
	if (result == NTC_STORED_DIFFERS) {
		server->stats.differs++;
		hand_over_the_first(put);
	} else {
		hand_over(server, put->image, -1, put->cost_ns);
	}
	client = later ? NULL : put_answered(put);
	if (client) {
		client->leans |= result == NTC_STORED_KNOWN;
		ntc_reply_stored(client->session, put->id, result);
	}
	if (result != NTC_STORED_NEW) {
		server->stats.puts_known += result == NTC_STORED_KNOWN;
		put_free(put);
		return;
	}
	server->stats.puts += !put->import;
	put->number = ++server->last_put;
	server->puts_undurable++;
	ntc_buffer_unref(put->image);
	put->image = NULL;
}

/* The stamp of a put, from what is known of its peer. */
static struct ntc_stamp stamp_of(const struct put *put)
{
	struct ntc_stamp stamp = {
		.put_wall_ns = ntc_clock_wall_ns(),
		.cost_ns = put->cost_ns,
		.uid = put->peer.uid,
		.gid = put->peer.gid,
		.pid = (uint32_t)put->peer.pid,
	};

	memcpy(stamp.host, put->server->host, sizeof(stamp.host));
	memcpy(stamp.exe, put->peer.exe, sizeof(stamp.exe));
	return stamp;
}

/*
 * The stamp that an import brought says who made the entry, when and at what cost: the operator's word for that is taken. Of
 * anybody else's only the cost is, as that of a put without a lease. An empty stamp says nothing.
 */
static enum ntc_status stamp_of_import(const struct put *put, const struct ntc_digest *checksum, struct ntc_stamp *stamp)
{
	enum ntc_status st = put->stamp_len ? ntc_stamp_read(put->stamp, checksum, stamp) : NTC_ST_NOT_FOUND;
	uint64_t cost_ns = stamp->cost_ns;

	if (st && st != NTC_ST_NOT_FOUND)
		return st;
	if (st || !ntc_peer_operates(&put->peer))
		*stamp = stamp_of(put);
	if (!st)
		stamp->cost_ns = cost_ns;
	return NTC_ST_OK;
}

/* The body is read and its seal is good: compare, stamp, give it to the store. */
static void put_submit(struct put *put)
{
	uint64_t body_len = put->image->len - NTC_STAMP_SIZE;
	struct ntc_server *server = put->server;
	struct ntc_stamp stamp = stamp_of(put);
	struct ntc_lease_view lease;
	struct ntc_body body;

	/* Parsed before; parsing again is cheaper than carrying the views through a thread. */
	if (ntc_body_parse(ntc_view(put->image->bytes, body_len), &body, NULL)) {
		put_refuse(put, NTC_ST_BAD_IMAGE, NULL);
		return;
	}
	put->kind = body.kind;
	put->digest = ntc_key_digest(body.key);
	if (put->import && stamp_of_import(put, &body.checksum, &stamp)) {
		put_refuse(put, NTC_ST_BAD_IMAGE, "its stamp is damaged, or another entry's");
		return;
	}
	if (!ntc_flights_find_lease(server->flights, put->connection, put->lease, &lease)) {
		uint64_t held = ntc_clock_mono_ns() - lease.since_ns;

		if (!ntc_view_equal(lease.key, body.key)) {
			put_refuse(put, NTC_ST_KEY_MISMATCH, NULL);
			return;
		}
		/* Nothing costs more than the time it was being made in. */
		if (stamp.cost_ns > held)
			stamp.cost_ns = held;
	}
	if (stamp.cost_ns > NTC_COST_MAX_NS)
		stamp.cost_ns = NTC_COST_MAX_NS;
	put->cost_ns = stamp.cost_ns;
	ntc_stamp_write(&stamp, &body.checksum, put->image->bytes + body_len);
	ntc_store_put(server->store, put->image, put_decided, put_durable, put);
}

static void put_ingested(void *ctx, enum ntc_status st, struct ntc_buffer *image)
{
	struct put *put = ctx;

	put->image = image;
	if (st)
		put_refuse(put, st, NULL);
	else
		put_submit(put);
}

/* --- arrived ------------------------------------------------------------------------------ */

/* A body inside the frame: copied, checked here. */
static enum ntc_status put_inline(struct put *put, struct ntc_view bytes, struct ntc_reason *reason)
{
	struct ntc_body body;
	enum ntc_status st = ntc_body_parse(bytes, &body, reason);

	if (!st && ntc_body_verify(&body))
		st = ntc_reject(reason, NTC_ST_BAD_CHECKSUM, "%s", ntc_status_text(NTC_ST_BAD_CHECKSUM));
	if (st)
		return st;
	put->image = ntc_buffer_new(bytes.len + NTC_STAMP_SIZE);
	if (!put->image)
		return ntc_reject(reason, NTC_ST_NO_MEMORY, "%s", ntc_status_text(NTC_ST_NO_MEMORY));
	memcpy(put->image->bytes, bytes.p, bytes.len);
	return NTC_ST_OK;
}

/* Take up the body that a PUT or an IMPORT brought, inside or in `fd`. */
static void put_take(struct put *put, uint64_t size, struct ntc_view body, int fd)
{
	struct ntc_server *server = put->server;
	struct ntc_reason reason = { "" };
	enum ntc_status st;

	if (size > server->options.max_entry || size > NTC_BODY_MAX)
		st = ntc_reject(&reason, NTC_ST_TOO_LARGE, "an entry of %llu bytes; this daemon takes at most %llu",
				(unsigned long long)size, (unsigned long long)server->options.max_entry);
	else if (fd < 0 && size != body.len)
		st = ntc_reject(&reason, NTC_ST_BAD_MESSAGE, "a body of %zu bytes that says it has %llu", body.len,
				(unsigned long long)size);
	else if (fd >= 0 && body.len)
		st = ntc_reject(&reason, NTC_ST_BAD_MESSAGE, "a body inside and a descriptor");
	else if (fd < 0)
		st = put_inline(put, body, &reason);
	else if (ntc_ingest_check_fd(fd, size))
		st = ntc_reject(&reason, NTC_ST_BAD_DESCRIPTOR, "%s", ntc_status_text(NTC_ST_BAD_DESCRIPTOR));
	else if (size <= NTC_INGEST_ON_LOOP)
		st = ntc_ingest_read(fd, size, &put->image);
	else
		st = ntc_ingest_queue(server->ingest, fd, size, put_ingested, put);
	if (st)
		put_refuse(put, st, reason.text[0] ? reason.text : NULL);
	else if (put->image)
		put_submit(put);
}

void ntc_put_handle(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame, int fd)
{
	struct ntc_msg_put m;
	struct put *put;

	if (!ntc_msg_put_read(frame->payload, &m)) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, NULL);
		return;
	}
	put = calloc(1, sizeof(*put));
	if (!put) {
		(void)ntc_flights_release(server->flights, ntc_session_number(client->session), m.lease,
					  ntc_clock_mono_ns());
		ntc_reply_error(client->session, frame->id, NTC_ST_NO_MEMORY, NULL);
		return;
	}
	client->puts_undecided++;
	*put = (struct put){
		.server = server,
		.connection = ntc_session_number(client->session),
		.id = frame->id,
		.lease = m.lease,
		.cost_ns = m.cost_ns,
		.peer = *ntc_session_peer(client->session),
	};
	if (client->puts_undecided > NTC_SESSION_PUTS_MAX)
		put_refuse(put, NTC_ST_BUSY, "too many puts of this connection are unanswered");
	else
		put_take(put, m.size, m.body, fd);
}

void ntc_import_handle(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame, int fd)
{
	struct ntc_msg_import m;
	struct put *put;

	if (!ntc_msg_import_read(frame->payload, &m) || (m.stamp.len && m.stamp.len != NTC_STAMP_SIZE)) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, NULL);
		return;
	}
	if (client->pending >= NTC_SESSION_REQUESTS_MAX) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BUSY, NULL);
		return;
	}
	put = calloc(1, sizeof(*put) + m.stamp.len);
	if (!put) {
		ntc_reply_error(client->session, frame->id, NTC_ST_NO_MEMORY, NULL);
		return;
	}
	client->pending++;
	put->server = server;
	put->connection = ntc_session_number(client->session);
	put->id = frame->id;
	put->peer = *ntc_session_peer(client->session);
	put->import = true;
	put->stamp_len = m.stamp.len;
	if (m.stamp.len)
		memcpy(put->stamp, m.stamp.p, m.stamp.len);
	put_take(put, m.size, m.body, fd);
}
