/*
 * The demo (`make demo`): the main job on real input. A real daemon, eight worker processes that each ask
 * for every real kernel in an order of its own, three times: with a cold cache, with a warm one, and with
 * none.
 *
 *     demo.c       the three phases, what must hold, the way out
 *     process.c    daemon, workers and commands as processes; signals; the temporary directory
 *     worker.c     one worker, a process of its own (`demo --worker ...`)
 *     report.c     figures: text for people, report.json
 *     timeline.c   timeline.html: what each worker did when
 *
 * Workers write what they did onto a *board*, memory that they share with the demo, and their cubins into
 * a file.
 */
#ifndef NTC_TESTS_DEMO_H
#define NTC_TESTS_DEMO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <ntcache.h>

#define DEMO_WORKERS 8
#define DEMO_ITEMS_MAX 128
#define DEMO_ARCH "sm_90"
#define DEMO_PHASE_LIMIT_S 600

enum demo_phase {
	DEMO_COLD,
	DEMO_WARM,
	DEMO_OFF,
	DEMO_PHASES,
};

/* "cold", "warm", "cache off". */
const char *demo_phase_name(enum demo_phase phase);

/* --- the board ---------------------------------------------------------------------------- */

/* One kernel asked for: when, and where it came from (CLOCK_MONOTONIC). */
struct demo_span {
	uint32_t item;   /* of the catalog */
	uint32_t source; /* enum ntc_source */
	uint64_t start_ns, end_ns;
	uint64_t size; /* of the cubin */
	struct ntc_digest digest;
};

/* One worker's part. While the worker runs the demo looks at `done` and the spans below it. */
struct demo_record {
	_Atomic uint32_t done;
	uint64_t compiles; /* calls of nvrtcCompileProgram */
	char error[1024];  /* why it failed; "" */
	struct demo_span spans[DEMO_ITEMS_MAX];
};

struct demo_board {
	struct demo_record workers[DEMO_WORKERS];
};

/* The order in which a worker asks: the same in every phase. */
void demo_order(uint64_t seed, unsigned worker, size_t count, uint32_t *order);

/* --- what was seen ------------------------------------------------------------------------ */

struct demo_seen {
	struct demo_board *board;
	uint64_t release_ns; /* the barrier fell */
	uint64_t end_ns;     /* the last worker had its last kernel */
	size_t requests, compiles, waits, hits;
	size_t wrong;          /* cubins that are not, byte by byte, those of the run without a cache */
	uint64_t daemon_makes; /* what the daemon counted until then */
};

/* What a kernel cost its maker, as the daemon has it. */
struct demo_cost {
	struct ntc_digest digest;
	uint64_t ns;
};

struct demo {
	uint64_t seed;
	size_t items;
	bool progress;   /* stdout is a terminal */
	char self[4096]; /* this program */
	char bin[4096];  /* where ntcached and ntcache-ctl are */
	char out[4096];  /* where report.json and timeline.html go */
	char dir[64];    /* private, removed at the end */
	char socket[96];
	int signals;  /* signalfd: INT, TERM, HUP */
	pid_t daemon; /* 0 = none */
	int daemon_pidfd;
	pid_t workers[DEMO_WORKERS];
	struct demo_seen seen[DEMO_PHASES];
	size_t distinct; /* keys */
	size_t unsteady; /* cubins that two runs without a cache disagree on */
	struct demo_cost costs[DEMO_ITEMS_MAX];
	size_t cost_count;
};

/* Say why on stderr, and return false. */
bool demo_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* --- process.c ---------------------------------------------------------------------------- */

/* Signals into a descriptor, a private directory. */
bool demo_begin(struct demo *demo);

/* Kill what still runs, remove the directory. Whatever happened before. */
void demo_end(struct demo *demo);

bool demo_start_daemon(struct demo *demo);
/* What it logged, to stderr: when something went wrong. */
void demo_print_daemon_log(const struct demo *demo);
/* SIGTERM; it has to exit 0. */
bool demo_stop_daemon(struct demo *demo);

/* Start the workers, let them go together, wait for all. Fills board, release_ns and nothing else. */
bool demo_run_workers(struct demo *demo, enum demo_phase phase);

/* The file that a worker leaves its cubins in, in order of items. */
void demo_cubin_path(const struct demo *demo, enum demo_phase phase, unsigned worker, char *out, size_t size);

/* `ntcache-ctl stats`, to stdout, indented. */
bool demo_print_stats(struct demo *demo);

/* --- worker.c ----------------------------------------------------------------------------- */

/* `demo --worker INDEX SEED BOARD READY BARRIER CUBINS`: descriptors by number. Returns main's status. */
int demo_worker_main(int argc, char **argv);

/* --- report.c, timeline.c ----------------------------------------------------------------- */

double demo_wall_s(const struct demo_seen *seen);
void demo_print_report(const struct demo *demo);
bool demo_write_json(const struct demo *demo);
bool demo_write_timeline(const struct demo *demo);

#endif
