/*
 * Libraries made ahead of time by a command. The key (kind library) has these fields:
 *
 *     form             int     of this scheme
 *     library          string  the name
 *     command          list    of strings: the words
 *     input.NAME       bytes   content; over 32 KiB as sha256
 *     outputs          list    of strings, sorted
 *     tools            list    of strings "LAST-COMPONENT IDENTITY": the command's first word, what nvcc uses if it is
 *                              that, then those named, in order
 *     LD_LIBRARY_PATH  bytes   if set: it says which libraries the tools load
 */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "kernels/command.h"
#include "kernels/nvcc.h"
#include "kernels/spec.h"
#include "kernels/workdir.h"

#define LIBRARY_FORM 1
#define INPUT_INLINE_MAX (32u << 10)
#define OUTPUT_MAX (1u << 30)           /* bytes of one output; the daemon's own limit is lower */
#define EXTEND_MS 60000                 /* a lease is made to last so long again, every 15 s */

struct input {
	char *name;
	void *data;
	size_t len;
};

struct ntc_library_spec {
	char *name;
	struct ntc_spec_list words, outputs, tools;
	struct input *inputs;
	size_t input_count, input_room;

	enum ntc_err err;               /* the first error, with its text */
	char error[320];

	pthread_mutex_t lock;           /* guards the key while it is made */
	struct ntc_key *key;
	char *program;                  /* the file that the first word runs; set with the key */
};

/* --- building ----------------------------------------------------------------------------- */

static NTC_PRINTF(3, 4) void fail(struct ntc_library_spec *spec, enum ntc_err err, const char *fmt, ...)
{
	va_list args;

	if (spec->err)
		return;
	spec->err = err;
	va_start(args, fmt);
	(void)vsnprintf(spec->error, sizeof(spec->error), fmt, args);
	va_end(args);
}

static bool open_for_more(struct ntc_library_spec *spec)
{
	if (!spec)
		return false;
	if (spec->key)
		fail(spec, NTC_E_INVALID, "the spec was changed after its key was made");
	return !spec->err;
}

struct ntc_library_spec *ntc_library_spec_new(const char *name)
{
	struct ntc_library_spec *spec = calloc(1, sizeof(*spec));

	if (!spec)
		return NULL;
	pthread_mutex_init(&spec->lock, NULL);
	if (!ntc_spec_name_valid(name, NTC_SPEC_NAME_MAX))
		fail(spec, NTC_E_KEY, "the library's name must be 1 to %d printable ASCII characters without space and '='",
		     NTC_SPEC_NAME_MAX);
	else if (!(spec->name = strdup(name)))
		fail(spec, NTC_E_NO_MEMORY, "no memory for a spec");
	return spec;
}

void ntc_library_spec_free(struct ntc_library_spec *spec)
{
	if (!spec)
		return;
	for (size_t i = 0; i < spec->input_count; i++) {
		free(spec->inputs[i].name);
		free(spec->inputs[i].data);
	}
	free(spec->inputs);
	ntc_spec_list_release(&spec->words);
	ntc_spec_list_release(&spec->outputs);
	ntc_spec_list_release(&spec->tools);
	ntc_key_free(spec->key);
	free(spec->program);
	free(spec->name);
	pthread_mutex_destroy(&spec->lock);
	free(spec);
}

static void add(struct ntc_library_spec *spec, struct ntc_spec_list *list, const char *text, const char *what)
{
	if (!ntc_spec_list_add(list, text))
		fail(spec, list->count >= NTC_SPEC_LIST_MAX ? NTC_E_TOO_LARGE : NTC_E_NO_MEMORY, "too many %s, or no memory",
		     what);
}

void ntc_library_spec_arg(struct ntc_library_spec *spec, const char *word)
{
	if (!open_for_more(spec))
		return;
	if (!word || strnlen(word, NTC_SPEC_OPTION_MAX + 1) > NTC_SPEC_OPTION_MAX || (!spec->words.count && !*word))
		fail(spec, NTC_E_KEY, "a word of the command must have at most %d characters, the first one at least one",
		     NTC_SPEC_OPTION_MAX);
	else
		add(spec, &spec->words, word, "words");
}

void ntc_library_spec_tool(struct ntc_library_spec *spec, const char *path)
{
	if (!open_for_more(spec))
		return;
	if (!path || !*path)
		fail(spec, NTC_E_KEY, "a tool without a path");
	else
		add(spec, &spec->tools, path, "tools");
}

/* A relative path of components that are neither empty nor "." nor "..". */
static bool input_name_valid(const char *name)
{
	const char *at = name;

	if (!ntc_spec_name_valid(name, NTC_SPEC_NAME_MAX))
		return false;
	for (;;) {
		size_t len = strcspn(at, "/");

		if (len == 0 || (len <= 2 && strspn(at, ".") >= len))
			return false;
		if (!at[len])
			return true;
		at += len + 1;
	}
}

void ntc_library_spec_input(struct ntc_library_spec *spec, const char *name, const void *data, size_t len)
{
	struct input *input;

	if (!open_for_more(spec))
		return;
	if (!name || !input_name_valid(name)) {
		fail(spec, NTC_E_KEY, "input \"%.60s\": not a relative path of at most %d printable characters", name ? name : "",
		     NTC_SPEC_NAME_MAX);
		return;
	}
	for (size_t i = 0; i < spec->input_count; i++)
		if (strcmp(spec->inputs[i].name, name) == 0) {
			fail(spec, NTC_E_KEY, "the input %s is there twice", name);
			return;
		}
	if (len && !data) {
		fail(spec, NTC_E_INVALID, "input %s: no data", name);
		return;
	}
	if (!ntc_spec_grow((void **)&spec->inputs, spec->input_count, &spec->input_room, sizeof(*spec->inputs))) {
		fail(spec, NTC_E_TOO_LARGE, "too many inputs, or no memory");
		return;
	}
	input = &spec->inputs[spec->input_count++];
	*input = (struct input){ .name = strdup(name), .data = len < SIZE_MAX ? malloc(len + 1) : NULL, .len = len };
	if (!input->name || !input->data)
		fail(spec, NTC_E_NO_MEMORY, "no memory for input %s", name);
	else if (len)
		memcpy(input->data, data, len);
}

void ntc_library_spec_output(struct ntc_library_spec *spec, const char *name)
{
	if (!open_for_more(spec))
		return;
	if (!ntc_spec_name_valid(name, NTC_SPEC_NAME_MAX) || strchr(name, '/') || name[0] == '.' || strcmp(name, "log") == 0) {
		fail(spec, NTC_E_KEY, "output \"%.60s\": not a file name of at most %d printable characters, or \"log\"",
		     name ? name : "", NTC_SPEC_NAME_MAX);
		return;
	}
	for (size_t i = 0; i < spec->outputs.count; i++)
		if (strcmp(spec->outputs.items[i], name) == 0) {
			fail(spec, NTC_E_KEY, "the output %s is there twice", name);
			return;
		}
	add(spec, &spec->outputs, name, "outputs");
}

/* --- the key ------------------------------------------------------------------------------ */

static void add_list(struct ntc_key *key, const char *name, const struct ntc_spec_list *list)
{
	ntc_key_list_begin(key, name);
	for (size_t i = 0; i < list->count; i++)
		ntc_key_add_string(key, NULL, list->items[i], strlen(list->items[i]));
	ntc_key_list_end(key);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The identities of everything that runs. */
static enum ntc_err identify(struct ntc_library_spec *spec, const char *program, struct ntc_spec_list *identities)
{
	/* ntc_nvcc_tools() wants them as execve() does. */
	char **words = calloc(spec->words.count + 1, sizeof(*words));
	enum ntc_err err = NTC_OK;

	if (!words)
		return ntc_explain(NTC_E_NO_MEMORY, "no memory for a command");
	memcpy(words, spec->words.items, spec->words.count * sizeof(*words));
	if (!ntc_tool_add(identities, program, false))
		err = ntc_explain(NTC_E_IO, "%s: %m", program);
	else if (ntc_nvcc_is(program) && !ntc_nvcc_tools(program, words, identities))
		err = ntc_explain(NTC_E_IO, "what %s is made of can't be read: %m", program);
	for (size_t i = 0; i < spec->tools.count && !err; i++)
		if (!ntc_tool_add(identities, spec->tools.items[i], true))
			err = ntc_explain(NTC_E_IO, "tool %s: %m", spec->tools.items[i]);
	free(words);
	return err;
}

static enum ntc_err seal(struct ntc_library_spec *spec, const struct ntc_spec_list *identities)
{
	const char *libraries = getenv("LD_LIBRARY_PATH");
	struct ntc_key *key = ntc_key_new(NTC_KIND_LIBRARY);
	enum ntc_err err;

	ntc_key_add_int(key, "form", LIBRARY_FORM);
	ntc_key_add_string(key, "library", spec->name, strlen(spec->name));
	add_list(key, "command", &spec->words);
	qsort(spec->outputs.items, spec->outputs.count, sizeof(*spec->outputs.items), by_bytes);
	add_list(key, "outputs", &spec->outputs);
	add_list(key, "tools", identities);
	for (size_t i = 0; i < spec->input_count; i++) {
		const struct input *input = &spec->inputs[i];
		char name[NTC_SPEC_NAME_MAX + 16];

		(void)snprintf(name, sizeof(name), "input.%s", input->name);
		if (input->len > INPUT_INLINE_MAX)
			ntc_key_add_sha256_of(key, name, input->data, input->len);
		else
			ntc_key_add_bytes(key, name, input->data, input->len);
	}
	if (libraries && *libraries)
		ntc_key_add_bytes(key, "LD_LIBRARY_PATH", libraries, strlen(libraries));
	err = key ? ntc_key_seal(key) : NTC_E_NO_MEMORY;
	if (err) {
		err = ntc_explain(err, "library %s: %s", spec->name, key ? ntc_key_error(key) : "no memory for a key");
		ntc_key_free(key);
		return err;
	}
	spec->key = key;
	return NTC_OK;
}

static enum ntc_err make_key(struct ntc_library_spec *spec)
{
	struct ntc_spec_list identities = { 0 };
	char *program = NULL;
	enum ntc_err err;

	if (!spec->words.count || !spec->outputs.count)
		return ntc_explain(NTC_E_KEY, "library %s: it needs a command and an output", spec->name);
	program = ntc_tool_find(spec->words.items[0]);
	if (!program)
		return ntc_explain(NTC_E_IO, "library %s: no program %s in PATH; install it, or give its path", spec->name,
				   spec->words.items[0]);
	err = identify(spec, program, &identities);
	if (!err)
		err = seal(spec, &identities);
	if (!err) {
		spec->program = program;
		program = NULL;
	}
	free(program);
	ntc_spec_list_release(&identities);
	return err;
}

enum ntc_err ntc_library_spec_key(struct ntc_library_spec *spec, const struct ntc_key **key)
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

/* --- making ------------------------------------------------------------------------------- */

/* The whole environment of the command. */
struct environment {
	char *strings[7];
	size_t count;
};

static bool environment_add(struct environment *env, const char *name, const char *value)
{
	if (!value)
		return true;
	if (asprintf(&env->strings[env->count], "%s=%s", name, value) < 0) {
		env->strings[env->count] = NULL;
		return false;
	}
	env->count++;
	return true;
}

static bool environment_make(struct environment *env, const struct ntc_workdir *dir)
{
	*env = (struct environment){ 0 };
	return environment_add(env, "PATH", getenv("PATH")) &&
	       environment_add(env, "LD_LIBRARY_PATH", getenv("LD_LIBRARY_PATH")) &&
	       environment_add(env, "LC_ALL", "C") && environment_add(env, "SOURCE_DATE_EPOCH", "0") &&
	       environment_add(env, "HOME", dir->tmp) && environment_add(env, "TMPDIR", dir->tmp);
}

static void environment_release(struct environment *env)
{
	for (size_t i = 0; i < env->count; i++)
		free(env->strings[i]);
}

/* An errno of the work directory as what ntcache.h calls it. */
static enum ntc_err disk_err(int number)
{
	if (number == ENOSPC || number == EDQUOT)
		return NTC_E_NO_SPACE;
	return number == ENOMEM ? NTC_E_NO_MEMORY : NTC_E_IO;
}

/* Drivers such as nvcc and gcc report a part of theirs that was killed, or a full disk, with a plain exit status. */
static bool looks_transient(const struct ntc_command_result *result)
{
	static const char *const signs[] = {
		"died due to signal", "Killed signal terminated", "signal terminated program", "No space left on device",
		"Disk quota exceeded", "Cannot allocate memory", "out of memory", "virtual memory exhausted",
	};

	if (result->status > 128)
		return true;
	for (size_t i = 0; i < NTC_COUNT(signs); i++)
		if (strstr(result->log, signs[i]))
			return true;
	return false;
}

static void keep_lease(void *ctx)
{
	const struct ntc_make *make = ctx;

	/* If it is over somebody else may be making it: ours is as good, so we go on either way. */
	if (make->lease)
		(void)ntc_extend(make->lease, EXTEND_MS);
}

static enum ntc_err run(const struct ntc_library_spec *spec, const struct ntc_workdir *dir, const struct ntc_make *make,
			struct ntc_command_result *result)
{
	char **words = calloc(spec->words.count + 1, sizeof(*words));
	struct ntc_command command = { .program = spec->program, .words = words, .directory = dir->in };
	struct environment env;
	enum ntc_err err = NTC_OK;

	if (!environment_make(&env, dir) || !words) {
		err = ntc_explain(NTC_E_NO_MEMORY, "no memory for a command");
		goto out;
	}
	memcpy(words, spec->words.items, spec->words.count * sizeof(*words));
	command.environment = env.strings;
	command.limit_ns = NTC_COMMAND_TIME_MAX_S * NTC_NS_PER_S;
	command.tick = keep_lease;
	command.ctx = (void *)make;
	ntc_command_run(&command, result);
	switch (result->end) {
	case NTC_COMMAND_EXITED:
		if (result->status == 0)
			break;
		err = looks_transient(result) ? NTC_E_IO : NTC_FAILED;
		(void)ntc_explain(err, "%s exited with status %d: %.200s", words[0], result->status, result->log);
		break;
	case NTC_COMMAND_SIGNALLED:
		err = ntc_explain(NTC_E_IO, "%s was ended by signal %d (%s)", words[0], result->status, strsignal(result->status));
		break;
	case NTC_COMMAND_OVER_TIME:
		err = ntc_explain(NTC_E_TIMEOUT, "%s did not end within %d s", words[0], NTC_COMMAND_TIME_MAX_S);
		break;
	case NTC_COMMAND_NOT_RUN:
		err = ntc_explain(disk_err(result->status), "%s: %s", spec->program, strerror(result->status));
		break;
	}
out:
	environment_release(&env);
	free(words);
	return err;
}

static enum ntc_err collect(const struct ntc_library_spec *spec, const struct ntc_workdir *dir,
			    struct ntc_command_result *result, struct ntc_entry **entry)
{
	static const char producer[] = "libntcache_cuda " NTC_VERSION;
	struct ntc_part_data *parts = calloc(spec->outputs.count + 1, sizeof(*parts));
	struct ntc_key *notes = ntc_key_new(NTC_KIND_LIBRARY);
	enum ntc_err err = NTC_OK;
	char *data;

	if (!parts || !notes)
		err = ntc_explain(NTC_E_NO_MEMORY, "no memory for a library");
	for (size_t i = 0; i < spec->outputs.count && !err; i++) {
		parts[i].name = spec->outputs.items[i];
		if (ntc_workdir_read(dir, parts[i].name, OUTPUT_MAX, &data, &parts[i].len)) {
			parts[i].data = data;
		} else if (errno == ENOENT || errno == ELOOP) {
			/* It ended well and left no such file: the specification is wrong, and would be again. */
			char *said = NULL;
			int len = asprintf(&said, "%s\n%s left no file %s\n", result->log, spec->words.items[0], parts[i].name);

			if (len >= 0) {
				free(result->log);
				result->log = said;
				result->log_len = (size_t)len;
			}
			err = ntc_explain(NTC_FAILED, "%s left no file %s", spec->words.items[0], parts[i].name);
		} else if (errno == EFBIG) {
			err = ntc_explain(NTC_E_TOO_LARGE, "output %s is over %u bytes", parts[i].name, OUTPUT_MAX);
		} else {
			err = ntc_explain(disk_err(errno), "output %s: %m", parts[i].name);
		}
	}
	if (!err) {
		parts[spec->outputs.count] = (struct ntc_part_data){ "log", result->log, result->log_len };
		ntc_key_add_string(notes, "producer", producer, strlen(producer));
		ntc_key_add_string(notes, "library", spec->name, strlen(spec->name));
		err = ntc_key_seal(notes);
		if (!err)
			err = ntc_entry_new(spec->key, notes, parts, spec->outputs.count + 1, entry);
	}
	for (size_t i = 0; parts && i < spec->outputs.count; i++)
		free((void *)parts[i].data);
	free(parts);
	ntc_key_free(notes);
	return err;
}

static enum ntc_err make_library(void *ctx, const struct ntc_make *make, struct ntc_entry **entry, char **log)
{
	const struct ntc_library_spec *spec = ctx;
	struct ntc_workdir dir = NTC_WORKDIR_INIT;
	struct ntc_command_result result = { .log = NULL };
	enum ntc_err err = NTC_OK;

	*entry = NULL;
	if (!ntc_workdir_make(&dir))
		return ntc_explain(disk_err(errno), "no directory to work in: %m");
	for (size_t i = 0; i < spec->input_count && !err; i++)
		if (!ntc_workdir_write(&dir, spec->inputs[i].name, spec->inputs[i].data, spec->inputs[i].len))
			err = ntc_explain(disk_err(errno), "input %s: %m", spec->inputs[i].name);
	if (!err)
		err = run(spec, &dir, make, &result);
	if (!err)
		err = collect(spec, &dir, &result, entry);
	ntc_workdir_remove(&dir);
	if (err && log) {
		*log = result.log;
		result.log = NULL;
	}
	free(result.log);
	return err;
}

enum ntc_err ntc_library_get(struct ntc_client *client, struct ntc_library_spec *spec,
			     const struct ntc_acquire_options *options, struct ntc_entry **entry, char **log)
{
	const struct ntc_key *key;
	enum ntc_err err;

	if (log)
		*log = NULL;
	if (!entry)
		return ntc_explain(NTC_E_INVALID, "no place for the entry");
	*entry = NULL;
	err = ntc_library_spec_key(spec, &key);
	if (err)
		return err;
	return ntc_fetch(client, key, options, make_library, spec, entry, log);
}
