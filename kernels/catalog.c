/*
 * The catalog: the texts of kernels/cu/ and the tables of configs.
 *
 * The texts are taken in by the assembler (.incbin, found from the root of the tree); the Makefile knows that
 * this object depends on them. Configs vary what such kernels are tuned over (tile shapes, threads, stages,
 * unrolling) and what they compute on (element types, windows, modes).
 */
#include "kernels/catalog.h"

#include <stdio.h>
#include <string.h>

#include "base/compiler.h"

/* --- texts -------------------------------------------------------------------------------- */

#define EMBED(symbol, file)                                                                                  \
	__asm__(".pushsection .rodata, \"a\", %progbits\n"                                                   \
		".globl ntc_cu_" #symbol "_begin, ntc_cu_" #symbol "_end\n"                                  \
		".hidden ntc_cu_" #symbol "_begin, ntc_cu_" #symbol "_end\n"                                 \
		"ntc_cu_" #symbol "_begin:\n"                                                                \
		".incbin \"kernels/cu/" file "\"\n"                                                          \
		"ntc_cu_" #symbol "_end:\n"                                                                  \
		".byte 0\n"                                                                                  \
		".popsection");                                                                              \
	extern const char ntc_cu_##symbol##_begin[], ntc_cu_##symbol##_end[]

#define TEXT(symbol, file) { file, ntc_cu_##symbol##_begin, ntc_cu_##symbol##_end }

#define EMBED_KERNEL(kernel)                                                                                 \
	EMBED(kernel##_arrangement, #kernel ".arrangement.cuh");                                             \
	EMBED(kernel##_application, #kernel ".application.cu")

EMBED(types, "types.cuh");
EMBED(tensor, "tensor.cuh");
EMBED(reduce, "reduce.cuh");
EMBED(gemm, "gemm.cuh");
EMBED_KERNEL(add);
EMBED_KERNEL(pad);
EMBED_KERNEL(slice_copy);
EMBED_KERNEL(matmul);
EMBED_KERNEL(softmax);
EMBED_KERNEL(conv2d);
EMBED_KERNEL(max_pool2d);
EMBED_KERNEL(rms_norm);
EMBED_KERNEL(attention);

/* A kernel gets the headers that it includes and no others: what it does not read must not change its key. */
static const struct ntc_catalog_text plain_headers[] = {
	TEXT(types, "types.cuh"),
	TEXT(tensor, "tensor.cuh"),
};
static const struct ntc_catalog_text reduce_headers[] = {
	TEXT(types, "types.cuh"),
	TEXT(tensor, "tensor.cuh"),
	TEXT(reduce, "reduce.cuh"),
};
static const struct ntc_catalog_text gemm_headers[] = {
	TEXT(types, "types.cuh"),
	TEXT(tensor, "tensor.cuh"),
	TEXT(gemm, "gemm.cuh"),
};

/* --- configs ------------------------------------------------------------------------------ */

#define F32 "float"
#define F16 "float16"
#define BF16 "bfloat16"
#define FAST "-use_fast_math"

static const struct ntc_catalog_field add_fields[] = {
	{ "BLOCK_SIZE", false }, { "THREADS", false }, { "UNROLL", false },
};
static const struct ntc_catalog_config add_configs[] = {
	{ "f32-256", F32, { 256, 256, 1 }, NULL },
	{ "f32-1024", F32, { 1024, 128, 4 }, NULL },
	{ "f32-1024-unroll8", F32, { 1024, 128, 8 }, NULL },
	{ "f32-4096", F32, { 4096, 256, 8 }, NULL },
	{ "f16-512", F16, { 512, 128, 4 }, NULL },
	{ "f16-2048", F16, { 2048, 256, 8 }, NULL },
	{ "bf16-512", BF16, { 512, 128, 4 }, NULL },
	{ "bf16-2048", BF16, { 2048, 256, 8 }, NULL },
};

/* MODE: 0 constant, 1 reflect, 2 replicate. */
static const struct ntc_catalog_field pad_fields[] = {
	{ "MODE", false }, { "BLOCK_ROWS", false }, { "BLOCK_COLS", false },
	{ "THREADS", false }, { "UNROLL", false },
};
static const struct ntc_catalog_config pad_configs[] = {
	{ "f32-constant-8x64", F32, { 0, 8, 64, 128, 2 }, NULL },
	{ "f32-constant-16x128", F32, { 0, 16, 128, 256, 4 }, NULL },
	{ "f32-reflect-8x64", F32, { 1, 8, 64, 128, 2 }, NULL },
	{ "f32-replicate-8x64", F32, { 2, 8, 64, 128, 2 }, NULL },
	{ "f16-constant-8x128", F16, { 0, 8, 128, 256, 4 }, NULL },
	{ "f16-reflect-8x128", F16, { 1, 8, 128, 256, 4 }, NULL },
	{ "bf16-constant-8x128", BF16, { 0, 8, 128, 256, 4 }, NULL },
};

static const struct ntc_catalog_field slice_copy_fields[] = {
	{ "BLOCK_ROWS", false }, { "BLOCK_COLS", false }, { "THREADS", false }, { "UNROLL", false },
};
static const struct ntc_catalog_config slice_copy_configs[] = {
	{ "f32-4x64", F32, { 4, 64, 128, 2 }, NULL },
	{ "f32-16x64", F32, { 16, 64, 128, 4 }, NULL },
	{ "f32-16x128", F32, { 16, 128, 256, 8 }, NULL },
	{ "f16-8x128", F16, { 8, 128, 256, 4 }, NULL },
	{ "f16-16x128", F16, { 16, 128, 256, 4 }, NULL },
	{ "bf16-8x128", BF16, { 8, 128, 256, 4 }, NULL },
};

static const struct ntc_catalog_field matmul_fields[] = {
	{ "BLOCK_M", false }, { "BLOCK_N", false }, { "BLOCK_K", false }, { "THREAD_M", false },
	{ "THREAD_N", false }, { "STAGES", false }, { "GROUP_M", false }, { "UNROLL", false },
};
static const struct ntc_catalog_config matmul_configs[] = {
	{ "f32-32x32x16", F32, { 32, 32, 16, 2, 2, 1, 4, 16 }, NULL },
	{ "f32-64x64x16", F32, { 64, 64, 16, 4, 4, 1, 8, 16 }, NULL },
	{ "f32-64x64x16-s2", F32, { 64, 64, 16, 4, 4, 2, 8, 8 }, NULL },
	{ "f32-128x64x16-s2", F32, { 128, 64, 16, 8, 4, 2, 8, 8 }, NULL },
	{ "f16-32x32x32", F16, { 32, 32, 32, 2, 2, 1, 4, 8 }, NULL },
	{ "f16-64x64x32", F16, { 64, 64, 32, 4, 4, 1, 8, 8 }, NULL },
	{ "f16-64x64x32-s2", F16, { 64, 64, 32, 4, 4, 2, 8, 8 }, NULL },
	{ "f16-128x128x16-s2", F16, { 128, 128, 16, 8, 8, 2, 8, 4 }, NULL },
	{ "bf16-64x64x32", BF16, { 64, 64, 32, 4, 4, 1, 8, 8 }, NULL },
	{ "bf16-64x128x16-s2", BF16, { 64, 128, 16, 4, 8, 2, 8, 4 }, NULL },
};

static const struct ntc_catalog_field softmax_fields[] = {
	{ "BLOCK_SIZE", false }, { "THREADS", false }, { "UNROLL", false },
};
static const struct ntc_catalog_config softmax_configs[] = {
	{ "f32-128", F32, { 128, 32, 4 }, NULL },
	{ "f32-512", F32, { 512, 128, 4 }, NULL },
	{ "f32-1024", F32, { 1024, 256, 4 }, NULL },
	{ "f32-1024-fast", F32, { 1024, 256, 4 }, FAST },
	{ "f16-512", F16, { 512, 128, 4 }, NULL },
	{ "f16-2048", F16, { 2048, 256, 8 }, NULL },
	{ "bf16-512", BF16, { 512, 128, 4 }, NULL },
	{ "bf16-2048", BF16, { 2048, 256, 8 }, NULL },
};

static const struct ntc_catalog_field conv2d_fields[] = {
	{ "FILTER_HEIGHT", false }, { "FILTER_WIDTH", false }, { "STRIDE", false }, { "PADDING", false },
	{ "DILATION", false }, { "BLOCK_M", false }, { "BLOCK_N", false }, { "BLOCK_K", false },
	{ "THREAD_M", false }, { "THREAD_N", false }, { "STAGES", false }, { "UNROLL", false },
};
static const struct ntc_catalog_config conv2d_configs[] = {
	{ "f32-1x1-64x32x16", F32, { 1, 1, 1, 0, 1, 64, 32, 16, 4, 2, 1, 8 }, NULL },
	{ "f32-3x3-32x32x16", F32, { 3, 3, 1, 1, 1, 32, 32, 16, 2, 2, 1, 8 }, NULL },
	{ "f32-3x3-64x64x16", F32, { 3, 3, 1, 1, 1, 64, 64, 16, 4, 4, 1, 8 }, NULL },
	{ "f32-3x3-stride2-64x32x16", F32, { 3, 3, 2, 1, 1, 64, 32, 16, 4, 2, 2, 8 }, NULL },
	{ "f32-3x3-dilation2-64x32x16", F32, { 3, 3, 1, 2, 2, 64, 32, 16, 4, 2, 1, 8 }, NULL },
	{ "f16-3x3-64x64x16", F16, { 3, 3, 1, 1, 1, 64, 64, 16, 4, 4, 2, 8 }, NULL },
	{ "f16-5x5-64x32x16", F16, { 5, 5, 1, 2, 1, 64, 32, 16, 4, 2, 1, 8 }, NULL },
	{ "bf16-3x3-64x64x16", BF16, { 3, 3, 1, 1, 1, 64, 64, 16, 4, 4, 2, 8 }, NULL },
};

static const struct ntc_catalog_field max_pool2d_fields[] = {
	{ "WINDOW_HEIGHT", false }, { "WINDOW_WIDTH", false }, { "STRIDE", false }, { "PADDING", false },
	{ "BLOCK_SIZE", false }, { "THREADS", false }, { "UNROLL", false },
};
static const struct ntc_catalog_config max_pool2d_configs[] = {
	{ "f32-2x2-256", F32, { 2, 2, 2, 0, 256, 128, 2 }, NULL },
	{ "f32-3x3-256", F32, { 3, 3, 3, 0, 256, 128, 2 }, NULL },
	{ "f32-3x3-stride2-256", F32, { 3, 3, 2, 1, 256, 256, 1 }, NULL },
	{ "f32-2x4-512", F32, { 2, 4, 2, 1, 512, 256, 2 }, NULL },
	{ "f16-2x2-512", F16, { 2, 2, 2, 0, 512, 256, 2 }, NULL },
	{ "f16-3x3-stride2-256", F16, { 3, 3, 2, 1, 256, 256, 1 }, NULL },
	{ "bf16-2x2-512", BF16, { 2, 2, 2, 0, 512, 256, 2 }, NULL },
};

static const struct ntc_catalog_field rms_norm_fields[] = {
	{ "BLOCK_SIZE", false }, { "LANES", false }, { "ROWS", false }, { "UNROLL", false },
};
static const struct ntc_catalog_config rms_norm_configs[] = {
	{ "f32-8x64", F32, { 64, 16, 8, 4 }, NULL },
	{ "f32-4x256", F32, { 256, 32, 4, 4 }, NULL },
	{ "f32-1x1024", F32, { 1024, 256, 1, 4 }, NULL },
	{ "f16-4x256", F16, { 256, 32, 4, 8 }, NULL },
	{ "f16-1x2048", F16, { 2048, 256, 1, 8 }, NULL },
	{ "bf16-4x256", BF16, { 256, 32, 4, 8 }, NULL },
	{ "bf16-1x2048", BF16, { 2048, 256, 1, 8 }, NULL },
};

static const struct ntc_catalog_field attention_fields[] = {
	{ "HEAD_DIM", false }, { "BLOCK_M", false }, { "BLOCK_N", false },
	{ "LANES", false }, { "CAUSAL", true }, { "UNROLL", false },
};
static const struct ntc_catalog_config attention_configs[] = {
	{ "f32-d32-32x32", F32, { 32, 32, 32, 8, 0, 8 }, NULL },
	{ "f32-d64-32x32", F32, { 64, 32, 32, 8, 0, 8 }, NULL },
	{ "f32-d64-32x32-causal", F32, { 64, 32, 32, 8, 1, 8 }, NULL },
	{ "f16-d64-32x32", F16, { 64, 32, 32, 8, 0, 8 }, NULL },
	{ "f16-d64-64x32-causal", F16, { 64, 64, 32, 4, 1, 8 }, NULL },
	{ "f16-d128-32x32", F16, { 128, 32, 32, 8, 0, 4 }, NULL },
	{ "f16-d64-32x32-fast", F16, { 64, 32, 32, 8, 0, 8 }, FAST },
	{ "bf16-d64-32x64-causal", BF16, { 64, 32, 64, 8, 1, 4 }, NULL },
	{ "bf16-d128-32x32", BF16, { 128, 32, 32, 8, 0, 4 }, NULL },
};

#define KERNEL(kernel, shared_headers)                                                                       \
	{                                                                                                    \
		.name = #kernel,                                                                             \
		.arrangement = TEXT(kernel##_arrangement, #kernel ".arrangement.cuh"),                       \
		.application = TEXT(kernel##_application, #kernel ".application.cu"),                        \
		.headers = shared_headers,                                                                   \
		.header_count = NTC_COUNT(shared_headers),                                                   \
		.fields = kernel##_fields,                                                                   \
		.field_count = NTC_COUNT(kernel##_fields),                                                   \
		.configs = kernel##_configs,                                                                 \
		.config_count = NTC_COUNT(kernel##_configs),                                                 \
	}

static const struct ntc_catalog_kernel kernels[] = {
	KERNEL(add, plain_headers),
	KERNEL(pad, plain_headers),
	KERNEL(slice_copy, plain_headers),
	KERNEL(matmul, gemm_headers),
	KERNEL(softmax, reduce_headers),
	KERNEL(conv2d, gemm_headers),
	KERNEL(max_pool2d, plain_headers),
	KERNEL(rms_norm, reduce_headers),
	KERNEL(attention, reduce_headers),
};

/* --- access ------------------------------------------------------------------------------- */

size_t ntc_catalog_kernel_count(void)
{
	return NTC_COUNT(kernels);
}

const struct ntc_catalog_kernel *ntc_catalog_kernel(size_t i)
{
	return &kernels[i];
}

size_t ntc_catalog_count(void)
{
	size_t count = 0;

	for (size_t k = 0; k < NTC_COUNT(kernels); k++)
		count += kernels[k].config_count;
	return count;
}

struct ntc_catalog_item ntc_catalog_item(size_t i)
{
	size_t k = 0;

	while (i >= kernels[k].config_count)
		i -= kernels[k++].config_count;
	return (struct ntc_catalog_item){ &kernels[k], &kernels[k].configs[i] };
}

size_t ntc_catalog_name(size_t i, char *out, size_t size)
{
	struct ntc_catalog_item item = ntc_catalog_item(i);

	return (size_t)snprintf(out, size, "%s-%s", item.kernel->name, item.config->name);
}

bool ntc_catalog_value(struct ntc_catalog_item item, const char *field, int64_t *value)
{
	for (size_t f = 0; f < item.kernel->field_count; f++) {
		if (strcmp(item.kernel->fields[f].name, field) == 0) {
			*value = item.config->values[f];
			return true;
		}
	}
	return false;
}

static size_t text_length(const struct ntc_catalog_text *text)
{
	return (size_t)(text->end - text->begin);
}

/* Where nothing can be added (no memory), NULL passes through and is what comes back. */
struct ntc_kernel_spec *ntc_catalog_spec(size_t i, const char *arch)
{
	struct ntc_catalog_item item = ntc_catalog_item(i);
	const struct ntc_catalog_kernel *k = item.kernel;
	struct ntc_kernel_spec *spec = ntc_kernel_spec_new(k->name, arch);

	ntc_kernel_spec_arrangement(spec, k->arrangement.begin, text_length(&k->arrangement));
	ntc_kernel_spec_application(spec, k->application.begin, text_length(&k->application));
	for (size_t h = 0; h < k->header_count; h++)
		ntc_kernel_spec_header(spec, k->headers[h].name, k->headers[h].begin,
				       text_length(&k->headers[h]));
	ntc_kernel_spec_config_string(spec, "DTYPE", item.config->dtype);
	for (size_t f = 0; f < k->field_count; f++) {
		if (k->fields[f].is_bool)
			ntc_kernel_spec_config_bool(spec, k->fields[f].name, item.config->values[f] != 0);
		else
			ntc_kernel_spec_config_int(spec, k->fields[f].name, item.config->values[f]);
	}
	ntc_kernel_spec_option(spec, "--std=c++17");
	if (item.config->option)
		ntc_kernel_spec_option(spec, item.config->option);
	return spec;
}
