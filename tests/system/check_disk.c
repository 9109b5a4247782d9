/*
 * Full, read-only and broken disks under a real daemon: puts are refused with the reason, hits and removals go on, and
 * puts are taken again without a restart. The disks are a tmpfs and an ext4 in a file, mounted in a name space of the
 * test's own, which ends with it. Mounting takes root; without it those tests are skipped.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/support/harness.h"
#include "tests/support/making.h"

#define LIMIT_MS 30000
#define LARGE (100u << 10)      /* bytes of an entry that is a file */
#define IN_FRAME (30u << 10)    /* the same, which needs no descriptor to get to the daemon */

static struct ntc_test_daemon d;
static struct ntc_client *client;

static const char *cache(const char *name)
{
	return ntc_test_path("main.cache/%s", name);
}

/* A mount of its own on the cache directory; false, with a word, where that is not allowed. */
static bool mount_cache(const char *source, const char *type, const char *options)
{
	ck_assert_int_eq(mkdir(ntc_test_path("main.cache"), 0700), 0);
	if (geteuid() != 0) {
		puts("skipped: mounting takes root");
		return false;
	}
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount(source, ntc_test_path("main.cache"), type, 0, options)) {
		printf("skipped: mounting is not allowed here: %s\n", strerror(errno));
		return false;
	}
	return true;
}

static void start(void)
{
	d = (struct ntc_test_daemon){ 0 };
	ntc_test_start(&d, NULL);
	client = making_client(NULL);
	ck_assert_ptr_nonnull(client);
}

static struct ntc_entry *make(const struct ntc_key *key, uint64_t number, size_t size)
{
	uint8_t *bytes = malloc(size);
	struct ntc_part_data part = { "binary", bytes, size };
	struct ntc_entry *entry = NULL;

	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(number * 31 + i * 7 + (i >> 8));
	ck_assert_int_eq(ntc_entry_new(key, NULL, &part, 1, &entry), NTC_OK);
	free(bytes);
	return entry;
}

/* Put the entry of a number, and sync; the first of the two that fails. */
static enum ntc_err put(uint64_t number, size_t size)
{
	struct ntc_key *key = making_key(number);
	struct ntc_entry *entry = make(key, number, size);
	enum ntc_err err = ntc_put(client, NULL, entry, 1);

	if (err == NTC_OK)
		err = ntc_sync(client, ntc_test_ms(LIMIT_MS));
	ntc_entry_unref(entry);
	ntc_key_free(key);
	return err;
}

static bool has(uint64_t number, size_t size)
{
	struct ntc_key *key = making_key(number);
	struct ntc_entry *right = make(key, number, size), *entry = NULL;
	struct ntc_part_view a, b;
	bool found = ntc_lookup(client, key, ntc_test_ms(LIMIT_MS), &entry) == NTC_OK;

	if (found) {
		ck_assert_int_eq(ntc_entry_find(entry, "binary", &a), NTC_OK);
		ck_assert_int_eq(ntc_entry_find(right, "binary", &b), NTC_OK);
		ck_assert(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
	}
	ntc_entry_unref(entry);
	ntc_entry_unref(right);
	ntc_key_free(key);
	return found;
}

static enum ntc_err remove_number(uint64_t number)
{
	struct ntc_key *key = making_key(number);
	enum ntc_err err = ntc_remove(client, key, ntc_test_ms(LIMIT_MS));

	ntc_key_free(key);
	return err;
}

static bool is_well(void *ctx)
{
	(void)ctx;
	return making_counter(client, "disk") == 0;
}

static bool is_bad(void *ctx)
{
	(void)ctx;
	return making_counter(client, "disk") > 0;
}

static void check_stats(const char *what)
{
	struct ntc_test_output output;

	ntc_test_command(&output, ntc_test_ms(LIMIT_MS), "ntcache-ctl", "stats", NULL);
	ck_assert_int_eq(output.code, 0);
	ck_assert_msg(strstr(output.out, what), "'%s' is not in: %s", what, output.out);
	ntc_test_output_clear(&output);
}

/* How often a text is in the daemon's log. */
static unsigned said(const char *text)
{
	FILE *log = fopen(d.log, "re");
	char line[1024];
	unsigned count = 0;

	ck_assert_ptr_nonnull(log);
	while (fgets(line, sizeof(line), log))
		count += strstr(line, text) != NULL;
	fclose(log);
	return count;
}

/* Leave not a byte on the cache's file system. */
static void fill(const char *path)
{
	static const uint8_t bytes[4096];
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);

	ck_assert_int_ge(fd, 0);
	while (write(fd, bytes, sizeof(bytes)) > 0)
		;
	ck_assert_int_eq(errno, ENOSPC);
	close(fd);
}

static void full_disk(void)
{
	uint64_t number = 0;
	enum ntc_err err;

	start();
	ck_assert_int_eq(put(1000, 500), NTC_OK);
	ck_assert_int_eq(put(1001, LARGE), NTC_OK);
	fill(cache("filler"));
	/* The disk's last blocks go; then one put is lost, and behind it the door is shut. */
	while ((err = put(number, LARGE)) == NTC_OK)
		ck_assert_uint_lt(++number, 1000);
	ck_assert_int_eq(err, NTC_E_NO_SPACE);
	ck_assert_msg(strstr(ntc_last_error(), "full"), "%s", ntc_last_error());
	ck_assert(ntc_test_until(ntc_test_ms(LIMIT_MS), is_bad, NULL));
	for (unsigned i = 0; i < 20; i++)
		ck_assert_int_eq(put(2000 + i, 500), NTC_E_NO_SPACE);
	ck_assert_msg(strstr(ntc_last_error(), "full"), "%s", ntc_last_error());
	check_stats("full: puts are refused");
	check_stats("No space left on device");
	ck_assert_int_le(making_counter(client, "puts_lost"), 2);
	ck_assert_uint_eq(said("puts are refused"), 1);
	/* Hits go on. */
	ck_assert(has(1000, 500));
	ck_assert(has(1001, LARGE));
	/* So do removals, of what is in the index and of what is a file. */
	ck_assert_int_eq(remove_number(1000), NTC_OK);
	ck_assert(!has(1000, 500));
	ck_assert_int_eq(remove_number(1001), NTC_OK);
	ck_assert(!has(1001, LARGE));
	ck_assert_int_eq(unlink(cache("filler")), 0);
	ck_assert(ntc_test_until(ntc_test_ms(LIMIT_MS), is_well, NULL));
	ck_assert_int_eq(put(3000, LARGE), NTC_OK);
	ck_assert_int_eq(put(3001, 500), NTC_OK);
	check_stats("disk                       ok");
	ck_assert_uint_eq(said("takes puts again"), 1);
	ntc_close(client);
	ntc_test_stop(&d);
	start();
	ck_assert(has(3000, LARGE));
	ck_assert(has(3001, 500));
	ck_assert(!has(1000, 500));
	ck_assert(!has(1001, LARGE));
	ntc_close(client);
}

START_TEST(test_full_tmpfs)
{
	if (mount_cache("tmpfs", "tmpfs", "size=8m,mode=0700"))
		full_disk();
}
END_TEST

/* An ext4 in a file, through a loop device that ends with the mount. */
static bool mount_ext4(const char *options)
{
	struct ntc_test_output output;
	bool ok;

	if (!mount_cache("tmpfs", "tmpfs", "size=1m"))
		return false;
	ck_assert_int_eq(umount(ntc_test_path("main.cache")), 0);
	ntc_test_command(&output, ntc_test_ms(LIMIT_MS), "sh", "-c",
			 "PATH=$PATH:/usr/sbin:/sbin; truncate -s 24M \"$1/image\" && mkfs.ext4 -q -F \"$1/image\" && "
			 "mount -o loop,$2 \"$1/image\" \"$1/main.cache\" && chmod 0700 \"$1/main.cache\"",
			 "sh", ntc_test_dir(), options, NULL);
	ok = output.code == 0;
	if (!ok)
		printf("skipped: no ext4 can be mounted here: %s\n", output.err);
	ntc_test_output_clear(&output);
	return ok;
}

START_TEST(test_full_ext4)
{
	if (mount_ext4("rw"))
		full_disk();
}
END_TEST

static bool has_few(void *ctx)
{
	return making_counter(client, "entries") <= *(const int *)ctx;
}

/* After a clean end the journal is empty, and there is no room for it to grow but the reserve's. */
static void make_room_on_a_full_disk(void)
{
	int few = 30;

	start();
	for (unsigned i = 0; i < 100; i++)
		ck_assert_int_eq(put(i, 4000), NTC_OK);
	ntc_close(client);
	ntc_test_stop(&d);
	fill(cache("filler"));
	start();
	ck_assert_int_eq(remove_number(7), NTC_OK);
	ck_assert(!has(7, 4000));
	ck_assert(has(8, 4000));
	ntc_close(client);
	ntc_test_stop(&d);
	ck_assert_int_eq(unlink(cache("filler")), 0);
	/* It has its reserve again, and evicts down to its new cap. */
	start();
	ck_assert_int_eq(put(1000, 4000), NTC_OK);
	ntc_close(client);
	ntc_test_stop(&d);
	fill(cache("filler"));
	ntc_test_start(&d, "--max-size", "128K", NULL);
	client = making_client(NULL);
	ck_assert(ntc_test_until(ntc_test_ms(LIMIT_MS), has_few, &few));
	ck_assert_int_gt(making_counter(client, "entries"), 10);
	ntc_close(client);
	ntc_test_stop(&d);
	ck_assert_int_eq(unlink(cache("filler")), 0);
	start();
	ck_assert_int_le(making_counter(client, "entries"), few);
	ck_assert(!has(7, 4000));
	ntc_close(client);
}

START_TEST(test_room_on_full_tmpfs)
{
	if (mount_cache("tmpfs", "tmpfs", "size=12m,mode=0700"))
		make_room_on_a_full_disk();
}
END_TEST

START_TEST(test_room_on_full_ext4)
{
	if (mount_ext4("rw"))
		make_room_on_a_full_disk();
}
END_TEST

/* The kernel gives up on the file system while the daemon runs. */
START_TEST(test_broken_ext4)
{
	struct stat st;
	char path[128], name[64] = "";
	ssize_t len;
	int fd;

	if (!mount_ext4("errors=remount-ro"))
		return;
	start();
	ck_assert_int_eq(put(1, 500), NTC_OK);
	ck_assert_int_eq(put(2, LARGE), NTC_OK);
	ck_assert_int_eq(stat(ntc_test_path("main.cache"), &st), 0);
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
	len = readlink(path, name, sizeof(name) - 1);
	ck_assert_int_gt(len, 0);
	snprintf(path, sizeof(path), "/sys/fs/ext4/%s/trigger_fs_error", strrchr(name, '/') + 1);
	fd = open(path, O_WRONLY);
	if (fd < 0) {
		puts("skipped: this kernel breaks no file system on demand");
		return;
	}
	ck_assert_int_eq(write(fd, "check\n", 6), 6);
	close(fd);
	ck_assert_int_lt(put(3, LARGE), 0);
	ck_assert(ntc_test_until(ntc_test_ms(LIMIT_MS), is_bad, NULL));
	ck_assert_int_eq(put(4, 500), NTC_E_IO);
	check_stats("puts are refused");
	ck_assert(has(1, 500));
	ck_assert(has(2, LARGE));
	ck_assert_uint_eq(said("puts are refused"), 1);
	ntc_close(client);
	ntc_test_stop(&d);
}
END_TEST

/* How the daemon before was ended: as it should be, or killed. */
START_TEST(test_read_only_at_start)
{
	const char *dir = ntc_test_path("main.cache");

	if (!mount_cache("tmpfs", "tmpfs", "size=16m,mode=0700"))
		return;
	start();
	ck_assert_int_eq(put(1, 500), NTC_OK);
	ck_assert_int_eq(put(2, LARGE), NTC_OK);
	ntc_close(client);
	if (_i)
		ntc_test_kill(&d);
	else
		ntc_test_stop(&d);
	ck_assert_int_eq(mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	start();
	ck_assert(has(1, 500));
	ck_assert(has(2, LARGE));
	ck_assert_int_eq(put(3, 500), NTC_E_IO);
	ck_assert_msg(strstr(ntc_last_error(), "read-only"), "%s", ntc_last_error());
	ck_assert_int_eq(put(4, LARGE), NTC_E_IO);
	ck_assert_int_lt(remove_number(2), 0);
	check_stats("read-only: puts are refused");
	ck_assert_int_eq(making_counter(client, "puts_lost"), 0);
	ck_assert(has(2, LARGE));
	/* It can be written again, and nobody restarts anything. */
	ck_assert_int_eq(mount(NULL, dir, NULL, MS_REMOUNT, NULL), 0);
	ck_assert(ntc_test_until(ntc_test_ms(LIMIT_MS), is_well, NULL));
	ck_assert_int_eq(put(3, 500), NTC_OK);
	ck_assert_int_eq(put(4, LARGE), NTC_OK);
	ck_assert_int_eq(remove_number(2), NTC_OK);
	ck_assert(has(3, 500));
	ck_assert(has(4, LARGE));
	ck_assert(!has(2, LARGE));
	ntc_close(client);
	ntc_test_stop(&d);
	start();
	ck_assert(has(1, 500));
	ck_assert(has(3, 500));
	ck_assert(has(4, LARGE));
	ck_assert(!has(2, LARGE));
	ntc_close(client);
}
END_TEST

START_TEST(test_read_only_and_empty)
{
	struct ntc_test_output output;
	const char *dir = ntc_test_path("main.cache");

	if (!mount_cache("tmpfs", "tmpfs", "size=16m,mode=0700"))
		return;
	ck_assert_int_eq(mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	ntc_test_command(&output, ntc_test_ms(LIMIT_MS), "ntcached", "--dir", dir, "--socket", ntc_test_path("s"), NULL);
	ck_assert_int_ne(output.code, 0);
	ck_assert_msg(strstr(output.err, "Read-only"), "%s", output.err);
	ntc_test_output_clear(&output);
}
END_TEST

START_TEST(test_no_descriptors)
{
	struct rlimit before, few;

	start();
	ck_assert_int_eq(put(1, IN_FRAME), NTC_OK);
	ck_assert_int_eq(prlimit(d.pid, RLIMIT_NOFILE, NULL, &before), 0);
	few = before;
	few.rlim_cur = 8;
	ck_assert_int_eq(prlimit(d.pid, RLIMIT_NOFILE, &few, NULL), 0);
	ck_assert_int_eq(put(2, IN_FRAME), NTC_E_BUSY);
	ck_assert(ntc_test_until(ntc_test_ms(LIMIT_MS), is_bad, NULL));
	ck_assert_int_eq(put(3, 500), NTC_E_BUSY);
	ck_assert_msg(strstr(ntc_last_error(), "descriptors"), "%s", ntc_last_error());
	ck_assert_int_eq(making_counter(client, "disk_errno"), EMFILE);
	/* The client reads the file by itself. */
	ck_assert(has(1, IN_FRAME));
	ck_assert_int_eq(prlimit(d.pid, RLIMIT_NOFILE, &before, NULL), 0);
	ck_assert(ntc_test_until(ntc_test_ms(LIMIT_MS), is_well, NULL));
	ck_assert_int_eq(put(2, IN_FRAME), NTC_OK);
	ck_assert_int_eq(put(3, 500), NTC_OK);
	check_stats("disk                       ok");
	ntc_close(client);
}
END_TEST

/* The limit ends nobody (SIGXFSZ), and small entries go on. */
START_TEST(test_file_size)
{
	struct rlimit limit = { .rlim_cur = 2u << 20, .rlim_max = RLIM_INFINITY };

	start();
	ck_assert_int_eq(put(1, LARGE), NTC_OK);
	ck_assert_int_eq(prlimit(d.pid, RLIMIT_FSIZE, &limit, NULL), 0);
	ck_assert_int_eq(put(2, 3u << 20), NTC_E_NO_SPACE);
	ck_assert(!has(2, 3u << 20));
	ck_assert_int_eq(put(3, LARGE), NTC_OK);
	ck_assert_int_eq(making_counter(client, "disk"), 0);
	limit.rlim_cur = 16u << 10;
	ck_assert_int_eq(prlimit(d.pid, RLIMIT_FSIZE, &limit, NULL), 0);
	ck_assert_int_eq(put(4, LARGE), NTC_E_NO_SPACE);
	ck_assert(ntc_test_until(ntc_test_ms(LIMIT_MS), is_bad, NULL));
	ck_assert_int_eq(put(5, 500), NTC_E_NO_SPACE);
	check_stats("File too large");
	ck_assert(has(3, LARGE));
	limit.rlim_cur = RLIM_INFINITY;
	ck_assert_int_eq(prlimit(d.pid, RLIMIT_FSIZE, &limit, NULL), 0);
	ck_assert(ntc_test_until(ntc_test_ms(LIMIT_MS), is_well, NULL));
	ck_assert_int_eq(put(2, 3u << 20), NTC_OK);
	ck_assert_int_eq(put(5, 500), NTC_OK);
	ntc_close(client);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("disk");
	TCase *tc = tcase_create("disk");

	tcase_add_checked_fixture(tc, ntc_test_setup, ntc_test_teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_full_tmpfs);
	tcase_add_test(tc, test_full_ext4);
	tcase_add_test(tc, test_room_on_full_tmpfs);
	tcase_add_test(tc, test_room_on_full_ext4);
	tcase_add_test(tc, test_broken_ext4);
	tcase_add_loop_test(tc, test_read_only_at_start, 0, 2);
	tcase_add_test(tc, test_read_only_and_empty);
	tcase_add_test(tc, test_no_descriptors);
	tcase_add_test(tc, test_file_size);
	suite_add_tcase(suite, tc);
	return ntc_test_run(suite);
}
