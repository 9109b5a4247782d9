/* Descriptors over a socket: they come with their bytes, close-on-exec, and are never leaked. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdpass.h"

static int pair[2];

static void setup(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
}

static void teardown(void)
{
	if (pair[0] >= 0)
		close(pair[0]);
	close(pair[1]);
}

static size_t open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int pipe_end(ino_t *ino)
{
	struct stat st;
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	close(fds[1]);
	ck_assert_int_eq(fstat(fds[0], &st), 0);
	*ino = st.st_ino;
	return fds[0];
}

static void send_text(const char *text, int fd)
{
	struct iovec iov = { (void *)text, strlen(text) };

	ck_assert_int_eq(ntc_fd_send(pair[0], &iov, 1, &fd, fd >= 0), (ssize_t)strlen(text));
}

START_TEST(test_bytes_alone)
{
	char first[] = "ab", second[] = "cde", buf[16];
	struct iovec iov[2] = { { first, 2 }, { second, 3 } };
	int fd = -7;
	size_t count = 9;

	ck_assert_int_eq(ntc_fd_send(pair[0], iov, 2, NULL, 0), 5);
	ck_assert_int_eq(ntc_fd_recv(pair[1], buf, sizeof(buf), &fd, 1, &count), 5);
	ck_assert_mem_eq(buf, "abcde", 5);
	ck_assert_uint_eq(count, 0);
	ck_assert_int_eq(fd, -7);
}
END_TEST

START_TEST(test_descriptor)
{
	struct stat st;
	ino_t ino;
	char buf[16];
	int sent = pipe_end(&ino), got[4];
	size_t count;

	send_text("one", sent);
	close(sent);
	ck_assert_int_eq(ntc_fd_recv(pair[1], buf, 1, got, 4, &count), 1); /* with the first byte */
	ck_assert_uint_eq(count, 1);
	ck_assert_int_eq(fstat(got[0], &st), 0);
	ck_assert(st.st_ino == ino);
	ck_assert(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
	close(got[0]);
	ck_assert_int_eq(ntc_fd_recv(pair[1], buf, sizeof(buf), got, 4, &count), 2);
	ck_assert_uint_eq(count, 0);
}
END_TEST

/* Several go with the first byte of all. */
START_TEST(test_several)
{
	char text[] = "abc", buf[16];
	struct iovec iov[2] = { { text, 1 }, { text + 1, 2 } };
	int fds[NTC_FD_SEND_MAX + 1], got[NTC_FD_SEND_MAX];
	ino_t ino[NTC_FD_SEND_MAX + 1];
	size_t count;

	for (size_t i = 0; i <= NTC_FD_SEND_MAX; i++)
		fds[i] = pipe_end(&ino[i]);
	ck_assert_int_eq(ntc_fd_send(pair[0], iov, 2, fds, NTC_FD_SEND_MAX + 1), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(ntc_fd_send(pair[0], iov, 2, fds, NTC_FD_SEND_MAX), 3);
	ck_assert_int_eq(ntc_fd_recv(pair[1], buf, 1, got, NTC_FD_SEND_MAX, &count), 1);
	ck_assert_uint_eq(count, NTC_FD_SEND_MAX);
	for (size_t i = 0; i <= NTC_FD_SEND_MAX; i++) {
		struct stat st;

		close(fds[i]);
		if (i == NTC_FD_SEND_MAX)
			continue;
		ck_assert_int_eq(fstat(got[i], &st), 0);
		ck_assert(st.st_ino == ino[i]);
		close(got[i]);
	}
}
END_TEST

START_TEST(test_order)
{
	ino_t ino[3];
	struct stat st;
	char buf[64];
	int got[3];
	size_t have = 0, bytes = 0;

	for (int i = 0; i < 3; i++) {
		int fd = pipe_end(&ino[i]);

		send_text("x", fd);
		close(fd);
	}
	while (bytes < 3) {
		size_t count;
		ssize_t n = ntc_fd_recv(pair[1], buf, sizeof(buf), got + have, 3 - have, &count);

		ck_assert_int_gt(n, 0);
		bytes += (size_t)n;
		have += count;
	}
	ck_assert_uint_eq(have, 3);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(fstat(got[i], &st), 0);
		ck_assert(st.st_ino == ino[i]);
		close(got[i]);
	}
}
END_TEST

/* More descriptors in one message than there is room for: the rest is closed. */
START_TEST(test_no_leak)
{
	static const size_t many = 253;
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(253 * sizeof(int))];
	} control = { 0 };
	char byte = 'z';
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes,
			      .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	size_t room = (size_t)_i, before, count;
	ino_t ino;
	int fd = pipe_end(&ino), got[4];
	char buf[8];

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(many * sizeof(int));
	for (size_t i = 0; i < many; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
	ck_assert_int_eq(sendmsg(pair[0], &msg, 0), 1);
	before = open_files();
	ck_assert_int_eq(ntc_fd_recv(pair[1], buf, sizeof(buf), room ? got : NULL, room, &count), 1);
	ck_assert_uint_eq(count, room);
	ck_assert_uint_eq(open_files(), before + room);
	for (size_t i = 0; i < count; i++)
		close(got[i]);
	close(fd);
}
END_TEST

START_TEST(test_ends)
{
	char byte = 'x', buf[4];
	struct iovec iov = { &byte, 1 };
	size_t count = 5;
	int fd;

	ck_assert_int_eq(ntc_fd_recv(-1, buf, sizeof(buf), &fd, 1, &count), -1);
	ck_assert_int_eq(errno, EBADF);
	ck_assert_uint_eq(count, 0);
	close(pair[0]);
	pair[0] = -1;
	ck_assert_int_eq(ntc_fd_recv(pair[1], buf, sizeof(buf), &fd, 1, &count), 0);
	/* no SIGPIPE */
	ck_assert_int_eq(ntc_fd_send(pair[1], &iov, 1, NULL, 0), -1);
	ck_assert_int_eq(errno, EPIPE);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("fdpass");
	TCase *tc = tcase_create("fdpass");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_bytes_alone);
	tcase_add_test(tc, test_descriptor);
	tcase_add_test(tc, test_several);
	tcase_add_test(tc, test_order);
	tcase_add_loop_test(tc, test_no_leak, 0, 4);
	tcase_add_test(tc, test_ends);
	suite_add_tcase(s, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
