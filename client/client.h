/*
 * The client: options, the one current connection, what is counted and said. Private to the library.
 *
 * Threads: `lock` guards everything below it; it is never held while waiting for the daemon, nor while
 * the caller's log function runs. A client is reference-counted, because leases may outlive ntc_close().
 *
 * Lanes (lane.h) are how hits pass by the lock: what is replaced while somebody reads in it is retired, and unmapped once every
 * lane has been seen empty.
 *
 * Forks: a page that the kernel wipes in the child tells that one happened. The first call in the child makes
 * locks and state anew; the parent's connection is only closed, nothing is sent on it.
 */
#ifndef NTC_CLIENT_CLIENT_H
#define NTC_CLIENT_CLIENT_H

#include "client/conn.h"
#include "client/explain.h"
#include "client/lane.h"
#include "client/ntcache.h"

struct ntc_client {
	unsigned refs;              /* atomic */
	unsigned *fork_mark;        /* atomic; on a page of its own: 0 in a fresh child */
	bool fork_page;             /* it is such a page; else `pid` is compared */
	int pid;

	/* set by ntc_open(), never changed */
	char *socket, *name, *daemon, *log_path;
	enum ntc_mode mode;
	bool autostart;
	void (*log)(void *ctx, const char *line);
	void *log_ctx;

	unsigned forks;             /* how often this process came into being by fork(); leases remember it */
	pthread_mutex_t lock;
	pthread_cond_t cond;        /* `connecting` became false */
	bool closed;
	bool connecting;
	struct ntc_conn *conn;
	uint64_t serial;            /* number of the current connection; leases remember it */
	struct ntc_dir *dir;        /* the last daemon's blob directory: outlives the connection */
	uint64_t next_attempt_ns;   /* no new connection before */
	enum ntc_err no_conn;       /* why the last attempt failed */
	char no_conn_reason[256];
	uint32_t groups;            /* last group of an acquire_many */
	uint64_t told;              /* failures that were told once: a bit each */
	uint64_t unsynced;          /* serial of the connection of puts that no sync covered; 0 = none */
	bool puts_lost;             /* a connection with such puts ended */

	struct ntc_mapping *retired; /* segments that were replaced while somebody read in them */

	/* atomic; by any thread without the lock */
	bool attached;              /* there was a greeting */
	struct ntc_mapping *mapping; /* the segment, or NULL: changed with the lock, read in a lane */
	uint64_t reported_ns;       /* coarse clock: when the last batch was sent; 0 = nothing was counted yet */
	struct ntc_lane *lanes;     /* set by ntc_open() */
};

/*
 * At the start of every public call with a client: notices a fork, clears the last error.
 * NTC_OK, or NTC_E_INVALID for NULL, explained.
 */
enum ntc_err ntc_client_enter(struct ntc_client *client);

struct ntc_client *ntc_client_ref(struct ntc_client *client);
void ntc_client_unref(struct ntc_client *client);

/*
 * The connection, made if there is none: *conn is given (ntc_conn_unref()), *serial its number (may be NULL).
 * NTC_E_NO_DAEMON, NTC_E_TIMEOUT, NTC_E_PROTOCOL ..., explained; told once by the log. After a failed attempt
 * there is no other for a while: the same answer at once.
 */
enum ntc_err ntc_client_conn(struct ntc_client *client, uint64_t deadline, struct ntc_conn **conn, uint64_t *serial);

/* The connection of that number if it is still the current one and alive, else NULL. Given. */
struct ntc_conn *ntc_client_conn_of(struct ntc_client *client, uint64_t serial);

/* The blob directory that the daemon handed over last, or NULL. Given: ntc_dir_unref(). */
struct ntc_dir *ntc_client_dir(struct ntc_client *client);

/* Stop using a segment (one that was read in a lane), if it still is the one in use: its daemon is gone. */
void ntc_client_drop_mapping(struct ntc_client *client, const struct ntc_mapping *mapping);

/* Say a line by the caller's log function. */
void ntc_client_say(struct ntc_client *client, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The same, once in the client's life for each `err`, with ntc_last_error(). */
void ntc_client_tell_once(struct ntc_client *client, enum ntc_err err, const char *what);

#endif
