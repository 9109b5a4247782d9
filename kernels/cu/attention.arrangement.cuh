/*
 * attention: queries (batch, heads, length, HEAD_DIM) in tiles of BLOCK_M rows, one a block; keys and
 * values walked in tiles of BLOCK_N rows through shared memory. LANES neighbouring threads share a query
 * row: each makes every LANES-th score of a tile and keeps every LANES-th column of the result.
 *
 * Config: DTYPE, HEAD_DIM, BLOCK_M, BLOCK_N, LANES, CAUSAL, UNROLL.
 * Launch: grid (ceil(length / BLOCK_M), batch * heads), block BLOCK_M * LANES.
 */
#include "tensor.cuh"
#include "reduce.cuh"

static_assert(LANES <= WARP && WARP % LANES == 0, "a row stays within one warp");
static_assert(BLOCK_N % LANES == 0 && HEAD_DIM % LANES == 0, "a row is whole rounds of its threads");
static_assert(BLOCK_M * LANES % WARP == 0, "a block is whole warps");

constexpr int threads = BLOCK_M * LANES;
constexpr int scores_per_thread = BLOCK_N / LANES;
constexpr int columns_per_thread = HEAD_DIM / LANES;
/* An odd number of 4-byte words a row: rows read at the same column fall into different banks. */
constexpr int pitch = HEAD_DIM + 4 / sizeof(DTYPE);

struct tiles {
	DTYPE query[BLOCK_M][pitch];
	DTYPE key[BLOCK_N][pitch];
	DTYPE value[BLOCK_N][pitch];
	float weight[BLOCK_M][BLOCK_N];
};
static_assert(sizeof(tiles) <= 48 * 1024, "static shared memory is 48 KiB");

/* The sequence of one batch element and head: a matrix of length x HEAD_DIM. */
template <typename T>
__device__ __forceinline__ tensor<T, 2> sequence(const tensor<T, 4> &t, index_t batch, index_t head)
{
	tensor<T, 2> s;

	s.data = t.data + batch * t.stride[0] + head * t.stride[1];
	s.size[0] = t.size[2];
	s.size[1] = t.size[3];
	s.stride[0] = t.stride[2];
	s.stride[1] = t.stride[3];
	return s;
}

/* Rows first .. first + ROWS of a sequence into shared memory; zeros beyond its end. */
template <int ROWS>
__device__ __forceinline__ void load_rows(DTYPE (&tile)[ROWS][pitch], const tensor<const DTYPE, 2> &s,
					  index_t first)
{
	for (int e = (int)threadIdx.x; e < ROWS * HEAD_DIM; e += threads) {
		int r = e / HEAD_DIM, d = e % HEAD_DIM;

		tile[r][d] = first + r < s.size[0] ? *at(s, first + r, d) : from_float<DTYPE>(0.0f);
	}
}

/*
 * May query row `m` see key row `n`? With CAUSAL the last query is the last key's: earlier queries see
 * fewer keys. The sequences may have different lengths.
 */
__device__ __forceinline__ bool visible(index_t m, index_t n, index_t queries, index_t keys)
{
	return n < keys && (!CAUSAL || n <= m + keys - queries);
}
