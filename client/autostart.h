/* Starting a daemon on demand: one, however many workers ask at once. */
#ifndef NTC_CLIENT_AUTOSTART_H
#define NTC_CLIENT_AUTOSTART_H

#include "client/client.h"

/*
 * Start ntcached on the socket `path` and connect to it, or to the one that another process starts meanwhile.
 * Ends after NTC_LIMIT_AUTOSTART at the latest. Fails NTC_E_NO_DAEMON or NTC_E_TIMEOUT, explained.
 */
enum ntc_err ntc_autostart(struct ntc_client *client, const char *path, uint64_t deadline, struct ntc_conn **conn);

#endif
