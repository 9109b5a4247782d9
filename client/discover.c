/* Finding the daemon; see discover.h. */
#include "client/discover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/autostart.h"

#define SOCKET_SYSTEM "/run/ntcached/ntcached.sock"

/* --- whom to trust ------------------------------------------------------------------------ */

/* The directory that `path` is in. */
static void parent_of(const char *path, char out[NTC_SOCKET_PATH_MAX])
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		memcpy(out, ".", 2);
	else if (slash == path)
		memcpy(out, "/", 2);
	else
		snprintf(out, NTC_SOCKET_PATH_MAX, "%.*s", (int)(slash - path), path);
}

bool ntc_discover_trusted(const char *path, unsigned peer_uid)
{
	char parent[NTC_SOCKET_PATH_MAX];
	struct stat file, dir;

	if (peer_uid == geteuid() || peer_uid == 0)
		return true;
	/* Somebody else's daemon: a machine-wide one that an administrator gave a place of its own. In a place
	 * where everybody may write (/tmp) it is only somebody who was there first. */
	parent_of(path, parent);
	if (lstat(path, &file) || stat(parent, &dir))
		return false;
	return S_ISSOCK(file.st_mode) && file.st_uid == peer_uid && !(dir.st_mode & S_IWOTH) &&
	       (dir.st_uid == 0 || dir.st_uid == geteuid() || dir.st_uid == peer_uid);
}

bool ntc_discover_own(char path[NTC_SOCKET_PATH_MAX])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	struct stat st;
	int len;

	if (runtime && runtime[0] == '/') {
		len = snprintf(path, NTC_SOCKET_PATH_MAX, "%s/ntcached/ntcached.sock", runtime);
		if (len < NTC_SOCKET_PATH_MAX)
			return true;
		ntc_explain(NTC_E_INVALID, "$XDG_RUNTIME_DIR is too long for a socket: set NTCACHE_SOCKET");
		return false;
	}
	snprintf(path, NTC_SOCKET_PATH_MAX, "/tmp/ntcached-%u", geteuid());
	if (lstat(path, &st) == 0 && (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))) {
		ntc_explain(NTC_E_DENIED, "%s is not a directory of this user alone: remove it", path);
		return false;
	}
	snprintf(path, NTC_SOCKET_PATH_MAX, "/tmp/ntcached-%u/ntcached.sock", geteuid());
	return true;
}

/* --- connecting --------------------------------------------------------------------------- */

/* A non-blocking, connected, trusted socket, or -1 with *err, explained. */
static int connect_to(const char *path, uint64_t deadline, enum ntc_err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	uint64_t now = ntc_clock_mono_ns(), left = now < deadline ? deadline - now : 0;
	struct timeval limit;
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int fd, rc;

	if (left > NTC_LIMIT_CONNECT)
		left = NTC_LIMIT_CONNECT;
	/* Zero would be no limit. */
	limit = (struct timeval){ (time_t)(left / NTC_NS_PER_S),
				  (suseconds_t)(left % NTC_NS_PER_S / 1000 + 1) };
	if (limit.tv_usec >= 1000000)
		limit.tv_usec = 999999;
	if (strlen(path) >= sizeof(address.sun_path)) {
		*err = ntc_explain(NTC_E_INVALID, "the socket path %.200s is too long", path);
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		*err = ntc_explain(NTC_E_IO, "no socket: %s", strerror(errno));
		return -1;
	}
	/* Bounds connect() where the daemon's backlog is full. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit,
			 sizeof(limit)); /* else connect() waits a little longer */
	do
		rc = connect(fd, (struct sockaddr *)&address, sizeof(address));
	while (rc && errno == EINTR);
	if (rc && errno == EAGAIN) {
		*err = ntc_explain(NTC_E_TIMEOUT, "%s: the daemon does not accept connections", path);
	} else if (rc && errno == EACCES) {
		*err = ntc_explain(NTC_E_DENIED, "%s: %s; is this user in the socket's group?", path,
				   strerror(errno));
	} else if (rc) {
		*err = ntc_explain(NTC_E_NO_DAEMON, "%s: %s", path, strerror(errno));
	} else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) ||
		   !ntc_discover_trusted(path, peer.uid)) {
		*err = ntc_explain(NTC_E_DENIED, "%s belongs to somebody else and is not trusted", path);
	} else if (fcntl(fd, F_SETFL, O_NONBLOCK)) {
		*err = ntc_explain(NTC_E_IO, "%s: %s", path, strerror(errno));
	} else {
		return fd;
	}
	close(fd);
	return -1;
}

enum ntc_err ntc_discover_try(struct ntc_client *client, const char *path, uint64_t deadline,
			      struct ntc_conn **conn)
{
	struct ntc_msg_hello hello = {
		.version = NTC_PROTOCOL_VERSION,
		.flags = client->mode == NTC_MODE_READ_ONLY ? NTC_HELLO_READ_ONLY : 0,
		.name = ntc_view(client->name, strlen(client->name)),
	};
	enum ntc_err err = NTC_OK;
	int fd = connect_to(path, deadline, &err);

	*conn = NULL;
	if (fd < 0)
		return err;
	err = ntc_conn_open(fd, &hello, ntc_deadline_min(deadline, ntc_deadline(-1, NTC_LIMIT_GREETING)),
			    conn);
	if (err) {
		char why[NTC_LIMIT_REASON];

		snprintf(why, sizeof(why), "%s", ntc_last_error());
		ntc_explain(err, "%s: %.300s", path, why);
	}
	return err;
}

enum ntc_err ntc_discover(struct ntc_client *client, uint64_t deadline, struct ntc_conn **conn)
{
	char own[NTC_SOCKET_PATH_MAX];
	enum ntc_err err, err_own;
	char why[NTC_LIMIT_REASON];
	bool has_own;

	*conn = NULL;
	if (client->socket) {
		err = ntc_discover_try(client, client->socket, deadline, conn);
		if (err == NTC_E_NO_DAEMON && client->autostart)
			err = ntc_autostart(client, client->socket, deadline, conn);
		return err;
	}
	has_own = ntc_discover_own(own);
	err_own = has_own ? ntc_discover_try(client, own, deadline, conn) : NTC_E_DENIED;
	if (!err_own)
		return NTC_OK;
	snprintf(why, sizeof(why), "%s", ntc_last_error());
	err = ntc_discover_try(client, SOCKET_SYSTEM, deadline, conn);
	if (!err)
		return NTC_OK;
	if (has_own && err_own == NTC_E_NO_DAEMON && client->autostart)
		return ntc_autostart(client, own, deadline, conn);
	/* What is wrong with the user's own socket says most, unless there is none. */
	if (err_own != NTC_E_NO_DAEMON)
		return ntc_explain(err_own, "%s", why);
	if (err != NTC_E_NO_DAEMON)
		return err;
	return ntc_explain(NTC_E_NO_DAEMON, "no daemon at %s nor at %s; NTCACHE_AUTOSTART=1 starts one", own,
			   SOCKET_SYSTEM);
}
