/*
 * Why the last call on this thread failed (ntc_last_error()). Every public call that returns an outcome
 * starts with ntc_explain_clear(); whoever meets a failure explains it once, on the way out.
 */
#ifndef NTC_CLIENT_EXPLAIN_H
#define NTC_CLIENT_EXPLAIN_H

#include "client/ntcache.h"

void ntc_explain_clear(void);

#endif
