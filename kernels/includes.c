/*
 * A small lexer for include directives; see includes.h. It works on a copy whose lines are spliced and
 * whose comments are blanks, as the compiler's first phases leave them, with string literals kept. Where the text is not C++
 * (an unfinished literal in a part that #if leaves out), it goes on at the next line.
 */
#include "kernels/includes.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_name(int c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* How a text may be read: both readings are checked where they differ, since options and compilers do. */
#define READ_TRIGRAPHS 1u       /* ??= is # and ??/ is a backslash */
#define READ_BLANKS 2u          /* a backslash splices lines also with blanks behind it */
#define READINGS 4u

/* Take out backslash-newlines and trigraphs, and say in *seen which readings would have made a difference. */
static size_t splice(const char *in, size_t len, unsigned reading, char *out, unsigned *seen)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = in[i];
		size_t k = i + 1;

		if (c == '?' && len - i > 2 && in[i + 1] == '?' && (in[i + 2] == '=' || in[i + 2] == '/')) {
			*seen |= READ_TRIGRAPHS;
			if (reading & READ_TRIGRAPHS) {
				c = in[i + 2] == '=' ? '#' : '\\';
				i += 2;
				k = i + 1;
			}
		}
		if (c == '\\') {
			while (k < len && (in[k] == ' ' || in[k] == '\t' || in[k] == '\r'))
				k++;
			if (k < len && in[k] == '\n' && in[k - 1] != '\\' && in[k - 1] != '/')
				*seen |= READ_BLANKS;
			if (k < len && in[k] == '\n' && (k == i + 1 || (reading & READ_BLANKS))) {
				i = k;
				continue;
			}
		}
		out[n++] = c;
	}
	return n;
}

/* Whether the quote at `i` begins a raw string: R before it, and before that nothing or an encoding. */
static bool raw_begins(const char *text, size_t i)
{
	static const char *const prefixes[] = { "R", "u8R", "uR", "UR", "LR" };
	size_t start = i;

	while (start && is_name(text[start - 1]))
		start--;
	for (size_t k = 0; k < sizeof(prefixes) / sizeof(prefixes[0]); k++)
		if (strlen(prefixes[k]) == i - start && memcmp(text + start, prefixes[k], i - start) == 0)
			return true;
	return false;
}

/* The end of the raw string whose `R"` is before `at` (at its delimiter), or `len`. */
static size_t raw_end(const char *text, size_t len, size_t at)
{
	size_t open = at, width;

	while (open < len && open - at <= 16 && text[open] != '(' && text[open] != '"' && text[open] != '\n')
		open++;
	if (open >= len || text[open] != '(')
		return at;
	width = open - at;
	for (size_t i = open + 1; i + width + 1 < len; i++)
		if (text[i] == ')' && memcmp(text + i + 1, text + at, width) == 0 && text[i + 1 + width] == '"')
			return i + width + 2;
	return len;
}

/* Blank out comments and the insides of raw strings and character literals, in place; lines stay. */
static void blank(char *text, size_t len)
{
	size_t i = 0, end;

	while (i < len) {
		char c = text[i], next = i + 1 < len ? text[i + 1] : '\0';

		if (c == '/' && next == '/') {
			while (i < len && text[i] != '\n')
				text[i++] = ' ';
		} else if (c == '/' && next == '*') {
			for (end = i + 2; end < len && !(text[end] == '*' && end + 1 < len && text[end + 1] == '/'); end++)
				;
			end = end + 2 < len ? end + 2 : len;
			/* A comment is one blank: a directive may begin before it and go on behind its lines. */
			memset(text + i, ' ', end - i);
			i = end;
		} else if (c == '"' && raw_begins(text, i) && raw_end(text, len, i + 1) > i + 1) {
			end = raw_end(text, len, i + 1);
			memset(text + i, ' ', end - i);
			i = end;
		} else if (c == '"' || (c == '\'' && !(i && isxdigit((unsigned char)text[i - 1]) && isxdigit((unsigned char)next)))) {
			/* A quote between digits separates them. Literals end with their line at the latest. */
			for (i++; i < len && text[i] != c && text[i] != '\n'; i++)
				if (text[i] == '\\' && i + 1 < len && text[i + 1] != '\n')
					i++;
			i += i < len && text[i] == c;
		} else {
			i++;
		}
	}
}

struct check {
	const char *shown;
	ntc_given_fn *given;
	void *ctx;
	char *why;
	size_t why_size;
};

static bool refuse(const struct check *check, const char *at, const char *end, const char *reason)
{
	int len = end - at > 60 ? 60 : (int)(end - at);

	(void)snprintf(check->why, check->why_size,
		       "%s: \"%.*s\": %s; give it with ntc_kernel_spec_header(), or the digest of what it reaches with "
		       "ntc_kernel_spec_reach()", check->shown, len, at, reason);
	return false;
}

/* `at` is behind the directive's word, where the name must stand, on a line that ends at `end`. */
static bool name_good(const struct check *check, const char *start, const char *at, const char *end)
{
	const char *close;

	while (at < end && isspace((unsigned char)*at))
		at++;
	if (at == end || (*at != '"' && *at != '<'))
		return refuse(check, start, end, "the included name is not written out");
	close = memchr(at + 1, *at == '"' ? '"' : '>', (size_t)(end - at - 1));
	if (!close)
		return refuse(check, start, end, "the included name has no end");
	if (at[1] == '/' && !check->given(check->ctx, at + 1, (size_t)(close - at - 1)))
		return refuse(check, start, end, "an absolute path is read from the disk");
	return true;
}

static bool word_is(const char *at, const char *end, const char *word)
{
	size_t len = strlen(word);

	return (size_t)(end - at) >= len && memcmp(at, word, len) == 0 && (at + len == end || !is_name(at[len]));
}

/* A use of __has_include: either only asked whether it exists, or with a literal name. */
static bool has_include_good(const struct check *check, const char *line, const char *at, const char *end)
{
	const char *open = at;

	while (open < end && is_name(*open))
		open++;
	while (open < end && isspace((unsigned char)*open))
		open++;
	if (open < end && *open == '(')
		return name_good(check, line, open + 1, end);
	/* #ifdef X, #ifndef X, defined X, defined(X): what is before, without blanks and one parenthesis. */
	while (at > line && (isspace((unsigned char)at[-1]) || at[-1] == '('))
		at--;
	if ((at - line >= 7 && memcmp(at - 7, "defined", 7) == 0) || (at - line >= 5 && memcmp(at - 5, "ifdef", 5) == 0) ||
	    (at - line >= 6 && memcmp(at - 6, "ifndef", 6) == 0))
		return true;
	return refuse(check, line, end, "the included name is not written out");
}

static bool line_good(const struct check *check, const char *line, const char *end)
{
	const char *at = line;

	while (at < end && isspace((unsigned char)*at))
		at++;
	if (at < end && (*at == '#' || (*at == '%' && end - at > 1 && at[1] == ':'))) {
		at += *at == '%' ? 2 : 1;
		while (at < end && isspace((unsigned char)*at))
			at++;
		if (word_is(at, end, "include"))
			return name_good(check, line, at + 7, end);
		if (word_is(at, end, "include_next"))
			return name_good(check, line, at + 12, end);
	}
	for (at = line; at < end; at++)
		if ((at == line || !is_name(at[-1])) &&
		    (word_is(at, end, "__has_include") || word_is(at, end, "__has_include_next")) &&
		    !has_include_good(check, line, at, end))
			return false;
	return true;
}

/* Check one reading of the text; `copy` has room for it. */
static bool reading_good(const struct check *check, const char *text, size_t len, unsigned reading, char *copy,
			 unsigned *seen)
{
	const char *end;

	len = splice(text, len, reading, copy, seen);
	/* Most texts include nothing. Looked for behind the splices, which may stand inside the word. */
	if (!memmem(copy, len, "include", 7))
		return true;
	blank(copy, len);
	for (const char *line = copy; line < copy + len; line = end + 1) {
		end = memchr(line, '\n', (size_t)(copy + len - line));
		if (!end)
			end = copy + len;
		if (!line_good(check, line, end))
			return false;
	}
	return true;
}

bool ntc_includes_check(const char *text, size_t len, const char *shown, ntc_given_fn *given, void *ctx, char *why,
			size_t why_size)
{
	const struct check check = { shown, given, ctx, why, why_size };
	char *copy = malloc(len + 1);
	unsigned seen = 0;
	bool good = true;

	if (!copy) {
		(void)snprintf(why, why_size, "no memory to look through %s", shown);
		return false;
	}
	for (unsigned reading = 0; good && reading < READINGS; reading++)
		if ((reading & seen) == reading)
			good = reading_good(&check, text, len, reading, copy, &seen);
	free(copy);
	return good;
}
