"""Ops that work value by value on a Vulkan device, against numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from ggtui.core.graph import ops
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.cases import base
from ggtui.core.runtime.check import compare, reference_result, select
from ggtui.core.runtime.compute import Graph, shared_pool
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.vulkan.kernels import elementwise

UNARY = [op for op in elementwise.UNARY if op]
OTHERS = ["add", "sub", "mul", "div", "scale", "clamp", "diag_mask_inf", "swiglu", "geglu"]


@pytest.fixture(autouse=True)
def in_memory_of_the_device(monkeypatch: pytest.MonkeyPatch, context: Context) -> None:
    """The cases of the table lie in it too."""
    monkeypatch.setattr(base, "Context", lambda: context)


def run(y: Tensor, values: dict[str, int] | None = None) -> NDArray[np.float32]:
    """What the device makes of it, which it does itself."""
    graph = Graph()
    graph.build_forward_expand(y)
    plan = graph.plan(device_name="vulkan", fused=False)
    assert {node.device for node in plan.info(1).nodes if node.op != "submit"} <= {"vulkan"}
    plan.run(shared_pool("vulkan", 1), values)
    return y.numpy()


@pytest.mark.parametrize("op", [*UNARY, *OTHERS])
def test_cases(op: str, context: Context) -> None:
    for case in select([op]):
        y, _ = case.make()
        want = reference_result(y)
        nmse, problem = compare(run(y), want, min(case.bound, 1e-12))
        assert problem == "", (str(case), nmse)


@pytest.mark.parametrize("op", UNARY)
def test_wide_range(op: str, context: Context) -> None:
    """Each value is near by itself, also where functions inside overflow; NaN and infinities are numpy's."""
    few = np.array([0, np.inf, np.nan, 0.624, 0.626, 88, 89, 104, 1e4, 3e19, 3e38])
    x = np.concatenate([few, -few, np.linspace(-12, 12, 4001), np.geomspace(1e-30, 1e30, 401)]).astype(np.float32)
    y = ops.OPS[op].build(context.tensor(x))
    with np.errstate(all="ignore"):
        want = reference_result(y).astype(np.float32).astype(np.float64)
    got = run(y).astype(np.float64)
    assert np.array_equal(np.isnan(got), np.isnan(want))
    sized = np.isfinite(want) & (np.abs(want) > 1e-30)  # what is smaller may be 0
    tail = sized & (np.abs(want) < 1e-5) & (x < -4)  # numpy's own tanh and erf cancel, and exp(-z^2) has z^2's error
    assert np.allclose(got[sized & ~tail], want[sized & ~tail], rtol=1.5e-6, atol=0)
    assert np.allclose(got[tail], want[tail], rtol=2e-5, atol=1e-13)
    infinite = np.isinf(want)
    assert np.array_equal(got[infinite], want[infinite])


@pytest.mark.parametrize("n", [0, 1, 3, 64])
@pytest.mark.parametrize(
    "build",
    [
        lambda a, b: ops.add(a, b),
        lambda a, b: ops.sub(a, ops.view(b, (b.ne[0],))),
        lambda a, b: ops.swiglu(a, b),
        lambda a, b: ops.geglu(a),
        lambda a, b: ops.silu(a, inplace=True),
    ],
)
@pytest.mark.parametrize("n0", [4, 130])
def test_run_time_rows(build: Callable[[Tensor, Tensor], Tensor], n: int, n0: int, context: Context) -> None:
    """Fewer rows than there is room for; what lies behind them stays."""
    rng = np.random.default_rng(1)
    whole = [context.tensor(rng.standard_normal((2, 64, n0)).astype(np.float32)) for _ in range(2)]
    a, b = (ops.view(t, (n0, Dim("n", 64), 2), t.nb[1:3]) for t in whole)
    y = build(a, b)
    want = reference_result(y, {"n": n})
    before = whole[0].numpy().copy()
    assert compare(run(y, {"n": n}), want, 1e-12)[1] == ""
    after = whole[0].numpy()
    assert np.array_equal(after[:, n:], before[:, n:])


def test_run_time_shift_of_a_mask(context: Context) -> None:
    a = context.tensor(np.random.default_rng(1).standard_normal((2, 5, 70)).astype(np.float32))
    y = ops.diag_mask_inf(a, Dim("n_past", 60))
    for n_past in (0, 33, 60):
        want = reference_result(y, {"n_past": n_past})
        assert compare(run(y, {"n_past": n_past}), want, base.EXACT)[1] == ""


def test_layouts() -> None:
    """Without gaps there is no arithmetic of indices; what a run-time size leaves between rows is a gap."""

    def layout(y: Tensor) -> int:
        graph = Graph()
        graph.build_forward_expand(y)
        kernel = elementwise.KERNELS[y.op](graph.dag().nodes[-1])
        assert kernel is not None
        return kernel.constants[2]

    context = Context()
    a, row = context.new_tensor("f32", (256, 4)), context.new_tensor("f32", (256,))
    n = Dim("n", 4)
    counted, flat, rows = range(3)
    assert layout(ops.add(a, a)) == layout(ops.add(a, row)) == layout(ops.silu(ops.view(a, (256, n)))) == flat
    assert layout(ops.add(a, context.new_tensor("f32", (1, 4)))) == rows
    assert layout(ops.swiglu(a)) == layout(ops.silu(ops.view(a, (128, 4), (1024,)))) == rows
    assert layout(ops.silu(ops.transpose(a))) == counted
    assert layout(ops.silu(ops.view(a, (n, 4)))) == counted
    assert layout(ops.silu(ops.view(a, (128, n, 2), (512, 2048)))) == rows


@pytest.mark.parametrize("offset", [0, 4, 16])
def test_vectors_of_any_alignment(offset: int, context: Context) -> None:
    values = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    a = ops.view(context.tensor(values), (512,), offset=offset)
    y = ops.mul(a, ops.view(context.tensor(values), (64,), offset=64))
    assert np.array_equal(run(y), values[offset // 4 :][:512] * np.tile(values[16:80], 8))
