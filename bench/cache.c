/* Cache directories for benches; see cache.h. */
#include "bench/cache.h"

#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "proto/entry.h"
#include "proto/key.h"
#include "store/blob.h"
#include "store/store.h"

void ntc_bench_cache_open(struct ntc_bench_cache *cache, const char *dir, const char *name, uint64_t inline_max,
			  bool relaxed)
{
	struct ntc_store_options options = {
		.dir = cache->dir, .max_queued_bytes = UINT64_C(1) << 30, .loaders = 2, .inline_max = inline_max,
		.relaxed = relaxed,
	};
	struct ntc_reason reason = { "" };

	*cache = (struct ntc_bench_cache){ .inline_max = inline_max };
	(void)snprintf(cache->dir, sizeof(cache->dir), "%s/%s", dir, name);
	if (ntc_store_open(&options, &cache->store, &reason))
		ntc_bench_die("%s: %s", cache->dir, reason.text);
}

void ntc_bench_cache_close(struct ntc_bench_cache *cache)
{
	ntc_store_close(cache->store);
	cache->store = NULL;
}

/* --- entries ------------------------------------------------------------------------------ */

static struct ntc_view make_key(uint64_t n, uint8_t room[96])
{
	static const char text[] = NTC_BENCH_PROGRAM;
	struct ntc_writer w = ntc_writer(room, 96);
	uint8_t value[9];
	struct ntc_field fields[2] = {
		{ .name = ntc_view("n", 1), .type = NTC_TYPE_INT, .value = ntc_view(value, ntc_value_uint(n, value)) },
		{ .name = ntc_view("program", 7), .type = NTC_TYPE_STRING, .value = ntc_view(text, sizeof(text) - 1) },
	};

	if (ntc_key_write(&w, NTC_KIND_HANDLE, fields, 2, NULL))
		ntc_bench_die("no key");
	return ntc_view(room, w.len);
}

static struct ntc_buffer *make_image(uint64_t n, size_t size)
{
	uint8_t room[96], *bytes = malloc(size);
	struct ntc_part part = { .name = ntc_view("recipe", 6), .data = ntc_view(bytes, size) };
	struct ntc_body_spec spec = { .key = make_key(n, room), .parts = &part, .part_count = 1 };
	struct ntc_stamp stamp = { .put_wall_ns = ntc_clock_wall_ns(), .cost_ns = 20 * NTC_NS_PER_MS };
	struct ntc_buffer *image = ntc_buffer_new(size);
	struct ntc_body body;
	enum ntc_status st;
	size_t len;

	if (!bytes || !image)
		ntc_bench_die("out of memory");
	for (size_t i = 0; i + 8 <= size; i += 8)
		memcpy(bytes + i, &(uint64_t){ ntc_bench_random() }, 8);
	/* What is not the part's is the same for every size. */
	part.data.len = size - (ntc_body_size(&spec, &st, NULL) + NTC_STAMP_SIZE - size);
	len = ntc_body_size(&spec, &st, NULL);
	if (len + NTC_STAMP_SIZE != size)
		ntc_bench_die("no image has %zu bytes", size);
	ntc_body_write(&spec, image->bytes);
	if (ntc_body_parse(ntc_view(image->bytes, len), &body, NULL))
		ntc_bench_die("not a body");
	ntc_stamp_write(&stamp, &body.checksum, image->bytes + len);
	free(bytes);
	return image;
}

void ntc_bench_cache_path(uint64_t n, char path[64])
{
	uint8_t room[96];
	struct ntc_digest digest = ntc_key_digest(make_key(n, room));

	memcpy(path, "default/", 8);
	ntc_blob_path(&digest, path + 8);
}

/* --- work --------------------------------------------------------------------------------- */

static void wait(struct ntc_bench_cache *cache)
{
	struct pollfd ready = { .fd = ntc_store_event_fd(cache->store), .events = POLLIN };

	(void)poll(&ready, 1, 1000); /* dispatch looks for itself */
	ntc_store_dispatch(cache->store);
}

struct putting {
	unsigned under_way;
	struct ntc_bench_times *times;
};

struct put {
	struct putting *putting;
	uint64_t begun;
};

static void on_decided(void *ctx, enum ntc_status st, enum ntc_stored stored)
{
	(void)ctx;
	if (st || stored != NTC_STORED_NEW)
		ntc_bench_die("a put was not taken: %s", st ? ntc_status_text(st) : "it is there already");
}

static void on_durable(void *ctx, enum ntc_status st)
{
	struct put *put = ctx;

	if (st)
		ntc_bench_die("a put was lost: %s", ntc_status_text(st));
	if (put->putting->times)
		ntc_bench_add(put->putting->times, ntc_clock_mono_ns() - put->begun);
	put->putting->under_way--;
	free(put);
}

void ntc_bench_cache_put(struct ntc_bench_cache *cache, uint64_t from, uint64_t count, size_t size, unsigned together,
			 struct ntc_bench_times *times)
{
	struct putting putting = { .times = times };

	for (uint64_t n = from; n < from + count; n++) {
		struct ntc_buffer *image = make_image(n, size);
		struct put *put = malloc(sizeof(*put));

		if (!put)
			ntc_bench_die("out of memory");
		while (putting.under_way >= together)
			wait(cache);
		*put = (struct put){ .putting = &putting, .begun = ntc_clock_mono_ns() };
		putting.under_way++;
		ntc_store_put(cache->store, image, on_decided, on_durable, put);
		ntc_buffer_unref(image);
	}
	while (putting.under_way)
		wait(cache);
}

static void on_load(void *ctx, enum ntc_status st, const struct ntc_loaded *loaded)
{
	(void)loaded;
	if (st)
		ntc_bench_die("a load failed: %s", ntc_status_text(st));
	*(bool *)ctx = true;
}

void ntc_bench_cache_load(struct ntc_bench_cache *cache, uint64_t n)
{
	uint8_t room[96];
	bool done = false;

	ntc_store_load(cache->store, make_key(n, room), on_load, &done);
	while (!done)
		wait(cache);
}

/* --- space -------------------------------------------------------------------------------- */

static struct {
	uint64_t bytes, inodes;
} space;

static int add_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path;
	(void)type;
	(void)ftw;
	space.bytes += (uint64_t)st->st_blocks * 512;
	space.inodes++;
	return 0;
}

void ntc_bench_cache_space(const struct ntc_bench_cache *cache, uint64_t *bytes, uint64_t *inodes)
{
	space.bytes = space.inodes = 0;
	if (nftw(cache->dir, add_one, 16, FTW_PHYS))
		ntc_bench_die("%s cannot be read", cache->dir);
	*bytes = space.bytes;
	*inodes = space.inodes;
}
