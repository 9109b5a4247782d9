/*
 * timeline.html: one page, nothing from outside. Three bars on one scale say how long the phases took;
 * below them each phase has a picture on its own scale, a row per worker, in which every kernel is a span.
 *
 * A make is split by what the kernel cost (the daemon has it): the time before is spent waiting for a
 * compile slot, since the daemon lets no more tasks compile than there are cores.
 */
#include <errno.h>
#include <string.h>

#include <ntcache.h>

#include "kernels/catalog.h"
#include "tests/demo/demo.h"

#define LEFT 84    /* where the time axis starts */
#define WIDTH 1000 /* of the time axis */
#define ROW 20
#define SPAN 14
#define TOP 8

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width\">\n"
	"<title>ntcached: eight workers, every kernel compiled once</title>\n"
	"<style>\n"
	"body { margin: 32px auto; max-width: 1140px; padding: 0 16px; font: 15px/1.5 system-ui, "
	"sans-serif;\n"
	"       color: #1c2330; background: #fff }\n"
	"h1 { font-size: 24px; margin: 0 0 4px } h2 { font-size: 17px; margin: 28px 0 4px }\n"
	"p { margin: 4px 0 } .dim { color: #5a6577 }\n"
	"svg { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif }\n"
	"text { fill: #3b4556 } .grid { stroke: #e3e7ee } .lane { fill: #f5f7fa }\n"
	".bar { fill: #4a5568 } .compile { fill: #d95f20 } .slot { fill: #f2cf9f } .wait { fill: #8fb0dd } "
	".hit { fill: #1f9d61 }\n"
	".key { display: inline-block; width: 14px; height: 14px; border-radius: 2px; margin: 0 6px -2px "
	"18px }\n"
	".key:first-child { margin-left: 0 }\n"
	"</style>\n";

static const char legend[] =
	"<p><span class=\"key\" style=\"background:#d95f20\"></span>compiling"
	"<span class=\"key\" style=\"background:#f2cf9f\"></span>has the lease, waits for a compile slot"
	"<span class=\"key\" style=\"background:#8fb0dd\"></span>waiting: another worker is making it"
	"<span class=\"key\" style=\"background:#1f9d61\"></span>hit: already known</p>\n";

static double seconds(uint64_t from, uint64_t to)
{
	return to > from ? (double)(to - from) / 1e9 : 0;
}

/* A step of 1, 2 or 5 times a power of ten that gives at most ten marks. */
static double axis_step(double wall)
{
	double step = 1e-6;

	for (;;) {
		if (wall <= step * 10)
			return step;
		if (wall <= step * 20)
			return step * 2;
		if (wall <= step * 50)
			return step * 5;
		step *= 10;
	}
}

static void write_time(FILE *f, double s)
{
	if (s <= 0)
		fputs("0", f);
	else if (s >= 1)
		fprintf(f, "%.4g s", s);
	else
		fprintf(f, "%.4g ms", s * 1e3);
}

static uint64_t cost_of(const struct demo *demo, const struct ntc_digest *digest)
{
	for (size_t i = 0; i < demo->cost_count; i++)
		if (memcmp(&demo->costs[i].digest, digest, sizeof(*digest)) == 0)
			return demo->costs[i].ns;
	return 0;
}

/* --- the bars ----------------------------------------------------------------------------- */

static void write_bars(FILE *f, const struct demo *demo)
{
	static const enum demo_phase order[] = { DEMO_OFF, DEMO_COLD, DEMO_WARM };
	static const char *const names[] = { "cache off", "cold cache", "warm cache" };
	double off = demo_wall_s(&demo->seen[DEMO_OFF]), longest = 0;

	for (int i = 0; i < 3; i++)
		if (demo_wall_s(&demo->seen[i]) > longest)
			longest = demo_wall_s(&demo->seen[i]);
	fprintf(f, "<svg viewBox=\"0 0 %d 92\" role=\"img\" aria-label=\"wall times\">\n", LEFT + WIDTH + 16);
	for (int i = 0; i < 3; i++) {
		const struct demo_seen *seen = &demo->seen[order[i]];
		double wall = demo_wall_s(seen), width = wall / longest * (WIDTH - 260);
		int y = 8 + i * 28;

		fprintf(f, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>", LEFT - 8, y + 15,
			names[i]);
		fprintf(f, "<rect class=\"bar\" x=\"%d\" y=\"%d\" width=\"%.2f\" height=\"20\" rx=\"2\"/>",
			LEFT, y, width < 2 ? 2 : width);
		fprintf(f, "<text x=\"%.1f\" y=\"%d\"><tspan font-weight=\"600\">", LEFT + width + 8, y + 15);
		write_time(f, wall);
		fprintf(f, "</tspan>, %zu compiles", seen->compiles);
		if (order[i] != DEMO_OFF)
			fprintf(f, ", %.*f times faster", off / wall < 100 ? 1 : 0, off / wall);
		fprintf(f, "</text>\n");
	}
	fprintf(f, "</svg>\n");
}

/* --- one phase ---------------------------------------------------------------------------- */

static void write_rect(FILE *f, const char *class, int y, double x, double width, const char *what)
{
	/* What is shorter than half a pixel is drawn as that, so that a hit among compiles is seen. */
	fprintf(f,
		"<rect class=\"%s\" x=\"%.2f\" y=\"%d\" width=\"%.2f\" "
		"height=\"%d\"><title>%s</title></rect>\n",
		class, LEFT + x, y, width < 0.5 ? 0.5 : width, SPAN, what);
}

static void write_span(FILE *f, const struct demo *demo, enum demo_phase phase, const struct demo_span *span,
		       int y)
{
	const struct demo_seen *seen = &demo->seen[phase];
	double scale = WIDTH / demo_wall_s(seen), took = seconds(span->start_ns, span->end_ns),
	       compiled = took;
	double x = seconds(seen->release_ns, span->start_ns) * scale;
	char name[NTC_CATALOG_NAME_SIZE], what[160];

	ntc_catalog_name(span->item, name, sizeof(name));
	if (span->source == NTC_FROM_MAKER) {
		double cost = (double)cost_of(demo, &span->digest) / 1e9;

		if (phase != DEMO_OFF && cost > 0 && cost < took)
			compiled = cost;
		if (compiled < took) {
			snprintf(what, sizeof(what), "%s: waited %.1f ms for a compile slot", name,
				 (took - compiled) * 1e3);
			write_rect(f, "slot", y, x, (took - compiled) * scale, what);
		}
		snprintf(what, sizeof(what), "%s: compiled in %.1f ms", name, compiled * 1e3);
		write_rect(f, "compile", y, x + (took - compiled) * scale, compiled * scale, what);
	} else {
		bool waited = span->source == NTC_FROM_WAIT;

		snprintf(what, sizeof(what), waited ? "%s: waited %.3f ms" : "%s: hit in %.3f ms", name,
			 took * 1e3);
		write_rect(f, waited ? "wait" : "hit", y, x, took * scale, what);
	}
}

static void write_phase(FILE *f, const struct demo *demo, enum demo_phase phase)
{
	const struct demo_seen *seen = &demo->seen[phase];
	double wall = demo_wall_s(seen), step = axis_step(wall);
	int bottom = TOP + DEMO_WORKERS * ROW;

	fprintf(f, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n", LEFT + WIDTH + 16,
		bottom + 24, demo_phase_name(phase));
	for (unsigned w = 0; w < DEMO_WORKERS; w++)
		fprintf(f,
			"<rect class=\"lane\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"/>"
			"<text x=\"%d\" y=\"%d\" text-anchor=\"end\">worker %u</text>\n",
			LEFT, TOP + (int)w * ROW, WIDTH, SPAN, LEFT - 8, TOP + (int)w * ROW + 11, w + 1);
	for (int mark = 0; mark * step <= wall; mark++) {
		double x = LEFT + mark * step / wall * WIDTH;

		fprintf(f,
			"<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>"
			"<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">",
			x, x, TOP, bottom + 4, x, bottom + 18);
		write_time(f, mark * step);
		fprintf(f, "</text>\n");
	}
	for (unsigned w = 0; w < DEMO_WORKERS; w++)
		for (size_t i = 0; i < demo->items; i++)
			write_span(f, demo, phase, &seen->board->workers[w].spans[i], TOP + (int)w * ROW);
	fprintf(f, "</svg>\n");
}

static void write_page(FILE *f, const struct demo *demo)
{
	const struct demo_seen *cold = &demo->seen[DEMO_COLD], *warm = &demo->seen[DEMO_WARM];
	const struct demo_seen *off = &demo->seen[DEMO_OFF];

	fputs(head, f);
	fprintf(f, "<h1>%d workers, %zu kernels, %zu compiles</h1>\n", DEMO_WORKERS, demo->distinct,
		cold->compiles);
	fprintf(f,
		"<p class=\"dim\">Separate processes, released by one barrier. Each asks for all %zu real "
		"CUDA kernels "
		"(%s, NVRTC) in an order of its own, one at a time.</p>\n",
		demo->items, DEMO_ARCH);
	write_bars(f, demo);
	fputs(legend, f);
	fprintf(f,
		"<h2>Cold cache: nobody makes what somebody is making</h2>\n"
		"<p class=\"dim\">%zu requests: %zu compiles, %zu waits for another worker's result, %zu "
		"hits. As many compile "
		"at once as there are cores.</p>\n",
		cold->requests, cold->compiles, cold->waits, cold->hits);
	write_phase(f, demo, DEMO_COLD);
	fprintf(f,
		"<h2>Warm cache: fresh processes, same orders</h2>\n"
		"<p class=\"dim\">%zu requests, %zu hits, %zu compiles. Mind the scale.</p>\n",
		warm->requests, warm->hits, warm->compiles);
	write_phase(f, demo, DEMO_WARM);
	fprintf(f,
		"<h2>Cache off: the same without ntcached</h2>\n"
		"<p class=\"dim\">%zu requests, %zu compiles: every process makes everything again.</p>\n",
		off->requests, off->compiles);
	write_phase(f, demo, DEMO_OFF);
	fputs("</html>\n", f);
}

bool demo_write_timeline(const struct demo *demo)
{
	char path[sizeof(demo->out) + 32];
	bool good;
	FILE *f;

	snprintf(path, sizeof(path), "%s/timeline.html", demo->out);
	f = fopen(path, "we");
	if (!f)
		return demo_fail("%s: %s", path, strerror(errno));
	write_page(f, demo);
	good = !ferror(f);
	good = fclose(f) == 0 && good;
	return good || demo_fail("%s can't be written", path);
}
