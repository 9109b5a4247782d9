/*
 * rms_norm: output = input / sqrt(mean(input^2) + eps) * weight, row by row; `weight` has one element a
 * column.
 */
extern "C" __global__ void __launch_bounds__(LANES * ROWS)
rms_norm(tensor<const DTYPE, 2> input, tensor<const DTYPE, 1> weight, tensor<DTYPE, 2> output, float eps)
{
	index_t row = row_of(), rows = input.size[0], cols = input.size[1];
	float sum = 0.0f;

	/* Threads without a row go along: reductions need whole warps. */
	for (index_t first = 0; first < cols; first += BLOCK_SIZE) {
#pragma unroll UNROLL
		for (int i = 0; i < per_thread; i++) {
			index_t col = column(first, i);

			if (row < rows && col < cols) {
				float x = to_float(*at(input, row, col));

				sum = fmaf(x, x, sum);
			}
		}
	}
	float scale = rsqrtf(row_sum(sum) / (float)cols + eps);

	for (index_t first = 0; first < cols; first += BLOCK_SIZE) {
#pragma unroll UNROLL
		for (int i = 0; i < per_thread; i++) {
			index_t col = column(first, i);

			if (row < rows && col < cols) {
				float x = to_float(*at(input, row, col)) * scale * to_float(*at(weight, col));

				*at(output, row, col) = from_float<DTYPE>(x);
			}
		}
	}
}
