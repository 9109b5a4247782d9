/* See userdir.h. */
#include "kernels/userdir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Make every directory on the way to `path` that is not there; private ones. */
static bool make_way(char *path)
{
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0700) != 0 && errno != EEXIST) {
			*p = '/';
			return false;
		}
		*p = '/';
	}
	return mkdir(path, 0700) == 0 || errno == EEXIST;
}

bool ntc_userdir_open(const char *name, int *fd, char **path)
{
	const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME"), *sub = name ? name : "";
	struct stat st;
	char *way = NULL;
	int len, got = -1, saved;

	*fd = -1;
	if (path)
		*path = NULL;
	if (xdg && xdg[0] == '/')
		len = asprintf(&way, "%s/ntcache%s%s", xdg, name ? "/" : "", sub);
	else if (home && home[0] == '/')
		len = asprintf(&way, "%s/.cache/ntcache%s%s", home, name ? "/" : "", sub);
	else
		len = asprintf(&way, "/tmp/ntcache-%u%s%s", (unsigned)geteuid(), name ? "/" : "", sub);
	if (len < 0) {
		errno = ENOMEM;
		return false;
	}
	if (!make_way(way))
		goto fail;
	got = open(way, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (got < 0 || fstat(got, &st) != 0)
		goto fail;
	if (st.st_uid != geteuid() || (st.st_mode & 022)) {
		errno = EPERM;
		goto fail;
	}
	*fd = got;
	if (path)
		*path = way;
	else
		free(way);
	return true;
fail:
	saved = errno;
	if (got >= 0)
		close(got);
	free(way);
	errno = saved;
	return false;
}
