/* The last failure of each thread, for people; see explain.h. */
#include "client/explain.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/bounds.h"

static __thread char last_error[NTC_LIMIT_REASON];

void ntc_explain_clear(void)
{
	last_error[0] = '\0';
}

NTC_API enum ntc_err ntc_explain(enum ntc_err err, const char *fmt, ...)
{
	char text[NTC_LIMIT_REASON] = "";
	va_list args;

	/* By way of `text`, so that the arguments may hold the last error itself. */
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (err == NTC_OK)
		text[0] = '\0';
	memcpy(last_error, text, sizeof(text));
	return err;
}

NTC_API const char *ntc_last_error(void)
{
	return last_error;
}
