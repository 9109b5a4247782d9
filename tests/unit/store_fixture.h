/*
 * What the store's tests share: a private directory, images of small keys, a store whose callbacks are
 * recorded, waiting for them with a limit, and looking at the files by hand.
 */
#ifndef NTC_TESTS_STORE_FIXTURE_H
#define NTC_TESTS_STORE_FIXTURE_H

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "proto/entry.h"
#include "proto/key.h"
#include "store/blob.h"
#include "store/store.h"

#define UNUSED __attribute__((unused))

static char dir[256];           /* of the test */
static char last_log[512];      /* the last line at warning or above */
static unsigned log_count;      /* of such lines */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

static void record_log(void *ctx, enum ntc_log_level level, const char *text)
{
	(void)ctx;
	if (getenv("NTC_TEST_LOG"))
		fprintf(stderr, "%d %s\n", level, text);
	pthread_mutex_lock(&log_lock);
	if (level <= NTC_LOG_WARNING) {
		snprintf(last_log, sizeof(last_log), "%s", text);
		log_count++;
	}
	pthread_mutex_unlock(&log_lock);
}

static UNUSED void make_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%s/ntc-store-XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static UNUSED void remove_dir(void)
{
	ck_assert_int_eq(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* --- images ------------------------------------------------------------------------------- */

static UNUSED struct ntc_buffer *make_key(unsigned n)
{
	uint8_t value[9], bytes[64];
	struct ntc_field field = { .name = ntc_view("n", 1), .type = NTC_TYPE_INT };
	struct ntc_writer w = ntc_writer(bytes, sizeof(bytes));
	struct ntc_buffer *key;

	field.value = ntc_view(value, ntc_value_int((int64_t)n, value));
	ck_assert_int_eq(ntc_key_write(&w, NTC_KIND_KERNEL, &field, 1, NULL), NTC_ST_OK);
	key = ntc_buffer_new(w.len);
	memcpy(key->bytes, bytes, w.len);
	return key;
}

static UNUSED struct ntc_view view_of(const struct ntc_buffer *buffer)
{
	return ntc_view(buffer->bytes, buffer->len);
}

static UNUSED struct ntc_digest digest_of(unsigned n)
{
	struct ntc_buffer *key = make_key(n);
	struct ntc_digest digest = ntc_key_digest(view_of(key));

	ntc_buffer_unref(key);
	return digest;
}

/* The image of key `n` with one part of `size` bytes that all are `fill`. */
static UNUSED struct ntc_buffer *make_image(unsigned n, uint8_t fill, size_t size)
{
	struct ntc_buffer *key = make_key(n), *image;
	uint8_t *data = malloc(size + 1);
	struct ntc_part part = { .name = ntc_view("binary", 6), .data = ntc_view(data, size) };
	struct ntc_body_spec spec = { .key = view_of(key), .parts = &part, .part_count = 1 };
	struct ntc_stamp stamp = { .put_wall_ns = 1000 + n, .cost_ns = 77, .uid = 5 };
	struct ntc_body body;
	enum ntc_status st;
	size_t len;

	memset(data, fill, size + 1);
	len = ntc_body_size(&spec, &st, NULL);
	ck_assert_uint_gt(len, 0);
	image = ntc_buffer_new(len + NTC_STAMP_SIZE);
	ntc_body_write(&spec, image->bytes);
	ck_assert_int_eq(ntc_body_parse(ntc_view(image->bytes, len), &body, NULL), NTC_ST_OK);
	ntc_stamp_write(&stamp, &body.checksum, image->bytes + len);
	free(data);
	ntc_buffer_unref(key);
	return image;
}

/* --- a store and its answers -------------------------------------------------------------- */

static struct ntc_store *store;
static struct ntc_store_options options;
static struct ntc_reason reason;

static UNUSED enum ntc_status try_open(void)
{
	options.dir = dir;
	options.log = record_log;
	if (!options.max_queued_bytes)
		options.max_queued_bytes = 64 << 20;
	if (!options.loaders)
		options.loaders = 2;
	return ntc_store_open(&options, &store, &reason);
}

/* Dispatch once, when there is something to. */
static UNUSED void wait_turn(void)
{
	struct pollfd ready = { .fd = ntc_store_event_fd(store), .events = POLLIN };

	(void)poll(&ready, 1, 1000);
	ntc_store_dispatch(store);
}

/* Dispatch until what goes on behind a start has come to its end. */
static UNUSED void settle(void)
{
	uint64_t until = ntc_clock_mono_ns() + 60 * NTC_NS_PER_S;
	struct ntc_store_stats stats;

	for (ntc_store_stats(store, &stats); stats.recovering; ntc_store_stats(store, &stats)) {
		ck_assert_msg(ntc_clock_mono_ns() < until, "still recovering after a minute");
		wait_turn();
	}
}

static UNUSED void open_store(void)
{
	enum ntc_status st = try_open();

	ck_assert_msg(st == NTC_ST_OK, "%s: %s", ntc_status_name(st), reason.text);
	settle();
}

static UNUSED void close_store(void)
{
	ntc_store_close(store);
	store = NULL;
}

static UNUSED void reopen_store(void)
{
	close_store();
	open_store();
}

struct answer {
	int decided, durable, loaded, removed;  /* how often it came */
	enum ntc_status decided_st, durable_st, load_st, remove_st;
	enum ntc_stored stored;
	uint64_t remove_count;
	struct ntc_buffer *image;               /* a reference */
	bool had_fd;
	struct ntc_row row;
	int listed;
	struct ntc_row rows[32];                /* no test lists more */
	size_t row_count;
	bool more;
	enum ntc_status list_st;
};

static UNUSED void on_decided(void *ctx, enum ntc_status st, enum ntc_stored stored)
{
	struct answer *a = ctx;

	a->decided++;
	a->decided_st = st;
	a->stored = stored;
}

static UNUSED void on_durable(void *ctx, enum ntc_status st)
{
	struct answer *a = ctx;

	ck_assert_int_eq(a->decided, 1);
	a->durable++;
	a->durable_st = st;
}

static UNUSED void on_load(void *ctx, enum ntc_status st, const struct ntc_loaded *loaded)
{
	struct answer *a = ctx;

	a->loaded++;
	a->load_st = st;
	ck_assert_int_eq(st == NTC_ST_OK, loaded != NULL);
	ntc_buffer_unref(a->image);
	a->image = loaded ? ntc_buffer_ref(loaded->image) : NULL;
	a->had_fd = loaded && loaded->fd >= 0;
	if (loaded)
		a->row = loaded->row;
}

static UNUSED void on_remove(void *ctx, enum ntc_status st, uint64_t count)
{
	struct answer *a = ctx;

	a->removed++;
	a->remove_st = st;
	a->remove_count = count;
}

static UNUSED void on_list(void *ctx, enum ntc_status st, const struct ntc_row *rows, size_t count, bool more)
{
	struct answer *a = ctx;

	a->listed++;
	a->list_st = st;
	a->row_count = count;
	a->more = more;
	ck_assert_uint_le(count, sizeof(a->rows) / sizeof(a->rows[0]));
	if (count)
		memcpy(a->rows, rows, count * sizeof(*rows));
}

/* Dispatch until *count is not 0. */
static UNUSED void wait_for(const int *count)
{
	uint64_t until = ntc_clock_mono_ns() + 60 * NTC_NS_PER_S;

	while (!*count) {
		ck_assert_msg(ntc_clock_mono_ns() < until, "no answer within a minute");
		wait_turn();
	}
}

static UNUSED void put(unsigned n, uint8_t fill, size_t size, struct answer *a)
{
	struct ntc_buffer *image = make_image(n, fill, size);

	ntc_store_put(store, image, on_decided, on_durable, a);
	ntc_buffer_unref(image);
}

/* Put and wait until it is durable, if it is new. */
static UNUSED enum ntc_stored put_now(unsigned n, uint8_t fill, size_t size)
{
	struct answer a = { 0 };

	put(n, fill, size, &a);
	wait_for(&a.decided);
	ck_assert_int_eq(a.decided_st, NTC_ST_OK);
	if (a.stored != NTC_STORED_NEW)
		return a.stored;
	wait_for(&a.durable);
	ck_assert_int_eq(a.durable_st, NTC_ST_OK);
	return a.stored;
}

static UNUSED void load(unsigned n, struct answer *a)
{
	struct ntc_buffer *key = make_key(n);

	ntc_store_load(store, view_of(key), on_load, a);
	ntc_buffer_unref(key);
}

/* Load; OK: the image is the one that make_image() made. */
static UNUSED enum ntc_status load_now(unsigned n, uint8_t fill, size_t size)
{
	struct answer a = { 0 };

	load(n, &a);
	wait_for(&a.loaded);
	if (a.load_st == NTC_ST_OK) {
		struct ntc_buffer *image = make_image(n, fill, size);

		ck_assert(ntc_view_equal(view_of(image), view_of(a.image)));
		ntc_buffer_unref(image);
	}
	ntc_buffer_unref(a.image);
	return a.load_st;
}

static UNUSED void remove_key(unsigned n, struct answer *a)
{
	struct ntc_buffer *key = make_key(n);

	ntc_store_remove(store, view_of(key), on_remove, a);
	ntc_buffer_unref(key);
}

static UNUSED uint64_t remove_now(unsigned n)
{
	struct answer a = { 0 };

	remove_key(n, &a);
	wait_for(&a.removed);
	ck_assert_int_eq(a.remove_st, NTC_ST_OK);
	return a.remove_count;
}

static UNUSED struct ntc_store_stats stats_now(void)
{
	struct ntc_store_stats stats;

	ntc_store_stats(store, &stats);
	return stats;
}

/* Until the store has found out that the disk is so. */
static UNUSED void wait_for_disk(enum ntc_status st)
{
	uint64_t until = ntc_clock_mono_ns() + 60 * NTC_NS_PER_S;

	while (stats_now().disk != st) {
		struct pollfd ready = { .fd = ntc_store_event_fd(store), .events = POLLIN };

		ck_assert_msg(ntc_clock_mono_ns() < until, "the disk is still %s", ntc_status_name(stats_now().disk));
		(void)poll(&ready, 1, 100);
		ntc_store_dispatch(store);
	}
}

/* --- files -------------------------------------------------------------------------------- */

/* DIR/default/ab/ab12... of key `n`. Static. */
static UNUSED const char *blob_file(unsigned n)
{
	static char path[512];
	struct ntc_digest digest = digest_of(n);
	char below[NTC_BLOB_PATH];

	ntc_blob_path(&digest, below);
	snprintf(path, sizeof(path), "%s/default/%s", dir, below);
	return path;
}

/* A file of the test's directory. Static. */
static UNUSED const char *file(const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static UNUSED bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static UNUSED void write_file(const char *path, const void *p, size_t len)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(p, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

static UNUSED int count_names(const char *path, const char *prefix)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int count = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)))
		count += e->d_name[0] != '.' && strncmp(e->d_name, prefix, strlen(prefix)) == 0;
	closedir(d);
	return count;
}

static UNUSED int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
