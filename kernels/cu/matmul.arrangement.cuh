/*
 * matmul: C (M x N) in tiles of BLOCK_M x BLOCK_N, one a block; A (M x K) in rows of tiles, B (K x N) in
 * columns of tiles. Tiles are taken in groups of GROUP_M rows, column by column, so that blocks that run
 * at the same time share tiles of A and B in the level-2 cache.
 *
 * Config: DTYPE, BLOCK_M, BLOCK_N, BLOCK_K, THREAD_M, THREAD_N, STAGES, GROUP_M, UNROLL.
 * Launch: grid ceil(M / BLOCK_M) * ceil(N / BLOCK_N), block BLOCK_M / THREAD_M * (BLOCK_N / THREAD_N).
 */
#include "tensor.cuh"
#include "gemm.cuh"

typedef gemm<DTYPE, BLOCK_M, BLOCK_N, BLOCK_K, THREAD_M, THREAD_N, STAGES> product;

/* The first row and column of this block's tile. */
struct origin {
	index_t m, n;
};

__device__ __forceinline__ origin tile_origin(index_t rows, index_t cols)
{
	index_t tiles_m = ceil_div(rows, BLOCK_M), tiles_n = ceil_div(cols, BLOCK_N);
	index_t group = blockIdx.x / (GROUP_M * tiles_n), within = blockIdx.x % (GROUP_M * tiles_n);
	index_t first = group * GROUP_M;
	index_t height = tiles_m - first < GROUP_M ? tiles_m - first : GROUP_M;
	origin o;

	o.m = (first + within % height) * BLOCK_M;
	o.n = within / height * BLOCK_N;
	return o;
}

struct load_a {
	static constexpr bool k_fastest = true;
	tensor<const DTYPE, 2> a;
	index_t first;

	__device__ __forceinline__ DTYPE operator()(int i, int k) const
	{
		index_t m = first + i;

		return m < a.size[0] && k < a.size[1] ? *at(a, m, k) : from_float<DTYPE>(0.0f);
	}
};

struct load_b {
	static constexpr bool k_fastest = false;
	tensor<const DTYPE, 2> b;
	index_t first;

	__device__ __forceinline__ DTYPE operator()(int j, int k) const
	{
		index_t n = first + j;

		return k < b.size[0] && n < b.size[1] ? *at(b, k, n) : from_float<DTYPE>(0.0f);
	}
};
