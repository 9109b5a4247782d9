/* SQLite's files on the store's seam; see vfs.h. */
#include "store/vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "store/dirs.h"
#include "store/sys.h"
#include "store/vfs_shared.h"

struct file {
	sqlite3_file base;              /* first: SQLite knows no more of it */
	const char *path;               /* SQLite's, valid until close */
	struct ntc_vfs_part part;       /* a database's */
	int fd;                         /* of anything else; -1 */
	bool new_name;                  /* it may have been made: its directory is to be synced with it */
};

/* Of the last call that failed. */
static _Thread_local int last_error;

int ntc_vfs_errno(void)
{
	return last_error;
}

void ntc_vfs_clear_errno(void)
{
	last_error = 0;
}

bool ntc_vfs_opened_read_only(struct sqlite3 *db)
{
	sqlite3_file *base = NULL;
	const struct file *file;

	if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &base) != SQLITE_OK)
		return false;
	file = (const struct file *)base;
	return file && file->part.shared && ntc_vfs_read_only(&file->part);
}

/* SQLite's code for a call's result: OK, FULL, or the one given. */
static int code(int err, int failed)
{
	if (err >= 0)
		return SQLITE_OK;
	last_error = -err;
	if (failed != SQLITE_IOERR_READ && (err == -ENOSPC || err == -EDQUOT))
		return SQLITE_FULL;
	return failed;
}

static int fd_of(const struct file *file)
{
	return file->part.shared ? ntc_vfs_shared_fd(&file->part) : file->fd;
}

/* --- one file ------------------------------------------------------------------------------- */

static int file_close(sqlite3_file *base)
{
	struct file *file = (struct file *)base;

	ntc_vfs_unshare(&file->part);
	ntc_sys_close(file->fd);
	file->fd = -1;
	return SQLITE_OK;
}

static int file_read(sqlite3_file *base, void *p, int len, sqlite3_int64 at)
{
	ssize_t n = ntc_sys_read_some(fd_of((struct file *)base), p, (size_t)len, (off_t)at);

	if (n < 0)
		return code((int)n, SQLITE_IOERR_READ);
	if (n == len)
		return SQLITE_OK;
	/* It must be zero behind the end. */
	memset((char *)p + n, 0, (size_t)(len - n));
	return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *base, const void *p, int len, sqlite3_int64 at)
{
	return code(ntc_sys_write(fd_of((struct file *)base), p, (size_t)len, (off_t)at), SQLITE_IOERR_WRITE);
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 len)
{
	return code(ntc_sys_truncate(fd_of((struct file *)base), (off_t)len), SQLITE_IOERR_TRUNCATE);
}

static int file_sync(sqlite3_file *base, int flags)
{
	struct file *file = (struct file *)base;
	int err;

	/* The length is part of what is synced either way; only times are not, and nobody asks for them. */
	(void)flags;
	err = ntc_sys_fdatasync(fd_of(file));
	if (err)
		return code(err, SQLITE_IOERR_FSYNC);
	err = file->new_name ? ntc_dirs_sync_above(file->path) : 0;
	if (err)
		return code(err, SQLITE_IOERR_DIR_FSYNC);
	file->new_name = false;
	return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *size)
{
	struct stat st;
	int err = ntc_sys_stat(fd_of((struct file *)base), &st);

	*size = err ? 0 : st.st_size;
	return code(err, SQLITE_IOERR_FSTAT);
}

static int file_lock(sqlite3_file *base, int level)
{
	struct file *file = (struct file *)base;
	int err = 0, rc;

	if (!file->part.shared)
		return SQLITE_OK; /* a journal is its database's */
	rc = ntc_vfs_lock(&file->part, level, &err);
	if (err)
		last_error = err;
	return rc;
}

static int file_unlock(sqlite3_file *base, int level)
{
	struct file *file = (struct file *)base;

	if (file->part.shared)
		ntc_vfs_unlock(&file->part, level);
	return SQLITE_OK;
}

static int file_check_reserved(sqlite3_file *base, int *reserved)
{
	struct file *file = (struct file *)base;

	*reserved = file->part.shared && ntc_vfs_reserved(&file->part);
	return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int op, void *arg)
{
	(void)base;
	if (op != SQLITE_FCNTL_PERSIST_WAL)
		return SQLITE_NOTFOUND;
	*(int *)arg = 1; /* always: see vfs.h */
	return SQLITE_OK;
}

static int file_sector_size(sqlite3_file *base)
{
	(void)base;
	return 4096;
}

/* What is next to bytes being written stays as it is in a power cut, as SQLite assumes of every disk today. */
static int file_characteristics(sqlite3_file *base)
{
	(void)base;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static int file_shm_map(sqlite3_file *base, int at, int size, int make, void volatile **region)
{
	return ntc_vfs_shm_map(&((struct file *)base)->part, at, size, make, region);
}

static int file_shm_lock(sqlite3_file *base, int from, int count, int flags)
{
	return ntc_vfs_shm_lock(&((struct file *)base)->part, from, count, flags);
}

static void file_shm_barrier(sqlite3_file *base)
{
	ntc_vfs_shm_barrier(&((struct file *)base)->part);
}

static int file_shm_unmap(sqlite3_file *base, int delete)
{
	(void)delete; /* there is nothing to delete but memory, which goes with the last one */
	ntc_vfs_shm_unmap(&((struct file *)base)->part);
	return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_check_reserved,
	.xFileControl = file_control,
	.xSectorSize = file_sector_size,
	.xDeviceCharacteristics = file_characteristics,
	.xShmMap = file_shm_map,
	.xShmLock = file_shm_lock,
	.xShmBarrier = file_shm_barrier,
	.xShmUnmap = file_shm_unmap,
};

/* --- names ---------------------------------------------------------------------------------- */

/* Make a file with our mode, whatever the umask. */
static int make_file(const char *path, int flags)
{
	int fd = ntc_sys_open(AT_FDCWD, path, flags | O_CREAT | O_EXCL, 0600), err;

	if (fd < 0)
		return fd;
	err = ntc_sys_chmod(fd, 0600);
	if (!err)
		return fd;
	ntc_sys_close(fd);
	return err;
}

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags, int *out)
{
	/* Connections that only read share the writer's descriptor. */
	int access = O_RDWR | O_NOFOLLOW | O_NOCTTY, err;
	struct file *file = (struct file *)base;

	(void)vfs;
	*file = (struct file){ .path = path, .fd = -1 };
	/* A temporary file has no name. */
	if (!path || (flags & SQLITE_OPEN_DELETEONCLOSE))
		return code(-ENOTSUP, SQLITE_CANTOPEN);
	if (flags & SQLITE_OPEN_MAIN_DB) {
		err = ntc_vfs_share(path, access, &file->part);
		if (err == -ENOENT && (flags & SQLITE_OPEN_CREATE)) {
			err = make_file(path, access);
			ntc_sys_close(err);
			if (err >= 0 || err == -EEXIST)
				err = ntc_vfs_share(path, access, &file->part);
		}
	} else {
		err = file->fd = ntc_sys_open(AT_FDCWD, path, access, 0);
		if (err == -ENOENT && (flags & SQLITE_OPEN_CREATE))
			err = file->fd = make_file(path, access);
		/* Another connection opens what is there first. */
		if (err == -EEXIST)
			err = file->fd = ntc_sys_open(AT_FDCWD, path, access, 0);
		/* A journal that is there is read, like its database. */
		if (err == -EROFS) {
			err = file->fd = ntc_sys_open(AT_FDCWD, path, (access & ~O_ACCMODE) | O_RDONLY, 0);
			flags = (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
		}
		file->new_name = flags & SQLITE_OPEN_CREATE;
	}
	if (err < 0) {
		file->fd = -1;
		return code(err, SQLITE_CANTOPEN);
	}
	file->base.pMethods = &methods;
	if (file->part.shared && ntc_vfs_read_only(&file->part))
		flags = (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
	if (out)
		*out = flags;
	return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int sync_dir)
{
	int err = ntc_sys_unlink(AT_FDCWD, path);

	(void)vfs;
	if (err == -ENOENT)
		return code(err, SQLITE_IOERR_DELETE_NOENT);
	if (err)
		return code(err, SQLITE_IOERR_DELETE);
	return sync_dir ? code(ntc_dirs_sync_above(path), SQLITE_IOERR_DIR_FSYNC) : SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *result)
{
	struct stat st;
	int err = ntc_sys_stat_at(AT_FDCWD, path, &st);

	(void)vfs;
	(void)flags;
	*result = !err && st.st_size > 0; /* an empty journal is none */
	return err == -ENOENT ? SQLITE_OK : code(err, SQLITE_IOERR_ACCESS);
}

static int vfs_full_path(sqlite3_vfs *vfs, const char *path, int room, char *out)
{
	size_t len = strlen(path);

	(void)vfs;
	if (len >= (size_t)room)
		return code(-ENAMETOOLONG, SQLITE_CANTOPEN);
	memcpy(out, path, len + 1);
	return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *vfs, int room, char *text)
{
	(void)vfs;
	(void)room;
	(void)text;
	return last_error;
}

static sqlite3_vfs ntc_vfs;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_vfs(void)
{
	sqlite3_vfs *host = sqlite3_vfs_find(NULL);

	if (!host)
		return;
	/* Clock, sleep and randomness are the host's; they touch no file of ours. */
	ntc_vfs = (sqlite3_vfs){
		.iVersion = 2,
		.szOsFile = sizeof(struct file),
		.mxPathname = PATH_MAX,
		.zName = "ntc",
		.xOpen = vfs_open,
		.xDelete = vfs_delete,
		.xAccess = vfs_access,
		.xFullPathname = vfs_full_path,
		.xRandomness = host->xRandomness,
		.xSleep = host->xSleep,
		.xCurrentTime = host->xCurrentTime,
		.xCurrentTimeInt64 = host->xCurrentTimeInt64,
		.xGetLastError = vfs_last_error,
	};
	if (sqlite3_vfs_register(&ntc_vfs, 0) != SQLITE_OK)
		ntc_vfs.zName = NULL;
}

const char *ntc_vfs_name(void)
{
	(void)pthread_once(&once, make_vfs); /* cannot fail with these arguments */
	return ntc_vfs.zName;
}
