/* The store's seam: interrupted and short calls are continued, errors come through, ends of files are told. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/sys.h"

static int fd, interruptions;
static struct ntc_sys_ops ops;

static void setup(void)
{
	char path[] = "/tmp/ntc-sys-XXXXXX";

	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(unlink(path), 0);
	ops = ntc_sys_kernel;
	interruptions = 0;
	ntc_sys = &ops;
}

static void teardown(void)
{
	ntc_sys = &ntc_sys_kernel;
	ntc_sys_close(fd);
	ntc_sys_close(-1);
}

/* Every second call is interrupted, the others do at most 3 bytes. */
static ssize_t short_write(int to, const void *p, size_t len, off_t at)
{
	return interruptions++ % 2 ? ntc_sys_kernel.write(to, p, len < 3 ? len : 3, at) : -EINTR;
}

static ssize_t short_read(int from, void *p, size_t len, off_t at)
{
	return interruptions++ % 2 ? ntc_sys_kernel.read(from, p, len < 3 ? len : 3, at) : -EINTR;
}

static int interrupted_fsync(int of)
{
	return interruptions++ < 3 ? -EINTR : ntc_sys_kernel.fsync(of);
}

START_TEST(short_and_interrupted_calls_are_continued)
{
	char text[16];

	ops.write = short_write;
	ops.read = short_read;
	ops.fsync = interrupted_fsync;
	ck_assert_int_eq(ntc_sys_write(fd, "0123456789", 10, 5), 0);
	ck_assert_int_eq(interruptions, 8);
	ck_assert_int_eq(ntc_sys_read(fd, text, 10, 5), 0);
	ck_assert_mem_eq(text, "0123456789", 10);
	ck_assert_int_eq(ntc_sys_read_some(fd, text, 16, 5), 10);
	ck_assert_int_eq(ntc_sys_read(fd, text, 16, 5), -ENODATA);
	ck_assert_int_eq(ntc_sys_read_some(fd, text, 16, 15), 0);
	interruptions = 0;
	ck_assert_int_eq(ntc_sys_fsync(fd), 0);
	ck_assert_int_eq(interruptions, 4);
}
END_TEST

static ssize_t full_after_three(int to, const void *p, size_t len, off_t at)
{
	return at < 3 ? ntc_sys_kernel.write(to, p, len < 3 ? len : 3, at) : -ENOSPC;
}

static ssize_t nothing(int to, const void *p, size_t len, off_t at)
{
	(void)to;
	(void)p;
	(void)len;
	(void)at;
	return 0;
}

START_TEST(errors_come_through)
{
	struct stat st;

	ops.write = full_after_three;
	ck_assert_int_eq(ntc_sys_write(fd, "0123456789", 10, 0), -ENOSPC);
	ops.write = nothing;
	ck_assert_int_eq(ntc_sys_write(fd, "0123456789", 10, 0), -EIO);
	ck_assert_int_eq(ntc_sys_open(AT_FDCWD, "/nonexistent/name", O_RDONLY, 0), -ENOENT);
	ck_assert_int_eq(ntc_sys_stat_at(AT_FDCWD, "/nonexistent", &st), -ENOENT);
	ck_assert_int_eq(ntc_sys_unlink(AT_FDCWD, "/nonexistent"), -ENOENT);
	ck_assert_int_eq(ntc_sys_fdatasync(-1), -EBADF);
}
END_TEST

/* The locks belong to open files, so two of one process exclude each other. */
START_TEST(bytes_are_locked_by_one)
{
	char path[64];
	int other;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	other = ntc_sys_open(AT_FDCWD, path, O_RDWR, 0);
	ck_assert_int_ge(other, 0);
	ck_assert_int_eq(ntc_sys_lock_bytes(fd, 100, 10), 0);
	ck_assert_int_eq(ntc_sys_lock_bytes(other, 105, 1), -EAGAIN);
	ck_assert_int_eq(ntc_sys_lock_bytes(other, 110, 1), 0);
	ntc_sys_close(other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_sys");
	TCase *tc = tcase_create("sys");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, short_and_interrupted_calls_are_continued);
	tcase_add_test(tc, errors_come_through);
	tcase_add_test(tc, bytes_are_locked_by_one);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
