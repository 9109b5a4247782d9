/*
 * The inner loop of a matrix product: one block makes a BLOCK_M x BLOCK_N tile of C = A B. Tiles of A and
 * B pass through shared memory, BLOCK_K deep, in one buffer or (STAGES 2) in two, so that the next tile is
 * on its way while this one is multiplied. Each thread makes THREAD_M x THREAD_N elements, in float.
 *
 * The depth fits in an int. Where A and B come from is the arrangement's: it gives two loaders with
 *     DTYPE operator()(int i, int k) const     element i of the tile's rows (of B: columns) at depth
 *     k; 0 outside
 *     static constexpr bool k_fastest          whether neighbouring k are neighbours in memory
 */
#ifndef GEMM_CUH
#define GEMM_CUH

#include "types.cuh"

template <typename T, int BM, int BN, int BK, int TM, int TN, int NSTAGES> struct gemm {
	static constexpr int threads_m = BM / TM;
	static constexpr int threads_n = BN / TN;
	static constexpr int threads = threads_m * threads_n;
	/* An odd number of 4-byte words a row keeps transposing stores off one another's banks. */
	static constexpr int pad = 4 / sizeof(T);

	static_assert(BM % TM == 0 && BN % TN == 0, "threads divide the tile evenly");
	static_assert(threads % 32 == 0 && threads <= 1024, "a block is 1 to 32 whole warps");
	static_assert(NSTAGES == 1 || NSTAGES == 2, "one or two buffers");

	struct shared {
		T a[NSTAGES][BK][BM + pad];
		T b[NSTAGES][BK][BN + pad];
	};
	static_assert(sizeof(shared) <= 48 * 1024, "static shared memory is 48 KiB");

	float acc[TM][TN];

	/* Row and column in the tile of this thread's element (i, j): neighbours write neighbours. */
	static __device__ __forceinline__ int row(int i)
	{
		return (int)threadIdx.x / threads_n + i * threads_m;
	}
	static __device__ __forceinline__ int col(int j)
	{
		return (int)threadIdx.x % threads_n + j * threads_n;
	}

	template <int LENGTH, typename Load>
	static __device__ __forceinline__ void fill(T (&tile)[BK][LENGTH + pad], int first, const Load &load)
	{
#pragma unroll 4
		for (int e = (int)threadIdx.x; e < LENGTH * BK; e += threads) {
			int i = Load::k_fastest ? e / BK : e % LENGTH;
			int k = Load::k_fastest ? e % BK : e / LENGTH;

			tile[k][i] = load(i, first + k);
		}
	}

	__device__ __forceinline__ void multiply(const T (&a)[BK][BM + pad], const T (&b)[BK][BN + pad])
	{
#pragma unroll UNROLL
		for (int k = 0; k < BK; k++) {
			float x[TM], y[TN];

#pragma unroll
			for (int i = 0; i < TM; i++)
				x[i] = to_float(a[k][row(i)]);
#pragma unroll
			for (int j = 0; j < TN; j++)
				y[j] = to_float(b[k][col(j)]);
#pragma unroll
			for (int i = 0; i < TM; i++)
#pragma unroll
				for (int j = 0; j < TN; j++)
					acc[i][j] = fmaf(x[i], y[j], acc[i][j]);
		}
	}

	/* The whole depth. Every thread of the block takes part. */
	template <typename A, typename B>
	__device__ __forceinline__ void run(shared &s, int depth, const A &a, const B &b)
	{
#pragma unroll
		for (int i = 0; i < TM; i++)
#pragma unroll
			for (int j = 0; j < TN; j++)
				acc[i][j] = 0.0f;
		fill<BM>(s.a[0], 0, a);
		fill<BN>(s.b[0], 0, b);
		__syncthreads();
		for (int k = 0; k < depth; k += BK) {
			int now = NSTAGES == 2 ? k / BK % 2 : 0;
			bool more = depth - k > BK;

			if (NSTAGES == 2 && more) {
				fill<BM>(s.a[(now + 1) % NSTAGES], k + BK, a);
				fill<BN>(s.b[(now + 1) % NSTAGES], k + BK, b);
			}
			multiply(s.a[now], s.b[now]);
			__syncthreads();
			if (NSTAGES == 1 && more) {
				fill<BM>(s.a[0], k + BK, a);
				fill<BN>(s.b[0], k + BK, b);
				__syncthreads();
			}
		}
	}
};

#endif
