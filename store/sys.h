/*
 * Every file-system call that the store makes itself (SQLite makes its own): one thin seam, so that a
 * test can make the n-th call fail. All return 0 or a descriptor, or a negative errno; interrupted and
 * short calls are continued here. Descriptors are close-on-exec. Safe from any thread.
 */
#ifndef NTC_STORE_SYS_H
#define NTC_STORE_SYS_H

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

enum ntc_sys_call {
	NTC_SYS_OPEN = 1,
	NTC_SYS_WRITE,
	NTC_SYS_READ,
	NTC_SYS_FSYNC,
	NTC_SYS_RENAME,
	NTC_SYS_UNLINK,
	NTC_SYS_MKDIR,
	NTC_SYS_STAT,
	NTC_SYS_CHMOD,
	NTC_SYS_TRUNCATE,
	NTC_SYS_LOCK,
	NTC_SYS_LIST,
};

/*
 * For tests only: asked before each call; what it returns other than 0 is the errno with which the call
 * fails without being made. `name` is the path, or NULL for calls on descriptors. Called from any
 * thread. Set while no store is open.
 */
extern int (*ntc_sys_fault)(enum ntc_sys_call call, const char *name);

int ntc_sys_open(int dir, const char *name, int flags, mode_t mode);

/* Accepts -1. Nothing that matters is learnt from close(2): what has to be on disk was synced before. */
void ntc_sys_close(int fd);

/* All of it, at the start of the file. */
int ntc_sys_write(int fd, const void *p, size_t len);

/* Exactly `len` bytes from `at`; -ENODATA where the file ends before. */
int ntc_sys_read(int fd, void *p, size_t len, off_t at);

int ntc_sys_fsync(int fd);
int ntc_sys_rename(int from_dir, const char *from, int to_dir, const char *to);
int ntc_sys_unlink(int dir, const char *name);
int ntc_sys_mkdir(int dir, const char *name, mode_t mode);
int ntc_sys_stat(int fd, struct stat *st);
int ntc_sys_chmod(int fd, mode_t mode);
int ntc_sys_truncate(int fd, off_t len);

/* An exclusive flock without waiting; -EWOULDBLOCK where somebody else has it. */
int ntc_sys_lock(int fd);

/* Call `each` with the name of everything in a directory but "." and "..", until it returns not 0, which
 * is returned then. */
int ntc_sys_list(int dir, const char *name, int (*each)(void *ctx, const char *name), void *ctx);

#endif
