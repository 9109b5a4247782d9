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
	case EFBIG: /* a limit of the process or of the file system */
		return NTC_ST_NO_SPACE;
	case EDQUOT:
		return NTC_ST_QUOTA;
	case EROFS:
		return NTC_ST_DISK_READ_ONLY;
	case EMFILE:
	case ENFILE:
		return NTC_ST_NO_FILES;
	case ENOMEM:
		return NTC_ST_NO_MEMORY;
	default:
		return NTC_ST_IO;
	}
}

bool ntc_status_unwritable(enum ntc_status st)
{
	return st == NTC_ST_NO_SPACE || st == NTC_ST_QUOTA || st == NTC_ST_DISK_READ_ONLY;
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
