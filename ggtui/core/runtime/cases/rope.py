"""Cases of rotary position embedding."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from ggtui.core.graph import ops
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.cases.base import Array, Case, Given, Shape, f32, i32

LAST = 2000  # position


def case(name: str, a: Given, factors: Given | None = None, *, timed: bool = False, **options: Any) -> Case:
    n_tokens = a.shape[-3]
    positions = i32(4, n_tokens, high=LAST) if options.get("sections") else i32(n_tokens, high=LAST)
    given = {"a": a, "positions": positions} | ({"freq_factors": factors} if factors else {})
    return Case("rope", name, given, partial(ops.rope, **options), timed=timed)


def _factors(rng: np.random.Generator, shape: Shape) -> Array:
    return rng.uniform(1, 8, shape).astype(np.float32)


def ropes() -> Iterator[Case]:
    factors = f32(8, values=_factors)
    yarn: dict[str, Any] = {"freq_scale": 0.25, "ext_factor": 1.0, "n_ctx_orig": 512}
    for mode in ("normal", "neox"):
        of_mode = partial(case, mode=mode)
        yield of_mode(f"{mode}-2", f32(1, 1, 2))
        yield of_mode(f"{mode}-16", f32(5, 3, 16))
        yield of_mode(f"{mode}-40", f32(3, 33, 40), freq_base=500.0)
        yield of_mode(f"{mode}-266", f32(3, 2, 266), freq_base=1e6)
        yield of_mode(f"{mode}-4d", f32(2, 5, 3, 16))
        yield of_mode(f"{mode}-part-of-row", f32(5, 3, 23), n_dims=16)
        yield of_mode(f"{mode}-scaled", f32(5, 3, 16), freq_scale=0.25, attn_factor=1.7)
        yield of_mode(f"{mode}-factors", f32(5, 3, 16), factors)
        yield of_mode(f"{mode}-factors-part-of-row", f32(5, 3, 33), factors, n_dims=16, freq_scale=0.5)
        yield of_mode(f"{mode}-yarn", f32(9, 3, 64), **yarn)
        yield of_mode(f"{mode}-yarn-factors", f32(9, 3, 16), factors, **yarn, attn_factor=0.8)
        yield of_mode(f"{mode}-yarn-part", f32(9, 3, 64), **{**yarn, "ext_factor": 0.6}, beta_fast=8.0, beta_slow=2.0)
        yield of_mode(f"{mode}-part", f32(5, 3, 16, layout="part"))
        yield of_mode(f"{mode}-turned", f32(5, 3, 20, layout="turned"), n_dims=16)
        yield of_mode(f"{mode}-permuted", f32(5, 3, 16, layout="permuted"))
        yield of_mode(f"{mode}-empty", f32(0, 3, 16))
        yield of_mode(f"{mode}-large", f32(512, 16, 64), timed=True)
    for mode in ("mrope", "imrope"):
        sectioned = partial(case, mode=mode)
        yield sectioned(f"{mode}-64", f32(7, 3, 64), sections=(16, 8, 8, 0))
        yield sectioned(f"{mode}-four", f32(7, 3, 64), sections=(8, 10, 6, 8))
        yield sectioned(f"{mode}-again", f32(7, 3, 64), sections=(4, 3, 2, 1))
        yield sectioned(f"{mode}-part-of-row", f32(7, 3, 40), n_dims=16, sections=(3, 3, 2, 0))
        yield sectioned(f"{mode}-yarn", f32(7, 3, 64), sections=(16, 8, 8, 0), **yarn)
    yield case("vision-64", f32(7, 3, 64), mode="vision", sections=(16, 16, 0, 0))
    yield case("vision-four", f32(7, 3, 64), mode="vision", sections=(8, 10, 6, 8))
    for mode in ("normal", "neox"):
        back = partial(case, mode=mode, inverse=True)
        yield back(f"inverse-{mode}", f32(5, 3, 40), freq_base=500.0)
        yield back(f"inverse-{mode}-factors-part-of-row", f32(5, 3, 33), factors, n_dims=16, freq_scale=0.5)
        yield back(f"inverse-{mode}-yarn", f32(9, 3, 64), **yarn, attn_factor=0.8)
        yield back(f"inverse-{mode}-turned", f32(5, 3, 20, layout="turned"), n_dims=16)
    for mode in ("mrope", "imrope"):
        yield case(f"inverse-{mode}", f32(7, 3, 64), mode=mode, sections=(8, 10, 6, 8), inverse=True)
    yield case("inverse-vision", f32(7, 3, 64), mode="vision", sections=(8, 10, 6, 8), inverse=True)
    of_both = {"a": f32(5, 3, 40), "positions": i32(5, high=LAST)}
    yield Case("rope", "inverse-beside", of_both, _there_and_back)
    for mode in ("normal", "neox"):
        of_two = {"a": f32(5, 3, 40), "positions": i32(5, high=LAST)}
        yield Case("rope", f"{mode}-in-place", of_two, partial(_in_place, mode=mode))
        yield Case("rope", f"{mode}-twice", of_two, partial(_twice, mode=mode))


def _in_place(a: Tensor, positions: Tensor, mode: str) -> Tensor:
    return ops.rope(ops.dup(a), positions, mode=mode, inplace=True)


def _twice(a: Tensor, positions: Tensor, mode: str) -> Tensor:
    """Two that share their angles, and one that has others."""
    turn = partial(ops.rope, positions=positions, mode=mode)
    return turn(turn(turn(a)), freq_base=500.0)


def _there_and_back(a: Tensor, positions: Tensor) -> Tensor:
    """One each way: their angles are not the same."""
    return ops.add(ops.rope(a, positions), ops.rope(a, positions, inverse=True))


CASES = (*ropes(),)
