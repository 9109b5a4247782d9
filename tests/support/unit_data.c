/* Data for the tests of formats; see unit_data.h. */
#include "tests/support/unit_data.h"

#include <check.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

	ck_assert_msg(at != NULL, "not a hexadecimal digit: %d", c);
	return (unsigned)(at - digits);
}

struct ntc_view ntc_test_hex(const char *text)
{
	uint8_t *out = malloc(strlen(text) / 2 + 1);
	struct ntc_view exact;
	size_t n = 0;

	ck_assert_ptr_nonnull(out);
	for (; *text; text++) {
		if (isspace((unsigned char)*text))
			continue;
		out[n++] = (uint8_t)(hex_digit(text[0]) << 4 | hex_digit(text[1]));
		text++;
	}
	exact = ntc_test_exact(out, n);
	free(out);
	return exact;
}

char *ntc_test_to_hex(struct ntc_view bytes)
{
	char *text = malloc(2 * bytes.len + 1);

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < bytes.len; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes.p[i]);
	text[2 * bytes.len] = '\0';
	return text;
}

struct ntc_view ntc_test_exact(const void *p, size_t len)
{
	uint8_t *copy = malloc(len);

	ck_assert(copy != NULL || len == 0);
	if (len)
		memcpy(copy, p, len);
	return ntc_view(copy, len);
}

void ntc_test_free(struct ntc_view given)
{
	free((void *)given.p);
}

char *ntc_test_source_file(const char *path, size_t *len)
{
	const char *root = getenv("NTC_TEST_ROOT");
	char full[4096], *text = NULL;
	FILE *f;
	long size;

	snprintf(full, sizeof(full), "%s/%s", root ? root : ".", path);
	f = fopen(full, "rb");
	ck_assert_msg(f != NULL, "cannot open %s", full);
	ck_assert_int_eq(fseek(f, 0, SEEK_END), 0);
	size = ftell(f);
	ck_assert_int_ge(size, 0);
	rewind(f);
	text = malloc((size_t)size + 1);
	ck_assert_ptr_nonnull(text);
	ck_assert_uint_eq(fread(text, 1, (size_t)size, f), (size_t)size);
	text[size] = '\0';
	fclose(f);
	if (len)
		*len = (size_t)size;
	return text;
}

char *ntc_test_line(char **text)
{
	char *line = *text, *end;

	if (!*line)
		return NULL;
	end = strchr(line, '\n');
	*text = end ? end + 1 : line + strlen(line);
	if (end)
		*end = '\0';
	return line;
}

size_t ntc_test_blocks(const char *path, const char *kind, ntc_test_block_fn *fn, void *ctx)
{
	char *document = ntc_test_source_file(path, NULL), *at = document, opening[64];
	size_t count = 0;

	snprintf(opening, sizeof(opening), "\n```%s ", kind);
	while ((at = strstr(at, opening))) {
		char *name = at + strlen(opening), *text = strchr(name, '\n'), *end;

		ck_assert_ptr_nonnull(text);
		end = strstr(text, "\n```");
		ck_assert_msg(end != NULL, "%s: a block does not end", path);
		*text++ = '\0';
		end[0] = '\n';
		end[1] = '\0';
		fn(ctx, name, text);
		count++;
		at = end + 2;
	}
	free(document);
	return count;
}
