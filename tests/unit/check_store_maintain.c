/* The store for people: verifying what the disk has, and making room down to bounds. */
#include "store_fixture.h"

#include <stdatomic.h>

#include "store/image.h"
#include "tests/support/unit_sys.h"

#define LARGE 20000     /* an image of this has a file */

static void setup(void)
{
	options = (struct ntc_store_options){ .inline_max = NTC_INLINE_IMAGE_MAX };
	make_dir();
	open_store();
}

static void teardown(void)
{
	close_store();
	ntc_test_hook_sys(NULL);
	remove_dir();
}

/* --- verifying ---------------------------------------------------------------------------- */

struct verdict {
	int came;
	enum ntc_status st;
	uint64_t size;
	char why[128];
};

static void on_verify(void *ctx, enum ntc_status st, uint64_t size, const char *why)
{
	struct verdict *v = ctx;

	v->came++;
	v->st = st;
	v->size = size;
	snprintf(v->why, sizeof(v->why), "%s", why ? why : "");
}

static struct verdict verify_now(unsigned n, bool repair)
{
	struct ntc_digest digest = digest_of(n);
	struct verdict v = { 0 };

	ntc_store_verify(store, &digest, repair, on_verify, &v);
	wait_for(&v.came);
	return v;
}

static void flip(unsigned n, off_t at)
{
	int fd = open(blob_file(n), O_RDWR | O_CLOEXEC);
	char byte;

	ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
	byte ^= 4;
	ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

START_TEST(verify_looks_at_the_disk)
{
	struct ntc_digest digest = digest_of(3);
	struct verdict v = { 0 };
	struct answer a = { 0 };

	ck_assert_int_eq(verify_now(1, false).st, NTC_ST_NOT_FOUND);
	/* In memory only: nothing is on the disk to look at. */
	put(3, 'x', LARGE, &a);
	ntc_store_verify(store, &digest, true, on_verify, &v);
	ck_assert(v.came == 1 && v.st == NTC_ST_OK && v.size == 0);
	wait_for(&a.durable);
	v = verify_now(3, true);
	ck_assert_int_eq(v.st, NTC_ST_OK);
	ck_assert_uint_gt(v.size, LARGE);
	/* In the index. */
	put_now(4, 'x', 100);
	v = verify_now(4, true);
	ck_assert_int_eq(v.st, NTC_ST_OK);
	ck_assert_uint_gt(v.size, 100);
}
END_TEST

START_TEST(verify_repairs_only_when_told)
{
	struct verdict v;

	put_now(1, 'x', LARGE);
	put_now(2, 'x', LARGE);
	flip(1, 10000);
	ck_assert_int_eq(unlink(blob_file(2)), 0);
	for (unsigned i = 0; i < 2; i++) {
		v = verify_now(1, false);
		ck_assert_int_eq(v.st, NTC_ST_BAD_IMAGE);
		ck_assert_uint_eq(v.size, 0);
		ck_assert_str_ne(v.why, "");
		v = verify_now(2, false);
		ck_assert_int_eq(v.st, NTC_ST_BAD_IMAGE);
		ck_assert_str_eq(v.why, "no such file");
		ck_assert_uint_eq(stats_now().entries, 2);
	}
	ck_assert_int_eq(verify_now(1, true).st, NTC_ST_BAD_IMAGE);
	ck_assert_int_eq(verify_now(2, true).st, NTC_ST_BAD_IMAGE);
	ck_assert_uint_eq(stats_now().entries, 0);
	ck_assert_uint_eq(stats_now().quarantined, 1);
	ck_assert_int_eq(verify_now(1, true).st, NTC_ST_NOT_FOUND);
	/* Gone for good, and free to be put. */
	reopen_store();
	ck_assert_uint_eq(stats_now().entries, 0);
	ck_assert_int_eq(put_now(1, 'x', LARGE), NTC_STORED_NEW);
	ck_assert_int_eq(verify_now(1, true).st, NTC_ST_OK);
}
END_TEST

static atomic_int unreadable;

static int refuse_reads(enum ntc_test_call call, const char *name, int flags)
{
	(void)name;
	(void)flags;
	return call == NTC_CALL_READ && atomic_load(&unreadable) ? EIO : 0;
}

/* A disk that cannot be read says nothing about the entry. */
START_TEST(verify_repairs_nothing_that_cannot_be_read)
{
	put_now(1, 'x', LARGE);
	close_store();
	ntc_test_hook_sys(refuse_reads);
	open_store();
	atomic_store(&unreadable, 1);
	ck_assert_int_eq(verify_now(1, true).st, NTC_ST_IO);
	atomic_store(&unreadable, 0);
	ck_assert_int_eq(verify_now(1, true).st, NTC_ST_OK);
	ck_assert_uint_eq(stats_now().entries, 1);
}
END_TEST

/* An entry that is removed while it is looked at is gone, not damaged; one that is put again is left alone. */
START_TEST(verify_of_what_goes_meanwhile)
{
	struct ntc_digest digest = digest_of(1);
	struct verdict v = { 0 };
	struct answer removed = { 0 }, again = { 0 };

	put_now(1, 'x', LARGE);
	flip(1, 10000);
	ntc_store_verify(store, &digest, true, on_verify, &v);
	remove_key(1, &removed);
	ntc_store_remove_digest(store, &digest, on_remove, &removed);
	put(1, 'y', LARGE, &again);
	wait_for(&v.came);
	ck_assert(v.st == NTC_ST_NOT_FOUND || v.st == NTC_ST_BAD_IMAGE);
	wait_for(&again.durable);
	ck_assert_int_eq(again.durable_st, NTC_ST_OK);
	ck_assert_int_eq(load_now(1, 'y', LARGE), NTC_ST_OK);
}
END_TEST

/* --- making room -------------------------------------------------------------------------- */

struct outcome {
	int came;
	enum ntc_status st;
	struct ntc_collected result;
};

static void on_collect(void *ctx, enum ntc_status st, const struct ntc_collected *result)
{
	struct outcome *o = ctx;

	o->came++;
	o->st = st;
	if (result)
		o->result = *result;
}

#define NO_BOUNDS UINT64_MAX, UINT64_MAX, UINT64_MAX

static struct outcome collect_now(const struct ntc_collect *bounds)
{
	struct outcome o = { 0 };

	ntc_store_collect(store, bounds, on_collect, &o);
	wait_for(&o.came);
	ck_assert_int_eq(o.came, 1);
	return o;
}

START_TEST(collect_keeps_the_bounds)
{
	struct ntc_store_stats before;
	struct outcome o;

	for (unsigned n = 0; n < 40; n++)
		put_now(n, 'x', n % 2 ? LARGE : 100);
	/* Kept already: at once. */
	o = collect_now(&(struct ntc_collect){ NO_BOUNDS, false });
	ck_assert(o.st == NTC_ST_OK && o.result.entries == 0);
	o = collect_now(&(struct ntc_collect){ 1 << 30, 40, UINT64_MAX, false });
	ck_assert(o.st == NTC_ST_OK && o.result.entries == 0);
	before = stats_now();
	o = collect_now(&(struct ntc_collect){ UINT64_MAX, 30, UINT64_MAX, true });
	ck_assert_int_eq(o.st, NTC_ST_OK);
	ck_assert_uint_eq(o.result.entries, 10);
	ck_assert_uint_eq(stats_now().entries, 30);
	ck_assert_uint_eq(stats_now().bytes, before.bytes - o.result.bytes);
	o = collect_now(&(struct ntc_collect){ 100000, UINT64_MAX, UINT64_MAX, false });
	ck_assert_int_eq(o.st, NTC_ST_OK);
	ck_assert_uint_le(stats_now().bytes, 100000);
	ck_assert_uint_gt(stats_now().entries, 0);
	o = collect_now(&(struct ntc_collect){ 0, 0, 0, true });
	ck_assert_int_eq(o.st, NTC_ST_OK);
	ck_assert_uint_eq(stats_now().entries, 0);
	reopen_store();
	ck_assert_uint_eq(stats_now().entries, 0);
}
END_TEST

/* More than one batch, and an empty quarantine. */
START_TEST(collect_many)
{
	struct answer answers[600] = { 0 };
	struct outcome o;

	for (unsigned n = 0; n < 600; n++)
		put(n, 'x', 64, &answers[n]);
	for (unsigned n = 0; n < 600; n++)
		wait_for(&answers[n].durable);
	put_now(1000, 'x', LARGE);
	flip(1000, 10000);
	ck_assert_int_eq(load_now(1000, 'x', LARGE), NTC_ST_NOT_FOUND);
	o = collect_now(&(struct ntc_collect){ UINT64_MAX, 7, UINT64_MAX, true });
	ck_assert_int_eq(o.st, NTC_ST_OK);
	ck_assert_uint_eq(o.result.entries, 593);
	ck_assert_uint_eq(o.result.files, 1);
	ck_assert_uint_eq(stats_now().entries, 7);
}
END_TEST

/* What is not on the disk yet cannot go: it ends, and says how far it came. One at a time. */
START_TEST(collect_what_is_there)
{
	struct ntc_collect all = { 0, 0, 0, false };
	struct outcome first = { 0 }, second = { 0 };
	struct answer a = { 0 };

	put_now(1, 'x', 100);
	put(2, 'x', LARGE, &a);
	ntc_store_collect(store, &all, on_collect, &first);
	ntc_store_collect(store, &all, on_collect, &second);
	ck_assert(second.came == 1 && second.st == NTC_ST_BUSY);
	wait_for(&first.came);
	ck_assert_int_eq(first.st, NTC_ST_OK);
	ck_assert_uint_ge(first.result.entries, 1);
	wait_for(&a.durable);
	ck_assert_int_eq(collect_now(&all).st, NTC_ST_OK);
	ck_assert_uint_eq(stats_now().entries, 0);
}
END_TEST

/* Closing does not wait for it to empty the cache. */
START_TEST(collect_ends_with_the_store)
{
	struct ntc_collect all = { 0, 0, 0, false };
	struct answer answers[600] = { 0 };
	struct outcome o = { 0 };

	for (unsigned n = 0; n < 600; n++)
		put(n, 'x', 64, &answers[n]);
	for (unsigned n = 0; n < 600; n++)
		wait_for(&answers[n].durable);
	ntc_store_collect(store, &all, on_collect, &o);
	close_store();
	ck_assert(o.came == 1 && o.st == NTC_ST_SHUTTING_DOWN);
	open_store();
	ck_assert_uint_gt(stats_now().entries, 0);
	ck_assert_uint_lt(stats_now().entries, 600);
}
END_TEST

static int refuse_unlinks(enum ntc_test_call call, const char *name, int flags)
{
	(void)name;
	(void)flags;
	return call == NTC_CALL_UNLINK && atomic_load(&unreadable) ? EIO : 0;
}

START_TEST(collect_on_a_sick_disk)
{
	struct outcome o;

	for (unsigned n = 0; n < 4; n++)
		put_now(n, 'x', LARGE);
	close_store();
	ntc_test_hook_sys(refuse_unlinks);
	open_store();
	atomic_store(&unreadable, 1);
	o = collect_now(&(struct ntc_collect){ 0, 0, UINT64_MAX, false });
	ck_assert_int_eq(o.st, NTC_ST_IO);
	ck_assert_uint_eq(o.result.entries, 0);
	ck_assert_uint_eq(stats_now().entries, 4);
	ck_assert_int_eq(load_now(1, 'x', LARGE), NTC_ST_OK);
	atomic_store(&unreadable, 0);
	o = collect_now(&(struct ntc_collect){ 0, 0, UINT64_MAX, false });
	ck_assert_int_eq(o.st, NTC_ST_OK);
	ck_assert_uint_eq(o.result.entries, 4);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_maintain");
	TCase *tc = tcase_create("store_maintain");

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, verify_looks_at_the_disk);
	tcase_add_test(tc, verify_repairs_only_when_told);
	tcase_add_test(tc, verify_repairs_nothing_that_cannot_be_read);
	tcase_add_test(tc, verify_of_what_goes_meanwhile);
	tcase_add_test(tc, collect_keeps_the_bounds);
	tcase_add_test(tc, collect_many);
	tcase_add_test(tc, collect_what_is_there);
	tcase_add_test(tc, collect_ends_with_the_store);
	tcase_add_test(tc, collect_on_a_sick_disk);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
