/*
 * Building keys over proto/key.h. Fields are collected in any order, each with its own copy of the
 * name and the canonical value; sealing sorts and writes them once. A list under construction is a level
 * of a small stack; its bytes become a value when it ends.
 *
 * The first error sticks: later additions do nothing, ntc_key_seal() returns it.
 */
#include "client/key.h"

#include <nettle/sha2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "client/explain.h"
#include "proto/key.h"

/* A list that is being built: count u32 | items. The name is the field's; empty for a list in a list. */
struct level {
	char *name;
	uint8_t *p;
	size_t len, cap;
	uint32_t count;
};

struct ntc_key {
	unsigned kind;
	enum ntc_err err;
	char error[256];
	struct ntc_field *fields; /* each owns one allocation, at its name: name, NUL, value */
	size_t count, cap;
	size_t collected; /* bytes of all values so far: bounds memory before sealing does */
	struct level levels[NTC_KEY_DEPTH_MAX];
	unsigned depth;
	uint8_t *sealed;
	size_t sealed_len;
	struct ntc_digest digest;
};

static void NTC_PRINTF(3, 4) reject(struct ntc_key *key, enum ntc_err err, const char *fmt, ...)
{
	va_list args;

	if (key->err)
		return;
	key->err = err;
	va_start(args, fmt);
	vsnprintf(key->error, sizeof(key->error), fmt, args);
	va_end(args);
}

static void no_memory(struct ntc_key *key)
{
	reject(key, NTC_E_NO_MEMORY, "out of memory");
}

/* Room for one more of `count` elements; false without memory. */
static bool grow(void **array, size_t *cap, size_t need, size_t size)
{
	size_t cap_new = *cap ? *cap : 16;
	void *p;

	if (need <= *cap)
		return true;
	/* `need` is at most NTC_KEY_MAX and a little, so nothing wraps. */
	while (cap_new < need)
		cap_new *= 2;
	p = realloc(*array, cap_new * size);
	if (!p)
		return false;
	*array = p;
	*cap = cap_new;
	return true;
}

/* Count bytes that the key will have; false (and an error) once it cannot become a key any more. */
static bool collect(struct ntc_key *key, const char *name, size_t len)
{
	if (len > NTC_KEY_MAX || key->collected + len > NTC_KEY_MAX) {
		reject(key, NTC_E_TOO_LARGE,
		       "with field %.64s the key is over %u bytes; put large values in as their SHA-256",
		       name ? name : "(in a list)", NTC_KEY_MAX);
		return false;
	}
	key->collected += len;
	return true;
}

static void add_field(struct ntc_key *key, const char *name, enum ntc_type type, struct ntc_view value)
{
	size_t name_len = strlen(name);
	struct ntc_reason why;
	uint8_t *copy;

	if (!ntc_key_name_valid(ntc_view(name, name_len))) {
		reject(key, NTC_E_KEY,
		       "\"%.64s\": a field's name is 1 to %d printable ASCII characters without space and "
		       "'='",
		       name, NTC_KEY_NAME_MAX);
		return;
	}
	if (ntc_value_check(type, value, &why)) {
		reject(key, NTC_E_KEY, "field %s: %s", name, why.text);
		return;
	}
	if (key->count == NTC_KEY_FIELDS_MAX) {
		reject(key, NTC_E_TOO_LARGE, "with field %s there are more than %d fields", name,
		       NTC_KEY_FIELDS_MAX);
		return;
	}
	copy = malloc(name_len + 1 + value.len);
	if (!copy || !grow((void **)&key->fields, &key->cap, key->count + 1, sizeof(*key->fields))) {
		free(copy);
		no_memory(key);
		return;
	}
	memcpy(copy, name, name_len + 1);
	if (value.len)
		memcpy(copy + name_len + 1, value.p, value.len);
	key->fields[key->count++] = (struct ntc_field){
		.name = ntc_view(copy, name_len),
		.type = type,
		.value = ntc_view(copy + name_len + 1, value.len),
	};
}

static void add_item(struct ntc_key *key, enum ntc_type type, struct ntc_view value)
{
	struct level *level = &key->levels[key->depth - 1];
	struct ntc_reason why;
	struct ntc_writer w;

	if (ntc_value_check(type, value, &why)) {
		reject(key, NTC_E_KEY, "item %u of list %s: %s", level->count, key->levels[0].name, why.text);
		return;
	}
	if (!grow((void **)&level->p, &level->cap, level->len + 5 + value.len, 1)) {
		no_memory(key);
		return;
	}
	w = ntc_writer(level->p + level->len, level->cap - level->len);
	ntc_value_write_item(&w, type, value);
	level->len += w.len;
	level->count++;
}

/* The one way in: a value, into the list that is being built or as a field. */
static void add(struct ntc_key *key, const char *name, enum ntc_type type, const void *p, size_t len)
{
	if (!key || key->err)
		return;
	if (key->sealed) {
		reject(key, NTC_E_INVALID, "the key is sealed already");
		return;
	}
	if (len && !p) {
		reject(key, NTC_E_INVALID, "field %.64s: a NULL value of %zu bytes",
		       name ? name : "(in a list)", len);
		return;
	}
	if (!key->depth && !name) {
		reject(key, NTC_E_INVALID, "a field without a name");
		return;
	}
	if (key->depth && name) {
		reject(key, NTC_E_INVALID, "\"%.64s\": an item of a list has no name", name);
		return;
	}
	if (!collect(key, name, len))
		return;
	if (key->depth)
		add_item(key, type, ntc_view(p, len));
	else
		add_field(key, name, type, ntc_view(p, len));
}

NTC_API struct ntc_key *ntc_key_new(enum ntc_kind kind)
{
	struct ntc_key *key = calloc(1, sizeof(*key));

	if (!key)
		return NULL;
	key->kind = kind;
	if (!ntc_kind_known(kind))
		reject(key, NTC_E_INVALID, "there is no kind %d", (int)kind);
	return key;
}

NTC_API void ntc_key_free(struct ntc_key *key)
{
	if (!key)
		return;
	for (size_t i = 0; i < key->count; i++)
		free((void *)key->fields[i].name.p);
	for (unsigned i = 0; i < key->depth; i++) {
		free(key->levels[i].name);
		free(key->levels[i].p);
	}
	free(key->fields);
	free(key->sealed);
	free(key);
}

NTC_API void ntc_key_add_none(struct ntc_key *key, const char *name)
{
	add(key, name, NTC_TYPE_NONE, NULL, 0);
}

NTC_API void ntc_key_add_bool(struct ntc_key *key, const char *name, bool value)
{
	uint8_t byte = value;

	add(key, name, NTC_TYPE_BOOL, &byte, 1);
}

NTC_API void ntc_key_add_int(struct ntc_key *key, const char *name, int64_t value)
{
	uint8_t out[9];
	size_t len = ntc_value_int(value, out);

	add(key, name, NTC_TYPE_INT, out, len);
}

NTC_API void ntc_key_add_uint(struct ntc_key *key, const char *name, uint64_t value)
{
	uint8_t out[9];
	size_t len = ntc_value_uint(value, out);

	add(key, name, NTC_TYPE_INT, out, len);
}

NTC_API void ntc_key_add_float(struct ntc_key *key, const char *name, double value)
{
	uint8_t out[8];
	size_t len = ntc_value_float(value, out);

	add(key, name, NTC_TYPE_FLOAT, out, len);
}

NTC_API void ntc_key_add_string(struct ntc_key *key, const char *name, const char *utf8, size_t len)
{
	add(key, name, NTC_TYPE_STRING, utf8, len);
}

NTC_API void ntc_key_add_bytes(struct ntc_key *key, const char *name, const void *bytes, size_t len)
{
	add(key, name, NTC_TYPE_BYTES, bytes, len);
}

NTC_API void ntc_key_add_sha256(struct ntc_key *key, const char *name, const uint8_t sha256[32])
{
	add(key, name, NTC_TYPE_SHA256, sha256, 32);
}

NTC_API void ntc_key_add_sha256_of(struct ntc_key *key, const char *name, const void *bytes, size_t len)
{
	uint8_t sum[SHA256_DIGEST_SIZE];
	struct sha256_ctx ctx;

	if (!key || key->err)
		return;
	if (len && !bytes) {
		reject(key, NTC_E_INVALID, "field %.64s: a NULL value of %zu bytes",
		       name ? name : "(in a list)", len);
		return;
	}
	sha256_init(&ctx);
	if (len)
		sha256_update(&ctx, len, bytes);
	sha256_digest(&ctx, sizeof(sum), sum);
	ntc_key_add_sha256(key, name, sum);
}

NTC_API void ntc_key_list_begin(struct ntc_key *key, const char *name)
{
	struct level *level;

	if (!key || key->err)
		return;
	if (key->sealed) {
		reject(key, NTC_E_INVALID, "the key is sealed already");
		return;
	}
	if ((key->depth != 0) == (name != NULL)) {
		reject(key, NTC_E_INVALID, "%.64s: a list has a name, a list in a list has none",
		       name ? name : "NULL");
		return;
	}
	if (key->depth == NTC_KEY_DEPTH_MAX) {
		reject(key, NTC_E_KEY, "lists nested deeper than %d", NTC_KEY_DEPTH_MAX);
		return;
	}
	level = &key->levels[key->depth];
	*level = (struct level){ .len = 4, .name = strdup(name ? name : "") };
	key->depth++;
	if (!level->name || !grow((void **)&level->p, &level->cap, 4, 1))
		no_memory(key);
}

NTC_API void ntc_key_list_end(struct ntc_key *key)
{
	struct level level;

	if (!key || key->err)
		return;
	if (!key->depth) {
		reject(key, NTC_E_INVALID, "ntc_key_list_end() without ntc_key_list_begin()");
		return;
	}
	level = key->levels[--key->depth];
	ntc_store32(level.p, level.count);
	/* Its items were counted when they were added. */
	if (key->depth)
		add_item(key, NTC_TYPE_LIST, ntc_view(level.p, level.len));
	else
		add_field(key, level.name, NTC_TYPE_LIST, ntc_view(level.p, level.len));
	free(level.p);
	free(level.name);
}

static int compare_fields(const void *a, const void *b)
{
	return ntc_view_compare(((const struct ntc_field *)a)->name, ((const struct ntc_field *)b)->name);
}

NTC_API enum ntc_err ntc_key_seal(struct ntc_key *key)
{
	struct ntc_writer w = ntc_writer(NULL, 0);
	struct ntc_reason why;
	enum ntc_status st;
	uint8_t *p;

	ntc_explain_clear();
	if (!key)
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	if (!key->err && key->sealed)
		return NTC_OK;
	if (!key->err && key->depth)
		reject(key, NTC_E_INVALID, "the list %s is not ended", key->levels[0].name);
	if (key->err)
		return ntc_explain(key->err, "%s", key->error);
	if (key->count)
		qsort(key->fields, key->count, sizeof(*key->fields), compare_fields);
	st = ntc_key_write(&w, key->kind, key->fields, key->count, &why);
	if (st) {
		reject(key, st == NTC_ST_TOO_LARGE ? NTC_E_TOO_LARGE : NTC_E_KEY, "%s", why.text);
		return ntc_explain(key->err, "%s", key->error);
	}
	p = malloc(w.len);
	if (!p)
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	w = ntc_writer(p, w.len);
	(void)ntc_key_write(&w, key->kind, key->fields, key->count, NULL); /* measured above: it fits */
	key->sealed = p;
	key->sealed_len = w.len;
	key->digest = ntc_key_digest(ntc_view(p, w.len));
	return NTC_OK;
}

NTC_API const char *ntc_key_error(const struct ntc_key *key)
{
	return key ? key->error : "out of memory";
}

NTC_API enum ntc_err ntc_key_from_bytes(const void *bytes, size_t len, struct ntc_key **out)
{
	struct ntc_reason why;
	struct ntc_key *key;

	ntc_explain_clear();
	if (!out)
		return ntc_explain(NTC_E_INVALID, "no place for the key");
	*out = NULL;
	if (!bytes)
		return ntc_explain(NTC_E_INVALID, "no bytes");
	if (ntc_key_check(ntc_view(bytes, len), &why))
		return ntc_explain(NTC_E_KEY, "%s", why.text);
	if (!ntc_kind_known(ntc_key_kind(ntc_view(bytes, len))))
		return ntc_explain(NTC_E_KEY, "kind %u is not known", ntc_key_kind(ntc_view(bytes, len)));
	key = calloc(1, sizeof(*key));
	if (key)
		key->sealed = malloc(len);
	if (!key || !key->sealed) {
		ntc_key_free(key);
		return ntc_explain(NTC_E_NO_MEMORY, "out of memory");
	}
	memcpy(key->sealed, bytes, len);
	key->sealed_len = len;
	key->kind = ntc_key_kind(ntc_view(bytes, len));
	key->digest = ntc_key_digest(ntc_view(bytes, len));
	*out = key;
	return NTC_OK;
}

struct ntc_view ntc_key_view(const struct ntc_key *key)
{
	if (!key || key->err || !key->sealed)
		return ntc_view(NULL, 0);
	return ntc_view(key->sealed, key->sealed_len);
}

enum ntc_err ntc_key_usable(const struct ntc_key *key)
{
	if (!key)
		return ntc_explain(NTC_E_INVALID, "no key");
	if (key->err)
		return ntc_explain(NTC_E_KEY, "the key cannot be: %s", key->error);
	if (!key->sealed)
		return ntc_explain(NTC_E_KEY, "the key is not sealed");
	return NTC_OK;
}

NTC_API const void *ntc_key_bytes(const struct ntc_key *key, size_t *len)
{
	struct ntc_view view = ntc_key_view(key);

	if (len)
		*len = view.len;
	return view.p;
}

NTC_API struct ntc_digest ntc_key_digest_of(const struct ntc_key *key)
{
	return ntc_key_view(key).len ? key->digest : (struct ntc_digest){ { 0 } };
}

NTC_API void ntc_digest_text(const struct ntc_digest *digest, char text[NTC_DIGEST_TEXT_SIZE])
{
	ntc_digest_format(digest, text);
}

NTC_API bool ntc_digest_from_text(const char *text, struct ntc_digest *digest)
{
	*digest = (struct ntc_digest){ { 0 } };
	return text && ntc_digest_parse(text, digest);
}

NTC_API const char *ntc_kind_text(unsigned kind)
{
	return ntc_kind_name(kind);
}

NTC_API unsigned ntc_kind_from_text(const char *text)
{
	return text ? ntc_kind_parse(text) : 0;
}
