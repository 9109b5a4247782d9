/* Reading keys and notes: walking a field list, and values as text for people. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "client/ntcache.h"
#include "proto/key.h"

#define STRING_SHOWN 160 /* bytes of a string, */
#define BYTES_SHOWN 32   /* of bytes, */
#define ITEMS_SHOWN 32   /* and items of a list that are shown */

NTC_API bool ntc_field_next(const void *bytes, size_t len, size_t *at, struct ntc_field_value *out)
{
	struct ntc_field field;
	struct ntc_reader r;

	*out = (struct ntc_field_value){ 0 };
	if (!bytes || len < NTC_KEY_HEADER || *at > len)
		return false;
	if (*at == 0)
		*at = NTC_KEY_HEADER;
	r = ntc_reader((const uint8_t *)bytes + *at, len - *at);
	if (!ntc_key_next(&r, &field))
		return false;
	*at = len - r.left;
	*out = (struct ntc_field_value){
		.name = (const char *)field.name.p,
		.name_len = field.name.len,
		.type = field.type,
		.value = field.value.p,
		.len = field.value.len,
	};
	return true;
}

/* --- text --------------------------------------------------------------------------------- */

/* As snprintf(): counts everything, writes what fits in front of the NUL. */
struct text {
	char *out;
	size_t size, len;
};

static void put_char(struct text *t, char c)
{
	if (t->len + 1 < t->size)
		t->out[t->len] = c;
	t->len++;
}

static void NTC_PRINTF(2, 3) put(struct text *t, const char *fmt, ...)
{
	char piece[64];
	va_list args;

	va_start(args, fmt);
	vsnprintf(piece, sizeof(piece), fmt, args);
	va_end(args);
	for (const char *p = piece; *p; p++)
		put_char(t, *p);
}

/* Two's complement of up to 256 bits in decimal: divided by ten, byte by byte. */
static void put_int(struct text *t, struct ntc_view value)
{
	uint8_t magnitude[NTC_KEY_INT_MAX + 1];
	char digits[80];
	size_t n = 0, len = value.len;
	bool negative, more;

	if (len < 1 || len > NTC_KEY_INT_MAX) {
		put(t, "?");
		return;
	}
	negative = value.p[len - 1] & 0x80;
	memcpy(magnitude, value.p, len);
	if (negative) {
		unsigned carry = 1;

		for (size_t i = 0; i < len; i++) {
			carry += (uint8_t)~magnitude[i];
			magnitude[i] = (uint8_t)carry;
			carry >>= 8;
		}
		/* The carry out is lost only for zero, which is not negative. */
		put_char(t, '-');
	}
	do {
		unsigned rest = 0;

		more = false;
		for (size_t i = len; i-- > 0;) {
			rest = rest << 8 | magnitude[i];
			magnitude[i] = (uint8_t)(rest / 10);
			rest %= 10;
			more = more || magnitude[i];
		}
		digits[n++] = (char)('0' + rest);
	} while (more);
	while (n)
		put_char(t, digits[--n]);
}

/* The fewest digits that read back as the same number, and a mark that it is no integer. */
static void put_float(struct text *t, double v)
{
	char piece[40];

	if (isnan(v)) {
		put(t, "nan");
		return;
	}
	if (isinf(v)) {
		put(t, v < 0 ? "-inf" : "inf");
		return;
	}
	for (int precision = 1; precision <= 17; precision++) {
		snprintf(piece, sizeof(piece), "%.*g", precision, v);
		if (strtod(piece, NULL) == v)
			break;
	}
	put(t, "%s%s", piece, strpbrk(piece, ".e") ? "" : ".0");
}

static void put_string(struct text *t, struct ntc_view value)
{
	size_t shown = value.len;

	if (shown > STRING_SHOWN) {
		/* Not in the middle of a character. */
		for (shown = STRING_SHOWN; shown && (value.p[shown] & 0xc0) == 0x80;)
			shown--;
	}
	put_char(t, '"');
	for (size_t i = 0; i < shown; i++) {
		uint8_t c = value.p[i];

		if (c == '"' || c == '\\')
			put(t, "\\%c", c);
		else if (c == '\n')
			put(t, "\\n");
		else if (c == '\t')
			put(t, "\\t");
		else if (c < ' ' || c == 0x7f)
			put(t, "\\x%02x", c);
		else
			put_char(t, (char)c);
	}
	put_char(t, '"');
	if (shown < value.len)
		put(t, "... (%zu bytes)", value.len);
}

static void put_hex(struct text *t, struct ntc_view value, size_t most)
{
	for (size_t i = 0; i < value.len && i < most; i++)
		put(t, "%02x", value.p[i]);
	if (value.len > most)
		put(t, "... (%zu bytes)", value.len);
}

static void put_value(struct text *t, enum ntc_type type, struct ntc_view value, int depth);

static void put_list(struct text *t, struct ntc_view value, int depth)
{
	struct ntc_reader r = ntc_reader(value.p, value.len);
	uint32_t count = ntc_read32(&r);
	struct ntc_view item;
	enum ntc_type type;

	put_char(t, '[');
	for (uint32_t i = 0; ntc_value_next_item(&r, &type, &item); i++) {
		if (i)
			put(t, ", ");
		if (i == ITEMS_SHOWN) {
			put(t, "... (%u items)", count);
			break;
		}
		if (depth < NTC_KEY_DEPTH_MAX)
			put_value(t, type, item, depth + 1);
	}
	put_char(t, ']');
}

static void put_value(struct text *t, enum ntc_type type, struct ntc_view value, int depth)
{
	switch (type) {
	case NTC_TYPE_NONE:
		put(t, "none");
		return;
	case NTC_TYPE_BOOL:
		put(t, value.len && value.p[0] ? "true" : "false");
		return;
	case NTC_TYPE_INT:
		put_int(t, value);
		return;
	case NTC_TYPE_FLOAT:
		put_float(t, ntc_value_get_float(value));
		return;
	case NTC_TYPE_STRING:
		put_string(t, value);
		return;
	case NTC_TYPE_BYTES:
		put(t, "bytes:");
		put_hex(t, value, BYTES_SHOWN);
		return;
	case NTC_TYPE_LIST:
		put_list(t, value, depth);
		return;
	case NTC_TYPE_SHA256:
		put(t, "sha256:");
		put_hex(t, value, 32);
		return;
	}
	put(t, "?");
}

NTC_API size_t ntc_field_text(const struct ntc_field_value *field, char *out, size_t size)
{
	struct text t = { .out = out, .size = size };

	put_value(&t, field->type, ntc_view(field->value, field->len), 0);
	if (size)
		out[t.len < size ? t.len : size - 1] = '\0';
	return t.len;
}
