/*
 * Answers: each encodes one message and queues it. A session that is gone is passed over in silence.
 */
#ifndef NTC_DAEMON_REPLY_H
#define NTC_DAEMON_REPLY_H

#include "daemon/session.h"
#include "proto/message.h"
#include "store/buffer.h"
#include "store/store.h"

/*
 * An image that is answered, perhaps to many: inside the frame if small, else as a descriptor. `fd` is the blob file, or -1:
 * then a sealed memfd is made at first need and kept here until ntc_outgoing_release().
 */
struct ntc_outgoing {
	struct ntc_buffer *image;       /* borrowed */
	int fd;                         /* borrowed unless made here */
	bool made;
};
void ntc_outgoing_release(struct ntc_outgoing *outgoing);

void ntc_reply_greeting(struct ntc_session *session, const struct ntc_msg_greeting *greeting, int blob_dir);
void ntc_reply_segment(struct ntc_session *session, uint64_t size, int fd);
void ntc_reply_done(struct ntc_session *session, uint64_t id, uint64_t value);
/* `text` NULL: what ntc_status_text() says. */
void ntc_reply_error(struct ntc_session *session, uint64_t id, enum ntc_status st, const char *text);
/* An image of at most NTC_INLINE_MAX bytes, copied. */
void ntc_reply_entry_inside(struct ntc_session *session, uint64_t id, uint32_t flags, struct ntc_view image);
void ntc_reply_entry(struct ntc_session *session, uint64_t id, uint32_t flags, struct ntc_outgoing *outgoing);
void ntc_reply_lease(struct ntc_session *session, uint64_t id, uint64_t lease, uint64_t time_ns, uint32_t flags);
void ntc_reply_failed(struct ntc_session *session, uint64_t id, uint64_t age_ns, struct ntc_view log);
void ntc_reply_stored(struct ntc_session *session, uint64_t id, enum ntc_stored result);
void ntc_reply_slotted(struct ntc_session *session, uint64_t id, bool shared);
void ntc_reply_rows(struct ntc_session *session, uint64_t id, const struct ntc_row *rows, size_t count, bool more);
void ntc_reply_shown(struct ntc_session *session, uint64_t id, const struct ntc_row *row,
		     struct ntc_outgoing *outgoing);
/* `text` NULL: none. */
void ntc_reply_verified(struct ntc_session *session, uint64_t id, enum ntc_status st, uint64_t size, const char *text);
void ntc_reply_collected(struct ntc_session *session, uint64_t id, const struct ntc_collected *result);
void ntc_reply_counters(struct ntc_session *session, uint64_t id, struct ntc_view counters);

#endif
