/*
 * The directory that this user's processes share for what can be made again: $XDG_CACHE_HOME/ntcache, else
 * ~/.cache/ntcache, else /tmp/ntcache-UID. Private (0700) and owned by this user, or not used.
 */
#ifndef NTC_KERNELS_USERDIR_H
#define NTC_KERNELS_USERDIR_H

#include <stdbool.h>

/*
 * Open (and make) the directory, or a directory `name` in it if that is not NULL. *fd is the caller's to close,
 * *path is given (may be NULL). False with errno.
 */
bool ntc_userdir_open(const char *name, int *fd, char **path);

#endif
