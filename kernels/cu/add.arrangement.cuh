/*
 * add: vectors in tiles of BLOCK_SIZE elements, one tile a block of THREADS threads.
 *
 * Config: DTYPE, BLOCK_SIZE, THREADS, UNROLL.   Launch: grid ceil(n / BLOCK_SIZE), block THREADS.
 */
#include "tensor.cuh"

static_assert(BLOCK_SIZE % THREADS == 0, "a tile is whole rounds of its threads");

/* A thread's share of the tile, and where its element number `i` is: neighbours read neighbours. */
constexpr int per_thread = BLOCK_SIZE / THREADS;

__device__ __forceinline__ index_t element(int i)
{
	return (index_t)blockIdx.x * BLOCK_SIZE + i * THREADS + threadIdx.x;
}
