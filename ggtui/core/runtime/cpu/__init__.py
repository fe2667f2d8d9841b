"""The device that this is about: C, SIMD kernels and a thread pool."""
