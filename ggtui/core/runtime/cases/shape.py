"""Cases of the ops that look at data another way or move it, and of functions of one's own. All of it is exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ggtui.core.graph import ops
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.cases.base import (
    BLOCKS,
    EXACT,
    FLOATS,
    LAYOUTS,
    PLAIN,
    Array,
    Case,
    Given,
    Shape,
    Values,
    f32,
    hundreds,
    i32,
    packable,
    whole,
)

ALL_TYPES = (*PLAIN, *BLOCKS)
EVERY_LAYOUT = ("plain", *LAYOUTS)
EMPTY_AND_ODD: tuple[Shape, ...] = ((1,), (257,), (0,), (0, 3), (3, 0), (2, 3, 4, 5))


def given(type: str, *shape: int, layout: str = "plain", packed: bool = False) -> Given:
    return Given(shape, type, packed, layout, hundreds)


def exact(op: str, name: str, operands: dict[str, Given], build: Callable[..., Tensor], *, timed: bool = False) -> Case:
    return Case(op, name, operands, build, EXACT, timed)


def copies() -> Iterator[Case]:
    for op in ("dup", "cont"):
        build = ops.OPS[op].build
        for type in ALL_TYPES:
            for layout in ("plain", "part", "permuted") if type in BLOCKS else EVERY_LAYOUT:
                a = given(type, 3, 5, whole(type, 64) if type in BLOCKS else 37, layout=layout)
                yield exact(op, f"{type}-{layout}", {"a": a}, build)
        for shape in EMPTY_AND_ODD:
            yield exact(op, "x".join(map(str, shape)), {"a": f32(*shape)}, build)
    yield exact("dup", "large", {"a": f32(512, 1024)}, ops.dup, timed=True)
    yield exact("cont", "large", {"a": f32(8, 64, 1024, layout="permuted")}, ops.cont, timed=True)


def casts() -> Iterator[Case]:
    pairs = [(a, b) for a in ALL_TYPES for b in ALL_TYPES if "f32" in (a, b) or not {a, b} & set(BLOCKS)]
    for source, target in [*pairs, ("q8_0", "q4_0"), ("q4_0", "f16"), ("bf16", "q8_0")]:
        n = max(whole(type, 96) for type in (source, target))
        for layout in ("plain", "permuted") if source in BLOCKS else EVERY_LAYOUT:
            a = given(source, 3, 5, n, layout=layout)
            yield exact("dup", f"{source}-{layout}-to-{target}", {"a": a}, partial(ops.cast, type=target))
    for n in (1, 15, 17, 33, 257):
        for target in ("f16", "bf16", "i32"):
            yield exact("dup", f"f32-to-{target}-{n}", {"a": given("f32", 3, n)}, partial(ops.cast, type=target))


def copies_into() -> Iterator[Case]:
    for name, a, b in (
        ("other-shape", given("f32", 6, 20), given("f32", 5, 24)),
        ("to-one-row", given("f32", 7, 3, layout="turned"), given("f32", 21)),
        ("from-one-row", given("f32", 60), given("f32", 3, 4, 5)),
        ("f16-other-shape", given("f16", 6, 20), given("f32", 5, 24)),
        ("to-f16-other-shape", given("f32", 6, 20, layout="part"), given("f16", 40, 3)),
        ("blocks-other-shape", given("q8_0", 3, 64), given("q8_0", 2, 96)),
        ("from-blocks-other-shape", given("q8_0", 2, 96), given("f32", 8, 24)),
        ("to-blocks-other-shape", given("f32", 8, 24), given("q4_0", 2, 96)),
        ("into-part", given("f32", 5, 33), given("f32", 5, 33, layout="part")),
        ("into-part-of-f16", given("f32", 5, 33), given("f16", 5, 33, layout="part")),
        ("into-permuted", given("f32", 4, 5, 33), given("f32", 4, 5, 33, layout="permuted")),
        ("i32-to-f32", given("i32", 5, 33), given("f32", 5, 33)),
        ("empty", given("f32", 0, 4), given("f32", 0, 4)),
    ):
        yield exact("cpy", name, {"a": a, "b": b}, ops.cpy)
    for type in ALL_TYPES:
        a, b = given("f32", 3, whole(type, 64)), given(type, 3, whole(type, 64))
        for name, source, target in ((f"to-{type}", a, b), (f"from-{type}", b, a), (type, b, b)):
            yield exact("cpy", name, {"a": source, "b": target}, ops.cpy)
    yield exact("cpy", "large", {"a": f32(512, 1024), "b": given("f16", 512, 1024)}, ops.cpy, timed=True)


def repeats() -> Iterator[Case]:
    cases: tuple[tuple[Shape, Shape, str], ...] = (
        ((1,), (17,), "plain"),
        ((5,), (15,), "plain"),
        ((3, 1), (3, 33), "plain"),
        ((3, 5), (6, 15), "turned"),
        ((2, 1, 3, 5), (2, 4, 6, 5), "permuted"),
        ((1, 33), (7, 33), "part"),
        ((0,), (0,), "plain"),
    )
    for small, large, layout in cases:
        name = f"{'x'.join(map(str, small))}-to-{'x'.join(map(str, large))}"
        yield exact("repeat", name, {"a": f32(*small, layout=layout), "b": f32(*large)}, ops.repeat)
    yield exact("repeat", "large", {"a": f32(1024), "b": f32(512, 1024)}, ops.repeat, timed=True)


def joined() -> Iterator[Case]:
    for dim in range(4):
        for n in (1, 4):
            shape = [2, 3, 4, 5]
            shape[3 - dim] = n
            for type in ("f32", "f16", "i32"):
                for layout in ("plain", "permuted"):
                    both = {"a": given(type, 2, 3, 4, 5, layout=layout), "b": given(type, *shape)}
                    yield exact("concat", f"{dim}-{n}-{type}-{layout}", both, partial(ops.concat, dim=dim))
    turned = {"a": given("f16", 7, 5, layout="turned"), "b": given("f16", 7, 3, layout="turned")}
    yield exact("concat", "turned", turned, ops.concat)
    yield exact("concat", "empty", {"a": f32(3, 0), "b": f32(3, 4)}, ops.concat)
    large = {"a": f32(256, 1024), "b": f32(256, 1024)}
    yield exact("concat", "large", large, partial(ops.concat, dim=1), timed=True)


def taken_rows() -> Iterator[Case]:
    def case(name: str, a: Given, rows: Given, *, timed: bool = False) -> Case:
        return exact("get_rows", name, {"a": a, "rows": rows}, ops.get_rows, timed=timed)

    for type in ALL_TYPES:
        for packed in (False, True) if packable(type) else (False,):
            for n in (1, 16, 33):
                a = given(type, n, whole(type, 64), packed=packed)
                yield case(f"{type}-{n}{'-packed' if packed else ''}", a, i32(9, high=n))
    for layout in EVERY_LAYOUT:
        yield case(layout, given("f16", 2, 7, 33, layout=layout), i32(2, 11, high=7))
    yield case("4d", given("f32", 3, 2, 7, 17), i32(3, 2, 5, high=7))
    yield case("4d-packed", given("q8_0", 3, 2, 17, 32, packed=True), i32(3, 2, 5, high=17))
    yield case("indices-turned", f32(2, 7, 17), i32(2, 5, high=7, layout="turned"))
    yield case("none", f32(7, 17), i32(0, high=1))
    yield case("large", given("q8_0", 2048, 1024, packed=True), i32(256, high=2048), timed=True)


def different(n: int) -> Values:
    """Indices of different rows of n."""
    return lambda rng, shape: np.apply_along_axis(lambda x: rng.permutation(n)[: len(x)], -1, np.zeros(shape)).astype(
        np.int32
    )


def written_rows() -> Iterator[Case]:
    def case(name: str, a: Given, b: Given, rows: Given, *, timed: bool = False) -> Case:
        return exact("set_rows", name, {"a": a, "b": b, "rows": rows}, ops.set_rows, timed=timed)

    def some(*shape: int, n: int) -> Given:
        return Given(shape, "i32", values=different(n))

    for type in ALL_TYPES:
        for packed in (False, True) if type in (*FLOATS, "q8_0") else (False,):
            shapes: tuple[Shape, ...] = ((33, whole(type, 64)), (2, 17, whole(type, 32)))
            for *outer, n, ne0 in shapes:
                name = f"{type}-{n}{'-packed' if packed else ''}"
                yield case(name, given(type, *outer, n, ne0, packed=packed), given("f32", *outer, 7, ne0),
                           some(*outer, 7, n=n))  # fmt: skip
    yield case("shared-indices", f32(4, 6, 9, 17), f32(4, 6, 5, 17), some(2, 1, 5, n=9))
    yield case("one-row", f32(16, 33), f32(1, 33), some(1, n=9))
    yield case("none", f32(16, 33), f32(0, 33), some(0, n=9))
    for layout in EVERY_LAYOUT:
        yield case(layout, given("f16", 2, 9, 33), f32(2, 5, 33, layout=layout), some(2, 5, n=9))
    yield case("into-part", given("f16", 2, 9, 33, layout="part"), f32(2, 5, 33), some(2, 5, n=9))
    for type, packed in (
        ("f32", False),
        ("f16", True),
        ("q8_0", False),
        ("q8_0", True),
    ):  # of equal indices the last wins
        a, b = given(type, 2, 5, 64, packed=packed), given("f32", 2, 40, 64)
        yield case(f"repeated-{type}{'-packed' if packed else ''}", a, b, i32(2, 40, high=5))
    yield case("large", given("f16", 2048, 1024), f32(256, 1024), some(256, n=2048), timed=True)


def views() -> Iterator[Case]:
    """Looked at directly, and as an op that reads the view sees it."""
    a = f32(2, 3, 4, 5)
    looks: list[tuple[str, str, Given, Callable[..., Tensor]]] = [
        ("view", "rows", f32(7, 5), lambda a: ops.view(a, (5, 3))),
        ("view", "middle", f32(7, 5), lambda a: ops.view(a, (3, 2), (a.nb[1],), offset=24)),
        ("view", "1d", f32(7, 5), lambda a: ops.view(a, (35,))),
        ("view", "every-second", f32(7, 5), lambda a: ops.view(a, (5, 4), (2 * a.nb[1],))),
        ("view", "nothing", f32(7, 5), lambda a: ops.view(a, (5, 0))),
        ("view", "of-blocks", given("q8_0", 5, 96), lambda a: ops.view(a, (32, 5), (a.nb[1],), offset=34)),
        ("reshape", "2d", f32(6, 20), lambda a: ops.reshape(a, 24, 5)),
        ("reshape", "4d", f32(6, 20), lambda a: ops.reshape(a, 2, 5, 4, 3)),
        ("reshape", "empty", f32(0, 20), lambda a: ops.reshape(a, 5, 4, 0)),
        ("permute", "bf16-turned", given("bf16", 3, 4, 5), lambda a: ops.permute(a, 2, 0, 1, 3)),
        ("transpose", "2d", f32(7, 5), ops.transpose),
        ("transpose", "4d", given("f16", 2, 3, 4, 5), ops.transpose),
    ]
    for axes in ((0, 1, 2, 3), (1, 0, 2, 3), (0, 2, 1, 3), (3, 2, 1, 0), (2, 0, 3, 1)):
        look = partial(_permuted, axes=axes)
        looks.append(("permute", "".join(map(str, axes)), a, look))
    for type in ALL_TYPES:
        operand = given(type, 2, 3, whole(type, 32))
        looks.append(("view", type, operand, lambda a: ops.view(a, (a.ne[0], 2, 2), a.nb[1:3], offset=a.nb[1])))
        looks.append(("reshape", type, operand, lambda a: ops.reshape(a, a.ne[0], 6)))
        looks.append(("permute", type, operand, lambda a: ops.permute(a, 0, 2, 1, 3)))
        if type in PLAIN:
            looks.append(("transpose", type, operand, ops.transpose))
    for op, name, operand, build in looks:
        yield exact(op, name, {"a": operand}, build)
        yield exact(op, f"{name}-read", {"a": operand}, lambda a, build=build: ops.cont(build(a)))
    packed = {"a": given("f16", 2, 33, 8, packed=True)}
    yield exact("view", "packed", packed, lambda a: ops.view(a, (8, 20, 2)))
    yield Case("transpose", "between", {"a": f32(7, 5)}, lambda a: ops.sqr(ops.transpose(ops.sqr(a))))


def _permuted(a: Tensor, axes: tuple[int, int, int, int]) -> Tensor:
    return ops.permute(a, *axes)


def twice(dst: Array, x: Array, ith: int, nth: int) -> None:
    """A map_custom function that shares the rows of an array of any shape."""
    rows = slice(len(x) * ith // nth, len(x) * (ith + 1) // nth)
    dst[rows] = 2 * x[rows]


def total(dst: Array, a: Array, b: Array, ith: int, nth: int) -> None:
    """A map_custom function whose last thread does it all."""
    if ith == nth - 1:
        dst[...] = a.sum() + b.sum()


def own_functions() -> Iterator[Case]:
    def case(name: str, a: Given, **options: Any) -> Case:
        return exact("map_custom", name, {"a": a}, lambda a: ops.map_custom(twice, a, **options))

    for n in (0, 1, 2, 16):
        yield case(f"{n}", f32(n, 33))
    for layout in LAYOUTS:
        yield case(layout, f32(4, 5, 6, layout=layout))
    yield case("f16", Given((5, 33), "f16"), type="f16")
    yield case("f16-to-f32", Given((5, 33), "f16"))
    yield case("i32", i32(5, 33, high=100), type="i32")
    yield case("i32-to-f16", i32(5, 33, high=100), type="f16")
    yield case("4d", f32(2, 3, 4, 5))
    both = {"a": i32(7, high=9), "b": i32(3, 2, high=9)}
    one_value = partial(ops.map_custom, total, ne=(1,), type="i32")
    yield exact("map_custom", "two-sources", both, lambda a, b: one_value(a, b))
    between = {"a": f32(5, 33)}
    yield exact("map_custom", "between-others", between, lambda a: ops.neg(ops.map_custom(twice, ops.sqr(a))))


CASES = (
    *copies(),
    *casts(),
    *copies_into(),
    *repeats(),
    *joined(),
    *taken_rows(),
    *written_rows(),
    *views(),
    *own_functions(),
)
