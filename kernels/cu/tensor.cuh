/*
 * A tensor as a kernel's argument: a pointer, then sizes, then strides in elements (8 bytes each, so
 * any language can lay it out). Strides may be anything, also 0 and negative.
 */
#ifndef TENSOR_CUH
#define TENSOR_CUH

#include "types.cuh"

template <typename T, int RANK> struct tensor {
	T *data;
	index_t size[RANK];
	index_t stride[RANK];
};

__host__ __device__ constexpr index_t ceil_div(index_t a, index_t b)
{
	return (a + b - 1) / b;
}

template <typename T>
__device__ __forceinline__ T *at(const tensor<T, 1> &t, index_t i)
{
	return t.data + i * t.stride[0];
}

template <typename T>
__device__ __forceinline__ T *at(const tensor<T, 2> &t, index_t i, index_t j)
{
	return t.data + i * t.stride[0] + j * t.stride[1];
}

template <typename T>
__device__ __forceinline__ T *at(const tensor<T, 4> &t, index_t i, index_t j, index_t k, index_t l)
{
	return t.data + i * t.stride[0] + j * t.stride[1] + k * t.stride[2] + l * t.stride[3];
}

#endif
