/* Blob files; see blob.h. Modes are set with fchmod, so that the umask has no say. */
#include "store/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "store/image.h"
#include "store/sys.h"

static mode_t dir_mode(const struct ntc_blobs *blobs)
{
	return blobs->group_readable ? 0750 : 0700;
}

static void shard_name(unsigned shard, char name[3])
{
	snprintf(name, 3, "%02x", shard & 0xff);
}

void ntc_blob_path(const struct ntc_digest *digest, char path[NTC_BLOB_PATH])
{
	ntc_digest_format(digest, path + 3);
	path[0] = path[3];
	path[1] = path[4];
	path[2] = '/';
}

/* Open the directory `name` in `dir`, made if it does not exist, with our mode. Returns it or -errno. */
static int open_dir(const struct ntc_blobs *blobs, int dir, const char *name)
{
	int err = ntc_sys_mkdir(dir, name, dir_mode(blobs)), fd;
	struct stat st;

	if (err && err != -EEXIST)
		return err;
	fd = ntc_sys_open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	err = ntc_sys_stat(fd, &st);
	if (!err && (st.st_mode & 07777) != dir_mode(blobs))
		err = ntc_sys_chmod(fd, dir_mode(blobs));
	if (err) {
		ntc_sys_close(fd);
		return err;
	}
	return fd;
}

static int count_one(void *ctx, const char *name)
{
	(void)name;
	++*(unsigned *)ctx;
	return 0;
}

enum ntc_status ntc_blobs_open(struct ntc_blobs *blobs, int dir, const char *domain, bool group_readable,
			       struct ntc_reason *reason)
{
	int err = 0;

	*blobs = (struct ntc_blobs){ .domain = -1, .path = -1, .tmp = -1, .quarantine = -1,
				     .group_readable = group_readable };
	err = blobs->domain = open_dir(blobs, dir, domain);
	if (err >= 0)
		err = blobs->path = ntc_sys_open(dir, domain, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	if (err >= 0)
		err = blobs->tmp = open_dir(blobs, blobs->domain, "tmp");
	if (err >= 0)
		err = blobs->quarantine = open_dir(blobs, blobs->domain, "quarantine");
	if (err >= 0)
		err = ntc_sys_list(blobs->domain, "quarantine", count_one, &blobs->quarantined);
	/* The names just made have to be there after a power cut, like the files in them; where nothing can be
	 * written none was made. */
	if (err >= 0)
		err = ntc_sys_fsync(blobs->domain);
	if (err >= 0)
		err = ntc_sys_fsync(dir);
	if (err == -EROFS)
		err = 0;
	if (err >= 0)
		return NTC_ST_OK;
	ntc_blobs_close(blobs);
	return ntc_reject(reason, ntc_status_from_errno(-err), "the blob directory: %s", strerror(-err));
}

void ntc_blobs_close(struct ntc_blobs *blobs)
{
	ntc_sys_close(blobs->domain);
	ntc_sys_close(blobs->path);
	ntc_sys_close(blobs->tmp);
	ntc_sys_close(blobs->quarantine);
	blobs->domain = blobs->path = blobs->tmp = blobs->quarantine = -1;
}

/* --- reading ------------------------------------------------------------------------------ */

enum ntc_status ntc_blob_load(const struct ntc_blobs *blobs, const struct ntc_digest *digest,
			      struct ntc_buffer **image, int *fd, struct ntc_row *row, struct ntc_reason *reason)
{
	struct ntc_buffer *buffer = NULL;
	enum ntc_status st = NTC_ST_OK;
	char path[NTC_BLOB_PATH];
	struct stat file;
	int blob, err;

	*image = NULL;
	*row = (struct ntc_row){ 0 };
	if (fd)
		*fd = -1;
	ntc_blob_path(digest, path);
	/* Not to be kept waiting by whatever somebody may have put there under that name. */
	blob = ntc_sys_open(blobs->domain, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (blob == -ENOENT)
		return ntc_reject(reason, NTC_ST_NOT_FOUND, "no such file");
	if (blob == -ELOOP || blob == -ENXIO)
		return ntc_reject(reason, NTC_ST_BAD_IMAGE, "not a regular file");
	if (blob < 0)
		return ntc_reject(reason, ntc_status_from_errno(-blob), "%s", strerror(-blob));
	err = ntc_sys_stat(blob, &file);
	if (err) {
		st = ntc_reject(reason, ntc_status_from_errno(-err), "%s", strerror(-err));
		goto out;
	}
	if (!S_ISREG(file.st_mode) || file.st_size < NTC_IMAGE_MIN || (uint64_t)file.st_size > NTC_IMAGE_MAX) {
		st = ntc_reject(reason, NTC_ST_BAD_IMAGE, "no image has %lld bytes", (long long)file.st_size);
		goto out;
	}
	buffer = ntc_buffer_new((size_t)file.st_size);
	if (!buffer) {
		st = ntc_reject(reason, NTC_ST_NO_MEMORY, "out of memory");
		goto out;
	}
	err = ntc_sys_read(blob, buffer->bytes, buffer->len, 0);
	if (err) {
		/* A file that got shorter is damaged; anything else may pass, and then the entry is good. */
		st = err == -ENODATA ? NTC_ST_BAD_IMAGE : ntc_status_from_errno(-err);
		st = ntc_reject(reason, st, "%s", strerror(-err));
		goto out;
	}
	st = ntc_image_verify(ntc_view(buffer->bytes, buffer->len), digest, row, reason);
	if (st)
		goto out;
	*image = buffer;
	buffer = NULL;
	if (fd) {
		*fd = blob;
		blob = -1;
	}
out:
	ntc_buffer_unref(buffer);
	ntc_sys_close(blob);
	return st;
}

void ntc_blob_uncache(const struct ntc_blobs *blobs, const struct ntc_digest *digest)
{
	char path[NTC_BLOB_PATH];
	int blob;

	ntc_blob_path(digest, path);
	blob = ntc_sys_open(blobs->domain, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (blob < 0)
		return; /* reading it will tell */
	(void)posix_fadvise(blob, 0, 0, POSIX_FADV_DONTNEED); /* advice: some file systems do not take it */
	ntc_sys_close(blob);
}

/* --- writing ------------------------------------------------------------------------------ */

enum ntc_status ntc_blob_write(struct ntc_blobs *blobs, const struct ntc_digest *digest,
			       const struct ntc_buffer *image, struct ntc_blob_temp *temp)
{
	char text[NTC_DIGEST_TEXT];
	int err;

	ntc_digest_format(digest, text);
	snprintf(temp->name, sizeof(temp->name), "%s.%" PRIx64, text, blobs->next_temp++);
	err = temp->fd = ntc_sys_open(blobs->tmp, temp->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (err < 0)
		temp->name[0] = '\0';
	else
		err = ntc_sys_write(temp->fd, image->bytes, image->len, 0);
	if (err >= 0 && blobs->group_readable)
		err = ntc_sys_chmod(temp->fd, 0640);
	else if (err >= 0)
		err = ntc_sys_chmod(temp->fd, 0600);
	if (err >= 0)
		return NTC_ST_OK;
	ntc_blob_discard(blobs, temp);
	return ntc_status_from_errno(-err);
}

void ntc_blob_start(const struct ntc_blob_temp *temp)
{
	ntc_sys_start_write(temp->fd);
}

void ntc_blob_close(struct ntc_blob_temp *temp)
{
	ntc_sys_close(temp->fd);
	temp->fd = -1;
}

enum ntc_status ntc_blob_sync(struct ntc_blob_temp *temp)
{
	int err = ntc_sys_fsync(temp->fd);

	ntc_blob_close(temp);
	return err ? ntc_status_from_errno(-err) : NTC_ST_OK;
}

/* The shard's directory, made durably before any name in it. */
static int make_shard(struct ntc_blobs *blobs, unsigned shard)
{
	char name[3];
	int fd, err;

	if (blobs->made[shard])
		return 0;
	shard_name(shard, name);
	fd = open_dir(blobs, blobs->domain, name);
	if (fd < 0)
		return fd;
	ntc_sys_close(fd);
	err = ntc_sys_fsync(blobs->domain);
	if (!err)
		blobs->made[shard] = true;
	return err;
}

enum ntc_status ntc_blob_publish(struct ntc_blobs *blobs, const struct ntc_digest *digest,
				 struct ntc_blob_temp *temp)
{
	char path[NTC_BLOB_PATH];
	int err = make_shard(blobs, digest->bytes[0]);

	ntc_blob_path(digest, path);
	blobs->synced[digest->bytes[0]] = false;
	if (!err)
		err = ntc_sys_rename(blobs->tmp, temp->name, blobs->domain, path);
	if (err)
		return ntc_status_from_errno(-err);
	temp->name[0] = '\0';
	return NTC_ST_OK;
}

void ntc_blob_discard(struct ntc_blobs *blobs, struct ntc_blob_temp *temp)
{
	ntc_sys_close(temp->fd);
	temp->fd = -1;
	/* What stays is swept at the next start. */
	if (temp->name[0])
		(void)ntc_sys_unlink(blobs->tmp, temp->name);
	temp->name[0] = '\0';
}

enum ntc_status ntc_blob_unlink(struct ntc_blobs *blobs, const struct ntc_digest *digest)
{
	char path[NTC_BLOB_PATH];
	int err;

	ntc_blob_path(digest, path);
	err = ntc_sys_unlink(blobs->domain, path);
	/* Without such a name nothing has changed. */
	if (err != -ENOENT)
		blobs->synced[digest->bytes[0]] = false;
	return err && err != -ENOENT ? ntc_status_from_errno(-err) : NTC_ST_OK;
}

enum ntc_status ntc_blob_quarantine(struct ntc_blobs *blobs, const struct ntc_digest *digest)
{
	char path[NTC_BLOB_PATH];
	int err = -EEXIST;

	ntc_blob_path(digest, path);
	if (blobs->quarantined < NTC_BLOB_QUARANTINE_MAX)
		err = ntc_sys_rename(blobs->domain, path, blobs->quarantine, path + 3);
	if (err != -ENOENT)
		blobs->synced[digest->bytes[0]] = false;
	if (!err)
		blobs->quarantined++; /* too many if the name was there already: then fewer are kept */
	else if (err != -ENOENT)
		return ntc_blob_unlink(blobs, digest);
	return NTC_ST_OK;
}

void ntc_blobs_synced(struct ntc_blobs *blobs)
{
	for (unsigned shard = 0; shard < NTC_BLOB_SHARDS; shard++)
		blobs->synced[shard] = true;
}

enum ntc_status ntc_blob_sync_shard(struct ntc_blobs *blobs, unsigned shard)
{
	char name[3];
	int fd, err;

	if (blobs->synced[shard])
		return NTC_ST_OK;
	shard_name(shard, name);
	fd = ntc_sys_open(blobs->domain, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd == -ENOENT) {
		/* No directory, no names. */
		blobs->synced[shard] = true;
		return NTC_ST_OK;
	}
	if (fd < 0)
		return ntc_status_from_errno(-fd);
	err = ntc_sys_fsync(fd);
	ntc_sys_close(fd);
	blobs->synced[shard] = !err;
	return err ? ntc_status_from_errno(-err) : NTC_ST_OK;
}

int ntc_blobs_try(struct ntc_blobs *blobs)
{
	static const uint8_t bytes[4096];
	int fd = ntc_sys_open(blobs->tmp, "trial", O_WRONLY | O_CREAT | O_NOFOLLOW, 0600), err = 0;

	if (fd < 0)
		return fd;
	for (unsigned at = 0; !err && at < NTC_BLOB_TRIAL; at += sizeof(bytes))
		err = ntc_sys_write(fd, bytes, sizeof(bytes), (off_t)at);
	if (!err)
		err = ntc_sys_fsync(fd);
	ntc_sys_close(fd);
	/* What stays is written over by the next trial and swept at the next start. */
	(void)ntc_sys_unlink(blobs->tmp, "trial");
	return err;
}

/* --- start-up ----------------------------------------------------------------------------- */

struct sweep {
	int dir;
	uint64_t count;
};

static int sweep_one(void *ctx, const char *name)
{
	struct sweep *s = ctx;
	int err = ntc_sys_unlink(s->dir, name);

	/* A directory in there is not ours; leave it. */
	if (err == -EISDIR || err == -EPERM)
		return 0;
	if (!err)
		s->count++;
	return err;
}

enum ntc_status ntc_blobs_sweep(struct ntc_blobs *blobs, uint64_t *swept)
{
	struct sweep s = { .dir = blobs->tmp };
	int err = ntc_sys_list(blobs->domain, "tmp", sweep_one, &s);

	*swept = s.count;
	return err ? ntc_status_from_errno(-err) : NTC_ST_OK;
}

enum ntc_status ntc_blobs_sweep_quarantine(struct ntc_blobs *blobs, uint64_t *swept)
{
	struct sweep s = { .dir = blobs->quarantine };
	int err = ntc_sys_list(blobs->domain, "quarantine", sweep_one, &s);

	blobs->quarantined -= s.count < blobs->quarantined ? (unsigned)s.count : blobs->quarantined;
	*swept = s.count;
	return err ? ntc_status_from_errno(-err) : NTC_ST_OK;
}

struct walk {
	char shard[3];
	enum ntc_status (*each)(void *ctx, const struct ntc_digest *digest);
	void *ctx;
	uint64_t *strangers;
	enum ntc_status st;     /* what `each` returned */
};

static int walk_one(void *ctx, const char *name)
{
	char text[NTC_DIGEST_TEXT];
	struct walk *w = ctx;
	struct ntc_digest digest;

	/* Only names as we write them: upper-case digits would be another file. */
	if (!ntc_digest_parse(name, &digest) || (ntc_digest_format(&digest, text), strcmp(text, name) != 0) ||
	    strncmp(name, w->shard, 2) != 0) {
		++*w->strangers;
		return 0;
	}
	w->st = w->each(w->ctx, &digest);
	return w->st ? 1 : 0;
}

enum ntc_status ntc_blobs_each(struct ntc_blobs *blobs, unsigned shard,
			       enum ntc_status (*each)(void *ctx, const struct ntc_digest *digest), void *ctx,
			       uint64_t *strangers)
{
	struct walk w = { .each = each, .ctx = ctx, .strangers = strangers };
	int err;

	*strangers = 0;
	shard_name(shard, w.shard);
	err = ntc_sys_list(blobs->domain, w.shard, walk_one, &w);
	if (w.st)
		return w.st;
	return err && err != -ENOENT ? ntc_status_from_errno(-err) : NTC_ST_OK;
}
