/*
 * The daemon's side of docs/protocol.md and docs/limits.md, by raw frames: what no well-behaved client asks for, and
 * moments that a client does not meet on purpose.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "proto/digest.h"
#include "proto/entry.h"
#include "proto/key.h"
#include "tests/support/harness.h"
#include "tests/support/wire.h"

/* --- making frames ------------------------------------------------------------------------ */

/* A key of the kernel `number`, in static memory. */
static struct ntc_view key_of(uint64_t number)
{
	static uint8_t keys[4][64];
	static unsigned next;
	uint8_t *bytes = keys[next++ % 4], value[9];
	struct ntc_field field = { .name = ntc_view("number", 6), .type = NTC_TYPE_INT };
	struct ntc_writer w = ntc_writer(bytes, 64);

	field.value = ntc_view(value, ntc_value_uint(number, value));
	ck_assert_int_eq(ntc_key_write(&w, NTC_KIND_KERNEL, &field, 1, NULL), NTC_ST_OK);
	return ntc_view(bytes, w.len);
}

/* A body under a key with one part of `len` bytes: given, free(). */
static uint8_t *body_of(struct ntc_view key, size_t len, size_t *size)
{
	uint8_t *data = malloc(len + 1), *body;
	struct ntc_part part = { .name = ntc_view("binary", 6), .data = ntc_view(data, len) };
	struct ntc_body_spec spec = { .key = key, .parts = &part, .part_count = 1 };
	enum ntc_status st;

	ck_assert_ptr_nonnull(data);
	memset(data, 'x', len);
	*size = ntc_body_size(&spec, &st, NULL);
	ck_assert_int_eq(st, NTC_ST_OK);
	body = malloc(*size);
	ck_assert_ptr_nonnull(body);
	ntc_body_write(&spec, body);
	free(data);
	return body;
}

/* Payloads, in static memory. */
#define PAYLOAD(lower, ...) \
	({ \
		static uint8_t bytes_[256 << 10]; \
		struct ntc_msg_##lower m_ = { __VA_ARGS__ }; \
		struct ntc_writer w_ = ntc_writer(bytes_, sizeof(bytes_)); \
		ntc_msg_##lower##_write(&w_, &m_); \
		ck_assert(!w_.bad); \
		ntc_view(bytes_, w_.len); \
	})

static void send_ping(struct wire *w, uint64_t id)
{
	ck_assert(wire_frame(w, NTC_MSG_PING, id, ntc_view(NULL, 0), -1));
}

static void send_acquire(struct wire *w, uint64_t id, uint64_t task, uint32_t flags, struct ntc_view key)
{
	ck_assert(wire_frame(w, NTC_MSG_ACQUIRE, id, PAYLOAD(acquire, .task = task, .flags = flags, .width = 1, .key = key),
			     -1));
}

/* Large enough for a file of its own. */
static void send_put(struct wire *w, uint64_t id, uint64_t lease, struct ntc_view key)
{
	size_t size;
	uint8_t *body = body_of(key, 20000, &size);

	ck_assert(wire_frame(w, NTC_MSG_PUT, id,
			     PAYLOAD(put, .lease = lease, .cost_ns = 1, .size = size, .body = ntc_view(body, size)), -1));
	free(body);
}

/* The next answer, which has to be of that type and id. */
static struct ntc_frame expect(struct wire *w, unsigned type, uint64_t id)
{
	struct ntc_frame frame = { 0 };
	struct ntc_msg_error error = { 0 };
	int got = wire_answer(w, &frame);

	ck_assert_msg(got == 1, "no answer to request %llu (%s)", (unsigned long long)id, got ? "silence" : "closed");
	if (frame.type == NTC_MSG_ERROR)
		(void)ntc_msg_error_read(frame.payload, &error);
	ck_assert_msg(frame.type == type && frame.id == id, "%s %u for request %llu, not %s for %llu",
		      ntc_message_name(frame.type), error.status, (unsigned long long)frame.id, ntc_message_name(type),
		      (unsigned long long)id);
	return frame;
}

static void expect_error(struct wire *w, uint64_t id, enum ntc_status st)
{
	struct ntc_frame frame = expect(w, NTC_MSG_ERROR, id);
	struct ntc_msg_error error;

	ck_assert(ntc_msg_error_read(frame.payload, &error));
	ck_assert_msg(error.status == st, "%s instead of %s", ntc_status_name(error.status), ntc_status_name(st));
	ck_assert_uint_eq(error.retry, ntc_status_retry(st));
}

static uint64_t expect_lease(struct wire *w, uint64_t id)
{
	struct ntc_frame frame = expect(w, NTC_MSG_LEASE, id);
	struct ntc_msg_lease m;

	ck_assert(ntc_msg_lease_read(frame.payload, &m));
	return m.lease;
}

static struct wire connected(const struct ntc_test_daemon *d)
{
	struct wire w;

	ck_assert(wire_hello(&w, d->socket));
	return w;
}

/* Whether the daemon has closed, without an answer first. */
static bool just_closed(struct wire *w)
{
	struct ntc_frame frame;

	return wire_answer(w, &frame) == 0;
}

/* --- the connection ----------------------------------------------------------------------- */

/* What ends a connection. */
START_TEST(test_lost_stream)
{
	struct ntc_test_daemon d = { 0 };
	uint8_t header[NTC_FRAME_HEADER];
	struct wire w;

	ntc_test_start(&d, NULL);
	w = connected(&d);
	ntc_frame_write_header(header, NTC_MSG_PING, 0, 2, NTC_FRAME_MAX + 1);
	ck_assert(wire_send(&w, header, sizeof(header)));
	ck_assert(just_closed(&w));
	wire_close(&w);

	w = connected(&d);
	ntc_frame_write_header(header, NTC_MSG_PING, 2, 2, 0);
	ck_assert(wire_send(&w, header, sizeof(header)));
	ck_assert(just_closed(&w));
	wire_close(&w);

	/* Flagged for a descriptor that does not come. */
	w = connected(&d);
	ntc_frame_write_header(header, NTC_MSG_PUT, NTC_FRAME_DESCRIPTOR, 2, 0);
	ck_assert(wire_send(&w, header, sizeof(header)));
	ck_assert(just_closed(&w));
	wire_close(&w);

	/* A second HELLO, and none at all. */
	w = connected(&d);
	ck_assert(wire_frame(&w, NTC_MSG_HELLO, 0, PAYLOAD(hello, .version = NTC_PROTOCOL_VERSION), -1));
	expect_error(&w, 0, NTC_ST_BAD_MESSAGE);
	ck_assert(just_closed(&w));
	wire_close(&w);
	ck_assert(wire_open(&w, d.socket));
	ck_assert(wire_greeting(&w));
	send_ping(&w, 9);
	expect_error(&w, 9, NTC_ST_BAD_MESSAGE);
	ck_assert(just_closed(&w));
	wire_close(&w);

	/* A longer HELLO of another version is understood as far as that it is another version. */
	ck_assert(wire_open(&w, d.socket));
	ck_assert(wire_greeting(&w));
	ck_assert(wire_frame(&w, NTC_MSG_HELLO, 0, ntc_view("\3\0\0\0 and what version 3 has behind it", 30), -1));
	expect_error(&w, 0, NTC_ST_BAD_VERSION);
	ck_assert(just_closed(&w));
	wire_close(&w);
}
END_TEST

/* What is wrong with one request is that request's own affair. */
START_TEST(test_bad_requests)
{
	static const uint8_t zeros[64];
	struct ntc_test_daemon d = { 0 };
	struct ntc_view key = key_of(1);
	uint8_t bad[64];
	struct wire w;

	ntc_test_start(&d, NULL);
	w = connected(&d);
	ck_assert(wire_frame(&w, NTC_MSG_LOOKUP, 2, ntc_view(zeros, 3), -1));
	expect_error(&w, 2, NTC_ST_BAD_MESSAGE);
	ck_assert(wire_frame(&w, NTC_MSG_PING, 3, ntc_view(zeros, 1), -1));
	expect_error(&w, 3, NTC_ST_BAD_MESSAGE);
	ck_assert(wire_frame(&w, NTC_MSG_LOOKUP, 4, PAYLOAD(lookup, .key = ntc_view(zeros, 40)), -1));
	expect_error(&w, 4, NTC_ST_BAD_KEY);
	memcpy(bad, key.p, key.len);
	ntc_store16(bad + 4, 4711); /* a kind that nobody knows */
	ck_assert(wire_frame(&w, NTC_MSG_LOOKUP, 5, PAYLOAD(lookup, .key = ntc_view(bad, key.len)), -1));
	expect_error(&w, 5, NTC_ST_BAD_KEY);
	send_acquire(&w, 6, 1, 8, key); /* a flag that nobody knows */
	expect_error(&w, 6, NTC_ST_BAD_MESSAGE);
	ck_assert(wire_frame(&w, NTC_MSG_ENTRY, 7, ntc_view(NULL, 0), -1));
	expect_error(&w, 7, NTC_ST_UNKNOWN_TYPE);
	ck_assert(wire_frame(&w, NTC_MSG_EXTEND, 8, PAYLOAD(extend, .lease = 77, .time_ns = 1), -1));
	expect_error(&w, 8, NTC_ST_NO_SUCH_LEASE);
	ck_assert(wire_frame(&w, NTC_MSG_SLOT, 9, PAYLOAD(slot, .task = 1, .lease = 77), -1));
	expect_error(&w, 9, NTC_ST_NO_SUCH_LEASE);
	send_ping(&w, 10);
	expect(&w, NTC_MSG_DONE, 10);
	wire_close(&w);
}
END_TEST

/* Somebody who connects and says nothing does not keep the place. */
START_TEST(test_silent)
{
	struct ntc_test_daemon d = { 0 };
	struct pollfd p = { .events = POLLIN };
	struct wire silent, w;

	ntc_test_start(&d, NULL);
	ck_assert(wire_open(&silent, d.socket));
	ck_assert(wire_greeting(&silent));
	w = connected(&d); /* said HELLO in time: may be silent as long as it likes */
	p.fd = silent.fd;
	ck_assert_int_eq(poll(&p, 1, ntc_test_ms(20000)), 1);
	ck_assert(wire_closes(&silent));
	send_ping(&w, 2);
	expect(&w, NTC_MSG_DONE, 2);
	wire_close(&silent);
	wire_close(&w);
}
END_TEST

/* Who sends no more but reads on gets what it asked for; its lease goes to the next at once. */
START_TEST(test_half_closed)
{
	struct ntc_test_daemon d = { 0 };
	struct wire half, w;

	/* What is in the shared segment is answered at once. */
	ntc_test_start(&d, "--segment-size", "0", NULL);
	w = connected(&d);
	send_put(&w, 2, 0, key_of(1));
	expect(&w, NTC_MSG_STORED, 2);
	ck_assert(wire_frame(&w, NTC_MSG_SYNC, 3, ntc_view(NULL, 0), -1));
	expect(&w, NTC_MSG_DONE, 3);

	half = connected(&d);
	send_acquire(&half, 4, 1, 0, key_of(2));
	(void)expect_lease(&half, 4);
	send_acquire(&w, 5, 1, 0, key_of(2));
	/* The first is answered from the disk, so after the end of the input was seen. */
	ck_assert(wire_frame(&half, NTC_MSG_LOOKUP, 6, PAYLOAD(lookup, .key = key_of(1)), -1));
	send_ping(&half, 7);
	ck_assert_int_eq(shutdown(half.fd, SHUT_WR), 0);
	expect(&half, NTC_MSG_DONE, 7);
	expect(&half, NTC_MSG_ENTRY, 6);
	ck_assert(just_closed(&half));
	(void)expect_lease(&w, 5);
	wire_close(&half);
	wire_close(&w);
}
END_TEST

/* Everything sent at once, taken up in order. */
START_TEST(test_pipeline)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_view key = key_of(1);
	struct wire w;

	ntc_test_start(&d, NULL);
	w = connected(&d);
	for (uint64_t id = 2; id < 1002; id++)
		send_ping(&w, id);
	send_put(&w, 1002, 0, key);
	ck_assert(wire_frame(&w, NTC_MSG_LOOKUP, 1003, PAYLOAD(lookup, .key = key), -1));
	send_acquire(&w, 1004, 1, 0, key);
	for (uint64_t id = 2; id < 1002; id++)
		expect(&w, NTC_MSG_DONE, id);
	expect(&w, NTC_MSG_STORED, 1002);
	expect(&w, NTC_MSG_ENTRY, 1003);
	expect(&w, NTC_MSG_ENTRY, 1004);
	wire_close(&w);
}
END_TEST

/* A connection that said READ_ONLY looks, and does nothing else. */
START_TEST(test_read_only)
{
	struct ntc_test_daemon d = { 0 };
	struct wire w;

	ntc_test_start(&d, NULL);
	ck_assert(wire_open(&w, d.socket));
	ck_assert(wire_greeting(&w));
	ck_assert(wire_frame(&w, NTC_MSG_HELLO, 0,
			     PAYLOAD(hello, .version = NTC_PROTOCOL_VERSION, .flags = NTC_HELLO_READ_ONLY), -1));
	send_put(&w, 2, 0, key_of(1));
	expect_error(&w, 2, NTC_ST_READ_ONLY);
	send_acquire(&w, 3, 1, 0, key_of(1));
	expect_error(&w, 3, NTC_ST_READ_ONLY);
	ck_assert(wire_frame(&w, NTC_MSG_REMOVE, 4, PAYLOAD(remove, .key = key_of(1)), -1));
	expect_error(&w, 4, NTC_ST_READ_ONLY);
	ck_assert(wire_frame(&w, NTC_MSG_LOOKUP, 5, PAYLOAD(lookup, .key = key_of(1)), -1));
	expect_error(&w, 5, NTC_ST_NOT_FOUND);
	wire_close(&w);
}
END_TEST

/* --- limits ------------------------------------------------------------------------------- */

/* As many connections as there are descriptors for; the next one is told. */
START_TEST(test_few_descriptors)
{
	struct rlimit limit = { 400, 400 };
	struct ntc_test_daemon d = { 0 };
	struct wire wires[136], w;
	unsigned n = 0;

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ntc_test_start(&d, NULL);
	ck_assert(ntc_test_log_has(&d, "136 connections instead of 4096"));
	while (n < 136) {
		wires[n] = connected(&d);
		send_ping(&wires[n], 2);
		expect(&wires[n], NTC_MSG_DONE, 2);
		n++;
	}
	ck_assert(wire_open(&w, d.socket));
	expect_error(&w, 0, NTC_ST_BUSY);
	ck_assert(just_closed(&w));
	wire_close(&w);
	while (n)
		wire_close(&wires[--n]);
}
END_TEST

/* The soft limit is raised to the hard one. */
START_TEST(test_soft_limit)
{
	struct rlimit limit;
	struct ntc_test_daemon d = { 0 };
	char text[64];

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_max = limit.rlim_max < 1000 ? limit.rlim_max : 1000;
	limit.rlim_cur = limit.rlim_max / 2;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ntc_test_start(&d, NULL);
	ck_assert_int_eq(prlimit(d.pid, RLIMIT_NOFILE, NULL, &limit), 0);
	snprintf(text, sizeof(text), "%llu of %llu", (unsigned long long)limit.rlim_cur,
		 (unsigned long long)limit.rlim_max);
	ck_assert_msg(limit.rlim_cur == limit.rlim_max, "%s", text);
}
END_TEST

/* Waiting for a slot over and over is bounded like every other request. */
START_TEST(test_many_slot_waits)
{
	struct ntc_test_daemon d = { 0 };
	struct wire w, busy;
	uint64_t lease, refused = 0, id;

	ntc_test_start(&d, "--max-compiles", "1", "--slot-wait", "2", NULL);
	busy = connected(&d);
	send_acquire(&busy, 2, 1, 0, key_of(1));
	lease = expect_lease(&busy, 2);
	ck_assert(wire_frame(&busy, NTC_MSG_SLOT, 3, PAYLOAD(slot, .task = 1, .lease = lease), -1));
	expect(&busy, NTC_MSG_SLOTTED, 3);
	w = connected(&d);
	send_acquire(&w, 2, 1, 0, key_of(2));
	lease = expect_lease(&w, 2);
	for (id = 3; id < 9003; id++)
		ck_assert(wire_frame(&w, NTC_MSG_SLOT, id, PAYLOAD(slot, .task = 1, .lease = lease), -1));
	while (--id >= 3) {
		struct ntc_msg_error error;
		struct ntc_frame frame;

		ck_assert_int_eq(wire_answer(&w, &frame), 1);
		ck_assert_uint_eq(frame.type, NTC_MSG_ERROR);
		ck_assert(ntc_msg_error_read(frame.payload, &error));
		ck_assert(error.status == NTC_ST_BUSY || error.status == NTC_ST_WAIT_OVER);
		refused += error.status == NTC_ST_BUSY;
	}
	ck_assert_uint_gt(refused, 0);
	wire_close(&w);
	wire_close(&busy);
}
END_TEST

/* --- what making is about ----------------------------------------------------------------- */

/* Once somebody made it after all, an earlier failure is history. */
START_TEST(test_made_after_failure)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_view key = key_of(1);
	uint64_t lease;
	struct wire w;

	ntc_test_start(&d, NULL);
	w = connected(&d);
	send_acquire(&w, 2, 1, 0, key);
	lease = expect_lease(&w, 2);
	ck_assert(wire_frame(&w, NTC_MSG_FAIL, 3,
			     PAYLOAD(fail, .lease = lease, .failure = NTC_FAILURE_DETERMINISTIC, .log = ntc_view("no", 2)),
			     -1));
	expect(&w, NTC_MSG_DONE, 3);
	send_acquire(&w, 4, 1, 0, key);
	expect(&w, NTC_MSG_FAILED, 4);
	send_acquire(&w, 5, 1, NTC_ACQUIRE_RETRY, key);
	lease = expect_lease(&w, 5);
	send_put(&w, 6, lease, key);
	expect(&w, NTC_MSG_STORED, 6);
	send_acquire(&w, 7, 1, 0, key);
	expect(&w, NTC_MSG_ENTRY, 7);
	wire_close(&w);
}
END_TEST

/* The blob file of a key, damaged so that its reading takes the store a while and finds nothing. */
static void damage(const struct ntc_test_daemon *d, struct ntc_view key)
{
	struct ntc_digest digest = ntc_key_digest(key);
	char text[NTC_DIGEST_TEXT];
	uint8_t byte = '!';
	struct stat st;
	int fd;

	ntc_digest_format(&digest, text);
	fd = open(ntc_test_path("%s/default/%.2s/%s", strrchr(d->cache, '/') + 1, text, text), O_WRONLY | O_CLOEXEC);
	ck_assert_msg(fd >= 0, "no file of %s", text);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(pwrite(fd, &byte, 1, st.st_size - NTC_STAMP_SIZE - 64), 1);
	close(fd);
}

/* Stored, durable, and damaged afterwards. */
static void store_damaged(const struct ntc_test_daemon *d, struct wire *w, struct ntc_view key)
{
	send_put(w, 100, 0, key);
	expect(w, NTC_MSG_STORED, 100);
	ck_assert(wire_frame(w, NTC_MSG_SYNC, 101, ntc_view(NULL, 0), -1));
	expect(w, NTC_MSG_DONE, 101);
	damage(d, key);
}

/* A CANCEL that comes while the store still looks is not forgotten when it finds nothing. */
START_TEST(test_cancel_early)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_view key = key_of(1);
	struct wire holder, w;

	/* What is in the shared segment is answered at once. */
	ntc_test_start(&d, "--segment-size", "0", NULL);
	holder = connected(&d);
	w = connected(&d);
	store_damaged(&d, &w, key);
	send_acquire(&holder, 2, 1, NTC_ACQUIRE_REFRESH, key);
	(void)expect_lease(&holder, 2);
	send_acquire(&w, 3, 1, 0, key);
	ck_assert(wire_frame(&w, NTC_MSG_CANCEL, 0, PAYLOAD(cancel, .request = 3), -1));
	expect_error(&w, 3, NTC_ST_CANCELLED);
	wire_close(&holder);
	wire_close(&w);
}
END_TEST

/* --- stopping ----------------------------------------------------------------------------- */

/* Who waits is told to go on alone, rather than left to see the connection end. */
static uint64_t cost_of(struct wire *w, uint64_t id, struct ntc_view key)
{
	struct ntc_digest digest = ntc_key_digest(key);
	struct ntc_msg_shown m;
	struct ntc_frame frame;
	struct ntc_reader r;

	ck_assert(wire_frame(w, NTC_MSG_SHOW, id, PAYLOAD(show, .digest = digest), -1));
	frame = expect(w, NTC_MSG_SHOWN, id);
	ck_assert(ntc_msg_shown_read(frame.payload, &m));
	r = ntc_reader(m.row.p, m.row.len);
	return ntc_row_read(&r).cost_ns;
}

/* Whatever a maker says, nothing costs more than a day, and with a lease not more than since that was given. */
START_TEST(test_costs_are_bounded)
{
	struct ntc_test_daemon d = { 0 };
	uint64_t leased, lease;
	uint8_t *body;
	struct wire w;
	size_t size;

	ntc_test_start(&d, NULL);
	w = connected(&d);
	body = body_of(key_of(1), 100, &size);
	ck_assert(wire_frame(&w, NTC_MSG_PUT, 1,
			     PAYLOAD(put, .cost_ns = UINT64_MAX, .size = size, .body = ntc_view(body, size)), -1));
	(void)expect(&w, NTC_MSG_STORED, 1);
	ck_assert_uint_eq(cost_of(&w, 2, key_of(1)), 24 * 3600 * NTC_NS_PER_S);
	free(body);
	leased = ntc_clock_mono_ns();
	send_acquire(&w, 3, 1, 0, key_of(2));
	lease = expect_lease(&w, 3);
	body = body_of(key_of(2), 100, &size);
	ck_assert(wire_frame(&w, NTC_MSG_PUT, 4,
			     PAYLOAD(put, .lease = lease, .cost_ns = UINT64_MAX, .size = size, .body = ntc_view(body, size)),
			     -1));
	(void)expect(&w, NTC_MSG_STORED, 4);
	ck_assert_uint_lt(cost_of(&w, 5, key_of(2)), ntc_clock_mono_ns() - leased);
	/* Who says less is believed. */
	send_put(&w, 6, 0, key_of(3));
	(void)expect(&w, NTC_MSG_STORED, 6);
	ck_assert_uint_eq(cost_of(&w, 7, key_of(3)), 1);
	free(body);
	wire_close(&w);
}
END_TEST

START_TEST(test_drain_waits)
{
	struct ntc_test_daemon d = { 0 };
	struct wire holder, w;

	ntc_test_start(&d, NULL);
	holder = connected(&d);
	w = connected(&d);
	send_acquire(&holder, 2, 1, 0, key_of(1));
	(void)expect_lease(&holder, 2);
	send_acquire(&w, 3, 1, 0, key_of(1));
	send_ping(&w, 4);
	expect(&w, NTC_MSG_DONE, 4); /* so the wait has begun */
	ck_assert_int_eq(kill(d.pid, SIGTERM), 0);
	expect_error(&w, 3, NTC_ST_SHUTTING_DOWN);
	ck_assert_int_eq(ntc_test_wait_exit(&d, ntc_test_ms(10000)), 0);
	wire_close(&holder);
	wire_close(&w);
}
END_TEST

static int memfd_of(struct ntc_view key, size_t len, size_t *size)
{
	int fd = memfd_create("body", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	uint8_t *body = body_of(key, len, size);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, body, *size), (ssize_t)*size);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
	free(body);
	return fd;
}

/* What was sent whole before SIGTERM is stored and answered, though reading it takes many turns. */
START_TEST(test_drain_large)
{
	const unsigned puts = 8;
	struct ntc_test_daemon d = { 0 };
	struct ntc_frame frame;
	struct wire w;
	size_t size;
	int fd = memfd_of(key_of(1), 24u << 20, &size);

	ntc_test_start(&d, NULL);
	w = connected(&d);
	for (uint64_t id = 2; id < 2 + puts; id++)
		ck_assert(wire_frame(&w, NTC_MSG_PUT, id, PAYLOAD(put, .cost_ns = 1, .size = size), fd));
	close(fd);
	send_ping(&w, 1000);
	/* With the answer to the PING all were taken up. */
	for (unsigned i = 0; i < puts + 1; i++) {
		ck_assert_msg(wire_answer(&w, &frame) == 1, "%u of %u answers", i, puts + 1);
		ck_assert_msg(frame.type == (frame.id == 1000 ? NTC_MSG_DONE : NTC_MSG_STORED), "%s",
			      ntc_message_name(frame.type));
		if (frame.id == 1000)
			ck_assert_int_eq(kill(d.pid, SIGTERM), 0);
	}
	ck_assert_int_eq(ntc_test_wait_exit(&d, ntc_test_ms(30000)), 0);
	wire_close(&w);
	ntc_test_start(&d, NULL);
	w = connected(&d);
	ck_assert(wire_frame(&w, NTC_MSG_LOOKUP, 2, PAYLOAD(lookup, .key = key_of(1)), -1));
	frame = expect(&w, NTC_MSG_ENTRY, 2);
	ck_assert_uint_eq(frame.flags, NTC_FRAME_DESCRIPTOR);
	wire_close(&w);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("protocol");
	TCase *connection = tcase_create("connection"), *limits = tcase_create("limits"), *making = tcase_create("making"),
	      *stopping = tcase_create("stopping");
	TCase *all[] = { connection, limits, making, stopping };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		tcase_add_checked_fixture(all[i], ntc_test_setup, ntc_test_teardown);
		tcase_set_timeout(all[i], 60);
		suite_add_tcase(suite, all[i]);
	}
	tcase_add_test(connection, test_lost_stream);
	tcase_add_test(connection, test_bad_requests);
	tcase_add_test(connection, test_silent);
	tcase_add_test(connection, test_half_closed);
	tcase_add_test(connection, test_pipeline);
	tcase_add_test(connection, test_read_only);
	tcase_add_test(limits, test_few_descriptors);
	tcase_add_test(limits, test_soft_limit);
	tcase_add_test(limits, test_many_slot_waits);
	tcase_add_test(making, test_made_after_failure);
	tcase_add_test(making, test_cancel_early);
	tcase_add_test(making, test_costs_are_bounded);
	tcase_add_test(stopping, test_drain_waits);
	tcase_add_test(stopping, test_drain_large);
	return ntc_test_run(suite);
}
