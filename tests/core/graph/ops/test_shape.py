"""Copies of numbers that a type can't hold, and what rows by index and writes through views leave alone."""

from __future__ import annotations

import numpy as np
import pytest
from every_way import computed, every_way

from ggtui import Context, Graph, ops
from ggtui.core.errors import GgtuiError
from ggtui.core.runtime.cases.base import normal
from ggtui.core.runtime.cpu.native import usable_isas


def test_floats_that_no_i32_holds() -> None:
    x = Context().tensor(np.array([np.nan, 1e10, -1e10, np.inf, 2147483520, -2147483648, -0.9, 1.9], np.float32))
    assert computed(ops.cast(x, "i32")).tolist() == [0, 2**31 - 1, -(2**31), 2**31 - 1, 2147483520, -(2**31), 0, 1]


def test_floats_that_no_half_holds() -> None:
    x = np.array([1e10, -np.inf, 65519.9, 65520, 6e-8, 2.9e-8, 2**-14 * (1 - 2**-11), -0.0], np.float32)
    with np.errstate(over="ignore"):
        want = x.astype(np.float16)
    for isa in usable_isas():
        assert np.array_equal(computed(ops.cast(Context().tensor(x), "f16"), isa=isa), want)


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
            computed(y, threads=2)
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
                computed(y, threads=threads)
