/* The compiler options that are allowed; see options.h. */
#include "kernels/options.h"

#include <stdio.h>
#include <string.h>

#include "base/compiler.h"

/* What an option's value has to be; none of these can name a file. */
enum value {
	VALUE_NONE,     /* there is none */
	VALUE_BOOL,     /* true or false */
	VALUE_INTS,     /* digits, and commas between numbers */
	VALUE_WORD,     /* letters, digits, '+', '_' and '-' inside */
	VALUE_PTXAS,    /* an option of ptxas, from a list of its own */
};

enum verdict {
	FINE,
	OWN,            /* the spec has a call for it */
	OTHER,          /* makes something else than a cubin or PTX */
	FILES,          /* reads or writes files */
};

/* Names without their dashes: NVRTC takes one or two. Sorted by verdict, then as in NVRTC's documentation. */
static const struct option {
	const char *name;
	enum verdict verdict;
	enum value value;
} options[] = {
	{ "device-c", FINE, VALUE_NONE },
	{ "dc", FINE, VALUE_NONE },
	{ "device-w", FINE, VALUE_NONE },
	{ "dw", FINE, VALUE_NONE },
	{ "relocatable-device-code", FINE, VALUE_BOOL },
	{ "rdc", FINE, VALUE_BOOL },
	{ "extensible-whole-program", FINE, VALUE_NONE },
	{ "ewp", FINE, VALUE_NONE },
	{ "device-debug", FINE, VALUE_NONE },
	{ "G", FINE, VALUE_NONE },
	{ "generate-line-info", FINE, VALUE_NONE },
	{ "lineinfo", FINE, VALUE_NONE },
	{ "dopt", FINE, VALUE_WORD },
	{ "Ofast-compile", FINE, VALUE_WORD },
	{ "Ofc", FINE, VALUE_WORD },
	{ "ptxas-options", FINE, VALUE_PTXAS },
	{ "Xptxas", FINE, VALUE_PTXAS },
	{ "maxrregcount", FINE, VALUE_INTS },
	{ "ftz", FINE, VALUE_BOOL },
	{ "prec-sqrt", FINE, VALUE_BOOL },
	{ "prec-div", FINE, VALUE_BOOL },
	{ "fmad", FINE, VALUE_BOOL },
	{ "use_fast_math", FINE, VALUE_NONE },
	{ "extra-device-vectorization", FINE, VALUE_NONE },
	{ "modify-stack-limit", FINE, VALUE_BOOL },
	{ "jump-table-density", FINE, VALUE_INTS },
	{ "jtd", FINE, VALUE_INTS },
	{ "device-stack-protector", FINE, VALUE_BOOL },
	{ "frandom-seed", FINE, VALUE_WORD },
	{ "no-source-include", FINE, VALUE_NONE },
	{ "std", FINE, VALUE_WORD },
	{ "builtin-move-forward", FINE, VALUE_BOOL },
	{ "builtin-initializer-list", FINE, VALUE_BOOL },
	{ "disable-warnings", FINE, VALUE_NONE },
	{ "w", FINE, VALUE_NONE },
	{ "restrict", FINE, VALUE_NONE },
	{ "device-as-default-execution-space", FINE, VALUE_NONE },
	{ "default-device", FINE, VALUE_NONE },
	{ "device-int128", FINE, VALUE_NONE },
	{ "device-float128", FINE, VALUE_NONE },
	{ "optimization-info", FINE, VALUE_WORD },
	{ "opt-info", FINE, VALUE_WORD },
	{ "display-error-number", FINE, VALUE_NONE },
	{ "err-no", FINE, VALUE_NONE },
	{ "no-display-error-number", FINE, VALUE_NONE },
	{ "no-err-no", FINE, VALUE_NONE },
	{ "diag-error", FINE, VALUE_INTS },
	{ "diag-suppress", FINE, VALUE_INTS },
	{ "diag-warn", FINE, VALUE_INTS },
	{ "brief-diagnostics", FINE, VALUE_BOOL },
	{ "brief-diag", FINE, VALUE_BOOL },
	{ "split-compile", FINE, VALUE_INTS },
	{ "minimal", FINE, VALUE_NONE },

	{ "gpu-architecture", OWN, VALUE_WORD },
	{ "arch", OWN, VALUE_WORD },
	{ "define-macro", OWN, VALUE_WORD },
	{ "undefine-macro", OWN, VALUE_WORD },
	{ "no-cache", OWN, VALUE_NONE },

	{ "dlink-time-opt", OTHER, VALUE_NONE },
	{ "dlto", OTHER, VALUE_NONE },
	{ "gen-opt-lto", OTHER, VALUE_NONE },
	{ "optix-ir", OTHER, VALUE_NONE },
	{ "device-syntax-only", OTHER, VALUE_NONE },
	{ "fdevice-syntax-only", OTHER, VALUE_NONE },

	{ "include-path", FILES, VALUE_WORD },
	{ "pre-include", FILES, VALUE_WORD },
	{ "include", FILES, VALUE_WORD },
	{ "pch", FILES, VALUE_NONE },
	{ "create-pch", FILES, VALUE_WORD },
	{ "use-pch", FILES, VALUE_WORD },
	{ "pch-dir", FILES, VALUE_WORD },
	{ "pch-verbose", FILES, VALUE_NONE },
	{ "pch-messages", FILES, VALUE_NONE },
	{ "instantiate-templates-in-pch", FILES, VALUE_NONE },
	{ "time", FILES, VALUE_WORD },
	{ "device-time-trace", FILES, VALUE_WORD },
	{ "fdevice-time-trace", FILES, VALUE_WORD },
	{ "use-bundled-headers", FILES, VALUE_WORD },
	{ "enable-cache-trace", FILES, VALUE_NONE },
};

/* What may go to ptxas: these words, or these beginnings followed by one word. */
static const char *const ptxas_words[] = {
	"-v", "--verbose", "-w", "--disable-warnings", "-O0", "-O1", "-O2", "-O3", "-O4", "--warn-on-spills",
	"--warn-on-local-memory-usage", "--warn-on-double-precision-use", "--disable-optimizer-constants",
	"--suppress-stack-size-warning", "-lineinfo", "--generate-line-info",
};
static const char *const ptxas_beginnings[] = {
	"-dlcm=", "--def-load-cache=", "-dscm=", "--def-store-cache=", "--opt-level=", "--maxrregcount=",
	"-maxrregcount=", "--fmad=", "-fmad=", "--allow-expensive-optimizations=", "-allow-expensive-optimizations=",
};

static bool is_word(const char *text)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+_";

	return *text && strspn(text, letters) == strlen(text);
}

static bool is_for_ptxas(const char *text)
{
	for (size_t i = 0; i < NTC_COUNT(ptxas_words); i++)
		if (strcmp(text, ptxas_words[i]) == 0)
			return true;
	for (size_t i = 0; i < NTC_COUNT(ptxas_beginnings); i++) {
		size_t len = strlen(ptxas_beginnings[i]);

		if (strncmp(text, ptxas_beginnings[i], len) == 0 && is_word(text + len))
			return true;
	}
	return false;
}

static bool value_good(enum value kind, const char *text)
{
	switch (kind) {
	case VALUE_NONE:
		return false;
	case VALUE_BOOL:
		return strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
	case VALUE_INTS:
		return *text && strspn(text, "0123456789,") == strlen(text);
	case VALUE_WORD:
		return is_word(text);
	case VALUE_PTXAS:
		return is_for_ptxas(text);
	}
	return false;
}

/* The option that a word is or begins with ("--std=c++17"), and the value in it (NULL if none). */
static const struct option *option_of(const char *word, const char **value)
{
	const char *name = word + 1 + (word[0] == '-' && word[1] == '-');
	size_t len = strcspn(name, "=");

	*value = name[len] == '=' ? name + len + 1 : NULL;
	if (word[0] != '-')
		return NULL;
	for (size_t i = 0; i < NTC_COUNT(options); i++)
		if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
			return &options[i];
	return NULL;
}

static bool refuse(char *why, size_t why_size, const char *word, const char *reason)
{
	(void)snprintf(why, why_size, "option \"%.80s\" %s", word, reason);
	return false;
}

/* One letter with its value in the same word or the next: -D, -U, -I. */
static bool is_letter_option(const char *word, char letter)
{
	return word[0] == '-' && word[1] == letter;
}

bool ntc_options_check(const char *const *words, size_t count, bool reach, char *why, size_t why_size)
{
	static const char vouch[] = "; give the digest of what it reaches with ntc_kernel_spec_reach()";
	char reason[160];

	for (size_t i = 0; i < count; i++) {
		const char *value;
		const struct option *option = option_of(words[i], &value);

		if (option && option->verdict == OWN)
			return refuse(why, why_size, words[i], "is not an option of a spec: the library sets it");
		if (is_letter_option(words[i], 'D') || is_letter_option(words[i], 'U'))
			return refuse(why, why_size, words[i], "defines macros: use the spec's config");
		if (option && option->verdict == OTHER)
			return refuse(why, why_size, words[i], "makes neither a cubin nor PTX");
		if (reach)
			continue;
		if ((option && option->verdict == FILES) || is_letter_option(words[i], 'I')) {
			(void)snprintf(reason, sizeof(reason), "reads or writes files%s", vouch);
			return refuse(why, why_size, words[i], reason);
		}
		if (!option) {
			(void)snprintf(reason, sizeof(reason), "is not known to leave files alone%s", vouch);
			return refuse(why, why_size, words[i], reason);
		}
		if (option->value == VALUE_NONE) {
			if (value)
				return refuse(why, why_size, words[i], "takes no value");
			continue;
		}
		/* The value may be the next word. */
		if (!value && i + 1 < count)
			value = words[++i];
		if (!value || !value_good(option->value, value)) {
			(void)snprintf(reason, sizeof(reason), "has a value that this option can't have, or that may name a file%s",
				       vouch);
			return refuse(why, why_size, words[i], reason);
		}
	}
	return true;
}

bool ntc_options_record_directory(const char *const *words, size_t count)
{
	static const char *const names[] = { "device-debug", "G", "generate-line-info", "lineinfo" };
	const char *value;

	for (size_t i = 0; i < count; i++) {
		const struct option *option = option_of(words[i], &value);

		for (size_t k = 0; option && k < NTC_COUNT(names); k++)
			if (strcmp(option->name, names[k]) == 0)
				return true;
	}
	return false;
}
