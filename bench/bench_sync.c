/*
 * Ways of making a group of files durable, without daemon or index: what store/writer.c chooses from.
 *
 *     sync [--dir DIR] [--rounds N] [--dirt MIB]
 *
 * Each group of N files of 32 KiB is written into tmp/, gets its final names in 256 shard directories, and is
 * followed by 4 KiB appended to a journal, as the index's commit does. The ways differ in how files, names and journal
 * are synced. All ways take turns in every round, so that a disk that is slow for a while is slow for all. With
 * --dirt, so much of another file is written (and not synced) before each group: what somebody else's work on the
 * same file system costs.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/bench.h"

#define FILE_SIZE (32u << 10)
#define JOURNAL_SIZE 4096u
#define GROUP_MAX 256u
#define THREADS 4u

struct group {
	int fds[GROUP_MAX];
	char temps[GROUP_MAX][32], names[GROUP_MAX][48];
	unsigned shards[GROUP_MAX];
	size_t count;
};

static int dir_fd, shard_fds[256], journal, other;
static uint8_t bytes[FILE_SIZE];
static size_t dirt; /* MiB */

static void check(bool ok, const char *what)
{
	if (!ok)
		ntc_bench_die("%s: %s", what, strerror(errno));
}

/* --- steps -------------------------------------------------------------------------------- */

static void write_file(struct group *g, size_t i)
{
	uint64_t salt = ntc_bench_random();

	memcpy(bytes, &salt, sizeof(salt));
	snprintf(g->temps[i], sizeof(g->temps[i]), "tmp/%016llx", (unsigned long long)salt);
	g->shards[i] = (unsigned)(salt >> 56);
	snprintf(g->names[i], sizeof(g->names[i]), "%02x/%016llx", g->shards[i], (unsigned long long)salt);
	g->fds[i] = openat(dir_fd, g->temps[i], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	check(g->fds[i] >= 0, "open");
	check(pwrite(g->fds[i], bytes, sizeof(bytes), 0) == sizeof(bytes), "write");
}

static void name_file(struct group *g, size_t i)
{
	check(!renameat(dir_fd, g->temps[i], dir_fd, g->names[i]), "rename");
}

static void sync_file(struct group *g, size_t i)
{
	check(!fsync(g->fds[i]), "fsync");
}

static void sync_all(void)
{
	check(!syncfs(dir_fd), "syncfs");
}

static void append_journal(bool sync)
{
	check(write(journal, bytes, JOURNAL_SIZE) == JOURNAL_SIZE, "write");
	if (sync)
		check(!fdatasync(journal), "fdatasync");
}

static void write_files(struct group *g)
{
	for (size_t i = 0; i < g->count; i++)
		write_file(g, i);
}

static void sync_files(struct group *g)
{
	for (size_t i = 0; i < g->count; i++)
		sync_file(g, i);
}

static void name_files(struct group *g)
{
	for (size_t i = 0; i < g->count; i++)
		name_file(g, i);
}

static void sync_names(struct group *g)
{
	bool synced[256] = { false };

	for (size_t i = 0; i < g->count; i++) {
		if (!synced[g->shards[i]])
			check(!fsync(shard_fds[g->shards[i]]), "fsync");
		synced[g->shards[i]] = true;
	}
}

/* --- ways --------------------------------------------------------------------------------- */

static void one_by_one(struct group *g)
{
	for (size_t i = 0; i < g->count; i++) {
		write_file(g, i);
		sync_file(g, i);
		name_file(g, i);
		check(!fsync(shard_fds[g->shards[i]]), "fsync");
		append_journal(true);
	}
}

static void each_file(struct group *g)
{
	write_files(g);
	sync_files(g);
	name_files(g);
	sync_names(g);
	append_journal(true);
}

static void range_first(struct group *g)
{
	write_files(g);
	for (size_t i = 0; i < g->count; i++)
		check(!sync_file_range(g->fds[i], 0, 0, SYNC_FILE_RANGE_WRITE), "sync_file_range");
	sync_files(g);
	name_files(g);
	sync_names(g);
	append_journal(true);
}

struct part {
	struct group *g;
	size_t first;
};

static void *sync_part(void *ctx)
{
	const struct part *part = ctx;

	for (size_t i = part->first; i < part->g->count; i += THREADS)
		sync_file(part->g, i);
	return NULL;
}

static void by_threads(struct group *g)
{
	pthread_t threads[THREADS];
	struct part parts[THREADS];

	write_files(g);
	for (unsigned t = 0; t < THREADS; t++) {
		parts[t] = (struct part){ .g = g, .first = t };
		check(!pthread_create(&threads[t], NULL, sync_part, &parts[t]), "thread");
	}
	for (unsigned t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	name_files(g);
	sync_names(g);
	append_journal(true);
}

static void all_then_dirs(struct group *g)
{
	write_files(g);
	sync_all();
	name_files(g);
	sync_names(g);
	append_journal(true);
}

static void all_twice(struct group *g)
{
	write_files(g);
	sync_all();
	name_files(g);
	sync_all();
	append_journal(true);
}

static void all_once(struct group *g)
{
	write_files(g);
	name_files(g);
	sync_all();
	append_journal(true);
}

static void all_last(struct group *g)
{
	write_files(g);
	name_files(g);
	append_journal(false);
	sync_all();
}

static const struct way {
	const char *name;
	void (*run)(struct group *g);
} ways[] = {
	{ "file, name, journal synced one by one", one_by_one },
	{ "fsync each file; each directory; journal", each_file },
	{ "the same, writing started on all first", range_first },
	{ "fsync by 4 threads; each directory; journal", by_threads },
	{ "syncfs; names; fsync each directory; journal", all_then_dirs },
	{ "syncfs; names; syncfs; journal", all_twice },
	{ "names; syncfs; journal", all_once },
	{ "names; journal; syncfs", all_last },
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

/* Somebody else's file, written anew. */
static void make_dirt(void)
{
	static uint8_t mib[1u << 20];

	memset(mib, (int)ntc_bench_random(), sizeof(mib));
	for (size_t i = 0; i < dirt; i++)
		check(pwrite(other, mib, sizeof(mib), (off_t)(i * sizeof(mib))) == sizeof(mib), "write");
}

static uint64_t run_group(const struct way *way, size_t count)
{
	struct group *g = calloc(1, sizeof(*g));
	uint64_t start, took;

	check(g != NULL, "memory");
	g->count = count;
	make_dirt();
	start = ntc_clock_mono_ns();
	way->run(g);
	took = ntc_clock_mono_ns() - start;
	for (size_t i = 0; i < count; i++) {
		close(g->fds[i]);
		check(!unlinkat(dir_fd, g->names[i], 0), "unlink");
	}
	free(g);
	return took;
}

/* What one way left to do is not the next one's. */
static void settle(void)
{
	check(!ftruncate(journal, 0) && lseek(journal, 0, SEEK_SET) == 0, "truncate");
	sync_all();
}

static void measure(size_t count, unsigned rounds)
{
	struct ntc_bench_times times[WAYS] = { 0 };

	for (unsigned round = 0; round < rounds; round++) {
		for (size_t w = 0; w < WAYS; w++) {
			ntc_bench_add(&times[w], run_group(&ways[w], count));
			settle();
		}
	}
	printf("\ngroups of %zu, %u of each\n", count, rounds);
	printf("  %-46s %10s %10s %10s\n", "", "files/s", "median ms", "longest ms");
	for (size_t w = 0; w < WAYS; w++) {
		double median = (double)ntc_bench_quantile(&times[w], 0.5) / 1e6;

		printf("  %-46s %10.0f %10.2f %10.2f\n", ways[w].name, (double)count / median * 1e3, median,
		       (double)ntc_bench_quantile(&times[w], 1) / 1e6);
		ntc_bench_release(&times[w]);
	}
}

int main(int argc, char **argv)
{
	static const struct option table[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "dirt", required_argument, NULL, 'D' },
		{ 0 },
	};
	struct ntc_bench_dir dir;
	const char *below = NULL;
	unsigned rounds = 20;
	char name[8];
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (option == 'd')
			below = optarg;
		else if (option == 'r' && atoi(optarg) > 0)
			rounds = (unsigned)atoi(optarg);
		else if (option == 'D' && atoi(optarg) > 0)
			dirt = (size_t)atoi(optarg);
		else
			return fprintf(stderr, "usage: sync [--dir DIR] [--rounds N] [--dirt MIB]\n"), 2;
	}
	ntc_bench_dir_make(&dir, below);
	dir_fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(dir_fd >= 0, dir.path);
	check(!mkdirat(dir_fd, "tmp", 0700), "mkdir");
	for (unsigned shard = 0; shard < 256; shard++) {
		snprintf(name, sizeof(name), "%02x", shard);
		check(!mkdirat(dir_fd, name, 0700), "mkdir");
		shard_fds[shard] = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		check(shard_fds[shard] >= 0, "open");
	}
	journal = openat(dir_fd, "journal", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	check(journal >= 0, "open");
	other = openat(dir_fd, "other", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	check(other >= 0, "open");
	settle();
	printf("%s: files of %u KiB\n", dir.filesystem, FILE_SIZE >> 10);
	for (size_t count = 1; count <= GROUP_MAX; count *= count == 1 ? 8 : count == 64 ? 4 : 8)
		measure(count, count >= 64 ? (rounds + 1) / 2 : rounds);
	ntc_bench_dir_remove(&dir);
	return 0;
}
