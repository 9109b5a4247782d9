/* The parts of a key that other files of the library use. */
#ifndef NTC_CLIENT_KEY_H
#define NTC_CLIENT_KEY_H

#include "client/ntcache.h"
#include "proto/bytes.h"

/* The canonical bytes of a sealed key (borrowed), or an empty view if it is NULL or not sealed. */
struct ntc_view ntc_key_view(const struct ntc_key *key);

/* Whether a caller's key can be asked for: NTC_OK, or NTC_E_INVALID (NULL) or NTC_E_KEY, explained. */
enum ntc_err ntc_key_usable(const struct ntc_key *key);

#endif
