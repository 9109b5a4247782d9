/*
 * A database's locks and WAL index, for the connections of one process; see vfs_shared.h.
 *
 * A database is known by its inode, so that one that was set aside and a new one under its name are two. All of
 * them are in one list with one lock; a database has its own. The second is taken last.
 */
#include "store/vfs_shared.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/sys.h"

/* Where SQLite's own VFS locks, by which it knows that the database is in use: PENDING, RESERVED, SHARED. */
enum { LOCK_FROM = 0x40000000, LOCK_LEN = 2 + 510 };

struct ntc_vfs_shared {
	struct ntc_vfs_shared *next;
	dev_t dev;
	ino_t ino;
	unsigned parts;
	atomic_int fd;
	int read_fd;                    /* for reading, from before `fd` could be had for writing; -1 */
	bool read_only;                 /* `fd` is; under all_lock */
	char *shm;                      /* where an earlier version had its -shm */

	pthread_mutex_t lock;           /* all below */
	bool owned;                     /* against other processes */
	unsigned readers;               /* parts with SHARED or more */
	const struct ntc_vfs_part *writer;      /* has RESERVED or more */
	bool pending;                   /* the writer wants to be alone: no new readers */

	void **regions;
	int region_count;
	unsigned mapped;
	int shm_locks[SQLITE_SHM_NLOCK];        /* readers of each, or -1 */
};

static struct ntc_vfs_shared *all;
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;

/* --- opening -------------------------------------------------------------------------------- */

static void free_shared(struct ntc_vfs_shared *shared)
{
	ntc_sys_close(shared->fd);
	ntc_sys_close(shared->read_fd);
	pthread_mutex_destroy(&shared->lock);
	free(shared->shm);
	free(shared);
}

static struct ntc_vfs_shared *new_shared(const char *path, int fd, const struct stat *st)
{
	struct ntc_vfs_shared *shared = calloc(1, sizeof(*shared));

	if (!shared)
		return NULL;
	shared->fd = fd;
	shared->read_fd = -1;
	shared->dev = st->st_dev;
	shared->ino = st->st_ino;
	if (pthread_mutex_init(&shared->lock, NULL)) {
		free(shared);
		return NULL;
	}
	if (asprintf(&shared->shm, "%s-shm", path) < 0) {
		shared->shm = NULL;
		shared->fd = -1; /* the caller's still */
		free_shared(shared);
		return NULL;
	}
	return shared;
}

int ntc_vfs_share(const char *path, int flags, struct ntc_vfs_part *part)
{
	int fd = ntc_sys_open(AT_FDCWD, path, flags, 0600), err;
	bool read_only = fd == -EROFS;
	struct ntc_vfs_shared *shared;
	struct stat st;

	*part = (struct ntc_vfs_part){ .level = SQLITE_LOCK_NONE };
	if (read_only)
		fd = ntc_sys_open(AT_FDCWD, path, (flags & ~O_ACCMODE) | O_RDONLY, 0);
	if (fd < 0)
		return fd;
	err = ntc_sys_stat(fd, &st);
	if (!err && !S_ISREG(st.st_mode))
		err = -EINVAL;
	if (err) {
		ntc_sys_close(fd);
		return err;
	}
	pthread_mutex_lock(&all_lock);
	for (shared = all; shared; shared = shared->next) {
		if (shared->dev == st.st_dev && shared->ino == st.st_ino)
			break;
	}
	if (!shared) {
		shared = new_shared(path, fd, &st);
		if (shared) {
			shared->next = all;
			shared->read_only = read_only;
			all = shared;
			fd = -1;
		}
	} else if (shared->read_only && !read_only) {
		/* The others may be reading through the old one right now. */
		shared->read_fd = shared->fd;
		shared->fd = fd;
		shared->read_only = false;
		fd = -1;
		pthread_mutex_lock(&shared->lock);
		shared->owned = false;
		pthread_mutex_unlock(&shared->lock);
	}
	if (shared)
		shared->parts++;
	pthread_mutex_unlock(&all_lock);
	ntc_sys_close(fd);
	part->shared = shared;
	return shared ? 0 : -ENOMEM;
}

void ntc_vfs_unshare(struct ntc_vfs_part *part)
{
	struct ntc_vfs_shared *shared = part->shared;

	if (!shared)
		return;
	ntc_vfs_shm_unmap(part);
	ntc_vfs_unlock(part, SQLITE_LOCK_NONE);
	part->shared = NULL;
	pthread_mutex_lock(&all_lock);
	if (--shared->parts == 0) {
		for (struct ntc_vfs_shared **at = &all; *at; at = &(*at)->next) {
			if (*at == shared) {
				*at = shared->next;
				break;
			}
		}
		free_shared(shared);
	}
	pthread_mutex_unlock(&all_lock);
}

bool ntc_vfs_read_only(const struct ntc_vfs_part *part)
{
	bool read_only;

	pthread_mutex_lock(&all_lock);
	read_only = part->shared->read_only;
	pthread_mutex_unlock(&all_lock);
	return read_only;
}

int ntc_vfs_shared_fd(const struct ntc_vfs_part *part)
{
	return part->shared->fd;
}

/* --- locks ---------------------------------------------------------------------------------- */

/* With the first lock the database becomes ours, and what somebody else's connections left beside it is stale. */
static int own(struct ntc_vfs_shared *shared, int *err)
{
	if (shared->owned)
		return SQLITE_OK;
	*err = -ntc_sys_lock_bytes(shared->fd, LOCK_FROM, LOCK_LEN);
	/* For reading only: nobody writes. */
	if (*err == EBADF)
		*err = 0;
	if (*err == EAGAIN)
		return SQLITE_BUSY;
	if (*err)
		return SQLITE_IOERR_LOCK;
	shared->owned = true;
	/* It is not used in any case. */
	(void)ntc_sys_unlink(AT_FDCWD, shared->shm);
	return SQLITE_OK;
}

static int lock_shared(struct ntc_vfs_part *part)
{
	struct ntc_vfs_shared *shared = part->shared;

	if (shared->pending)
		return SQLITE_BUSY;
	shared->readers++;
	part->level = SQLITE_LOCK_SHARED;
	return SQLITE_OK;
}

static int lock_for_writing(struct ntc_vfs_part *part, int level)
{
	struct ntc_vfs_shared *shared = part->shared;

	if (shared->writer && shared->writer != part)
		return SQLITE_BUSY;
	shared->writer = part;
	if (level == SQLITE_LOCK_EXCLUSIVE) {
		/* Who is there may finish; nobody else comes. */
		shared->pending = true;
		part->level = SQLITE_LOCK_PENDING;
		if (shared->readers > 1)
			return SQLITE_BUSY;
	}
	part->level = level;
	return SQLITE_OK;
}

int ntc_vfs_lock(struct ntc_vfs_part *part, int level, int *err)
{
	struct ntc_vfs_shared *shared = part->shared;
	int rc;

	*err = 0;
	if (part->level >= level)
		return SQLITE_OK;
	pthread_mutex_lock(&shared->lock);
	rc = own(shared, err);
	if (rc == SQLITE_OK)
		rc = level == SQLITE_LOCK_SHARED ? lock_shared(part) : lock_for_writing(part, level);
	pthread_mutex_unlock(&shared->lock);
	return rc;
}

void ntc_vfs_unlock(struct ntc_vfs_part *part, int level)
{
	struct ntc_vfs_shared *shared = part->shared;

	if (part->level <= level)
		return;
	pthread_mutex_lock(&shared->lock);
	if (shared->writer == part) {
		shared->writer = NULL;
		shared->pending = false;
	}
	if (level == SQLITE_LOCK_NONE)
		shared->readers--;
	part->level = level;
	pthread_mutex_unlock(&shared->lock);
}

bool ntc_vfs_reserved(struct ntc_vfs_part *part)
{
	bool reserved;

	pthread_mutex_lock(&part->shared->lock);
	reserved = part->shared->writer != NULL;
	pthread_mutex_unlock(&part->shared->lock);
	return reserved;
}

/* --- the WAL's index ------------------------------------------------------------------------ */

int ntc_vfs_shm_map(struct ntc_vfs_part *part, int at, int size, bool make, void volatile **region)
{
	struct ntc_vfs_shared *shared = part->shared;
	int rc = SQLITE_OK;

	*region = NULL;
	pthread_mutex_lock(&shared->lock);
	if (!part->mapped) {
		part->mapped = true;
		shared->mapped++;
	}
	/* Regions stay where they are: connections keep pointers into them. */
	while (make && shared->region_count <= at) {
		void **regions = reallocarray(shared->regions, (size_t)shared->region_count + 1, sizeof(*regions));

		if (regions)
			shared->regions = regions;
		if (regions)
			regions[shared->region_count] = calloc(1, (size_t)size);
		if (!regions || !regions[shared->region_count]) {
			rc = SQLITE_IOERR_NOMEM;
			break;
		}
		shared->region_count++;
	}
	if (at < shared->region_count)
		*region = shared->regions[at];
	pthread_mutex_unlock(&shared->lock);
	return rc;
}

/* Whether nobody else has locks in the way. */
static bool shm_free(const struct ntc_vfs_shared *shared, int from, int count, bool exclusive)
{
	for (int i = from; i < from + count; i++) {
		if (exclusive ? shared->shm_locks[i] != 0 : shared->shm_locks[i] < 0)
			return false;
	}
	return true;
}

int ntc_vfs_shm_lock(struct ntc_vfs_part *part, int from, int count, int flags)
{
	struct ntc_vfs_shared *shared = part->shared;
	bool exclusive = flags & SQLITE_SHM_EXCLUSIVE;
	unsigned *mine = exclusive ? &part->shm_exclusive : &part->shm_shared;
	int rc = SQLITE_OK;

	pthread_mutex_lock(&shared->lock);
	if ((flags & SQLITE_SHM_LOCK) && !shm_free(shared, from, count, exclusive)) {
		rc = SQLITE_BUSY;
		goto out;
	}
	for (int i = from; i < from + count; i++) {
		unsigned bit = 1u << i;

		if (!(flags & SQLITE_SHM_LOCK) == !(*mine & bit))
			continue; /* as it is wanted already */
		if (flags & SQLITE_SHM_LOCK)
			shared->shm_locks[i] = exclusive ? -1 : shared->shm_locks[i] + 1;
		else
			shared->shm_locks[i] = exclusive ? 0 : shared->shm_locks[i] - 1;
		*mine ^= bit;
	}
out:
	pthread_mutex_unlock(&shared->lock);
	return rc;
}

void ntc_vfs_shm_barrier(struct ntc_vfs_part *part)
{
	__sync_synchronize();
	/* Also one that thread checkers know. */
	pthread_mutex_lock(&part->shared->lock);
	pthread_mutex_unlock(&part->shared->lock);
}

void ntc_vfs_shm_unmap(struct ntc_vfs_part *part)
{
	struct ntc_vfs_shared *shared = part->shared;

	if (!part->mapped)
		return;
	(void)ntc_vfs_shm_lock(part, 0, SQLITE_SHM_NLOCK, SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED); /* cannot fail */
	(void)ntc_vfs_shm_lock(part, 0, SQLITE_SHM_NLOCK, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
	pthread_mutex_lock(&shared->lock);
	part->mapped = false;
	if (--shared->mapped == 0) {
		for (int i = 0; i < shared->region_count; i++)
			free(shared->regions[i]);
		free(shared->regions);
		shared->regions = NULL;
		shared->region_count = 0;
	}
	pthread_mutex_unlock(&shared->lock);
}
