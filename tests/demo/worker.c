/*
 * One worker: a process of its own that opens the cache, stands at the barrier, and then asks for every
 * kernel, one at a time, in its own order. It knows nothing of the other workers.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "kernels/catalog.h"
#include "tests/demo/demo.h"

/* SplitMix64. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void demo_order(uint64_t seed, unsigned worker, size_t count, uint32_t *order)
{
	uint64_t state = seed * DEMO_WORKERS + worker;

	for (size_t i = 0; i < count; i++)
		order[i] = (uint32_t)i;
	for (size_t i = count; i > 1; i--) {
		size_t j = next_random(&state) % i;
		uint32_t swap = order[i - 1];

		order[i - 1] = order[j];
		order[j] = swap;
	}
}

static void say(void *ctx, const char *line)
{
	fprintf(stderr, "worker %s: %s\n", (const char *)ctx, line);
}

static int fail(struct demo_record *record, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(record->error, sizeof(record->error), fmt, args);
	va_end(args);
	return 1;
}

/* Tell that we are ready; the barrier falls when its other end is closed. */
static bool stand_at_barrier(int ready, int barrier)
{
	char byte = 0;
	ssize_t n;

	if (write(ready, &byte, 1) != 1)
		return false;
	close(ready);
	do
		n = read(barrier, &byte, 1);
	while (n < 0 && errno == EINTR);
	close(barrier);
	return n == 0;
}

/* One kernel. *entry is given. */
static int ask(struct ntc_client *client, struct demo_record *record, uint32_t item, struct ntc_entry **entry)
{
	struct demo_span *span = &record->spans[record->done];
	struct ntc_part_view cubin;
	struct ntc_kernel_spec *spec;
	char name[NTC_CATALOG_NAME_SIZE];
	char *log = NULL;
	enum ntc_err err;

	ntc_catalog_name(item, name, sizeof(name));
	span->item = item;
	span->start_ns = ntc_clock_mono_ns();
	spec = ntc_catalog_spec(item, DEMO_ARCH);
	err = ntc_kernel_get(client, spec, NULL, entry, &log);
	span->end_ns = ntc_clock_mono_ns();
	ntc_kernel_spec_free(spec);
	if (err != NTC_OK) {
		fail(record, "%s: %s: %s\n%s", name, ntc_err_name(err), ntc_last_error(), log ? log : "");
		free(log);
		return 1;
	}
	if (ntc_entry_find(*entry, "cubin", &cubin) != NTC_OK)
		return fail(record, "%s has no cubin", name);
	span->source = (uint32_t)ntc_entry_source(*entry);
	span->size = cubin.len;
	span->digest = ntc_entry_digest(*entry);
	record->done++;
	return 0;
}

/* All cubins, in order of items, for the demo to compare. */
static int leave_cubins(struct demo_record *record, struct ntc_entry **entries, size_t count,
			const char *path)
{
	FILE *file = fopen(path, "wbe");
	bool good = file != NULL;

	for (size_t i = 0; good && i < count; i++) {
		struct ntc_part_view cubin;

		good = ntc_entry_find(entries[i], "cubin", &cubin) == NTC_OK &&
		       fwrite(cubin.data, 1, cubin.len, file) == cubin.len;
	}
	if (file && fclose(file) != 0)
		good = false;
	return good ? 0 : fail(record, "%s: %s", path, strerror(errno));
}

int demo_worker_main(int argc, char **argv)
{
	struct ntc_options options = NTC_OPTIONS_INIT;
	struct ntc_entry *entries[DEMO_ITEMS_MAX] = { NULL };
	struct ntc_client *client = NULL;
	struct demo_record *record;
	struct demo_board *board;
	uint32_t order[DEMO_ITEMS_MAX];
	size_t count = ntc_catalog_count();
	unsigned index;
	int status = 0;

	if (argc != 8 || count > DEMO_ITEMS_MAX) {
		fprintf(stderr, "demo --worker is for the demo itself\n");
		return 2;
	}
	index = (unsigned)atoi(argv[2]);
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[4]), 0);
	if (index >= DEMO_WORKERS || board == MAP_FAILED)
		return 2;
	record = &board->workers[index];
	demo_order(strtoull(argv[3], NULL, 10), index, count, order);

	options.flags = NTC_NO_AUTOSTART;
	options.name = "demo";
	options.log = say;
	options.log_ctx = argv[2];
	if (ntc_open(&options, &client) != NTC_OK)
		status = fail(record, "ntc_open: %s", ntc_last_error());
	if (status == 0 && !stand_at_barrier(atoi(argv[5]), atoi(argv[6])))
		status = fail(record, "the demo went away");
	for (size_t i = 0; status == 0 && i < count; i++)
		status = ask(client, record, order[i], &entries[order[i]]);
	record->compiles = ntc_compiler_calls();
	/* Hits that are not reported yet are now. */
	ntc_close(client);
	if (status == 0)
		status = leave_cubins(record, entries, count, argv[7]);
	for (size_t i = 0; i < count; i++)
		ntc_entry_unref(entries[i]);
	return status;
}
