/* Pins: asking the daemon to keep an entry, whatever its caps say. */
#include "client/call.h"
#include "client/key.h"

/* PIN and UNPIN have the same fields. NTC_MISS where nothing was there to be pinned, or to be let go. */
static enum ntc_err ask(struct ntc_client *client, unsigned type, const struct ntc_msg_pin *message,
			uint64_t deadline)
{
	const struct ntc_msg_unpin undo = { .digest = message->digest,
					    .flags = message->flags,
					    .key = message->key };
	struct ntc_msg_done done;
	struct ntc_reply reply;
	struct ntc_pack pack;
	enum ntc_err err;

	if (client->mode == NTC_MODE_READ_ONLY)
		return ntc_explain(NTC_E_DENIED, "mode readonly: nothing is pinned");
	if (message->flags & ~NTC_PIN_KEPT)
		return ntc_explain(NTC_E_INVALID, "flags that are not known");
	if (!(type == NTC_MSG_PIN ? ntc_encode_pin(&pack, message) : ntc_encode_unpin(&pack, &undo)))
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	err = ntc_call(client, type, ntc_pack_view(&pack), NTC_MSG_DONE, deadline, &reply);
	ntc_pack_release(&pack);
	if (err)
		return err;
	if (!ntc_msg_done_read(ntc_view(reply.bytes, reply.len), &done))
		err = ntc_explain(NTC_E_PROTOCOL, "the daemon sent a malformed DONE");
	else if (done.value == 0)
		err = NTC_MISS;
	ntc_reply_clear(&reply);
	return err;
}

static enum ntc_err by_key(struct ntc_client *client, unsigned type, const struct ntc_key *key,
			   unsigned flags, int timeout_ms)
{
	uint64_t deadline = ntc_deadline(timeout_ms, NTC_LIMIT_SYNC);
	enum ntc_err err = ntc_client_enter(client);
	struct ntc_msg_pin message;

	if (!err)
		err = ntc_key_usable(key);
	if (err)
		return err;
	message = (struct ntc_msg_pin){ .digest = ntc_key_digest_of(key),
					.flags = flags,
					.key = ntc_key_view(key) };
	return ask(client, type, &message, deadline);
}

static enum ntc_err by_digest(struct ntc_client *client, unsigned type, const struct ntc_digest *digest,
			      unsigned flags, int timeout_ms)
{
	uint64_t deadline = ntc_deadline(timeout_ms, NTC_LIMIT_SYNC);
	enum ntc_err err = ntc_client_enter(client);
	struct ntc_msg_pin message = { .flags = flags };

	if (!err && !digest)
		err = ntc_explain(NTC_E_INVALID, "no digest");
	if (err)
		return err;
	message.digest = *digest;
	return ask(client, type, &message, deadline);
}

NTC_API enum ntc_err ntc_pin(struct ntc_client *client, const struct ntc_key *key, unsigned flags,
			     int timeout_ms)
{
	return by_key(client, NTC_MSG_PIN, key, flags, timeout_ms);
}

NTC_API enum ntc_err ntc_pin_digest(struct ntc_client *client, const struct ntc_digest *digest,
				    unsigned flags, int timeout_ms)
{
	return by_digest(client, NTC_MSG_PIN, digest, flags, timeout_ms);
}

NTC_API enum ntc_err ntc_unpin(struct ntc_client *client, const struct ntc_key *key, unsigned flags,
			       int timeout_ms)
{
	return by_key(client, NTC_MSG_UNPIN, key, flags, timeout_ms);
}

NTC_API enum ntc_err ntc_unpin_digest(struct ntc_client *client, const struct ntc_digest *digest,
				      unsigned flags, int timeout_ms)
{
	return by_digest(client, NTC_MSG_UNPIN, digest, flags, timeout_ms);
}
