/* How groups get to the disk: all at once where that pays and can be trusted, never waiting long for other people's. */
#include "store/fs.h"
#include "store/syncer.h"
#include "store/sys.h"
#include "tests/unit/store_fixture.h"

#include <semaphore.h>
#include <stdatomic.h>

#define EXT4 0xef53
#define OVERLAYFS 0x794c7630

static struct ntc_sys_ops ops;
static unsigned long type;      /* of the file system, as the store is told */
static atomic_uint all, one;    /* syncs of everything; of files and directories */
static atomic_uint journal;     /* syncs of the index's files */
static int all_err;             /* what the former say */
static bool stuck;              /* they do not end */
static sem_t go_on;

static int typed_statfs(int fd, struct statfs *fs)
{
	int err = ntc_sys_kernel.statfs(fd, fs);

	fs->f_type = (__typeof__(fs->f_type))type;
	return err;
}

static int counted_fsync(int fd)
{
	atomic_fetch_add(&one, 1);
	return ntc_sys_kernel.fsync(fd);
}

static int counted_fdatasync(int fd)
{
	atomic_fetch_add(&journal, 1);
	return ntc_sys_kernel.fdatasync(fd);
}

static int counted_syncfs(int fd)
{
	atomic_fetch_add(&all, 1);
	if (stuck)
		sem_wait(&go_on);
	return all_err ? all_err : ntc_sys_kernel.syncfs(fd);
}

static void setup(void)
{
	make_dir();
	type = EXT4;
	ops = ntc_sys_kernel;
	ops.statfs = typed_statfs;
	ops.fsync = counted_fsync;
	ops.fdatasync = counted_fdatasync;
	ops.syncfs = counted_syncfs;
	ntc_sys = &ops;
	sem_init(&go_on, 0, 0);
	options.group_wait_ns = 300 * NTC_NS_PER_MS;
}

static void teardown(void)
{
	close_store();
	ntc_sys = &ntc_sys_kernel;
	remove_dir();
}

/* Puts of files, in one group; returns how many directories they are in. */
static unsigned put_group(unsigned count)
{
	struct answer *a = calloc(count, sizeof(*a));
	bool shards[256] = { false };
	unsigned dirs = 0;

	all = one = 0;
	for (unsigned i = 0; i < count; i++) {
		struct ntc_digest digest = digest_of(i);

		dirs += !shards[digest.bytes[0]];
		shards[digest.bytes[0]] = true;
		put(i, 'x', 20000, &a[i]);
	}
	for (unsigned i = 0; i < count; i++) {
		wait_for(&a[i].durable);
		ck_assert_int_eq(a[i].durable_st, NTC_ST_OK);
	}
	ck_assert_uint_eq(stats_now().groups, 1);
	/* The directory of the index, with the first commit's journal in it. */
	one--;
	free(a);
	return dirs;
}

static void check_all_there(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		ck_assert_int_eq(load_now(i, 'x', 20000), NTC_ST_OK);
}

START_TEST(many_are_synced_all_at_once)
{
	unsigned dirs;

	open_store();
	dirs = put_group(32);
	/* The files, then their names; what is synced alone is what a new directory needs. */
	ck_assert_uint_eq(all, 2);
	ck_assert_uint_eq(one, dirs);
	check_all_there(32);
}
END_TEST

START_TEST(few_are_synced_one_by_one)
{
	unsigned dirs;

	open_store();
	dirs = put_group(NTC_SYNC_ALL_MIN - 1);
	ck_assert_uint_eq(all, 0);
	ck_assert_uint_eq(one, dirs + NTC_SYNC_ALL_MIN - 1 + dirs);
}
END_TEST

/* There a file that could not be written fails the sync of that file, but not syncfs. */
START_TEST(a_file_system_that_does_not_tell_is_not_trusted)
{
	unsigned dirs;

	type = OVERLAYFS;
	open_store();
	dirs = put_group(32);
	ck_assert_uint_eq(all, 0);
	ck_assert_uint_eq(one, dirs + 32 + dirs);
}
END_TEST

START_TEST(an_error_is_asked_for_file_by_file)
{
	unsigned dirs;

	all_err = -EIO;
	open_store();
	dirs = put_group(32);
	/* Somebody else's file, then: ours are well. For a while it is not tried again. */
	ck_assert_uint_eq(all, 1);
	ck_assert_uint_eq(one, dirs + 32 + dirs);
	check_all_there(32);
}
END_TEST

START_TEST(other_peoples_bytes_are_not_waited_for)
{
	unsigned dirs;

	stuck = true;
	open_store();
	dirs = put_group(32);
	ck_assert_uint_eq(all, 1);
	ck_assert_uint_eq(one, dirs + 32 + dirs);
	check_all_there(32);
	sem_post(&go_on);
}
END_TEST

/* --- relaxed ------------------------------------------------------------------------------ */

static void wait_for_syncs(unsigned count)
{
	uint64_t until = ntc_clock_mono_ns() + 30 * NTC_NS_PER_S;

	while (atomic_load(&all) < count) {
		ck_assert_msg(ntc_clock_mono_ns() < until, "no sync");
		(void)poll(NULL, 0, 1);
	}
}

START_TEST(relaxed_puts_are_synced_later)
{
	uint64_t start;

	type = OVERLAYFS;
	options.relaxed = true;
	options.inline_max = 8192;
	options.group_wait_ns = 0;
	open_store();
	put_now(100, 'x', 20000);
	wait_for_syncs(1);
	/* The shard's directory is made, the journal there. */
	start = ntc_clock_mono_ns();
	ck_assert_uint_eq(remove_now(100), 1);
	all = one = journal = 0;
	put_now(100, 'z', 20000);
	put_now(102, 'z', 100);
	ck_assert_uint_eq(one, 0);
	ck_assert_uint_eq(journal, 0);
	wait_for_syncs(1);
	ck_assert_uint_ge(ntc_clock_mono_ns() - start, NTC_SYNC_LATER_NS / 2);
}
END_TEST

START_TEST(relaxed_removals_are_for_good)
{
	options.relaxed = true;
	options.inline_max = 8192;
	options.group_wait_ns = 0;
	open_store();
	put_now(1, 'x', 20000);
	put_now(2, 'x', 100);
	one = journal = 0;
	ck_assert_uint_eq(remove_now(1), 1);
	ck_assert_uint_ge(one, 1);
	one = journal = 0;
	/* In the index: the commit is what removes it. */
	ck_assert_uint_eq(remove_now(2), 1);
	ck_assert_uint_ge(journal, 1);
	journal = 0;
	put_now(2, 'x', 100);
	ck_assert_uint_eq(journal, 0);
}
END_TEST

START_TEST(relaxed_puts_are_synced_at_the_end)
{
	options.relaxed = true;
	options.group_wait_ns = 0;
	open_store();
	put_now(1, 'x', 20000);
	ck_assert_uint_eq(all, 0);
	close_store();
	ck_assert_uint_eq(all, 1);
	open_store();
	ck_assert_int_eq(load_now(1, 'x', 20000), NTC_ST_OK);
	/* Nothing put: nothing to sync. */
	close_store();
	ck_assert_uint_eq(all, 1);
	open_store();
}
END_TEST

/* --- file systems ------------------------------------------------------------------------- */

START_TEST(network_file_systems_are_refused)
{
	type = 0x6969;
	ck_assert_int_eq(try_open(), NTC_ST_BAD_STORE);
	ck_assert_ptr_nonnull(strstr(reason.text, "nfs"));
	ck_assert_ptr_nonnull(strstr(reason.text, "--allow-network-fs"));
	options.allow_network = true;
	open_store();
	put_now(1, 'x', 20000);
}
END_TEST

START_TEST(types_are_known)
{
	static const unsigned long network[] = { 0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x65735546, 0x01021997, 0x0bd00bd0,
						 0x47504653, 0x00c36400, 0x5346414f, 0x6b414653, 0x19830326 };
	static const unsigned long local[] = { EXT4, 0x58465342, 0x9123683e, 0x01021994, OVERLAYFS, 0x12345678 };

	for (size_t i = 0; i < sizeof(network) / sizeof(network[0]); i++) {
		ck_assert(ntc_fs_is_network(network[i]));
		ck_assert(!ntc_fs_tells_all(network[i]));
		ck_assert_ptr_nonnull(ntc_fs_name(network[i]));
	}
	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++)
		ck_assert(!ntc_fs_is_network(local[i]));
	ck_assert_str_eq(ntc_fs_name(0x6969), "nfs");
	ck_assert_str_eq(ntc_fs_name(EXT4), "ext4");
	ck_assert_ptr_null(ntc_fs_name(0x12345678));
	ck_assert(ntc_fs_tells_all(EXT4));
	ck_assert(ntc_fs_tells_all(0x58465342));
	ck_assert(ntc_fs_tells_all(0x9123683e));
	ck_assert(!ntc_fs_tells_all(OVERLAYFS));
	ck_assert(!ntc_fs_tells_all(0x12345678));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_sync");
	TCase *tc = tcase_create("groups");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, many_are_synced_all_at_once);
	tcase_add_test(tc, few_are_synced_one_by_one);
	tcase_add_test(tc, a_file_system_that_does_not_tell_is_not_trusted);
	tcase_add_test(tc, an_error_is_asked_for_file_by_file);
	tcase_add_test(tc, other_peoples_bytes_are_not_waited_for);
	tcase_add_test(tc, relaxed_puts_are_synced_later);
	tcase_add_test(tc, relaxed_removals_are_for_good);
	tcase_add_test(tc, relaxed_puts_are_synced_at_the_end);
	tcase_add_test(tc, network_file_systems_are_refused);
	tcase_add_test(tc, types_are_known);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
