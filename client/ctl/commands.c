/* The table of commands; see ctl.h. */
#include <string.h>

#include "ctl.h"

const struct ntc_ctl_command *const ntc_ctl_commands[] = {
#define X(name) &ntc_ctl_##name,
	NTC_CTL_COMMANDS(X)
#undef X
	NULL,
};

const struct ntc_ctl_command *ntc_ctl_command_find(const char *name)
{
	for (const struct ntc_ctl_command *const *at = ntc_ctl_commands; *at; at++)
		if (strcmp((*at)->name, name) == 0)
			return *at;
	return NULL;
}

#define WORD_MAX 16     /* longer words are no mistyped command */

static size_t least(size_t a, size_t b, size_t c)
{
	size_t ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* How many letters must be changed, added or left out (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
	size_t row[WORD_MAX + 1], a_len = strlen(a), b_len = strlen(b);

	for (size_t j = 0; j <= b_len; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_len; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= b_len; j++) {
			size_t above = row[j];

			row[j] = least(above + 1, row[j - 1] + 1, corner + (a[i - 1] != b[j - 1]));
			corner = above;
		}
	}
	return row[b_len];
}

const struct ntc_ctl_command *ntc_ctl_command_nearest(const char *name)
{
	const struct ntc_ctl_command *nearest = NULL;
	size_t best = 3, d;     /* three letters wrong are another word */

	if (strlen(name) > WORD_MAX)
		return NULL;
	for (const struct ntc_ctl_command *const *at = ntc_ctl_commands; *at; at++) {
		d = distance((*at)->name, name);
		/* A word of which every letter is wrong is near to nothing. */
		if (d < best && d < strlen(name)) {
			best = d;
			nearest = *at;
		}
	}
	return nearest;
}
