/* Slots, more time, and the ends of a lease that bring no entry; see lease.h. */
#include "client/lease.h"

#include <stdlib.h>

#include "client/call.h"

struct ntc_lease *ntc_lease_new(struct ntc_client *client, uint64_t serial, uint64_t id, uint64_t task,
				const struct ntc_digest *digest)
{
	struct ntc_lease *lease = malloc(sizeof(*lease));

	if (!lease)
		return NULL;
	*lease = (struct ntc_lease){
		.client = ntc_client_ref(client),
		.forks = client->forks,
		.serial = serial,
		.id = id,
		.task = task,
		.digest = *digest,
	};
	return lease;
}

void ntc_lease_free(struct ntc_lease *lease)
{
	if (!lease)
		return;
	ntc_client_unref(lease->client);
	free(lease);
}

enum ntc_err ntc_lease_conn(struct ntc_lease *lease, struct ntc_conn **conn, bool *lost)
{
	*conn = NULL;
	if (lost)
		*lost = false;
	if (lease->forks != lease->client->forks)
		return ntc_explain(NTC_E_LEASE, "the lease is the parent process's");
	if (lease->client->closed)
		return ntc_explain(NTC_E_LEASE, "the client of the lease is closed");
	*conn = ntc_client_conn_of(lease->client, lease->serial);
	if (*conn)
		return NTC_OK;
	if (lost)
		*lost = true;
	return ntc_explain(NTC_E_LEASE, "the connection of the lease was lost, and the lease with it");
}

/* A request about a lease: to the connection that holds it, or not at all. */
static enum ntc_err ask(struct ntc_lease *lease, unsigned type, const struct ntc_pack *pack, unsigned want,
			uint64_t deadline, struct ntc_reply *reply)
{
	struct ntc_conn *conn;
	enum ntc_err err = ntc_lease_conn(lease, &conn, NULL);

	*reply = (struct ntc_reply)NTC_REPLY_INIT;
	if (err)
		return err;
	err = ntc_call_on(conn, type, ntc_pack_view(pack), -1, want, deadline, reply, NULL);
	ntc_conn_unref(conn);
	return err;
}

NTC_API enum ntc_err ntc_slot(struct ntc_lease *lease, int timeout_ms)
{
	struct ntc_msg_slot message;
	struct ntc_reply reply;
	struct ntc_pack pack;
	enum ntc_err err;

	ntc_explain_clear();
	if (!lease)
		return NTC_ALONE;
	err = ntc_client_enter(lease->client);
	if (err)
		return err;
	message = (struct ntc_msg_slot){
		.task = lease->task,
		.lease = lease->id,
		/* 0 would be as long as the daemon allows. */
		.wait_ns = timeout_ms < 0    ? 0
			   : timeout_ms == 0 ? 1
					     : (uint64_t)timeout_ms * NTC_NS_PER_MS,
	};
	if (!ntc_encode_slot(&pack, &message))
		return NTC_ALONE;
	/* The daemon ends the wait; the time to say so comes on top. */
	err = ask(lease, NTC_MSG_SLOT, &pack, NTC_MSG_SLOTTED,
		  ntc_deadline(timeout_ms, NTC_LIMIT_SLOT) + (timeout_ms < 0 ? 0 : NTC_LIMIT_CANCEL), &reply);
	ntc_pack_release(&pack);
	ntc_reply_clear(&reply);
	/* Whatever the reason: work goes on. */
	return err ? NTC_ALONE : NTC_OK;
}

NTC_API enum ntc_err ntc_extend(struct ntc_lease *lease, uint64_t time_ms)
{
	struct ntc_msg_extend message;
	struct ntc_reply reply;
	struct ntc_pack pack;
	enum ntc_err err;

	ntc_explain_clear();
	if (!lease)
		return ntc_explain(NTC_E_INVALID, "no lease");
	err = ntc_client_enter(lease->client);
	if (err)
		return err;
	message = (struct ntc_msg_extend){
		.lease = lease->id,
		.time_ns = time_ms < UINT64_MAX / NTC_NS_PER_MS ? time_ms * NTC_NS_PER_MS : UINT64_MAX,
	};
	if (!ntc_encode_extend(&pack, &message))
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	err = ask(lease, NTC_MSG_EXTEND, &pack, NTC_MSG_LEASE, ntc_deadline(-1, NTC_LIMIT_REQUEST), &reply);
	ntc_pack_release(&pack);
	ntc_reply_clear(&reply);
	return err == NTC_E_NO_DAEMON ? NTC_E_LEASE : err;
}

void ntc_lease_give_back(struct ntc_lease *lease)
{
	struct ntc_msg_release message = { .lease = lease->id };
	struct ntc_reply reply;
	struct ntc_pack pack;

	if (!ntc_encode_release(&pack, &message))
		return;
	/* A lease that is over, or whose connection is gone, needs no release. */
	(void)ask(lease, NTC_MSG_RELEASE, &pack, NTC_MSG_DONE, ntc_deadline(-1, NTC_LIMIT_REQUEST), &reply);
	ntc_pack_release(&pack);
	ntc_reply_clear(&reply);
}

NTC_API void ntc_release(struct ntc_lease *lease)
{
	ntc_explain_clear();
	if (!lease)
		return;
	if (ntc_client_enter(lease->client) == NTC_OK)
		ntc_lease_give_back(lease);
	ntc_explain_clear();
	ntc_lease_free(lease);
}

NTC_API enum ntc_err ntc_fail(struct ntc_lease *lease, enum ntc_failure failure, const char *log, size_t len)
{
	struct ntc_msg_fail message;
	struct ntc_reply reply;
	struct ntc_pack pack;
	enum ntc_err err;

	ntc_explain_clear();
	if (!lease)
		return NTC_OK;
	err = ntc_client_enter(lease->client);
	if (!err && ((failure != NTC_DETERMINISTIC && failure != NTC_TRANSIENT) || (len && !log))) {
		ntc_lease_give_back(lease);
		err = ntc_explain(NTC_E_INVALID, "there is no failure %d, or no log", (int)failure);
	}
	if (err) {
		ntc_lease_free(lease);
		return err;
	}
	message = (struct ntc_msg_fail){
		.lease = lease->id,
		.failure = failure == NTC_DETERMINISTIC ? NTC_FAILURE_DETERMINISTIC : NTC_FAILURE_TRANSIENT,
		.log = ntc_view(log, len < NTC_LOG_MAX ? len : NTC_LOG_MAX),
	};
	if (ntc_encode_fail(&pack, &message)) {
		err = ask(lease, NTC_MSG_FAIL, &pack, NTC_MSG_DONE, ntc_deadline(-1, NTC_LIMIT_REQUEST),
			  &reply);
		ntc_pack_release(&pack);
		ntc_reply_clear(&reply);
	} else {
		err = ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	}
	ntc_lease_free(lease);
	return err;
}
