/*
 * The numbered outcomes that daemon and client speak of: one list, used in every ERROR message
 * (docs/protocol.md) and by every function of proto/, store/ and daemon/ that can fail.
 *
 * Numbers are frozen: never reused, never changed. The public enum ntc_err of ntcache.h is another
 * list, converted by one written-out switch in client/err.c.
 */
#ifndef NTC_PROTO_STATUS_H
#define NTC_PROTO_STATUS_H

#include <stdbool.h>
#include <stddef.h>

/*      name         number  retry  text */
#define NTC_STATUS_LIST(X) \
	X(OK,             0, 0, "done") \
	/* what was sent is wrong: sending it again gives the same answer */ \
	X(BAD_FRAME,      1, 0, "the frame is malformed") \
	X(BAD_VERSION,    2, 0, "the protocol version is not spoken here") \
	X(UNKNOWN_TYPE,   3, 0, "the message type is not known here") \
	X(BAD_MESSAGE,    4, 0, "the message is malformed") \
	X(BAD_KEY,        5, 0, "the key is not in canonical form") \
	X(BAD_IMAGE,      6, 0, "the entry image is malformed") \
	X(BAD_CHECKSUM,   7, 0, "the entry image does not match its checksum") \
	X(KEY_MISMATCH,   8, 0, "the entry image was made for another key") \
	X(TOO_LARGE,      9, 0, "larger than the limit allows") \
	X(BAD_DESCRIPTOR, 10, 0, "the descriptor is not a sealed memfd of the promised size") \
	X(NO_SUCH_LEASE,  11, 0, "the lease is not (or no longer) yours") \
	X(READ_ONLY,      12, 0, "this connection may only read") \
	X(FORBIDDEN,      13, 0, "this user may not do that") \
	/* answers that are not failures of the request */ \
	X(NOT_FOUND,      20, 0, "there is no such entry") \
	X(COLLISION,      21, 0, "another key with the same digest is stored") \
	X(MAKE_FAILED,    22, 0, "making it failed, and would fail again") \
	X(CIRCULAR,       23, 0, "waiting would close a circle: make it without a lease") \
	X(CANCELLED,      24, 0, "the request was cancelled") \
	X(WAIT_OVER,      25, 1, "the longest wait is over: go on without") \
	/* the daemon cannot now: retrying later helps */ \
	X(BUSY,           30, 1, "a limit of this connection is reached") \
	X(SHUTTING_DOWN,  31, 1, "the daemon is stopping") \
	X(NO_MEMORY,      32, 1, "out of memory") \
	X(NO_SPACE,       33, 1, "the disk is full") \
	X(IO,             34, 1, "the disk reported an error") \
	X(NO_FILES,       35, 1, "out of file descriptors") \
	X(QUOTA,          36, 1, "the disk quota of the daemon's user is used up") \
	X(DISK_READ_ONLY, 37, 1, "the file system is mounted read-only") \
	/* the cache directory cannot be used; start-up only */ \
	X(LOCKED,         40, 1, "another daemon owns the cache directory") \
	X(NEWER_STORE,    41, 0, "the cache directory was written by a newer version") \
	X(BAD_STORE,      42, 0, "the cache directory is damaged")

enum ntc_status {
#define X(name, number, retry, text) NTC_ST_##name = number,
	NTC_STATUS_LIST(X)
#undef X
};

/* The name without its prefix, such as "NO_SPACE"; "UNKNOWN" for a number not in the list. Static. */
const char *ntc_status_name(unsigned number);

/* One clause in lower case for people; never NULL. Static. */
const char *ntc_status_text(unsigned number);

/* Whether the same request may succeed later without being changed. */
bool ntc_status_retry(unsigned number);

/* The status for an errno of the file system: NO_SPACE, QUOTA, DISK_READ_ONLY, NO_FILES, NO_MEMORY, else IO. */
enum ntc_status ntc_status_from_errno(int err);

/* Whether the disk takes nothing new, but gives what it has: NO_SPACE, QUOTA, DISK_READ_ONLY. */
bool ntc_status_unwritable(enum ntc_status st);

/*
 * Where functions that can fail put the reason for people, NUL-terminated and cut to fit. Owned by
 * the caller; untouched on success.
 */
struct ntc_reason {
	char text[256];
};

/* Fill *reason (which may be NULL) like printf and return `st`, so that failing is one line. */
enum ntc_status ntc_reject(struct ntc_reason *reason, enum ntc_status st, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
