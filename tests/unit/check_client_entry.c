/* Entries and their parts as files; the header by itself; what the library exports. */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/entry.h"
#include "client/ntcache.h"
#include "tests/support/unit_data.h"

static char dir[64];

/* Run a command line; its exit code. */
static int shell(const char *command)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/ntc-parts-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	setenv("NTCACHE_PARTS", dir, 1);
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(shell(command), 0);
}

static struct ntc_key *key_of(int x)
{
	struct ntc_key *key = ntc_key_new(NTC_KIND_LIBRARY);

	ntc_key_add_int(key, "x", x);
	ck_assert_int_eq(ntc_key_seal(key), NTC_OK);
	return key;
}

static struct ntc_entry *entry_of(int x, const char *second)
{
	struct ntc_key *key = key_of(x), *notes = key_of(77);
	struct ntc_part_data parts[] = {
		{ "z.txt", "last", 4 },
		{ "lib.so", second, strlen(second) },
		{ "empty", NULL, 0 },
	};
	struct ntc_entry *entry;

	ck_assert_msg(ntc_entry_new(key, notes, parts, 3, &entry) == NTC_OK, "%s", ntc_last_error());
	ntc_key_free(key), ntc_key_free(notes);
	return entry;
}

START_TEST(test_build)
{
	struct ntc_entry *entry = entry_of(1, "second");
	struct ntc_key *key = key_of(1);
	struct ntc_part_view part;
	struct ntc_stamp_view stamp;
	struct ntc_digest a = ntc_entry_digest(entry), b = ntc_key_digest_of(key);
	size_t len;

	ck_assert_int_eq(ntc_entry_kind(entry), NTC_KIND_LIBRARY);
	ck_assert_mem_eq(&a, &b, sizeof(a));
	ck_assert_uint_eq(ntc_entry_part_count(entry), 3);
	for (size_t i = 0; i < 3; i++) {
		part = ntc_entry_part(entry, i);
		ck_assert_uint_eq((uintptr_t)part.data % 64, 0);
	}
	ck_assert_mem_eq(ntc_entry_part(entry, 0).name, "empty", 5);
	ck_assert_int_eq(ntc_entry_find(entry, "lib.so", &part), NTC_OK);
	ck_assert_uint_eq(part.len, 6);
	ck_assert_mem_eq(part.data, "second", 6);
	ck_assert_int_eq(ntc_entry_find(entry, "lib", &part), NTC_E_NO_PART);
	ck_assert_ptr_null(part.data);
	ck_assert_ptr_null(ntc_entry_part(entry, 3).name);
	ck_assert_ptr_nonnull(ntc_entry_notes(entry, &len));
	ck_assert_uint_gt(len, 0);
	ck_assert(!ntc_entry_stamp(entry, &stamp));
	ck_assert_int_eq(ntc_entry_source(entry), NTC_FROM_MAKER);
	ntc_entry_unref(ntc_entry_ref(entry));
	ntc_entry_unref(entry);
	ntc_entry_unref(NULL);
	ntc_key_free(key);
}
END_TEST

START_TEST(test_refused)
{
	struct ntc_key *key = key_of(1), *open = ntc_key_new(NTC_KIND_KERNEL);
	struct ntc_part_data twice[] = { { "a", "1", 1 }, { "a", "2", 1 } }, bad = { "../x", "1", 1 };
	struct ntc_part_data none = { "a", NULL, 1 };
	struct ntc_entry *entry;

	ck_assert_int_eq(ntc_entry_new(key, NULL, twice, 2, &entry), NTC_E_INVALID);
	ck_assert_ptr_null(entry);
	ck_assert_int_eq(ntc_entry_new(key, NULL, &bad, 1, &entry), NTC_E_INVALID);
	ck_assert_int_eq(ntc_entry_new(key, NULL, &none, 1, &entry), NTC_E_INVALID);
	ck_assert_int_eq(ntc_entry_new(open, NULL, NULL, 0, &entry), NTC_E_KEY);
	ck_assert_int_eq(ntc_entry_new(NULL, NULL, NULL, 0, &entry), NTC_E_INVALID);
	ck_assert_int_eq(ntc_entry_new(key, NULL, NULL, NTC_PARTS_MAX + 1, &entry), NTC_E_TOO_LARGE);
	ntc_key_free(key), ntc_key_free(open);
}
END_TEST

/* An image of an entry with a stamp, in memory of the library. */
static uint8_t *image_of(struct ntc_entry *entry, size_t *size)
{
	struct ntc_stamp stamp = { .put_wall_ns = 5, .cost_ns = 6, .uid = 7, .host = "here" };
	size_t len;
	const void *body = ntc_entry_body(entry, &len);
	uint8_t *memory;

	*size = len + NTC_STAMP_SIZE;
	memory = ntc_image_memory(*size);
	memcpy(memory, body, len);
	ntc_stamp_write(&stamp, &entry->body.checksum, memory + len);
	return memory;
}

START_TEST(test_image)
{
	struct ntc_entry *made = entry_of(1, "second"), *entry;
	struct ntc_key *other = key_of(2);
	struct ntc_stamp_view stamp;
	struct ntc_reason why;
	size_t size, key_len;
	uint8_t *memory = image_of(made, &size);

	ck_assert_int_eq(ntc_entry_from_image(memory, size, ntc_view(NULL, 0), NTC_FROM_FILE, &entry, &why),
			 NTC_ST_OK);
	ck_assert(ntc_entry_stamp(entry, &stamp));
	ck_assert_uint_eq(stamp.uid, 7);
	ck_assert_str_eq(stamp.host, "here");
	ntc_entry_unref(entry);

	memory = image_of(made, &size);
	memory[size - NTC_STAMP_SIZE - 64] ^= 1;
	ck_assert_int_eq(ntc_entry_from_image(memory, size, ntc_view(NULL, 0), NTC_FROM_FILE, &entry, &why),
			 NTC_ST_BAD_CHECKSUM);
	ck_assert_ptr_null(entry);
	memory = image_of(made, &size);
	ck_assert_int_ne(
		ntc_entry_from_image(memory, size - 1, ntc_view(NULL, 0), NTC_FROM_FILE, &entry, &why),
		NTC_ST_OK);
	memory = image_of(made, &size);
	ntc_key_bytes(other, &key_len);
	ck_assert_int_eq(ntc_entry_from_image(memory, size, ntc_view(ntc_key_bytes(other, NULL), key_len),
					      NTC_FROM_FILE, &entry, &why),
			 NTC_ST_KEY_MISMATCH);
	ntc_entry_unref(made);
	ntc_key_free(other);
}
END_TEST

/* --- parts as files ----------------------------------------------------------------------- */

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static void assert_file(const char *path, const char *text)
{
	char buf[256] = "";
	FILE *f = fopen(path, "r");

	ck_assert_msg(f, "%s", path);
	buf[fread(buf, 1, sizeof(buf) - 1, f)] = '\0';
	fclose(f);
	ck_assert_str_eq(buf, text);
}

static unsigned count_in(const char *path, const char *prefix)
{
	DIR *d = opendir(path);
	struct dirent *item;
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while ((item = readdir(d)))
		n += strncmp(item->d_name, prefix, strlen(prefix)) == 0;
	closedir(d);
	return n;
}

START_TEST(test_part_path)
{
	struct ntc_entry *entry = entry_of(1, "second");
	char *path, *again, whole[200];
	struct stat st;

	ck_assert_msg(ntc_entry_part_path(entry, "lib.so", &path) == NTC_OK, "%s", ntc_last_error());
	ck_assert_int_eq(strncmp(path, dir, strlen(dir)), 0);
	assert_file(path, "second");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	ck_assert_int_eq(ntc_entry_part_path(entry, "z.txt", &again), NTC_OK);
	assert_file(again, "last");
	free(again);
	ck_assert_int_eq(ntc_entry_part_path(entry, "none", &again), NTC_E_NO_PART);
	ck_assert_ptr_null(again);
	/* Somebody changes it, shortens it, removes it, makes it a link: mended each time. */
	for (int how = 0; how < 4; how++) {
		if (how == 0)
			write_file(path, "sEcond");
		else if (how == 1)
			write_file(path, "sec");
		else
			ck_assert_int_eq(unlink(path), 0);
		if (how == 3)
			ck_assert_int_eq(symlink("/etc/passwd", path), 0);
		ck_assert_msg(ntc_entry_part_path(entry, "lib.so", &again) == NTC_OK, "%s", ntc_last_error());
		ck_assert_str_eq(path, again);
		assert_file(path, "second");
		free(again);
	}
	ck_assert_uint_eq(count_in(dir, ".new-"), 0);
	/* A file where the directory should be. */
	snprintf(whole, sizeof(whole), "rm -rf $(dirname %s) && touch $(dirname %s)", path, path);
	ck_assert_int_eq(shell(whole), 0);
	ck_assert_msg(ntc_entry_part_path(entry, "lib.so", &again) == NTC_OK, "%s", ntc_last_error());
	assert_file(path, "second");
	free(again);
	free(path);
	ntc_entry_unref(entry);
}
END_TEST

START_TEST(test_part_path_race)
{
	struct ntc_entry *entry = entry_of(1, "second");
	pid_t pids[8];

	for (int i = 0; i < 8; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			for (int round = 0; round < 30; round++) {
				char *path, buf[8] = "";
				int fd;

				if (ntc_entry_part_path(entry, "lib.so", &path))
					_exit(1);
				fd = open(path, O_RDONLY);
				if (fd < 0 || read(fd, buf, 7) != 6 || strcmp(buf, "second") != 0)
					_exit(2);
				close(fd);
				/* One of them damages it between, by a rename, as an editor does. */
				if (i == 0 && round % 3 == 0) {
					char other[256];

					snprintf(other, sizeof(other), "%s.bad", path);
					fd = open(other, O_WRONLY | O_CREAT, 0700);
					if (fd >= 0 && write(fd, "second", 6) == 6 && ftruncate(fd, 6) == 0)
						(void)rename(other, path);
					close(fd);
				}
				free(path);
			}
			_exit(0);
		}
	}
	for (int i = 0; i < 8; i++) {
		int status;

		ck_assert_int_eq(waitpid(pids[i], &status, 0), pids[i]);
		ck_assert_int_eq(status, 0);
	}
	ck_assert_uint_eq(count_in(dir, ".new-"), 0);
	ntc_entry_unref(entry);
}
END_TEST

START_TEST(test_part_path_of_others)
{
	struct ntc_entry *entry = entry_of(1, "second");
	char *path, below[300];

	chmod(dir, 0777);
	ck_assert_int_eq(ntc_entry_part_path(entry, "lib.so", &path), NTC_E_IO);
	ck_assert_ptr_nonnull(strstr(ntc_last_error(), "alone"));
	chmod(dir, 0700);
	setenv("NTCACHE_PARTS", "relative", 1);
	ck_assert_int_eq(ntc_entry_part_path(entry, "lib.so", &path), NTC_E_IO);
	unsetenv("NTCACHE_PARTS");
	setenv("XDG_CACHE_HOME", dir, 1);
	ck_assert_int_eq(ntc_entry_part_path(entry, "lib.so", &path), NTC_OK);
	snprintf(below, sizeof(below), "%s/ntcache/parts/", dir);
	ck_assert_int_eq(strncmp(path, below, strlen(below)), 0);
	free(path);
	/* What a killed writer left an hour ago is swept when something is written; younger ones are not. */
	snprintf(below, sizeof(below),
		 "cd %s/ntcache/parts && mkdir .new-old .new-young && touch .new-old/x && "
		 "touch -d '2 hours ago' .new-old && rm -rf [0-9a-f]*-*",
		 dir);
	ck_assert_int_eq(shell(below), 0);
	ck_assert_int_eq(ntc_entry_part_path(entry, "lib.so", &path), NTC_OK);
	free(path);
	snprintf(below, sizeof(below), "%s/ntcache/parts", dir);
	ck_assert_uint_eq(count_in(below, ".new-"), 1);
	ntc_entry_unref(entry);
}
END_TEST

/* --- the header --------------------------------------------------------------------------- */

/* Every NTC_API function of the header is in the version map, and nothing else. */
START_TEST(test_version_map)
{
	size_t len;
	char *header = ntc_test_source_file("client/ntcache.h", &len);
	char *map = ntc_test_source_file("client/ntcache.map", &len);
	unsigned declared = 0, exported = 0;

	for (char *at = header; (at = strstr(at, "\nNTC_API ")); at++) {
		char *end = strchr(at, '('), *start = end, line[200];

		while (start[-1] == '_' || (start[-1] >= '0' && start[-1] <= '9') ||
		       (start[-1] >= 'a' && start[-1] <= 'z'))
			start--;
		snprintf(line, sizeof(line), "\n\t%.*s;\n", (int)(end - start), start);
		ck_assert_msg(strstr(map, line), "not exported:%s", line);
		declared++;
	}
	for (char *at = map; (at = strstr(at, "\tntc_")); at++)
		exported++;
	ck_assert_uint_eq(declared, exported);
	ck_assert_uint_gt(declared, 60);
	free(header);
	free(map);
}
END_TEST

START_TEST(test_header_alone)
{
	const char *root = getenv("NTC_TEST_ROOT");
	char command[512];

	if (!root)
		root = ".";
	snprintf(command, sizeof(command),
		 "echo '#include <ntcache.h>' | cc -std=c99 -Wall -Wextra -Werror -pedantic "
		 "-fsyntax-only -I%s/client -I%s/proto -x c -",
		 root, root);
	ck_assert_int_eq(shell(command), 0);
	/* Where there is no C++ compiler this cannot be seen. */
	if (shell("command -v c++ >/dev/null 2>&1") != 0)
		return;
	snprintf(command, sizeof(command),
		 "printf '#include <ntcache.h>\\nint main() { ntc_options o = NTC_OPTIONS_INIT; "
		 "ntc_acquire_options a = "
		 "NTC_ACQUIRE_OPTIONS_INIT; ntc_client *c; return ntc_open(&o, &c) != NTC_OK || a.width; "
		 "}\\n' | "
		 "c++ -std=c++17 -Wall -Wextra -Werror -fsyntax-only -I%s/client -I%s/proto -x c++ -",
		 root, root);
	ck_assert_int_eq(shell(command), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client_entry");
	TCase *tc = tcase_create("entry");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_build);
	tcase_add_test(tc, test_refused);
	tcase_add_test(tc, test_image);
	tcase_add_test(tc, test_part_path);
	tcase_add_test(tc, test_part_path_race);
	tcase_add_test(tc, test_part_path_of_others);
	tcase_add_test(tc, test_version_map);
	tcase_add_test(tc, test_header_alone);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
