/*
 * Small things that system tests make: numbered keys, and entries whose bytes follow from their number, so that
 * anybody can tell a right one. Usable in children: nothing here asserts.
 */
#ifndef NTC_TESTS_SUPPORT_MAKING_H
#define NTC_TESTS_SUPPORT_MAKING_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "ntcache.h"

/* The key of a number; NULL without memory. */
static inline struct ntc_key *making_key(uint64_t number)
{
	struct ntc_key *key = ntc_key_new(NTC_KIND_KERNEL);

	ntc_key_add_string(key, "test", "making", 6);
	ntc_key_add_uint(key, "number", number);
	if (ntc_key_seal(key) == NTC_OK)
		return key;
	ntc_key_free(key);
	return NULL;
}

/* The bytes that belong to a number: 64 to 4159, each following from it. */
static inline size_t making_bytes(uint64_t number, uint8_t out[4160])
{
	size_t len = 64 + (size_t)(number * 2654435761u % 4096);

	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)((number + 1) * 31 + i * 7 + (i >> 8));
	return len;
}

/* The entry of a number; NULL if it cannot be made. */
static inline struct ntc_entry *making_entry(const struct ntc_key *key, uint64_t number)
{
	uint8_t bytes[4160];
	struct ntc_part_data part = { "binary", bytes, making_bytes(number, bytes) };
	struct ntc_entry *entry = NULL;

	return ntc_entry_new(key, NULL, &part, 1, &entry) == NTC_OK ? entry : NULL;
}

static inline bool making_right(const struct ntc_entry *entry, uint64_t number)
{
	uint8_t bytes[4160];
	size_t len = making_bytes(number, bytes);
	struct ntc_part_view part;

	return ntc_entry_find(entry, "binary", &part) == NTC_OK && part.len == len && memcmp(part.data, bytes, len) == 0;
}

/* A client of `socket` (NULL: as the environment says) that starts no daemon; NULL if it cannot be. */
static inline struct ntc_client *making_client(const char *socket)
{
	struct ntc_options options = NTC_OPTIONS_INIT;
	struct ntc_client *client = NULL;

	options.socket = socket;
	options.flags = NTC_NO_AUTOSTART;
	return ntc_open(&options, &client) == NTC_OK ? client : NULL;
}

/* One of the daemon's counters (docs/stats.md); -1 if it has none of that name or does not answer. */
struct making_counter {
	const char *name;
	int64_t value;
};
static inline void making_counter_fn(void *ctx, const char *name, int64_t value)
{
	struct making_counter *counter = ctx;

	if (strcmp(name, counter->name) == 0)
		counter->value = value;
}
static inline int64_t making_counter(struct ntc_client *client, const char *name)
{
	struct making_counter counter = { name, -1 };

	return ntc_stats(client, 10000, making_counter_fn, &counter) == NTC_OK ? counter.value : -1;
}

/* Whether the daemon is done with what goes on behind its start, for ntc_test_until(). */
static inline bool making_recovered(void *client)
{
	return making_counter(client, "recovering") == 0;
}

/*
 * Files where the shards' directories belong (or, `there` false, no longer): what needs a file of its own is lost,
 * while the disk is well. False if that cannot be. For a cache directory that has no shards yet.
 */
static inline bool making_losses(const char *cache, bool there)
{
	char path[4096];
	bool done = true;

	for (unsigned shard = 0; shard < 256; shard++) {
		int fd;

		snprintf(path, sizeof(path), "%s/default/%02x", cache, shard);
		if (!there) {
			done &= unlink(path) == 0;
			continue;
		}
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		done &= fd >= 0 && close(fd) == 0;
	}
	return done;
}

#endif
