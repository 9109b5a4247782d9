/*
 * The store: opening and closing, messages from the threads, uses, counters, listing, eviction. Owner
 * thread only. The life of single entries is in entries.c.
 */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "proto/key.h"
#include "store/dirs.h"
#include "store/fs.h"
#include "store/lock.h"
#include "store/owner.h"
#include "store/sys.h"

struct ntc_op *ntc_store_op_new(struct ntc_store *store, enum ntc_op_type type, const struct ntc_digest *digest,
				const struct ntc_view *key)
{
	struct ntc_op *op = ntc_op_new(type, digest, key);

	if (op)
		store->ops++;
	return op;
}

void ntc_store_op_free(struct ntc_store *store, struct ntc_op *op)
{
	if (!op)
		return;
	store->ops--;
	ntc_op_free(op);
}

/* --- uses --------------------------------------------------------------------------------- */

void ntc_store_forget(struct ntc_store *store, struct ntc_entry *entry)
{
	if (entry->touched)
		store->touches[entry->touched - 1].used = 0;
	ntc_table_remove(&store->table, entry);
}

void ntc_store_set_timer(struct ntc_store *store, uint64_t ns)
{
	const struct itimerspec once = { .it_value = { .tv_sec = (time_t)(ns / NTC_NS_PER_S),
						       .tv_nsec = (long)(ns % NTC_NS_PER_S) } };
	uint64_t due = ntc_clock_mono_ns() + ns;

	/* Cannot fail with these arguments. */
	if ((!store->timer_ns || due < store->timer_ns) && timerfd_settime(store->timer, 0, &once, NULL) == 0)
		store->timer_ns = due;
}

/* Hand the noted uses to the writer; what there is no memory for stays noted. */
void ntc_store_flush_touches(struct ntc_store *store)
{
	while (store->touch_count) {
		size_t n = store->touch_count < NTC_TOUCH_BATCH ? store->touch_count : NTC_TOUCH_BATCH;
		struct ntc_touch *from = store->touches + store->touch_count - n, *items;
		struct ntc_op *op = ntc_store_op_new(store, NTC_OP_TOUCH, NULL, NULL);

		items = op ? malloc(n * sizeof(*items)) : NULL;
		if (!items) {
			ntc_store_op_free(store, op);
			return;
		}
		op->items = items;
		for (size_t i = 0; i < n; i++) {
			struct ntc_entry *entry = from[i].used ? ntc_table_find(&store->table, &from[i].digest) : NULL;

			if (!entry)
				continue;
			entry->touched = 0;
			items[op->count++] = from[i];
		}
		store->touch_count -= n;
		store->touch_ops++;
		op->age = store->age;
		op->entries = store->table.count;
		ntc_queue_push(&store->writer.queue, op);
	}
}

static struct ntc_touch *touch_of(struct ntc_store *store, struct ntc_entry *entry)
{
	if (entry->touched)
		return &store->touches[entry->touched - 1];
	if (store->touch_count >= NTC_TOUCH_MAX) {
		/* Behind a slow disk uses are not noted any more: they are only hints. */
		if (store->touch_ops)
			return NULL;
		ntc_store_flush_touches(store);
	}
	if (store->touch_count == store->touch_room) {
		size_t room = store->touch_room ? store->touch_room * 2 : 256;
		struct ntc_touch *touches = store->touch_room < NTC_TOUCH_MAX
			? reallocarray(store->touches, room, sizeof(*touches)) : NULL;

		if (!touches)
			return NULL;
		store->touches = touches;
		store->touch_room = room;
	}
	store->touches[store->touch_count] = (struct ntc_touch){ .digest = entry->digest };
	entry->touched = (uint32_t)++store->touch_count;
	return &store->touches[store->touch_count - 1];
}

uint64_t ntc_store_hit(struct ntc_store *store, const struct ntc_digest *digest, uint64_t count)
{
	struct ntc_entry *entry = ntc_table_find(&store->table, digest);
	struct ntc_touch *touch = entry && count ? touch_of(store, entry) : NULL;

	if (touch) {
		touch->hits = count < UINT32_MAX - touch->hits ? touch->hits + (uint32_t)count : UINT32_MAX;
		touch->used = ++store->recency;
		touch->used_age = ntc_age_read(&store->age, ntc_clock_wall_ns());
		ntc_store_set_timer(store, NTC_TOUCH_WAIT_NS);
	}
	return entry ? entry->cost_ns : 0;
}

unsigned ntc_store_kind(const struct ntc_store *store, const struct ntc_digest *digest)
{
	const struct ntc_entry *entry = ntc_table_find(&store->table, digest);

	return entry ? entry->kind : 0;
}

/* --- counters, listing, statistics -------------------------------------------------------- */

static void send_counters(struct ntc_store *store, struct ntc_op *op)
{
	store->counters_under_way = true;
	ntc_queue_push(&store->writer.queue, op);
}

struct ntc_view ntc_store_saved_counters(const struct ntc_store *store)
{
	return ntc_view(store->saved_len ? store->saved : NULL, store->saved_len);
}

void ntc_store_save_counters(struct ntc_store *store, struct ntc_view counters)
{
	struct ntc_op *op = counters.len <= NTC_KEY_MAX ? ntc_store_op_new(store, NTC_OP_COUNTERS, NULL, NULL) : NULL;

	if (op)
		op->items = malloc(counters.len ? counters.len : 1);
	if (!op || !op->items) {
		/* The next save has newer ones. */
		ntc_store_op_free(store, op);
		ntc_store_log(&store->log, NTC_LOG_WARNING, "the counters are not saved this time");
		return;
	}
	op->count = counters.len;
	(void)ntc_age_read(&store->age, ntc_clock_wall_ns());
	op->age = store->age;
	if (counters.len)
		memcpy(op->items, counters.p, counters.len);
	if (!store->counters_under_way) {
		send_counters(store, op);
		return;
	}
	ntc_store_op_free(store, store->next_counters);
	store->next_counters = op;
}

static void counters_done(struct ntc_store *store, struct ntc_op *op)
{
	struct ntc_op *next = store->next_counters;

	ntc_store_op_free(store, op);
	store->counters_under_way = false;
	store->next_counters = NULL;
	if (next)
		send_counters(store, next);
}

void ntc_store_list(struct ntc_store *store, const struct ntc_digest *after, unsigned kind, size_t limit,
		    ntc_list_fn *fn, void *ctx)
{
	struct ntc_op *op = NULL;

	if (store->ops < NTC_STORE_OPS_MAX)
		op = ntc_store_op_new(store, NTC_OP_LIST, after, NULL);
	if (!op) {
		fn(ctx, store->ops < NTC_STORE_OPS_MAX ? NTC_ST_NO_MEMORY : NTC_ST_BUSY, NULL, 0, false);
		return;
	}
	op->kind = kind;
	op->limit = limit < NTC_ROWS_MAX ? limit : NTC_ROWS_MAX;
	if (!op->limit)
		op->limit = 1;
	op->fn.list = fn;
	op->ctx = ctx;
	ntc_queue_push(&store->loaders.queue, op);
}

static void list_done(struct ntc_store *store, struct ntc_op *op)
{
	struct ntc_row *rows = op->items;
	size_t kept = 0;

	for (size_t i = 0; i < op->count; i++) {
		const struct ntc_entry *entry = ntc_table_find(&store->table, &rows[i].digest);

		/* Being removed or evicted: gone as far as anybody may see. */
		if (!entry)
			continue;
		rows[kept] = rows[i];
		if (entry->touched) {
			rows[kept].hits += store->touches[entry->touched - 1].hits;
			rows[kept].used = store->touches[entry->touched - 1].used;
		}
		kept++;
	}
	op->fn.list(op->ctx, op->st, rows, kept, op->more);
	ntc_store_op_free(store, op);
}

void ntc_store_stats(const struct ntc_store *store, struct ntc_store_stats *stats)
{
	*stats = store->stats;
	stats->entries = store->table.count;
	stats->bytes = store->table.bytes;
	stats->pinned = store->table.pinned;
	stats->pinned_bytes = store->table.pinned_bytes;
	stats->full_of_pins = store->full_of_pins;
	stats->disk = store->disk.is.st;
	stats->disk_errno = store->disk.is.err;
	stats->disk_since_wall_ns = store->disk.since_wall_ns;
	memcpy(stats->entries_by_kind, store->table.kind_count, sizeof(stats->entries_by_kind));
	memcpy(stats->bytes_by_kind, store->table.kind_bytes, sizeof(stats->bytes_by_kind));
}

/* --- messages ----------------------------------------------------------------------------- */

int ntc_store_event_fd(const struct ntc_store *store)
{
	return store->event;
}

int ntc_store_blob_dir(const struct ntc_store *store)
{
	return store->blobs.path;
}

static void op_done(struct ntc_store *store, struct ntc_op *op)
{
	if (op->groups > store->stats.groups)
		store->stats.groups = op->groups;
	/* Before the callbacks: who hears that a put is lost may ask why. */
	if (op->by_writer)
		ntc_disk_found(&store->disk, &op->disk, ntc_clock_mono_ns(), &store->log);
	if (op->damaged)
		ntc_recovery_damaged(store, op->rebuilds);
	switch (op->type) {
	case NTC_OP_TOUCH:
		store->touch_ops--;
		ntc_store_op_free(store, op);
		break;
	case NTC_OP_TRY:
		ntc_disk_tried(&store->disk, ntc_clock_mono_ns());
		ntc_store_op_free(store, op);
		break;
	case NTC_OP_PIN:
		ntc_store_pin_done(store, op);
		break;
	case NTC_OP_UNPIN:
		ntc_store_op_free(store, op);
		break;
	case NTC_OP_COUNTERS:
		counters_done(store, op);
		break;
	case NTC_OP_EVICT:
		ntc_store_evict_done(store, op);
		break;
	case NTC_OP_LIST:
		list_done(store, op);
		break;
	case NTC_OP_REBUILT:
		store->ops++; /* the writer made it */
		ntc_recovery_done(store, op);
		break;
	case NTC_OP_SWEEP:
	case NTC_OP_SWEPT:
	case NTC_OP_REBUILD:
	case NTC_OP_CHECK:
		ntc_recovery_done(store, op);
		break;
	default:
		ntc_store_entry_done(store, op);
	}
}

/* See whether a bad disk is well again, now or when it is time. */
static void try_disk(struct ntc_store *store)
{
	uint64_t now = ntc_clock_mono_ns();
	struct ntc_op *op = NULL;

	if (!store->disk.is.st || store->disk.trying)
		return;
	if (ntc_disk_due(&store->disk, now))
		op = ntc_store_op_new(store, NTC_OP_TRY, NULL, NULL);
	store->disk.trying = op != NULL;
	if (op)
		ntc_queue_push(&store->writer.queue, op);
	else
		/* Also where there is no memory for it now. */
		ntc_store_set_timer(store, now < store->disk.next_ns ? store->disk.next_ns - now : NTC_DISK_WAIT_NS);
}

void ntc_store_dispatch(struct ntc_store *store)
{
	struct ntc_op_list ops = ntc_mailbox_take(&store->mailbox);
	struct ntc_op *op;
	uint64_t expired;
	bool time;

	while ((op = ntc_op_pop(&ops)))
		op_done(store, op);
	ntc_store_tick(store);
	/* EAGAIN: it is not time yet. */
	time = read(store->timer, &expired, sizeof(expired)) == sizeof(expired);
	if (time)
		store->timer_ns = 0;
	try_disk(store);
	if (!time)
		return;
	ntc_recovery_tick(store);
	/* One flush at a time, however slow the disk is. */
	if (!store->touch_ops)
		ntc_store_flush_touches(store);
	if (store->touch_count)
		ntc_store_set_timer(store, NTC_TOUCH_WAIT_NS);
}

/* --- opening ------------------------------------------------------------------------------ */

static enum ntc_status open_dir(struct ntc_store *store, const struct ntc_store_options *options,
				struct ntc_reason *reason)
{
	int err = ntc_dirs_make(options->dir, options->group_readable ? 0750 : 0700, NTC_INDEX_NAME);
	struct ntc_reason why = { "" };
	enum ntc_status st;
	struct stat stat;
	struct statfs fs;

	if (err)
		return ntc_reject(reason, ntc_status_from_errno(-err), "%s: %s", options->dir, strerror(-err));
	store->dir = realpath(options->dir, NULL);
	if (!store->dir)
		return ntc_reject(reason, ntc_status_from_errno(errno), "%s: %s", options->dir, strerror(errno));
	err = store->dir_fd = ntc_sys_open(AT_FDCWD, store->dir, O_RDONLY | O_DIRECTORY, 0);
	if (err >= 0)
		err = ntc_sys_stat(store->dir_fd, &stat);
	if (err < 0)
		return ntc_reject(reason, ntc_status_from_errno(-err), "%s: %s", store->dir, strerror(-err));
	if (stat.st_mode & S_IWOTH)
		return ntc_reject(reason, NTC_ST_BAD_STORE, "%s: anybody may write there", store->dir);
	err = ntc_sys_statfs(store->dir_fd, &fs);
	if (err)
		return ntc_reject(reason, ntc_status_from_errno(-err), "%s: %s", store->dir, strerror(-err));
	if (ntc_fs_is_network((unsigned long)fs.f_type) && !options->allow_network)
		return ntc_reject(reason, NTC_ST_BAD_STORE,
				  "%.170s is on %s, a network file system: name a directory of this machine, or allow it "
				  "with --allow-network-fs",
				  store->dir, ntc_fs_name((unsigned long)fs.f_type));
	if (fs.f_flags & ST_RDONLY)
		ntc_disk_found(&store->disk, &(struct ntc_disk_state){ .st = NTC_ST_DISK_READ_ONLY, .err = EROFS },
			       ntc_clock_mono_ns(), &store->log);
	st = ntc_lock_take(store->dir_fd, &store->lock_fd, &why);
	return st ? ntc_reject(reason, st, "%.170s: %s", store->dir, why.text) : st;
}

static bool watch(struct ntc_store *store, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(store->event, EPOLL_CTL_ADD, fd, &event) == 0;
}

static enum ntc_status make_messages(struct ntc_store *store, struct ntc_reason *reason)
{
	store->mailbox_made = ntc_mailbox_init(&store->mailbox);
	store->event = epoll_create1(EPOLL_CLOEXEC);
	store->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	store->clock = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (!store->mailbox_made || store->event < 0 || store->timer < 0 || store->clock < 0 ||
	    !watch(store, store->mailbox.event) || !watch(store, store->timer) || !watch(store, store->clock) ||
	    !ntc_store_start_clock(store))
		return ntc_reject(reason, NTC_ST_NO_FILES, "out of file descriptors or memory");
	return NTC_ST_OK;
}

static enum ntc_status start_threads(struct ntc_store *store, const struct ntc_store_options *options,
				     struct ntc_reason *reason)
{
	store->writer.mailbox = store->loaders.mailbox = &store->mailbox;
	store->writer.blobs = &store->blobs;
	store->loaders.blobs = &store->blobs;
	store->writer.log = store->loaders.log = &store->log;
	store->writer.loaders = &store->loaders;
	store->writer.checker = &store->checker;
	store->writer.dir = store->loaders.dir = store->dir;
	store->writer.dir_fd = store->dir_fd;
	store->writer.inline_max = options->inline_max;
	store->writer.group_wait_ns = options->group_wait_ns;
	store->writer.relaxed = options->relaxed;
	store->writer.reserve.dir = store->dir_fd;
	store->writer.disk = store->disk.is;
	if (!ntc_writer_start(&store->writer))
		return ntc_reject(reason, NTC_ST_NO_MEMORY, "no more threads");
	return ntc_loaders_start(&store->loaders, options->loaders, reason);
}

/* Free a store in whatever state; its work is done or was never begun. */
static void destroy(struct ntc_store *store, bool clean)
{
	if (!store)
		return;
	/* The writer first: it may be mending the index, and stops the others' use of it for that. */
	ntc_writer_stop(&store->writer);
	ntc_loaders_stop(&store->loaders);
	ntc_checker_stop(&store->checker);
	ntc_evict_release(&store->writer.evict);
	ntc_pins_release(&store->writer.pins);
	/* An index that nobody has looked at closely, or that was damaged and not mended, is looked at by the next start. */
	ntc_index_close(store->writer.index, clean && store->recovery.checked && !store->writer.index_damaged);
	ntc_blobs_close(&store->blobs);
	if (store->mailbox_made) {
		/* What the writer had to say last is nobody's any more. */
		struct ntc_op_list ops = ntc_mailbox_take(&store->mailbox);
		struct ntc_op *op;

		while ((op = ntc_op_pop(&ops)))
			ntc_op_free(op);
		ntc_mailbox_release(&store->mailbox);
	}
	ntc_sys_close(store->event);
	ntc_sys_close(store->timer);
	ntc_sys_close(store->clock);
	ntc_table_release(&store->table);
	ntc_pending_map_release(&store->pending);
	free(store->touches);
	free(store->saved);
	/* Last: until here nobody else may come. */
	ntc_sys_close(store->lock_fd);
	ntc_sys_close(store->dir_fd);
	free(store->dir);
	free(store);
}

enum ntc_status ntc_store_open(const struct ntc_store_options *options, struct ntc_store **out,
			       struct ntc_reason *reason)
{
	struct ntc_store *store = calloc(1, sizeof(*store));
	uint64_t seed = 0;
	enum ntc_status st;

	*out = NULL;
	if (!store)
		return ntc_reject(reason, NTC_ST_NO_MEMORY, "out of memory");
	store->log = (struct ntc_store_log){ .fn = options->log, .ctx = options->log_ctx };
	store->max_bytes = options->max_bytes;
	store->max_entries = options->max_entries;
	store->max_age_ns = options->max_age_ns;
	ntc_evict_init(&store->writer.evict, options->max_bytes, options->max_entries);
	store->max_queued_bytes = options->max_queued_bytes;
	store->dir_fd = store->lock_fd = store->event = store->timer = store->clock = -1;
	store->blobs = (struct ntc_blobs){ .domain = -1, .path = -1, .tmp = -1, .quarantine = -1 };
	/* Without randomness the table is only easier to crowd. */
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = ntc_clock_mono_ns();
	ntc_table_init(&store->table, seed);
	store->writer.pins.seed = seed;
	st = ntc_pending_map_init(&store->pending, seed) ? NTC_ST_OK
		: ntc_reject(reason, NTC_ST_NO_MEMORY, "out of memory");
	if (!st)
		st = open_dir(store, options, reason);
	if (!st)
		st = make_messages(store, reason);
	if (!st)
		st = ntc_blobs_open(&store->blobs, store->dir_fd, "default", options->group_readable, reason);
	if (!st)
		st = ntc_store_recover(store, reason);
	if (!st)
		st = start_threads(store, options, reason);
	if (st) {
		destroy(store, false);
		return st;
	}
	ntc_recovery_begin(store);
	ntc_store_evict(store);
	try_disk(store);
	*out = store;
	return NTC_ST_OK;
}

void ntc_store_close(struct ntc_store *store)
{
	struct pollfd ready = { .events = POLLIN };

	if (!store)
		return;
	ready.fd = store->event;
	store->closing = true;
	ntc_recovery_end(store);
	ntc_store_flush_touches(store);
	while (store->ops) {
		/* Only messages can end the wait, and there is one for every op. */
		while (poll(&ready, 1, -1) < 0 && errno == EINTR)
			;
		ntc_store_dispatch(store);
		ntc_store_flush_touches(store);
	}
	destroy(store, true);
}
