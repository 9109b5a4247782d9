/*
 * slice_copy: the slice in tiles of BLOCK_ROWS x BLOCK_COLS.
 *
 * Config: DTYPE, BLOCK_ROWS, BLOCK_COLS, THREADS, UNROLL.
 * Launch: grid (ceil(columns / BLOCK_COLS), ceil(rows / BLOCK_ROWS)) of the slice, block THREADS.
 */
#include "tensor.cuh"

static_assert(BLOCK_ROWS * BLOCK_COLS % THREADS == 0, "a tile is whole rounds of its threads");

constexpr int per_thread = BLOCK_ROWS * BLOCK_COLS / THREADS;

__device__ __forceinline__ index_t row_of(int i)
{
	return (index_t)blockIdx.y * BLOCK_ROWS + (i * THREADS + (int)threadIdx.x) / BLOCK_COLS;
}

__device__ __forceinline__ index_t col_of(int i)
{
	return (index_t)blockIdx.x * BLOCK_COLS + (i * THREADS + (int)threadIdx.x) % BLOCK_COLS;
}

/* One dimension of a slice: start:...:step, as Python has it; `step` may be negative. */
struct slice {
	index_t start;
	index_t step;
};

__device__ __forceinline__ index_t sliced(slice s, index_t i)
{
	return s.start + i * s.step;
}
