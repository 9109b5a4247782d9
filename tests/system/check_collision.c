/*
 * Two keys with one digest. This program and its daemon (ntcached-weak) are linked with a digest of two bits
 * (tests/support/weak_digest.c), so that of five keys two collide: the first one put holds the digest, and nothing
 * that is done with another key may touch it.
 */
#include <unistd.h>

#include "tests/support/harness.h"
#include "tests/support/making.h"

#define LIMIT_MS 20000

/* Three keys of one digest, and their numbers. */
static struct ntc_key *key[3];
static uint64_t number[3];
static struct ntc_test_daemon d;
static struct ntc_client *one, *two;

static void setup(void)
{
	unsigned found = 0;

	ntc_test_setup();
	d = (struct ntc_test_daemon){ .program = "system/ntcached-weak" };
	ntc_test_start(&d, NULL);
	for (uint64_t n = 0; found < 3; n++) {
		struct ntc_key *k = making_key(n);
		struct ntc_digest digest, wanted = { { 0x40 } };

		ck_assert_uint_lt(n, 1000);
		digest = ntc_key_digest_of(k);
		if (memcmp(&digest, &wanted, sizeof(digest)) == 0)
			key[found] = k, number[found++] = n;
		else
			ntc_key_free(k);
	}
	one = making_client(NULL);
	two = making_client(NULL);
	ck_assert(one && two);
}

static void teardown(void)
{
	ntc_close(one);
	ntc_close(two);
	for (int i = 0; i < 3; i++)
		ntc_key_free(key[i]);
	ntc_test_teardown();
}

static enum ntc_err put(struct ntc_client *client, struct ntc_lease *lease, int i)
{
	struct ntc_entry *entry = making_entry(key[i], number[i]);
	enum ntc_err err = ntc_put(client, lease, entry, 1000);

	/* Whatever the answer, what was made is good. */
	ck_assert(making_right(entry, number[i]));
	ntc_entry_unref(entry);
	return err;
}

/* Whether everybody finds entry `i`, also who asks for the first time. */
static bool found(int i)
{
	struct ntc_client *clients[] = { one, two, making_client(NULL) };
	unsigned n = 0;

	for (int c = 0; c < 3; c++) {
		struct ntc_entry *entry;
		enum ntc_err err = ntc_lookup(clients[c], key[i], LIMIT_MS, &entry);

		if (err == NTC_OK) {
			ck_assert(making_right(entry, number[i]));
			n++;
		} else {
			ck_assert_int_eq(err, NTC_MISS);
		}
		ntc_entry_unref(entry);
	}
	ntc_close(clients[2]);
	ck_assert(n == 0 || n == 3);
	return n;
}

static enum ntc_err acquire(struct ntc_client *client, int i, struct ntc_answer *answer)
{
	struct ntc_acquire_options options = NTC_ACQUIRE_OPTIONS_INIT;

	*answer = (struct ntc_answer){ 0 };
	options.timeout_ms = LIMIT_MS;
	return ntc_acquire(client, key[i], &options, answer);
}

START_TEST(test_put)
{
	struct ntc_answer answer;

	/* Before the first is on disk, and afterwards. */
	for (int durable = 0; durable < 2; durable++) {
		ck_assert_int_eq(put(one, NULL, 0), durable ? NTC_KNOWN : NTC_OK);
		ck_assert_int_eq(put(two, NULL, 1), NTC_E_COLLISION);
		ck_assert(found(0));
		ck_assert(!found(1));
		ck_assert_int_eq(acquire(two, 1, &answer), NTC_MAKE);
		ck_assert_int_eq(put(two, answer.lease, 1), NTC_E_COLLISION);
		answer.lease = NULL;
		ntc_answer_clear(&answer);
		ck_assert(found(0));
		ck_assert(!found(1));
		ck_assert_int_eq(ntc_sync(one, LIMIT_MS), NTC_OK);
		ck_assert_int_eq(ntc_sync(two, LIMIT_MS), NTC_OK);
	}
	ck_assert_int_ge(making_counter(one, "collisions"), 4);
	ck_assert_int_eq(making_counter(one, "entries"), 1);
	ck_assert(ntc_test_log_has(&d, "digest"));
}
END_TEST

/* A lease of one is no lease of the other: no waiting, and its end is not the other's. */
START_TEST(test_lease)
{
	struct ntc_answer a, b, c;

	ck_assert_int_eq(acquire(one, 0, &a), NTC_MAKE);
	ck_assert_int_eq(acquire(two, 1, &b), NTC_MAKE);
	ck_assert_int_eq(acquire(two, 2, &c), NTC_MAKE);
	ck_assert_uint_eq(b.waited_ns, 0);
	ntc_release(b.lease), b.lease = NULL;
	ck_assert_int_eq(ntc_fail(c.lease, NTC_TRANSIENT, NULL, 0), NTC_OK);
	c.lease = NULL;
	ck_assert_int_eq(ntc_extend(a.lease, 10000), NTC_OK);
	/* put under another's nose: the lease lives on, its own put is the one that collides */
	ck_assert_int_eq(put(two, NULL, 1), NTC_OK);
	ck_assert_int_eq(ntc_extend(a.lease, 10000), NTC_OK);
	ck_assert_int_eq(put(one, a.lease, 0), NTC_E_COLLISION);
	a.lease = NULL;
	ck_assert(found(1));
	ck_assert(!found(0));
	ntc_answer_clear(&a), ntc_answer_clear(&b), ntc_answer_clear(&c);
}
END_TEST

/* Who waits for one is not answered with what happens to the other. */
static int wait_for_first(void *ctx, unsigned i)
{
	struct ntc_client *client = making_client(NULL);
	struct ntc_answer answer = { 0 };
	enum ntc_err err;

	(void)i;
	err = ntc_acquire(client, key[0], NULL, &answer);
	if (err != (enum ntc_err)*(int *)ctx)
		fprintf(stderr, "%s, %s\n", ntc_err_name(err), answer.why);
	NTC_CHILD_CHECK(err == (enum ntc_err)*(int *)ctx);
	NTC_CHILD_CHECK(err != NTC_OK || making_right(answer.entry, number[0]));
	ntc_answer_clear(&answer);
	ntc_close(client);
	return 0;
}

static bool three_wait(void *ctx)
{
	(void)ctx;
	return making_counter(one, "waits") >= 3;
}

START_TEST(test_waits)
{
	struct ntc_test_group waiting = { 0 };
	struct ntc_answer a, b;
	int expected = NTC_OK;

	ck_assert_int_eq(acquire(one, 0, &a), NTC_MAKE);
	ck_assert_int_eq(acquire(one, 1, &b), NTC_MAKE);
	ntc_test_spawn(&waiting, 3, wait_for_first, &expected);
	ntc_test_release(&waiting);
	ck_assert(ntc_test_until(LIMIT_MS, three_wait, NULL));
	ck_assert_int_eq(ntc_fail(b.lease, NTC_DETERMINISTIC, "broken", 6), NTC_OK);
	b.lease = NULL;
	ck_assert_int_eq(ntc_remove(two, key[1], LIMIT_MS), NTC_OK); /* the kept failure */
	ck_assert_int_eq(acquire(two, 1, &b), NTC_MAKE);
	ntc_release(b.lease), b.lease = NULL;
	ck_assert(three_wait(NULL));
	ck_assert_int_eq(put(one, a.lease, 0), NTC_OK);
	a.lease = NULL;
	ntc_test_collect(&waiting, LIMIT_MS, NULL);
	ntc_answer_clear(&a), ntc_answer_clear(&b);
}
END_TEST

/* What collides is not kept, but who waited for it need not make it again, one after the other. */
START_TEST(test_waits_for_what_collides)
{
	struct ntc_test_group waiting = { 0 };
	struct ntc_answer a;
	int expected = NTC_OK;

	ck_assert_int_eq(put(two, NULL, 1), NTC_OK);
	ck_assert_int_eq(acquire(one, 0, &a), NTC_MAKE);
	ntc_test_spawn(&waiting, 3, wait_for_first, &expected);
	ntc_test_release(&waiting);
	ck_assert(ntc_test_until(LIMIT_MS, three_wait, NULL));
	ck_assert_int_eq(put(one, a.lease, 0), NTC_E_COLLISION);
	a.lease = NULL;
	ntc_test_collect(&waiting, LIMIT_MS, NULL);
	ck_assert(!found(0));
	ck_assert(found(1));
	ntc_answer_clear(&a);
}
END_TEST

/* A failure is kept for the key that failed and for no other. */
START_TEST(test_fail)
{
	struct ntc_answer answer;

	ck_assert_int_eq(acquire(one, 0, &answer), NTC_MAKE);
	ck_assert_int_eq(ntc_fail(answer.lease, NTC_DETERMINISTIC, "first", 5), NTC_OK);
	answer.lease = NULL;
	ck_assert_int_eq(acquire(two, 1, &answer), NTC_MAKE);
	ck_assert_int_eq(ntc_fail(answer.lease, NTC_DETERMINISTIC, "second", 6), NTC_OK);
	answer.lease = NULL;
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(acquire(one, i, &answer), NTC_FAILED);
		ck_assert_str_eq(answer.log, i ? "second" : "first");
		ntc_answer_clear(&answer);
	}
	ck_assert_int_eq(acquire(one, 2, &answer), NTC_MAKE);
	ck_assert_int_eq(put(one, answer.lease, 2), NTC_OK);
	answer.lease = NULL;
	/* two failures do not hide the entry, the entry does not hide them */
	ck_assert(found(2));
	ck_assert_int_eq(acquire(two, 2, &answer), NTC_OK);
	ntc_answer_clear(&answer);
	ck_assert_int_eq(acquire(two, 0, &answer), NTC_FAILED);
	ntc_answer_clear(&answer);
	ck_assert_int_eq(ntc_remove(one, key[0], LIMIT_MS), NTC_OK);
	ck_assert(found(2));
	ck_assert_int_eq(acquire(two, 1, &answer), NTC_FAILED);
	ntc_answer_clear(&answer);
	ck_assert_int_eq(acquire(two, 0, &answer), NTC_MAKE);
	ntc_answer_clear(&answer);
}
END_TEST

START_TEST(test_remove)
{
	for (int durable = 0; durable < 2; durable++) {
		ck_assert_int_eq(put(one, NULL, 0), NTC_OK);
		if (durable)
			ck_assert_int_eq(ntc_sync(one, LIMIT_MS), NTC_OK);
		ck_assert_int_eq(ntc_remove(two, key[1], LIMIT_MS), NTC_MISS);
		ck_assert(found(0));
		ck_assert_int_eq(ntc_remove(two, key[0], LIMIT_MS), NTC_OK);
		ck_assert(!found(0));
		/* now the digest is free */
		ck_assert_int_eq(put(two, NULL, 1), NTC_OK);
		ck_assert(found(1));
		ck_assert_int_eq(put(one, NULL, 0), NTC_E_COLLISION);
		ck_assert_int_eq(ntc_remove(one, key[0], LIMIT_MS), NTC_MISS);
		ck_assert(found(1));
		ck_assert_int_eq(ntc_remove(one, key[1], LIMIT_MS), NTC_OK);
		ck_assert(!found(1));
	}
}
END_TEST

/* The first stays the first, whatever happens to the daemon. */
START_TEST(test_restart)
{
	ck_assert_int_eq(put(one, NULL, 0), NTC_OK);
	ck_assert_int_eq(ntc_sync(one, LIMIT_MS), NTC_OK);
	for (int killed = 0; killed < 2; killed++) {
		if (killed)
			ntc_test_kill(&d);
		else
			ntc_test_stop(&d);
		ntc_test_start(&d, NULL);
		ntc_close(one), ntc_close(two);
		one = making_client(NULL), two = making_client(NULL);
		ck_assert(found(0));
		ck_assert(!found(1));
		ck_assert_int_eq(put(two, NULL, 1), NTC_E_COLLISION);
		ck_assert_int_eq(ntc_remove(two, key[1], LIMIT_MS), NTC_MISS);
		ck_assert(found(0));
	}
}
END_TEST

/* Everybody asks for everything, with four digests for all keys: many collisions, no wrong bytes. */
#define KEYS 32
#define WORKERS 8

static enum ntc_err make(void *ctx, const struct ntc_make *m, struct ntc_entry **entry, char **log)
{
	(void)log;
	*entry = making_entry(m->key, *(const uint64_t *)ctx);
	return *entry ? NTC_OK : NTC_E_NO_MEMORY;
}

static int get_all(void *ctx, unsigned i)
{
	struct ntc_client *client = making_client(NULL);
	uint64_t state = *(const uint64_t *)ctx + i;

	for (int n = 0; n < 6 * KEYS; n++) {
		uint64_t k = ntc_test_random(&state) % KEYS;
		struct ntc_key *asked = making_key(k);
		struct ntc_entry *entry = NULL;

		if (ntc_test_random(&state) % 8 == 0) {
			enum ntc_err err = ntc_remove(client, asked, LIMIT_MS);

			NTC_CHILD_CHECK(err == NTC_OK || err == NTC_MISS);
		}
		NTC_CHILD_CHECK(ntc_fetch(client, asked, NULL, make, &k, &entry, NULL) == NTC_OK);
		NTC_CHILD_CHECK(making_right(entry, k));
		ntc_entry_unref(entry);
		ntc_key_free(asked);
	}
	ntc_close(client);
	return 0;
}

START_TEST(test_many)
{
	uint64_t seed = ntc_test_seed();

	ntc_test_children(WORKERS, get_all, &seed, 60000, NULL);
	ck_assert_int_le(making_counter(one, "entries"), 4);
	ck_assert_int_gt(making_counter(one, "collisions"), 0);
	ck_assert_int_eq(making_counter(one, "quarantined"), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("collision");
	TCase *tc = tcase_create("weak digest");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_put);
	tcase_add_test(tc, test_lease);
	tcase_add_test(tc, test_waits);
	tcase_add_test(tc, test_waits_for_what_collides);
	tcase_add_test(tc, test_fail);
	tcase_add_test(tc, test_remove);
	tcase_add_test(tc, test_restart);
	tcase_add_test(tc, test_many);
	suite_add_tcase(suite, tc);
	return ntc_test_run(suite);
}
