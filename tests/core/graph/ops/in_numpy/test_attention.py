"""Products and attention, one number at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ggtui.core.errors import GgtuiError
from ggtui.core.graph.ops import OPS
from ggtui.core.graph.ops.in_numpy import Array
from ggtui.core.graph.ops.in_numpy.attention import PAGE, alibi_slopes


def values(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize(("a3", "a2", "b3", "b2"), [(1, 1, 1, 1), (2, 3, 2, 3), (1, 2, 3, 6), (2, 1, 4, 3)])
def test_mul_mat(a3: int, a2: int, b3: int, b2: int) -> None:
    a, b = values(a3, a2, 4, 5), values(b3, b2, 3, 5, seed=1)
    got = OPS["mul_mat"].reference((), a, b)
    assert got.shape == (b3, b2, 3, 4)
    for i3, i2, n, m in np.ndindex(got.shape):
        row = a[i3 * a3 // b3, i2 * a2 // b2, m]
        assert got[i3, i2, n, m] == pytest.approx(math.fsum(row * b[i3, i2, n]))


def test_diag_mask_inf() -> None:
    got = OPS["diag_mask_inf"].reference((1,), np.zeros((1, 1, 3, 5)))
    hidden = np.isneginf(got[0, 0]).astype(int).tolist()
    assert hidden == [[0, 0, 1, 1, 1], [0, 0, 0, 1, 1], [0, 0, 0, 0, 1]]


def test_slopes_of_the_paper() -> None:
    """ALiBi's own: 1/2 ... 1/256 for 8 heads; for 12 those, and then every other one of 16."""
    eight = [2.0**-i for i in range(1, 9)]
    assert alibi_slopes(8, 8.0).tolist() == eight
    np.testing.assert_allclose(alibi_slopes(12, 8.0), eight + [2.0 ** -(i / 2) for i in (1, 3, 5, 7)], rtol=1e-15)
    assert alibi_slopes(5, 0.0).tolist() == [1.0] * 5


def softmax(x: list[float], sink: float | None = None) -> list[float]:
    powers = [math.exp(v) for v in x]
    total = math.fsum(powers) + (0.0 if sink is None else math.exp(sink))
    return [p / total if total else 0.0 for p in powers]


def masked(*shape: int) -> Array:
    """A mask that hides some positions, and from the first row all of them."""
    mask = values(*shape, seed=2)
    mask[mask > 0.5] = -np.inf
    mask[..., 0, :] = -np.inf
    return mask


@pytest.mark.parametrize("with_sinks", [False, True])
@pytest.mark.parametrize("max_bias", [0.0, 4.0])
@pytest.mark.parametrize("mask_shape", [None, (1, 1, 3, 5), (1, 1, 7, 5), (2, 3, 3, 5)])
def test_soft_max(mask_shape: tuple[int, ...] | None, max_bias: float, with_sinks: bool) -> None:
    a, mask = values(2, 6, 3, 5), masked(*mask_shape) if mask_shape else None
    sinks = values(1, 1, 1, 6, seed=3) if with_sinks else None
    got = OPS["soft_max"].reference((0.5, max_bias), a, mask, sinks)
    slopes = alibi_slopes(6, max_bias)
    for i3, h, i in np.ndindex(2, 6, 3):
        x = 0.5 * a[i3, h, i]
        if mask is not None:
            x = x + slopes[h] * mask[i3 % mask.shape[0], h % mask.shape[1], i]
        want = softmax(x.tolist(), None if sinks is None else sinks[0, 0, 0, h])
        np.testing.assert_allclose(got[i3, h, i], want, rtol=1e-12)


def test_large_logits_do_not_overflow() -> None:
    got = OPS["soft_max"].reference((1.0, 0.0), np.array([[[[1e4, 1e4, -1e4]]]]), None, None)
    assert got.tolist() == [[[[0.5, 0.5, 0.0]]]]


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("with_mask_and_sinks", [False, True])
def test_flash_attn_ext(causal: int, with_mask_and_sinks: bool) -> None:
    q, k, v = values(2, 6, 3, 4), values(2, 3, 5, 4, seed=1), values(2, 3, 5, 7, seed=4)
    mask = masked(1, 1, 3, 5) if with_mask_and_sinks else None
    sinks = values(1, 1, 1, 6, seed=3) if with_mask_and_sinks else None
    got = OPS["flash_attn_ext"].reference((0.5, 0.0, causal), q, k, v, mask, sinks)
    assert got.shape == (2, 3, 6, 7)
    for i3, h, i in np.ndindex(2, 6, 3):
        seen = range(5 - 3 + i + 1) if causal else range(5)
        x = [
            0.5 * math.fsum(q[i3, h, i] * k[i3, h // 2, j]) + (0.0 if mask is None else mask[0, 0, i, j]) for j in seen
        ]
        weights = softmax(x, None if sinks is None else sinks[0, 0, 0, h])
        want = sum((w * v[i3, h // 2, j] for j, w in zip(seen, weights, strict=True)), np.zeros(7))
        np.testing.assert_allclose(got[i3, i, h], want, rtol=1e-10, atol=1e-14)


def test_more_queries_than_positions_cannot_be_causal() -> None:
    q, k = values(1, 1, 3, 4), values(1, 1, 2, 4)
    with pytest.raises(GgtuiError, match="3 queries for 2 positions"):
        OPS["flash_attn_ext"].reference((1.0, 0.0, 1), q, k, k, None, None)


@pytest.mark.parametrize("softcap", [0.0, 1.5])
@pytest.mark.parametrize("with_sinks", [False, True])
def test_paged_attention(softcap: float, with_sinks: bool) -> None:
    q, k, v = values(1, 4, 3, 5), values(1, 2, 4 * PAGE, 5, seed=1), values(1, 2, 4 * PAGE, 7, seed=4)
    sinks = values(1, 1, 1, 4, seed=3) if with_sinks else None
    pages = np.array([[3, 1], [2, 9]]).reshape(1, 1, 2, 2)
    tokens = np.array([[0, 60, 66], [1, 0, 1], [0, 5, 5]])
    got = OPS["paged_attention"].reference((0.5, softcap), q, k, v, tokens.reshape(1, 1, 3, 3), pages, sinks)
    assert got.shape == (1, 3, 4, 7) and not got[0, 2].any()
    for i, at in enumerate(([3 * PAGE + 60 + j for j in range(4)] + [PAGE, PAGE + 1], [2 * PAGE])):
        for h in range(4):
            x = [0.5 * math.fsum(q[0, h, i] * k[0, h // 2, j]) for j in at]
            x = [softcap * math.tanh(s / softcap) for s in x] if softcap else x
            weights = softmax(x, None if sinks is None else sinks[0, 0, 0, h])
            want = sum((w * v[0, h // 2, j] for j, w in zip(at, weights, strict=True)), np.zeros(7))
            np.testing.assert_allclose(got[0, i, h], want, rtol=1e-10, atol=1e-14)
