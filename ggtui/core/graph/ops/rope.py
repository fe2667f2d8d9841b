"""Rotary position embedding, in all of ggml's forms."""

from __future__ import annotations

from collections.abc import Sequence

from ggtui.core.graph.dim import same_dim
from ggtui.core.graph.ops.base import I32, Op, need, need_f32, per_element, plain_traffic, result, whole
from ggtui.core.graph.ops.in_numpy import rope as in_numpy
from ggtui.core.graph.tensor import Tensor

N_SECTIONS = in_numpy.N_SECTIONS
ROPE_MODES = {
    "normal": in_numpy.NORMAL,
    "neox": in_numpy.NEOX,
    "mrope": in_numpy.MROPE,
    "vision": in_numpy.VISION,
    "imrope": in_numpy.IMROPE,
}


def rope(
    a: Tensor,
    positions: Tensor,
    n_dims: int | None = None,
    mode: str = "normal",
    freq_base: float = 10000.0,
    freq_scale: float = 1.0,
    freq_factors: Tensor | None = None,
    attn_factor: float = 1.0,
    *,
    ext_factor: float = 0.0,
    beta_fast: float = 32.0,
    beta_slow: float = 1.0,
    n_ctx_orig: int = 0,
    sections: Sequence[int] = (),
    inverse: bool = False,
    inplace: bool = False,
) -> Tensor:
    """Rotary position embedding (Su et al. 2021) of `a` (d, n_head, n_tokens, ne3) at i32 `positions` (n_tokens).

    n_dims   how many values of each row turn (default d)
    mode     "normal" turns neighbours (2i, 2i+1), "neox" turns (i, i + n_dims/2). With `sections`, four numbers of
             pairs, positions are (n_tokens, 4), of each section its own: "mrope" turns as neox, pair i by the position
             of the section it is in, again from the first one behind the last; "imrope" has the first three take turns;
             "vision" turns (i, i + d/2), with n_dims d/2, and begins anew with the highest frequency in each section
    freq_factors  f32 (pairs): each angle is divided by its factor
    ext_factor    above 0: YaRN (Peng et al. 2023): frequencies that turn over beta_fast times within n_ctx_orig
                  positions stay, those below beta_slow times are scaled by freq_scale, and all sizes by attn_factor
                  (1 + 0.1 ln(1/freq_scale)); with 1 wholly so, less is a mixture with all being scaled
    inverse  turn back: by the angles with the other sign, which is what gradients need
    inplace  write into `a`'s memory
    """
    op = "rope"
    vision, sectioned = mode == "vision", ROPE_MODES.get(mode, 0) >= in_numpy.MROPE
    n_dims = whole(op, "n_dims", n_dims if n_dims is not None else a.ne[0] // 2 if vision else a.ne[0])
    need_f32(op, a, freq_factors)
    need(mode in ROPE_MODES, op, f"mode {mode!r} is none of {', '.join(ROPE_MODES)}", a)
    n_rows = N_SECTIONS if sectioned else 1
    told = positions.type is I32 and same_dim(positions.ne[0], a.ne[2]) and positions.ne[1] == n_rows
    a_token = "needs an i32 position a token" + (f" in each of {n_rows} rows" if sectioned else "")
    need(told, op, a_token, a, positions)
    need(0 < n_dims <= a.ne[0] and n_dims % 2 == 0, op, f"n_dims {n_dims} is not even and within a row", a)
    need(not vision or 2 * n_dims == a.ne[0], op, f"n_dims {n_dims} is not half a row", a)
    n_pairs = n_dims if vision else n_dims // 2
    counts = tuple(whole(op, "a section", n) for n in sections)
    fits = len(counts) == N_SECTIONS and min(counts) >= 0 and sum(counts) > 0 if sectioned else not counts
    need(fits, op, f"sections {counts} don't go with mode {mode!r}", a)
    if freq_factors is not None:
        need(freq_factors.ne[0] == n_pairs, op, "needs a frequency factor for each pair", a, freq_factors)
    need(freq_base > 0 and freq_scale > 0, op, f"freq_base {freq_base} and freq_scale {freq_scale} must be above 0", a)
    stretched = n_ctx_orig > 0 and beta_fast > 0 and beta_slow > 0 and freq_base != 1
    need(ext_factor == 0 or stretched, op, "ext_factor needs n_ctx_orig, beta_fast and beta_slow above 0", a)
    numbers = map(float, (freq_base, freq_scale, attn_factor, ext_factor, beta_fast, beta_slow))
    params = (n_dims, ROPE_MODES[mode], *numbers, whole(op, "n_ctx_orig", n_ctx_orig), *(counts or [0] * N_SECTIONS))
    params = (*params, int(inverse))
    return result(op, a.ne, (a, positions, freq_factors), params, into=a if inplace else None, in_place=(0,))


ROPE_OPS: tuple[Op, ...] = (Op(rope, "rope", per_element(6), plain_traffic, (0,), in_numpy.rope),)
