/* Images that tell whether they are right; see unit_image.h. */
#include "tests/support/unit_image.h"

#include <stdlib.h>

#include "proto/entry.h"
#include "proto/key.h"

struct ntc_view ntc_test_key(uint32_t k, uint8_t out[NTC_TEST_KEY_MAX])
{
	struct ntc_writer w = ntc_writer(out, NTC_TEST_KEY_MAX);
	uint8_t number[9], text[300];
	struct ntc_field fields[2] = {
		{ .name = ntc_view("n", 1),
		  .type = NTC_TYPE_INT,
		  .value = ntc_view(number, ntc_value_uint(k, number)) },
		{ .name = ntc_view("text", 4),
		  .type = NTC_TYPE_STRING,
		  .value = ntc_view(text, k * 37 % sizeof(text)) },
	};

	memset(text, 'a' + (int)(k % 26), sizeof(text));
	if (ntc_key_write(&w, NTC_KIND_KERNEL, fields, 2, NULL))
		return ntc_view(NULL, 0);
	return ntc_view(out, w.len);
}

static void fill(uint8_t *p, size_t size, uint32_t k, uint32_t round)
{
	uint64_t x = (uint64_t)k << 32 | round;

	for (size_t i = 0; i < size; i += 8) {
		uint64_t word = x + i * UINT64_C(0x9e3779b97f4a7c15);

		memcpy(p + i, &word, size - i < 8 ? size - i : 8);
	}
}

/* The spec of a body; `part` and `key` are its memory. */
static struct ntc_body_spec spec_of(uint32_t k, const uint8_t *data, size_t size, struct ntc_part *part,
				    uint8_t *key)
{
	*part = (struct ntc_part){ ntc_view("data", 4), ntc_view(data, size) };
	return (struct ntc_body_spec){ .key = ntc_test_key(k, key), .parts = part, .part_count = 1 };
}

size_t ntc_test_image_size(uint32_t k, size_t size)
{
	static const uint8_t nothing[1];
	uint8_t key[NTC_TEST_KEY_MAX];
	struct ntc_part part;
	struct ntc_body_spec spec = spec_of(k, nothing, size < 8 ? 8 : size, &part, key);
	enum ntc_status st;
	size_t body = ntc_body_size(&spec, &st, NULL);

	return body ? body + NTC_STAMP_SIZE : 0;
}

void ntc_test_image_write(uint32_t k, uint32_t round, size_t size, uint8_t *out)
{
	size_t len = size < 8 ? 8 : size, image = ntc_test_image_size(k, size);
	struct ntc_stamp stamp = { .cost_ns = (uint64_t)k << 32 | round };
	uint8_t key[NTC_TEST_KEY_MAX], *data = malloc(len);
	struct ntc_body_spec spec;
	struct ntc_part part;
	struct ntc_body body;

	if (!data)
		abort();
	fill(data, len, k, round);
	spec = spec_of(k, data, len, &part, key);
	ntc_body_write(&spec, out);
	free(data);
	if (ntc_body_parse(ntc_view(out, image - NTC_STAMP_SIZE), &body, NULL))
		abort();
	ntc_stamp_write(&stamp, &body.checksum, out + image - NTC_STAMP_SIZE);
}

struct ntc_view ntc_test_image(uint32_t k, uint32_t round, size_t size, struct ntc_digest *digest)
{
	size_t len = ntc_test_image_size(k, size);
	uint8_t key[NTC_TEST_KEY_MAX], *image = malloc(len);

	if (!image)
		abort();
	ntc_test_image_write(k, round, size, image);
	*digest = ntc_key_digest(ntc_test_key(k, key));
	return ntc_view(image, len);
}

bool ntc_test_image_good(struct ntc_view bytes, uint32_t k, uint32_t *round)
{
	uint8_t key[NTC_TEST_KEY_MAX];
	struct ntc_stamp stamp;
	struct ntc_image image;
	struct ntc_part part;
	uint64_t first;

	if (ntc_image_parse(bytes, &image, NULL) || !ntc_view_equal(image.body.key, ntc_test_key(k, key)) ||
	    image.body.part_count != 1 || ntc_body_verify(&image.body) ||
	    ntc_stamp_read(image.stamp, &image.body.checksum, &stamp))
		return false;
	part = ntc_body_part(&image.body, 0);
	memcpy(&first, part.data.p, sizeof(first));
	*round = (uint32_t)first;
	if (first != ((uint64_t)k << 32 | *round) || stamp.cost_ns != first)
		return false;
	for (size_t i = 0; i < part.data.len; i += 8) {
		uint64_t word = first + i * UINT64_C(0x9e3779b97f4a7c15);

		if (memcmp(part.data.p + i, &word, part.data.len - i < 8 ? part.data.len - i : 8) != 0)
			return false;
	}
	return true;
}
