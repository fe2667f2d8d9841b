"""Rows by index on a Vulkan device: to the bit what the CPU's codecs say."""

from __future__ import annotations

import numpy as np
import pytest

from ggtui.core.errors import GgtuiError
from ggtui.core.graph import ops
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.check import reference_result
from ggtui.core.runtime.compute import Graph, shared_pool
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.vulkan.kernels.mul_mat import TYPES as WEIGHTS


def check(y: Tensor, values: dict[str, int] | None = None) -> None:
    graph = Graph()
    graph.build_forward_expand(y)
    plan = graph.plan(device_name="vulkan")
    assert [node.device for node in plan.info(1).nodes if node.op not in ("copy", "submit")] == ["vulkan"]
    plan.run(shared_pool("vulkan", 1), values)
    np.testing.assert_array_equal(y.numpy(), reference_result(y, values))


@pytest.mark.parametrize("type", [*WEIGHTS, "i32"])
def test_types(type: str, context: Context) -> None:
    rng = np.random.default_rng(1)
    for k in (1, 33, 300):
        k = -(-k // TYPES[type].block) * TYPES[type].block
        values = 100 * rng.standard_normal((7, k)) * np.geomspace(1e-6, 1, 7)[:, None]  # some scales are denormal
        rows = context.tensor(np.array([6, 0, 3, 3, 5], np.int32))
        check(ops.get_rows(context.tensor(values.astype(np.float32), type=type), rows))


@pytest.mark.parametrize("type", ["f32", "f16", "q6_k"])
def test_matrices_and_views(type: str, context: Context) -> None:
    rng = np.random.default_rng(2)
    larger = context.tensor(rng.standard_normal((3, 2, 9, 512), np.float32), type=type)
    a = ops.view(larger, (256, 5, 2, 2), larger.nb[1:], larger.nb[3] + 2 * larger.nb[1] + larger.type.row_bytes(256))
    rows = ops.permute(context.tensor(rng.integers(0, 5, (2, 4, 2)).astype(np.int32)), 1, 0, 2, 3)
    check(ops.get_rows(a, rows))
    if type != "q6_k":
        turned = ops.transpose(context.tensor(rng.standard_normal((33, 7), np.float32), type=type))
        check(ops.get_rows(turned, context.tensor(np.array([6, 0], np.int32))))


def test_numbers_that_are_none(context: Context) -> None:
    a = context.tensor(np.array([[np.inf, np.nan, -np.inf, -0.0, 1e-45]], np.float32))
    check(ops.get_rows(a, context.tensor(np.array([0, 0], np.int32))))


def test_rows_that_vary(context: Context) -> None:
    a = context.tensor(np.arange(40, dtype=np.float32).reshape(10, 4))
    rows = context.new_tensor("i32", (Dim("n_tokens", 6),))
    rows.set(np.array([9, 0, 3, 3, 5, 1], np.int32))
    y = ops.get_rows(a, rows)
    for n in (6, 1, 0):
        check(y, {"n_tokens": n})


@pytest.mark.parametrize("index", [-1, 7, 2**31 - 1])
def test_out_of_range(index: int, context: Context) -> None:
    for type in ("f32", "q8_0"):
        a = context.tensor(np.ones((7, 32), np.float32), type=type)
        y = ops.get_rows(a, context.tensor(np.array([1, index], np.int32)))
        graph = Graph()
        graph.build_forward_expand(y)
        plan = graph.plan(device_name="vulkan")
        assert {node.device for node in plan.info(1).nodes if node.op == "get_rows"} == {"vulkan"}
        with pytest.raises(GgtuiError, match="out of range"):
            plan.run(shared_pool("vulkan", 1))
