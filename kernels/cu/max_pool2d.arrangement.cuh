/*
 * max_pool2d: output pixels (n, c, p, q) in one row, in tiles of BLOCK_SIZE, one a block of THREADS
 * threads; each pixel sees a window of the input.
 *
 * Config: DTYPE, WINDOW_HEIGHT, WINDOW_WIDTH, STRIDE, PADDING, BLOCK_SIZE, THREADS, UNROLL.
 * Launch: grid ceil(n * c * p * q / BLOCK_SIZE), block THREADS.
 */
#include "tensor.cuh"

static_assert(BLOCK_SIZE % THREADS == 0, "a tile is whole rounds of its threads");
static_assert(2 * PADDING <= WINDOW_HEIGHT && 2 * PADDING <= WINDOW_WIDTH, "no window is all padding");

constexpr int per_thread = BLOCK_SIZE / THREADS;

struct pixel {
	index_t n, c, p, q;
};

/* Pixel number `i` of this thread; outside where its n is the batch size or more. */
__device__ __forceinline__ pixel pixel_of(int i, const tensor<DTYPE, 4> &output)
{
	index_t e = (index_t)blockIdx.x * BLOCK_SIZE + i * THREADS + threadIdx.x;
	pixel x;

	x.q = e % output.size[3];
	e /= output.size[3];
	x.p = e % output.size[2];
	e /= output.size[2];
	x.c = e % output.size[1];
	x.n = e / output.size[1];
	return x;
}
