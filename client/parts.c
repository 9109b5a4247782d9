/*
 * An entry's parts as files. One directory per entry, DIGEST-CHECKSUM, written under a temporary name
 * and published by one rename: a reader sees all files or none, and a writer that is killed leaves only
 * a temporary directory, which is swept an hour later.
 *
 * What is there already is compared byte by byte with the entry. If somebody changed it, a new
 * directory is exchanged with it in one step. The parts directory has to be this user's alone: what
 * lies in it gets loaded.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/bounds.h"
#include "client/entry.h"
#include "client/errmap.h"
#include "client/explain.h"

#define PATH_ROOM 4096
#define TEMP_PREFIX ".new-"
#define TEMP_KEPT_S 3600 /* a temporary directory older than this is a dead writer's */
#define TREE_DEPTH 8     /* of a directory that is removed */

static enum ntc_err failed(const char *what, const char *path)
{
	int saved = errno;
	enum ntc_err err = ntc_err_from_errno(saved);

	return ntc_explain(err == NTC_E_DENIED ? NTC_E_IO : err, "%s %.300s: %s", what, path,
			   strerror(saved));
}

/* --- the directory ------------------------------------------------------------------------ */

/* $NTCACHE_PARTS, else $XDG_CACHE_HOME/ntcache/parts, else ~/.cache/ntcache/parts: an absolute path. */
static enum ntc_err parts_path(char out[PATH_ROOM])
{
	const char *own = getenv("NTCACHE_PARTS"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
	int len;

	if (own && *own)
		len = snprintf(out, PATH_ROOM, "%s", own);
	else if (cache && *cache == '/')
		len = snprintf(out, PATH_ROOM, "%s/ntcache/parts", cache);
	else if (home && *home == '/')
		len = snprintf(out, PATH_ROOM, "%s/.cache/ntcache/parts", home);
	else
		return ntc_explain(NTC_E_IO, "no place for parts: set NTCACHE_PARTS or HOME");
	/* Room for the names below it. */
	if (out[0] != '/' || len >= PATH_ROOM - 400)
		return ntc_explain(
			NTC_E_IO, "%.200s: the directory of parts must be an absolute path, and not too long",
			out);
	return NTC_OK;
}

/* mkdir -p, for this user alone where something is missing. */
static enum ntc_err make_directories(const char *path)
{
	char part[PATH_ROOM];

	for (const char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
		size_t len = slash ? (size_t)(slash - path) : strlen(path);

		memcpy(part, path, len);
		part[len] = '\0';
		if (mkdir(part, 0700) && errno != EEXIST)
			return failed("cannot make", part);
		if (!slash)
			return NTC_OK;
	}
}

/* Open the parts directory; it must be ours alone. */
static enum ntc_err open_parts(const char *path, int *fd)
{
	enum ntc_err err = make_directories(path);
	struct stat st;

	if (err)
		return err;
	*fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		return failed("cannot open", path);
	if (fstat(*fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & 022))
		return NTC_OK;
	close(*fd);
	*fd = -1;
	return ntc_explain(NTC_E_IO, "%.300s is not this user's alone: files to be loaded are not put there",
			   path);
}

/* Remove a directory and what is in it, as far as possible. */
static void remove_tree(int at, const char *name, int depth)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct dirent *item;
	DIR *dir;

	if (fd < 0) {
		(void)unlinkat(at, name, 0); /* a leftover costs room only */
		return;
	}
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return;
	}
	while ((item = readdir(dir))) {
		if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
			continue;
		if (unlinkat(fd, item->d_name, 0) && depth < TREE_DEPTH)
			remove_tree(fd, item->d_name, depth + 1);
	}
	closedir(dir);
	(void)unlinkat(at, name, AT_REMOVEDIR); /* as above */
}

/* What killed writers left. */
static void sweep(int parts)
{
	int fd = openat(parts, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	time_t now = (time_t)(ntc_clock_wall_ns() / NTC_NS_PER_S);
	struct dirent *item;
	struct stat st;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((item = readdir(dir)))
		if (strncmp(item->d_name, TEMP_PREFIX, strlen(TEMP_PREFIX)) == 0 &&
		    fstatat(parts, item->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    now - st.st_mtime > TEMP_KEPT_S)
			remove_tree(parts, item->d_name, 0);
	closedir(dir);
}

/* --- writing and comparing ---------------------------------------------------------------- */

static void part_name(const struct ntc_part *part, char out[NTC_PART_NAME_MAX + 1])
{
	memcpy(out, part->name.p, part->name.len);
	out[part->name.len] = '\0';
}

static bool write_all(int fd, struct ntc_view data)
{
	while (data.len) {
		ssize_t n = write(fd, data.p, data.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		data.p += n;
		data.len -= (size_t)n;
	}
	return true;
}

static enum ntc_err write_part(int dir, const struct ntc_part *part)
{
	char name[NTC_PART_NAME_MAX + 1];
	int fd;

	part_name(part, name);
	/* Executable, because a part may be a program. */
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0700);
	if (fd < 0)
		return failed("cannot write", name);
	if (!write_all(fd, part->data)) {
		enum ntc_err err = failed("cannot write", name);

		close(fd);
		return err;
	}
	/* Some file systems tell of a full disk or quota only now. */
	return close(fd) ? failed("cannot write", name) : NTC_OK;
}

/* Whether the file holds exactly this. */
static bool file_equals(int dir, const struct ntc_part *part)
{
	char name[NTC_PART_NAME_MAX + 1];
	uint8_t buf[16384];
	size_t done = 0;
	bool equal = false;
	struct stat st;
	int fd;

	part_name(part, name);
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022) ||
	    (uint64_t)st.st_size != part->data.len)
		goto out;
	while (done < part->data.len) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || (size_t)n > part->data.len - done ||
		    memcmp(buf, part->data.p + done, (size_t)n) != 0)
			goto out;
		done += (size_t)n;
	}
	equal = true;
out:
	close(fd);
	return equal;
}

/* Whether the published directory has every part as it should be. */
static bool published(int parts, const char *name, const struct ntc_entry *entry)
{
	int dir = openat(parts, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	bool good = dir >= 0;
	struct stat st;

	if (good)
		good = fstat(dir, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & 022);
	for (size_t i = 0; good && i < entry->body.part_count; i++) {
		struct ntc_part part = ntc_body_part(&entry->body, i);

		good = file_equals(dir, &part);
	}
	if (dir >= 0)
		close(dir);
	return good;
}

/* Write everything under a temporary name, then publish it, in place of what is there if that is damaged. */
static enum ntc_err publish(int parts, const char *path, const char *name, const struct ntc_entry *entry)
{
	char temp_path[PATH_ROOM];
	enum ntc_err err = NTC_OK;
	const char *temp;
	int dir;

	sweep(parts);
	if (snprintf(temp_path, sizeof(temp_path), "%s/" TEMP_PREFIX "XXXXXX", path) >=
	    (int)sizeof(temp_path))
		return ntc_explain(NTC_E_IO, "the directory of parts has too long a path");
	if (!mkdtemp(temp_path))
		return failed("cannot make", temp_path);
	temp = strrchr(temp_path, '/') + 1;
	dir = openat(parts, temp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		err = failed("cannot open", temp_path);
	for (size_t i = 0; !err && i < entry->body.part_count; i++) {
		struct ntc_part part = ntc_body_part(&entry->body, i);

		err = write_part(dir, &part);
	}
	if (dir >= 0)
		close(dir);
	/* Nothing there: done. */
	if (!err && renameat2(parts, temp, parts, name, RENAME_NOREPLACE) == 0)
		return NTC_OK;
	/* Another process was first; or what is there is damaged, and takes the temporary name to be removed under. */
	if (!err && errno == EEXIST && !published(parts, name, entry) &&
	    renameat2(parts, temp, parts, name, RENAME_EXCHANGE))
		err = failed("cannot replace", name);
	else if (!err && !published(parts, name, entry))
		/* A file system without these renames: a plain one does where nothing is there. */
		err = renameat(parts, temp, parts, name) && !published(parts, name, entry)
			      ? failed("cannot publish", name)
			      : NTC_OK;
	remove_tree(parts, temp, 0);
	return err;
}

NTC_API enum ntc_err ntc_entry_part_path(const struct ntc_entry *entry, const char *part_wanted, char **out)
{
	char path[PATH_ROOM], digest[NTC_DIGEST_TEXT], sum[NTC_DIGEST_TEXT], name[2 * NTC_DIGEST_TEXT];
	struct ntc_part part;
	enum ntc_err err;
	int parts = -1;

	ntc_explain_clear();
	if (!out)
		return ntc_explain(NTC_E_INVALID, "no place for the path");
	*out = NULL;
	if (!entry || !part_wanted)
		return ntc_explain(NTC_E_INVALID, "no entry or no name");
	if (!ntc_body_find(&entry->body, ntc_view(part_wanted, strlen(part_wanted)), &part))
		return ntc_explain(NTC_E_NO_PART, "the entry has no part %.255s", part_wanted);
	err = parts_path(path);
	if (!err)
		err = open_parts(path, &parts);
	if (err)
		return err;
	ntc_digest_format(&entry->digest, digest);
	ntc_digest_format(&entry->body.checksum, sum);
	snprintf(name, sizeof(name), "%s-%.16s", digest, sum);
	if (!published(parts, name, entry))
		err = publish(parts, path, name, entry);
	close(parts);
	if (!err && asprintf(out, "%s/%s/%s", path, name, part_wanted) < 0) {
		*out = NULL;
		err = ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	}
	return err;
}
