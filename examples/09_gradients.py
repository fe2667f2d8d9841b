"""Gradients, checked on the page.

A rule for each op says what the gradient of its result is of its sources (ggtui/core/graph/ops/backward.py); one walk
from the loss back applies them, and what it makes are nodes like any others. Here is a small network with its gradients
in one graph; then each weight is moved a little, up and down, to see that the loss moves as its gradient says.
"""

import numpy as np

import ggtui
from ggtui import ops

rng = np.random.default_rng(0)
context = ggtui.Context()
x = context.tensor(rng.standard_normal((6, 4), np.float32), "x")  # six rows of four numbers
targets = context.tensor(np.array([0, 2, 1, 2, 0, 1], np.int32), "targets")
w = context.tensor(rng.standard_normal((5, 4), np.float32), "w")  # (4, 5): from four numbers to five
scale = context.tensor(np.ones(5, np.float32), "scale")
v = context.tensor(rng.standard_normal((3, 5), np.float32), "v")  # to three logits

hidden = ops.mul(ops.rms_norm(ops.gelu(ops.mul_mat(w, x))), scale)
loss = ops.scale(ops.sum(ops.cross_entropy(ops.mul_mat(v, hidden), targets)), 1 / 6)

graph = ggtui.Graph()
gradients = graph.build_backward_expand(loss, [w, scale, v])
graph.print()
graph.compute()
print("loss:", loss.numpy().item())

forward = ggtui.Graph()
forward.build_forward_expand(loss)
STEP = 1e-2
for weights, gradient in zip((w, scale, v), gradients, strict=True):
    found, values = gradient.numpy().copy(), weights.numpy()
    for place in np.ndindex(values.shape):
        kept, moved = values[place], []
        for by in (STEP, -STEP):
            values[place] = kept + by
            forward.compute()
            moved.append(loss.numpy().item())
        values[place] = kept
        expected = (moved[0] - moved[1]) / (2 * STEP)
        assert abs(found[place] - expected) < 1e-3, (weights.name, place, found[place], expected)
    print(f"{gradient.name}: {found.size} numbers, as moving each weight says")
