/*
 * The demo's figures: a table for people, report.json for programs.
 */
#include <jansson.h>
#include <string.h>

#include "tests/demo/demo.h"

double demo_wall_s(const struct demo_seen *seen)
{
	return (double)(seen->end_ns - seen->release_ns) / 1e9;
}

void demo_print_report(const struct demo *demo)
{
	const struct demo_seen *cold = &demo->seen[DEMO_COLD];
	double off = demo_wall_s(&demo->seen[DEMO_OFF]);

	printf("             requests  compiles  waits   hits  wrong       wall  speed-up\n");
	for (int p = 0; p < DEMO_PHASES; p++) {
		const struct demo_seen *seen = &demo->seen[p];

		printf("  %-9s %9zu %9zu %6zu %6zu %6zu %8.3f s %8.1fx\n",
		       demo_phase_name((enum demo_phase)p), seen->requests, seen->compiles, seen->waits,
		       seen->hits, p == DEMO_OFF ? demo->unsteady : seen->wrong, demo_wall_s(seen),
		       off / demo_wall_s(seen));
	}
	printf("\n  %zu distinct kernels; calls of nvrtcCompileProgram in all workers: %zu; makes counted by "
	       "the daemon: "
	       "%llu\n",
	       demo->distinct, cold->compiles, (unsigned long long)cold->daemon_makes);
	printf("  wrong: cubins that are not byte by byte what is compiled without a cache\n");
	printf("  wall: from the barrier to the last worker's last kernel\n");
	printf("\n  %s/report.json\n  %s/timeline.html\n\n", demo->out, demo->out);
	printf("ntcache-ctl stats\n");
	fflush(stdout);
}

/* `requests`, `compiles`, `waits` and `hits` are the cold phase's; `wrong` is of both phases with a cache. */
bool demo_write_json(const struct demo *demo)
{
	const struct demo_seen *cold = &demo->seen[DEMO_COLD], *warm = &demo->seen[DEMO_WARM];
	const struct demo_seen *off = &demo->seen[DEMO_OFF];
	char path[sizeof(demo->out) + 32];
	json_t *report;
	bool good;

	snprintf(path, sizeof(path), "%s/report.json", demo->out);
	report = json_pack("{sI sI sI sI sI sf sf sf sI sI sI sI sI ss}", "requests",
			   (json_int_t)cold->requests, "distinct", (json_int_t)demo->distinct, "compiles",
			   (json_int_t)cold->compiles, "waits", (json_int_t)cold->waits, "wrong",
			   (json_int_t)(cold->wrong + warm->wrong), "wall_cold_s", demo_wall_s(cold),
			   "wall_warm_s", demo_wall_s(warm), "wall_uncached_s", demo_wall_s(off), "hits",
			   (json_int_t)cold->hits, "daemon_makes", (json_int_t)cold->daemon_makes,
			   "compiles_warm", (json_int_t)warm->compiles, "compiles_uncached",
			   (json_int_t)off->compiles, "workers", (json_int_t)DEMO_WORKERS, "arch", DEMO_ARCH);
	good = report && json_dump_file(report, path, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) == 0;
	json_decref(report);
	return good || demo_fail("%s can't be written", path);
}
