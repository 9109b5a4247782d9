/*
 * attention: output = softmax(query key^T * scale) value, tile by tile: the softmax is carried along as a
 * running maximum and sum, so no row of scores is ever whole. A query that sees no key gives zeros.
 */
extern "C" __global__ void __launch_bounds__(threads)
attention(tensor<const DTYPE, 4> query, tensor<const DTYPE, 4> key, tensor<const DTYPE, 4> value,
	  tensor<DTYPE, 4> output, float scale)
{
	__shared__ tiles t;
	index_t batch = blockIdx.y / query.size[1], head = blockIdx.y % query.size[1];
	tensor<const DTYPE, 2> q = sequence(query, batch, head), k = sequence(key, batch, head);
	tensor<const DTYPE, 2> v = sequence(value, batch, head);
	tensor<DTYPE, 2> o = sequence(output, batch, head);
	index_t first = (index_t)blockIdx.x * BLOCK_M;
	int row = (int)threadIdx.x / LANES, lane = (int)threadIdx.x % LANES;
	index_t queries = q.size[0], keys = k.size[0], m = first + row;
	/* Keys that no row of this tile sees are not walked. */
	index_t end = CAUSAL && first + BLOCK_M < queries ? first + BLOCK_M + keys - queries : keys;
	float acc[columns_per_thread] = {};
	float max = -infinity(), sum = 0.0f;

	load_rows(t.query, q, first);
	for (index_t n = 0; n < end; n += BLOCK_N) {
		float score[scores_per_thread];
		float tile_max = max, tile_sum = 0.0f;

		/* Nobody may still read the last tile. */
		__syncthreads();
		load_rows(t.key, k, n);
		load_rows(t.value, v, n);
		__syncthreads();

#pragma unroll
		for (int j = 0; j < scores_per_thread; j++)
			score[j] = 0.0f;
#pragma unroll UNROLL
		for (int d = 0; d < HEAD_DIM; d++) {
			float x = to_float(t.query[row][d]);

#pragma unroll
			for (int j = 0; j < scores_per_thread; j++)
				score[j] = fmaf(x, to_float(t.key[lane + j * LANES][d]), score[j]);
		}
#pragma unroll
		for (int j = 0; j < scores_per_thread; j++) {
			bool seen = visible(m, n + lane + j * LANES, queries, keys);

			score[j] = seen ? score[j] * scale : -infinity();
			tile_max = fmaxf(tile_max, score[j]);
		}
		tile_max = lanes_reduce<LANES>(tile_max, max_op());

		float keep = rescale(max, tile_max);

#pragma unroll
		for (int j = 0; j < scores_per_thread; j++) {
			/* As long as a row has seen nothing its maximum is -infinity, and so is the score. */
			float w = score[j] == -infinity() ? 0.0f : expf(score[j] - tile_max);

			t.weight[row][lane + j * LANES] = w;
			tile_sum += w;
		}
		sum = sum * keep + lanes_reduce<LANES>(tile_sum, add_op());
		max = tile_max;
		/* A row's weights are written and read by the same warp. */
		__syncwarp();

#pragma unroll
		for (int c = 0; c < columns_per_thread; c++)
			acc[c] *= keep;
#pragma unroll UNROLL
		for (int j = 0; j < BLOCK_N; j++) {
			float w = t.weight[row][j];

#pragma unroll
			for (int c = 0; c < columns_per_thread; c++)
				acc[c] = fmaf(w, to_float(t.value[j][lane + c * LANES]), acc[c]);
		}
	}
	if (m >= queries)
		return;
#pragma unroll
	for (int c = 0; c < columns_per_thread; c++)
		*at(o, m, lane + c * LANES) = from_float<DTYPE>(sum == 0.0f ? 0.0f : acc[c] / sum);
}
