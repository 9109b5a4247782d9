/* The lock file; see lock.h. */
#include "store/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/sys.h"

static enum ntc_status refuse_locked(int fd, struct ntc_reason *reason)
{
	char text[32] = "";
	long pid;

	/* Shorter than the buffer; that and an unreadable file both leave what is there. */
	(void)ntc_sys_read(fd, text, sizeof(text) - 1, 0);
	pid = strtol(text, NULL, 10);
	if (pid <= 0)
		return ntc_reject(reason, NTC_ST_LOCKED, "another daemon owns the cache directory");
	return ntc_reject(reason, NTC_ST_LOCKED, "another daemon owns the cache directory: process %ld", pid);
}

enum ntc_status ntc_lock_take(int dir, int *fd, struct ntc_reason *reason)
{
	enum ntc_status st = NTC_ST_OK;
	bool read_only;
	char text[32];
	int lock, err;

	*fd = -1;
	lock = ntc_sys_open(dir, "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	/* Where nothing can be written it still keeps others out. */
	read_only = lock == -EROFS;
	if (read_only)
		lock = ntc_sys_open(dir, "lock", O_RDONLY | O_NOFOLLOW, 0);
	if (lock < 0)
		return ntc_reject(reason, ntc_status_from_errno(-lock), "the lock file: %s", strerror(-lock));
	err = ntc_sys_lock(lock);
	if (err == -EWOULDBLOCK) {
		st = refuse_locked(lock, reason);
		goto out;
	}
	if (!err && !read_only)
		err = ntc_sys_truncate(lock, 0);
	if (!err && !read_only) {
		snprintf(text, sizeof(text), "%ld\n", (long)getpid());
		err = ntc_sys_write(lock, text, strlen(text), 0);
	}
	/* Who has it is for people only, and a full disk is no reason not to have it. */
	if (err && !ntc_status_unwritable(ntc_status_from_errno(-err))) {
		st = ntc_reject(reason, ntc_status_from_errno(-err), "the lock file: %s", strerror(-err));
		goto out;
	}
	*fd = lock;
	lock = -1;
out:
	ntc_sys_close(lock);
	return st;
}
