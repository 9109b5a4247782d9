/* Identities of files, finding NVRTC, and running commands in directories of their own. */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "kernels/buildid.h"
#include "kernels/command.h"
#include "kernels/find.h"
#include "kernels/memory.h"
#include "kernels/nvcc.h"
#include "kernels/workdir.h"

static char root[] = "/tmp/ntc-files-XXXXXX";
static char path[512];

static const char *in_root(const char *name)
{
	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

static void put(const char *name, const char *text)
{
	FILE *file;
	char *whole = strdup(in_root(name));

	for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(whole, 0755);
		*slash = '/';
	}
	file = fopen(whole, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(text, file), 0);
	ck_assert_int_eq(fclose(file), 0);
	free(whole);
}

/* Run a shell script, which has to end well. */
static void sh(const char *script)
{
	char *words[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
	char *environment[] = { (char *)"PATH=/usr/local/bin:/usr/bin:/bin", NULL };
	struct ntc_command command = { "/bin/sh", words, environment, root, 60 * NTC_NS_PER_S, NULL, NULL };
	struct ntc_command_result result;

	ntc_command_run(&command, &result);
	ck_assert_int_eq(result.end, NTC_COMMAND_EXITED);
	ck_assert_int_eq(result.status, 0);
	free(result.log);
}

static void setup(void)
{
	(void)memcpy(root + strlen(root) - 6, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(root));
	ck_assert_int_eq(setenv("XDG_CACHE_HOME", root, 1), 0);
	unsetenv("NTCACHE_NVRTC");
}

static void teardown(void)
{
	char command[600];

	(void)snprintf(command, sizeof(command), "chmod -R u+rwx %s; rm -rf %s", root, root);
	sh(command);
}

/* Make a file look as if it had been there for long: its ctime can't be set, so wait for it in the past. */
static bool settled(const char *file)
{
	struct stat st;

	return stat(file, &st) == 0 && time(NULL) - st.st_ctim.tv_sec > 3;
}

static void run_shell(const char *script, uint64_t limit_ns, struct ntc_command_result *result)
{
	char *words[] = { (char *)"sh", (char *)"-c", (char *)script, NULL }, *environment[] = { (char *)"ONLY=this", NULL };
	struct ntc_command command = { "/bin/sh", words, environment, root, limit_ns, NULL, NULL };

	ntc_command_run(&command, result);
}

/* --- identities --------------------------------------------------------------------------- */

START_TEST(build_ids_are_what_readelf_says)
{
	static const char *const files[] = { "/proc/self/exe", "/bin/sh", "/usr/bin/gcc", "/usr/bin/ld", "/bin/ls",
					     "/usr/local/cuda/lib64/libnvrtc.so" };
	char identity[NTC_IDENTITY_SIZE], *real, *expected;
	struct ntc_command_result result;
	size_t compared = 0;

	for (size_t i = 0; i < NTC_COUNT(files); i++) {
		char script[600];

		real = realpath(files[i], NULL);
		if (!real)
			continue;
		(void)snprintf(script, sizeof(script), "/usr/bin/readelf -n '%s' 2>/dev/null", real);
		run_shell(script, 60 * NTC_NS_PER_S, &result);
		ck_assert(ntc_identity_of_file(files[i], identity));
		expected = strstr(result.log, "Build ID: ");
		if (expected) {
			expected += strlen("Build ID: ");
			expected[strcspn(expected, "\n")] = '\0';
			ck_assert_int_eq(strncmp(identity, "build-id:", 9), 0);
			ck_assert_str_eq(identity + 9, expected);
			compared++;
		}
		free(result.log);
		free(real);
	}
	ck_assert_uint_ge(compared, 2);
}
END_TEST

START_TEST(a_file_without_build_id_is_its_content)
{
	char identity[NTC_IDENTITY_SIZE], other[NTC_IDENTITY_SIZE];

	put("abc", "abc");
	ck_assert(ntc_identity_of_file(in_root("abc"), identity));
	ck_assert_str_eq(identity, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	/* Written again within the same moment, same size: it must not be remembered. */
	put("abc", "abd");
	ck_assert(ntc_identity_of_file(in_root("abc"), other));
	ck_assert_str_ne(identity, other);
	ck_assert(!ntc_identity_of_file(in_root("none"), identity));
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_str_eq(identity, "");
	ck_assert(!ntc_identity_of_file(root, identity));
	ck_assert_int_eq(errno, EISDIR);
	/* Something that begins as ELF does and is none. */
	put("elf", "\177ELF\2\1\1 and then nothing that makes sense");
	ck_assert(ntc_identity_of_file(in_root("elf"), identity));
	ck_assert_int_eq(strncmp(identity, "sha256:", 7), 0);
}
END_TEST

START_TEST(a_directory_is_all_its_files)
{
	char first[NTC_IDENTITY_SIZE], second[NTC_IDENTITY_SIZE], flat[NTC_IDENTITY_SIZE];

	put("d/a", "1");
	put("d/sub/b", "2");
	ck_assert(ntc_identity_of_directory(in_root("d"), true, first));
	ck_assert(ntc_identity_of_directory(in_root("d"), false, flat));
	put("d/sub/b", "3");
	ck_assert(ntc_identity_of_directory(in_root("d"), true, second));
	ck_assert_str_ne(first, second);
	ck_assert(ntc_identity_of_directory(in_root("d"), false, second));
	ck_assert_str_eq(flat, second);
	put("d/c", "1");
	ck_assert(ntc_identity_of_directory(in_root("d"), false, second));
	ck_assert_str_ne(flat, second);
	ck_assert(!ntc_identity_of_directory(in_root("none"), true, first));
}
END_TEST

struct lines {
	size_t count;
	struct ntc_memory_line last;
};

static void take(void *ctx, const struct ntc_memory_line *line)
{
	struct lines *lines = ctx;

	lines->count++;
	lines->last = *line;
}

START_TEST(hashes_are_remembered_across_processes)
{
	struct ntc_memory_line line = { 1, 2, 3, 4, 5, "sha256:00" };
	struct lines lines = { 0 };
	static const char torn[] = "NTC1 1 2 3\nNTC1 9 2 3 4 5 sha256:00 0123456789abcdef\n";
	int fd;

	ntc_memory_append(&line);
	line.dev = UINT64_MAX;
	ntc_memory_append(&line);
	ntc_memory_read(take, &lines);
	ck_assert_uint_eq(lines.count, 2);
	ck_assert_uint_eq(lines.last.dev, UINT64_MAX);
	ck_assert_str_eq(lines.last.identity, "sha256:00");
	/* A torn line, and one that was changed, are passed over; what follows is not. */
	fd = open(in_root("ntcache/tools"), O_WRONLY | O_APPEND);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_gt(write(fd, torn, sizeof(torn) - 1), 0);
	close(fd);
	line.dev = 7;
	ntc_memory_append(&line);
	lines.count = 0;
	ntc_memory_read(take, &lines);
	ck_assert_uint_eq(lines.count, 3);
	ck_assert_uint_eq(lines.last.dev, 7);
	/* Somebody else may write it: not believed. */
	ck_assert_int_eq(chmod(in_root("ntcache/tools"), 0666), 0);
	lines.count = 0;
	ntc_memory_read(take, &lines);
	ck_assert_uint_eq(lines.count, 0);
}
END_TEST

START_TEST(a_remembered_hash_is_used)
{
	/* Any old file without a build-id that is large enough; what is remembered is made wrong to see it used. */
	static const char *const files[] = { "/usr/lib/x86_64-linux-gnu/libc.a", "/usr/share/perl/5.36.0/perl5db.pl",
					     "/usr/local/cuda/bin/ptxas", "/usr/share/i18n/locales/iso14651_t1_common" };
	char identity[NTC_IDENTITY_SIZE];
	struct lines lines = { 0 };
	size_t i = 0;

	while (i < NTC_COUNT(files) && !settled(files[i]))
		i++;
	if (i == NTC_COUNT(files))
		return;
	ck_assert(ntc_identity_of_file(files[i], identity));
	ntc_memory_read(take, &lines);
	ck_assert_uint_eq(lines.count, 1);
	ck_assert_str_eq(lines.last.identity, identity);
	memset(lines.last.identity + 7, '0', 8);
	ntc_memory_append(&lines.last);
	ntc_identity_forget();
	ck_assert(ntc_identity_of_file(files[i], identity));
	ck_assert_str_eq(identity, lines.last.identity);
}
END_TEST

/* --- finding ------------------------------------------------------------------------------ */

START_TEST(the_newest_with_its_builtins)
{
	struct ntc_nvrtc_files files;

	put("lib/libnvrtc.so.12", "");
	ck_assert(!ntc_find_nvrtc_in(in_root("lib"), &files));
	put("lib/libnvrtc-builtins.so.12.4", "");
	put("lib/libnvrtc-builtins.so.12.9", "");
	put("lib/libnvrtc-builtins.so.13.0", "");
	ck_assert(ntc_find_nvrtc_in(in_root("lib"), &files));
	ck_assert_str_eq(files.library, in_root("lib/libnvrtc.so.12"));
	ck_assert_str_eq(files.builtins, in_root("lib/libnvrtc-builtins.so.12.9"));
	ntc_nvrtc_files_release(&files);
	/* A link is followed, and the real name says which builtins. */
	put("lib/libnvrtc.so.12.4.127", "");
	ck_assert_int_eq(unlink(in_root("lib/libnvrtc.so.12")), 0);
	ck_assert_int_eq(symlink("libnvrtc.so.12.4.127", in_root("lib/libnvrtc.so.12")), 0);
	put("lib/libnvrtc.alt.so.99", "");
	put("lib/libnvrtc.so.99.txt", "");
	ck_assert(ntc_find_nvrtc_in(in_root("lib"), &files));
	ck_assert_str_eq(files.library, in_root("lib/libnvrtc.so.12.4.127"));
	ck_assert_str_eq(files.builtins, in_root("lib/libnvrtc-builtins.so.12.4"));
	ntc_nvrtc_files_release(&files);
	put("lib/libnvrtc.so.13", "");
	ck_assert(ntc_find_nvrtc_in(in_root("lib"), &files));
	ck_assert_str_eq(files.library, in_root("lib/libnvrtc.so.13"));
	ck_assert_str_eq(files.builtins, in_root("lib/libnvrtc-builtins.so.13.0"));
	ntc_nvrtc_files_release(&files);
}
END_TEST

START_TEST(python_packages)
{
	struct ntc_nvrtc_files files;
	char site[600];

	put("v/lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12", "");
	put("v/lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc-builtins.so.12.9", "");
	(void)snprintf(site, sizeof(site), "%s/v/lib/python*/site-packages", root);
	ck_assert(ntc_find_nvrtc_packages(site, &files));
	ck_assert_ptr_nonnull(strstr(files.library, "cuda_nvrtc/lib/libnvrtc.so.12"));
	ntc_nvrtc_files_release(&files);
	put("v/lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13", "");
	put("v/lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc-builtins.so.13.0", "");
	ck_assert(ntc_find_nvrtc_packages(site, &files));
	ck_assert_ptr_nonnull(strstr(files.library, "cu13/lib/libnvrtc.so.13"));
	ntc_nvrtc_files_release(&files);
	ck_assert(!ntc_find_nvrtc_packages("/nonexistent/*", &files));
}
END_TEST

START_TEST(named_alone)
{
	struct ntc_nvrtc_files files;
	char why[512] = "";

	put("n/libnvrtc.so.12", "");
	put("n/libnvrtc-builtins.so.12.1", "");
	setenv("NTCACHE_NVRTC", in_root("n"), 1);
	ck_assert(ntc_find_nvrtc(&files, why, sizeof(why)));
	ck_assert_str_eq(files.library, in_root("n/libnvrtc.so.12"));
	ntc_nvrtc_files_release(&files);
	setenv("NTCACHE_NVRTC", in_root("n/libnvrtc.so.12"), 1);
	ck_assert(ntc_find_nvrtc(&files, why, sizeof(why)));
	ntc_nvrtc_files_release(&files);
	/* Whatever else this machine has: only what is named counts, and the reason tells what to do. */
	put("empty/x", "");
	setenv("NTCACHE_NVRTC", in_root("empty"), 1);
	ck_assert(!ntc_find_nvrtc(&files, why, sizeof(why)));
	ck_assert_ptr_nonnull(strstr(why, "pip install nvidia-cuda-nvrtc"));
	ck_assert_ptr_nonnull(strstr(why, "NTCACHE_NVRTC"));
	setenv("NTCACHE_NVRTC", in_root("gone"), 1);
	ck_assert(!ntc_find_nvrtc(&files, why, sizeof(why)));
	ck_assert_ptr_null(files.library);
}
END_TEST

/* --- commands ----------------------------------------------------------------------------- */

START_TEST(a_command_is_run_and_heard)
{
	struct ntc_command_result result;

	setenv("SECRET", "x", 1);
	run_shell("echo $ONLY$SECRET; echo err >&2; pwd; read x || echo eof; exit 3", 10 * NTC_NS_PER_S, &result);
	ck_assert_int_eq(result.end, NTC_COMMAND_EXITED);
	ck_assert_int_eq(result.status, 3);
	ck_assert_int_eq(strncmp(result.log, "this\nerr\n/", 10), 0);
	ck_assert_ptr_nonnull(strstr(result.log, "\neof\n"));
	free(result.log);
	run_shell("kill -9 $$", 10 * NTC_NS_PER_S, &result);
	ck_assert_int_eq(result.end, NTC_COMMAND_SIGNALLED);
	ck_assert_int_eq(result.status, SIGKILL);
	free(result.log);
}
END_TEST

START_TEST(its_output_is_bounded)
{
	struct ntc_command_result result;

	run_shell("i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789012345678901234567890123456789; "
		  "i=$((i+1)); done", 20 * NTC_NS_PER_S, &result);
	ck_assert_int_eq(result.end, NTC_COMMAND_EXITED);
	ck_assert_int_eq(result.status, 0);
	ck_assert_uint_eq(result.log_len, NTC_COMMAND_LOG_MAX);
	ck_assert_uint_eq(strlen(result.log), result.log_len);
	free(result.log);
}
END_TEST

START_TEST(its_whole_group_ends)
{
	struct ntc_command_result result;
	int child = 0;

	/* A grandchild that holds the output open and would run for long. */
	run_shell("sleep 1000 & echo $!", 20 * NTC_NS_PER_S, &result);
	ck_assert_int_eq(result.end, NTC_COMMAND_EXITED);
	ck_assert_int_eq(sscanf(result.log, "%d", &child), 1);
	free(result.log);
	for (int i = 0; i < 5000 && kill(child, 0) == 0; i++) {
		char state = 'R', stat_path[64];
		FILE *file;

		/* In a container its new parent may not collect it: a dead one is enough. */
		(void)snprintf(stat_path, sizeof(stat_path), "/proc/%d/stat", child);
		file = fopen(stat_path, "r");
		if (!file || fscanf(file, "%*d %*s %c", &state) != 1 || state == 'Z')
			child = 0;
		if (file)
			fclose(file);
		if (!child)
			break;
		sched_yield();
	}
	ck_assert_msg(child == 0 || kill(child, 0) != 0, "the grandchild lives");
	run_shell("sleep 1000", 50 * NTC_NS_PER_MS, &result);
	ck_assert_int_eq(result.end, NTC_COMMAND_OVER_TIME);
	free(result.log);
}
END_TEST

START_TEST(what_cannot_run_says_so)
{
	char *words[] = { (char *)"x", NULL }, *environment[] = { NULL };
	struct ntc_command command = { "/nonexistent/x", words, environment, root, NTC_NS_PER_S, NULL, NULL };
	struct ntc_command_result result;

	ntc_command_run(&command, &result);
	ck_assert_int_eq(result.end, NTC_COMMAND_NOT_RUN);
	ck_assert_int_eq(result.status, ENOENT);
	free(result.log);
}
END_TEST

static size_t work_count(void)
{
	DIR *dir = opendir(in_root("ntcache/work"));
	struct dirent *entry;
	size_t count = 0;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

START_TEST(a_work_directory_is_private_and_goes)
{
	struct ntc_workdir dir;
	struct stat st;
	char *data, name[300];
	size_t len;

	ck_assert(ntc_workdir_make(&dir));
	ck_assert_int_eq(stat(dir.path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	ck_assert(ntc_workdir_write(&dir, "a/b/c.h", "text", 4));
	ck_assert(ntc_workdir_read(&dir, "a/b/c.h", 100, &data, &len));
	ck_assert_uint_eq(len, 4);
	free(data);
	ck_assert(!ntc_workdir_read(&dir, "a/b/c.h", 3, &data, &len));
	ck_assert_int_eq(errno, EFBIG);
	ck_assert(!ntc_workdir_read(&dir, "a", 100, &data, &len));
	ck_assert_int_eq(errno, ENOENT);
	/* A link out of the directory is no output. */
	(void)snprintf(name, sizeof(name), "%s/link", dir.in);
	ck_assert_int_eq(symlink("/etc/passwd", name), 0);
	ck_assert(!ntc_workdir_read(&dir, "link", 1 << 20, &data, &len));
	ck_assert_uint_eq(work_count(), 1);
	ntc_workdir_remove(&dir);
	ck_assert_uint_eq(work_count(), 0);
	ntc_workdir_remove(&dir);
}
END_TEST

START_TEST(what_a_killed_process_left_is_swept)
{
	struct ntc_workdir dir, next;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (!ntc_workdir_make(&dir) || !ntc_workdir_write(&dir, "x/y", "z", 1))
			_exit(1);
		raise(SIGKILL);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	ck_assert_uint_eq(work_count(), 1);
	/* Too young to be sure that nobody is about to lock it. */
	ck_assert(ntc_workdir_make(&dir));
	ck_assert_uint_eq(work_count(), 2);
	ntc_workdir_sweep_all(dir.parent);
	ck_assert_uint_eq(work_count(), 1);
	ck_assert(ntc_workdir_make(&next));
	ntc_workdir_remove(&next);
	ck_assert_int_eq(access(dir.in, F_OK), 0);
	ntc_workdir_remove(&dir);
	ck_assert_uint_eq(work_count(), 0);
}
END_TEST

START_TEST(tools_are_found_in_path)
{
	char *found, *before = strdup(getenv("PATH"));

	put("bin/tool", "#!/bin/sh\n");
	ck_assert_int_eq(chmod(in_root("bin/tool"), 0755), 0);
	put("bin/plain", "");
	setenv("PATH", in_root("bin"), 1);
	found = ntc_tool_find("tool");
	ck_assert_ptr_nonnull(found);
	ck_assert_str_eq(found, in_root("bin/tool"));
	free(found);
	ck_assert_ptr_null(ntc_tool_find("plain"));
	ck_assert_ptr_null(ntc_tool_find("none"));
	setenv("PATH", "bin:", 1);
	ck_assert_ptr_null(ntc_tool_find("tool"));
	setenv("PATH", before, 1);
	free(before);
	ck_assert(ntc_nvcc_is("/usr/local/cuda/bin/nvcc"));
	ck_assert(!ntc_nvcc_is("/usr/bin/gcc"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kernels: files");
	TCase *tcase = tcase_create("files");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, build_ids_are_what_readelf_says);
	tcase_add_test(tcase, a_file_without_build_id_is_its_content);
	tcase_add_test(tcase, a_directory_is_all_its_files);
	tcase_add_test(tcase, hashes_are_remembered_across_processes);
	tcase_add_test(tcase, a_remembered_hash_is_used);
	tcase_add_test(tcase, the_newest_with_its_builtins);
	tcase_add_test(tcase, python_packages);
	tcase_add_test(tcase, named_alone);
	tcase_add_test(tcase, a_command_is_run_and_heard);
	tcase_add_test(tcase, its_output_is_bounded);
	tcase_add_test(tcase, its_whole_group_ends);
	tcase_add_test(tcase, what_cannot_run_says_so);
	tcase_add_test(tcase, a_work_directory_is_private_and_goes);
	tcase_add_test(tcase, what_a_killed_process_left_is_swept);
	tcase_add_test(tcase, tools_are_found_in_path);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
