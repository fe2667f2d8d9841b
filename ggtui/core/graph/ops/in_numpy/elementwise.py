"""Ops that work value by value or row by row, in numpy."""

from __future__ import annotations

import math

import numpy as np

from ggtui.core.graph.ops.in_numpy.arrays import Array, Params, repeated


def add(params: Params, a: Array, b: Array) -> Array:
    """a + b, with b repeated to the shape of a.

    (n0, n1, n2, n3), (m0, m1, m2, m3) -> (n0, n1, n2, n3); each m divides its n
    """
    return a + repeated(b, a.shape)


def sub(params: Params, a: Array, b: Array) -> Array:
    """a - b, with b repeated to the shape of a.

    (n0, n1, n2, n3), (m0, m1, m2, m3) -> (n0, n1, n2, n3); each m divides its n
    """
    return a - repeated(b, a.shape)


def mul(params: Params, a: Array, b: Array) -> Array:
    """a * b, value by value, with b repeated to the shape of a.

    (n0, n1, n2, n3), (m0, m1, m2, m3) -> (n0, n1, n2, n3); each m divides its n
    """
    return a * repeated(b, a.shape)


def div(params: Params, a: Array, b: Array) -> Array:
    """a / b, with b repeated to the shape of a.

    (n0, n1, n2, n3), (m0, m1, m2, m3) -> (n0, n1, n2, n3); each m divides its n
    """
    return a / repeated(b, a.shape)


def scale(params: Params, a: Array) -> Array:
    """s * a + b, with numbers s and b.

    (n0, n1, n2, n3) -> the same
    """
    s, b = params
    return s * a + b


def clamp(params: Params, a: Array) -> Array:
    """min(max(a, low), high), with numbers low and high.

    (n0, n1, n2, n3) -> the same
    """
    low, high = params
    return np.minimum(np.maximum(a, low), high)


def sqr(params: Params, a: Array) -> Array:
    """a * a.

    (n0, n1, n2, n3) -> the same
    """
    return a * a


def sqrt(params: Params, a: Array) -> Array:
    """The square root; NaN below 0.

    (n0, n1, n2, n3) -> the same
    """
    return np.sqrt(a)


def neg(params: Params, a: Array) -> Array:
    """-a.

    (n0, n1, n2, n3) -> the same
    """
    return -a


def log(params: Params, a: Array) -> Array:
    """The natural logarithm; -inf of 0, NaN below.

    (n0, n1, n2, n3) -> the same
    """
    return np.log(a)


def exp(params: Params, a: Array) -> Array:
    """e to the a.

    (n0, n1, n2, n3) -> the same
    """
    return np.exp(a)


def relu(params: Params, a: Array) -> Array:
    """max(a, 0).

    (n0, n1, n2, n3) -> the same
    """
    return np.maximum(a, 0)


def tanh(params: Params, a: Array) -> Array:
    """The hyperbolic tangent.

    (n0, n1, n2, n3) -> the same
    """
    return np.tanh(a)


def sigmoid(params: Params, a: Array) -> Array:
    """1 / (1 + exp(-a)).

    (n0, n1, n2, n3) -> the same
    """
    return 1 / (1 + np.exp(-a))


def silu(params: Params, a: Array) -> Array:
    """a * sigmoid(a) (Elfwing et al. 2017; swish).

    (n0, n1, n2, n3) -> the same
    """
    return a * sigmoid((), a)


def gelu(params: Params, a: Array) -> Array:
    """a/2 (1 + tanh(sqrt(2/pi) (a + 0.044715 a^3))) (Hendrycks and Gimpel 2016, the tanh form).

    (n0, n1, n2, n3) -> the same
    """
    share: Array = (1 + np.tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a**3))) / 2
    return a * share


_erf = np.vectorize(math.erf, otypes=[np.float64])


def gelu_erf(params: Params, a: Array) -> Array:
    """a/2 (1 + erf(a / sqrt 2)) (Hendrycks and Gimpel 2016, the exact form).

    (n0, n1, n2, n3) -> the same
    """
    share: Array = (1 + _erf(a / math.sqrt(2))) / 2
    return a * share


def gelu_quick(params: Params, a: Array) -> Array:
    """a * sigmoid(1.702 a) (Hendrycks and Gimpel 2016, the sigmoid form).

    (n0, n1, n2, n3) -> the same
    """
    return a * sigmoid((), 1.702 * a)


def swiglu(params: Params, a: Array, gate: Array | None = None) -> Array:
    """silu(a) * gate; without a gate the second half of each row is the gate of the first (Shazeer 2020).

    (n0, n1, n2, n3), the same -> the same; without a gate (2 n0, n1, n2, n3) -> (n0, n1, n2, n3)
    """
    a, gate = _with_gate(a, gate)
    return silu((), a) * gate


def geglu(params: Params, a: Array, gate: Array | None = None) -> Array:
    """gelu(a) * gate; without a gate the second half of each row is the gate of the first (Shazeer 2020).

    (n0, n1, n2, n3), the same -> the same; without a gate (2 n0, n1, n2, n3) -> (n0, n1, n2, n3)
    """
    a, gate = _with_gate(a, gate)
    return gelu((), a) * gate


def _with_gate(a: Array, gate: Array | None) -> tuple[Array, Array]:
    if gate is not None:
        return a, gate
    half = a.shape[-1] // 2
    return a[..., :half], a[..., half:]


def sum(params: Params, a: Array) -> Array:
    """The sum of all values.

    (n0, n1, n2, n3) -> (1)
    """
    total: Array = np.sum(a).reshape(1, 1, 1, 1)
    return total


def sum_rows(params: Params, a: Array) -> Array:
    """The sum of each row.

    (n0, n1, n2, n3) -> (1, n1, n2, n3)
    """
    totals: Array = np.sum(a, axis=-1, keepdims=True)
    return totals


def mean(params: Params, a: Array) -> Array:
    """The mean of each row.

    (n0, n1, n2, n3) -> (1, n1, n2, n3)
    """
    means: Array = np.mean(a, axis=-1, keepdims=True)
    return means


def argmax(params: Params, a: Array) -> Array:
    """The index of the largest value of each row, the first of equals, i32.

    (n0, n1) -> (n1)
    """
    places: Array = np.argmax(a, axis=-1)
    return places.astype(np.int32).reshape(1, 1, 1, -1)


def norm(params: Params, a: Array) -> Array:
    """(a - mean) / sqrt(variance + eps), each row by itself (Ba et al. 2016, without weights).

    (n0, n1, n2, n3) -> the same
    """
    (eps,) = params
    centred: Array = a - mean((), a)
    variance = mean((), centred**2)
    return centred / np.sqrt(variance + eps)


def rms_norm(params: Params, a: Array) -> Array:
    """a / sqrt(mean(a^2) + eps), each row by itself (Zhang and Sennrich 2019, without weights).

    (n0, n1, n2, n3) -> the same
    """
    (eps,) = params
    return a / np.sqrt(mean((), a**2) + eps)


def l2_norm(params: Params, a: Array) -> Array:
    """a / max(|a|, eps), each row by itself.

    (n0, n1, n2, n3) -> the same
    """
    (eps,) = params
    length = np.sqrt(sum_rows((), a**2))
    return a / np.maximum(length, eps)
