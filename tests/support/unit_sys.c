/* The seam with a hook; see unit_sys.h. */
#include "tests/support/unit_sys.h"

static ntc_test_sys_hook *hook;

/* Make the call unless the hook says otherwise. */
#define ASKED(call, name, flags, made) \
	do { \
		int refused = hook(NTC_CALL_##call, name, flags); \
		return refused ? -refused : (made); \
	} while (0)

static int hooked_open(int dir, const char *name, int flags, mode_t mode)
{
	ASKED(OPEN, name, flags, ntc_sys_kernel.open(dir, name, flags, mode));
}

static void hooked_close(int fd)
{
	ntc_sys_kernel.close(fd);
}

static ssize_t hooked_read(int fd, void *p, size_t len, off_t at)
{
	ASKED(READ, NULL, 0, ntc_sys_kernel.read(fd, p, len, at));
}

static ssize_t hooked_write(int fd, const void *p, size_t len, off_t at)
{
	ASKED(WRITE, NULL, 0, ntc_sys_kernel.write(fd, p, len, at));
}

static int hooked_start_write(int fd)
{
	ASKED(START_WRITE, NULL, 0, ntc_sys_kernel.start_write(fd));
}

static int hooked_truncate(int fd, off_t len)
{
	ASKED(TRUNCATE, NULL, 0, ntc_sys_kernel.truncate(fd, len));
}

static int hooked_fsync(int fd)
{
	ASKED(FSYNC, NULL, 0, ntc_sys_kernel.fsync(fd));
}

static int hooked_fdatasync(int fd)
{
	ASKED(FDATASYNC, NULL, 0, ntc_sys_kernel.fdatasync(fd));
}

static int hooked_syncfs(int fd)
{
	ASKED(SYNCFS, NULL, 0, ntc_sys_kernel.syncfs(fd));
}

static int hooked_rename(int from_dir, const char *from, int to_dir, const char *to)
{
	ASKED(RENAME, to, 0, ntc_sys_kernel.rename(from_dir, from, to_dir, to));
}

static int hooked_unlink(int dir, const char *name)
{
	ASKED(UNLINK, name, 0, ntc_sys_kernel.unlink(dir, name));
}

static int hooked_mkdir(int dir, const char *name, mode_t mode)
{
	ASKED(MKDIR, name, 0, ntc_sys_kernel.mkdir(dir, name, mode));
}

static int hooked_stat(int fd, struct stat *st)
{
	ASKED(STAT, NULL, 0, ntc_sys_kernel.stat(fd, st));
}

static int hooked_statfs(int fd, struct statfs *fs)
{
	ASKED(STATFS, NULL, 0, ntc_sys_kernel.statfs(fd, fs));
}

static int hooked_stat_at(int dir, const char *name, struct stat *st)
{
	ASKED(STAT_AT, name, 0, ntc_sys_kernel.stat_at(dir, name, st));
}

static int hooked_chmod(int fd, mode_t mode)
{
	ASKED(CHMOD, NULL, 0, ntc_sys_kernel.chmod(fd, mode));
}

static int hooked_lock(int fd)
{
	ASKED(LOCK, NULL, 0, ntc_sys_kernel.lock(fd));
}

static int hooked_lock_bytes(int fd, off_t from, off_t len)
{
	ASKED(LOCK_BYTES, NULL, 0, ntc_sys_kernel.lock_bytes(fd, from, len));
}

static int hooked_list(int dir, const char *name, ntc_sys_list_fn *each, void *ctx)
{
	ASKED(LIST, name, 0, ntc_sys_kernel.list(dir, name, each, ctx));
}

static const struct ntc_sys_ops hooked = {
	.open = hooked_open,
	.close = hooked_close,
	.read = hooked_read,
	.write = hooked_write,
	.start_write = hooked_start_write,
	.truncate = hooked_truncate,
	.fsync = hooked_fsync,
	.fdatasync = hooked_fdatasync,
	.syncfs = hooked_syncfs,
	.rename = hooked_rename,
	.unlink = hooked_unlink,
	.mkdir = hooked_mkdir,
	.stat = hooked_stat,
	.statfs = hooked_statfs,
	.stat_at = hooked_stat_at,
	.chmod = hooked_chmod,
	.lock = hooked_lock,
	.lock_bytes = hooked_lock_bytes,
	.list = hooked_list,
};

void ntc_test_hook_sys(ntc_test_sys_hook *asked)
{
	hook = asked;
	ntc_sys = asked ? &hooked : &ntc_sys_kernel;
}

const char *ntc_test_call_name(enum ntc_test_call call)
{
	static const char *const names[NTC_CALLS] = {
		[NTC_CALL_NONE] = "NONE",
#define X(name) [NTC_CALL_##name] = #name,
		NTC_TEST_CALLS(X)
#undef X
	};

	return call < NTC_CALLS ? names[call] : "UNKNOWN";
}
