/* The store's file-system calls; see sys.h. */
#include "store/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* --- the kernel's operations --------------------------------------------------------------- */

static int result_of(int result)
{
	return result < 0 ? -errno : result;
}

static int kernel_open(int dir, const char *name, int flags, mode_t mode)
{
	return result_of(openat(dir, name, flags, mode));
}

static void kernel_close(int fd)
{
	(void)close(fd); /* see sys.h */
}

static ssize_t kernel_read(int fd, void *p, size_t len, off_t at)
{
	ssize_t n = pread(fd, p, len, at);

	return n < 0 ? -errno : n;
}

static ssize_t kernel_write(int fd, const void *p, size_t len, off_t at)
{
	ssize_t n = pwrite(fd, p, len, at);

	return n < 0 ? -errno : n;
}

static int kernel_start_write(int fd)
{
	return result_of(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
}

static int kernel_truncate(int fd, off_t len)
{
	return result_of(ftruncate(fd, len));
}

static int kernel_fsync(int fd)
{
	return result_of(fsync(fd));
}

static int kernel_fdatasync(int fd)
{
	return result_of(fdatasync(fd));
}

static int kernel_syncfs(int fd)
{
	return result_of(syncfs(fd));
}

static int kernel_rename(int from_dir, const char *from, int to_dir, const char *to)
{
	return result_of(renameat(from_dir, from, to_dir, to));
}

static int kernel_unlink(int dir, const char *name)
{
	return result_of(unlinkat(dir, name, 0));
}

static int kernel_mkdir(int dir, const char *name, mode_t mode)
{
	return result_of(mkdirat(dir, name, mode));
}

static int kernel_stat(int fd, struct stat *st)
{
	return result_of(fstat(fd, st));
}

static int kernel_statfs(int fd, struct statfs *fs)
{
	return result_of(fstatfs(fd, fs));
}

static int kernel_stat_at(int dir, const char *name, struct stat *st)
{
	return result_of(fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW));
}

static int kernel_chmod(int fd, mode_t mode)
{
	return result_of(fchmod(fd, mode));
}

static int kernel_lock(int fd)
{
	return result_of(flock(fd, LOCK_EX | LOCK_NB));
}

static int kernel_lock_bytes(int fd, off_t from, off_t len)
{
	struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = from, .l_len = len };
	int err = result_of(fcntl(fd, F_OFD_SETLK, &range));

	return err == -EACCES ? -EAGAIN : err;
}

static int kernel_list(int dir, const char *name, ntc_sys_list_fn *each, void *ctx)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), err = 0;
	struct dirent *d;
	DIR *list;

	if (fd < 0)
		return -errno;
	list = fdopendir(fd);
	if (!list) {
		err = -errno;
		kernel_close(fd);
		return err;
	}
	while (!err) {
		errno = 0;
		d = readdir(list);
		if (!d) {
			err = -errno;
			break;
		}
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			err = each(ctx, d->d_name);
	}
	(void)closedir(list); /* only read */
	return err;
}

const struct ntc_sys_ops ntc_sys_kernel = {
	.open = kernel_open,
	.close = kernel_close,
	.read = kernel_read,
	.write = kernel_write,
	.start_write = kernel_start_write,
	.truncate = kernel_truncate,
	.fsync = kernel_fsync,
	.fdatasync = kernel_fdatasync,
	.syncfs = kernel_syncfs,
	.rename = kernel_rename,
	.unlink = kernel_unlink,
	.mkdir = kernel_mkdir,
	.stat = kernel_stat,
	.statfs = kernel_statfs,
	.stat_at = kernel_stat_at,
	.chmod = kernel_chmod,
	.lock = kernel_lock,
	.lock_bytes = kernel_lock_bytes,
	.list = kernel_list,
};

const struct ntc_sys_ops *ntc_sys = &ntc_sys_kernel;

/* --- what the store calls ------------------------------------------------------------------ */

/* Return what the call does, made again while it is interrupted. */
#define UNINTERRUPTED(call) \
	do { \
		int result; \
		do \
			result = (call); \
		while (result == -EINTR); \
		return result; \
	} while (0)

int ntc_sys_open(int dir, const char *name, int flags, mode_t mode)
{
	UNINTERRUPTED(ntc_sys->open(dir, name, flags | O_CLOEXEC, mode));
}

void ntc_sys_close(int fd)
{
	if (fd >= 0)
		ntc_sys->close(fd);
}

int ntc_sys_write(int fd, const void *p, size_t len, off_t at)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = ntc_sys->write(fd, (const uint8_t *)p + done, len - done, at + (off_t)done);

		if (n < 0 && n != -EINTR)
			return (int)n;
		if (n == 0)
			return -EIO;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

ssize_t ntc_sys_read_some(int fd, void *p, size_t len, off_t at)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = ntc_sys->read(fd, (uint8_t *)p + done, len - done, at + (off_t)done);

		if (n < 0 && n != -EINTR)
			return n;
		if (n == 0)
			break;
		if (n > 0)
			done += (size_t)n;
	}
	return (ssize_t)done;
}

int ntc_sys_read(int fd, void *p, size_t len, off_t at)
{
	ssize_t n = ntc_sys_read_some(fd, p, len, at);

	if (n < 0)
		return (int)n;
	return (size_t)n == len ? 0 : -ENODATA;
}

void ntc_sys_start_write(int fd)
{
	(void)ntc_sys->start_write(fd); /* see sys.h */
}

int ntc_sys_truncate(int fd, off_t len)
{
	UNINTERRUPTED(ntc_sys->truncate(fd, len));
}

int ntc_sys_fsync(int fd)
{
	UNINTERRUPTED(ntc_sys->fsync(fd));
}

int ntc_sys_fdatasync(int fd)
{
	UNINTERRUPTED(ntc_sys->fdatasync(fd));
}

int ntc_sys_syncfs(int fd)
{
	UNINTERRUPTED(ntc_sys->syncfs(fd));
}

int ntc_sys_rename(int from_dir, const char *from, int to_dir, const char *to)
{
	UNINTERRUPTED(ntc_sys->rename(from_dir, from, to_dir, to));
}

int ntc_sys_unlink(int dir, const char *name)
{
	UNINTERRUPTED(ntc_sys->unlink(dir, name));
}

int ntc_sys_mkdir(int dir, const char *name, mode_t mode)
{
	UNINTERRUPTED(ntc_sys->mkdir(dir, name, mode));
}

int ntc_sys_stat(int fd, struct stat *st)
{
	UNINTERRUPTED(ntc_sys->stat(fd, st));
}

int ntc_sys_statfs(int fd, struct statfs *fs)
{
	UNINTERRUPTED(ntc_sys->statfs(fd, fs));
}

int ntc_sys_stat_at(int dir, const char *name, struct stat *st)
{
	UNINTERRUPTED(ntc_sys->stat_at(dir, name, st));
}

int ntc_sys_chmod(int fd, mode_t mode)
{
	UNINTERRUPTED(ntc_sys->chmod(fd, mode));
}

int ntc_sys_lock(int fd)
{
	UNINTERRUPTED(ntc_sys->lock(fd));
}

int ntc_sys_lock_bytes(int fd, off_t from, off_t len)
{
	UNINTERRUPTED(ntc_sys->lock_bytes(fd, from, len));
}

int ntc_sys_list(int dir, const char *name, ntc_sys_list_fn *each, void *ctx)
{
	/* Not made again: `each` may have been called. Nothing in it waits, so nothing interrupts it. */
	return ntc_sys->list(dir, name, each, ctx);
}
