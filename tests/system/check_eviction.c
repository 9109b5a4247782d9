/* Caps, age and pins of a real daemon, through the client and ntcache-ctl. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/digest.h"
#include "proto/message.h"
#include "tests/support/harness.h"
#include "tests/support/making.h"
#include "tests/support/wire.h"

#define LIMIT_MS 20000

static struct ntc_test_daemon d;
static struct ntc_test_output o;
static struct ntc_client *client;

static void setup(void)
{
	ntc_test_setup();
	d = (struct ntc_test_daemon){ 0 };
}

static void teardown(void)
{
	ntc_close(client);
	client = NULL;
	ntc_test_output_clear(&o);
	ntc_test_teardown();
}

#define RUN(...) \
	(ntc_test_output_clear(&o), ntc_test_command(&o, ntc_test_ms(LIMIT_MS), "ntcache-ctl", __VA_ARGS__, NULL))
#define ck_out(part) ck_assert_msg(strstr(o.out, part), "no '%s' in:\n%s%s", part, o.out, o.err)
#define ck_code(expected) ck_assert_msg(o.code == (expected), "exit %d: %s%s", o.code, o.out, o.err)

static void connect_client(void)
{
	ntc_close(client);
	client = making_client(NULL);
	ck_assert_ptr_nonnull(client);
}

static struct ntc_digest digest_of(uint64_t number)
{
	struct ntc_key *key = making_key(number);
	struct ntc_digest digest = ntc_key_digest_of(key);

	ntc_key_free(key);
	return digest;
}

static const char *text_of(uint64_t number)
{
	static char text[NTC_DIGEST_TEXT_SIZE];
	struct ntc_digest digest = digest_of(number);

	ntc_digest_text(&digest, text);
	return text;
}

static void put(uint64_t number)
{
	struct ntc_key *key = making_key(number);
	struct ntc_entry *entry = making_entry(key, number);

	ck_assert_ptr_nonnull(entry);
	ck_assert_msg(ntc_put(client, NULL, entry, 5000000) == NTC_OK, "%s", ntc_last_error());
	ntc_entry_unref(entry);
	ntc_key_free(key);
}

static void put_many(uint64_t first, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		put(first + i);
	ck_assert_int_eq(ntc_sync(client, LIMIT_MS), NTC_OK);
}

static bool there(uint64_t number)
{
	struct ntc_digest digest = digest_of(number);
	struct ntc_entry *entry = NULL;
	enum ntc_err err = ntc_show(client, &digest, LIMIT_MS, NULL, &entry);

	ck_assert(err == NTC_OK || err == NTC_MISS);
	ck_assert(err == NTC_MISS || making_right(entry, number));
	ntc_entry_unref(entry);
	return err == NTC_OK;
}

/* A counter that comes to a value. */
struct wanted {
	const char *name;
	int64_t least, most;
};

static bool has_come(void *ctx)
{
	const struct wanted *wanted = ctx;
	int64_t value = making_counter(client, wanted->name);

	return value >= wanted->least && value <= wanted->most;
}

static void wait_counter(const char *name, int64_t least, int64_t most)
{
	struct wanted wanted = { name, least, most };

	ck_assert_msg(ntc_test_until(ntc_test_ms(LIMIT_MS), has_come, &wanted), "%s is %lld", name,
		      (long long)making_counter(client, name));
}

/* Others come, and the daemon has made room for them: 10 entries may be there. */
static void crowd(uint64_t first)
{
	put_many(first, 50);
	wait_counter("entries", 9, 10);
}

/* --- caps --------------------------------------------------------------------------------- */

START_TEST(test_entries)
{
	ntc_test_start(&d, "--max-entries", "20", NULL);
	connect_client();
	put_many(0, 100);
	wait_counter("entries", 19, 20);
	ck_assert_int_eq(making_counter(client, "max_entries"), 20);
	ck_assert_int_ge(making_counter(client, "evicted"), 80);
	ntc_test_stop(&d);
	ntc_test_start(&d, "--max-entries", "5", NULL);
	connect_client();
	wait_counter("entries", 4, 5);
}
END_TEST

START_TEST(test_bytes)
{
	ntc_test_start(&d, "--max-size", "64K", NULL);
	connect_client();
	put_many(0, 100);
	wait_counter("bytes", 32 << 10, 64 << 10);
	ck_assert_int_gt(making_counter(client, "evicted_bytes"), 64 << 10);
}
END_TEST

/* --- age ---------------------------------------------------------------------------------- */

START_TEST(test_age)
{
	ntc_test_start(&d, "--max-age", "2", NULL);
	connect_client();
	put_many(0, 20);
	RUN("pin", text_of(3));
	ck_code(0);
	wait_counter("expired", 19, 19);
	ck_assert(there(3));
	ck_assert(!there(4));
	ck_assert_int_eq(making_counter(client, "evicted"), 0);
	ck_assert_int_gt(making_counter(client, "expired_bytes"), 19 * 64);
	ck_assert_int_eq(making_counter(client, "entries"), 1);
}
END_TEST

/* --- kept by an operator ------------------------------------------------------------------ */

START_TEST(test_kept)
{
	static const char *const options[] = { "--max-entries", "10" };

	ntc_test_start(&d, options[0], options[1], NULL);
	connect_client();
	put_many(0, 2);
	RUN("ls");
	ck_assert_ptr_null(strchr(o.out, '*'));
	RUN("pin", text_of(0));
	ck_code(0);
	ck_assert_str_eq(o.out, "");
	RUN("ls");
	ck_assert_ptr_nonnull(strchr(o.out, '*'));
	RUN("show", text_of(0));
	ck_out("pinned");
	crowd(10);
	ck_assert(there(0));
	ck_assert(!there(1));
	ck_assert_int_eq(making_counter(client, "pinned"), 1);
	ntc_test_kill(&d);
	ntc_test_start(&d, options[0], options[1], NULL);
	connect_client();
	ck_assert_int_eq(making_counter(client, "pinned"), 1);
	crowd(60);
	ck_assert(there(0));
	RUN("unpin", text_of(0));
	ck_code(0);
	RUN("unpin", text_of(0));
	ck_code(1);
	RUN("pin", text_of(1));
	ck_code(1);
	ck_assert_int_eq(making_counter(client, "pinned"), 0);
	crowd(110);
	ck_assert(!there(0));
	/* A whole list, as ls gives it; and removing passes over no pin. */
	put_many(200, 2);
	RUN("pin", text_of(200), "0123456789abcdef0123456789abcdef");
	ck_code(1);
	ck_assert_int_eq(making_counter(client, "pinned"), 1);
	RUN("rm", text_of(200));
	ck_code(0);
	ck_assert(!there(200));
	ck_assert_int_eq(making_counter(client, "pinned"), 0);
	RUN("pin");
	ck_code(2);
}
END_TEST

/* On the directory of a daemon that is stopped. */
START_TEST(test_kept_offline)
{
	ntc_test_start(&d, NULL);
	connect_client();
	put_many(0, 5);
	ntc_test_stop(&d);
	RUN("pin", "--dir", d.cache, text_of(2));
	ck_code(0);
	ntc_test_start(&d, "--max-entries", "1", NULL);
	connect_client();
	wait_counter("entries", 1, 1);
	ck_assert(there(2));
}
END_TEST

START_TEST(test_more_than_fits)
{
	ntc_test_start(&d, NULL);
	connect_client();
	put_many(0, 30);
	for (unsigned i = 0; i < 30; i += 2) {
		struct ntc_digest digest = digest_of(i);

		ck_assert_int_eq(ntc_pin_digest(client, &digest, NTC_PIN_KEPT, LIMIT_MS), NTC_OK);
	}
	ntc_test_stop(&d);
	ntc_test_start(&d, "--max-entries", "10", NULL);
	connect_client();
	wait_counter("full_of_pins", 1, 1);
	ck_assert_int_eq(making_counter(client, "entries"), 15);
	ck_assert_int_eq(making_counter(client, "pinned"), 15);
	ck_assert(ntc_test_log_has(&d, "nothing is left that may go"));
	/* It goes on: what is put is taken, and goes again when it has to. */
	put_many(100, 20);
	wait_counter("entries", 15, 16);
	for (unsigned i = 0; i < 30; i += 2)
		ck_assert(there(i));
	for (unsigned i = 0; i < 14; i += 2)
		RUN("unpin", text_of(i));
	put_many(200, 1);
	wait_counter("full_of_pins", 0, 0);
	wait_counter("entries", 9, 10);
}
END_TEST

/* --- in use ------------------------------------------------------------------------------- */

/* A worker that pins an entry, says so, and waits to be killed or released. */
struct worker {
	int pinned, leave;
};

static int use_it(void *ctx, unsigned i)
{
	const struct worker *w = ctx;
	struct ntc_client *own = making_client(NULL);
	struct ntc_key *key = making_key(i);

	NTC_CHILD_CHECK(own && ntc_pin(own, key, 0, LIMIT_MS) == NTC_OK);
	ntc_test_signal(w->pinned);
	NTC_CHILD_CHECK(ntc_test_await(w->leave, ntc_test_ms(LIMIT_MS)));
	ntc_close(own);
	ntc_key_free(key);
	return 0;
}

START_TEST(test_in_use)
{
	struct worker w = { ntc_test_event(), ntc_test_event() };
	struct ntc_test_group group = { 0 };
	int codes[2];

	ntc_test_start(&d, "--max-entries", "10", NULL);
	connect_client();
	put_many(0, 3);
	ntc_test_spawn(&group, 2, use_it, &w);
	ntc_test_release(&group);
	ck_assert(ntc_test_await(w.pinned, ntc_test_ms(LIMIT_MS)) && ntc_test_await(w.pinned, ntc_test_ms(LIMIT_MS)));
	ck_assert_int_eq(making_counter(client, "pins"), 2);
	crowd(10);
	ck_assert(there(0) && there(1) && !there(2));
	/* One goes by itself, one is killed: as good. */
	kill(group.pids[1], SIGKILL);
	wait_counter("pins", 1, 1);
	ntc_test_signal(w.leave);
	ntc_test_collect(&group, ntc_test_ms(LIMIT_MS), codes);
	ck_assert_int_eq(codes[0], 0);
	ck_assert_int_eq(codes[1], 128 + SIGKILL);
	wait_counter("pins", 0, 0);
	crowd(60);
	ck_assert(!there(0) && !there(1));
}
END_TEST

START_TEST(test_pins_count)
{
	struct ntc_key *key = making_key(0), *other = making_key(1);
	struct ntc_client *second;

	ntc_test_start(&d, "--max-entries", "10", NULL);
	connect_client();
	second = making_client(NULL);
	put_many(0, 1);
	ck_assert_int_eq(ntc_pin(client, other, 0, LIMIT_MS), NTC_MISS);
	ck_assert_int_eq(ntc_unpin(client, key, 0, LIMIT_MS), NTC_MISS);
	ck_assert_int_eq(ntc_pin(client, key, 0, LIMIT_MS), NTC_OK);
	ck_assert_int_eq(ntc_pin(client, key, 0, LIMIT_MS), NTC_OK);
	/* Somebody else's are not his. */
	ck_assert_int_eq(ntc_unpin(second, key, 0, LIMIT_MS), NTC_MISS);
	ck_assert_int_eq(ntc_pin(client, key, 2, LIMIT_MS), NTC_E_INVALID);
	ck_assert_int_eq(ntc_unpin(client, key, 0, LIMIT_MS), NTC_OK);
	crowd(10);
	ck_assert(there(0));
	ck_assert_int_eq(ntc_unpin(client, key, 0, LIMIT_MS), NTC_OK);
	ck_assert_int_eq(ntc_unpin(client, key, 0, LIMIT_MS), NTC_MISS);
	ck_assert_int_eq(making_counter(client, "pins"), 0);
	crowd(60);
	ck_assert(!there(0));
	ntc_close(second);
	ntc_key_free(key);
	ntc_key_free(other);
}
END_TEST

/* --- limits and rights -------------------------------------------------------------------- */

START_TEST(test_pins_are_bounded)
{
	struct ntc_digest digest = digest_of(0);
	uint8_t payload[64];
	struct ntc_writer w = ntc_writer(payload, sizeof(payload));
	unsigned done = 0, busy = 0;
	struct ntc_frame frame;
	struct ntc_msg_error error;
	struct wire wire;

	ntc_test_start(&d, NULL);
	connect_client();
	put_many(0, 1);
	ck_assert(wire_hello(&wire, d.socket));
	ntc_msg_pin_write(&w, &(struct ntc_msg_pin){ .digest = digest });
	for (unsigned i = 0; i < 4100; i++) {
		ck_assert(wire_frame(&wire, NTC_MSG_PIN, i + 1, ntc_view(payload, w.len), -1));
		ck_assert_int_eq(wire_answer(&wire, &frame), 1);
		done += frame.type == NTC_MSG_DONE;
		if (frame.type == NTC_MSG_ERROR && ntc_msg_error_read(frame.payload, &error))
			busy += error.status == NTC_ST_BUSY;
	}
	ck_assert_uint_eq(done, 4096);
	ck_assert_uint_eq(busy, 4);
	ck_assert_int_eq(making_counter(client, "pins"), 4096);
	wire_close(&wire);
	wait_counter("pins", 0, 0);
}
END_TEST

static int as_somebody_else(void *ctx, unsigned i)
{
	struct ntc_client *own;
	struct ntc_key *key = making_key(0);

	(void)ctx;
	(void)i;
	NTC_CHILD_CHECK(setgid(65534) == 0 && setuid(65534) == 0);
	own = making_client(NULL);
	NTC_CHILD_CHECK(own && ntc_pin(own, key, NTC_PIN_KEPT, LIMIT_MS) == NTC_E_DENIED);
	NTC_CHILD_CHECK(ntc_unpin(own, key, NTC_PIN_KEPT, LIMIT_MS) == NTC_E_DENIED);
	NTC_CHILD_CHECK(ntc_pin(own, key, 0, LIMIT_MS) == NTC_OK);
	ntc_close(own);
	ntc_key_free(key);
	return 0;
}

START_TEST(test_operator_alone)
{
	struct ntc_options options = NTC_OPTIONS_INIT;
	struct ntc_client *reader = NULL;
	struct ntc_key *key = making_key(0);

	ntc_test_start(&d, "--socket-mode", "666", NULL);
	connect_client();
	put_many(0, 1);
	options.mode = NTC_MODE_READ_ONLY;
	options.flags = NTC_NO_AUTOSTART;
	ck_assert_int_eq(ntc_open(&options, &reader), NTC_OK);
	ck_assert_int_eq(ntc_pin(reader, key, 0, LIMIT_MS), NTC_E_DENIED);
	ck_assert_int_eq(ntc_unpin(reader, key, NTC_PIN_KEPT, LIMIT_MS), NTC_E_DENIED);
	ntc_close(reader);
	ntc_key_free(key);
	if (geteuid() != 0)
		return;
	ck_assert_int_eq(chmod(ntc_test_dir(), 0755), 0);
	ntc_test_children(1, as_somebody_else, NULL, ntc_test_ms(LIMIT_MS), NULL);
	ck_assert_int_eq(making_counter(client, "pinned"), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("eviction");
	TCase *caps = tcase_create("caps"), *pins = tcase_create("pins");
	TCase *all[] = { caps, pins };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		tcase_add_checked_fixture(all[i], setup, teardown);
		tcase_set_timeout(all[i], 90);
		suite_add_tcase(suite, all[i]);
	}
	tcase_add_test(caps, test_entries);
	tcase_add_test(caps, test_bytes);
	tcase_add_test(caps, test_age);
	tcase_add_test(pins, test_kept);
	tcase_add_test(pins, test_kept_offline);
	tcase_add_test(pins, test_more_than_fits);
	tcase_add_test(pins, test_in_use);
	tcase_add_test(pins, test_pins_count);
	tcase_add_test(pins, test_pins_are_bounded);
	tcase_add_test(pins, test_operator_alone);
	return ntc_test_run(suite);
}
