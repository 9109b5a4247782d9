/* Batches of hits; see report.h. */
#include "client/report.h"

#include "proto/digest.h"

/* Lock held. False if there is no place. */
static bool count(struct ntc_client *client, const struct ntc_digest *digest)
{
	for (unsigned i = 0; i < client->hit_count; i++)
		if (ntc_digest_equal(&client->hits[i].digest, digest)) {
			if (client->hits[i].count < UINT32_MAX)
				client->hits[i].count++;
			return true;
		}
	if (client->hit_count == NTC_LIMIT_HITS)
		return false;
	client->hits[client->hit_count++] = (struct ntc_hit){ .digest = *digest, .count = 1 };
	return true;
}

void ntc_report_hit(struct ntc_client *client, const struct ntc_digest *digest)
{
	uint64_t now = ntc_clock_mono_ns();
	bool due;

	pthread_mutex_lock(&client->lock);
	if (!client->reported_ns)
		client->reported_ns = now;
	/* A full table that cannot be sent (no daemon) loses hits: they only steer eviction and statistics. */
	(void)count(client, digest);
	due = client->hit_count == NTC_LIMIT_HITS || now - client->reported_ns >= NTC_REPORT_EVERY;
	/* At most one attempt a second where nobody takes them. */
	due = due && !(client->no_conn && now < client->next_attempt_ns);
	pthread_mutex_unlock(&client->lock);
	if (due)
		ntc_report_now(client);
}

void ntc_report_now(struct ntc_client *client)
{
	uint64_t deadline = ntc_clock_mono_ns() + NTC_LIMIT_REPORT;
	uint8_t hits[NTC_LIMIT_HITS * NTC_HIT_SIZE], bytes[sizeof(hits) + 16];
	struct ntc_writer list = ntc_writer(hits, sizeof(hits)), w = ntc_writer(bytes, sizeof(bytes));
	struct ntc_msg_hits message = { .rung = NTC_RUNG_FILE };
	struct ntc_conn *conn;
	unsigned taken;

	pthread_mutex_lock(&client->lock);
	taken = client->hit_count;
	client->reported_ns = ntc_clock_mono_ns();
	pthread_mutex_unlock(&client->lock);
	/* Also how a client that only hits learns that its daemon died or was replaced. */
	if (!taken || ntc_client_conn(client, deadline, &conn, NULL)) {
		ntc_explain_clear();
		return;
	}
	pthread_mutex_lock(&client->lock);
	taken = client->hit_count;
	for (unsigned i = 0; i < taken; i++) {
		ntc_write_bytes(&list, client->hits[i].digest.bytes, sizeof(client->hits[i].digest.bytes));
		ntc_write32(&list, client->hits[i].count);
	}
	client->hit_count = 0;
	pthread_mutex_unlock(&client->lock);
	message.hits = ntc_view(hits, list.len);
	ntc_msg_hits_write(&w, &message);
	if (taken)
		/* A batch lost with its connection is a few hits less in the statistics. */
		(void)ntc_conn_send(conn, NTC_MSG_HITS, ntc_view(bytes, w.len), -1, NULL, deadline);
	ntc_conn_unref(conn);
	ntc_explain_clear();
}

NTC_API void ntc_report(struct ntc_client *client)
{
	if (ntc_client_enter(client) == NTC_OK)
		ntc_report_now(client);
}
