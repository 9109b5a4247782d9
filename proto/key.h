/*
 * Keys: everything that can change a result, in one canonical byte form (docs/key.md).
 *
 *     magic "NTK\1" | kind u16 | fields u16 | size u32 | field ...
 *     field: type u8 | name length u8 | value length u32 | name | value
 *
 * Fields stand in strictly ascending order of their names, so the order in which a caller added them
 * does not matter and no name comes twice. Every value has one form. Two keys are equal exactly when
 * their bytes are; nothing here compares digests.
 *
 * The same form carries an entry's notes and the daemon's statistics ("field lists").
 *
 * Pure: no allocation, no I/O, no state; safe from any thread. All views are borrowed.
 */
#ifndef NTC_PROTO_KEY_H
#define NTC_PROTO_KEY_H

#include "proto/bytes.h"
#include "proto/digest.h"
#include "proto/ntcache_types.h"
#include "proto/status.h"

#define NTC_KEY_HEADER 12
#define NTC_KEY_FIELD_HEADER 6
#define NTC_KEY_MAX (1u << 20)      /* bytes of a whole key */
#define NTC_KEY_FIELDS_MAX 4096     /* fields of one key */
#define NTC_KEY_NAME_MAX 255        /* bytes of a field's name */
#define NTC_KEY_DEPTH_MAX 8         /* lists in lists */
#define NTC_KEY_INT_MAX 32          /* bytes of an integer */

/* One field: its name, its type and its value in canonical form. */
struct ntc_field {
	struct ntc_view name;
	enum ntc_type type;
	struct ntc_view value;
};

/* Whether a kind is one that entries may have. */
bool ntc_kind_known(unsigned kind);

/* "kernel", "handle", ...; "unknown" for others. Static. */
const char *ntc_kind_name(unsigned kind);

/* The kind of that name, or 0. */
unsigned ntc_kind_parse(const char *name);

/* "none", "bool", ...; "unknown" for others. Static. */
const char *ntc_type_name(unsigned type);

/* --- values ------------------------------------------------------------------------------- */

/* Canonical bytes of scalars. The int and float forms write into `out` and return the length used. */
size_t ntc_value_int(int64_t v, uint8_t out[9]);
size_t ntc_value_uint(uint64_t v, uint8_t out[9]);
size_t ntc_value_float(double v, uint8_t out[8]);

/* One item of a list: type u8, length u32, value. */
void ntc_value_write_item(struct ntc_writer *w, enum ntc_type type, struct ntc_view value);

/* Whether `value` is the canonical form of some value of `type`. */
enum ntc_status ntc_value_check(unsigned type, struct ntc_view value, struct ntc_reason *reason);

/*
 * Read a checked value back. The int form fails (false, 0) outside INT64_MIN .. INT64_MAX; the float form
 * gives 0 for what is no float.
 */
bool ntc_value_get_int(struct ntc_view value, int64_t *v);
double ntc_value_get_float(struct ntc_view value);

/* The next item of a checked list value; false at its end. Start with a reader over value + 4. */
bool ntc_value_next_item(struct ntc_reader *list, enum ntc_type *type, struct ntc_view *value);

/* --- whole keys --------------------------------------------------------------------------- */

/*
 * Write a field list. `fields` must be sorted by name, without a name twice, each in canonical form: all
 * of that is checked. With a counting writer it measures. Fails BAD_KEY (order, names, values) or TOO_LARGE
 * (fields, bytes, or `w` is too small), naming the field; nothing is written then, except in the last case.
 */
enum ntc_status ntc_key_write(struct ntc_writer *w, unsigned kind, const struct ntc_field *fields,
			      size_t n, struct ntc_reason *reason);

/* Whether a field may have this name: 1 to 255 bytes of printable ASCII without space and '='. */
bool ntc_key_name_valid(struct ntc_view name);

/* Whether `bytes` is a field list in canonical form. Everything below needs a list that passed. */
enum ntc_status ntc_key_check(struct ntc_view bytes, struct ntc_reason *reason);

unsigned ntc_key_kind(struct ntc_view key);
size_t ntc_key_field_count(struct ntc_view key);

/* Walk the fields: start with ntc_key_fields(), until ntc_key_next() returns false. */
struct ntc_reader ntc_key_fields(struct ntc_view key);
bool ntc_key_next(struct ntc_reader *fields, struct ntc_field *field);

/* The field of that name; false if there is none. */
bool ntc_key_find(struct ntc_view key, const char *name, struct ntc_field *field);

#endif
