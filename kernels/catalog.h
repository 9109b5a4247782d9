/*
 * The catalog of the real kernels (kernels/cu/): each is two source texts, shared headers and a table of
 * configs. Demo, tests and benches take their kernels from here; it is no part of libntcache_cuda.
 *
 * The texts are embedded when it is built, so a program that has the catalog needs no files. Everything here
 * is constant: any thread, nothing to free but the specs.
 */
#ifndef NTC_KERNELS_CATALOG_H
#define NTC_KERNELS_CATALOG_H

#include <ntcache_cuda.h>

/* A source text: `begin` up to `end`, where a NUL is. `name` is the file's, and a header's in #include. */
struct ntc_catalog_text {
	const char *name;
	const char *begin, *end;
};

#define NTC_CATALOG_VALUES 12

/* One config of a kernel: the macro DTYPE, and values of the kernel's fields in their order. */
struct ntc_catalog_config {
	const char *name;               /* "f16-64x64x16" */
	const char *dtype;              /* float, float16 or bfloat16 (types.cuh) */
	int64_t values[NTC_CATALOG_VALUES];
	const char *option;             /* one compiler option more than all have, or NULL */
};

struct ntc_catalog_field {
	const char *name;               /* of the macro */
	bool is_bool;
};

struct ntc_catalog_kernel {
	const char *name;               /* the program's and the function's: "matmul" */
	struct ntc_catalog_text arrangement, application;
	const struct ntc_catalog_text *headers;
	size_t header_count;
	const struct ntc_catalog_field *fields;
	size_t field_count;
	const struct ntc_catalog_config *configs;
	size_t config_count;
};

/* A kernel with one of its configs: what is compiled. */
struct ntc_catalog_item {
	const struct ntc_catalog_kernel *kernel;
	const struct ntc_catalog_config *config;
};

/* The kernels, and all their configs together. */
size_t ntc_catalog_kernel_count(void);
const struct ntc_catalog_kernel *ntc_catalog_kernel(size_t i);
size_t ntc_catalog_count(void);

/* Item `i`, below ntc_catalog_count(): kernel after kernel, config after config. */
struct ntc_catalog_item ntc_catalog_item(size_t i);

/* "matmul-f16-64x64x16": unique. As snprintf(). */
#define NTC_CATALOG_NAME_SIZE 64
size_t ntc_catalog_name(size_t i, char *out, size_t size);

/* The value of a config field by the macro's name, for launching; false if the kernel has no such field. */
bool ntc_catalog_value(struct ntc_catalog_item item, const char *field, int64_t *value);

/* The spec of item `i` for an architecture ("sm_90"). Given: ntc_kernel_spec_free(). NULL without memory. */
struct ntc_kernel_spec *ntc_catalog_spec(size_t i, const char *arch);

#endif
