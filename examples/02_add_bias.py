"""A linear layer: mul_mat, and a bias that is repeated for every row.

The bias has ne = (3, 1, 1, 1) and the product ne = (3, 5, 1, 1): the smaller operand is repeated to the larger one's
shape. The graph has two nodes; when it runs they become one, since the bias can be added while the sums are at hand.
"""

import numpy as np

from ggtui import Context, Graph, ops

rng = np.random.default_rng(1)
w = rng.standard_normal((3, 8), dtype=np.float32)
x = rng.standard_normal((5, 8), dtype=np.float32)
bias = np.array([10, 20, 30], dtype=np.float32)

ctx = Context()
y = ops.add(ops.mul_mat(ctx.tensor(w, name="w"), ctx.tensor(x, name="x")), ctx.tensor(bias, name="bias"))

g = Graph()
g.build_forward_expand(y)
print("as written:")
g.print()
print("as it runs:")
g.print(fused=True)

g.compute()
print(y.numpy())
np.testing.assert_allclose(y.numpy(), x @ w.T + bias, rtol=1e-5, atol=1e-5)
