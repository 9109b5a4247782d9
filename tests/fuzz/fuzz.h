/*
 * What the fuzz targets share. A target is one file with LLVMFuzzerTestOneInput(); it is linked with libFuzzer
 * (`make fuzz`) or with replay.c, which runs a corpus (`make check`).
 */
#ifndef NTC_TESTS_FUZZ_FUZZ_H
#define NTC_TESTS_FUZZ_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that holds for every input. Not assert(), which a build may switch off. */
#define FUZZ_REQUIRE(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

/* A heap block of exactly `size` bytes, so that the address sanitizer sees the first byte read or written too far. */
static inline uint8_t *fuzz_alloc(size_t size)
{
	uint8_t *p = malloc(size ? size : 1);

	FUZZ_REQUIRE(p != NULL);
	return p;
}

#endif
