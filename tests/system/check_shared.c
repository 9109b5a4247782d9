/*
 * The shared segment between a real daemon and real clients: what it gives, what nobody can do to it, and what is seen of a
 * removal, a death, a successor, a fork. The algorithm's own tests are tests/unit/check_segment*.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fdpass.h"
#include "proto/segment.h"
#include "tests/support/harness.h"
#include "tests/support/making.h"
#include "tests/support/wire.h"

#define LIMIT_MS 20000

/* The sanitizers make system calls of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static struct ntc_test_daemon d;
static struct ntc_client *maker, *reader;

/* Large enough to have a file, where `number` is below FILES. */
#define FILES 10

static void put(uint64_t number)
{
	static const uint8_t padding[20000];
	struct ntc_key *key = making_key(number);
	struct ntc_entry *entry = NULL;
	uint8_t bytes[4160];
	struct ntc_part_data parts[2] = { { "binary", bytes, making_bytes(number, bytes) },
					  { "padding", padding, sizeof(padding) } };

	ck_assert_int_eq(ntc_entry_new(key, NULL, parts, number < FILES ? 2 : 1, &entry), NTC_OK);
	ck_assert_msg(ntc_put(maker, NULL, entry, 1000) >= 0, "%s", ntc_last_error());
	ntc_entry_unref(entry);
	ntc_key_free(key);
}

/* Where `client` finds it: an enum ntc_source, or -1 for a miss. What is found is right. */
static int found(struct ntc_client *client, uint64_t number)
{
	struct ntc_key *key = making_key(number);
	struct ntc_entry *entry;
	enum ntc_err err = ntc_lookup(client, key, LIMIT_MS, &entry);
	int source = -1;

	ck_assert_msg(err == NTC_OK || err == NTC_MISS, "%s", ntc_last_error());
	if (err == NTC_OK) {
		ck_assert(making_right(entry, number));
		source = (int)ntc_entry_source(entry);
		ntc_entry_unref(entry);
	}
	ntc_key_free(key);
	return source;
}

static void removed(uint64_t number)
{
	struct ntc_key *key = making_key(number);

	ck_assert_msg(ntc_remove(maker, key, LIMIT_MS) == NTC_OK, "%s", ntc_last_error());
	ntc_key_free(key);
}

static void start(void)
{
	ntc_test_setup();
	d = (struct ntc_test_daemon){ 0 };
	ntc_test_start(&d, NULL);
	maker = making_client(d.socket);
	reader = making_client(d.socket);
	put(1);
	ck_assert_int_eq(found(reader, 1), NTC_FROM_SEGMENT);
}

static void stop(void)
{
	ntc_close(maker);
	ntc_close(reader);
	ntc_test_teardown();
}

/* --- hits --------------------------------------------------------------------------------- */

static void stopped(void)
{
	ck_assert_int_eq(kill(d.pid, SIGSTOP), 0);
}

static void goes_on(void)
{
	ck_assert_int_eq(kill(d.pid, SIGCONT), 0);
}

/* A daemon that does nothing at all holds no hit up. */
START_TEST(test_asks_nobody)
{
	for (uint64_t n = 2; n < 50; n++)
		put(n);
	stopped();
	for (uint64_t n = 1; n < 50; n++)
		ck_assert_int_eq(found(reader, n), NTC_FROM_SEGMENT);
	goes_on();
}
END_TEST

static void look_at(void *ctx, const struct ntc_peek *peek)
{
	const void *data;
	size_t len;

	if (ntc_peek_part(peek, "binary", &data, &len) && len)
		*(uint8_t *)ctx = *(const volatile uint8_t *)data;
}

/* In a process that may read, write and end: anything else kills it, also a look at the exact time. */
static int confined(void *ctx, unsigned i)
{
	struct ntc_client *client = making_client(ctx);
	struct ntc_key *key = making_key(1);
	struct ntc_entry *entry;
	uint8_t first = 0;

	(void)i;
	/* Attached, with the memory that it needs. */
	for (int n = 0; n < 10; n++) {
		NTC_CHILD_CHECK(ntc_lookup(client, key, LIMIT_MS, &entry) == NTC_OK);
		ntc_entry_unref(entry);
	}
	ntc_report(client);
	NTC_CHILD_CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0);
	for (int n = 0; n < 1000; n++) {
		if (ntc_lookup(client, key, LIMIT_MS, &entry) != NTC_OK ||
		    ntc_entry_source(entry) != NTC_FROM_SEGMENT || !making_right(entry, 1))
			syscall(SYS_exit, 1);
		ntc_entry_unref(entry);
		if (ntc_peek(client, key, look_at, &first) != NTC_OK || first != (uint8_t)62)
			syscall(SYS_exit, 2);
	}
	syscall(SYS_exit, 0);
	return 3;
}

START_TEST(test_no_system_call)
{
	if (!SANITIZED)
		ntc_test_children(1, confined, d.socket, LIMIT_MS, NULL);
}
END_TEST

struct seen {
	unsigned calls;
	bool right;
};

static void see(void *ctx, const struct ntc_peek *peek)
{
	struct seen *seen = ctx;
	uint8_t bytes[4160];
	const void *data;
	size_t len;

	seen->calls++;
	seen->right = ntc_peek_part(peek, "padding", &data, &len) && len == 20000 &&
		      ntc_peek_part(peek, "binary", &data, &len) && len == making_bytes(1, bytes) &&
		      memcmp(data, bytes, len) == 0 && (uintptr_t)data % 64 == 0 &&
		      !ntc_peek_part(peek, "bin", &data, &len) && !data && !len &&
		      !ntc_peek_part(peek, "binary2", &data, &len) && !ntc_peek_part(peek, "", &data, &len);
}

START_TEST(test_peek)
{
	struct ntc_key *key = making_key(1), *other = making_key(2);
	struct seen seen = { 0 };

	ck_assert_int_eq(ntc_peek(reader, key, see, &seen), NTC_OK);
	ck_assert_uint_eq(seen.calls, 1);
	ck_assert(seen.right);
	ck_assert_int_eq(ntc_peek(reader, other, see, &seen), NTC_MISS);
	ck_assert_int_eq(ntc_peek(reader, NULL, see, &seen), NTC_E_INVALID);
	ck_assert_int_eq(ntc_peek(reader, key, NULL, NULL), NTC_E_INVALID);
	ck_assert_int_eq(ntc_peek(NULL, key, see, &seen), NTC_E_INVALID);
	ck_assert_uint_eq(seen.calls, 1);
	removed(1);
	ck_assert_int_eq(ntc_peek(reader, key, see, &seen), NTC_MISS);
	ck_assert_uint_eq(seen.calls, 1);
	ntc_key_free(key);
	ntc_key_free(other);
}
END_TEST

/* What changes while it is looked at is not believed. */
static void remove_it(void *ctx, const struct ntc_peek *peek)
{
	struct seen *seen = ctx;

	(void)peek;
	if (seen->calls++ == 0)
		removed(1);
}

START_TEST(test_removed_while_looking)
{
	struct ntc_key *key = making_key(1);
	struct seen seen = { 0 };

	ck_assert_int_eq(ntc_peek(reader, key, remove_it, &seen), NTC_MISS);
	ck_assert_uint_eq(seen.calls, 1);
	ntc_key_free(key);
}
END_TEST

START_TEST(test_none)
{
	ck_assert_int_eq(ntc_sync(maker, LIMIT_MS), NTC_OK);
	ntc_test_stop(&d);
	ntc_test_start(&d, "--segment-size", "0", NULL);
	ntc_report(reader);
	put(2);
	ck_assert_int_eq(ntc_sync(maker, LIMIT_MS), NTC_OK);
	ck_assert_int_eq(found(reader, 2), NTC_FROM_FILE);
	ck_assert_int_eq(making_counter(maker, "segment_size"), 0);
}
END_TEST

/* --- what nobody can do to it ------------------------------------------------------------- */

/* The descriptor that comes with SEGMENT. */
static int segment_fd(uint64_t *size)
{
	int fds[4], segment = -1;
	size_t count, len = 0;
	uint8_t in[4096];
	struct wire w;

	ck_assert(wire_open(&w, d.socket));
	while (segment < 0) {
		struct pollfd p = { .fd = w.fd, .events = POLLIN };
		struct ntc_frame frame;
		size_t used, at = 0;
		ssize_t n;

		ck_assert_int_eq(poll(&p, 1, LIMIT_MS), 1);
		n = ntc_fd_recv(w.fd, in + len, sizeof(in) - len, fds, 4, &count);
		ck_assert_int_gt(n, 0);
		len += (size_t)n;
		while (ntc_frame_parse(ntc_view(in + at, len - at), &frame, &used) == NTC_ST_OK) {
			struct ntc_msg_segment m;

			if (frame.type == NTC_MSG_SEGMENT) {
				ck_assert(ntc_msg_segment_read(frame.payload, &m));
				*size = m.size;
				segment = fds[--count];
			}
			at += used;
		}
		while (count)
			close(fds[--count]);
	}
	wire_close(&w);
	return segment;
}

START_TEST(test_sealed)
{
	struct ntc_segment segment;
	char path[64];
	uint64_t size = 0;
	int fd = segment_fd(&size), again;
	void *p;

	ck_assert_uint_eq(size, 64 << 20);
	ck_assert_int_eq(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	ck_assert_int_eq(ntc_segment_open(p, size, &segment, NULL), NTC_ST_OK);
	ck_assert(ntc_segment_alive(&segment));
	ck_assert_int_ne(mprotect(p, size, PROT_READ | PROT_WRITE), 0);
	ck_assert_int_ne(madvise(p, size, MADV_REMOVE), 0);
	/* The same user may open the file for writing (root may anything): the seals hold all the same. */
	ck_assert_int_eq(fchmod(fd, 0600), 0);
	again = open(path, O_RDWR | O_CLOEXEC);
	for (int f = fd; f >= 0; f = f == fd ? again : -1) {
		ck_assert_ptr_eq(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, f, 0), MAP_FAILED);
		ck_assert_int_eq(pwrite(f, "x", 1, 0), -1);
		ck_assert_int_ne(ftruncate(f, 4096), 0);
		ck_assert_int_ne(ftruncate(f, (off_t)size + 4096), 0);
		ck_assert_int_ne(fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
		ck_assert_int_ne(fcntl(f, F_ADD_SEALS, F_SEAL_WRITE), 0);
	}
	ck_assert(ntc_segment_alive(&segment));
	ntc_test_kill(&d);
	ck_assert(!ntc_segment_alive(&segment));
	munmap(p, size);
	close(fd);
	if (again >= 0)
		close(again);
}
END_TEST

/* --- removals and deaths ------------------------------------------------------------------ */

START_TEST(test_removal_is_seen_at_once)
{
	for (int round = 0; round < 50; round++) {
		put(7);
		ck_assert_int_eq(found(reader, 7), NTC_FROM_SEGMENT);
		removed(7);
		ck_assert_int_eq(found(reader, 7), -1);
	}
}
END_TEST

/* Nobody told the reader, and it has not looked at its connection: the kernel marked the segment. */
START_TEST(test_death_is_seen_at_once)
{
	ck_assert_int_eq(ntc_sync(maker, LIMIT_MS), NTC_OK);
	ck_assert_int_eq(found(reader, 1), NTC_FROM_SEGMENT);
	ntc_test_kill(&d);
	ck_assert_int_eq(found(reader, 1), NTC_FROM_FILE);
	/* A successor may remove what the dead one published. */
	ntc_test_start(&d, NULL);
	removed(1);
	ck_assert_int_eq(found(reader, 1), -1);
}
END_TEST

START_TEST(test_end_is_seen_at_once)
{
	ntc_test_stop(&d);
	ck_assert_int_eq(found(reader, 1), NTC_FROM_FILE);
	ntc_test_start(&d, NULL);
	/* Its report finds the new daemon, whose segment is empty. */
	ntc_report(reader);
	ck_assert_int_eq(found(reader, 1), NTC_FROM_FILE);
	put(2);
	ck_assert_int_eq(found(reader, 2), NTC_FROM_SEGMENT);
}
END_TEST

static bool in_segment(void *ctx)
{
	(void)ctx;
	ntc_report(reader);
	return found(reader, 1) == NTC_FROM_SEGMENT;
}

/* Used once it stays a file; used again it is shared. */
START_TEST(test_use_promotes)
{
	ck_assert_int_eq(ntc_sync(maker, LIMIT_MS), NTC_OK);
	/* What it counted so far goes to the old daemon. */
	ntc_report(reader);
	ntc_test_stop(&d);
	ntc_test_start(&d, NULL);
	ck_assert_int_eq(found(reader, 1), NTC_FROM_FILE);
	ntc_report(reader);
	ck_assert_int_eq(making_counter(reader, "segment_promoted"), 0);
	ck_assert_int_eq(found(reader, 1), NTC_FROM_FILE);
	ck_assert(ntc_test_until(LIMIT_MS, in_segment, NULL));
	ck_assert_int_eq(making_counter(reader, "segment_promoted"), 1);
	ck_assert_int_eq(making_counter(reader, "segment_entries"), 1);
}
END_TEST

/* A small one has no file: whoever asks for it puts it there. */
START_TEST(test_asking_promotes)
{
	put(FILES);
	ck_assert_int_eq(ntc_sync(maker, LIMIT_MS), NTC_OK);
	ntc_report(reader);
	ntc_test_stop(&d);
	ntc_test_start(&d, NULL);
	ck_assert_int_eq(found(reader, FILES), NTC_FROM_SOCKET);
	ck_assert_int_eq(found(reader, FILES), NTC_FROM_SEGMENT);
	ck_assert_int_eq(making_counter(reader, "segment_promoted"), 1);
}
END_TEST

/* Who asks for what is in the segment is answered from there, also where the file is gone; and no longer when it is removed. */
START_TEST(test_asked_from_memory)
{
	struct ntc_msg_lookup lookup = { 0 };
	struct ntc_test_output output;
	struct ntc_key *key = making_key(1);
	struct ntc_msg_entry entry;
	struct ntc_frame frame;
	struct ntc_image image;
	uint8_t payload[256];
	struct ntc_writer w;
	struct wire wire;
	size_t len;

	ck_assert_int_eq(ntc_sync(maker, LIMIT_MS), NTC_OK);
	/* What goes on behind a start would notice. */
	ck_assert(ntc_test_until(LIMIT_MS, making_recovered, maker));
	ntc_test_command(&output, LIMIT_MS, "sh", "-c", "rm \"$0\"/default/[0-9a-f][0-9a-f]/*", d.cache, NULL);
	ck_assert_msg(output.code == 0, "%s", output.err);
	ntc_test_output_clear(&output);
	lookup.key.p = ntc_key_bytes(key, &len);
	lookup.key.len = len;
	for (int round = 0; round < 2; round++) {
		w = ntc_writer(payload, sizeof(payload));
		ntc_msg_lookup_write(&w, &lookup);
		ck_assert(wire_hello(&wire, d.socket));
		ck_assert(wire_frame(&wire, NTC_MSG_LOOKUP, 5, ntc_view(payload, w.len), -1));
		ck_assert_int_eq(wire_answer(&wire, &frame), 1);
		if (round == 0) {
			ck_assert_uint_eq(frame.type, NTC_MSG_ENTRY);
			ck_assert(ntc_msg_entry_read(frame.payload, &entry));
			ck_assert_int_eq(ntc_image_parse(entry.image, &image, NULL), NTC_ST_OK);
			ck_assert_int_eq(ntc_body_verify(&image.body), NTC_ST_OK);
			ck_assert(ntc_view_equal(image.body.key, lookup.key));
			ck_assert_int_eq(making_counter(maker, "hits.socket"), 1);
			/* Its file is gone already. */
			ck_assert_int_ge(ntc_remove(maker, key, LIMIT_MS), 0);
		} else {
			ck_assert_uint_eq(frame.type, NTC_MSG_ERROR);
		}
		wire_close(&wire);
	}
	ntc_key_free(key);
}
END_TEST

/* --- counting ----------------------------------------------------------------------------- */

enum { THREADS = 12, KEYS = 30, LOOKS = 2000 };

static void *count_on(void *arg)
{
	struct ntc_client *client = arg;
	struct ntc_key *keys[KEYS];
	long wrong = 0;

	for (uint64_t k = 0; k < KEYS; k++)
		keys[k] = making_key(k);
	for (int n = 0; n < LOOKS; n++) {
		struct ntc_entry *entry;

		if (ntc_lookup(client, keys[n % KEYS], LIMIT_MS, &entry) != NTC_OK) {
			wrong++;
			continue;
		}
		wrong += !making_right(entry, (uint64_t)n % KEYS);
		ntc_entry_unref(entry);
	}
	for (uint64_t k = 0; k < KEYS; k++)
		ntc_key_free(keys[k]);
	return (void *)wrong;
}

/* Hits of all rungs: who finds every lane taken goes on to the next one. */
static int64_t hits(struct ntc_client *client)
{
	return making_counter(client, "hits.segment") + making_counter(client, "hits.file") +
	       making_counter(client, "hits.socket");
}

/* More threads than lanes, and a child: every hit is counted once. */
START_TEST(test_counts_are_exact)
{
	struct ntc_client *client = making_client(d.socket);
	int64_t before;
	pthread_t threads[THREADS];
	void *wrong;
	pid_t child;

	for (uint64_t k = 0; k < KEYS; k++)
		put(k);
	ntc_report(reader);
	before = hits(reader);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, count_on, client), 0);
	for (int i = 0; i < THREADS; i++) {
		ck_assert_int_eq(pthread_join(threads[i], &wrong), 0);
		ck_assert_ptr_null(wrong);
	}
	/* What the parent has counted is the parent's to report; the child reports its own, on a connection of its own. */
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		wrong = count_on(client);
		ntc_close(client);
		_exit(wrong ? 1 : 0);
	}
	ck_assert_int_eq(ntc_test_reap(child, LIMIT_MS), 0);
	ntc_close(client);
	ck_assert_int_eq(hits(maker), before + (THREADS + 1) * LOOKS);
	ck_assert_int_gt(making_counter(maker, "hits.segment"), THREADS * LOOKS / 2);
	ck_assert_int_eq(making_counter(maker, "reports_dropped"), 0);
}
END_TEST

/* More digests than a lane has places: reported in between, none is lost. */
START_TEST(test_counts_of_many_keys)
{
	struct ntc_client *client = making_client(d.socket);
	int64_t before;

	ntc_report(reader);
	before = making_counter(reader, "hits.segment");
	for (uint64_t n = 0; n < 1500; n++)
		put(n);
	for (uint64_t n = 0; n < 1500; n++)
		ck_assert_int_eq(found(client, n), NTC_FROM_SEGMENT);
	ntc_close(client);
	ck_assert_int_eq(making_counter(maker, "hits.segment"), before + 1500);
}
END_TEST

/* --- everything at once ------------------------------------------------------------------- */

struct storm {
	const char *socket;
	uint64_t *stop;
	uint64_t *wrong, *hits;
};

static void *storm_reader(void *arg)
{
	struct storm *storm = arg;
	struct ntc_client *client = making_client(storm->socket);
	uint64_t x = (uint64_t)(uintptr_t)&x, hits = 0, wrong = 0;

	while (!__atomic_load_n(storm->stop, __ATOMIC_RELAXED)) {
		uint64_t number = ntc_test_random(&x) % 200;
		struct ntc_key *key = making_key(number);
		struct ntc_entry *entry;

		if (ntc_lookup(client, key, LIMIT_MS, &entry) == NTC_OK) {
			hits += ntc_entry_source(entry) == NTC_FROM_SEGMENT;
			wrong += !making_right(entry, number);
			ntc_entry_unref(entry);
		}
		ntc_key_free(key);
	}
	__atomic_fetch_add(storm->hits, hits, __ATOMIC_RELAXED);
	__atomic_fetch_add(storm->wrong, wrong, __ATOMIC_RELAXED);
	ntc_close(client);
	return NULL;
}

static int storm_child(void *ctx, unsigned i)
{
	(void)i;
	storm_reader(ctx);
	return 0;
}

/*
 * A segment for a few entries only, puts and removals all the time, readers in threads and processes; and every now and then the
 * daemon is killed, or stopped, and another one comes. Nobody sees a wrong byte, nobody hangs.
 */
START_TEST(test_storm)
{
	uint64_t *shared = ntc_test_shared(4096), state = ntc_test_seed();
	struct storm storm = { d.socket, &shared[0], &shared[8], &shared[16] };
	struct ntc_test_group group = { 0 };
	pthread_t threads[2];

	ntc_test_stop(&d);
	ntc_test_start(&d, "--segment-size", "256K", NULL);
	ntc_test_spawn(&group, 2, storm_child, &storm);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, storm_reader, &storm), 0);
	ntc_test_release(&group);
	for (int round = 0; round < 6; round++) {
		for (int n = 0; n < 200; n++) {
			uint64_t number = ntc_test_random(&state) % 200;
			struct ntc_key *key = making_key(number);

			if (ntc_test_random(&state) % 4 == 0)
				ck_assert_int_ge(ntc_remove(maker, key, LIMIT_MS), 0);
			else
				put(number);
			ntc_key_free(key);
		}
		if (round % 2)
			ntc_test_stop(&d);
		else
			ntc_test_kill(&d);
		ntc_test_start(&d, "--segment-size", "256K", NULL);
	}
	__atomic_store_n(storm.stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ntc_test_collect(&group, LIMIT_MS, NULL);
	ck_assert_uint_eq(*storm.wrong, 0);
	ck_assert_uint_gt(*storm.hits, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shared");
	TCase *tc = tcase_create("shared");

	tcase_add_checked_fixture(tc, start, stop);
	tcase_set_timeout(tc, ntc_test_ms(60000) / 1000.0);
	tcase_add_test(tc, test_asks_nobody);
	tcase_add_test(tc, test_no_system_call);
	tcase_add_test(tc, test_peek);
	tcase_add_test(tc, test_removed_while_looking);
	tcase_add_test(tc, test_none);
	tcase_add_test(tc, test_sealed);
	tcase_add_test(tc, test_removal_is_seen_at_once);
	tcase_add_test(tc, test_death_is_seen_at_once);
	tcase_add_test(tc, test_end_is_seen_at_once);
	tcase_add_test(tc, test_use_promotes);
	tcase_add_test(tc, test_asking_promotes);
	tcase_add_test(tc, test_asked_from_memory);
	tcase_add_test(tc, test_counts_are_exact);
	tcase_add_test(tc, test_counts_of_many_keys);
	tcase_add_test(tc, test_storm);
	suite_add_tcase(suite, tc);
	return ntc_test_run(suite);
}
