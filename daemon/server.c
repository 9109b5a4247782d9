/* The daemon's loop and what lives on it; see server.h. */
#include "daemon/server.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fdpass.h"
#include "daemon/limits.h"
#include "daemon/log.h"
#include "daemon/request.h"
#include "proto/key.h"
#include "store/image.h"

#define STORE_GROUP_WAIT_NS (1 * NTC_NS_PER_MS)
#define STORE_LOADERS 2u

static struct timeval timeval_of(uint64_t ns)
{
	return (struct timeval){ .tv_sec = (time_t)(ns / NTC_NS_PER_S), .tv_usec = (suseconds_t)(ns % NTC_NS_PER_S / 1000) };
}

static void arm(struct event *timer, uint64_t ns)
{
	struct timeval tv = timeval_of(ns);

	/* Fails only without memory for the timer's place; then the next use arms it. */
	if (!event_pending(timer, EV_TIMEOUT, NULL) && event_add(timer, &tv))
		ntc_log(NTC_LOG_ERROR, "no memory for a timer");
}

/* --- counters ----------------------------------------------------------------------------- */

/* The counters that survive, with what flights and slots counted in this run. */
static struct ntc_stats stats_now(const struct ntc_server *server)
{
	struct ntc_flight_counts flights = ntc_flights_counts(server->flights);
	struct ntc_slot_counts slots = ntc_slots_counts(server->slots);
	struct ntc_stats s = server->stats;

	s.leases += flights.leases;
	s.leases_expired += flights.expired;
	s.leases_lost += flights.lost;
	s.waits += flights.waits;
	s.handovers += flights.handovers;
	s.circles += flights.circles;
	s.slots_granted += slots.granted;
	s.slots_over += slots.over;
	return s;
}

size_t ntc_server_counters(struct ntc_server *server, uint8_t *out, size_t cap)
{
	struct ntc_slot_counts slots = ntc_slots_counts(server->slots);
	struct ntc_stats stats = stats_now(server);
	struct ntc_counter list[NTC_COUNTERS_MAX];
	struct ntc_publisher_counts segment = ntc_publisher_counts(server->publisher);
	struct ntc_store_stats store;
	size_t n = ntc_stats_list(&stats, list);

	ntc_store_stats(server->store, &store);
	n = ntc_counter_add(list, n, "", "started_wall_ns", server->started_wall_ns);
	n = ntc_counter_add(list, n, "", "uptime_ns", ntc_clock_mono_ns() - server->started_mono_ns);
	n = ntc_counter_add(list, n, "", "connections", server->connections);
	n = ntc_counter_add(list, n, "", "connections_total", server->connections_total);
	n = ntc_counter_add(list, n, "", "reports_dropped", server->reports_dropped);
	n = ntc_counter_add(list, n, "", "slots_busy", slots.busy);
	n = ntc_counter_add(list, n, "", "slots_max", slots.max);
	n = ntc_counter_add(list, n, "", "entries", store.entries);
	n = ntc_counter_add(list, n, "", "bytes", store.bytes);
	for (unsigned kind = 1; kind <= NTC_KIND_TUNING; kind++) {
		n = ntc_counter_add(list, n, "entries.", ntc_kind_name(kind), store.entries_by_kind[kind]);
		n = ntc_counter_add(list, n, "bytes.", ntc_kind_name(kind), store.bytes_by_kind[kind]);
	}
	n = ntc_counter_add(list, n, "", "max_bytes", server->options.max_size);
	n = ntc_counter_add(list, n, "", "max_entries", server->options.max_entries);
	n = ntc_counter_add(list, n, "", "queued_bytes", store.queued_bytes);
	n = ntc_counter_add(list, n, "", "disk", store.disk);
	n = ntc_counter_add(list, n, "", "disk_errno", (uint64_t)store.disk_errno);
	n = ntc_counter_add(list, n, "", "disk_since_wall_ns", store.disk_since_wall_ns);
	n = ntc_counter_add(list, n, "", "relaxed", server->options.relaxed);
	n = ntc_counter_add(list, n, "", "groups", store.groups);
	n = ntc_counter_add(list, n, "", "group_wait_max_ns", store.group_wait_max_ns);
	n = ntc_counter_add(list, n, "", "puts_lost", store.puts_lost);
	n = ntc_counter_add(list, n, "", "evicted", store.evicted);
	n = ntc_counter_add(list, n, "", "evicted_bytes", store.evicted_bytes);
	n = ntc_counter_add(list, n, "", "expired", store.expired);
	n = ntc_counter_add(list, n, "", "pinned", store.pinned);
	n = ntc_counter_add(list, n, "", "pinned_bytes", store.pinned_bytes);
	n = ntc_counter_add(list, n, "", "pins", store.pins);
	n = ntc_counter_add(list, n, "", "full_of_pins", store.full_of_pins);
	n = ntc_counter_add(list, n, "", "expired_bytes", store.expired_bytes);
	n = ntc_counter_add(list, n, "", "quarantined", store.quarantined);
	n = ntc_counter_add(list, n, "", "adopted", store.adopted);
	n = ntc_counter_add(list, n, "", "rows_dropped", store.dropped_rows);
	n = ntc_counter_add(list, n, "", "files_swept", store.swept);
	n = ntc_counter_add(list, n, "", "rebuilds", store.rebuilds);
	n = ntc_counter_add(list, n, "", "recovering", store.recovering);
	n = ntc_counter_add(list, n, "", "segment_size", segment.size);
	n = ntc_counter_add(list, n, "", "segment_entries", segment.entries);
	n = ntc_counter_add(list, n, "", "segment_bytes", segment.bytes);
	n = ntc_counter_add(list, n, "", "segment_published", segment.published);
	n = ntc_counter_add(list, n, "", "segment_promoted", segment.promoted);
	n = ntc_counter_add(list, n, "", "segment_evicted", segment.evicted);
	return ntc_counters_write(list, n, out, cap);
}

static void save_counters(struct ntc_server *server)
{
	struct ntc_counter list[NTC_COUNTERS_MAX];
	struct ntc_stats stats = stats_now(server);
	uint8_t bytes[8192];
	size_t len = ntc_counters_write(list, ntc_stats_list(&stats, list), bytes, sizeof(bytes));

	if (len)
		ntc_store_save_counters(server->store, ntc_view(bytes, len));
}

static void on_save(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	save_counters(arg);
}

/* --- clients ------------------------------------------------------------------------------ */

struct ntc_client_state *ntc_server_client(const struct ntc_server *server, uint64_t connection)
{
	struct ntc_client_state *client;

	LIST_FOREACH(client, &server->by_number[connection % NTC_SERVER_BUCKETS], in_bucket)
		if (ntc_session_number(client->session) == connection)
			return client;
	return NULL;
}

/*
 * Take nothing new: who waits for something is told to go on alone; what was sent is finished. The first look at whether
 * that is done comes a moment later, so that what lies in the sockets now is still read.
 */
static void drain(struct ntc_server *server)
{
	sd_notify(0, "STOPPING=1");
	server->draining = true;
	server->drain_until_ns = ntc_clock_mono_ns() + NTC_DRAIN_NS;
	ntc_listener_stop(server->listener);
	ntc_flights_stop_waits(server->flights);
	/* At the end of time every wait for a slot is over. */
	ntc_slots_tick(server->slots, UINT64_MAX);
	arm(server->drain_tick, NTC_DRAIN_TICK_NS);
}

static void on_idle(evutil_socket_t fd, short what, void *arg)
{
	struct ntc_server *server = arg;

	(void)fd;
	(void)what;
	if (server->connections || server->draining)
		return;
	/* Somebody may have come at this very moment. */
	if (ntc_listener_accept(server->listener)) {
		if (server->connections == 0)
			arm(server->idle, server->options.idle_exit_ns);
		return;
	}
	ntc_log(NTC_LOG_NOTICE, "nobody has been here for %.0f s: leaving",
		(double)server->options.idle_exit_ns / (double)NTC_NS_PER_S);
	drain(server);
}

static void on_frame(void *ctx, struct ntc_session *session, const struct ntc_frame *frame, int fd)
{
	struct ntc_server *server = ctx;

	ntc_request_handle(server, ntc_session_data(session), frame, fd);
	arm(server->save, NTC_SAVE_NS);
}

/* It can't put any more, so it needs no leases, and nobody has to make anything for it. */
static void on_hung_up(void *ctx, struct ntc_session *session)
{
	struct ntc_server *server = ctx;

	ntc_flights_drop(server->flights, ntc_session_number(session), ntc_clock_mono_ns());
	ntc_slots_drop(server->slots, ntc_session_number(session));
}

static bool owes(void *ctx, struct ntc_session *session)
{
	const struct ntc_client_state *client = ntc_session_data(session);

	(void)ctx;
	return client->pending || client->puts_undecided;
}

static void on_ended(void *ctx, struct ntc_session *session)
{
	struct ntc_client_state *client = ntc_session_data(session);
	struct ntc_server *server = ctx;
	uint64_t number = ntc_session_number(session);

	/* Out of the list first: nothing that follows may answer it. */
	TAILQ_REMOVE(&server->clients, client, link);
	LIST_REMOVE(client, in_bucket);
	ntc_sync_drop(server, number);
	ntc_held_drop(server, client);
	free(client);
	ntc_flights_drop(server->flights, number, ntc_clock_mono_ns());
	ntc_slots_drop(server->slots, number);
	server->connections--;
	if (server->connections == 0 && server->options.idle_exit_ns)
		arm(server->idle, server->options.idle_exit_ns);
}

static void greet(struct ntc_server *server, struct ntc_session *session)
{
	struct ntc_msg_greeting greeting = {
		.version = NTC_PROTOCOL_VERSION,
		.capabilities = NTC_CAN_WRITE |
				(ntc_peer_operates(ntc_session_peer(session)) ? NTC_CAN_OPERATE : 0),
		.key_version = 1,
		.entry_version = 1,
		.segment_version = server->publisher ? NTC_SEGMENT_VERSION : 0,
		.instance = server->instance,
		.pid = (uint64_t)getpid(),
		.max_body = server->options.max_entry,
		.max_inline = NTC_INLINE_MAX,
	};

	ntc_reply_greeting(session, &greeting, ntc_store_blob_dir(server->store));
	if (server->publisher)
		ntc_reply_segment(session, ntc_publisher_size(server->publisher), ntc_publisher_fd(server->publisher));
}

/* Told why there is no session for it, as far as its empty socket takes it. */
static void turn_away(int fd)
{
	const char *text = "this daemon has as many connections as it may (--max-connections)";
	struct ntc_msg_error m = { .status = NTC_ST_BUSY, .retry = 1, .text = ntc_view(text, strlen(text)) };
	uint8_t bytes[256];
	struct ntc_writer w = ntc_writer(bytes + NTC_FRAME_HEADER, sizeof(bytes) - NTC_FRAME_HEADER);
	struct iovec iov = { .iov_base = bytes };

	ntc_msg_error_write(&w, &m);
	ntc_frame_write_header(bytes, NTC_MSG_ERROR, 0, 0, (uint32_t)w.len);
	iov.iov_len = NTC_FRAME_HEADER + w.len;
	if (ntc_fd_send(fd, &iov, 1, NULL, 0) < 0)
		ntc_log(NTC_LOG_DEBUG, "who was turned away could not be told why");
	close(fd);
}

static void on_accept(void *ctx, int fd)
{
	struct ntc_server *server = ctx;
	struct ntc_client_state *client = NULL;
	struct ntc_session *session;

	if (server->connections >= server->options.max_connections) {
		ntc_log(NTC_LOG_WARNING, "more than %u connections (--max-connections): one is turned away",
			server->options.max_connections);
		turn_away(fd);
		return;
	}
	client = calloc(1, sizeof(*client));
	session = client ? ntc_session_new(server->base, fd, ++server->last_connection, &server->session_ops) : NULL;
	if (!session) {
		if (!client)
			close(fd);
		ntc_log(NTC_LOG_ERROR, "no memory for a connection");
		free(client);
		return;
	}
	client->session = session;
	LIST_INIT(&client->loading);
	ntc_session_set_data(session, client);
	TAILQ_INSERT_TAIL(&server->clients, client, link);
	LIST_INSERT_HEAD(&server->by_number[server->last_connection % NTC_SERVER_BUCKETS], client, in_bucket);
	server->connections++;
	server->connections_total++;
	event_del(server->idle);
	greet(server, session);
}

/* --- time, disk, signals ------------------------------------------------------------------ */

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct ntc_server *server = arg;
	uint64_t now = ntc_clock_mono_ns();

	(void)fd;
	(void)what;
	ntc_flights_tick(server->flights, now);
	ntc_slots_tick(server->slots, now);
	ntc_held_tick(server);
	ntc_server_arm_tick(server);
}

void ntc_server_arm_tick(struct ntc_server *server)
{
	if (ntc_flights_busy(server->flights) || ntc_slots_busy(server->slots) || !TAILQ_EMPTY(&server->held))
		arm(server->tick, NTC_FLIGHT_TICK_NS);
}

static void on_store_ready(evutil_socket_t fd, short what, void *arg)
{
	struct ntc_server *server = arg;

	(void)fd;
	(void)what;
	ntc_store_dispatch(server->store);
}

static bool all_sent(const struct ntc_server *server)
{
	struct ntc_client_state *client;

	if (ntc_ingest_pending(server->ingest))
		return false;
	TAILQ_FOREACH(client, &server->clients, link)
		if (client->puts_undecided || ntc_session_unsent(client->session) || client->pending)
			return false;
	return true;
}

/* Answers on their way are sent, puts become durable; then, or when the time for that is over, the loop ends. */
static void on_drain(evutil_socket_t fd, short what, void *arg)
{
	struct ntc_server *server = arg;

	(void)fd;
	(void)what;
	if (all_sent(server) || ntc_clock_mono_ns() >= server->drain_until_ns)
		event_base_loopbreak(server->base);
	else
		arm(server->drain_tick, NTC_DRAIN_TICK_NS);
}

static void on_terminate(evutil_socket_t fd, short what, void *arg)
{
	struct ntc_server *server = arg;

	(void)fd;
	(void)what;
	if (server->draining) {
		ntc_log(NTC_LOG_WARNING, "told to stop a second time: stopping now");
		event_base_loopbreak(server->base);
		return;
	}
	ntc_log(NTC_LOG_NOTICE, "stopping");
	drain(server);
	/* Who comes from now on goes on without us at once. */
	ntc_listener_close(server->listener);
	server->listener = NULL;
}

static void on_ignore(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

/* --- open, run, close --------------------------------------------------------------------- */

static enum ntc_status open_rules(struct ntc_server *server)
{
	struct ntc_flight_options flights = {
		.lease_ns = server->options.lease_ns,
		.lease_max_ns = server->options.lease_ns > NTC_LEASE_MAX_NS ? server->options.lease_ns :
									      NTC_LEASE_MAX_NS,
		.wait_max_ns = server->options.wait_ns,
		.key_bytes_max = NTC_KEYS_MAX,
		.answer = ntc_request_answer_wait,
		.lease_ended = ntc_request_lease_ended,
		.ctx = server,
	};

	server->flights = ntc_flights_new(&flights);
	server->slots = ntc_slots_new(server->options.max_compiles, server->options.slot_wait_ns,
				      ntc_request_answer_slot, server);
	server->failures = ntc_failures_new(server->options.failure_ns);
	return server->flights && server->slots && server->failures ? NTC_ST_OK : NTC_ST_NO_MEMORY;
}

static enum ntc_status open_events(struct ntc_server *server)
{
	struct event_base *base = server->base;

	server->store_ready = event_new(base, ntc_store_event_fd(server->store), EV_READ | EV_PERSIST, on_store_ready,
					server);
	server->tick = event_new(base, -1, 0, on_tick, server);
	server->save = event_new(base, -1, 0, on_save, server);
	server->idle = event_new(base, -1, 0, on_idle, server);
	server->drain_tick = event_new(base, -1, 0, on_drain, server);
	server->sigterm = evsignal_new(base, SIGTERM, on_terminate, server);
	server->sigint = evsignal_new(base, SIGINT, on_terminate, server);
	server->sighup = evsignal_new(base, SIGHUP, on_ignore, server);
	if (!server->store_ready || !server->tick || !server->save || !server->idle || !server->drain_tick ||
	    !server->sigterm || !server->sigint || !server->sighup || event_add(server->store_ready, NULL) ||
	    event_add(server->sigterm, NULL) || event_add(server->sigint, NULL) || event_add(server->sighup, NULL))
		return NTC_ST_NO_MEMORY;
	server->ingest = ntc_ingest_new(base);
	return server->ingest ? NTC_ST_OK : NTC_ST_NO_MEMORY;
}

/* Without one everybody reads files. */
static void open_segment(struct ntc_server *server)
{
	struct ntc_reason why = { "" };

	if (!server->options.segment_size)
		return;
	server->publisher = ntc_publisher_new(server->options.segment_size, server->instance, &why);
	if (!server->publisher)
		ntc_log(NTC_LOG_WARNING, "no shared segment: %s", why.text);
}

/* As many descriptors as the system gives, and no more connections than those are enough for. */
static void fit_descriptors(struct ntc_daemon_options *options)
{
	struct rlimit limit;
	rlim_t fit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	/* Without more than it has: the count below says what that is enough for. */
	if (setrlimit(RLIMIT_NOFILE, &limit) && getrlimit(RLIMIT_NOFILE, &limit))
		return;
	fit = limit.rlim_cur > 2 * NTC_SPARE_FDS ? (limit.rlim_cur - NTC_SPARE_FDS) / NTC_FDS_PER_CONNECTION : 1;
	if (fit < options->max_connections) {
		ntc_log(NTC_LOG_WARNING, "%u connections instead of %u: the limit is %llu descriptors", (unsigned)fit,
			options->max_connections, (unsigned long long)limit.rlim_cur);
		options->max_connections = (unsigned)fit;
	}
}

enum ntc_status ntc_server_open(const struct ntc_daemon_options *options, struct ntc_server **out,
				struct ntc_reason *reason)
{
	struct ntc_store_options store = {
		/* Also the largest entry fits, with another one behind it. */
		.max_queued_bytes = 2 * options->max_entry > NTC_QUEUED_BYTES_MAX ? 2 * options->max_entry :
										    NTC_QUEUED_BYTES_MAX,
		.dir = options->dir,
		.max_bytes = options->max_size,
		.max_entries = options->max_entries,
		.max_age_ns = options->max_age_ns,
		.inline_max = NTC_INLINE_IMAGE_MAX,
		.group_wait_ns = STORE_GROUP_WAIT_NS,
		.loaders = STORE_LOADERS,
		.relaxed = options->relaxed,
		.allow_network = options->allow_network,
		.group_readable = options->system,
		.log = ntc_log_line,
	};
	struct ntc_server *server = calloc(1, sizeof(*server));
	enum ntc_status st = NTC_ST_NO_MEMORY;
	struct ntc_reason why = { "" };

	*out = NULL;
	if (!server)
		return ntc_reject(reason, st, "out of memory");
	server->options = *options;
	fit_descriptors(&server->options);
	server->session_ops = (struct ntc_session_ops){
		.frame = on_frame,
		.hung_up = on_hung_up,
		.owes = owes,
		.ended = on_ended,
		.ctx = server,
		.unsent = &server->unsent,
	};
	server->started_mono_ns = ntc_clock_mono_ns();
	server->started_wall_ns = ntc_clock_wall_ns();
	TAILQ_INIT(&server->clients);
	TAILQ_INIT(&server->syncs);
	TAILQ_INIT(&server->held);
	if (gethostname(server->host, sizeof(server->host) - 1))
		server->host[0] = '\0';
	/* Tells this daemon from the one before: any number will do if there is no randomness yet. */
	if (getrandom(&server->instance, sizeof(server->instance), GRND_NONBLOCK) != sizeof(server->instance))
		server->instance = server->started_wall_ns ^ (uint64_t)getpid();
	server->base = event_base_new();
	if (!server->base) {
		ntc_reject(reason, st, "out of memory");
		goto fail;
	}
	st = ntc_store_open(&store, &server->store, &why);
	if (st) {
		ntc_reject(reason, st, "the cache directory %.100s: %s", options->dir, why.text);
		goto fail;
	}
	ntc_stats_load(&server->stats, ntc_store_saved_counters(server->store));
	open_segment(server);
	st = open_rules(server);
	if (!st)
		st = open_events(server);
	if (st) {
		ntc_reject(reason, st, "%s", ntc_status_text(st));
		goto fail;
	}
	st = ntc_listener_open(server->base, options, on_accept, server, &server->listener, reason);
	if (st)
		goto fail;
	*out = server;
	return NTC_ST_OK;
fail:
	ntc_server_close(server);
	return st;
}

void ntc_server_run(struct ntc_server *server)
{
	if (server->options.idle_exit_ns)
		arm(server->idle, server->options.idle_exit_ns);
	ntc_log(NTC_LOG_NOTICE, "serving %s at %s", server->options.dir, ntc_listener_path(server->listener));
	sd_notify(0, "READY=1");
	event_base_dispatch(server->base);
}

static void event_drop(struct event *event)
{
	if (event)
		event_free(event);
}

void ntc_server_close(struct ntc_server *server)
{
	struct ntc_client_state *client;

	if (!server)
		return;
	/* A second signal ends a store that takes its time: it survives that. */
	event_drop(server->sigterm);
	event_drop(server->sigint);
	while ((client = TAILQ_FIRST(&server->clients)))
		ntc_session_end(client->session, "the daemon stops");
	if (server->base)
		event_base_loop(server->base, EVLOOP_NONBLOCK);
	ntc_ingest_free(server->ingest);
	if (server->store && server->flights && server->slots)
		save_counters(server);
	/* Over before somebody else may remove something. */
	ntc_publisher_close(server->publisher);
	/* Its last callbacks find no clients, but flights. */
	ntc_store_close(server->store);
	ntc_held_release(server);
	ntc_publisher_free(server->publisher);
	/* Who came while the last one left sees a connection end, and finds the directory free for a new daemon. */
	ntc_listener_close(server->listener);
	ntc_flights_free(server->flights);
	ntc_slots_free(server->slots);
	ntc_failures_free(server->failures);
	event_drop(server->store_ready);
	event_drop(server->tick);
	event_drop(server->save);
	event_drop(server->idle);
	event_drop(server->drain_tick);
	event_drop(server->sighup);
	if (server->base)
		event_base_free(server->base);
	free(server);
}
