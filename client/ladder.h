/*
 * The ladder of look-ups: each rung is asked only when the one above has nothing.
 *   shared segment, blob file, socket.
 */
#ifndef NTC_CLIENT_LADDER_H
#define NTC_CLIENT_LADDER_H

#include "client/client.h"
#include "client/entry.h"

/* Why the upper rungs had nothing. */
struct ntc_ladder_miss {
	char why[160];
};

/*
 * The rungs that need no question: NTC_OK with *entry given, else NTC_MISS with the reason. A hit is
 * counted; a file that looks bad is reported to the daemon.
 */
enum ntc_err ntc_ladder_read(struct ntc_client *client, const struct ntc_key *key, struct ntc_entry **entry,
			     struct ntc_ladder_miss *miss);

/* The last rung, LOOKUP: NTC_OK with *entry given, NTC_MISS, or an error, explained. */
enum ntc_err ntc_ladder_ask(struct ntc_client *client, const struct ntc_key *key, uint64_t deadline,
			    struct ntc_entry **entry);

/*
 * The entry in an ENTRY or SHOWN answer: inside (`image`) or in the descriptor. NTC_OK with *entry given;
 * NTC_E_FORMAT, NTC_E_IO or NTC_E_NO_MEMORY, explained.
 */
enum ntc_err ntc_ladder_entry(const struct ntc_reply *reply, uint64_t size, struct ntc_view image, struct ntc_view key,
			      enum ntc_source source, struct ntc_entry **entry);

/* Tell the daemon that what it has under this digest looks bad. */
void ntc_ladder_suspect(struct ntc_client *client, const struct ntc_digest *digest);

#endif
