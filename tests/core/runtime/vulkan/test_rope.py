"""Rotary position embedding on the Vulkan device, against numpy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from ggtui.core.graph import ops
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.check import compare, reference_result
from ggtui.core.runtime.compute import Graph, shared_pool
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.several import device

YARN: dict[str, Any] = {"freq_scale": 0.25, "ext_factor": 0.8, "n_ctx_orig": 512, "attn_factor": 0.9}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def check(y: Tensor, *others: Tensor, values: Mapping[str, int] | None = None) -> None:
    """All of it is computed on the Vulkan device, and well enough."""
    results = (y, *others)
    graph = Graph()
    for t in results:
        graph.build_forward_expand(t)
    plan = graph.plan(device_name="vulkan")
    assert {node.device for node in plan.info(1).nodes if node.op not in ("copy", "submit")} == {"vulkan"}
    wanted = [reference_result(t, values) for t in results]
    plan.run(shared_pool("vulkan", 1), values)
    for t, want in zip(results, wanted, strict=True):
        assert compare(t.numpy(), want, 1e-12)[1] == ""


def positions(context: Context, rng: np.random.Generator, *shape: int, end: int = 5000) -> Tensor:
    return context.tensor(rng.integers(0, end, shape).astype(np.int32))


@pytest.mark.parametrize("mode", ["normal", "neox"])
def test_parts_of_rows_and_any_number_of_heads(mode: str, rng: np.random.Generator) -> None:
    context = Context()
    sizes = ((2, 2, 1, 1, 1), (64, 64, 9, 3, 2), (40, 22, 4, 33, 1), (257, 256, 3, 2, 3))
    for d, n_dims, n_head, n_tokens, n3 in sizes:
        a = context.tensor(rng.standard_normal((n3, n_tokens, n_head, d), np.float32))
        at = positions(context, rng, n_tokens)
        check(ops.rope(a, at, n_dims, mode), ops.rope(a, at, n_dims, mode, attn_factor=1.5, freq_scale=0.5))
        check(ops.rope(a, at, n_dims, mode, **YARN))


@pytest.mark.parametrize("end", [1_000_000, 100_000_000])
@pytest.mark.parametrize("factors", [False, True])
def test_far_positions(end: int, factors: bool, rng: np.random.Generator) -> None:
    context = Context()
    for d, base, scale in ((64, 1e4, 1.0), (128, 1e6, 0.125), (130, 5e5, 4.0)):
        a = context.tensor(rng.standard_normal((40, 3, d), np.float32))
        at = context.tensor(rng.integers(end // 10 * 9, end, 40).astype(np.int32))
        each = np.exp(rng.uniform(-1, 8, d // 2)) * rng.choice([1, -1], d // 2)
        given = context.tensor(each.astype(np.float32)) if factors else None
        check(ops.rope(a, at, mode="neox", freq_base=base, freq_scale=scale, freq_factors=given))


def test_factors_of_any_size(rng: np.random.Generator) -> None:
    """As far as numpy's float64 knows the angle."""
    context = Context()
    a = context.tensor(rng.standard_normal((4, 3, 120), np.float32))
    at = context.tensor(np.array([-3, 0, 1, 2], np.int32))
    for freq_base in (1.5, 1e4):
        factors = context.tensor((2.0 ** np.linspace(-22, 120, 60) * rng.uniform(1, 2, 60)).astype(np.float32))
        check(ops.rope(a, at, freq_base=freq_base, freq_factors=factors))


def test_factors_that_leave_no_number(rng: np.random.Generator) -> None:
    context = Context()
    a, at = context.tensor(rng.standard_normal((3, 2, 8), np.float32)), positions(context, rng, 3)
    factors = context.tensor(np.array([np.nan, 0, 2, np.inf], np.float32))
    with np.errstate(divide="ignore", invalid="ignore"):
        check(ops.rope(a, at, freq_factors=factors))


@pytest.mark.parametrize("mode", ["mrope", "imrope", "vision"])
def test_sections(mode: str, rng: np.random.Generator) -> None:
    context = Context()
    a = context.tensor(rng.standard_normal((7, 3, 64), np.float32))
    at = positions(context, rng, 4, 7)
    for sections in ((8, 10, 6, 8), (4, 3, 2, 1), (16, 16, 0, 0)):
        check(ops.rope(a, at, mode=mode, sections=sections))


def test_strides(rng: np.random.Generator) -> None:
    context = Context()
    values = rng.standard_normal((2, 5, 3, 20)).astype(np.float32)
    larger = context.tensor(np.pad(values, [(1, 2)] * 4, constant_values=99))
    part = ops.view(larger, (20, 3, 5, 2), larger.nb[1:], offset=sum(larger.nb))
    turned = ops.transpose(context.tensor(values.swapaxes(-1, -2)))
    permuted = ops.permute(context.tensor(values.swapaxes(1, 2)), 0, 2, 1, 3)
    every_other = ops.view(positions(context, rng, 5, 2), (1, 5), (8,))
    at = ops.permute(every_other, 1, 0, 2, 3)
    for mode in ("normal", "neox"):
        check(*(ops.rope(a, at, 16, mode) for a in (part, turned, permuted)))


@pytest.mark.parametrize("mode", ["normal", "neox"])
def test_in_place(mode: str, rng: np.random.Generator) -> None:
    context = device("vulkan").context()
    a = context.tensor(rng.standard_normal((5, 3, 24), np.float32))
    at = positions(context, rng, 5)
    check(ops.rope(a, at, 16, mode, inplace=True))
    inner = ops.view(a, (16, 2, 3), a.nb[1:3], offset=a.nb[2] + a.nb[0])
    check(ops.rope(inner, ops.view(at, (3,)), mode=mode, inplace=True))


def test_tokens_that_vary_from_run_to_run(rng: np.random.Generator) -> None:
    context, n = Context(), Dim("n", 9)
    a, at = context.new_tensor("f32", (32, 5, n)), context.new_tensor("i32", (n,))
    a.set(rng.standard_normal((9, 5, 32), np.float32))
    at.set(np.arange(9, dtype=np.int32) * 1000)
    y = ops.rope(a, at)
    for n_tokens in (9, 1, 0, 4):
        check(y, values={"n": n_tokens})


def test_those_that_turn_alike_share_a_table_and_others_do_not(rng: np.random.Generator) -> None:
    context = Context()
    a, at = context.tensor(rng.standard_normal((5, 3, 32), np.float32)), positions(context, rng, 5)
    once = ops.rope(a, at)
    check(ops.rope(ops.rope(once, at), at, freq_base=500.0))
