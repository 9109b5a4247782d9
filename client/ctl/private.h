/*
 * A daemon of our own for a directory whose daemon is stopped (--dir): started on a socket that nobody else finds, for as long as this
 * program runs. One at a time. It leaves by itself soon after this program, however that ends.
 */
#ifndef NTC_CTL_PRIVATE_H
#define NTC_CTL_PRIVATE_H

#include <stdbool.h>

#include "ntcache.h"

/*
 * Start a daemon on `dir` (made, if `make`) and wait until it listens. NTC_CTL_OK with *socket borrowed until
 * ntc_ctl_private_hide(); or the exit status after a complaint.
 */
int ntc_ctl_private_start(const char *dir, bool make, const char **socket);

/* The client is connected: nothing of the socket stays in the file system. */
void ntc_ctl_private_hide(void);

/* Let it finish, and wait for that. `status`, or NTC_CTL_FAILED after a complaint. Does nothing where none was started. */
int ntc_ctl_private_stop(int status);

#endif
