/*
 * Fields of keys and notes: their values as text and JSON, filters on them, and what differs between two
 * field lists. Pure: bytes in, text out. Field lists come from the library, which checked them.
 */
#ifndef NTC_CTL_FIELDS_H
#define NTC_CTL_FIELDS_H

#include <jansson.h>
#include <stdbool.h>

#include "ntcache.h"

/* The field of that name in a field list; false if there is none. */
bool ntc_ctl_field_find(const void *list, size_t len, const char *name, struct ntc_field_value *field);

/*
 * What to call an entry of this key: its field "program", "library" or "name", the first that is a string.
 * False if it has none of them.
 */
bool ntc_ctl_field_title(const void *key, size_t len, struct ntc_field_value *field);

/* The value as ntc_field_text() shows it: long ones cut. Given: free(). */
char *ntc_ctl_value_short(const struct ntc_field_value *field);

/* All of the value: a string as it is, without quotes, maybe with NULs; the rest as above, uncut. Given:
 * free(). */
char *ntc_ctl_value_full(const struct ntc_field_value *field, size_t *len);

/* null, true, numbers, strings, lists; integers past 64 bits, NaN, bytes and hashes as their text. Given. */
json_t *ntc_ctl_value_json(const struct ntc_field_value *field);

/* A field list as a JSON object. Given. */
json_t *ntc_ctl_list_json(const void *list, size_t len);

/* --- filters ------------------------------------------------------------------------------ */

/* NAME=VALUE (the whole value) or NAME~SUBSTRING; the first '=' or '~' decides. */
struct ntc_ctl_filter {
	const char *name;       /* not NUL-terminated; borrowed from the text */
	size_t name_len;
	bool substring;
	const char *value;      /* borrowed likewise */
};

/* False if `text` is no filter. */
bool ntc_ctl_filter_parse(const char *text, struct ntc_ctl_filter *filter);

/* Whether the list has such a field. Strings are compared without quotes. */
bool ntc_ctl_filter_match(const struct ntc_ctl_filter *filter, const void *list, size_t len);

/* --- differences -------------------------------------------------------------------------- */

/* Called for each field that differs, in order of names; the side that lacks it is NULL. */
typedef void ntc_ctl_diff_fn(void *ctx, const struct ntc_field_value *a, const struct ntc_field_value *b);

/* Compare two field lists; `fn` may be NULL. Returns how many fields differ; *total (may be NULL): of how
 * many. */
size_t ntc_ctl_diff(const void *a, size_t a_len, const void *b, size_t b_len, ntc_ctl_diff_fn *fn, void *ctx,
		    size_t *total);

/* Where two texts part: the number of the first line that differs, and that line and the one before in each.
 */
struct ntc_ctl_line {
	const char *text;       /* borrowed; NULL: the text ends before it */
	size_t len;             /* without the newline */
};
struct ntc_ctl_text_diff {
	size_t line;            /* counted from 1 */
	size_t a_lines, b_lines;
	struct ntc_ctl_line before, a, b;
};
void ntc_ctl_text_diff(const char *a, size_t a_len, const char *b, size_t b_len,
		       struct ntc_ctl_text_diff *diff);

/* The nearest few, best first; equally near ones in order of arrival. */
#define NTC_CTL_NEAREST 3
struct ntc_ctl_nearest {
	size_t count;
	struct {
		size_t distance;
		struct ntc_digest digest;
	} at[NTC_CTL_NEAREST];
};
void ntc_ctl_nearest_add(struct ntc_ctl_nearest *nearest, size_t distance, const struct ntc_digest *digest);

#endif
