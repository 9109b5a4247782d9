/* The shared segment's memory and contents; see publisher.h. */
#include "daemon/publisher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/limits.h"
#include "daemon/log.h"

_Static_assert(NTC_SEGMENT_OWNER_DIED == FUTEX_OWNER_DIED, "the mark is the kernel's");

/*
 * How the kernel is told which word to mark at this thread's death: its list of robust futexes. The C library has one for
 * robust mutexes, of which this daemon has none; it comes back when the segment goes.
 */
struct owner {
	struct robust_list_head head;
	struct robust_list entry;
	struct robust_list_head *before;
	size_t before_size;
	bool set;
};

struct ntc_publisher {
	struct ntc_segment_writer writer;
	struct ntc_segment reader; /* of the same memory */
	uint8_t *memory;
	size_t size;
	int fd;    /* ours */
	int shown; /* for clients: read-only */
	struct owner owner;
	bool closed;
	unsigned loads; /* under way */
	uint64_t promoted;
	uint32_t seen[NTC_PUBLISHER_SEEN]; /* used once, by digest: a few bits of it */
};

/* --- the owner ---------------------------------------------------------------------------- */

/* From now on the kernel marks `word` when this thread ends. Without that, clients learn it from the connection. */
static void own(struct owner *owner, uint8_t *word)
{
	uint32_t thread = (uint32_t)syscall(SYS_gettid);

	if (syscall(SYS_get_robust_list, 0, &owner->before, &owner->before_size))
		return;
	owner->entry.next = &owner->head.list;
	owner->head.list.next = &owner->entry;
	owner->head.futex_offset = (long)((intptr_t)word - (intptr_t)&owner->entry);
	owner->head.list_op_pending = NULL;
	__atomic_store_n((uint32_t *)(void *)word, thread, __ATOMIC_RELEASE);
	owner->set = syscall(SYS_set_robust_list, &owner->head, sizeof(owner->head)) == 0;
}

static void disown(struct owner *owner)
{
	/* What was there before cannot be refused. */
	if (owner->set)
		(void)syscall(SYS_set_robust_list, owner->before, owner->before_size);
	owner->set = false;
}

/* --- memory ------------------------------------------------------------------------------- */

/* Taken here, where it can fail; a page that cannot be had when it is written is the end of a process. */
static bool take_memory(const struct ntc_publisher *p, uint64_t from, uint64_t to)
{
	int done;

	do
		done = fallocate(p->fd, 0, (off_t)from, (off_t)(to - from));
	while (done && errno == EINTR);
	return done == 0;
}

static bool on_grow(void *ctx, uint64_t from, uint64_t to)
{
	bool done = take_memory(ctx, from, to);

	if (!done)
		ntc_log(NTC_LOG_WARNING,
			"no memory for more than %llu bytes of the shared segment: it stays that small",
			(unsigned long long)from);
	return done;
}

/* A descriptor that is not even open for writing. Without /proc the seals have to be enough. */
static int read_only(int fd)
{
	char path[64];
	int shown;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	shown = open(path, O_RDONLY | O_CLOEXEC);
	return shown >= 0 ? shown : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static enum ntc_status map_it(struct ntc_publisher *p, struct ntc_reason *reason)
{
	/* Who has our mapping writes; nobody makes another one, here or elsewhere, nor changes its size. */
	int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
	void *memory;

	p->fd = memfd_create("ntcached-segment", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (p->fd < 0 || ftruncate(p->fd, (off_t)p->size) ||
	    !take_memory(p, 0, ntc_segment_table_end(p->size)))
		return ntc_reject(reason, ntc_status_from_errno(errno), "its memory: %s", strerror(errno));
	memory = mmap(NULL, p->size, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
	if (memory == MAP_FAILED)
		return ntc_reject(reason, NTC_ST_NO_MEMORY, "mapping it: %s", strerror(errno));
	p->memory = memory;
	if (fchmod(p->fd, 0400) || fcntl(p->fd, F_ADD_SEALS, seals))
		return ntc_reject(reason, NTC_ST_IO, "sealing it: %s", strerror(errno));
	p->shown = read_only(p->fd);
	return p->shown >= 0 ? NTC_ST_OK
			     : ntc_reject(reason, ntc_status_from_errno(errno), "its descriptor: %s",
					  strerror(errno));
}

struct ntc_publisher *ntc_publisher_new(uint64_t size, uint64_t instance, struct ntc_reason *reason)
{
	struct ntc_publisher *p = calloc(1, sizeof(*p));

	if (!p) {
		ntc_reject(reason, NTC_ST_NO_MEMORY, "out of memory");
		return NULL;
	}
	p->fd = p->shown = -1;
	p->size = (size_t)size / 4096 * 4096;
	if (map_it(p, reason)) {
		ntc_publisher_free(p);
		return NULL;
	}
	if (!ntc_segment_make(p->memory, p->size, instance, on_grow, p, &p->writer)) {
		ntc_reject(reason, NTC_ST_TOO_LARGE, "%zu bytes cannot be its size", p->size);
		ntc_publisher_free(p);
		return NULL;
	}
	if (ntc_segment_open(p->memory, p->size, &p->reader, reason)) {
		ntc_publisher_free(p);
		return NULL;
	}
	own(&p->owner, p->memory + NTC_SEGMENT_AT_OWNER);
	return p;
}

void ntc_publisher_close(struct ntc_publisher *p)
{
	if (!p || p->closed)
		return;
	p->closed = true;
	ntc_segment_close(&p->writer);
}

void ntc_publisher_free(struct ntc_publisher *p)
{
	if (!p)
		return;
	if (p->writer.base)
		ntc_publisher_close(p);
	disown(&p->owner);
	if (p->memory)
		munmap(p->memory, p->size);
	if (p->fd >= 0)
		close(p->fd);
	if (p->shown >= 0)
		close(p->shown);
	free(p);
}

int ntc_publisher_fd(const struct ntc_publisher *p)
{
	return p ? p->shown : -1;
}

uint64_t ntc_publisher_size(const struct ntc_publisher *p)
{
	return p ? p->size : 0;
}

/* --- contents ----------------------------------------------------------------------------- */

size_t ntc_publisher_largest(uint64_t size)
{
	uint64_t largest = size / NTC_PUBLISHER_SHARE;

	if (largest < NTC_PUBLISHER_IMAGE_LEAST)
		largest = NTC_PUBLISHER_IMAGE_LEAST < size / 16 ? NTC_PUBLISHER_IMAGE_LEAST : size / 16;
	return largest < NTC_PUBLISHER_IMAGE_MAX ? (size_t)largest : NTC_PUBLISHER_IMAGE_MAX;
}

void ntc_publisher_put(struct ntc_publisher *p, const struct ntc_digest *digest, struct ntc_view image)
{
	if (!p || p->closed)
		return;
	/* One that is too large, for the rest or to pay, leaves nothing old under its digest. */
	if (image.len > ntc_publisher_largest(p->size))
		(void)ntc_segment_unpublish(&p->writer, digest);
	else
		(void)ntc_segment_publish(&p->writer, digest,
					  image); /* without memory it is read from its file */
}

void ntc_publisher_remove(struct ntc_publisher *p, const struct ntc_digest *digest)
{
	if (p && !p->closed)
		(void)ntc_segment_unpublish(&p->writer, digest); /* it may not be there */
}

/* Whether a digest was used before, as far as that is remembered; it is from now on. */
static bool seen_before(struct ntc_publisher *p, const struct ntc_digest *digest)
{
	uint32_t *place = &p->seen[ntc_load32(digest->bytes) % NTC_PUBLISHER_SEEN];
	uint32_t mark = ntc_load32(digest->bytes + 4) | 1;
	bool before = *place == mark;

	*place = mark;
	return before;
}

static void promote(struct ntc_publisher *p, const struct ntc_digest *digest, struct ntc_view image)
{
	ntc_publisher_put(p, digest, image);
	p->promoted += ntc_segment_has(&p->writer, digest);
}

/* The store vouches for it: what was removed meanwhile is not found. */
static void loaded(void *ctx, enum ntc_status st, const struct ntc_loaded *found)
{
	struct ntc_publisher *p = ctx;

	p->loads--;
	/* It may have been put there, or asked for twice, while it was read. */
	if (!st && !p->closed && !ntc_segment_has(&p->writer, &found->row.digest))
		promote(p, &found->row.digest, ntc_view(found->image->bytes, found->image->len));
}

void ntc_publisher_used(struct ntc_publisher *p, struct ntc_store *store, const struct ntc_digest *digest,
			uint64_t uses, struct ntc_view image)
{
	if (!p || p->closed || ntc_segment_has(&p->writer, digest))
		return;
	if (image.len) {
		promote(p, digest, image);
		return;
	}
	if (!seen_before(p, digest) && uses < 2)
		return;
	if (p->loads < NTC_PUBLISHER_LOADS_MAX) {
		/* Those that find no place now are used again, or not worth it. */
		p->loads++;
		ntc_store_load_digest(store, digest, loaded, p);
	}
}

struct ntc_view ntc_publisher_find(const struct ntc_publisher *p, const struct ntc_digest *digest,
				   struct ntc_view key)
{
	struct ntc_segment_hit hit;

	/* Nobody writes meanwhile: only this thread does. */
	if (!p || p->closed || !ntc_segment_find(&p->reader, digest, key, &hit))
		return ntc_view(NULL, 0);
	return ntc_view(hit.image, hit.len);
}

struct ntc_publisher_counts ntc_publisher_counts(const struct ntc_publisher *p)
{
	struct ntc_publisher_counts counts = { 0 };

	if (!p)
		return counts;
	counts.size = p->size;
	counts.entries = p->writer.entries;
	counts.bytes = p->writer.bytes;
	counts.published = p->writer.published;
	counts.evicted = p->writer.evicted;
	counts.promoted = p->promoted;
	return counts;
}
