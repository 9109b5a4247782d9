/*
 * The lock file: DIR/lock, held with flock by the one process that owns the directory, which leaves its
 * process id in it for people. The kernel drops the lock with the process, so it is never stale.
 */
#ifndef NTC_STORE_LOCK_H
#define NTC_STORE_LOCK_H

#include "proto/status.h"

/* Take it: *fd holds it until closed. LOCKED names the owner in *reason. */
enum ntc_status ntc_lock_take(int dir, int *fd, struct ntc_reason *reason);

#endif
