/*
 * ntcache_cuda.h - libntcache_cuda: CUDA kernels through the cache.
 *
 * A kernel is specified by what it is made of: an *arrangement* and an *application* (CUDA C++ source
 * texts), a full *config* (typed fields that become -D macros), a program name, options, headers by content
 * and a target architecture. All of it is in its key, and so is the compiler, as the build-ids of its
 * library files. ntc_kernel_get() finds the kernel or makes it, once on the whole machine:
 *
 *     struct ntc_kernel_spec *spec = ntc_kernel_spec_new("add", "sm_90");
 *
 *     ntc_kernel_spec_arrangement(spec, arrangement, strlen(arrangement));
 *     ntc_kernel_spec_application(spec, application, strlen(application));
 *     ntc_kernel_spec_config_int(spec, "BLOCK_SIZE", 256);
 *     err = ntc_kernel_get(client, spec, NTC_NO_TIMEOUT, &entry, &log);
 *
 * NVRTC is opened at run time, and only to compile: a hit never opens it.
 *
 * Threads: a spec belongs to one thread until it is complete, then it may be shared. Everything else may
 * be called from any thread. Ownership words are those of ntcache.h.
 */
#ifndef NTCACHE_CUDA_H
#define NTCACHE_CUDA_H

#include <ntcache.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- the compiler ------------------------------------------------------------------------- */

/*
 * Which NVRTC is used: $NTCACHE_NVRTC (a library file, or a directory that has one) alone if set; else a
 * CUDA toolkit ($CUDA_HOME, $CUDA_PATH, /usr/local/cuda, the loader's path); else the Python package nvidia-cuda-nvrtc
 * (in $VIRTUAL_ENV and the user's and system's site-packages). Found once per process.
 */
#define NTC_IDENTITY_SIZE 80        /* "build-id:HEX", or "sha256:HEX" of a file without one; with a NUL */

struct ntc_compiler_info {
	const char *path;           /* of libnvrtc; borrowed, lives as long as the process */
	const char *builtins;       /* of libnvrtc-builtins, which it opens by itself; borrowed */
	char build_id[NTC_IDENTITY_SIZE];    /* identity of libnvrtc */
	char builtins_id[NTC_IDENTITY_SIZE]; /* identity of libnvrtc-builtins */
};

/* NTC_OK, or NTC_E_IO with a reason and a remedy in ntc_last_error(). Opens no library. */
NTC_API enum ntc_err ntc_compiler_find(struct ntc_compiler_info *info);

/* How often this process called nvrtcCompileProgram. */
NTC_API uint64_t ntc_compiler_calls(void);

/* --- specifications ----------------------------------------------------------------------- */

struct ntc_kernel_spec;

/*
 * `program` names it (1 to 200 printable ASCII characters without space), `arch` is "sm_90", "sm_90a", "compute_90" ...:
 * sm_ gives a cubin, compute_ gives PTX. Given: ntc_kernel_spec_free(). NULL only without memory; everything
 * below accepts NULL. As with keys, the first error sticks and is told by ntc_kernel_spec_key().
 */
NTC_API struct ntc_kernel_spec *ntc_kernel_spec_new(const char *program, const char *arch);
NTC_API void ntc_kernel_spec_free(struct ntc_kernel_spec *spec);

/* Source texts, UTF-8, copied. The program is the arrangement followed by the application. */
NTC_API void ntc_kernel_spec_arrangement(struct ntc_kernel_spec *spec, const char *text, size_t len);
NTC_API void ntc_kernel_spec_application(struct ntc_kernel_spec *spec, const char *text, size_t len);

/*
 * Config fields: each becomes a macro of its name (a C identifier): ints in decimal, bools 1 or 0, floats as exact
 * hexadecimal (which wants C++17, NVRTC's default), strings as they are (tokens such as `float`). A name twice is an error.
 */
NTC_API void ntc_kernel_spec_config_int(struct ntc_kernel_spec *spec, const char *name, int64_t value);
NTC_API void ntc_kernel_spec_config_bool(struct ntc_kernel_spec *spec, const char *name, bool value);
NTC_API void ntc_kernel_spec_config_float(struct ntc_kernel_spec *spec, const char *name, double value);
NTC_API void ntc_kernel_spec_config_string(struct ntc_kernel_spec *spec, const char *name, const char *value);

/*
 * A header that the sources include as `name` (exactly as their #include spells it), by content, copied. Nothing
 * else can be included: the working directory is not searched, and an #include of an absolute path or of a macro
 * is an error, unless ntc_kernel_spec_reach() answers for it.
 */
NTC_API void ntc_kernel_spec_header(struct ntc_kernel_spec *spec, const char *name, const char *text, size_t len);

/*
 * One compiler option ("-use_fast_math", "--std=c++17", ...), or one word of it ("-maxrregcount", "32"). Order
 * matters and is kept. Options that read or write files (-I, -include, precompiled headers, time traces ...), and those
 * that this library does not know to leave files alone, are refused, unless a digest of what they reach is given with
 * ntc_kernel_spec_reach(). -arch, -D, -U, --no-cache and those that make something else than a cubin or PTX always are.
 */
NTC_API void ntc_kernel_spec_option(struct ntc_kernel_spec *spec, const char *option);

/*
 * The SHA-256 of everything outside the spec that its options and includes can reach: it stands in the key for
 * their content. With it the compiler also searches the working directory.
 */
NTC_API void ntc_kernel_spec_reach(struct ntc_kernel_spec *spec, const uint8_t sha256[32]);

/* A C++ name expression whose lowered (mangled) name is wanted, such as "add<float, 4>". */
NTC_API void ntc_kernel_spec_name_expression(struct ntc_kernel_spec *spec, const char *expression);

/* The spec's key, with the compiler in it. Borrowed from the spec. NTC_E_KEY with ntc_last_error() if the
 * spec can't be; NTC_E_IO without a compiler. */
NTC_API enum ntc_err ntc_kernel_spec_key(struct ntc_kernel_spec *spec, const struct ntc_key **key);

/* --- kernels ------------------------------------------------------------------------------ */

/*
 * The kernel of a spec: key, known or lease, slot, NVRTC, put. *entry is given; its parts are "cubin" (or "ptx", with its
 * final NUL), "log" (the compiler's) and "names" (lines "expression<TAB>lowered"). NTC_OK; NTC_FAILED with the compiler's log in *log (given: free(); `log` may be
 * NULL); NTC_E_IO if it has to be compiled and there is no compiler.
 */
NTC_API enum ntc_err ntc_kernel_get(struct ntc_client *client, struct ntc_kernel_spec *spec,
				    const struct ntc_acquire_options *options, struct ntc_entry **entry, char **log);

/* Compile without any cache. As above. `cost_ns` may be NULL. */
NTC_API enum ntc_err ntc_kernel_compile(struct ntc_kernel_spec *spec, struct ntc_entry **entry, char **log,
					uint64_t *cost_ns);

/* --- libraries made ahead of time --------------------------------------------------------- */

/*
 * A library is a group of files made by a command from input files, such as nvcc building a .so. Everything the command
 * reads must be named: inputs by content, the tools by the build-id (or, without one, the SHA-256) of their files.
 *
 * The command runs in a new directory that holds the inputs and nothing else; only its named outputs are kept. Its
 * environment is PATH, LD_LIBRARY_PATH (in the key), LC_ALL=C, SOURCE_DATE_EPOCH=0, and HOME and TMPDIR of its own: nothing
 * else of the caller's. It may run for an hour and is killed with its process group then.
 *
 * If it is nvcc, the files that nvcc drives and reads by itself are tools of it without being named: its own
 * programs, headers and libraries, and the host compiler (docs/libraries.md).
 */
struct ntc_library_spec;

/*
 * `name` is 1 to 200 printable ASCII characters without space. Given: ntc_library_spec_free(). As with kernels: NULL
 * only without memory, accepted below; the first error sticks and is told by ntc_library_spec_key().
 */
NTC_API struct ntc_library_spec *ntc_library_spec_new(const char *name);
NTC_API void ntc_library_spec_free(struct ntc_library_spec *spec);

/* One word of the command; the first is found in PATH. Words are passed as they are, no shell. */
NTC_API void ntc_library_spec_arg(struct ntc_library_spec *spec, const char *word);
/* A file that the command reads, by content, copied. `name` is a relative path without "..", space and '='. */
NTC_API void ntc_library_spec_input(struct ntc_library_spec *spec, const char *name, const void *data, size_t len);
/*
 * A file that the command has to leave behind: a part of the entry, so without '/'. "log" is no name for one: that
 * part is what the command said.
 */
NTC_API void ntc_library_spec_output(struct ntc_library_spec *spec, const char *name);
/*
 * A tool or library file whose identity is in the key, or a directory: then every file below it. The command's
 * first word always is. Paths are not in the key, only last components.
 */
NTC_API void ntc_library_spec_tool(struct ntc_library_spec *spec, const char *path);

/* The spec's key. Borrowed from the spec. NTC_E_KEY if the spec can't be; NTC_E_IO without one of its tools. */
NTC_API enum ntc_err ntc_library_spec_key(struct ntc_library_spec *spec, const struct ntc_key **key);

/*
 * The library of a spec: known, or made once on the whole machine. A command that exits with a status other than 0 is a
 * deterministic failure with its output as log; one that is killed by a signal, or an unwritable disk, is
 * transient. Use ntc_entry_part_path() for files to dlopen().
 */
NTC_API enum ntc_err ntc_library_get(struct ntc_client *client, struct ntc_library_spec *spec,
				     const struct ntc_acquire_options *options, struct ntc_entry **entry, char **log);

#ifdef __cplusplus
}
#endif

#endif
