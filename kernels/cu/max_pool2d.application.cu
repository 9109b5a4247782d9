/*
 * max_pool2d: output (n, c, p, q) = the largest element of input (n, c, h, w) in each window; a NaN in it
 * wins.
 */
extern "C" __global__ void __launch_bounds__(THREADS)
max_pool2d(tensor<const DTYPE, 4> input, tensor<DTYPE, 4> output)
{
#pragma unroll UNROLL
	for (int i = 0; i < per_thread; i++) {
		pixel x = pixel_of(i, output);
		float best = -infinity();

		if (x.n >= output.size[0])
			continue;
#pragma unroll
		for (int r = 0; r < WINDOW_HEIGHT; r++) {
#pragma unroll
			for (int s = 0; s < WINDOW_WIDTH; s++) {
				index_t h = x.p * STRIDE - PADDING + r, w = x.q * STRIDE - PADDING + s;

				if (h >= 0 && h < input.size[2] && w >= 0 && w < input.size[3]) {
					float v = to_float(*at(input, x.n, x.c, h, w));

					best = v > best || v != v ? v : best;
				}
			}
		}
		*at(output, x.n, x.c, x.p, x.q) = from_float<DTYPE>(best);
	}
}
