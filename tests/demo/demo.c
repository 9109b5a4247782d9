/*
 * The demo: three phases with the same eight orders (cold cache, warm cache, no cache), and what must hold:
 *
 *     compiles in all workers == what the daemon counted == distinct kernels; none in the warm phase;
 *     every cubin of every worker is byte by byte the one that is compiled without a cache.
 *
 * Ends with 0 only if it does. Started without arguments; options are for trying things.
 */
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/catalog.h"
#include "tests/demo/demo.h"

bool demo_fail(const char *fmt, ...)
{
	va_list args;

	fflush(stdout);
	va_start(args, fmt);
	fputs("\ndemo: ", stderr);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
	return false;
}

const char *demo_phase_name(enum demo_phase phase)
{
	static const char *const names[] = { "cold", "warm", "cache off" };

	return names[phase];
}

/* --- what the daemon says ----------------------------------------------------------------- */

static void find_makes(void *ctx, const char *name, int64_t value)
{
	uint64_t *makes = ctx;

	if (strcmp(name, "makes") == 0)
		*makes = (uint64_t)value;
}

static bool note_cost(void *ctx, const struct ntc_row_view *row)
{
	struct demo *demo = ctx;

	if (demo->cost_count == DEMO_ITEMS_MAX)
		return false;
	demo->costs[demo->cost_count++] = (struct demo_cost){ row->digest, row->cost_ns };
	return true;
}

/* The daemon's count of makes, and after the cold phase what each kernel cost. */
static bool ask_daemon(struct demo *demo, enum demo_phase phase)
{
	struct ntc_options options = NTC_OPTIONS_INIT;
	struct ntc_client *client = NULL;
	bool good;

	options.socket = demo->socket;
	options.mode = NTC_MODE_ON;
	options.flags = NTC_NO_AUTOSTART;
	options.name = "demo";
	good = ntc_open(&options, &client) == NTC_OK &&
	       ntc_stats(client, 10000, find_makes, &demo->seen[phase].daemon_makes) == NTC_OK &&
	       (phase != DEMO_COLD || ntc_list(client, 0, 10000, note_cost, demo) == NTC_OK);
	if (!good)
		demo_fail("asking the daemon: %s", ntc_last_error());
	ntc_close(client);
	return good;
}

/* --- counting ----------------------------------------------------------------------------- */

static void count(const struct demo *demo, struct demo_seen *seen)
{
	for (unsigned w = 0; w < DEMO_WORKERS; w++) {
		const struct demo_record *record = &seen->board->workers[w];

		seen->requests += record->done;
		seen->compiles += record->compiles;
		for (size_t i = 0; i < demo->items; i++) {
			const struct demo_span *span = &record->spans[i];

			if (span->source == NTC_FROM_WAIT)
				seen->waits++;
			else if (span->source != NTC_FROM_MAKER)
				seen->hits++;
			if (span->end_ns > seen->end_ns)
				seen->end_ns = span->end_ns;
		}
	}
}

static int compare_digests(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct ntc_digest));
}

/* How many different keys were asked for, by all workers together. */
static size_t count_distinct(const struct demo *demo, const struct demo_seen *seen)
{
	static struct ntc_digest digests[DEMO_WORKERS * DEMO_ITEMS_MAX];
	size_t n = 0, distinct = 0;

	for (unsigned w = 0; w < DEMO_WORKERS; w++)
		for (size_t i = 0; i < demo->items; i++)
			digests[n++] = seen->board->workers[w].spans[i].digest;
	qsort(digests, n, sizeof(digests[0]), compare_digests);
	for (size_t i = 0; i < n; i++)
		distinct += i == 0 || compare_digests(&digests[i - 1], &digests[i]) != 0;
	return distinct;
}

/* --- comparing ---------------------------------------------------------------------------- */

/* One worker's cubins: item i at offsets[i], up to offsets[i + 1]. */
struct cubins {
	char *bytes;
	size_t offsets[DEMO_ITEMS_MAX + 1];
};

static bool read_cubins(const struct demo *demo, enum demo_phase phase, unsigned w, struct cubins *cubins)
{
	const struct demo_span *spans = demo->seen[phase].board->workers[w].spans;
	size_t sizes[DEMO_ITEMS_MAX] = { 0 }, all;
	char path[128], extra;
	bool good;
	FILE *file;

	for (size_t i = 0; i < demo->items; i++)
		sizes[spans[i].item] = spans[i].size;
	cubins->offsets[0] = 0;
	for (size_t i = 0; i < demo->items; i++)
		cubins->offsets[i + 1] = cubins->offsets[i] + sizes[i];
	all = cubins->offsets[demo->items];
	demo_cubin_path(demo, phase, w, path, sizeof(path));
	cubins->bytes = malloc(all + 1);
	file = fopen(path, "rbe");
	good = cubins->bytes && file && fread(cubins->bytes, 1, all, file) == all &&
	       fread(&extra, 1, 1, file) == 0;
	if (file)
		fclose(file);
	return good || demo_fail("%s can't be read back", path);
}

static bool same_cubin(const struct cubins *a, const struct cubins *b, size_t item)
{
	size_t size = a->offsets[item + 1] - a->offsets[item];

	return size > 0 && size == b->offsets[item + 1] - b->offsets[item] &&
	       memcmp(a->bytes + a->offsets[item], b->bytes + b->offsets[item], size) == 0;
}

/* Every cubin of every worker of a phase with the first worker's of the run without a cache. */
static bool compare_phase(const struct demo *demo, enum demo_phase phase, const struct cubins *right,
			  size_t *wrong)
{
	for (unsigned w = 0; w < DEMO_WORKERS; w++) {
		struct cubins mine = { 0 };
		bool good = read_cubins(demo, phase, w, &mine);

		for (size_t i = 0; good && i < demo->items; i++)
			*wrong += !same_cubin(&mine, right, i);
		free(mine.bytes);
		if (!good)
			return false;
	}
	return true;
}

static bool compare_all(struct demo *demo)
{
	struct cubins right = { 0 };
	bool good = read_cubins(demo, DEMO_OFF, 0, &right) &&
		    compare_phase(demo, DEMO_COLD, &right, &demo->seen[DEMO_COLD].wrong) &&
		    compare_phase(demo, DEMO_WARM, &right, &demo->seen[DEMO_WARM].wrong) &&
		    compare_phase(demo, DEMO_OFF, &right, &demo->unsteady);

	free(right.bytes);
	return good;
}

/* What must hold; says all that does not. */
static bool judge(const struct demo *demo)
{
	const struct demo_seen *cold = &demo->seen[DEMO_COLD], *warm = &demo->seen[DEMO_WARM];
	const struct demo_seen *off = &demo->seen[DEMO_OFF];
	size_t all = demo->items * DEMO_WORKERS;
	bool good = true;

	if (demo->distinct != demo->items)
		good = demo_fail("%zu kernels have %zu keys", demo->items, demo->distinct);
	if (cold->compiles != demo->distinct)
		good = demo_fail("%zu compiles of %zu distinct kernels", cold->compiles, demo->distinct);
	if (cold->daemon_makes != cold->compiles)
		good = demo_fail("the daemon counted %llu makes, the workers %zu compiles",
				 (unsigned long long)cold->daemon_makes, cold->compiles);
	if (warm->compiles != 0 || warm->daemon_makes != cold->daemon_makes || warm->hits != all)
		good = demo_fail("the warm cache was not warm");
	if (off->compiles != all)
		good = demo_fail("%zu compiles without a cache, not %zu", off->compiles, all);
	if (demo->unsteady)
		good = demo_fail("the compiler itself gave %zu different cubins", demo->unsteady);
	if (cold->wrong || warm->wrong)
		good = demo_fail("wrong cubins: %zu", cold->wrong + warm->wrong);
	return good;
}

/* --- main --------------------------------------------------------------------------------- */

static bool run_phase(struct demo *demo, enum demo_phase phase)
{
	if (!demo_run_workers(demo, phase))
		return false;
	count(demo, &demo->seen[phase]);
	return phase == DEMO_OFF || ask_daemon(demo, phase);
}

static bool run(struct demo *demo)
{
	for (int phase = 0; phase < DEMO_PHASES; phase++)
		if (!run_phase(demo, (enum demo_phase)phase))
			return false;
	demo->distinct = count_distinct(demo, &demo->seen[DEMO_COLD]);
	if (!compare_all(demo))
		return false;
	demo_print_report(demo);
	return demo_print_stats(demo) && demo_write_json(demo) && demo_write_timeline(demo) &&
	       demo_stop_daemon(demo) && judge(demo);
}

/* Where we are decides where the programs are: BUILD/demo/demo and BUILD/bin/. */
static bool find_places(struct demo *demo)
{
	char copy[sizeof(demo->self)];
	ssize_t n = readlink("/proc/self/exe", demo->self, sizeof(demo->self) - 1);

	if (n <= 0)
		return demo_fail("/proc/self/exe: %s", strerror(errno));
	demo->self[n] = '\0';
	memcpy(copy, demo->self, (size_t)n + 1);
	snprintf(demo->out, sizeof(demo->out), "%s", dirname(copy));
	if ((size_t)snprintf(demo->bin, sizeof(demo->bin), "%s/../bin", demo->out) >= sizeof(demo->bin))
		return demo_fail("the path of this program is too long");
	return true;
}

static bool read_options(struct demo *demo, int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "out", required_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c == 's')
			demo->seed = strtoull(optarg, NULL, 10);
		else if (c == 'o')
			snprintf(demo->out, sizeof(demo->out), "%s", optarg);
		else
			return false;
	}
	return optind == argc || demo_fail("no arguments, but --seed N and --out DIRECTORY");
}

int main(int argc, char **argv)
{
	static struct demo demo = { .seed = 1, .signals = -1, .daemon_pidfd = -1 };
	struct ntc_compiler_info compiler;
	bool good;

	if (argc > 1 && strcmp(argv[1], "--worker") == 0)
		return demo_worker_main(argc, argv);
	demo.items = ntc_catalog_count();
	demo.progress = isatty(STDOUT_FILENO);
	if (!find_places(&demo) || !read_options(&demo, argc, argv))
		return 2;
	if (ntc_compiler_find(&compiler) != NTC_OK) {
		demo_fail("no compiler: %s", ntc_last_error());
		return 1;
	}
	printf("%d worker processes, each asks for %zu kernels (%s) in its own order; %ld cores\n%s\n\n",
	       DEMO_WORKERS, demo.items, DEMO_ARCH, sysconf(_SC_NPROCESSORS_ONLN), compiler.path);
	good = demo.items <= DEMO_ITEMS_MAX && demo_begin(&demo) && demo_start_daemon(&demo) && run(&demo);
	if (!good)
		demo_print_daemon_log(&demo);
	demo_end(&demo);
	if (good)
		printf("\nEvery kernel was compiled once, and every worker has the right bytes.\n");
	return good ? 0 : 1;
}
