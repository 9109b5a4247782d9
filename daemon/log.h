/*
 * The daemon's log: one line a message on standard error. Under systemd ($JOURNAL_STREAM is standard error)
 * with its level as "<N>", elsewhere with time and level. Any thread.
 */
#ifndef NTC_DAEMON_LOG_H
#define NTC_DAEMON_LOG_H

#include <stdbool.h>

#include "base/compiler.h"
#include "store/store.h"

/* Call once, before threads: the least important level that is said. */
void ntc_log_open(enum ntc_log_level level);

void ntc_log(enum ntc_log_level level, const char *fmt, ...) NTC_PRINTF(2, 3);

/* What struct ntc_store_options wants; `ctx` is not used. */
void ntc_log_line(void *ctx, enum ntc_log_level level, const char *text);

/* "error", "warning", "notice", "info", "debug"; false if it is none of them. */
bool ntc_log_parse_level(const char *text, enum ntc_log_level *level);

#endif
