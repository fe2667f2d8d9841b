"""The rule of each op: what comes back, against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ggtui import Context, Graph, Tensor, ops
from ggtui.core.graph.ops.backward import BACKWARD
from ggtui.core.runtime.check import reference_result

Array = NDArray[Any]
Shape = tuple[int, ...]
Build = Callable[..., Tensor]

STEP = 2.0**-6
# The results of ops are rounded to f32, and differences of the fourth order divide that by the step.
TOLERANCE = 1e-4


def spread(rng: np.random.Generator, shape: Shape) -> Array:
    """Numbers between -3 and 3 that f32 has, as it has them a step or two away, none near 0 or a half."""
    return (rng.integers(-12, 12, shape) / 4 + 1 / 8 + rng.integers(-3, 4, shape) / 64).astype(np.float32)


def positive(rng: np.random.Generator, shape: Shape) -> Array:
    """Between 1 and 4."""
    return (1 + rng.integers(0, 193, shape) / 64).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Row:
    """An op on operands of these shapes (ne turned round): build(context, *operands). `of` draws their values."""

    op: str
    title: str
    build: Build
    shapes: tuple[Shape, ...]
    of: Callable[[np.random.Generator, Shape], Array] = spread

    def __str__(self) -> str:
        return f"{self.op}-{self.title}"


def unary(op: str, *, of: Callable[[np.random.Generator, Shape], Array] = spread, **options: Any) -> Row:
    return Row(op, "plain", lambda _c, a: ops.OPS[op].build(a, **options), ((3, 9),), of)


def numbers(context: Context, *values: int) -> Tensor:
    return context.tensor(np.array(values, np.int32))


def constant(context: Context, *shape: int, type: str = "f32") -> Tensor:
    return context.tensor(spread(np.random.default_rng(5), shape), type=type)


def hidden(context: Context, n_q: int, n_kv: int, type: str) -> Tensor:
    """A mask that hides the last position from all but the last query, and says something of the others."""
    mask = spread(np.random.default_rng(6), (n_q, n_kv))
    mask[:-1, -1] = -np.inf
    return context.tensor(mask, type=type)


def binary(op: str) -> list[Row]:
    build = ops.OPS[op].build
    return [
        Row(op, title, lambda _c, a, b: build(a, b), shapes, positive)
        for title, shapes in (
            ("alike", ((3, 5), (3, 5))),
            ("row", ((2, 3, 5), (5,))),
            ("column", ((3, 5), (3, 1))),
            ("a-few-times", ((4, 3, 6), (2, 3, 3))),
        )
    ]


def glu(op: str) -> list[Row]:
    build = ops.OPS[op].build
    return [
        Row(op, "halves", lambda _c, a: build(a), ((3, 10),)),
        Row(op, "gate", lambda _c, a, b: build(a, b), ((3, 5), (3, 5))),
        Row(op, "halves-turned", lambda _c, a: build(ops.transpose(a)), ((10, 3),)),
    ]


def turned(title: str, shape: Shape, *, rows: int = 1, factors: int = 0, **options: Any) -> Row:
    """rope at positions 0, 3, 6 ..."""

    def build(c: Context, a: Tensor) -> Tensor:
        at = np.arange(rows * shape[-3], dtype=np.int32).reshape(rows, -1) * 3
        divisors = c.tensor(np.linspace(1, 4, factors)) if factors else None
        return ops.rope(a, c.tensor(at if rows > 1 else at[0]), freq_factors=divisors, **options)

    return Row("rope", title, build, (shape,))


def attention(title: str, q: Shape, k: Shape, d_v: int, mask: str = "", **options: Any) -> Row:
    def build(c: Context, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        seen = hidden(c, int(q.ne[1]), int(k.ne[1]), mask) if mask else None
        return ops.flash_attn_ext(q, k, v, seen, scale=0.3, **options)

    return Row("flash_attn_ext", title, build, (q, k, (*k[:-1], d_v)))


def product(title: str, *shapes: Shape, build: Build = lambda _c, a, b: ops.mul_mat(a, b)) -> Row:
    return Row("mul_mat", title, build, shapes)


def masked(title: str, build: Build) -> Row:
    return Row("soft_max", title, build, ((2, 3, 5),))


def middle(a: Tensor, n0: int, n1: int) -> Tensor:
    """Part of a matrix, from its second row and column on."""
    return ops.view(a, (n0, n1), (a.nb[1],), offset=a.nb[1] + a.nb[0])


ROWS = (
    Row("view", "part", lambda _c, a: middle(a, 4, 2), ((4, 6),)),
    Row("view", "part-of-turned", lambda _c, a: middle(ops.cont(ops.transpose(a)), 2, 3), ((5, 4),)),
    Row("view", "whole", lambda _c, a: ops.view(a, (24,)), ((4, 6),)),
    Row("view", "over-each-other", lambda _c, a: ops.mul(middle(a, 4, 2), ops.view(a, (4, 2))), ((4, 6),)),
    Row("view", "of-a-view", lambda _c, a: ops.view(ops.view(a, (6, 2), offset=24), (3, 2), (24,), 12), ((4, 6),)),
    Row("reshape", "plain", lambda _c, a: ops.reshape(a, 2, 12), ((4, 6),)),
    Row("reshape", "of-what-comes-back-turned", lambda _c, a: ops.transpose(ops.reshape(a, 2, 12)), ((4, 6),)),
    Row("permute", "turned-round", lambda _c, a: ops.permute(a, 1, 2, 3, 0), ((2, 3, 2, 2),)),
    Row("permute", "heads", lambda _c, a: ops.permute(a, 0, 2, 1, 3), ((2, 3, 4),)),
    Row("transpose", "plain", lambda _c, a: ops.transpose(a), ((2, 3, 4),)),
    Row("dup", "plain", lambda _c, a: ops.dup(a), ((4, 6),)),
    Row("cont", "of-turned", lambda _c, a: ops.cont(ops.transpose(a)), ((4, 6),)),
    *(
        Row("concat", f"{dim}", lambda _c, a, b, dim=dim: ops.concat(a, b, dim), ((1, 2, 3, 2), other))
        for dim, other in enumerate(((1, 2, 3, 4), (1, 2, 1, 2), (1, 3, 3, 2), (2, 2, 3, 2)))
    ),
    Row("repeat", "plain", lambda c, a: ops.repeat(a, constant(c, 2, 6, 9)), ((2, 3),)),
    Row("get_rows", "repeated", lambda c, a: ops.get_rows(a, numbers(c, 1, 0, 1, 3, 1)), ((4, 6),)),
    Row("get_rows", "3d", lambda c, a: ops.get_rows(a, c.tensor(np.array([[1, 1], [0, 2]]))), ((2, 3, 4),)),
    *(row for op in ("add", "sub", "mul", "div") for row in binary(op)),
    *(Row(op, "itself", lambda _c, a, op=op: ops.OPS[op].build(a, a), ((3, 5),)) for op in ("add", "mul")),
    unary("scale", s=-1.5, b=0.25),
    unary("clamp", low=-0.5, high=0.5),
    *(unary(op) for op in ("sqr", "neg", "exp", "tanh", "sigmoid", "relu", "silu", "gelu", "gelu_erf", "gelu_quick")),
    *(unary(op, of=positive) for op in ("sqrt", "log")),
    *(row for op in ("swiglu", "geglu") for row in glu(op)),
    *(unary(op) for op in ("sum", "sum_rows", "mean")),
    *(unary(op, eps=1e-2) for op in ("norm", "rms_norm", "l2_norm")),
    Row("l2_norm", "short", lambda _c, a: ops.l2_norm(a, 50.0), ((3, 9),)),
    turned("normal", (3, 2, 8)),
    turned("neox-part-of-row", (3, 2, 9), mode="neox", n_dims=6, factors=3),
    turned("yarn", (3, 2, 8), freq_scale=0.25, ext_factor=0.7, n_ctx_orig=16, attn_factor=1.5),
    turned("mrope", (2, 2, 12), mode="mrope", rows=4, sections=(2, 1, 2, 1)),
    turned("vision", (2, 1, 8), mode="vision", rows=4, sections=(2, 2, 0, 0)),
    turned("inverse", (3, 2, 8), inverse=True),
    product("plain", (4, 5), (3, 5)),
    product("3d", (2, 4, 3), (2, 3, 3)),
    product("shared-by-neighbours", (2, 4, 3), (6, 2, 3)),
    product("4d-shared", (1, 2, 3, 2), (3, 4, 2, 2)),
    product("one-for-all", (3, 2), (2, 3, 2, 2)),
    product("both-turned", (5, 4), (5, 3), build=lambda _c, a, b: ops.mul_mat(ops.transpose(a), ops.transpose(b))),
    product("itself", (4, 5), build=lambda _c, a: ops.mul_mat(a, a)),
    product("f16-weights", (3, 5), build=lambda c, b: ops.mul_mat(constant(c, 4, 5, type="f16"), b)),
    product("q8_0-weights", (2, 32), build=lambda c, b: ops.mul_mat(constant(c, 3, 32, type="q8_0"), b)),
    Row("diag_mask_inf", "before-soft_max", lambda _c, a: ops.soft_max(ops.diag_mask_inf(a, 1)), ((2, 3, 5),)),
    masked("plain", lambda _c, a: ops.soft_max(a)),
    masked("mask", lambda c, a: ops.soft_max(a, hidden(c, 3, 5, "f16"), 0.4)),
    masked("alibi", lambda c, a: ops.soft_max(a, hidden(c, 3, 5, "f32"), 0.4, 8.0)),
    attention("plain", (2, 3, 4), (2, 5, 4), 4),
    attention("causal-fewer-queries", (2, 3, 4), (2, 5, 4), 3, causal=True),
    attention("groups", (2, 4, 2, 3), (2, 2, 4, 3), 2, causal=True),
    attention("mask", (3, 3, 2), (3, 4, 2), 5, mask="f16"),
    attention("alibi", (3, 2, 2), (1, 4, 2), 2, mask="f32", max_bias=8.0),
    Row("cross_entropy", "plain", lambda c, a: ops.cross_entropy(a, numbers(c, 1, 4, 3)), ((3, 7),)),
    Row("cross_entropy", "none-for-one", lambda c, a: ops.cross_entropy(a, numbers(c, 1, -1, 3)), ((3, 7),)),
)  # fmt: skip

# What has no rule: indices and stores, attention over pages, functions of one's own, and what gradients are made of.
WITHOUT = {
    "argmax", "cpy", "set_rows", "paged_attention", "map_custom",
    "fill", "after", "acc", "add_rows", "repeat_back", "relu_back", "silu_back", "gelu_back", "gelu_erf_back",
    "gelu_quick_back", "clamp_back", "norm_back", "rms_norm_back", "l2_norm_back", "soft_max_back", "diag_mask_zero",
    "cross_entropy_back", "flash_attn_back", "sum_sqr", "opt_step_adamw", "opt_step_sgd",
}  # fmt: skip


def test_rows_are_of_the_ops_with_a_rule() -> None:
    assert {row.op for row in ROWS} == set(BACKWARD)
    assert set(ops.OPS) - set(BACKWARD) == WITHOUT


def weighted(context: Context, y: Tensor) -> Tensor:
    """A loss to which each value of `y` counts, more or less."""
    return ops.sum(ops.mul(y, constant(context, *reversed(y.ne))))


def computed(loss: Tensor, wrt: Sequence[Tensor]) -> list[Array]:
    graph = Graph()
    found = graph.build_backward_expand(loss, wrt)
    graph.compute(device="reference")
    return [t.numpy().copy() for t in found]


def slope(y: Tensor, t: Tensor, weights: Array, i: int) -> float:
    """The slope of sum(y * weights) at value i of `t`, by central differences of the fourth order."""
    values = t.numpy().copy()

    def moved(steps: int) -> float:
        there = values.copy()
        there.reshape(-1)[i] += steps * STEP
        t.set(there)
        result = reference_result(y).reshape(weights.shape)
        return float((result * weights).sum())

    found = (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * STEP)
    t.set(values)
    return found


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_rule_against_finite_differences(row: Row) -> None:
    context, rng = Context(), np.random.default_rng(len(str(row)))
    operands = [context.tensor(row.of(rng, shape), f"x{i}") for i, shape in enumerate(row.shapes)]
    y = row.build(context, *operands)
    loss = weighted(context, y)
    weights = constant(context, *reversed(y.ne)).numpy().astype(np.float64)
    for t, got in zip(operands, computed(loss, operands), strict=True):
        want = np.array([slope(y, t, weights, i) for i in range(t.n_elements)]).reshape(got.shape)
        assert np.abs(want).max() > 0.01
        np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE * np.abs(want).max())
