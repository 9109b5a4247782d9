/*
 * conv2d as a matrix product that is never laid out (implicit GEMM): a row is one output pixel (n, p, q),
 * a column one output channel k, and the depth runs over (c, r, s):
 *
 *     output[n, k, p, q] = sum over c, r, s of input[n, c, p * STRIDE - PADDING + r * DILATION, ...] *
 *     filter[k, c, r, s]
 *
 * Config: DTYPE, FILTER_HEIGHT, FILTER_WIDTH, STRIDE, PADDING, DILATION, BLOCK_M, BLOCK_N, BLOCK_K,
 * THREAD_M, THREAD_N, STAGES, UNROLL.
 * Launch: grid (ceil(n * p * q / BLOCK_M), ceil(k / BLOCK_N)), block BLOCK_M / THREAD_M * (BLOCK_N /
 * THREAD_N).
 */
#include "tensor.cuh"
#include "gemm.cuh"

typedef gemm<DTYPE, BLOCK_M, BLOCK_N, BLOCK_K, THREAD_M, THREAD_N, STAGES> product;

constexpr int window = FILTER_HEIGHT * FILTER_WIDTH;

/* An output pixel; n is the batch size or more beyond the last one. */
struct pixel {
	int n, p, q;
};

/* The pixels of the block's tile are worked out once, not for every element that is read. */
__device__ __forceinline__ void find_pixels(pixel (&pixels)[BLOCK_M], index_t first,
					    const tensor<DTYPE, 4> &output)
{
	for (int i = (int)threadIdx.x; i < BLOCK_M; i += product::threads) {
		index_t m = first + i;

		pixels[i].q = (int)(m % output.size[3]);
		m /= output.size[3];
		pixels[i].p = (int)(m % output.size[2]);
		pixels[i].n = (int)(m / output.size[2]);
	}
}

struct load_input {
	static constexpr bool k_fastest = false;
	tensor<const DTYPE, 4> input;
	const pixel *pixels;

	__device__ __forceinline__ DTYPE operator()(int i, int k) const
	{
		pixel x = pixels[i];
		int c = k / window, r = k % window / FILTER_WIDTH, s = k % window % FILTER_WIDTH;
		int h = x.p * STRIDE - PADDING + r * DILATION, w = x.q * STRIDE - PADDING + s * DILATION;

		if (x.n >= input.size[0] || c >= input.size[1] || h < 0 || h >= input.size[2] || w < 0 ||
		    w >= input.size[3])
			return from_float<DTYPE>(0.0f);
		return *at(input, x.n, c, h, w);
	}
};

struct load_filter {
	static constexpr bool k_fastest = true;
	tensor<const DTYPE, 4> filter;
	index_t first;

	__device__ __forceinline__ DTYPE operator()(int j, int k) const
	{
		index_t channel = first + j;
		int c = k / window, r = k % window / FILTER_WIDTH, s = k % window % FILTER_WIDTH;

		if (channel >= filter.size[0] || c >= filter.size[1])
			return from_float<DTYPE>(0.0f);
		return *at(filter, channel, c, r, s);
	}
};
