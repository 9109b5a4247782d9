/* Leases inside the library. */
#ifndef NTC_CLIENT_LEASE_H
#define NTC_CLIENT_LEASE_H

#include "client/client.h"

/* Belongs to one thread at a time; holds a reference to its client, so that ntc_close() may come first. */
struct ntc_lease {
	struct ntc_client *client;
	unsigned forks;             /* the client's, when it was given: another number is another process */
	uint64_t serial;            /* of the connection that holds it */
	uint64_t id;                /* the daemon's */
	uint64_t task;
	struct ntc_digest digest;   /* of the key */
};

/* Given: ntc_lease_free(). NULL without memory. */
struct ntc_lease *ntc_lease_new(struct ntc_client *client, uint64_t serial, uint64_t id, uint64_t task,
				const struct ntc_digest *digest);

/* Free the object; the daemon is told nothing. Accepts NULL. */
void ntc_lease_free(struct ntc_lease *lease);

/*
 * The connection that holds the lease: *conn given. NTC_E_LEASE, explained, if it is another process's, the
 * client is closed, or the connection is gone (then *lost is true; may be NULL).
 */
enum ntc_err ntc_lease_conn(struct ntc_lease *lease, struct ntc_conn **conn, bool *lost);

/* Tell the daemon that it is over (RELEASE), quietly. Does not free it. */
void ntc_lease_give_back(struct ntc_lease *lease);

#endif
