/*
 * pad: output = input with `top` rows above it and `left` columns before it; how much is below and behind
 * is the output's size. `value` is what stands outside in CONSTANT mode.
 */
extern "C" __global__ void __launch_bounds__(THREADS)
pad(tensor<const DTYPE, 2> input, tensor<DTYPE, 2> output, index_t top, index_t left, float value)
{
#pragma unroll UNROLL
	for (int i = 0; i < per_thread; i++) {
		index_t row = row_of(i), col = col_of(i);

		if (row < output.size[0] && col < output.size[1]) {
			index_t r = source(row, top, input.size[0]);
			index_t c = source(col, left, input.size[1]);

			*at(output, row, col) =
				r >= 0 && c >= 0 ? *at(input, r, c) : from_float<DTYPE>(value);
		}
	}
}
