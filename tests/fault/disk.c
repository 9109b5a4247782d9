/*
 * A disk that remembers; see disk.h. One lock is held while a call is made and recorded, so the record has the order in
 * which things happened. Files are nodes, found by descriptor or by walking the names.
 */
#include "tests/fault/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/index.h"
#include "store/sys.h"
#include "tests/fault/campaign.h"

enum { FDS = 4096, NAME_MAX_HERE = 63 };

/* What is now, at most one for each name that ever was. */
struct name {
	uint32_t dir, node;     /* node 0: there is none */
	bool unsynced;          /* what the name means has changed since the directory was synced */
	char text[NAME_MAX_HERE + 1];
};

static struct ntc_disk *disk;
static char root_path[512];
static struct name names[NTC_DISK_NODES];
static size_t name_count;
static uint32_t of_fd[FDS];
static uint64_t lengths[NTC_DISK_NODES];
static bool begun_again[NTC_DISK_NODES];        /* a WAL, over what it had; not synced since */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* --- the record --------------------------------------------------------------------------- */

static struct ntc_disk_record *add(enum ntc_disk_what what, uint32_t node, const void *bytes, size_t len)
{
	struct ntc_disk_record *r = &disk->records[disk->count];

	ntc_fault_expect(disk->count < NTC_DISK_RECORDS && len <= NTC_DISK_BYTES - disk->used, "too much to record");
	*r = (struct ntc_disk_record){ .what = what, .node = node, .bytes = disk->used, .len = len,
				       .ns = ntc_clock_mono_ns() };
	if (len)
		memcpy(disk->bytes + disk->used, bytes, len);
	disk->used += len;
	disk->count++;
	return r;
}

static uint32_t new_node(bool directory)
{
	ntc_fault_expect(disk->nodes < NTC_DISK_NODES, "too many files to record");
	disk->directory[disk->nodes] = directory;
	return (uint32_t)disk->nodes++;
}

/* --- names -------------------------------------------------------------------------------- */

static struct name *find_name(uint32_t dir, const char *text)
{
	for (size_t i = 0; i < name_count; i++)
		if (names[i].dir == dir && strcmp(names[i].text, text) == 0)
			return &names[i];
	return NULL;
}

static const struct name *name_of(uint32_t node)
{
	for (size_t i = 0; i < name_count; i++)
		if (names[i].node == node)
			return &names[i];
	return NULL;
}

static void set_name(uint32_t dir, const char *text, uint32_t node)
{
	struct name *name = find_name(dir, text);

	if (!name) {
		ntc_fault_expect(name_count < NTC_DISK_NODES && strlen(text) <= NAME_MAX_HERE, "too many names to record");
		name = &names[name_count++];
		name->dir = dir;
		snprintf(name->text, sizeof(name->text), "%s", text);
	}
	name->node = node;
	name->unsynced = true;
	add(NTC_DISK_NAME, dir, text, strlen(text))->other = node;
}

/* The directory in which the last part of `path` is a name, *last; 0: not on this disk. */
static uint32_t walk(int dir_fd, const char *path, char last[NAME_MAX_HERE + 1])
{
	uint32_t dir = dir_fd >= 0 && dir_fd < FDS ? of_fd[dir_fd] : 0;
	size_t len = strlen(root_path);

	if (*path == '/') {
		if (strncmp(path, root_path, len) != 0 || (path[len] != '/' && path[len] != '\0'))
			return 0;
		path += len;
		dir = NTC_DISK_ROOT;
	}
	last[0] = '\0';
	while (dir && *path) {
		size_t part = strcspn(path, "/");
		const struct name *name;

		if (!part) {
			path++;
			continue;
		}
		if (last[0]) {
			name = find_name(dir, last);
			dir = name ? name->node : 0;
		}
		ntc_fault_expect(part <= NAME_MAX_HERE, "too long a name to record: %s", path);
		memcpy(last, path, part);
		last[part] = '\0';
		path += part;
	}
	return dir;
}

static uint32_t node_at(uint32_t dir, const char *last)
{
	const struct name *name = dir && last[0] ? find_name(dir, last) : NULL;

	return last[0] ? (name ? name->node : 0) : dir;
}

static uint32_t node_of(int fd)
{
	return fd >= 0 && fd < FDS ? of_fd[fd] : 0;
}

/* --- what a sync is for ------------------------------------------------------------------- */

#define BIT(sync) (1u << NTC_DISK_SYNC_##sync)

static bool has_name(uint32_t dir, const char *text)
{
	const struct name *name = find_name(dir, text);

	return name && name->node;
}

static uint32_t directory_syncs(uint32_t node)
{
	const struct name *name = name_of(node), *wal = find_name(node, NTC_INDEX_NAME "-wal");

	if (has_name(node, "lock"))
		return BIT(CACHE) | (wal && wal->unsynced ? BIT(WAL_NAME) : 0);
	if (has_name(node, "tmp") && has_name(node, "quarantine"))
		return BIT(DOMAIN);
	if (name && strlen(name->text) == 2 && has_name(name->dir, "tmp"))
		return BIT(SHARD);
	return node == NTC_DISK_ROOT || (name && strcmp(name->text, "above") == 0) ? BIT(PARENT) : 0;
}

static uint32_t syncs_of(uint32_t node)
{
	const struct name *name = name_of(node);

	if (disk->directory[node])
		return directory_syncs(node);
	if (!name)
		return 0;
	if (strcmp(name->text, NTC_INDEX_NAME "-wal") == 0)
		return BIT(WAL) | (begun_again[node] ? BIT(WAL_HEADER) : 0);
	if (strcmp(name->text, NTC_INDEX_NAME "-journal") == 0)
		return BIT(JOURNAL);
	if (strcmp(name->text, NTC_INDEX_NAME) == 0)
		return BIT(INDEX);
	if (strcmp(name->text, NTC_INDEX_NAME ".tmp") == 0)
		return BIT(NEW_INDEX);
	name = name_of(name->dir);
	return name && strcmp(name->text, "tmp") == 0 ? BIT(IMAGE) : 0;
}

static void record_sync(uint32_t node)
{
	if (!node)
		return;
	add(NTC_DISK_SYNC, node, NULL, 0)->syncs = syncs_of(node);
	begun_again[node] = false;
	for (size_t i = 0; i < name_count; i++)
		if (names[i].dir == node)
			names[i].unsynced = false;
}

/* --- the operations ----------------------------------------------------------------------- */

static int told_open(int dir, const char *path, int flags, mode_t mode)
{
	char last[NAME_MAX_HERE + 1];
	uint32_t in, node;
	int fd;

	pthread_mutex_lock(&lock);
	fd = ntc_sys_kernel.open(dir, path, flags, mode);
	if (fd >= 0) {
		ntc_fault_expect(fd < FDS, "too many descriptors to record");
		in = walk(dir, path, last);
		node = node_at(in, last);
		if (in && !node && (flags & O_CREAT)) {
			node = new_node(false);
			set_name(in, last, node);
		}
		if (node && (flags & O_TRUNC))
			add(NTC_DISK_TRUNCATE, node, NULL, 0)->at = 0;
		of_fd[fd] = node;
	}
	pthread_mutex_unlock(&lock);
	return fd;
}

static void told_close(int fd)
{
	pthread_mutex_lock(&lock);
	if (fd < FDS)
		of_fd[fd] = 0;
	ntc_sys_kernel.close(fd);
	pthread_mutex_unlock(&lock);
}

static ssize_t told_write(int fd, const void *p, size_t len, off_t at)
{
	uint32_t node;
	ssize_t n;

	pthread_mutex_lock(&lock);
	n = ntc_sys_kernel.write(fd, p, len, at);
	node = node_of(fd);
	if (n > 0 && node) {
		uint64_t end = (uint64_t)at + (uint64_t)n;

		add(NTC_DISK_WRITE, node, p, (size_t)n)->at = (uint64_t)at;
		begun_again[node] |= at == 0 && lengths[node] > end;
		lengths[node] = lengths[node] > end ? lengths[node] : end;
	}
	pthread_mutex_unlock(&lock);
	return n;
}

static int told_truncate(int fd, off_t len)
{
	int err;

	pthread_mutex_lock(&lock);
	err = ntc_sys_kernel.truncate(fd, len);
	if (!err && node_of(fd)) {
		add(NTC_DISK_TRUNCATE, node_of(fd), NULL, 0)->at = (uint64_t)len;
		lengths[node_of(fd)] = (uint64_t)len;
	}
	pthread_mutex_unlock(&lock);
	return err;
}

/* Nothing has to be written for it: what was synced is what the record says. It takes its time, by which the store
 * chooses how to sync. */
static int told_sync(int fd)
{
	static const struct timespec latency = { .tv_nsec = 200000 };

	(void)nanosleep(&latency, NULL); /* less will do */
	pthread_mutex_lock(&lock);
	record_sync(node_of(fd));
	pthread_mutex_unlock(&lock);
	return 0;
}

static int told_syncfs(int fd)
{
	(void)fd;
	pthread_mutex_lock(&lock);
	add(NTC_DISK_ALL, 0, NULL, 0)->syncs = BIT(ALL);
	pthread_mutex_unlock(&lock);
	return 0;
}

/* One on which the store syncs everything at once where that pays. */
static int told_statfs(int fd, struct statfs *fs)
{
	int err = ntc_sys_kernel.statfs(fd, fs);

	fs->f_type = 0xef53;
	return err;
}

static int told_rename(int from_dir, const char *from, int to_dir, const char *to)
{
	char from_last[NAME_MAX_HERE + 1], to_last[NAME_MAX_HERE + 1];
	uint32_t a, b, node;
	int err;

	pthread_mutex_lock(&lock);
	err = ntc_sys_kernel.rename(from_dir, from, to_dir, to);
	a = err ? 0 : walk(from_dir, from, from_last);
	b = err ? 0 : walk(to_dir, to, to_last);
	if (a && b) {
		node = node_at(a, from_last);
		set_name(a, from_last, 0);
		set_name(b, to_last, node);
	}
	pthread_mutex_unlock(&lock);
	return err;
}

static int told_unlink(int dir, const char *path)
{
	char last[NAME_MAX_HERE + 1];
	uint32_t in;
	int err;

	pthread_mutex_lock(&lock);
	err = ntc_sys_kernel.unlink(dir, path);
	in = err ? 0 : walk(dir, path, last);
	if (in)
		set_name(in, last, 0);
	pthread_mutex_unlock(&lock);
	return err;
}

static int told_mkdir(int dir, const char *path, mode_t mode)
{
	char last[NAME_MAX_HERE + 1];
	uint32_t in;
	int err;

	pthread_mutex_lock(&lock);
	err = ntc_sys_kernel.mkdir(dir, path, mode);
	in = err ? 0 : walk(dir, path, last);
	if (in)
		set_name(in, last, new_node(true));
	pthread_mutex_unlock(&lock);
	return err;
}

/* --- beginning ---------------------------------------------------------------------------- */

static void take_file(uint32_t node, const char *path)
{
	static uint8_t bytes[1 << 20];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t at = 0;
	ssize_t n;

	ntc_fault_expect(fd >= 0, "%s: %s", path, strerror(errno));
	while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
		add(NTC_DISK_WRITE, node, bytes, (size_t)n)->at = at;
		at += (uint64_t)n;
		lengths[node] = at;
	}
	close(fd);
}

static void take_dir(uint32_t node, const char *path)
{
	DIR *list = opendir(path);
	struct dirent *e;

	ntc_fault_expect(list != NULL, "%s: %s", path, strerror(errno));
	while ((e = readdir(list))) {
		char below[1024];
		uint32_t child;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, e->d_name);
		child = new_node(e->d_type == DT_DIR);
		set_name(node, e->d_name, child);
		if (e->d_type == DT_DIR)
			take_dir(child, below);
		else
			take_file(child, below);
	}
	closedir(list);
}

void ntc_disk_begin(struct ntc_disk *own, const char *root)
{
	static struct ntc_sys_ops ops;

	disk = own;
	disk->count = disk->used = 0;
	disk->nodes = NTC_DISK_ROOT;
	snprintf(root_path, sizeof(root_path), "%s", root);
	take_dir(new_node(true), root);
	add(NTC_DISK_ALL, 0, NULL, 0);
	for (size_t i = 0; i < name_count; i++)
		names[i].unsynced = false;
	disk->began = disk->count;
	ops = ntc_sys_kernel;
	ops.open = told_open;
	ops.close = told_close;
	ops.write = told_write;
	ops.truncate = told_truncate;
	ops.fsync = told_sync;
	ops.fdatasync = told_sync;
	ops.syncfs = told_syncfs;
	ops.statfs = told_statfs;
	ops.rename = told_rename;
	ops.unlink = told_unlink;
	ops.mkdir = told_mkdir;
	ntc_sys = &ops;
}

void ntc_disk_note(uint32_t what, uint32_t state)
{
	pthread_mutex_lock(&lock);
	add(NTC_DISK_NOTE, what, NULL, 0)->other = state;
	pthread_mutex_unlock(&lock);
}
