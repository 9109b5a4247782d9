/*
 * Element types, without the toolkit's headers: a machine that has only NVRTC can compile these kernels.
 * A 16-bit float is its bits; one PTX instruction converts. All arithmetic is done in float.
 */
#ifndef TYPES_CUH
#define TYPES_CUH

typedef long long index_t;

struct float16 {
	unsigned short bits;
};

struct bfloat16 {
	unsigned short bits;
};

__device__ __forceinline__ float to_float(float x)
{
	return x;
}

__device__ __forceinline__ float to_float(float16 x)
{
	float f;

	asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(x.bits));
	return f;
}

/* A bfloat16 is the upper half of a float. */
__device__ __forceinline__ float to_float(bfloat16 x)
{
	return __uint_as_float((unsigned)x.bits << 16);
}

/* Round to nearest, ties to even. */
template <typename T> __device__ __forceinline__ T from_float(float x);

template <> __device__ __forceinline__ float from_float<float>(float x)
{
	return x;
}

template <> __device__ __forceinline__ float16 from_float<float16>(float x)
{
	float16 h;

	asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h.bits) : "f"(x));
	return h;
}

template <> __device__ __forceinline__ bfloat16 from_float<bfloat16>(float x)
{
	bfloat16 b;

	asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(b.bits) : "f"(x));
	return b;
}

__device__ __forceinline__ float infinity()
{
	return __int_as_float(0x7f800000);
}

#endif
