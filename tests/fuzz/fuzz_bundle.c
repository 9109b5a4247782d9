/*
 * Any bytes as a bundle, read with windows that grow as the first byte says. Whatever they are: the reader ends, uses every
 * byte once, tells of each item at most once and in order, and of the same things whatever the windows are.
 */
#include "tests/fuzz/fuzz.h"

#include "proto/bundle.h"
#include "proto/digest.h"

/* What was told, folded into a few numbers. */
struct told {
	uint64_t last, entries, damages, missing, items, sum;   /* of one size: compared byte by byte */
};

static struct told tell(const uint8_t *data, size_t size, size_t step)
{
	struct ntc_bundle_reader reader = { 0 };
	struct told told = { .last = NTC_BUNDLE_MORE };
	size_t at = 0, end = step < size ? step : size;

	do {
		uint8_t *window = fuzz_alloc(end - at);
		struct ntc_bundle_found found;
		size_t used;

		memcpy(window, data + at, end - at);
		told.last = ntc_bundle_next(&reader, ntc_view(window, end - at), end == size, &found, &used);
		FUZZ_REQUIRE(used <= end - at);
		if (told.last == NTC_BUNDLE_ENTRY) {
			uint8_t again[NTC_BUNDLE_MARK];

			ntc_bundle_mark_write(&found.mark, again);
			FUZZ_REQUIRE(found.packed.len == found.mark.packed && used == found.packed.len + NTC_BUNDLE_MARK);
			FUZZ_REQUIRE(found.packed.p == window + NTC_BUNDLE_MARK && memcmp(window, again, sizeof(again)) == 0);
			FUZZ_REQUIRE(found.mark.number == told.items);
			told.items++;
			told.entries++;
			told.sum = told.sum * 31 + found.mark.image + found.packed.p[0];
		} else if (told.last == NTC_BUNDLE_DAMAGE) {
			FUZZ_REQUIRE(found.bytes || found.missing);
			FUZZ_REQUIRE(found.at + found.bytes == at + used && found.first == told.items);
			told.items += found.missing;
			told.missing += found.missing;
			told.damages++;
			told.sum = told.sum * 31 + found.at;
		} else if (told.last == NTC_BUNDLE_MORE) {
			FUZZ_REQUIRE(end < size && found.need > end - at - used);
			end = end + step < size ? end + step : size;
		}
		at += used;
		free(window);
		FUZZ_REQUIRE(reader.items == told.items && reader.missing == told.missing);
		FUZZ_REQUIRE(told.last == NTC_BUNDLE_ALIEN || reader.offset == at);
	} while (told.last < NTC_BUNDLE_END);
	FUZZ_REQUIRE(told.last == NTC_BUNDLE_ALIEN || at == size);
	return told;
}

/* Give everything that begins as a mark its right checksum, or no input that was changed would get past it. */
static void mend(uint8_t *bytes, size_t size)
{
	for (size_t at = 0; at + NTC_BUNDLE_MARK <= size; at++) {
		struct ntc_digest checksum;

		if (ntc_load32(bytes + at) != 0x184d2a5b)
			continue;
		checksum = ntc_checksum(ntc_view(bytes + at + 32, NTC_BUNDLE_MARK - 32));
		memcpy(bytes + at + 16, checksum.bytes, sizeof(checksum.bytes));
	}
}

/* The first byte: how windows grow, and whether marks are mended. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct told whole, parts;
	uint8_t *bytes;

	if (size == 0)
		return 0;
	bytes = fuzz_alloc(--size);
	memcpy(bytes, data + 1, size);
	if (data[0] & 1)
		mend(bytes, size);
	whole = tell(bytes, size, size);
	parts = tell(bytes, size, 1 + data[0]);
	FUZZ_REQUIRE(memcmp(&whole, &parts, sizeof(whole)) == 0);
	free(bytes);
	return 0;
}
