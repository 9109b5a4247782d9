/*
 * What should go into the shared segment, and what should stay: the traces of traces.h replayed through the real one.
 *
 *     promotion [--segment MIB]
 *
 * Printed for each trace: how many of its uses are hits in the segment (%), and how many bytes were copied into it for each use, when an
 * entry that is used but not there goes in at its first use, at its second (as the daemon does it), or never (only when it is
 * put).
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/traces.h"
#include "daemon/limits.h"
#include "daemon/publisher.h"
#include "proto/segment_writer.h"

#define SEED 77u

static size_t segment_size = 64u << 20;
static uint8_t *memory, image[NTC_PUBLISHER_IMAGE_MAX];

static struct ntc_digest digest_of(uint32_t entry)
{
	return ntc_checksum(ntc_view(&entry, sizeof(entry)));
}

struct outcome {
	double hits, bytes; /* of all uses; for each use */
};

/* `uses`: how many make an entry go in, 0 = none. */
static struct outcome replay(const struct ntc_trace *trace, unsigned uses)
{
	uint8_t *seen = calloc(trace->entry_count, 1);
	struct ntc_segment_writer writer;
	uint64_t hits = 0, copied = 0;
	size_t largest = ntc_publisher_largest(segment_size);

	memset(memory, 0, segment_size);
	if (!seen || !ntc_segment_make(memory, segment_size, 1, NULL, NULL, &writer))
		ntc_bench_die("no segment of %zu bytes", segment_size);
	for (size_t i = 0; i < trace->use_count; i++) {
		uint32_t entry = trace->uses[i].entry;
		size_t len = (trace->entries[entry].size + NTC_SEGMENT_UNIT - 1) / NTC_SEGMENT_UNIT *
			     NTC_SEGMENT_UNIT;
		struct ntc_digest digest = digest_of(entry);
		bool put = !seen[entry], there;

		there = ntc_segment_has(&writer, &digest);
		hits += there;
		if (seen[entry] < 200)
			seen[entry]++;
		if (there || len > largest || !(put || (uses && seen[entry] > uses)))
			continue;
		(void)ntc_segment_publish(&writer, &digest, ntc_view(image, len)); /* it fits */
		copied += len;
		seen[entry] = 1;
	}
	free(seen);
	return (struct outcome){ 100.0 * (double)hits / (double)trace->use_count,
				 (double)copied / (double)trace->use_count };
}

int main(int argc, char **argv)
{
	static const struct option table[] = { { "segment", required_argument, NULL, 's' }, { 0 } };
	int option;

	while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (option != 's' || !(segment_size = strtoul(optarg, NULL, 10) << 20))
			ntc_bench_die("usage: promotion [--segment MIB]");
	}
	memory = aligned_alloc(4096, segment_size);
	if (!memory)
		ntc_bench_die("no memory");
	printf("A segment of %zu MiB: hits in it (%%) and KiB copied into it for each use\n\n%-8s",
	       segment_size >> 20, "");
	for (unsigned uses = 1; uses <= 3; uses++)
		printf("  %16s", uses == 1 ? "at once" : uses == 2 ? "at the 2nd use" : "when put");
	putchar('\n');
	for (unsigned t = 0; t < NTC_TRACES; t++) {
		struct ntc_trace trace;

		ntc_trace_draw(&trace, t, SEED);
		printf("%-8s", ntc_trace_names[t]);
		for (unsigned uses = 1; uses <= 3; uses++) {
			struct outcome o = replay(&trace, uses % 3);

			printf("  %6.1f %9.1f", o.hits, o.bytes / 1024);
		}
		printf("\n");
		ntc_trace_release(&trace);
	}
	free(memory);
	return 0;
}
