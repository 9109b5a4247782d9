/*
 * What the tests of formats share: hexadecimal text, heap copies of exact size (so that the address sanitizer
 * sees the first byte read too far), files of the source tree, and the fenced blocks of documents.
 *
 * Every function fails the running test where it cannot do its work. Everything given is free()d.
 */
#ifndef NTC_TESTS_SUPPORT_UNIT_DATA_H
#define NTC_TESTS_SUPPORT_UNIT_DATA_H

#include <stddef.h>
#include <stdint.h>

#include "proto/bytes.h"

/* Bytes from hexadecimal digits; white space between bytes is passed over. Given: free(.p) cast. */
struct ntc_view ntc_test_hex(const char *text);

/* Lower-case digits, no spaces. Given. */
char *ntc_test_to_hex(struct ntc_view bytes);

/* A heap block of exactly `len` bytes (one that may not be read if `len` is 0). Given. */
struct ntc_view ntc_test_exact(const void *p, size_t len);

void ntc_test_free(struct ntc_view given);

/* A file of the source tree, NUL-terminated. Given. */
char *ntc_test_source_file(const char *path, size_t *len);

/*
 * Every fenced block of a document that opens with "```KIND NAME": `fn` gets its name and its text (one
 * line after the other, NUL-terminated; it may write into both). Returns their number.
 */
typedef void ntc_test_block_fn(void *ctx, char *name, char *text);
size_t ntc_test_blocks(const char *path, const char *kind, ntc_test_block_fn *fn, void *ctx);

/* The next line of *text without its end, or NULL; moves *text behind it. */
char *ntc_test_line(char **text);

#endif
