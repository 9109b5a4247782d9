/*
 * Bundles: entries of 32 KiB imported through a real daemon on a disk, exported, and imported again into an empty one.
 *
 *     import [--dir DIR] [--count N] [--durability full|relaxed]
 *
 * Printed: entries a second of each way, beside what the disk does at that time with plain files of the same bytes (64 written
 * and renamed, then one syncfs). Importing ends when everything is durable. Half of an entry's bytes compress.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/bench.h"
#include "bench/daemon.h"

#define ENTRY_SIZE (32u << 10)

static struct {
	const char *below, *durability;
	uint64_t count;
} options = { .durability = "full", .count = 100000 };

static struct ntc_bench_dir dir;

static void print_rate(const char *what, uint64_t count, uint64_t ns, const char *target)
{
	double seconds = (double)ns / 1e9;

	printf("  %-44s %9.0f %9.0f %9.1f  %s\n", what, (double)count / seconds,
	       (double)count * ENTRY_SIZE / 1e6 / seconds, seconds, target);
	fflush(stdout);
}

/* --- plain files -------------------------------------------------------------------------- */

/* `count` files below DIR/NAME, in 256 directories, in groups; the time that took. */
static uint64_t write_files(const char *name, uint64_t count)
{
	static uint64_t words[ENTRY_SIZE / sizeof(uint64_t)];
	char path[300], from[320], to[340];
	uint64_t start;
	int root;

	snprintf(path, sizeof(path), "%s/%s", dir.path, name);
	if (mkdir(path, 0700))
		ntc_bench_die("%s: %s", path, strerror(errno));
	for (unsigned i = 0; i < 256; i++) {
		snprintf(to, sizeof(to), "%s/%02x", path, i);
		if (mkdir(to, 0700))
			ntc_bench_die("%s: %s", to, strerror(errno));
	}
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(from, sizeof(from), "%s/temp", path);
	start = ntc_clock_mono_ns();
	for (uint64_t i = 0; i < count; i++) {
		uint64_t salt = ntc_bench_random();
		int fd = open(from, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

		words[0] = salt;
		snprintf(to, sizeof(to), "%s/%02x/%016llx", path, (unsigned)(salt & 255), (unsigned long long)salt);
		if (fd < 0 || write(fd, words, sizeof(words)) != (ssize_t)sizeof(words) || close(fd) || rename(from, to) ||
		    ((i % 64 == 63 || i + 1 == count) && syncfs(root)))
			ntc_bench_die("%s: %s", to, strerror(errno));
	}
	close(root);
	return ntc_clock_mono_ns() - start;
}

static void measure_floor(const char *name)
{
	uint64_t count = options.count < 10000 ? options.count : 10000;

	print_rate("plain files, one syncfs for 64", count, write_files(name, count), "");
}

/* --- through the library ------------------------------------------------------------------ */

struct stream {
	uint64_t made, fresh;
};

static struct ntc_entry *next_entry(void *ctx)
{
	static uint64_t words[ENTRY_SIZE / sizeof(uint64_t)];
	struct ntc_part_data part = { "cubin", words, sizeof(words) };
	struct stream *stream = ctx;
	struct ntc_entry *entry;
	struct ntc_key *key;

	if (stream->made == options.count)
		return NULL;
	key = ntc_key_new(NTC_KIND_KERNEL);
	ntc_key_add_string(key, "bench", "import", 6);
	ntc_key_add_uint(key, "number", stream->made++);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i += 2)
		words[i] = ntc_bench_random();
	if (ntc_key_seal(key) || ntc_entry_new(key, NULL, &part, 1, &entry))
		ntc_bench_die("an entry: %s", ntc_last_error());
	ntc_key_free(key);
	return entry;
}

static bool told(void *ctx, struct ntc_entry *entry, enum ntc_err err)
{
	struct stream *stream = ctx;

	(void)entry;
	if (err < 0)
		ntc_bench_die("an entry was refused: %s: %s", ntc_err_name(err), ntc_last_error());
	stream->fresh += err == NTC_OK;
	return true;
}

static void import_here(const struct ntc_bench_daemon *daemon)
{
	struct ntc_client *client = ntc_bench_client(daemon);
	struct stream stream = { 0 };
	uint64_t start = ntc_clock_mono_ns();
	enum ntc_err err = ntc_import(client, NTC_NO_TIMEOUT, next_entry, told, &stream);
	char groups[64];

	if (err || stream.fresh != options.count)
		ntc_bench_die("importing: %s: %s", ntc_err_name(err), ntc_last_error());
	print_rate("imported through the library", options.count, ntc_clock_mono_ns() - start, "");
	snprintf(groups, sizeof(groups), "%.1f entries a group",
		 (double)options.count / (double)(ntc_bench_counter(client, "groups") + !ntc_bench_counter(client, "groups")));
	printf("    %s, longest wait %.1f ms\n", groups, (double)ntc_bench_counter(client, "group_wait_max_ns") / 1e6);
	ntc_close(client);
}

/* --- through ntcache-ctl ------------------------------------------------------------------ */

/* `ntcache-ctl --socket SOCKET COMMAND FILE` (FILE may be NULL), which has to succeed. */
static uint64_t ctl(const struct ntc_bench_daemon *daemon, const char *command, const char *file)
{
	const char *build = getenv("NTC_TEST_BUILD");
	uint64_t start = ntc_clock_mono_ns();
	char path[1024];
	int status;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/bin/ntcache-ctl", build ? build : "build");
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		/* What it says is for people who ask. */
		if (!freopen("/dev/null", "w", stdout))
			_exit(1);
		execl(path, "ntcache-ctl", "--socket", daemon->socket, command, file, NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		ntc_bench_die("%s %s failed", path, command);
	return ntc_clock_mono_ns() - start;
}

static void start(struct ntc_bench_daemon *daemon, const char *name)
{
	ntc_bench_daemon_start(daemon, dir.path, name, "--max-size", "0",
			       strcmp(options.durability, "full") == 0 ? NULL : "--durability", options.durability, NULL);
}

int main(int argc, char **argv)
{
	static const struct option table[] = {
		{ "dir", required_argument, NULL, 'd' },
		{ "count", required_argument, NULL, 'c' },
		{ "durability", required_argument, NULL, 'D' },
		{ 0 },
	};
	struct ntc_bench_daemon first, second;
	char file[300];
	struct stat st;
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		uint64_t number = optarg ? strtoull(optarg, NULL, 10) : 0;

		if (option == 'd')
			options.below = optarg;
		else if (option == 'c' && number)
			options.count = number;
		else if (option == 'D')
			options.durability = optarg;
		else
			return fprintf(stderr, "usage: import [--dir DIR] [--count N] [--durability full|relaxed]\n"), 2;
	}
	ntc_bench_dir_make(&dir, options.below);
	snprintf(file, sizeof(file), "%s/bundle.zst", dir.path);
	printf("%s, durability %s, %llu entries of %u KiB\n\nbundles%40s %9s %9s %9s\n", dir.filesystem, options.durability,
	       (unsigned long long)options.count, ENTRY_SIZE >> 10, "", "a second", "MB/s", "seconds");
	measure_floor("before");
	start(&first, "first");
	import_here(&first);
	print_rate("exported", options.count, ctl(&first, "export", file), "");
	if (stat(file, &st))
		ntc_bench_die("%s: %s", file, strerror(errno));
	printf("    %.0f %% of the entries' bytes\n", (double)st.st_size * 100 / (double)(options.count * ENTRY_SIZE));
	ntc_bench_daemon_stop(&first);
	start(&second, "second");
	print_rate("imported by ntcache-ctl", options.count, ctl(&second, "import", file), "(target: 5000 a second)");
	measure_floor("behind");
	print_rate("imported again, all known", options.count, ctl(&second, "import", file), "");
	print_rate("verified", options.count, ctl(&second, "verify", NULL), "");
	ntc_bench_daemon_stop(&second);
	ntc_bench_dir_remove(&dir);
	return 0;
}
