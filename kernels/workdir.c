/* See workdir.h. */
#include "kernels/workdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "kernels/userdir.h"

#define DEPTH_MAX 64
#define YOUNG_S 10      /* between mkdtemp() and flock() a directory of somebody's is not locked yet */

/* --- removing ----------------------------------------------------------------------------- */

/*
 * Remove `name` below `at` with everything in it. What cannot be removed stays for the next sweep. Links are
 * removed, never followed.
 */
static void remove_tree(int at, const char *name, int depth)
{
	struct dirent *entry;
	DIR *dir;
	int fd;

	if (unlinkat(at, name, 0) == 0 || depth > DEPTH_MAX)
		return;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)fchmod(fd, 0700); /* a command may have taken our own rights away; unlinking says so if not */
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return;
	}
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			remove_tree(dirfd(dir), entry->d_name, depth + 1);
	closedir(dir);
	(void)unlinkat(at, name, AT_REMOVEDIR);
}

/* Remove the directories whose process is gone and that are at least so old. */
static void sweep(int parent, time_t age)
{
	int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	struct stat st;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir))) {
		int lock;

		if (entry->d_name[0] == '.')
			continue;
		lock = openat(parent, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (lock < 0)
			continue;
		if (fstat(lock, &st) == 0 && time(NULL) - st.st_ctim.tv_sec >= age && flock(lock, LOCK_EX | LOCK_NB) == 0)
			remove_tree(parent, entry->d_name, 0);
		close(lock);
	}
	closedir(dir);
}

void ntc_workdir_sweep_all(int parent)
{
	sweep(parent, 0);
}

void ntc_workdir_remove(struct ntc_workdir *dir)
{
	int saved = errno;

	if (dir->path)
		remove_tree(dir->parent, strrchr(dir->path, '/') + 1, 0);
	if (dir->fd >= 0)
		close(dir->fd);
	if (dir->lock >= 0)
		close(dir->lock);
	if (dir->parent >= 0)
		close(dir->parent);
	free(dir->path);
	free(dir->in);
	free(dir->tmp);
	*dir = (struct ntc_workdir)NTC_WORKDIR_INIT;
	errno = saved;
}

/* --- making ------------------------------------------------------------------------------- */

bool ntc_workdir_make(struct ntc_workdir *dir)
{
	char *work = NULL, *path = NULL;

	*dir = (struct ntc_workdir)NTC_WORKDIR_INIT;
	if (!ntc_userdir_open("work", &dir->parent, &work))
		return false;
	sweep(dir->parent, YOUNG_S);
	if (asprintf(&path, "%s/XXXXXX", work) < 0) {
		path = NULL;
		errno = ENOMEM;
	}
	free(work);
	if (!path || !mkdtemp(path)) {
		free(path);
		goto fail;
	}
	dir->path = path;
	dir->lock = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir->lock < 0 || flock(dir->lock, LOCK_EX | LOCK_NB) != 0)
		goto fail;
	if (asprintf(&dir->in, "%s/in", path) < 0 || asprintf(&dir->tmp, "%s/tmp", path) < 0) {
		errno = ENOMEM;
		goto fail;
	}
	if (mkdir(dir->in, 0700) != 0 || mkdir(dir->tmp, 0700) != 0)
		goto fail;
	dir->fd = open(dir->in, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir->fd < 0)
		goto fail;
	return true;
fail:
	ntc_workdir_remove(dir);
	return false;
}

/* --- files -------------------------------------------------------------------------------- */

bool ntc_workdir_write(const struct ntc_workdir *dir, const char *name, const void *data, size_t len)
{
	const char *at = data;
	char *way = strdup(name);
	int fd, saved;

	if (!way)
		return false;
	for (char *slash = strchr(way, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdirat(dir->fd, way, 0700) != 0 && errno != EEXIST) {
			free(way);
			return false;
		}
		*slash = '/';
	}
	free(way);
	fd = openat(dir->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			saved = errno;
			close(fd);
			errno = saved;
			return false;
		}
		at += n;
		len -= (size_t)n;
	}
	return close(fd) == 0;
}

bool ntc_workdir_read(const struct ntc_workdir *dir, const char *name, size_t max, char **data, size_t *len)
{
	int fd = openat(dir->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK), saved;
	struct stat st;
	char *buf = NULL;
	size_t got = 0;
	ssize_t n;

	*data = NULL;
	*len = 0;
	if (fd < 0)
		return false;
	if (fstat(fd, &st) != 0)
		goto fail;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max) {
		errno = S_ISREG(st.st_mode) ? EFBIG : ENOENT;
		goto fail;
	}
	buf = malloc((size_t)st.st_size + 1);
	if (!buf)
		goto fail;
	while (got < (size_t)st.st_size) {
		n = read(fd, buf + got, (size_t)st.st_size - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			/* Something goes on shortening it: the command left a process behind. */
			errno = n < 0 ? errno : EIO;
			goto fail;
		}
		got += (size_t)n;
	}
	close(fd);
	*data = buf;
	*len = got;
	return true;
fail:
	saved = errno;
	free(buf);
	close(fd);
	errno = saved;
	return false;
}
