/* The sealed image of an entry: writing, parsing, verifying; see entry.h and docs/entry.md. */
#include "proto/entry.h"

#include "proto/key.h"

/*
 * Header of a body. The checksum covers everything behind itself; the magic is compared by itself.
 *
 *      0  magic            8    "NTCBODY\1"
 *      8  checksum        16    XXH3-128 of bytes 24 .. end
 *     24  body length      8
 *     32  key length       4
 *     36  notes length     4
 *     40  part count       4
 *     44  names length     4
 *     48  zero            16
 */
enum {
	AT_CHECKSUM = 8,
	AT_SEALED = 24,
	AT_KEY_LEN = 32,
	AT_NOTES_LEN = 36,
	AT_PART_COUNT = 40,
	AT_NAMES_LEN = 44,
	AT_ZERO = 48,
};

/* A row of the part table: where its name and its data are, from the start of the body. */
enum { ROW_NAME_AT = 0, ROW_NAME_LEN = 4, ROW_DATA_AT = 8, ROW_DATA_LEN = 16, ROW_ZERO = 24 };

static const uint8_t body_magic[8] = { 'N', 'T', 'C', 'B', 'O', 'D', 'Y', 1 };
static const uint8_t stamp_magic[8] = { 'N', 'T', 'C', 'S', 'T', 'M', 'P', 1 };

/* Callers have bounded `n` well below SIZE_MAX - 64. */
static uint64_t align_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

static bool all_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

bool ntc_part_name_valid(struct ntc_view name)
{
	if (name.len < 1 || name.len > NTC_PART_NAME_MAX || name.p[0] == '.')
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~' || name.p[i] == '/')
			return false;
	return true;
}

/* --- layout: the one place that says where things are ------------------------------------- */

struct layout {
	uint64_t notes_at, table_at, names_at, parts_at;
};

/* From lengths that were compared with their limits before. */
static struct layout layout_of(uint64_t key_len, uint64_t notes_len, uint64_t part_count, uint64_t names_len)
{
	struct layout l;

	l.notes_at = NTC_BODY_HEADER + key_len;
	l.table_at = align_up(l.notes_at + notes_len, 8);
	l.names_at = l.table_at + part_count * NTC_PART_ROW;
	l.parts_at = align_up(l.names_at + names_len, NTC_BODY_ALIGN);
	return l;
}

static enum ntc_status notes_check(struct ntc_view notes, struct ntc_reason *reason)
{
	struct ntc_reason why;

	if (notes.len > NTC_NOTES_MAX)
		return ntc_reject(reason, NTC_ST_TOO_LARGE, "notes of %zu bytes; at most %u", notes.len,
				NTC_NOTES_MAX);
	if (notes.len && ntc_key_check(notes, &why))
		return ntc_reject(reason, NTC_ST_BAD_IMAGE, "notes: %s", why.text);
	return NTC_ST_OK;
}

static enum ntc_status key_check(struct ntc_view key, struct ntc_reason *reason)
{
	enum ntc_status st = ntc_key_check(key, reason);

	if (st)
		return st;
	if (!ntc_kind_known(ntc_key_kind(key)))
		return ntc_reject(reason, NTC_ST_BAD_KEY, "kind %u is not known", ntc_key_kind(key));
	return NTC_ST_OK;
}

/* --- writing ------------------------------------------------------------------------------ */

static uint64_t names_length(const struct ntc_body_spec *spec)
{
	uint64_t len = 0;

	for (size_t i = 0; i < spec->part_count; i++)
		len += spec->parts[i].name.len;
	return len;
}

static enum ntc_status spec_check(const struct ntc_body_spec *spec, struct ntc_reason *reason)
{
	enum ntc_status st = key_check(spec->key, reason);

	if (st)
		return st;
	st = notes_check(spec->notes, reason);
	if (st)
		return st;
	if (spec->part_count > NTC_PARTS_MAX)
		return ntc_reject(reason, NTC_ST_TOO_LARGE, "%zu parts; at most %d", spec->part_count, NTC_PARTS_MAX);
	for (size_t i = 0; i < spec->part_count; i++) {
		const struct ntc_part *part = &spec->parts[i];

		if (!ntc_part_name_valid(part->name))
			return ntc_reject(reason, NTC_ST_BAD_IMAGE, "part %zu has a name that no file may have", i);
		if (i && ntc_view_compare(spec->parts[i - 1].name, part->name) >= 0)
			return ntc_reject(reason, NTC_ST_BAD_IMAGE, "the part %.*s is there twice or out of order",
					(int)part->name.len, (const char *)part->name.p);
		if (part->data.len > NTC_BODY_MAX)
			return ntc_reject(reason, NTC_ST_TOO_LARGE, "the part %.*s has %zu bytes; at most %llu",
					(int)part->name.len, (const char *)part->name.p, part->data.len,
					(unsigned long long)NTC_BODY_MAX);
	}
	return NTC_ST_OK;
}

size_t ntc_body_size(const struct ntc_body_spec *spec, enum ntc_status *st, struct ntc_reason *reason)
{
	uint64_t at;

	*st = spec_check(spec, reason);
	if (*st)
		return 0;
	at = layout_of(spec->key.len, spec->notes.len, spec->part_count, names_length(spec)).parts_at;
	/* At most NTC_PARTS_MAX times NTC_BODY_MAX: far from wrapping. */
	for (size_t i = 0; i < spec->part_count; i++)
		at = align_up(at + spec->parts[i].data.len, NTC_BODY_ALIGN);
	if (at > NTC_BODY_MAX) {
		*st = ntc_reject(reason, NTC_ST_TOO_LARGE, "an entry of %llu bytes; at most %llu",
			       (unsigned long long)at, (unsigned long long)NTC_BODY_MAX);
		return 0;
	}
	return (size_t)at;
}

void ntc_body_write(const struct ntc_body_spec *spec, uint8_t *out)
{
	uint64_t names_len = names_length(spec);
	struct layout l = layout_of(spec->key.len, spec->notes.len, spec->part_count, names_len);
	uint64_t name_at = l.names_at, part_at = l.parts_at;
	struct ntc_digest checksum;

	memset(out, 0, l.parts_at);
	memcpy(out, body_magic, sizeof(body_magic));
	ntc_store32(out + AT_KEY_LEN, (uint32_t)spec->key.len);
	ntc_store32(out + AT_NOTES_LEN, (uint32_t)spec->notes.len);
	ntc_store32(out + AT_PART_COUNT, (uint32_t)spec->part_count);
	ntc_store32(out + AT_NAMES_LEN, (uint32_t)names_len);
	memcpy(out + NTC_BODY_HEADER, spec->key.p, spec->key.len);
	if (spec->notes.len)
		memcpy(out + l.notes_at, spec->notes.p, spec->notes.len);
	for (size_t i = 0; i < spec->part_count; i++) {
		const struct ntc_part *part = &spec->parts[i];
		uint8_t *row = out + l.table_at + i * NTC_PART_ROW;
		uint64_t end = part_at + part->data.len;

		ntc_store32(row + ROW_NAME_AT, (uint32_t)name_at);
		ntc_store32(row + ROW_NAME_LEN, (uint32_t)part->name.len);
		ntc_store64(row + ROW_DATA_AT, part_at);
		ntc_store64(row + ROW_DATA_LEN, part->data.len);
		memcpy(out + name_at, part->name.p, part->name.len);
		if (part->data.len)
			memcpy(out + part_at, part->data.p, part->data.len);
		name_at += part->name.len;
		part_at = align_up(end, NTC_BODY_ALIGN);
		memset(out + end, 0, part_at - end);
	}
	ntc_store64(out + AT_SEALED, part_at);
	checksum = ntc_checksum(ntc_view(out + AT_SEALED, part_at - AT_SEALED));
	memcpy(out + AT_CHECKSUM, checksum.bytes, sizeof(checksum.bytes));
}

/* --- parsing ------------------------------------------------------------------------------ */

static enum ntc_status malformed(struct ntc_reason *reason, const char *what)
{
	return ntc_reject(reason, NTC_ST_BAD_IMAGE, "%s", what);
}

/* Each row has to say exactly what the layout says; the last part has to end the body. */
static enum ntc_status table_check(const struct ntc_body *body, const struct layout *l, uint64_t names_len,
				   struct ntc_reason *reason)
{
	uint64_t size = body->bytes.len, name_at = l->names_at, data_at = l->parts_at;
	uint64_t names_end = l->names_at + names_len;
	struct ntc_view before = { 0 };

	for (size_t i = 0; i < body->part_count; i++) {
		const uint8_t *row = body->table + i * NTC_PART_ROW;
		uint32_t name_len = ntc_load32(row + ROW_NAME_LEN);
		uint64_t data_len = ntc_load64(row + ROW_DATA_LEN), data_end;
		struct ntc_view name;

		if (ntc_load32(row + ROW_NAME_AT) != name_at || name_len > names_end - name_at)
			return malformed(reason, "a part's name is out of place");
		name = ntc_view(body->bytes.p + name_at, name_len);
		if (!ntc_part_name_valid(name))
			return malformed(reason, "a part has a name that no file may have");
		if (i && ntc_view_compare(before, name) >= 0)
			return malformed(reason, "a part is there twice or out of order");
		if (ntc_load64(row + ROW_DATA_AT) != data_at || data_len > size - data_at)
			return malformed(reason, "a part is out of place");
		if (ntc_load64(row + ROW_ZERO) != 0)
			return malformed(reason, "a part's row is not zero where it has to be");
		/* data_end is at most size, which is at most NTC_BODY_MAX and a multiple of 64. */
		data_end = data_at + data_len;
		data_at = align_up(data_end, NTC_BODY_ALIGN);
		if (!all_zero(body->bytes.p + data_end, data_at - data_end))
			return malformed(reason, "the padding behind a part is not zero");
		name_at += name_len;
		before = name;
	}
	if (name_at != names_end || data_at != size)
		return malformed(reason, "the parts do not fill the body");
	return NTC_ST_OK;
}

/* `known`: a key that is canonical and has to be this body's, or NULL. */
static enum ntc_status parse(struct ntc_view bytes, const struct ntc_view *known, struct ntc_body *body,
			     struct ntc_reason *reason)
{
	struct ntc_body b = { .bytes = bytes };
	uint32_t key_len, notes_len, part_count, names_len;
	enum ntc_status st;
	struct layout l;

	*body = (struct ntc_body){ 0 };
	if (bytes.len < NTC_BODY_HEADER || memcmp(bytes.p, body_magic, sizeof(body_magic)) != 0)
		return malformed(reason, "not an entry of format 1");
	if (bytes.len > NTC_BODY_MAX)
		return ntc_reject(reason, NTC_ST_TOO_LARGE, "an entry of %zu bytes; at most %llu", bytes.len,
				(unsigned long long)NTC_BODY_MAX);
	if (ntc_load64(bytes.p + AT_SEALED) != bytes.len || bytes.len % NTC_BODY_ALIGN)
		return malformed(reason, "the entry has another length than it says");
	key_len = ntc_load32(bytes.p + AT_KEY_LEN);
	notes_len = ntc_load32(bytes.p + AT_NOTES_LEN);
	part_count = ntc_load32(bytes.p + AT_PART_COUNT);
	names_len = ntc_load32(bytes.p + AT_NAMES_LEN);
	if (key_len > NTC_KEY_MAX || notes_len > NTC_NOTES_MAX || part_count > NTC_PARTS_MAX ||
	    names_len > NTC_PARTS_MAX * NTC_PART_NAME_MAX)
		return malformed(reason, "a length in the header is over its limit");
	if (!all_zero(bytes.p + AT_ZERO, NTC_BODY_HEADER - AT_ZERO))
		return malformed(reason, "the header is not zero where it has to be");
	l = layout_of(key_len, notes_len, part_count, names_len);
	if (l.parts_at > bytes.len)
		return malformed(reason, "the entry is cut short");
	if (!all_zero(bytes.p + l.notes_at + notes_len, l.table_at - l.notes_at - notes_len) ||
	    !all_zero(bytes.p + l.names_at + names_len, l.parts_at - l.names_at - names_len))
		return malformed(reason, "the padding is not zero");
	b.key = ntc_view(bytes.p + NTC_BODY_HEADER, key_len);
	b.notes = ntc_view(notes_len ? bytes.p + l.notes_at : NULL, notes_len);
	b.part_count = part_count;
	b.table = bytes.p + l.table_at;
	memcpy(b.checksum.bytes, bytes.p + AT_CHECKSUM, sizeof(b.checksum.bytes));
	if (!known)
		st = key_check(b.key, reason);
	else if (ntc_view_equal(b.key, *known))
		st = NTC_ST_OK;
	else
		st = ntc_reject(reason, NTC_ST_KEY_MISMATCH, "the entry was made for another key");
	if (!st)
		st = notes_check(b.notes, reason);
	if (!st)
		st = table_check(&b, &l, names_len, reason);
	if (st)
		return st;
	b.kind = ntc_key_kind(b.key);
	*body = b;
	return NTC_ST_OK;
}

enum ntc_status ntc_body_parse(struct ntc_view bytes, struct ntc_body *body, struct ntc_reason *reason)
{
	return parse(bytes, NULL, body, reason);
}

enum ntc_status ntc_body_verify(const struct ntc_body *body)
{
	struct ntc_digest sum = ntc_checksum(ntc_view(body->bytes.p + AT_SEALED, body->bytes.len - AT_SEALED));

	return ntc_digest_equal(&sum, &body->checksum) ? NTC_ST_OK : NTC_ST_BAD_CHECKSUM;
}

struct ntc_part ntc_body_part(const struct ntc_body *body, size_t i)
{
	const uint8_t *row = body->table + i * NTC_PART_ROW;

	return (struct ntc_part){
		.name = ntc_view(body->bytes.p + ntc_load32(row + ROW_NAME_AT), ntc_load32(row + ROW_NAME_LEN)),
		.data = ntc_view(body->bytes.p + ntc_load64(row + ROW_DATA_AT), ntc_load64(row + ROW_DATA_LEN)),
	};
}

bool ntc_body_find(const struct ntc_body *body, struct ntc_view name, struct ntc_part *part)
{
	size_t low = 0, high = body->part_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		struct ntc_part p = ntc_body_part(body, middle);
		int c = ntc_view_compare(p.name, name);

		if (c == 0) {
			*part = p;
			return true;
		}
		if (c < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*part = (struct ntc_part){ 0 };
	return false;
}

/* --- stamp -------------------------------------------------------------------------------- */

/*
 *      0  magic            8    "NTCSTMP\1"
 *      8  checksum        16    XXH3-128 of bytes 24 .. 255
 *     24  body's checksum 16
 *     40  put             8    wall clock, ns since 1970
 *     48  cost            8    ns
 *     56  uid, gid, pid   12
 *     68  zero            28
 *     96  host            64   zero-padded text
 *    160  executable      96   zero-padded text
 */
enum {
	STAMP_AT_CHECKSUM = 8,
	STAMP_AT_SEALED = 24,
	STAMP_AT_PUT = 40,
	STAMP_AT_COST = 48,
	STAMP_AT_UID = 56,
	STAMP_AT_GID = 60,
	STAMP_AT_PID = 64,
	STAMP_AT_HOST = 96,
	STAMP_AT_EXE = 160,
};

static struct ntc_digest stamp_checksum(const uint8_t *stamp)
{
	return ntc_checksum(ntc_view(stamp + STAMP_AT_SEALED, NTC_STAMP_SIZE - STAMP_AT_SEALED));
}

void ntc_stamp_write(const struct ntc_stamp *stamp, const struct ntc_digest *body_checksum,
		     uint8_t out[NTC_STAMP_SIZE])
{
	struct ntc_digest sum;

	memset(out, 0, NTC_STAMP_SIZE);
	memcpy(out, stamp_magic, sizeof(stamp_magic));
	memcpy(out + STAMP_AT_SEALED, body_checksum->bytes, sizeof(body_checksum->bytes));
	ntc_store64(out + STAMP_AT_PUT, stamp->put_wall_ns);
	ntc_store64(out + STAMP_AT_COST, stamp->cost_ns);
	ntc_store32(out + STAMP_AT_UID, stamp->uid);
	ntc_store32(out + STAMP_AT_GID, stamp->gid);
	ntc_store32(out + STAMP_AT_PID, stamp->pid);
	memcpy(out + STAMP_AT_HOST, stamp->host, strnlen(stamp->host, sizeof(stamp->host) - 1));
	memcpy(out + STAMP_AT_EXE, stamp->exe, strnlen(stamp->exe, sizeof(stamp->exe) - 1));
	sum = stamp_checksum(out);
	memcpy(out + STAMP_AT_CHECKSUM, sum.bytes, sizeof(sum.bytes));
}

enum ntc_status ntc_stamp_read(const uint8_t in[NTC_STAMP_SIZE], const struct ntc_digest *body_checksum,
			       struct ntc_stamp *stamp)
{
	struct ntc_stamp s = { 0 };
	uint8_t again[NTC_STAMP_SIZE];
	struct ntc_digest sum;

	*stamp = s;
	if (all_zero(in, NTC_STAMP_SIZE))
		return NTC_ST_NOT_FOUND;
	sum = stamp_checksum(in);
	if (memcmp(in, stamp_magic, sizeof(stamp_magic)) != 0 ||
	    memcmp(in + STAMP_AT_CHECKSUM, sum.bytes, sizeof(sum.bytes)) != 0)
		return NTC_ST_BAD_CHECKSUM;
	if (memcmp(in + STAMP_AT_SEALED, body_checksum->bytes, sizeof(body_checksum->bytes)) != 0)
		return NTC_ST_KEY_MISMATCH;
	s.put_wall_ns = ntc_load64(in + STAMP_AT_PUT);
	s.cost_ns = ntc_load64(in + STAMP_AT_COST);
	s.uid = ntc_load32(in + STAMP_AT_UID);
	s.gid = ntc_load32(in + STAMP_AT_GID);
	s.pid = ntc_load32(in + STAMP_AT_PID);
	memcpy(s.host, in + STAMP_AT_HOST, sizeof(s.host) - 1);
	memcpy(s.exe, in + STAMP_AT_EXE, sizeof(s.exe) - 1);
	/* One form for one content: nothing hides in the reserved bytes or behind a text's end. */
	ntc_stamp_write(&s, body_checksum, again);
	if (memcmp(in, again, NTC_STAMP_SIZE) != 0)
		return NTC_ST_BAD_IMAGE;
	*stamp = s;
	return NTC_ST_OK;
}

/* --- image -------------------------------------------------------------------------------- */

static enum ntc_status image_parse(struct ntc_view bytes, const struct ntc_view *known, struct ntc_image *image,
				   struct ntc_reason *reason)
{
	enum ntc_status st;

	*image = (struct ntc_image){ 0 };
	if (bytes.len < NTC_STAMP_SIZE)
		return malformed(reason, "the entry is cut short");
	st = parse(ntc_view(bytes.p, bytes.len - NTC_STAMP_SIZE), known, &image->body, reason);
	if (st)
		return st;
	image->stamp = bytes.p + bytes.len - NTC_STAMP_SIZE;
	return NTC_ST_OK;
}

enum ntc_status ntc_image_parse(struct ntc_view bytes, struct ntc_image *image, struct ntc_reason *reason)
{
	return image_parse(bytes, NULL, image, reason);
}

enum ntc_status ntc_image_parse_of(struct ntc_view bytes, struct ntc_view key, struct ntc_image *image,
				   struct ntc_reason *reason)
{
	return image_parse(bytes, &key, image, reason);
}
