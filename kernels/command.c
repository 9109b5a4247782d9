/* See command.h. */
#include "kernels/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

/* Start it. Returns 0 or an errno. */
static int start(const struct ntc_command *command, int output, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int err;

	err = posix_spawn_file_actions_init(&actions);
	if (err)
		return err;
	err = posix_spawnattr_init(&attributes);
	if (err) {
		posix_spawn_file_actions_destroy(&actions);
		return err;
	}
	sigemptyset(&none);
	sigfillset(&all);
	/* The program's own choices for signals are not the command's. */
	err = posix_spawnattr_setflags(&attributes,
				       POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	err = err ? err : posix_spawnattr_setpgroup(&attributes, 0);
	err = err ? err : posix_spawnattr_setsigmask(&attributes, &none);
	err = err ? err : posix_spawnattr_setsigdefault(&attributes, &all);
	err = err ? err : posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	err = err ? err : posix_spawn_file_actions_adddup2(&actions, output, 1);
	err = err ? err : posix_spawn_file_actions_adddup2(&actions, output, 2);
	err = err ? err : posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	err = err ? err : posix_spawn_file_actions_addchdir_np(&actions, command->directory);
	err = err ? err : posix_spawn(pid, command->program, &actions, &attributes, command->words, command->environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return err;
}

/* Read what is there. False at the end. */
static bool drain(int fd, struct ntc_command_result *result)
{
	char past[4096];
	ssize_t n;

	for (;;) {
		size_t room = result->log ? NTC_COMMAND_LOG_MAX - result->log_len : 0;

		/* What does not fit is read all the same: the command must not wait for us. */
		n = room ? read(fd, result->log + result->log_len, room) : read(fd, past, sizeof(past));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && errno == EAGAIN;
		if (room)
			result->log_len += (size_t)n;
	}
}

/* Wait for the end of `pid`, reading its output; true if it ended by itself within the limit. */
static bool watch(const struct ntc_command *command, int output, int pidfd, struct ntc_command_result *result)
{
	uint64_t end = ntc_clock_mono_ns() + command->limit_ns;
	uint64_t tick = ntc_clock_mono_ns() + NTC_COMMAND_TICK_S * NTC_NS_PER_S, now;
	struct pollfd fds[2] = { { .fd = pidfd, .events = POLLIN }, { .fd = output, .events = POLLIN } };

	while ((now = ntc_clock_mono_ns()) < end) {
		uint64_t next = tick < end ? tick : end;

		if (now >= tick) {
			if (command->tick)
				command->tick(command->ctx);
			tick = now + NTC_COMMAND_TICK_S * NTC_NS_PER_S;
			continue;
		}
		if (poll(fds, 2, (int)((next - now) / NTC_NS_PER_MS) + 1) < 0 && errno != EINTR)
			return false;
		if (fds[1].revents && !drain(output, result))
			fds[1].fd = -1;
		if (fds[0].revents)
			return true;
	}
	return false;
}

void ntc_command_run(const struct ntc_command *command, struct ntc_command_result *result)
{
	int pipe_fds[2] = { -1, -1 }, output = -1, pidfd = -1, status = 0, err;
	bool ended = false;
	pid_t pid = -1, got;

	*result = (struct ntc_command_result){ .end = NTC_COMMAND_NOT_RUN, .log = malloc(NTC_COMMAND_LOG_MAX + 1) };
	if (!result->log || pipe2(pipe_fds, O_CLOEXEC) != 0 || fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK) != 0) {
		result->status = result->log ? errno : ENOMEM;
		goto out;
	}
	/* Not one of 0 to 2, which are set up anew in the child, should this program have closed its own. */
	output = fcntl(pipe_fds[1], F_DUPFD_CLOEXEC, 3);
	err = output >= 0 ? start(command, output, &pid) : errno;
	close(pipe_fds[1]);
	pipe_fds[1] = -1;
	if (output >= 0)
		close(output);
	if (err) {
		pid = -1;
		result->status = err;
		goto out;
	}
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		result->status = errno;
	else
		ended = watch(command, pipe_fds[0], pidfd, result);
	/* Not reaped yet, so the group's number is still this one's. Also what a good command left behind goes. */
	(void)kill(-pid, SIGKILL);
	while ((got = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
		;
	(void)drain(pipe_fds[0], result);
	if (pidfd < 0) {
		goto out;
	} else if (got < 0) {
		result->status = errno;
	} else if (!ended) {
		result->end = NTC_COMMAND_OVER_TIME;
	} else if (WIFEXITED(status)) {
		result->end = NTC_COMMAND_EXITED;
		result->status = WEXITSTATUS(status);
	} else {
		result->end = NTC_COMMAND_SIGNALLED;
		result->status = WTERMSIG(status);
	}
out:
	if (result->log)
		result->log[result->log_len] = '\0';
	if (pidfd >= 0)
		close(pidfd);
	if (pipe_fds[0] >= 0)
		close(pipe_fds[0]);
	if (pipe_fds[1] >= 0)
		close(pipe_fds[1]);
}
