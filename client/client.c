/* Opening and closing, forks, the current connection; see client.h. */
#include "client/client.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/discover.h"
#include "client/report.h"

/* --- opening ------------------------------------------------------------------------------ */

enum { FORK_FRESH = 0, FORK_BUSY = 1, FORK_READY = 2 };

/* A page that is zero in a child. Where the kernel has no such pages the process id tells. */
static bool fork_mark_init(struct ntc_client *client)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return false;
	client->fork_page = madvise(p, page, MADV_WIPEONFORK) == 0;
	client->fork_mark = p;
	*client->fork_mark = FORK_READY;
	client->pid = getpid();
	return true;
}

static void locks_init(struct ntc_client *client)
{
	pthread_condattr_t attr;

	/* None of these fails on Linux. */
	pthread_mutex_init(&client->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&client->cond, &attr);
	pthread_condattr_destroy(&attr);
}

static enum ntc_mode mode_of_environment(void)
{
	const char *word = getenv("NTCACHE");

	if (!word || !*word || strcmp(word, "on") == 0)
		return NTC_MODE_ON;
	if (strcmp(word, "off") == 0)
		return NTC_MODE_OFF;
	if (strcmp(word, "readonly") == 0)
		return NTC_MODE_READ_ONLY;
	if (strcmp(word, "refresh") == 0)
		return NTC_MODE_REFRESH;
	return NTC_MODE_DEFAULT;
}

/* A copy of a text that may be missing or empty (then NULL); false without memory. */
static bool copy_text(const char *text, char **copy)
{
	*copy = text && *text ? strdup(text) : NULL;
	return *copy || !text || !*text;
}

static bool autostart_wanted(unsigned flags)
{
	const char *word = getenv("NTCACHE_AUTOSTART");

	if (flags & NTC_NO_AUTOSTART)
		return false;
	return (flags & NTC_AUTOSTART) || (word && strcmp(word, "1") == 0);
}

/* The executable's name, cut to what the daemon keeps. */
static bool copy_name(const char *name, char **copy)
{
	*copy = strndup(name ? name : program_invocation_short_name, NTC_LIMIT_NAME);
	return *copy;
}

NTC_API enum ntc_err ntc_open(const struct ntc_options *given, struct ntc_client **out)
{
	struct ntc_options options = NTC_OPTIONS_INIT;
	struct ntc_client *client;

	ntc_explain_clear();
	if (!out)
		return ntc_explain(NTC_E_INVALID, "no place for the client");
	*out = NULL;
	if (given) {
		/* A program made with a smaller or larger header: what both know counts. */
		if (given->size < sizeof(given->size))
			return ntc_explain(NTC_E_INVALID, "options without their size: use NTC_OPTIONS_INIT");
		memcpy(&options, given, given->size < sizeof(options) ? given->size : sizeof(options));
	}
	if (options.mode < NTC_MODE_DEFAULT || options.mode > NTC_MODE_REFRESH)
		return ntc_explain(NTC_E_INVALID, "there is no mode %d", (int)options.mode);
	if (options.mode == NTC_MODE_DEFAULT)
		options.mode = mode_of_environment();
	if (options.mode == NTC_MODE_DEFAULT)
		return ntc_explain(NTC_E_INVALID, "NTCACHE=%.64s: it must be on, off, readonly or refresh",
				   getenv("NTCACHE"));
	client = calloc(1, sizeof(*client));
	if (!client)
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	client->refs = 1;
	locks_init(client);
	client->mode = options.mode;
	client->autostart = autostart_wanted(options.flags);
	client->log = options.log;
	client->log_ctx = options.log_ctx;
	client->lanes = ntc_lanes_new();
	if (!client->lanes || !fork_mark_init(client) ||
	    !copy_text(options.socket ? options.socket : getenv("NTCACHE_SOCKET"), &client->socket) ||
	    !copy_name(options.name, &client->name) || !copy_text(getenv("NTCACHE_LOG"), &client->log_path) ||
	    !copy_text(options.daemon ? options.daemon : getenv("NTCACHE_DAEMON"), &client->daemon)) {
		ntc_client_unref(client);
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	}
	*out = client;
	return NTC_OK;
}

struct ntc_client *ntc_client_ref(struct ntc_client *client)
{
	__atomic_add_fetch(&client->refs, 1, __ATOMIC_RELAXED);
	return client;
}

void ntc_client_unref(struct ntc_client *client)
{
	if (!client || __atomic_sub_fetch(&client->refs, 1, __ATOMIC_ACQ_REL))
		return;
	ntc_conn_unref(client->conn);
	ntc_dir_unref(client->dir);
	/* Nobody is in a call. */
	ntc_mapping_free(client->mapping);
	while (client->retired) {
		struct ntc_mapping *next = client->retired->next;

		ntc_mapping_free(client->retired);
		client->retired = next;
	}
	ntc_lanes_free(client->lanes);
	if (client->fork_mark)
		munmap(client->fork_mark, (size_t)sysconf(_SC_PAGESIZE));
	pthread_cond_destroy(&client->cond);
	pthread_mutex_destroy(&client->lock);
	free(client->socket);
	free(client->name);
	free(client->daemon);
	free(client->log_path);
	free(client);
}

NTC_API void ntc_close(struct ntc_client *client)
{
	struct ntc_conn *conn;

	if (!client)
		return;
	if (ntc_client_enter(client) == NTC_OK)
		ntc_report_now(client);
	pthread_mutex_lock(&client->lock);
	client->closed = true;
	conn = client->conn;
	client->conn = NULL;
	pthread_mutex_unlock(&client->lock);
	/* The daemon ends the leases of a connection with it. */
	ntc_conn_unref(conn);
	ntc_client_unref(client);
}

/* --- forks -------------------------------------------------------------------------------- */

/* In the child, before anything else, by one thread. */
static void forked(struct ntc_client *client)
{
	locks_init(client);
	if (client->conn)
		ntc_conn_forked(client->conn);
	/* Not unref'd: threads of the parent may have held it. It is small, and once per fork. */
	client->conn = NULL;
	client->connecting = false;
	client->next_attempt_ns = 0;
	client->unsynced = 0;
	client->puts_lost = false;
	/* These are reported by the parent, whose they are. */
	ntc_lanes_forked(client->lanes);
	client->forks++;
	client->pid = getpid();
}

enum ntc_err ntc_client_enter(struct ntc_client *client)
{
	unsigned expected = FORK_FRESH;

	ntc_explain_clear();
	if (!client)
		return ntc_explain(NTC_E_INVALID, "no client");
	if (!client->fork_page && __atomic_load_n(&client->pid, __ATOMIC_RELAXED) != getpid())
		__atomic_store_n(client->fork_mark, FORK_FRESH, __ATOMIC_RELAXED);
	while (__atomic_load_n(client->fork_mark, __ATOMIC_ACQUIRE) != FORK_READY) {
		if (__atomic_compare_exchange_n(client->fork_mark, &expected, FORK_BUSY, false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
			forked(client);
			__atomic_store_n(client->fork_mark, FORK_READY, __ATOMIC_RELEASE);
			break;
		}
		expected = FORK_FRESH;
		sched_yield();
	}
	return NTC_OK;
}

/* --- saying things ------------------------------------------------------------------------ */

void ntc_client_say(struct ntc_client *client, const char *fmt, ...)
{
	char line[NTC_LIMIT_REASON];
	va_list args;

	if (!client->log)
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	client->log(client->log_ctx, line);
}

void ntc_client_tell_once(struct ntc_client *client, enum ntc_err err, const char *what)
{
	uint64_t bit = UINT64_C(1) << (unsigned)(err < 0 ? -err : 32 + err);
	bool first;

	pthread_mutex_lock(&client->lock);
	first = !(client->told & bit);
	client->told |= bit;
	pthread_mutex_unlock(&client->lock);
	if (first)
		ntc_client_say(client, "ntcache: %s: %s", what,
			       *ntc_last_error() ? ntc_last_error() : ntc_err_text(err));
}

/* --- the connection ----------------------------------------------------------------------- */

/* Unmap what was replaced and nobody can be reading in any more; lock held. */
static void sweep_retired(struct ntc_client *client)
{
	for (struct ntc_mapping **at = &client->retired; *at;) {
		struct ntc_mapping *mapping = *at;

		for (unsigned i = 0; i < NTC_LIMIT_LANES; i++)
			if ((mapping->lanes_left & 1u << i) && ntc_lane_try(&client->lanes[i])) {
				/* Whoever enters it from now on finds another mapping. */
				ntc_lane_leave(&client->lanes[i]);
				mapping->lanes_left &= ~(1u << i);
			}
		if (mapping->lanes_left) {
			at = &mapping->next;
			continue;
		}
		*at = mapping->next;
		ntc_mapping_free(mapping);
	}
}

/* Use another segment from now on, or none; lock held. Takes `mapping`. */
static void set_mapping(struct ntc_client *client, struct ntc_mapping *mapping)
{
	struct ntc_mapping *old = __atomic_exchange_n(&client->mapping, mapping, __ATOMIC_ACQ_REL);

	if (old) {
		old->lanes_left = (1u << NTC_LIMIT_LANES) - 1;
		old->next = client->retired;
		client->retired = old;
	}
	sweep_retired(client);
}

void ntc_client_drop_mapping(struct ntc_client *client, const struct ntc_mapping *mapping)
{
	pthread_mutex_lock(&client->lock);
	if (client->mapping == mapping)
		set_mapping(client, NULL);
	pthread_mutex_unlock(&client->lock);
}

/* Drop a dead connection; lock held. Its leases and unsynced puts are nobody's now. */
static void drop_dead(struct ntc_client *client)
{
	if (!client->conn || !ntc_conn_dead(client->conn, true))
		return;
	if (client->unsynced == client->serial) {
		client->unsynced = 0;
		client->puts_lost = true;
	}
	ntc_conn_unref(client->conn);
	client->conn = NULL;
	/* Its daemon may be gone, and a successor may remove things. */
	set_mapping(client, NULL);
}

static void connected(struct ntc_client *client, struct ntc_conn *conn)
{
	client->conn = conn;
	client->serial++;
	client->no_conn = NTC_OK;
	client->next_attempt_ns = 0;
	ntc_dir_unref(client->dir);
	client->dir = ntc_dir_ref(conn->dir);
	set_mapping(client, conn->mapping);
	conn->mapping = NULL;
	__atomic_store_n(&client->attached, true, __ATOMIC_RELEASE);
}

static void not_connected(struct ntc_client *client, enum ntc_err err, uint64_t began_ns)
{
	uint64_t now = ntc_clock_mono_ns(), pause = (now - began_ns) * NTC_LIMIT_BACKOFF_FACTOR;

	if (pause > NTC_LIMIT_BACKOFF_MAX)
		pause = NTC_LIMIT_BACKOFF_MAX;
	client->no_conn = err;
	snprintf(client->no_conn_reason, sizeof(client->no_conn_reason), "%s", ntc_last_error());
	client->next_attempt_ns = now + (pause > NTC_LIMIT_BACKOFF ? pause : NTC_LIMIT_BACKOFF);
}

/* One attempt to connect, by this thread; lock held, let go meanwhile. */
static enum ntc_err attempt(struct ntc_client *client, uint64_t deadline)
{
	uint64_t began = ntc_clock_mono_ns();
	struct ntc_conn *conn = NULL;
	enum ntc_err err;

	client->connecting = true;
	pthread_mutex_unlock(&client->lock);
	err = ntc_discover(client, deadline, &conn);
	pthread_mutex_lock(&client->lock);
	client->connecting = false;
	if (!err)
		connected(client, conn);
	else if (err != NTC_E_NO_MEMORY && (err != NTC_E_TIMEOUT || ntc_clock_mono_ns() < deadline))
		/* A caller in a hurry or without memory says nothing about the daemon. */
		not_connected(client, err, began);
	pthread_cond_broadcast(&client->cond);
	return err;
}

enum ntc_err ntc_client_conn(struct ntc_client *client, uint64_t deadline, struct ntc_conn **out,
			     uint64_t *serial)
{
	struct timespec until = { .tv_sec = (time_t)(deadline / NTC_NS_PER_S),
				  .tv_nsec = (long)(deadline % NTC_NS_PER_S) };
	enum ntc_err err = NTC_OK;

	*out = NULL;
	pthread_mutex_lock(&client->lock);
	for (;;) {
		drop_dead(client);
		if (client->conn)
			break;
		if (client->connecting) {
			if (pthread_cond_timedwait(&client->cond, &client->lock, &until) == ETIMEDOUT &&
			    client->connecting) {
				err = ntc_explain(NTC_E_TIMEOUT,
						  "another thread is still looking for a daemon");
				break;
			}
			continue;
		}
		if (client->no_conn && ntc_clock_mono_ns() < client->next_attempt_ns) {
			err = ntc_explain(client->no_conn, "%s", client->no_conn_reason);
			break;
		}
		err = attempt(client, deadline);
		if (err)
			break;
	}
	if (client->conn) {
		*out = ntc_conn_ref(client->conn);
		if (serial)
			*serial = client->serial;
		err = NTC_OK;
	}
	pthread_mutex_unlock(&client->lock);
	if (!err)
		ntc_explain_clear();
	return err;
}

struct ntc_conn *ntc_client_conn_of(struct ntc_client *client, uint64_t serial)
{
	struct ntc_conn *conn = NULL;

	pthread_mutex_lock(&client->lock);
	if (client->conn && client->serial == serial && !ntc_conn_dead(client->conn, false))
		conn = ntc_conn_ref(client->conn);
	pthread_mutex_unlock(&client->lock);
	return conn;
}

struct ntc_dir *ntc_client_dir(struct ntc_client *client)
{
	struct ntc_dir *dir;

	pthread_mutex_lock(&client->lock);
	dir = ntc_dir_ref(client->dir);
	pthread_mutex_unlock(&client->lock);
	return dir;
}
