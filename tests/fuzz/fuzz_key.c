/*
 * Any bytes as a key: refused with a reason, or walked, read value by value, and written again to the same bytes.
 */
#include "tests/fuzz/fuzz.h"

#include "proto/key.h"

static void read_value(enum ntc_type type, struct ntc_view value, int depth)
{
	struct ntc_reader items;
	enum ntc_type item_type;
	struct ntc_view item;
	uint8_t again[9];
	int64_t n;

	FUZZ_REQUIRE(depth <= NTC_KEY_DEPTH_MAX);
	switch (type) {
	case NTC_TYPE_INT:
		if (ntc_value_get_int(value, &n)) {
			size_t len = ntc_value_int(n, again);

			FUZZ_REQUIRE(ntc_view_equal(value, ntc_view(again, len)));
		} else {
			FUZZ_REQUIRE(value.len > 8);
		}
		break;
	case NTC_TYPE_FLOAT:
		FUZZ_REQUIRE(ntc_value_float(ntc_value_get_float(value), again) == 8);
		FUZZ_REQUIRE(ntc_view_equal(value, ntc_view(again, 8)));
		break;
	case NTC_TYPE_LIST: {
		uint8_t *memory = fuzz_alloc(value.len);
		struct ntc_writer w = ntc_writer(memory, value.len);

		ntc_write32(&w, ntc_load32(value.p));
		items = ntc_reader(value.p + 4, value.len - 4);
		while (ntc_value_next_item(&items, &item_type, &item)) {
			read_value(item_type, item, depth + 1);
			ntc_value_write_item(&w, item_type, item);
		}
		FUZZ_REQUIRE(ntc_read_done(&items) && !w.bad);
		FUZZ_REQUIRE(ntc_view_equal(value, ntc_view(memory, w.len)));
		free(memory);
		break;
	}
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ntc_field fields[NTC_KEY_FIELDS_MAX];
	struct ntc_view key = ntc_view(data, size);
	struct ntc_reason reason = { "" };
	struct ntc_reader r;
	struct ntc_writer w;
	uint8_t *memory;
	size_t n = 0;

	if (ntc_key_check(key, &reason)) {
		FUZZ_REQUIRE(reason.text[0] && memchr(reason.text, 0, sizeof(reason.text)));
		return 0;
	}
	r = ntc_key_fields(key);
	while (n < NTC_KEY_FIELDS_MAX && ntc_key_next(&r, &fields[n])) {
		struct ntc_field found;
		char name[NTC_KEY_NAME_MAX + 1];

		memcpy(name, fields[n].name.p, fields[n].name.len);
		name[fields[n].name.len] = '\0';
		if (n < 16) {
			FUZZ_REQUIRE(ntc_key_find(key, name, &found));
			FUZZ_REQUIRE(found.value.p == fields[n].value.p);
		}
		read_value(fields[n].type, fields[n].value, 0);
		n++;
	}
	FUZZ_REQUIRE(ntc_read_done(&r) && n == ntc_key_field_count(key));
	memory = fuzz_alloc(size);
	w = ntc_writer(memory, size);
	FUZZ_REQUIRE(ntc_key_write(&w, ntc_key_kind(key), fields, n, NULL) == NTC_ST_OK);
	FUZZ_REQUIRE(ntc_view_equal(key, ntc_view(memory, w.len)));
	free(memory);
	return 0;
}
