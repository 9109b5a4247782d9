/* Finding the daemon: which sockets are asked, whose answer is trusted. */
#ifndef NTC_CLIENT_DISCOVER_H
#define NTC_CLIENT_DISCOVER_H

#include "client/client.h"

/* A socket path, which must fit sockaddr_un. */
#define NTC_SOCKET_PATH_MAX 108

/*
 * Connect to the first socket that answers and may be trusted; start a daemon if none does and the
 * client wants one. *conn is given. Fails NTC_E_NO_DAEMON, NTC_E_TIMEOUT, NTC_E_DENIED (a socket that is
 * somebody else's), NTC_E_PROTOCOL, NTC_E_INVALID (a path too long), explained.
 */
enum ntc_err ntc_discover(struct ntc_client *client, uint64_t deadline, struct ntc_conn **conn);

/* Connect to exactly this socket. */
enum ntc_err ntc_discover_try(struct ntc_client *client, const char *path, uint64_t deadline, struct ntc_conn **conn);

/*
 * The user's own socket: in $XDG_RUNTIME_DIR, or in /tmp/ntcached-UID, which must be the user's alone if it is there.
 * False, explained, if there can't be one.
 */
bool ntc_discover_own(char path[NTC_SOCKET_PATH_MAX]);

/*
 * Whether a socket's peer is one to be trusted: me, root, or the owner of a socket file in a
 * directory where nobody else could have put it.
 */
bool ntc_discover_trusted(const char *path, unsigned peer_uid);

#endif
