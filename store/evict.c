/* Choice of victims; see evict.h. */
#include "store/evict.h"

#include <stdlib.h>
#include <string.h>

uint64_t ntc_evict_need(uint64_t bytes, uint64_t max_bytes)
{
	if (!max_bytes || bytes <= max_bytes)
		return 0;
	return bytes - max_bytes / 100 * NTC_EVICT_DOWN_PERCENT - max_bytes % 100 * NTC_EVICT_DOWN_PERCENT / 100;
}

static int by_value(const void *va, const void *vb)
{
	const struct ntc_row *a = va, *b = vb;

	if (a->value != b->value)
		return a->value < b->value ? -1 : 1;
	return memcmp(a->digest.bytes, b->digest.bytes, sizeof(a->digest.bytes));
}

size_t ntc_evict_choose(struct ntc_row *rows, size_t count, uint64_t need)
{
	uint64_t freed = 0;
	size_t n = 0;

	if (count)
		qsort(rows, count, sizeof(*rows), by_value);
	while (n < count && freed < need)
		freed += rows[n++].size;
	return n;
}
