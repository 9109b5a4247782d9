/* conv2d: output (n, k, p, q) = input (n, c, h, w) with filter (k, c, FILTER_HEIGHT, FILTER_WIDTH). */
extern "C" __global__ void __launch_bounds__(product::threads)
conv2d(tensor<const DTYPE, 4> input, tensor<const DTYPE, 4> filter, tensor<DTYPE, 4> output)
{
	__shared__ product::shared shared;
	__shared__ pixel pixels[BLOCK_M];
	index_t first_pixel = (index_t)blockIdx.x * BLOCK_M, first_channel = (index_t)blockIdx.y * BLOCK_N;
	load_input a = { input, pixels };
	load_filter b = { filter, first_channel };
	product p;

	find_pixels(pixels, first_pixel, output);
	__syncthreads();
	p.run(shared, (int)filter.size[1] * window, a, b);
#pragma unroll
	for (int i = 0; i < THREAD_M; i++) {
		pixel x = pixels[p.row(i)];

#pragma unroll
		for (int j = 0; j < THREAD_N; j++) {
			index_t channel = first_channel + p.col(j);

			if (x.n < output.size[0] && channel < output.size[1])
				*at(output, x.n, channel, x.p, x.q) = from_float<DTYPE>(p.acc[i][j]);
		}
	}
}
