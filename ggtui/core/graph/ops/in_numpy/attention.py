"""Matrix multiplication and the ops of attention, in numpy."""

from __future__ import annotations

import numpy as np

from ggtui.core.errors import GgtuiError
from ggtui.core.graph.ops.in_numpy.arrays import Array, Params

PAGE = 64  # positions of keys and values that lie together


def mul_mat(params: Params, a: Array, b: Array) -> Array:
    """The dot product of each row of a with each row of b, b @ a.T; a matrix of a serves as many of b as there are
    more of them.

    (k, m, a2, a3), (k, n, b2, b3) -> (m, n, b2, b3); a2 divides b2, a3 b3
    """
    a = _for_each_group(a, b.shape[0], b.shape[1])
    return b @ a.swapaxes(2, 3)


def _for_each_group(a: Array, n3: int, n2: int) -> Array:
    """Matrices a (a3, a2, rows, k) as (n3, n2, rows, k): neighbours share one."""
    a = np.repeat(a, n3 // max(a.shape[0], 1), axis=0)
    return np.repeat(a, n2 // max(a.shape[1], 1), axis=1)


def diag_mask_inf(params: Params, a: Array) -> Array:
    """a with -inf where i0 > n_past + i1: no token sees a later one.

    (n_kv, n_tokens, n2, n3) -> the same
    """
    (n_past,) = params
    i0, i1 = np.arange(a.shape[3]), np.arange(a.shape[2])[:, None]
    return np.where(i0 > n_past + i1, -np.inf, a)


def alibi_slopes(n_head: int, max_bias: float) -> Array:
    """The slope of each head, (n_head): 1 for all where max_bias is 0 (Press et al. 2021).

    With p the largest power of two <= n_head: 2^(-max_bias (h + 1) / p) for the first p heads, and for the others the
    odd steps of the series that 2p heads have.
    """
    p = 1
    while 2 * p <= n_head:
        p *= 2
    steps = [h + 1 if h < p else (2 * (h - p) + 1) / 2 for h in range(n_head)]
    return np.exp2(-max_bias * np.array(steps) / p)


def soft_max(params: Params, a: Array, mask: Array | None = None, sinks: Array | None = None) -> Array:
    """exp(x) / (sum exp(x) + exp(sink)) of each row, x = scale * a + slope * mask; zeros where all of x is -inf.

    a (n_kv, n_tokens, n_head, n3), mask (n_kv, >= n_tokens, m2, m3), sinks (n_head) -> the same as a

    slope: ALiBi's of the head; the mask is repeated over dimensions 2 and 3; without sinks there is none in the sum
    """
    scale, max_bias = params
    x = scale * a
    if mask is not None:
        n3, n_head, n_tokens, _ = a.shape
        over = np.tile(mask[:, :, :n_tokens], (n3 // mask.shape[0], n_head // mask.shape[1], 1, 1))
        x = x + alibi_slopes(n_head, max_bias)[:, None, None] * over
    largest = np.max(x, axis=-1, keepdims=True, initial=-np.inf)
    if sinks is not None:
        sinks = sinks.reshape(-1, 1, 1)  # a head each
        largest = np.maximum(largest, sinks)
    largest = np.where(np.isneginf(largest), 0, largest)  # -inf - -inf is NaN; any other number gives exp(-inf) = 0
    e = np.exp(x - largest)
    total = np.sum(e, axis=-1, keepdims=True)
    if sinks is not None:
        total = total + np.exp(sinks - largest)
    return e / np.where(total == 0, 1, total)


def flash_attn_ext(
    params: Params, q: Array, k: Array, v: Array, mask: Array | None = None, sinks: Array | None = None
) -> Array:
    """soft_max(scale * q . k + slope * mask) . v; causal: token i sees the keys up to n_kv - n_tokens + i (Vaswani et
    al. 2017). Raises GgtuiError for a causal one with more tokens than keys.

    q (d_k, n_tokens, n_head, n3), k (d_k, n_kv, n_head_kv, n3), v (d_v, n_kv, n_head_kv, n3), mask and sinks as for
    soft_max -> (d_v, n_head, n_tokens, n3)

    Neighbouring heads of q share one of k and v.
    """
    scale, max_bias, causal = params
    n3, n_head, n_tokens, _ = q.shape
    n_kv = k.shape[2]
    if causal and n_tokens > n_kv:
        raise GgtuiError(f"flash_attn_ext: causal, but {n_tokens} queries for {n_kv} positions")
    scores = q @ _for_each_group(k, n3, n_head).swapaxes(2, 3)
    if causal:
        scores = diag_mask_inf((n_kv - n_tokens,), scores)
    weights = soft_max((scale, max_bias), scores, mask, sinks)
    return (weights @ _for_each_group(v, n3, n_head)).swapaxes(1, 2)


def paged_attention(
    params: Params, q: Array, k: Array, v: Array, tokens: Array, pages: Array, sinks: Array | None = None
) -> Array:
    """soft_max(cap(scale * q . k)) . v of each token over the positions it sees; where softcap is above 0, cap(s) is
    softcap tanh(s / softcap). Raises GgtuiError for positions, rows and pages that there are not.

    q (d_k, n_tokens, n_head), k (d_k, PAGE n_pages, n_head_kv), v (d_v, PAGE n_pages, n_head_kv), tokens (3, n_tokens):
    a row of `pages`, from and to, pages (n, n_rows), sinks as for soft_max -> (d_v, n_head, n_tokens)

    Positions PAGE j to PAGE (j + 1) - 1 of a row lie in page pages[j]. Neighbouring heads of q share one of k and v.
    """
    scale, softcap = params
    _, n_head, n_tokens, _ = q.shape
    n_head_kv, n_stored, d_v = v.shape[1:]
    result = np.zeros((1, n_tokens, n_head, d_v))
    for i, (row, first, end) in enumerate(tokens.reshape(-1, 3).tolist()):
        if not (0 <= row < pages.shape[2] and 0 <= first <= end <= PAGE * pages.shape[3]):
            raise GgtuiError(f"paged_attention: token {i} sees positions {first} to {end} of row {row}")
        seen = np.arange(first, end)
        of_seen = pages[0, 0, row, seen // PAGE]
        if ((of_seen < 0) | (of_seen >= n_stored // PAGE)).any():
            raise GgtuiError(f"paged_attention: row {row} has a page that there is not")
        at = of_seen * PAGE + seen % PAGE
        keys, values = (np.repeat(a[0][:, at], n_head // n_head_kv, axis=0) for a in (k, v))  # (n_head, n_seen, d)
        scores = (q[0, :, i, None] @ keys.swapaxes(1, 2))[None] * scale  # (1, n_head, 1, n_seen)
        if softcap > 0:
            scores = softcap * np.tanh(scores / softcap)
        result[0, i] = (soft_max((1.0, 0.0), scores, None, sinks) @ values)[0, :, 0]
    return result
