/*
 * softmax: output = exp(input - max) / sum(exp(input - max)), row by row. Maximum and sum are found in one
 * pass; a row may have any length.
 */
extern "C" __global__ void __launch_bounds__(THREADS)
softmax(tensor<const DTYPE, 2> input, tensor<DTYPE, 2> output)
{
	index_t row = blockIdx.x, cols = input.size[1];
	running seen = { -infinity(), 0.0f };

	/* The whole block leaves, or none of it. */
	if (row >= input.size[0])
		return;
	for (index_t first = 0; first < cols; first += BLOCK_SIZE) {
#pragma unroll UNROLL
		for (int i = 0; i < per_thread; i++) {
			index_t col = column(first, i);

			if (col < cols) {
				running x = { to_float(*at(input, row, col)), 1.0f };

				seen = running_op()(seen, x);
			}
		}
	}
	seen = block_reduce<THREADS>(seen, running_op());
	for (index_t first = 0; first < cols; first += BLOCK_SIZE) {
#pragma unroll UNROLL
		for (int i = 0; i < per_thread; i++) {
			index_t col = column(first, i);

			if (col < cols) {
				float x = to_float(*at(input, row, col));

				*at(output, row, col) = from_float<DTYPE>(expf(x - seen.max) / seen.sum);
			}
		}
	}
}
