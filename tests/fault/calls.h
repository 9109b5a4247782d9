/*
 * File-system calls that fail on purpose: the store's operations (store/sys.h) with a counter in front. Closing counts
 * as no call: nothing can be done about it. Any thread.
 */
#ifndef NTC_TESTS_FAULT_CALLS_H
#define NTC_TESTS_FAULT_CALLS_H

#include <stdatomic.h>
#include <stdbool.h>

enum { NTC_CALLS_MAX = 4096 };

enum ntc_call_kind {
	NTC_CALL_OPEN, NTC_CALL_READ, NTC_CALL_WRITE, NTC_CALL_TRUNCATE, NTC_CALL_FSYNC, NTC_CALL_FDATASYNC,
	NTC_CALL_SYNCFS, NTC_CALL_RENAME, NTC_CALL_UNLINK, NTC_CALL_MKDIR, NTC_CALL_STAT, NTC_CALL_STAT_AT,
	NTC_CALL_CHMOD, NTC_CALL_LOCK, NTC_CALL_LOCK_BYTES, NTC_CALL_LIST, NTC_CALL_KINDS,
};
extern const char *const ntc_call_names[NTC_CALL_KINDS];

enum ntc_calls_how {
	NTC_CALLS_COUNT,        /* nothing fails */
	NTC_CALLS_ONCE,         /* the n-th fails with `err` */
	NTC_CALLS_LASTING,      /* and all after it */
	NTC_CALLS_KILL,         /* the process is killed before the n-th is made */
	NTC_CALLS_TORN,         /* ... when half of it, a write, is made */
};

/* In memory that outlives the process: from ntc_fault_shared(). Set the first three, then install. */
struct ntc_calls {
	enum ntc_calls_how how;
	unsigned at;
	int err;
	atomic_bool armed, fired;
	atomic_uint count;                      /* while armed */
	_Atomic unsigned char kinds[NTC_CALLS_MAX];     /* of the first ones */
};

/* Before a store is open. `calls` is borrowed until the end of the process. */
void ntc_calls_install(struct ntc_calls *calls);

#endif
