/*
 * One connection to a daemon: frames out, answers in, any number of requests under way at once.
 *
 * There is no reader thread. A thread that waits for an answer and finds nobody reading becomes the reader: it
 * hands the others their answers as they come, and when its own is there it wakes one of those who still
 * wait, who reads on. A thread that cannot write because the daemon's side is full reads too, so that two
 * full buffers never wait for each other.
 *
 * A connection dies once (`err` says why) and stays dead: at the end of the stream, at an error, at
 * anything the protocol does not allow, or in the middle of a frame that could not be sent in time. Then
 * every waiter returns. What to do next is the caller's business (client.c).
 *
 * Requests belong to their callers; the connection only lists those that are unanswered.
 *
 * Threads: all functions but ntc_conn_open() and ntc_conn_forked() may be called by any thread that holds a reference.
 */
#ifndef NTC_CLIENT_CONN_H
#define NTC_CLIENT_CONN_H

#include <pthread.h>

#include "client/bounds.h"
#include "client/mapping.h"
#include "client/ntcache.h"
#include "proto/message.h"

/* An answer: its type and payload (owned), and the descriptor that came with it (owned) or -1. */
struct ntc_reply {
	unsigned type;
	int fd;
	uint8_t *bytes;
	size_t len;
	uint64_t when_ns;           /* when it came, monotonic */
};

/* Free what a reply holds; accepts a zeroed one only if its fd is -1 (NTC_REPLY_INIT). */
#define NTC_REPLY_INIT { .fd = -1 }
void ntc_reply_clear(struct ntc_reply *reply);

/* One request under way. Zero it, set `waiter`, send it; it must not move until it was answered, or
 * given up with ntc_conn_abandon(), or the connection is dead. */
struct ntc_request {
	uint64_t id;                /* 0 = not sent */
	struct ntc_waiter *waiter;
	struct ntc_reply reply;     /* once answered */
	struct ntc_request *next;   /* in the connection's table, later in the waiter's queue */
	bool abandoned;             /* the connection's own: nobody wants the answer */
};

/* Who waits for the answers of some requests of one connection. Belongs to one call on one thread. */
struct ntc_waiter {
	pthread_cond_t cond;
	struct ntc_request *done, **done_tail;  /* answered, in order of arrival */
	struct ntc_waiter *next;                /* waiting now */
};

void ntc_waiter_init(struct ntc_waiter *waiter);
void ntc_waiter_release(struct ntc_waiter *waiter);

/* A directory descriptor shared by connections and readers. */
struct ntc_dir {
	unsigned refs;              /* atomic */
	int fd;
};
struct ntc_dir *ntc_dir_ref(struct ntc_dir *dir);
void ntc_dir_unref(struct ntc_dir *dir);

#define NTC_REQUEST_BUCKETS 64u

struct ntc_conn {
	unsigned refs;              /* atomic */
	/* set before it is shared, never changed */
	struct ntc_msg_greeting greeting;
	struct ntc_dir *dir;        /* of blob files, or NULL */
	struct ntc_mapping *mapping; /* the segment, or NULL; whoever opened the connection takes it out */

	pthread_mutex_t lock;       /* guards what follows */
	pthread_cond_t write_cond;  /* `writing` became false */
	int fd;
	bool greeted;               /* GREETING, and SEGMENT if that said so */
	bool reading, writing;      /* somebody is, perhaps without the lock */
	enum ntc_err err;           /* not NTC_OK: dead */
	char reason[256];
	uint64_t last_id;
	uint64_t heard_ns;          /* when bytes last came */
	struct ntc_request *table[NTC_REQUEST_BUCKETS];
	struct ntc_waiter *waiters;
	uint64_t *unwanted;         /* leases that came for abandoned requests: to be released */
	size_t unwanted_count, unwanted_cap;

	/* touched by the reader only (`reading`) */
	uint8_t *in;
	size_t in_len, in_cap;
	int fds[NTC_LIMIT_FDS];
	size_t fd_count;
};

/*
 * Greet on a connected, non-blocking socket (taken, also on failure): wait for the daemon's greeting until
 * `deadline`, check it, say HELLO. *conn is given: ntc_conn_unref(). Fails NTC_E_NO_DAEMON (it hung up),
 * NTC_E_TIMEOUT, NTC_E_PROTOCOL, NTC_E_BUSY or what the daemon said; explained.
 */
enum ntc_err ntc_conn_open(int fd, const struct ntc_msg_hello *hello, uint64_t deadline, struct ntc_conn **conn);
struct ntc_conn *ntc_conn_ref(struct ntc_conn *conn);
void ntc_conn_unref(struct ntc_conn *conn);     /* accepts NULL */

/* Why it is dead, explained on this thread; NTC_OK while it lives. `look` also asks the socket, without waiting. */
enum ntc_err ntc_conn_dead(struct ntc_conn *conn, bool look);

/* Kill it: what the peer sent makes no sense, or it gave no sign of life. Returns `err`, explained. */
enum ntc_err ntc_conn_kill(struct ntc_conn *conn, enum ntc_err err, const char *why);

/*
 * Send one frame: `payload`, and `fd` with it if that is not -1 (borrowed). With a request, its answer
 * goes to the request's waiter. NTC_OK; NTC_E_TIMEOUT with nothing sent; or the connection is dead
 * (NTC_E_NO_DAEMON ...). On failure the request is not under way.
 */
enum ntc_err ntc_conn_send(struct ntc_conn *conn, unsigned type, struct ntc_view payload, int fd,
			   struct ntc_request *request, uint64_t deadline);

/* Wait until the waiter's queue has something: NTC_OK, NTC_E_TIMEOUT, or the connection is dead. */
enum ntc_err ntc_conn_wait(struct ntc_conn *conn, struct ntc_waiter *waiter, uint64_t deadline);

/* Take the first answered request out of a waiter's queue (of any type; or only one that is not `not_type`), or NULL. */
struct ntc_request *ntc_conn_take(struct ntc_conn *conn, struct ntc_waiter *waiter, unsigned not_type);

/*
 * Forget a request whose answer nobody wants any more; a lease that comes for it is released. The
 * request itself may be reused at once. Fine for one that is answered (its reply is cleared) or was never sent.
 */
void ntc_conn_abandon(struct ntc_conn *conn, struct ntc_request *request);

/* Ask for a sign of life, without waiting for it. */
void ntc_conn_probe(struct ntc_conn *conn, uint64_t deadline);
uint64_t ntc_conn_heard(struct ntc_conn *conn);

/* In a forked child: close the copy of the socket without touching the parent's connection. */
void ntc_conn_forked(struct ntc_conn *conn);

#endif
