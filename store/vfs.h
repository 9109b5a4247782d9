/*
 * SQLite's files on the store's seam (sys.h): a VFS of our own, for an index that one process owns.
 *
 * What differs from SQLite's unix VFS, and why:
 *
 * - The index of a WAL (the "shared memory") is heap of this process, as its connections are the only ones.
 *   There is no -shm file, so a start needs no room on the disk; one that an earlier version left is removed.
 * - Against other processes one lock on the whole database is held from the first use until the last
 *   connection closes: a person's sqlite3 shell is told "database is locked".
 * - The WAL is kept, empty, when the last connection closes: the next start needs no new name.
 * - A journal's name is made durable with its first sync, and a failure to do so is one. No temporary files:
 *   connections have to use temp_store = MEMORY.
 *
 * Errors are SQLite's: SQLITE_FULL for a full disk or quota, else the SQLITE_IOERR_ of the call.
 */
#ifndef NTC_STORE_VFS_H
#define NTC_STORE_VFS_H

#include <stdbool.h>

/* The name for sqlite3_open_v2(); registered when first asked for. NULL: no memory. Static. Any thread. */
const char *ntc_vfs_name(void);

/* Whether the database could be opened for reading only, as its file system is read-only. */
struct sqlite3;
bool ntc_vfs_opened_read_only(struct sqlite3 *db);

/* The errno behind this thread's last SQLITE_IOERR, SQLITE_FULL or SQLITE_CANTOPEN. (SQLite's own function does
 * not know it where a commit failed.) */
int ntc_vfs_errno(void);
void ntc_vfs_clear_errno(void);

#endif
