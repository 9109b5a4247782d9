/*
 * Puts of 32 KiB through the real socket, client library and daemon, on a disk, beside what the same work costs
 * without a daemon.
 *
 *     put [--dir DIR] [--workers N] [--seconds S] [--durability full|relaxed] [--dirt MIB]
 *
 * Printed: how long handing over a put takes beside a ping-pong of the same bytes through epoll, in turns, client
 * and loops on two processors; how long until a waiter has it; puts made durable one by one by all workers beside
 * files (written, synced, renamed, their directory synced) by the same workers, in turns; the same puts in bulk,
 * durable at the end. With --dirt, so much of another file is written a second meanwhile: somebody else's work on the
 * same disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/bench.h"
#include "bench/daemon.h"

#define ENTRY_SIZE (32u << 10)
#define ANSWER_SIZE 32u
#define WORKERS_MAX 64u
#define OPS_MAX 65536u /* of one worker in one turn */
#define TURNS 3u
#define HANDOVERS 4000u
#define BLOCK 50u /* hand-overs between two of the floor */
#define WAITS 300u
#define BULK 10000u
#define LIMIT_NS (60 * NTC_NS_PER_S) /* no step takes so long */

static struct {
	const char *below, *durability;
	unsigned workers, seconds;
	size_t dirt; /* MiB a second */
} options = { .durability = "full", .workers = 8, .seconds = 3 };

static struct ntc_bench_dir dir;
static struct ntc_bench_daemon ntcached;

/* What processes share. */
static struct shared {
	atomic_uint go; /* turns that have begun */
	atomic_uint ready;
	atomic_bool stop;
	atomic_uint seen;
	atomic_ullong seen_ns;
	uint32_t counts[WORKERS_MAX];
	uint64_t ns[WORKERS_MAX][OPS_MAX];
} * shared;

static void check(bool ok, const char *what)
{
	if (!ok)
		ntc_bench_die("%s: %s", what, strerror(errno));
}

static void check_ntc(enum ntc_err err, const char *what)
{
	if (err < 0)
		ntc_bench_die("%s: %s: %s", what, ntc_err_name(err), ntc_last_error());
}

/* Wait until a number that another process counts up is there; it may have died. */
static void await(const atomic_uint *number, unsigned value)
{
	uint64_t until = ntc_clock_mono_ns() + LIMIT_NS;

	while (atomic_load(number) < value) {
		if (ntc_clock_mono_ns() > until)
			ntc_bench_die("a process does not go on");
		sched_yield();
	}
}

/* --- entries ------------------------------------------------------------------------------ */

/* An entry whose key is this process's and number's. */
static struct ntc_key *make_key(uint64_t number)
{
	struct ntc_key *key = ntc_key_new(NTC_KIND_KERNEL);

	ntc_key_add_string(key, "bench", "put", 3);
	ntc_key_add_uint(key, "number", number);
	ntc_key_add_uint(key, "process", (uint64_t)getpid());
	check_ntc(ntc_key_seal(key), "a key");
	return key;
}

static struct ntc_entry *make_entry(const struct ntc_key *key)
{
	static uint8_t bytes[ENTRY_SIZE];
	struct ntc_part_data part = { "cubin", bytes, sizeof(bytes) };
	uint64_t salt = ntc_bench_random();
	struct ntc_entry *entry;

	for (size_t i = 0; i + sizeof(salt) <= sizeof(bytes); i += 4096)
		memcpy(bytes + i, &salt, sizeof(salt));
	check_ntc(ntc_entry_new(key, NULL, &part, 1, &entry), "an entry");
	return entry;
}

/* Puts a new entry; the time that handing it over took. Its making is not in it. */
static uint64_t put_one(struct ntc_client *client, uint64_t number)
{
	struct ntc_key *key = make_key(number);
	struct ntc_entry *entry = make_entry(key);
	uint64_t start = ntc_clock_mono_ns(), took;

	check_ntc(ntc_put(client, NULL, entry, 0), "a put");
	took = ntc_clock_mono_ns() - start;
	ntc_entry_unref(entry);
	ntc_key_free(key);
	return took;
}

/* --- handing over ------------------------------------------------------------------------- */

/* The other end of the floor: an epoll loop that answers every ENTRY_SIZE bytes. */
static void echo(int fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	static uint8_t bytes[ENTRY_SIZE + 4096];
	int loop = epoll_create1(0);
	size_t have = 0;

	epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
	while (epoll_wait(loop, &event, 1, -1) > 0) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

		if (n <= 0)
			break;
		have += (size_t)n;
		if (have >= ENTRY_SIZE) {
			have -= ENTRY_SIZE;
			if (send(fd, bytes, ANSWER_SIZE, MSG_NOSIGNAL) != ANSWER_SIZE)
				break;
		}
	}
	_exit(0);
}

static uint64_t ping(int fd)
{
	static uint8_t bytes[ENTRY_SIZE];
	uint8_t answer[ANSWER_SIZE];
	uint64_t start = ntc_clock_mono_ns();

	check(send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL) == sizeof(bytes), "send");
	check(recv(fd, answer, sizeof(answer), MSG_WAITALL) == sizeof(answer), "recv");
	return ntc_clock_mono_ns() - start;
}

/* Keep one thread on one processor, or (-1) let it go where it likes. */
static void pin(pid_t thread, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (cpu < 0 || i == cpu)
			CPU_SET(i, &set);
	/* Fails where there is one processor only: then there is nothing to choose. */
	(void)sched_setaffinity(thread, sizeof(set), &set);
}

static void print_times(const char *what, struct ntc_bench_times *times)
{
	printf("  %-44s %9.0f %9.0f %9.0f\n", what, (double)ntc_bench_quantile(times, 0.5) / 1e3,
	       (double)ntc_bench_quantile(times, 0.99) / 1e3, (double)ntc_bench_quantile(times, 1) / 1e3);
}

static void measure_handover(void)
{
	struct ntc_bench_times puts = { 0 }, floor = { 0 };
	struct ntc_client *client = ntc_bench_client(&ntcached);
	int fds[2];
	pid_t pid;

	check(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds), "socketpair");
	fflush(NULL);
	pid = fork();
	check(pid >= 0, "fork");
	if (pid == 0) {
		close(fds[0]);
		pin(0, 1);
		echo(fds[1]);
	}
	close(fds[1]);
	/* Or it would be chance whether two meet on one processor. The daemon's other threads go where they like. */
	pin(0, 0);
	pin(ntcached.pid, 1);
	for (unsigned i = 0; i < HANDOVERS; i++) {
		uint64_t took = put_one(client, i);

		/* The first finds caches and tables empty. */
		if (i < BLOCK)
			continue;
		ntc_bench_add(&puts, took);
		ntc_bench_add(&floor, ping(fds[0]));
	}
	close(fds[0]);
	waitpid(pid, NULL, 0);
	pin(0, -1);
	pin(ntcached.pid, -1);
	check_ntc(ntc_sync(client, NTC_NO_TIMEOUT), "sync");
	ntc_close(client);
	printf("\nhanding over, one client (µs)%32s %9s %9s\n", "median", "99%", "longest");
	print_times("socket ping-pong of the same bytes", &floor);
	print_times("put", &puts);
	printf("  %.2f x the floor (target: 1.5)\n",
	       (double)ntc_bench_quantile(&puts, 0.5) / (double)ntc_bench_quantile(&floor, 0.5));
	ntc_bench_release(&puts);
	ntc_bench_release(&floor);
}

/* --- until a waiter has it ---------------------------------------------------------------- */

/* Asks for what the other process makes, over and over; says when it asks and when it has it. */
static void wait_for_puts(void)
{
	struct ntc_client *client = ntc_bench_client(&ntcached);

	for (unsigned i = 0; i < WAITS; i++) {
		struct ntc_key *key = ntc_key_new(NTC_KIND_KERNEL);
		struct ntc_answer answer = { 0 };

		ntc_key_add_uint(key, "waited_for", i);
		check_ntc(ntc_key_seal(key), "a key");
		await(&shared->go, i + 1);
		atomic_store(&shared->ready, i + 1);
		check_ntc(ntc_acquire(client, key, NULL, &answer), "acquire");
		atomic_store(&shared->seen_ns, ntc_clock_mono_ns());
		atomic_store(&shared->seen, i + 1);
		if (answer.err != NTC_OK)
			ntc_bench_die("the waiter was not answered with the entry");
		ntc_answer_clear(&answer);
		ntc_key_free(key);
	}
	ntc_close(client);
	_exit(0);
}

static void measure_visible(void)
{
	struct timespec pause = { .tv_nsec = 2000000 };
	struct ntc_client *client = ntc_bench_client(&ntcached);
	struct ntc_bench_times times = { 0 };
	pid_t pid;

	memset(shared, 0, sizeof(*shared));
	fflush(NULL);
	pid = fork();
	check(pid >= 0, "fork");
	if (pid == 0)
		wait_for_puts();
	for (unsigned i = 0; i < WAITS; i++) {
		struct ntc_key *key = ntc_key_new(NTC_KIND_KERNEL);
		struct ntc_answer answer = { 0 };
		struct ntc_entry *entry;
		uint64_t start;

		ntc_key_add_uint(key, "waited_for", i);
		check_ntc(ntc_key_seal(key), "a key");
		entry = make_entry(key);
		if (ntc_acquire(client, key, NULL, &answer) != NTC_MAKE)
			ntc_bench_die("no lease");
		atomic_store(&shared->go, i + 1);
		await(&shared->ready, i + 1);
		/* It is asking now; then it waits. */
		nanosleep(&pause, NULL);
		start = ntc_clock_mono_ns();
		check_ntc(ntc_put(client, answer.lease, entry, 0), "a put");
		answer.lease = NULL;
		await(&shared->seen, i + 1);
		ntc_bench_add(&times, atomic_load(&shared->seen_ns) - start);
		ntc_answer_clear(&answer);
		ntc_entry_unref(entry);
		ntc_key_free(key);
	}
	waitpid(pid, NULL, 0);
	ntc_close(client);
	printf("\nfrom the put until a waiter has it (µs)%22s %9s %9s\n", "median", "99%", "longest");
	print_times("put to waiter (target: 1000)", &times);
	ntc_bench_release(&times);
}

/* --- workers ------------------------------------------------------------------------------ */

typedef void work_fn(unsigned worker);

static void note(unsigned worker, uint64_t took)
{
	if (shared->counts[worker] < OPS_MAX)
		shared->ns[worker][shared->counts[worker]++] = took;
}

/* Run `work` in all workers for a turn; their times are added to *times. Returns how long the turn took. */
static uint64_t turn(work_fn *work, unsigned workers, bool timed, struct ntc_bench_times *times)
{
	struct timespec whole = { .tv_sec = options.seconds };
	pid_t pids[WORKERS_MAX];
	uint64_t start;

	memset(shared, 0, sizeof(*shared));
	fflush(NULL);
	for (unsigned w = 0; w < workers; w++) {
		pids[w] = fork();
		check(pids[w] >= 0, "fork");
		if (pids[w] == 0) {
			work(w);
			_exit(0);
		}
	}
	await(&shared->ready, workers);
	start = ntc_clock_mono_ns();
	atomic_store(&shared->go, 1);
	if (timed) {
		nanosleep(&whole, NULL);
		atomic_store(&shared->stop, true);
	}
	for (unsigned w = 0; w < workers; w++) {
		int status;

		check(waitpid(pids[w], &status, 0) == pids[w], "wait");
		if (status)
			ntc_bench_die("a worker failed");
		for (uint32_t i = 0; i < shared->counts[w]; i++)
			ntc_bench_add(times, shared->ns[w][i]);
	}
	return ntc_clock_mono_ns() - start;
}

static void begin(void)
{
	atomic_fetch_add(&shared->ready, 1);
	await(&shared->go, 1);
}

/* Each put made durable before the next. */
static void put_and_sync(unsigned worker)
{
	struct ntc_client *client = ntc_bench_client(&ntcached);

	begin();
	for (uint64_t i = 0; !atomic_load(&shared->stop); i++) {
		struct ntc_key *key = make_key(i);
		struct ntc_entry *entry = make_entry(key);
		uint64_t start = ntc_clock_mono_ns();

		check_ntc(ntc_put(client, NULL, entry, 0), "a put");
		check_ntc(ntc_sync(client, NTC_NO_TIMEOUT), "sync");
		note(worker, ntc_clock_mono_ns() - start);
		ntc_entry_unref(entry);
		ntc_key_free(key);
	}
	ntc_close(client);
}

/* What a cache of plain files does that wants to keep them. */
static void write_and_sync(unsigned worker)
{
	static uint8_t bytes[ENTRY_SIZE];
	char path[300];
	int files;

	snprintf(path, sizeof(path), "%s/files", dir.path);
	files = open(path, O_RDONLY | O_DIRECTORY);
	check(files >= 0, path);
	begin();
	while (!atomic_load(&shared->stop)) {
		uint64_t salt = ntc_bench_random(), start = ntc_clock_mono_ns();
		char name[48], temp[48];
		int fd, shard;

		memcpy(bytes, &salt, sizeof(salt));
		snprintf(temp, sizeof(temp), "tmp/%d.%016llx", (int)getpid(), (unsigned long long)salt);
		snprintf(name, sizeof(name), "%02x/%016llx", (unsigned)(salt >> 56),
			 (unsigned long long)salt);
		fd = openat(files, temp, O_WRONLY | O_CREAT | O_EXCL, 0600);
		check(fd >= 0, "open");
		check(write(fd, bytes, sizeof(bytes)) == sizeof(bytes), "write");
		check(!fsync(fd), "fsync");
		close(fd);
		check(!renameat(files, temp, files, name), "rename");
		name[2] = '\0';
		shard = openat(files, name, O_RDONLY | O_DIRECTORY);
		check(shard >= 0 && !fsync(shard), "fsync");
		close(shard);
		note(worker, ntc_clock_mono_ns() - start);
	}
	close(files);
}

static void make_file_dirs(void)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/files", dir.path);
	check(!mkdir(path, 0700), path);
	snprintf(path, sizeof(path), "%s/files/tmp", dir.path);
	check(!mkdir(path, 0700), path);
	for (unsigned shard = 0; shard < 256; shard++) {
		snprintf(path, sizeof(path), "%s/files/%02x", dir.path, shard);
		check(!mkdir(path, 0700), path);
	}
}

static void print_rate(const char *what, struct ntc_bench_times *times, uint64_t ns)
{
	printf("  %-34s %9.0f %9.2f %9.2f %9.2f\n", what, (double)times->count / ((double)ns / 1e9),
	       (double)ntc_bench_quantile(times, 0.5) / 1e6, (double)ntc_bench_quantile(times, 0.99) / 1e6,
	       (double)ntc_bench_quantile(times, 1) / 1e6);
}

static void measure_durable(void)
{
	struct ntc_client *client = ntc_bench_client(&ntcached);
	struct ntc_bench_times puts = { 0 }, files = { 0 };
	uint64_t put_ns = 0, file_ns = 0, groups, durable;

	make_file_dirs();
	groups = (uint64_t)ntc_bench_counter(client, "groups");
	durable = (uint64_t)ntc_bench_counter(client, "puts");
	for (unsigned i = 0; i < TURNS; i++) {
		file_ns += turn(write_and_sync, options.workers, true, &files);
		put_ns += turn(put_and_sync, options.workers, true, &puts);
	}
	groups = (uint64_t)ntc_bench_counter(client, "groups") - groups;
	durable = (uint64_t)ntc_bench_counter(client, "puts") - durable;
	printf("\ndurable one by one, %u workers%18s %9s %9s %9s\n", options.workers, "a second", "median ms",
	       "99%", "longest");
	print_rate("file, fsync, rename, directory fsync", &files, file_ns);
	print_rate("put, sync (target: 1000)", &puts, put_ns);
	printf("  %.1f puts a group; a sync time is %.2f ms: the median put waits %.1f, the longest %.1f of "
	       "the longest\n",
	       groups ? (double)durable / (double)groups : 0.0, (double)ntc_bench_quantile(&files, 0.5) / 1e6,
	       (double)ntc_bench_quantile(&puts, 0.5) / (double)ntc_bench_quantile(&files, 0.5),
	       (double)ntc_bench_quantile(&puts, 1) / (double)ntc_bench_quantile(&files, 1));
	ntc_bench_release(&puts);
	ntc_bench_release(&files);
	ntc_close(client);
}

/* --- bulk --------------------------------------------------------------------------------- */

static unsigned bulk_workers;

/* Puts without waiting for the disk; one wait at the end, which is in the turn's time. */
static void put_many(unsigned worker)
{
	struct ntc_client *client = ntc_bench_client(&ntcached);

	begin();
	for (unsigned i = 0; i < BULK / bulk_workers; i++)
		note(worker, put_one(client, i));
	check_ntc(ntc_sync(client, NTC_NO_TIMEOUT), "sync");
	ntc_close(client);
}

static void measure_bulk(unsigned workers)
{
	struct ntc_bench_times times = { 0 };
	char what[64];
	uint64_t ns = 0;

	bulk_workers = workers;
	for (unsigned i = 0; i < TURNS; i++)
		ns += turn(put_many, workers, false, &times);
	snprintf(what, sizeof(what), "%u puts, %u client%s (target: 5000)", BULK, workers,
		 workers > 1 ? "s" : "");
	print_rate(what, &times, ns);
	ntc_bench_release(&times);
}

/* --- somebody else ------------------------------------------------------------------------ */

static pid_t start_dirt(void)
{
	static uint8_t mib[1u << 20];
	char path[300];
	pid_t pid;
	int fd;

	if (!options.dirt)
		return 0;
	snprintf(path, sizeof(path), "%s/other", dir.path);
	fflush(NULL);
	pid = fork();
	check(pid >= 0, "fork");
	if (pid)
		return pid;
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	for (;;) {
		struct timespec second = { .tv_sec = 1 };

		for (size_t i = 0; i < options.dirt; i++) {
			memset(mib, (int)i, sizeof(mib));
			if (pwrite(fd, mib, sizeof(mib), (off_t)(i * sizeof(mib))) < 0)
				_exit(1);
		}
		nanosleep(&second, NULL);
	}
}

int main(int argc, char **argv)
{
	static const struct option table[] = {
		{ "dir", required_argument, NULL, 'd' },     { "workers", required_argument, NULL, 'w' },
		{ "seconds", required_argument, NULL, 's' }, { "durability", required_argument, NULL, 'D' },
		{ "dirt", required_argument, NULL, 'x' },    { 0 },
	};
	bool relaxed;
	int option;
	pid_t dirt;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		unsigned number = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;

		if (option == 'd')
			options.below = optarg;
		else if (option == 'w' && number && number <= WORKERS_MAX)
			options.workers = number;
		else if (option == 's' && number)
			options.seconds = number;
		else if (option == 'D')
			options.durability = optarg;
		else if (option == 'x')
			options.dirt = number;
		else
			return fprintf(stderr, "usage: put [--dir DIR] [--workers N] [--seconds S] "
					       "[--durability full|relaxed] [--dirt MIB]\n"),
			       2;
	}
	relaxed = strcmp(options.durability, "relaxed") == 0;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(shared != MAP_FAILED, "mmap");
	ntc_bench_dir_make(&dir, options.below);
	ntc_bench_daemon_start(&ntcached, dir.path, "cache", relaxed ? "--durability" : NULL, "relaxed",
			       NULL);
	printf("%s, durability %s, entries of %u KiB\n", dir.filesystem, options.durability,
	       ENTRY_SIZE >> 10);
	dirt = start_dirt();
	measure_handover();
	measure_visible();
	measure_durable();
	printf("\nbulk: all put, then one sync%20s %9s %9s %9s\n", "a second", "median ms", "99%", "longest");
	measure_bulk(1);
	measure_bulk(4);
	if (dirt) {
		kill(dirt, SIGKILL);
		waitpid(dirt, NULL, 0);
	}
	ntc_bench_daemon_stop(&ntcached);
	ntc_bench_dir_remove(&dir);
	return 0;
}
