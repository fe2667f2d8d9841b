"""What comes back through ops, in numpy: g is the gradient of an op's result."""

from __future__ import annotations

import math

import numpy as np

from ggtui.core.errors import GgtuiError
from ggtui.core.graph.ops.in_numpy.arrays import Array, Params
from ggtui.core.graph.ops.in_numpy.attention import flash_attn_ext, soft_max
from ggtui.core.graph.ops.in_numpy.elementwise import mean, sigmoid, sum_rows


def fill(params: Params, before: Array) -> Array:
    """A number everywhere; what the memory held does not matter.

    () -> (n0, n1, n2, n3)
    """
    return np.full(before.shape, params[0])


def after(params: Params, a: Array, b: Array) -> Array:
    """a as it is, once b is there.

    a (n0, n1, n2, n3), b of any sizes -> as a
    """
    return a


def acc(params: Params, a: Array, b: Array) -> Array:
    """a with b added to a part of it, which begins at an offset and has strides of its own, in bytes.

    a (n0, n1, n2, n3), b (m0, m1, m2, m3) -> as a
    """
    *strides, offset = (int(n) // 4 for n in params)
    flat = a.copy().reshape(-1)
    i3, i2, i1, i0 = np.indices(b.shape)
    np.add.at(flat, offset + i0 + i1 * strides[0] + i2 * strides[1] + i3 * strides[2], b)
    return flat.reshape(a.shape)


def add_rows(params: Params, a: Array, b: Array, rows: Array) -> Array:
    """a with the rows of b added at their indices. Raises GgtuiError for an index out of range.

    a (n0, n, b1, b2), b (n0, m, b1, b2), i32 (m, b1, b2) -> as a
    """
    bad = rows[(rows < 0) | (rows >= a.shape[2])]
    if bad.size:
        raise GgtuiError(f"add_rows: row {bad[0]} of {a.shape[2]} is out of range")
    result = a.copy()
    for i3, i2, i1 in np.ndindex(b.shape[:3]):
        result[i3, i2, rows[0, i3, i2, i1]] += b[i3, i2, i1]
    return result


def repeat_back(params: Params, before: Array, g: Array) -> Array:
    """The sum of all of g that stands where the repeated result would.

    g (n0, n1, n2, n3) -> (m0, m1, m2, m3); each m divides its n
    """
    shape: list[int] = []
    for large, small in zip(g.shape, before.shape, strict=True):
        shape += [large // max(small, 1), small]
    total: Array = g.reshape(shape).sum(axis=(0, 2, 4, 6))
    return total


def relu_back(params: Params, g: Array, x: Array) -> Array:
    """g where x > 0, else 0.

    (n0, n1, n2, n3), the same -> the same
    """
    return np.where(x > 0, g, 0)


def silu_back(params: Params, g: Array, x: Array) -> Array:
    """g (s + x s (1 - s)) with s = 1 / (1 + exp(-x)).

    (n0, n1, n2, n3), the same -> the same
    """
    s = sigmoid((), x)
    result: Array = g * (s + x * s * (1 - s))
    return result


def gelu_back(params: Params, g: Array, x: Array) -> Array:
    """g ((1 + t)/2 + x/2 (1 - t^2) u') with t = tanh(u), u = sqrt(2/pi) (x + 0.044715 x^3).

    (n0, n1, n2, n3), the same -> the same
    """
    c = math.sqrt(2 / math.pi)
    t = np.tanh(c * (x + 0.044715 * x**3))
    slope: Array = (1 + t) / 2 + x / 2 * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x)
    return g * slope


_erf = np.vectorize(math.erf, otypes=[np.float64])


def gelu_erf_back(params: Params, g: Array, x: Array) -> Array:
    """g ((1 + erf(x / sqrt 2))/2 + x exp(-x^2 / 2) / sqrt(2 pi)).

    (n0, n1, n2, n3), the same -> the same
    """
    slope: Array = (1 + _erf(x / math.sqrt(2))) / 2 + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return g * slope


def gelu_quick_back(params: Params, g: Array, x: Array) -> Array:
    """g (s + 1.702 x s (1 - s)) with s = 1 / (1 + exp(-1.702 x)).

    (n0, n1, n2, n3), the same -> the same
    """
    s = sigmoid((), 1.702 * x)
    result: Array = g * (s + 1.702 * x * s * (1 - s))
    return result


def clamp_back(params: Params, g: Array, x: Array) -> Array:
    """g where low <= x <= high, else 0.

    (n0, n1, n2, n3), the same -> the same
    """
    low, high = params
    return np.where((x < low) | (x > high), 0, g)


def norm_back(params: Params, g: Array, x: Array) -> Array:
    """r (g - mean(g) - y mean(g y)) of each row, y = r (x - mean(x)), r = 1 / sqrt(variance + eps) (Ba et al. 2016).

    (n0, n1, n2, n3), the same -> the same
    """
    (eps,) = params
    centred: Array = x - mean((), x)
    r = 1 / np.sqrt(mean((), centred**2) + eps)
    y = r * centred
    return r * (g - mean((), g) - y * mean((), g * y))


def rms_norm_back(params: Params, g: Array, x: Array) -> Array:
    """r (g - y mean(g y)) of each row, y = r x, r = 1 / sqrt(mean(x^2) + eps) (Zhang and Sennrich 2019).

    (n0, n1, n2, n3), the same -> the same
    """
    (eps,) = params
    r = 1 / np.sqrt(mean((), x**2) + eps)
    y = r * x
    return r * (g - y * mean((), g * y))


def l2_norm_back(params: Params, g: Array, x: Array) -> Array:
    """(g - y sum(g y)) / |x| of each row, y = x / |x|; g / eps where |x| is below eps.

    (n0, n1, n2, n3), the same -> the same
    """
    (eps,) = params
    length = np.sqrt(sum_rows((), x**2))
    y = x / np.maximum(length, 1e-300)
    return np.where(length < eps, g / eps, (g - y * sum_rows((), g * y)) / np.maximum(length, 1e-300))


def soft_max_back(params: Params, g: Array, p: Array) -> Array:
    """scale p (g - sum(g p)) of each row, p what soft_max made.

    (n0, n1, n2, n3), the same -> the same
    """
    (scale,) = params
    result: Array = scale * p * (g - sum_rows((), g * p))
    return result


def diag_mask_zero(params: Params, a: Array) -> Array:
    """a with 0 where i0 > n_past + i1.

    (n_kv, n_tokens, n2, n3) -> the same
    """
    (n_past,) = params
    i0, i1 = np.arange(a.shape[3]), np.arange(a.shape[2])[:, None]
    return np.where(i0 > n_past + i1, 0, a)


def _targets(op: str, targets: Array, n: int) -> Array:
    """(ne1, ne2, ne3) i32 as (ne3, ne2, ne1)."""
    bad = targets[(targets < -1) | (targets >= n)]
    if bad.size:
        raise GgtuiError(f"{op}: target {bad[0]} of {n} is out of range")
    at: Array = targets[0]
    return at


def cross_entropy(params: Params, logits: Array, targets: Array) -> Array:
    """ln(sum(exp(x))) - x[target] of each row; 0 for a target of -1. Raises GgtuiError for one out of range.

    (n, n1, n2, n3), i32 (n1, n2, n3) -> (n1, n2, n3)
    """
    at = _targets("cross_entropy", targets, logits.shape[3])
    largest = logits.max(axis=-1, keepdims=True)
    total = np.log(np.exp(logits - largest).sum(axis=-1)) + largest[..., 0]
    picked = np.take_along_axis(logits, np.maximum(at, 0)[..., None], axis=-1)[..., 0]
    return np.where(at < 0, 0, total - picked)[None]


def cross_entropy_back(params: Params, g: Array, logits: Array, targets: Array) -> Array:
    """g (softmax(x) - 1 at the target) of each row; 0 for a target of -1. Raises GgtuiError for one out of range.

    g (n1, n2, n3), logits (n, n1, n2, n3), i32 (n1, n2, n3) -> as the logits
    """
    at = _targets("cross_entropy_back", targets, logits.shape[3])
    p = soft_max((1.0, 0.0), logits)
    picked = np.maximum(at, 0)[..., None]
    np.put_along_axis(p, picked, np.take_along_axis(p, picked, axis=-1) - 1, axis=-1)
    return np.where(at[..., None] < 0, 0, g[0][..., None] * p)


def flash_attn_back(params: Params, q: Array, k: Array, v: Array, mask: Array | None, g: Array) -> Array:
    """The gradients of q, k and v, one behind the other: with P the weights and dP = v . g, that of the scores is
    P (dP - sum(P dP)) (Dao et al. 2022).

    q, k, v, mask as for flash_attn_ext, g (d_v, n_head, n_tokens, n3) -> (all elements of q, k and v)
    """
    scale = float(params[0])
    n3, n_head, _, _ = q.shape
    n_head_kv = k.shape[1]
    group = n_head // max(n_head_kv, 1)
    keys, values = (np.repeat(t, group, axis=1) for t in (k, v))
    weights = attention_weights(params, q, k, mask)
    g = g.swapaxes(1, 2)  # (n3, n_head, n_tokens, d_v)
    of_weights = g @ values.swapaxes(2, 3)
    of_scores = scale * weights * (of_weights - (weights * of_weights).sum(axis=-1, keepdims=True))
    dq = of_scores @ keys
    dk, dv = (
        part.reshape(n3, n_head_kv, group, *part.shape[2:]).sum(axis=2)
        for part in (of_scores.swapaxes(2, 3) @ q, weights.swapaxes(2, 3) @ g)
    )
    return np.concatenate([part.reshape(-1) for part in (dq, dk, dv)]).reshape(1, 1, 1, -1)


def attention_weights(params: Params, q: Array, k: Array, mask: Array | None) -> Array:
    """What each query of flash_attn_ext weighs each position with: (n3, n_head, n_tokens, n_kv)."""
    eye = np.broadcast_to(np.eye(k.shape[2]), (*k.shape[:2], k.shape[2], k.shape[2]))
    return flash_attn_ext(params, q, k, eye, mask).swapaxes(1, 2)
