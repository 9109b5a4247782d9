/* A store on trial; see trial.h. */
#include "tests/fault/trial.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "proto/entry.h"
#include "proto/key.h"
#include "tests/fault/allocations.h"
#include "tests/fault/campaign.h"

enum { ANSWER_LIMIT_S = 30, OWN = NTC_TRIAL_ENTRIES - 4 /* and above: used by the judgement */ };

void ntc_trial_log(void *ctx, enum ntc_log_level level, const char *text)
{
	(void)ctx;
	if (getenv("NTC_TEST_LOG"))
		fprintf(stderr, "%d %s\n", level, text);
}

/* --- entries ------------------------------------------------------------------------------ */

static struct ntc_view view_of(const struct ntc_buffer *buffer)
{
	return ntc_view(buffer->bytes, buffer->len);
}

/* Bytes that belong to an entry. */
static void fill(uint8_t *out, size_t len, unsigned n, unsigned variant)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)((n + 1) * 31 + variant * 101 + i * 7 + (i >> 8));
}

/* A field list of a number and up to 600 bytes. What the test makes for itself never fails. */
static struct ntc_buffer *make_fields(unsigned kind, unsigned n, size_t extra)
{
	bool calm = ntc_allocations_calm(true);
	uint8_t value[9], text[600], bytes[700];
	struct ntc_field fields[2] = {
		{ .name = ntc_view("n", 1), .type = NTC_TYPE_INT },
		{ .name = ntc_view("source", 6), .type = NTC_TYPE_BYTES, .value = ntc_view(text, extra) },
	};
	struct ntc_writer w = ntc_writer(bytes, sizeof(bytes));
	struct ntc_buffer *list;

	fill(text, extra, n, 7);
	fields[0].value = ntc_view(value, ntc_value_int((int64_t)n, value));
	if (ntc_key_write(&w, kind, fields, 2, NULL) || w.bad)
		abort();
	list = ntc_buffer_new(w.len);
	memcpy(list->bytes, bytes, w.len);
	ntc_allocations_calm(calm);
	return list;
}

static struct ntc_buffer *make_key(unsigned n)
{
	return make_fields(NTC_KIND_KERNEL + n % 3, n, n * 37 % 600);
}

/* Key, notes (but for each seventh), up to five parts, one of which may be empty, and a stamp. */
static struct ntc_buffer *make_image(unsigned n, unsigned variant)
{
	static const size_t sizes[] = { 200, 3000, 12000, 40000 };
	static const char *const names[] = { "binary", "log", "meta", "ptx", "resource-usage" };
	bool calm = ntc_allocations_calm(true);
	struct ntc_stamp stamp = { .put_wall_ns = 1000 + n, .cost_ns = 77 + n, .uid = 5, .host = "host", .exe = "/bin/exe" };
	struct ntc_buffer *key = make_key(n), *notes = make_fields(0, n, n * 11 % 300), *image;
	size_t size = sizes[n % NTC_COUNT(sizes)], len;
	uint8_t *data = malloc(size);
	struct ntc_part parts[NTC_COUNT(names)];
	struct ntc_body_spec spec = { .key = view_of(key), .parts = parts, .part_count = 1 + n % NTC_COUNT(names) };
	struct ntc_body body;
	enum ntc_status st;

	if (!data)
		abort();
	fill(data, size, n, variant);
	for (size_t i = 0; i < spec.part_count; i++)
		parts[i] = (struct ntc_part){ ntc_view(names[i], strlen(names[i])), ntc_view(data, i ? (i - 1) * 33 : size) };
	if (n % 7)
		spec.notes = view_of(notes);
	len = ntc_body_size(&spec, &st, NULL);
	image = ntc_buffer_new(len + NTC_STAMP_SIZE);
	ntc_body_write(&spec, image->bytes);
	if (ntc_body_parse(ntc_view(image->bytes, len), &body, NULL))
		abort();
	ntc_stamp_write(&stamp, &body.checksum, image->bytes + len);
	free(data);
	ntc_buffer_unref(key);
	ntc_buffer_unref(notes);
	ntc_allocations_calm(calm);
	return image;
}

struct ntc_buffer *ntc_trial_image(unsigned n)
{
	return make_image(n, 0);
}

struct ntc_digest ntc_trial_digest(unsigned n)
{
	static struct ntc_digest digests[NTC_TRIAL_ENTRIES];
	static bool made[NTC_TRIAL_ENTRIES];

	if (!made[n]) {
		struct ntc_buffer *key = make_key(n);

		digests[n] = ntc_key_digest(view_of(key));
		made[n] = true;
		ntc_buffer_unref(key);
	}
	return digests[n];
}

size_t ntc_trial_size(unsigned n)
{
	static size_t sizes[NTC_TRIAL_ENTRIES];

	if (!sizes[n]) {
		struct ntc_buffer *image = make_image(n, 0);

		sizes[n] = image->len;
		ntc_buffer_unref(image);
	}
	return sizes[n];
}

void ntc_trial_know(unsigned n)
{
	(void)ntc_trial_digest(n);
	(void)ntc_trial_size(n);
}

/* --- calls -------------------------------------------------------------------------------- */

/* What fails no more lets the disk be well again, by itself. */
static void recover(struct ntc_trial *t)
{
	uint64_t until = ntc_clock_mono_ns() + ANSWER_LIMIT_S * NTC_NS_PER_S;
	struct ntc_store_stats stats;

	for (;;) {
		struct pollfd ready = { .fd = ntc_store_event_fd(t->store), .events = POLLIN };

		ntc_store_stats(t->store, &stats);
		if (!stats.disk)
			return;
		ntc_fault_expect(ntc_clock_mono_ns() < until, "the disk is still %s", ntc_status_name(stats.disk));
		(void)poll(&ready, 1, 100); /* dispatch looks for itself */
		ntc_store_dispatch(t->store);
	}
}

void ntc_trial_arm(struct ntc_trial *t, bool on)
{
	if (t->arm)
		t->arm(t->ctx, on);
	t->armed = on;
	if (!on && t->store)
		recover(t);
}

static bool fired(const struct ntc_trial *t)
{
	return t->fired && t->fired(t->ctx);
}

/* A call begins. */
static void begin(struct ntc_trial *t)
{
	t->was_fired = fired(t);
}

/* Whether what fails is the reason for `st`: it hit during the call, or lasts. */
static bool excused(const struct ntc_trial *t, enum ntc_status st)
{
	if (t->tolerant && (st == NTC_ST_IO || st == NTC_ST_NOT_FOUND))
		return true;
	return st == t->named && t->armed && fired(t) && (t->lasting || !t->was_fired);
}

static void set(struct ntc_trial *t, unsigned n, enum ntc_trial_state state)
{
	t->ledger->state[n] = (uint8_t)state;
	if (t->note)
		t->note(n, (uint32_t)state);
}

static void wait_until(struct ntc_trial *t, const unsigned *count, unsigned wanted)
{
	uint64_t until = ntc_clock_mono_ns() + ANSWER_LIMIT_S * NTC_NS_PER_S;

	while (*count < wanted) {
		struct pollfd ready = { .fd = ntc_store_event_fd(t->store), .events = POLLIN };

		ntc_fault_expect(ntc_clock_mono_ns() < until, "no answer within %d s", ANSWER_LIMIT_S);
		(void)poll(&ready, 1, 1000); /* dispatch looks for itself */
		ntc_store_dispatch(t->store);
	}
}

static struct ntc_store_stats stats_of(const struct ntc_trial *t)
{
	struct ntc_store_stats stats;

	ntc_store_stats(t->store, &stats);
	return stats;
}

/* What failed is tried again a second later. */
void ntc_trial_settle(struct ntc_trial *t)
{
	uint64_t until = ntc_clock_mono_ns() + ANSWER_LIMIT_S * NTC_NS_PER_S;

	while (stats_of(t).recovering) {
		struct pollfd ready = { .fd = ntc_store_event_fd(t->store), .events = POLLIN };

		if (t->armed && fired(t))
			return;
		ntc_fault_expect(ntc_clock_mono_ns() < until, "still recovering after %d s", ANSWER_LIMIT_S);
		(void)poll(&ready, 1, 100); /* dispatch looks for itself */
		ntc_store_dispatch(t->store);
	}
}

enum ntc_status ntc_trial_open(struct ntc_trial *t)
{
	struct ntc_reason reason = { "" };
	enum ntc_status st;

	begin(t);
	st = ntc_store_open(&t->options, &t->store, &reason);

	ntc_fault_expect(!st || excused(t, st), "the start failed: %s: %s", ntc_status_name(st), reason.text);
	if (!st)
		ntc_trial_settle(t);
	return st;
}

void ntc_trial_close(struct ntc_trial *t)
{
	ntc_store_close(t->store);
	t->store = NULL;
}

struct put {
	struct ntc_trial *t;
	unsigned n, *answered;
	enum ntc_status st;
	enum ntc_stored stored;
	bool other;
};

static void put_answered(struct put *p, enum ntc_status st)
{
	p->st = st;
	++*p->answered;
	if (p->other)
		return;
	if (!st)
		set(p->t, p->n, NTC_TRIAL_THERE);
	ntc_fault_expect(!st || excused(p->t, st), "put %u: %s", p->n, ntc_status_name(st));
}

static void on_decided(void *ctx, enum ntc_status st, enum ntc_stored stored)
{
	struct put *p = ctx;

	p->stored = stored;
	ntc_fault_expect(st || p->other || stored != NTC_STORED_DIFFERS, "put %u: another body is there", p->n);
	if (st || stored != NTC_STORED_NEW)
		put_answered(p, st);
}

static void on_durable(void *ctx, enum ntc_status st)
{
	put_answered(ctx, st);
}

static void submit(struct put *p)
{
	struct ntc_trial *t = p->t;
	struct ntc_buffer *image = make_image(p->n, p->other);

	/* What was there stays so, whatever becomes of putting it again. */
	if (t->ledger->state[p->n] != NTC_TRIAL_THERE)
		set(t, p->n, NTC_TRIAL_UNSURE);
	ntc_store_put(t->store, image, on_decided, on_durable, p);
	ntc_buffer_unref(image);
}

enum ntc_status ntc_trial_put(struct ntc_trial *t, unsigned n)
{
	unsigned answered = 0;
	struct put p = { .t = t, .n = n, .answered = &answered };

	begin(t);
	submit(&p);
	wait_until(t, &answered, 1);
	return p.st;
}

void ntc_trial_put_all(struct ntc_trial *t, unsigned n, unsigned count)
{
	struct put puts[16];
	unsigned answered = 0;

	begin(t);
	for (unsigned i = 0; i < count; i++) {
		puts[i] = (struct put){ .t = t, .n = n + i, .answered = &answered };
		submit(&puts[i]);
	}
	wait_until(t, &answered, count);
}

void ntc_trial_put_other(struct ntc_trial *t, unsigned n)
{
	unsigned answered = 0;
	struct put p = { .t = t, .n = n, .answered = &answered, .other = true };

	begin(t);
	submit(&p);
	wait_until(t, &answered, 1);
	if (p.st)
		ntc_fault_expect(excused(t, p.st), "another put of %u: %s", n, ntc_status_name(p.st));
	else
		ntc_fault_expect(p.stored == NTC_STORED_DIFFERS, "another put of %u was taken", n);
}

/*
 * Whether what is there may be a miss: while the store is still looking; and where the disk did not give a file when the index was
 * made again, until the next start.
 */
static bool is_looking(const struct ntc_trial *t)
{
	return stats_of(t).recovering ||
	       (t->rebuilt && fired(t) && t->named != NTC_ST_NO_FILES && t->named != NTC_ST_NO_MEMORY);
}

struct load {
	unsigned answered;
	enum ntc_status st;
	struct ntc_buffer *image;
};

static void on_load(void *ctx, enum ntc_status st, const struct ntc_loaded *loaded)
{
	struct load *l = ctx;

	l->answered++;
	l->st = st;
	l->image = loaded ? ntc_buffer_ref(loaded->image) : NULL;
}

enum ntc_status ntc_trial_load(struct ntc_trial *t, unsigned n)
{
	unsigned state = t->ledger->state[n];
	bool looking = is_looking(t);
	struct ntc_buffer *key = make_key(n);
	struct load l = { 0 };

	begin(t);
	ntc_store_load(t->store, view_of(key), on_load, &l);
	wait_until(t, &l.answered, 1);
	if (!l.st) {
		struct ntc_buffer *image = make_image(n, 0);

		ntc_fault_expect(ntc_view_equal(view_of(image), view_of(l.image)), "entry %u has wrong bytes", n);
		ntc_buffer_unref(image);
	}
	ntc_fault_expect(!l.st || l.st == NTC_ST_NOT_FOUND || excused(t, l.st), "load %u: %s", n,
			 ntc_status_name(l.st));
	t->lost += state == NTC_TRIAL_THERE && l.st != NTC_ST_OK;
	t->back += state == NTC_TRIAL_GONE && l.st == NTC_ST_OK;
	if (state == NTC_TRIAL_THERE && !t->evicts && !looking && !t->tolerant)
		ntc_fault_expect(l.st != NTC_ST_NOT_FOUND, "entry %u was acknowledged and is lost", n);
	if ((state == NTC_TRIAL_GONE && !t->tolerant) || state == NTC_TRIAL_NEVER)
		ntc_fault_expect(l.st != NTC_ST_OK, "entry %u is there: %s", n,
				 state == NTC_TRIAL_GONE ? "it was removed" : "nobody put it");
	ntc_buffer_unref(l.image);
	ntc_buffer_unref(key);
	return l.st;
}

struct removal {
	unsigned answered;
	enum ntc_status st;
};

static void on_remove(void *ctx, enum ntc_status st, uint64_t count)
{
	struct removal *r = ctx;

	(void)count;
	r->answered++;
	r->st = st;
}

enum ntc_status ntc_trial_remove(struct ntc_trial *t, unsigned n, bool by_digest)
{
	struct ntc_digest digest = ntc_trial_digest(n);
	bool gone = t->ledger->state[n] == NTC_TRIAL_GONE;
	struct ntc_buffer *key = make_key(n);
	struct removal r = { 0 };

	if (!gone)
		set(t, n, NTC_TRIAL_UNSURE);
	begin(t);
	if (by_digest)
		ntc_store_remove_digest(t->store, &digest, on_remove, &r);
	else
		ntc_store_remove(t->store, view_of(key), on_remove, &r);
	wait_until(t, &r.answered, 1);
	if (!r.st)
		set(t, n, NTC_TRIAL_GONE);
	ntc_fault_expect(!r.st || excused(t, r.st), "remove %u: %s", n, ntc_status_name(r.st));
	ntc_buffer_unref(key);
	return r.st;
}

struct listing {
	unsigned answered;
	enum ntc_status st;
	struct ntc_digest digests[NTC_TRIAL_ENTRIES];
	size_t count;
	bool more;
};

static void on_list(void *ctx, enum ntc_status st, const struct ntc_row *rows, size_t count, bool more)
{
	struct listing *l = ctx;

	l->answered++;
	l->st = st;
	l->more = more;
	for (size_t i = 0; i < count && l->count < NTC_TRIAL_ENTRIES; i++)
		l->digests[l->count++] = rows[i].digest;
}

static bool listed(const struct listing *l, unsigned n)
{
	struct ntc_digest digest = ntc_trial_digest(n);

	for (size_t i = 0; i < l->count; i++)
		if (ntc_digest_equal(&l->digests[i], &digest))
			return true;
	return false;
}

void ntc_trial_list(struct ntc_trial *t)
{
	bool looking = is_looking(t);
	static struct listing l;
	struct ntc_digest after = { 0 };

	begin(t);
	l = (struct listing){ 0 };
	do {
		unsigned answered = l.answered;

		ntc_store_list(t->store, &after, 0, 64, on_list, &l);
		wait_until(t, &l.answered, answered + 1);
		if (l.count)
			after = l.digests[l.count - 1];
	} while (!l.st && l.more);
	if (l.st) {
		ntc_fault_expect(excused(t, l.st), "list: %s", ntc_status_name(l.st));
		return;
	}
	for (unsigned n = 0; n < NTC_TRIAL_ENTRIES && !t->tolerant && !looking; n++) {
		unsigned state = t->ledger->state[n];

		if (state == NTC_TRIAL_THERE && !t->evicts)
			ntc_fault_expect(listed(&l, n), "entry %u is there and not listed", n);
		if (state == NTC_TRIAL_GONE || state == NTC_TRIAL_NEVER)
			ntc_fault_expect(!listed(&l, n), "entry %u is not there and listed", n);
	}
}

/* --- judgement ---------------------------------------------------------------------------- */

static void compare_all(struct ntc_trial *t)
{
	for (unsigned n = 0; n < NTC_TRIAL_ENTRIES; n++)
		(void)ntc_trial_load(t, n); /* judges by itself */
	ntc_trial_list(t);
}

/*
 * Evicting goes down to 99 % of the cap and no further: of what was acknowledged at least so much is there, but for
 * the last image that went, and those that were counted in and then failed.
 */
static void judge_evicted(struct ntc_trial *t)
{
	uint64_t there = 0, unsure = 0, all = 0, largest = 0, floor = t->options.max_bytes / 100 * 98;

	for (unsigned n = 0; n < NTC_TRIAL_ENTRIES; n++) {
		unsigned state = t->ledger->state[n];
		uint64_t size = state == NTC_TRIAL_NEVER ? 0 : ntc_trial_size(n);

		largest = size > largest ? size : largest;
		if (state == NTC_TRIAL_UNSURE)
			unsure += size;
		if (state == NTC_TRIAL_THERE) {
			all += size;
			there += ntc_trial_load(t, n) == NTC_ST_OK ? size : 0;
		}
	}
	ntc_fault_expect(t->removes || there == all || there + largest + unsure >= floor,
			 "%llu of %llu acknowledged bytes were left by an eviction down to %llu",
			 (unsigned long long)there, (unsigned long long)all, (unsigned long long)floor);
}

void ntc_trial_judge(struct ntc_trial *t)
{
	char path[512];
	unsigned aside;

	ntc_trial_arm(t, false);
	t->fired = NULL;
	if (t->evicts) {
		/* Not to be judged by what would go now. */
		uint64_t cap = t->options.max_bytes;

		t->options.max_bytes = 0;
		(void)ntc_trial_open(t); /* judges by itself, as all below */
		t->options.max_bytes = cap;
		judge_evicted(t);
	} else {
		(void)ntc_trial_open(t);
	}
	compare_all(t);
	for (unsigned n = OWN; n < NTC_TRIAL_ENTRIES; n++) {
		(void)ntc_trial_put(t, n);
		if (!t->evicts)
			ntc_trial_put_other(t, n);
		(void)ntc_trial_load(t, n);
		(void)ntc_trial_remove(t, n, n % 2);
		(void)ntc_trial_load(t, n);
	}
	ntc_fault_expect(t->damaged || stats_of(t).quarantined == 0, "an entry was set aside");
	snprintf(path, sizeof(path), "%s/default/quarantine", t->options.dir);
	aside = ntc_fault_count(path, "");
	ntc_fault_expect(t->damaged || aside == 0, "%u entries are set aside", aside);
	aside = ntc_fault_count(t->options.dir, "index.sqlite3.damaged-");
	ntc_fault_expect(t->rebuilt || aside == 0, "the index was set aside");
	ntc_trial_close(t);

	(void)ntc_trial_open(t);
	ntc_fault_expect(stats_of(t).adopted == 0 && stats_of(t).dropped_rows == 0 && stats_of(t).swept == 0,
			 "the second start still had to mend something");
	compare_all(t);
	ntc_trial_close(t);
	snprintf(path, sizeof(path), "%s/default/tmp", t->options.dir);
	ntc_fault_expect(ntc_fault_count(path, "") == 0, "temporary files are left");
	t->ledger->told = true;
}
