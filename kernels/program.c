/* Texts for the compiler; see program.h. */
#include "kernels/program.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *put(char *at, const char *text, size_t len)
{
	return len ? (char *)memcpy(at, text, len) + len : at;
}

static char *put_part(char *at, const char *line, const char *text, size_t len)
{
	if (!len)
		return at;
	at = put(at, line, strlen(line));
	at = put(at, text, len);
	if (text[len - 1] != '\n')
		*at++ = '\n';
	return at;
}

char *ntc_program_text(const char *arrangement, size_t arrangement_len, const char *application, size_t application_len)
{
	static const char first[] = "#line 1 \"arrangement\"\n", second[] = "#line 1 \"application\"\n";
	char *text = malloc(arrangement_len + application_len + sizeof(first) + sizeof(second) + 2), *end;

	if (!text)
		return NULL;
	end = put_part(text, first, arrangement, arrangement_len);
	end = put_part(end, second, application, application_len);
	*end = '\0';
	return text;
}

void ntc_program_int(int64_t value, char text[NTC_NUMBER_TEXT])
{
	/* The least one is not minus a number that exists. */
	if (value == INT64_MIN)
		(void)snprintf(text, NTC_NUMBER_TEXT, "(-%" PRId64 "-1)", INT64_MAX);
	else
		(void)snprintf(text, NTC_NUMBER_TEXT, "%" PRId64, value);
}

void ntc_program_float(double value, char text[NTC_NUMBER_TEXT])
{
	const char *sign;
	uint64_t bits, mantissa;
	int exponent;

	/* By hand: "%a" writes the locale's decimal point. */
	memcpy(&bits, &value, sizeof(bits));
	sign = bits >> 63 ? "-" : "";
	mantissa = bits & UINT64_C(0xfffffffffffff);
	exponent = (int)(bits >> 52 & 0x7ff);
	if (isnan(value))
		(void)snprintf(text, NTC_NUMBER_TEXT, "__builtin_bit_cast(double, 0x7ff8000000000000ull)");
	else if (isinf(value))
		(void)snprintf(text, NTC_NUMBER_TEXT, "__builtin_bit_cast(double, 0x%cff0000000000000ull)",
			       *sign ? 'f' : '7');
	else if (exponent == 0 && mantissa == 0)
		(void)snprintf(text, NTC_NUMBER_TEXT, "%s0x0p+0", sign);
	else if (exponent == 0)
		(void)snprintf(text, NTC_NUMBER_TEXT, "%s0x0.%013" PRIx64 "p-1022", sign, mantissa);
	else
		(void)snprintf(text, NTC_NUMBER_TEXT, "%s0x1.%013" PRIx64 "p%+d", sign, mantissa, exponent - 1023);
}

bool ntc_program_name_valid(const char *name)
{
	static const char letters[] = "_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", digits[] = "0123456789";
	size_t len = strlen(name);

	if (len < 1 || len > 200 || strcmp(name, "defined") == 0 || !strchr(letters, name[0]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!strchr(letters, name[i]) && !strchr(digits, name[i]))
			return false;
	return true;
}

bool ntc_program_value_valid(const char *value)
{
	size_t len = strlen(value);
	char quote = '\0';

	if (len && value[len - 1] == '\\')
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = value[i];

		if (((unsigned char)c < ' ' && c != '\t') || c == 0x7f)
			return false;
		if (quote) {
			if (c == '\\')
				i++;
			else if (c == quote)
				quote = '\0';
		} else if (c == '\'' && i && isxdigit((unsigned char)value[i - 1]) && isxdigit((unsigned char)value[i + 1])) {
			continue; /* between digits it only separates them */
		} else if (c == '"' || c == '\'') {
			quote = c;
		} else if (c == '/' && (value[i + 1] == '/' || value[i + 1] == '*')) {
			return false;
		}
	}
	return quote == '\0';
}
