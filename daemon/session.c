/*
 * One connection; see session.h.
 *
 *     OPEN ──finish──► FINISHING ──all sent, or its time is over──┐
 *       ├────────────peer closed, process ended, error────────────┤
 *       └──no memory, does not read──► DOOMED ──next turn────────► ENDED ──next turn──► freed
 *
 * Reading stops while NTC_SESSION_OUTPUT_PAUSE bytes are unsent: a peer that does not read its answers sends
 * no more requests. Answers to what it asked before still queue, up to NTC_SESSION_OUTPUT_MAX.
 *
 * A peer's process may end while a forked child keeps the connection open: the pidfd taken at accept tells. What the
 * process had sent before is still read.
 */
#include "daemon/session.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdpass.h"
#include "daemon/limits.h"
#include "daemon/log.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

enum state {
	OPEN,           /* requests are read, answers sent */
	FINISHING,      /* answers are sent */
	DOOMED,         /* nothing, until its owner can be told */
	ENDED,          /* its owner was told; freed in the next turn */
};

/* A frame on its way out. */
struct packet {
	TAILQ_ENTRY(packet) link;
	int fd;                 /* sent with the first byte, then closed; -1: none */
	size_t len, sent;
	uint8_t bytes[];
};

struct ntc_session {
	enum state state;
	int fd, pidfd;
	uint64_t number;
	struct ntc_peer peer;
	struct ntc_session_ops ops;
	void *data;
	struct event *readable, *writable, *process, *again, *linger, *ending;
	uint8_t *input;
	size_t input_len, input_size, input_used;
	int fds[NTC_SESSION_FDS_MAX];
	size_t fd_count;
	TAILQ_HEAD(, packet) output;
	size_t unsent;
	bool paused;            /* not reading, for what is unsent */
	bool gone;              /* the process had ended before it was accepted */
};

static void set_state(struct ntc_session *s, enum state state, const char *why)
{
	static const char *const names[] = { "open", "finishing", "doomed", "ended" };

	ntc_log(NTC_LOG_DEBUG, "connection %" PRIu64 " (pid %d): %s: %s", s->number, (int)s->peer.pid, names[state],
		why);
	s->state = state;
}

/* Count bytes that are waiting to be sent, or no longer. */
static void unsent_add(struct ntc_session *s, size_t bytes)
{
	s->unsent += bytes;
	*s->ops.unsent += bytes;
}

static void unsent_less(struct ntc_session *s, size_t bytes)
{
	s->unsent -= bytes;
	*s->ops.unsent -= bytes;
}

static void close_received(struct ntc_session *s)
{
	while (s->fd_count)
		close(s->fds[--s->fd_count]);
}

void ntc_session_free(struct ntc_session *s)
{
	struct packet *p;

	if (!s)
		return;
	while ((p = TAILQ_FIRST(&s->output))) {
		TAILQ_REMOVE(&s->output, p, link);
		if (p->fd >= 0)
			close(p->fd);
		free(p);
	}
	unsent_less(s, s->unsent);
	close_received(s);
	if (s->readable)
		event_free(s->readable);
	if (s->writable)
		event_free(s->writable);
	if (s->process)
		event_free(s->process);
	if (s->again)
		event_free(s->again);
	if (s->linger)
		event_free(s->linger);
	if (s->ending)
		event_free(s->ending);
	if (s->pidfd >= 0)
		close(s->pidfd);
	if (s->fd >= 0)
		close(s->fd);
	free(s->input);
	free(s);
}

static void on_free(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	ntc_session_free(arg);
}

void ntc_session_end(struct ntc_session *s, const char *why)
{
	if (s->state == ENDED)
		return;
	set_state(s, ENDED, why);
	event_del(s->readable);
	event_del(s->writable);
	event_del(s->again);
	event_del(s->linger);
	if (s->process)
		event_del(s->process);
	/* The peer sees the end now, not in the next turn. */
	shutdown(s->fd, SHUT_RDWR);
	s->ops.ended(s->ops.ctx, s);
	/* When everybody who may be using it has returned; needs no memory. */
	event_active(s->ending, EV_TIMEOUT, 1);
}

/* --- output ------------------------------------------------------------------------------- */

static void packet_done(struct ntc_session *s, struct packet *p)
{
	TAILQ_REMOVE(&s->output, p, link);
	if (p->fd >= 0)
		close(p->fd);
	free(p);
}

/* What is sent at once: the bytes of some packets, with all their descriptors. */
struct batch {
	struct iovec iov[NTC_SESSION_SEND_PACKETS];
	int iov_count;
	int fds[NTC_FD_SEND_MAX];
	size_t fd_count;
};

static void gather(const struct ntc_session *s, struct batch *batch)
{
	struct packet *p;

	batch->iov_count = 0;
	batch->fd_count = 0;
	TAILQ_FOREACH(p, &s->output, link) {
		if (batch->iov_count == NTC_SESSION_SEND_PACKETS || (p->fd >= 0 && batch->fd_count == NTC_FD_SEND_MAX))
			return;
		if (p->fd >= 0)
			batch->fds[batch->fd_count++] = p->fd;
		batch->iov[batch->iov_count++] =
			(struct iovec){ .iov_base = p->bytes + p->sent, .iov_len = p->len - p->sent };
	}
}

/* `n` bytes of a batch are sent, and with the first of them all its descriptors. */
static void sent(struct ntc_session *s, const struct batch *batch, size_t n)
{
	size_t fds = batch->fd_count;
	struct packet *p;

	for (p = TAILQ_FIRST(&s->output); fds; p = TAILQ_NEXT(p, link))
		if (p->fd >= 0) {
			close(p->fd);
			p->fd = -1;
			unsent_less(s, NTC_PACKET_FD_BYTES);
			fds--;
		}
	unsent_less(s, n);
	while (n) {
		size_t left;

		p = TAILQ_FIRST(&s->output);
		left = p->len - p->sent;
		p->sent += n < left ? n : left;
		n -= n < left ? n : left;
		if (p->sent == p->len)
			packet_done(s, p);
	}
}

static void flush(struct ntc_session *s)
{
	while ((s->state == OPEN || s->state == FINISHING) && !TAILQ_EMPTY(&s->output)) {
		struct batch batch;
		ssize_t n;

		gather(s, &batch);
		n = ntc_fd_send(s->fd, batch.iov, batch.iov_count, batch.fds, batch.fd_count);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			event_add(s->writable, NULL);
			return;
		}
		if (n < 0) {
			ntc_session_end(s, "the peer is gone");
			return;
		}
		sent(s, &batch, (size_t)n);
	}
	if (s->state == FINISHING && !s->ops.owes(s->ops.ctx, s))
		ntc_session_end(s, "all is sent");
	if (s->state == OPEN && s->paused) {
		s->paused = false;
		event_add(s->readable, NULL);
		event_active(s->again, EV_TIMEOUT, 1);
	}
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	flush(arg);
}

/*
 * End it in the next turn: answers are queued from deep inside flights and slots, which must not be told of a
 * connection's end in the middle of what they do.
 */
static void end_soon(struct ntc_session *s, const char *why)
{
	set_state(s, DOOMED, why);
	event_del(s->readable);
	event_active(s->linger, EV_TIMEOUT, 1);
}

uint8_t *ntc_session_send(struct ntc_session *s, unsigned type, uint64_t id, size_t len, int fd)
{
	struct packet *p;
	int copy = -1;

	if (s->state != OPEN && s->state != FINISHING)
		return NULL;
	if (s->unsent > NTC_SESSION_OUTPUT_MAX || *s->ops.unsent > NTC_OUTPUT_MAX) {
		ntc_log(NTC_LOG_WARNING, "pid %d does not read its answers: connection closed", (int)s->peer.pid);
		end_soon(s, "too much is unsent");
		return NULL;
	}
	if (fd >= 0 && (copy = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0) {
		end_soon(s, "out of descriptors");
		return NULL;
	}
	p = len <= NTC_FRAME_MAX ? malloc(sizeof(*p) + NTC_FRAME_HEADER + len) : NULL;
	if (!p) {
		if (copy >= 0)
			close(copy);
		end_soon(s, "no memory for an answer");
		return NULL;
	}
	*p = (struct packet){ .fd = copy, .len = NTC_FRAME_HEADER + len };
	ntc_frame_write_header(p->bytes, type, copy >= 0 ? NTC_FRAME_DESCRIPTOR : 0, id, (uint32_t)len);
	TAILQ_INSERT_TAIL(&s->output, p, link);
	unsent_add(s, p->len + (copy >= 0 ? NTC_PACKET_FD_BYTES : 0));
	/* Sent when the caller has filled it: in this turn of the loop, together with what else it brings. */
	event_active(s->writable, EV_WRITE, 1);
	return p->bytes + NTC_FRAME_HEADER;
}

bool ntc_session_finishing(const struct ntc_session *s)
{
	return s->state != OPEN;
}

bool ntc_session_unsent(const struct ntc_session *s)
{
	return !TAILQ_EMPTY(&s->output);
}

static void on_linger(evutil_socket_t fd, short what, void *arg)
{
	struct ntc_session *s = arg;

	(void)fd;
	(void)what;
	ntc_session_end(s, s->state == OPEN ? "no HELLO in time" : "its answers can't be sent");
}

void ntc_session_greeted(struct ntc_session *s)
{
	if (s->state == OPEN)
		event_del(s->linger);
}

void ntc_session_finish(struct ntc_session *s, const char *why)
{
	struct timeval limit = { .tv_sec = NTC_SESSION_LINGER_NS / NTC_NS_PER_S };

	if (s->state != OPEN)
		return;
	set_state(s, FINISHING, why);
	event_del(s->readable);
	event_del(s->again);
	event_add(s->linger, &limit);
	event_active(s->writable, EV_WRITE, 1);
}

/* --- input -------------------------------------------------------------------------------- */

/* Room for the rest of the frame that `need` bytes in all make; false without memory. */
static bool make_room(struct ntc_session *s, size_t need)
{
	uint8_t *bigger;

	if (s->input_used) {
		memmove(s->input, s->input + s->input_used, s->input_len - s->input_used);
		s->input_len -= s->input_used;
		s->input_used = 0;
	}
	if (need < NTC_SESSION_INPUT_MIN)
		need = NTC_SESSION_INPUT_MIN;
	/* Behind a large frame its memory is given back. */
	if (s->input_len == 0 && s->input_size > 16 * NTC_SESSION_INPUT_MIN && need <= s->input_size / 4) {
		free(s->input);
		s->input = NULL;
		s->input_size = 0;
	}
	if (need <= s->input_size)
		return true;
	bigger = realloc(s->input, need);
	if (!bigger)
		return false;
	s->input = bigger;
	s->input_size = need;
	return true;
}

/* The descriptor of a frame: the oldest received, or -1. */
static int take_received(struct ntc_session *s)
{
	int fd = s->fd_count ? s->fds[0] : -1;

	if (fd >= 0) {
		s->fd_count--;
		memmove(s->fds, s->fds + 1, s->fd_count * sizeof(s->fds[0]));
	}
	return fd;
}

/*
 * Handle the frames that are there, at most `budget`. Returns the bytes that the next one needs in all, or 0 if
 * the budget ran out or the session is no longer open.
 */
static size_t handle_frames(struct ntc_session *s, unsigned *budget)
{
	while (s->state == OPEN && s->unsent < NTC_SESSION_OUTPUT_PAUSE) {
		struct ntc_frame frame;
		size_t used;
		enum ntc_status st = ntc_frame_parse(
			ntc_view(s->input + s->input_used, s->input_len - s->input_used), &frame, &used);
		int fd = -1;

		if (st == NTC_ST_NOT_FOUND)
			return used;
		if (st) {
			ntc_session_end(s, "a malformed frame");
			return 0;
		}
		if (*budget == 0)
			return 0;
		(*budget)--;
		if (frame.flags & NTC_FRAME_DESCRIPTOR) {
			fd = take_received(s);
			if (fd < 0) {
				ntc_session_end(s, "a frame without its descriptor");
				return 0;
			}
		}
		s->ops.frame(s->ops.ctx, s, &frame, fd);
		if (fd >= 0)
			close(fd);
		s->input_used += used;
	}
	return 0;
}

/* The end of the input: of the connection, or only of what the peer sends. */
static void on_end_of_input(struct ntc_session *s)
{
	struct pollfd p = { .fd = s->fd };

	if (poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR))) {
		ntc_session_end(s, "closed by the peer");
		return;
	}
	ntc_session_finish(s, "the peer sends no more");
	s->ops.hung_up(s->ops.ctx, s);
}

/* Read and handle. Returns true when the socket has nothing more for now. */
static bool read_some(struct ntc_session *s, unsigned budget)
{
	for (;;) {
		size_t need = handle_frames(s, &budget), got_fds;
		ssize_t n;

		if (s->state != OPEN)
			return true;
		if (need == 0) {
			s->paused = s->unsent >= NTC_SESSION_OUTPUT_PAUSE;
			if (s->paused)
				event_del(s->readable);
			else
				event_active(s->again, EV_TIMEOUT, 1);
			return false;
		}
		if (!make_room(s, need)) {
			ntc_session_end(s, "no memory for a request");
			return true;
		}
		n = ntc_fd_recv(s->fd, s->input + s->input_len, s->input_size - s->input_len, s->fds + s->fd_count,
				NTC_SESSION_FDS_MAX - s->fd_count, &got_fds);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		s->fd_count += got_fds;
		if (n < 0)
			ntc_session_end(s, "the peer is gone");
		else if (n == 0)
			on_end_of_input(s);
		if (s->state != OPEN)
			return true;
		s->input_len += (size_t)n;
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	read_some(arg, NTC_SESSION_FRAMES);
}

/* The process at the other end is gone; a child may have the connection. What the process sent is handled. */
static void on_process(evutil_socket_t fd, short what, void *arg)
{
	struct ntc_session *s = arg;

	(void)fd;
	(void)what;
	if (s->state == DOOMED)
		return; /* it ends by itself */
	if (s->state == OPEN)
		read_some(s, NTC_SESSION_REQUESTS_MAX);
	ntc_session_end(s, "its process ended");
}

/* --- making ------------------------------------------------------------------------------- */

/* Who is there, and a descriptor of the process that can't be mistaken for another one's. */
static void identify(struct ntc_session *s)
{
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	char link[64], path[4096];
	ssize_t n;

	if (getsockopt(s->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		cred.uid = cred.gid = (uid_t)-1;
	s->peer = (struct ntc_peer){ .pid = cred.pid, .uid = cred.uid, .gid = cred.gid };
	len = sizeof(s->pidfd);
	if (cred.pid > 0 && getsockopt(s->fd, SOL_SOCKET, SO_PEERPIDFD, &s->pidfd, &len)) {
		/*
		 * An older kernel. If the process ended and its number was given away meanwhile this is another
		 * one: then its connection has ended as well, or a child of it holds it and no lease yet.
		 */
		bool known = errno != ENOPROTOOPT;

		s->pidfd = known ? -1 : pidfd_open(cred.pid, 0);
		/* It has ended; what it sent is still to be handled. */
		s->gone = known ? errno == ESRCH || errno == EINVAL : s->pidfd < 0 && errno == ESRCH;
	}
	snprintf(link, sizeof(link), "/proc/%d/exe", (int)cred.pid);
	n = cred.pid > 0 ? readlink(link, path, sizeof(path) - 1) : -1;
	if (n > 0) {
		size_t room = sizeof(s->peer.exe) - 1, skip = (size_t)n > room ? (size_t)n - room : 0;

		memcpy(s->peer.exe, path + skip, (size_t)n - skip);
	}
}

struct ntc_session *ntc_session_new(struct event_base *base, int fd, uint64_t number,
				    const struct ntc_session_ops *ops)
{
	struct timeval hello = { .tv_sec = NTC_SESSION_HELLO_NS / NTC_NS_PER_S };
	struct ntc_session *s = calloc(1, sizeof(*s));

	if (!s) {
		close(fd);
		return NULL;
	}
	s->fd = fd;
	s->pidfd = -1;
	s->number = number;
	s->ops = *ops;
	TAILQ_INIT(&s->output);
	identify(s);
	s->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, s);
	s->writable = event_new(base, fd, EV_WRITE, on_writable, s);
	s->again = event_new(base, -1, 0, on_readable, s);
	s->linger = event_new(base, -1, 0, on_linger, s);
	s->ending = event_new(base, -1, 0, on_free, s);
	if (s->pidfd >= 0 || s->gone)
		s->process = event_new(base, s->pidfd, EV_READ, on_process, s);
	if (!s->readable || !s->writable || !s->again || !s->linger || !s->ending || ((s->pidfd >= 0 || s->gone) && !s->process) ||
	    event_add(s->readable, NULL) || event_add(s->linger, &hello) ||
	    (s->pidfd >= 0 && event_add(s->process, NULL))) {
		ntc_session_free(s);
		errno = ENOMEM;
		return NULL;
	}
	if (s->gone)
		event_active(s->process, EV_READ, 1);
	set_state(s, OPEN, s->peer.exe);
	return s;
}

uint64_t ntc_session_number(const struct ntc_session *s)
{
	return s->number;
}

const struct ntc_peer *ntc_session_peer(const struct ntc_session *s)
{
	return &s->peer;
}

void ntc_session_set_data(struct ntc_session *s, void *data)
{
	s->data = data;
}

void *ntc_session_data(const struct ntc_session *s)
{
	return s->data;
}
