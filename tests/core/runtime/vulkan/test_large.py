"""Tensors larger than the storage buffers of some drivers may be: addresses know no such limit."""

from __future__ import annotations

import numpy as np

from ggtui.core.graph import ops
from ggtui.core.runtime.compute import Graph
from ggtui.core.runtime.device import one_device
from ggtui.core.runtime.vulkan.devices import vulkan_devices

K, M = 8192, 9001


def test_a_matrix_of_more_than_a_binding() -> None:
    """Its first and last rows, and some between, are what they are on both sides of 128 MiB."""
    context = one_device("vulkan").context()
    w = context.new_tensor("f16", (K, M), "w", use="weights")
    assert w.n_bytes > 128 << 20 and w.n_bytes > min(d.max_range for d in vulkan_devices() if d.kind == "cpu")
    rows = np.random.default_rng(1).standard_normal((3, K)).astype(np.float16)
    places = (0, (128 << 20) // (2 * K) - 1, M - 2)
    for first in places:
        assert w.buffer is not None
        w.buffer.fill_rows(w, first, np.ascontiguousarray(rows[:2]).view(np.uint8))
    x = context.tensor(np.random.default_rng(2).standard_normal((12, K), np.float32), "x")
    want = x.numpy().astype(np.float64) @ rows[:2].astype(np.float64).T
    for n in (1, 12):
        y = ops.mul_mat(w, ops.view(x, (K, n), (x.nb[1],)))
        taken = ops.get_rows(w, context.tensor([first + 1 for first in places], "at"))
        g = Graph()
        g.build_forward_expand(y)
        g.build_forward_expand(taken)
        g.compute(device="vulkan")
        assert {node.device for node in g.plan(device_name="vulkan").info(1).nodes if node.op != "submit"} == {"vulkan"}
        got = y.numpy().reshape(n, M)
        for first in places:
            np.testing.assert_allclose(got[:, first : first + 2], want[:n], rtol=1e-4, atol=1e-3)
        np.testing.assert_array_equal(taken.numpy(), np.tile(rows[1].astype(np.float32), (3, 1)))
        assert not got[:, 2 : places[1]].any()
