"""The attention kernel against softmax(scale q k^T + slope mask) v in float64, and bit by bit against scalar."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Array = NDArray[Any]


def expected(
    q: Array,
    k: Array,
    v: Array,
    scale: float,
    mask: Array | None = None,
    slope: float = 1.0,
    sink: float | None = None,
    first: int | None = None,
) -> Array:
    logits = scale * q.astype(np.float64) @ k.astype(np.float64).T
    if mask is not None:
        logits = logits + slope * mask
    if first is not None:
        logits[np.arange(len(k)) > first + np.arange(len(q))[:, None]] = -np.inf
    top = np.max(logits, axis=1, keepdims=True, initial=-1e300 if sink is None else sink)
    e = np.exp(logits - top)
    total = e.sum(axis=1, keepdims=True) + (0 if sink is None else np.exp(sink - top))
    return np.divide(e, total, out=np.zeros_like(e), where=total > 0) @ v.astype(np.float64)


def data(kind: Any, n_q: int, n_kv: int, d_k: int, d_v: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(n_q * 1000 + n_kv)
    q = rng.normal(size=(n_q, d_k)).astype(np.float32)
    return q, rng.normal(size=(n_kv, d_k)).astype(kind), rng.normal(size=(n_kv, d_v)).astype(kind)


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize(
    ("n_q", "n_kv", "d_k", "d_v"),
    [
        (1, 1, 64, 64),
        (1, 17, 64, 64),
        (1, 200, 64, 64),
        (3, 64, 32, 48),
        (7, 65, 80, 80),
        (9, 130, 5, 7),
        (5, 100, 128, 100),
    ],
)
def test_attention(kernels: Any, scalar: Any, kind: Any, n_q: int, n_kv: int, d_k: int, d_v: int) -> None:
    q, k, v = data(kind, n_q, n_kv, d_k, d_v)
    mask = np.random.default_rng(0).normal(size=(n_q, n_kv))
    mask[:, ::3] = -np.inf
    mask[:, 0] = 0
    mask = mask.astype(np.float32)
    for options in (
        {},
        {"first": n_kv - n_q},
        {"first": 0},
        {"mask": mask, "slope": 0.5},
        {"sink": 1.25},
        {"sink": 30.0, "mask": mask},
        {"first": n_kv // 2, "mask": mask, "sink": -2.0},
    ):
        if options.get("first", 0) < 0:
            continue
        y = kernels.attention(q, k, v, 0.125, **options)
        assert kernels.nmse(expected(q, k, v, 0.125, **options), y) < 1e-11
        kernels.assert_same(y, scalar.attention(q, k, v, 0.125, **options))


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_a_query_does_not_depend_on_those_beside_it(kernels: Any, kind: Any) -> None:
    q, k, v = data(kind, 90, 150, 64, 64)
    together = kernels.attention(q, k, v, 0.125, first=20)
    for n_q in (1, 2, 3, 4, 5, 7, 11):
        for i in (0, 3, 43, 44, 45, 60):
            part = kernels.attention(q[i : i + n_q], k, v, 0.125, first=20 + i)
            kernels.assert_same(part, together[i : i + n_q])


def test_positions_that_are_not_seen_do_not_matter(kernels: Any) -> None:
    """Neither what lies behind the last position nor what lies behind a query's own one, were it NaN or infinite."""
    q, k, v = data(np.float16, 6, 70, 64, 64)
    y = kernels.attention(q, k[:37], v[:37], 0.125, first=31)
    for garbage in (np.nan, np.inf, -np.inf, 0):
        kernels.assert_same(kernels.attention(q, k[:37], v[:37], 0.125, first=31, garbage=garbage), y)
    k[37:], v[37:] = np.nan, np.inf
    kernels.assert_same(kernels.attention(q, k, v, 0.125, first=31), y)


def test_a_query_that_sees_nothing_gives_zeros(kernels: Any) -> None:
    q, k, v = data(np.float32, 5, 80, 32, 40)
    mask = np.zeros((5, 80), np.float32)
    mask[1], mask[3], mask[2, :64] = -np.inf, -np.inf, -np.inf
    for sink in (None, 0.5, -np.inf):
        y = kernels.attention(q, k, v, 0.2, mask=mask, sink=sink)
        assert not y[[1, 3]].any() and y[[0, 2, 4]].all()
    assert not kernels.attention(q, k[:0], v[:0], 0.2).any()


def test_large_scores(kernels: Any) -> None:
    q, k, v = data(np.float32, 4, 100, 64, 64)
    y = kernels.attention(q * 1e3, k * 1e3, v, 1.0)
    np.testing.assert_allclose(y, expected(q * 1e3, k * 1e3, v, 1.0), rtol=1e-4, atol=1e-4)


def test_what_is_no_number_stays_so(kernels: Any) -> None:
    q, k, v = data(np.float32, 5, 100, 64, 64)
    q[2, 10] = np.nan
    y = kernels.attention(q, k, v, 0.125)
    assert np.isnan(y[2]).all() and np.isfinite(y[[0, 1, 3, 4]]).all()
    k[70, 3] = np.nan
    assert np.isnan(kernels.attention(q, k, v, 0.125)).all()
