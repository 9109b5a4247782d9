/* Hits that the daemon did not see: counted in lanes, told in batches. */
#ifndef NTC_CLIENT_REPORT_H
#define NTC_CLIENT_REPORT_H

#include "client/client.h"

/* Count a hit. Sends a batch if there is no place left, or the last one was a second ago. */
void ntc_report_hit(struct ntc_client *client, const struct ntc_digest *digest, enum ntc_rung rung);

/*
 * The same in two steps, for who is in a lane already: count there, leave it, then say whether there was a place for it
 * (ntc_lane_count()).
 */
void ntc_report_counted(struct ntc_client *client, bool counted, const struct ntc_digest *digest, enum ntc_rung rung);

/*
 * Send what was counted, and look whether the daemon is still there. Never waits long, never fails: what cannot be sent is
 * kept while it fits.
 */
void ntc_report_now(struct ntc_client *client);

#endif
