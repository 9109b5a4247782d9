/* The canonical form of keys: writing, checking and walking; see key.h and docs/key.md. */
#include "proto/key.h"

static const uint8_t key_magic[4] = { 'N', 'T', 'K', 1 };

#define CANONICAL_NAN UINT64_C(0x7ff8000000000000)
#define INFINITY_BITS UINT64_C(0x7ff0000000000000)

static const char *const kind_names[] = {
	[NTC_KIND_KERNEL] = "kernel", [NTC_KIND_HANDLE] = "handle",   [NTC_KIND_SOURCE] = "source",
	[NTC_KIND_LIBRARY] = "library", [NTC_KIND_TUNING] = "tuning",
};

static const char *const type_names[] = {
	[NTC_TYPE_NONE] = "none",     [NTC_TYPE_BOOL] = "bool",   [NTC_TYPE_INT] = "int",
	[NTC_TYPE_FLOAT] = "float",   [NTC_TYPE_STRING] = "string", [NTC_TYPE_BYTES] = "bytes",
	[NTC_TYPE_LIST] = "list",     [NTC_TYPE_SHA256] = "sha256",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

bool ntc_kind_known(unsigned kind)
{
	return kind < COUNT(kind_names) && kind_names[kind];
}

const char *ntc_kind_name(unsigned kind)
{
	return ntc_kind_known(kind) ? kind_names[kind] : "unknown";
}

unsigned ntc_kind_parse(const char *name)
{
	for (unsigned kind = 1; kind < COUNT(kind_names); kind++)
		if (strcmp(name, kind_names[kind]) == 0)
			return kind;
	return 0;
}

const char *ntc_type_name(unsigned type)
{
	return type < COUNT(type_names) && type_names[type] ? type_names[type] : "unknown";
}

/* --- values ------------------------------------------------------------------------------- */

/*
 * Whether the last byte of a two's complement number only repeats the sign that the byte before it
 * already shows; such a byte is not in the one form.
 */
static bool int_has_spare_byte(const uint8_t *p, size_t len)
{
	return len > 1 && ((p[len - 1] == 0x00 && !(p[len - 2] & 0x80)) ||
			   (p[len - 1] == 0xff && (p[len - 2] & 0x80)));
}

static size_t int_trim(const uint8_t *p, size_t len)
{
	while (int_has_spare_byte(p, len))
		len--;
	return len;
}

size_t ntc_value_int(int64_t v, uint8_t out[9])
{
	ntc_store64(out, (uint64_t)v);
	out[8] = v < 0 ? 0xff : 0x00;
	return int_trim(out, 9);
}

size_t ntc_value_uint(uint64_t v, uint8_t out[9])
{
	ntc_store64(out, v);
	out[8] = 0;
	return int_trim(out, 9);
}

/* By its bits, so that no compiler flag and no arithmetic has a say. */
static bool float_is_nan(uint64_t bits)
{
	return (bits & INT64_MAX) > INFINITY_BITS;
}

size_t ntc_value_float(double v, uint8_t out[8])
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	ntc_store64(out, float_is_nan(bits) ? CANONICAL_NAN : bits);
	return 8;
}

void ntc_value_write_item(struct ntc_writer *w, enum ntc_type type, struct ntc_view value)
{
	ntc_write8(w, (uint8_t)type);
	ntc_write_counted(w, value);
}

/* Well-formed UTF-8: shortest forms only, no surrogates, nothing beyond U+10FFFF. */
static bool utf8_valid(struct ntc_view text)
{
	const uint8_t *p = text.p, *end = text.len ? text.p + text.len : text.p;

	while (p < end) {
		size_t more;
		uint32_t c = *p++, least;

		if (c < 0x80)
			continue;
		if (c >= 0xc2 && c <= 0xdf)
			more = 1, c &= 0x1f, least = 0x80;
		else if (c >= 0xe0 && c <= 0xef)
			more = 2, c &= 0x0f, least = 0x800;
		else if (c >= 0xf0 && c <= 0xf4)
			more = 3, c &= 0x07, least = 0x10000;
		else
			return false;
		if (more > (size_t)(end - p))
			return false;
		for (; more; more--, p++) {
			if ((*p & 0xc0) != 0x80)
				return false;
			c = c << 6 | (*p & 0x3f);
		}
		if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
			return false;
	}
	return true;
}

static bool float_canonical(struct ntc_view value)
{
	return value.len == 8 && (!float_is_nan(ntc_load64(value.p)) || ntc_load64(value.p) == CANONICAL_NAN);
}

static enum ntc_status value_check(unsigned type, struct ntc_view value, int depth, struct ntc_reason *reason);

static enum ntc_status list_check(struct ntc_view value, int depth, struct ntc_reason *reason)
{
	struct ntc_reader r = ntc_reader(value.p, value.len);
	uint32_t count = ntc_read32(&r);

	if (depth > NTC_KEY_DEPTH_MAX)
		return ntc_reject(reason, NTC_ST_BAD_KEY, "lists nested deeper than %d", NTC_KEY_DEPTH_MAX);
	for (uint32_t i = 0; i < count && !r.bad; i++) {
		uint8_t type = ntc_read8(&r);
		struct ntc_view item = ntc_read_counted(&r);
		enum ntc_status st;

		if (r.bad)
			break;
		st = value_check(type, item, depth, reason);
		if (st)
			return st;
	}
	if (!ntc_read_done(&r))
		return ntc_reject(reason, NTC_ST_BAD_KEY, "a list's items do not fill its length");
	return NTC_ST_OK;
}

static enum ntc_status value_check(unsigned type, struct ntc_view value, int depth, struct ntc_reason *reason)
{
	bool good = false;

	switch (type) {
	case NTC_TYPE_NONE:
		good = value.len == 0;
		break;
	case NTC_TYPE_BOOL:
		good = value.len == 1 && value.p[0] <= 1;
		break;
	case NTC_TYPE_INT:
		good = value.len >= 1 && value.len <= NTC_KEY_INT_MAX &&
		       !int_has_spare_byte(value.p, value.len);
		break;
	case NTC_TYPE_FLOAT:
		good = float_canonical(value);
		break;
	case NTC_TYPE_STRING:
		good = utf8_valid(value);
		break;
	case NTC_TYPE_BYTES:
		good = true;
		break;
	case NTC_TYPE_LIST:
		return list_check(value, depth + 1, reason);
	case NTC_TYPE_SHA256:
		good = value.len == 32;
		break;
	default:
		return ntc_reject(reason, NTC_ST_BAD_KEY, "type %u is not known", type);
	}
	if (!good)
		return ntc_reject(reason, NTC_ST_BAD_KEY, "a value of %zu bytes is no canonical %s", value.len,
				ntc_type_name(type));
	return NTC_ST_OK;
}

enum ntc_status ntc_value_check(unsigned type, struct ntc_view value, struct ntc_reason *reason)
{
	return value_check(type, value, 0, reason);
}

bool ntc_value_get_int(struct ntc_view value, int64_t *v)
{
	uint8_t wide[8];

	*v = 0;
	if (value.len < 1 || value.len > sizeof(wide))
		return false;
	memset(wide, value.p[value.len - 1] & 0x80 ? 0xff : 0x00, sizeof(wide));
	memcpy(wide, value.p, value.len);
	*v = (int64_t)ntc_load64(wide);
	return true;
}

double ntc_value_get_float(struct ntc_view value)
{
	uint64_t bits = value.len == 8 ? ntc_load64(value.p) : 0;
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

bool ntc_value_next_item(struct ntc_reader *list, enum ntc_type *type, struct ntc_view *value)
{
	if (list->bad || list->left == 0)
		return false;
	*type = ntc_read8(list);
	*value = ntc_read_counted(list);
	return !list->bad;
}

/* --- whole keys --------------------------------------------------------------------------- */

bool ntc_key_name_valid(struct ntc_view name)
{
	if (name.len < 1 || name.len > NTC_KEY_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~' || name.p[i] == '=')
			return false;
	return true;
}

/* One field, given the one before it (or NULL): its name, its place in the order, its value. */
static enum ntc_status field_check(const struct ntc_field *field, const struct ntc_field *before,
				   struct ntc_reason *reason)
{
	struct ntc_reason why;
	enum ntc_status st;
	int order;

	if (!ntc_key_name_valid(field->name))
		return ntc_reject(reason, NTC_ST_BAD_KEY,
				"a field's name must be 1 to %d printable ASCII characters without space and '='",
				NTC_KEY_NAME_MAX);
	order = before ? ntc_view_compare(before->name, field->name) : -1;
	if (order == 0)
		return ntc_reject(reason, NTC_ST_BAD_KEY, "the field %.*s is there twice", (int)field->name.len,
				(const char *)field->name.p);
	if (order > 0)
		return ntc_reject(reason, NTC_ST_BAD_KEY, "the field %.*s is out of order", (int)field->name.len,
				(const char *)field->name.p);
	st = ntc_value_check(field->type, field->value, &why);
	if (st)
		return ntc_reject(reason, st, "field %.*s: %s", (int)field->name.len,
				(const char *)field->name.p, why.text);
	return NTC_ST_OK;
}

enum ntc_status ntc_key_write(struct ntc_writer *w, unsigned kind, const struct ntc_field *fields, size_t n,
			      struct ntc_reason *reason)
{
	size_t size = NTC_KEY_HEADER;

	if (n > NTC_KEY_FIELDS_MAX)
		return ntc_reject(reason, NTC_ST_TOO_LARGE, "%zu fields; a key has at most %d", n,
				NTC_KEY_FIELDS_MAX);
	if (kind > UINT16_MAX)
		return ntc_reject(reason, NTC_ST_BAD_KEY, "kind %u does not fit", kind);
	for (size_t i = 0; i < n; i++) {
		enum ntc_status st = field_check(&fields[i], i ? &fields[i - 1] : NULL, reason);

		if (st)
			return st;
		/* The name is at most 255 bytes now, so only the value can be large. */
		if (fields[i].value.len > NTC_KEY_MAX ||
		    size + NTC_KEY_FIELD_HEADER + fields[i].name.len + fields[i].value.len > NTC_KEY_MAX)
			return ntc_reject(reason, NTC_ST_TOO_LARGE,
					"with field %.*s the key is over %u bytes; put large values in as their SHA-256",
					(int)fields[i].name.len, (const char *)fields[i].name.p, NTC_KEY_MAX);
		size += NTC_KEY_FIELD_HEADER + fields[i].name.len + fields[i].value.len;
	}
	ntc_write_bytes(w, key_magic, sizeof(key_magic));
	ntc_write16(w, (uint16_t)kind);
	ntc_write16(w, (uint16_t)n);
	ntc_write32(w, (uint32_t)size);
	for (size_t i = 0; i < n; i++) {
		ntc_write8(w, (uint8_t)fields[i].type);
		ntc_write8(w, (uint8_t)fields[i].name.len);
		ntc_write32(w, (uint32_t)fields[i].value.len);
		ntc_write_bytes(w, fields[i].name.p, fields[i].name.len);
		ntc_write_bytes(w, fields[i].value.p, fields[i].value.len);
	}
	if (w->bad)
		return ntc_reject(reason, NTC_ST_TOO_LARGE, "the key does not fit its buffer");
	return NTC_ST_OK;
}

enum ntc_status ntc_key_check(struct ntc_view bytes, struct ntc_reason *reason)
{
	struct ntc_field field, before;
	struct ntc_reader r;
	uint16_t count;

	if (bytes.len < NTC_KEY_HEADER || memcmp(bytes.p, key_magic, sizeof(key_magic)) != 0)
		return ntc_reject(reason, NTC_ST_BAD_KEY, "not a key of format 1");
	if (bytes.len > NTC_KEY_MAX)
		return ntc_reject(reason, NTC_ST_TOO_LARGE, "a key of %zu bytes; at most %u", bytes.len, NTC_KEY_MAX);
	if (ntc_load32(bytes.p + 8) != bytes.len)
		return ntc_reject(reason, NTC_ST_BAD_KEY, "the key says it has %u bytes, but has %zu",
				ntc_load32(bytes.p + 8), bytes.len);
	count = ntc_load16(bytes.p + 6);
	if (count > NTC_KEY_FIELDS_MAX)
		return ntc_reject(reason, NTC_ST_TOO_LARGE, "%u fields; a key has at most %d", count,
				NTC_KEY_FIELDS_MAX);
	r = ntc_key_fields(bytes);
	for (unsigned i = 0; i < count; i++) {
		enum ntc_status st;

		if (!ntc_key_next(&r, &field))
			return ntc_reject(reason, NTC_ST_BAD_KEY, "field %u of %u is cut short", i + 1, count);
		st = field_check(&field, i ? &before : NULL, reason);
		if (st)
			return st;
		before = field;
	}
	if (!ntc_read_done(&r))
		return ntc_reject(reason, NTC_ST_BAD_KEY, "%zu bytes follow the last field", r.left);
	return NTC_ST_OK;
}

unsigned ntc_key_kind(struct ntc_view key)
{
	return ntc_load16(key.p + 4);
}

size_t ntc_key_field_count(struct ntc_view key)
{
	return ntc_load16(key.p + 6);
}

struct ntc_reader ntc_key_fields(struct ntc_view key)
{
	return ntc_reader(key.p + NTC_KEY_HEADER, key.len - NTC_KEY_HEADER);
}

bool ntc_key_next(struct ntc_reader *fields, struct ntc_field *field)
{
	uint8_t name_len;
	uint32_t value_len;

	*field = (struct ntc_field){ 0 };
	if (fields->bad || fields->left == 0)
		return false;
	field->type = ntc_read8(fields);
	name_len = ntc_read8(fields);
	value_len = ntc_read32(fields);
	field->name = ntc_read_view(fields, name_len);
	field->value = ntc_read_view(fields, value_len);
	return !fields->bad;
}

bool ntc_key_find(struct ntc_view key, const char *name, struct ntc_field *field)
{
	struct ntc_reader r = ntc_key_fields(key);
	struct ntc_view wanted = ntc_view(name, strlen(name));

	while (ntc_key_next(&r, field))
		if (ntc_view_equal(field->name, wanted))
			return true;
	*field = (struct ntc_field){ 0 };
	return false;
}
