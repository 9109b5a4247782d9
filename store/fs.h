/* What is known of file systems by their type, as statfs(2) names it. */
#ifndef NTC_STORE_FS_H
#define NTC_STORE_FS_H

#include <stdbool.h>

/* The type, for people ("ext4", "nfs"); NULL for one that is not known here. Static. */
const char *ntc_fs_name(unsigned long type);

/*
 * Other machines write to it too, or it is served by a process that may hang: not what a cache directory should be on
 * (docs/limits.md).
 */
bool ntc_fs_is_network(unsigned long type);

/* Whether syncfs(2) there tells its caller of every file that could not be written. */
bool ntc_fs_tells_all(unsigned long type);

#endif
