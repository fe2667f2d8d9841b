"""Kernels of gradients and of optimizers, against numpy in float64 and, bit by bit, against the scalar ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ggtui.core.graph.ops import OPS
from ggtui.core.graph.ops.optim import RATES

Floats = NDArray[Any]

SIZES = (1, 2, 7, 15, 16, 17, 31, 32, 33, 100, 768, 1001)
SLOPES = ("relu_back", "silu_back", "gelu_back", "gelu_erf_back", "gelu_quick_back")
NORMS = ("norm_back", "rms_norm_back", "l2_norm_back")
EPS = 1e-5


def numbers(n: int, seed: int = 0, spread: float = 4) -> Floats:
    return (np.random.default_rng(seed + n).normal(size=n) * spread).astype(np.float32)


def edges() -> Floats:
    """Every exponent but the last ones, both signs, zeros; where functions end to change."""
    powers = np.ldexp(np.float32(1.37), np.arange(-149, 126)).astype(np.float32)
    special = np.array([0, 1e-45, 2**-126, 19.99, 20, 88.7, 88.73, 103.9, 104.1, 1.8e19, 1.9e19], np.float32)
    return np.concatenate([powers, special, -powers, -special])


def meaning(op: str, *src: Floats, params: tuple[float, ...] = ()) -> Floats:
    reference = OPS[op].reference
    assert reference is not None
    with np.errstate(all="ignore"):
        return reference(params, *(x.astype(np.float64).reshape(1, 1, 1, -1) for x in src)).ravel()


@pytest.mark.parametrize("op", SLOPES)
def test_slopes(kernels: Any, scalar: Any, op: str) -> None:
    for n in SIZES:
        g, x = numbers(n, 1), numbers(n)
        y = kernels.row(op, g, x)
        np.testing.assert_allclose(y, meaning(op, g, x), rtol=2e-6, atol=2e-6)
        kernels.assert_same(y, scalar.row(op, g, x))


@pytest.mark.parametrize("op", SLOPES)
def test_slopes_at_the_edges(kernels: Any, scalar: Any, op: str) -> None:
    x = edges()
    g = np.ones_like(x)
    y = kernels.row(op, g, x)
    np.testing.assert_allclose(y, meaning(op, g, x), rtol=2e-6, atol=1e-6)
    kernels.assert_same(y, scalar.row(op, g, x))
    bad = np.full(17, np.nan, np.float32)
    assert np.isnan(kernels.row(op, bad, x[:17])).all()
    if op != "relu_back":  # of what is no number it lets nothing through
        assert np.isnan(kernels.row(op, g[:17], bad)).all()


def test_clamp(kernels: Any) -> None:
    for n in SIZES:
        g, x = numbers(n, 1), np.round(numbers(n))
        want = np.where((x < -2) | (x > 3), np.float32(0), g)
        kernels.assert_same(kernels.row("clamp_back", g, x, s=-2, t=3), want)


@pytest.mark.parametrize("op", NORMS)
def test_norms(kernels: Any, scalar: Any, op: str) -> None:
    for n in SIZES:
        g, x = numbers(n, 1), numbers(n) + 1
        for eps in (EPS, 3.0, 1e6):
            y = kernels.row(op, g, x, s=eps)
            want = meaning(op, g, x, params=(float(np.float32(eps)),))
            largest = np.abs(g).max() / (eps if op == "l2_norm_back" else np.sqrt(eps))
            tolerance = min(float(largest), 1.0) * 2e-5 if n > 2 else float(largest) * 2e-5  # nearly all cancels
            np.testing.assert_allclose(y, want, rtol=2e-5, atol=tolerance)
            kernels.assert_same(y, scalar.row(op, g, x, s=eps))


@pytest.mark.parametrize("op", [*NORMS, "soft_max_back"])
def test_a_gradient_may_be_overwritten(kernels: Any, op: str) -> None:
    """Ops gather what has gaps into the row that they write."""
    for n in SIZES:
        g, x = numbers(n, 1), numbers(n)
        y = kernels.row(op, g, x, s=0.5)
        kernels.assert_same(kernels.row_in_place(op, g, x, s=0.5), y)


def test_soft_max(kernels: Any, scalar: Any) -> None:
    for n in SIZES:
        g, p = numbers(n, 1), kernels.row("soft_max", numbers(n), s=1.0)
        y = kernels.row("soft_max_back", g, p, s=0.7)
        want = meaning("soft_max_back", g, p, params=(float(np.float32(0.7)),))
        np.testing.assert_allclose(y, want, rtol=1e-5, atol=2e-6)
        kernels.assert_same(y, scalar.row("soft_max_back", g, p, s=0.7))


def test_log_sum_exp(kernels: Any, scalar: Any) -> None:
    for n in SIZES:
        for shift in (0.0, 1e4, -1e30):
            x = numbers(n) + np.float32(shift)
            y = kernels.row("log_sum_exp", x, out=1)
            wide = x.astype(np.float64)
            want = np.log(np.exp(wide - wide.max()).sum()) + wide.max()
            np.testing.assert_allclose(y, [want], rtol=1e-6, atol=1e-6)
            kernels.assert_same(y, scalar.row("log_sum_exp", x, out=1))
    assert kernels.row("log_sum_exp", numbers(0), out=1)[0] == -np.inf
    hidden = numbers(33)
    hidden[5:] = -np.inf
    kernels.assert_same(kernels.row("log_sum_exp", hidden, out=1), kernels.row("log_sum_exp", hidden[:5], out=1))
    assert kernels.row("log_sum_exp", np.full(33, -np.inf, np.float32), out=1)[0] == -np.inf
    hidden[17] = np.inf
    assert kernels.row("log_sum_exp", hidden, out=1)[0] == np.inf
    hidden[17] = np.nan
    assert np.isnan(kernels.row("log_sum_exp", hidden, out=1)[0])


def rates(times: float, step: int = 3) -> Floats:
    """A kernel is told what gradients are multiplied with, in the place of what clips them."""
    numbers = {
        "rate": 0.01, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "decay": 0.001,
        "unbias1": 1 / (1 - 0.9**step), "unbias2": 1 / (1 - 0.99**step), "clip": times,
    }  # fmt: skip
    return np.array([numbers[name] for name in RATES], np.float32)


@pytest.mark.parametrize(("kernel", "n_kept"), [("adamw", 3), ("sgd", 2)])
def test_steps(kernels: Any, scalar: Any, kernel: str, n_kept: int) -> None:
    reference = OPS[f"opt_step_{kernel}"].reference
    assert reference is not None
    for n in SIZES:
        state = np.stack([numbers(n, 2), numbers(n, 3), np.abs(numbers(n, 4))])[:n_kept]
        g = numbers(n)
        for times in (1.0, 0.25):
            h = rates(times)
            y = kernels.row(kernel, g, c=h, before=state.reshape(-1))
            kernels.assert_same(y, scalar.row(kernel, g, c=h, before=state.reshape(-1)))
            told = np.array([*h[:-1], 0.0]).astype(np.float64).reshape(1, 1, 1, -1)  # nothing is clipped
            wide = (times * g.astype(np.float64)).reshape(1, 1, 1, -1)
            want = reference((), state[None, None].astype(np.float64), wide, told, np.zeros((1, 1, 1, 1)))
            np.testing.assert_allclose(y.reshape(n_kept, n), want[0, 0], rtol=2e-6, atol=2e-6)


def test_a_weight_without_a_gradient_only_decays(kernels: Any) -> None:
    state = np.zeros((3, 17), np.float32)
    state[0] = numbers(17)
    y = kernels.row("adamw", np.zeros(17, np.float32), c=rates(1.0, step=1), before=state.reshape(-1)).reshape(3, 17)
    np.testing.assert_allclose(y[0], state[0] * (1 - np.float32(0.001)), rtol=1e-6)
    assert not y[1:].any()
