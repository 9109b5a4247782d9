/* Building kernel specifications; see spec.h. Their keys are made in spec_key.c. */
#include "kernels/spec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/program.h"

/* --- errors ------------------------------------------------------------------------------- */

static NTC_PRINTF(3, 4) void fail(struct ntc_kernel_spec *spec, enum ntc_err err, const char *fmt, ...)
{
	va_list args;

	if (spec->err)
		return;
	spec->err = err;
	va_start(args, fmt);
	(void)vsnprintf(spec->error, sizeof(spec->error), fmt, args);
	va_end(args);
}

static void fail_to_grow(struct ntc_kernel_spec *spec, size_t count, const char *what)
{
	if (count >= NTC_SPEC_LIST_MAX)
		fail(spec, NTC_E_TOO_LARGE, "more than %d %s", NTC_SPEC_LIST_MAX, what);
	else
		fail(spec, NTC_E_NO_MEMORY, "no memory for %s", what);
}

/* Whether something may still be added. A key that was handed out must go on being the spec's. */
static bool open_for_more(struct ntc_kernel_spec *spec)
{
	if (!spec)
		return false;
	if (spec->key)
		fail(spec, NTC_E_INVALID, "the spec was changed after its key was made");
	return !spec->err;
}

/* --- making and freeing ------------------------------------------------------------------- */

/* "sm_90", "sm_100f", "compute_90a": the prefix, two or three digits, maybe a letter. */
static bool arch_valid(const char *arch)
{
	size_t digits;

	if (!arch)
		return false;
	if (strncmp(arch, "sm_", 3) == 0)
		arch += 3;
	else if (strncmp(arch, "compute_", 8) == 0)
		arch += 8;
	else
		return false;
	digits = strspn(arch, "0123456789");
	if (digits < 2 || digits > 3)
		return false;
	return arch[digits] == '\0' || (arch[digits] >= 'a' && arch[digits] <= 'z' && arch[digits + 1] == '\0');
}

struct ntc_kernel_spec *ntc_kernel_spec_new(const char *program, const char *arch)
{
	struct ntc_kernel_spec *spec = calloc(1, sizeof(*spec));

	if (!spec)
		return NULL;
	pthread_mutex_init(&spec->lock, NULL);
	if (!ntc_spec_name_valid(program, NTC_SPEC_NAME_MAX))
		fail(spec, NTC_E_KEY, "the program's name must be 1 to %d printable ASCII characters without space and '='",
		     NTC_SPEC_NAME_MAX);
	else if (!(spec->program = strdup(program)))
		fail(spec, NTC_E_NO_MEMORY, "no memory for a spec");
	if (!arch_valid(arch))
		fail(spec, NTC_E_KEY, "\"%.40s\" is no architecture: sm_90, sm_90a, compute_90 are", arch ? arch : "");
	else
		(void)snprintf(spec->arch, sizeof(spec->arch), "%s", arch);
	return spec;
}

void ntc_kernel_spec_free(struct ntc_kernel_spec *spec)
{
	if (!spec)
		return;
	for (size_t i = 0; i < spec->config_count; i++) {
		free(spec->configs[i].name);
		free(spec->configs[i].string);
	}
	for (size_t i = 0; i < spec->header_count; i++) {
		free(spec->headers[i].name);
		free(spec->headers[i].content.text);
	}
	free(spec->configs);
	free(spec->headers);
	ntc_spec_list_release(&spec->options);
	ntc_spec_list_release(&spec->names);
	free(spec->arrangement.text);
	free(spec->application.text);
	free(spec->program);
	ntc_key_free(spec->key);
	pthread_mutex_destroy(&spec->lock);
	free(spec);
}

/* --- texts -------------------------------------------------------------------------------- */

static bool text_copy(struct ntc_kernel_spec *spec, const char *what, const char *text, size_t len,
		      struct ntc_spec_text *copy)
{
	if (len && !text) {
		fail(spec, NTC_E_INVALID, "%s: no text", what);
		return false;
	}
	if (len && memchr(text, '\0', len)) {
		fail(spec, NTC_E_KEY, "%s has a NUL in it: the compiler would read no further", what);
		return false;
	}
	copy->text = len < SIZE_MAX ? malloc(len + 1) : NULL;
	if (!copy->text) {
		fail(spec, NTC_E_NO_MEMORY, "no memory for %s", what);
		return false;
	}
	if (len)
		memcpy(copy->text, text, len);
	copy->text[len] = '\0';
	copy->len = len;
	return true;
}

static void set_source(struct ntc_kernel_spec *spec, const char *what, struct ntc_spec_text *source, const char *text,
		       size_t len)
{
	if (source->text)
		fail(spec, NTC_E_KEY, "the %s is there twice", what);
	else
		(void)text_copy(spec, what, text, len, source); /* what went wrong is in the spec */
}

void ntc_kernel_spec_arrangement(struct ntc_kernel_spec *spec, const char *text, size_t len)
{
	if (open_for_more(spec))
		set_source(spec, "arrangement", &spec->arrangement, text, len);
}

void ntc_kernel_spec_application(struct ntc_kernel_spec *spec, const char *text, size_t len)
{
	if (open_for_more(spec))
		set_source(spec, "application", &spec->application, text, len);
}

void ntc_kernel_spec_header(struct ntc_kernel_spec *spec, const char *name, const char *text, size_t len)
{
	struct ntc_spec_header *header;

	if (!open_for_more(spec))
		return;
	if (!ntc_spec_name_valid(name, NTC_SPEC_NAME_MAX)) {
		fail(spec, NTC_E_KEY, "a header's name must be 1 to %d printable ASCII characters without space and '='",
		     NTC_SPEC_NAME_MAX);
		return;
	}
	for (size_t i = 0; i < spec->header_count; i++)
		if (strcmp(spec->headers[i].name, name) == 0) {
			fail(spec, NTC_E_KEY, "the header %s is there twice", name);
			return;
		}
	if (!ntc_spec_grow((void **)&spec->headers, spec->header_count, &spec->header_room, sizeof(*spec->headers))) {
		fail_to_grow(spec, spec->header_count, "headers");
		return;
	}
	header = &spec->headers[spec->header_count];
	*header = (struct ntc_spec_header){ 0 };
	if (!text_copy(spec, name, text, len, &header->content))
		return;
	header->name = strdup(name);
	spec->header_count++;
	if (!header->name)
		fail(spec, NTC_E_NO_MEMORY, "no memory for headers");
}

/* --- config ------------------------------------------------------------------------------- */

/* A new config field of that name, or NULL with the error kept. */
static struct ntc_spec_config *new_config(struct ntc_kernel_spec *spec, const char *name, enum ntc_type type)
{
	struct ntc_spec_config *config;

	if (!open_for_more(spec))
		return NULL;
	if (!name || !ntc_program_name_valid(name)) {
		fail(spec, NTC_E_KEY, "config: \"%.40s\" is no name for a macro", name ? name : "");
		return NULL;
	}
	for (size_t i = 0; i < spec->config_count; i++)
		if (strcmp(spec->configs[i].name, name) == 0) {
			fail(spec, NTC_E_KEY, "config %s is there twice", name);
			return NULL;
		}
	if (!ntc_spec_grow((void **)&spec->configs, spec->config_count, &spec->config_room, sizeof(*spec->configs))) {
		fail_to_grow(spec, spec->config_count, "config fields");
		return NULL;
	}
	config = &spec->configs[spec->config_count];
	*config = (struct ntc_spec_config){ .type = type, .name = strdup(name) };
	if (!config->name) {
		fail(spec, NTC_E_NO_MEMORY, "no memory for config fields");
		return NULL;
	}
	spec->config_count++;
	return config;
}

void ntc_kernel_spec_config_int(struct ntc_kernel_spec *spec, const char *name, int64_t value)
{
	struct ntc_spec_config *config = new_config(spec, name, NTC_TYPE_INT);

	if (config)
		config->number = value;
}

void ntc_kernel_spec_config_bool(struct ntc_kernel_spec *spec, const char *name, bool value)
{
	struct ntc_spec_config *config = new_config(spec, name, NTC_TYPE_BOOL);

	if (config)
		config->number = value;
}

void ntc_kernel_spec_config_float(struct ntc_kernel_spec *spec, const char *name, double value)
{
	struct ntc_spec_config *config = new_config(spec, name, NTC_TYPE_FLOAT);

	if (config)
		config->real = value;
}

void ntc_kernel_spec_config_string(struct ntc_kernel_spec *spec, const char *name, const char *value)
{
	struct ntc_spec_config *config = new_config(spec, name, NTC_TYPE_STRING);

	if (!config)
		return;
	if (!value || !ntc_program_value_valid(value)) {
		fail(spec, NTC_E_KEY, "config %s: the value must be tokens of one line, without comments", name);
		return;
	}
	config->string = strdup(value);
	if (!config->string)
		fail(spec, NTC_E_NO_MEMORY, "no memory for config fields");
}

/* --- options, reach, names ---------------------------------------------------------------- */

static void add_word(struct ntc_kernel_spec *spec, struct ntc_spec_list *list, const char *word, const char *what)
{
	size_t len;

	if (!open_for_more(spec))
		return;
	len = word ? strnlen(word, NTC_SPEC_OPTION_MAX + 1) : 0;
	if (len < 1 || len > NTC_SPEC_OPTION_MAX)
		fail(spec, NTC_E_KEY, "%s must have 1 to %d characters each", what, NTC_SPEC_OPTION_MAX);
	else if (!ntc_spec_list_add(list, word))
		fail_to_grow(spec, list->count, what);
}

void ntc_kernel_spec_option(struct ntc_kernel_spec *spec, const char *option)
{
	/* Whether it may be is asked when the key is made: words belong together, and the reach may come later. */
	if (spec)
		add_word(spec, &spec->options, option, "options");
}

void ntc_kernel_spec_name_expression(struct ntc_kernel_spec *spec, const char *expression)
{
	if (!spec)
		return;
	if (expression && strpbrk(expression, "\t\r\n"))
		fail(spec, NTC_E_KEY, "a name expression must be one line without tabs");
	add_word(spec, &spec->names, expression, "name expressions");
}

void ntc_kernel_spec_reach(struct ntc_kernel_spec *spec, const uint8_t sha256[32])
{
	if (!open_for_more(spec))
		return;
	if (!sha256 || spec->has_reach) {
		fail(spec, sha256 ? NTC_E_KEY : NTC_E_INVALID, "the reach is there twice, or not at all");
		return;
	}
	memcpy(spec->reach, sha256, sizeof(spec->reach));
	spec->has_reach = true;
}
