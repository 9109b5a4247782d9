/* Batches of hits; see report.h. */
#include "client/report.h"

/* Ticks are a few milliseconds apart, and reading it costs no system call. */
static uint64_t coarse_ns(void)
{
	return ntc_clock_read(CLOCK_MONOTONIC_COARSE);
}

/* Whether it is time, and this thread's turn, to send a batch. */
static bool is_due(struct ntc_client *client)
{
	uint64_t now = coarse_ns(), last = __atomic_load_n(&client->reported_ns, __ATOMIC_RELAXED);

	if (last && now - last < NTC_REPORT_EVERY)
		return false;
	/* The first hit only begins the second. */
	return __atomic_compare_exchange_n(&client->reported_ns, &last, now, false, __ATOMIC_RELAXED,
					   __ATOMIC_RELAXED) &&
	       last;
}

static bool count(struct ntc_client *client, const struct ntc_digest *digest, enum ntc_rung rung)
{
	struct ntc_lane *lane = ntc_lane_enter(client->lanes);
	bool counted;

	if (!lane)
		lane = ntc_lane_spare(client->lanes);
	counted = ntc_lane_count(lane, digest, rung);
	ntc_lane_leave(lane);
	return counted;
}

void ntc_report_counted(struct ntc_client *client, bool counted, const struct ntc_digest *digest, enum ntc_rung rung)
{
	bool due = is_due(client);

	if (counted && !due)
		return;
	ntc_report_now(client);
	/* What cannot be sent and has no place (no daemon) is lost: hits only steer eviction and statistics. */
	if (!counted)
		(void)count(client, digest, rung);
}

void ntc_report_hit(struct ntc_client *client, const struct ntc_digest *digest, enum ntc_rung rung)
{
	ntc_report_counted(client, count(client, digest, rung), digest, rung);
}

/* Send what one lane counted on a rung. A batch lost with its connection is a few hits less in the statistics. */
static void send_lane(struct ntc_conn *conn, struct ntc_lane *lane, enum ntc_rung rung, uint64_t deadline)
{
	uint8_t hits[NTC_LIMIT_HITS * NTC_HIT_SIZE], bytes[sizeof(hits) + 16];
	struct ntc_msg_hits message = { .rung = rung };
	struct ntc_writer w = ntc_writer(bytes, sizeof(bytes));
	size_t len;

	if (!ntc_lane_counted(lane) || !ntc_lane_try(lane))
		return;
	len = ntc_lane_take(lane, rung, hits);
	ntc_lane_leave(lane);
	if (!len)
		return;
	message.hits = ntc_view(hits, len);
	ntc_msg_hits_write(&w, &message);
	(void)ntc_conn_send(conn, NTC_MSG_HITS, ntc_view(bytes, w.len), -1, NULL, deadline);
}

static bool nothing_counted(const struct ntc_client *client)
{
	for (unsigned i = 0; i < NTC_LANES; i++)
		if (ntc_lane_counted(&client->lanes[i]))
			return false;
	return true;
}

void ntc_report_now(struct ntc_client *client)
{
	uint64_t deadline = ntc_clock_mono_ns() + NTC_LIMIT_REPORT;
	struct ntc_conn *conn;

	if (nothing_counted(client))
		return;
	__atomic_store_n(&client->reported_ns, coarse_ns(), __ATOMIC_RELAXED);
	/* Also how a client that only hits learns that its daemon died or was replaced. */
	if (!ntc_client_conn(client, deadline, &conn, NULL)) {
		for (unsigned i = 0; i < NTC_LANES; i++)
			for (unsigned rung = NTC_RUNG_PROCESS; rung <= NTC_RUNG_FILE; rung++)
				send_lane(conn, &client->lanes[i], (enum ntc_rung)rung, deadline);
		ntc_conn_unref(conn);
	}
	ntc_explain_clear();
}

NTC_API void ntc_report(struct ntc_client *client)
{
	if (ntc_client_enter(client) == NTC_OK)
		ntc_report_now(client);
}
