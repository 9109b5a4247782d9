/*
 * The listening socket: made here, or handed over by systemd.
 *
 * Owning a path. A lock file beside the socket (PATH.lock, flock) is held as long as the daemon lives. Under
 * it: if somebody answers at the path it is theirs; a socket that nobody answers at is stale and
 * replaced. At exit the path is unlinked only if it is still the socket that was made here.
 */
#ifndef NTC_DAEMON_LISTENER_H
#define NTC_DAEMON_LISTENER_H

#include <event2/event.h>

#include "daemon/options.h"

struct ntc_listener;

/* Somebody connected; `fd` (non-blocking, close-on-exec) is given. */
typedef void ntc_accept_fn(void *ctx, int fd);

/*
 * Listen, and accept from the loop. Fails LOCKED (somebody has the path), TOO_LARGE (the path), FORBIDDEN (the
 * directory is not safe), NO_FILES, NO_MEMORY, IO, with the reason.
 */
enum ntc_status ntc_listener_open(struct event_base *base, const struct ntc_daemon_options *options,
				  ntc_accept_fn *accepted, void *ctx, struct ntc_listener **listener,
				  struct ntc_reason *reason);

/* Accept what waits now; returns how many there were. */
unsigned ntc_listener_accept(struct ntc_listener *listener);

/* Accept no more; connections wait until the listener is closed. */
void ntc_listener_stop(struct ntc_listener *listener);

/* Close the socket, unlink it if it is ours. Accepts NULL. */
void ntc_listener_close(struct ntc_listener *listener);

/* Where it listens, for people. */
const char *ntc_listener_path(const struct ntc_listener *listener);

#endif
