"""One mul_mat node by hand: where every number lies.

ne[i] says how many elements dimension i has, nb[i] how many bytes lie from one to the next along it. Element (i0,
i1) is at byte i0 * nb[0] + i1 * nb[1]; that is all a kernel needs to know. Views change ne and nb and move nothing.
"""

import numpy as np

from ggtui import Context, Graph, ops

ctx = Context()
a = ctx.new_tensor_2d("f32", 4, 3, name="a")  # ne0 = 4 values a row, ne1 = 3 rows
a.set(np.arange(12, dtype=np.float32).reshape(3, 4))
b = ctx.tensor(np.eye(4, dtype=np.float32)[:2] * 10, name="b")  # picks out the first two columns of a, times 10

for t in (a, b, ops.transpose(a), ops.view(a, (2, 3), (a.nb[1],), offset=8)):
    print(f"{t.op:<10} ne = {t.ne}  nb = {t.nb}  starts at byte {t.view_offs}")

c = ops.mul_mat(a, b)
print("result     ne =", c.ne, " from", [s.name for s in c.src if s is not None])


def dot_by_hand(i: int, j: int) -> float:
    """c's element (i, j): row i of a times row j of b, byte by byte."""
    total = 0.0
    for k in range(a.ne[0]):
        at_a, at_b = k * a.nb[0] + i * a.nb[1], k * b.nb[0] + j * b.nb[1]
        total += float(a.bytes()[at_a : at_a + 4].view(np.float32)[0] * b.bytes()[at_b : at_b + 4].view(np.float32)[0])
    return total


g = Graph()
g.build_forward_expand(c)
g.compute()
by_hand = [[dot_by_hand(i, j) for i in range(c.ne[0])] for j in range(c.ne[1])]
print("by hand:", by_hand)
print("ggtui:  ", c.numpy().tolist())
assert c.numpy().tolist() == by_hand
