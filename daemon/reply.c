/* Answers; see reply.h. */
#include "daemon/reply.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* A function that measures, queues and writes one kind of message. */
#define SENDER(lower, UPPER) \
	static void send_##lower(struct ntc_session *session, uint64_t id, const struct ntc_msg_##lower *m, int fd) \
	{ \
		struct ntc_writer w = ntc_writer(NULL, 0); \
		uint8_t *at; \
\
		ntc_msg_##lower##_write(&w, m); \
		at = ntc_session_send(session, NTC_MSG_##UPPER, id, w.len, fd); \
		if (!at) \
			return; \
		w = ntc_writer(at, w.len); \
		ntc_msg_##lower##_write(&w, m); \
	}

SENDER(greeting, GREETING)
SENDER(done, DONE)
SENDER(error, ERROR)
SENDER(entry, ENTRY)
SENDER(lease, LEASE)
SENDER(failed, FAILED)
SENDER(stored, STORED)
SENDER(slotted, SLOTTED)
SENDER(rows, ROWS)
SENDER(shown, SHOWN)
SENDER(counters, COUNTERS)
SENDER(verified, VERIFIED)
SENDER(collected, COLLECTED)
SENDER(segment, SEGMENT)

void ntc_reply_greeting(struct ntc_session *session, const struct ntc_msg_greeting *greeting, int blob_dir)
{
	send_greeting(session, 0, greeting, blob_dir);
}

void ntc_reply_segment(struct ntc_session *session, uint64_t size, int fd)
{
	struct ntc_msg_segment m = { .size = size };

	send_segment(session, 0, &m, fd);
}

void ntc_reply_done(struct ntc_session *session, uint64_t id, uint64_t value)
{
	struct ntc_msg_done m = { .value = value };

	send_done(session, id, &m, -1);
}

void ntc_reply_error(struct ntc_session *session, uint64_t id, enum ntc_status st, const char *text)
{
	struct ntc_msg_error m = { .status = st, .retry = ntc_status_retry(st) };

	if (!text)
		text = ntc_status_text(st);
	m.text = ntc_view(text, strlen(text));
	send_error(session, id, &m, -1);
}

/* --- images ------------------------------------------------------------------------------- */

/* A memfd with the image that nobody can change; -1 with errno. */
static int image_fd(const struct ntc_buffer *image)
{
	int fd = memfd_create("ntcached-entry", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t at = 0;

	while (fd >= 0 && at < image->len) {
		ssize_t n = write(fd, image->bytes + at, image->len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			close(fd);
			return -1;
		}
		at += (size_t)n;
	}
	if (fd >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		close(fd);
		return -1;
	}
	return fd;
}

void ntc_outgoing_release(struct ntc_outgoing *outgoing)
{
	if (outgoing->made)
		close(outgoing->fd);
	outgoing->made = false;
	outgoing->fd = -1;
}

/* Decide how the image travels: the view to put inside, or empty with *fd set. False: no descriptor to be had. */
static bool outgoing_prepare(struct ntc_outgoing *outgoing, struct ntc_view *inside, int *fd)
{
	*inside = ntc_view(NULL, 0);
	*fd = -1;
	if (outgoing->image->len <= NTC_INLINE_MAX) {
		*inside = ntc_view(outgoing->image->bytes, outgoing->image->len);
		return true;
	}
	if (outgoing->fd < 0) {
		outgoing->fd = image_fd(outgoing->image);
		outgoing->made = outgoing->fd >= 0;
	}
	*fd = outgoing->fd;
	return *fd >= 0;
}

void ntc_reply_entry_inside(struct ntc_session *session, uint64_t id, uint32_t flags, struct ntc_view image)
{
	struct ntc_msg_entry m = { .flags = flags, .size = image.len, .image = image };

	send_entry(session, id, &m, -1);
}

void ntc_reply_entry(struct ntc_session *session, uint64_t id, uint32_t flags, struct ntc_outgoing *outgoing)
{
	struct ntc_msg_entry m = { .flags = flags, .size = outgoing->image->len };
	int fd;

	if (outgoing_prepare(outgoing, &m.image, &fd))
		send_entry(session, id, &m, fd);
	else
		ntc_reply_error(session, id, NTC_ST_NO_FILES, NULL);
}

void ntc_reply_shown(struct ntc_session *session, uint64_t id, const struct ntc_row *row,
		     struct ntc_outgoing *outgoing)
{
	struct ntc_msg_shown m = { .size = outgoing->image->len };
	uint8_t packed[NTC_ROW_SIZE];
	struct ntc_writer w = ntc_writer(packed, sizeof(packed));
	int fd;

	ntc_row_write(&w, row);
	m.row = ntc_view(packed, w.len);
	if (outgoing_prepare(outgoing, &m.image, &fd))
		send_shown(session, id, &m, fd);
	else
		ntc_reply_error(session, id, NTC_ST_NO_FILES, NULL);
}

/* --- the rest ----------------------------------------------------------------------------- */

void ntc_reply_lease(struct ntc_session *session, uint64_t id, uint64_t lease, uint64_t time_ns, uint32_t flags)
{
	struct ntc_msg_lease m = { .lease = lease, .time_ns = time_ns, .flags = flags };

	send_lease(session, id, &m, -1);
}

void ntc_reply_failed(struct ntc_session *session, uint64_t id, uint64_t age_ns, struct ntc_view log)
{
	struct ntc_msg_failed m = { .age_ns = age_ns, .log = log };

	send_failed(session, id, &m, -1);
}

void ntc_reply_stored(struct ntc_session *session, uint64_t id, enum ntc_stored result)
{
	struct ntc_msg_stored m = { .result = result };

	send_stored(session, id, &m, -1);
}

void ntc_reply_slotted(struct ntc_session *session, uint64_t id, bool shared)
{
	struct ntc_msg_slotted m = { .shared = shared };

	send_slotted(session, id, &m, -1);
}

void ntc_reply_rows(struct ntc_session *session, uint64_t id, const struct ntc_row *rows, size_t count, bool more)
{
	uint8_t packed[NTC_ROWS_MAX * NTC_ROW_SIZE];
	struct ntc_writer w = ntc_writer(packed, sizeof(packed));
	struct ntc_msg_rows m = { .more = more };

	for (size_t i = 0; i < count && i < NTC_ROWS_MAX; i++)
		ntc_row_write(&w, &rows[i]);
	m.rows = ntc_view(packed, w.len);
	send_rows(session, id, &m, -1);
}

void ntc_reply_verified(struct ntc_session *session, uint64_t id, enum ntc_status st, uint64_t size, const char *text)
{
	struct ntc_msg_verified m = { .status = st, .size = size, .text = ntc_view(text, text ? strlen(text) : 0) };

	send_verified(session, id, &m, -1);
}

void ntc_reply_collected(struct ntc_session *session, uint64_t id, const struct ntc_collected *result)
{
	struct ntc_msg_collected m = { .entries = result->entries, .bytes = result->bytes, .files = result->files };

	send_collected(session, id, &m, -1);
}

void ntc_reply_counters(struct ntc_session *session, uint64_t id, struct ntc_view counters)
{
	struct ntc_msg_counters m = { .counters = counters };

	send_counters(session, id, &m, -1);
}
