/*
 * A table of operations for the store's seam (store/sys.h) that asks a hook before each call: the n-th call
 * fails, or the process ends there. What the hook lets pass is made by the kernel.
 */
#ifndef NTC_TESTS_SUPPORT_UNIT_SYS_H
#define NTC_TESTS_SUPPORT_UNIT_SYS_H

#include "store/sys.h"

/* The operations; close is not asked about, nothing comes of it. */
#define NTC_TEST_CALLS(X) \
	X(OPEN) X(READ) X(WRITE) X(START_WRITE) X(TRUNCATE) X(FSYNC) X(FDATASYNC) X(SYNCFS) X(RENAME) X(UNLINK) \
	X(MKDIR) X(STAT) X(STATFS) X(STAT_AT) X(CHMOD) X(LOCK) X(LOCK_BYTES) X(LIST)

enum ntc_test_call {
	NTC_CALL_NONE,
#define X(name) NTC_CALL_##name,
	NTC_TEST_CALLS(X)
#undef X
	NTC_CALLS
};

/*
 * What it returns other than 0 is the errno with which the call fails without being made. `name` is what the call
 * names (a rename's new name), NULL for calls on descriptors; `flags` are those of an open, else 0. Called from
 * any thread.
 */
typedef int ntc_test_sys_hook(enum ntc_test_call call, const char *name, int flags);

/* Ask `hook` from now on; NULL: make every call. While no store is open. */
void ntc_test_hook_sys(ntc_test_sys_hook *hook);

/* "OPEN" and so on. Static. */
const char *ntc_test_call_name(enum ntc_test_call call);

#endif
