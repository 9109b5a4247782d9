/*
 * Bytes and file descriptors over a Unix stream socket, the same on both ends.
 */
#ifndef NTC_BASE_FDPASS_H
#define NTC_BASE_FDPASS_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#define NTC_FD_SEND_MAX 4 /* descriptors sent at once */

/*
 * Send what the socket takes of `iov`, and with its first byte `fd_count` descriptors. Never raises SIGPIPE.
 * Returns the bytes sent (the descriptors went along if any did) or -1 with errno.
 */
ssize_t ntc_fd_send(int socket, const struct iovec *iov, int iov_count, const int *fds, size_t fd_count);

/*
 * Receive up to `len` bytes and up to `room` descriptors (close-on-exec). *count is how many came;
 * more than fit are closed, never leaked. Returns the bytes received, 0 at the end, or -1 with errno.
 */
ssize_t ntc_fd_recv(int socket, void *buf, size_t len, int *fds, size_t room, size_t *count);

#endif
