/*
 * One raw connection to a daemon, for tests that say what no client would: frames go out as they are given, answers
 * come in one by one, everything with a limit of 10 s. Usable in children: nothing here asserts.
 */
#ifndef NTC_TESTS_SUPPORT_WIRE_H
#define NTC_TESTS_SUPPORT_WIRE_H

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fdpass.h"
#include "proto/frame.h"
#include "proto/message.h"

struct wire {
	int fd;                 /* -1: not connected */
	uint8_t *in;            /* received, of wire_answer()'s last frame and behind it */
	size_t len, used, room;
};

static inline bool wire_open(struct wire *w, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	*w = (struct wire){ .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (w->fd >= 0 && connect(w->fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
		return true;
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	return false;
}

static inline void wire_close(struct wire *w)
{
	if (w->fd >= 0)
		close(w->fd);
	free(w->in);
	*w = (struct wire){ .fd = -1 };
}

/* Send bytes as they are; false if the daemon has closed. */
static inline bool wire_send(struct wire *w, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	while (len) {
		ssize_t n = send(w->fd, at, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

/* Send one frame; `fd` -1, or the descriptor that its flag promises. */
static inline bool wire_frame(struct wire *w, unsigned type, uint64_t id, struct ntc_view payload, int fd)
{
	uint8_t header[NTC_FRAME_HEADER];
	struct iovec iov = { header, sizeof(header) };

	ntc_frame_write_header(header, type, fd >= 0 ? NTC_FRAME_DESCRIPTOR : 0, id, (uint32_t)payload.len);
	return ntc_fd_send(w->fd, &iov, 1, &fd, fd >= 0) == (ssize_t)sizeof(header) && wire_send(w, payload.p, payload.len);
}

/*
 * The next frame from the daemon: 1, *frame borrowed until the next call; 0: it closed; -1: nothing came in time.
 * Descriptors that come along are closed.
 */
static inline int wire_answer(struct wire *w, struct ntc_frame *frame)
{
	w->len -= w->used;
	if (w->len)
		memmove(w->in, w->in + w->used, w->len);
	w->used = 0;
	for (;;) {
		struct pollfd p = { .fd = w->fd, .events = POLLIN };
		size_t need, count;
		int fds[8];
		ssize_t n;

		if (w->in && ntc_frame_parse(ntc_view(w->in, w->len), frame, &need) == NTC_ST_OK) {
			w->used = need;
			return 1;
		}
		if (poll(&p, 1, 10000) == 0)
			return -1;
		if (w->room - w->len < 65536) {
			w->room += 65536 + w->len;
			w->in = realloc(w->in, w->room);
			if (!w->in)
				abort();
		}
		n = ntc_fd_recv(w->fd, w->in + w->len, w->room - w->len, fds, 8, &count);
		while (n >= 0 && count)
			close(fds[--count]);
		if (n <= 0)
			return 0;
		w->len += (size_t)n;
	}
}

/* The daemon closes, whatever it says before. */
static inline bool wire_closes(struct wire *w)
{
	struct ntc_frame frame;
	int got;

	while ((got = wire_answer(w, &frame)) > 0)
		;
	return got == 0;
}

/* Read what the daemon says first: the greeting, and the segment if there is one. */
static inline bool wire_greeting(struct wire *w)
{
	struct ntc_msg_greeting greeting;
	struct ntc_frame frame;

	if (wire_answer(w, &frame) != 1 || frame.type != NTC_MSG_GREETING ||
	    !ntc_msg_greeting_read(frame.payload, &greeting))
		return false;
	return !greeting.segment_version || (wire_answer(w, &frame) == 1 && frame.type == NTC_MSG_SEGMENT);
}

/* Connect, be greeted, say HELLO. */
static inline bool wire_hello(struct wire *w, const char *path)
{
	struct ntc_msg_hello hello = { .version = NTC_PROTOCOL_VERSION, .name = ntc_view("wire", 4) };
	uint8_t payload[256];
	struct ntc_writer writer = ntc_writer(payload, sizeof(payload));

	if (!wire_open(w, path))
		return false;
	ntc_msg_hello_write(&writer, &hello);
	return wire_greeting(w) && wire_frame(w, NTC_MSG_HELLO, 1, ntc_view(payload, writer.len), -1);
}

/* The status of the next answer if that is an ERROR, else -1 (-2 if there is none). */
static inline int wire_error(struct wire *w)
{
	struct ntc_msg_error error;
	struct ntc_frame frame;

	if (wire_answer(w, &frame) != 1)
		return -2;
	return frame.type == NTC_MSG_ERROR && ntc_msg_error_read(frame.payload, &error) ? (int)error.status : -1;
}

#endif
