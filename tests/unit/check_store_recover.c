/* Start-up: every state that a crash, a damage or another version can leave, made by hand; kill -9. */
#include "store_fixture.h"

#include <signal.h>
#include <stdatomic.h>
#include <sqlite3.h>

#include "store/index.h"
#include "store/scan.h"
#include "tests/support/unit_sys.h"

static void setup(void)
{
	options = (struct ntc_store_options){ 0 };
	make_dir();
	open_store();
}

static void teardown(void)
{
	close_store();
	ntc_sys = &ntc_sys_kernel;
	remove_dir();
}

/* Run SQL on the index of a closed store. */
static void run_sql(const char *text)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(file("index.sqlite3"), &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

START_TEST(second_open_is_refused)
{
	struct ntc_store *first = store;
	char pid[32];

	ck_assert_int_eq(try_open(), NTC_ST_LOCKED);
	ck_assert_ptr_null(store);
	snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
	ck_assert_msg(strstr(reason.text, pid) != NULL, "%s", reason.text);
	store = first;
	put_now(1, 'x', 100);
}
END_TEST

START_TEST(temporary_files_are_swept)
{
	put_now(1, 'x', 100);
	close_store();
	write_file(file("default/tmp/0123.4"), "half", 4);
	write_file(file("default/tmp/another"), "", 0);
	open_store();
	ck_assert_uint_eq(stats_now().swept, 2);
	ck_assert_int_eq(count_names(file("default/tmp"), ""), 0);
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_OK);
}
END_TEST

START_TEST(blob_without_row_is_adopted)
{
	struct answer a = { 0 };

	put_now(1, 'x', 100);
	put_now(2, 'y', 200);
	close_store();
	run_sql("DELETE FROM entry");
	open_store();
	ck_assert_uint_eq(stats_now().adopted, 2);
	ck_assert_uint_eq(stats_now().entries, 2);
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_OK);
	ck_assert_int_eq(load_now(2, 'y', 200), NTC_ST_OK);
	load(2, &a);
	wait_for(&a.loaded);
	ck_assert_uint_eq(a.row.cost_ns, 77);
	ck_assert_uint_eq(a.row.put_wall_ns, 1002);
	/* As good as when recovery began, and no better. */
	ck_assert_uint_eq(a.row.used, 0);
	ck_assert_uint_eq(a.row.hits, 0);
	ntc_buffer_unref(a.image);
	reopen_store();
	ck_assert_uint_eq(stats_now().adopted, 0);
	ck_assert_uint_eq(stats_now().entries, 2);
}
END_TEST

START_TEST(row_without_blob_is_dropped)
{
	put_now(1, 'x', 100);
	put_now(2, 'x', 100);
	close_store();
	ck_assert_int_eq(unlink(blob_file(1)), 0);
	open_store();
	ck_assert_uint_eq(stats_now().dropped_rows, 1);
	ck_assert_uint_eq(stats_now().entries, 1);
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_NOT_FOUND);
	ck_assert_int_eq(load_now(2, 'x', 100), NTC_ST_OK);
	reopen_store();
	ck_assert_uint_eq(stats_now().dropped_rows, 0);
}
END_TEST

START_TEST(bad_blob_without_row_is_set_aside)
{
	char from[512];
	int fd;

	for (unsigned i = 0; i < 5; i++)
		put_now(i, 'x', 100);
	close_store();
	run_sql("DELETE FROM entry");
	ck_assert_int_eq(truncate(blob_file(0), 300), 0);       /* cut */
	ck_assert_int_eq(truncate(blob_file(1), 0), 0);         /* empty */
	fd = open(blob_file(2), O_WRONLY);                      /* a wrong byte */
	ck_assert_int_eq(pwrite(fd, "!", 1, 200), 1);
	close(fd);
	snprintf(from, sizeof(from), "%s", blob_file(3));       /* another key's */
	ck_assert_int_eq(unlink(from), 0);
	ck_assert_int_eq(link(blob_file(4), from), 0);
	open_store();
	ck_assert_uint_eq(stats_now().quarantined, 4);
	ck_assert_uint_eq(stats_now().adopted, 1);
	ck_assert_int_eq(count_names(file("default/quarantine"), ""), 4);
	ck_assert_int_eq(load_now(4, 'x', 100), NTC_ST_OK);
	ck_assert_int_eq(put_now(0, 'y', 100), NTC_STORED_NEW);
}
END_TEST

START_TEST(only_blobs_without_rows_are_read)
{
	put_now(1, 'x', 100);
	close_store();
	/* Damaged, but with a row: found when it is read. */
	ck_assert_int_eq(truncate(blob_file(1), 300), 0);
	open_store();
	ck_assert_uint_eq(stats_now().quarantined, 0);
	ck_assert_uint_eq(stats_now().entries, 1);
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_NOT_FOUND);
	ck_assert_uint_eq(stats_now().quarantined, 1);
}
END_TEST

START_TEST(strange_names_are_left_alone)
{
	char *at, path[600];

	put_now(1, 'x', 100);
	close_store();
	snprintf(path, sizeof(path), "%s", blob_file(1));
	at = strrchr(path, '/') + 1;
	/* A digest that belongs into another directory, and no digest at all. */
	at[0] = at[0] == 'f' ? '0' : 'f';
	write_file(path, "hello", 5);
	snprintf(at, 7, "README");
	write_file(path, "hello", 5);
	open_store();
	ck_assert_uint_eq(stats_now().entries, 1);
	ck_assert(exists(path));
	ck_assert(strstr(last_log, "2 names") != NULL);
}
END_TEST

static void damage_zeros(const char *path)
{
	int fd = open(path, O_WRONLY);
	char zeros[8192] = { 0 };

	/* From the second page on: the header is fine. */
	ck_assert_int_eq(pwrite(fd, zeros, sizeof(zeros), 4096), sizeof(zeros));
	close(fd);
}

static void damage_header(const char *path)
{
	int fd = open(path, O_WRONLY);

	ck_assert_int_eq(pwrite(fd, "not a database, really", 22, 0), 22);
	close(fd);
}

static void damage_cut(const char *path)
{
	ck_assert_int_eq(truncate(path, 5000), 0);
}

static void damage_foreign(const char *path)
{
	ck_assert_int_eq(unlink(path), 0);
	run_sql("CREATE TABLE other (x); PRAGMA application_id = 7");
}

static void damage_row(const char *path)
{
	(void)path;
	run_sql("UPDATE entry SET kind = 1000");
}

static void damage_schema(const char *path)
{
	(void)path;
	run_sql("ALTER TABLE entry RENAME COLUMN used TO unused");
}

/* One flipped bit; the tables are this version's. */
static void damage_version(const char *path)
{
	(void)path;
	run_sql("PRAGMA user_version = 130");
}

/* A format of files that only later SQLites write. */
static void damage_format(const char *path)
{
	int fd = open(path, O_WRONLY);

	ck_assert_int_eq(pwrite(fd, "\x42", 1, 18), 1);
	close(fd);
}

static const struct {
	void (*damage)(const char *path);
	bool readable;          /* rows can be taken over */
} damages[] = {
	{ damage_zeros, false }, { damage_header, false }, { damage_cut, false }, { damage_foreign, false },
	{ damage_row, false }, { damage_schema, false }, { damage_version, true }, { damage_format, true },
};

START_TEST(damaged_index_is_made_again)
{
	struct ntc_digest digest = digest_of(7);
	struct answer a = { 0 };

	for (unsigned i = 0; i < 30; i++)
		put_now(i, 'x', 100);
	ntc_store_hit(store, &digest, 3);
	close_store();
	damages[_i].damage(file("index.sqlite3"));
	open_store();
	ck_assert_uint_eq(stats_now().entries, 30);
	ck_assert_uint_eq(stats_now().adopted, damages[_i].readable ? 0 : 30);
	load(7, &a);
	wait_for(&a.loaded);
	ck_assert_int_eq(a.load_st, NTC_ST_OK);
	ck_assert_uint_eq(a.row.hits, damages[_i].readable ? 3 : 0);
	ntc_buffer_unref(a.image);
	ck_assert_int_eq(count_names(dir, "index.sqlite3.damaged-"), 1);
	ck_assert(strstr(last_log, "set aside") != NULL);
	reopen_store();
	ck_assert_uint_eq(stats_now().adopted, 0);
	ck_assert_uint_eq(stats_now().entries, 30);
}
END_TEST

/* --- reading the rows ------------------------------------------------------------------------- */

static enum ntc_status scan(unsigned threads, struct ntc_scanned *all)
{
	struct ntc_scanned parts[NTC_SCAN_THREADS] = { 0 };
	struct ntc_index *index;
	enum ntc_status st;

	*all = (struct ntc_scanned){ 0 };
	ck_assert_int_eq(ntc_index_open(dir, &index, &reason), NTC_ST_OK);
	st = ntc_scan(dir, index, threads, parts, &reason);
	for (unsigned i = 0; i < NTC_SCAN_THREADS; i++) {
		if (parts[i].count) {
			all->entries = reallocarray(all->entries, all->count + parts[i].count, sizeof(*all->entries));
			memcpy(all->entries + all->count, parts[i].entries, parts[i].count * sizeof(*all->entries));
		}
		all->count += parts[i].count;
		all->used = parts[i].used > all->used ? parts[i].used : all->used;
		all->value = parts[i].value > all->value ? parts[i].value : all->value;
		ck_assert(i < threads || !parts[i].entries);
		free(parts[i].entries);
	}
	ntc_index_close(index, false);
	return st;
}

START_TEST(threads_read_what_one_reads)
{
	struct ntc_scanned one, many;
	struct answer *a = calloc(400, sizeof(*a));

	options.inline_max = 4096;
	reopen_store();
	for (unsigned i = 0; i < 400; i++)
		put(i, 'x', i % 2 ? 100 : 10000, &a[i]);
	for (unsigned i = 0; i < 400; i++)
		wait_for(&a[i].durable);
	free(a);
	close_store();
	ck_assert_int_eq(scan(1, &one), NTC_ST_OK);
	ck_assert_uint_eq(one.count, 400);
	ck_assert_uint_eq(one.used, 400);
	for (unsigned threads = 2; threads <= NTC_SCAN_THREADS; threads++) {
		ck_assert_int_eq(scan(threads, &many), NTC_ST_OK);
		ck_assert_uint_eq(many.count, 400);
		ck_assert_mem_eq(many.entries, one.entries, 400 * sizeof(*one.entries));
		ck_assert_uint_eq(many.used, one.used);
		ck_assert(many.value == one.value);
		free(many.entries);
	}
	free(one.entries);
	/* Whoever meets a bad row: it is met. */
	run_sql("UPDATE entry SET kind = 1000 WHERE digest = (SELECT max(digest) FROM entry)");
	ck_assert_int_eq(scan(NTC_SCAN_THREADS, &many), NTC_ST_BAD_STORE);
	free(many.entries);
	open_store();
	ck_assert_int_eq(count_names(dir, "index.sqlite3.damaged-"), 1);
	ck_assert_uint_eq(stats_now().entries, 400);
}
END_TEST

START_TEST(newer_index_is_refused_and_left)
{
	put_now(1, 'x', 100);
	close_store();
	run_sql("PRAGMA user_version = 3; ALTER TABLE entry ADD COLUMN colour TEXT");
	ck_assert_int_eq(try_open(), NTC_ST_NEWER_STORE);
	ck_assert_ptr_null(store);
	ck_assert_int_eq(count_names(dir, "index.sqlite3.damaged-"), 0);
	/* Unlocked and unchanged. */
	ck_assert_int_eq(try_open(), NTC_ST_NEWER_STORE);
	run_sql("PRAGMA user_version = 2; ALTER TABLE entry DROP COLUMN colour");
	open_store();
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_OK);
}
END_TEST

/* A disk without a free block or inode: files don't grow and there are no new names. */
static atomic_bool disk_full;

static int full_open(int at, const char *name, int flags, mode_t mode)
{
	int fd = ntc_sys_kernel.open(at, name, disk_full ? flags & ~(O_CREAT | O_EXCL) : flags, mode);

	if (!disk_full)
		return fd;
	if (fd == -ENOENT && (flags & O_CREAT))
		return -ENOSPC;
	if (fd >= 0 && (flags & O_EXCL)) {
		ntc_sys_kernel.close(fd);
		return -EEXIST;
	}
	return fd;
}

static ssize_t full_write(int fd, const void *p, size_t len, off_t at)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	return disk_full && at + (off_t)len > st.st_size ? -ENOSPC : ntc_sys_kernel.write(fd, p, len, at);
}

static int full_mkdir(int at, const char *name, mode_t mode)
{
	return !disk_full || faccessat(at, name, F_OK, 0) == 0 ? ntc_sys_kernel.mkdir(at, name, mode) : -ENOSPC;
}

/* How the directory was left: closed well, or by a crash. */
START_TEST(start_on_a_full_disk_serves_and_refuses_puts)
{
	struct ntc_sys_ops full = ntc_sys_kernel;
	struct answer a = { 0 };
	int status;
	pid_t pid;

	full.open = full_open;
	full.write = full_write;
	full.mkdir = full_mkdir;
	close_store();
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		open_store();
		for (unsigned i = 0; i < 20; i++)
			put_now(i, 'x', 100);
		if (!_i)
			close_store();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ntc_sys = &full;
	disk_full = true;
	open_store();
	ck_assert_uint_eq(stats_now().entries, 20);
	ck_assert_int_eq(load_now(7, 'x', 100), NTC_ST_OK);
	put(100, 'x', 100, &a);
	wait_for(&a.durable);
	ck_assert_int_eq(a.durable_st, NTC_ST_NO_SPACE);
	ck_assert_int_eq(load_now(100, 'x', 100), NTC_ST_NOT_FOUND);
	/* Removing is what helps. */
	ck_assert_uint_eq(remove_now(3), 1);
	ck_assert_int_eq(load_now(3, 'x', 100), NTC_ST_NOT_FOUND);
	/* Its row is still there, and can still not be deleted; the recovery is not over before it is. */
	close_store();
	ck_assert_int_eq(try_open(), NTC_ST_OK);
	ck_assert_int_eq(load_now(3, 'x', 100), NTC_ST_NOT_FOUND);
	ck_assert_int_eq(load_now(7, 'x', 100), NTC_ST_OK);
	while (stats_now().entries != 19)
		wait_turn();
	disk_full = false;
	settle();
	ck_assert_int_eq(put_now(100, 'x', 100), NTC_STORED_NEW);
	ck_assert_uint_eq(stats_now().entries, 20);
	ck_assert_int_eq(count_names(dir, "index.sqlite3.damaged-"), 0);
	close_store();
	ntc_sys = &ntc_sys_kernel;
	open_store();
	ck_assert_uint_eq(stats_now().entries, 20);
	ck_assert_uint_eq(stats_now().dropped_rows, 0);
}
END_TEST

static int no_reading(enum ntc_test_call call, const char *name, int flags)
{
	(void)flags;
	return call == NTC_CALL_OPEN && name && strstr(name, NTC_INDEX_NAME) && strchr(name, '/') ? EMFILE : 0;
}

START_TEST(index_that_cannot_be_opened_says_why)
{
	put_now(1, 'x', 100);
	close_store();
	ntc_test_hook_sys(no_reading);
	ck_assert_int_eq(try_open(), NTC_ST_NO_FILES);
	ntc_test_hook_sys(NULL);
	ck_assert_msg(strstr(reason.text, strerror(EMFILE)) != NULL, "%s", reason.text);
	ck_assert_int_eq(count_names(dir, "index.sqlite3.damaged-"), 0);
	open_store();
	ck_assert_int_eq(load_now(1, 'x', 100), NTC_ST_OK);
}
END_TEST

START_TEST(directories_that_anybody_may_write_are_refused)
{
	close_store();
	ck_assert_int_eq(chmod(dir, 0777), 0);
	ck_assert_int_eq(try_open(), NTC_ST_BAD_STORE);
	ck_assert_int_eq(chmod(dir, 0700), 0);
	open_store();
}
END_TEST

/* --- kill -9 -------------------------------------------------------------------------------- */

/* What the child tells: the number of a put that is durable, or of a removal that was answered. */
struct told {
	uint32_t n, removed;
};

static int told_pipe;

static void child_durable(void *ctx, enum ntc_status st)
{
	struct told told = { .n = (uint32_t)(uintptr_t)ctx };

	if (st == NTC_ST_OK && write(told_pipe, &told, sizeof(told)) != sizeof(told))
		_exit(1);
}

static void child_decided(void *ctx, enum ntc_status st, enum ntc_stored stored)
{
	(void)ctx;
	if (st != NTC_ST_OK || stored != NTC_STORED_NEW)
		_exit(1);
}

static void child_removed(void *ctx, enum ntc_status st, uint64_t count)
{
	struct told told = { .n = (uint32_t)(uintptr_t)ctx, .removed = 1 };

	if (st != NTC_ST_OK || count != 1 || write(told_pipe, &told, sizeof(told)) != sizeof(told))
		_exit(1);
}

/* Put without end, eight under way, and remove every third a while later. */
static void child(uint32_t from)
{
	if (try_open() != NTC_ST_OK)
		_exit(2);
	for (uint32_t n = from;; n++) {
		struct ntc_buffer *image = make_image(n, (uint8_t)n, 3000 + n % 5 * 128);

		ntc_store_put(store, image, child_decided, child_durable, (void *)(uintptr_t)n);
		ntc_buffer_unref(image);
		if (n % 3 == 0 && n >= from + 12) {
			struct ntc_buffer *key = make_key(n - 12);

			ntc_store_remove(store, view_of(key), child_removed, (void *)(uintptr_t)(n - 12));
			ntc_buffer_unref(key);
		}
		while (stats_now().queued_bytes > 8 * 3500) {
			struct pollfd ready = { .fd = ntc_store_event_fd(store), .events = POLLIN };

			(void)poll(&ready, 1, 1000);
			ntc_store_dispatch(store);
		}
	}
}

START_TEST(killed_writer_loses_nothing_acknowledged)
{
	static bool durable[1 << 20], removed[1 << 20];
	uint32_t from = 0, last = 0;

	close_store();
	options.group_wait_ns = NTC_NS_PER_MS;
	/* All in files; all in the index; some there, some here. */
	options.inline_max = _i == 0 ? 0 : _i == 1 ? 8192 : 3712;
	for (int round = 0; round < 6; round++) {
		unsigned wanted = 40 + 37 * (unsigned)round, seen = 0;
		struct told told;
		int fds[2], status;
		ssize_t n;
		pid_t pid;

		ck_assert_int_eq(pipe(fds), 0);
		pid = fork();
		if (pid == 0) {
			close(fds[0]);
			told_pipe = fds[1];
			child(from);
		}
		close(fds[1]);
		/* Killed in the middle of whatever it does after so many answers; what it told before counts. */
		while ((n = read(fds[0], &told, sizeof(told))) == sizeof(told)) {
			ck_assert_uint_lt(told.n, 1 << 20);
			(told.removed ? removed : durable)[told.n] = true;
			last = told.n > last ? told.n : last;
			if (++seen == wanted)
				kill(pid, SIGKILL);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		close(fds[0]);
		open_store();
		for (uint32_t i = 0; i <= last; i++) {
			struct answer a = { 0 };

			if (!durable[i] && !removed[i])
				continue;
			load(i, &a);
			wait_for(&a.loaded);
			if (removed[i])
				ck_assert_int_eq(a.load_st, NTC_ST_NOT_FOUND);
			/* A removal of these may have been under way. */
			else if (i % 3)
				ck_assert_int_eq(a.load_st, NTC_ST_OK);
			ntc_buffer_unref(a.image);
		}
		ck_assert_int_eq(count_names(file("default/tmp"), ""), 0);
		ck_assert_uint_eq(stats_now().quarantined, 0);
		close_store();
		/* Beyond whatever it may have put without saying so. */
		from = last + 100;
	}
	open_store();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_recover");
	TCase *tc = tcase_create("store_recover");

	tcase_set_timeout(tc, 100);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, second_open_is_refused);
	tcase_add_test(tc, temporary_files_are_swept);
	tcase_add_test(tc, blob_without_row_is_adopted);
	tcase_add_test(tc, row_without_blob_is_dropped);
	tcase_add_test(tc, bad_blob_without_row_is_set_aside);
	tcase_add_test(tc, only_blobs_without_rows_are_read);
	tcase_add_test(tc, strange_names_are_left_alone);
	tcase_add_loop_test(tc, damaged_index_is_made_again, 0, (int)(sizeof(damages) / sizeof(*damages)));
	tcase_add_test(tc, threads_read_what_one_reads);
	tcase_add_test(tc, newer_index_is_refused_and_left);
	tcase_add_loop_test(tc, start_on_a_full_disk_serves_and_refuses_puts, 0, 2);
	tcase_add_test(tc, index_that_cannot_be_opened_says_why);
	tcase_add_test(tc, directories_that_anybody_may_write_are_refused);
	tcase_add_loop_test(tc, killed_writer_loses_nothing_acknowledged, 0, 3);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
