/* verify, du, and all of it on a directory whose daemon is stopped: ntcache-ctl against real daemons. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/bytes.h"
#include "store/age.h"
#include "tests/support/harness.h"
#include "tests/support/making.h"

#define LIMIT_MS 20000

static struct ntc_test_daemon d;
static struct ntc_test_output o;

static void setup(void)
{
	ntc_test_setup();
	d = (struct ntc_test_daemon){ 0 };
	ck_assert_int_eq(mkdir(ntc_test_path("own"), 0700), 0);
	setenv("TMPDIR", ntc_test_path("own"), 1);
	unsetenv("XDG_RUNTIME_DIR");
	ntc_test_start(&d, NULL);
}

static void teardown(void)
{
	ntc_test_output_clear(&o);
	ntc_test_teardown();
}

#define RUN(...) \
	(ntc_test_output_clear(&o), ntc_test_command(&o, ntc_test_ms(LIMIT_MS), "ntcache-ctl", __VA_ARGS__, NULL))
#define ck_out(part) ck_assert_msg(strstr(o.out, part), "no '%s' in:\n%s%s", part, o.out, o.err)
#define ck_err(part) ck_assert_msg(strstr(o.err, part), "no '%s' in:\n%s", part, o.err)
#define ck_code(expected) ck_assert_msg(o.code == (expected), "exit %d: %s%s", o.code, o.out, o.err)

/* An entry of `size` bytes; its digest as text. Static, good until the 8th call from here. */
static const char *put(enum ntc_kind kind, const char *name, const char *producer, size_t size)
{
	static char texts[8][NTC_DIGEST_TEXT_SIZE];
	static unsigned next;
	struct ntc_key *key = ntc_key_new(kind), *notes = ntc_key_new(kind);
	struct ntc_client *client = making_client(NULL);
	struct ntc_part_data part = { "binary", calloc(1, size ? size : 1), size };
	struct ntc_entry *entry;
	struct ntc_digest digest;
	char *text = texts[next++ % 8];

	ntc_key_add_string(key, "program", name, strlen(name));
	ntc_key_add_uint(key, "size", size);
	ck_assert_int_eq(ntc_key_seal(key), NTC_OK);
	ntc_key_add_string(notes, "producer", producer, strlen(producer));
	ck_assert_int_eq(ntc_key_seal(notes), NTC_OK);
	ck_assert_int_eq(ntc_entry_new(key, notes, &part, 1, &entry), NTC_OK);
	ck_assert_msg(ntc_put(client, NULL, entry, 1500000000) == NTC_OK, "%s", ntc_last_error());
	ck_assert_int_eq(ntc_sync(client, LIMIT_MS), NTC_OK);
	digest = ntc_key_digest_of(key);
	ntc_digest_text(&digest, text);
	ntc_entry_unref(entry);
	ntc_key_free(key);
	ntc_key_free(notes);
	ntc_close(client);
	free((void *)part.data);
	return text;
}

static const char *file_of(const char *digest)
{
	return ntc_test_path("main.cache/default/%.2s/%s", digest, digest);
}

static void flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	char byte;

	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(pread(fd, &byte, 1, at), 1);
	byte ^= 0x10;
	ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static json_t *parsed(void)
{
	json_error_t error;
	json_t *json = json_loads(o.out, 0, &error);

	ck_assert_msg(json != NULL, "%s in:\n%s", error.text, o.out);
	return json;
}

static json_int_t number(json_t *json, const char *name)
{
	ck_assert_msg(json_is_integer(json_object_get(json, name)), "no %s", name);
	return json_integer_value(json_object_get(json, name));
}

/* --- verify ------------------------------------------------------------------------------- */

START_TEST(test_verify)
{
	const char *good = put(NTC_KIND_KERNEL, "good", "", 20000), *bad = put(NTC_KIND_KERNEL, "bad", "", 30000),
		   *gone = put(NTC_KIND_LIBRARY, "gone", "", 40000);
	struct ntc_client *client = making_client(NULL);
	json_t *json, *finding;

	/* What goes on behind a start would notice what is done to the files. */
	ck_assert(ntc_test_until(LIMIT_MS, making_recovered, client));
	ntc_close(client);
	RUN("verify");
	ck_code(0);
	ck_out("verified 3 entries, 89.2 KiB: 0 damaged\n");
	ck_assert_str_eq(o.err, ""); /* no progress where there is no terminal */
	flip(file_of(bad), 25000);
	ck_assert_int_eq(unlink(file_of(gone)), 0);
	RUN("verify");
	ck_code(4);
	ck_out("verified 3 entries, 89.2 KiB: 2 damaged\n");
	ck_out(bad);
	ck_out(gone);
	ck_out("--repair");
	ck_assert(!strstr(o.out, good));
	RUN("verify", "--kind", "library");
	ck_code(4);
	ck_out("verified 1 entry");
	RUN("verify", "--name", "good");
	ck_code(0);
	RUN("verify", "--json");
	ck_code(4);
	json = parsed();
	ck_assert_int_eq(number(json, "good"), 1);
	ck_assert_int_eq(number(json, "damaged"), 2);
	ck_assert_uint_eq(json_array_size(json_object_get(json, "findings")), 2);
	finding = json_array_get(json_object_get(json, "findings"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(finding, "state")), "damaged");
	ck_assert_ptr_nonnull(json_string_value(json_object_get(finding, "why")));
	json_decref(json);
	/* Looking repaired nothing. */
	RUN("verify", "--repair");
	ck_code(0);
	ck_out("2 damaged and set aside");
	RUN("verify");
	ck_code(0);
	ck_out("verified 1 entry");
	RUN("ls", "--quiet");
	ck_assert_uint_eq(o.out_len, NTC_DIGEST_TEXT_SIZE);
	ck_out(good);
	RUN("verify", "something");
	ck_code(2);
}
END_TEST

/* The disk is looked at, not what was read before: an entry that was just served is found out. */
START_TEST(test_verify_small)
{
	for (unsigned i = 0; i < 50; i++)
		put(NTC_KIND_TUNING, "small", "", i);
	RUN("verify");
	ck_code(0);
	ck_out("verified 50 entries");
	RUN("verify", "--repair");
	ck_code(0);
	RUN("ls", "--quiet");
	ck_assert_uint_eq(o.out_len, 50 * NTC_DIGEST_TEXT_SIZE);
}
END_TEST

/* --- du ----------------------------------------------------------------------------------- */

START_TEST(test_du)
{
	json_t *json, *first;

	put(NTC_KIND_KERNEL, "matmul", "nvrtc 13.0", 100000);
	put(NTC_KIND_KERNEL, "matmul", "nvrtc 13.0", 50000);
	put(NTC_KIND_KERNEL, "add", "triton", 1000);
	put(NTC_KIND_SOURCE, "text\033[31m", "", 10);
	RUN("du");
	ck_code(0);
	ck_out("SIZE");
	ck_out(" 3          0       4.50 s  kernel\n");
	ck_out(" 1          0       1.50 s  source\n");
	ck_out(" 4          0       6.00 s  in all\n");
	RUN("du", "--by", "name,kind", "--json");
	ck_code(0);
	json = parsed();
	ck_assert_uint_eq(json_array_size(json), 3);
	first = json_array_get(json, 0);
	ck_assert_str_eq(json_string_value(json_object_get(first, "name")), "matmul");
	ck_assert_str_eq(json_string_value(json_object_get(first, "kind")), "kernel");
	ck_assert_int_eq(number(first, "entries"), 2);
	ck_assert_int_gt(number(first, "bytes"), 150000);
	ck_assert_int_eq(number(first, "cost_ns"), 3000000000);
	ck_assert_int_eq(number(first, "pinned"), 0);
	json_decref(json);
	RUN("du", "--by", "producer");
	ck_out("  nvrtc 13.0\n");
	ck_out("  triton\n");
	ck_out("  -\n");
	RUN("du", "--by", "user", "--producer", "nvrtc*");
	ck_out(" 2          0       3.00 s  in all\n");
	RUN("du", "--by", "name", "--limit", "1");
	ck_assert(!strstr(o.out, "add"));
	/* No name sends anything to a terminal. */
	RUN("du", "--by", "name");
	ck_assert(!strchr(o.out, '\033'));
	RUN("du", "--by", "colour");
	ck_code(2);
	RUN("du", "--by", "kind,kind");
	ck_code(2);
	RUN("du", "--by", "");
	ck_code(2);
}
END_TEST

/* --- gc ----------------------------------------------------------------------------------- */

START_TEST(test_gc)
{
	char bad[NTC_DIGEST_TEXT_SIZE];
	json_t *json;

	snprintf(bad, sizeof(bad), "%s", put(NTC_KIND_KERNEL, "bad", "", 30000));
	for (unsigned i = 0; i < 20; i++)
		put(NTC_KIND_KERNEL, "large", "", 20000 + i);
	for (unsigned i = 0; i < 20; i++)
		put(NTC_KIND_TUNING, "small", "", i);
	flip(file_of(bad), 25000);
	RUN("verify", "--repair");
	ck_out("1 damaged and set aside");
	/* Bounds that are kept already. */
	RUN("gc", "--max-bytes", "10M", "--max-entries", "40", "--max-age", "1d");
	ck_code(0);
	ck_out("evicted 0 entries");
	RUN("gc", "--quarantine");
	ck_code(0);
	ck_out("removed 1 damaged file\n");
	RUN("gc", "--quarantine", "--max-entries", "30", "--json");
	ck_code(0);
	json = parsed();
	ck_assert_int_eq(number(json, "entries"), 10);
	ck_assert_int_gt(number(json, "bytes"), 0);
	ck_assert_int_eq(number(json, "files"), 0);
	json_decref(json);
	RUN("ls", "--quiet");
	ck_assert_uint_eq(o.out_len, 30 * NTC_DIGEST_TEXT_SIZE);
	RUN("gc", "--max-bytes", "50K");
	ck_code(0);
	RUN("du", "--json");
	json = parsed();
	for (size_t i = 0, bytes = 0; i < json_array_size(json); i++) {
		bytes += (size_t)number(json_array_get(json, i), "bytes");
		ck_assert_uint_le(bytes, 50 << 10);
	}
	json_decref(json);
	RUN("verify");
	ck_code(0);
	RUN("gc", "--max-bytes", "0");
	ck_code(0);
	RUN("ls", "--quiet");
	ck_assert_uint_eq(o.out_len, 0);
	RUN("gc");
	ck_code(2);
	RUN("gc", "--max-bytes", "lots");
	ck_code(2);
	RUN("gc", "--max-age", "1y");
	ck_code(2);
}
END_TEST

/* The directory has lived through `seconds`, and what `sql` says is made of its index. The daemon is stopped. */
static void change_index(uint64_t seconds, const char *sql)
{
	uint8_t saved[NTC_AGE_SIZE];
	sqlite3_stmt *stmt;
	sqlite3 *db;

	ntc_store64(saved, seconds);
	ntc_store64(saved + 8, (uint64_t)time(NULL));
	ck_assert_int_eq(sqlite3_open(ntc_test_path("main.cache/index.sqlite3"), &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_prepare_v2(db, "INSERT OR REPLACE INTO value (name, bytes) VALUES ('age', ?)", -1, &stmt,
					    NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_bind_blob(stmt, 1, saved, sizeof(saved), SQLITE_STATIC), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(stmt), SQLITE_DONE);
	sqlite3_finalize(stmt);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

/* What was not used for longer goes, by the directory's own clock; and not what is pinned. */
START_TEST(test_gc_age)
{
	char pinned[256];
	const char *large;

	for (unsigned i = 0; i < 10; i++)
		put(NTC_KIND_TUNING, "small", "", i);
	large = put(NTC_KIND_LIBRARY, "large", "", 100000);
	RUN("gc", "--max-age", "1h");
	ck_out("evicted 0 entries");
	ntc_test_stop(&d);
	RUN("--dir", d.cache, "gc", "--max-age", "1h");
	ck_out("evicted 0 entries");
	snprintf(pinned, sizeof(pinned), "UPDATE entry SET used_age = 90000; UPDATE entry SET used_age = 10 WHERE kind = %d; "
		 "UPDATE entry SET pinned = 1 WHERE digest = x'%s'", NTC_KIND_TUNING, large);
	change_index(100000, pinned);
	RUN("--dir", d.cache, "gc", "--max-age", "2d");
	ck_out("evicted 0 entries");
	RUN("--dir", d.cache, "gc", "--max-age", "1d");
	ck_out("evicted 10 entries");
	RUN("--dir", d.cache, "gc", "--max-age", "0s", "--max-bytes", "0");
	ck_out("evicted 0 entries");
	RUN("--dir", d.cache, "ls", "--quiet");
	ck_out(large);
}
END_TEST

/* --- a stopped daemon's directory ----------------------------------------------------------- */

static unsigned files_in(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	unsigned count = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

START_TEST(test_stopped)
{
	const char *one = put(NTC_KIND_KERNEL, "one", "", 20000), *bundle = ntc_test_path("b.zst");
	const char *dir = d.cache, *fresh = ntc_test_path("fresh");

	put(NTC_KIND_KERNEL, "two", "", 20);
	/* As long as it has a daemon, that is who is asked. */
	RUN("--dir", dir, "ls");
	ck_code(4);
	ck_err("has a daemon");
	ck_err("--socket");
	ntc_test_stop(&d);
	RUN("ls", "--quiet", "--dir", dir);
	ck_code(0);
	ck_assert_uint_eq(o.out_len, 2 * NTC_DIGEST_TEXT_SIZE);
	ck_assert_str_eq(o.err, "");
	RUN("export", "--dir", dir, bundle);
	ck_code(0);
	ck_out("exported 2 entries");
	RUN("import", "--dir", fresh, bundle);
	ck_code(0);
	ck_out("2 new");
	RUN("--dir", fresh, "du");
	ck_code(0);
	flip(file_of(one), 15000);
	RUN("-d", dir, "verify");
	ck_code(4);
	ck_out("1 damaged");
	RUN("-d", dir, "verify", "--repair");
	ck_code(0);
	RUN("-d", dir, "import", bundle);
	ck_out("1 new, 1 known");
	RUN("-d", dir, "rm", one);
	ck_code(0);
	/* All of it is the next daemon's. */
	ntc_test_start(&d, NULL);
	RUN("ls", "--quiet");
	ck_assert_uint_eq(o.out_len, NTC_DIGEST_TEXT_SIZE);
	ck_assert_uint_eq(files_in(ntc_test_path("own")), 0);
}
END_TEST

START_TEST(test_not_a_directory)
{
	const char *none = ntc_test_path("none"), *file = ntc_test_path("file");
	struct stat st;
	int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
	RUN("--dir", none, "verify");
	ck_code(4);
	ck_assert_int_ne(stat(none, &st), 0); /* looking makes nothing */
	RUN("--dir", file, "ls");
	ck_code(4);
	ck_err("no directory");
	RUN("--dir", none, "--socket", d.socket, "ls");
	ck_code(2);
	RUN("--dir", "", "ls");
	ck_code(2);
	if (getuid() == 0) {
		ck_assert_int_eq(mkdir(none, 0700), 0);
		ck_assert_int_eq(chown(none, 12345, 12345), 0);
		RUN("--dir", none, "ls");
		ck_code(4);
		ck_err("belongs to");
	}
	ck_assert_uint_eq(files_in(ntc_test_path("own")), 0);
}
END_TEST

/* A program that is no daemon, and one that fails. */
START_TEST(test_no_daemon_to_start)
{
	const char *fresh = ntc_test_path("fresh");

	ck_assert_int_eq(mkdir(fresh, 0700), 0);
	setenv("NTCACHE_DAEMON", "/nonexistent/ntcached", 1);
	RUN("--dir", fresh, "ls");
	ck_code(4);
	ck_err("NTCACHE_DAEMON");
	setenv("NTCACHE_DAEMON", "/bin/false", 1);
	RUN("--dir", fresh, "ls");
	ck_code(4);
	ck_err("no daemon can be started");
	unsetenv("NTCACHE_DAEMON");
	ck_assert_uint_eq(files_in(ntc_test_path("own")), 0);
}
END_TEST

/* A machine-wide directory stays one: what is imported can be read by the group. */
START_TEST(test_shared_directory)
{
	const char *one = put(NTC_KIND_KERNEL, "one", "", 20000), *bundle = ntc_test_path("b.zst");
	struct stat st;
	char digest[NTC_DIGEST_TEXT_SIZE];

	snprintf(digest, sizeof(digest), "%s", one);
	RUN("export", bundle);
	RUN("rm", digest);
	ntc_test_stop(&d);
	ck_assert_int_eq(chmod(d.cache, 0750), 0);
	RUN("--dir", d.cache, "import", bundle);
	ck_code(0);
	ck_assert_int_eq(stat(file_of(digest), &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0640);
	ck_assert_int_eq(stat(d.cache, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0750);
}
END_TEST

/* --- killed ------------------------------------------------------------------------------- */

static int import_fifo(void *ctx, unsigned i)
{
	(void)i;
	if (!freopen("/dev/null", "w", stderr))
		return 1;
	execl(ntc_test_built("bin/ntcache-ctl"), "ntcache-ctl", "--dir", d.cache, "import", ctx, NULL);
	return 1;
}

/* Whether somebody has the directory. */
static bool locked(void *ctx)
{
	int fd = open(ntc_test_path("main.cache/lock"), O_RDWR | O_CLOEXEC);
	bool free_now = flock(fd, LOCK_EX | LOCK_NB) == 0;

	(void)ctx;
	close(fd);
	return !free_now;
}

static bool unlocked(void *ctx)
{
	return !locked(ctx);
}

START_TEST(test_killed)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGKILL };
	char *fifo = strdup(ntc_test_path("fifo"));

	put(NTC_KIND_KERNEL, "one", "", 20000);
	ntc_test_stop(&d);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct ntc_test_group group = { 0 };
		int code, fd;

		ntc_test_spawn(&group, 1, import_fifo, fifo);
		ntc_test_release(&group);
		fd = open(fifo, O_WRONLY | O_CLOEXEC); /* it reads: its daemon comes next, or is there */
		ck_assert_int_ge(fd, 0);
		ck_assert(ntc_test_until(ntc_test_ms(LIMIT_MS), locked, NULL));
		ck_assert_int_eq(kill(group.pids[0], signals[i]), 0);
		ntc_test_collect(&group, ntc_test_ms(LIMIT_MS), &code);
		ck_assert_int_eq(code, 128 + signals[i]);
		close(fd);
		/* Its daemon goes too, and the directory is the next one's. */
		ck_assert(ntc_test_until(ntc_test_ms(LIMIT_MS), unlocked, NULL));
		if (signals[i] != SIGKILL)
			ck_assert_uint_eq(files_in(ntc_test_path("own")), 0);
	}
	ntc_test_start(&d, NULL);
	RUN("verify");
	ck_code(0);
	ck_out("verified 1 entry");
	free(fifo);
}
END_TEST

/* --- a terminal --------------------------------------------------------------------------- */

/* Feed a bundle bit by bit until the terminal says how far it is. */
START_TEST(test_progress)
{
	char *fifo = strdup(ntc_test_path("fifo")), seen[4096] = "";
	const char *bundle = ntc_test_path("b.zst");
	char bytes[64];
	size_t len = 0;
	int terminal, file, fd;
	pid_t pid;

	for (unsigned i = 0; i < 300; i++)
		put(NTC_KIND_TUNING, "small", "", i);
	RUN("export", bundle);
	ck_code(0);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	pid = forkpty(&terminal, NULL, NULL, NULL);
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		execl(ntc_test_built("bin/ntcache-ctl"), "ntcache-ctl", "import", fifo, NULL);
		_exit(127);
	}
	file = open(bundle, O_RDONLY | O_CLOEXEC);
	fd = open(fifo, O_WRONLY | O_CLOEXEC);
	ck_assert(file >= 0 && fd >= 0);
	for (;;) {
		struct pollfd p = { .fd = terminal, .events = POLLIN };
		ssize_t n = read(file, bytes, sizeof(bytes));

		if (n > 0)
			ck_assert_int_eq(write(fd, bytes, (size_t)n), n);
		else if (fd >= 0)
			close(fd), fd = -1;
		/* Slow enough that it takes longer than a moment. */
		if (poll(&p, 1, n > 0 ? 1 : ntc_test_ms(LIMIT_MS)) > 0) {
			ssize_t got = read(terminal, seen + len, sizeof(seen) - 1 - len);

			if (got <= 0)
				break; /* it has ended */
			len += (size_t)got;
			seen[len] = '\0';
		}
	}
	ck_assert_int_eq(ntc_test_reap(pid, LIMIT_MS), 0);
	ck_assert_msg(strstr(seen, "\rimporting: "), "%s", seen);
	ck_assert_msg(strstr(seen, "\033[K0 new, 300 known, 0 refused"), "%s", seen);
	close(terminal);
	close(file);
	free(fifo);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("maintenance");
	TCase *tc = tcase_create("maintenance");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_verify);
	tcase_add_test(tc, test_verify_small);
	tcase_add_test(tc, test_du);
	tcase_add_test(tc, test_gc);
	tcase_add_test(tc, test_gc_age);
	tcase_add_test(tc, test_stopped);
	tcase_add_test(tc, test_not_a_directory);
	tcase_add_test(tc, test_no_daemon_to_start);
	tcase_add_test(tc, test_shared_directory);
	tcase_add_test(tc, test_killed);
	tcase_add_test(tc, test_progress);
	suite_add_tcase(suite, tc);
	return ntc_test_run(suite);
}
