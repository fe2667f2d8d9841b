"""Cases of soft_max, masks and fused attention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ggtui.core.graph import ops
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import type_of
from ggtui.core.runtime.cases.base import (
    ATTENTION,
    EXACT,
    LAYOUTS,
    SOFT_MAX,
    Array,
    Case,
    Given,
    Shape,
    Values,
    f32,
    normal,
)


def with_infinities(rng: np.random.Generator, shape: Shape) -> Array:
    """A mask: a third of it hides, but never the first position."""
    mask = normal(rng, shape)
    mask[rng.random(shape) < 1 / 3] = -np.inf
    mask[..., 0] = 0.5
    return mask


def hides_all(rng: np.random.Generator, shape: Shape) -> Array:
    """A mask of which every other row hides everything."""
    mask = with_infinities(rng, shape)
    mask[..., ::2, :] = -np.inf
    return mask


def distances(_rng: np.random.Generator, shape: Shape) -> Array:
    """ALiBi's mask: minus how far back each position lies; those ahead are hidden."""
    behind = np.arange(shape[-1])[None] - np.arange(shape[-2])[:, None] - 1
    return np.broadcast_to(np.where(behind > 0, -np.inf, behind), shape).astype(np.float32)


def mask(*shape: int, type: str = "f32", layout: str = "plain", values: Values = with_infinities) -> Given:
    return Given(shape, type, layout=layout, values=values)


def soft_max(name: str, a: Given, more: dict[str, Given] | None = None, *, timed: bool = False, **options: Any) -> Case:
    return Case("soft_max", name, {"a": a, **(more or {})}, partial(ops.soft_max, **options), SOFT_MAX, timed)


def far(rng: np.random.Generator, shape: Shape) -> Array:
    return 1e4 * normal(rng, shape)


def soft_maxes() -> Iterator[Case]:
    for n in (1, 2, 15, 16, 17, 33, 257):
        yield soft_max(f"{n}", f32(5, n))
    for scale in (0.125, -2.0, 0.0):
        yield soft_max(f"scale-{scale}", f32(5, 33), scale=scale)
    for layout in LAYOUTS:
        yield soft_max(layout, f32(3, 5, 37, layout=layout))
    yield soft_max("empty", f32(0, 33))
    yield soft_max("far", f32(5, 33, values=far))
    for type in ("f32", "f16"):
        for n in (1, 16, 33, 257):
            yield soft_max(f"mask-{type}-{n}", f32(2, 5, n), {"mask": mask(5, n, type=type)}, scale=0.3)
        three, permuted = f32(2, 5, 33), mask(2, 5, 33, type=type, layout="permuted")
        yield soft_max(f"mask-{type}-longer", three, {"mask": mask(9, 33, type=type)})
        yield soft_max(f"mask-{type}-4d", f32(4, 6, 5, 33), {"mask": mask(2, 3, 5, 33, type=type)})
        yield soft_max(f"mask-{type}-part", three, {"mask": mask(5, 33, type=type, layout="part")})
        yield soft_max(f"mask-{type}-permuted", three, {"mask": permuted})
        yield soft_max(f"mask-{type}-hides-all", three, {"mask": mask(5, 33, type=type, values=hides_all)})
        for n_head in (1, 4, 8, 6, 12):
            alibi = {"mask": mask(5, 17, type=type, values=distances)}
            yield soft_max(f"alibi-{type}-{n_head}", f32(n_head, 5, 17), alibi, scale=0.5, max_bias=8.0)
    yield soft_max("sinks", f32(2, 3, 5, 33), {"sinks": f32(3)})
    all_three = {"mask": mask(5, 33), "sinks": f32(6)}
    yield soft_max("mask-sinks-alibi", f32(2, 6, 5, 33), all_three, scale=0.3, max_bias=4.0)
    hidden = {"mask": mask(5, 33, values=hides_all), "sinks": f32(3)}
    yield soft_max("sinks-hides-all", f32(2, 3, 5, 33), hidden)
    yield Case("soft_max", "scaled-masked-before", {"a": f32(2, 7, 33)}, _scaled_and_masked, SOFT_MAX)
    yield soft_max("large", f32(8, 64, 1024), {"mask": mask(64, 1024)}, scale=0.125, timed=True)


def _scaled_and_masked(a: Tensor) -> Tensor:
    return ops.soft_max(ops.diag_mask_inf(ops.scale(a, 0.25), 3))


def diagonal_masks() -> Iterator[Case]:
    shapes: tuple[Shape, ...] = ((1, 1), (17, 17), (2, 3, 5, 33), (0, 4))
    given = [f32(*shape) for shape in shapes] + [f32(3, 7, 16, layout=layout) for layout in LAYOUTS]
    for a in given:
        for n_past in (0, 1, 11, 300):
            name = f"{'x'.join(map(str, a.shape))}-{a.layout}-{n_past}"
            yield Case("diag_mask_inf", name, {"a": a}, partial(ops.diag_mask_inf, n_past=n_past), EXACT)
    large = partial(ops.diag_mask_inf, n_past=512)
    yield Case("diag_mask_inf", "large", {"a": f32(8, 64, 1024)}, large, EXACT, timed=True)


def heads(
    n_head: int,
    n_tokens: int,
    n_kv: int,
    d_k: int,
    d_v: int,
    type: str,
    packed: bool = False,
    n_head_kv: int = 0,
    ne3: int = 1,
) -> dict[str, Given]:
    n_head_kv = n_head_kv or n_head
    return {
        "q": f32(ne3, n_head, n_tokens, d_k),
        "k": Given((ne3, n_head_kv, n_kv, d_k), type, packed),
        "v": Given((ne3, n_head_kv, n_kv, d_v), type),
    }


def flash(name: str, given: dict[str, Given], *, timed: bool = False, **options: Any) -> Case:
    return Case("flash_attn_ext", name, given, partial(ops.flash_attn_ext, **options), ATTENTION, timed)


def flashes(type: str, packed: bool) -> Iterator[Case]:
    """Fused attention on keys of a type."""
    where = f"{type}{'-packed' if packed else ''}"
    for n_tokens, n_kv in ((1, 1), (1, 15), (7, 16), (3, 17), (33, 33), (2, 257), (64, 70)):
        given = heads(3, n_tokens, n_kv, 64, 64, type, packed)
        yield flash(f"{where}-{n_tokens}-of-{n_kv}", given, scale=0.125)
        yield flash(f"{where}-{n_tokens}-of-{n_kv}-causal", given, scale=0.125, causal=True)
    for d_k, d_v in ((1, 1), (15, 17), (40, 24), (33, 80), (128, 128)):
        yield flash(f"{where}-d-{d_k}-{d_v}", heads(2, 5, 21, d_k, d_v, type, packed), scale=0.2, causal=True)
    for n_head, n_head_kv in ((6, 1), (6, 2), (12, 4)):
        given = heads(n_head, 9, 19, 32, 32, type, packed, n_head_kv, ne3=2)
        yield flash(f"{where}-groups-{n_head}-{n_head_kv}", given, scale=0.2, causal=True)
    for mask_type in ("f32", "f16"):
        for n_head in (4, 6):
            given = heads(n_head, 9, 35, 24, 24, type, packed, ne3=2)
            name = f"{where}-mask-{mask_type}-{n_head}"
            yield flash(name, given | {"mask": mask(9, 35, type=mask_type)}, scale=0.2)
            many = {"mask": mask(2, n_head // 2, 40, 35, type=mask_type), "sinks": f32(n_head)}
            yield flash(f"{name}-4d-sinks", given | many, scale=0.2)
            alibi = {"mask": mask(9, 35, type=mask_type, values=distances)}
            yield flash(f"{name}-alibi", given | alibi, scale=0.2, max_bias=8.0)
    few = heads(3, 9, 35, 24, 24, type, packed)
    yield flash(f"{where}-sinks", few | {"sinks": f32(3)}, causal=True)
    yield flash(f"{where}-hides-all", few | {"mask": mask(9, 35, values=hides_all)})
    yield flash(f"{where}-no-queries", heads(3, 0, 9, 16, 16, type, packed))
    yield flash(f"{where}-no-keys", heads(3, 2, 0, 16, 16, type, packed))
    if packed:
        for name, n_tokens in (("token", 1), ("batch", 64)):
            given = heads(8, n_tokens, 1024, 64, 64, type, packed)
            yield flash(f"{name}-{where}", given, scale=0.125, causal=True, timed=True)


def strided_flashes(type: str) -> Iterator[Case]:
    given = heads(3, 9, 35, 24, 24, type)
    for layout in LAYOUTS:
        for name in ("q", "k", "v"):
            if (name, layout) != ("v", "turned"):  # values need rows without gaps
                turned = Given(given[name].shape, given[name].type, layout=layout)
                yield flash(f"{type}-{name}-{layout}", given | {name: turned})
        for mask_type in ("f32", "f16"):
            shape = (3, 9, 35) if layout == "permuted" else (9, 35)
            strided = {"mask": mask(*shape, type=mask_type, layout=layout)}
            yield flash(f"{type}-mask-{mask_type}-{layout}", given | strided)


@dataclass(frozen=True, slots=True)
class Batch:
    """Tokens of several sequences, and where their keys and values lie.

    sequences  of each how many tokens it has, and how many of those are read now
    window     positions that a token sees at most; spare: pages that no sequence has
    """

    sequences: tuple[tuple[int, int], ...]
    window: int = 1 << 30
    spare: int = 3

    @property
    def n_tokens(self) -> int:
        return sum(new for _, new in self.sequences)

    @property
    def n_pages(self) -> int:
        return sum(self._pages(n) for n, _ in self.sequences) + self.spare

    @staticmethod
    def _pages(n: int) -> int:
        return -(-n // ops.PAGE)

    def tokens(self, _rng: np.random.Generator, _shape: Shape) -> Array:
        seen = [
            (row, max(position + 1 - self.window, 0), position + 1)
            for row, (n, new) in enumerate(self.sequences)
            for position in range(n - new, n)
        ]
        return np.array(seen, np.int32).reshape(-1, 3)

    def pages(self, rng: np.random.Generator, shape: Shape) -> Array:
        """Scattered at random; -1 where a row has none, and where no token sees any more."""
        table, free = np.full(shape, -1, np.int32), iter(rng.permutation(self.n_pages).tolist())
        for row, (n, new) in enumerate(self.sequences):
            first = max(n - new + 1 - self.window, 0) // ops.PAGE
            table[row, first : self._pages(n)] = [next(free) for _ in range(first, self._pages(n))]
        return table

    def given(self, n_head: int, n_head_kv: int, d_k: int, d_v: int, type: str) -> dict[str, Given]:
        n, longest = self.n_pages * ops.PAGE, max(self._pages(n) for n, _ in self.sequences)
        return {
            "q": f32(n_head, self.n_tokens, d_k),
            "k": Given((n_head_kv, n, d_k), type, packed=True),
            "v": Given((n_head_kv, n, d_v), type),
            "tokens": Given((self.n_tokens, 3), "i32", values=self.tokens),
            "pages": Given((len(self.sequences), longest), "i32", values=self.pages),
        }


def paged(name: str, given: dict[str, Given], *, timed: bool = False, **options: Any) -> Case:
    return Case("paged_attention", name, given, partial(ops.paged_attention, **options), ATTENTION, timed)


def paged_attentions(type: str) -> Iterator[Case]:
    several = Batch(((70, 1), (300, 1), (5, 5), (1, 1), (600, 33)))
    for n, new in ((1, 1), (64, 1), (65, 7), (257, 1), (530, 50), (700, 1)):
        given = Batch(((n, new),)).given(3, 3, 64, 64, type)
        yield paged(f"{type}-{new}-of-{n}", given, scale=0.125)
    for n_head, n_head_kv in ((1, 1), (6, 2), (6, 1), (64, 1), (12, 4)):
        given = several.given(n_head, n_head_kv, 32, 32, type)
        yield paged(f"{type}-several-{n_head}-{n_head_kv}", given, scale=0.2)
    block = type_of(type).block
    for d_k, d_v in ((1, 1), (15, 17), (40, 24), (32, 96), (128, 128), (256, 256)):
        if d_k % block or d_v % block:
            continue
        yield paged(f"{type}-d-{d_k}-{d_v}", several.given(2, 1, d_k, d_v, type), scale=0.2)
    for window in (1, 15, 64, 100, 257):
        given = Batch(several.sequences, window).given(6, 2, max(24, block), max(24, block), type)
        yield paged(f"{type}-window-{window}", given, scale=0.2)
        yield paged(f"{type}-window-{window}-sinks", given | {"sinks": f32(6)}, scale=0.2)
    given = several.given(4, 2, 64, 64, type)
    yield paged(f"{type}-softcap", given, scale=0.5, softcap=2.0)
    yield paged(f"{type}-softcap-sinks", given | {"sinks": f32(4)}, scale=0.5, softcap=50.0)
    yield paged(f"{type}-no-tokens", Batch(((9, 0),)).given(2, 2, 32, 32, type))
    batches = {"token": ((1024, 1),), "batch": ((1024, 64),), "eight": ((1024, 1),) * 8}
    for name, sequences in batches.items():
        for n_head_kv in (8, 2):
            given = Batch(sequences).given(8, n_head_kv, 64, 64, type)
            yield paged(f"{name}-{8 // n_head_kv}-{type}", given, scale=0.125, timed=True)


CASES = (
    *soft_maxes(),
    *diagonal_masks(),
    *(case for type in ("f32", "f16") for packed in (False, True) for case in flashes(type, packed)),
    *(case for type in ("f32", "f16") for case in strided_flashes(type)),
    *(case for type in ops.KV_TYPES for case in paged_attentions(type)),
)
