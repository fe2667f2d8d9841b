"""Two matrices multiplied.

A numpy array of shape (n, k) is a tensor with ne = (k, n): ne[0] is the row, the way it lies in memory. mul_mat
takes two matrices with rows of the same length and gives the dot product of every row of the one with every row of
the other, so it is b @ a.T in numpy's words. An op computes nothing: it promises a result. A graph computes it.
"""

import numpy as np

from ggtui import Context, Graph, ops

rng = np.random.default_rng(0)
weights = rng.standard_normal((4, 64), dtype=np.float32)  # m = 4 rows of k = 64
inputs = rng.standard_normal((2, 64), dtype=np.float32)  # n = 2 rows of k = 64

ctx = Context()
a = ctx.tensor(weights, name="a", type="q8_0")  # quantized on the way in: 34 bytes for 32 values
b = ctx.tensor(inputs, name="b")
c = ops.mul_mat(a, b)
print("a:", a.type.name, "ne =", a.ne, "nb =", a.nb)
print("c:", c.type.name, "ne =", c.ne)

g = Graph()
g.build_forward_expand(c)
g.print()
g.compute(threads=2)

print("ggtui\n", c.numpy())  # float32 (n, m)
print("numpy, on the values that q8_0 kept\n", inputs @ a.numpy().T)
np.testing.assert_allclose(c.numpy(), inputs @ a.numpy().T, rtol=1e-4, atol=1e-4)
print(f"what 8 bits cost: {np.abs(c.numpy() - inputs @ weights.T).max():.4f} at most")
print(f"the context holds {ctx.used_mem()} bytes")
