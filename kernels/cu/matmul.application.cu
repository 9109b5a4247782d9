/* matmul: output (M x N) = input (M x K) times other (K x N). */
extern "C" __global__ void __launch_bounds__(product::threads)
matmul(tensor<const DTYPE, 2> input, tensor<const DTYPE, 2> other, tensor<DTYPE, 2> output)
{
	__shared__ product::shared shared;
	origin o = tile_origin(output.size[0], output.size[1]);
	load_a a = { input, o.m };
	load_b b = { other, o.n };
	product p;

	p.run(shared, (int)input.size[1], a, b);
#pragma unroll
	for (int i = 0; i < THREAD_M; i++) {
#pragma unroll
		for (int j = 0; j < THREAD_N; j++) {
			index_t m = o.m + p.row(i), n = o.n + p.col(j);

			if (m < output.size[0] && n < output.size[1])
				*at(output, m, n) = from_float<DTYPE>(p.acc[i][j]);
		}
	}
}
