/* NVRTC by dlopen; see nvrtc.h. */
#include "kernels/nvrtc.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/compiler.h"
#include "kernels/buildid.h"
#include "kernels/find.h"

/* From the nvrtc.h of CUDA 13.0; the numbers are part of its ABI. */
typedef struct opaque_program *nvrtc_program;
enum {
	NVRTC_OK = 0,
	NVRTC_OUT_OF_MEMORY = 1,
	NVRTC_INVALID_INPUT = 3,
	NVRTC_INVALID_OPTION = 5,
	NVRTC_COMPILATION = 6,
	NVRTC_NAME_EXPRESSION_NOT_VALID = 10,
};

#define CACHE_SINCE 1209        /* NVRTC 12.9 caches on its own, and knows --no-cache */

static struct {
	int (*version)(int *major, int *minor);
	const char *(*error_string)(int result);
	int (*create)(nvrtc_program *program, const char *text, const char *name, int headers,
		      const char *const *texts, const char *const *names);
	int (*destroy)(nvrtc_program *program);
	int (*compile)(nvrtc_program program, int count, const char *const *options);
	int (*log_size)(nvrtc_program program, size_t *size);
	int (*log)(nvrtc_program program, char *log);
	int (*ptx_size)(nvrtc_program program, size_t *size);
	int (*ptx)(nvrtc_program program, char *ptx);
	int (*cubin_size)(nvrtc_program program, size_t *size);         /* optional: since 11.1 */
	int (*cubin)(nvrtc_program program, char *cubin);               /* optional: since 11.1 */
	int (*add_name)(nvrtc_program program, const char *expression);
	int (*lowered_name)(nvrtc_program program, const char *expression, const char **lowered);
} fn;

static const struct entry {
	void **slot;
	const char *name;
	bool required;
} entries[] = {
	{ (void **)&fn.version, "nvrtcVersion", true },
	{ (void **)&fn.error_string, "nvrtcGetErrorString", true },
	{ (void **)&fn.create, "nvrtcCreateProgram", true },
	{ (void **)&fn.destroy, "nvrtcDestroyProgram", true },
	{ (void **)&fn.compile, "nvrtcCompileProgram", true },
	{ (void **)&fn.log_size, "nvrtcGetProgramLogSize", true },
	{ (void **)&fn.log, "nvrtcGetProgramLog", true },
	{ (void **)&fn.ptx_size, "nvrtcGetPTXSize", true },
	{ (void **)&fn.ptx, "nvrtcGetPTX", true },
	{ (void **)&fn.cubin_size, "nvrtcGetCUBINSize", false },
	{ (void **)&fn.cubin, "nvrtcGetCUBIN", false },
	{ (void **)&fn.add_name, "nvrtcAddNameExpression", true },
	{ (void **)&fn.lowered_name, "nvrtcGetLoweredName", true },
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool found, is_open;              /* set under lock, after what they stand for */
static struct ntc_nvrtc_files files;            /* constant once found */
static struct ntc_compiler_info compiler;       /* the same */
static struct stat library_stat, builtins_stat; /* as identified */
static char version[32];                        /* constant once open; so is fn */
static bool has_no_cache;
static _Atomic uint64_t compile_calls;

uint64_t ntc_compiler_calls(void)
{
	return atomic_load(&compile_calls);
}

bool ntc_nvrtc_is_open(void)
{
	return atomic_load(&is_open);
}

/* --- finding ------------------------------------------------------------------------------ */

static enum ntc_err find_locked(void)
{
	char why[512] = "";

	if (!ntc_find_nvrtc(&files, why, sizeof(why)))
		return ntc_explain(NTC_E_IO, "%s", why);
	if (stat(files.library, &library_stat) != 0 || stat(files.builtins, &builtins_stat) != 0 ||
	    !ntc_identity_of_file(files.library, compiler.build_id) ||
	    !ntc_identity_of_file(files.builtins, compiler.builtins_id)) {
		enum ntc_err err = ntc_explain(NTC_E_IO, "%s, or its builtins, cannot be read: %m", files.library);

		ntc_nvrtc_files_release(&files);
		return err;
	}
	compiler.path = files.library;
	compiler.builtins = files.builtins;
	atomic_store(&found, true);
	return NTC_OK;
}

enum ntc_err ntc_compiler_find(struct ntc_compiler_info *info)
{
	enum ntc_err err = NTC_OK;

	*info = (struct ntc_compiler_info){ 0 };
	if (!atomic_load(&found)) {
		pthread_mutex_lock(&lock);
		if (!atomic_load(&found))
			err = find_locked();
		pthread_mutex_unlock(&lock);
	}
	if (!err)
		*info = compiler;
	return err;
}

/* --- opening ------------------------------------------------------------------------------ */

static bool unchanged(const char *path, const struct stat *then)
{
	struct stat now;

	return stat(path, &now) == 0 && now.st_dev == then->st_dev && now.st_ino == then->st_ino &&
	       now.st_size == then->st_size && now.st_mtim.tv_sec == then->st_mtim.tv_sec &&
	       now.st_mtim.tv_nsec == then->st_mtim.tv_nsec && now.st_ctim.tv_sec == then->st_ctim.tv_sec &&
	       now.st_ctim.tv_nsec == then->st_ctim.tv_nsec;
}

/*
 * libnvrtc opens its builtins by soname. They were opened by path before, so the loader answers with the first
 * of that soname in the process: ours, unless the program has another NVRTC's builtins loaded.
 */
static enum ntc_err check_builtins(void *ours, int major, int minor)
{
	struct link_map *map = NULL;
	char soname[64], identity[NTC_IDENTITY_SIZE];
	enum ntc_err err = NTC_OK;
	void *used;

	(void)snprintf(soname, sizeof(soname), "libnvrtc-builtins.so.%d.%d", major, minor);
	used = dlopen(soname, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
	if (!used) {
		/* Named otherwise (a variant build): NVRTC complains by itself if it can't find them. */
		if (strstr(files.builtins, "libnvrtc-builtins.so"))
			err = ntc_explain(NTC_E_IO, "%s is version %d.%d, but the builtins beside it are %s", files.library,
					  major, minor, files.builtins);
		return err;
	}
	if (used != ours && (dlinfo(used, RTLD_DI_LINKMAP, &map) != 0 ||
			     !ntc_identity_of_file(map->l_name, identity) ||
			     strcmp(identity, compiler.builtins_id) != 0))
		err = ntc_explain(NTC_E_IO, "this process has loaded another %s (%s); set NTCACHE_NVRTC to the NVRTC beside it",
				  soname, map ? map->l_name : "unknown");
	dlclose(used);
	return err;
}

static enum ntc_err open_locked(void)
{
	void *builtins = NULL, *library = NULL;
	int major = 0, minor = 0;
	enum ntc_err err;

	if (!unchanged(files.library, &library_stat) || !unchanged(files.builtins, &builtins_stat))
		goto replaced;
	builtins = dlopen(files.builtins, RTLD_NOW | RTLD_LOCAL);
	if (builtins)
		library = dlopen(files.library, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		const char *why = dlerror();

		err = ntc_explain(NTC_E_IO, "NVRTC cannot be opened: %s", why ? why : files.library);
		goto fail;
	}
	if (!unchanged(files.library, &library_stat) || !unchanged(files.builtins, &builtins_stat))
		goto replaced;
	for (size_t i = 0; i < NTC_COUNT(entries); i++) {
		*entries[i].slot = dlsym(library, entries[i].name);
		if (!*entries[i].slot && entries[i].required) {
			err = ntc_explain(NTC_E_IO, "%s has no %s; install a newer one", files.library, entries[i].name);
			goto fail;
		}
	}
	if (fn.version(&major, &minor) != NVRTC_OK) {
		err = ntc_explain(NTC_E_IO, "%s does not tell its version", files.library);
		goto fail;
	}
	err = check_builtins(builtins, major, minor);
	if (err)
		goto fail;
	(void)snprintf(version, sizeof(version), "%d.%d", major, minor);
	has_no_cache = major * 100 + minor >= CACHE_SINCE;
	atomic_store(&is_open, true);
	return NTC_OK;
replaced:
	err = ntc_explain(NTC_E_IO, "%s was replaced while this process ran; start it again", files.library);
fail:
	/* What was opened stays so: libnvrtc's C++ runtime leaks when it is closed, and opening it again costs nothing. */
	return err;
}

static enum ntc_err open_nvrtc(void)
{
	struct ntc_compiler_info info;
	enum ntc_err err = ntc_compiler_find(&info);

	if (err || atomic_load(&is_open))
		return err;
	pthread_mutex_lock(&lock);
	if (!atomic_load(&is_open))
		err = open_locked();
	pthread_mutex_unlock(&lock);
	return err;
}

/* --- compiling ---------------------------------------------------------------------------- */

void ntc_nvrtc_result_release(struct ntc_nvrtc_result *result)
{
	free(result->binary);
	free(result->log);
	free(result->names);
	*result = (struct ntc_nvrtc_result){ 0 };
}

/* Also where NVRTC has no log to give: its word for the result. */
static enum ntc_err take_log(nvrtc_program program, int code, struct ntc_nvrtc_result *result)
{
	size_t size = 0;

	if (fn.log_size(program, &size) == NVRTC_OK && size > 1) {
		result->log = malloc(size + 1);
		if (!result->log)
			return ntc_explain(NTC_E_NO_MEMORY, "no memory for a log of %zu bytes", size);
		if (fn.log(program, result->log) == NVRTC_OK) {
			result->log[size] = '\0';
			result->log_len = strlen(result->log);
			return NTC_OK;
		}
		free(result->log);
	}
	result->log = strdup(code ? fn.error_string(code) : "");
	if (!result->log)
		return ntc_explain(NTC_E_NO_MEMORY, "no memory for a log");
	result->log_len = strlen(result->log);
	return NTC_OK;
}

static enum ntc_err take_binary(nvrtc_program program, bool ptx, struct ntc_nvrtc_result *result)
{
	int (*get_size)(nvrtc_program, size_t *) = ptx ? fn.ptx_size : fn.cubin_size;
	int (*get)(nvrtc_program, char *) = ptx ? fn.ptx : fn.cubin;
	size_t size = 0;
	int code;

	if (!get_size || !get)
		return ntc_explain(NTC_E_IO, "%s makes no cubins; ask for compute_XX, or install a newer one", files.library);
	code = get_size(program, &size);
	if (code)
		return ntc_explain(NTC_E_IO, "NVRTC: %s", fn.error_string(code));
	if (size < (ptx ? 2 : 1))
		return ntc_explain(NTC_E_KEY, "these options make no %s", ptx ? "PTX" : "cubin");
	result->binary = malloc(size);
	if (!result->binary)
		return ntc_explain(NTC_E_NO_MEMORY, "no memory for a binary of %zu bytes", size);
	code = get(program, result->binary);
	if (code)
		return ntc_explain(NTC_E_IO, "NVRTC: %s", fn.error_string(code));
	result->binary_len = size;
	return NTC_OK;
}

static enum ntc_err take_names(nvrtc_program program, const struct ntc_nvrtc_job *job, struct ntc_nvrtc_result *result)
{
	FILE *out = open_memstream(&result->names, &result->names_len);
	enum ntc_err err = NTC_OK;

	if (!out)
		return ntc_explain(NTC_E_NO_MEMORY, "no memory for names");
	for (size_t i = 0; i < job->expression_count && !err; i++) {
		const char *lowered = NULL;
		int code = fn.lowered_name(program, job->expressions[i], &lowered);

		if (code || !lowered)
			err = ntc_explain(NTC_E_IO, "NVRTC: no lowered name of %s: %s", job->expressions[i], fn.error_string(code));
		else
			fprintf(out, "%s\t%s\n", job->expressions[i], lowered);
	}
	if (fclose(out) != 0 && !err)
		err = ntc_explain(NTC_E_NO_MEMORY, "no memory for names");
	return err;
}

/* A result other than success: whether it would be the same again. */
static enum ntc_err failure_of(int code, const struct ntc_nvrtc_result *result)
{
	switch (code) {
	case NVRTC_COMPILATION:
		/* NVRTC says the same of a program that is wrong and of a machine that is full. */
		if (strstr(result->log, "out of memory") || strstr(result->log, "No space left on device"))
			return ntc_explain(NTC_E_NO_MEMORY, "NVRTC: %.200s", result->log);
		return ntc_explain(NTC_FAILED, "the compiler refused the program: %.200s", result->log);
	case NVRTC_INVALID_INPUT:
	case NVRTC_INVALID_OPTION:
	case NVRTC_NAME_EXPRESSION_NOT_VALID:
		return ntc_explain(NTC_FAILED, "the compiler refused the program: %.200s", result->log);
	case NVRTC_OUT_OF_MEMORY:
		return ntc_explain(NTC_E_NO_MEMORY, "NVRTC: %s", fn.error_string(code));
	default:
		return ntc_explain(NTC_E_IO, "NVRTC: %s: %.200s", fn.error_string(code), result->log);
	}
}

enum ntc_err ntc_nvrtc_compile(const struct ntc_nvrtc_job *job, struct ntc_nvrtc_result *result)
{
	const char **options = NULL;
	nvrtc_program program = NULL;
	size_t count = job->option_count;
	enum ntc_err err;
	int code;

	*result = (struct ntc_nvrtc_result){ 0 };
	err = open_nvrtc();
	if (err)
		return err;
	options = calloc(count + 1, sizeof(*options));
	if (!options)
		return ntc_explain(NTC_E_NO_MEMORY, "no memory for options");
	if (count)
		memcpy(options, job->options, count * sizeof(*options));
	if (has_no_cache)
		options[count++] = "--no-cache";
	memcpy(result->version, version, sizeof(version));
	code = fn.create(&program, job->text, job->program, (int)job->header_count, job->header_texts,
			 job->header_names);
	for (size_t i = 0; i < job->expression_count && !code; i++)
		code = fn.add_name(program, job->expressions[i]);
	if (code) {
		err = program ? take_log(program, code, result) : NTC_OK;
		if (!err && !result->log)
			result->log = strdup(fn.error_string(code));
		err = result->log ? failure_of(code, result) : ntc_explain(NTC_E_NO_MEMORY, "no memory for a log");
		goto out;
	}
	atomic_fetch_add(&compile_calls, 1);
	code = fn.compile(program, (int)count, options);
	err = take_log(program, code, result);
	if (!err && code)
		err = failure_of(code, result);
	if (!err)
		err = take_binary(program, job->ptx, result);
	if (!err)
		err = take_names(program, job, result);
out:
	if (program)
		fn.destroy(&program);
	free(options);
	return err;
}
