/* Names, texts and retry advice of the numbered outcomes; see status.h. */
#include "proto/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

const char *ntc_status_name(unsigned number)
{
	switch (number) {
#define X(name, number, retry, text) \
	case number: \
		return #name;
		NTC_STATUS_LIST(X)
#undef X
	}
	return "UNKNOWN";
}

const char *ntc_status_text(unsigned number)
{
	switch (number) {
#define X(name, number, retry, text) \
	case number: \
		return text;
		NTC_STATUS_LIST(X)
#undef X
	}
	return "an outcome that this version does not know";
}

bool ntc_status_retry(unsigned number)
{
	switch (number) {
#define X(name, number, retry, text) \
	case number: \
		return retry;
		NTC_STATUS_LIST(X)
#undef X
	}
	return false;
}

enum ntc_status ntc_status_from_errno(int err)
{
	switch (err) {
	case ENOSPC:
	case EDQUOT:
		return NTC_ST_NO_SPACE;
	case EMFILE:
	case ENFILE:
		return NTC_ST_NO_FILES;
	case ENOMEM:
		return NTC_ST_NO_MEMORY;
	default:
		return NTC_ST_IO;
	}
}

enum ntc_status ntc_reject(struct ntc_reason *reason, enum ntc_status st, const char *fmt, ...)
{
	va_list args;

	if (reason) {
		va_start(args, fmt);
		vsnprintf(reason->text, sizeof(reason->text), fmt, args);
		va_end(args);
	}
	return st;
}
