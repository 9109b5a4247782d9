/*
 * rms_norm: a matrix in rows, ROWS rows a block, each row walked by LANES threads in tiles of BLOCK_SIZE
 * columns. With LANES up to 32 a row stays within one warp; with more, a block has one row.
 *
 * Config: DTYPE, BLOCK_SIZE, LANES, ROWS, UNROLL.   Launch: grid ceil(rows / ROWS), block LANES * ROWS.
 */
#include "tensor.cuh"
#include "reduce.cuh"

static_assert(BLOCK_SIZE % LANES == 0, "a tile is whole rounds of its threads");
static_assert(LANES <= WARP || ROWS == 1, "several rows a block only within warps");
static_assert(LANES * ROWS % WARP == 0, "a block is whole warps");

constexpr int per_thread = BLOCK_SIZE / LANES;

__device__ __forceinline__ index_t row_of()
{
	return (index_t)blockIdx.x * ROWS + threadIdx.x / LANES;
}

/* Column number `i` of this thread in the tile that starts at column `first`. */
__device__ __forceinline__ index_t column(index_t first, int i)
{
	return first + i * LANES + threadIdx.x % LANES;
}

/* The sum over the threads of a row. Every thread of the block takes part. */
__device__ __forceinline__ float row_sum(float v)
{
	if constexpr (LANES <= WARP)
		return lanes_reduce<LANES>(v, add_op());
	else
		return block_reduce<LANES>(v, add_op());
}
