/*
 * Starting a daemon. A lock file beside the socket (".start") settles who does: everybody looks for a
 * daemon again and again, and whoever gets the lock meanwhile, having looked once more under it, starts
 * one. The starter notes a failed start in the lock file, so that the others do not each try for as long.
 *
 * The daemon is started by way of a shell that leaves it at once: so it is no child of this process, whose
 * program may wait for all its children. It has a session of its own, no inherited descriptors, and says
 * what it has to say into a log file beside the socket.
 */
#include "client/autostart.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/discover.h"

#define PATH_ROOM 4096

/* A failed start counts for so long. */
#define FAILED_FOR NTC_LIMIT_AUTOSTART

/* --- where ntcached is -------------------------------------------------------------------- */

/* Whether this is a program; else errno says why not. */
static bool is_program(const char *path)
{
	struct stat st;

	if (stat(path, &st) || access(path, X_OK))
		return false;
	errno = EACCES; /* a directory can be "executed" too */
	return S_ISREG(st.st_mode);
}

/* `dir` (with its length) and `tail`, if that is a program. */
static bool found_at(const char *dir, size_t dir_len, const char *tail, char out[PATH_ROOM])
{
	int len = snprintf(out, PATH_ROOM, "%.*s/%s", (int)dir_len, dir, tail);

	return len < PATH_ROOM && is_program(out);
}

/* Beside this library (or the program it is linked into): lib/../bin/ntcached, or the same folder. */
static bool found_beside_library(char out[PATH_ROOM])
{
	const char *slash;
	Dl_info info;

	if (!dladdr((void *)(uintptr_t)ntc_autostart, &info) || !info.dli_fname)
		return false;
	slash = strrchr(info.dli_fname, '/');
	if (!slash)
		return false;
	return found_at(info.dli_fname, (size_t)(slash - info.dli_fname), "ntcached", out) ||
	       found_at(info.dli_fname, (size_t)(slash - info.dli_fname), "../bin/ntcached", out);
}

static bool found_in_path(char out[PATH_ROOM])
{
	const char *path = getenv("PATH");

	while (path && *path) {
		size_t len = strcspn(path, ":");

		/* Only absolute ones: not what lies about in the current directory. */
		if (*path == '/' && found_at(path, len, "ntcached", out))
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

static bool find_daemon(const struct ntc_client *client, char out[PATH_ROOM])
{
	if (client->daemon) {
		if (strlen(client->daemon) < PATH_ROOM && is_program(client->daemon)) {
			memcpy(out, client->daemon, strlen(client->daemon) + 1);
			return true;
		}
		ntc_explain(NTC_E_NO_DAEMON, "cannot start %.200s: %s", client->daemon, strerror(errno));
		return false;
	}
	if (found_beside_library(out) || found_in_path(out))
		return true;
	ntc_explain(NTC_E_NO_DAEMON, "no ntcached to start: set NTCACHE_DAEMON or PATH");
	return false;
}

/* --- starting ----------------------------------------------------------------------------- */

/* Whether the daemon can be started in "/", so that it holds no directory of its starter's. */
static bool all_absolute(const char *program, const char *socket)
{
	const char *dir = getenv("NTCACHE_DIR");

	return *program == '/' && *socket == '/' && (!dir || *dir == '/');
}

/*
 * Start it; false with the reason explained. *alive is given: a pipe whose other end the daemon has as its standard
 * input, which it never reads; that hangs up when the daemon ends, though it is no child of this process.
 */
static bool spawn(const char *program, const char *socket, const char *log, int *alive)
{
	char idle[16];
	char *const argv[] = {
		/* In the background of a shell that ends at once; which would take its standard input away. */
		(char *)"sh",
		(char *)"-c",
		(char *)(all_absolute(program, socket) ? "cd /; exec 3<&0; \"$0\" \"$@\" <&3 3<&- &" :
							 "exec 3<&0; \"$0\" \"$@\" <&3 3<&- &"),
		(char *)program,
		(char *)"--socket",
		(char *)socket,
		(char *)"--idle-exit",
		idle,
		NULL,
	};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int rc, ends[2];
	pid_t pid;

	*alive = -1;
	if (pipe2(ends, O_CLOEXEC)) {
		ntc_explain(NTC_E_NO_DAEMON, "cannot start %.200s: %s", program, strerror(errno));
		return false;
	}
	snprintf(idle, sizeof(idle), "%d", NTC_AUTOSTART_IDLE_S);
	sigemptyset(&none);
	sigfillset(&all);
	rc = posix_spawn_file_actions_init(&actions);
	if (rc) {
		close(ends[0]);
		close(ends[1]);
		ntc_explain(NTC_E_NO_MEMORY, "cannot start %.200s: %s", program, strerror(rc));
		return false;
	}
	rc = posix_spawnattr_init(&attr);
	if (!rc)
		rc = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
							     POSIX_SPAWN_SETSIGDEF);
	if (!rc)
		rc = posix_spawnattr_setsigmask(&attr, &none);
	if (!rc)
		rc = posix_spawnattr_setsigdefault(&attr, &all);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&actions, ends[1], 0);
	if (!rc)
		rc = posix_spawn_file_actions_addopen(&actions, 1, log,
						      O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(&actions, 1, 2);
	if (!rc)
		rc = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	if (!rc)
		rc = posix_spawn(&pid, "/bin/sh", &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	if (rc) {
		close(ends[0]);
		ntc_explain(NTC_E_NO_DAEMON, "cannot start %.200s: %s", program, strerror(rc));
		return false;
	}
	/* The shell; somebody else may have waited for it already. */
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		continue;
	*alive = ends[0];
	return true;
}

/* Wait a little, or until the daemon ends; true if it has. */
static bool has_ended(int alive)
{
	struct pollfd p = { .fd = alive, .events = POLLIN };

	return poll(&p, 1, (int)(NTC_AUTOSTART_POLL / NTC_NS_PER_MS)) > 0;
}

/* --- the lock file ------------------------------------------------------------------------ */

/* The directories of the user's socket, 0700, as the daemon would make them. */
static void make_parent(const char *path)
{
	char parent[NTC_SOCKET_PATH_MAX];
	char *slash;

	snprintf(parent, sizeof(parent), "%s", path);
	slash = strrchr(parent, '/');
	if (!slash || slash == parent)
		return;
	*slash = '\0';
	(void)mkdir(parent, 0700); /* it is there, or opening the lock file fails */
}

static void note_failure(int lock)
{
	uint64_t now = ntc_clock_mono_ns();

	(void)!pwrite(lock, &now, sizeof(now), 0); /* only spares others the wait */
}

static bool failed_lately(int lock)
{
	uint64_t then, now = ntc_clock_mono_ns();

	return pread(lock, &then, sizeof(then), 0) == sizeof(then) && then <= now && now - then < FAILED_FOR;
}

static void pause_a_little(void)
{
	struct timespec t = { .tv_nsec = (long)NTC_AUTOSTART_POLL };

	(void)nanosleep(&t, NULL); /* interrupted: looking earlier does no harm */
}

enum ntc_err ntc_autostart(struct ntc_client *client, const char *path, uint64_t deadline,
			   struct ntc_conn **conn)
{
	char program[PATH_ROOM], lock_path[NTC_SOCKET_PATH_MAX + 8], log[NTC_SOCKET_PATH_MAX + 8];
	uint64_t over = ntc_deadline(-1, NTC_LIMIT_AUTOSTART), now;
	bool locked = false, started = false, ended = false;
	int lock, alive = -1;
	enum ntc_err err;

	*conn = NULL;
	if (!find_daemon(client, program))
		return NTC_E_NO_DAEMON;
	snprintf(lock_path, sizeof(lock_path), "%s.start", path);
	snprintf(log, sizeof(log), "%s.log", path);
	make_parent(path);
	lock = open(lock_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (lock < 0)
		return ntc_explain(NTC_E_NO_DAEMON, "cannot start a daemon: %s: %s", lock_path,
				   strerror(errno));
	for (;;) {
		/* Taking the lock comes first, so that this look is the one under it. */
		if (!locked)
			locked = flock(lock, LOCK_EX | LOCK_NB) == 0;
		err = ntc_discover_try(client, path, deadline, conn);
		if (err != NTC_E_NO_DAEMON)
			break;
		if (locked && !started) {
			if (failed_lately(lock)) {
				err = ntc_explain(NTC_E_NO_DAEMON,
						  "a daemon could not be started just now: see %s", log);
				break;
			}
			if (!spawn(program, path, log, &alive))
				break;
			started = true;
			ntc_client_say(client, "ntcache: started %s on %s", program, path);
		}
		now = ntc_clock_mono_ns();
		if (ended || now >= over) {
			if (started)
				note_failure(lock);
			err = ntc_explain(NTC_E_NO_DAEMON, "the daemon that was started %s: see %s",
					  ended ? "ended at once" : "does not answer", log);
			break;
		}
		if (now >= deadline) {
			err = ntc_explain(NTC_E_TIMEOUT,
					  "the daemon that is being started does not answer yet");
			break;
		}
		/* Ended, it is looked for once more: it may have found another daemon there. */
		if (alive >= 0)
			ended = has_ended(alive);
		else
			pause_a_little();
	}
	if (alive >= 0)
		close(alive);
	close(lock);
	return err;
}
