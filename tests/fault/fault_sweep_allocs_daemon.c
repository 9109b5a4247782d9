/*
 * For every n, the n-th allocation of a daemon (ours, SQLite's, libevent's) fails while a raw peer makes one request of each
 * kind, or while it starts; once or with all after it. A request is answered NO_MEMORY, or its connection is closed; nothing
 * else happens to anybody, nothing leaks, and when it is over the same daemon answers everything as it should.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/log.h"
#include "daemon/server.h"
#include "proto/entry.h"
#include "proto/key.h"
#include "tests/fault/allocations.h"
#include "tests/fault/campaign.h"
#include "tests/fault/trial.h"
#include "tests/support/wire.h"

enum { EXIT_REFUSED = 70 };

struct attempt {
	unsigned n;             /* 0: only count */
	bool lasting;
	bool starting;          /* armed before the daemon starts; else when it serves */
};

static struct ntc_allocations *allocations;
static bool strict;             /* nothing fails any more */
static char dir[100], socket_path[100];

/* --- the daemon --------------------------------------------------------------------------- */

static void say_nothing(int severity, const char *text)
{
	(void)severity;
	(void)text;
}

/* `ready` gets a byte when it listens. */
static int serve(const struct attempt *a, int ready)
{
	char *words[] = { (char *)"ntcached", (char *)"--dir", dir, (char *)"--socket", socket_path,
			  (char *)"--log-level", (char *)"error", NULL };
	struct ntc_daemon_options options;
	struct ntc_reason reason = { "" };
	struct ntc_server *server;
	enum ntc_status st;

	ntc_allocations_take(allocations);
	ntc_fault_expect(ntc_options_parse(7, words, &options, &reason) == NTC_OPTIONS_RUN, "%s", reason.text);
	/* Else it is the same few words a thousand times. */
	ntc_log_open(getenv("NTC_TEST_LOG") ? NTC_LOG_ERROR : (enum ntc_log_level)0);
	if (!getenv("NTC_TEST_LOG"))
		event_set_log_callback(say_nothing);
	signal(SIGPIPE, SIG_IGN);
	if (a->starting)
		ntc_allocations_arm(allocations, a->n, a->lasting);
	st = ntc_server_open(&options, &server, &reason);
	if (a->starting)
		ntc_allocations_disarm(allocations);
	if (st) {
		ntc_fault_expect(st == NTC_ST_NO_MEMORY, "the start failed: %s: %s", ntc_status_name(st), reason.text);
		ntc_allocations_expect_none();
		return EXIT_REFUSED;
	}
	ntc_fault_expect(write(ready, "", 1) == 1, "nobody waits for the daemon");
	ntc_server_run(server);
	ntc_server_close(server);
	ntc_allocations_expect_none();
	return 0;
}

/* Start it in a process of its own; false if it refused to start. */
static bool start(const struct attempt *a, pid_t *pid)
{
	pid_t parent = getpid();
	int ready[2];
	char byte;
	ssize_t n;

	ntc_fault_expect(pipe2(ready, O_CLOEXEC) == 0, "no pipe");
	*pid = fork();
	ntc_fault_expect(*pid >= 0, "no process");
	if (*pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
		close(ready[0]);
		_exit(serve(a, ready[1]));
	}
	close(ready[1]);
	do
		n = read(ready[0], &byte, 1);
	while (n < 0 && errno == EINTR);
	close(ready[0]);
	return n == 1;
}

static void expect_end(pid_t pid, int code)
{
	int status;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	/* What it noted itself says more. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
		_exit(1);
	ntc_fault_expect(!WIFSIGNALED(status), "the daemon ended by signal %d", WTERMSIG(status));
	ntc_fault_expect(WEXITSTATUS(status) == code, "the daemon ended with code %d", WEXITSTATUS(status));
}

static pid_t serving;

/* A daemon that is gone explains what was not answered. */
static void expect_alive(void)
{
	int status;

	if (waitpid(serving, &status, WNOHANG) != serving)
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
		_exit(1);
	ntc_fault_expect(false, "the daemon ended: code %d, signal %d", WIFEXITED(status) ? WEXITSTATUS(status) : 0,
			 WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

/* --- a peer ------------------------------------------------------------------------------- */

struct peer {
	struct wire wire;       /* fd -1: not connected */
	uint64_t last;          /* request */
};

static bool excused(void)
{
	return !strict && atomic_load(&allocations->fired);
}

static bool connected(struct peer *p)
{
	if (p->wire.fd >= 0 || wire_hello(&p->wire, socket_path))
		return true;
	wire_close(&p->wire);
	if (!excused())
		expect_alive();
	ntc_fault_expect(excused(), "the daemon does not greet");
	return false;
}

static bool sent(struct peer *p, unsigned type, struct ntc_view payload, int fd)
{
	if (!connected(p))
		return false;
	if (wire_frame(&p->wire, type, ++p->last, payload, fd))
		return true;
	wire_close(&p->wire);
	ntc_fault_expect(excused(), "%s cannot be sent", ntc_message_name(type));
	return false;
}

/* The answer to the last request: its type, or 0 if there was none. An ERROR has the status wanted, or says NO_MEMORY. */
static unsigned answer_of(struct peer *p, struct ntc_frame *frame, enum ntc_status wanted)
{
	struct ntc_msg_error error;
	int got = wire_answer(&p->wire, frame);

	if (got <= 0) {
		wire_close(&p->wire);
		expect_alive();
		ntc_fault_expect(got == 0, "no answer for 10 s");
		ntc_fault_expect(excused(), "the connection was closed");
		return 0;
	}
	ntc_fault_expect(frame->id == p->last, "an answer to another request");
	if (frame->type != NTC_MSG_ERROR)
		return frame->type;
	ntc_fault_expect(ntc_msg_error_read(frame->payload, &error), "a malformed ERROR");
	if (wanted && error.status == wanted)
		return frame->type;
	ntc_fault_expect(excused() && error.status == NTC_ST_NO_MEMORY, "ERROR %s: %.*s", ntc_status_name(error.status),
			 (int)error.text.len, (const char *)error.text.p);
	return 0;
}

/* Ask, and have the answer that is wanted: ERROR with that status, or another type; false if memory kept it back. */
static bool asked(struct peer *p, unsigned type, struct ntc_view payload, int fd, unsigned want, enum ntc_status status,
		  struct ntc_frame *frame)
{
	unsigned got;

	if (!sent(p, type, payload, fd))
		return false;
	got = answer_of(p, frame, status);
	ntc_fault_expect(!got || got == want, "%s answered %s", ntc_message_name(type), ntc_message_name(got));
	return got == want;
}

/* Payloads, in static memory that the next one of the same place takes over. */
#define PAYLOAD(lower, ...) \
	({ \
		static uint8_t bytes_[64 << 10]; \
		struct ntc_msg_##lower m_ = { __VA_ARGS__ }; \
		struct ntc_writer w_ = ntc_writer(bytes_, sizeof(bytes_)); \
		ntc_msg_##lower##_write(&w_, &m_); \
		ntc_fault_expect(!w_.bad, "a payload is too large"); \
		ntc_view(bytes_, w_.len); \
	})
#define NOTHING ntc_view(NULL, 0)

/* --- entries ------------------------------------------------------------------------------ */

struct made {
	struct ntc_buffer *image;
	struct ntc_view body, key;
	struct ntc_digest digest;
};

static struct made made(unsigned n)
{
	struct made m = { .image = ntc_trial_image(n), .digest = ntc_trial_digest(n) };
	struct ntc_image image;

	ntc_fault_expect(ntc_image_parse(ntc_view(m.image->bytes, m.image->len), &image, NULL) == NTC_ST_OK, "no image");
	m.body = image.body.bytes;
	m.key = image.body.key;
	return m;
}

static int memfd_of(struct ntc_view body)
{
	int fd = memfd_create("body", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ntc_fault_expect(fd >= 0 && write(fd, body.p, body.len) == (ssize_t)body.len &&
				 fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0,
			 "no memfd");
	return fd;
}

static bool stored(struct peer *p, const struct made *m, uint64_t lease, bool by_descriptor)
{
	int fd = by_descriptor ? memfd_of(m->body) : -1;
	struct ntc_frame frame;
	bool done = asked(p, NTC_MSG_PUT,
			  PAYLOAD(put, .lease = lease, .cost_ns = 5, .size = m->body.len,
				  .body = by_descriptor ? NOTHING : m->body),
			  fd, NTC_MSG_STORED, 0, &frame);

	if (fd >= 0)
		close(fd);
	return done;
}

static uint64_t leased(struct peer *p, const struct made *m)
{
	struct ntc_msg_lease lease;
	struct ntc_frame frame;

	if (!asked(p, NTC_MSG_ACQUIRE, PAYLOAD(acquire, .task = 1, .width = 1, .key = m->key), -1, NTC_MSG_LEASE, 0, &frame))
		return 0;
	ntc_fault_expect(ntc_msg_lease_read(frame.payload, &lease), "a malformed LEASE");
	return lease.lease;
}

/* `durable`: else it may be gone again where memory failed. */
static void found(struct peer *p, const struct made *m, bool durable)
{
	struct ntc_msg_entry entry;
	struct ntc_frame frame;
	unsigned got;

	if (!sent(p, NTC_MSG_LOOKUP, PAYLOAD(lookup, .key = m->key), -1))
		return;
	got = answer_of(p, &frame, durable ? NTC_ST_OK : NTC_ST_NOT_FOUND);
	if (!got)
		return;
	/* The memory that it was lost for may have failed only now. */
	ntc_fault_expect(got != NTC_MSG_ERROR || excused(), "an entry is not found");
	if (got == NTC_MSG_ERROR)
		return;
	ntc_fault_expect(got == NTC_MSG_ENTRY, "LOOKUP answered %s", ntc_message_name(got));
	ntc_fault_expect(ntc_msg_entry_read(frame.payload, &entry), "a malformed ENTRY");
	/* A large one came in a descriptor, which the wire has closed. */
	ntc_fault_expect(!entry.image.len ||
				 (entry.image.len >= m->body.len && memcmp(entry.image.p, m->body.p, m->body.len) == 0),
			 "wrong bytes");
}

static void missed(struct peer *p, const struct made *m)
{
	struct ntc_frame frame;

	(void)asked(p, NTC_MSG_LOOKUP, PAYLOAD(lookup, .key = m->key), -1, NTC_MSG_ERROR, NTC_ST_NOT_FOUND, &frame);
}

static void synced(struct peer *p)
{
	struct ntc_frame frame;

	(void)asked(p, NTC_MSG_SYNC, NOTHING, -1, NTC_MSG_DONE, 0, &frame);
}

/* --- the script --------------------------------------------------------------------------- */

/* Lease, slot, more time, put, durable, found. A lease dies with its connection: what follows on it is left out then. */
static void make_one(struct peer *p, const struct made *m, bool by_descriptor)
{
	struct ntc_frame frame;
	uint64_t lease;

	missed(p, m);
	lease = leased(p, m);
	if (!lease || !asked(p, NTC_MSG_SLOT, PAYLOAD(slot, .task = 1, .lease = lease), -1, NTC_MSG_SLOTTED, 0, &frame) ||
	    !asked(p, NTC_MSG_EXTEND, PAYLOAD(extend, .lease = lease, .time_ns = NTC_NS_PER_S), -1, NTC_MSG_LEASE, 0, &frame) ||
	    !stored(p, m, lease, by_descriptor))
		return;
	found(p, m, false);
	synced(p);
	found(p, m, strict);
}

/* Another one waits for what the first one makes: it gets that, or the lease. */
static void wait_for_one(struct peer *p, struct peer *waiter, const struct made *m)
{
	uint64_t lease = leased(p, m);
	struct ntc_msg_lease handed;
	struct ntc_frame frame;
	unsigned got;

	if (!lease || !sent(waiter, NTC_MSG_ACQUIRE, PAYLOAD(acquire, .task = 2, .width = 1, .key = m->key), -1))
		return;
	(void)stored(p, m, lease, false);
	if (p->wire.fd >= 0 && !strict)
		wire_close(&p->wire); /* whatever became of the put: the lease is over */
	got = answer_of(waiter, &frame, 0);
	ntc_fault_expect(!got || got == NTC_MSG_ENTRY || (!strict && got == NTC_MSG_LEASE), "a waiter was answered %s",
			 ntc_message_name(got));
	if (got == NTC_MSG_LEASE && ntc_msg_lease_read(frame.payload, &handed))
		(void)asked(waiter, NTC_MSG_RELEASE, PAYLOAD(release, .lease = handed.lease), -1, NTC_MSG_DONE, 0, &frame);
}

static void cancel_one(struct peer *p, struct peer *waiter, const struct made *m)
{
	uint64_t lease = leased(p, m), request;
	struct ntc_frame frame;

	if (!lease || !sent(waiter, NTC_MSG_ACQUIRE, PAYLOAD(acquire, .task = 3, .width = 1, .key = m->key), -1))
		return;
	request = waiter->last;
	/* Unanswered; the request it names is answered. */
	if (wire_frame(&waiter->wire, NTC_MSG_CANCEL, request + 1, PAYLOAD(cancel, .request = request), -1))
		(void)answer_of(waiter, &frame, NTC_ST_CANCELLED); /* judges by itself */
	waiter->last = request + 1;
	(void)asked(p, NTC_MSG_RELEASE, PAYLOAD(release, .lease = lease), -1, NTC_MSG_DONE, 0, &frame);
}

static void fail_one(struct peer *p, const struct made *m)
{
	uint64_t lease = leased(p, m);
	struct ntc_frame frame;

	if (lease && asked(p, NTC_MSG_FAIL,
			   PAYLOAD(fail, .lease = lease, .failure = NTC_FAILURE_DETERMINISTIC, .log = ntc_view("no", 2)), -1,
			   NTC_MSG_DONE, 0, &frame) &&
	    strict)
		(void)asked(p, NTC_MSG_ACQUIRE, PAYLOAD(acquire, .task = 1, .width = 1, .key = m->key), -1, NTC_MSG_FAILED, 0,
			    &frame);
}

static void look_after(struct peer *p, const struct made *m)
{
	struct ntc_digest first = { 0 };
	struct ntc_frame frame;
	uint8_t hit[NTC_HIT_SIZE] = { 0 };

	(void)asked(p, NTC_MSG_PING, NOTHING, -1, NTC_MSG_DONE, 0, &frame);
	(void)asked(p, NTC_MSG_STATS, NOTHING, -1, NTC_MSG_COUNTERS, 0, &frame);
	(void)asked(p, NTC_MSG_LIST, PAYLOAD(list, .after = first, .limit = 10), -1, NTC_MSG_ROWS, 0, &frame);
	(void)asked(p, NTC_MSG_COLLECT,
		    PAYLOAD(collect, .max_bytes = UINT64_MAX, .max_entries = UINT64_MAX, .max_age_ns = UINT64_MAX), -1,
		    NTC_MSG_COLLECTED, 0, &frame);
	if (!asked(p, NTC_MSG_IMPORT, PAYLOAD(import, .size = m->body.len, .body = m->body), -1, NTC_MSG_STORED, 0, &frame))
		return;
	memcpy(hit, m->digest.bytes, sizeof(m->digest.bytes));
	hit[16] = 1;
	(void)sent(p, NTC_MSG_HITS, PAYLOAD(hits, .rung = NTC_RUNG_FILE, .hits = ntc_view(hit, sizeof(hit))), -1);
	(void)sent(p, NTC_MSG_SUSPECT, PAYLOAD(suspect, .digest = m->digest), -1);
	synced(p);
	if (!strict)
		return;
	(void)asked(p, NTC_MSG_SHOW, PAYLOAD(show, .digest = m->digest), -1, NTC_MSG_SHOWN, 0, &frame);
	(void)asked(p, NTC_MSG_VERIFY, PAYLOAD(verify, .digest = m->digest), -1, NTC_MSG_VERIFIED, 0, &frame);
	(void)asked(p, NTC_MSG_REMOVE, PAYLOAD(remove, .digest = m->digest, .key = m->key), -1, NTC_MSG_DONE, 0, &frame);
	missed(p, m);
}

/* Requests whose answer depends on an entry that is there for certain: `m` was put when nothing failed. */
static void look_at(struct peer *p, const struct made *m)
{
	struct ntc_frame frame;

	found(p, m, true);
	(void)asked(p, NTC_MSG_SHOW, PAYLOAD(show, .digest = m->digest), -1, NTC_MSG_SHOWN, 0, &frame);
	(void)asked(p, NTC_MSG_VERIFY, PAYLOAD(verify, .digest = m->digest), -1, NTC_MSG_VERIFIED, 0, &frame);
	(void)stored(p, m, 0, false); /* known */
}

static void script(unsigned n)
{
	struct peer a = { .wire = { .fd = -1 } }, b = { .wire = { .fd = -1 } };
	struct made m[6];

	for (unsigned i = 0; i < NTC_COUNT(m); i++)
		m[i] = made(n + i);
	make_one(&a, &m[0], false);
	make_one(&a, &m[3], true); /* 40 KB, in a memfd */
	wait_for_one(&a, &b, &m[1]);
	cancel_one(&a, &b, &m[2]);
	fail_one(&a, &m[4]);
	look_after(&b, &m[5]);
	wire_close(&a.wire);
	wire_close(&b.wire);
	for (unsigned i = 0; i < NTC_COUNT(m); i++)
		ntc_buffer_unref(m[i].image);
}

/* One that removes: last, as it takes away what was looked at. */
static void remove_it(struct peer *p, const struct made *m)
{
	struct ntc_frame frame;

	if (asked(p, NTC_MSG_REMOVE, PAYLOAD(remove, .digest = m->digest, .key = m->key), -1, NTC_MSG_DONE, 0, &frame))
		missed(p, m);
}

/* --- attempts ----------------------------------------------------------------------------- */

enum { BEFORE = 8, DURING = 16, AFTERWARDS = 32 };

static int run(void *ctx)
{
	struct attempt a = *(struct attempt *)ctx;
	struct peer p = { .wire = { .fd = -1 } };
	struct made there[2] = { made(BEFORE), made(BEFORE + 2) };

	if (!start(&a, &serving)) {
		expect_end(serving, EXIT_REFUSED);
		a = (struct attempt){ 0 };
		ntc_fault_expect(start(&a, &serving), "the second start is refused too");
	}
	strict = true;
	for (unsigned i = 0; i < 2; i++)
		(void)stored(&p, &there[i], 0, false);
	synced(&p);
	if (!a.starting) {
		strict = false;
		ntc_allocations_arm(allocations, a.n, a.lasting);
		look_at(&p, &there[0]);
		look_at(&p, &there[1]);
		remove_it(&p, &there[1]);
		script(DURING);
		ntc_allocations_disarm(allocations);
		strict = true;
	}
	/* The connection that lived through it, if it did, and new ones. */
	look_at(&p, &there[0]);
	script(AFTERWARDS);
	wire_close(&p.wire);
	kill(serving, SIGTERM);
	expect_end(serving, 0);
	return 0;
}

static void attempt(unsigned n, bool lasting, bool starting)
{
	const char *way = n == 0 ? "none fails" : lasting ? "fails with all after it" : "fails";
	const char *when = starting ? "starting" : "serving";
	struct attempt a = { n, lasting, starting };

	if (n && !ntc_fault_chosen("%s, allocation %u, %s", when, n, way))
		return;
	ntc_fault_remove(dir);
	memset(allocations, 0, sizeof(*allocations));
	(void)ntc_fault_try(run, &a, "%s, allocation %u, %s", when, n, way); /* it counts */
}

static void sweep(bool starting)
{
	unsigned count, done = 0;
	uint32_t *order;

	attempt(0, false, starting);
	count = atomic_load(&allocations->count);
	order = ntc_fault_order(2 * count);
	for (uint32_t i = 0; i < 2 * count && ntc_fault_goes_on(); i++, done++)
		attempt(order[i] / 2 + 1, order[i] % 2, starting);
	free(order);
	ntc_fault_say("%s: %u allocations, %u trials", starting ? "starting" : "serving", count, done);
}

int main(void)
{
	ntc_fault_begin("sweep_allocs_daemon", true);
	allocations = ntc_fault_shared(sizeof(*allocations));
	snprintf(dir, sizeof(dir), "%s", ntc_fault_path("cache"));
	snprintf(socket_path, sizeof(socket_path), "%s", ntc_fault_path("socket"));
	ntc_fault_share(70);
	sweep(false);
	ntc_fault_share(30);
	sweep(true);
	return ntc_fault_end();
}
