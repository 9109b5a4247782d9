/*
 * NVRTC, opened at run time and only to compile: the compiler's identity, its functions, one compile.
 *
 * Which library is used is decided once per process, at the first key. It is opened at the first compile; if the file was replaced
 * in between, that is an error, since keys made before name the old one. It is never closed.
 *
 * Any thread.
 */
#ifndef NTC_KERNELS_NVRTC_H
#define NTC_KERNELS_NVRTC_H

#include "kernels/ntcache_cuda.h"

/* What one compile gets: all borrowed for the call. Options are the whole command line. */
struct ntc_nvrtc_job {
	const char *program;            /* shown as the source's name */
	const char *text;
	const char *const *options;
	size_t option_count;
	const char *const *header_names, *const *header_texts;
	size_t header_count;
	const char *const *expressions;
	size_t expression_count;
	bool ptx;                       /* PTX is wanted, not a cubin */
};

/* What it gives: all given, ntc_nvrtc_result_release(). */
struct ntc_nvrtc_result {
	char *binary;                   /* cubin; or PTX with its NUL, which is counted */
	size_t binary_len;
	char *log;                      /* NUL-terminated, which is not counted */
	size_t log_len;
	char *names;                    /* lines "expression<TAB>lowered" */
	size_t names_len;
	char version[32];               /* of NVRTC, "13.0" */
};

/*
 * NTC_OK; NTC_FAILED (it would fail again) with result->log; or a negative error, explained: NTC_E_IO without a usable
 * NVRTC. Adds --no-cache where NVRTC knows it.
 */
enum ntc_err ntc_nvrtc_compile(const struct ntc_nvrtc_job *job, struct ntc_nvrtc_result *result);

void ntc_nvrtc_result_release(struct ntc_nvrtc_result *result);

/* Whether this process has opened NVRTC. */
bool ntc_nvrtc_is_open(void);

#endif
