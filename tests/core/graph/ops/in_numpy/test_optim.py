"""Steps of optimizers, a weight at a time as their papers write them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ggtui.core.graph.ops import OPS
from ggtui.core.graph.ops.in_numpy import Array
from ggtui.core.graph.ops.in_numpy.optim import RATES, SQUARES

RATE, BETA1, BETA2, EPS, DECAY = 0.03, 0.8, 0.95, 1e-6, 0.1


def values(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def step(op: str, state: Array, g: Array, n: int, clip: float = 0.0, squares: float = 0.0) -> Array:
    """State after step n."""
    numbers = {
        "rate": RATE, "beta1": BETA1, "beta2": BETA2, "eps": EPS, "decay": RATE * DECAY,
        "unbias1": 1 / (1 - BETA1**n), "unbias2": 1 / (1 - BETA2**n), "clip": clip,
    }  # fmt: skip
    rates = np.array([numbers[name] for name in RATES]).reshape(1, 1, 1, -1)
    reference = OPS[op].reference
    assert reference is not None
    return reference((), state[None, None], g.reshape(1, 1, 1, -1), rates, np.full((1, 1, 1, 1), squares))[0, 0]


def test_adamw() -> None:
    """Loshchilov and Hutter 2017, algorithm 2, with the rate as the schedule's factor of the decay."""
    state = np.stack([values(5), np.zeros(5), np.zeros(5)])
    w, m, v = (row.tolist() for row in state)
    for n in range(1, 6):
        g = values(5, seed=n)
        state = step("opt_step_adamw", state, g, n)
        for i in range(5):
            m[i] = BETA1 * m[i] + (1 - BETA1) * g[i]
            v[i] = BETA2 * v[i] + (1 - BETA2) * g[i] ** 2
            unbiased = m[i] / (1 - BETA1**n) / (math.sqrt(v[i] / (1 - BETA2**n)) + EPS)
            w[i] -= RATE * unbiased + RATE * DECAY * w[i]
        np.testing.assert_allclose(state, [w, m, v], rtol=1e-12)


def test_the_first_step_of_adamw_is_as_long_as_the_rate() -> None:
    state = np.zeros((3, 4))
    g = np.array([1e-3, -5.0, 100.0, 0.0])
    assert step("opt_step_adamw", state, g, 1)[0] == pytest.approx(-RATE * np.sign(g), rel=2e-3)


def test_sgd_with_momentum() -> None:
    state = np.stack([values(5), np.zeros(5)])
    w, m = (row.tolist() for row in state)
    for n in range(1, 5):
        g = values(5, seed=n)
        state = step("opt_step_sgd", state, g, n)
        for i in range(5):
            m[i] = BETA1 * m[i] + g[i]
            w[i] -= RATE * m[i] + RATE * DECAY * w[i]
        np.testing.assert_allclose(state, [w, m], rtol=1e-12)


@pytest.mark.parametrize(("op", "n_kept"), [("opt_step_adamw", 3), ("opt_step_sgd", 2)])
def test_clipping_shortens_what_is_too_long(op: str, n_kept: int) -> None:
    """All gradients together, of which these are some: 25 is their length."""
    state, g = np.abs(values(n_kept, 6)), values(6, seed=1)
    plain = step(op, state, g, 3)
    for clip in (0.0, 25.0, 26.0):
        assert np.array_equal(step(op, state, g, 3, clip, 625.0), plain)
    np.testing.assert_allclose(step(op, state, g, 3, 5.0, 625.0), step(op, state, g / 5, 3), rtol=1e-14)


def test_sum_sqr() -> None:
    reference = OPS["sum_sqr"].reference
    assert reference is not None
    a = values(1, 1, 2, SQUARES // 2 + 3)
    got, flat = reference((), a).ravel(), a.ravel()
    want = [math.fsum(x * x for x in part) for part in (flat[:SQUARES], flat[SQUARES:])]
    np.testing.assert_allclose(got, want, rtol=1e-12)
    assert reference((), np.zeros((1, 1, 1, 0))).shape == (1, 1, 1, 0)
