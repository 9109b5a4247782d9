/* VERIFY and COLLECT: looking after what is stored, for people. */
#include "daemon/request.h"

/* --- verifying ---------------------------------------------------------------------------- */

struct verification {
	struct ntc_later later;
	struct ntc_digest digest;
	bool repair;
};

static void verified(void *ctx, enum ntc_status st, uint64_t size, const char *why)
{
	struct verification *verification = ctx;
	uint64_t id = verification->later.id;
	struct ntc_client_state *client;

	/* A miss from now on, also for those who look in the segment. */
	if (st == NTC_ST_BAD_IMAGE && verification->repair)
		ntc_publisher_remove(verification->later.server->publisher, &verification->digest);
	client = ntc_later_end(&verification->later);
	if (!client)
		return;
	if (st && st != NTC_ST_BAD_IMAGE)
		ntc_reply_error(client->session, id, st, why);
	else
		ntc_reply_verified(client->session, id, st, size, st ? why : NULL);
}

void ntc_verify_handle(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame)
{
	struct verification *verification;
	struct ntc_msg_verify m;

	if (!ntc_msg_verify_read(frame->payload, &m) || (m.flags & ~NTC_VERIFY_REPAIR)) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, NULL);
		return;
	}
	if (m.flags && client->read_only) {
		ntc_reply_error(client->session, frame->id, NTC_ST_READ_ONLY, NULL);
		return;
	}
	verification = (struct verification *)ntc_later_new(server, client, frame->id, sizeof(*verification));
	if (!verification)
		return;
	verification->digest = m.digest;
	verification->repair = m.flags & NTC_VERIFY_REPAIR;
	ntc_store_verify(server->store, &m.digest, verification->repair, verified, verification);
}

/* --- making room -------------------------------------------------------------------------- */

static void collected(void *ctx, enum ntc_status st, const struct ntc_collected *result)
{
	struct ntc_later *later = ctx;
	uint64_t id = later->id;
	struct ntc_client_state *client = ntc_later_end(later);

	if (!client)
		return;
	if (st)
		ntc_reply_error(client->session, id, st, NULL);
	else
		ntc_reply_collected(client->session, id, result);
}

void ntc_collect_handle(struct ntc_server *server, struct ntc_client_state *client, const struct ntc_frame *frame)
{
	struct ntc_collect bounds;
	struct ntc_msg_collect m;
	struct ntc_later *later;

	if (!ntc_msg_collect_read(frame->payload, &m) || (m.flags & ~NTC_COLLECT_QUARANTINE)) {
		ntc_reply_error(client->session, frame->id, NTC_ST_BAD_MESSAGE, NULL);
		return;
	}
	bounds = (struct ntc_collect){ .max_bytes = m.max_bytes, .max_entries = m.max_entries,
				       .max_age_ns = m.max_age_ns, .quarantine = m.flags & NTC_COLLECT_QUARANTINE };
	later = ntc_later_new(server, client, frame->id, sizeof(*later));
	if (later)
		ntc_store_collect(server->store, &bounds, collected, later);
}
