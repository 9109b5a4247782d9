/* Outcomes: their names and texts, and what wire statuses and errno values become; see errmap.h. */
#include "client/errmap.h"

#include <errno.h>

#define ERR_LIST(X) \
	X(NTC_OK, "done") \
	X(NTC_MISS, "there is no such entry") \
	X(NTC_MAKE, "you hold the lease: make it") \
	X(NTC_ALONE, "make it by yourself, without a lease") \
	X(NTC_FAILED, "making it failed, and would fail again") \
	X(NTC_KNOWN, "an equal entry was there already") \
	X(NTC_DIFFERS, "an entry with other bytes was there already, and stays") \
	X(NTC_E_INVALID, "an argument is wrong") \
	X(NTC_E_KEY, "the key cannot be") \
	X(NTC_E_TOO_LARGE, "larger than a limit allows") \
	X(NTC_E_COLLISION, "another key has the same digest and stays") \
	X(NTC_E_NO_MEMORY, "out of memory") \
	X(NTC_E_NO_DAEMON, "nobody answers at the socket") \
	X(NTC_E_TIMEOUT, "the time given was over") \
	X(NTC_E_LEASE, "the lease is over, or another process's") \
	X(NTC_E_DENIED, "this user or this mode may not do that") \
	X(NTC_E_NO_SPACE, "the disk is full") \
	X(NTC_E_IO, "the disk reported an error") \
	X(NTC_E_PROTOCOL, "the peer does not speak our language") \
	X(NTC_E_BUSY, "a limit of the daemon is reached") \
	X(NTC_E_FORMAT, "bytes are not what they should be") \
	X(NTC_E_NO_PART, "the entry has no part of that name")

NTC_API const char *ntc_err_name(enum ntc_err err)
{
	switch (err) {
#define X(name, text) \
	case name: \
		return #name;
		ERR_LIST(X)
#undef X
	}
	return "UNKNOWN";
}

NTC_API const char *ntc_err_text(enum ntc_err err)
{
	switch (err) {
#define X(name, text) \
	case name: \
		return text;
		ERR_LIST(X)
#undef X
	}
	return "an outcome that this version does not know";
}

NTC_API const char *ntc_version(void)
{
	return NTC_VERSION;
}

enum ntc_err ntc_err_from_status(unsigned status)
{
	switch (status) {
	case NTC_ST_OK:
		return NTC_OK;
	case NTC_ST_BAD_FRAME:
	case NTC_ST_BAD_VERSION:
	case NTC_ST_UNKNOWN_TYPE:
	case NTC_ST_BAD_MESSAGE:
	case NTC_ST_BAD_DESCRIPTOR:
		return NTC_E_PROTOCOL;
	case NTC_ST_BAD_KEY:
		return NTC_E_KEY;
	case NTC_ST_BAD_IMAGE:
	case NTC_ST_BAD_CHECKSUM:
	case NTC_ST_KEY_MISMATCH:
	case NTC_ST_NEWER_STORE:
	case NTC_ST_BAD_STORE:
		return NTC_E_FORMAT;
	case NTC_ST_TOO_LARGE:
		return NTC_E_TOO_LARGE;
	case NTC_ST_NO_SUCH_LEASE:
		return NTC_E_LEASE;
	case NTC_ST_READ_ONLY:
	case NTC_ST_FORBIDDEN:
		return NTC_E_DENIED;
	case NTC_ST_NOT_FOUND:
		return NTC_MISS;
	case NTC_ST_COLLISION:
		return NTC_E_COLLISION;
	case NTC_ST_MAKE_FAILED:
		return NTC_FAILED;
	case NTC_ST_CIRCULAR:
	case NTC_ST_CANCELLED:
	case NTC_ST_WAIT_OVER:
		return NTC_ALONE;
	case NTC_ST_BUSY:
	case NTC_ST_NO_FILES:
	case NTC_ST_LOCKED:
		return NTC_E_BUSY;
	case NTC_ST_SHUTTING_DOWN:
		return NTC_E_NO_DAEMON;
	case NTC_ST_NO_MEMORY:
		return NTC_E_NO_MEMORY;
	case NTC_ST_NO_SPACE:
	case NTC_ST_QUOTA:
		return NTC_E_NO_SPACE;
	case NTC_ST_IO:
	case NTC_ST_DISK_READ_ONLY:
		return NTC_E_IO;
	}
	return NTC_E_PROTOCOL;
}

enum ntc_err ntc_err_from_errno(int err)
{
	switch (err) {
	case ENOSPC:
	case EDQUOT:
		return NTC_E_NO_SPACE;
	case ENOMEM:
		return NTC_E_NO_MEMORY;
	case EACCES:
	case EPERM:
	case EROFS:
		return NTC_E_DENIED;
	}
	return NTC_E_IO;
}
