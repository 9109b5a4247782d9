/* $NTCACHE_LOG: one line for each miss, saying why. */
#ifndef NTC_CLIENT_MISSLOG_H
#define NTC_CLIENT_MISSLOG_H

#include "client/client.h"

/* Nothing happens if the variable was not set when the client was opened. */
void ntc_misslog(struct ntc_client *client, const struct ntc_key *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
