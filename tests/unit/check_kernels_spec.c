/* The keys of kernel specifications, and kernels made from them with the real NVRTC (skipped without one). */
#include <check.h>
#include <dlfcn.h>
#include <elf.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/clock.h"
#include "kernels/command.h"
#include "kernels/nvrtc.h"

static char root[] = "/tmp/ntc-spec-XXXXXX";

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
	ck_assert_int_eq(chdir(root), 0);
	unsetenv("NVRTC_APPEND_FLAGS");
}

static void teardown(void)
{
	char command[64];

	(void)snprintf(command, sizeof(command), "rm -rf %s", root);
	sh(command);
}

/* --- keys --------------------------------------------------------------------------------- */

/* What a test varies; every field of `base` differs from its counterpart in one of the variants. */
struct wish {
	const char *program, *arch, *arrangement, *application;
	const char *int_name;
	int64_t int_value;
	bool bool_value;
	double float_value;
	const char *string_value;
	const char *header, *header_text;
	const char *options[3], *names[3];
	int reach;
};

static const struct wish base = {
	"add", "sm_90", "int a;", "int b;", "SIZE", 1, false, 1.0, "float", "h.h", "int h;", { "-w", "-dc", NULL },
	{ "f<1>", "f<2>", NULL }, -1,
};

static struct ntc_kernel_spec *spec_of(const struct wish *w)
{
	struct ntc_kernel_spec *spec = ntc_kernel_spec_new(w->program, w->arch);
	uint8_t reach[32];

	ntc_kernel_spec_arrangement(spec, w->arrangement, strlen(w->arrangement));
	ntc_kernel_spec_application(spec, w->application, strlen(w->application));
	ntc_kernel_spec_config_int(spec, w->int_name, w->int_value);
	ntc_kernel_spec_config_bool(spec, "FLAG", w->bool_value);
	ntc_kernel_spec_config_float(spec, "SCALE", w->float_value);
	ntc_kernel_spec_config_string(spec, "DTYPE", w->string_value);
	ntc_kernel_spec_header(spec, w->header, w->header_text, strlen(w->header_text));
	for (int i = 0; i < 3 && w->options[i]; i++)
		ntc_kernel_spec_option(spec, w->options[i]);
	for (int i = 0; i < 3 && w->names[i]; i++)
		ntc_kernel_spec_name_expression(spec, w->names[i]);
	if (w->reach >= 0) {
		memset(reach, w->reach, sizeof(reach));
		ntc_kernel_spec_reach(spec, reach);
	}
	return spec;
}

static struct ntc_digest digest_of(struct ntc_kernel_spec *spec)
{
	const struct ntc_key *key;
	struct ntc_digest digest;
	enum ntc_err err = ntc_kernel_spec_key(spec, &key);

	ck_assert_msg(err == NTC_OK, "%s: %s", ntc_err_name(err), ntc_last_error());
	digest = ntc_key_digest_of(key);
	ntc_kernel_spec_free(spec);
	return digest;
}

static bool equal(struct ntc_digest a, struct ntc_digest b)
{
	return memcmp(&a, &b, sizeof(a)) == 0;
}

START_TEST(every_field_changes_the_key)
{
	struct ntc_digest seen[32];
	struct wish w;
	size_t n = 0;

	seen[n++] = digest_of(spec_of(&base));
	ck_assert(equal(seen[0], digest_of(spec_of(&base))));
#define VARY(change) \
	do { \
		w = base; \
		change; \
		seen[n++] = digest_of(spec_of(&w)); \
		for (size_t i = 0; i + 1 < n; i++) \
			ck_assert_msg(!equal(seen[i], seen[n - 1]), "%s: as number %zu", #change, i); \
	} while (0)
	VARY(w.program = "sub");
	VARY(w.arch = "sm_90a");
	VARY(w.arch = "compute_90");
	VARY(w.arrangement = "int c;");
	VARY(w.application = "int c;");
	VARY((w.arrangement = "int a;int b;", w.application = ""));
	VARY((w.arrangement = "", w.application = "int a;int b;"));
	VARY(w.int_name = "SIZE2");
	VARY(w.int_value = 2);
	VARY(w.bool_value = true);
	VARY(w.float_value = nextafter(1.0, 2.0));
	VARY(w.float_value = -1.0);
	VARY(w.float_value = 0.0);
	VARY(w.float_value = -0.0);
	VARY(w.string_value = "double");
	VARY(w.header = "i.h");
	VARY(w.header_text = "int i;");
	VARY(w.options[1] = NULL);
	VARY(w.options[2] = "-lineinfo");
	VARY((w.options[0] = "-dc", w.options[1] = "-w"));
	VARY(w.names[1] = NULL);
	VARY((w.names[0] = "f<2>", w.names[1] = "f<1>"));
	VARY(w.reach = 0);
	VARY(w.reach = 1);
#undef VARY
}
END_TEST

START_TEST(types_of_config_are_in_the_key)
{
	struct ntc_digest seen[4];

	for (int i = 0; i < 4; i++) {
		struct ntc_kernel_spec *spec = ntc_kernel_spec_new("add", "sm_90");

		switch (i) {
		case 0:
			ntc_kernel_spec_config_int(spec, "X", 1);
			break;
		case 1:
			ntc_kernel_spec_config_bool(spec, "X", true);
			break;
		case 2:
			ntc_kernel_spec_config_float(spec, "X", 1);
			break;
		default:
			ntc_kernel_spec_config_string(spec, "X", "1");
		}
		seen[i] = digest_of(spec);
		for (int k = 0; k < i; k++)
			ck_assert(!equal(seen[k], seen[i]));
	}
}
END_TEST

START_TEST(order_of_config_and_headers_does_not_matter)
{
	struct ntc_digest digests[2];

	for (int i = 0; i < 2; i++) {
		struct ntc_kernel_spec *spec = ntc_kernel_spec_new("add", "sm_90");

		for (int k = 0; k < 2; k++) {
			ntc_kernel_spec_config_int(spec, k == i ? "A" : "B", k == i);
			ntc_kernel_spec_header(spec, k == i ? "a.h" : "b.h", k == i ? "1" : "2", 1);
		}
		digests[i] = digest_of(spec);
	}
	ck_assert(equal(digests[0], digests[1]));
}
END_TEST

START_TEST(long_texts_are_their_hashes)
{
	char *text = malloc(3 << 20);
	struct ntc_digest digests[2];
	const struct ntc_key *key;

	ck_assert_ptr_nonnull(text);
	memset(text, ' ', 3 << 20);
	for (int i = 0; i < 2; i++) {
		struct ntc_kernel_spec *spec = ntc_kernel_spec_new("add", "sm_90");
		size_t len;

		text[(2 << 20) + 1] = i ? '\n' : ' ';
		ntc_kernel_spec_application(spec, text, 3 << 20);
		ntc_kernel_spec_header(spec, "h.h", text, 3 << 20);
		ck_assert_int_eq(ntc_kernel_spec_key(spec, &key), NTC_OK);
		ntc_key_bytes(key, &len);
		ck_assert_uint_lt(len, 2000);
		digests[i] = digest_of(spec);
	}
	ck_assert(!equal(digests[0], digests[1]));
	free(text);
}
END_TEST

START_TEST(surroundings_that_change_the_result_are_in_the_key)
{
	struct ntc_digest plain = digest_of(spec_of(&base)), there, here;
	struct wish w = base;

	setenv("NVRTC_APPEND_FLAGS", "-lineinfo", 1);
	ck_assert(!equal(plain, digest_of(spec_of(&base))));
	setenv("NVRTC_APPEND_FLAGS", "-Idir", 1);
	{
		struct ntc_kernel_spec *spec = spec_of(&base);
		const struct ntc_key *key;

		ck_assert_int_eq(ntc_kernel_spec_key(spec, &key), NTC_E_KEY);
		ck_assert_ptr_nonnull(strstr(ntc_last_error(), "NVRTC_APPEND_FLAGS"));
		ntc_kernel_spec_free(spec);
	}
	unsetenv("NVRTC_APPEND_FLAGS");
	w.options[2] = "-lineinfo";
	here = digest_of(spec_of(&w));
	ck_assert_int_eq(chdir("/"), 0);
	there = digest_of(spec_of(&w));
	ck_assert(!equal(here, there));
	ck_assert(equal(plain, digest_of(spec_of(&base))));
}
END_TEST

static void refused(struct ntc_kernel_spec *spec, const char *word)
{
	const struct ntc_key *key = (const void *)1;

	ck_assert_msg(ntc_kernel_spec_key(spec, &key) < 0, "%s", word);
	ck_assert_ptr_null(key);
	ck_assert_msg(strstr(ntc_last_error(), word), "%s: %s", word, ntc_last_error());
	ntc_kernel_spec_free(spec);
}

START_TEST(what_cannot_be)
{
	static const char *const archs[] = { "", "sm_", "sm_9", "sm_9000", "sm_90aa", "sm_90 ", "90", "lto_90", "compute_x" };
	struct ntc_kernel_spec *spec;

	for (size_t i = 0; i < NTC_COUNT(archs); i++)
		refused(ntc_kernel_spec_new("x", archs[i]), "architecture");
	refused(ntc_kernel_spec_new("", "sm_90"), "name");
	refused(ntc_kernel_spec_new("a b", "sm_90"), "name");
	refused(ntc_kernel_spec_new(NULL, NULL), "name");
	refused(NULL, "spec");
#define WITH(call, word) \
	do { \
		spec = ntc_kernel_spec_new("x", "sm_90"); \
		call; \
		refused(spec, word); \
	} while (0)
	WITH((ntc_kernel_spec_config_int(spec, "A", 1), ntc_kernel_spec_config_bool(spec, "A", 1)), "twice");
	WITH(ntc_kernel_spec_config_int(spec, "A B", 1), "macro");
	WITH(ntc_kernel_spec_config_string(spec, "A", "x\ny"), "one line");
	WITH(ntc_kernel_spec_config_string(spec, "A", "__has_include"), "include");
	WITH((ntc_kernel_spec_header(spec, "h", "", 0), ntc_kernel_spec_header(spec, "h", "", 0)), "twice");
	WITH(ntc_kernel_spec_application(spec, "a\0b", 3), "NUL");
	WITH((ntc_kernel_spec_application(spec, "a", 1), ntc_kernel_spec_application(spec, "a", 1)), "twice");
	WITH(ntc_kernel_spec_application(spec, "\xff", 1), "application");
	WITH(ntc_kernel_spec_application(spec, "#include </etc/x>", 17), "absolute");
	WITH(ntc_kernel_spec_header(spec, "h", "#include X", 10), "written out");
	WITH(ntc_kernel_spec_option(spec, "-I."), "-I.");
	WITH(ntc_kernel_spec_option(spec, ""), "options");
	WITH(ntc_kernel_spec_option(spec, "-DX"), "config");
	WITH(ntc_kernel_spec_name_expression(spec, "a\tb"), "tabs");
	WITH({
		const struct ntc_key *key;
		ck_assert_int_eq(ntc_kernel_spec_key(spec, &key), NTC_OK);
		ntc_kernel_spec_option(spec, "-w");
	}, "after its key");
	WITH(for (int i = 0; i < 5000; i++) ntc_kernel_spec_option(spec, "-w"), "4096");
#undef WITH
	/* Nothing minds a spec that is not there. */
	ntc_kernel_spec_option(NULL, "-w");
	ntc_kernel_spec_config_int(NULL, "A", 1);
	ntc_kernel_spec_header(NULL, "h", "", 0);
	ntc_kernel_spec_name_expression(NULL, "x");
	ntc_kernel_spec_free(NULL);
}
END_TEST

START_TEST(reach_vouches)
{
	struct ntc_kernel_spec *spec = ntc_kernel_spec_new("x", "sm_90");
	uint8_t reach[32] = { 1 };

	ntc_kernel_spec_option(spec, "-I/usr/include");
	ntc_kernel_spec_application(spec, "#include </etc/x>", 17);
	ntc_kernel_spec_reach(spec, reach);
	(void)digest_of(spec);
}
END_TEST

START_TEST(a_spec_has_one_key)
{
	struct ntc_kernel_spec *spec = spec_of(&base);
	const struct ntc_key *keys[2];

	/* One key for all, however often asked. */
	ck_assert_int_eq(ntc_kernel_spec_key(spec, &keys[0]), NTC_OK);
	ck_assert_int_eq(ntc_kernel_spec_key(spec, &keys[1]), NTC_OK);
	ck_assert_ptr_eq(keys[0], keys[1]);
	ntc_kernel_spec_free(spec);
}
END_TEST

START_TEST(keys_do_not_open_nvrtc)
{
	(void)digest_of(spec_of(&base));
	ck_assert(!ntc_nvrtc_is_open());
	ck_assert_uint_eq(ntc_compiler_calls(), 0);
}
END_TEST

START_TEST(without_nvrtc_there_is_a_remedy)
{
	struct ntc_kernel_spec *spec = spec_of(&base);
	struct ntc_compiler_info info;
	const struct ntc_key *key;
	struct ntc_entry *entry;

	setenv("NTCACHE_NVRTC", root, 1);
	ck_assert_int_eq(ntc_compiler_find(&info), NTC_E_IO);
	ck_assert_ptr_null(info.path);
	ck_assert_int_eq(ntc_kernel_spec_key(spec, &key), NTC_E_IO);
	ck_assert_int_eq(ntc_kernel_compile(spec, &entry, NULL, NULL), NTC_E_IO);
	ck_assert_ptr_nonnull(strstr(ntc_last_error(), "pip install nvidia-cuda-nvrtc"));
	ck_assert_ptr_nonnull(strstr(ntc_last_error(), "NTCACHE_NVRTC"));
	ntc_kernel_spec_free(spec);
}
END_TEST

START_TEST(the_compiler_is_known_by_build_ids)
{
	struct ntc_compiler_info info;

	ck_assert_int_eq(ntc_compiler_find(&info), NTC_OK);
	ck_assert_int_eq(strncmp(info.build_id, "build-id:", 9), 0);
	ck_assert_int_eq(strncmp(info.builtins_id, "build-id:", 9), 0);
	ck_assert_str_ne(info.build_id, info.builtins_id);
}
END_TEST

START_TEST(another_compiler_is_another_key)
{
	char command[512];
	struct ntc_compiler_info info;
	struct ntc_kernel_spec *spec;
	const struct ntc_key *key;
	struct ntc_entry *entry;
	const char *bytes;
	size_t len;

	(void)snprintf(command, sizeof(command), "echo one > %s/libnvrtc.so.13; echo two > %s/libnvrtc-builtins.so.13.0", root, root);
	sh(command);
	setenv("NTCACHE_NVRTC", root, 1);
	spec = spec_of(&base);
	ck_assert_int_eq(ntc_kernel_spec_key(spec, &key), NTC_OK);
	ck_assert_int_eq(ntc_compiler_find(&info), NTC_OK);
	bytes = ntc_key_bytes(key, &len);
	ck_assert_ptr_nonnull(memmem(bytes, len, info.build_id, strlen(info.build_id)));
	ck_assert_ptr_nonnull(memmem(bytes, len, info.builtins_id, strlen(info.builtins_id)));
	ck_assert_int_eq(strncmp(info.build_id, "sha256:", 7), 0);
	/* It is none, and that is said when it is opened. */
	ck_assert_int_eq(ntc_kernel_compile(spec, &entry, NULL, NULL), NTC_E_IO);
	ck_assert_ptr_null(entry);
	ck_assert_ptr_nonnull(strstr(ntc_last_error(), "cannot be opened"));
	/* Replaced after keys were made with it. */
	sh("echo three > libnvrtc.so.13");
	ck_assert_int_eq(ntc_kernel_compile(spec, &entry, NULL, NULL), NTC_E_IO);
	ck_assert_ptr_nonnull(strstr(ntc_last_error(), "replaced"));
	ntc_kernel_spec_free(spec);
}
END_TEST

/* --- compiling ---------------------------------------------------------------------------- */

static const char add_text[] =
	"#include \"types.h\"\n"
	"extern \"C\" __global__ void add(const DTYPE *a, const DTYPE *b, DTYPE *c, int n)\n"
	"{\n"
	"	int i = blockIdx.x * BLOCK_SIZE + threadIdx.x;\n"
	"	if (i < n)\n"
	"		c[i] = a[i] + b[i] * (DTYPE)SCALE;\n"
	"}\n"
	"template <typename T, int N> __global__ void fill(T *p) { p[threadIdx.x] = N; }\n";

static struct ntc_kernel_spec *add_spec(const char *arch, const char *more)
{
	struct ntc_kernel_spec *spec = ntc_kernel_spec_new("add", arch);

	ntc_kernel_spec_arrangement(spec, "// how\n", 7);
	ntc_kernel_spec_application(spec, add_text, sizeof(add_text) - 1);
	ntc_kernel_spec_header(spec, "types.h", more, strlen(more));
	ntc_kernel_spec_config_int(spec, "BLOCK_SIZE", 256);
	ntc_kernel_spec_config_string(spec, "DTYPE", "float");
	ntc_kernel_spec_config_float(spec, "SCALE", 0.5);
	ntc_kernel_spec_name_expression(spec, "fill<float, 4>");
	return spec;
}

static struct ntc_entry *made(struct ntc_kernel_spec *spec)
{
	struct ntc_entry *entry = NULL;
	char *log = NULL;
	uint64_t cost;
	enum ntc_err err = ntc_kernel_compile(spec, &entry, &log, &cost);

	ck_assert_msg(err == NTC_OK, "%s: %s\n%s", ntc_err_name(err), ntc_last_error(), log ? log : "");
	ck_assert_uint_gt(cost, 0);
	ck_assert_ptr_null(log);
	ntc_kernel_spec_free(spec);
	return entry;
}

static struct ntc_part_view part(struct ntc_entry *entry, const char *name)
{
	struct ntc_part_view view;

	ck_assert_msg(ntc_entry_find(entry, name, &view) == NTC_OK, "no part %s", name);
	return view;
}

START_TEST(a_cubin_is_made_twice_the_same)
{
	struct ntc_entry *first = made(add_spec("sm_90", "")), *second = made(add_spec("sm_90", ""));
	struct ntc_part_view a = part(first, "cubin"), b = part(second, "cubin"), names = part(first, "names");
	static const char lowered[] = "fill<float, 4>\t_Z4fillIfLi4EEvPT_\n";
	const Elf64_Ehdr *elf = a.data;

	ck_assert_uint_gt(a.len, sizeof(*elf));
	ck_assert_int_eq(memcmp(elf->e_ident, ELFMAG, SELFMAG), 0);
	ck_assert_uint_eq(elf->e_machine, 190); /* EM_CUDA */
	ck_assert_uint_eq(a.len, b.len);
	ck_assert_int_eq(memcmp(a.data, b.data, a.len), 0);
	ck_assert_uint_eq(names.len, sizeof(lowered) - 1);
	ck_assert_int_eq(memcmp(names.data, lowered, names.len), 0);
	ck_assert_uint_eq(part(first, "log").len, 0);
	ck_assert_uint_eq(ntc_compiler_calls(), 2);
	ck_assert(ntc_nvrtc_is_open());
	ntc_entry_unref(first);
	ntc_entry_unref(second);
}
END_TEST

START_TEST(ptx_ends_with_its_nul)
{
	struct ntc_entry *entry = made(add_spec("compute_90", ""));
	struct ntc_part_view ptx = part(entry, "ptx"), none;

	ck_assert_ptr_nonnull(strstr(ptx.data, ".target sm_90"));
	ck_assert_uint_eq(strlen(ptx.data) + 1, ptx.len);
	ck_assert_int_eq(ntc_entry_find(entry, "cubin", &none), NTC_E_NO_PART);
	ntc_entry_unref(entry);
}
END_TEST

static char *refused_log(struct ntc_kernel_spec *spec)
{
	struct ntc_entry *entry = (void *)1;
	char *log = NULL;

	ck_assert_int_eq(ntc_kernel_compile(spec, &entry, &log, NULL), NTC_FAILED);
	ck_assert_ptr_null(entry);
	ck_assert_ptr_nonnull(log);
	ntc_kernel_spec_free(spec);
	return log;
}

START_TEST(errors_come_with_the_log)
{
	char *first = refused_log(add_spec("sm_90", "int broken\n")), *second = refused_log(add_spec("sm_90", "int broken\n")), *log;
	struct ntc_kernel_spec *spec;

	ck_assert_ptr_nonnull(strstr(first, "error"));
	ck_assert_str_eq(first, second);
	free(first);
	free(second);
	/* Told by the names that people gave, at lines of their own texts. */
	spec = ntc_kernel_spec_new("x", "sm_90");
	ntc_kernel_spec_arrangement(spec, "int a;", 6);
	ntc_kernel_spec_application(spec, "\nnonsense", 9);
	log = refused_log(spec);
	ck_assert_ptr_nonnull(strstr(log, "application(2)"));
	free(log);
	/* A name that does not exist, an architecture that does not, and an option's value. */
	spec = add_spec("sm_90", "");
	ntc_kernel_spec_name_expression(spec, "no_such<int>");
	free(refused_log(spec));
	log = refused_log(add_spec("sm_12", ""));
	ck_assert_ptr_nonnull(strstr(log, "arch"));
	free(log);
	spec = add_spec("sm_90", "");
	ntc_kernel_spec_option(spec, "--std=c++98765");
	free(refused_log(spec));
}
END_TEST

START_TEST(warnings_are_kept)
{
	struct ntc_entry *entry = made(add_spec("sm_90", "#warning look here\n"));
	struct ntc_part_view log = part(entry, "log");

	ck_assert_ptr_nonnull(memmem(log.data, log.len, "look here", 9));
	ntc_entry_unref(entry);
}
END_TEST

START_TEST(headers_are_what_was_given)
{
	struct ntc_entry *a = made(add_spec("sm_90", "")), *b = made(add_spec("sm_90", "__device__ int more[64] = {1};\n"));
	struct ntc_part_view first = part(a, "cubin"), second = part(b, "cubin");
	struct ntc_kernel_spec *spec;

	ck_assert(first.len != second.len || memcmp(first.data, second.data, first.len) != 0);
	ntc_entry_unref(a);
	ntc_entry_unref(b);
	/* A file in the working directory, also beside a given header's name, is not seen. */
	sh("echo '#define X 1' > here.h; mkdir sub; echo '#define X 1' > sub/beside.h");
	spec = ntc_kernel_spec_new("x", "sm_90");
	ntc_kernel_spec_application(spec, "#include \"here.h\"\n", 18);
	free(refused_log(spec));
	spec = ntc_kernel_spec_new("x", "sm_90");
	ntc_kernel_spec_application(spec, "#include \"sub/h.h\"\n", 19);
	ntc_kernel_spec_header(spec, "sub/h.h", "#include \"beside.h\"\n", 20);
	free(refused_log(spec));
	/* Unless the caller answers for what is reached. */
	spec = add_spec("sm_90", "#include \"here.h\"\n");
	ntc_kernel_spec_reach(spec, (const uint8_t *)"0123456789abcdef0123456789abcdef");
	ntc_entry_unref(made(spec));
}
END_TEST

START_TEST(config_arrives_exactly)
{
	static const char text[] =
		"static_assert(LEAST == (-9223372036854775807ll - 1) && MOST == 9223372036854775807ll && NEG == -5, \"int\");\n"
		"static_assert(YES == 1 && NO == 0, \"bool\");\n"
		"static_assert(TENTH == 0.1 && THIRD == 1.0 / 3 && NEGATIVE == -2.5 && LARGE == 1.7976931348623157e308, \"float\");\n"
		"static_assert(TINY == 4.9406564584124654e-324 && 1 / INF == 0 && NINF < LARGE && NONE != NONE, \"edges\");\n"
		"static_assert(sizeof(TYPE) == 8 && sizeof(TEXT) == 4, \"string\");\n"
		"#if NEG != -5 || !YES\n#error preprocessor\n#endif\n"
		"__global__ void k() {}\n";
	struct ntc_kernel_spec *spec = ntc_kernel_spec_new("config", "sm_90");

	ntc_kernel_spec_application(spec, text, sizeof(text) - 1);
	ntc_kernel_spec_config_int(spec, "LEAST", INT64_MIN);
	ntc_kernel_spec_config_int(spec, "MOST", INT64_MAX);
	ntc_kernel_spec_config_int(spec, "NEG", -5);
	ntc_kernel_spec_config_bool(spec, "YES", true);
	ntc_kernel_spec_config_bool(spec, "NO", false);
	ntc_kernel_spec_config_float(spec, "TENTH", 0.1);
	ntc_kernel_spec_config_float(spec, "THIRD", 1.0 / 3);
	ntc_kernel_spec_config_float(spec, "NEGATIVE", -2.5);
	ntc_kernel_spec_config_float(spec, "LARGE", 1.7976931348623157e308);
	ntc_kernel_spec_config_float(spec, "TINY", 4.9406564584124654e-324);
	ntc_kernel_spec_config_float(spec, "INF", INFINITY);
	ntc_kernel_spec_config_float(spec, "NINF", -INFINITY);
	ntc_kernel_spec_config_float(spec, "NONE", NAN);
	ntc_kernel_spec_config_string(spec, "TYPE", "unsigned long long");
	ntc_kernel_spec_config_string(spec, "TEXT", "\"a\\\"b\"");
	ntc_entry_unref(made(spec));
}
END_TEST

static void *compile_in_thread(void *ctx)
{
	struct ntc_entry **entry = ctx;
	struct ntc_kernel_spec *spec = add_spec("sm_90", "");

	if (ntc_kernel_compile(spec, entry, NULL, NULL) != NTC_OK)
		*entry = NULL;
	ntc_kernel_spec_free(spec);
	return NULL;
}

START_TEST(threads_compile_at_once)
{
	struct ntc_entry *entries[4] = { NULL };
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, compile_in_thread, &entries[i]), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	for (int i = 0; i < 4; i++) {
		ck_assert_ptr_nonnull(entries[i]);
		ck_assert_uint_eq(part(entries[i], "cubin").len, part(entries[0], "cubin").len);
		ck_assert_int_eq(memcmp(part(entries[i], "cubin").data, part(entries[0], "cubin").data,
					part(entries[0], "cubin").len), 0);
	}
	for (int i = 0; i < 4; i++)
		ntc_entry_unref(entries[i]);
	ck_assert_uint_eq(ntc_compiler_calls(), 4);
}
END_TEST

START_TEST(foreign_builtins_are_found_out)
{
	struct ntc_kernel_spec *spec = add_spec("sm_90", "");
	struct ntc_compiler_info info;
	struct ntc_entry *entry;
	char script[512], path[128];
	void *foreign;

	if (access("/usr/bin/cc", X_OK) != 0)
		return;
	/* This program has loaded something else of the name by which libnvrtc opens its builtins. */
	ck_assert_int_eq(ntc_compiler_find(&info), NTC_OK);
	(void)snprintf(path, sizeof(path), "%s/other.so", root);
	(void)snprintf(script, sizeof(script), "echo 'int foreign;' | cc -shared -fPIC -x c - -Wl,-soname,%s -o %s",
		       strrchr(info.builtins, '/') + 1, path);
	sh(script);
	foreign = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	ck_assert_ptr_nonnull(foreign);
	ck_assert_int_eq(ntc_kernel_compile(spec, &entry, NULL, NULL), NTC_E_IO);
	ck_assert_ptr_nonnull(strstr(ntc_last_error(), "other.so"));
	ck_assert_uint_eq(ntc_compiler_calls(), 0);
	ntc_kernel_spec_free(spec);
	dlclose(foreign);
}
END_TEST

START_TEST(without_a_daemon_it_is_made_alone)
{
	struct ntc_options options = NTC_OPTIONS_INIT;
	struct ntc_kernel_spec *spec = add_spec("sm_90", "");
	struct ntc_client *client;
	struct ntc_entry *entry;

	options.mode = NTC_MODE_OFF;
	ck_assert_int_eq(ntc_open(&options, &client), NTC_OK);
	ck_assert_int_eq(ntc_kernel_get(client, spec, NULL, &entry, NULL), NTC_OK);
	ck_assert_uint_gt(part(entry, "cubin").len, 0);
	ntc_entry_unref(entry);
	ntc_kernel_spec_free(spec);
	ntc_close(client);
}
END_TEST

/* Asked in a child: every test has to begin with nothing found. */
static bool nvrtc_is_there(void)
{
	struct ntc_compiler_info info;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		bool there = ntc_compiler_find(&info) == NTC_OK;

		if (!there)
			printf("skipped: %s\n", ntc_last_error());
		fflush(stdout);
		_exit(there ? 0 : 1);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(void)
{
	Suite *suite = suite_create("kernels: specifications");
	TCase *keys = tcase_create("keys"), *compiles = tcase_create("compiles");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(keys, setup, teardown);
	tcase_add_checked_fixture(compiles, setup, teardown);
	tcase_set_timeout(keys, 60);
	tcase_set_timeout(compiles, 120);
	tcase_add_test(keys, without_nvrtc_there_is_a_remedy);
	tcase_add_test(keys, another_compiler_is_another_key);
	suite_add_tcase(suite, keys);
	if (nvrtc_is_there()) {
		tcase_add_test(keys, every_field_changes_the_key);
		tcase_add_test(keys, types_of_config_are_in_the_key);
		tcase_add_test(keys, order_of_config_and_headers_does_not_matter);
		tcase_add_test(keys, long_texts_are_their_hashes);
		tcase_add_test(keys, surroundings_that_change_the_result_are_in_the_key);
		tcase_add_test(keys, what_cannot_be);
		tcase_add_test(keys, reach_vouches);
		tcase_add_test(keys, a_spec_has_one_key);
		tcase_add_test(keys, keys_do_not_open_nvrtc);
		tcase_add_test(keys, the_compiler_is_known_by_build_ids);
		tcase_add_test(compiles, a_cubin_is_made_twice_the_same);
		tcase_add_test(compiles, ptx_ends_with_its_nul);
		tcase_add_test(compiles, errors_come_with_the_log);
		tcase_add_test(compiles, warnings_are_kept);
		tcase_add_test(compiles, headers_are_what_was_given);
		tcase_add_test(compiles, config_arrives_exactly);
		tcase_add_test(compiles, threads_compile_at_once);
		tcase_add_test(compiles, foreign_builtins_are_found_out);
		tcase_add_test(compiles, without_a_daemon_it_is_made_alone);
		suite_add_tcase(suite, compiles);
	}
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
