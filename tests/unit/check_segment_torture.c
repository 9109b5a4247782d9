/*
 * The shared segment under fire: a writer that replaces everything as fast as it can in a segment that is far too
 * small, and readers that compare every byte they were told is valid. As threads (which ThreadSanitizer watches), as
 * processes, and as processes that are killed anywhere.
 *
 * NTC_TORTURE_SECONDS=N makes each last so long (1).
 */
#include "proto/segment_writer.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/support/unit_image.h"

enum { READERS = 4, KEYS = 48, ROUNDS = 4, LARGEST = 12 << 10, IMAGE_MAX = LARGEST + (2 << 10) };

#define SIZE (96u << 10) /* of the segment: a dozen of the images */

/* In memory that all of them share. */
struct arena {
	uint8_t segment[SIZE] __attribute__((aligned(4096)));
	uint64_t stop;
	uint64_t turn[KEYS]; /* odd: taken back, and not to be found until it is even again */
	uint64_t published;
	struct tally {
		uint64_t looks, hits, in_place, invalid, wrong, stale;
		uint64_t padding[2];
	} tally[READERS];
};

static struct arena *shared;
static struct ntc_view pool[KEYS][ROUNDS]; /* every image that is ever published */
static uint8_t keys[KEYS][NTC_TEST_KEY_MAX];
static struct ntc_view key[KEYS];
static struct ntc_digest digest[KEYS];
static struct ntc_segment_writer writer;

static uint64_t duration_ns(void)
{
	const char *s = getenv("NTC_TORTURE_SECONDS");

	return (s ? strtoull(s, NULL, 10) : 1) * NTC_NS_PER_S;
}

static uint32_t next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return (uint32_t)(*x >> 16);
}

static void start(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(shared, MAP_FAILED);
	ck_assert(ntc_segment_make(shared->segment, SIZE, 1, NULL, NULL, &writer));
	for (uint32_t k = 0; k < KEYS; k++) {
		key[k] = ntc_test_key(k, keys[k]);
		for (uint32_t r = 0; r < ROUNDS; r++) {
			pool[k][r] =
				ntc_test_image(k, r, (k * 2654435761u + r * 40503u) % LARGEST, &digest[k]);
			ck_assert_uint_le(pool[k][r].len, IMAGE_MAX);
		}
	}
}

static void stop(void)
{
	for (uint32_t k = 0; k < KEYS; k++)
		for (uint32_t r = 0; r < ROUNDS; r++)
			free((void *)(uintptr_t)pool[k][r].p);
	munmap(shared, sizeof(*shared));
}

static uint64_t peek(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void poke(uint64_t *p, uint64_t value)
{
	__atomic_store_n(p, value, __ATOMIC_SEQ_CST);
}

/* --- writing ------------------------------------------------------------------------------ */

static void write_on(uint64_t x)
{
	uint64_t turns[KEYS];

	for (uint32_t k = 0; k < KEYS; k++)
		turns[k] = peek(&shared->turn[k]);
	while (!peek(&shared->stop)) {
		uint32_t r = next(&x), k = r % KEYS;

		if ((r >> 17) % 4 == 0 && !(turns[k] & 1)) {
			(void)ntc_segment_unpublish(&writer, &digest[k]); /* it may be gone */
			poke(&shared->turn[k], ++turns[k]);
			continue;
		}
		if (turns[k] & 1)
			poke(&shared->turn[k], ++turns[k]);
		if (!ntc_segment_publish(&writer, &digest[k], pool[k][(r >> 20) % ROUNDS]))
			abort();
		poke(&shared->published, peek(&shared->published) + 1);
	}
}

/* --- reading ------------------------------------------------------------------------------ */

/* Which image this is, or NULL. */
static const struct ntc_view *in_pool(uint32_t k, const uint8_t *copy, size_t len)
{
	for (uint32_t r = 0; r < ROUNDS; r++)
		if (ntc_view_equal(pool[k][r], ntc_view(copy, len)))
			return &pool[k][r];
	return NULL;
}

static bool is_in_place(uint32_t k, const struct ntc_segment_hit *hit)
{
	bool same = false;

	for (uint32_t r = 0; r < ROUNDS; r++)
		same |= pool[k][r].len == hit->len && ntc_racing_equal(hit->image, pool[k][r].p, hit->len);
	return same;
}

static void read_on(unsigned me)
{
	struct tally *tally = &shared->tally[me], t = *tally;
	uint8_t *copy = malloc(IMAGE_MAX);
	uint64_t x = 77 + me;
	struct ntc_segment segment;

	if (!copy || ntc_segment_open(shared->segment, SIZE, &segment, NULL))
		abort();
	while (!peek(&shared->stop)) {
		uint32_t r = next(&x), k = r % KEYS;
		uint64_t turn = peek(&shared->turn[k]);
		struct ntc_segment_hit hit;
		bool right;

		t.looks++;
		poke(&tally->looks, t.looks);
		if (!ntc_segment_find(&segment, &digest[k], key[k], &hit))
			continue;
		if (r >> 16 & 1) {
			right = is_in_place(k, &hit);
		} else {
			/* Its length is some image's, as the segment is bounded: not yet believed. */
			size_t len = hit.len <= IMAGE_MAX ? hit.len : IMAGE_MAX;

			ntc_racing_copy_out(copy, hit.image, len);
			right = len == hit.len && in_pool(k, copy, len);
		}
		if (!ntc_segment_valid(&hit)) {
			t.invalid++;
			poke(&tally->invalid, t.invalid);
			continue;
		}
		t.hits++;
		t.in_place += r >> 16 & 1;
		poke(&tally->hits, t.hits);
		poke(&tally->in_place, t.in_place);
		if (!right)
			poke(&tally->wrong, ++t.wrong);
		/* Taken back before the look-up began, and still so behind it. */
		if ((turn & 1) && peek(&shared->turn[k]) == turn)
			poke(&tally->stale, ++t.stale);
	}
	free(copy);
}

static void check_tallies(void)
{
	for (unsigned i = 0; i < READERS; i++) {
		const struct tally *t = &shared->tally[i];

		if (getenv("NTC_TORTURE_SECONDS"))
			printf("reader %u: %llu looks, %llu valid (%llu in place), %llu invalid\n", i,
			       (unsigned long long)t->looks, (unsigned long long)t->hits,
			       (unsigned long long)t->in_place, (unsigned long long)t->invalid);
		ck_assert_uint_eq(t->wrong, 0);
		ck_assert_uint_eq(t->stale, 0);
		ck_assert_uint_gt(t->hits, t->in_place);
		ck_assert_uint_gt(t->in_place, 0);
	}
	if (getenv("NTC_TORTURE_SECONDS"))
		printf("%llu published\n", (unsigned long long)shared->published);
	ck_assert_uint_gt(shared->published, 100);
}

static void wait_ns(uint64_t ns)
{
	struct timespec ts = { .tv_sec = (time_t)(ns / NTC_NS_PER_S), .tv_nsec = (long)(ns % NTC_NS_PER_S) };

	nanosleep(&ts, NULL);
}

/* --- threads ------------------------------------------------------------------------------ */

static void *writer_thread(void *arg)
{
	(void)arg;
	write_on(1);
	return NULL;
}

static void *reader_thread(void *arg)
{
	read_on((unsigned)(uintptr_t)arg);
	return NULL;
}

START_TEST(threads)
{
	pthread_t w, r[READERS];

	ck_assert_int_eq(pthread_create(&w, NULL, writer_thread, NULL), 0);
	for (unsigned i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_create(&r[i], NULL, reader_thread, (void *)(uintptr_t)i), 0);
	wait_ns(duration_ns());
	poke(&shared->stop, 1);
	pthread_join(w, NULL);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(r[i], NULL);
	check_tallies();
}
END_TEST

/* --- processes ---------------------------------------------------------------------------- */

static pid_t spawn(bool writes, unsigned number)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (writes)
		write_on(number + 1);
	else
		read_on(number);
	_exit(0);
}

static void expect_exit(pid_t pid, bool killed)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (killed)
		ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	else
		ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

START_TEST(processes)
{
	pid_t w = spawn(true, 1), r[READERS];

	for (unsigned i = 0; i < READERS; i++)
		r[i] = spawn(false, i);
	wait_ns(duration_ns());
	poke(&shared->stop, 1);
	expect_exit(w, false);
	for (unsigned i = 0; i < READERS; i++)
		expect_exit(r[i], false);
	check_tallies();
}
END_TEST

/* The writer is killed anywhere, then a reader; the other readers go on reading what is left, rightly. */
START_TEST(killed_anywhere)
{
	uint64_t until = ntc_clock_mono_ns() + duration_ns(), x = ntc_clock_mono_ns() | 1;
	unsigned round = 0, half_slots = 0;

	while (ntc_clock_mono_ns() < until) {
		struct ntc_segment_writer fresh;
		pid_t w, r[2];
		uint64_t looks;

		memset(shared, 0, sizeof(*shared));
		ck_assert(ntc_segment_make(shared->segment, SIZE, ++round, NULL, NULL, &fresh));
		writer = fresh;
		w = spawn(true, round);
		r[0] = spawn(false, 0);
		r[1] = spawn(false, 1);
		wait_ns(NTC_NS_PER_MS + next(&x) % (3 * NTC_NS_PER_MS));
		kill(w, SIGKILL);
		expect_exit(w, true);
		for (uint64_t i = 0; i < writer.groups * NTC_SEGMENT_GROUP; i++)
			half_slots += writer.table[i].sequence & 1;
		wait_ns(next(&x) % NTC_NS_PER_MS);
		kill(r[1], SIGKILL);
		expect_exit(r[1], true);
		/* The other one goes on. */
		looks = peek(&shared->tally[0].looks);
		while (peek(&shared->tally[0].looks) < looks + 1000)
			wait_ns(10000);
		poke(&shared->stop, 1);
		expect_exit(r[0], false);
		for (unsigned i = 0; i < 2; i++) {
			ck_assert_uint_eq(shared->tally[i].wrong, 0);
			ck_assert_uint_eq(shared->tally[i].stale, 0);
		}
	}
	if (getenv("NTC_TORTURE_SECONDS"))
		printf("%u rounds, %u slots left half written\n", round, half_slots);
	ck_assert_uint_gt(round, 3);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("segment torture");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, start, stop);
	tcase_add_test(tc, threads);
	tcase_add_test(tc, processes);
	tcase_add_test(tc, killed_anywhere);
	tcase_set_timeout(tc, 60 + (double)duration_ns() / 1e9);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
