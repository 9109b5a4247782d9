/* Our own rungs; see hit.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/bench.h"
#include "bench/daemon.h"
#include "bench/hit.h"
#include "client/ladder.h"

static struct ntc_bench_daemon ntcached;

/* Start a daemon and put everything. */
static pid_t load(struct hit_set *set, const char *segment_size)
{
	static unsigned loads;
	struct ntc_client *client;
	char name[32];

	/* A new directory each time: what is known already is not published. */
	snprintf(name, sizeof(name), "ntcached%u", loads++);
	ntc_bench_daemon_start(&ntcached, set->dir, name, "--segment-size", segment_size, NULL);
	client = ntc_bench_client(&ntcached);
	for (unsigned k = 0; k < set->count; k++) {
		size_t len = hit_record(set, k);
		struct ntc_part_data part = { "value", set->record + len - set->size, set->size };
		struct ntc_entry *entry;

		if (ntc_entry_new(set->entries[k].key, NULL, &part, 1, &entry) ||
		    ntc_put(client, NULL, entry, 1) < 0)
			ntc_bench_die("a put: %s", ntc_last_error());
		ntc_entry_unref(entry);
	}
	if (ntc_sync(client, NTC_NO_TIMEOUT))
		ntc_bench_die("the puts: %s", ntc_last_error());
	ntc_close(client);
	return ntcached.pid;
}

/* The default segment, or one in which all of it has room: no image may take more than a 256th. */
static pid_t load_segment(struct hit_set *set)
{
	size_t wanted = 2 * set->count * set->record_max, least = 300 * set->record_max;
	char size[32];

	if (wanted < least)
		wanted = least;
	snprintf(size, sizeof(size), "%zu", wanted > 64u << 20 ? wanted : 64u << 20);
	return load(set, size);
}

static pid_t load_files(struct hit_set *set)
{
	return load(set, "0");
}

static void unload(void)
{
	ntc_bench_daemon_stop(&ntcached);
}

static void *open_client(struct hit_set *set)
{
	(void)set;
	return ntc_bench_client(&ntcached);
}

/* Who only peeks never connects. */
static void *open_attached(struct hit_set *set)
{
	struct ntc_client *client = open_client(set);

	if (ntc_ping(client, NTC_NO_TIMEOUT, NULL))
		ntc_bench_die("the daemon: %s", ntc_last_error());
	return client;
}

static uint8_t value_of(struct ntc_entry *entry, const struct hit_set *set)
{
	struct ntc_part_view part;
	uint8_t first;

	if (ntc_entry_find(entry, "value", &part) || part.len != set->size)
		ntc_bench_die("an entry without its value");
	first = *(const uint8_t *)part.data;
	ntc_entry_unref(entry);
	return first;
}

static uint8_t get(void *client, const struct hit_set *set, unsigned k, enum ntc_source source)
{
	struct ntc_entry *entry;

	if (ntc_lookup(client, set->entries[k].key, NTC_NO_TIMEOUT, &entry))
		ntc_bench_die("entry %u is not there: %s", k, ntc_last_error());
	if (ntc_entry_source(entry) != source)
		ntc_bench_die("entry %u comes from another rung (%d)", k, (int)ntc_entry_source(entry));
	return value_of(entry, set);
}

static uint8_t get_copied(void *client, const struct hit_set *set, unsigned k)
{
	return get(client, set, k, NTC_FROM_SEGMENT);
}

static uint8_t get_file(void *client, const struct hit_set *set, unsigned k)
{
	return get(client, set, k, NTC_FROM_FILE);
}

static uint8_t get_asked(void *client, const struct hit_set *set, unsigned k)
{
	struct ntc_entry *entry;

	if (ntc_ladder_ask(client, set->entries[k].key, ntc_deadline(-1, NTC_LIMIT_REQUEST), &entry))
		ntc_bench_die("entry %u is not there: %s", k, ntc_last_error());
	return value_of(entry, set);
}

struct looked {
	size_t size;
	uint8_t first, all;
};

static void look(void *ctx, const struct ntc_peek *peek)
{
	struct looked *looked = ctx;
	const volatile uint8_t *bytes;
	const void *data;
	size_t len;

	if (!ntc_peek_part(peek, "value", &data, &len) || len != looked->size)
		return;
	bytes = data;
	looked->first = bytes[0];
	for (size_t at = HIT_STEP; at < len; at += HIT_STEP)
		looked->all ^= bytes[at];
}

static uint8_t get_in_place(void *client, const struct hit_set *set, unsigned k)
{
	struct looked looked = { .size = set->size };

	if (ntc_peek(client, set->entries[k].key, look, &looked))
		ntc_bench_die("entry %u is not in the segment", k);
	return looked.first;
}

void hit_put_on(unsigned per_second)
{
	struct ntc_client *client = ntc_bench_client(&ntcached);
	uint64_t next = ntc_clock_mono_ns(), number = next;
	static uint8_t bytes[4096];

	for (;;) {
		struct ntc_part_data part = { "value", bytes, sizeof(bytes) };
		struct ntc_key *key = ntc_key_new(NTC_KIND_KERNEL);
		struct timespec until;
		struct ntc_entry *entry;

		ntc_key_add_uint(key, "new", number++);
		if (ntc_key_seal(key) || ntc_entry_new(key, NULL, &part, 1, &entry) ||
		    ntc_put(client, NULL, entry, 1) < 0)
			ntc_bench_die("a put: %s", ntc_last_error());
		ntc_entry_unref(entry);
		ntc_key_free(key);
		next += NTC_NS_PER_S / per_second;
		until = (struct timespec){ .tv_sec = (time_t)(next / NTC_NS_PER_S),
					   .tv_nsec = (long)(next % NTC_NS_PER_S) };
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	}
}

/* Small entries have no files: they are in the index, and asked for. */
const struct hit_system hit_ours[] = {
	{ "hit-copy", "ntcache", 0, load_segment, unload, open_client, get_copied },
	{ "hit-inplace", "ntcache", 0, load_segment, unload, open_attached, get_in_place },
	{ "hit-blob", "ntcache", 8192, load_files, unload, open_client, get_file },
	{ "hit-socket", "ntcache", 0, load_segment, unload, open_client, get_asked },
	{ 0 },
};
