/*
 * The real daemon on few and on many entries of 2 KiB: how long until the first hit after its start, how much memory an
 * entry takes, and what puts and hits cost then.
 *
 *     scale [--dir DIR] [--entries FEW,MANY] [--keep]
 *
 * With --keep the directory is kept, and its name printed.
 *
 * The directories are filled without a daemon and without waiting for syncs. *start* is from exec to the first hit of a client, over the socket, which
 * connects again and again meanwhile: after a clean end; after kill -9, with the check of the index behind; after a clean
 * end with the index dropped from the page cache. *behind* is from exec until nothing is recovering any more. Resident
 * memory is that of the first, without the segment, when the rest has been measured; for each entry, what MANY take
 * beyond FEW. Puts are made durable one by one, hits are of random entries over the socket, one at a time: medians.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/bench.h"
#include "bench/cache.h"
#include "bench/daemon.h"
#include "store/image.h"

#define SIZE 2048u
#define TOGETHER 64u
#define PUTS 300u
#define HITS 5000u

struct result {
	uint64_t entries, fill_ns, bytes, inodes;
	uint64_t start_ns[3], behind_ns[3];     /* clean, killed, not in memory */
	uint64_t start_cpu_ns[3], behind_cpu_ns[3];
	uint64_t resident, put_ns, hit_ns;
};

static struct ntc_key *key_of(uint64_t n)
{
	struct ntc_key *key = ntc_key_new(NTC_KIND_HANDLE);

	ntc_key_add_int(key, "n", (int64_t)n);
	ntc_key_add_string(key, "program", NTC_BENCH_PROGRAM, strlen(NTC_BENCH_PROGRAM));
	if (!key || ntc_key_seal(key))
		ntc_bench_die("no key");
	return key;
}

static void hit(struct ntc_client *client, uint64_t n)
{
	struct ntc_key *key = key_of(n);
	struct ntc_entry *entry;

	if (ntc_lookup(client, key, NTC_NO_TIMEOUT, &entry))
		ntc_bench_die("entry %llu is not there: %s", (unsigned long long)n, ntc_last_error());
	ntc_entry_unref(entry);
	ntc_key_free(key);
}

static void put(struct ntc_client *client, uint64_t n)
{
	static char bytes[SIZE - 512];
	struct ntc_part_data part = { "recipe", bytes, sizeof(bytes) };
	struct ntc_key *key = key_of(n);
	struct ntc_entry *entry;

	memcpy(bytes, &n, sizeof(n));
	if (ntc_entry_new(key, NULL, &part, 1, &entry) || ntc_put(client, NULL, entry, 20 * NTC_NS_PER_MS) != NTC_OK ||
	    ntc_sync(client, NTC_NO_TIMEOUT))
		ntc_bench_die("a put failed: %s", ntc_last_error());
	ntc_entry_unref(entry);
	ntc_key_free(key);
}

static uint64_t resident_of(pid_t pid)
{
	unsigned long long pages = 0;
	char path[64];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%ld/statm", (long)pid);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%*u %llu", &pages) != 1)
		ntc_bench_die("%s cannot be read", path);
	(void)fclose(f); /* only read */
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t cpu_of(pid_t pid)
{
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock))
		ntc_bench_die("the daemon's processor time cannot be read");
	return ntc_clock_read(clock);
}

static void drop_index(const char *dir)
{
	char path[512];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/index.sqlite3", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	/* Only what is on the disk can be dropped. */
	if (fd < 0 || fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
		ntc_bench_die("%s cannot be dropped from memory", path);
	close(fd);
}

/* Start it, and take the times. */
static void start(struct ntc_bench_daemon *daemon, const char *dir, const char *name, struct result *r, int how)
{
	struct timespec pause = { .tv_nsec = 2000000 };
	uint64_t begun = ntc_clock_mono_ns();
	struct ntc_client *client;

	ntc_bench_daemon_start(daemon, dir, name, "--segment-size", "0", (char *)NULL);
	client = ntc_bench_client(daemon);
	hit(client, ntc_bench_random() % r->entries);
	r->start_ns[how] = ntc_clock_mono_ns() - begun;
	r->start_cpu_ns[how] = cpu_of(daemon->pid);
	while (ntc_bench_counter(client, "recovering"))
		nanosleep(&pause, NULL);
	r->behind_ns[how] = ntc_clock_mono_ns() - begun;
	r->behind_cpu_ns[how] = cpu_of(daemon->pid);
	ntc_close(client);
}

static void kill_daemon(struct ntc_bench_daemon *daemon)
{
	kill(daemon->pid, SIGKILL);
	while (waitpid(daemon->pid, NULL, 0) < 0)
		;
}

static void measure(struct ntc_bench_daemon *daemon, struct result *r)
{
	struct ntc_client *client = ntc_bench_client(daemon);
	struct ntc_bench_times puts = { 0 }, hits = { 0 };

	for (unsigned i = 0; i < PUTS; i++) {
		uint64_t begun = ntc_clock_mono_ns();

		put(client, r->entries + i);
		ntc_bench_add(&puts, ntc_clock_mono_ns() - begun);
	}
	for (unsigned i = 0; i < HITS; i++) {
		uint64_t begun = ntc_clock_mono_ns();

		hit(client, ntc_bench_random() % r->entries);
		ntc_bench_add(&hits, ntc_clock_mono_ns() - begun);
	}
	r->put_ns = ntc_bench_quantile(&puts, 0.5);
	r->hit_ns = ntc_bench_quantile(&hits, 0.5);
	ntc_bench_release(&puts);
	ntc_bench_release(&hits);
	ntc_close(client);
}

static void scale(const struct ntc_bench_dir *dir, const char *name, struct result *r)
{
	struct ntc_bench_daemon daemon;
	struct ntc_bench_cache cache;
	uint64_t begun = ntc_clock_mono_ns();

	ntc_bench_cache_open(&cache, dir->path, name, NTC_INLINE_IMAGE_MAX, true);
	ntc_bench_cache_put(&cache, 0, r->entries, SIZE, TOGETHER, NULL);
	ntc_bench_cache_close(&cache);
	r->fill_ns = ntc_clock_mono_ns() - begun;
	ntc_bench_cache_space(&cache, &r->bytes, &r->inodes);
	start(&daemon, dir->path, name, r, 0);
	measure(&daemon, r);
	r->resident = resident_of(daemon.pid);
	kill_daemon(&daemon);
	start(&daemon, dir->path, name, r, 1);
	ntc_bench_daemon_stop(&daemon);
	drop_index(cache.dir);
	start(&daemon, dir->path, name, r, 2);
	ntc_bench_daemon_stop(&daemon);
}

static void print_row(const char *what, const uint64_t values[2], double unit)
{
	printf("%-40s %12.2f %12.2f\n", what, (double)values[0] / unit, (double)values[1] / unit);
}

#define ROW(what, member, unit) \
	print_row(what, (const uint64_t[2]){ r[0].member, r[1].member }, unit)

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "entries", required_argument, NULL, 'n' },
		{ "keep", no_argument, NULL, 'k' },
		{ 0 },
	};
	struct result r[2] = { { .entries = 1000 }, { .entries = 100000 } };
	const char *below = NULL;
	struct ntc_bench_dir dir;
	bool keep = false;
	char *end;
	int c;

	while ((c = getopt_long(argc, argv, "", long_options, NULL)) >= 0) {
		if (c == 'd') {
			below = optarg;
		} else if (c == 'n') {
			r[0].entries = strtoull(optarg, &end, 10);
			r[1].entries = *end == ',' ? strtoull(end + 1, &end, 10) : 0;
		} else if (c == 'k') {
			keep = true;
		} else {
			return 2;
		}
	}
	if (!r[0].entries || r[1].entries <= r[0].entries)
		ntc_bench_die("--entries takes FEW,MANY");
	ntc_bench_dir_make(&dir, below);
	scale(&dir, "few", &r[0]);
	scale(&dir, "many", &r[1]);
	printf("entries of %u bytes, on %s\n\n%-40s %12llu %12llu\n", SIZE, dir.filesystem, "",
	       (unsigned long long)r[0].entries, (unsigned long long)r[1].entries);
	ROW("filling, s", fill_ns, 1e9);
	ROW("on the disk, MiB", bytes, 1048576);
	ROW("inodes", inodes, 1);
	ROW("start to first hit, s", start_ns[0], 1e9);
	ROW("  after kill -9", start_ns[1], 1e9);
	ROW("  index not in memory", start_ns[2], 1e9);
	ROW("  of it on the processor", start_cpu_ns[0], 1e9);
	ROW("start to nothing behind, s", behind_ns[0], 1e9);
	ROW("  after kill -9", behind_ns[1], 1e9);
	ROW("  index not in memory", behind_ns[2], 1e9);
	ROW("  of it on the processor", behind_cpu_ns[0], 1e9);
	ROW("  after kill -9, on the processor", behind_cpu_ns[1], 1e9);
	ROW("resident, MiB", resident, 1048576);
	ROW("durable put, ms", put_ns, 1e6);
	ROW("hit over the socket, us", hit_ns, 1e3);
	printf("\nresident memory of an entry: %.0f bytes\n",
	       (double)(int64_t)(r[1].resident - r[0].resident) / (double)(r[1].entries - r[0].entries));
	if (keep)
		printf("kept: %s\n", dir.path);
	else
		ntc_bench_dir_remove(&dir);
	return 0;
}
