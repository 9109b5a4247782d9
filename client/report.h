/* Hits that the daemon did not see: counted here, told in batches. */
#ifndef NTC_CLIENT_REPORT_H
#define NTC_CLIENT_REPORT_H

#include "client/client.h"

/* Count a hit on a blob file. Sends a batch if the table is full or the last one was a second ago. */
void ntc_report_hit(struct ntc_client *client, const struct ntc_digest *digest);

/* Send what was counted. Never waits long, never fails: what cannot be sent is kept while it fits. */
void ntc_report_now(struct ntc_client *client);

#endif
