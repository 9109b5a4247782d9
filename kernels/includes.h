/*
 * What a source text can include. NVRTC reads an #include of an absolute path from the disk whatever its options say, and so
 * does __has_include; both would let a file into the result that is not in the key.
 *
 * Pure; any thread.
 */
#ifndef NTC_KERNELS_INCLUDES_H
#define NTC_KERNELS_INCLUDES_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the included name (not NUL-terminated) is given by content. */
typedef bool ntc_given_fn(void *ctx, const char *name, size_t len);

/*
 * Check the #include, #include_next, __has_include and __has_include_next of a text, comments and strings
 * passed over: each must name its file literally, and absolute paths must be given. Also in parts that #if leaves out. False
 * with a sentence in `why`; `shown` is the text's name for people.
 */
bool ntc_includes_check(const char *text, size_t len, const char *shown, ntc_given_fn *given, void *ctx, char *why,
			size_t why_size);

#endif
