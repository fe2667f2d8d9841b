"""What comes back through ops, against differences of the ops themselves in float64, and the others one number at a
time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ggtui.core.errors import GgtuiError
from ggtui.core.graph.ops import OPS
from ggtui.core.graph.ops.in_numpy import Array

STEP = 1e-5


def values(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def meaning(op: str, params: tuple[Any, ...], *src: Array | None) -> Array:
    reference = OPS[op].reference
    assert reference is not None
    return reference(params, *src)


def slopes(op: str, params: tuple[Any, ...], src: list[Array | None], i: int, g: Array) -> Array:
    """Of sum(g * op(src)) at each value of source i."""
    x = src[i]
    assert x is not None
    found = np.empty_like(x)
    for at in np.ndindex(x.shape):
        ends = []
        for step in (STEP, -STEP):
            moved = x.copy()
            moved[at] += step
            ends.append((g * meaning(op, params, *src[:i], moved, *src[i + 1 :])).sum())
        found[at] = (ends[0] - ends[1]) / (2 * STEP)
    return found


@pytest.mark.parametrize(
    ("op", "params"),
    [
        ("relu", ()),
        ("silu", ()),
        ("gelu", ()),
        ("gelu_erf", ()),
        ("gelu_quick", ()),
        ("clamp", (-0.5, 0.75)),
        ("norm", (0.01,)),
        ("rms_norm", (0.01,)),
        ("l2_norm", (1e-3,)),
        ("l2_norm", (20.0,)),
    ],
)
def test_slopes_and_norms(op: str, params: tuple[float, ...]) -> None:
    x, g = values(2, 1, 3, 7), values(2, 1, 3, 7, seed=1)
    got = meaning(f"{op}_back", params, g, x)
    np.testing.assert_allclose(got, slopes(op, params, [x], 0, g), rtol=1e-6, atol=1e-8)


def test_where_a_function_has_a_kink() -> None:
    """The slope of relu is 0 at 0; clamp lets through what lies at its ends."""
    x, g = np.array([[[[-1.0, 0.0, 1.0, 2.0]]]]), np.full((1, 1, 1, 4), 5.0)
    assert meaning("relu_back", (), g, x).ravel().tolist() == [0, 0, 5, 5]
    assert meaning("clamp_back", (0.0, 1.0), g, x).ravel().tolist() == [0, 5, 5, 0]


def test_soft_max() -> None:
    x, g = values(1, 2, 3, 7), values(1, 2, 3, 7, seed=1)
    p = meaning("soft_max", (0.7, 0.0), x)
    got = meaning("soft_max_back", (0.7,), g, p)
    np.testing.assert_allclose(got, slopes("soft_max", (0.7, 0.0), [x], 0, g), rtol=1e-6, atol=1e-9)


def test_cross_entropy() -> None:
    x, at = values(1, 2, 3, 5), np.array([[0, 4, -1], [2, 2, 1]], np.int32)[None, None]
    got = meaning("cross_entropy", (), x, at)
    assert got.shape == (1, 1, 2, 3)
    for i, j in np.ndindex(2, 3):
        row, target = x[0, i, j], at[0, 0, i, j]
        want = math.log(math.fsum(map(math.exp, row))) - row[target] if target >= 0 else 0.0
        assert got[0, 0, i, j] == pytest.approx(want, rel=1e-14)
    far = meaning("cross_entropy", (), np.array([[[[1e6, 0.0, -1e6]]]]), np.array([[[[1]]]], np.int32))
    assert far.ravel().tolist() == [1e6]


def test_what_comes_back_through_cross_entropy() -> None:
    x, at = values(1, 2, 3, 5), np.array([[0, 4, -1], [2, 2, 1]], np.int32)[None, None]
    g = values(1, 1, 2, 3, seed=1)
    got = meaning("cross_entropy_back", (), g, x, at)
    np.testing.assert_allclose(got, slopes("cross_entropy", (), [x, at], 0, g), rtol=1e-6, atol=1e-9)
    assert not got[0, 0, 2].any()


@pytest.mark.parametrize("op", ["cross_entropy", "cross_entropy_back"])
@pytest.mark.parametrize("bad", [5, -2])
def test_a_target_out_of_range(op: str, bad: int) -> None:
    operands = values(1, 1, 1, 2), values(1, 1, 2, 5), np.array([[[[0, bad]]]], np.int32)
    with pytest.raises(GgtuiError, match=f"{op}: target {bad} of 5 is out of range"):
        meaning(op, (), *operands[op == "cross_entropy" :])


@pytest.mark.parametrize(
    ("causal", "max_bias", "mask_shape"),
    [(0, 0.0, None), (1, 0.0, None), (0, 0.0, (1, 1, 3, 5)), (1, 4.0, (1, 2, 4, 5)), (0, 8.0, (2, 1, 3, 5))],
)
def test_attention(causal: int, max_bias: float, mask_shape: tuple[int, ...] | None) -> None:
    """Several heads share keys and values of other lengths."""
    q, k, v = values(2, 4, 3, 4), values(2, 2, 5, 4, seed=1), values(2, 2, 5, 3, seed=2)
    mask = None if mask_shape is None else values(*mask_shape, seed=3)
    if mask is not None:
        mask[mask > 1] = -np.inf
    params, g = (0.4, max_bias, causal), values(2, 3, 4, 3, seed=4)
    got = meaning("flash_attn_back", params, q, k, v, mask, g).ravel()
    src = [q, k, v, mask]
    want = np.concatenate([slopes("flash_attn_ext", params, src, i, g).ravel() for i in range(3)])
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-8)


def test_diag_mask_zero() -> None:
    got = meaning("diag_mask_zero", (1,), np.ones((1, 1, 3, 5)))
    assert got[0, 0].tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]]


def test_what_does_not_hang_on_what_was_there() -> None:
    assert meaning("fill", (2.5,), np.full((1, 2, 3, 4), np.nan)).tolist() == np.full((1, 2, 3, 4), 2.5).tolist()
    a = values(1, 2, 3, 4)
    assert np.array_equal(meaning("after", (), a, values(1, 1, 1, 9)), a)


def test_acc() -> None:
    a, b = values(1, 2, 4, 6), values(1, 2, 2, 3, seed=1)
    got = meaning("acc", (4 * 12, 4 * 24, 0, 4 * 7), a, b)
    want = a.copy()
    want[0, :, 1::2, 1:4] += b[0]
    np.testing.assert_array_equal(got, want)


def test_add_rows() -> None:
    a, b = values(1, 2, 4, 3), values(1, 2, 5, 3, seed=1)
    rows = np.array([[3, 1, 3, 3, 0], [2, 2, 2, 2, 2]], np.int32)[None, None]
    want = a.copy()
    for i2, i1 in np.ndindex(2, 5):
        want[0, i2, rows[0, 0, i2, i1]] += b[0, i2, i1]
    np.testing.assert_allclose(meaning("add_rows", (), a, b, rows), want, rtol=1e-15)
    for bad in (4, -1):
        rows[0, 0, 1, 2] = bad
        with pytest.raises(GgtuiError, match=f"add_rows: row {bad} of 4 is out of range"):
            meaning("add_rows", (), a, b, rows)


@pytest.mark.parametrize("small", [(1, 1, 1, 1), (1, 2, 3, 4), (2, 2, 1, 2), (1, 1, 3, 1), (2, 4, 3, 4)])
def test_repeat_back_is_what_comes_back_through_repeat(small: tuple[int, ...]) -> None:
    g, before = values(2, 4, 3, 4), np.full(small, np.nan)
    want = np.zeros(small)
    for at in np.ndindex(g.shape):
        want[tuple(i % n for i, n in zip(at, small, strict=True))] += g[at]
    np.testing.assert_allclose(meaning("repeat_back", (), before, g), want, rtol=1e-14)
