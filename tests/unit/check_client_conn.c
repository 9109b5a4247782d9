/*
 * The client against a scripted peer: a thread that speaks real frames, and misbehaves when told to. What
 * a real daemon does is tested in tests/system/check_client.c.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fdpass.h"
#include "client/bounds.h"
#include "client/client.h"
#include "client/discover.h"
#include "client/entry.h"
#include "client/lease.h"
#include "client/ntcache.h"
#include "proto/message.h"

/* --- the peer ----------------------------------------------------------------------------- */

enum behaviour {
	WELL = 0,
	SILENT,        /* accepts, never greets */
	WRONG_VERSION, /* greets with another protocol */
	GARBAGE,       /* greets with noise */
	WRONG_TYPE,    /* answers with messages that make no sense */
	WRONG_ID,      /* answers what nobody asked */
	HANG_UP,       /* ends the connection at the first request */
	MUTE,          /* reads, never answers */
	LATE_LEASE,    /* holds an ACQUIRE until it is cancelled, then gives the lease all the same */
	LATER_LEASE,   /* the same, but answers the cancel only when PINGed */
	STOPS_READING, /* greets, then reads nothing */
	BAD_IMAGE,     /* finds entries, but damaged ones */
	BUSY_BUT_ONE,  /* one ACQUIRE at a time */
	ON_DEMAND,     /* answers as many ACQUIREs, in order, as `go` says */
};

/* Counters are shared with forked children, who must not change them: by the peer's thread only. */
static struct {
	char dir[64], socket[96], blobs[96];
	int listener, stop[2];
	pthread_t thread;
	enum behaviour behaviour; /* atomic */
	unsigned accepted, hellos, releases, fails, cancels, suspects, acquires, puts,
		reads_only;           /* atomic */
	unsigned hits, go;            /* atomic */
	unsigned long long put_lease; /* atomic */
} peer;

#define GET(x) __atomic_load_n(&peer.x, __ATOMIC_SEQ_CST)
#define SET(x, v) __atomic_store_n(&peer.x, (v), __ATOMIC_SEQ_CST)
#define COUNT(x) __atomic_add_fetch(&peer.x, 1, __ATOMIC_SEQ_CST)

struct session {
	int fd, *fds;
	uint8_t in[NTC_FRAME_HEADER + NTC_FRAME_MAX];
	size_t len;
	uint64_t held; /* id of an ACQUIRE that waits */
	uint64_t later;
	uint64_t queue[4]; /* ON_DEMAND: ids that wait */
	unsigned queued, answered;
};

static void send_frame(int fd, unsigned type, uint64_t id, const uint8_t *payload, size_t len, int pass)
{
	uint8_t header[NTC_FRAME_HEADER];
	struct iovec iov[2] = { { header, sizeof(header) }, { (void *)payload, len } };

	ntc_frame_write_header(header, type, pass >= 0 ? NTC_FRAME_DESCRIPTOR : 0, id, (uint32_t)len);
	if (ntc_fd_send(fd, iov, len ? 2 : 1, &pass, pass >= 0) < 0)
		return; /* the client went away: some tests want that */
}

#define ANSWER(s, lower, TYPE, id, ...) \
	do { \
		struct ntc_msg_##lower m_ = { __VA_ARGS__ }; \
		uint8_t b_[4096]; \
		struct ntc_writer w_ = ntc_writer(b_, sizeof(b_)); \
		ntc_msg_##lower##_write(&w_, &m_); \
		send_frame((s)->fd, NTC_MSG_##TYPE, id, b_, w_.len, -1); \
	} while (0)

static void greet(struct session *s)
{
	struct ntc_msg_greeting m = { .version = GET(behaviour) == WRONG_VERSION ? 99 : NTC_PROTOCOL_VERSION,
				      .capabilities = NTC_CAN_WRITE,
				      .key_version = 1,
				      .entry_version = 1,
				      .instance = 1,
				      .pid = 4242,
				      .max_body = 1 << 20,
				      .max_inline = 1024 };
	uint8_t b[128];
	struct ntc_writer w = ntc_writer(b, sizeof(b));
	int dir = open(peer.blobs, O_PATH | O_DIRECTORY | O_CLOEXEC);

	ntc_msg_greeting_write(&w, &m);
	if (GET(behaviour) == GARBAGE)
		memset(b, 0xee, sizeof(b));
	send_frame(s->fd, NTC_MSG_GREETING, GET(behaviour) == GARBAGE ? 7 : 0, b, w.len, dir);
	close(dir);
}

static void answer_acquire(struct session *s, uint64_t id)
{
	static const uint8_t image[128];

	switch (GET(behaviour)) {
	case LATE_LEASE:
	case LATER_LEASE:
		s->held = id;
		return;
	case ON_DEMAND:
		s->queue[s->queued++ % 4] = id;
		return;
	case BAD_IMAGE:
		ANSWER(s, entry, ENTRY, id, .size = sizeof(image), .image = ntc_view(image, sizeof(image)));
		return;
	case BUSY_BUT_ONE:
		if (s->held) {
			ANSWER(s, error, ERROR, id, .status = NTC_ST_BUSY, .retry = 1);
			return;
		}
		s->held = id;
		/* fall through */
	default:
		ANSWER(s, lease, LEASE, id, .lease = id + 1000, .time_ns = 60 * NTC_NS_PER_S);
	}
}

static void answer_put(struct session *s, const struct ntc_frame *frame, int fd)
{
	struct ntc_msg_put put;
	bool good = ntc_msg_put_read(frame->payload, &put);
	struct stat st;

	if (good && fd >= 0)
		good = fcntl(fd, F_GET_SEALS) == (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) &&
		       fstat(fd, &st) == 0 && (uint64_t)st.st_size == put.size && !put.body.len;
	else if (good)
		good = put.body.len == put.size;
	SET(put_lease, put.lease);
	COUNT(puts);
	s->held = 0;
	if (good)
		ANSWER(s, stored, STORED, frame->id, .result = NTC_STORED_NEW);
	else
		ANSWER(s, error, ERROR, frame->id, .status = NTC_ST_BAD_DESCRIPTOR);
}

/* False: hang up. */
static bool answer(struct session *s, const struct ntc_frame *frame, int fd)
{
	struct ntc_msg_hello hello;
	struct ntc_msg_hits hits;

	switch (frame->type) {
	case NTC_MSG_HELLO:
		COUNT(hellos);
		if (ntc_msg_hello_read(frame->payload, &hello) && (hello.flags & NTC_HELLO_READ_ONLY))
			COUNT(reads_only);
		return true;
	case NTC_MSG_HITS:
		if (ntc_msg_hits_read(frame->payload, &hits))
			for (size_t i = 0; i < hits.hits.len; i += NTC_HIT_SIZE)
				__atomic_add_fetch(&peer.hits, ntc_load32(hits.hits.p + i + 16),
						   __ATOMIC_SEQ_CST);
		return true;
	case NTC_MSG_SUSPECT:
		COUNT(suspects);
		return true;
	case NTC_MSG_CANCEL:
		COUNT(cancels);
		if (GET(behaviour) == LATE_LEASE && s->held)
			ANSWER(s, lease, LEASE, s->held, .lease = s->held + 1000,
			       .time_ns = 60 * NTC_NS_PER_S);
		if (GET(behaviour) == LATER_LEASE)
			s->later = s->held;
		s->held = 0;
		return true;
	default:
		break;
	}
	switch (GET(behaviour)) {
	case HANG_UP:
		return false;
	case MUTE:
		return true;
	case WRONG_TYPE:
		ANSWER(s, slotted, SLOTTED, frame->id, .shared = 0);
		return true;
	case WRONG_ID:
		ANSWER(s, done, DONE, frame->id + 77, .value = 0);
		return true;
	default:
		break;
	}
	switch (frame->type) {
	case NTC_MSG_ACQUIRE:
		COUNT(acquires);
		answer_acquire(s, frame->id);
		return true;
	case NTC_MSG_PUT:
		answer_put(s, frame, fd);
		return true;
	case NTC_MSG_LOOKUP:
		ANSWER(s, error, ERROR, frame->id, .status = NTC_ST_NOT_FOUND);
		return true;
	case NTC_MSG_EXTEND:
		ANSWER(s, lease, LEASE, frame->id, .lease = 1, .time_ns = 1);
		return true;
	case NTC_MSG_SLOT:
		ANSWER(s, slotted, SLOTTED, frame->id, .shared = 0);
		return true;
	case NTC_MSG_RELEASE:
		COUNT(releases);
		break;
	case NTC_MSG_FAIL:
		COUNT(fails);
		s->held = 0;
		break;
	case NTC_MSG_PING:
		if (s->later)
			ANSWER(s, lease, LEASE, s->later, .lease = s->later + 1000,
			       .time_ns = 60 * NTC_NS_PER_S);
		s->later = 0;
		break;
	default:
		break;
	}
	ANSWER(s, done, DONE, frame->id, .value = 4242);
	return true;
}

/* Read what is there and answer it. False at the end. */
static bool serve(struct session *s)
{
	int fds[4], fd = -1;
	size_t fd_count, used;
	struct ntc_frame frame;
	bool go_on = true;
	ssize_t n;

	if (GET(behaviour) == STOPS_READING) {
		poll(NULL, 0, 1);
		return true;
	}
	n = ntc_fd_recv(s->fd, s->in + s->len, sizeof(s->in) - s->len, fds, 4, &fd_count);
	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	if (fd_count)
		fd = fds[0];
	s->len += (size_t)n;
	while (go_on && ntc_frame_parse(ntc_view(s->in, s->len), &frame, &used) == NTC_ST_OK) {
		go_on = answer(s, &frame, frame.flags & NTC_FRAME_DESCRIPTOR ? fd : -1);
		memmove(s->in, s->in + used, s->len - used);
		s->len -= used;
	}
	if (fd >= 0)
		close(fd);
	return go_on;
}

static void *peer_main(void *arg)
{
	struct session *sessions[16] = { NULL };
	struct pollfd p[18];

	(void)arg;
	for (;;) {
		p[0] = (struct pollfd){ .fd = peer.stop[0], .events = POLLIN };
		p[1] = (struct pollfd){ .fd = peer.listener, .events = POLLIN };
		for (int i = 0; i < 16; i++)
			p[2 + i] =
				(struct pollfd){ .fd = sessions[i] ? sessions[i]->fd : -1, .events = POLLIN };
		poll(p, 18, GET(behaviour) == ON_DEMAND ? 1 : -1);
		for (int i = 0; i < 16; i++)
			for (struct session *s = sessions[i];
			     s && s->answered < s->queued && s->answered < GET(go);) {
				uint64_t id = s->queue[s->answered++ % 4];

				ANSWER(s, lease, LEASE, id, .lease = id + 1000, .time_ns = 60 * NTC_NS_PER_S);
			}
		for (int i = 0; i < 16; i++)
			if (p[2 + i].revents && sessions[i] && (!serve(sessions[i]) || p[0].revents)) {
				close(sessions[i]->fd);
				free(sessions[i]);
				sessions[i] = NULL;
			}
		if (p[0].revents)
			break;
		if (p[1].revents) {
			struct session *s = calloc(1, sizeof(*s));

			s->fd = accept4(peer.listener, NULL, NULL, SOCK_CLOEXEC);
			COUNT(accepted);
			for (int i = 0; i < 16; i++)
				if (!sessions[i]) {
					sessions[i] = s;
					break;
				}
			if (GET(behaviour) != SILENT)
				greet(s);
		}
	}
	for (int i = 0; i < 16; i++)
		if (sessions[i]) {
			close(sessions[i]->fd);
			free(sessions[i]);
		}
	return NULL;
}

static void peer_start(enum behaviour behaviour)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	SET(behaviour, behaviour);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", peer.socket);
	unlink(peer.socket);
	peer.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(peer.listener, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert_int_eq(listen(peer.listener, 16), 0);
	ck_assert_int_eq(pipe2(peer.stop, O_CLOEXEC), 0);
	ck_assert_int_eq(pthread_create(&peer.thread, NULL, peer_main, NULL), 0);
}

static void peer_stop(void)
{
	ck_assert_int_eq(write(peer.stop[1], "x", 1), 1);
	pthread_join(peer.thread, NULL);
	close(peer.listener);
	close(peer.stop[0]);
	close(peer.stop[1]);
	unlink(peer.socket);
}

/* Run a command line; its exit code. */
static int shell(const char *command)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static void setup(void)
{
	memset(&peer, 0, sizeof(peer));
	snprintf(peer.dir, sizeof(peer.dir), "/tmp/ntc-conn-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(peer.dir));
	snprintf(peer.socket, sizeof(peer.socket), "%s/s.sock", peer.dir);
	snprintf(peer.blobs, sizeof(peer.blobs), "%s/blobs", peer.dir);
	ck_assert_int_eq(mkdir(peer.blobs, 0700), 0);
	setenv("NTCACHE_SOCKET", peer.socket, 1);
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", peer.dir);
	ck_assert_int_eq(shell(command), 0);
}

/* Wait until the peer has counted so many. */
#define AWAIT(x, n) \
	do { \
		for (int i_ = 0; GET(x) < (n) && i_ < 5000; i_++) \
			poll(NULL, 0, 1); \
		ck_assert_uint_eq(GET(x), (n)); \
	} while (0)

/* --- helpers ------------------------------------------------------------------------------ */

static unsigned lines;
static char last_line[512];

static void log_line(void *ctx, const char *line)
{
	(void)ctx;
	__atomic_add_fetch(&lines, 1, __ATOMIC_SEQ_CST);
	snprintf(last_line, sizeof(last_line), "%s", line);
}

static struct ntc_client *open_client(enum ntc_mode mode)
{
	struct ntc_options options = NTC_OPTIONS_INIT;
	struct ntc_client *client;

	options.mode = mode;
	options.log = log_line;
	lines = 0;
	ck_assert_int_eq(ntc_open(&options, &client), NTC_OK);
	return client;
}

static struct ntc_key *key_of(int x)
{
	struct ntc_key *key = ntc_key_new(NTC_KIND_KERNEL);

	ntc_key_add_int(key, "x", x);
	ck_assert_int_eq(ntc_key_seal(key), NTC_OK);
	return key;
}

static struct ntc_entry *entry_of(const struct ntc_key *key, size_t size)
{
	char *data = calloc(1, size);
	struct ntc_part_data part = { "binary", data, size };
	struct ntc_entry *entry;

	ck_assert_int_eq(ntc_entry_new(key, NULL, &part, 1, &entry), NTC_OK);
	free(data);
	return entry;
}

/* Put an entry's image where the daemon would; `damage` flips a bit of its data. */
static void plant(const struct ntc_key *name_key, struct ntc_entry *entry, bool damage)
{
	struct ntc_digest digest = ntc_key_digest_of(name_key);
	struct ntc_stamp stamp = { .uid = 1 };
	uint8_t stamp_bytes[NTC_STAMP_SIZE], *copy;
	char hex[NTC_DIGEST_TEXT_SIZE], path[256];
	const void *body;
	size_t len;
	FILE *f;

	ntc_digest_text(&digest, hex);
	snprintf(path, sizeof(path), "%s/%.2s", peer.blobs, hex);
	(void)mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/%.2s/%s", peer.blobs, hex, hex);
	body = ntc_entry_body(entry, &len);
	copy = malloc(len);
	memcpy(copy, body, len);
	if (damage)
		copy[len - 64] ^= 1;
	ntc_stamp_write(&stamp, &entry->body.checksum, stamp_bytes);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fwrite(copy, 1, len, f);
	fwrite(stamp_bytes, 1, sizeof(stamp_bytes), f);
	fclose(f);
	free(copy);
}

static double seconds_since(uint64_t began)
{
	return (double)(ntc_clock_mono_ns() - began) / 1e9;
}

/* --- tests -------------------------------------------------------------------------------- */

START_TEST(test_no_daemon)
{
	struct ntc_client *client = open_client(NTC_MODE_ON);
	struct ntc_key *key = key_of(1);
	struct ntc_entry *entry = entry_of(key, 10), *none;
	struct ntc_answer answer;

	ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_ALONE);
	ck_assert_uint_gt(strlen(answer.why), 0);
	ck_assert_uint_eq(lines, 1);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_ALONE);
	ck_assert_uint_eq(lines, 1);
	ck_assert_int_eq(ntc_ping(client, 100, NULL), NTC_E_NO_DAEMON);
	ck_assert_uint_gt(strlen(ntc_last_error()), 0);
	ck_assert_int_eq(ntc_lookup(client, key, 100, &none), NTC_E_NO_DAEMON);
	ck_assert_int_eq(ntc_put(client, NULL, entry, 0), NTC_E_NO_DAEMON);
	ck_assert_int_eq(ntc_sync(client, 100), NTC_OK);
	ck_assert_int_eq(ntc_slot(NULL, 100), NTC_ALONE);
	ck_assert_int_eq(ntc_fail(NULL, NTC_TRANSIENT, NULL, 0), NTC_OK);
	ntc_release(NULL);
	ntc_entry_unref(entry);
	ntc_key_free(key);
	ntc_close(client);
	ntc_close(NULL);
}
END_TEST

START_TEST(test_ping_and_puts)
{
	struct ntc_client *client = open_client(NTC_MODE_ON);
	struct ntc_key *key = key_of(1);
	struct ntc_entry *small = entry_of(key, 10), *large = entry_of(key, 50000),
			 *huge = entry_of(key, 2 << 20);
	struct ntc_answer answer;
	uint64_t pid;

	peer_start(WELL);
	ck_assert_int_eq(ntc_ping(client, 1000, &pid), NTC_OK);
	ck_assert_uint_eq(pid, 4242);
	ck_assert_int_eq(ntc_put(client, NULL, small, 1), NTC_OK);
	ck_assert_uint_eq(GET(put_lease), 0);
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_MAKE);
	ck_assert_int_eq(ntc_slot(answer.lease, 100), NTC_OK);
	ck_assert_int_eq(ntc_extend(answer.lease, 100), NTC_OK);
	ck_assert_int_eq(ntc_put(client, answer.lease, large, 1), NTC_OK);
	ck_assert_uint_gt(GET(put_lease), 1000);
	answer.lease = NULL;
	/* Too large for this daemon: refused here, and the lease is given back. */
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_MAKE);
	ck_assert_int_eq(ntc_put(client, answer.lease, huge, 1), NTC_E_TOO_LARGE);
	AWAIT(releases, 1);
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_MAKE);
	ck_assert_int_eq(ntc_fail(answer.lease, NTC_DETERMINISTIC, "bad", 3), NTC_OK);
	ck_assert_uint_eq(GET(fails), 1);
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_MAKE);
	ntc_answer_clear(&answer);
	ck_assert_uint_eq(GET(releases), 2);
	ck_assert_int_eq(ntc_sync(client, 1000), NTC_OK);
	ck_assert_uint_eq(GET(accepted), 1);
	ntc_entry_unref(small), ntc_entry_unref(large), ntc_entry_unref(huge);
	ntc_key_free(key);
	ntc_close(client);
	peer_stop();
}
END_TEST

/* A peer that talks nonsense: the connection ends, the worker goes on, and is told. */
START_TEST(test_nonsense)
{
	static const enum behaviour kinds[] = { WRONG_VERSION, GARBAGE, WRONG_TYPE, WRONG_ID };
	struct ntc_client *client = open_client(NTC_MODE_ON);
	struct ntc_key *key = key_of(1);
	struct ntc_answer answer;

	peer_start(kinds[_i]);
	ck_assert_int_eq(ntc_ping(client, 1000, NULL), NTC_E_PROTOCOL);
	ck_assert_uint_gt(strlen(ntc_last_error()), 5);
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_ALONE);
	ck_assert_uint_gt(strlen(answer.why), 5);
	ntc_key_free(key);
	ntc_close(client);
	peer_stop();
}
END_TEST

START_TEST(test_silent_peer)
{
	struct ntc_client *client = open_client(NTC_MODE_ON);
	uint64_t began = ntc_clock_mono_ns();

	peer_start(SILENT);
	ck_assert_int_eq(ntc_ping(client, 300, NULL), NTC_E_TIMEOUT);
	ck_assert(seconds_since(began) < 1.5);
	/* A caller in a hurry is no reason not to try again. */
	SET(behaviour, WELL);
	ck_assert_int_eq(ntc_ping(client, 1000, NULL), NTC_OK);
	SET(behaviour, MUTE);
	began = ntc_clock_mono_ns();
	ck_assert_int_eq(ntc_ping(client, 200, NULL), NTC_E_TIMEOUT);
	ck_assert(seconds_since(began) < 1.0);
	/* The answer that never came does not disturb the next. */
	SET(behaviour, WELL);
	ck_assert_int_eq(ntc_ping(client, 1000, NULL), NTC_OK);
	ck_assert_uint_eq(GET(accepted), 2);
	ntc_close(client);
	peer_stop();
}
END_TEST

START_TEST(test_hang_up_and_restart)
{
	struct ntc_client *client = open_client(NTC_MODE_ON);
	struct ntc_key *key = key_of(1);
	struct ntc_entry *entry = entry_of(key, 10);
	struct ntc_answer answer;

	peer_start(HANG_UP);
	/* Asked twice, then alone. */
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_ALONE);
	ck_assert_uint_eq(GET(accepted), 2);
	SET(behaviour, WELL);
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_MAKE);
	peer_stop();
	peer_start(WELL);
	/* The lease went with its connection; the put goes without it. */
	ck_assert_int_eq(ntc_extend(answer.lease, 100), NTC_E_LEASE);
	ck_assert_int_eq(ntc_put(client, answer.lease, entry, 1), NTC_OK);
	ck_assert_uint_eq(GET(put_lease), 0);
	/* Nobody knows of puts to a daemon that went away. */
	peer_stop();
	peer_start(WELL);
	ck_assert_int_eq(ntc_sync(client, 1000), NTC_E_NO_DAEMON);
	ck_assert_int_eq(ntc_sync(client, 1000), NTC_OK);
	ck_assert_int_eq(ntc_put(client, NULL, entry, 1), NTC_OK);
	ck_assert_int_eq(ntc_sync(client, 1000), NTC_OK);
	ntc_entry_unref(entry);
	ntc_key_free(key);
	ntc_close(client);
	peer_stop();
}
END_TEST

START_TEST(test_backoff)
{
	struct ntc_client *client = open_client(NTC_MODE_ON);
	uint64_t began;

	ck_assert_int_eq(ntc_ping(client, 1000, NULL), NTC_E_NO_DAEMON);
	began = ntc_clock_mono_ns();
	peer_start(WELL);
	while (ntc_ping(client, 1000, NULL) != NTC_OK) {
		ck_assert(seconds_since(began) < 3);
		poll(NULL, 0, 10);
	}
	ck_assert(seconds_since(began) > 0.8);
	ck_assert_uint_eq(GET(accepted), 1);
	ntc_close(client);
	peer_stop();
}
END_TEST

/* A lease that crosses with the cancel is used ... */
START_TEST(test_cancel_crosses_lease)
{
	struct ntc_acquire_options options = NTC_ACQUIRE_OPTIONS_INIT;
	struct ntc_client *client = open_client(NTC_MODE_ON);
	struct ntc_key *key = key_of(1);
	struct ntc_answer answer;

	peer_start(LATE_LEASE);
	options.timeout_ms = 50;
	ck_assert_int_eq(ntc_acquire(client, key, &options, &answer), NTC_MAKE);
	ck_assert_uint_eq(GET(cancels), 1);
	ntc_release(answer.lease);
	ck_assert_uint_eq(GET(releases), 1);
	/* ... and one that comes even later is given back. */
	SET(behaviour, LATER_LEASE);
	ck_assert_int_eq(ntc_acquire(client, key, &options, &answer), NTC_ALONE);
	ck_assert_str_eq(answer.why, "the longest wait was over");
	ck_assert_uint_eq(GET(cancels), 2);
	ck_assert_int_eq(ntc_ping(client, 1000, NULL), NTC_OK);
	AWAIT(releases, 2);
	ck_assert_int_eq(ntc_ping(client, 1000, NULL), NTC_OK);
	ck_assert_uint_eq(GET(accepted), 1);
	ntc_key_free(key);
	ntc_close(client);
	peer_stop();
}
END_TEST

START_TEST(test_modes)
{
	struct ntc_key *key = key_of(1);
	struct ntc_entry *entry = entry_of(key, 10), *got;
	struct ntc_answer answer;
	struct ntc_client *client;

	peer_start(WELL);
	plant(key, entry, false);
	client = open_client(NTC_MODE_OFF);
	ck_assert_int_eq(ntc_lookup(client, key, 100, &got), NTC_MISS);
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_ALONE);
	ck_assert_int_eq(ntc_put(client, NULL, entry, 0), NTC_OK);
	ck_assert_uint_eq(GET(accepted), 0);
	ntc_close(client);

	setenv("NTCACHE", "readonly", 1);
	client = open_client(NTC_MODE_DEFAULT);
	ck_assert_int_eq(ntc_lookup(client, key, 1000, &got), NTC_OK);
	ntc_entry_unref(got);
	ck_assert_int_eq(ntc_put(client, NULL, entry, 0), NTC_E_DENIED);
	ck_assert_int_eq(ntc_remove(client, key, 100), NTC_E_DENIED);
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_OK);
	ntc_answer_clear(&answer);
	ntc_key_free(key);
	key = key_of(2);
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_ALONE);
	ck_assert_str_eq(answer.why, "mode readonly");
	ck_assert_uint_eq(GET(acquires), 0);
	ck_assert_uint_eq(GET(reads_only), 1);
	ntc_close(client);
	ntc_key_free(key);

	key = key_of(1);
	setenv("NTCACHE", "refresh", 1);
	client = open_client(NTC_MODE_DEFAULT);
	ck_assert_int_eq(ntc_lookup(client, key, 1000, &got), NTC_MISS);
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_MAKE);
	ck_assert_int_eq(ntc_put(client, answer.lease, entry, 0), NTC_OK);
	ntc_close(client);
	setenv("NTCACHE", "sometimes", 1);
	ck_assert_int_eq(ntc_open(NULL, &client), NTC_E_INVALID);
	ck_assert_ptr_null(client);
	ntc_entry_unref(entry);
	ntc_key_free(key);
	peer_stop();
}
END_TEST

static void assert_logged(const char *path, const char *what)
{
	char buf[8192] = "";
	FILE *f = fopen(path, "r");

	ck_assert_ptr_nonnull(f);
	buf[fread(buf, 1, sizeof(buf) - 1, f)] = '\0';
	fclose(f);
	ck_assert_msg(strstr(buf, what), "no \"%s\" in:\n%s", what, buf);
}

START_TEST(test_files)
{
	struct ntc_key *key = key_of(1), *bad = key_of(2), *foreign = key_of(3), *none = key_of(4);
	struct ntc_entry *entry = entry_of(key, 100), *bad_entry = entry_of(bad, 100), *got;
	struct ntc_client *client;
	char log[128];

	snprintf(log, sizeof(log), "%s/misses", peer.dir);
	setenv("NTCACHE_LOG", log, 1);
	client = open_client(NTC_MODE_ON);
	peer_start(WELL);
	plant(key, entry, false);
	plant(bad, bad_entry, true);
	plant(foreign, entry, false);
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(ntc_lookup(client, key, 1000, &got), NTC_OK);
		ck_assert_int_eq(ntc_entry_source(got), NTC_FROM_FILE);
		ck_assert_uint_eq((uintptr_t)ntc_entry_part(got, 0).data % 64, 0);
		ntc_entry_unref(got);
	}
	ck_assert_uint_eq(GET(hits), 0);
	ntc_report(client);
	AWAIT(hits, 5);
	ck_assert_int_eq(ntc_lookup(client, bad, 1000, &got), NTC_MISS);
	AWAIT(suspects, 1);
	assert_logged(log, "damaged file: the image does not match its checksum");
	ck_assert_int_eq(ntc_lookup(client, foreign, 1000, &got), NTC_MISS);
	AWAIT(suspects, 2);
	assert_logged(log, "another entry's name");
	ck_assert_int_eq(ntc_lookup(client, none, 1000, &got), NTC_MISS);
	assert_logged(log, " kernel ");
	assert_logged(log, "not found\n");
	/* Without a daemon the files go on being read. */
	peer_stop();
	ck_assert_int_eq(ntc_lookup(client, key, 1000, &got), NTC_OK);
	ntc_entry_unref(got);
	/* What was counted comes with the last report. */
	peer_start(WELL);
	ntc_close(client);
	AWAIT(hits, 6);
	ck_assert_uint_eq(GET(accepted), 2);
	ntc_entry_unref(entry), ntc_entry_unref(bad_entry);
	ntc_key_free(key), ntc_key_free(bad), ntc_key_free(foreign), ntc_key_free(none);
	peer_stop();
}
END_TEST

/* A log that is a named pipe without a reader holds nobody up. */
START_TEST(test_log_is_pipe)
{
	struct ntc_key *key = key_of(1);
	struct ntc_client *client;
	struct ntc_entry *got;
	char log[128];

	snprintf(log, sizeof(log), "%s/pipe", peer.dir);
	ck_assert_int_eq(mkfifo(log, 0600), 0);
	setenv("NTCACHE_LOG", log, 1);
	client = open_client(NTC_MODE_ON);
	peer_start(WELL);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(ntc_lookup(client, key, 1000, &got), NTC_MISS);
	ck_assert_uint_eq(lines, 1);
	ck_assert_msg(strstr(last_line, "cannot write the log of misses"), "%s", last_line);
	ntc_close(client);
	ntc_key_free(key);
	peer_stop();
}
END_TEST

START_TEST(test_bad_image_from_daemon)
{
	struct ntc_client *client = open_client(NTC_MODE_ON);
	struct ntc_key *key = key_of(1);
	struct ntc_answer answer;

	peer_start(BAD_IMAGE);
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_ALONE);
	AWAIT(suspects, 1);
	ck_assert_ptr_nonnull(strstr(answer.why, "image"));
	ntc_key_free(key);
	ntc_close(client);
	peer_stop();
}
END_TEST

/* --- many --------------------------------------------------------------------------------- */

struct many {
	struct ntc_client *client;
	struct ntc_key *keys[40];
	unsigned made, known, alone, calls, stop_at;
};

static bool make_one(void *ctx, size_t i, struct ntc_answer *answer)
{
	struct many *m = ctx;
	struct ntc_entry *entry;

	m->calls++;
	switch (answer->err) {
	case NTC_OK:
		m->known++;
		break;
	case NTC_MAKE:
		entry = entry_of(m->keys[i], 10);
		ck_assert_int_eq(ntc_put(m->client, answer->lease, entry, 1), NTC_OK);
		answer->lease = NULL;
		ntc_entry_unref(entry);
		m->made++;
		break;
	case NTC_ALONE:
		m->alone++;
		break;
	default:
		ck_abort_msg("unexpected %s", ntc_err_name(answer->err));
	}
	return m->calls != m->stop_at;
}

START_TEST(test_many)
{
	struct many m = { .client = open_client(NTC_MODE_ON) };

	peer_start(_i ? BUSY_BUT_ONE : WELL);
	for (int i = 0; i < 40; i++)
		m.keys[i] = key_of(i);
	for (int i = 0; i < 40; i += 4) {
		struct ntc_entry *entry = entry_of(m.keys[i], 10);

		plant(m.keys[i], entry, false);
		ntc_entry_unref(entry);
	}
	ck_assert_int_eq(
		ntc_acquire_many(m.client, (const struct ntc_key *const *)m.keys, 40, NULL, make_one, &m),
		NTC_OK);
	ck_assert_uint_eq(m.known, 10);
	ck_assert_uint_eq(m.made, 30);
	ck_assert_uint_eq(m.calls, 40);
	ck_assert_int_eq(ntc_acquire_many(m.client, NULL, 0, NULL, make_one, &m), NTC_OK);
	if (_i == 0) {
		/* Stopped at the first lease: the others, which are on their way, are given back. */
		m.calls = 0;
		m.stop_at = 11;
		ck_assert_int_eq(ntc_acquire_many(m.client, (const struct ntc_key *const *)m.keys, 40, NULL,
						  make_one, &m),
				 NTC_MISS);
		ck_assert_uint_eq(m.calls, 11);
		AWAIT(releases, 29);
	}
	for (int i = 0; i < 40; i++)
		ntc_key_free(m.keys[i]);
	ntc_close(m.client);
	peer_stop();
}
END_TEST

/* --- threads, forks ----------------------------------------------------------------------- */

static void *hammer(void *arg)
{
	struct ntc_client *client = arg;
	struct ntc_key *key = key_of(5), *planted = key_of(6);
	struct ntc_entry *large = entry_of(key, 100000), *got;

	for (int i = 0; i < 60; i++) {
		struct ntc_answer answer;

		ck_assert_int_eq(ntc_ping(client, 10000, NULL), NTC_OK);
		ck_assert_int_eq(ntc_lookup(client, planted, 10000, &got), NTC_OK);
		ntc_entry_unref(got);
		ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_MAKE);
		ck_assert_int_eq(ntc_put(client, answer.lease, large, 1), NTC_OK);
	}
	ntc_entry_unref(large);
	ntc_key_free(key), ntc_key_free(planted);
	return NULL;
}

START_TEST(test_threads)
{
	struct ntc_client *client = open_client(NTC_MODE_ON);
	struct ntc_key *planted = key_of(6);
	struct ntc_entry *entry = entry_of(planted, 100);
	pthread_t threads[8];

	peer_start(WELL);
	plant(planted, entry, false);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, hammer, client), 0);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(GET(puts), 480);
	ck_assert_uint_eq(GET(accepted), 1);
	ntc_entry_unref(entry);
	ntc_key_free(planted);
	ntc_close(client);
	peer_stop();
}
END_TEST

static void *acquire_one(void *arg)
{
	struct ntc_acquire_options options = NTC_ACQUIRE_OPTIONS_INIT;
	struct ntc_key *key = key_of(7);
	struct ntc_answer answer;

	options.timeout_ms = 3000;
	ck_assert_int_eq(ntc_acquire(arg, key, &options, &answer), NTC_MAKE);
	ntc_lease_free(answer.lease);
	ntc_key_free(key);
	return NULL;
}

static void await_waiters(struct ntc_client *client, unsigned n)
{
	for (unsigned seen = 0, i = 0; seen != n && i < 5000; i++) {
		seen = 0;
		pthread_mutex_lock(&client->conn->lock);
		for (struct ntc_waiter *w = client->conn->waiters; w; w = w->next)
			seen++;
		pthread_mutex_unlock(&client->conn->lock);
		poll(NULL, 0, 1);
	}
}

/* The reader has its answer and leaves: the thread that waits behind it reads on. */
START_TEST(test_reading_is_passed_on)
{
	struct ntc_client *client = open_client(NTC_MODE_ON);
	pthread_t first, second;

	peer_start(ON_DEMAND);
	ck_assert_int_eq(ntc_ping(client, 1000, NULL), NTC_OK);
	ck_assert_int_eq(pthread_create(&first, NULL, acquire_one, client), 0);
	AWAIT(acquires, 1);
	await_waiters(client, 1);
	ck_assert_int_eq(pthread_create(&second, NULL, acquire_one, client), 0);
	AWAIT(acquires, 2);
	await_waiters(client, 2);
	SET(go, 1);
	pthread_join(first, NULL);
	SET(go, 2);
	pthread_join(second, NULL);
	ck_assert_uint_eq(GET(cancels), 0);
	ntc_close(client);
	peer_stop();
}
END_TEST

/* Both sides' buffers full: nobody waits for the other. */
START_TEST(test_stops_reading)
{
	struct ntc_client *client = open_client(NTC_MODE_ON);
	struct ntc_key *key = ntc_key_new(NTC_KIND_KERNEL);
	static char big[900000];
	struct ntc_entry *got;
	uint64_t began;

	ntc_key_add_bytes(key, "big", big, sizeof(big));
	ck_assert_int_eq(ntc_key_seal(key), NTC_OK);
	peer_start(WELL);
	ck_assert_int_eq(ntc_ping(client, 1000, NULL), NTC_OK);
	SET(behaviour, STOPS_READING);
	began = ntc_clock_mono_ns();
	ck_assert_int_eq(ntc_lookup(client, key, 300, &got), NTC_E_TIMEOUT);
	ck_assert(seconds_since(began) < 1.5);
	/* It was cut in the middle of a frame: the connection is of no use any more. */
	SET(behaviour, WELL);
	ck_assert_int_eq(ntc_ping(client, 1000, NULL), NTC_OK);
	ck_assert_uint_eq(GET(accepted), 2);
	ntc_key_free(key);
	ntc_close(client);
	peer_stop();
}
END_TEST

static int in_child(struct ntc_client *client, const struct ntc_key *key, struct ntc_lease *lease)
{
	struct ntc_entry *entry = entry_of(key, 10);
	struct ntc_answer answer;
	uint64_t pid;

	if (ntc_extend(lease, 10) != NTC_E_LEASE || ntc_slot(lease, 10) != NTC_ALONE)
		return 1;
	if (ntc_ping(client, 1000, &pid) != NTC_OK || pid != 4242)
		return 2;
	if (ntc_put(client, lease, entry, 1) != NTC_E_LEASE)
		return 3;
	if (ntc_acquire(client, key, NULL, &answer) != NTC_MAKE ||
	    ntc_put(client, answer.lease, entry, 1) != NTC_OK)
		return 4;
	ntc_entry_unref(entry);
	ntc_close(client);
	return 0;
}

START_TEST(test_fork)
{
	struct ntc_client *client = open_client(NTC_MODE_ON);
	struct ntc_key *key = key_of(1);
	struct ntc_answer answer;
	int status;
	pid_t pid;

	peer_start(WELL);
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_MAKE);
	/* As if another thread were in the middle of a call. */
	pthread_mutex_lock(&client->lock);
	pthread_mutex_lock(&client->conn->lock);
	pid = fork();
	if (pid == 0)
		_exit(in_child(client, key, answer.lease));
	pthread_mutex_unlock(&client->conn->lock);
	pthread_mutex_unlock(&client->lock);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_eq(GET(accepted), 2);
	/* The parent's connection and lease are as they were. */
	ck_assert_int_eq(ntc_extend(answer.lease, 10), NTC_OK);
	ck_assert_uint_eq(GET(releases), 0);
	ntc_release(answer.lease);
	ck_assert_uint_eq(GET(releases), 1);
	ck_assert_uint_eq(GET(accepted), 2);
	ntc_key_free(key);
	ntc_close(client);
	peer_stop();
}
END_TEST

START_TEST(test_lease_after_close)
{
	struct ntc_client *client = open_client(NTC_MODE_ON);
	struct ntc_key *key = key_of(1);
	struct ntc_answer a, b;

	peer_start(WELL);
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &a), NTC_MAKE);
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &b), NTC_MAKE);
	ntc_close(client);
	ck_assert_int_eq(ntc_extend(a.lease, 10), NTC_E_LEASE);
	ntc_release(a.lease);
	ck_assert_int_eq(ntc_fail(b.lease, NTC_TRANSIENT, NULL, 0), NTC_E_LEASE);
	ntc_key_free(key);
	peer_stop();
}
END_TEST

/* --- fetch -------------------------------------------------------------------------------- */

struct fetch {
	enum ntc_err outcome;
	unsigned calls;
	bool had_lease, had_slot;
};

static enum ntc_err make(void *ctx, const struct ntc_make *what, struct ntc_entry **entry, char **log)
{
	struct fetch *f = ctx;

	f->calls++;
	f->had_lease = what->lease;
	f->had_slot = what->has_slot;
	if (f->outcome == NTC_OK)
		*entry = entry_of(what->key, 10);
	else
		*log = strdup("what went wrong");
	return f->outcome == NTC_E_IO ? ntc_explain(NTC_E_IO, "no disk") : f->outcome;
}

START_TEST(test_fetch)
{
	struct ntc_client *client = open_client(NTC_MODE_ON);
	struct ntc_key *key = key_of(1);
	struct ntc_entry *entry;
	struct fetch f = { 0 };
	char *log;

	/* No daemon: made all the same. */
	ck_assert_int_eq(ntc_fetch(client, key, NULL, make, &f, &entry, NULL), NTC_OK);
	ck_assert(!f.had_lease && !f.had_slot);
	ntc_entry_unref(entry);
	ntc_close(client);
	client = open_client(NTC_MODE_ON);
	peer_start(WELL);
	ck_assert_int_eq(ntc_fetch(client, key, NULL, make, &f, &entry, &log), NTC_OK);
	ck_assert(f.had_lease && f.had_slot);
	ck_assert_ptr_null(log);
	ck_assert_uint_eq(GET(puts), 1);
	ntc_entry_unref(entry);
	f.outcome = NTC_FAILED;
	ck_assert_int_eq(ntc_fetch(client, key, NULL, make, &f, &entry, &log), NTC_FAILED);
	ck_assert_str_eq(log, "what went wrong");
	ck_assert_ptr_null(entry);
	free(log);
	ck_assert_uint_eq(GET(fails), 1);
	f.outcome = NTC_E_IO;
	ck_assert_int_eq(ntc_fetch(client, key, NULL, make, &f, &entry, NULL), NTC_E_IO);
	ck_assert_str_eq(ntc_last_error(), "no disk");
	ck_assert_uint_eq(GET(fails), 2);
	ck_assert_uint_eq(f.calls, 4);
	ntc_key_free(key);
	ntc_close(client);
	peer_stop();
}
END_TEST

/* --- whom to trust ------------------------------------------------------------------------ */

START_TEST(test_trust)
{
	char path[100];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(path, sizeof(path), "%s/d/s", peer.dir);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	snprintf(path, sizeof(path), "%s/d", peer.dir);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	ck_assert(ntc_discover_trusted(address.sun_path, geteuid()));
	ck_assert(ntc_discover_trusted(address.sun_path, 0));
	ck_assert(!ntc_discover_trusted(address.sun_path, 12345));
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(address.sun_path, 12345, (gid_t)-1), 0);
		ck_assert(ntc_discover_trusted(address.sun_path, 12345));
		ck_assert(!ntc_discover_trusted(address.sun_path, 12346));
		/* Where everybody may put a socket, its owner proves nothing. */
		chmod(path, 01777);
		ck_assert(!ntc_discover_trusted(address.sun_path, 12345));
		chmod(path, 0755);
		ck_assert_int_eq(chown(path, 12346, (gid_t)-1), 0);
		ck_assert(!ntc_discover_trusted(address.sun_path, 12345));
	}
	close(fd);
	setenv("XDG_RUNTIME_DIR", peer.dir, 1);
	ck_assert(ntc_discover_own(address.sun_path));
	ck_assert_ptr_nonnull(strstr(address.sun_path, "/ntcached/ntcached.sock"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client_conn");
	TCase *tc = tcase_create("conn");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_no_daemon);
	tcase_add_test(tc, test_ping_and_puts);
	tcase_add_loop_test(tc, test_nonsense, 0, 4);
	tcase_add_test(tc, test_silent_peer);
	tcase_add_test(tc, test_hang_up_and_restart);
	tcase_add_test(tc, test_backoff);
	tcase_add_test(tc, test_cancel_crosses_lease);
	tcase_add_test(tc, test_modes);
	tcase_add_test(tc, test_files);
	tcase_add_test(tc, test_log_is_pipe);
	tcase_add_test(tc, test_bad_image_from_daemon);
	tcase_add_loop_test(tc, test_many, 0, 2);
	tcase_add_test(tc, test_threads);
	tcase_add_test(tc, test_reading_is_passed_on);
	tcase_add_test(tc, test_stops_reading);
	tcase_add_test(tc, test_fork);
	tcase_add_test(tc, test_lease_after_close);
	tcase_add_test(tc, test_fetch);
	tcase_add_test(tc, test_trust);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
