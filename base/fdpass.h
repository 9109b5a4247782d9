/*
 * Bytes and file descriptors over a Unix stream socket, the same on both ends.
 */
#ifndef NTC_BASE_FDPASS_H
#define NTC_BASE_FDPASS_H

#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

/*
 * Send what the socket takes of `iov`, and with its first byte the descriptor `fd` (-1: none). Never
 * raises SIGPIPE. Returns the bytes sent (the descriptor went along if any did) or -1 with errno.
 */
ssize_t ntc_fd_send(int socket, const struct iovec *iov, int iov_count, int fd);

/*
 * Receive up to `len` bytes and up to `room` descriptors (close-on-exec). *count is how many came;
 * more than fit are closed, never leaked. Returns the bytes received, 0 at the end, or -1 with errno.
 */
ssize_t ntc_fd_recv(int socket, void *buf, size_t len, int *fds, size_t room, size_t *count);

#endif
