/* File-system calls that fail on purpose; see calls.h. */
#include "tests/fault/calls.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "store/sys.h"

const char *const ntc_call_names[NTC_CALL_KINDS] = {
	"open", "read", "write", "truncate", "fsync", "fdatasync", "syncfs", "rename", "unlink", "mkdir", "stat",
	"stat_at", "chmod", "lock", "lock_bytes", "list",
};

static struct ntc_calls *calls;

static _Noreturn void end_here(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/* Count a call: 0, or the negative errno with which it fails. *torn: end in the middle of it. */
static int meet(enum ntc_call_kind kind, bool *torn)
{
	unsigned n;

	if (!atomic_load(&calls->armed))
		return 0;
	n = atomic_fetch_add(&calls->count, 1) + 1;
	if (n <= NTC_CALLS_MAX)
		atomic_store(&calls->kinds[n - 1], (unsigned char)kind);
	if (calls->how == NTC_CALLS_COUNT || n < calls->at || (n > calls->at && calls->how != NTC_CALLS_LASTING))
		return 0;
	atomic_store(&calls->fired, true);
	if (calls->how == NTC_CALLS_KILL || (calls->how == NTC_CALLS_TORN && !torn))
		end_here();
	if (calls->how == NTC_CALLS_TORN) {
		*torn = true;
		return 0;
	}
	return -calls->err;
}

#define MEET(kind) \
	do { \
		int refused = meet(kind, NULL); \
		if (refused) \
			return refused; \
	} while (0)

static int met_open(int dir, const char *name, int flags, mode_t mode)
{
	MEET(NTC_CALL_OPEN);
	return ntc_sys_kernel.open(dir, name, flags, mode);
}

static ssize_t met_read(int fd, void *p, size_t len, off_t at)
{
	MEET(NTC_CALL_READ);
	return ntc_sys_kernel.read(fd, p, len, at);
}

static ssize_t met_write(int fd, const void *p, size_t len, off_t at)
{
	bool torn = false;
	int refused = meet(NTC_CALL_WRITE, &torn);

	if (refused)
		return refused;
	if (!torn)
		return ntc_sys_kernel.write(fd, p, len, at);
	(void)ntc_sys_kernel.write(fd, p, len / 2, at); /* nobody is there to be told */
	end_here();
}

static int met_truncate(int fd, off_t len)
{
	MEET(NTC_CALL_TRUNCATE);
	return ntc_sys_kernel.truncate(fd, len);
}

static int met_fsync(int fd)
{
	MEET(NTC_CALL_FSYNC);
	return ntc_sys_kernel.fsync(fd);
}

static int met_fdatasync(int fd)
{
	MEET(NTC_CALL_FDATASYNC);
	return ntc_sys_kernel.fdatasync(fd);
}

static int met_syncfs(int fd)
{
	MEET(NTC_CALL_SYNCFS);
	return ntc_sys_kernel.syncfs(fd);
}

static int met_rename(int from_dir, const char *from, int to_dir, const char *to)
{
	MEET(NTC_CALL_RENAME);
	return ntc_sys_kernel.rename(from_dir, from, to_dir, to);
}

static int met_unlink(int dir, const char *name)
{
	MEET(NTC_CALL_UNLINK);
	return ntc_sys_kernel.unlink(dir, name);
}

static int met_mkdir(int dir, const char *name, mode_t mode)
{
	MEET(NTC_CALL_MKDIR);
	return ntc_sys_kernel.mkdir(dir, name, mode);
}

static int met_stat(int fd, struct stat *st)
{
	MEET(NTC_CALL_STAT);
	return ntc_sys_kernel.stat(fd, st);
}

static int met_stat_at(int dir, const char *name, struct stat *st)
{
	MEET(NTC_CALL_STAT_AT);
	return ntc_sys_kernel.stat_at(dir, name, st);
}

static int met_chmod(int fd, mode_t mode)
{
	MEET(NTC_CALL_CHMOD);
	return ntc_sys_kernel.chmod(fd, mode);
}

static int met_lock(int fd)
{
	MEET(NTC_CALL_LOCK);
	return ntc_sys_kernel.lock(fd);
}

static int met_lock_bytes(int fd, off_t from, off_t len)
{
	MEET(NTC_CALL_LOCK_BYTES);
	return ntc_sys_kernel.lock_bytes(fd, from, len);
}

static int met_list(int dir, const char *name, ntc_sys_list_fn *each, void *ctx)
{
	MEET(NTC_CALL_LIST);
	return ntc_sys_kernel.list(dir, name, each, ctx);
}

void ntc_calls_install(struct ntc_calls *own)
{
	static struct ntc_sys_ops ops;

	calls = own;
	/* Whatever operation there is that is not here is made as it is. */
	ops = ntc_sys_kernel;
	ops.open = met_open;
	ops.read = met_read;
	ops.write = met_write;
	ops.truncate = met_truncate;
	ops.fsync = met_fsync;
	ops.fdatasync = met_fdatasync;
	ops.syncfs = met_syncfs;
	ops.rename = met_rename;
	ops.unlink = met_unlink;
	ops.mkdir = met_mkdir;
	ops.stat = met_stat;
	ops.stat_at = met_stat_at;
	ops.chmod = met_chmod;
	ops.lock = met_lock;
	ops.lock_bytes = met_lock_bytes;
	ops.list = met_list;
	ntc_sys = &ops;
}
