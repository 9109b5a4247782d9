/* Directories by path; see dirs.h. */
#include "store/dirs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "store/sys.h"

int ntc_dirs_sync_above(const char *path)
{
	const char *slash = strrchr(path, '/');
	char above[PATH_MAX];
	int fd, err;

	if (!slash)
		snprintf(above, sizeof(above), ".");
	else if ((size_t)snprintf(above, sizeof(above), "%.*s", (int)(slash - path + 1), path) >= sizeof(above))
		return -ENAMETOOLONG;
	fd = ntc_sys_open(AT_FDCWD, above, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	err = ntc_sys_fsync(fd);
	ntc_sys_close(fd);
	return err;
}

static bool exists(const char *path)
{
	struct stat st;

	/* Also what cannot be looked at: it is not ours to make. */
	return ntc_sys_stat_at(AT_FDCWD, path, &st) != -ENOENT;
}

/* Sync the name of a directory that was there. One that may not be opened to be synced is none that we made in. */
static int sync_found(const char *path)
{
	int err = ntc_dirs_sync_above(path);

	return err == -EACCES || err == -EPERM ? 0 : err;
}

int ntc_dirs_make(const char *dir, mode_t mode, const char *first)
{
	size_t len = strlen(dir), last = 0;
	char path[PATH_MAX];
	bool made = false;
	int err;

	while (len > 1 && dir[len - 1] == '/')
		len--;
	if (!len || len + strlen(first) + 2 > sizeof(path))
		return len ? -ENAMETOOLONG : -ENOENT;
	for (size_t i = 1; i <= len; i++) {
		if (dir[i] != '/' && i < len)
			continue;
		snprintf(path, sizeof(path), "%.*s", (int)i, dir);
		if (exists(path)) {
			last = i;
			continue;
		}
		if (!made && last) {
			path[last] = '\0';
			err = sync_found(path);
			if (err)
				return err;
			path[last] = '/';
		}
		err = ntc_sys_mkdir(AT_FDCWD, path, i == len ? mode : 0700);
		if (!err)
			err = ntc_dirs_sync_above(path);
		if (err && err != -EEXIST && err != -EACCES && err != -EROFS && err != -EPERM)
			return err;
		made = true;
	}
	snprintf(path, sizeof(path), "%.*s/%s", (int)len, dir, first);
	if (made || exists(path))
		return 0;
	path[len] = '\0';
	return sync_found(path);
}
