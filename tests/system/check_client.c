/* libntcache against real daemons: sharing, waiting, dying and restarted daemons, autostart, forks. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/ntcache.h"
#include "tests/support/harness.h"
#include "tests/support/making.h"

#define LIMIT_MS 20000

static struct ntc_client *open_client(unsigned flags)
{
	struct ntc_options options = NTC_OPTIONS_INIT;
	struct ntc_client *client;

	options.mode = NTC_MODE_ON;
	options.flags = flags;
	return ntc_open(&options, &client) == NTC_OK ? client : NULL;
}

static struct ntc_key *key_of(int x)
{
	struct ntc_key *key = ntc_key_new(NTC_KIND_KERNEL);

	ntc_key_add_int(key, "x", x);
	ntc_key_add_string(key, "arch", "sm_90", 5);
	return ntc_key_seal(key) == NTC_OK ? key : NULL;
}

/* An entry of `size` bytes that all are `fill`. */
static struct ntc_entry *entry_of(const struct ntc_key *key, size_t size, char fill)
{
	char *data = malloc(size ? size : 1);
	struct ntc_part_data parts[2] = { { "binary", data, size }, { "log", "made", 4 } };
	struct ntc_entry *entry = NULL;

	memset(data, fill, size);
	(void)ntc_entry_new(key, NULL, parts, 2, &entry); /* NULL then: the caller looks */
	free(data);
	return entry;
}

static bool holds(const struct ntc_entry *entry, size_t size, char fill)
{
	struct ntc_part_view part;

	if (!entry || ntc_entry_find(entry, "binary", &part) || part.len != size || (uintptr_t)part.data % 64)
		return false;
	for (size_t i = 0; i < size; i++)
		if (((const char *)part.data)[i] != fill)
			return false;
	return true;
}

struct counter {
	const char *name;
	int64_t value;
};

static void take_counter(void *ctx, const char *name, int64_t value)
{
	struct counter *c = ctx;

	if (strcmp(name, c->name) == 0)
		c->value = value;
}

static int64_t counter(struct ntc_client *client, const char *name)
{
	struct counter c = { name, -1 };

	ck_assert_msg(ntc_stats(client, LIMIT_MS, take_counter, &c) == NTC_OK, "%s", ntc_last_error());
	return c.value;
}

/* --- entries ------------------------------------------------------------------------------ */

START_TEST(test_share)
{
	static const size_t sizes[] = { 0, 100, 60000, 70000, 3 << 20 };
	struct ntc_test_daemon d = { 0 };
	struct ntc_client *a, *b;

	ntc_test_start(&d, NULL);
	a = open_client(0), b = open_client(0);
	for (int i = 0; i < 5; i++) {
		struct ntc_key *key = key_of(i);
		struct ntc_entry *made = entry_of(key, sizes[i], (char)('a' + i)), *got;
		struct ntc_stamp_view stamp;

		ck_assert_int_eq(ntc_lookup(b, key, LIMIT_MS, &got), NTC_MISS);
		ck_assert_msg(ntc_put(a, NULL, made, 1000) == NTC_OK, "%s", ntc_last_error());
		/* Visible at once, by whichever rung. */
		ck_assert_msg(ntc_lookup(b, key, LIMIT_MS, &got) == NTC_OK, "%s", ntc_last_error());
		ck_assert(holds(got, sizes[i], (char)('a' + i)));
		ck_assert(ntc_entry_stamp(got, &stamp));
		ck_assert_uint_eq(stamp.pid, (unsigned)getpid());
		ck_assert_uint_eq(stamp.cost_ns, 1000);
		ntc_entry_unref(got);
		ck_assert_int_eq(ntc_put(b, NULL, made, 1000), NTC_KNOWN);
		/* Durable: then it is a file, which needs no question, if it is too large to be shared. */
		ck_assert_msg(ntc_sync(a, LIMIT_MS) == NTC_OK, "%s", ntc_last_error());
		ck_assert_int_eq(ntc_lookup(b, key, LIMIT_MS, &got), NTC_OK);
		ck_assert_int_eq(ntc_entry_source(got), sizes[i] < 1 << 20 ? NTC_FROM_SEGMENT : NTC_FROM_FILE);
		ck_assert(holds(got, sizes[i], (char)('a' + i)));
		ntc_entry_unref(got);
		ntc_entry_unref(made);
		ntc_key_free(key);
	}
	ntc_close(a), ntc_close(b);
	ntc_test_stop(&d);
}
END_TEST

/*
 * A put that the disk loses is told to its maker, and to whoever was told KNOWN meanwhile: nobody's SYNC
 * says that what is gone is safe.
 */
START_TEST(test_lost_put)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_client *a, *b;

	ntc_test_start(&d, NULL);
	a = open_client(0), b = open_client(0);
	ck_assert(making_losses(ntc_test_path("main.cache"), true));
	for (int i = 0; i < 20; i++) {
		struct ntc_key *key = key_of(i);
		struct ntc_entry *made = entry_of(key, 100000, 'x');

		ck_assert_msg(ntc_put(a, NULL, made, 1000) == NTC_OK, "%s", ntc_last_error());
		ck_assert_int_ge(ntc_put(b, NULL, made, 1000), NTC_OK);
		ck_assert_int_lt(ntc_sync(b, LIMIT_MS), 0);
		ck_assert_int_lt(ntc_sync(a, LIMIT_MS), 0);
		/* Told once. */
		ck_assert_int_eq(ntc_sync(a, LIMIT_MS), NTC_OK);
		ck_assert_int_eq(ntc_sync(b, LIMIT_MS), NTC_OK);
		ntc_entry_unref(made);
		ntc_key_free(key);
	}
	ck_assert_int_ge(counter(a, "puts_lost"), 20);
	ck_assert_int_eq(counter(a, "entries"), 0);
	ntc_close(a), ntc_close(b);
	ntc_test_stop(&d);
}
END_TEST

static bool count_row(void *ctx, const struct ntc_row_view *row)
{
	unsigned *n = ctx;

	(*n)++;
	return row->kind == NTC_KIND_KERNEL && *n != 600;
}

START_TEST(test_manage)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_row_view row;
	struct ntc_client *client;
	struct ntc_digest digest;
	struct ntc_key *key;
	struct ntc_entry *entry, *got;
	unsigned n = 0;
	uint64_t pid;

	ntc_test_start(&d, NULL);
	client = open_client(0);
	ck_assert_int_eq(ntc_ping(client, LIMIT_MS, &pid), NTC_OK);
	ck_assert_uint_eq(pid, (uint64_t)d.pid);
	/* More than a page. */
	for (int i = 0; i < 700; i++) {
		key = key_of(i);
		entry = entry_of(key, 10, 'x');
		ck_assert_int_eq(ntc_put(client, NULL, entry, 1), NTC_OK);
		ntc_entry_unref(entry);
		ntc_key_free(key);
	}
	ck_assert_int_eq(ntc_sync(client, LIMIT_MS), NTC_OK);
	ck_assert_msg(ntc_list(client, 0, LIMIT_MS, count_row, &n) == NTC_OK, "%s", ntc_last_error());
	ck_assert_uint_eq(n, 600);
	n = 1000;
	ck_assert_int_eq(ntc_list(client, NTC_KIND_KERNEL, LIMIT_MS, count_row, &n), NTC_OK);
	ck_assert_uint_eq(n, 1700);
	n = 0;
	ck_assert_int_eq(ntc_list(client, NTC_KIND_SOURCE, LIMIT_MS, count_row, &n), NTC_OK);
	ck_assert_uint_eq(n, 0);
	key = key_of(5);
	digest = ntc_key_digest_of(key);
	ck_assert_msg(ntc_show(client, &digest, LIMIT_MS, &row, &got) == NTC_OK, "%s", ntc_last_error());
	ck_assert(holds(got, 10, 'x'));
	ck_assert_uint_eq(row.parts, 2);
	ntc_entry_unref(got);
	ck_assert_int_eq(ntc_remove(client, key, LIMIT_MS), NTC_OK);
	ck_assert_int_eq(ntc_lookup(client, key, LIMIT_MS, &got), NTC_MISS);
	ck_assert_int_eq(ntc_remove(client, key, LIMIT_MS), NTC_MISS);
	ck_assert_int_eq(ntc_show(client, &digest, LIMIT_MS, NULL, &got), NTC_MISS);
	ntc_key_free(key);
	key = key_of(6);
	digest = ntc_key_digest_of(key);
	ck_assert_int_eq(ntc_remove_digest(client, &digest, LIMIT_MS), NTC_OK);
	ck_assert_int_eq(ntc_lookup(client, key, LIMIT_MS, &got), NTC_MISS);
	ntc_key_free(key);
	ntc_close(client);
	ntc_test_stop(&d);
}
END_TEST

/* A file that rots: a miss, which the daemon sets aside, and which can be made again. */
START_TEST(test_rotten_file)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_key *key = key_of(1);
	struct ntc_entry *entry = entry_of(key, 100000, 'x'), *got;
	struct ntc_answer answer;
	struct ntc_client *client;
	struct ntc_test_output output;

	ntc_test_start(&d, "--segment-size", "0", NULL);
	client = open_client(0);
	ck_assert_int_eq(ntc_put(client, NULL, entry, 1), NTC_OK);
	ck_assert_int_eq(ntc_sync(client, LIMIT_MS), NTC_OK);
	ntc_test_command(&output, LIMIT_MS, "sh", "-c",
			 "f=$(find \"$0\" -type f -size +16k -path '*/[0-9a-f][0-9a-f]/*') && chmod u+w $f && "
			 "printf y | dd of=$f bs=1 seek=1000 conv=notrunc",
			 d.cache, NULL);
	ck_assert_msg(output.code == 0, "%s", output.err);
	ntc_test_output_clear(&output);
	ck_assert_int_ne(ntc_lookup(client, key, LIMIT_MS, &got), NTC_OK);
	/* Whatever the daemon has of it in memory: what comes is right or is made again. */
	switch (ntc_acquire(client, key, NULL, &answer)) {
	case NTC_OK:
		ck_assert(holds(answer.entry, 100000, 'x'));
		break;
	case NTC_MAKE:
		ck_assert_int_eq(ntc_put(client, answer.lease, entry, 1), NTC_OK);
		answer.lease = NULL;
		break;
	default:
		ck_assert_int_eq(answer.err, NTC_ALONE);
	}
	ntc_answer_clear(&answer);
	ntc_entry_unref(entry);
	ntc_key_free(key);
	ntc_close(client);
	ntc_test_stop(&d);
}
END_TEST

/* --- workers ------------------------------------------------------------------------------ */

#define KEYS 12

struct shared {
	unsigned made[KEYS]; /* atomic */
	unsigned failed;     /* atomic */
	int holding, go;     /* events */
};

struct maker {
	struct shared *shared;
	int x;
	enum ntc_err outcome;
};

static enum ntc_err make(void *ctx, const struct ntc_make *what, struct ntc_entry **entry, char **log)
{
	struct maker *m = ctx;

	__atomic_add_fetch(&m->shared->made[m->x], 1, __ATOMIC_SEQ_CST);
	if (m->outcome != NTC_OK) {
		*log = strdup("error: no such thing");
		return m->outcome;
	}
	*entry = entry_of(what->key, 1000, (char)('a' + m->x));
	return *entry ? NTC_OK : NTC_E_NO_MEMORY;
}

static int fetch_all(void *ctx, unsigned worker)
{
	struct ntc_client *client = open_client(0);

	NTC_CHILD_CHECK(client);
	for (unsigned i = 0; i < KEYS; i++) {
		struct maker m = { ctx, (int)((i * 5 + worker) % KEYS), NTC_OK };
		struct ntc_key *key = key_of(m.x);
		struct ntc_entry *entry;

		NTC_CHILD_CHECK(ntc_fetch(client, key, NULL, make, &m, &entry, NULL) == NTC_OK);
		NTC_CHILD_CHECK(holds(entry, 1000, (char)('a' + m.x)));
		ntc_entry_unref(entry);
		ntc_key_free(key);
	}
	ntc_close(client);
	return 0;
}

START_TEST(test_once)
{
	struct shared *shared = ntc_test_shared(sizeof(*shared));
	struct ntc_test_daemon d = { 0 };

	ntc_test_start(&d, NULL);
	ntc_test_children(8, fetch_all, shared, ntc_test_ms(LIMIT_MS), NULL);
	for (int i = 0; i < KEYS; i++)
		ck_assert_uint_eq(shared->made[i], 1);
	ntc_test_stop(&d);
}
END_TEST

struct many {
	struct shared *shared;
	struct ntc_client *client;
	const struct ntc_key *keys[KEYS];
	unsigned answered;
	bool wrong;
};

static bool take_one(void *ctx, size_t i, struct ntc_answer *answer)
{
	struct many *m = ctx;

	m->answered++;
	if (answer->err == NTC_OK) {
		m->wrong = m->wrong || !holds(answer->entry, 1000, (char)('a' + i));
	} else if (answer->err == NTC_MAKE) {
		struct ntc_entry *entry = entry_of(m->keys[i], 1000, (char)('a' + i));

		__atomic_add_fetch(&m->shared->made[i], 1, __ATOMIC_SEQ_CST);
		m->wrong = m->wrong || ntc_put(m->client, answer->lease, entry, 1) != NTC_OK;
		answer->lease = NULL;
		ntc_entry_unref(entry);
	} else {
		m->wrong = true;
	}
	return true;
}

static int acquire_all(void *ctx, unsigned worker)
{
	struct ntc_acquire_options options = NTC_ACQUIRE_OPTIONS_INIT;
	struct many m = { .shared = ctx, .client = open_client(0) };

	options.width = worker % 3;
	for (int i = 0; i < KEYS; i++)
		m.keys[i] = key_of(i);
	NTC_CHILD_CHECK(ntc_acquire_many(m.client, m.keys, KEYS, &options, take_one, &m) == NTC_OK);
	NTC_CHILD_CHECK(m.answered == KEYS);
	NTC_CHILD_CHECK(!m.wrong);
	for (int i = 0; i < KEYS; i++)
		ntc_key_free((struct ntc_key *)m.keys[i]);
	ntc_close(m.client);
	return 0;
}

START_TEST(test_many_once)
{
	struct shared *shared = ntc_test_shared(sizeof(*shared));
	struct ntc_test_daemon d = { 0 };

	ntc_test_start(&d, NULL);
	ntc_test_children(6, acquire_all, shared, ntc_test_ms(LIMIT_MS), NULL);
	for (int i = 0; i < KEYS; i++)
		ck_assert_uint_eq(shared->made[i], 1);
	ntc_test_stop(&d);
}
END_TEST

static int fetch_broken(void *ctx, unsigned worker)
{
	struct maker m = { ctx, 1, NTC_FAILED };
	struct ntc_client *client = open_client(0);
	struct ntc_key *key = key_of(1);
	struct ntc_entry *entry;
	char *log;

	(void)worker;
	NTC_CHILD_CHECK(ntc_fetch(client, key, NULL, make, &m, &entry, &log) == NTC_FAILED);
	NTC_CHILD_CHECK(log && strcmp(log, "error: no such thing") == 0);
	free(log);
	ntc_key_free(key);
	ntc_close(client);
	return 0;
}

START_TEST(test_failure_is_shared)
{
	struct ntc_acquire_options options = NTC_ACQUIRE_OPTIONS_INIT;
	struct shared *shared = ntc_test_shared(sizeof(*shared));
	struct ntc_key *key = key_of(1);
	struct ntc_test_daemon d = { 0 };
	struct ntc_client *client;
	struct ntc_answer answer;

	ntc_test_start(&d, NULL);
	ntc_test_children(8, fetch_broken, shared, ntc_test_ms(LIMIT_MS), NULL);
	ck_assert_uint_eq(shared->made[1], 1);
	client = open_client(0);
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_FAILED);
	ntc_answer_clear(&answer);
	options.flags = NTC_ACQUIRE_RETRY_FAILED;
	ck_assert_int_eq(ntc_acquire(client, key, &options, &answer), NTC_MAKE);
	ntc_answer_clear(&answer);
	ntc_key_free(key);
	ntc_close(client);
	ntc_test_stop(&d);
}
END_TEST

/* --- waiting ------------------------------------------------------------------------------ */

static int hold(void *ctx, unsigned i)
{
	struct shared *shared = ctx;
	struct ntc_client *client = open_client(0);
	struct ntc_key *key = key_of(1);
	struct ntc_answer answer;

	(void)i;
	NTC_CHILD_CHECK(ntc_acquire(client, key, NULL, &answer) == NTC_MAKE);
	ntc_test_signal(shared->holding);
	NTC_CHILD_CHECK(ntc_test_await(shared->go, LIMIT_MS));
	ntc_answer_clear(&answer);
	ntc_key_free(key);
	ntc_close(client);
	return 0;
}

static struct shared *start_holder(struct ntc_test_group *group)
{
	struct shared *shared = ntc_test_shared(sizeof(*shared));

	shared->holding = ntc_test_event();
	shared->go = ntc_test_event();
	ntc_test_spawn(group, 1, hold, shared);
	ntc_test_release(group);
	ck_assert(ntc_test_await(shared->holding, LIMIT_MS));
	return shared;
}

START_TEST(test_time_is_over)
{
	struct ntc_acquire_options options = NTC_ACQUIRE_OPTIONS_INIT;
	struct ntc_test_group group = { 0 };
	struct ntc_test_daemon d = { 0 };
	struct ntc_key *key = key_of(1);
	struct ntc_client *client;
	struct shared *shared;
	struct ntc_answer answer;

	ntc_test_start(&d, NULL);
	shared = start_holder(&group);
	client = open_client(0);
	options.timeout_ms = 0;
	ck_assert_int_eq(ntc_acquire(client, key, &options, &answer), NTC_ALONE);
	options.timeout_ms = 200;
	ck_assert_int_eq(ntc_acquire(client, key, &options, &answer), NTC_ALONE);
	ck_assert_uint_gt(strlen(answer.why), 0);
	/* The holder ends: the lease is handed on. */
	options.timeout_ms = LIMIT_MS;
	ntc_test_signal(shared->go);
	ck_assert_int_eq(ntc_acquire(client, key, &options, &answer), NTC_MAKE);
	ntc_answer_clear(&answer);
	ntc_test_collect(&group, LIMIT_MS, NULL);
	ntc_key_free(key);
	ntc_close(client);
	ntc_test_stop(&d);
}
END_TEST

static void *acquire_in_thread(void *arg)
{
	struct ntc_key *key = key_of(1);
	struct ntc_answer *answer = arg;
	struct ntc_client *client = open_client(0);

	(void)ntc_acquire(client, key, NULL, answer);
	ntc_close(client);
	ntc_key_free(key);
	return NULL;
}

static bool somebody_waits(void *ctx)
{
	struct counter c = { "waits", 0 };

	return ntc_stats(ctx, LIMIT_MS, take_counter, &c) == NTC_OK && c.value >= 1;
}

/* The daemon dies while somebody waits: the waiter goes on alone, or asks the new one. */
START_TEST(test_daemon_dies_under_a_wait)
{
	struct ntc_test_group group = { 0 };
	struct ntc_test_daemon d = { 0 };
	struct ntc_client *watcher;
	struct ntc_answer answer = { .err = NTC_OK };
	struct shared *shared;
	pthread_t thread;
	int code;

	ntc_test_start(&d, NULL);
	shared = start_holder(&group);
	watcher = open_client(0);
	ck_assert_int_eq(pthread_create(&thread, NULL, acquire_in_thread, &answer), 0);
	ck_assert(ntc_test_until(ntc_test_ms(LIMIT_MS), somebody_waits, watcher));
	ntc_test_kill(&d);
	pthread_join(thread, NULL);
	ck_assert_int_eq(answer.err, NTC_ALONE);
	/* A new one is found again without opening anew; and serves what was acknowledged. */
	ntc_test_start(&d, NULL);
	ntc_test_signal(shared->go);
	ntc_test_collect(&group, LIMIT_MS, &code);
	ck_assert_int_eq(code, 0);
	ntc_answer_clear(&answer);
	ntc_close(watcher);
	ntc_test_stop(&d);
}
END_TEST

static bool pings(void *client)
{
	return ntc_ping(client, 1000, NULL) == NTC_OK;
}

START_TEST(test_restart)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_key *key = key_of(1);
	struct ntc_entry *entry = entry_of(key, 100000, 'x'), *got;
	struct ntc_client *client;

	ntc_test_start(&d, NULL);
	client = open_client(0);
	ck_assert_int_eq(ntc_put(client, NULL, entry, 1), NTC_OK);
	ck_assert_int_eq(ntc_sync(client, LIMIT_MS), NTC_OK);
	ntc_test_kill(&d);
	/* Its files are still there. */
	ck_assert_int_eq(ntc_lookup(client, key, LIMIT_MS, &got), NTC_OK);
	ntc_entry_unref(got);
	ck_assert_int_eq(ntc_ping(client, LIMIT_MS, NULL), NTC_E_NO_DAEMON);
	ntc_test_start(&d, NULL);
	ck_assert(ntc_test_until(ntc_test_ms(LIMIT_MS), pings, client));
	ck_assert_int_eq(ntc_lookup(client, key, LIMIT_MS, &got), NTC_OK);
	ck_assert(holds(got, 100000, 'x'));
	ntc_entry_unref(got);
	ntc_entry_unref(entry);
	ntc_key_free(key);
	ntc_close(client);
	ntc_test_stop(&d);
}
END_TEST

/* A daemon that is stopped, not dead: every call ends. */
START_TEST(test_stopped_daemon)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_key *key = key_of(1);
	struct ntc_client *old, *new;
	struct ntc_answer answer;

	ntc_test_start(&d, NULL);
	old = open_client(0), new = open_client(0);
	ck_assert_int_eq(ntc_ping(old, LIMIT_MS, NULL), NTC_OK);
	ck_assert_int_eq(kill(d.pid, SIGSTOP), 0);
	ck_assert_int_eq(ntc_ping(old, 200, NULL), NTC_E_TIMEOUT);
	ck_assert_int_eq(ntc_ping(new, 200, NULL), NTC_E_TIMEOUT);
	/* No greeting: not waited for longer than a greeting may take. */
	ck_assert_int_eq(ntc_acquire(new, key, NULL, &answer), NTC_ALONE);
	ck_assert_int_eq(kill(d.pid, SIGCONT), 0);
	ck_assert_int_eq(ntc_ping(old, LIMIT_MS, NULL), NTC_OK);
	ntc_key_free(key);
	ntc_close(old), ntc_close(new);
	ntc_test_stop(&d);
}
END_TEST

/* --- threads and forks -------------------------------------------------------------------- */

static void *work(void *arg)
{
	for (int round = 0; round < 20; round++) {
		struct shared unused = { .failed = 0 };
		struct maker m = { &unused, round % KEYS, NTC_OK };
		struct ntc_key *key = key_of(m.x);
		struct ntc_entry *entry;

		ck_assert_int_eq(ntc_fetch(arg, key, NULL, make, &m, &entry, NULL), NTC_OK);
		ck_assert(holds(entry, 1000, (char)('a' + m.x)));
		ntc_entry_unref(entry);
		ntc_key_free(key);
	}
	return NULL;
}

START_TEST(test_threads)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_client *client;
	pthread_t threads[8];

	ntc_test_start(&d, NULL);
	client = open_client(0);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, work, client), 0);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	ck_assert_int_ge(counter(client, "puts"), KEYS);
	ntc_close(client);
	ntc_test_stop(&d);
}
END_TEST

struct inherited {
	struct ntc_client *client;
	struct ntc_lease *lease;
};

static int use_in_child(void *ctx, unsigned i)
{
	struct inherited *inherited = ctx;
	struct ntc_key *key = key_of(100 + (int)i);
	struct ntc_entry *entry = entry_of(key, 10, 'x'), *got;

	NTC_CHILD_CHECK(ntc_extend(inherited->lease, 1000) == NTC_E_LEASE);
	NTC_CHILD_CHECK(ntc_put(inherited->client, NULL, entry, 1) == NTC_OK);
	NTC_CHILD_CHECK(ntc_lookup(inherited->client, key, LIMIT_MS, &got) == NTC_OK);
	ntc_entry_unref(got);
	ntc_release(inherited->lease);
	ntc_close(inherited->client);
	ntc_entry_unref(entry);
	ntc_key_free(key);
	return 0;
}

START_TEST(test_fork)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_key *key = key_of(1);
	struct ntc_entry *entry = entry_of(key, 10, 'x');
	struct inherited inherited;
	struct ntc_answer answer;

	ntc_test_start(&d, NULL);
	inherited.client = open_client(0);
	ck_assert_int_eq(ntc_acquire(inherited.client, key, NULL, &answer), NTC_MAKE);
	inherited.lease = answer.lease;
	ntc_test_children(4, use_in_child, &inherited, ntc_test_ms(LIMIT_MS), NULL);
	/* The parent still has its lease and its connection. */
	ck_assert_int_eq(ntc_extend(answer.lease, 1000), NTC_OK);
	ck_assert_int_eq(ntc_put(inherited.client, answer.lease, entry, 1), NTC_OK);
	ntc_entry_unref(entry);
	ntc_key_free(key);
	ntc_close(inherited.client);
	ntc_test_stop(&d);
}
END_TEST

START_TEST(test_refresh)
{
	struct ntc_options options = NTC_OPTIONS_INIT;
	struct ntc_test_daemon d = { 0 };
	struct ntc_key *key = key_of(1);
	struct ntc_entry *one = entry_of(key, 10, 'x'), *other = entry_of(key, 10, 'y');
	struct ntc_client *client, *refresh;
	struct ntc_answer answer;

	ntc_test_start(&d, NULL);
	client = open_client(0);
	ck_assert_int_eq(ntc_put(client, NULL, one, 1), NTC_OK);
	options.mode = NTC_MODE_REFRESH;
	ck_assert_int_eq(ntc_open(&options, &refresh), NTC_OK);
	ck_assert_int_eq(ntc_acquire(refresh, key, NULL, &answer), NTC_MAKE);
	ck_assert_int_eq(ntc_put(refresh, answer.lease, one, 1), NTC_KNOWN);
	ck_assert_int_eq(ntc_acquire(refresh, key, NULL, &answer), NTC_MAKE);
	ck_assert_int_eq(ntc_put(refresh, answer.lease, other, 1), NTC_DIFFERS);
	ntc_entry_unref(one), ntc_entry_unref(other);
	ntc_key_free(key);
	ntc_close(client), ntc_close(refresh);
	ntc_test_stop(&d);
}
END_TEST

/* --- autostart ---------------------------------------------------------------------------- */

static int start_one(void *ctx, unsigned i)
{
	struct ntc_client *client = open_client(NTC_AUTOSTART);
	uint64_t *pids = ctx;

	/* Something for the daemon to inherit, which it must not. */
	NTC_CHILD_CHECK(dup2(1, 900) == 900);
	if (ntc_ping(client, LIMIT_MS, &pids[i]) != NTC_OK) {
		fprintf(stderr, "worker %u: %s\n", i, ntc_last_error());
		return 1;
	}
	ntc_close(client);
	return 0;
}

#define STARTERS 50

static bool is_gone(void *ctx)
{
	return kill(*(pid_t *)ctx, 0) != 0;
}

START_TEST(test_autostart)
{
	uint64_t *pids = ntc_test_shared(STARTERS * sizeof(*pids));
	char path[64];
	pid_t daemon;

	ntc_test_children(STARTERS, start_one, pids, ntc_test_ms(LIMIT_MS), NULL);
	for (int i = 1; i < STARTERS; i++)
		ck_assert_uint_eq(pids[i], pids[0]);
	daemon = (pid_t)pids[0];
	ck_assert_int_gt(daemon, 1);
	/* A session of its own, nobody's child here, nothing inherited. */
	ck_assert_int_ne(getsid(daemon), getsid(0));
	snprintf(path, sizeof(path), "/proc/%d/fd/900", (int)daemon);
	ck_assert_int_ne(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s.log", ntc_test_path("main.sock"));
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_int_eq(kill(daemon, SIGTERM), 0);
	ck_assert(ntc_test_until(ntc_test_ms(LIMIT_MS), is_gone, &daemon));
}
END_TEST

/* A daemon that cannot start costs the workers one wait, together. */
START_TEST(test_autostart_fails)
{
	struct ntc_options options = NTC_OPTIONS_INIT;
	struct ntc_client *client;
	struct ntc_answer answer;
	struct ntc_key *key = key_of(1);

	options.flags = NTC_AUTOSTART;
	options.daemon = "/bin/false";
	ck_assert_int_eq(ntc_open(&options, &client), NTC_OK);
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_ALONE);
	/* Its end is noticed; the limit is not waited for. */
	ck_assert_msg(strstr(answer.why, "ended at once"), "%s", answer.why);
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &answer), NTC_ALONE);
	ntc_close(client);
	/* Nothing there, and a directory: said at once. */
	for (int i = 0; i < 2; i++) {
		options.daemon = i ? ntc_test_dir() : ntc_test_path("no-such-daemon");
		ck_assert_int_eq(ntc_open(&options, &client), NTC_OK);
		ck_assert_int_eq(ntc_ping(client, LIMIT_MS, NULL), NTC_E_NO_DAEMON);
		ck_assert_ptr_nonnull(strstr(ntc_last_error(), "cannot start"));
		ck_assert_ptr_nonnull(strstr(ntc_last_error(), options.daemon));
		ntc_close(client);
	}
	ntc_key_free(key);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client");
	TCase *tc = tcase_create("client");

	tcase_add_checked_fixture(tc, ntc_test_setup, ntc_test_teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_share);
	tcase_add_test(tc, test_manage);
	tcase_add_test(tc, test_rotten_file);
	tcase_add_test(tc, test_once);
	tcase_add_test(tc, test_many_once);
	tcase_add_test(tc, test_failure_is_shared);
	tcase_add_test(tc, test_time_is_over);
	tcase_add_test(tc, test_daemon_dies_under_a_wait);
	tcase_add_test(tc, test_restart);
	tcase_add_test(tc, test_stopped_daemon);
	tcase_add_test(tc, test_threads);
	tcase_add_test(tc, test_lost_put);
	tcase_add_test(tc, test_fork);
	tcase_add_test(tc, test_refresh);
	tcase_add_test(tc, test_autostart);
	tcase_add_test(tc, test_autostart_fails);
	suite_add_tcase(suite, tc);
	return ntc_test_run(suite);
}
