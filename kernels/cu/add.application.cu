/* add: output = input + other, element by element. */
extern "C" __global__ void __launch_bounds__(THREADS)
add(tensor<const DTYPE, 1> input, tensor<const DTYPE, 1> other, tensor<DTYPE, 1> output)
{
#pragma unroll UNROLL
	for (int i = 0; i < per_thread; i++) {
		index_t e = element(i);

		if (e < output.size[0])
			*at(output, e) = from_float<DTYPE>(to_float(*at(input, e)) + to_float(*at(other, e)));
	}
}
