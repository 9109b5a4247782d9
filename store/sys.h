/*
 * Every file-system call of the store, of its blob files and (store/vfs.c) of SQLite: one thin seam. Under
 * it is a table of operations, the kernel's own calls, that a test can swap: to make the n-th call fail,
 * to end the process there, or to record what a power cut could leave.
 *
 * All return 0, a descriptor or a count, or a negative errno; interrupted and short calls are continued
 * here. Descriptors are close-on-exec. Safe from any thread.
 */
#ifndef NTC_STORE_SYS_H
#define NTC_STORE_SYS_H

#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/vfs.h>

typedef int ntc_sys_list_fn(void *ctx, const char *name);

/*
 * One system call each: 0, a descriptor or a count, or a negative errno; -EINTR and short counts are allowed.
 * Names are below the directory `dir`, or absolute.
 */
struct ntc_sys_ops {
	int (*open)(int dir, const char *name, int flags, mode_t mode);
	void (*close)(int fd);
	ssize_t (*read)(int fd, void *p, size_t len, off_t at);
	ssize_t (*write)(int fd, const void *p, size_t len, off_t at);
	int (*start_write)(int fd);
	int (*truncate)(int fd, off_t len);
	int (*fsync)(int fd);
	int (*fdatasync)(int fd);
	int (*syncfs)(int fd);
	int (*rename)(int from_dir, const char *from, int to_dir, const char *to);
	int (*unlink)(int dir, const char *name);
	int (*mkdir)(int dir, const char *name, mode_t mode);
	int (*stat)(int fd, struct stat *st);
	int (*statfs)(int fd, struct statfs *fs);
	int (*stat_at)(int dir, const char *name, struct stat *st);
	int (*chmod)(int fd, mode_t mode);
	int (*lock)(int fd);
	int (*lock_bytes)(int fd, off_t from, off_t len);
	int (*list)(int dir, const char *name, ntc_sys_list_fn *each, void *ctx);
};

/* The kernel's, and those in use. For tests only: swapped while no store is open. */
extern const struct ntc_sys_ops ntc_sys_kernel;
extern const struct ntc_sys_ops *ntc_sys;

int ntc_sys_open(int dir, const char *name, int flags, mode_t mode);

/* Accepts -1. Nothing that matters is learnt from close(2): what has to be on disk was synced before. */
void ntc_sys_close(int fd);

/* All of it. */
int ntc_sys_write(int fd, const void *p, size_t len, off_t at);

/* Exactly `len` bytes from `at`; -ENODATA where the file ends before. */
int ntc_sys_read(int fd, void *p, size_t len, off_t at);

/* Up to `len` bytes from `at`: how many there are before the file ends. */
ssize_t ntc_sys_read_some(int fd, void *p, size_t len, off_t at);

/*
 * Have the kernel begin to write what the file has in memory. Nothing is promised: it saves the sync that follows from
 * waiting for the whole of it. So nobody hears whether it can be done.
 */
void ntc_sys_start_write(int fd);

int ntc_sys_truncate(int fd, off_t len);

/* A file with everything known about it, or a directory with its names. */
int ntc_sys_fsync(int fd);
/* A file's bytes and length; its times may come later. */
int ntc_sys_fdatasync(int fd);
/* Everything on the file system that `fd` is on. */
int ntc_sys_syncfs(int fd);

int ntc_sys_rename(int from_dir, const char *from, int to_dir, const char *to);
int ntc_sys_unlink(int dir, const char *name);
int ntc_sys_mkdir(int dir, const char *name, mode_t mode);
int ntc_sys_stat(int fd, struct stat *st);
/* The file system that `fd` is on. */
int ntc_sys_statfs(int fd, struct statfs *fs);
/* A symbolic link itself, not what it points to. */
int ntc_sys_stat_at(int dir, const char *name, struct stat *st);
int ntc_sys_chmod(int fd, mode_t mode);

/* An exclusive flock without waiting; -EWOULDBLOCK where somebody else has it. */
int ntc_sys_lock(int fd);

/* An exclusive lock on a range of bytes, without waiting and of this open file (not of the process), against
 * those who lock by fcntl(2); -EAGAIN where somebody else has one. */
int ntc_sys_lock_bytes(int fd, off_t from, off_t len);

/* Call `each` with the name of everything in a directory but "." and "..", until it returns not 0, which
 * is returned then. */
int ntc_sys_list(int dir, const char *name, ntc_sys_list_fn *each, void *ctx);

#endif
