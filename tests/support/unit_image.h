/*
 * Numbered keys, and images whose every byte follows from key, round and size, so that anybody can tell a right one
 * from a mixture. Nothing here asserts: usable in threads and children.
 */
#ifndef NTC_TESTS_SUPPORT_UNIT_IMAGE_H
#define NTC_TESTS_SUPPORT_UNIT_IMAGE_H

#include "proto/digest.h"

#define NTC_TEST_KEY_MAX 512

/* The canonical key of number `k`, in `out`. Its length depends on k. */
struct ntc_view ntc_test_key(uint32_t k, uint8_t out[NTC_TEST_KEY_MAX]);

/* The bytes of an image of that key with a part of `size` bytes (at least 8); 0 if it cannot be. */
size_t ntc_test_image_size(uint32_t k, size_t size);

/* Write it into `out`. */
void ntc_test_image_write(uint32_t k, uint32_t round, size_t size, uint8_t *out);

/* The same in memory of its own: given, ntc_test_free() of unit_data.h. *digest is its key's. */
struct ntc_view ntc_test_image(uint32_t k, uint32_t round, size_t size, struct ntc_digest *digest);

/* Whether these bytes are exactly such an image of `k`; its round in *round. */
bool ntc_test_image_good(struct ntc_view image, uint32_t k, uint32_t *round);

#endif
