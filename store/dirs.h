/*
 * Directories by their path: made with what is missing above them, and durably, as a cache in a directory that a power
 * cut takes away is lost. For the start (and SQLite's files); any thread.
 */
#ifndef NTC_STORE_DIRS_H
#define NTC_STORE_DIRS_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Make `dir` with `mode`, and what is missing above it with 0700. A name is synced before anything below it is
 * made: so only the last one that is there may not be, after a crash, and is synced if it was made for something that
 * is not there yet: directories, or the file `first` in `dir`. 0 or -errno. That a name is in the way, or that there may be no
 * directory, shows when it is opened.
 */
int ntc_dirs_make(const char *dir, mode_t mode, const char *first);

/* Sync the directory that has the name `path`. 0 or -errno. */
int ntc_dirs_sync_above(const char *path);

#endif
