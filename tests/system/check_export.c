/* Bundles through ntcache-ctl: round trips, filters, pipes, damage, and what killed ones leave. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/bundle.h"
#include "tests/support/harness.h"
#include "tests/support/making.h"

#define LIMIT_MS 20000

static struct ntc_test_daemon a, b = { .name = "other" };
static struct ntc_test_output o;

static void setup(void)
{
	ntc_test_setup();
	a = (struct ntc_test_daemon){ 0 };
	b = (struct ntc_test_daemon){ .name = "other" };
	ntc_test_start(&a, NULL);
	ntc_test_start(&b, NULL);
}

static void teardown(void)
{
	ntc_test_output_clear(&o);
	ntc_test_teardown();
}

/* On the first daemon, or on the second. */
#define RUN(...) \
	(ntc_test_output_clear(&o), ntc_test_command(&o, ntc_test_ms(LIMIT_MS), "ntcache-ctl", __VA_ARGS__, NULL))
#define RUN_B(...) RUN("--socket", b.socket, __VA_ARGS__)
/* A line for the shell, in which $ctl is ntcache-ctl and $b the second daemon's socket, $dir the private directory. */
#define SHELL(line) \
	(ntc_test_output_clear(&o), setenv("ctl", ntc_test_built("bin/ntcache-ctl"), 1), setenv("b", b.socket, 1), \
	 setenv("dir", ntc_test_dir(), 1), \
	 ntc_test_command(&o, ntc_test_ms(LIMIT_MS), "/bin/sh", "-c", line, NULL))
#define ck_out(part) ck_assert_msg(strstr(o.out, part), "no '%s' in:\n%s%s", part, o.out, o.err)
#define ck_err(part) ck_assert_msg(strstr(o.err, part), "no '%s' in:\n%s", part, o.err)
#define ck_code(expected) ck_assert_msg(o.code == (expected), "exit %d: %s%s", o.code, o.out, o.err)

/* Entries from..to-1 of making.h, put into the daemon at `socket`. */
static void put(const char *socket, uint64_t from, uint64_t to)
{
	struct ntc_client *client = making_client(socket);

	for (uint64_t i = from; i < to; i++) {
		struct ntc_key *key = making_key(i);
		struct ntc_entry *entry = making_entry(key, i);

		ck_assert_msg(ntc_put(client, NULL, entry, 1000 * (i + 1)) >= 0, "%s", ntc_last_error());
		ntc_entry_unref(entry);
		ntc_key_free(key);
	}
	ck_assert_int_eq(ntc_sync(client, LIMIT_MS), NTC_OK);
	ntc_close(client);
}

/* An entry with fields to be selected by; of `size` bytes that do not compress. */
static void put_named(enum ntc_kind kind, const char *name, const char *producer, size_t size)
{
	struct ntc_key *key = ntc_key_new(kind), *notes = ntc_key_new(kind);
	struct ntc_client *client = making_client(NULL);
	struct ntc_part_data part = { "binary", malloc(size ? size : 1), size };
	struct ntc_entry *entry;
	uint64_t x = size;

	for (size_t i = 0; i < size; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		((uint8_t *)part.data)[i] = (uint8_t)(x >> 56);
	}
	ntc_key_add_string(key, "program", name, strlen(name));
	ntc_key_add_uint(key, "size", size);
	ck_assert_int_eq(ntc_key_seal(key), NTC_OK);
	ntc_key_add_string(notes, "producer", producer, strlen(producer));
	ck_assert_int_eq(ntc_key_seal(notes), NTC_OK);
	ck_assert_int_eq(ntc_entry_new(key, notes, &part, 1, &entry), NTC_OK);
	ck_assert_msg(ntc_put(client, NULL, entry, 1) >= 0, "%s", ntc_last_error());
	ck_assert_int_eq(ntc_sync(client, LIMIT_MS), NTC_OK);
	ntc_entry_unref(entry);
	ntc_key_free(key);
	ntc_key_free(notes);
	ntc_close(client);
	free((void *)part.data);
}

struct bytes {
	uint8_t *p;
	size_t len;
};

static struct bytes contents(const char *path)
{
	struct bytes bytes;
	FILE *f = fopen(path, "rb");
	struct stat st;

	ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(fstat(fileno(f), &st), 0);
	bytes.len = (size_t)st.st_size;
	bytes.p = malloc(bytes.len + 1);
	ck_assert_uint_eq(fread(bytes.p, 1, bytes.len, f), bytes.len);
	fclose(f);
	return bytes;
}

static void write_file(const char *path, const uint8_t *p, size_t len)
{
	FILE *f = fopen(path, "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(p, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
}

static void ck_same(const char *one, const char *two)
{
	struct bytes x = contents(one), y = contents(two);

	ck_assert_msg(x.len == y.len && memcmp(x.p, y.p, x.len) == 0, "%s and %s differ", one, two);
	free(x.p);
	free(y.p);
}

static unsigned count_right(const char *socket, uint64_t from, uint64_t to)
{
	struct ntc_client *client = making_client(socket);
	unsigned right = 0;

	for (uint64_t i = from; i < to; i++) {
		struct ntc_key *key = making_key(i);
		struct ntc_entry *entry;

		right += ntc_lookup(client, key, LIMIT_MS, &entry) == NTC_OK && making_right(entry, i);
		ntc_entry_unref(entry);
		ntc_key_free(key);
	}
	ntc_close(client);
	return right;
}

/* --- there and back ----------------------------------------------------------------------- */

START_TEST(test_round_trip)
{
	const char *one = ntc_test_path("one.zst"), *two = ntc_test_path("two.zst"), *back = ntc_test_path("back.zst");

	put(NULL, 0, 700);
	put_named(NTC_KIND_LIBRARY, "large", "nvcc 13.0", 3 << 20);
	put_named(NTC_KIND_SOURCE, "empty", "", 0);
	RUN("export", one);
	ck_code(0);
	ck_out("exported 702 entries");
	RUN("export", two);
	ck_same(one, two);
	RUN_B("import", one);
	ck_code(0);
	ck_out("702 new, 0 known, 0 refused");
	ck_assert_uint_eq(count_right(b.socket, 0, 700), 700);
	/* Every digest, body and stamp. */
	RUN_B("export", back);
	ck_same(one, back);
	RUN_B("import", one);
	ck_code(0);
	ck_out("0 new, 702 known, 0 refused");
	/* zstd reads it: the images, one behind the other. */
	SHELL("command -v zstd >/dev/null || exit 0; zstd -qt \"$dir/one.zst\"");
	ck_code(0);
}
END_TEST

START_TEST(test_empty)
{
	const char *file = ntc_test_path("empty.zst");
	struct stat st;

	RUN("export", file);
	ck_code(0);
	ck_out("exported 0 entries");
	ck_assert_int_eq(stat(file, &st), 0);
	ck_assert_int_eq(st.st_size, 2 * NTC_BUNDLE_MARK);
	RUN_B("import", file);
	ck_code(0);
	ck_out("0 new, 0 known, 0 refused");
}
END_TEST

/* The same entries, put at other times by other processes, give the same bytes without their stamps. */
START_TEST(test_without_stamps)
{
	const char *one = ntc_test_path("one.zst"), *two = ntc_test_path("two.zst");

	put(NULL, 0, 50);
	put(b.socket, 0, 50);
	RUN("export", one);
	RUN_B("export", two);
	SHELL("cmp -s \"$dir/one.zst\" \"$dir/two.zst\"");
	ck_code(1);
	RUN("export", "--no-stamps", one);
	RUN_B("export", "--no-stamps", two);
	ck_same(one, two);
	/* The daemon makes them anew. */
	RUN_B("rm", "--all", "--yes");
	ck_code(0);
	RUN_B("import", one);
	ck_out("50 new");
	RUN_B("export", ntc_test_path("three.zst"));
	RUN_B("ls", "--json");
	ck_out("\"cost_ns\": 0");
	ck_assert(!strstr(o.out, "\"cost_ns\": 1000"));
}
END_TEST

START_TEST(test_selected)
{
	static const struct {
		const char *option, *value, *says;
	} cases[] = {
		{ "--kind", "kernel", "exported 3 entries" },
		{ "--kind", "library", "exported 1 entry:" },
		{ "--name", "mat*", "exported 2 entries" },
		{ "--name", "mat", "exported 0 entries" },
		{ "--producer", "nvrtc*", "exported 2 entries" },
		{ "--user", "4294967294", "exported 0 entries" },
		{ "--since", "1h", "exported 5 entries" },
		{ "--since", "2199-01-01", "exported 0 entries" },
		{ "--field", "size=10", "exported 1 entry:" },
		{ "--field", "program~mat", "exported 2 entries" },
	};
	char uid[16];

	snprintf(uid, sizeof(uid), "%u", (unsigned)getuid());
	put_named(NTC_KIND_KERNEL, "matmul", "nvrtc 13.0", 10);
	put_named(NTC_KIND_KERNEL, "matadd", "nvrtc 12.9", 20);
	put_named(NTC_KIND_KERNEL, "softmax", "triton", 30);
	put_named(NTC_KIND_SOURCE, "text", "", 40);
	put_named(NTC_KIND_LIBRARY, "lib", "nvcc 13.0", 50);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		RUN("export", cases[i].option, cases[i].value, ntc_test_path("%zu.zst", i));
		ck_code(0);
		ck_out(cases[i].says);
	}
	RUN("export", "--user", uid, "--kind", "kernel", "--producer", "nvrtc*", "--field", "size=20", ntc_test_path("all.zst"));
	ck_out("exported 1 entry:");
	RUN_B("import", ntc_test_path("all.zst"));
	ck_out("1 new");
	RUN("export", "--since", "yesterday", ntc_test_path("x.zst"));
	ck_code(2);
	RUN("export", "--user", "nobody-of-that-name", ntc_test_path("x.zst"));
	ck_code(2);
	RUN("export");
	ck_code(2);
	RUN("export", "a", "b");
	ck_code(2);
}
END_TEST

START_TEST(test_pipe)
{
	put(NULL, 0, 300);
	SHELL("\"$ctl\" export - | cat | \"$ctl\" --socket \"$b\" import --json -");
	ck_code(0);
	ck_out("\"new\": 300");
	ck_out("\"whole\": true");
	ck_err("exported 300 entries"); /* not into the bundle */
	ck_assert_uint_eq(count_right(b.socket, 0, 300), 300);
	/* A pipe that ends early. */
	SHELL("\"$ctl\" export - | head -c 100000 | \"$ctl\" --socket \"$b\" import -");
	ck_code(4);
	ck_err("cut short");
	SHELL("\"$ctl\" --socket \"$b\" import - </dev/null");
	ck_code(4);
	ck_err("no bundle");
	SHELL("\"$ctl\" export - >/dev/full");
	ck_code(4);
	RUN("export", ntc_test_path("no/such/directory.zst"));
	ck_code(4);
	RUN_B("import", ntc_test_path("nothing.zst"));
	ck_code(4);
}
END_TEST

/* --- damage ------------------------------------------------------------------------------- */

#define SMALL 9

/* What an import of these bytes says. Everything in it is known to the second daemon. */
struct outcome {
	int code;
	json_int_t known, fresh, refused, damaged;
	bool whole;
	size_t told;
};

static struct outcome import_bytes(const uint8_t *p, size_t len)
{
	const char *file = ntc_test_path("damaged.zst");
	struct outcome outcome = { 0 };
	json_error_t error;
	json_t *json;

	write_file(file, p, len);
	RUN_B("import", "--json", file);
	json = json_loads(o.out, 0, &error);
	ck_assert_msg(json != NULL, "exit %d: %s%s", o.code, o.out, o.err);
	outcome.code = o.code;
	outcome.known = json_integer_value(json_object_get(json, "known"));
	outcome.fresh = json_integer_value(json_object_get(json, "new"));
	outcome.refused = json_integer_value(json_object_get(json, "refused"));
	outcome.damaged = json_integer_value(json_object_get(json, "damaged"));
	outcome.whole = json_is_true(json_object_get(json, "whole"));
	outcome.told = json_array_size(json_object_get(json, "refusals"));
	json_decref(json);
	return outcome;
}

START_TEST(test_flipped_bytes)
{
	const char *file = ntc_test_path("whole.zst");
	struct bytes bundle;
	unsigned flips = 0;

	for (unsigned i = 0; i < SMALL; i++)
		put_named(NTC_KIND_KERNEL, i % 2 ? "odd" : "even", "by hand", i * 60);
	RUN("export", file);
	ck_code(0);
	RUN_B("import", file);
	ck_code(0);
	bundle = contents(file);
	/* A prime: every part of a mark and of a frame has its turn. */
	for (size_t at = 0; at < bundle.len; at += 29, flips++) {
		bool head = at < NTC_BUNDLE_MARK, tail = at >= bundle.len - NTC_BUNDLE_MARK;
		struct outcome outcome;

		bundle.p[at] ^= (uint8_t)(1u << at % 8);
		outcome = import_bytes(bundle.p, bundle.len);
		bundle.p[at] ^= (uint8_t)(1u << at % 8);
		ck_assert_msg(outcome.code == 4 && outcome.told == 1, "byte %zu: exit %d, %zu told", at, outcome.code,
			      outcome.told);
		ck_assert_msg(outcome.known == SMALL - (head || tail ? 0 : 1), "byte %zu: %d known", at, (int)outcome.known);
		ck_assert_msg(outcome.damaged == (head || tail ? 0 : 1), "byte %zu", at);
		ck_assert_msg(outcome.fresh == 0 && outcome.refused == 0 && outcome.whole == !tail, "byte %zu", at);
	}
	ck_assert_uint_gt(flips, 100);
	free(bundle.p);
}
END_TEST

START_TEST(test_cut_files)
{
	const char *file = ntc_test_path("whole.zst");
	struct bytes bundle;
	json_int_t before = 0;

	put(NULL, 0, 6);
	RUN("export", file);
	RUN_B("import", file);
	bundle = contents(file);
	for (size_t len = 0; len < bundle.len; len += 97) {
		struct outcome outcome = import_bytes(bundle.p, len);

		ck_assert_msg(outcome.code == 4 && !outcome.whole && outcome.told == 1, "%zu bytes: exit %d", len, outcome.code);
		ck_assert(outcome.known >= before && outcome.damaged == 0);
		before = outcome.known;
	}
	ck_assert_int_ge(before, 5);
	/* With something behind it. */
	bundle.p = realloc(bundle.p, bundle.len + 3);
	memcpy(bundle.p + bundle.len, "abc", 3);
	ck_assert_int_eq(import_bytes(bundle.p, bundle.len + 3).code, 4);
	ck_assert_int_eq(import_bytes(bundle.p, bundle.len + 3).known, 6);
	free(bundle.p);
}
END_TEST

/* A mark that speaks well of a frame that holds something else. */
START_TEST(test_lying_marks)
{
	const char *file = ntc_test_path("whole.zst");
	struct ntc_bundle_mark mark;
	struct bytes bundle;
	struct outcome outcome;

	put(NULL, 0, 3);
	RUN("export", file);
	RUN_B("import", file);
	bundle = contents(file);
	ck_assert(ntc_bundle_mark_read(bundle.p + NTC_BUNDLE_MARK, &mark));
	for (unsigned i = 0; i < 5; i++) {
		struct ntc_bundle_mark lie = mark;

		if (i == 0)
			lie.digest.bytes[15] ^= 1;
		else if (i == 1)
			lie.image += 64;
		else if (i == 2)
			lie.image = 1 << 30;
		else if (i == 3)
			lie.packed -= 1; /* cuts the frame; what follows is found again */
		lie.seal = ntc_bundle_seal(ntc_view(bundle.p + 2 * NTC_BUNDLE_MARK, (size_t)lie.packed));
		/* A flipped bit of the frame that zstd does not care about: the bundle is damaged nevertheless. */
		if (i == 4)
			lie.seal.bytes[7] ^= 1;
		ntc_bundle_mark_write(&lie, bundle.p + NTC_BUNDLE_MARK);
		outcome = import_bytes(bundle.p, bundle.len);
		ck_assert_int_eq(outcome.code, 4);
		ck_assert_int_eq(outcome.known, 2);
		ck_assert_int_eq(outcome.damaged, 1);
	}
	/* Longer than it is: it swallows the next. */
	mark.packed += 50;
	mark.seal = ntc_bundle_seal(ntc_view(bundle.p + 2 * NTC_BUNDLE_MARK, (size_t)mark.packed));
	ntc_bundle_mark_write(&mark, bundle.p + NTC_BUNDLE_MARK);
	outcome = import_bytes(bundle.p, bundle.len);
	ck_assert(outcome.code == 4 && outcome.known == 1 && outcome.damaged == 2 && outcome.whole);
	free(bundle.p);
}
END_TEST

/* --- refused ------------------------------------------------------------------------------ */

START_TEST(test_refused)
{
	const char *file = ntc_test_path("both.zst");
	struct ntc_client *client = making_client(b.socket);
	struct ntc_key *key = making_key(1);
	struct ntc_part_data part = { "binary", "other", 5 };
	struct ntc_entry *entry;
	struct ntc_digest digest;
	char text[NTC_DIGEST_TEXT_SIZE];

	put(NULL, 0, 3);
	put_named(NTC_KIND_KERNEL, "large", "", 100000);
	RUN("export", file);
	ntc_test_stop(&b);
	ntc_test_start(&b, "--max-entry", "64K", NULL);
	/* Another result of key 1 is there. */
	ck_assert_int_eq(ntc_entry_new(key, NULL, &part, 1, &entry), NTC_OK);
	ck_assert_int_eq(ntc_put(client, NULL, entry, 0), NTC_OK);
	RUN_B("import", file);
	ck_code(4);
	ck_out("2 new, 0 known, 1 known with other content, which stays, 1 refused");
	ck_err(": refused: ");
	ck_err("takes at most 65536");
	RUN("ls", "--quiet", "--field", "program=large");
	ck_assert_uint_eq(o.out_len, NTC_DIGEST_TEXT_SIZE);
	ck_assert(ntc_digest_from_text((o.out[32] = '\0', o.out), &digest));
	snprintf(text, sizeof(text), "%s", o.out);
	RUN_B("import", "--json", file);
	ck_code(4);
	ck_out(text);
	ck_assert_str_eq(o.err, "");
	ntc_entry_unref(entry);
	ntc_key_free(key);
	ntc_close(client);
}
END_TEST

/* --- several at once, and killed ones ------------------------------------------------------- */

static int export_there(void *ctx, unsigned i)
{
	(void)i;
	/* What they say is nobody's. */
	if (!freopen("/dev/null", "w", stdout))
		return 1;
	execl(ntc_test_built("bin/ntcache-ctl"), "ntcache-ctl", "export", ctx, NULL);
	return 1;
}

/* Files of the private directory whose names begin with `name`. */
static unsigned files_named(const char *name)
{
	DIR *dir = opendir(ntc_test_dir());
	struct dirent *entry;
	unsigned count = 0;

	while ((entry = readdir(dir)))
		count += strncmp(entry->d_name, name, strlen(name)) == 0;
	closedir(dir);
	return count;
}

START_TEST(test_several_exports)
{
	char *file = strdup(ntc_test_path("same.zst"));

	put(NULL, 0, 500);
	ntc_test_children(4, export_there, file, ntc_test_ms(LIMIT_MS), NULL);
	RUN_B("import", file);
	ck_code(0);
	ck_out("500 new");
	ck_assert_uint_eq(files_named("same.zst"), 1);
	free(file);
}
END_TEST

/* Whether the process writes to a file without a name. */
static bool writes(void *ctx)
{
	char dir[64], path[512], target[512];
	struct dirent *entry;
	bool found = false;
	DIR *fds;

	snprintf(dir, sizeof(dir), "/proc/%d/fd", *(pid_t *)ctx);
	fds = opendir(dir);
	while (fds && !found && (entry = readdir(fds))) {
		ssize_t n;

		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		found = strstr(target, ntc_test_dir()) && strstr(target, "(deleted)");
	}
	if (fds)
		closedir(fds);
	return found;
}

START_TEST(test_killed_export)
{
	static const int signals[] = { SIGKILL, SIGINT, SIGTERM };
	char *file = strdup(ntc_test_path("killed.zst"));

	for (unsigned i = 0; i < 12; i++)
		put_named(NTC_KIND_LIBRARY, "large", "", (8 << 20) + i);
	write_file(file, (const uint8_t *)"old", 3);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct ntc_test_group group = { 0 };
		struct bytes now;
		int code;

		ntc_test_spawn(&group, 1, export_there, file);
		ntc_test_release(&group);
		ck_assert(ntc_test_until(ntc_test_ms(LIMIT_MS), writes, &group.pids[0]));
		ck_assert_int_eq(kill(group.pids[0], signals[i]), 0);
		ntc_test_collect(&group, LIMIT_MS, &code);
		ck_assert_int_eq(code, 128 + signals[i]);
		/* What was there is there, and nothing else. */
		ck_assert_uint_eq(files_named("killed.zst"), 1);
		now = contents(file);
		ck_assert_uint_eq(now.len, 3);
		free(now.p);
	}
	free(file);
}
END_TEST

static int import_fifo(void *ctx, unsigned i)
{
	(void)i;
	if (!freopen("/dev/null", "w", stdout))
		return 1;
	execl(ntc_test_built("bin/ntcache-ctl"), "ntcache-ctl", "--socket", b.socket, "import", ctx, NULL);
	return 1;
}

static bool some_are_there(void *ctx)
{
	(void)ctx;
	RUN_B("ls", "--quiet");
	return o.out_len >= 100 * NTC_DIGEST_TEXT_SIZE;
}

/* What it took in stays, and the next import brings the rest. */
START_TEST(test_killed_import)
{
	char *fifo = strdup(ntc_test_path("fifo"));
	const char *file = ntc_test_path("whole.zst");
	struct ntc_test_group group = { 0 };
	struct bytes bundle;
	int code, fd;

	put(NULL, 0, 800);
	RUN("export", file);
	bundle = contents(file);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	ntc_test_spawn(&group, 1, import_fifo, fifo);
	ntc_test_release(&group);
	fd = open(fifo, O_WRONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	/* As much as makes it send something, and wait for more. */
	for (size_t at = 0; at < bundle.len / 2;) {
		ssize_t n = write(fd, bundle.p + at, bundle.len / 2 - at);

		ck_assert_int_gt(n, 0);
		at += (size_t)n;
	}
	ck_assert(ntc_test_until(ntc_test_ms(LIMIT_MS), some_are_there, NULL));
	ck_assert_int_eq(kill(group.pids[0], SIGKILL), 0);
	ntc_test_collect(&group, LIMIT_MS, &code);
	close(fd);
	RUN_B("verify");
	ck_code(0);
	RUN_B("import", file);
	ck_code(0);
	ck_assert_uint_eq(count_right(b.socket, 0, 800), 800);
	RUN_B("export", ntc_test_path("back.zst"));
	ck_same(file, ntc_test_path("back.zst"));
	free(bundle.p);
	free(fifo);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("export");
	TCase *tc = tcase_create("export");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, test_round_trip);
	tcase_add_test(tc, test_empty);
	tcase_add_test(tc, test_without_stamps);
	tcase_add_test(tc, test_selected);
	tcase_add_test(tc, test_pipe);
	tcase_add_test(tc, test_flipped_bytes);
	tcase_add_test(tc, test_cut_files);
	tcase_add_test(tc, test_lying_marks);
	tcase_add_test(tc, test_refused);
	tcase_add_test(tc, test_several_exports);
	tcase_add_test(tc, test_killed_export);
	tcase_add_test(tc, test_killed_import);
	suite_add_tcase(suite, tc);
	return ntc_test_run(suite);
}
