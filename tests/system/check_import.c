/* Many entries at once: imported, shown, verified, through the library and a real daemon. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/entry.h"
#include "tests/support/harness.h"
#include "tests/support/making.h"
#include "tests/support/wire.h"

#define LIMIT_MS 20000
#define DAY_NS (UINT64_C(86400) * 1000000000)

/* The entry of `number` whose part has `size` bytes that all are `fill`. */
static struct ntc_entry *filled(uint64_t number, size_t size, char fill)
{
	struct ntc_key *key = making_key(number);
	char *data = malloc(size ? size : 1);
	struct ntc_part_data part = { "binary", data, size };
	struct ntc_entry *entry;

	memset(data, fill, size);
	ck_assert_int_eq(ntc_entry_new(key, NULL, &part, 1, &entry), NTC_OK);
	ntc_key_free(key);
	free(data);
	return entry;
}

/* --- importing ---------------------------------------------------------------------------- */

/* Entries from..to-1, as `make` makes them, and what became of them. */
struct stream {
	uint64_t from, to, next;
	struct ntc_entry *(*make)(const struct stream *stream, uint64_t number);
	size_t size;
	char fill;
	uint64_t told, stop;            /* stop after so many; 0 = do not */
	unsigned fresh, known, differs, refused;
	enum ntc_err refusal;
	char why[256];
	uint64_t *durable;              /* counts what was told to be durable; may be NULL */
};

static struct ntc_entry *make_small(const struct stream *stream, uint64_t number)
{
	struct ntc_key *key = making_key(number);
	struct ntc_entry *entry = making_entry(key, number);

	(void)stream;
	ntc_key_free(key);
	return entry;
}

static struct ntc_entry *make_filled(const struct stream *stream, uint64_t number)
{
	return filled(number, stream->size, stream->fill);
}

static struct ntc_entry *next_entry(void *ctx)
{
	struct stream *stream = ctx;

	return stream->next < stream->to ? stream->make(stream, stream->next++) : NULL;
}

static bool told(void *ctx, struct ntc_entry *entry, enum ntc_err err)
{
	struct stream *stream = ctx;
	struct ntc_digest expected, got = ntc_entry_digest(entry);
	struct ntc_key *key;

	/* First of all: other calls forget it. */
	if (err < 0)
		snprintf(stream->why, sizeof(stream->why), "%s", ntc_last_error());
	key = making_key(stream->from + stream->told++);
	expected = ntc_key_digest_of(key);
	ntc_key_free(key);
	if (memcmp(&expected, &got, sizeof(got)) != 0)
		return false; /* out of order */
	stream->fresh += err == NTC_OK;
	stream->known += err == NTC_KNOWN;
	stream->differs += err == NTC_DIFFERS;
	if (err < 0) {
		stream->refused++;
		stream->refusal = err;
	}
	if (stream->durable && err == NTC_OK)
		__atomic_store_n(stream->durable, stream->told, __ATOMIC_RELEASE);
	return stream->told != stream->stop;
}

static void import(struct ntc_client *client, struct stream *stream)
{
	enum ntc_err err;

	stream->next = stream->from;
	if (!stream->make)
		stream->make = make_small;
	err = ntc_import(client, LIMIT_MS, next_entry, told, stream);
	ck_assert_msg(err == NTC_OK, "%s: %s", ntc_err_name(err), ntc_last_error());
	if (!stream->stop)
		ck_assert_uint_eq(stream->told, stream->to - stream->from);
}

static unsigned count_right(struct ntc_client *client, uint64_t from, uint64_t to)
{
	unsigned right = 0;

	for (uint64_t i = from; i < to; i++) {
		struct ntc_key *key = making_key(i);
		struct ntc_entry *entry;

		if (ntc_lookup(client, key, LIMIT_MS, &entry) == NTC_OK && making_right(entry, i))
			right++;
		ntc_entry_unref(entry);
		ntc_key_free(key);
	}
	return right;
}

START_TEST(test_new_known_differs)
{
	struct stream first = { .to = 1500 }, again = { .to = 2000 }, other = { .to = 10, .make = make_filled, .size = 5 };
	struct ntc_test_daemon d = { 0 };
	struct ntc_client *client;

	ntc_test_start(&d, NULL);
	client = making_client(NULL);
	import(client, &first);
	ck_assert_uint_eq(first.fresh, 1500);
	ck_assert_int_eq(making_counter(client, "imports"), 1500);
	/* What was told to be new is durable: nothing is waited for. */
	ntc_test_kill(&d);
	ntc_test_start(&d, NULL);
	ck_assert_uint_eq(count_right(client, 0, 1500), 1500);
	import(client, &again);
	ck_assert_uint_eq(again.known, 1500);
	ck_assert_uint_eq(again.fresh, 500);
	import(client, &other);
	ck_assert_uint_eq(other.differs, 10);
	ck_assert_uint_eq(count_right(client, 0, 2000), 2000);
	ck_assert_int_eq(making_counter(client, "makes"), 0);
	ck_assert_int_eq(making_counter(client, "puts"), 0);
	ntc_close(client);
	ntc_test_stop(&d);
}
END_TEST

START_TEST(test_sizes)
{
	static const size_t sizes[] = { 0, 60000, 65000, 66000, 70000, 900000, 1 << 20, 3 << 20 };
	struct ntc_test_daemon d = { 0 };
	struct ntc_client *client;

	ntc_test_start(&d, "--max-entry", "2M", NULL);
	client = making_client(NULL);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct stream one = { .from = i, .to = i + 1, .make = make_filled, .size = sizes[i], .fill = 'z' };
		struct ntc_key *key = making_key(i);
		struct ntc_entry *entry;
		struct ntc_part_view part;

		import(client, &one);
		if (sizes[i] > 2 << 20) {
			ck_assert_uint_eq(one.refused, 1);
			ck_assert_int_eq(one.refusal, NTC_E_TOO_LARGE);
		} else {
			ck_assert_uint_eq(one.fresh, 1);
			ck_assert_int_eq(ntc_lookup(client, key, LIMIT_MS, &entry), NTC_OK);
			ck_assert_int_eq(ntc_entry_find(entry, "binary", &part), NTC_OK);
			ck_assert_uint_eq(part.len, sizes[i]);
			ntc_entry_unref(entry);
		}
		ntc_key_free(key);
	}
	ntc_close(client);
	ntc_test_stop(&d);
}
END_TEST

/* More bytes than may be under way at once, and a caller who has enough. */
START_TEST(test_window)
{
	struct stream big = { .to = 100, .make = make_filled, .size = 1 << 20, .fill = 'b' };
	struct stream some = { .from = 200, .to = 5000, .stop = 50 }, all = { .from = 200, .to = 300 };
	struct ntc_test_daemon d = { 0 };
	struct ntc_client *client;

	ntc_test_start(&d, NULL);
	client = making_client(NULL);
	import(client, &big);
	ck_assert_uint_eq(big.fresh, 100);
	import(client, &some);
	ck_assert_uint_eq(some.told, 50);
	ck_assert_uint_eq(some.fresh, 50);
	import(client, &all);
	ck_assert_uint_eq(all.fresh + all.known, 100);
	ntc_close(client);
	ntc_test_stop(&d);
}
END_TEST

/* Every entry hears of its own fate; and puts of others are not called lost. */
START_TEST(test_lost)
{
	struct stream some = { .to = 30, .make = make_filled, .size = 20000 }, more = { .to = 30, .make = make_filled, .size = 20000 };
	struct ntc_test_daemon d = { 0 };
	struct ntc_client *client;

	ntc_test_start(&d, NULL);
	client = making_client(NULL);
	ck_assert(making_losses(ntc_test_path("main.cache"), true));
	import(client, &some);
	ck_assert_uint_eq(some.refused, 30);
	ck_assert_int_eq(some.refusal, NTC_E_IO);
	ck_assert_msg(strstr(some.why, "could not be written"), "%s", some.why);
	ck_assert_int_eq(ntc_sync(client, LIMIT_MS), NTC_OK);
	ck_assert_int_eq(making_counter(client, "imports"), 0);
	ck_assert(making_losses(ntc_test_path("main.cache"), false));
	ntc_test_stop(&d);
	ntc_test_start(&d, NULL);
	import(client, &more);
	ck_assert_uint_eq(more.fresh, 30);
	ntc_close(client);
	ntc_test_stop(&d);
}
END_TEST

/* Known, by a put that the disk then loses: nobody is told that it is safe. */
START_TEST(test_known_and_lost)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_client *maker, *importer;
	unsigned known = 0;

	ntc_test_start(&d, NULL);
	maker = making_client(NULL), importer = making_client(NULL);
	ck_assert(making_losses(ntc_test_path("main.cache"), true));
	for (uint64_t i = 0; i < 100; i++) {
		struct stream stream = { .from = i, .to = i + 1, .next = i, .make = make_filled, .size = 20000 };
		struct ntc_entry *entry = filled(i, 20000, 0);
		enum ntc_err err;

		ck_assert_int_eq(ntc_put(maker, NULL, entry, 0), NTC_OK);
		err = ntc_import(importer, LIMIT_MS, next_entry, told, &stream);
		known += stream.known;
		ck_assert_msg(stream.known ? err == NTC_E_IO : stream.refused == 1, "%s", ntc_err_name(err));
		ntc_entry_unref(entry);
	}
	ck_assert_uint_gt(known, 0);
	ntc_close(maker), ntc_close(importer);
	ck_assert(making_losses(ntc_test_path("main.cache"), false));
	ntc_test_stop(&d);
}
END_TEST

/* kill -9 in the middle: what was told to be new is there. */
static uint64_t *durable;

static int import_until_killed(void *ctx, unsigned i)
{
	struct stream stream = { .to = 1000000, .make = make_small, .durable = durable };
	struct ntc_client *client = making_client(NULL);

	(void)ctx;
	(void)i;
	NTC_CHILD_CHECK(ntc_import(client, LIMIT_MS, next_entry, told, &stream) == NTC_E_NO_DAEMON);
	ntc_close(client);
	return 0;
}

static bool enough(void *ctx)
{
	return __atomic_load_n(durable, __ATOMIC_ACQUIRE) >= *(uint64_t *)ctx;
}

START_TEST(test_killed_daemon)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_test_group group = { 0 };
	struct ntc_client *client;
	uint64_t want = 700;

	durable = ntc_test_shared(sizeof(*durable));
	ntc_test_start(&d, NULL);
	ntc_test_spawn(&group, 1, import_until_killed, NULL);
	ntc_test_release(&group);
	ck_assert(ntc_test_until(LIMIT_MS, enough, &want));
	ntc_test_kill(&d);
	ntc_test_collect(&group, LIMIT_MS, NULL);
	ntc_test_start(&d, NULL);
	client = making_client(NULL);
	ck_assert_uint_eq(count_right(client, 0, *durable), *durable);
	ntc_close(client);
	ntc_test_stop(&d);
}
END_TEST

/* Who waits for a key gets it from an import. */
static void *wait_for_it(void *ctx)
{
	struct ntc_client *client = making_client(NULL);
	struct ntc_key *key = making_key(7);
	struct ntc_answer answer = { .err = NTC_OK };
	static bool right;

	(void)ctx;
	right = ntc_acquire(client, key, NULL, &answer) == NTC_OK && making_right(answer.entry, 7);
	ntc_answer_clear(&answer);
	ntc_key_free(key);
	ntc_close(client);
	return &right;
}

static bool somebody_waits(void *ctx)
{
	return making_counter(ctx, "waits") == 1;
}

START_TEST(test_waited_for)
{
	struct ntc_answer lease = { .err = NTC_OK };
	struct stream stream = { .from = 7, .to = 8 };
	struct ntc_key *key = making_key(7);
	struct ntc_test_daemon d = { 0 };
	struct ntc_client *client, *other;
	pthread_t waiter;
	void *right;

	ntc_test_start(&d, NULL);
	client = making_client(NULL);
	other = making_client(NULL);
	ck_assert_int_eq(ntc_acquire(client, key, NULL, &lease), NTC_MAKE);
	ck_assert_int_eq(pthread_create(&waiter, NULL, wait_for_it, NULL), 0);
	ck_assert(ntc_test_until(LIMIT_MS, somebody_waits, other));
	import(other, &stream);
	ck_assert_int_eq(pthread_join(waiter, &right), 0);
	ck_assert(*(bool *)right);
	ntc_answer_clear(&lease);
	ntc_key_free(key);
	ntc_close(client), ntc_close(other);
	ntc_test_stop(&d);
}
END_TEST

/* --- stamps ------------------------------------------------------------------------------- */

/* The entry of `number` with this stamp; NULL: an empty one. */
static struct ntc_entry *stamped(uint64_t number, const struct ntc_stamp *stamp)
{
	struct ntc_entry *entry = filled(number, 300, 's'), *with;
	size_t size = ntc_entry_image_size(entry);
	uint8_t *image = malloc(size);
	struct ntc_body body;

	ntc_entry_image(entry, true, image);
	ck_assert_int_eq(ntc_body_parse(ntc_view(image, size - NTC_STAMP_SIZE), &body, NULL), NTC_ST_OK);
	if (stamp)
		ntc_stamp_write(stamp, &body.checksum, image + size - NTC_STAMP_SIZE);
	ck_assert_msg(ntc_entry_from_bytes(image, size, &with) == NTC_OK, "%s", ntc_last_error());
	ntc_entry_unref(entry);
	free(image);
	return with;
}

static const struct ntc_stamp from_elsewhere = { UINT64_C(1700000000000000000), 5000000000, 4321, 99, 17, "far-away",
						 "/opt/maker" };

static struct ntc_entry *make_stamped(const struct stream *stream, uint64_t number)
{
	struct ntc_stamp stamp = from_elsewhere;

	if (number == 1)
		return stamped(number, NULL);
	if (number == 2)
		stamp.cost_ns = UINT64_MAX;
	(void)stream;
	return stamped(number, &stamp);
}

static struct ntc_stamp_view stamp_in_daemon(struct ntc_client *client, uint64_t number)
{
	struct ntc_key *key = making_key(number);
	struct ntc_stamp_view stamp;
	struct ntc_entry *entry;

	ck_assert_int_eq(ntc_lookup(client, key, LIMIT_MS, &entry), NTC_OK);
	ck_assert(ntc_entry_stamp(entry, &stamp));
	ntc_entry_unref(entry);
	ntc_key_free(key);
	return stamp;
}

START_TEST(test_operators_stamps)
{
	struct stream stream = { .to = 3, .make = make_stamped };
	struct ntc_test_daemon d = { 0 };
	struct ntc_stamp_view stamp;
	struct ntc_client *client;

	ntc_test_start(&d, NULL);
	client = making_client(NULL);
	import(client, &stream);
	ck_assert_uint_eq(stream.fresh, 3);
	stamp = stamp_in_daemon(client, 0);
	ck_assert(stamp.put_wall_ns == from_elsewhere.put_wall_ns && stamp.cost_ns == from_elsewhere.cost_ns);
	ck_assert(stamp.uid == 4321 && stamp.gid == 99 && stamp.pid == 17);
	ck_assert_str_eq(stamp.host, "far-away");
	ck_assert_str_eq(stamp.exe, "/opt/maker");
	stamp = stamp_in_daemon(client, 1);
	ck_assert(stamp.uid == getuid() && stamp.pid == (uint32_t)getpid() && stamp.cost_ns == 0);
	ck_assert(stamp.put_wall_ns > from_elsewhere.put_wall_ns);
	stamp = stamp_in_daemon(client, 2);
	ck_assert(stamp.uid == 4321 && stamp.cost_ns == DAY_NS);
	ntc_close(client);
	ntc_test_stop(&d);
}
END_TEST

static int import_as_nobody(void *ctx, unsigned i)
{
	struct stream stream = { .to = 3, .make = make_stamped };
	struct ntc_client *client;

	(void)ctx;
	(void)i;
	NTC_CHILD_CHECK(setgid(65534) == 0 && setuid(65534) == 0);
	client = making_client(NULL);
	NTC_CHILD_CHECK(ntc_import(client, LIMIT_MS, next_entry, told, &stream) == NTC_OK);
	NTC_CHILD_CHECK(stream.fresh == 3);
	ntc_close(client);
	return 0;
}

START_TEST(test_anybodys_stamps)
{
	struct ntc_test_daemon d = { 0 };
	struct ntc_stamp_view stamp;
	struct ntc_client *client;

	if (getuid() != 0)
		return; /* only root can be somebody else */
	ntc_test_start(&d, "--socket-mode", "0666", NULL);
	ck_assert_int_eq(chmod(ntc_test_dir(), 0755), 0);
	ntc_test_children(1, import_as_nobody, NULL, LIMIT_MS, NULL);
	client = making_client(NULL);
	for (uint64_t i = 0; i < 3; i++) {
		stamp = stamp_in_daemon(client, i);
		ck_assert(stamp.uid == 65534 && stamp.pid != 17 && strcmp(stamp.host, "far-away") != 0);
		ck_assert(stamp.put_wall_ns > from_elsewhere.put_wall_ns);
		ck_assert(stamp.cost_ns <= DAY_NS && (i != 1 || stamp.cost_ns == 0));
	}
	ntc_close(client);
	ntc_test_stop(&d);
}
END_TEST

/* What a client of ours would never send. */
START_TEST(test_refused_frames)
{
	struct ntc_entry *entry = filled(1, 300, 'x');
	size_t size = ntc_entry_image_size(entry), body = size - NTC_STAMP_SIZE;
	struct ntc_stamp stamp = from_elsewhere;
	uint8_t *image = malloc(size), bytes[2048];
	struct ntc_body parsed;
	struct ntc_test_daemon d = { 0 };
	struct wire w;
	struct {
		size_t stamp, size, flip;
		enum ntc_status st;
	} cases[] = {
		{ NTC_STAMP_SIZE, body, size, NTC_ST_OK },
		{ NTC_STAMP_SIZE, body, size - 1, NTC_ST_BAD_IMAGE },
		{ NTC_STAMP_SIZE, body, body + 30, NTC_ST_BAD_IMAGE },
		{ NTC_STAMP_SIZE, body, body - 1, NTC_ST_BAD_IMAGE },
		{ NTC_STAMP_SIZE, body, 64 + 1, NTC_ST_BAD_KEY },
		{ NTC_STAMP_SIZE, body, body - 100, NTC_ST_BAD_CHECKSUM },
		{ NTC_STAMP_SIZE - 1, body, size, NTC_ST_BAD_MESSAGE },
		{ 1, body, size, NTC_ST_BAD_MESSAGE },
		{ NTC_STAMP_SIZE, body + 64, size, NTC_ST_BAD_MESSAGE },
		{ NTC_STAMP_SIZE, UINT64_MAX, size, NTC_ST_TOO_LARGE },
	};

	ntc_entry_image(entry, false, image);
	ck_assert_int_eq(ntc_body_parse(ntc_view(image, body), &parsed, NULL), NTC_ST_OK);
	ntc_stamp_write(&stamp, &parsed.checksum, image + body);
	ntc_test_start(&d, NULL);
	ck_assert(wire_hello(&w, d.socket));
	for (size_t i = sizeof(cases) / sizeof(cases[0]); i-- > 0;) {
		struct ntc_msg_import m = { .stamp = ntc_view(image + body, cases[i].stamp), .size = cases[i].size,
					    .body = ntc_view(image, body) };
		struct ntc_writer out = ntc_writer(bytes, sizeof(bytes));
		struct ntc_msg_error error = { 0 };
		struct ntc_frame frame;

		if (cases[i].flip < size)
			image[cases[i].flip] ^= 0x55;
		ntc_msg_import_write(&out, &m);
		ck_assert(!out.bad);
		if (cases[i].flip < size)
			image[cases[i].flip] ^= 0x55;
		ck_assert(wire_frame(&w, NTC_MSG_IMPORT, 5 + i, ntc_view(bytes, out.len), -1));
		ck_assert_int_eq(wire_answer(&w, &frame), 1);
		ck_assert_uint_eq(frame.id, 5 + i);
		if (frame.type == NTC_MSG_ERROR)
			ck_assert(ntc_msg_error_read(frame.payload, &error));
		ck_assert_msg(error.status == cases[i].st, "case %zu: %s", i, ntc_status_name(error.status));
	}
	wire_close(&w);
	ntc_entry_unref(entry);
	free(image);
	ntc_test_stop(&d);
}
END_TEST

/* --- images ------------------------------------------------------------------------------- */

START_TEST(test_images)
{
	struct ntc_entry *entry = stamped(3, &from_elsewhere), *again;
	size_t size = ntc_entry_image_size(entry);
	uint8_t *image = malloc(size), *second = malloc(size);
	struct ntc_stamp_view stamp;

	ntc_entry_image(entry, true, image);
	ck_assert_int_eq(ntc_entry_from_bytes(image, size, &again), NTC_OK);
	ntc_entry_image(again, true, second);
	ck_assert_mem_eq(image, second, size);
	ntc_entry_unref(again);
	for (size_t at = 0; at < size; at++) {
		image[at] ^= 4;
		ck_assert_msg(ntc_entry_from_bytes(image, size, &again) == NTC_E_FORMAT && !again, "byte %zu", at);
		image[at] ^= 4;
	}
	for (size_t len = 0; len < size; len += 64)
		ck_assert_int_eq(ntc_entry_from_bytes(image, len, &again), NTC_E_FORMAT);
	ntc_entry_image(entry, false, image);
	ck_assert_int_eq(ntc_entry_from_bytes(image, size, &again), NTC_OK);
	ck_assert(!ntc_entry_stamp(again, &stamp));
	ntc_entry_unref(again);
	ntc_entry_unref(entry);
	free(image), free(second);
}
END_TEST

/* --- many shown and verified -------------------------------------------------------------- */

struct seen {
	size_t next, stop;
	enum ntc_err errs[2000];
	uint64_t sizes[2000];
	char why[256];
	const struct ntc_digest *digests;
};

static bool see_shown(void *ctx, size_t i, enum ntc_err err, const struct ntc_row_view *row, struct ntc_entry *entry)
{
	struct seen *seen = ctx;

	ck_assert_uint_eq(i, seen->next++);
	seen->errs[i] = err;
	ck_assert((err == NTC_OK) == (entry != NULL));
	if (entry) {
		struct ntc_digest digest = ntc_entry_digest(entry);

		ck_assert_mem_eq(&digest, &seen->digests[i], sizeof(digest));
		ck_assert_mem_eq(&row->digest, &digest, sizeof(digest));
		ck_assert_uint_eq(row->size, ntc_entry_image_size(entry));
	}
	return seen->next != seen->stop;
}

static bool see_verified(void *ctx, size_t i, enum ntc_err err, uint64_t size)
{
	struct seen *seen = ctx;

	ck_assert_uint_eq(i, seen->next++);
	seen->errs[i] = err;
	seen->sizes[i] = size;
	if (err && err != NTC_MISS)
		snprintf(seen->why, sizeof(seen->why), "%s", ntc_last_error());
	return seen->next != seen->stop;
}

static void name(struct ntc_digest *digests, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct ntc_key *key = making_key(i);

		digests[i] = ntc_key_digest_of(key);
		ntc_key_free(key);
	}
}

START_TEST(test_show_many)
{
	struct stream stream = { .to = 1500 };
	struct ntc_digest digests[2000];
	struct seen seen = { .digests = digests };
	struct ntc_test_daemon d = { 0 };
	struct ntc_client *client;

	name(digests, 2000);
	ntc_test_start(&d, NULL);
	client = making_client(NULL);
	import(client, &stream);
	ck_assert_int_eq(ntc_show_many(client, digests, 2000, LIMIT_MS, see_shown, &seen), NTC_OK);
	ck_assert_uint_eq(seen.next, 2000);
	for (size_t i = 0; i < 2000; i++)
		ck_assert_int_eq(seen.errs[i], i < 1500 ? NTC_OK : NTC_MISS);
	seen = (struct seen){ .digests = digests, .stop = 100 };
	ck_assert_int_eq(ntc_show_many(client, digests, 2000, LIMIT_MS, see_shown, &seen), NTC_OK);
	ck_assert_uint_eq(seen.next, 100);
	/* What was given up is not taken for an answer to what follows. */
	ck_assert_uint_eq(count_right(client, 0, 100), 100);
	ck_assert_int_eq(ntc_show_many(client, NULL, 0, LIMIT_MS, see_shown, &seen), NTC_OK);
	ck_assert_int_eq(ntc_show_many(client, digests, 1, LIMIT_MS, NULL, &seen), NTC_E_INVALID);
	ntc_test_stop(&d);
	ck_assert_int_eq(ntc_show_many(client, digests, 2000, LIMIT_MS, see_shown, &seen), NTC_E_NO_DAEMON);
	ntc_close(client);
}
END_TEST

/* The file of an entry. */
static const char *file_of(const struct ntc_digest *digest)
{
	char text[NTC_DIGEST_TEXT_SIZE];

	ntc_digest_text(digest, text);
	return ntc_test_path("main.cache/default/%.2s/%s", text, text);
}

static void flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	char byte;

	ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
	byte ^= 0x10;
	ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

START_TEST(test_verify_many)
{
	struct stream stream = { .to = 300, .make = make_filled, .size = 20000, .fill = 'v' };
	struct ntc_digest digests[400];
	struct seen seen = { .stop = 0 };
	struct ntc_test_daemon d = { 0 };
	struct ntc_client *client;

	name(digests, 400);
	ntc_test_start(&d, NULL);
	client = making_client(NULL);
	import(client, &stream);
	ck_assert_int_eq(ntc_verify_many(client, digests, 400, 0, LIMIT_MS, see_verified, &seen), NTC_OK);
	for (size_t i = 0; i < 400; i++) {
		ck_assert_int_eq(seen.errs[i], i < 300 ? NTC_OK : NTC_MISS);
		ck_assert(i >= 300 || seen.sizes[i] > 20000);
	}
	flip(file_of(&digests[10]), 15000);
	ck_assert_int_eq(truncate(file_of(&digests[20]), 15000), 0);
	ck_assert_int_eq(rename(file_of(&digests[31]), file_of(&digests[30])), 0); /* right name, wrong content */
	/* Twice: looking changes nothing. */
	for (unsigned flags = 0; flags < 2; flags++) {
		seen = (struct seen){ .stop = 0 };
		ck_assert_int_eq(ntc_verify_many(client, digests, 300, 0, LIMIT_MS, see_verified, &seen), NTC_OK);
		for (size_t i = 0; i < 300; i++)
			ck_assert_int_eq(seen.errs[i], i == 10 || i == 20 || i == 30 || i == 31 ? NTC_E_FORMAT : NTC_OK);
	}
	ck_assert_str_eq(seen.why, "no such file");
	seen = (struct seen){ .stop = 0 };
	ck_assert_int_eq(ntc_verify_many(client, digests, 300, NTC_VERIFY_REPAIR, LIMIT_MS, see_verified, &seen), NTC_OK);
	for (size_t i = 0; i < 300; i++)
		ck_assert_int_eq(seen.errs[i], i == 10 || i == 20 || i == 30 || i == 31 ? NTC_E_FORMAT : NTC_OK);
	seen = (struct seen){ .stop = 0 };
	ck_assert_int_eq(ntc_verify_many(client, digests, 300, NTC_VERIFY_REPAIR, LIMIT_MS, see_verified, &seen), NTC_OK);
	for (size_t i = 0; i < 300; i++)
		ck_assert_int_eq(seen.errs[i], i == 10 || i == 20 || i == 30 || i == 31 ? NTC_MISS : NTC_OK);
	ck_assert_int_eq(making_counter(client, "entries"), 296);
	ck_assert_int_eq(making_counter(client, "quarantined"), 3);
	/* Imported again, they are whole. */
	stream = (struct stream){ .to = 300, .make = make_filled, .size = 20000, .fill = 'v' };
	import(client, &stream);
	ck_assert_uint_eq(stream.fresh, 4);
	ck_assert_uint_eq(stream.known, 296);
	ntc_close(client);
	ntc_test_stop(&d);
}
END_TEST

/* A client that may only read looks, and repairs nothing. */
START_TEST(test_read_only)
{
	struct stream stream = { .to = 2, .make = make_filled, .size = 20000 }, refused = { .to = 1, .make = make_small };
	struct ntc_options options = NTC_OPTIONS_INIT;
	struct ntc_digest digests[2];
	struct seen seen = { .stop = 0 };
	struct ntc_test_daemon d = { 0 };
	struct ntc_client *client, *reader;

	name(digests, 2);
	ntc_test_start(&d, NULL);
	client = making_client(NULL);
	import(client, &stream);
	options.mode = NTC_MODE_READ_ONLY;
	ck_assert_int_eq(ntc_open(&options, &reader), NTC_OK);
	flip(file_of(&digests[1]), 12000);
	ck_assert_int_eq(ntc_verify_many(reader, digests, 2, 0, LIMIT_MS, see_verified, &seen), NTC_OK);
	ck_assert(seen.errs[0] == NTC_OK && seen.errs[1] == NTC_E_FORMAT);
	seen = (struct seen){ .stop = 0 };
	ck_assert_int_eq(ntc_verify_many(reader, digests, 2, NTC_VERIFY_REPAIR, LIMIT_MS, see_verified, &seen), NTC_OK);
	ck_assert(seen.errs[0] == NTC_E_DENIED && seen.errs[1] == NTC_E_DENIED);
	ck_assert_int_eq(ntc_import(reader, LIMIT_MS, next_entry, told, &refused), NTC_E_DENIED);
	ntc_close(client), ntc_close(reader);
	ntc_test_stop(&d);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("import");
	TCase *tc = tcase_create("import");

	tcase_add_checked_fixture(tc, ntc_test_setup, ntc_test_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_new_known_differs);
	tcase_add_test(tc, test_sizes);
	tcase_add_test(tc, test_window);
	tcase_add_test(tc, test_lost);
	tcase_add_test(tc, test_known_and_lost);
	tcase_add_test(tc, test_killed_daemon);
	tcase_add_test(tc, test_waited_for);
	tcase_add_test(tc, test_operators_stamps);
	tcase_add_test(tc, test_anybodys_stamps);
	tcase_add_test(tc, test_refused_frames);
	tcase_add_test(tc, test_images);
	tcase_add_test(tc, test_show_many);
	tcase_add_test(tc, test_verify_many);
	tcase_add_test(tc, test_read_only);
	suite_add_tcase(suite, tc);
	return ntc_test_run(suite);
}
