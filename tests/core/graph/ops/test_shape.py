"""Views, copies between types and layouts, rows by index: all exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from op_table import BLOCKS, EXACT, FLOATS, Array, Case, Given, every_way, f32, i32, normal, packable, run, whole

from ggtui import Context, Graph, Tensor, ops
from ggtui.core.errors import GgtuiError
from ggtui.core.runtime.cpu.native import usable_isas
from ggtui.core.runtime.reference.quants import dequantize, quantize

LAYOUTS = ("plain", "part", "turned", "permuted")
PLAIN_TYPES = (*FLOATS, "i32")
ALL_TYPES = (*PLAIN_TYPES, *BLOCKS)


def stored(values: Array, type: str) -> Array:
    """What is left of float32 values in a type."""
    if type == "i32":
        return np.trunc(values).astype(np.int64)
    x = np.ascontiguousarray(values, np.float32)
    if type in FLOATS:
        return dequantize(quantize(x, type), type, x.shape[-1]).reshape(x.shape).astype(np.float64) if x.size else x
    return Context().tensor(x, type=type).numpy().astype(np.float64)


def hundreds(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return (100 * rng.standard_normal(shape)).astype(np.float32)


def given(type: str, *shape: int, layout: str = "plain", packed: bool = False) -> Given:
    return Given(shape, type, packed, layout, hundreds)


def same(a: Array) -> Array:
    return a


def copy_cases() -> list[Case]:
    rows = []
    for op in ("dup", "cont"):
        build = ops.OPS[op].build
        rows += [
            Case(op, f"{type}-{layout}", (given(type, 3, 5, 37, layout=layout),), build, same, EXACT)
            for type in PLAIN_TYPES
            for layout in LAYOUTS
        ]
        rows += [
            Case(op, f"{type}-{layout}", (given(type, 3, 5, whole(type, 64), layout=layout),), build, same, EXACT)
            for type in BLOCKS
            for layout in ("plain", "part", "permuted")
        ]
        rows += [
            Case(op, "x".join(map(str, shape)), (f32(*shape),), build, same, EXACT)
            for shape in ((1,), (257,), (0,), (0, 3), (3, 0), (2, 3, 4, 5))
        ]
    return rows


def cast_cases() -> list[Case]:
    pairs = [(a, b) for a in ALL_TYPES for b in ALL_TYPES if "f32" in (a, b) or not {a, b} & set(BLOCKS)]
    rows = []
    for source, target in [*pairs, ("q8_0", "q4_0"), ("q4_0", "f16"), ("bf16", "q8_0")]:
        n = max(whole(t, 96) for t in (source, target))
        rows += [
            Case(
                "dup",
                f"{source}-{layout}-to-{target}",
                (given(source, 3, 5, n, layout=layout),),
                lambda a, target=target: ops.cast(a, target),
                lambda a, source=source, target=target: a if source == target else stored(a, target),
                EXACT,
            )
            for layout in (("plain", "permuted") if source in BLOCKS else LAYOUTS)
        ]
    for n in (1, 15, 17, 33, 257):
        rows += [
            Case(
                "dup",
                f"f32-to-{t}-{n}",
                (given("f32", 3, n),),
                lambda a, t=t: ops.cast(a, t),
                lambda a, t=t: stored(a, t),
                EXACT,
            )
            for t in ("f16", "bf16", "i32")
        ]
    return rows


def cpy_cases() -> list[Case]:
    rows = []
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
        rows.append(Case("cpy", name, (a, b), ops.cpy, lambda a, b, t=b.type: stored(a.reshape(b.shape), t), EXACT))
    return rows


def repeat_and_concat_cases() -> list[Case]:
    rows = [
        Case(
            "repeat",
            f"{'x'.join(map(str, small))}-to-{'x'.join(map(str, large))}",
            (f32(*small, layout=layout), f32(*large)),
            ops.repeat,
            lambda a, b: np.tile(a, [n // max(m, 1) for n, m in zip(b.shape, a.shape, strict=True)]),
            EXACT,
        )
        for small, large, layout in (
            ((1,), (17,), "plain"),
            ((5,), (15,), "plain"),
            ((3, 1), (3, 33), "plain"),
            ((3, 5), (6, 15), "turned"),
            ((2, 1, 3, 5), (2, 4, 6, 5), "permuted"),
            ((1, 33), (7, 33), "part"),
            ((0,), (0,), "plain"),
        )
    ]
    for dim in range(4):
        axis = 3 - dim
        for n in (1, 4):
            shape = [2, 3, 4, 5]
            shape[axis] = n
            for type in ("f32", "f16", "i32"):
                for layout in ("plain", "permuted"):
                    rows.append(
                        Case(
                            "concat",
                            f"{dim}-{n}-{type}-{layout}",
                            (given(type, 2, 3, 4, 5, layout=layout), given(type, *shape)),
                            lambda a, b, dim=dim: ops.concat(a, b, dim),
                            lambda a, b, axis=axis: np.concatenate([a, b], axis),
                            EXACT,
                        )
                    )
    turned = (given("f16", 7, 5, layout="turned"), given("f16", 7, 3, layout="turned"))
    rows.append(Case("concat", "turned", turned, ops.concat, lambda a, b: np.concatenate([a, b], 1), EXACT))
    rows.append(Case("concat", "empty", (f32(3, 0), f32(3, 4)), ops.concat, lambda a, b: b, EXACT))
    return rows


def rows_of(a: Array, at: Array) -> Array:
    """Rows of a (..., n, ne0) by indices (..., m)."""
    return np.take_along_axis(a, at[..., None], axis=-2)


def get_rows_cases() -> list[Case]:
    cases = [
        Case(
            "get_rows",
            f"{type}-{n}{'-packed' if packed else ''}",
            (given(type, n, whole(type, 64), packed=packed), i32(9, high=n)),
            ops.get_rows,
            lambda a, at: a[at].astype(np.float64),
            EXACT,
        )
        for type in ALL_TYPES
        for packed in (False, True)
        for n in (1, 16, 33)
        if packable(type) or not packed
    ]
    for layout in LAYOUTS:
        cases.append(
            Case(
                "get_rows",
                layout,
                (given("f16", 2, 7, 33, layout=layout), i32(2, 11, high=7)),
                ops.get_rows,
                rows_of,
                EXACT,
            )
        )
    cases += [
        Case("get_rows", "4d", (given("f32", 3, 2, 7, 17), i32(3, 2, 5, high=7)), ops.get_rows, rows_of, EXACT),
        Case(
            "get_rows",
            "4d-packed",
            (given("q8_0", 3, 2, 17, 32, packed=True), i32(3, 2, 5, high=17)),
            ops.get_rows,
            rows_of,
            EXACT,
        ),
        Case(
            "get_rows",
            "indices-turned",
            (f32(2, 7, 17), i32(2, 5, high=7, layout="turned")),
            ops.get_rows,
            rows_of,
            EXACT,
        ),
        Case("get_rows", "none", (f32(7, 17), i32(0, high=1)), ops.get_rows, lambda a, at: a[:0], EXACT),
    ]
    return cases


def some_of(n: int) -> Callable[[Any, tuple[int, ...]], Array]:
    """Indices of different rows of n."""
    return lambda rng, shape: np.apply_along_axis(lambda x: rng.permutation(n)[: len(x)], -1, np.zeros(shape)).astype(
        np.int32
    )


def with_rows(a: Array, b: Array, at: Array, type: str) -> Array:
    out = np.array(a, np.float64)
    for where in np.ndindex(b.shape[:-1]):
        *outer, i = where
        index = at[(*(o % n for o, n in zip(outer, at.shape[:-1], strict=True)), i)]
        out[(*outer, index)] = stored(b[where][None], type)[0]
    return out


def set_rows_cases() -> list[Case]:
    cases = []
    for type in ALL_TYPES:
        for packed in (False, True) if type in FLOATS else (False,):
            for shape in ((33, whole(type, 64)), (2, 17, whole(type, 32))):
                outer, n = shape[:-2], shape[-2]
                cases.append(
                    Case(
                        "set_rows",
                        f"{type}-{n}{'-packed' if packed else ''}",
                        (
                            given(type, *shape, packed=packed),
                            given("f32", *outer, 7, shape[-1]),
                            Given((*outer, 7), "i32", values=some_of(n)),
                        ),
                        ops.set_rows,
                        lambda a, b, at, type=type: with_rows(a, b, at, type),
                        EXACT,
                    )
                )
    for name, a, b, at in (
        ("shared-indices", (4, 6, 9, 17), (4, 6, 5, 17), (2, 1, 5)),
        ("one-row", (16, 33), (1, 33), (1,)),
        ("none", (16, 33), (0, 33), (0,)),
    ):
        indices = Given(at, "i32", values=some_of(9))
        cases.append(
            Case(
                "set_rows",
                name,
                (f32(*a), f32(*b), indices),
                ops.set_rows,
                lambda a, b, at: with_rows(a, b, at, "f32"),
                EXACT,
            )
        )
    for layout in LAYOUTS:
        source = (given("f16", 2, 9, 33), f32(2, 5, 33, layout=layout), Given((2, 5), "i32", values=some_of(9)))
        cases.append(Case("set_rows", layout, source, ops.set_rows, lambda *x: with_rows(*x, "f16"), EXACT))
    into = (given("f16", 2, 9, 33, layout="part"), f32(2, 5, 33), Given((2, 5), "i32", values=some_of(9)))
    cases.append(Case("set_rows", "into-part", into, ops.set_rows, lambda *x: with_rows(*x, "f16"), EXACT))
    return cases


def view_cases() -> list[Case]:
    a = f32(2, 3, 4, 5)
    return [
        Case("view", "rows", (f32(7, 5),), lambda a: ops.view(a, (5, 3)), lambda a: a[:3], EXACT),
        Case(
            "view",
            "middle",
            (f32(7, 5),),
            lambda a: ops.view(a, (3, 2), (a.nb[1],), offset=24),
            lambda a: a[1:3, 1:4],
            EXACT,
        ),
        Case("view", "1d", (f32(7, 5),), lambda a: ops.view(a, (35,)), np.ravel, EXACT),
        Case(
            "view", "every-second", (f32(7, 5),), lambda a: ops.view(a, (5, 4), (2 * a.nb[1],)), lambda a: a[::2], EXACT
        ),
        Case("view", "nothing", (f32(7, 5),), lambda a: ops.view(a, (5, 0)), lambda a: a[:0], EXACT),
        Case(
            "view",
            "packed",
            (given("f16", 2, 33, 8, packed=True),),
            lambda a: ops.view(a, (8, 20, 2)),
            lambda a: a[:, :20],
            EXACT,
        ),
        Case(
            "view",
            "of-blocks",
            (given("q8_0", 5, 96),),
            lambda a: ops.view(a, (32, 5), (a.nb[1],), offset=34),
            lambda a: a[:, 32:64],
            EXACT,
        ),
        Case("reshape", "2d", (f32(6, 20),), lambda a: ops.reshape(a, 24, 5), lambda a: a.reshape(5, 24), EXACT),
        Case(
            "reshape", "4d", (f32(6, 20),), lambda a: ops.reshape(a, 2, 5, 4, 3), lambda a: a.reshape(3, 4, 5, 2), EXACT
        ),
        Case("reshape", "empty", (f32(0, 20),), lambda a: ops.reshape(a, 5, 4, 0), lambda a: a.reshape(0, 4, 5), EXACT),
        *(
            Case(
                "permute",
                "".join(map(str, axes)),
                (a,),
                lambda a, x=axes: ops.permute(a, *x),
                lambda a, x=axes: np.moveaxis(a, (3, 2, 1, 0), [3 - i for i in x]),
                EXACT,
            )
            for axes in ((0, 1, 2, 3), (1, 0, 2, 3), (0, 2, 1, 3), (3, 2, 1, 0), (2, 0, 3, 1))
        ),
        Case(
            "permute",
            "bf16",
            (given("bf16", 3, 4, 5),),
            lambda a: ops.permute(a, 2, 0, 1, 3),
            lambda a: np.moveaxis(a, (2, 1, 0), (0, 2, 1)),
            EXACT,
        ),
        Case("transpose", "2d", (f32(7, 5),), ops.transpose, np.transpose, EXACT),
        Case("transpose", "4d", (given("f16", 2, 3, 4, 5),), ops.transpose, lambda a: a.swapaxes(2, 3), EXACT),
        Case(
            "transpose",
            "read",
            (f32(7, 5),),
            lambda a: ops.sqr(ops.transpose(ops.sqr(a))),
            lambda a: np.float32(a.T**2).astype(np.float64) ** 2,
        ),
    ]


CASES = (
    *copy_cases(),
    *cast_cases(),
    *cpy_cases(),
    *repeat_and_concat_cases(),
    *get_rows_cases(),
    *set_rows_cases(),
    *view_cases(),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_op(case: Case) -> None:
    run(case)


def compute(y: Tensor, **options: Any) -> Array:
    g = Graph()
    g.build_forward_expand(y)
    g.compute(**options)
    return y.numpy()


def test_floats_that_no_i32_holds() -> None:
    x = Context().tensor(np.array([np.nan, 1e10, -1e10, np.inf, 2147483520, -2147483648, -0.9, 1.9], np.float32))
    assert compute(ops.cast(x, "i32")).tolist() == [0, 2**31 - 1, -(2**31), 2**31 - 1, 2147483520, -(2**31), 0, 1]


def test_floats_that_no_half_holds() -> None:
    x = np.array([1e10, -np.inf, 65519.9, 65520, 6e-8, 2.9e-8, 2**-14 * (1 - 2**-11), -0.0], np.float32)
    with np.errstate(over="ignore"):
        want = x.astype(np.float16)
    for isa in usable_isas():
        assert np.array_equal(compute(ops.cast(Context().tensor(x), "f16"), isa=isa), want)


def test_set_rows_then_reading_what_was_set() -> None:
    ctx = Context()
    table, b = ctx.tensor(np.zeros((20, 8), np.float32)), ctx.tensor(normal(np.random.default_rng(0), (3, 8)))
    at = ctx.tensor(np.array([19, 0, 7]))
    y = ops.get_rows(ops.set_rows(table, ops.scale(b, 2.0), at), at)
    g = Graph()
    g.build_forward_expand(y)
    every_way(y, g, [table, b, at], lambda got: np.testing.assert_array_equal(got, 2 * b.numpy()))


@pytest.mark.parametrize("type", ["f32", "f16", "i32"])
def test_nothing_around_a_view_is_written(type: str) -> None:
    for n in (1, 15, 17, 33):
        ctx = Context()
        whole = ctx.tensor(np.full((6, n + 2), 9), type=type)
        part = ops.view(whole, (n, 4), (whole.nb[1],), offset=whole.nb[1] + whole.nb[0])
        x, at = ctx.tensor(np.ones((4, n), np.float32)), ctx.tensor(np.arange(4))
        writers = [ops.cpy(x, part), ops.set_rows(part, x, at)]
        if type == "f32":
            writers += [
                ops.add(part, x, inplace=True),
                ops.silu(part, inplace=True),
                ops.scale(part, 2.0, inplace=True),
            ]
        for y in writers:
            whole.set(np.full((6, n + 2), 9))
            compute(y, threads=2)
            part.set(np.full((4, n), 9))
            assert (whole.numpy() == 9).all()


@pytest.mark.parametrize("row", [-1, 5, 2**31 - 1, -(2**31)])
def test_indices_out_of_range_end_the_run(row: int) -> None:
    ctx = Context()
    a, b = ctx.tensor(np.ones((5, 4), np.float32)), ctx.tensor(np.ones((3, 4), np.float32))
    at = ctx.tensor(np.array([0, row, 1]))
    for op, y in (("get_rows", ops.get_rows(a, at)), ("set_rows", ops.set_rows(a, b, at))):
        for threads in (1, 3):
            with pytest.raises(GgtuiError, match=f"{op}: row {row} of 5 is out of range"):
                compute(y, threads=threads)
