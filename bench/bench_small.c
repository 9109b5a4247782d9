/*
 * Up to which size an image should live in the index: the same entries there and in files of their own.
 *
 *     small [--dir DIR] [--entries N]
 *
 * For each size a store of either sort is filled with N entries, 64 puts under way at once, then with some one by one;
 * closed, opened, read. Both stores take turns, so that a disk that is slow for a while is slow for both. Loads are
 * of hot data through the store (loader thread and verification included); `client` is what a client does for
 * itself with a file and cannot do with the index: open, fstat, read, close. Start is the time of ntc_store_open(). Space
 * is of blocks on the disk, for each byte of image;
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/bench.h"
#include "bench/cache.h"

#define TOGETHER 64u
#define TURNS 4u
#define SINGLES 200u
#define LOADS 2000u

struct side {
	const char *name;
	struct ntc_bench_cache cache;
	uint64_t put_ns, start_ns, bytes, inodes, count;
	struct ntc_bench_times single, load;
};

static void put(struct side *side, size_t size, uint64_t entries)
{
	uint64_t begun = ntc_clock_mono_ns();

	ntc_bench_cache_put(&side->cache, side->count, entries, size, TOGETHER, NULL);
	side->put_ns += ntc_clock_mono_ns() - begun;
	side->count += entries;
	ntc_bench_cache_put(&side->cache, side->count, SINGLES / TURNS, size, 1, &side->single);
	side->count += SINGLES / TURNS;
}

static void reopen(struct side *side, const char *dir, uint64_t inline_max)
{
	uint64_t begun;

	ntc_bench_cache_close(&side->cache);
	begun = ntc_clock_mono_ns();
	ntc_bench_cache_open(&side->cache, dir, side->name, inline_max, false);
	side->start_ns = ntc_clock_mono_ns() - begun;
}

static void load(struct side *side, bool timed)
{
	for (unsigned i = 0; i < LOADS / TURNS; i++) {
		uint64_t n = ntc_bench_random() % side->count, begun = ntc_clock_mono_ns();

		ntc_bench_cache_load(&side->cache, n);
		if (timed)
			ntc_bench_add(&side->load, ntc_clock_mono_ns() - begun);
	}
}

/* As a client reads a file itself, but for the checksum. */
static uint64_t read_files(const struct side *side, size_t size)
{
	struct ntc_bench_times times = { 0 };
	char *bytes = malloc(size), path[64];
	int dir = open(side->cache.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	uint64_t median;

	if (!bytes || dir < 0)
		ntc_bench_die("%s cannot be read", side->cache.dir);
	for (unsigned i = 0; i < LOADS; i++) {
		uint64_t begun;
		struct stat st;
		int fd;

		ntc_bench_cache_path(ntc_bench_random() % side->count, path);
		begun = ntc_clock_mono_ns();
		fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) || read(fd, bytes, size) != (ssize_t)size)
			ntc_bench_die("%s cannot be read", path);
		close(fd);
		ntc_bench_add(&times, ntc_clock_mono_ns() - begun);
	}
	median = ntc_bench_quantile(&times, 0.5);
	ntc_bench_release(&times);
	close(dir);
	free(bytes);
	return median;
}

static void compare(const struct ntc_bench_dir *dir, size_t size, uint64_t entries)
{
	struct side sides[2] = { { .name = "index" }, { .name = "files" } };
	uint64_t client = 0;

	for (int i = 0; i < 2; i++)
		ntc_bench_cache_open(&sides[i].cache, dir->path, sides[i].name, i ? 0 : UINT64_MAX, false);
	for (unsigned turn = 0; turn < TURNS; turn++) {
		for (int i = 0; i < 2; i++)
			put(&sides[(i + turn) % 2], size, entries / TURNS);
	}
	for (int i = 0; i < 2; i++)
		reopen(&sides[i], dir->path, i ? 0 : UINT64_MAX);
	for (unsigned turn = 0; turn <= TURNS; turn++) {
		for (int i = 0; i < 2; i++)
			load(&sides[i], turn > 0);
	}
	client = read_files(&sides[1], size);
	for (int i = 0; i < 2; i++) {
		ntc_bench_cache_space(&sides[i].cache, &sides[i].bytes, &sides[i].inodes);
		printf("%5zu  %s  %9.0f  %8.2f  %8.1f  ", size >> 10, sides[i].name,
		       (double)(entries / TURNS * TURNS) * 1e9 / (double)sides[i].put_ns,
		       (double)ntc_bench_quantile(&sides[i].single, 0.5) / 1e6,
		       (double)ntc_bench_quantile(&sides[i].load, 0.5) / 1e3);
		if (i)
			printf("%8.1f", (double)client / 1e3);
		else
			printf("%8s", "-");
		printf("  %8.2f  %8.1f  %7llu\n", (double)sides[i].bytes / ((double)sides[i].count * (double)size),
		       (double)sides[i].start_ns / 1e6, (unsigned long long)sides[i].inodes);
		ntc_bench_cache_close(&sides[i].cache);
		ntc_bench_release(&sides[i].single);
		ntc_bench_release(&sides[i].load);
	}
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "entries", required_argument, NULL, 'n' },
		{ 0 },
	};
	unsigned long long entries = 4000;
	const char *below = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
		if (c == 'd')
			below = optarg;
		else if (c == 'n')
			entries = strtoull(optarg, NULL, 10);
		else
			return 2;
	}
	if (entries < TURNS)
		ntc_bench_die("at least %u entries", TURNS);
	for (size_t size = 1024; size <= 65536; size *= 2) {
		struct ntc_bench_dir dir;

		ntc_bench_dir_make(&dir, below);
		if (size == 1024)
			printf("%llu entries of each size on %s\n\n"
			       "  KiB  where   puts/s 64  put 1 ms   load us  client us  disk/byte  start ms  inodes\n",
			       entries, dir.filesystem);
		compare(&dir, size, entries);
		(void)fflush(stdout); /* the rows so far, should it be stopped */
		ntc_bench_dir_remove(&dir);
	}
	return 0;
}
