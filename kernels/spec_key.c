/* The key of a kernel specification: the fields listed in spec.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "kernels/includes.h"
#include "kernels/options.h"
#include "kernels/spec.h"

/*
 * Variables that libnvrtc 13.0 asks the environment for and that can change what it makes. Its others are about threads,
 * caches and logs.
 */
static const char *const variables[] = {
	"EDG_BASE", "EDG_MODULES_PATH", "LLVM_OVERRIDE_PRODUCER", "NVRTCWIZ", "NVRTC_APPEND_FLAGS", "NVVM_IR_VER_CHK",
	"NV_NVVM_VERSION",
};

static void add_text(struct ntc_key *key, const char *name, const struct ntc_spec_text *text)
{
	if (text->len > NTC_SPEC_TEXT_MAX)
		ntc_key_add_sha256_of(key, name, text->text, text->len);
	else
		ntc_key_add_string(key, name, text->text ? text->text : "", text->len);
}

static void add_list(struct ntc_key *key, const char *name, const struct ntc_spec_list *list)
{
	ntc_key_list_begin(key, name);
	for (size_t i = 0; i < list->count; i++)
		ntc_key_add_string(key, NULL, list->items[i], strlen(list->items[i]));
	ntc_key_list_end(key);
}

/* "prefix.name": names were checked to be short enough. */
static const char *dotted(const char *prefix, const char *name, char room[NTC_SPEC_NAME_MAX + 32])
{
	(void)snprintf(room, NTC_SPEC_NAME_MAX + 32, "%s.%s", prefix, name);
	return room;
}

static void add_config(struct ntc_key *key, const struct ntc_spec_config *config)
{
	char room[NTC_SPEC_NAME_MAX + 32];
	const char *name = dotted("config", config->name, room);

	switch (config->type) {
	case NTC_TYPE_INT:
		ntc_key_add_int(key, name, config->number);
		break;
	case NTC_TYPE_BOOL:
		ntc_key_add_bool(key, name, config->number != 0);
		break;
	case NTC_TYPE_FLOAT:
		ntc_key_add_float(key, name, config->real);
		break;
	default:
		ntc_key_add_string(key, name, config->string, strlen(config->string));
	}
}

/* --- what may be -------------------------------------------------------------------------- */

static bool is_header(void *ctx, const char *name, size_t len)
{
	const struct ntc_kernel_spec *spec = ctx;

	for (size_t i = 0; i < spec->header_count; i++)
		if (strlen(spec->headers[i].name) == len && memcmp(spec->headers[i].name, name, len) == 0)
			return true;
	return false;
}

static bool includes_good(struct ntc_kernel_spec *spec, char *why, size_t why_size)
{
	const struct ntc_spec_text *a = &spec->arrangement, *b = &spec->application;

	if (a->len && !ntc_includes_check(a->text, a->len, "arrangement", is_header, spec, why, why_size))
		return false;
	if (b->len && !ntc_includes_check(b->text, b->len, "application", is_header, spec, why, why_size))
		return false;
	for (size_t i = 0; i < spec->header_count; i++) {
		const struct ntc_spec_header *header = &spec->headers[i];

		if (!ntc_includes_check(header->content.text, header->content.len, header->name, is_header, spec, why, why_size))
			return false;
	}
	/* A macro that is, or holds, __has_include would be looked up by a text that doesn't show it. */
	for (size_t i = 0; i < spec->config_count; i++)
		if (spec->configs[i].string && strstr(spec->configs[i].string, "include")) {
			(void)snprintf(why, why_size, "config %s has an include in it; give the digest of what it reaches with "
				       "ntc_kernel_spec_reach()", spec->configs[i].name);
			return false;
		}
	return true;
}

/* The words that $NVRTC_APPEND_FLAGS adds behind the spec's back. */
static bool appended_good(const char *flags, bool reach, char *why, size_t why_size)
{
	struct ntc_spec_list words = { 0 };
	char *copy = strdup(flags), *save = NULL, reason[256];
	bool good = copy != NULL;

	for (char *word = copy ? strtok_r(copy, " \t", &save) : NULL; word && good; word = strtok_r(NULL, " \t", &save))
		good = ntc_spec_list_add(&words, word);
	if (!good) {
		(void)snprintf(why, why_size, "no memory for NVRTC_APPEND_FLAGS");
	} else if (!ntc_options_check((const char *const *)words.items, words.count, reach, reason, sizeof(reason))) {
		(void)snprintf(why, why_size, "NVRTC_APPEND_FLAGS in the environment: %s", reason);
		good = false;
	}
	ntc_spec_list_release(&words);
	free(copy);
	return good;
}

static bool spec_good(struct ntc_kernel_spec *spec, char *why, size_t why_size)
{
	const char *appended = getenv("NVRTC_APPEND_FLAGS");

	if (!ntc_options_check((const char *const *)spec->options.items, spec->options.count, spec->has_reach, why, why_size))
		return false;
	if (appended && *appended && !appended_good(appended, spec->has_reach, why, why_size))
		return false;
	return spec->has_reach || includes_good(spec, why, why_size);
}

/* --- the key ------------------------------------------------------------------------------ */

static void add_surroundings(struct ntc_key *key, const struct ntc_kernel_spec *spec)
{
	char room[NTC_SPEC_NAME_MAX + 32];

	for (size_t i = 0; i < NTC_COUNT(variables); i++) {
		const char *value = getenv(variables[i]);

		if (value && *value)
			ntc_key_add_bytes(key, dotted("environment", variables[i], room), value, strlen(value));
	}
	if (ntc_options_record_directory((const char *const *)spec->options.items, spec->options.count)) {
		char *directory = getcwd(NULL, 0);

		ntc_key_add_bytes(key, "directory", directory ? directory : "", directory ? strlen(directory) : 0);
		free(directory);
	}
}

static enum ntc_err make_key(struct ntc_kernel_spec *spec)
{
	struct ntc_compiler_info compiler;
	char why[320], room[NTC_SPEC_NAME_MAX + 32];
	struct ntc_key *key;
	enum ntc_err err;

	if (!spec_good(spec, why, sizeof(why)))
		return ntc_explain(NTC_E_KEY, "program %s: %s", spec->program, why);
	err = ntc_compiler_find(&compiler);
	if (err)
		return err;
	key = ntc_key_new(NTC_KIND_KERNEL);
	ntc_key_add_int(key, "form", NTC_SPEC_FORM);
	ntc_key_add_string(key, "program", spec->program, strlen(spec->program));
	ntc_key_add_string(key, "arch", spec->arch, strlen(spec->arch));
	add_text(key, "arrangement", &spec->arrangement);
	add_text(key, "application", &spec->application);
	for (size_t i = 0; i < spec->header_count; i++)
		add_text(key, dotted("header", spec->headers[i].name, room), &spec->headers[i].content);
	for (size_t i = 0; i < spec->config_count; i++)
		add_config(key, &spec->configs[i]);
	add_list(key, "options", &spec->options);
	add_list(key, "names", &spec->names);
	ntc_key_add_string(key, "compiler", "nvrtc", 5);
	ntc_key_add_string(key, "compiler.nvrtc", compiler.build_id, strlen(compiler.build_id));
	ntc_key_add_string(key, "compiler.builtins", compiler.builtins_id, strlen(compiler.builtins_id));
	if (spec->has_reach)
		ntc_key_add_sha256(key, "reach", spec->reach);
	add_surroundings(key, spec);
	err = key ? ntc_key_seal(key) : NTC_E_NO_MEMORY;
	if (err) {
		err = ntc_explain(err, "program %s: %s", spec->program, key ? ntc_key_error(key) : "no memory for a key");
		ntc_key_free(key);
		return err;
	}
	spec->key = key;
	return NTC_OK;
}

enum ntc_err ntc_kernel_spec_key(struct ntc_kernel_spec *spec, const struct ntc_key **key)
{
	enum ntc_err err = NTC_OK;

	if (!key)
		return ntc_explain(NTC_E_INVALID, "no place for the key");
	*key = NULL;
	if (!spec)
		return ntc_explain(NTC_E_NO_MEMORY, "no spec: there was no memory for one");
	pthread_mutex_lock(&spec->lock);
	if (spec->err)
		err = ntc_explain(spec->err, "%s", spec->error);
	else if (!spec->key)
		err = make_key(spec);
	if (!err)
		*key = spec->key;
	pthread_mutex_unlock(&spec->lock);
	return err;
}
