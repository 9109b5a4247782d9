/* A disk that takes nothing, for whatever reason: puts are refused with it, hits go on, and it is well again by itself. */
#include "store/disk.h"
#include "store/reserve.h"
#include "store/sys.h"
#include "tests/support/unit_sys.h"
#include "tests/unit/store_fixture.h"

#include <stdatomic.h>

static atomic_int sick;         /* the errno with which everything fails that changes the disk; 0 = nothing does */
static atomic_int once;         /* the same for the next such call alone */
static int lines;               /* in the log, at warning or above */

static int refuse(enum ntc_test_call call, const char *name, int flags)
{
	int err = atomic_load(&sick);

	(void)name;
	if (err == EMFILE || err == ENFILE)
		return call == NTC_CALL_OPEN ? err : 0;
	if (call == NTC_CALL_WRITE || call == NTC_CALL_MKDIR || (call == NTC_CALL_OPEN && flags & O_CREAT))
		return err ? err : atomic_exchange(&once, 0);
	/* What a full disk still does. */
	if (err == ENOSPC || err == EDQUOT)
		return 0;
	return call == NTC_CALL_FSYNC || call == NTC_CALL_FDATASYNC || call == NTC_CALL_SYNCFS || call == NTC_CALL_RENAME ||
		       call == NTC_CALL_UNLINK || call == NTC_CALL_TRUNCATE ? err : 0;
}

static void count_log(void *ctx, enum ntc_log_level level, const char *text)
{
	record_log(ctx, level, text);
	pthread_mutex_lock(&log_lock);
	lines += level <= NTC_LOG_WARNING;
	pthread_mutex_unlock(&log_lock);
}

static void setup(void)
{
	make_dir();
	ntc_test_hook_sys(refuse);
	open_store();
	put_now(1, 'x', 20000);
}

static void teardown(void)
{
	atomic_store(&sick, 0);
	close_store();
	ntc_test_hook_sys(NULL);
	remove_dir();
}

static const struct { int err; enum ntc_status st; } sicknesses[] = {
	{ ENOSPC, NTC_ST_NO_SPACE }, { EDQUOT, NTC_ST_QUOTA }, { EROFS, NTC_ST_DISK_READ_ONLY }, { EIO, NTC_ST_IO },
	{ EMFILE, NTC_ST_NO_FILES }, { ENFILE, NTC_ST_NO_FILES }, { EFBIG, NTC_ST_NO_SPACE },
};

START_TEST(puts_are_refused_until_it_is_well)
{
	struct answer a = { 0 }, b = { 0 };

	ck_assert_uint_eq(stats_now().disk_since_wall_ns, 0);
	atomic_store(&sick, sicknesses[_i].err);
	put(2, 'x', 20000, &a);
	wait_for(&a.durable);
	ck_assert_int_eq(a.durable_st, sicknesses[_i].st);
	wait_for_disk(sicknesses[_i].st);
	ck_assert_int_eq(stats_now().disk_errno, sicknesses[_i].err);
	ck_assert_uint_gt(stats_now().disk_since_wall_ns, 0);
	ck_assert_ptr_nonnull(strstr(last_log, ntc_status_text(sicknesses[_i].st)));
	ck_assert_uint_eq(stats_now().puts_lost, 1);
	/* At the door from now on, so nobody's work is lost. */
	put(3, 'x', 20000, &b);
	ck_assert_int_eq(b.decided, 1);
	ck_assert_int_eq(b.decided_st, sicknesses[_i].st);
	ck_assert_uint_eq(stats_now().puts_lost, 1);
	/* What is there already is known, and is given. */
	if (sicknesses[_i].st != NTC_ST_NO_FILES) {
		ck_assert_int_eq(load_now(1, 'x', 20000), NTC_ST_OK);
		ck_assert_int_eq(put_now(1, 'x', 20000), NTC_STORED_KNOWN);
	}
	atomic_store(&sick, 0);
	wait_for_disk(NTC_ST_OK);
	ck_assert_int_eq(stats_now().disk_errno, 0);
	ck_assert_int_eq(put_now(2, 'y', 20000), NTC_STORED_NEW);
	ck_assert_int_eq(put_now(3, 'y', 100), NTC_STORED_NEW);
	ck_assert_int_eq(load_now(1, 'x', 20000), NTC_ST_OK);
	reopen_store();
	ck_assert_int_eq(load_now(2, 'y', 20000), NTC_ST_OK);
	ck_assert_int_eq(load_now(3, 'y', 100), NTC_ST_OK);
}
END_TEST

START_TEST(one_failure_is_not_a_bad_disk)
{
	struct answer a = { 0 };

	atomic_store(&once, EIO);
	put(2, 'x', 20000, &a);
	wait_for(&a.durable);
	ck_assert_int_eq(a.durable_st, NTC_ST_IO);
	ck_assert_int_eq(stats_now().disk, NTC_ST_OK);
	ck_assert_int_eq(put_now(2, 'x', 20000), NTC_STORED_NEW);
}
END_TEST

/* Uses are written every second, and fail: that is not said each time. */
START_TEST(it_is_said_once)
{
	struct ntc_digest digest = digest_of(1);
	struct answer a = { 0 };
	uint64_t until;
	int said;

	close_store();
	options.log = count_log;
	ck_assert_int_eq(ntc_store_open(&options, &store, &reason), NTC_ST_OK);
	atomic_store(&sick, ENOSPC);
	put(2, 'x', 20000, &a);
	wait_for(&a.durable);
	wait_for_disk(NTC_ST_NO_SPACE);
	pthread_mutex_lock(&log_lock);
	said = lines;
	pthread_mutex_unlock(&log_lock);
	ck_assert_int_le(said, 2);
	until = ntc_clock_mono_ns() + 3 * NTC_NS_PER_S;
	while (ntc_clock_mono_ns() < until) {
		struct pollfd ready = { .fd = ntc_store_event_fd(store), .events = POLLIN };

		ntc_store_hit(store, &digest, 1);
		ntc_store_save_counters(store, ntc_view(NULL, 0));
		put(3, 'x', 20000, &(struct answer){ 0 });
		(void)poll(&ready, 1, 10);
		ntc_store_dispatch(store);
	}
	pthread_mutex_lock(&log_lock);
	ck_assert_int_eq(lines, said);
	pthread_mutex_unlock(&log_lock);
}
END_TEST

/* The owner's side alone, with times made up. */
START_TEST(one_that_goes_bad_again_is_tried_less_often)
{
	const struct ntc_disk_state bad = { .st = NTC_ST_IO, .err = EIO }, well = { 0 };
	const struct ntc_store_log log = { 0 };
	struct ntc_disk disk = { 0 };
	uint64_t now = 1000 * NTC_NS_PER_S;

	ntc_disk_found(&disk, &bad, now, &log);
	ck_assert(!ntc_disk_due(&disk, now));
	ck_assert(ntc_disk_due(&disk, now + NTC_DISK_WAIT_MIN_NS));
	disk.trying = true;
	ck_assert(!ntc_disk_due(&disk, now + NTC_DISK_WAIT_NS));
	for (int i = 0; i < 10; i++) {
		now = disk.next_ns;
		ntc_disk_tried(&disk, now);
		ck_assert(!ntc_disk_due(&disk, now));
	}
	ck_assert_uint_eq(disk.next_ns, now + NTC_DISK_WAIT_NS);
	ck_assert(ntc_disk_due(&disk, now + NTC_DISK_WAIT_NS));
	for (int i = 0; i < 12; i++) {
		now += NTC_NS_PER_S;
		ntc_disk_found(&disk, &well, now, &log);
		ck_assert(!ntc_disk_due(&disk, now + NTC_DISK_WAIT_MAX_NS));
		now += NTC_NS_PER_S;
		ntc_disk_found(&disk, &bad, now, &log);
		ck_assert_uint_le(disk.wait_ns, NTC_DISK_WAIT_MAX_NS);
	}
	ck_assert_uint_eq(disk.next_ns, now + NTC_DISK_WAIT_MAX_NS);
	/* Long well, it is a new story. */
	ntc_disk_found(&disk, &well, now, &log);
	now += NTC_DISK_WELL_NS;
	ntc_disk_found(&disk, &bad, now, &log);
	ck_assert_uint_eq(disk.next_ns, now + NTC_DISK_WAIT_MIN_NS);
}
END_TEST

START_TEST(the_reserve_is_kept_and_given_up)
{
	struct stat st;

	ck_assert_int_eq(stat(file("reserve"), &st), 0);
	ck_assert_int_eq(st.st_size, NTC_RESERVE_SIZE);
	ck_assert_uint_ge((uint64_t)st.st_blocks * 512, NTC_RESERVE_SIZE);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_disk");
	TCase *tc = tcase_create("disk");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, puts_are_refused_until_it_is_well, 0, (int)(sizeof(sicknesses) / sizeof(sicknesses[0])));
	tcase_add_test(tc, one_failure_is_not_a_bad_disk);
	tcase_add_test(tc, it_is_said_once);
	tcase_add_test(tc, one_that_goes_bad_again_is_tried_less_often);
	tcase_add_test(tc, the_reserve_is_kept_and_given_up);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
