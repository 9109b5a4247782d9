/*
 * Hits on hot entries: ours on each rung beside what people use instead and what the machine allows, in one run.
 *
 *     hit [--size BYTES]... [--clients N]... [--only WORD] [--turns N] [--puts N] [--dir DIR]
 *
 * hit.h says what a hit is. Keys are drawn at random out of 1,000, or of as many as 256 MiB hold. With one client it and the server are
 * pinned to two processors; with more they go where they like. The systems of a size take turns, so that the machine's
 * moods meet all of them. Times are of single look-ups, less what reading the clock costs.
 *
 * `attach` is what a process pays that was just forked and has nothing: opening and one look-up. `first-copy` is what it pays for each
 * other entry that it reads for the first time; its pages are in memory, but not in this process.
 *
 * With --puts somebody puts so many new entries a second to our daemon meanwhile.
 *
 * The rows go to build/bench/results.json (results.h), and as a table to the output.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/bench.h"
#include "bench/hit.h"
#include "bench/random.h"
#include "bench/results.h"

#define SET_BYTES (256u << 20)
#define KEYS_MAX 1000u
#define TURN_NS (200 * NTC_NS_PER_MS)
#define SAMPLES_MAX 200000u /* of one client in one turn */
#define CLIENTS_MAX 16u
#define SIZES_MAX 8u
#define SYSTEMS_MAX 24u
#define FRESH 40u /* processes that attach, in one turn */
#define FIRSTS 4u /* first reads of each */

static struct {
	size_t sizes[SIZES_MAX];
	unsigned size_count;
	unsigned clients[4], client_count;
	const char *only, *below;
	unsigned turns, puts;
} options = { .turns = 1 };

static struct ntc_bench_row rows[SIZES_MAX * SYSTEMS_MAX * 6];
static size_t row_count;

/* What the processes of one turn share. */
static struct shared {
	atomic_uint ready;
	atomic_bool go;
	struct client {
		uint64_t looks, took_ns;
		uint32_t count;
		uint32_t ns[SAMPLES_MAX];
	} clients[CLIENTS_MAX];
} * shared;

static uint64_t clock_cost; /* of reading it twice */

/* --- entries ------------------------------------------------------------------------------ */

static void set_make(struct hit_set *set, const char *dir, size_t size)
{
	char text[HIT_KEY_TEXT];

	*set = (struct hit_set){ .dir = dir, .size = size, .count = SET_BYTES / (unsigned)size };
	if (set->count > KEYS_MAX)
		set->count = KEYS_MAX;
	set->entries = calloc(set->count, sizeof(*set->entries));
	if (!set->entries)
		ntc_bench_die("no memory");
	memset(text, 'x', sizeof(text));
	for (unsigned k = 0; k < set->count; k++) {
		struct hit_entry *entry = &set->entries[k];
		struct ntc_digest digest;

		entry->key = ntc_key_new(NTC_KIND_KERNEL);
		ntc_key_add_string(entry->key, "application", text, sizeof(text));
		ntc_key_add_uint(entry->key, "size", size);
		ntc_key_add_uint(entry->key, "number", k);
		if (ntc_key_seal(entry->key))
			ntc_bench_die("a key: %s", ntc_last_error());
		entry->key_bytes = ntc_key_bytes(entry->key, &entry->key_len);
		digest = ntc_key_digest_of(entry->key);
		ntc_digest_text(&digest, entry->name);
		if (entry->key_len + size > set->record_max)
			set->record_max = entry->key_len + size;
	}
	set->record = malloc(set->record_max);
	if (!set->record)
		ntc_bench_die("no memory");
}

static void set_free(struct hit_set *set)
{
	for (unsigned k = 0; k < set->count; k++)
		ntc_key_free(set->entries[k].key);
	free(set->entries);
	free(set->record);
}

/* --- measuring ---------------------------------------------------------------------------- */

/* Put all threads of a process on one processor, or (-1) on all. */
static void pin(pid_t pid, int cpu)
{
	struct dirent *entry;
	char path[64];
	cpu_set_t set;
	DIR *tasks;

	memset(&set, cpu < 0 ? 0xff : 0, sizeof(set));
	if (cpu >= 0)
		CPU_SET(cpu, &set);
	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks)))
		/* On a machine with one processor everything is on it anyway. */
		if (entry->d_name[0] != '.')
			(void)sched_setaffinity((pid_t)strtol(entry->d_name, NULL, 10), sizeof(set), &set);
	if (tasks)
		closedir(tasks);
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void calibrate(void)
{
	static uint32_t ns[10001];

	for (size_t i = 0; i < 10001; i++) {
		uint64_t began = ntc_clock_mono_ns();

		ns[i] = (uint32_t)(ntc_clock_mono_ns() - began);
	}
	qsort(ns, 10001, sizeof(ns[0]), compare_u32);
	clock_cost = ns[5000];
}

/* A client's turn: everything once, then at random until the time is over. */
static void run_client(const struct hit_system *system, struct hit_set *set, unsigned me)
{
	struct ntc_random random = { .state = me * 1000003u + 17 };
	struct client *out = &shared->clients[me];
	void *opened = system->open(set);
	uint64_t end, now, began;

	for (unsigned k = 0; k < set->count; k++)
		if (system->get(opened, set, k) != hit_first(k))
			ntc_bench_die("%s: another value", system->system);
	atomic_fetch_add(&shared->ready, 1);
	while (!atomic_load(&shared->go))
		sched_yield();
	began = now = ntc_clock_mono_ns();
	end = began + TURN_NS;
	while (now < end) {
		unsigned k = ntc_random_below(&random, set->count);
		uint64_t before = ntc_clock_mono_ns(), took;

		if (system->get(opened, set, k) != hit_first(k))
			ntc_bench_die("%s: another value", system->system);
		now = ntc_clock_mono_ns();
		took = now - before;
		took = took > clock_cost ? took - clock_cost : 0;
		out->looks++;
		if (out->count < SAMPLES_MAX)
			out->ns[out->count++] = (uint32_t)took;
	}
	out->took_ns = now - began;
}

struct figures {
	struct ntc_bench_times times;
	double per_second;
};

static void take_turn(const struct hit_system *system, struct hit_set *set, unsigned clients,
		      struct figures *figures)
{
	pid_t pids[CLIENTS_MAX];

	memset(shared, 0, sizeof(*shared));
	fflush(NULL);
	for (unsigned i = 0; i < clients; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			if (clients == 1)
				pin(getpid(), 1);
			run_client(system, set, i);
			/* Without exit handlers: what the parent made is the parent's. */
			_exit(0);
		}
		if (pids[i] < 0)
			ntc_bench_die("fork: %s", strerror(errno));
	}
	while (atomic_load(&shared->ready) < clients) {
		struct timespec pause = { .tv_nsec = 1000000 };

		nanosleep(&pause, NULL);
		if (waitpid(-1, NULL, WNOHANG | WUNTRACED) > 0)
			ntc_bench_die("%s %s: a client or server ended early", system->bench, system->system);
	}
	atomic_store(&shared->go, true);
	for (unsigned i = 0; i < clients; i++) {
		const struct client *client = &shared->clients[i];
		int status = 0;

		while (waitpid(pids[i], &status, 0) < 0 && errno == EINTR)
			;
		if (status || !client->looks)
			ntc_bench_die("%s %s: a client failed", system->bench, system->system);
		for (uint32_t n = 0; n < client->count; n++)
			ntc_bench_add(&figures->times, client->ns[n]);
		figures->per_second += (double)client->looks * 1e9 / (double)client->took_ns / options.turns;
	}
}

/* --- processes that have nothing yet ---------------------------------------------------------- */

static uint64_t timed_get(const struct hit_system *system, void *opened, struct hit_set *set, unsigned k,
			  uint64_t began)
{
	uint64_t took;

	if (system->get(opened, set, k) != hit_first(k))
		ntc_bench_die("%s: another value", system->system);
	took = ntc_clock_mono_ns() - began;
	return took > clock_cost ? took - clock_cost : 0;
}

/* In a child: attach, then read some entries for the first time. */
static void run_fresh(const struct hit_system *system, struct hit_set *set, unsigned from)
{
	struct client *out = &shared->clients[0];
	uint64_t began = ntc_clock_mono_ns();
	void *opened = system->open(set);

	out->ns[0] = (uint32_t)timed_get(system, opened, set, from % set->count, began);
	for (out->count = 1; out->count <= FIRSTS; out->count++)
		out->ns[out->count] = (uint32_t)timed_get(
			system, opened, set, (from + out->count) % set->count, ntc_clock_mono_ns());
}

/* Fresh processes, one after the other; what they took to attach, and for first reads. */
static void take_fresh(const struct hit_system *system, struct hit_set *set, struct figures *attach,
		       struct figures *first)
{
	struct timespec pause = { .tv_nsec = 2000000 };

	for (unsigned n = 0; n < FRESH; n++) {
		int status = 0;
		pid_t pid;

		/* The server has done with the one before. */
		nanosleep(&pause, NULL);

		memset(shared, 0, offsetof(struct shared, clients[0].ns[FIRSTS + 1]));
		fflush(NULL);
		pid = fork();
		if (pid == 0) {
			pin(getpid(), 1);
			run_fresh(system, set, n * (FIRSTS + 1));
			_exit(0);
		}
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			ntc_bench_die("%s: a fresh process failed", system->system);
		ntc_bench_add(&attach->times, shared->clients[0].ns[0]);
		for (unsigned i = 1; i <= FIRSTS; i++)
			ntc_bench_add(&first->times, shared->clients[0].ns[i]);
	}
}

static pid_t put_on(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		hit_put_on(options.puts);
	}
	return pid;
}

/* All of a turn of one system. */
static void measure(const struct hit_system *system, struct hit_set *set, struct figures figures[4],
		    struct figures *attach, struct figures *first)
{
	pid_t server = system->load(set), putter = 0;

	if (server)
		pin(server, 0);
	if (strcmp(system->bench, "hit-copy") == 0 || strcmp(system->bench, "attach") == 0)
		take_fresh(system, set, attach, first);
	if (strcmp(system->bench, "attach") == 0) {
		system->unload();
		return;
	}
	if (options.puts && strcmp(system->system, "ntcache") == 0)
		putter = put_on();
	for (unsigned c = 0; c < options.client_count; c++) {
		if (server && options.clients[c] == 1)
			pin(server, 0);
		else if (server)
			pin(server, -1);
		take_turn(system, set, options.clients[c], &figures[c]);
	}
	if (putter) {
		kill(putter, SIGKILL);
		waitpid(putter, NULL, 0);
	}
	system->unload();
}

static bool wanted(const struct hit_system *system, size_t size)
{
	if (size < system->least)
		return false;
	return !options.only || strstr(system->system, options.only) || strstr(system->bench, options.only);
}

static void add_row(const char *bench, const char *system, size_t size, unsigned clients, struct figures *f)
{
	struct ntc_bench_row row = { bench,
				     system,
				     size,
				     clients,
				     (double)ntc_bench_quantile(&f->times, 0.5),
				     (double)ntc_bench_quantile(&f->times, 0.99),
				     f->per_second };

	/* One after the other: as many as the median says. */
	if (f->times.count && !f->per_second)
		row.ops_per_s = 1e9 / row.p50_ns;
	if (f->times.count) {
		printf("%-12s %-12s %8zu %7u %12.3f %12.3f %12.0f\n", bench, system, size, clients,
		       row.p50_ns / 1e3, row.p99_ns / 1e3, row.ops_per_s);
		rows[row_count++] = row;
	}
	ntc_bench_release(&f->times);
	*f = (struct figures){ 0 };
}

/* The systems to be measured; how many. */
static unsigned choose(const struct hit_system *systems[SYSTEMS_MAX], size_t size)
{
	static const struct hit_system *const all[] = { hit_floors, hit_peers, hit_ours };
	unsigned count = 0;

	if (wanted(&hit_floor_attach, size))
		systems[count++] = &hit_floor_attach;
	for (size_t i = 0; i < 3; i++)
		for (const struct hit_system *s = all[i]; s->bench; s++)
			if (wanted(s, size))
				systems[count++] = s;
	return count;
}

static void run_size(const char *below, size_t size)
{
	static struct figures figures[SYSTEMS_MAX][4], attach[SYSTEMS_MAX], first[SYSTEMS_MAX];
	const struct hit_system *systems[SYSTEMS_MAX];
	unsigned count = choose(systems, size);
	struct hit_set set;

	for (unsigned turn = 0; turn < options.turns; turn++) {
		struct ntc_bench_dir dir;
		char *path;

		ntc_bench_dir_make(&dir, below);
		/* Servers change their directory. */
		path = realpath(dir.path, NULL);
		set_make(&set, path, size);
		for (unsigned s = 0; s < count; s++)
			measure(systems[s], &set, figures[s], &attach[s], &first[s]);
		set_free(&set);
		free(path);
		ntc_bench_dir_remove(&dir);
	}
	for (unsigned s = 0; s < count; s++)
		for (unsigned c = 0; c < options.client_count; c++)
			add_row(systems[s]->bench, systems[s]->system, size, options.clients[c],
				&figures[s][c]);
	for (unsigned s = 0; s < count; s++)
		add_row("attach", systems[s]->system, size, 1, &attach[s]);
	for (unsigned s = 0; s < count; s++)
		add_row("first-copy", systems[s]->system, size, 1, &first[s]);
	fflush(stdout);
}

/* --- the command line --------------------------------------------------------------------- */

static unsigned long number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (!*text || *end || !value)
		ntc_bench_die("%s: a number of at least 1 is meant", text);
	return value;
}

static void parse(int argc, char **argv)
{
	static const struct option table[] = {
		{ "size", required_argument, NULL, 's' },
		{ "clients", required_argument, NULL, 'c' },
		{ "puts", required_argument, NULL, 'p' },
		{ "only", required_argument, NULL, 'o' },
		{ "turns", required_argument, NULL, 't' },
		{ "dir", required_argument, NULL, 'd' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (option == 's' && options.size_count < SIZES_MAX)
			options.sizes[options.size_count++] = number(optarg);
		else if (option == 'c' && options.client_count < 4)
			options.clients[options.client_count++] = (unsigned)number(optarg);
		else if (option == 't')
			options.turns = (unsigned)number(optarg);
		else if (option == 'p')
			options.puts = (unsigned)number(optarg);
		else if (option == 'o')
			options.only = optarg;
		else if (option == 'd')
			options.below = optarg;
		else
			ntc_bench_die(
				"usage: hit [--size BYTES]... [--clients N]... [--only WORD] [--turns N] "
				"[--puts N] [--dir DIR]");
	}
	for (unsigned c = 0; c < options.client_count; c++)
		if (options.clients[c] > CLIENTS_MAX)
			ntc_bench_die("at most %u clients", CLIENTS_MAX);
	if (!options.size_count) {
		static const size_t sizes[] = { 4 << 10, 32 << 10, 256 << 10, 1 << 20 };

		memcpy(options.sizes, sizes, sizeof(sizes));
		options.size_count = 4;
	}
	if (!options.client_count) {
		options.clients[0] = 1;
		options.clients[1] = 4;
		options.client_count = 2;
	}
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		ntc_bench_die("memory: %s", strerror(errno));
	calibrate();
	printf("Hits: look-up by digest, comparison of a whole key of 2 KiB, then the value copied, or one "
	       "byte of each\n"
	       "4 KiB looked at in place. Microseconds, less %llu ns for the clock.\n\n",
	       (unsigned long long)clock_cost);
	printf("%-12s %-12s %8s %7s %12s %12s %12s\n", "bench", "system", "bytes", "clients", "median", "p99",
	       "a second");
	for (unsigned i = 0; i < options.size_count; i++)
		run_size(options.below, options.sizes[i]);
	ntc_bench_results_write(rows, row_count);
	return 0;
}
