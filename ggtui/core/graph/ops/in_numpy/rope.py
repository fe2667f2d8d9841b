"""Rotary position embedding, in numpy."""

from __future__ import annotations

import numpy as np

from ggtui.core.graph.ops.in_numpy.arrays import Array, Params

NORMAL, NEOX, MROPE, VISION, IMROPE = 0, 2, 8, 24, 40  # modes, as ggml numbers them
N_SECTIONS = 4


def rope(params: Params, a: Array, positions: Array, freq_factors: Array | None = None) -> Array:
    """Pair i of each row, turned by the angle position * frequency i, and times attn_factor (Su et al. 2021).

    a (d, n_head, n_tokens, n3), i32 positions (n_tokens) or (n_tokens, 4), freq_factors (n_pairs) -> the same as a

    The frequency is freq_scale * freq_base^(-2i / n_dims) / freq_factors[i]; where ext_factor is above 0, that part of
    it that YaRN keeps is not scaled, and all sizes are (1 + 0.1 ln(1 / freq_scale)) times as large.
    A pair is (2i, 2i + 1) in mode normal, in mode vision (i, i + n_dims), else (i, i + n_dims/2); what lies behind the
    pairs stays as it is. With sections each pair turns by its section's position. inverse: by the negative angle.
    """
    mode = int(params[1])
    freq, section, attn_factor = turning(params)
    n_pairs = len(freq)
    if freq_factors is not None:
        freq = freq / freq_factors.reshape(-1)
    angle = positions[0, 0][section].T * freq  # (token, pair)
    angle = -angle if params[13] else angle
    cos, sin = attn_factor * np.cos(angle)[:, None, :], attn_factor * np.sin(angle)[:, None, :]
    near = 2 * np.arange(n_pairs) if mode == NORMAL else np.arange(n_pairs)
    far = near + (1 if mode == NORMAL else n_pairs)
    result = a.copy()
    result[..., near] = a[..., near] * cos - a[..., far] * sin
    result[..., far] = a[..., near] * sin + a[..., far] * cos
    return result


def turning(params: Params) -> tuple[Array, Array, float]:
    """Of each pair its frequency, in radians a position and without a factor, and the number of its section; and what
    all sizes are multiplied by."""
    n_dims, mode = int(params[0]), int(params[1])
    freq_base, freq_scale, attn_factor, ext_factor, beta_fast, beta_slow, n_ctx_orig = params[2:9]
    n_pairs = n_dims if mode == VISION else n_dims // 2
    section, step = _sections(mode, [int(n) for n in params[9:13]], n_pairs)
    freq = freq_base ** (-2 * step / n_dims)
    kept: Array | float = 0.0
    if ext_factor:
        first, last = (
            n_dims * np.log(n_ctx_orig / (turns * 2 * np.pi)) / (2 * np.log(freq_base))
            for turns in (beta_fast, beta_slow)
        )
        first, last = max(np.floor(first), 0), min(np.ceil(last), n_dims - 1)
        kept = ext_factor * (1 - np.clip((np.arange(n_pairs) - first) / max(last - first, 0.001), 0, 1))
        attn_factor = attn_factor * (1 + 0.1 * np.log(1 / freq_scale))
    return freq * kept + freq * freq_scale * (1 - kept), section, float(attn_factor)


def _sections(mode: int, sizes: list[int], n_pairs: int) -> tuple[Array, Array]:
    """Of each pair the number of its section, and of the step at which its frequency is."""
    pairs = np.arange(n_pairs)
    if mode < MROPE:
        return np.zeros(n_pairs, int), pairs
    at = pairs % sum(sizes)
    if mode == IMROPE:
        taken = np.array(sizes)[at % 3]
        return np.where(at < 3 * taken, at % 3, N_SECTIONS - 1), pairs
    firsts = np.concatenate(([0], np.cumsum(sizes[:-1])))
    section = (at[:, None] >= firsts[1:]).sum(axis=1)
    return section, at - firsts[section] if mode == VISION else pairs
