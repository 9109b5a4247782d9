/* Kernels: from a specification to an entry, with NVRTC and through the cache. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "kernels/nvrtc.h"
#include "kernels/program.h"
#include "kernels/spec.h"

/* What the compiler is given, in arrays of its own over the spec's texts. */
struct command {
	char *text;
	struct ntc_spec_list macros;    /* "-DNAME=VALUE", in order of names */
	const char **options;
	const char **header_names, **header_texts;
	char arch[24];
};

static void command_release(struct command *command)
{
	free(command->text);
	ntc_spec_list_release(&command->macros);
	free(command->options);
	free(command->header_names);
	free(command->header_texts);
}

static int config_order(const void *a, const void *b)
{
	const struct ntc_spec_config *const *left = a, *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

static int header_order(const void *a, const void *b)
{
	const struct ntc_spec_header *const *left = a, *const *right = b;

	return strcmp((*left)->name, (*right)->name);
}

static bool macro_add(struct command *command, const struct ntc_spec_config *config)
{
	char number[NTC_NUMBER_TEXT] = "", *macro = NULL;
	bool good;

	if (config->type == NTC_TYPE_FLOAT)
		ntc_program_float(config->real, number);
	else if (config->type != NTC_TYPE_STRING)
		ntc_program_int(config->number, number);
	if (asprintf(&macro, "-D%s=%s", config->name, config->string ? config->string : number) < 0)
		return false;
	good = ntc_spec_list_add(&command->macros, macro);
	free(macro);
	return good;
}

/* The order in which config and headers were given is not in the key, so it must not reach the compiler either. */
static bool command_init(struct command *command, const struct ntc_kernel_spec *spec, struct ntc_nvrtc_job *job)
{
	const struct ntc_spec_config **configs = calloc(spec->config_count + 1, sizeof(*configs));
	const struct ntc_spec_header **headers = calloc(spec->header_count + 1, sizeof(*headers));
	bool good = false;
	size_t n = 0;

	*command = (struct command){ 0 };
	command->text = ntc_program_text(spec->arrangement.text, spec->arrangement.len, spec->application.text,
					 spec->application.len);
	command->options = calloc(spec->config_count + spec->options.count + 2, sizeof(*command->options));
	command->header_names = calloc(spec->header_count + 1, sizeof(*command->header_names));
	command->header_texts = calloc(spec->header_count + 1, sizeof(*command->header_texts));
	if (!configs || !headers || !command->text || !command->options || !command->header_names || !command->header_texts)
		goto out;
	for (size_t i = 0; i < spec->config_count; i++)
		configs[i] = &spec->configs[i];
	qsort(configs, spec->config_count, sizeof(*configs), config_order);
	for (size_t i = 0; i < spec->config_count; i++)
		if (!macro_add(command, configs[i]))
			goto out;
	for (size_t i = 0; i < spec->header_count; i++)
		headers[i] = &spec->headers[i];
	qsort(headers, spec->header_count, sizeof(*headers), header_order);
	for (size_t i = 0; i < spec->header_count; i++) {
		command->header_names[i] = headers[i]->name;
		command->header_texts[i] = headers[i]->content.text;
	}
	(void)snprintf(command->arch, sizeof(command->arch), "-arch=%s", spec->arch);
	command->options[n++] = command->arch;
	/* NVRTC looks for included files in the working directory, which no key can vouch for. */
	if (!spec->has_reach)
		command->options[n++] = "--no-source-include";
	for (size_t i = 0; i < command->macros.count; i++)
		command->options[n++] = command->macros.items[i];
	for (size_t i = 0; i < spec->options.count; i++)
		command->options[n++] = spec->options.items[i];
	*job = (struct ntc_nvrtc_job){
		.program = spec->program,
		.text = command->text,
		.options = command->options,
		.option_count = n,
		.header_names = command->header_names,
		.header_texts = command->header_texts,
		.header_count = spec->header_count,
		.expressions = (const char *const *)spec->names.items,
		.expression_count = spec->names.count,
		.ptx = strncmp(spec->arch, "compute_", 8) == 0,
	};
	good = true;
out:
	free(configs);
	free(headers);
	return good;
}

static enum ntc_err make_entry(const struct ntc_kernel_spec *spec, const struct ntc_nvrtc_job *job,
			       const struct ntc_nvrtc_result *result, struct ntc_entry **entry)
{
	const struct ntc_part_data parts[] = {
		{ job->ptx ? "ptx" : "cubin", result->binary, result->binary_len },
		{ "log", result->log, result->log_len },
		{ "names", result->names, result->names_len },
	};
	static const char producer[] = "libntcache_cuda " NTC_VERSION;
	struct ntc_key *notes = ntc_key_new(NTC_KIND_KERNEL);
	char compiler[48];
	enum ntc_err err;

	(void)snprintf(compiler, sizeof(compiler), "NVRTC %s", result->version);
	ntc_key_add_string(notes, "compiler", compiler, strlen(compiler));
	ntc_key_add_string(notes, "producer", producer, strlen(producer));
	ntc_key_add_string(notes, "program", spec->program, strlen(spec->program));
	err = notes ? ntc_key_seal(notes) : NTC_E_NO_MEMORY;
	if (err)
		(void)ntc_explain(err, "no memory for notes");
	else
		err = ntc_entry_new(spec->key, notes, parts, sizeof(parts) / sizeof(parts[0]), entry);
	ntc_key_free(notes);
	return err;
}

enum ntc_err ntc_kernel_compile(struct ntc_kernel_spec *spec, struct ntc_entry **entry, char **log, uint64_t *cost_ns)
{
	uint64_t start = ntc_clock_mono_ns();
	struct ntc_nvrtc_result result = { 0 };
	const struct ntc_key *key;
	struct ntc_nvrtc_job job;
	struct command command;
	enum ntc_err err;

	if (log)
		*log = NULL;
	if (cost_ns)
		*cost_ns = 0;
	if (!entry)
		return ntc_explain(NTC_E_INVALID, "no place for the entry");
	*entry = NULL;
	err = ntc_kernel_spec_key(spec, &key);
	if (err)
		return err;
	if (!command_init(&command, spec, &job)) {
		command_release(&command);
		return ntc_explain(NTC_E_NO_MEMORY, "no memory for the program's text");
	}
	err = ntc_nvrtc_compile(&job, &result);
	if (!err)
		err = make_entry(spec, &job, &result, entry);
	if (err == NTC_FAILED && log) {
		*log = result.log;
		result.log = NULL;
	}
	ntc_nvrtc_result_release(&result);
	command_release(&command);
	if (cost_ns)
		*cost_ns = ntc_clock_mono_ns() - start;
	return err;
}

static enum ntc_err make(void *ctx, const struct ntc_make *make, struct ntc_entry **entry, char **log)
{
	(void)make;
	return ntc_kernel_compile(ctx, entry, log, NULL);
}

enum ntc_err ntc_kernel_get(struct ntc_client *client, struct ntc_kernel_spec *spec,
			    const struct ntc_acquire_options *options, struct ntc_entry **entry, char **log)
{
	const struct ntc_key *key;
	enum ntc_err err;

	if (log)
		*log = NULL;
	if (!entry)
		return ntc_explain(NTC_E_INVALID, "no place for the entry");
	*entry = NULL;
	err = ntc_kernel_spec_key(spec, &key);
	if (err)
		return err;
	return ntc_fetch(client, key, options, make, spec, entry, log);
}
