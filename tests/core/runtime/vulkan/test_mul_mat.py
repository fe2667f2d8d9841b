"""Products on a Vulkan device: weights of every type, in both shaders, against numpy in float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from ggtui.core.graph import ops
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.check import compare, reference_result
from ggtui.core.runtime.compute import Graph, shared_pool
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.vulkan.kernels.mul_mat import TYPES as WEIGHTS

BOUND = 1e-11  # what adding up in another order, in f32, may cost


def numbers(*shape: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def whole(type: str, k: int) -> int:
    return -(-k // TYPES[type].block) * TYPES[type].block


def check(y: Tensor, values: Mapping[str, int] | None = None) -> None:
    """The device makes it, in one node, and it is numpy's."""
    graph = Graph()
    graph.build_forward_expand(y)
    plan = graph.plan(device_name="vulkan")
    assert [node.device for node in plan.info(1).nodes if node.op not in ("copy", "submit")] == ["vulkan"]
    want = reference_result(y, values)
    plan.run(shared_pool("vulkan", 1), values)
    nmse, problem = compare(y.numpy(), want, BOUND)
    assert problem == "", nmse


@pytest.mark.parametrize("type", WEIGHTS)
def test_types(type: str, context: Context) -> None:
    k = whole(type, 96) * 2
    weights = context.tensor(numbers(37, k), type=type)
    for n in (1, 70):
        check(ops.mul_mat(weights, context.tensor(numbers(n, k))))


@pytest.mark.parametrize("type", ["q4_0", "q4_k", "q6_k", "f16"])
def test_small_scales(type: str, context: Context) -> None:
    """Scales that f16 has as denormals count."""
    weights = context.tensor(1e-5 * numbers(33, 512), type=type)
    check(ops.mul_mat(weights, context.tensor(numbers(1, 512))))


@pytest.mark.parametrize("k", [0, 1, 15, 17, 33, 257])
def test_odd_rows(k: int, context: Context) -> None:
    for type in ("f32", "bf16"):
        for m, n in ((3, 1), (65, 33)):
            check(ops.mul_mat(context.tensor(numbers(m, k), type=type), context.tensor(numbers(n, k))))


@pytest.mark.parametrize("n", [2, 3, 7, 8, 9, 32, 33, 129])
def test_columns(n: int, context: Context) -> None:
    check(ops.mul_mat(context.tensor(numbers(257, 256), type="q4_0"), context.tensor(numbers(n, 256))))


@pytest.mark.parametrize("m, n", [(300, 1), (1025, 1), (1025, 8), (1500, 1500)])
def test_large(m: int, n: int, context: Context) -> None:
    """Several rows a group, and large tiles."""
    check(ops.mul_mat(context.tensor(numbers(m, 64), type="q8_0"), context.tensor(numbers(n, 64))))


def test_more_rows_than_groups(context: Context) -> None:
    rows = context.tensor(np.tile(numbers(1000, 32), (300, 1)), type="q8_0")
    check(ops.mul_mat(rows, context.tensor(numbers(1, 32))))


@pytest.mark.parametrize("largest, sizes", [(1, (1, 0)), (8, (3, 8, 0)), (512, (1, 3, 0, 70, 512))])
def test_columns_that_vary(largest: int, sizes: tuple[int, ...], context: Context) -> None:
    weights = context.tensor(numbers(65, 64), type="q5_1")
    x = context.new_tensor("f32", (64, Dim("n_tokens", largest)))
    x.set(numbers(largest, 64))
    y = ops.mul_mat(weights, x)
    for n in sizes:
        check(y, {"n_tokens": n})


@pytest.mark.parametrize("n", [1, 40])
@pytest.mark.parametrize("type", ["f16", "q8_0"])
def test_matrices(type: str, n: int, context: Context) -> None:
    for a, b in (
        ((2, 17), (6, n)),
        ((1, 2, 17), (3, 4, n)),
        ((2, 1, 17), (4, 3, n)),
        ((17,), (3, 2, n)),
        ((3, 2, 17), (3, 4, n)),
    ):
        check(ops.mul_mat(context.tensor(numbers(*a, 64), type=type), context.tensor(numbers(*b, 64))))


@pytest.mark.parametrize("n", [2, 40])
def test_views(n: int, context: Context) -> None:
    """Rows with gaps, beginnings that are multiples of few bytes, dimensions in another order."""
    for type in ("f32", "f16", "q4_1"):
        larger = context.tensor(numbers(3, 40, 160), type=type)
        block = max(TYPES[type].block, 3)
        k = 64 if block > 3 else 61
        rows = ops.view(
            larger, (k, 33, 2), larger.nb[1:3], larger.nb[2] + 3 * larger.nb[1] + larger.type.row_bytes(block)
        )
        wide = context.tensor(numbers(2, n + 2, 100))
        x = ops.view(wide, (k, n, 2), wide.nb[1:3], wide.nb[1] + 3 * 4)
        check(ops.mul_mat(rows, x))
    turned = ops.permute(context.tensor(numbers(17, 3, 64), type="q8_0"), 0, 2, 1, 3)
    check(ops.mul_mat(turned, ops.permute(context.tensor(numbers(n, 3, 64)), 0, 2, 1, 3)))


@pytest.mark.parametrize("n", [1, 33])
def test_what_follows(n: int, context: Context) -> None:
    """A bias, an activation and a residual, whose rows may have gaps, in one node."""
    weights, x = context.tensor(numbers(67, 64), type="q8_0"), context.tensor(numbers(n, 64))
    bias, wide = context.tensor(numbers(67, seed=2)), context.tensor(numbers(n, 99, seed=3))
    residual = ops.view(wide, (67, n), wide.nb[1:2], 5 * 4)
    check(ops.add(ops.mul_mat(weights, x), bias))
    check(ops.add(residual, ops.mul_mat(weights, x)))
    check(ops.gelu(ops.mul_mat(weights, x)))
    check(ops.add(ops.silu(ops.add(ops.mul_mat(weights, x), bias)), residual))


@pytest.mark.parametrize("n", [1, 2, 70])
@pytest.mark.parametrize("types", [("q4_0", "q4_0"), ("q4_k", "q6_k"), ("f16", "f32")])
def test_gates(types: tuple[str, str], n: int, context: Context) -> None:
    """Two products of the same x as one node."""
    x = context.tensor(numbers(n, 256))
    gate, up = (context.tensor(numbers(67, 256, seed=i), type=type) for i, type in enumerate(types))
    check(ops.swiglu(ops.mul_mat(gate, x), ops.mul_mat(up, x)))
    bias, up_bias = (context.tensor(numbers(67, seed=seed)) for seed in (2, 3))
    check(ops.geglu(ops.add(ops.mul_mat(gate, x), bias), ops.add(ops.mul_mat(up, x), up_bias)))


@pytest.mark.parametrize("n", [1, 9])
def test_no_numbers(n: int, context: Context) -> None:
    """An infinity or NaN reaches its own column alone, and no column comes from behind the last."""
    x = numbers(n + 1, 64)
    x[0, 3], x[-1] = np.inf, np.nan
    wide = context.tensor(x)
    y = ops.mul_mat(context.tensor(np.abs(numbers(17, 64)), type="q8_0"), ops.view(wide, (64, n)))
    check(y)


def test_elsewhere(context: Context) -> None:
    """What no shader reads the CPU does."""
    x = context.tensor(numbers(3, 64))
    turned = ops.transpose(context.tensor(numbers(64, 3)))
    for weights, columns in ((context.tensor(numbers(5, 64), type="iq4_nl"), x), (turned, x), (x, turned)):
        graph = Graph()
        y = ops.mul_mat(weights, columns)
        graph.build_forward_expand(y)
        assert {node.device for node in graph.plan(device_name="vulkan").info(1).nodes} == {"cpu"}
        graph.compute(device="vulkan")
        assert compare(y.numpy(), reference_result(y), 1e-7)[1] == ""
