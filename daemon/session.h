/*
 * One connection: bytes in, frames to the owner; answers queued and sent. Knows nothing of what messages mean.
 *
 * Everything is bounded (daemon/limits.h): input to one frame, descriptors received, requests a turn, bytes unsent.
 * A session that is over is told to its owner once and freed in the next turn of the loop, so a callback never
 * frees what it runs on. One thread: the event loop's.
 */
#ifndef NTC_DAEMON_SESSION_H
#define NTC_DAEMON_SESSION_H

#include <sys/queue.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/compiler.h"
#include "proto/frame.h"
#include "proto/message.h"

struct event;
struct event_base;
struct ntc_session;

/* Who is at the other end, from the kernel at accept. */
struct ntc_peer {
	pid_t pid;              /* 0 if it is in another pid namespace */
	uid_t uid;
	gid_t gid;
	char exe[96];           /* its executable; the end of the path where too long; "" if unknown */
};

/* Whether it is the operator: the daemon's own user, or root. */
static inline bool ntc_peer_operates(const struct ntc_peer *peer)
{
	return peer->uid == 0 || peer->uid == geteuid();
}

struct ntc_session_ops {
	/* A frame came. `fd` is its descriptor or -1; it stays the session's, which closes it afterwards. */
	void (*frame)(void *ctx, struct ntc_session *session, const struct ntc_frame *frame, int fd);
	/* The peer sends no more, but may read what it is still owed. The session finishes. */
	void (*hung_up)(void *ctx, struct ntc_session *session);
	/* Whether answers are still to come. */
	bool (*owes)(void *ctx, struct ntc_session *session);
	/* The connection or its process ended. The session must not be used afterwards. */
	void (*ended)(void *ctx, struct ntc_session *session);
	void *ctx;
	uint64_t *unsent;       /* bytes that all sessions together have not sent yet; borrowed */
};

/*
 * Take over an accepted socket. On failure (NULL, errno) it is closed. `number` is never used twice. The owner
 * sends the greeting.
 */
struct ntc_session *ntc_session_new(struct event_base *base, int fd, uint64_t number,
				    const struct ntc_session_ops *ops);

uint64_t ntc_session_number(const struct ntc_session *session);
const struct ntc_peer *ntc_session_peer(const struct ntc_session *session);

/* What the owner keeps with it. */
void ntc_session_set_data(struct ntc_session *session, void *data);
void *ntc_session_data(const struct ntc_session *session);

/* The peer said HELLO; without that a session ends after NTC_SESSION_HELLO_NS. */
void ntc_session_greeted(struct ntc_session *session);

/*
 * Queue a frame of `len` payload bytes and return where they go (to be filled before the next call), or NULL if
 * the session is over or has to be ended for want of memory or of reading its answers. A descriptor (-1: none) is dup'ed.
 */
uint8_t *ntc_session_send(struct ntc_session *session, unsigned type, uint64_t id, size_t len, int fd);

/* End it once everything owed is sent (limited time). Nothing more is read. */
void ntc_session_finish(struct ntc_session *session, const char *why);

/* End it now. */
void ntc_session_end(struct ntc_session *session, const char *why);

/* Whether it no longer takes requests. */
bool ntc_session_finishing(const struct ntc_session *session);

/* Whether there is something unsent. */
bool ntc_session_unsent(const struct ntc_session *session);

/* Free what has ended. For the owner, when the loop has stopped. */
void ntc_session_free(struct ntc_session *session);

#endif
