/*
 * What the messages mean: from a frame to its answer. request.c has all but putting (put.c), pinning (pin.c) and
 * looking after the store (maintain.c).
 *
 * A request whose answer comes later is kept as its connection's number and its id, never as a pointer to a session: when
 * the answer is there the session is looked up, and if it is gone the answer is dropped.
 */
#ifndef NTC_DAEMON_REQUEST_H
#define NTC_DAEMON_REQUEST_H

#include "daemon/reply.h"
#include "daemon/server.h"

/* A request whose answer comes from the store. Freed when answered. */
struct ntc_later {
	struct ntc_server *server;
	uint64_t connection, id;
};

/* NULL (and an ERROR is sent) without memory or over the limit of pending requests. */
struct ntc_later *ntc_later_new(struct ntc_server *server, struct ntc_client_state *client, uint64_t id, size_t size);

/* End it: the client if it is still there, else NULL. Frees. */
struct ntc_client_state *ntc_later_end(struct ntc_later *later);

/* Handle one frame of a client. */
void ntc_request_handle(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame,
			int fd);

/* The callbacks of flights and slots; `ctx` is the server. */
void ntc_request_answer_wait(void *ctx, const struct ntc_asker *asker, enum ntc_verdict verdict,
			     const struct ntc_grant *grant, const void *result);
void ntc_request_lease_ended(void *ctx, const struct ntc_asker *holder, uint64_t lease);
void ntc_request_answer_slot(void *ctx, uint64_t connection, uint64_t id, enum ntc_slot_verdict verdict);

/* What ntc_flights_put() carries to those who wait, and ntc_flights_fail(). */
struct ntc_made {
	struct ntc_outgoing outgoing;
	uint64_t cost_ns;
};

/* put.c: PUT, IMPORT and SYNC. */
void ntc_put_handle(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame,
		    int fd);
void ntc_import_handle(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame,
		       int fd);
void ntc_sync_handle(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame);

/* A key from the wire: canonical, of a kind that entries have. False: an ERROR was sent. */
bool ntc_request_key_good(struct ntc_client_state *client, uint64_t id, struct ntc_view key);

/* pin.c: PIN and UNPIN. */
void ntc_pin_handle(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame);
void ntc_unpin_handle(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame);

/* The client goes: what it had in use is so no more. */
void ntc_held_drop(struct ntc_server *server, struct ntc_client_state *client);

/* Tell the store what it could not be told before; what is left waits for the next tick. */
void ntc_held_tick(struct ntc_server *server);

/* Forget it: the store ends. */
void ntc_held_release(struct ntc_server *server);

/* maintain.c: VERIFY and COLLECT. */
void ntc_verify_handle(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame);
void ntc_collect_handle(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame);

/* Answer that waiting SYNC, if it is one, CANCELLED. */
void ntc_sync_cancel(struct ntc_server *server, struct ntc_client_state *client, uint64_t id);

/* The client goes: its waiting SYNCs with it. */
void ntc_sync_drop(struct ntc_server *server, uint64_t connection);

#endif
