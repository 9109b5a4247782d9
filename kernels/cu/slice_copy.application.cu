/*
 * slice_copy: output = input[rows, cols], with the output's sizes. What a slice names outside the input is
 * left as it was.
 */
extern "C" __global__ void __launch_bounds__(THREADS)
slice_copy(tensor<const DTYPE, 2> input, tensor<DTYPE, 2> output, slice rows, slice cols)
{
#pragma unroll UNROLL
	for (int i = 0; i < per_thread; i++) {
		index_t row = row_of(i), col = col_of(i);
		index_t r = sliced(rows, row), c = sliced(cols, col);

		if (row < output.size[0] && col < output.size[1] && r >= 0 && r < input.size[0] && c >= 0 &&
		    c < input.size[1])
			*at(output, row, col) = *at(input, r, c);
	}
}
