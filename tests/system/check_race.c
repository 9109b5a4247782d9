/*
 * The races that started this project: equal source texts under different names and block sizes, many processes at
 * once, writers that are killed, readers of what is just being written. 200 rounds cold; nobody may get other bytes than
 * its own, and each is made once.
 *
 * What is made here stands in for a compiled kernel: bytes that follow from everything in the key. tests/system/check_kernels.c
 * does it with NVRTC, check_library.c with nvcc.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/bytes.h"
#include "tests/support/harness.h"
#include "tests/support/making.h"

#define WORKERS 16
#define ROUNDS 200
#define LIMIT_MS 60000

/* --- two configs of one source text --------------------------------------------------------- */

static const char source[] = "__global__ void NAME(float *p) { p[blockIdx.x * BLOCK_SIZE + threadIdx.x] += 1; }\n";

struct config {
	unsigned round;
	const char *name;
	int block_size;
};

static struct ntc_key *config_key(const struct config *c)
{
	struct ntc_key *key = ntc_key_new(NTC_KIND_KERNEL);

	ntc_key_add_string(key, "application", source, sizeof(source) - 1);
	ntc_key_add_string(key, "name", c->name, strlen(c->name));
	ntc_key_add_int(key, "BLOCK_SIZE", c->block_size);
	ntc_key_add_uint(key, "round", c->round);
	return ntc_key_seal(key) == NTC_OK ? key : NULL;
}

/* Bytes that nobody but this config has. */
static size_t config_bytes(const struct config *c, char out[8192])
{
	size_t len = 0;

	for (int line = 0; line < 60; line++)
		len += (size_t)snprintf(out + len, 8192 - len, "%s: %d, round %u, line %d of %s", c->name, c->block_size,
					c->round, line, source);
	return len;
}

static struct ntc_entry *config_entry(const struct ntc_key *key, const struct config *c)
{
	char bytes[8192];
	struct ntc_part_data parts[] = { { "cubin", bytes, config_bytes(c, bytes) }, { "name", c->name, strlen(c->name) } };
	struct ntc_entry *entry = NULL;

	return ntc_entry_new(key, NULL, parts, 2, &entry) == NTC_OK ? entry : NULL;
}

static bool config_right(const struct ntc_entry *entry, const struct config *c)
{
	struct ntc_part_view part;
	char bytes[8192];
	size_t len = config_bytes(c, bytes);

	return ntc_entry_find(entry, "cubin", &part) == NTC_OK && part.len == len && memcmp(part.data, bytes, len) == 0 &&
	       ntc_entry_find(entry, "name", &part) == NTC_OK && part.len == strlen(c->name) &&
	       memcmp(part.data, c->name, part.len) == 0;
}

static const struct {
	const char *name;
	int block_size;
} configs[2] = { { "add_one", 64 }, { "increment", 128 } };

struct shared {
	pthread_barrier_t barrier;
	atomic_uint makes[ROUNDS];
	uint64_t seed;
	char path[512];             /* of a part */
	char aside[512];
	atomic_uint seen;           /* whole files found by readers */
};
static struct shared *shared;

static void setup(void)
{
	pthread_barrierattr_t attr;

	ntc_test_setup();
	shared = ntc_test_shared(sizeof(*shared));
	shared->seed = ntc_test_seed();
	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&shared->barrier, &attr, WORKERS);
	pthread_barrierattr_destroy(&attr);
}

static enum ntc_err make_config(void *ctx, const struct ntc_make *make, struct ntc_entry **entry, char **log)
{
	const struct config *c = ctx;

	(void)log;
	atomic_fetch_add(&shared->makes[c->round], 1);
	*entry = config_entry(make->key, c);
	return *entry ? NTC_OK : NTC_E_NO_MEMORY;
}

static int get_config(struct ntc_client *client, unsigned round, unsigned which)
{
	struct config c = { round, configs[which].name, configs[which].block_size };
	struct ntc_key *key = config_key(&c);
	struct ntc_entry *entry = NULL;

	NTC_CHILD_CHECK(key != NULL);
	NTC_CHILD_CHECK(ntc_fetch(client, key, NULL, make_config, &c, &entry, NULL) == NTC_OK);
	NTC_CHILD_CHECK(config_right(entry, &c));
	ntc_entry_unref(entry);
	ntc_key_free(key);
	return 0;
}

static int race(void *ctx, unsigned i)
{
	struct ntc_client *client = making_client(NULL);

	(void)ctx;
	NTC_CHILD_CHECK(client != NULL);
	for (unsigned round = 0; round < ROUNDS; round++) {
		pthread_barrier_wait(&shared->barrier);
		if (get_config(client, round, i % 2) || get_config(client, round, (i + 1) % 2))
			_exit(1);
	}
	ntc_close(client);
	return 0;
}

START_TEST(test_two_configs)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_client *client;

	ntc_test_start(&d, NULL);
	ntc_test_children(WORKERS, race, NULL, LIMIT_MS * 2, NULL);
	for (unsigned round = 0; round < ROUNDS; round++)
		ck_assert_msg(atomic_load(&shared->makes[round]) == 2, "round %u: %u makes", round,
			      atomic_load(&shared->makes[round]));
	client = making_client(NULL);
	ck_assert_int_eq(making_counter(client, "makes"), 2 * ROUNDS);
	ck_assert_int_eq(making_counter(client, "differs"), 0);
	ck_assert_int_eq(making_counter(client, "entries"), 2 * ROUNDS);
	ck_assert_int_eq(making_counter(client, "quarantined"), 0);
	ntc_close(client);
}
END_TEST

/* Without a daemon everybody makes its own, and gets its own. */
static int alone(void *ctx, unsigned i)
{
	struct ntc_client *client = making_client(ntc_test_path("nobody.sock"));

	(void)ctx;
	for (unsigned round = 0; round < 20; round++)
		if (get_config(client, round, i % 2))
			return 1;
	ntc_close(client);
	return 0;
}

START_TEST(test_alone)
{
	ntc_test_children(WORKERS, alone, NULL, LIMIT_MS, NULL);
	for (unsigned round = 0; round < 20; round++)
		ck_assert_uint_eq(atomic_load(&shared->makes[round]), WORKERS);
}
END_TEST

/* --- killed writers ------------------------------------------------------------------------- */

#define KILLS 120

/* A large entry: it goes over in a memfd and is written for a while. */
static const char *large(uint64_t number, size_t *len)
{
	static char bytes[3 << 20];

	*len = number % 3 == 0 ? sizeof(bytes) : number % 3 == 1 ? 100000 : 3000;
	for (size_t i = 0; i + sizeof(uint64_t) <= *len; i += sizeof(uint64_t))
		ntc_store64((uint8_t *)bytes + i, number * 1000003 + i);
	return bytes;
}

static enum ntc_err make_large(void *ctx, const struct ntc_make *make, struct ntc_entry **entry, char **log)
{
	struct ntc_part_data part = { "text.py", NULL, 0 };

	(void)log;
	part.data = large(*(const uint64_t *)ctx, &part.len);
	return ntc_entry_new(make->key, NULL, &part, 1, entry);
}

static bool file_right(const char *path, uint64_t number)
{
	size_t len, at = 0;
	const char *expected = large(number, &len);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *got = malloc(len + 1);
	ssize_t n = -1;

	while (fd >= 0 && at <= len && (n = read(fd, got + at, len + 1 - at)) > 0)
		at += (size_t)n;
	if (fd >= 0)
		close(fd);
	n = fd >= 0 && n == 0 && at == len && memcmp(got, expected, len) == 0;
	free(got);
	return n;
}

/* All of a worker's life with one key: ask, make, put, make durable, write its files. */
static int work(void *ctx, unsigned i)
{
	uint64_t number = *(const uint64_t *)ctx;
	struct ntc_client *client = making_client(NULL);
	struct ntc_key *key = making_key(number);
	struct ntc_entry *entry = NULL;
	struct ntc_part_view part;
	size_t len;
	const char *expected;
	char *path;

	(void)i;
	NTC_CHILD_CHECK(client && key);
	NTC_CHILD_CHECK(ntc_fetch(client, key, NULL, make_large, &number, &entry, NULL) == NTC_OK);
	expected = large(number, &len);
	NTC_CHILD_CHECK(ntc_entry_find(entry, "text.py", &part) == NTC_OK);
	NTC_CHILD_CHECK(part.len == len && memcmp(part.data, expected, len) == 0);
	(void)ntc_sync(client, LIMIT_MS); /* nothing to wait for where it was known */
	NTC_CHILD_CHECK(ntc_entry_part_path(entry, "text.py", &path) == NTC_OK);
	NTC_CHILD_CHECK(file_right(path, number));
	free(path);
	ntc_entry_unref(entry);
	ntc_key_free(key);
	ntc_close(client);
	return 0;
}

static void kill_some(bool daemon_too)
{
	struct ntc_test_daemon d = { 0 };
	uint64_t state = shared->seed;
	unsigned killed = 0;
	struct ntc_client *client;

	ntc_test_start(&d, NULL);
	for (uint64_t number = 0; number < (daemon_too ? KILLS / 4 : KILLS); number++) {
		struct ntc_test_group group = { 0 };
		struct timespec moment = { .tv_nsec = (long)(ntc_test_random(&state) % 12000000) };
		int codes[2], after[2];

		ntc_test_spawn(&group, 2, work, &number);
		ntc_test_release(&group);
		nanosleep(&moment, NULL); /* a random point of its life; nothing waits for it */
		if (daemon_too)
			ntc_test_kill(&d);
		ck_assert_int_eq(kill(group.pids[0], SIGKILL), 0);
		ntc_test_collect(&group, LIMIT_MS, codes);
		killed += codes[0] == 128 + SIGKILL;
		ck_assert(codes[0] == 0 || codes[0] == 128 + SIGKILL);
		/* the other one is not held up, and gets the right bytes */
		ck_assert_int_eq(codes[1], 0);
		if (daemon_too)
			ntc_test_start(&d, NULL);
		ntc_test_children(2, work, &number, LIMIT_MS, after);
		ck_assert_int_eq(after[0], 0);
		ck_assert_int_eq(after[1], 0);
	}
	ck_assert_uint_gt(killed, 0);
	client = making_client(NULL);
	ck_assert_int_eq(making_counter(client, "quarantined"), 0);
	ck_assert_int_eq(making_counter(client, "differs"), 0);
	ntc_close(client);
}

START_TEST(test_killed_writer)
{
	kill_some(false);
}
END_TEST

START_TEST(test_killed_writer_and_daemon)
{
	kill_some(true);
}
END_TEST

/* --- a source text that is read while it is written ------------------------------------------- */

#define PATH_ROUNDS 40

/*
 * Half of the workers write the parts of one entry, cold, all at once; the others open the file as soon as it has its
 * name, without asking anybody, as an import would. What they read is whole.
 */
static int write_or_read(void *ctx, unsigned i)
{
	uint64_t number = 0;
	struct ntc_key *key = making_key(number);
	struct ntc_make make = { .key = key };
	struct ntc_entry *entry;

	(void)ctx;
	NTC_CHILD_CHECK(make_large(&number, &make, &entry, NULL) == NTC_OK);
	for (unsigned round = 0; round < PATH_ROUNDS; round++) {
		char *path;

		if (i == 0) {
			char *slash;
			char dir[512];

			snprintf(dir, sizeof(dir), "%s", shared->path);
			slash = strrchr(dir, '/');
			*slash = '\0';
			/* cold again: what is there goes aside in one step */
			snprintf(shared->aside, sizeof(shared->aside), "%s", ntc_test_path("aside-%u", round));
			NTC_CHILD_CHECK(rename(dir, shared->aside) == 0);
		}
		pthread_barrier_wait(&shared->barrier);
		if (i % 2) {
			uint64_t start = ntc_clock_mono_ns();

			while (access(shared->path, F_OK) != 0)
				NTC_CHILD_CHECK(ntc_clock_mono_ns() - start < LIMIT_MS * NTC_NS_PER_MS);
			NTC_CHILD_CHECK(file_right(shared->path, number));
			atomic_fetch_add(&shared->seen, 1);
		} else {
			NTC_CHILD_CHECK(ntc_entry_part_path(entry, "text.py", &path) == NTC_OK);
			NTC_CHILD_CHECK(strcmp(path, shared->path) == 0);
			NTC_CHILD_CHECK(file_right(path, number));
			free(path);
		}
		pthread_barrier_wait(&shared->barrier);
	}
	ntc_entry_unref(entry);
	ntc_key_free(key);
	return 0;
}

/* The path of the text, written for the first time. */
static void first_path(void)
{
	uint64_t number = 0;
	struct ntc_key *key = making_key(number);
	struct ntc_make make = { .key = key };
	struct ntc_entry *entry;
	char *path;

	ck_assert_int_eq(make_large(&number, &make, &entry, NULL), NTC_OK);
	ck_assert_msg(ntc_entry_part_path(entry, "text.py", &path) == NTC_OK, "%s", ntc_last_error());
	ck_assert_uint_lt(strlen(path), sizeof(shared->path));
	strncpy(shared->path, path, sizeof(shared->path) - 1);
	free(path);
	ntc_entry_unref(entry);
	ntc_key_free(key);
}

START_TEST(test_read_while_written)
{
	first_path();
	ntc_test_children(WORKERS, write_or_read, NULL, LIMIT_MS * 2, NULL);
	ck_assert_uint_eq(atomic_load(&shared->seen), PATH_ROUNDS * WORKERS / 2);
}
END_TEST

/* The empty and the half file that a killed writer of another program leaves: mended, for everybody at once. */
static int mended(void *ctx, unsigned i)
{
	uint64_t number = 0;
	struct ntc_key *key = making_key(number);
	struct ntc_make make = { .key = key };
	struct ntc_entry *entry;
	char *path;

	(void)ctx;
	(void)i;
	NTC_CHILD_CHECK(make_large(&number, &make, &entry, NULL) == NTC_OK);
	NTC_CHILD_CHECK(ntc_entry_part_path(entry, "text.py", &path) == NTC_OK);
	NTC_CHILD_CHECK(file_right(path, number));
	free(path);
	ntc_entry_unref(entry);
	ntc_key_free(key);
	return 0;
}

START_TEST(test_mended)
{
	static const off_t sizes[] = { 0, 1, 1 << 20, (3 << 20) - 1 };

	first_path();
	for (unsigned n = 0; n < 5; n++) {
		(void)chmod(shared->path, 0600);
		if (n < 4)
			ck_assert_int_eq(truncate(shared->path, sizes[n]), 0);
		else
			ck_assert_int_eq(unlink(shared->path), 0);
		ntc_test_children(WORKERS, mended, NULL, LIMIT_MS, NULL);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("race");
	TCase *tc = tcase_create("race");

	tcase_add_checked_fixture(tc, setup, ntc_test_teardown);
	tcase_set_timeout(tc, 200);
	tcase_add_test(tc, test_two_configs);
	tcase_add_test(tc, test_alone);
	tcase_add_test(tc, test_killed_writer);
	tcase_add_test(tc, test_killed_writer_and_daemon);
	tcase_add_test(tc, test_read_while_written);
	tcase_add_test(tc, test_mended);
	suite_add_tcase(suite, tc);
	return ntc_test_run(suite);
}
