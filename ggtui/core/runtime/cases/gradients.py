"""Cases of the ops that gradients are made of, and of the steps of optimizers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ggtui.core.graph import ops
from ggtui.core.graph.ops.optim import SQUARES
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.cases.attention import distances, far, heads, hides_all, mask
from ggtui.core.runtime.cases.base import (
    BINARY,
    EXACT,
    LAYOUTS,
    SOFT_MAX,
    Array,
    Case,
    Given,
    Shape,
    Values,
    f32,
    i32,
    normal,
    positive,
)
from ggtui.core.runtime.cases.elementwise import LARGE, SHAPES, builder, few_values, operands

F32 = 4  # bytes
SLOPES = ("relu_back", "silu_back", "gelu_back", "gelu_erf_back", "gelu_quick_back")
NORMS = ("norm_back", "rms_norm_back", "l2_norm_back")
LENGTHS = (1, 2, 15, 16, 17, 33, 257)


def name_of(shape: Shape) -> str:
    return "x".join(map(str, shape))


def fills() -> Iterator[Case]:
    for shape in SHAPES:
        yield Case("fill", name_of(shape), {"like": f32(*shape)}, partial(ops.fill, value=-1.5), EXACT)
    for like in (f32(3, 5, 37, layout="permuted"), Given((5, 64), "q8_0"), Given((5, 33), "f16"), i32(5, high=3)):
        yield Case("fill", f"like-{like.type}-{like.layout}", {"like": like}, partial(ops.fill, value=1.0), EXACT)
    yield Case("fill", "large", {"like": LARGE}, partial(ops.fill, value=0.0), EXACT, timed=True)


def waits() -> Iterator[Case]:
    for name, a in operands():
        yield Case("after", name, {"a": a, "b": f32(2, 7)}, ops.after, EXACT)
    yield Case("after", "nothing", {"a": f32(5, 33), "b": i32(0, high=1)}, ops.after, EXACT)
    yield Case("after", "large", {"a": LARGE, "b": f32(1)}, ops.after, EXACT, timed=True)


# (name, what is added to, what is added, strides of dimensions 1 to 3, offset; both in values)
PARTS: tuple[tuple[str, Given, Given, tuple[int, int, int], int], ...] = (
    ("all", f32(5, 33), f32(5, 33), (33, 165, 165), 0),
    ("rows", f32(7, 33), f32(3, 33), (33, 99, 99), 66),
    ("columns", f32(7, 33), f32(7, 16), (33, 231, 231), 17),
    ("every-second-row", f32(7, 17), f32(4, 17), (34, 136, 136), 0),
    ("one-row", f32(5, 257), f32(257), (257, 257, 257), 257),
    ("one-value", f32(9), f32(1), (1, 1, 1), 4),
    ("one-of-each-row", f32(40), f32(8, 1), (5, 40, 40), 2),
    ("middle", f32(2, 4, 6, 10), f32(2, 2, 3, 7), (10, 60, 240), 72),
    ("dimensions-exchanged", f32(4, 3, 15), f32(3, 4, 15), (45, 15, 180), 0),
    ("nothing", f32(5, 33), f32(0, 33), (33, 0, 0), 0),
    ("no-columns", f32(5, 33), f32(5, 0), (33, 165, 165), 5),
    ("to-nothing", f32(0, 5), f32(0, 5), (5, 0, 0), 0),
)


def accumulated() -> Iterator[Case]:
    for name, a, b, strides, offset in PARTS:
        yield Case("acc", name, {"a": a, "b": b}, _acc(strides, offset), EXACT)
    for layout in LAYOUTS:
        both = {"a": f32(3, 7, 40), "b": f32(3, 5, 37, layout=layout)}
        yield Case("acc", layout, both, _acc((40, 280, 840), 42), EXACT)
    itself = {"a": f32(5, 33), "b": f32(2, 33), "more": f32(3, 33)}
    yield Case("acc", "twice", itself, _twice, BINARY)
    yield Case("acc", "large", {"a": LARGE, "b": f32(512, 512)}, _acc((1024, 0, 0), 256), EXACT, timed=True)


def _acc(strides: tuple[int, int, int], offset: int) -> Callable[..., Tensor]:
    n0, n1, n2 = (F32 * n for n in strides)
    return partial(ops.acc, nb=(n0, n1, n2), offset=F32 * offset)


def _twice(a: Tensor, b: Tensor, more: Tensor) -> Tensor:
    """Parts that lie over each other, one after the other."""
    return _acc((33, 0, 0), 33)(_acc((33, 0, 0), 66)(a, b), more)


def added_rows() -> Iterator[Case]:
    def case(name: str, a: Given, b: Given, rows: Given, *, timed: bool = False) -> Case:
        return Case("add_rows", name, {"a": a, "b": b, "rows": rows}, ops.add_rows, timed=timed)

    for n in LENGTHS:
        yield case(f"repeated-{n}", f32(5, n), f32(40, n), i32(40, high=5))
    yield case("one", f32(1, 33), f32(70, 33), i32(70, high=1))
    yield case("3d", f32(3, 7, 33), f32(3, 11, 33), i32(3, 11, high=7))
    yield case("4d", f32(3, 2, 7, 17), f32(3, 2, 5, 17), i32(3, 2, 5, high=7))
    yield case("none", f32(7, 17), f32(0, 17), i32(0, high=1))
    yield case("no-columns", f32(7, 0), f32(3, 0), i32(3, high=7))
    for layout in LAYOUTS:
        yield case(layout, f32(2, 7, 37), f32(2, 9, 37, layout=layout), i32(2, 9, high=7))
        yield case(f"indices-{layout}", f32(2, 3, 7, 17), f32(2, 3, 5, 17), i32(2, 3, 5, high=7, layout=layout))
    yield case("to-part", f32(2, 7, 33, layout="part"), f32(2, 9, 33), i32(2, 9, high=7))
    yield case("large", f32(2048, 1024), f32(512, 1024), i32(512, high=2048), timed=True)


def repeats() -> Iterator[Case]:
    def case(name: str, g: Given, like: Given, *, timed: bool = False) -> Case:
        return Case("repeat_back", name, {"g": g, "like": like}, ops.repeat_back, timed=timed)

    pairs: tuple[tuple[Shape, Shape], ...] = (
        *(((n,), (1,)) for n in LENGTHS[1:]),
        ((15,), (5,)), ((34,), (17,)), ((51,), (17,)), ((7, 33), (33,)), ((9, 257), (1, 257)), ((7, 33), (7, 1)),
        ((130, 17), (17,)), ((6, 66), (2, 33)), ((1030, 15), (1,)), ((4, 6, 10), (2, 3, 5)), ((3, 130, 33), (3, 2, 33)),
        *(((2, 3, 4, 5), small) for small in ((1, 3, 4, 5), (2, 1, 4, 5), (2, 3, 1, 5), (2, 3, 4, 1), (1, 3, 1, 5))),
        ((2, 3, 4, 5), (2, 3, 4, 5)), ((0, 5), (1, 5)), ((3, 0), (3, 1)), ((3, 0), (1, 0)), ((0,), (0,)),
    )  # fmt: skip
    for large, small in pairs:
        yield case(f"{name_of(large)}-to-{name_of(small)}", f32(*large), f32(*small))
    for layout in LAYOUTS:
        for name, to in (("row", (37,)), ("column", (3, 5, 1)), ("matrices", (1, 5, 37)), ("one", (1,))):
            yield case(f"{layout}-{name}", f32(3, 5, 37, layout=layout), f32(*to))
        yield case(f"{layout}-halves", f32(4, 6, 34, layout=layout), f32(2, 3, 17, layout=layout))
    # A sum of as many of either sign nearly cancels.
    yield case("large", LARGE.of(positive), f32(1024), timed=True)


def wide(rng: np.random.Generator, shape: Shape) -> Array:
    """Into where functions have become straight."""
    return 8 * normal(rng, shape)


def gradients_and_sources() -> Iterator[tuple[str, Given, Given]]:
    """Odd sizes laid out plainly, and every layout of either; with a name for each."""
    for shape in SHAPES:
        yield name_of(shape), f32(*shape), f32(*shape)
    for layout in LAYOUTS:
        plain, other = f32(3, 5, 37), f32(3, 5, 37, layout=layout)
        yield f"{layout}-first", other, plain
        yield f"{layout}-second", plain, other
        yield f"{layout}-both", other, other


def slopes() -> Iterator[Case]:
    for op in SLOPES:
        build = builder(op)
        for name, g, x in gradients_and_sources():
            yield Case(op, name, {"g": g, "x": x}, build)
        yield Case(op, "wide", {"g": f32(5, 257), "x": f32(5, 257, values=wide)}, build)
        yield Case(op, "far", {"g": f32(5, 257), "x": f32(5, 257, values=far)}, build)
        yield Case(op, "large", {"g": LARGE, "x": LARGE}, build, timed=True)
    kinks = {"g": f32(5, 33), "x": f32(5, 33, values=few_values)}
    yield Case("relu_back", "at-0", kinks, ops.relu_back, EXACT)
    yield Case("clamp_back", "at-the-ends", kinks, partial(ops.clamp_back, low=-2.0, high=1.0), EXACT)
    for name, g, x in (*gradients_and_sources(), ("large", LARGE, LARGE)):
        build = partial(ops.clamp_back, low=-0.5, high=0.75)
        yield Case("clamp_back", name, {"g": g, "x": x}, build, EXACT, timed=name == "large")


def norms() -> Iterator[Case]:
    for op in NORMS:
        build = builder(op)
        for name, g, x in gradients_and_sources():
            if x.shape[-1] < 2:
                continue  # of a row of one value nearly all cancels
            for title, eps in ((name, 1e-6), (f"{name}-eps", 0.5)):
                yield Case(op, title, {"g": g, "x": x}, partial(build, eps=eps))
        yield Case(op, "short", {"g": f32(5, 33), "x": f32(5, 33)}, partial(build, eps=20.0))
        yield Case(op, "large", {"g": LARGE, "x": LARGE}, partial(build, eps=1e-6), timed=True)


def soft_maxes() -> Iterator[Case]:
    def case(name: str, g: Given, p: Given, *, timed: bool = False, **options: Any) -> Case:
        given = {"g": g, "p": p.of(positive)}
        return Case("soft_max_back", name, given, partial(ops.soft_max_back, **options), SOFT_MAX, timed)

    for name, g, p in gradients_and_sources():
        yield case(name, g, p)
    for scale in (0.125, -2.0, 0.0):
        yield case(f"scale-{scale}", f32(5, 33), f32(5, 33), scale=scale)
    of_rows = {"g": f32(3, 5, 33), "x": f32(3, 5, 33), "hidden": mask(5, 33, values=hides_all)}
    yield Case("soft_max_back", "hides-all", of_rows, _of_soft_max, SOFT_MAX)
    yield case("large", LARGE, LARGE, timed=True)


def _of_soft_max(g: Tensor, x: Tensor, hidden: Tensor) -> Tensor:
    return ops.soft_max_back(g, ops.soft_max(x, hidden, 0.5), 0.5)


def diagonal_masks() -> Iterator[Case]:
    shapes: tuple[Shape, ...] = ((1, 1), (17, 17), (2, 3, 5, 33), (0, 4))
    for a in (*(f32(*shape) for shape in shapes), *(f32(3, 7, 16, layout=layout) for layout in LAYOUTS)):
        for n_past in (-3, 0, 1, 11, 300):
            build = partial(ops.diag_mask_zero, n_past=n_past)
            yield Case("diag_mask_zero", f"{name_of(a.shape)}-{a.layout}-{n_past}", {"a": a}, build, EXACT)
    large = partial(ops.diag_mask_zero, n_past=512)
    yield Case("diag_mask_zero", "large", {"a": f32(8, 64, 1024)}, large, EXACT, timed=True)


def cross_entropies() -> Iterator[Case]:
    """Of logits, and what comes back to them."""

    def both(name: str, logits: Given, *, low: int = 0, timed: bool = False) -> Iterator[Case]:
        *rows, n = logits.shape
        targets = i32(*(rows or [1]), low=low, high=max(n, 1) if low >= 0 else n)
        given = {"logits": logits, "targets": targets}
        yield Case("cross_entropy", name, given, ops.cross_entropy, SOFT_MAX, timed)
        g = f32(*targets.shape)
        yield Case("cross_entropy_back", name, {"g": g, **given}, ops.cross_entropy_back, SOFT_MAX, timed)

    for n in LENGTHS:
        yield from both(f"{n}", f32(9, n))
        yield from both(f"{n}-none-for-some", f32(9, n), low=-1)
    for shape in ((21,), (2, 5, 17), (2, 3, 5, 33), (0, 7), (1, 1001)):
        yield from both(name_of(shape), f32(*shape), low=-1)
    for layout in LAYOUTS:
        yield from both(layout, f32(3, 5, 37, layout=layout), low=-1)
    yield from both("far", f32(9, 33, values=far))
    for name, given in (("no-targets", i32(9, low=-1, high=0)), ("one-target", Given((9,), "i32", values=_last))):
        few: dict[str, Given] = {"logits": f32(9, 33), "targets": given}
        yield Case("cross_entropy", name, few, ops.cross_entropy, SOFT_MAX)
        yield Case("cross_entropy_back", name, {"g": f32(9), **few}, ops.cross_entropy_back, SOFT_MAX)
    yield from both("large", f32(128, 8192), timed=True)


def _last(_rng: np.random.Generator, shape: Shape) -> Array:
    targets = np.full(shape, -1, np.int32)
    targets[-1] = 32
    return targets


def flash(name: str, given: dict[str, Given], *, timed: bool = False, **options: Any) -> Case:
    """`given` has queries, keys and values as flash_attn_ext takes them, and perhaps a mask, or the gradient."""
    (ne3, n_head, n_tokens, _), d_v = given["q"].shape, given["v"].shape[-1]
    given = {"g": f32(ne3, n_tokens, n_head, d_v)} | given
    return Case("flash_attn_back", name, given, partial(ops.flash_attn_back, mask=None, **options), SOFT_MAX, timed)


def flashes() -> Iterator[Case]:
    for n_q, n_kv in ((1, 1), (1, 15), (7, 16), (3, 17), (33, 33), (2, 257), (49, 50), (100, 101), (48, 64)):
        given = heads(3, n_q, n_kv, 24, 24, "f32")
        yield flash(f"{n_q}-of-{n_kv}", given, scale=0.125)
        yield flash(f"{n_q}-of-{n_kv}-causal", given, scale=0.125, causal=True)
    for d_k, d_v in ((1, 1), (15, 17), (40, 24), (33, 80), (64, 32), (128, 128)):
        yield flash(f"d-{d_k}-{d_v}", heads(2, 5, 21, d_k, d_v, "f32"), scale=0.2, causal=True)
    for n_head, n_head_kv in ((6, 1), (6, 2), (12, 4)):
        given = heads(n_head, 50, 53, 17, 19, "f32", n_head_kv=n_head_kv, ne3=2)
        yield flash(f"groups-{n_head}-{n_head_kv}", given, scale=0.2)
        yield flash(f"groups-{n_head}-{n_head_kv}-causal", given, scale=0.2, causal=True)
    for type in ("f32", "f16"):
        for n_head in (4, 6):
            given, name = heads(n_head, 9, 35, 24, 24, "f32", n_head_kv=2, ne3=2), f"mask-{type}-{n_head}"
            yield flash(name, given | {"mask": mask(9, 35, type=type)}, scale=0.2)
            yield flash(f"{name}-causal", given | {"mask": mask(9, 35, type=type)}, scale=0.2, causal=True)
            yield flash(f"{name}-4d", given | {"mask": mask(2, n_head // 2, 40, 35, type=type)}, scale=0.2)
            alibi = {"mask": mask(9, 35, type=type, values=distances)}
            yield flash(f"{name}-alibi", given | alibi, scale=0.2, max_bias=8.0)
    few = heads(3, 9, 35, 24, 20, "f32")
    yield flash("hides-all", few | {"mask": mask(9, 35, values=hides_all)})
    yield flash("no-queries", heads(3, 0, 9, 16, 16, "f32"))
    yield flash("no-keys", heads(3, 2, 0, 16, 16, "f32"))
    yield flash("no-heads", heads(0, 2, 5, 16, 16, "f32"))
    for layout in LAYOUTS:
        for name in ("q", "k", "v"):
            yield flash(f"{name}-{layout}", few | {name: f32(*few[name].shape, layout=layout)}, causal=True)
        if layout != "turned":  # gradients need rows without gaps
            yield flash(f"g-{layout}", few | {"g": f32(1, 9, 3, 20, layout=layout)})
        for type in ("f32", "f16"):
            shape = (3, 9, 35) if layout == "permuted" else (9, 35)
            yield flash(f"mask-{type}-{layout}", few | {"mask": mask(*shape, type=type, layout=layout)}, causal=True)
    given = heads(8, 256, 256, 64, 64, "f32", n_head_kv=4)
    yield flash("batch", given, scale=0.125, causal=True, timed=True)


def squares() -> Iterator[Case]:
    for shape in (*SHAPES, (SQUARES,), (3, SQUARES // 2), (2 * SQUARES + 33,)):
        yield Case("sum_sqr", name_of(shape), {"a": f32(*shape)}, ops.sum_sqr)
    yield Case("sum_sqr", "into", {"a": f32(SQUARES + 1), "into": f32(2)}, ops.sum_sqr)
    yield Case("sum_sqr", "into-part", {"a": f32(5, 33), "into": f32(7)}, _into_the_middle)
    yield Case("sum_sqr", "large", {"a": LARGE}, ops.sum_sqr, timed=True)


def _into_the_middle(a: Tensor, into: Tensor) -> Tensor:
    ops.sum_sqr(a, ops.view(into, (1,), offset=3 * F32))
    return ops.sum_sqr(a, ops.view(into, (1,), offset=3 * F32))


def _state(rng: np.random.Generator, shape: Shape) -> Array:
    """Weights, means of gradients, and of their squares, of which none is negative."""
    rows = normal(rng, shape)
    rows[2:] **= 2
    return rows


def _new_state(rng: np.random.Generator, shape: Shape) -> Array:
    """Nothing is remembered."""
    rows = normal(rng, shape)
    rows[1:] = 0
    return rows


def rates(clip: float = 0.0, step: int = 3) -> Given:
    """What RATES says."""
    numbers = (0.01, 0.9, 0.99, 1e-8, 0.001, 1 / (1 - 0.9**step), 1 / (1 - 0.99**step), clip)
    return f32(8, values=lambda _rng, _shape: np.array(numbers, np.float32))


def number(value: float) -> Given:
    return f32(1, values=lambda _rng, shape: np.full(shape, value, np.float32))


def steps() -> Iterator[Case]:
    for op, n_kept in (("opt_step_adamw", 3), ("opt_step_sgd", 2)):

        def case(
            name: str, g: Given, more: Given, *, op: str = op, n_kept: int = n_kept, values: Values = _state,
            timed: bool = False,
        ) -> Case:  # fmt: skip
            state = f32(n_kept, int(np.prod(g.shape)), values=values)
            given = {"state": state, "g": g, "rates": more, "squares": number(400)}
            return Case(op, name, given, builder(op), timed=timed)

        for n in (*LENGTHS, 0, 40_000):
            yield case(f"{n}", f32(n), rates())
        yield case("matrix", f32(5, 33), rates())
        yield case("first", f32(257), rates(step=1), values=_new_state)
        yield case("not-clipped", f32(257), rates(clip=20.5))
        yield case("clipped", f32(257), rates(clip=0.5))
        given = {"state": f32(n_kept, 257, values=_state), "g": f32(257), "rates": rates(clip=1.0)}
        yield Case(op, "clipped-by-its-own", given, partial(_step_of_its_own, op=op))
        yield case("large", LARGE, rates(clip=1.0), timed=True)


def _step_of_its_own(state: Tensor, g: Tensor, rates: Tensor, op: str) -> Tensor:
    return builder(op)(state, g, rates, ops.sum(ops.sum_sqr(g)))


CASES = (
    *fills(),
    *waits(),
    *accumulated(),
    *added_rows(),
    *repeats(),
    *slopes(),
    *norms(),
    *soft_maxes(),
    *diagonal_masks(),
    *cross_entropies(),
    *flashes(),
    *squares(),
    *steps(),
)
