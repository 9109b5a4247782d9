/*
 * PIN and UNPIN. What an operator keeps is in the entry's row, and the store's affair. What a connection has in use is noted
 * here, and taken back when it goes: the store knows only how often each digest is in use.
 */
#include <stdlib.h>

#include "daemon/limits.h"
#include "daemon/request.h"
#include "proto/key.h"

/*
 * The pins of one connection. Made with the first, with room for the answers that are to come, so that nothing can fail behind
 * one; handed back as a whole when the connection is gone and all are there.
 */
struct ntc_held {
	TAILQ_ENTRY(ntc_held) link; /* the server's, when the store could not be told yet */
	struct ntc_digest *digests;
	size_t count, room;
	size_t asked; /* PINs that the store has not answered */
	bool orphan;  /* the connection is gone */
};

/* --- of a connection ---------------------------------------------------------------------- */

/* Its pins, with room for one more; NULL without memory. */
static struct ntc_held *held_by(struct ntc_client_state *client)
{
	struct ntc_held *held = client->held;
	struct ntc_digest *digests;

	if (!held)
		held = client->held = calloc(1, sizeof(*held));
	if (!held || held->count + held->asked < held->room)
		return held;
	digests = reallocarray(held->digests, held->room ? held->room * 2 : 8, sizeof(*digests));
	if (!digests)
		return NULL;
	held->digests = digests;
	held->room = held->room ? held->room * 2 : 8;
	return held;
}

/* Tell the store that these are in use no more; false: for want of memory it could not be told. */
static bool hand_back(struct ntc_server *server, struct ntc_held *held)
{
	if (held->count && !ntc_store_unpin(server->store, held->digests, held->count))
		return false;
	if (!held->count)
		free(held->digests);
	free(held);
	return true;
}

static void try_to_hand_back(struct ntc_server *server, struct ntc_held *held)
{
	if (!held->orphan || held->asked || hand_back(server, held))
		return;
	TAILQ_INSERT_TAIL(&server->held, held, link);
	ntc_server_arm_tick(server);
}

void ntc_held_drop(struct ntc_server *server, struct ntc_client_state *client)
{
	struct ntc_held *held = client->held;

	client->held = NULL;
	if (!held)
		return;
	held->orphan = true;
	try_to_hand_back(server, held);
}

void ntc_held_tick(struct ntc_server *server)
{
	struct ntc_held *held;

	while ((held = TAILQ_FIRST(&server->held))) {
		TAILQ_REMOVE(&server->held, held, link);
		if (!hand_back(server, held)) {
			TAILQ_INSERT_HEAD(&server->held, held, link);
			return;
		}
	}
}

void ntc_held_release(struct ntc_server *server)
{
	struct ntc_held *held;

	while ((held = TAILQ_FIRST(&server->held))) {
		TAILQ_REMOVE(&server->held, held, link);
		free(held->digests);
		free(held);
	}
}

/* --- requests ----------------------------------------------------------------------------- */

struct pin {
	struct ntc_later later;
	struct ntc_digest digest;
	struct ntc_held *held; /* PIN of what is in use: where it goes */
	bool undo;             /* UNPIN */
};

static void pinned(void *ctx, enum ntc_status st)
{
	struct pin *pin = ctx;
	struct ntc_server *server = pin->later.server;
	struct ntc_held *held = pin->held;
	uint64_t id = pin->later.id;
	struct ntc_digest digest = pin->digest;
	bool undo = pin->undo;
	struct ntc_client_state *client = ntc_later_end(&pin->later);

	if (held) {
		held->asked--;
		if (!st)
			held->digests[held->count++] = digest;
		try_to_hand_back(server, held);
	}
	if (!client)
		return;
	if (undo && st == NTC_ST_NOT_FOUND)
		ntc_reply_done(client->session, id, 0);
	else if (st)
		ntc_reply_error(client->session, id, st, NULL);
	else
		ntc_reply_done(client->session, id, 1);
}

/* Ask the store. */
static void ask(struct ntc_server *server, struct ntc_client_state *client, uint64_t id,
		const struct ntc_digest *digest, struct ntc_view key, enum ntc_pin what)
{
	struct ntc_held *held = NULL;
	struct pin *pin;

	if (what == NTC_PIN_USE) {
		held = held_by(client);
		if (!held || held->count + held->asked >= NTC_SESSION_PINS_MAX) {
			ntc_reply_error(client->session, id, held ? NTC_ST_BUSY : NTC_ST_NO_MEMORY, NULL);
			return;
		}
	} else if (!ntc_peer_operates(ntc_session_peer(client->session))) {
		ntc_reply_error(
			client->session, id, NTC_ST_FORBIDDEN,
			"what is kept for ever is the operator's to say: the daemon's own user, or root");
		return;
	}
	pin = (struct pin *)ntc_later_new(server, client, id, sizeof(*pin));
	if (!pin)
		return;
	pin->digest = *digest;
	pin->held = held;
	pin->undo = what == NTC_PIN_LET;
	if (held)
		held->asked++;
	ntc_store_pin(server->store, digest, key, what, pinned, pin);
}

/* The digest that a message names; false: an ERROR was sent. */
static bool named(struct ntc_client_state *client, uint64_t id, struct ntc_view key,
		  struct ntc_digest *digest)
{
	if (!key.len)
		return true;
	if (!ntc_request_key_good(client, id, key))
		return false;
	*digest = ntc_key_digest(key);
	return true;
}

void ntc_pin_handle(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame)
{
	struct ntc_msg_pin m;

	if (!ntc_msg_pin_read(frame->payload, &m) || (m.flags & ~NTC_PIN_KEPT))
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, NULL);
	else if (named(client, frame->id, m.key, &m.digest))
		ask(server, client, frame->id, &m.digest, m.key, m.flags ? NTC_PIN_KEEP : NTC_PIN_USE);
}

/* One pin of this connection's less. Whose entry that was makes no difference: it holds the digest in use. */
static void unuse(struct ntc_server *server, struct ntc_client_state *client, uint64_t id,
		  const struct ntc_digest *digest)
{
	struct ntc_held *held = client->held;
	struct ntc_digest *one;
	size_t at = 0;

	while (held && at < held->count && !ntc_digest_equal(&held->digests[at], digest))
		at++;
	if (!held || at == held->count) {
		ntc_reply_done(client->session, id, 0);
		return;
	}
	one = malloc(sizeof(*one));
	if (one)
		*one = *digest;
	if (!one || !ntc_store_unpin(server->store, one, 1)) {
		free(one);
		ntc_reply_error(client->session, id, NTC_ST_NO_MEMORY, NULL);
		return;
	}
	held->digests[at] = held->digests[--held->count];
	ntc_reply_done(client->session, id, 1);
}

void ntc_unpin_handle(struct ntc_server *server, struct ntc_client_state *client,
		      const struct ntc_frame *frame)
{
	struct ntc_msg_unpin m;

	if (!ntc_msg_unpin_read(frame->payload, &m) || (m.flags & ~NTC_PIN_KEPT))
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, NULL);
	else if (!named(client, frame->id, m.key, &m.digest))
		return;
	else if (m.flags)
		ask(server, client, frame->id, &m.digest, m.key, NTC_PIN_LET);
	else
		unuse(server, client, frame->id, &m.digest);
}
