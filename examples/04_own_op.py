"""An op of one's own, in Python: silu, then a layer norm.

map_custom makes a Python function a node. Every thread of the pool calls it with its number `ith` of `nth` and does its
share of the rows; what it raises comes out of compute(). Here both are checked against the ops that ggtui has built in.
"""

import numpy as np
from numpy.typing import NDArray

from ggtui import Context, Graph, ops

Array = NDArray[np.float32]


def share(n: int, ith: int, nth: int) -> slice:
    """The rows of thread ith."""
    return slice(n * ith // nth, n * (ith + 1) // nth)


def my_silu(dst: Array, x: Array, ith: int, nth: int) -> None:
    mine = share(len(x), ith, nth)
    dst[mine] = x[mine] / (1 + np.exp(-x[mine]))


def my_norm(dst: Array, x: Array, ith: int, nth: int) -> None:
    mine = x[share(len(x), ith, nth)]
    centred = mine - mine.mean(axis=1, keepdims=True)
    dst[share(len(x), ith, nth)] = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)


ctx = Context()
x = ctx.tensor(np.random.default_rng(2).standard_normal((6, 32), dtype=np.float32), name="x")
mine = ops.map_custom(my_norm, ops.map_custom(my_silu, x))
built_in = ops.norm(ops.silu(x), 1e-5)

g = Graph()
g.build_forward_expand(mine)
g.build_forward_expand(built_in)
g.print()
g.compute(threads=2)
print("largest difference:", np.abs(mine.numpy() - built_in.numpy()).max())
np.testing.assert_allclose(mine.numpy(), built_in.numpy(), atol=1e-5)
