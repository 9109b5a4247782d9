/* One request and its answer, for everything that is not an acquire. */
#ifndef NTC_CLIENT_CALL_H
#define NTC_CLIENT_CALL_H

#include <stdlib.h>

#include "client/client.h"

/* An encoded payload: ntc_pack_release(). */
struct ntc_pack {
	uint8_t *p;
	size_t len;
	uint8_t small[128];
};

/* Room for `len` bytes; false without memory. */
static inline bool ntc_pack_room(struct ntc_pack *pack, size_t len)
{
	pack->len = len;
	pack->p = len <= sizeof(pack->small) ? pack->small : malloc(len);
	return pack->p;
}

static inline void ntc_pack_release(struct ntc_pack *pack)
{
	if (pack->p != pack->small)
		free(pack->p);
	pack->p = NULL;
}

static inline struct ntc_view ntc_pack_view(const struct ntc_pack *pack)
{
	return ntc_view(pack->p, pack->len);
}

/* Encode a message: measured, then written. False without memory. */
#define NTC_DECLARE_ENCODE(lower, FIELDS) \
	static inline bool ntc_encode_##lower(struct ntc_pack *pack, const struct ntc_msg_##lower *m) \
	{ \
		struct ntc_writer w = ntc_writer(NULL, 0); \
		ntc_msg_##lower##_write(&w, m); \
		if (!ntc_pack_room(pack, w.len)) \
			return false; \
		w = ntc_writer(pack->p, w.len); \
		ntc_msg_##lower##_write(&w, m); \
		return !w.bad; \
	}
NTC_EACH_MESSAGE(NTC_DECLARE_ENCODE)

/*
 * Send a request on `conn` and wait for its answer. NTC_OK with *reply (ntc_reply_clear()) of type `want`.
 * An ERROR answer becomes its outcome, explained (NTC_MISS, NTC_ALONE ...); any other type kills the
 * connection (NTC_E_PROTOCOL). *status is the ERROR's number (may be NULL).
 */
enum ntc_err ntc_call_on(struct ntc_conn *conn, unsigned type, struct ntc_view payload, int fd, unsigned want,
			 uint64_t deadline, struct ntc_reply *reply, unsigned *status);

/* The same on the client's connection; asks again once on a new one if it was lost meanwhile. */
enum ntc_err ntc_call(struct ntc_client *client, unsigned type, struct ntc_view payload, unsigned want,
		      uint64_t deadline, struct ntc_reply *reply);

/* What an ERROR answer becomes; explained. */
enum ntc_err ntc_call_error(struct ntc_conn *conn, const struct ntc_reply *reply, unsigned *status);

/* A payload that did not decode: kills the connection. */
enum ntc_err ntc_call_malformed(struct ntc_conn *conn, unsigned type);

#endif
