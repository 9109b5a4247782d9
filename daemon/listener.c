/* The listening socket; see listener.h. */
#include "daemon/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "daemon/limits.h"
#include "daemon/log.h"

struct ntc_listener {
	int fd, lock;
	bool ours;              /* made here, not handed over */
	bool stopped;
	bool paused;            /* the last accept failed */
	dev_t device;           /* of the socket's path */
	ino_t inode;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct event *readable, *resume;
	ntc_accept_fn *accepted;
	void *ctx;
};

static enum ntc_status failed(struct ntc_reason *reason, const char *what, const char *path)
{
	int err = errno;

	return ntc_reject(reason, ntc_status_from_errno(err), "%s %.150s: %s", what, path, strerror(err));
}

/* --- the path ----------------------------------------------------------------------------- */

/* This user's own directory for the socket: others must not be able to put one of theirs there. */
static enum ntc_status own_directory(const char *socket_path, struct ntc_reason *reason)
{
	const char *slash = strrchr(socket_path, '/');
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct stat st;

	memcpy(dir, socket_path, (size_t)(slash - socket_path));
	dir[slash - socket_path] = '\0';
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return failed(reason, "cannot make", dir);
	if (lstat(dir, &st) != 0)
		return failed(reason, "cannot look at", dir);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		return ntc_reject(reason, NTC_ST_FORBIDDEN,
				"%.150s is not a directory of this user; remove it, or name a socket with --socket", dir);
	if (st.st_mode & 077)
		return ntc_reject(reason, NTC_ST_FORBIDDEN,
				"%.150s is open to others (mode %04o); chmod 700 it, or name a socket with --socket", dir,
				(unsigned)st.st_mode & 07777);
	return NTC_ST_OK;
}

static enum ntc_status take_lock(struct ntc_listener *l, struct ntc_reason *reason)
{
	char path[sizeof(l->path) + 8];

	snprintf(path, sizeof(path), "%s.lock", l->path);
	l->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (l->lock < 0)
		return failed(reason, "cannot open", path);
	if (flock(l->lock, LOCK_EX | LOCK_NB) == 0)
		return NTC_ST_OK;
	if (errno == EWOULDBLOCK)
		return ntc_reject(reason, NTC_ST_LOCKED, "another daemon listens at %.150s", l->path);
	return failed(reason, "cannot lock", path);
}

static int unix_socket(const char *path, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(address->sun_path, path, strlen(path) + 1); /* its length was compared before */
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* Remove a socket that nobody answers at; anything else stays. Called with the lock. */
static enum ntc_status clear_path(const struct ntc_listener *l, struct ntc_reason *reason)
{
	struct sockaddr_un address;
	struct stat st;
	int fd, err;

	if (lstat(l->path, &st) != 0)
		return errno == ENOENT ? NTC_ST_OK : failed(reason, "cannot look at", l->path);
	if (!S_ISSOCK(st.st_mode))
		return ntc_reject(reason, NTC_ST_FORBIDDEN, "%.150s is there and is not a socket", l->path);
	fd = unix_socket(l->path, &address);
	if (fd < 0)
		return failed(reason, "no socket for", l->path);
	err = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
	close(fd);
	/* EAGAIN: somebody listens, and is busy. */
	if (err == 0 || err == EAGAIN)
		return ntc_reject(reason, NTC_ST_LOCKED, "somebody answers at %.150s already", l->path);
	if (err != ECONNREFUSED && err != ENOENT) {
		errno = err;
		return failed(reason, "cannot ask who is at", l->path);
	}
	if (unlink(l->path) != 0 && errno != ENOENT)
		return failed(reason, "cannot remove the stale", l->path);
	return NTC_ST_OK;
}

/*
 * Bind with no rights for others, whatever the umask is (fchmod() before bind() can only take away), then give
 * group and mode, then listen: nobody can connect before.
 */
static enum ntc_status bind_path(struct ntc_listener *l, const struct ntc_daemon_options *o, struct ntc_reason *reason)
{
	struct sockaddr_un address;
	struct stat st;

	l->fd = unix_socket(l->path, &address);
	if (l->fd < 0 || fchmod(l->fd, 0600) != 0)
		return failed(reason, "no socket for", l->path);
	if (bind(l->fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		return failed(reason, "cannot bind", l->path);
	if (lstat(l->path, &st) != 0)
		return failed(reason, "cannot look at", l->path);
	l->ours = true;
	l->device = st.st_dev;
	l->inode = st.st_ino;
	if (o->socket_group != (gid_t)-1 && lchown(l->path, (uid_t)-1, o->socket_group) != 0)
		return failed(reason, "cannot give the group to", l->path);
	if (chmod(l->path, o->socket_mode) != 0)
		return failed(reason, "cannot set the mode of", l->path);
	if (listen(l->fd, NTC_BACKLOG) != 0)
		return failed(reason, "cannot listen at", l->path);
	return NTC_ST_OK;
}

static enum ntc_status make_socket(struct ntc_listener *l, const struct ntc_daemon_options *o, struct ntc_reason *reason)
{
	enum ntc_status st;

	if (strlen(o->socket) >= sizeof(l->path))
		return ntc_reject(reason, NTC_ST_TOO_LARGE,
				"the socket's path has %zu bytes, a Unix socket's may have %zu; name a shorter one with --socket",
				strlen(o->socket), sizeof(l->path) - 1);
	memcpy(l->path, o->socket, strlen(o->socket) + 1);
	st = o->own_socket_dir ? own_directory(l->path, reason) : NTC_ST_OK;
	if (!st)
		st = take_lock(l, reason);
	if (!st)
		st = clear_path(l, reason);
	if (!st)
		st = bind_path(l, o, reason);
	return st;
}

/* The socket that systemd hands over, if it does. */
static enum ntc_status inherit_socket(struct ntc_listener *l, int count, struct ntc_reason *reason)
{
	struct sockaddr_un address;
	socklen_t len = sizeof(address);
	int fd = SD_LISTEN_FDS_START, flags;

	if (count > 1)
		return ntc_reject(reason, NTC_ST_BAD_DESCRIPTOR, "systemd handed over %d sockets; one is wanted", count);
	if (sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) <= 0)
		return ntc_reject(reason, NTC_ST_BAD_DESCRIPTOR,
				"what systemd handed over is not a listening Unix stream socket");
	l->fd = fd;
	snprintf(l->path, sizeof(l->path), "(handed over)");
	if (getsockname(fd, (struct sockaddr *)&address, &len) == 0 && len > sizeof(sa_family_t) && address.sun_path[0])
		snprintf(l->path, sizeof(l->path), "%.*s", (int)sizeof(l->path) - 1, address.sun_path);
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
		return failed(reason, "cannot use", l->path);
	return NTC_ST_OK;
}

/* --- accepting ---------------------------------------------------------------------------- */

static void pause_accepting(struct ntc_listener *l, int err)
{
	struct timeval pause = { .tv_usec = NTC_ACCEPT_PAUSE_NS / 1000 };

	/* Once, not ten times a second. */
	if (!l->paused)
		ntc_log(NTC_LOG_WARNING, "cannot accept connections for now: %s", strerror(err));
	l->paused = true;
	event_del(l->readable);
	event_add(l->resume, &pause);
}

unsigned ntc_listener_accept(struct ntc_listener *l)
{
	unsigned n = 0;

	while (n < NTC_ACCEPTS) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			l->paused = false;
			n++;
			l->accepted(l->ctx, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN && !l->stopped)
			pause_accepting(l, errno);
		break;
	}
	return n;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	ntc_listener_accept(arg);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct ntc_listener *l = arg;

	(void)fd;
	(void)what;
	if (!l->stopped)
		event_add(l->readable, NULL);
}

/* --- life --------------------------------------------------------------------------------- */

enum ntc_status ntc_listener_open(struct event_base *base, const struct ntc_daemon_options *options,
				  ntc_accept_fn *accepted, void *ctx, struct ntc_listener **listener,
				  struct ntc_reason *reason)
{
	struct ntc_listener *l = calloc(1, sizeof(*l));
	enum ntc_status st;
	int handed_over;

	*listener = NULL;
	if (!l)
		return ntc_reject(reason, NTC_ST_NO_MEMORY, "out of memory");
	l->fd = l->lock = -1;
	l->accepted = accepted;
	l->ctx = ctx;
	handed_over = sd_listen_fds(1);
	st = handed_over > 0 ? inherit_socket(l, handed_over, reason) : make_socket(l, options, reason);
	if (!st) {
		l->readable = event_new(base, l->fd, EV_READ | EV_PERSIST, on_readable, l);
		l->resume = evtimer_new(base, on_resume, l);
		if (!l->readable || !l->resume || event_add(l->readable, NULL) != 0)
			st = ntc_reject(reason, NTC_ST_NO_MEMORY, "out of memory");
	}
	if (st) {
		ntc_listener_close(l);
		return st;
	}
	*listener = l;
	return NTC_ST_OK;
}

void ntc_listener_stop(struct ntc_listener *l)
{
	l->stopped = true;
	event_del(l->readable);
	event_del(l->resume);
}

void ntc_listener_close(struct ntc_listener *l)
{
	struct stat st;

	if (!l)
		return;
	if (l->readable)
		event_free(l->readable);
	if (l->resume)
		event_free(l->resume);
	/* The lock is held, so nobody replaces the path between the look and the unlink. */
	if (l->ours && lstat(l->path, &st) == 0 && st.st_dev == l->device && st.st_ino == l->inode)
		unlink(l->path);
	if (l->fd >= 0)
		close(l->fd);
	if (l->lock >= 0)
		close(l->lock);
	free(l);
}

const char *ntc_listener_path(const struct ntc_listener *l)
{
	return l->path;
}
