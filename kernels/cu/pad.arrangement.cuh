/*
 * pad: the output in tiles of BLOCK_ROWS x BLOCK_COLS; each output element is mapped to the input element
 * it shows, or to none.
 *
 * Config: DTYPE, MODE, BLOCK_ROWS, BLOCK_COLS, THREADS, UNROLL.
 * Launch: grid (ceil(columns / BLOCK_COLS), ceil(rows / BLOCK_ROWS)) of the output, block THREADS.
 */
#include "tensor.cuh"

#define CONSTANT 0      /* outside is a value */
#define REFLECT 1       /* mirrored about the edge element; the padding is smaller than the input */
#define REPLICATE 2     /* outside is the edge element */

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

/* The input index that output index `i` shows, or -1. */
__device__ __forceinline__ index_t source(index_t i, index_t before, index_t size)
{
	i -= before;
	if (i >= 0 && i < size)
		return i;
	if (MODE == REFLECT)
		i = i < 0 ? -i : 2 * (size - 1) - i;
	else if (MODE == REPLICATE)
		i = i < 0 ? 0 : size - 1;
	return i >= 0 && i < size ? i : -1;
}
