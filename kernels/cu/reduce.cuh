/*
 * Reductions over a warp and over a block, in a fixed order: the same input gives the same bits.
 */
#ifndef REDUCE_CUH
#define REDUCE_CUH

#define WARP 32

/* A value that a reduction carries says how it is fetched from another lane. */
__device__ __forceinline__ float shuffle_xor(float v, int mask)
{
	return __shfl_xor_sync(0xffffffffu, v, mask);
}

struct add_op {
	__device__ __forceinline__ float operator()(float a, float b) const
	{
		return a + b;
	}
};

struct max_op {
	__device__ __forceinline__ float operator()(float a, float b) const
	{
		return fmaxf(a, b);
	}
};

/* Over groups of `width` neighbouring lanes; all of the warp takes part, all of a group get its result. */
template <int width, typename T, typename Op>
__device__ __forceinline__ T lanes_reduce(T v, Op op)
{
	static_assert(width > 0 && WARP % width == 0, "a group is a power of two up to a warp");
#pragma unroll
	for (int mask = width / 2; mask > 0; mask /= 2)
		v = op(v, shuffle_xor(v, mask));
	return v;
}

/* Over a block of `count` threads; every thread takes part, every thread gets the result. */
template <int count, typename T, typename Op>
__device__ __forceinline__ T block_reduce(T v, Op op)
{
	constexpr int warps = count / WARP;
	static_assert(count % WARP == 0 && warps >= 1 && warps <= 32, "a block is 1 to 32 whole warps");
	__shared__ T partial[warps];

	v = lanes_reduce<WARP>(v, op);
	if (warps == 1)
		return v;
	if (threadIdx.x % WARP == 0)
		partial[threadIdx.x / WARP] = v;
	__syncthreads();
	v = partial[0];
#pragma unroll
	for (int w = 1; w < warps; w++)
		v = op(v, partial[w]);
	/* The next reduction of this kind writes the same array. */
	__syncthreads();
	return v;
}

/*
 * The maximum seen so far, and the sum of exp(x - maximum): what a softmax needs, in one pass.
 */
struct running {
	float max;
	float sum;
};

__device__ __forceinline__ running shuffle_xor(running v, int mask)
{
	running r;

	r.max = shuffle_xor(v.max, mask);
	r.sum = shuffle_xor(v.sum, mask);
	return r;
}

/* exp(from - to), and 1 also where both are infinite: then nothing has to be rescaled. */
__device__ __forceinline__ float rescale(float from, float to)
{
	return from == to ? 1.0f : expf(from - to);
}

struct running_op {
	__device__ __forceinline__ running operator()(running a, running b) const
	{
		running r;

		r.max = fmaxf(a.max, b.max);
		r.sum = a.sum * rescale(a.max, r.max) + b.sum * rescale(b.max, r.max);
		return r;
	}
};

#endif
