/* Rebuilding the index; see rebuild.h. docs/store.md argues the order of the renames. */
#include "store/rebuild.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "store/age.h"
#include "store/evict.h"
#include "store/index.h"
#include "store/salvage.h"
#include "store/sys.h"

#define MAKING NTC_INDEX_NAME ".tmp"    /* of no worth before it is whole */
#define READY NTC_INDEX_NAME ".new"     /* whole */
#define NAME_ROOM 96                    /* bytes of the name of an index that was set aside */

struct rebuild {
	struct ntc_index *old, *new;    /* old: NULL if it cannot be read at all */
	struct ntc_row *rows;           /* of images in the index, by digest */
	size_t count, room;
	uint64_t kept;                  /* rows of blobs */
	uint64_t age_s;                 /* the age clock, where it stood */
	struct ntc_evict evict;         /* without caps: for values alone */
};

static enum ntc_status failed(struct ntc_reason *reason, const char *what, int err)
{
	return ntc_reject(reason, ntc_status_from_errno(-err), "%s: %s", what, strerror(-err));
}

/* --- what can still be read --------------------------------------------------------------- */

static int by_digest(const void *va, const void *vb)
{
	const struct ntc_row *a = va, *b = vb;

	return memcmp(a->digest.bytes, b->digest.bytes, sizeof(a->digest.bytes));
}

/* A row of a blob is as good as ever: without a file it is dropped. One of an image waits for the image. */
static enum ntc_status take_row(void *ctx, const struct ntc_row *row)
{
	struct rebuild *r = ctx;
	struct ntc_row copy = *row;

	if (!row->image) {
		r->kept++;
		return ntc_index_put(r->new, &copy, NULL);
	}
	if (r->count == r->room) {
		size_t room = r->room ? r->room * 2 : 256;
		struct ntc_row *rows = reallocarray(r->rows, room, sizeof(*rows));

		if (!rows)
			return NTC_ST_NO_MEMORY;
		r->rows = rows;
		r->room = room;
	}
	r->rows[r->count++] = copy;
	return NTC_ST_OK;
}

/* Counters, age and what eviction knows are hints too: without them they begin again. */
static enum ntc_status take_value(struct rebuild *r, const char *name)
{
	enum ntc_status st = NTC_ST_OK;
	size_t len = 0;
	void *p = NULL;

	if (!ntc_index_get(r->old, name, &p, &len) && len)
		st = ntc_index_set(r->new, name, p, len);
	if (strcmp(name, NTC_AGE_NAME) == 0)
		r->age_s = ntc_age_load(p, len).age_s;
	if (strcmp(name, NTC_EVICT_NAME) == 0)
		(void)ntc_evict_load(&r->evict, p, len); /* it begins again, too */
	free(p);
	return st;
}

static enum ntc_status take_over(struct rebuild *r)
{
	enum ntc_status st = take_value(r, "counters");

	if (!st)
		st = take_value(r, NTC_AGE_NAME);
	if (!st)
		st = take_value(r, NTC_EVICT_NAME);
	if (!st)
		st = ntc_index_each(r->old, take_row, r);
	if (r->count)
		qsort(r->rows, r->count, sizeof(*r->rows), by_digest);
	/* It ends where the damage is; the new index has to be without any. */
	return st == NTC_ST_BAD_STORE || st == NTC_ST_IO ? NTC_ST_OK : st;
}

/* --- what is salvaged --------------------------------------------------------------------- */

static enum ntc_status take_image(void *ctx, const struct ntc_row *found, const struct ntc_buffer *image)
{
	struct rebuild *r = ctx;
	const struct ntc_row *old = r->count ? bsearch(found, r->rows, r->count, sizeof(*r->rows), by_digest) : NULL;
	struct ntc_row row = *found;

	row.used_age = r->age_s;
	ntc_evict_put(&r->evict, &row, r->count);
	if (old) {
		row.flags = old->flags & NTC_ROW_PINNED;
		row.hits = old->hits;
		row.used = old->used;
		row.weight = old->weight;
		row.value = old->value;
		row.used_age = old->used_age;
	}
	return ntc_index_put(r->new, &row, image);
}

static enum ntc_status fill(struct rebuild *r, int dir_fd, struct ntc_salvaged *salvaged, struct ntc_reason *reason)
{
	enum ntc_status st = ntc_index_begin(r->new);

	if (!st)
		st = ntc_index_set(r->new, NTC_REBUILDING_NAME, "1", 1);
	if (!st && r->old)
		st = take_over(r);
	if (st)
		return ntc_reject(reason, st, "the new index: %s", ntc_index_error(r->new));
	st = ntc_salvage(dir_fd, NTC_INDEX_NAME, take_image, r, salvaged, reason);
	if (st && st != NTC_ST_NOT_FOUND)
		return st;
	st = ntc_index_commit(r->new);
	return st ? ntc_reject(reason, st, "the new index: %s", ntc_index_error(r->new)) : NTC_ST_OK;
}

/* Make what was closed just now durable, under the name that says that it is whole. */
static int name_ready(int dir_fd)
{
	int fd = ntc_sys_open(dir_fd, MAKING, O_RDONLY | O_NOFOLLOW, 0), err;

	if (fd < 0)
		return fd;
	err = ntc_sys_fsync(fd);
	ntc_sys_close(fd);
	if (!err)
		err = ntc_sys_rename(dir_fd, MAKING, dir_fd, READY);
	return err ? err : ntc_sys_fsync(dir_fd);
}

static enum ntc_status make(const char *dir, int dir_fd, const struct ntc_store_log *log, struct ntc_reason *reason)
{
	struct ntc_salvaged salvaged = { 0 };
	struct rebuild r = { .old = NULL };
	enum ntc_status st = NTC_ST_OK;
	int err = ntc_sys_unlink(dir_fd, MAKING);

	ntc_evict_init(&r.evict, 0, 0);
	if (err && err != -ENOENT)
		return failed(reason, "what an earlier attempt left", err);
	/* Damaged as it is, it may not open. */
	(void)ntc_index_open_reader(dir, &r.old, NULL);
	st = ntc_index_make(dir, MAKING, &r.new, reason);
	if (!st)
		st = fill(&r, dir_fd, &salvaged, reason);
	ntc_index_close(r.old, false);
	ntc_index_close(r.new, false);
	free(r.rows);
	ntc_evict_release(&r.evict);
	if (!st) {
		err = name_ready(dir_fd);
		if (err)
			st = failed(reason, "the new index", err);
	}
	if (st)
		(void)ntc_sys_unlink(dir_fd, MAKING); /* the next attempt begins with that */
	else if (salvaged.images || salvaged.lost || r.kept)
		ntc_store_log(log, NTC_LOG_NOTICE, "the new index has %" PRIu64 " images and %" PRIu64
			      " rows of the damaged one; %" PRIu64 " images are lost", salvaged.images, r.kept,
			      salvaged.lost);
	return st;
}

/* --- names -------------------------------------------------------------------------------- */

static int size_of(int dir_fd, const char *name, off_t *size)
{
	struct stat st = { 0 };
	int err = ntc_sys_stat_at(dir_fd, name, &st);

	*size = st.st_size;
	return err;
}

/* A free name with the date for a damaged index; also its journal's is free. */
static int damaged_name(int dir_fd, char name[NAME_ROOM])
{
	time_t now = (time_t)(ntc_clock_wall_ns() / NTC_NS_PER_S);
	char date[32], wal[NAME_ROOM + 4];
	struct tm tm;
	off_t size;
	int err = 0;

	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", &tm);
	for (int n = 1; n < 100; n++) {
		(void)snprintf(name, NAME_ROOM, NTC_INDEX_NAME ".damaged-%s.%d", date, n);
		(void)snprintf(wal, sizeof(wal), "%s-wal", name);
		err = size_of(dir_fd, name, &size);
		if (err == -ENOENT)
			err = size_of(dir_fd, wal, &size);
		if (err == -ENOENT)
			return 0;
		if (err)
			return err;
	}
	return -EEXIST;
}

/* Rename the index and its journal; either may be away already. */
static int set_aside(int dir_fd, const char *to)
{
	char wal[NAME_ROOM + 4];
	off_t size;
	int err = ntc_sys_rename(dir_fd, NTC_INDEX_NAME, dir_fd, to);

	if (err && err != -ENOENT)
		return err;
	err = size_of(dir_fd, NTC_INDEX_NAME "-wal", &size);
	/* A journal without anything is the next index's as well. */
	if (!err && size) {
		(void)snprintf(wal, sizeof(wal), "%s-wal", to);
		err = ntc_sys_rename(dir_fd, NTC_INDEX_NAME "-wal", dir_fd, wal);
	}
	if (err && err != -ENOENT)
		return err;
	/* Before there is another index: it must never meet this journal. */
	return ntc_sys_fsync(dir_fd);
}

bool ntc_rebuild_pending(int dir_fd)
{
	off_t size;

	/* As long as nobody can say, it may be. */
	return size_of(dir_fd, READY, &size) != -ENOENT;
}

enum ntc_status ntc_rebuild_finish(int dir_fd, const struct ntc_store_log *log, struct ntc_reason *reason)
{
	char to[NAME_ROOM];
	off_t size;
	int err = size_of(dir_fd, READY, &size);

	if (err == -ENOENT)
		return NTC_ST_OK;
	if (!err)
		err = damaged_name(dir_fd, to);
	if (!err)
		err = set_aside(dir_fd, to);
	if (err)
		return failed(reason, "the damaged index cannot be set aside", err);
	err = ntc_sys_rename(dir_fd, READY, dir_fd, NTC_INDEX_NAME);
	if (!err)
		err = ntc_sys_fsync(dir_fd);
	if (err)
		return failed(reason, "the new index", err);
	ntc_store_log(log, NTC_LOG_ERROR, "the damaged index was set aside as %s", to);
	return NTC_ST_OK;
}

enum ntc_status ntc_rebuild(const char *dir, int dir_fd, const char *why, const struct ntc_store_log *log,
			    struct ntc_reason *reason)
{
	/* One that is ready already has everything: nothing was changed since. */
	off_t size;
	enum ntc_status st = NTC_ST_OK;

	ntc_store_log(log, NTC_LOG_ERROR, "%s: a new index is made", why);
	if (size_of(dir_fd, READY, &size))
		st = make(dir, dir_fd, log, reason);
	return st ? st : ntc_rebuild_finish(dir_fd, log, reason);
}
