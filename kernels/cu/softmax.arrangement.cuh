/*
 * softmax: a matrix in rows, one row a block of THREADS threads, which walk it in tiles of BLOCK_SIZE
 * columns.
 *
 * Config: DTYPE, BLOCK_SIZE, THREADS, UNROLL.   Launch: grid rows, block THREADS.
 */
#include "tensor.cuh"
#include "reduce.cuh"

static_assert(BLOCK_SIZE % THREADS == 0, "a tile is whole rounds of its threads");

constexpr int per_thread = BLOCK_SIZE / THREADS;

/* Column number `i` of this thread in the tile that starts at column `first`. */
__device__ __forceinline__ index_t column(index_t first, int i)
{
	return first + i * THREADS + threadIdx.x;
}
