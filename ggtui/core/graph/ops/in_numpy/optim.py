"""Ops of optimizers, in numpy."""

from __future__ import annotations

import numpy as np

from ggtui.core.graph.ops.in_numpy.arrays import Array, Params

SQUARES = 65536  # values whose squares make one sum
# What a step is told, in this order: decay is the rate times the weight decay, unbias 1 / (1 - beta^step), clip
# the longest that all gradients together may be, no limit where it is not above 0.
RATES = ("rate", "beta1", "beta2", "eps", "decay", "unbias1", "unbias2", "clip")


def sum_sqr(params: Params, a: Array) -> Array:
    """The sums of the squares of each SQUARES values.

    (n0, n1, n2, n3) -> (n / SQUARES, rounded up)
    """
    values = a.reshape(-1) ** 2
    sums: Array = np.add.reduceat(values, np.arange(0, values.size, SQUARES)) if values.size else values
    return sums.reshape(1, 1, 1, -1)


def _clipped(g: Array, clip: float, squares: Array) -> Array:
    length = float(np.sqrt(squares.reshape(())))
    return g * (clip / length) if clip > 0 and length > clip else g


def opt_step_adamw(params: Params, state: Array, g: Array, rates: Array, squares: Array) -> Array:
    """With h = g, shortened by clip: m = beta1 m + (1 - beta1) h, v = beta2 v + (1 - beta2) h^2,
    w = (1 - decay) w - rate (unbias1 m) / (sqrt(unbias2 v) + eps) (Loshchilov and Hutter 2017).

    state (n, 3): w, m, v; g n values; rates (8), squares (1) -> as state
    """
    rate, beta1, beta2, eps, decay, unbias1, unbias2, clip = rates.reshape(-1)
    w, m, v = state[0, 0]
    g = _clipped(g.reshape(-1), clip, squares)
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    w = (1 - decay) * w - rate * (unbias1 * m) / (np.sqrt(unbias2 * v) + eps)
    return np.stack([w, m, v])[None, None]


def opt_step_sgd(params: Params, state: Array, g: Array, rates: Array, squares: Array) -> Array:
    """With h = g, shortened by clip: m = beta1 m + h, w = (1 - decay) w - rate m.

    state (n, 2): w, m; g n values; rates (8), squares (1) -> as state
    """
    rate, beta1, _, _, decay, _, _, clip = rates.reshape(-1)
    w, m = state[0, 0]
    m = beta1 * m + _clipped(g.reshape(-1), clip, squares)
    return np.stack([(1 - decay) * w - rate * m, m])[None, None]
