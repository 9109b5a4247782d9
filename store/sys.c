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

int (*ntc_sys_fault)(enum ntc_sys_call call, const char *name);

static int fault(enum ntc_sys_call call, const char *name)
{
	return ntc_sys_fault ? ntc_sys_fault(call, name) : 0;
}

/* The result of a call that was made unless `refused` said otherwise. */
#define CALL(call, name, expression) \
	do { \
		int refused = fault(call, name), result; \
		if (refused) \
			return -refused; \
		do \
			result = (expression); \
		while (result < 0 && errno == EINTR); \
		return result < 0 ? -errno : result; \
	} while (0)

int ntc_sys_open(int dir, const char *name, int flags, mode_t mode)
{
	CALL(NTC_SYS_OPEN, name, openat(dir, name, flags | O_CLOEXEC, mode));
}

void ntc_sys_close(int fd)
{
	if (fd >= 0)
		(void)close(fd); /* see sys.h */
}

int ntc_sys_write(int fd, const void *p, size_t len)
{
	size_t done = 0;

	while (done < len) {
		int refused = fault(NTC_SYS_WRITE, NULL);
		ssize_t n;

		if (refused)
			return -refused;
		n = pwrite(fd, (const uint8_t *)p + done, len - done, (off_t)done);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EIO;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

int ntc_sys_read(int fd, void *p, size_t len, off_t at)
{
	size_t done = 0;

	while (done < len) {
		int refused = fault(NTC_SYS_READ, NULL);
		ssize_t n;

		if (refused)
			return -refused;
		n = pread(fd, (uint8_t *)p + done, len - done, at + (off_t)done);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -ENODATA;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

int ntc_sys_fsync(int fd)
{
	CALL(NTC_SYS_FSYNC, NULL, fsync(fd));
}

int ntc_sys_rename(int from_dir, const char *from, int to_dir, const char *to)
{
	CALL(NTC_SYS_RENAME, to, renameat(from_dir, from, to_dir, to));
}

int ntc_sys_unlink(int dir, const char *name)
{
	CALL(NTC_SYS_UNLINK, name, unlinkat(dir, name, 0));
}

int ntc_sys_mkdir(int dir, const char *name, mode_t mode)
{
	CALL(NTC_SYS_MKDIR, name, mkdirat(dir, name, mode));
}

int ntc_sys_stat(int fd, struct stat *st)
{
	CALL(NTC_SYS_STAT, NULL, fstat(fd, st));
}

int ntc_sys_chmod(int fd, mode_t mode)
{
	CALL(NTC_SYS_CHMOD, NULL, fchmod(fd, mode));
}

int ntc_sys_truncate(int fd, off_t len)
{
	CALL(NTC_SYS_TRUNCATE, NULL, ftruncate(fd, len));
}

int ntc_sys_lock(int fd)
{
	CALL(NTC_SYS_LOCK, NULL, flock(fd, LOCK_EX | LOCK_NB));
}

int ntc_sys_list(int dir, const char *name, int (*each)(void *ctx, const char *name), void *ctx)
{
	int refused = fault(NTC_SYS_LIST, name), err = 0, fd;
	struct dirent *d;
	DIR *list;

	if (refused)
		return -refused;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	list = fdopendir(fd);
	if (!list) {
		err = -errno;
		ntc_sys_close(fd);
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
