/* A daemon for a directory whose daemon is stopped; see private.h. */
#include "private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl.h"
#include "format.h"
#include "progress.h"

#define IDLE_EXIT "3"           /* seconds until it leaves if this program is killed */
#define START_MS 600000         /* a damaged index is made again from all files */
#define STOP_MS 600000
#define TAKEN 75                /* what ntcached exits with where another has the directory */
#define LOG_SHOWN 2048          /* bytes of the end of its log */
#define PATH_ROOM 108           /* as sockets' paths have */

/* Where the handler of signals finds it. Files first, their directory last. */
enum { SOCKET, SOCKET_LOCK, NOTIFY, DIRECTORY, PLACES };
static char places[PLACES][PATH_ROOM];
static volatile pid_t daemon_pid;

static int log_fd = -1, exit_fd = -1, ready_fd = -1;

/* --- leaving nothing behind --------------------------------------------------------------- */

void ntc_ctl_private_hide(void)
{
	for (int i = SOCKET; i < DIRECTORY; i++)
		if (places[i][0])
			unlink(places[i]);
	if (places[DIRECTORY][0])
		rmdir(places[DIRECTORY]);
}

/* Told to end: the daemon too. It finishes what it was given. Only what a handler may do. */
static void on_signal(int number)
{
	ntc_ctl_private_hide();
	if (daemon_pid > 0)
		kill(daemon_pid, SIGTERM);
	raise(number); /* by SA_RESETHAND the end */
}

static void catch_signals(void)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER) }, old;

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		/* What is ignored (nohup) stays ignored. */
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			sigaction(signals[i], &action, NULL);
}

/* --- before it starts --------------------------------------------------------------------- */

/* It has to be run as the directory's owner, or files come to lie there that the next daemon cannot read. */
static int check_directory(const char *dir, bool make, bool *shared)
{
	const struct passwd *owner;
	struct stat st;

	*shared = false;
	if (stat(dir, &st) != 0) {
		if (errno == ENOENT && make)
			return NTC_CTL_OK;
		return ntc_ctl_say(NTC_CTL_FAILED, "%s: %s", dir, strerror(errno));
	}
	if (!S_ISDIR(st.st_mode))
		return ntc_ctl_say(NTC_CTL_FAILED, "%s is no directory", dir);
	*shared = st.st_mode & S_IRGRP;
	if (st.st_uid == geteuid())
		return NTC_CTL_OK;
	owner = getpwuid(st.st_uid);
	if (owner)
		return ntc_ctl_say(NTC_CTL_FAILED, "%s belongs to %s: run this as that user (sudo -u %s ...)", dir,
				   owner->pw_name, owner->pw_name);
	return ntc_ctl_say(NTC_CTL_FAILED, "%s belongs to user %u: run this as that user", dir, (unsigned)st.st_uid);
}

/* A directory that is nobody else's, for its socket. */
static int make_places(void)
{
	const char *const parents[] = { getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp" };

	for (size_t i = 0; i < sizeof(parents) / sizeof(parents[0]); i++) {
		char dir[PATH_ROOM];
		int len = parents[i] && *parents[i] == '/'
				  ? snprintf(dir, sizeof(dir), "%s/ntcache-ctl-XXXXXX", parents[i]) : -1;

		/* With room for the names in it. */
		if (len < 0 || len >= PATH_ROOM - 16 || !mkdtemp(dir))
			continue;
		snprintf(places[SOCKET], PATH_ROOM, "%.90s/socket", dir);
		snprintf(places[SOCKET_LOCK], PATH_ROOM, "%.90s/socket.lock", dir);
		snprintf(places[NOTIFY], PATH_ROOM, "%.90s/notify", dir);
		memcpy(places[DIRECTORY], dir, sizeof(dir));
		return NTC_CTL_OK;
	}
	return ntc_ctl_say(NTC_CTL_FAILED, "no directory for a socket: %s", strerror(errno));
}

/* Where it says that it is ready, in sd_notify(3)'s way. */
static int open_notify(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memcpy(address.sun_path, places[NOTIFY], PATH_ROOM);
	ready_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (ready_fd < 0 || bind(ready_fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		return ntc_ctl_say(NTC_CTL_FAILED, "no socket: %s", strerror(errno));
	return NTC_CTL_OK;
}

/* $NTCACHE_DAEMON, or beside this program, or in $PATH. Given: free(). */
static char *find_program(void)
{
	const char *named = getenv("NTCACHE_DAEMON");
	char self[4096], *program;
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (named && *named) {
		program = strdup(named);
	} else if (len > 0) {
		self[len] = '\0';
		*strrchr(self, '/') = '\0';
		if (asprintf(&program, "%s/ntcached", self) < 0)
			program = NULL;
		if (program && access(program, X_OK) != 0) {
			free(program);
			program = strdup("ntcached");
		}
	} else {
		program = strdup("ntcached");
	}
	if (!program)
		ntc_ctl_no_memory();
	return program;
}

/* Our environment, but for what a service manager told us. Given; its strings are borrowed but the first. */
static char **make_environment(void)
{
	static const char *const without[] = { "NOTIFY_SOCKET=", "LISTEN_FDS=", "LISTEN_PID=", "LISTEN_FDNAMES=" };
	char **list, *notify;
	size_t count = 0, n = 1;

	while (environ[count])
		count++;
	list = ntc_ctl_realloc(NULL, count + 2, sizeof(*list));
	if (asprintf(&notify, "NOTIFY_SOCKET=%s", places[NOTIFY]) < 0)
		ntc_ctl_no_memory();
	list[0] = notify;
	for (size_t i = 0; i < count; i++) {
		bool keep = true;

		for (size_t k = 0; k < sizeof(without) / sizeof(without[0]); k++)
			keep = keep && strncmp(environ[i], without[k], strlen(without[k])) != 0;
		if (keep)
			list[n++] = environ[i];
	}
	list[n] = NULL;
	return list;
}

/* --- starting ----------------------------------------------------------------------------- */

static int spawn(const char *program, const char *dir, bool shared)
{
	char group[16], *argv[24];
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	char **environment;
	sigset_t none, all;
	pid_t pid;
	int n = 0, rc;

	snprintf(group, sizeof(group), "%u", (unsigned)getegid());
	argv[n++] = (char *)"ntcached";
	if (shared) {
		/* Files that the group may read stay so. */
		argv[n++] = (char *)"--system";
		argv[n++] = (char *)"--socket-mode";
		argv[n++] = (char *)"0600";
		argv[n++] = (char *)"--socket-group";
		argv[n++] = group;
	}
	argv[n++] = (char *)"--dir";
	argv[n++] = (char *)dir;
	argv[n++] = (char *)"--socket";
	argv[n++] = places[SOCKET];
	/* Whatever its own daemon's caps are: nothing goes because we look. */
	argv[n++] = (char *)"--max-size";
	argv[n++] = (char *)"0";
	argv[n++] = (char *)"--max-entry";
	argv[n++] = (char *)"1G";
	argv[n++] = (char *)"--idle-exit";
	argv[n++] = (char *)IDLE_EXIT;
	argv[n++] = (char *)"--log-level";
	argv[n++] = (char *)"warning";
	argv[n] = NULL;
	log_fd = memfd_create("ntcached-log", MFD_CLOEXEC);
	if (log_fd < 0 || posix_spawn_file_actions_init(&actions) || posix_spawnattr_init(&attr))
		ntc_ctl_no_memory();
	sigemptyset(&none);
	sigfillset(&all);
	/* Of its own process group: what is typed at the terminal is for this program, which tells it. */
	rc = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	rc = rc ? rc : posix_spawnattr_setsigmask(&attr, &none);
	rc = rc ? rc : posix_spawnattr_setsigdefault(&attr, &all);
	rc = rc ? rc : posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	rc = rc ? rc : posix_spawn_file_actions_adddup2(&actions, log_fd, 1);
	rc = rc ? rc : posix_spawn_file_actions_adddup2(&actions, log_fd, 2);
	rc = rc ? rc : posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	if (rc)
		ntc_ctl_no_memory();
	environment = make_environment();
	rc = posix_spawnp(&pid, program, &actions, &attr, argv, environment);
	free(environment[0]);
	free(environment);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	if (rc)
		return ntc_ctl_say(NTC_CTL_FAILED, "starting %s failed: %s; name it with $NTCACHE_DAEMON", program,
				   strerror(rc));
	daemon_pid = pid;
	exit_fd = pidfd_open(pid, 0);
	if (exit_fd < 0)
		return ntc_ctl_say(NTC_CTL_FAILED, "watching the daemon failed: %s", strerror(errno));
	return NTC_CTL_OK;
}

/* The end of what the daemon said, each line behind a margin. */
static void show_log(void)
{
	char text[LOG_SHOWN + 1], *at = text, *line;
	off_t size = log_fd < 0 ? 0 : lseek(log_fd, 0, SEEK_END);
	off_t from = size > LOG_SHOWN ? size - LOG_SHOWN : 0;
	ssize_t len = size > 0 ? pread(log_fd, text, LOG_SHOWN, from) : 0;

	text[len > 0 ? len : 0] = '\0';
	if (from)
		at = strchrnul(text, '\n'); /* the first line is cut */
	ntc_ctl_progress_hide();
	while ((line = strsep(&at, "\n"))) {
		if (!*line)
			continue;
		fputs("  ntcached: ", stderr);
		ntc_ctl_print_text(stderr, line, strlen(line), false);
		fputc('\n', stderr);
	}
}

/* Wait for its end: its exit code (128 + signal), or -1 if it does not come. */
static int await_end(int timeout_ms)
{
	struct pollfd end = { .fd = exit_fd, .events = POLLIN };
	int status;

	while (poll(&end, 1, timeout_ms) < 0)
		if (errno != EINTR)
			return -1;
	if (!end.revents || waitpid(daemon_pid, &status, 0) != daemon_pid)
		return -1;
	daemon_pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int has_ended(const char *dir)
{
	int code = await_end(STOP_MS);

	if (code == TAKEN)
		ntc_ctl_say(0, "%s has a daemon: ask that one, by its socket (--socket) instead of --dir", dir);
	else
		ntc_ctl_say(0, "no daemon can be started on %s", dir);
	show_log();
	return NTC_CTL_FAILED;
}

static int await_ready(const char *dir)
{
	struct pollfd fds[2] = { { .fd = ready_fd, .events = POLLIN }, { .fd = exit_fd, .events = POLLIN } };
	char message[256];

	for (;;) {
		int n = poll(fds, 2, START_MS);
		ssize_t len;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ntc_ctl_say(NTC_CTL_FAILED, "the daemon on %s does not get ready", dir);
		len = recv(ready_fd, message, sizeof(message) - 1, 0);
		message[len > 0 ? len : 0] = '\0';
		if (strstr(message, "READY=1"))
			return NTC_CTL_OK;
		if (fds[1].revents)
			return has_ended(dir);
	}
}

int ntc_ctl_private_start(const char *dir, bool make, const char **socket)
{
	char *program = find_program();
	bool shared;
	int status = check_directory(dir, make, &shared);

	*socket = NULL;
	if (!status)
		status = make_places();
	if (!status) {
		catch_signals();
		status = open_notify();
	}
	if (!status)
		status = spawn(program, dir, shared);
	if (!status)
		status = await_ready(dir);
	if (!status)
		*socket = places[SOCKET];
	free(program);
	return status;
}

/* --- ending ------------------------------------------------------------------------------- */

int ntc_ctl_private_stop(int status)
{
	ntc_ctl_private_hide();
	if (daemon_pid > 0) {
		int code;

		kill(daemon_pid, SIGTERM);
		code = await_end(STOP_MS);
		if (code != 0) {
			ntc_ctl_say(0, "the daemon that was started for this did not end well (%d)", code);
			status = status ? status : NTC_CTL_FAILED;
		}
		show_log();
	}
	return status;
}
