/* The file of figures; see results.h. */
#include "bench/results.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/bench.h"

#define PATH "build/bench/results.json"

static int written_now(const struct ntc_bench_row *rows, size_t count, const char *bench)
{
	for (size_t i = 0; i < count; i++)
		if (bench && strcmp(rows[i].bench, bench) == 0)
			return 1;
	return 0;
}

void ntc_bench_results_write(const struct ntc_bench_row *rows, size_t count)
{
	const char *path = getenv("NTC_BENCH_RESULTS");
	json_t *old, *list = json_array(), *row;
	size_t i;

	if (!path) {
		path = PATH;
		if ((mkdir("build", 0777) && errno != EEXIST) ||
		    (mkdir("build/bench", 0777) && errno != EEXIST))
			ntc_bench_die("build/bench: %s", strerror(errno));
	}
	/* One that is not there, or no list, is begun anew. */
	old = json_load_file(path, 0, NULL);
	json_array_foreach(
		old, i, row) if (!written_now(rows, count, json_string_value(json_object_get(row, "bench"))))
		json_array_append(list, row);
	json_decref(old);
	for (i = 0; i < count; i++)
		json_array_append_new(
			list, json_pack("{ss ss sI si sI sI sI}", "bench", rows[i].bench, "system",
					rows[i].system, "size", (json_int_t)rows[i].size, "clients",
					(int)rows[i].clients, "p50_ns", (json_int_t)lround(rows[i].p50_ns),
					"p99_ns", (json_int_t)lround(rows[i].p99_ns), "ops_per_s",
					(json_int_t)lround(rows[i].ops_per_s)));
	if (json_dump_file(list, path, JSON_INDENT(1)))
		ntc_bench_die("%s cannot be written", path);
	json_decref(list);
}
