"""Numpy reference codecs of the K and IQ4 types. A super-block is 256 weights that share an f16 scale of scales.

Blocks' scales and minimums are small whole numbers: first they are fitted in floats, then rounded to multiples of
the super-block's d (and dmin), which are then fitted anew to the rounded ones, as are the weights' places.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ggtui.core.runtime.reference.quant_fit import (
    CODEBOOK,
    LARGE,
    REFITS,
    Bytes,
    Floats,
    Grids,
    as_half,
    fit_affine,
    fit_scale,
    importance,
    inverse,
    largest,
    places,
    rounded,
    total,
)


def get_fields(b: Bytes, bits: int, n: int) -> Bytes:
    """The numbers of `bits` bits in bytes (..., m), as (..., m * 8 / bits).

    The bytes lie in runs of n: the first n numbers are the lowest bits of a run's bytes, the next n those above.
    """
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    runs = b.reshape(*b.shape[:-1], -1, 1, n)
    return (runs >> shifts & np.uint8((1 << bits) - 1)).reshape(*b.shape[:-1], -1)


def put_fields(q: npt.NDArray[Any], bits: int, n: int) -> Bytes:
    """The inverse of `get_fields`; bits of q above `bits` are dropped."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    runs = (q & np.uint8((1 << bits) - 1)).reshape(*q.shape[:-1], -1, 8 // bits, n)
    b: Bytes = np.bitwise_or.reduce(runs << shifts, axis=-2)
    return b.reshape(*q.shape[:-1], -1)


def get_half(b: Bytes) -> Floats:
    """f16 numbers (n, 2) bytes as float32 (n, 1)."""
    return np.ascontiguousarray(b).view(np.float16).astype(np.float32)


def put_half(d: Floats, x: Floats) -> Bytes:
    """d (n, 1) as f16, (n, 2) bytes; infinite where the blocks x (n, m) hold what is NaN, infinite or too large."""
    fits = np.abs(x).max(axis=1, keepdims=True) <= LARGE
    # + 0 for the sign of a 0, on which the order of a maximum may depend
    return np.where(fits, d + np.float32(0), np.float32(np.inf)).astype(np.float16).view(np.uint8)


def _columns(x: Floats, n: int) -> Floats:
    """Blocks of n weights of super-blocks (k, 256) as columns (n, k * 256 / n)."""
    return np.ascontiguousarray(x.reshape(-1, n).T)


def _rows(q: npt.NDArray[Any]) -> Bytes:
    """The places of weights, given as columns, as super-blocks (k, 256)."""
    return q.T.reshape(-1, 256).astype(np.uint8)


def _by_block(a: Floats) -> Floats:
    """A number for each block (k, blocks) as one for each weight (k, 256)."""
    return np.repeat(a, 256 // a.shape[1], axis=1)


def _fit_affine(
    x: Floats, n: int, last: int, last_scale: int, grids: Grids, sigmas: float = 0
) -> tuple[Floats, Floats, Bytes, Bytes, Bytes]:
    """Super-blocks x (k, 256) in blocks of n as d, dmin (k, 1), their multiples (k, 256 / n), places (k, 256)."""
    columns, k = _columns(x, n), len(x)
    w = importance(columns, sigmas)
    scale, minimum = (a.reshape(k, -1) for a in fit_affine(columns, w, last, grids))
    d, dmin = (as_half(a.max(axis=1, keepdims=True) / np.float32(last_scale)) for a in (scale, minimum))
    s, m = rounded(scale * inverse(d), 0, last_scale), rounded(minimum * inverse(dmin), 0, last_scale)

    def nearest() -> Floats:
        a, b = (d * s).reshape(-1), (dmin * m).reshape(-1)
        return rounded((columns + b) * inverse(a), 0, last)

    def over_blocks(a: Floats) -> Floats:
        return total(a.T)[:, None]

    w_sum, x_sum = total(w).reshape(k, -1), total(w * columns).reshape(k, -1)
    q = nearest()
    for _ in range(REFITS):
        wq = w * q
        q_sum, qq, qx = (total(a).reshape(k, -1) for a in (wq, wq * q, wq * columns))
        aa, ab, bb = (over_blocks(a) for a in (s * s * qq, s * m * q_sum, m * m * w_sum))
        ax, bx = over_blocks(s * qx), over_blocks(m * x_sum)
        det = aa * bb - ab * ab
        both = det > np.float32(1e-4) * aa * bb
        new_d = np.where(both, (ax * bb - bx * ab) / det, (ax + dmin * ab) / aa)
        new_dmin = np.where(both, (ax * ab - bx * aa) / det, dmin)
        good = (new_d > 0) & (new_dmin >= 0)
        d, dmin = np.where(good, as_half(new_d), d), np.where(good, as_half(new_dmin), dmin)
        q = nearest()
    return d, dmin, s.astype(np.uint8), m.astype(np.uint8), _rows(q)


def _fit_scale(
    x: Floats, n: int, last_scale: int, ends: list[np.float32], snap: Callable[[Floats], Floats], sigmas: float = 0
) -> tuple[Floats, Floats, Floats]:
    """Super-blocks x (k, 256) in blocks of n as d (k, 1), its multiples (k, 256 / n), x by scale (n, k * 256 / n).

    The multiples are signed and reach from -last_scale to last_scale - 1.
    """
    columns, k = _columns(x, n), len(x)
    w = importance(columns, sigmas)
    scale = fit_scale(columns, w, ends, snap).reshape(k, -1)
    d = as_half(largest(scale.T)[:, None] / np.float32(-last_scale))
    s = rounded(scale * inverse(d), -last_scale, last_scale - 1)
    for _ in range(REFITS):
        q = snap(columns * inverse((d * s).reshape(-1)))
        wq = w * q
        qq, qx = (total(a).reshape(k, -1) for a in (wq * q, wq * columns))
        new_d = total((s * qx).T)[:, None] / total((s * s * qq).T)[:, None]
        d = np.where(np.isfinite(new_d), as_half(new_d), d)
    return d, s, columns * inverse((d * s).reshape(-1))


class Q2_K:
    """16 scale bytes (low nibble times d, high one times dmin), 2-bit places, f16 d, dmin: d * s * q - dmin * m."""

    @staticmethod
    def encode(x: Floats) -> Bytes:
        d, dmin, s, m, q = _fit_affine(x, 16, 3, 15, Grids(-0.5, 0.1, 16), sigmas=2)
        return np.hstack([s | m << 4, put_fields(q, 2, 32), put_half(d, x), put_half(dmin, x)])

    @staticmethod
    def decode(b: Bytes) -> Floats:
        q = get_fields(b[:, 16:80], 2, 32).astype(np.float32)
        scale = get_half(b[:, 80:82]) * (b[:, :16] & 15).astype(np.float32)
        minimum = get_half(b[:, 82:]) * (b[:, :16] >> 4).astype(np.float32)
        return _by_block(scale) * q - _by_block(minimum)


class Q3_K:
    """Highest bits, low 2 bits, 16 scales of 6 bits, f16 d: d * (s - 32) * (q - 4)."""

    @staticmethod
    def encode(x: Floats) -> Bytes:
        def snap(x: Floats) -> Floats:
            return rounded(x, -4, 3)

        d, scale, scaled = _fit_scale(x, 16, 32, [-end for end in Grids(-0.9, 0.1, 19).ends(4)], snap, sigmas=1)
        q, s = _rows(snap(scaled) + np.float32(4)), (scale + np.float32(32)).astype(np.uint8)
        scales = np.hstack([put_fields(s, 4, 8), put_fields(s >> 4, 2, 4)])
        return np.hstack([put_fields(q >> 2, 1, 32), put_fields(q, 2, 32), scales, put_half(d, x)])

    @staticmethod
    def decode(b: Bytes) -> Floats:
        q = get_fields(b[:, 32:96], 2, 32) | get_fields(b[:, :32], 1, 32) << 2
        s = get_fields(b[:, 96:104], 4, 8) | get_fields(b[:, 104:108], 2, 4) << 4
        scale = get_half(b[:, 108:]) * (s.astype(np.float32) - np.float32(32))
        return _by_block(scale) * (q.astype(np.float32) - np.float32(4))


def _put_scales(s: Bytes, m: Bytes) -> Bytes:
    """8 scales and 8 minimums of 6 bits in 12 bytes: those of blocks 4-7 fill the high bits of the first 8 bytes."""
    first = np.hstack([s[:, :4] | s[:, 4:] >> 4 << 6, m[:, :4] | m[:, 4:] >> 4 << 6])
    return np.hstack([first, s[:, 4:] & 15 | m[:, 4:] << 4])


def _get_scales(b: Bytes) -> tuple[Floats, Floats]:
    """The scales and minimums (k, 8) in 12 bytes (k, 12)."""
    s = np.hstack([b[:, :4] & 63, b[:, 8:] & 15 | b[:, :4] >> 6 << 4])
    m = np.hstack([b[:, 4:8] & 63, b[:, 8:] >> 4 | b[:, 4:8] >> 6 << 4])
    return s.astype(np.float32), m.astype(np.float32)


class Q4_K:
    """f16 d, dmin, 8 scales and minimums of 6 bits, nibbles: d * s * q - dmin * m."""

    @staticmethod
    def encode(x: Floats) -> Bytes:
        d, dmin, s, m, q = _fit_affine(x, 32, 15, 63, Grids(-1.5, 0.1, 21))
        return np.hstack([put_half(d, x), put_half(dmin, x), _put_scales(s, m), put_fields(q, 4, 32)])

    @staticmethod
    def decode(b: Bytes) -> Floats:
        q, (s, m) = get_fields(b[:, 16:], 4, 32).astype(np.float32), _get_scales(b[:, 4:16])
        scale, minimum = get_half(b[:, :2]) * s, get_half(b[:, 2:4]) * m
        return _by_block(scale) * q - _by_block(minimum)


class Q5_K:
    """As Q4_K, with 32 bytes of fifth bits before the nibbles."""

    @staticmethod
    def encode(x: Floats) -> Bytes:
        d, dmin, s, m, q = _fit_affine(x, 32, 31, 63, Grids(-2.5, 0.2, 21))
        fields = np.hstack([put_fields(q >> 4, 1, 32), put_fields(q, 4, 32)])
        return np.hstack([put_half(d, x), put_half(dmin, x), _put_scales(s, m), fields])

    @staticmethod
    def decode(b: Bytes) -> Floats:
        q = (get_fields(b[:, 48:], 4, 32) | get_fields(b[:, 16:48], 1, 32) << 4).astype(np.float32)
        s, m = _get_scales(b[:, 4:16])
        scale, minimum = get_half(b[:, :2]) * s, get_half(b[:, 2:4]) * m
        return _by_block(scale) * q - _by_block(minimum)


class Q6_K:
    """Low nibbles, high 2 bits, 16 signed scale bytes, f16 d: d * s * (q - 32)."""

    @staticmethod
    def encode(x: Floats) -> Bytes:
        def snap(x: Floats) -> Floats:
            return rounded(x, -32, 31)

        d, scale, scaled = _fit_scale(x, 16, 128, [-end for end in Grids(-4.0, 0.2, 26).ends(32)], snap)
        q, s = _rows(snap(scaled) + np.float32(32)), scale.astype(np.int8).view(np.uint8)
        return np.hstack([put_fields(q, 4, 64), put_fields(q >> 4, 2, 32), s, put_half(d, x)])

    @staticmethod
    def decode(b: Bytes) -> Floats:
        q = get_fields(b[:, :128], 4, 64) | get_fields(b[:, 128:192], 2, 32) << 4
        scale = get_half(b[:, 208:]) * b[:, 192:208].view(np.int8).astype(np.float32)
        return _by_block(scale) * (q.astype(np.float32) - np.float32(32))


class IQ4_NL:
    """f16 d, nibbles that are places in a codebook: d * codebook[q], in blocks of 32."""

    @staticmethod
    def encode(x: Floats) -> Bytes:
        columns = np.ascontiguousarray(x.T)
        w = importance(columns, 1)
        d = get_half(put_half(fit_scale(columns, w, _CODEBOOK_ENDS, _snap_to_codebook)[:, None], x))[:, 0]
        for _ in range(REFITS):
            value = _snap_to_codebook(columns * inverse(d))
            wv = w * value
            new_d = total(wv * columns) / total(wv * value)
            d = np.where(np.isfinite(new_d), get_half(put_half(new_d[:, None], x))[:, 0], d)
        q = places(columns * inverse(d)).T
        return np.hstack([put_half(d[:, None], x), put_fields(q, 4, 16)])

    @staticmethod
    def decode(b: Bytes) -> Floats:
        return get_half(b[:, :2]) * CODEBOOK[get_fields(b[:, 2:], 4, 16)]


class IQ4_XS:
    """As IQ4_NL, with 8 scales of 6 bits a super-block: d * (s - 32) * codebook[q]."""

    @staticmethod
    def encode(x: Floats) -> Bytes:
        d, scale, scaled = _fit_scale(x, 32, 32, _CODEBOOK_ENDS, _snap_to_codebook, sigmas=1)
        q, s = _rows(places(scaled)), (scale + np.float32(32)).astype(np.uint8)
        return np.hstack([put_half(d, x), put_fields(s >> 4, 2, 1), put_fields(s, 4, 1), put_fields(q, 4, 16)])

    @staticmethod
    def decode(b: Bytes) -> Floats:
        s = get_fields(b[:, 4:8], 4, 1) | get_fields(b[:, 2:4], 2, 1) << 4
        scale = get_half(b[:, :2]) * (s.astype(np.float32) - np.float32(32))
        q = get_fields(b[:, 8:], 4, 16)
        return _by_block(scale) * CODEBOOK[q]


def _snap_to_codebook(x: Floats) -> Floats:
    return CODEBOOK[places(x)]


# The codebook is lopsided, so that both ends are tried for the largest weight.
_CODEBOOK_ENDS = [sign * end for sign in (np.float32(-1), np.float32(1)) for end in Grids(-28.0, 4.0, 10).ends(127)]
