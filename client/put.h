/* What putting and importing share. Private to the library. */
#ifndef NTC_CLIENT_PUT_H
#define NTC_CLIENT_PUT_H

#include "client/conn.h"

/*
 * How a body travels: OK with *inside set to whether it goes in its frame; otherwise *fd is a memfd with it, sealed so that the
 * daemon may read it without fear (close it; -1 where it is inside). NTC_E_TOO_LARGE, NTC_E_DENIED, NTC_E_NO_MEMORY; explained.
 */
enum ntc_err ntc_put_prepare(struct ntc_conn *conn, struct ntc_view body, bool *inside, int *fd);

/* What STORED says: NTC_OK, NTC_KNOWN or NTC_DIFFERS; NTC_E_PROTOCOL if it says neither. */
enum ntc_err ntc_put_stored(struct ntc_conn *conn, const struct ntc_reply *reply);

#endif
