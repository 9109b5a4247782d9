/* One line to the store's log callback, from any thread. */
#ifndef NTC_STORE_LOG_H
#define NTC_STORE_LOG_H

#include "base/compiler.h"
#include "store/store.h"

struct ntc_store_log {
	void (*fn)(void *ctx, enum ntc_log_level level, const char *text);      /* may be NULL */
	void *ctx;
};

void ntc_store_log(const struct ntc_store_log *log, enum ntc_log_level level, const char *fmt, ...) NTC_PRINTF(3, 4);

#endif
