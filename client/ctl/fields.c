/* Fields of keys and notes; see fields.h. */
#include "fields.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

static bool named(const struct ntc_field_value *field, const char *name, size_t len)
{
	return field->name_len == len && memcmp(field->name, name, len) == 0;
}

bool ntc_ctl_field_find(const void *list, size_t len, const char *name, struct ntc_field_value *field)
{
	size_t at = 0, name_len = strlen(name);

	while (ntc_field_next(list, len, &at, field))
		if (named(field, name, name_len))
			return true;
	return false;
}

bool ntc_ctl_field_title(const void *key, size_t len, struct ntc_field_value *field)
{
	static const char *const names[] = { "program", "library", "name" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (ntc_ctl_field_find(key, len, names[i], field) && field->type == NTC_TYPE_STRING)
			return true;
	return false;
}

/* --- values ------------------------------------------------------------------------------- */

/*
 * The items of a list's canonical bytes (docs/key.md): count u32, then type u8, length u32 and value of each.
 * The library checked them; comparing again costs nothing.
 */
static bool next_item(const struct ntc_field_value *list, size_t *at, struct ntc_field_value *item)
{
	const unsigned char *p = list->value;
	size_t left, len;

	*at = *at ? *at : 4;
	if (list->len < *at || list->len - *at < 5)
		return false;
	left = list->len - *at - 5;
	p += *at;
	len = (size_t)p[1] | (size_t)p[2] << 8 | (size_t)p[3] << 16 | (size_t)p[4] << 24;
	if (len > left)
		return false;
	*item = (struct ntc_field_value){ .name = "", .type = p[0], .value = p + 5, .len = len };
	*at += 5 + len;
	return true;
}

char *ntc_ctl_value_short(const struct ntc_field_value *field)
{
	size_t len = ntc_field_text(field, NULL, 0);
	char *text = ntc_ctl_realloc(NULL, len + 1, 1);

	ntc_field_text(field, text, len + 1);
	return text;
}

/* A string in a list: in quotes, as ntc_field_text() shows it but never cut. */
static void write_quoted(FILE *out, const struct ntc_field_value *field)
{
	const char *p = field->value;

	fputc('"', out);
	for (size_t i = 0; i < field->len; i++) {
		if (p[i] == '"' || p[i] == '\\')
			fprintf(out, "\\%c", p[i]);
		else if (p[i] == '\n')
			fputs("\\n", out);
		else if (p[i] == '\t')
			fputs("\\t", out);
		else
			fputc(p[i], out);
	}
	fputc('"', out);
}

static void write_full(FILE *out, const struct ntc_field_value *field, bool nested)
{
	const unsigned char *p = field->value;
	struct ntc_field_value item;
	const char *between = "";
	size_t at = 0;
	char *text;

	switch (field->type) {
	case NTC_TYPE_STRING:
		if (nested)
			write_quoted(out, field);
		else
			fwrite(p, 1, field->len, out);
		break;
	case NTC_TYPE_BYTES:
		fputs("bytes:", out);
		for (size_t i = 0; i < field->len; i++)
			fprintf(out, "%02x", p[i]);
		break;
	case NTC_TYPE_LIST:
		fputc('[', out);
		for (; next_item(field, &at, &item); between = ", ") {
			fputs(between, out);
			write_full(out, &item, true);
		}
		fputc(']', out);
		break;
	default:
		text = ntc_ctl_value_short(field);
		fputs(text, out);
		free(text);
	}
}

char *ntc_ctl_value_full(const struct ntc_field_value *field, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	if (!out)
		ntc_ctl_no_memory();
	write_full(out, field, false);
	if (fclose(out) != 0)
		ntc_ctl_no_memory();
	return text;
}

json_t *ntc_ctl_value_json(const struct ntc_field_value *field)
{
	struct ntc_field_value item;
	json_t *json = NULL;
	size_t at = 0, len;
	char *text, *end;

	if (field->type == NTC_TYPE_STRING)
		return json_stringn(field->value, field->len);
	if (field->type == NTC_TYPE_NONE)
		return json_null();
	if (field->type == NTC_TYPE_LIST) {
		json = json_array();
		while (next_item(field, &at, &item))
			json_array_append_new(json, ntc_ctl_value_json(&item));
		return json;
	}
	text = ntc_ctl_value_full(field, &len);
	errno = 0;
	if (field->type == NTC_TYPE_BOOL)
		json = json_boolean(strcmp(text, "true") == 0);
	if (field->type == NTC_TYPE_INT) {
		long long number = strtoll(text, &end, 10);

		if (errno == 0 && *end == '\0')
			json = json_integer(number);
	}
	if (field->type == NTC_TYPE_FLOAT) {
		double number = strtod(text, &end);

		if (*end == '\0' && isfinite(number))
			json = json_real(number);
	}
	if (!json)
		json = json_string(text);
	free(text);
	return json;
}

json_t *ntc_ctl_list_json(const void *list, size_t len)
{
	json_t *json = json_object();
	struct ntc_field_value field;
	size_t at = 0;
	char name[256];

	while (ntc_field_next(list, len, &at, &field)) {
		snprintf(name, sizeof(name), "%.*s", (int)field.name_len, field.name);
		json_object_set_new(json, name, ntc_ctl_value_json(&field));
	}
	return json;
}

/* --- filters ------------------------------------------------------------------------------ */

bool ntc_ctl_filter_parse(const char *text, struct ntc_ctl_filter *filter)
{
	size_t len = strcspn(text, "=~");

	if (len == 0 || text[len] == '\0')
		return false;
	*filter = (struct ntc_ctl_filter){
		.name = text, .name_len = len, .substring = text[len] == '~', .value = text + len + 1,
	};
	return true;
}

static bool text_match(const struct ntc_ctl_filter *filter, const char *text, size_t len)
{
	size_t want = strlen(filter->value);

	if (filter->substring)
		return memmem(text, len, filter->value, want) != NULL;
	return len == want && memcmp(text, filter->value, len) == 0;
}

bool ntc_ctl_filter_match(const struct ntc_ctl_filter *filter, const void *list, size_t len)
{
	struct ntc_field_value field;
	size_t at = 0, text_len;
	bool match;
	char *text;

	while (ntc_field_next(list, len, &at, &field)) {
		if (!named(&field, filter->name, filter->name_len))
			continue;
		text = ntc_ctl_value_full(&field, &text_len);
		match = text_match(filter, text, text_len);
		free(text);
		/* What a listing shows of lists, bytes and hashes matches as well. */
		if (!match && field.type != NTC_TYPE_STRING) {
			text = ntc_ctl_value_short(&field);
			match = text_match(filter, text, strlen(text));
			free(text);
		}
		return match;
	}
	return false;
}

/* --- differences -------------------------------------------------------------------------- */

/* The order of names in a field list: bytewise, a prefix first. */
static int name_compare(const struct ntc_field_value *a, const struct ntc_field_value *b)
{
	size_t len = a->name_len < b->name_len ? a->name_len : b->name_len;
	int c = memcmp(a->name, b->name, len);

	return c ? c : (a->name_len > b->name_len) - (a->name_len < b->name_len);
}

static bool value_equal(const struct ntc_field_value *a, const struct ntc_field_value *b)
{
	return a->type == b->type && a->len == b->len &&
	       (a->len == 0 || memcmp(a->value, b->value, a->len) == 0);
}

size_t ntc_ctl_diff(const void *a, size_t a_len, const void *b, size_t b_len, ntc_ctl_diff_fn *fn, void *ctx,
		    size_t *total)
{
	struct ntc_field_value fa, fb;
	size_t a_at = 0, b_at = 0, differ = 0, fields = 0;
	bool a_more = ntc_field_next(a, a_len, &a_at, &fa), b_more = ntc_field_next(b, b_len, &b_at, &fb);

	for (; a_more || b_more; fields++) {
		int order = !a_more ? 1 : !b_more ? -1 : name_compare(&fa, &fb);

		if (order != 0 || !value_equal(&fa, &fb)) {
			differ++;
			if (fn)
				fn(ctx, order <= 0 ? &fa : NULL, order >= 0 ? &fb : NULL);
		}
		if (order <= 0)
			a_more = ntc_field_next(a, a_len, &a_at, &fa);
		if (order >= 0)
			b_more = ntc_field_next(b, b_len, &b_at, &fb);
	}
	if (total)
		*total = fields;
	return differ;
}

/* The next line of the text; its text is NULL at the end. */
static struct ntc_ctl_line next_line(const char **text, size_t *left)
{
	struct ntc_ctl_line line = { NULL, 0 };
	const char *end;

	if (*left == 0)
		return line;
	end = memchr(*text, '\n', *left);
	line.text = *text;
	line.len = end ? (size_t)(end - *text) : *left;
	*text += line.len + (end ? 1 : 0);
	*left -= line.len + (end ? 1 : 0);
	return line;
}

static size_t count_lines(const char *text, size_t len)
{
	size_t lines = 0;

	while (next_line(&text, &len).text)
		lines++;
	return lines;
}

void ntc_ctl_text_diff(const char *a, size_t a_len, const char *b, size_t b_len,
		       struct ntc_ctl_text_diff *diff)
{
	*diff = (struct ntc_ctl_text_diff){ .a_lines = count_lines(a, a_len),
					    .b_lines = count_lines(b, b_len) };
	for (;;) {
		diff->line++;
		diff->a = next_line(&a, &a_len);
		diff->b = next_line(&b, &b_len);
		if (!diff->a.text || !diff->b.text || diff->a.len != diff->b.len ||
		    memcmp(diff->a.text, diff->b.text, diff->a.len) != 0)
			return;
		diff->before = diff->a;
	}
}

void ntc_ctl_nearest_add(struct ntc_ctl_nearest *nearest, size_t distance, const struct ntc_digest *digest)
{
	size_t i = nearest->count;

	if (i == NTC_CTL_NEAREST && distance >= nearest->at[i - 1].distance)
		return;
	if (i == NTC_CTL_NEAREST)
		i--;
	else
		nearest->count++;
	for (; i > 0 && nearest->at[i - 1].distance > distance; i--)
		nearest->at[i] = nearest->at[i - 1];
	nearest->at[i].distance = distance;
	nearest->at[i].digest = *digest;
}
