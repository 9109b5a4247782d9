/* The store's log lines; see log.h. */
#include "store/log.h"

#include <stdarg.h>
#include <stdio.h>

void ntc_store_log(const struct ntc_store_log *log, enum ntc_log_level level, const char *fmt, ...)
{
	char text[512];
	va_list args;

	if (!log->fn)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	/* One line, whatever names and messages hold. */
	for (char *p = text; *p; p++) {
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	}
	log->fn(log->ctx, level, text);
}
