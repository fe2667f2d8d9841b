"""Ops value by value and row by row against Python's own arithmetic, one number at a time."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np
import pytest

from ggtui.core.graph.ops import OPS
from ggtui.core.graph.ops.in_numpy import Array


def normal_cdf(x: float) -> float:
    return statistics.NormalDist().cdf(x)


def logistic(x: float) -> float:
    return math.exp(x) / (math.exp(x) + 1)


UNARY: dict[str, Callable[[float], float]] = {
    "sqr": lambda x: x * x,
    "sqrt": math.sqrt,
    "neg": lambda x: -x,
    "log": math.log,
    "exp": math.exp,
    "relu": lambda x: x if x > 0 else 0.0,
    "tanh": math.tanh,
    "sigmoid": logistic,
    "silu": lambda x: x * logistic(x),
    # tanh(z) = 2 logistic(2z) - 1
    "gelu": lambda x: x * logistic(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)),
    "gelu_erf": lambda x: x * normal_cdf(x),
    "gelu_quick": lambda x: x * logistic(1.702 * x),
}


def values(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def each(f: Callable[..., float], *arrays: Array) -> Array:
    return np.array([f(*row) for row in zip(*(a.flat for a in arrays), strict=True)]).reshape(arrays[0].shape)


@pytest.mark.parametrize("op", UNARY)
def test_unary(op: str) -> None:
    a = values(2, 3, 4, 5)
    if op in ("log", "sqrt"):
        a = np.abs(a)
    np.testing.assert_allclose(OPS[op].reference((), a), each(UNARY[op], a), rtol=1e-12, atol=1e-15)


def test_gelus_are_near_each_other() -> None:
    a = np.linspace(-4, 4, 201).reshape(1, 1, 1, -1)
    exact, by_tanh, quick = (OPS[op].reference((), a) for op in ("gelu_erf", "gelu", "gelu_quick"))
    assert 1e-5 < np.abs(exact - by_tanh).max() < 1e-3 < np.abs(exact - quick).max() < 0.03


@pytest.mark.parametrize(
    ("op", "f"),
    [
        ("add", lambda a, b: a + b),
        ("sub", lambda a, b: a - b),
        ("mul", lambda a, b: a * b),
        ("div", lambda a, b: a / b),
    ],
)
@pytest.mark.parametrize("shape", [(2, 3, 4, 6), (1, 3, 1, 2), (2, 1, 4, 1), (1, 1, 1, 3)])
def test_binary(op: str, f: Callable[[float, float], float], shape: tuple[int, ...]) -> None:
    a, b = values(2, 3, 4, 6), values(*shape, seed=1)
    got = OPS[op].reference((), a, b)
    for at in np.ndindex(a.shape):
        assert got[at] == f(a[at], b[tuple(i % n for i, n in zip(at, shape, strict=True))])


def test_scale_and_clamp() -> None:
    a = values(1, 2, 3, 4)
    np.testing.assert_array_equal(OPS["scale"].reference((2.0, 0.5), a), each(lambda x: 2 * x + 0.5, a))
    np.testing.assert_array_equal(
        OPS["clamp"].reference((-0.5, 0.25), a), each(lambda x: sorted((-0.5, x, 0.25))[1], a)
    )


@pytest.mark.parametrize(("op", "act"), [("swiglu", "silu"), ("geglu", "gelu")])
def test_gated(op: str, act: str) -> None:
    a, gate = values(1, 2, 3, 4), values(1, 2, 3, 4, seed=1)
    want = each(lambda x, g: UNARY[act](x) * g, a, gate)
    np.testing.assert_allclose(OPS[op].reference((), a, gate), want, rtol=1e-12)
    np.testing.assert_allclose(OPS[op].reference((), np.concatenate([a, gate], axis=3), None), want, rtol=1e-12)


ROWS: dict[str, Callable[[list[float], float], list[float]]] = {
    "sum_rows": lambda x, _: [math.fsum(x)],
    "mean": lambda x, _: [statistics.fmean(x)],
    "norm": lambda x, eps: [(v - statistics.fmean(x)) / math.sqrt(statistics.pvariance(x) + eps) for v in x],
    "rms_norm": lambda x, eps: [v / math.sqrt(statistics.fmean(w * w for w in x) + eps) for v in x],
    "l2_norm": lambda x, eps: [v / max(math.hypot(*x), eps) for v in x],
}


@pytest.mark.parametrize("op", ROWS)
@pytest.mark.parametrize("eps", [1e-6, 0.5, 100.0])
def test_rows(op: str, eps: float) -> None:
    a = values(2, 3, 4, 7)
    got = OPS[op].reference((eps,) if op.endswith("norm") else (), a)
    for at in np.ndindex(a.shape[:3]):
        np.testing.assert_allclose(got[at], ROWS[op](a[at].tolist(), eps), rtol=1e-12)


def test_sum_and_argmax() -> None:
    a = values(2, 3, 4, 7)
    total = OPS["sum"].reference((), a)
    assert total.shape == (1, 1, 1, 1) and total.item() == pytest.approx(math.fsum(a.flat))
    places = OPS["argmax"].reference((), np.array([[[[1.0, 3, 3, 2], [5, 0, 5, 5], [-1, -2, -0.5, -3]]]]))
    assert places.dtype == np.int32 and places.tolist() == [[[[1, 0, 2]]]]
