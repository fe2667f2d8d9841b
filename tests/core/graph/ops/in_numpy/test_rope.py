"""Rope as a turn of complex numbers, its angles one at a time."""

from __future__ import annotations

from math import atan2, ceil, floor, hypot, log, pi
from typing import Any

import numpy as np
import pytest

from ggtui.core.graph.ops import OPS
from ggtui.core.graph.ops.in_numpy import Array
from ggtui.core.graph.ops.in_numpy.rope import IMROPE, MROPE, NEOX, NORMAL, VISION

OFF = (0.0, 32.0, 1.0, 0)
NO_SECTIONS = (0, 0, 0, 0)
FORWARD, INVERSE = 0, 1


def values(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape)


def rope(params: tuple[Any, ...], a: Array, positions: Array, factors: Array | None = None) -> Array:
    reference = OPS["rope"].reference
    assert reference is not None
    return reference(params, a, positions, factors)


@pytest.mark.parametrize("way", [FORWARD, INVERSE])
@pytest.mark.parametrize("mode", [NORMAL, NEOX])
@pytest.mark.parametrize(("n_dims", "with_factors"), [(8, False), (6, False), (6, True)])
def test_rope(mode: int, n_dims: int, with_factors: bool, way: int) -> None:
    a, positions = values(2, 3, 4, 8), np.array([0, 7, 100], np.int32).reshape(1, 1, 1, 3)
    factors = np.array([1.0, 2.0, 4.0]).reshape(1, 1, 1, 3) if with_factors else None
    got = rope((n_dims, mode, 500.0, 0.25, 1.5, *OFF, *NO_SECTIONS, way), a, positions, factors)
    angle = (-1) ** way * positions.reshape(3, 1) * 0.25 / 500.0 ** (np.arange(0, n_dims, 2) / n_dims)
    turn = 1.5 * np.exp(1j * (angle if factors is None else angle / factors[0, 0]))[:, None, :]
    half = n_dims // 2
    first, second = (slice(0, n_dims, 2), slice(1, n_dims, 2)) if mode == 0 else (slice(half), slice(half, n_dims))
    turned = (a[..., first] + 1j * a[..., second]) * turn
    np.testing.assert_allclose(got[..., first], turned.real, rtol=1e-12)
    np.testing.assert_allclose(got[..., second], turned.imag, rtol=1e-12)
    assert np.array_equal(got[..., n_dims:], a[..., n_dims:])


def turns(params: tuple[Any, ...], positions: list[list[int]], n_pairs: int, far: int) -> tuple[Array, Array]:
    """By which angle each pair of each token turns, and how many times as large it becomes."""
    rows = np.array(positions, np.int32)[None, None]
    a = np.zeros((1, rows.shape[3], 1, 2 * far))
    a[..., :n_pairs] = 1.0
    got = rope(params, a, rows)
    pairs = zip(got[..., :n_pairs].ravel(), got[..., far : far + n_pairs].ravel(), strict=True)
    angle, size = np.array([(atan2(y, x), hypot(x, y)) for x, y in pairs]).T.reshape(2, -1, n_pairs)
    return angle, size


@pytest.mark.parametrize("ext_factor", [1.0, 0.3])
def test_yarn_keeps_what_turns_often(ext_factor: float) -> None:
    """Peng et al. 2023, NTK-by-parts, with the corner pairs rounded outwards."""
    n_dims, base, scale, n_ctx_orig, fast, slow = 32, 1000.0, 0.25, 256, 8.0, 1.0
    params = (n_dims, NEOX, base, scale, 1.0, ext_factor, fast, slow, n_ctx_orig, *NO_SECTIONS, FORWARD)
    angle, size = turns(params, [[1]], 16, 16)
    first = floor(n_dims * log(n_ctx_orig / (fast * 2 * pi)) / (2 * log(base)))
    last = ceil(n_dims * log(n_ctx_orig / (slow * 2 * pi)) / (2 * log(base)))
    assert 0 < first < last < 16
    for i in range(16):
        plain = base ** (-2 * i / n_dims)
        kept = ext_factor * min(max((last - i) / (last - first), 0), 1)
        assert angle[0, i] == pytest.approx(plain * kept + plain * scale * (1 - kept), rel=1e-9)
    np.testing.assert_allclose(size, 1 + 0.1 * log(4))


POSITIONS = [[3, 5], [11, 13], [17, 19], [23, 29]]
SECTIONED = {
    MROPE: "tthwwwtt",  # of sections of 2, 1, 3 and 0, and then again
    IMROPE: "thwteeth",  # of 2, 1, 1 and 2: six that take turns, as long as there are any left, and the rest
    VISION: "tthwwwtt",
}
SIZES = {MROPE: (2, 1, 3, 0), IMROPE: (2, 1, 1, 2), VISION: (2, 1, 3, 0)}
STEPS = {MROPE: [0, 1, 2, 3, 4, 5, 6, 7], IMROPE: [0, 1, 2, 3, 4, 5, 6, 7], VISION: [0, 1, 0, 0, 1, 2, 0, 1]}


@pytest.mark.parametrize("mode", [MROPE, IMROPE, VISION])
def test_each_section_has_positions_of_its_own(mode: int) -> None:
    n_dims = 8 if mode == VISION else 16
    params = (n_dims, mode, 1e6, 0.01, 1.0, *OFF, *SIZES[mode], FORWARD)
    angle, _ = turns(params, POSITIONS, 8, 8)
    for token in range(2):
        for i, section in enumerate(SECTIONED[mode]):
            position = POSITIONS["thwe".index(section)][token]
            assert angle[token, i] == pytest.approx(0.01 * position * 1e6 ** (-2 * STEPS[mode][i] / n_dims)), (token, i)
