/* Handing over what was made, and waiting until it is durable. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/call.h"
#include "client/entry.h"
#include "client/errmap.h"
#include "client/lease.h"
#include "client/put.h"

/* A memfd with the body, sealed so that the daemon may read it without fear; -1, explained. */
static int sealed_memfd(struct ntc_view body)
{
	int fd = memfd_create("ntcache", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t done = 0;

	if (fd < 0) {
		ntc_explain(NTC_E_NO_MEMORY, "no memory file: %s", strerror(errno));
		return -1;
	}
	while (done < body.len) {
		ssize_t n = write(fd, body.p + done, body.len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			ntc_explain(NTC_E_NO_MEMORY, "writing a memory file: %s", strerror(errno));
			close(fd);
			return -1;
		}
		done += (size_t)n;
	}
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		ntc_explain(NTC_E_IO, "sealing a memory file: %s", strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

enum ntc_err ntc_put_prepare(struct ntc_conn *conn, struct ntc_view body, bool *inside, int *fd)
{
	uint64_t most = conn->greeting.max_inline;

	*inside = false;
	*fd = -1;
	if (body.len > conn->greeting.max_body)
		return ntc_explain(NTC_E_TOO_LARGE, "an entry of %zu bytes; this daemon takes at most %llu",
				   body.len, (unsigned long long)conn->greeting.max_body);
	if (!(conn->greeting.capabilities & NTC_CAN_WRITE))
		return ntc_explain(NTC_E_DENIED, "this user may only read");
	/* The other fields take some of the frame. */
	if (most > NTC_FRAME_MAX - 512)
		most = NTC_FRAME_MAX - 512;
	*inside = body.len <= most;
	if (!*inside)
		*fd = sealed_memfd(body);
	return *inside || *fd >= 0 ? NTC_OK : NTC_E_NO_MEMORY;
}

enum ntc_err ntc_put_stored(struct ntc_conn *conn, const struct ntc_reply *reply)
{
	struct ntc_msg_stored message;

	if (ntc_msg_stored_read(ntc_view(reply->bytes, reply->len), &message))
		switch (message.result) {
		case NTC_STORED_NEW:
			return NTC_OK;
		case NTC_STORED_KNOWN:
			return NTC_KNOWN;
		case NTC_STORED_DIFFERS:
			return NTC_DIFFERS;
		}
	return ntc_call_malformed(conn, reply->type);
}

/* Whether the connection still stands, leaving the last error as it is. */
static bool alive(struct ntc_conn *conn)
{
	bool dead;

	pthread_mutex_lock(&conn->lock);
	dead = conn->err != NTC_OK;
	pthread_mutex_unlock(&conn->lock);
	return !dead;
}

static enum ntc_err put_on(struct ntc_conn *conn, uint64_t lease, const struct ntc_entry *entry,
			   uint64_t cost_ns, uint64_t deadline)
{
	struct ntc_view body = entry->body.bytes;
	struct ntc_msg_put message = { .lease = lease, .cost_ns = cost_ns, .size = body.len };
	struct ntc_reply reply;
	struct ntc_pack pack;
	enum ntc_err err;
	bool inside;
	int fd;

	err = ntc_put_prepare(conn, body, &inside, &fd);
	if (err)
		return err;
	if (inside)
		message.body = body;
	if (ntc_encode_put(&pack, &message)) {
		err = ntc_call_on(conn, NTC_MSG_PUT, ntc_pack_view(&pack), fd, NTC_MSG_STORED, deadline,
				  &reply, NULL);
		if (!err)
			err = ntc_put_stored(conn, &reply);
		ntc_pack_release(&pack);
		ntc_reply_clear(&reply);
	} else {
		err = ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	}
	if (fd >= 0)
		close(fd);
	return err;
}

/* With the lease on its connection; without it on a new one if that connection is lost. */
static enum ntc_err put(struct ntc_client *client, struct ntc_lease *lease, const struct ntc_entry *entry,
			uint64_t cost_ns)
{
	uint64_t deadline = ntc_deadline(-1, NTC_LIMIT_PUT), serial = 0;
	struct ntc_conn *conn = NULL;
	enum ntc_err err = NTC_OK;

	for (int turn = 0; turn < 2; turn++) {
		bool lost = false, with_lease = lease && turn == 0;

		if (with_lease) {
			err = ntc_lease_conn(lease, &conn, &lost);
			serial = lease->serial;
			if (err && !lost)
				return err;
			with_lease = !err;
		}
		if (!with_lease) {
			err = ntc_client_conn(client, deadline, &conn, &serial);
			if (err)
				return err;
		}
		err = put_on(conn, with_lease ? lease->id : 0, entry, cost_ns, deadline);
		/* Refused before it was sent: the lease is still held. */
		if (with_lease && err < 0 && err != NTC_E_NO_DAEMON && err != NTC_E_LEASE && alive(conn)) {
			char why[NTC_LIMIT_REASON];

			snprintf(why, sizeof(why), "%s", ntc_last_error());
			ntc_lease_give_back(lease);
			ntc_explain(err, "%s", why);
		}
		ntc_conn_unref(conn);
		if (err != NTC_E_NO_DAEMON)
			break;
	}
	if (err == NTC_OK || err == NTC_KNOWN || err == NTC_DIFFERS) {
		pthread_mutex_lock(&client->lock);
		/* An equal entry may be as young as this one: it is synced too. */
		if (client->unsynced && client->unsynced != serial)
			client->puts_lost = true;
		client->unsynced = serial;
		pthread_mutex_unlock(&client->lock);
	}
	return err;
}

NTC_API enum ntc_err ntc_put(struct ntc_client *client, struct ntc_lease *lease, struct ntc_entry *entry,
			     uint64_t cost_ns)
{
	enum ntc_err err = ntc_client_enter(client);

	if (!err && lease && lease->client != client)
		err = ntc_client_enter(lease->client);
	if (!err && !entry)
		err = ntc_explain(NTC_E_INVALID, "no entry");
	if (!err && lease && (lease->client != client || !ntc_digest_equal(&lease->digest, &entry->digest)))
		err = ntc_explain(NTC_E_INVALID, "the lease is another key's, or another client's");
	if (err) {
		char why[NTC_LIMIT_REASON];

		snprintf(why, sizeof(why), "%s", ntc_last_error());
		if (lease && client)
			ntc_lease_give_back(lease);
		ntc_explain(err, "%s", why);
	} else if (client->mode == NTC_MODE_OFF) {
		err = NTC_OK;
	} else if (client->mode == NTC_MODE_READ_ONLY) {
		err = ntc_explain(NTC_E_DENIED, "mode readonly: nothing is put");
	} else {
		err = put(client, lease, entry, cost_ns);
		if (err < 0 && err != NTC_E_LEASE)
			ntc_client_tell_once(client, err, "what was made is not in the cache");
	}
	ntc_lease_free(lease);
	return err;
}

NTC_API enum ntc_err ntc_sync(struct ntc_client *client, int timeout_ms)
{
	uint64_t deadline = ntc_deadline(timeout_ms, NTC_LIMIT_SYNC), serial;
	struct ntc_conn *conn = NULL;
	struct ntc_reply reply;
	bool lost;
	enum ntc_err err = ntc_client_enter(client);

	if (err)
		return err;
	pthread_mutex_lock(&client->lock);
	serial = client->unsynced;
	lost = client->puts_lost;
	client->puts_lost = false;
	pthread_mutex_unlock(&client->lock);
	if (!serial && !lost)
		return NTC_OK;
	if (serial)
		conn = ntc_client_conn_of(client, serial);
	if (conn) {
		err = ntc_call_on(conn, NTC_MSG_SYNC, ntc_view(NULL, 0), -1, NTC_MSG_DONE, deadline, &reply,
				  NULL);
		ntc_reply_clear(&reply);
		ntc_conn_unref(conn);
	} else {
		lost = true;
	}
	pthread_mutex_lock(&client->lock);
	/* After a time-out it is still not known. */
	if (client->unsynced == serial && err != NTC_E_TIMEOUT)
		client->unsynced = 0;
	if (lost && err == NTC_E_TIMEOUT)
		client->puts_lost = true;
	pthread_mutex_unlock(&client->lock);
	if (!err && lost)
		err = ntc_explain(NTC_E_NO_DAEMON,
				  "the daemon went away: nobody knows whether what was put is durable");
	return err;
}
