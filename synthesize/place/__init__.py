"""Where tensors, kernels and biases lie, and an independent check that they lie well."""
