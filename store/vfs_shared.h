/*
 * What the connections of this process share of one database: its descriptor, SQLite's locks and the index of
 * its WAL. For store/vfs.c alone; every function takes the lock it needs, so any thread may call.
 */
#ifndef NTC_STORE_VFS_SHARED_H
#define NTC_STORE_VFS_SHARED_H

#include <stdbool.h>

struct ntc_vfs_shared;

/* One connection's part of it. Zero and `shared` to begin with; its thread's alone. */
struct ntc_vfs_part {
	struct ntc_vfs_shared *shared;
	int level;                      /* SQLITE_LOCK_... */
	bool mapped;                    /* uses the WAL's index */
	unsigned shm_shared, shm_exclusive;     /* locks held, a bit each */
};

/*
 * Open the database at `path`, or share what is open already (the same file, whatever its name). 0 or -errno. Where
 * the file system is read-only it is opened for reading, until somebody opens it and that is over.
 */
int ntc_vfs_share(const char *path, int flags, struct ntc_vfs_part *part);
bool ntc_vfs_read_only(const struct ntc_vfs_part *part);
/* Give up whatever the part holds; the last one closes. */
void ntc_vfs_unshare(struct ntc_vfs_part *part);

int ntc_vfs_shared_fd(const struct ntc_vfs_part *part);

/* --- locks: SQLITE_OK, SQLITE_BUSY or SQLITE_IOERR_... (with *err, an errno) ------------------- */

int ntc_vfs_lock(struct ntc_vfs_part *part, int level, int *err);
void ntc_vfs_unlock(struct ntc_vfs_part *part, int level);
bool ntc_vfs_reserved(struct ntc_vfs_part *part);

/* --- the WAL's index ------------------------------------------------------------------------- */

/* Region `at` of `size` bytes; *region is NULL if it does not exist and is not to be made. */
int ntc_vfs_shm_map(struct ntc_vfs_part *part, int at, int size, bool make, void volatile **region);
int ntc_vfs_shm_lock(struct ntc_vfs_part *part, int from, int count, int flags);
void ntc_vfs_shm_barrier(struct ntc_vfs_part *part);
void ntc_vfs_shm_unmap(struct ntc_vfs_part *part);

#endif
