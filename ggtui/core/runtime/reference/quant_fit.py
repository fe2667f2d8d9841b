"""Finding the scales of quantized blocks: for each block the scale (and minimum) with the least squared error.

A search tries grids around the one that just spans the block's weights; for each, the least-squares scale of the
weights' places on it has a closed form, and the grid that explains most of the weights' squares wins. Sums go over a
block in order and everything is float32, so that csrc/quant_fit.h, which does the same in C, gives the same bits.

With few bits large weights count for more, by |x| + sigmas * the block's root mean square: the whole error grows, but
measured at a model's output that costs less than their share of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

TINY = np.float32(1e-30)  # whatever is smaller counts as 0
LARGE = np.float32(1e8)  # no block with a weight larger than this has scales that fit f16
SMALLEST_HALF = np.float32(2.0**-24)
REFITS = 2
# The 16 weights of the 4-bit codebook types, times the scale.
CODEBOOK = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)
_MIDDLES = (CODEBOOK[1:] + CODEBOOK[:-1]) / 2


@dataclass(frozen=True, slots=True)
class Grids:
    """The grids a search tries: grid i has its largest weight at place `first + i * step` past its last one."""

    first: float
    step: float
    count: int

    def ends(self, last: int) -> list[np.float32]:
        return [np.float32(last + self.first + self.step * i) for i in range(self.count)]


def inverse(d: Floats) -> Floats:
    """1 / d, and 0 where d is (nearly) 0."""
    zero = ~(np.abs(d) > TINY)
    return np.where(zero, 0, np.float32(1) / np.where(zero, 1, d)).astype(np.float32)


def total(rows: Floats) -> Floats:
    """The sum of the rows (n, m), (m), added one after the other."""
    sums: Floats = rows[0].copy()
    for row in rows[1:]:
        sums += row
    return sums


def as_half(d: Floats) -> Floats:
    """d rounded to f16, as float32; what is not 0 does not become 0, for smaller scales of blocks can mend it."""
    h = d.astype(np.float16).astype(np.float32)
    return np.where((h == 0) & (d != 0), np.copysign(SMALLEST_HALF, d), h)


def rounded(x: Floats, low: int, high: int) -> Floats:
    """The nearest whole numbers within [low, high], even ones where two are."""
    return np.clip(np.rint(x), np.float32(low), np.float32(high))


def places(x: Floats) -> npt.NDArray[np.uint8]:
    """The number of the nearest weight of the codebook."""
    return np.searchsorted(_MIDDLES, x).astype(np.uint8)


def largest(x: Floats) -> Floats:
    """Of each column of x (n, m) the value of largest magnitude, the first of several, with its sign."""
    values: Floats = np.take_along_axis(x, np.abs(x).argmax(axis=0, keepdims=True), axis=0).reshape(-1)
    return values


def importance(x: Floats, sigmas: float) -> Floats:
    """What the squared error of each weight of the blocks x (n, m) counts; 1 for sigmas = 0."""
    if not sigmas:
        return np.ones_like(x)
    rms: Floats = np.sqrt(total(x * x) / np.float32(len(x)))
    return np.float32(sigmas) * rms + np.abs(x)


def fit_affine(x: Floats, w: Floats, last: int, grids: Grids) -> tuple[Floats, Floats]:
    """Scales and minimums, (m) and >= 0, with which scale * (0..last) - minimum is nearest to the blocks x (n, m).

    w: what each square counts, as x.
    """
    low, wx = np.minimum(x.min(axis=0), 0), w * x
    w_sum, x_sum = total(w), total(wx)
    unit = inverse(x.max(axis=0) - low)
    best, scale, minimum = np.zeros_like(low), np.zeros_like(low), -low
    for end in grids.ends(last):
        q = np.minimum(np.rint((x - low) * (end * unit)), np.float32(last))
        wq = w * q
        q_sum, qq, qx = total(wq), total(wq * q), total(wq * x)
        det = w_sum * qq - q_sum * q_sum
        m = (qq * x_sum - q_sum * qx) / det
        # A minimum above 0 can't be stored, and equal weights have no scale of their own: then one without a minimum.
        free = (det > np.float32(1e-5) * w_sum * qq) & (m <= 0)
        s = np.where(free, (w_sum * qx - q_sum * x_sum) / det, qx / qq)
        m = np.where(free, m, 0).astype(np.float32)
        gain = s * qx + m * x_sum
        better = gain > best
        best, scale, minimum = np.where(better, gain, best), np.where(better, s, scale), np.where(better, -m, minimum)
    return scale, minimum


def fit_scale(x: Floats, w: Floats, ends: list[np.float32], snap: Callable[[Floats], Floats]) -> Floats:
    """Scales, (m) and of any sign, with which scale * snap(..) is nearest to the blocks x (n, m).

    w: what each square counts, as x. ends: where on the grid to try the weight of largest magnitude. snap: the places
    of a grid that are nearest.
    """
    unit = inverse(largest(x))
    best, scale = np.zeros_like(unit), np.zeros_like(unit)
    for end in ends:
        q = snap(x * (end * unit))
        wq = w * q
        qq, qx = total(wq * q), total(wq * x)
        s = qx / qq
        gain = s * qx
        better = gain > best
        best, scale = np.where(better, gain, best), np.where(better, s, scale)
    return scale
