/* A connection: sending, reading by turns, dispatching answers; see conn.h. */
#include "client/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/fdpass.h"
#include "client/errmap.h"
#include "client/explain.h"

#define IN_START (64u << 10)
#define IN_MAX (NTC_FRAME_HEADER + (size_t)NTC_FRAME_MAX)

void ntc_reply_clear(struct ntc_reply *reply)
{
	if (reply->fd >= 0)
		close(reply->fd);
	free(reply->bytes);
	*reply = (struct ntc_reply)NTC_REPLY_INIT;
}

static void cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	/* None of these fails on Linux. */
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

void ntc_waiter_init(struct ntc_waiter *waiter)
{
	*waiter = (struct ntc_waiter){ .done = NULL };
	waiter->done_tail = &waiter->done;
	cond_init(&waiter->cond);
}

void ntc_waiter_release(struct ntc_waiter *waiter)
{
	pthread_cond_destroy(&waiter->cond);
}

struct ntc_dir *ntc_dir_ref(struct ntc_dir *dir)
{
	if (dir)
		__atomic_add_fetch(&dir->refs, 1, __ATOMIC_RELAXED);
	return dir;
}

void ntc_dir_unref(struct ntc_dir *dir)
{
	if (!dir || __atomic_sub_fetch(&dir->refs, 1, __ATOMIC_ACQ_REL))
		return;
	close(dir->fd);
	free(dir);
}

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / NTC_NS_PER_S),
				  .tv_nsec = (long)(ns % NTC_NS_PER_S) };
}

/* --- the table of unanswered requests (lock held) ----------------------------------------- */

static void table_add(struct ntc_conn *conn, struct ntc_request *request)
{
	struct ntc_request **bucket = &conn->table[request->id % NTC_REQUEST_BUCKETS];

	request->next = *bucket;
	*bucket = request;
}

/* Take the request of that id out of the table, or NULL. */
static struct ntc_request *table_take(struct ntc_conn *conn, uint64_t id)
{
	for (struct ntc_request **at = &conn->table[id % NTC_REQUEST_BUCKETS]; *at; at = &(*at)->next) {
		struct ntc_request *request = *at;

		if (request->id != id)
			continue;
		*at = request->next;
		request->next = NULL;
		return request;
	}
	return NULL;
}

/* --- dying (lock held) -------------------------------------------------------------------- */

static void NTC_PRINTF(3, 4) die(struct ntc_conn *conn, enum ntc_err err, const char *fmt, ...)
{
	va_list args;

	if (conn->err)
		return;
	conn->err = err;
	va_start(args, fmt);
	vsnprintf(conn->reason, sizeof(conn->reason), fmt, args);
	va_end(args);
	/* Wakes a reader in poll(); the descriptor is closed with the last reference. */
	shutdown(conn->fd, SHUT_RDWR);
	for (size_t i = 0; i < NTC_REQUEST_BUCKETS; i++) {
		struct ntc_request *next;

		for (struct ntc_request *request = conn->table[i]; request; request = next) {
			next = request->next;
			request->next = NULL;
			if (request->abandoned)
				free(request);
		}
		conn->table[i] = NULL;
	}
	conn->unwanted_count = 0;
	for (struct ntc_waiter *waiter = conn->waiters; waiter; waiter = waiter->next)
		pthread_cond_signal(&waiter->cond);
	pthread_cond_broadcast(&conn->write_cond);
}

static enum ntc_err explain_death(const struct ntc_conn *conn)
{
	return conn->err ? ntc_explain(conn->err, "%s", conn->reason) : NTC_OK;
}

/* --- frames in (lock held) ---------------------------------------------------------------- */

/* What is done with a lease that nobody waits for any more: remembered here, released by flush_unwanted(). */
static void keep_unwanted(struct ntc_conn *conn, struct ntc_view payload)
{
	struct ntc_msg_lease lease;

	if (!ntc_msg_lease_read(payload, &lease)) {
		die(conn, NTC_E_PROTOCOL, "a malformed LEASE");
		return;
	}
	if (conn->unwanted_count == conn->unwanted_cap) {
		size_t cap = conn->unwanted_cap ? 2 * conn->unwanted_cap : 16;
		uint64_t *p = realloc(conn->unwanted, cap * sizeof(*p));

		if (!p) {
			/* Without memory to give it back, hanging up does. */
			die(conn, NTC_E_NO_MEMORY, "out of memory");
			return;
		}
		conn->unwanted = p;
		conn->unwanted_cap = cap;
	}
	conn->unwanted[conn->unwanted_count++] = lease.lease;
}

static void take_greeting(struct ntc_conn *conn, const struct ntc_frame *frame, int fd)
{
	struct stat st;

	if (frame->type != NTC_MSG_GREETING || frame->id != 0 ||
	    !ntc_msg_greeting_read(frame->payload, &conn->greeting)) {
		die(conn, NTC_E_PROTOCOL, "the daemon did not greet");
		return;
	}
	if (conn->greeting.version != NTC_PROTOCOL_VERSION) {
		die(conn, NTC_E_PROTOCOL,
		    "the daemon speaks protocol %u, this library %u: update the older one",
		    conn->greeting.version, NTC_PROTOCOL_VERSION);
		return;
	}
	conn->greeted = conn->greeting.segment_version == 0;
	if (fd < 0 || fstat(fd, &st) || !S_ISDIR(st.st_mode))
		return;
	conn->dir = malloc(sizeof(*conn->dir));
	if (!conn->dir)
		return;
	*conn->dir = (struct ntc_dir){ .refs = 1, .fd = fcntl(fd, F_DUPFD_CLOEXEC, 3) };
	if (conn->dir->fd < 0) {
		free(conn->dir);
		conn->dir = NULL;
	}
}

/* Behind the greeting. One that cannot be used is done without. */
static void take_segment(struct ntc_conn *conn, const struct ntc_frame *frame, int fd)
{
	struct ntc_msg_segment segment;

	if (frame->type != NTC_MSG_SEGMENT || frame->id != 0 || !ntc_msg_segment_read(frame->payload, &segment)) {
		die(conn, NTC_E_PROTOCOL, "the daemon did not hand over its segment");
		return;
	}
	conn->greeted = true;
	if (fd >= 0 && conn->greeting.segment_version == NTC_SEGMENT_VERSION)
		conn->mapping = ntc_mapping_new(fd, segment.size, conn->greeting.instance);
}

static void take_unasked(struct ntc_conn *conn, const struct ntc_frame *frame)
{
	struct ntc_msg_error error;

	if (frame->type == NTC_MSG_ERROR && ntc_msg_error_read(frame->payload, &error)) {
		enum ntc_err err = ntc_err_from_status(error.status);

		die(conn, err < 0 ? err : NTC_E_PROTOCOL, "the daemon says %s: %.*s",
		    ntc_status_name(error.status), (int)(error.text.len < 200 ? error.text.len : 200),
		    (const char *)error.text.p);
		return;
	}
	die(conn, NTC_E_PROTOCOL, "the daemon sent %s unasked", ntc_message_name(frame->type));
}

/* Give a frame to whom it is for. Takes `fd` (-1: none). */
static void take_frame(struct ntc_conn *conn, const struct ntc_frame *frame, int fd)
{
	struct ntc_request *request;

	if (!conn->greeted && frame->type != NTC_MSG_ERROR) {
		if (conn->greeting.version == 0)
			take_greeting(conn, frame, fd);
		else
			take_segment(conn, frame, fd);
		goto out;
	}
	if (frame->id == 0) {
		take_unasked(conn, frame);
		goto out;
	}
	request = table_take(conn, frame->id);
	if (!request) {
		die(conn, NTC_E_PROTOCOL, "the daemon answered what was not asked (%s)",
		    ntc_message_name(frame->type));
		goto out;
	}
	if (request->abandoned) {
		if (frame->type == NTC_MSG_LEASE)
			keep_unwanted(conn, frame->payload);
		free(request);
		goto out;
	}
	request->reply = (struct ntc_reply){
		.type = frame->type, .fd = -1, .len = frame->payload.len, .when_ns = conn->heard_ns
	};
	request->reply.bytes = malloc(frame->payload.len ? frame->payload.len : 1);
	if (!request->reply.bytes) {
		die(conn, NTC_E_NO_MEMORY, "out of memory");
		goto out;
	}
	if (frame->payload.len)
		memcpy(request->reply.bytes, frame->payload.p, frame->payload.len);
	request->reply.fd = fd;
	fd = -1;
	*request->waiter->done_tail = request;
	request->waiter->done_tail = &request->next;
	pthread_cond_signal(&request->waiter->cond);
out:
	if (fd >= 0)
		close(fd);
}

/* The next descriptor that came, for a frame that brings one; -1 if there is none. */
static int take_fd(struct ntc_conn *conn)
{
	int fd;

	if (!conn->fd_count)
		return -1;
	fd = conn->fds[0];
	memmove(conn->fds, conn->fds + 1, --conn->fd_count * sizeof(conn->fds[0]));
	return fd;
}

/* Give out every whole frame that was read; make room for the rest of the last one. */
static void dispatch(struct ntc_conn *conn)
{
	size_t at = 0, used = 0;

	for (;;) {
		struct ntc_frame frame;
		enum ntc_status st =
			ntc_frame_parse(ntc_view(conn->in + at, conn->in_len - at), &frame, &used);
		int fd = -1;

		if (conn->err || st == NTC_ST_NOT_FOUND)
			break;
		if (st) {
			die(conn, NTC_E_PROTOCOL, "the daemon sent a malformed frame");
			break;
		}
		if (frame.flags & NTC_FRAME_DESCRIPTOR) {
			fd = take_fd(conn);
			if (fd < 0) {
				die(conn, NTC_E_PROTOCOL, "a descriptor that was promised did not come");
				break;
			}
		}
		take_frame(conn, &frame, fd);
		at += used;
	}
	if (conn->err)
		return;
	memmove(conn->in, conn->in + at, conn->in_len - at);
	conn->in_len -= at;
	/* A frame can be at most NTC_FRAME_MAX: ntc_frame_parse() refuses larger ones. */
	if (used > conn->in_cap && used <= IN_MAX) {
		uint8_t *p = realloc(conn->in, used);

		if (!p) {
			die(conn, NTC_E_NO_MEMORY, "out of memory");
			return;
		}
		conn->in = p;
		conn->in_cap = used;
	}
}

/* --- one step of waiting ------------------------------------------------------------------ */

/* poll() until `deadline`; what came, 0 at the deadline. Interrupted calls go on. */
static short poll_until(int fd, short events, uint64_t deadline)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = events };
		uint64_t now = ntc_clock_mono_ns();
		struct timespec left = timespec_of(now < deadline ? deadline - now : 0);
		int n = ppoll(&p, 1, &left, NULL);

		if (n > 0)
			return p.revents;
		if (n == 0 || errno != EINTR)
			return 0;
	}
}

/*
 * Wait until something can be done with the socket: bytes to read, unless another thread reads already; room
 * to write if `out`. What is there is read and given out. Called with the lock, which is let go
 * while waiting.
 */
static void step(struct ntc_conn *conn, bool out, uint64_t deadline)
{
	bool reader = !conn->reading;
	size_t fd_count = 0;
	ssize_t got = -1;
	int saved = EAGAIN;
	short came;

	if (reader)
		conn->reading = true;
	pthread_mutex_unlock(&conn->lock);
	came = poll_until(conn->fd, (short)((reader ? POLLIN : 0) | (out ? POLLOUT : 0)), deadline);
	if (reader && (came & ~POLLOUT)) {
		got = ntc_fd_recv(conn->fd, conn->in + conn->in_len, conn->in_cap - conn->in_len,
				  conn->fds + conn->fd_count, NTC_LIMIT_FDS - conn->fd_count, &fd_count);
		saved = errno;
		conn->fd_count += fd_count;
	}
	pthread_mutex_lock(&conn->lock);
	if (!reader)
		return;
	if (got > 0) {
		conn->in_len += (size_t)got;
		conn->heard_ns = ntc_clock_mono_ns();
		dispatch(conn);
	} else if (got == 0) {
		die(conn, NTC_E_NO_DAEMON, "the daemon hung up");
	} else if (saved != EAGAIN && saved != EINTR) {
		die(conn, NTC_E_NO_DAEMON, "reading from the daemon: %s", strerror(saved));
	}
	conn->reading = false;
}

/* Nobody reads now: wake somebody who waits, who will. */
static void pass_reading_on(struct ntc_conn *conn)
{
	if (!conn->reading && conn->waiters)
		pthread_cond_signal(&conn->waiters->cond);
}

/* --- sending ------------------------------------------------------------------------------ */

/* Wait for the turn to write; lock held. */
static enum ntc_err begin_writing(struct ntc_conn *conn, uint64_t deadline)
{
	struct timespec until = timespec_of(deadline);

	while (conn->writing && !conn->err)
		if (pthread_cond_timedwait(&conn->write_cond, &conn->lock, &until) == ETIMEDOUT &&
		    conn->writing)
			return ntc_explain(NTC_E_TIMEOUT, "another thread's request is still being sent");
	if (conn->err)
		return explain_death(conn);
	conn->writing = true;
	return NTC_OK;
}

static void end_writing(struct ntc_conn *conn)
{
	conn->writing = false;
	pthread_cond_signal(&conn->write_cond);
	pass_reading_on(conn);
}

/* Send a whole frame in the turn of begin_writing(); lock held. NTC_E_TIMEOUT only if nothing was sent. */
static enum ntc_err write_frame(struct ntc_conn *conn, unsigned type, uint64_t id, struct ntc_view payload,
				int fd, uint64_t deadline)
{
	uint8_t header[NTC_FRAME_HEADER];
	size_t sent = 0, total = sizeof(header) + payload.len;

	ntc_frame_write_header(header, type, fd >= 0 ? NTC_FRAME_DESCRIPTOR : 0, id, (uint32_t)payload.len);
	while (sent < total && !conn->err) {
		struct iovec iov[2] = {
			{ header + sent, sent < sizeof(header) ? sizeof(header) - sent : 0 },
			{ (uint8_t *)payload.p, payload.len },
		};
		ssize_t n;

		if (sent >= sizeof(header)) {
			iov[0].iov_base = (uint8_t *)payload.p + (sent - sizeof(header));
			iov[0].iov_len = total - sent;
		}
		n = ntc_fd_send(conn->fd, iov, sent < sizeof(header) && payload.len ? 2 : 1, &fd, sent || fd < 0 ? 0 : 1);
		if (n >= 0) {
			sent += (size_t)n;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			if (ntc_clock_mono_ns() >= deadline) {
				if (!sent)
					return ntc_explain(NTC_E_TIMEOUT, "the daemon does not read");
				die(conn, NTC_E_TIMEOUT,
				    "the daemon stopped reading in the middle of a request");
				break;
			}
			step(conn, true, deadline);
		} else if (errno != EINTR) {
			die(conn, NTC_E_NO_DAEMON, "writing to the daemon: %s", strerror(errno));
		}
	}
	return explain_death(conn);
}

/* Give back the leases that came for abandoned requests. Lock held; quietly, at most a moment. */
static void flush_unwanted(struct ntc_conn *conn)
{
	uint64_t deadline;

	if (!conn->unwanted_count || conn->writing || conn->err)
		return;
	deadline = ntc_clock_mono_ns() + NTC_LIMIT_REPORT;
	conn->writing = true;
	while (conn->unwanted_count && !conn->err) {
		struct ntc_msg_release release = { .lease = conn->unwanted[conn->unwanted_count - 1] };
		struct ntc_request *request = calloc(1, sizeof(*request));
		uint8_t bytes[16];
		struct ntc_writer w = ntc_writer(bytes, sizeof(bytes));

		if (!request)
			break;
		conn->unwanted_count--;
		ntc_msg_release_write(&w, &release);
		request->id = ++conn->last_id;
		request->abandoned = true;
		table_add(conn, request);
		if (write_frame(conn, NTC_MSG_RELEASE, request->id, ntc_view(bytes, w.len), -1, deadline) &&
		    !conn->err) {
			/* The daemon does not read: the lease ends with the connection or its time. */
			free(table_take(conn, request->id));
			break;
		}
	}
	end_writing(conn);
	ntc_explain_clear();
}

enum ntc_err ntc_conn_send(struct ntc_conn *conn, unsigned type, struct ntc_view payload, int fd,
			   struct ntc_request *request, uint64_t deadline)
{
	enum ntc_err err;

	if (payload.len > NTC_FRAME_MAX)
		return ntc_explain(NTC_E_TOO_LARGE, "a request of %zu bytes; at most %u", payload.len,
				   NTC_FRAME_MAX);
	pthread_mutex_lock(&conn->lock);
	err = begin_writing(conn, deadline);
	if (!err) {
		if (request) {
			request->id = ++conn->last_id;
			request->reply = (struct ntc_reply)NTC_REPLY_INIT;
			table_add(conn, request);
		}
		err = write_frame(conn, type, request ? request->id : 0, payload, fd, deadline);
		/* Not sent: it has no place in the table. A dead connection's table is empty. */
		if (err && request && !conn->err)
			table_take(conn, request->id);
		end_writing(conn);
	}
	if (err && request)
		request->id = 0;
	pthread_mutex_unlock(&conn->lock);
	return err;
}

/* --- waiting ------------------------------------------------------------------------------ */

static void waiters_remove(struct ntc_conn *conn, struct ntc_waiter *waiter)
{
	for (struct ntc_waiter **at = &conn->waiters; *at; at = &(*at)->next)
		if (*at == waiter) {
			*at = waiter->next;
			return;
		}
}

enum ntc_err ntc_conn_wait(struct ntc_conn *conn, struct ntc_waiter *waiter, uint64_t deadline)
{
	struct timespec until = timespec_of(deadline);
	enum ntc_err err;

	pthread_mutex_lock(&conn->lock);
	waiter->next = conn->waiters;
	conn->waiters = waiter;
	while (!waiter->done && !conn->err) {
		/* At least one look at the socket, also where the time is over already. */
		if (!conn->reading)
			step(conn, false, deadline);
		else
			(void)pthread_cond_timedwait(&waiter->cond, &conn->lock,
						     &until); /* the time is looked at below */
		if (ntc_clock_mono_ns() >= deadline)
			break;
	}
	waiters_remove(conn, waiter);
	flush_unwanted(conn);
	if (waiter->done)
		err = NTC_OK;
	else if (conn->err)
		err = explain_death(conn);
	else
		err = ntc_explain(NTC_E_TIMEOUT, "the daemon did not answer in time");
	pass_reading_on(conn);
	pthread_mutex_unlock(&conn->lock);
	return err;
}

struct ntc_request *ntc_conn_take(struct ntc_conn *conn, struct ntc_waiter *waiter, unsigned not_type)
{
	struct ntc_request *request = NULL;

	pthread_mutex_lock(&conn->lock);
	for (struct ntc_request **at = &waiter->done; *at; at = &(*at)->next) {
		if (not_type && (*at)->reply.type == not_type)
			continue;
		request = *at;
		*at = request->next;
		if (!*at)
			waiter->done_tail = at;
		request->next = NULL;
		request->id = 0;
		break;
	}
	pthread_mutex_unlock(&conn->lock);
	return request;
}

void ntc_conn_abandon(struct ntc_conn *conn, struct ntc_request *request)
{
	struct ntc_request *own;

	pthread_mutex_lock(&conn->lock);
	if (request->id && request->reply.bytes) {
		/* Answered, and still in its waiter's queue. */
		for (struct ntc_request **at = &request->waiter->done; *at; at = &(*at)->next)
			if (*at == request) {
				*at = request->next;
				if (!*at)
					request->waiter->done_tail = at;
				break;
			}
		if (request->reply.type == NTC_MSG_LEASE && !conn->err)
			keep_unwanted(conn, ntc_view(request->reply.bytes, request->reply.len));
		flush_unwanted(conn);
	} else if (request->id && !conn->err && table_take(conn, request->id)) {
		own = calloc(1, sizeof(*own));
		if (own) {
			own->id = request->id;
			own->abandoned = true;
			table_add(conn, own);
		} else {
			/* Its answer would look like one that was not asked for. */
			die(conn, NTC_E_NO_MEMORY, "out of memory");
		}
	}
	pthread_mutex_unlock(&conn->lock);
	if (request->id)
		ntc_reply_clear(&request->reply);
	request->id = 0;
	request->next = NULL;
}

void ntc_conn_probe(struct ntc_conn *conn, uint64_t deadline)
{
	struct ntc_request *request = calloc(1, sizeof(*request));

	if (!request)
		return;
	pthread_mutex_lock(&conn->lock);
	if (begin_writing(conn, deadline)) {
		free(request);
	} else {
		request->id = ++conn->last_id;
		request->abandoned = true;
		table_add(conn, request);
		if (write_frame(conn, NTC_MSG_PING, request->id, ntc_view(NULL, 0), -1, deadline) &&
		    !conn->err)
			free(table_take(conn, request->id));
		end_writing(conn);
	}
	pthread_mutex_unlock(&conn->lock);
}

uint64_t ntc_conn_heard(struct ntc_conn *conn)
{
	uint64_t heard;

	pthread_mutex_lock(&conn->lock);
	heard = conn->heard_ns;
	pthread_mutex_unlock(&conn->lock);
	return heard;
}

/* --- opening and closing ------------------------------------------------------------------ */

enum ntc_err ntc_conn_dead(struct ntc_conn *conn, bool look)
{
	enum ntc_err err;

	pthread_mutex_lock(&conn->lock);
	/* A daemon that went away while nobody was reading shows now. What it sent before is read too. */
	if (look && !conn->err && !conn->reading && !conn->writing)
		step(conn, false, 0);
	flush_unwanted(conn);
	err = explain_death(conn);
	pass_reading_on(conn);
	pthread_mutex_unlock(&conn->lock);
	return err;
}

enum ntc_err ntc_conn_kill(struct ntc_conn *conn, enum ntc_err err, const char *why)
{
	pthread_mutex_lock(&conn->lock);
	die(conn, err, "%s", why);
	pthread_mutex_unlock(&conn->lock);
	return ntc_explain(err, "%s", why);
}

enum ntc_err ntc_conn_open(int fd, const struct ntc_msg_hello *hello, uint64_t deadline,
			   struct ntc_conn **out)
{
	struct ntc_conn *conn = calloc(1, sizeof(*conn));
	uint8_t bytes[16 + NTC_LIMIT_NAME];
	struct ntc_writer w = ntc_writer(bytes, sizeof(bytes));
	enum ntc_err err;

	*out = NULL;
	if (conn)
		conn->in = malloc(IN_START);
	if (!conn || !conn->in) {
		free(conn);
		close(fd);
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	}
	conn->refs = 1;
	conn->fd = fd;
	conn->in_cap = IN_START;
	pthread_mutex_init(&conn->lock, NULL);
	cond_init(&conn->write_cond);

	pthread_mutex_lock(&conn->lock);
	while (!conn->greeted && !conn->err) {
		if (ntc_clock_mono_ns() >= deadline)
			die(conn, NTC_E_TIMEOUT, "the daemon did not greet in time");
		else
			step(conn, false, deadline);
	}
	err = explain_death(conn);
	pthread_mutex_unlock(&conn->lock);
	ntc_msg_hello_write(&w, hello);
	if (!err)
		err = w.bad ? ntc_explain(NTC_E_INVALID, "the program's name is too long")
			    : ntc_conn_send(conn, NTC_MSG_HELLO, ntc_view(bytes, w.len), -1, NULL, deadline);
	if (err) {
		ntc_conn_unref(conn);
		return err;
	}
	*out = conn;
	return NTC_OK;
}

struct ntc_conn *ntc_conn_ref(struct ntc_conn *conn)
{
	__atomic_add_fetch(&conn->refs, 1, __ATOMIC_RELAXED);
	return conn;
}

void ntc_conn_unref(struct ntc_conn *conn)
{
	if (!conn || __atomic_sub_fetch(&conn->refs, 1, __ATOMIC_ACQ_REL))
		return;
	/* Frees the abandoned requests. After a fork there is no descriptor any more. */
	if (conn->fd >= 0) {
		die(conn, NTC_E_NO_DAEMON, "closed");
		close(conn->fd);
	}
	for (size_t i = 0; i < conn->fd_count; i++)
		close(conn->fds[i]);
	ntc_dir_unref(conn->dir);
	ntc_mapping_free(conn->mapping);
	pthread_cond_destroy(&conn->write_cond);
	pthread_mutex_destroy(&conn->lock);
	free(conn->unwanted);
	free(conn->in);
	free(conn);
}

void ntc_conn_forked(struct ntc_conn *conn)
{
	/* The threads that may have held the lock, or waited, are not in this process. */
	pthread_mutex_init(&conn->lock, NULL);
	cond_init(&conn->write_cond);
	close(conn->fd);
	conn->fd = -1;
	conn->err = NTC_E_NO_DAEMON;
	snprintf(conn->reason, sizeof(conn->reason), "the connection is the parent's");
	conn->reading = conn->writing = false;
	conn->waiters = NULL;
	memset(conn->table, 0, sizeof(conn->table));
	conn->unwanted_count = 0;
}
