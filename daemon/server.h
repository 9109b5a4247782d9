/*
 * The daemon: owns the loop and everything that lives on it. One thread; the store and the reading of large bodies
 * have threads of their own and come back by messages.
 */
#ifndef NTC_DAEMON_SERVER_H
#define NTC_DAEMON_SERVER_H

#include <sys/queue.h>

#include "daemon/failure.h"
#include "daemon/flight.h"
#include "daemon/ingest.h"
#include "daemon/listener.h"
#include "daemon/options.h"
#include "daemon/publisher.h"
#include "daemon/session.h"
#include "daemon/slot.h"
#include "daemon/stats.h"
#include "store/store.h"

struct ntc_sync;
struct ntc_acquire;
struct ntc_held;

#define NTC_SERVER_BUCKETS 4096u

/* What the server keeps with each session. */
struct ntc_client_state {
	TAILQ_ENTRY(ntc_client_state) link;
	LIST_ENTRY(ntc_client_state) in_bucket; /* by connection number */
	struct ntc_session *session;
	bool greeted;                   /* it said HELLO */
	bool read_only;
	unsigned asks;                  /* ACQUIREs unanswered and leases held */
	unsigned pending;               /* requests whose answer comes from the store */
	unsigned slot_waits;            /* SLOTs unanswered */
	LIST_HEAD(, ntc_acquire) loading; /* ACQUIREs that the store is asked about */
	size_t loading_bytes;           /* of their keys */
	unsigned puts_undecided;        /* puts not answered yet */
	bool leans;                     /* it was told KNOWN since its last SYNC: of a put that may not be durable yet */
	enum ntc_status put_failure;    /* the first put that was lost since the last SYNC */
	struct ntc_held *held;          /* its pins; NULL: none yet */
	uint64_t report_since_ns;       /* the second in which reports are counted */
	unsigned reports;               /* digests reported in it */
	uint64_t reported_hits;
};

struct ntc_server {
	struct ntc_daemon_options options;
	struct event_base *base;
	struct ntc_listener *listener;
	struct ntc_store *store;
	struct ntc_publisher *publisher; /* NULL: there is no shared segment */
	struct ntc_flights *flights;
	struct ntc_slots *slots;
	struct ntc_failures *failures;
	struct ntc_ingest *ingest;
	struct event *store_ready, *tick, *save, *idle, *drain_tick, *sigterm, *sigint, *sighup;
	struct ntc_session_ops session_ops;
	TAILQ_HEAD(, ntc_client_state) clients;
	LIST_HEAD(, ntc_client_state) by_number[NTC_SERVER_BUCKETS];
	unsigned connections;
	uint64_t connections_total, last_connection, instance;
	uint64_t started_mono_ns, started_wall_ns, drain_until_ns;
	uint64_t reports_dropped;
	uint64_t last_put;              /* number of the last put that was answered NEW */
	uint64_t puts_undurable;        /* of those, not durable yet */
	uint64_t lost_said_ns;          /* when the log last said that a put was lost */
	TAILQ_HEAD(, ntc_sync) syncs;   /* SYNCs that wait */
	TAILQ_HEAD(, ntc_held) held;    /* pins of connections that are gone, to be handed back */
	uint64_t unsent;                /* bytes, of all sessions */
	bool draining;
	const struct ntc_acquire *submitting; /* the ACQUIRE that is being given to the store right now */
	char host[64];
	struct ntc_stats stats;         /* since the directory was made, less what flights and slots count */
};

/* Open the store, listen, be ready. On failure nothing is left open and *reason says why. */
enum ntc_status ntc_server_open(const struct ntc_daemon_options *options, struct ntc_server **server,
				struct ntc_reason *reason);

/* Serve until told to stop. */
void ntc_server_run(struct ntc_server *server);

/* Finish what was put, close everything. Accepts NULL. */
void ntc_server_close(struct ntc_server *server);

/* The client of a connection number, or NULL if it has gone. */
struct ntc_client_state *ntc_server_client(const struct ntc_server *server, uint64_t connection);

/* Flights or slots may have become busy: let time pass for them. */
void ntc_server_arm_tick(struct ntc_server *server);

/* All counters of now, in `out`; returns the bytes of the field list. */
size_t ntc_server_counters(struct ntc_server *server, uint8_t *out, size_t cap);

#endif
