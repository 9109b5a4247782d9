/* Looking at an entry in place; see peek.h. */
#include "client/peek.h"

#include "client/key.h"
#include "client/report.h"

/* Call `fn` until what it saw was valid; false if there is nothing to be seen, or it changes all the time. */
static bool show(const struct ntc_segment *segment, const struct ntc_digest *digest, struct ntc_view key,
		 ntc_peek_fn *fn, void *ctx)
{
	struct ntc_peek peek;

	for (int tries = 0; tries < NTC_SEGMENT_TRIES && ntc_segment_find(segment, digest, key, &peek.hit); tries++) {
		fn(ctx, &peek);
		if (ntc_segment_valid(&peek.hit))
			return true;
	}
	return false;
}

bool ntc_peek_at(struct ntc_client *client, const struct ntc_key *key, ntc_peek_fn *fn, void *ctx)
{
	struct ntc_lane *lane = ntc_lane_enter(client->lanes);
	struct ntc_digest digest = ntc_key_digest_of(key);
	bool found = false, over = false, counted = false;
	const struct ntc_mapping *mapping;

	if (!lane)
		return false;
	ntc_lane_prepare(lane, &digest);
	/* As long as somebody is in the lane it stays mapped. */
	mapping = __atomic_load_n(&client->mapping, __ATOMIC_ACQUIRE);
	/* A daemon that is gone says so in it: what its successor removes is not found here. */
	if (mapping && !ntc_segment_alive(&mapping->segment))
		over = true;
	else if (mapping)
		found = show(&mapping->segment, &digest, ntc_key_view(key), fn, ctx);
	if (found)
		counted = ntc_lane_count(lane, &digest, NTC_RUNG_SEGMENT);
	ntc_lane_leave(lane);
	if (over)
		ntc_client_drop_mapping(client, mapping);
	if (found)
		ntc_report_counted(client, counted, &digest, NTC_RUNG_SEGMENT);
	return found;
}

NTC_API enum ntc_err ntc_peek(struct ntc_client *client, const struct ntc_key *key, ntc_peek_fn *fn, void *ctx)
{
	enum ntc_err err = ntc_client_enter(client);

	if (!err)
		err = fn ? ntc_key_usable(key) : ntc_explain(NTC_E_INVALID, "no function");
	if (err)
		return err;
	if (client->mode == NTC_MODE_OFF || client->mode == NTC_MODE_REFRESH)
		return NTC_MISS;
	return ntc_peek_at(client, key, fn, ctx) ? NTC_OK : NTC_MISS;
}

NTC_API bool ntc_peek_part(const struct ntc_peek *peek, const char *name, const void **data, size_t *len)
{
	struct ntc_view part = ntc_view(NULL, 0);
	bool found = peek && name && ntc_segment_part(&peek->hit, ntc_view(name, strlen(name)), &part);

	*data = part.p;
	*len = part.len;
	return found;
}
