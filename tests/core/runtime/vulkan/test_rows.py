"""Norms, reductions and soft_max on the Vulkan device, against the ops in numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ggtui.core.graph import ops
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.check import compare, reference_result
from ggtui.core.runtime.compute import Graph, shared_pool
from ggtui.core.runtime.context import Context

Array = NDArray[Any]
Build = Callable[..., Tensor]
NORMS = (ops.norm, ops.rms_norm, ops.l2_norm)
LENGTHS = (2, 3, 31, 33, 64, 257, 4099)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def computed(y: Tensor, values: Mapping[str, int] | None = None) -> Array:
    """What the Vulkan device makes of it; one node does it all."""
    graph = Graph()
    graph.build_forward_expand(y)
    plan = graph.plan(device_name="vulkan")
    assert [node.device for node in plan.info(1).nodes if node.op not in ("copy", "submit")] == ["vulkan"]
    plan.run(shared_pool("vulkan", 1), values)
    return y.numpy()


def check(y: Tensor, bound: float = 1e-12, values: Mapping[str, int] | None = None) -> None:
    want = reference_result(y, values)
    assert compare(computed(y, values), want, bound)[1] == ""


def layouts(context: Context, values: Array) -> Iterable[Tensor]:
    """The same values in all kinds of strides."""
    yield context.tensor(values)
    yield ops.transpose(context.tensor(values.swapaxes(-1, -2)))
    yield ops.permute(context.tensor(values.swapaxes(-2, -3)), 0, 2, 1, 3)
    larger = context.tensor(np.pad(values, [(1, 2)] * values.ndim, constant_values=99))
    yield ops.view(larger, values.shape[::-1], larger.nb[1 : values.ndim], offset=sum(larger.nb[: values.ndim]))


@pytest.mark.parametrize("build", [*NORMS, ops.sum_rows, ops.mean, ops.sum, ops.soft_max])
def test_rows_of_any_length_and_stride(build: Build, rng: np.random.Generator) -> None:
    context = Context()
    for n in LENGTHS:
        for rows in ((1,), (33, 1)) if n > 300 else ((), (1,), (7, 5)):
            check(build(context.tensor(rng.standard_normal((*rows, n), np.float32))))
    for a in layouts(context, rng.standard_normal((2, 3, 5, 37), np.float32)):
        check(build(a))


@pytest.mark.parametrize("build", [*NORMS, ops.sum_rows, ops.mean, ops.argmax, ops.soft_max])
def test_rows_that_vary_from_run_to_run(build: Build, rng: np.random.Generator) -> None:
    a = Context().new_tensor("f32", (33, Dim("n", 70)))
    a.set(rng.standard_normal((70, 33), np.float32))
    y = build(a)
    for n in (70, 1, 0, 3):
        check(y, values={"n": n})


@pytest.mark.parametrize("build", NORMS)
def test_norms_in_one_with_weight_and_bias(build: Build, rng: np.random.Generator) -> None:
    context = Context()
    for n in (16, 33, 300):
        a = context.tensor(3 + rng.standard_normal((3, 5, n), np.float32))
        weight, bias = (context.tensor(rng.standard_normal(n, np.float32)) for _ in range(2))
        check(ops.mul(build(a), weight))
        check(ops.add(ops.mul(build(a), weight), bias))
        check(ops.add(build(a), bias))


def test_norm_of_values_far_from_zero(rng: np.random.Generator) -> None:
    a = Context().tensor((10_000 + rng.standard_normal((3, 1000))).astype(np.float32))
    check(ops.norm(a))


@pytest.mark.parametrize("build", [ops.rms_norm, ops.norm])
def test_norms_where_there_is_no_number(build: Build) -> None:
    rows = np.ones((3, 40), np.float32)
    rows[0, 3], rows[1, 7], rows[2, 5] = np.nan, 2, np.inf
    with np.errstate(invalid="ignore"):
        want = reference_result(y := build(Context().tensor(rows)))
    got = computed(y)
    assert (np.isnan(got) == np.isnan(want)).all() and np.allclose(got[..., 1, :], want[..., 1, :], rtol=1e-5)


def test_sums_of_many_values(rng: np.random.Generator) -> None:
    context = Context()
    values = rng.uniform(0.1, 4, (3, 500_001)).astype(np.float32)
    check(ops.sum(context.tensor(values)))
    check(ops.sum_rows(context.tensor(values)))
    check(ops.rms_norm(context.tensor(values)))
    check(ops.sum(context.tensor(np.zeros((3, 0), np.float32))))
    check(ops.sum_rows(context.tensor(np.zeros((3, 0), np.float32))))


def test_argmax_is_the_first_of_equals(rng: np.random.Generator) -> None:
    context = Context()
    for n in (1, 2, 33, 257, 5000):
        check(ops.argmax(context.tensor(rng.integers(-3, 4, (9, n)).astype(np.float32))), 0)
        check(ops.argmax(context.tensor(-rng.uniform(0, 9, (2, n)).astype(np.float32))), 0)
    rows = np.full((6, 300), -np.inf, np.float32)
    rows[1, 299], rows[2, 100:] = -1e38, np.inf
    rows[3, 200], rows[3, 5], rows[3, 250] = np.nan, np.inf, np.nan
    rows[4, 7:], rows[4, 7] = 0.0, -0.0
    rows[5] = -np.float32(1e-45)
    rows[5, 30] = 0
    check(ops.argmax(context.tensor(rows)), 0)


@pytest.mark.parametrize("type", ["f32", "f16"])
def test_soft_max_with_a_mask(type: str, rng: np.random.Generator) -> None:
    context = Context()
    for n in (1, 33, 257):
        a = context.tensor(rng.standard_normal((4, 6, 5, n), np.float32))
        mask = rng.standard_normal((2, 3, 7, n), np.float32)
        mask[rng.random(mask.shape) < 1 / 3] = -np.inf
        mask[:, :, ::2] = -np.inf  # nothing is left of these rows
        sinks = context.tensor(rng.standard_normal(6, np.float32))
        for m in layouts(context, mask.astype(type.replace("f", "float"))):
            if m.nb[0] != m.type.bytes:
                continue
            check(ops.soft_max(a, m, scale=0.3))
            check(ops.soft_max(a, m, scale=-2, sinks=sinks))
            check(ops.soft_max(a, m, scale=0.5, max_bias=8, sinks=sinks), 1e-11)
    empty = context.tensor(np.full((3, 40), -np.inf, np.float32))
    assert not computed(ops.soft_max(empty)).any()


def test_soft_max_of_far_values(rng: np.random.Generator) -> None:
    check(ops.soft_max(Context().tensor(1e4 * rng.standard_normal((5, 300), np.float32))))
