"""Graphs computed op by op in numpy: memory, views, rounding, run-time sizes. The ops themselves are tested in
tests/core/graph/ops/in_numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ggtui import Context, Tensor, ops
from ggtui.core.errors import GgtuiError, UsageError
from ggtui.core.graph.own_types import register_type
from ggtui.core.graph.tensor import Dim
from ggtui.core.runtime.reference.quants import dequantize, quantize
from ggtui.core.runtime.reference.walk import Walk

Array = np.ndarray[Any, Any]


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def walked(y: Tensor, **values: int) -> Array:
    walk = Walk(values)
    walk.compute([y])
    return walk.result(y)


def test_results_are_rounded_to_their_types() -> None:
    x = normal(3, 64)
    t = Context().tensor(x)
    third = (x.astype(np.float64) * (1 / 3)).astype(np.float32)
    assert np.array_equal(walked(ops.scale(t, 1 / 3)), third)
    for type in ("f16", "bf16", "q4_0", "q8_0"):
        want = dequantize(quantize(third, type), type, 64)
        assert np.array_equal(walked(ops.cast(ops.scale(t, 1 / 3), type)), want)


def test_what_has_no_place_in_the_type() -> None:
    x = Context().tensor(np.array([np.nan, 1e10, -1e10, np.inf, 2147483520, -0.9, 1.9], np.float32))
    assert walked(ops.cast(x, "i32")).tolist() == [0, 2**31 - 1, -(2**31), 2**31 - 1, 2147483520, 0, 1]
    assert walked(ops.exp(Context().tensor(np.array([89.0], np.float32)))).tolist() == [np.inf]
    assert walked(ops.cast(x, "f16"))[1] == np.inf


def test_what_writes_leaves_the_graphs_memory_alone() -> None:
    ctx = Context()
    t, b = ctx.tensor(np.ones((4, 3), np.float32)), ctx.tensor(np.full((2, 3), 5, np.float32))
    assert walked(ops.set_rows(t, b, ctx.tensor(np.array([3, 0])))).tolist() == [[5] * 3, [1] * 3, [1] * 3, [5] * 3]
    assert walked(ops.scale(t, 2.0, inplace=True)).tolist() == [[2] * 3] * 4
    assert walked(ops.cpy(b, ops.view(t, (3, 2), offset=12))).tolist() == [[5] * 3] * 2
    assert (t.numpy() == 1).all()


def test_a_write_through_a_view_is_seen_by_what_comes_after() -> None:
    ctx = Context()
    whole = ctx.tensor(np.zeros((4, 6), np.float32))
    part = ops.view(whole, (2, 2), (whole.nb[1],), offset=whole.nb[1] + 8)
    written = ops.cpy(ctx.tensor(np.array([[1.0, 2], [3, 4]])), part)
    negated = ops.neg(whole)
    walk = Walk()
    walk.compute([written, negated])
    assert walk.result(negated).tolist() == [[0] * 6, [0, 0, -1, -2, 0, 0], [0, 0, -3, -4, 0, 0], [0] * 6]


@pytest.mark.parametrize("type", ["q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "q4_1", "iq4_xs"])
def test_blocks_that_move_are_not_rounded_anew(type: str) -> None:
    """Decoding blocks and encoding them again gives other blocks."""
    ctx = Context()
    a, b = ctx.tensor(normal(4, 256), type=type), normal(1, 256, seed=1)
    before, new = a.numpy(), dequantize(quantize(b, type), type, 256)
    assert np.array_equal(walked(ops.dup(a)), before)
    assert np.array_equal(walked(ops.cpy(a, ctx.new_tensor(type, (512, 2)))), before.reshape(2, 512))
    written = walked(ops.set_rows(a, ctx.tensor(b), ctx.tensor(np.array([2]))))
    assert np.array_equal(written, np.concatenate([before[:2], new, before[3:]]))


@pytest.mark.parametrize("type", ["f32", "f16", "bf16"])
def test_rows_of_a_packed_tensor(type: str) -> None:
    ctx = Context()
    cache = ctx.tensor(normal(2, 40, 16), type=type, packed=True)
    rows, b = ctx.tensor(np.array([35, 1, 35])), normal(2, 3, 16, seed=1)
    set_ = ops.set_rows(cache, ctx.tensor(b), rows)
    want = cache.numpy().copy()
    new = dequantize(quantize(b, type), type, 16)
    want[:, 1], want[:, 35] = new[:, 1], new[:, 2]
    assert np.array_equal(walked(set_), want)
    first = ops.view(set_, (16, 37, 2))
    assert np.array_equal(walked(ops.get_rows(first, ctx.tensor(np.array([[36, 35]] * 2)))), want[:, [36, 35]])


def test_a_product_with_packed_blocks() -> None:
    ctx = Context()
    a, x = ctx.tensor(normal(33, 64), type="q4_0", packed=True), normal(5, 64, seed=1)
    want = x.astype(np.float64) @ dequantize(quantize(normal(33, 64), "q4_0"), "q4_0", 64).T
    np.testing.assert_allclose(walked(ops.mul_mat(a, ctx.tensor(x))), want, rtol=1e-4, atol=1e-5)


def test_a_type_of_ones_own() -> None:
    @register_type
    class Signs:
        """A scale a row, a byte a weight."""

        name, block, bytes, head = "walk_signs", 1, 1, 4

        @staticmethod
        def encode(rows: Array) -> Array:
            scale = np.abs(rows).max(axis=1, keepdims=True).astype(np.float32)
            return np.hstack([scale.view(np.uint8), np.sign(rows).astype(np.int8).view(np.uint8)])

        @staticmethod
        def decode(rows: Array) -> Array:
            return np.ascontiguousarray(rows[:, :4]).view(np.float32) * rows[:, 4:].view(np.int8)

    ctx = Context()
    x = normal(3, 5)
    want = np.abs(x).max(axis=1, keepdims=True) * np.sign(x)
    t = ctx.tensor(x, type="walk_signs")
    assert np.array_equal(walked(ops.dup(t)), want)
    assert np.array_equal(walked(ops.cast(ctx.tensor(x), "walk_signs")), want)
    assert np.array_equal(walked(ops.get_rows(t, ctx.tensor(np.array([2, 0])))), want[[2, 0]])


def test_run_time_sizes() -> None:
    ctx, n = Context(), Dim("n", 8)
    x = ctx.new_tensor("f32", (3, n))
    x.set(np.arange(24, dtype=np.float32).reshape(8, 3))
    y = ops.diag_mask_inf(ops.scale(ops.reshape(x, 3, n), 2.0), n)
    for size in (8, 0, 3):
        assert np.array_equal(walked(y, n=size), 2 * x.numpy()[:size])
    assert np.isneginf(walked(ops.diag_mask_inf(x, Dim("n", 1)), n=0)).sum() == 0  # no rows
    with pytest.raises(UsageError, match="no value for n"):
        walked(y)
    for bad in (9, -1):
        with pytest.raises(UsageError, match=f"n is {bad}; must be 0 to 8"):
            walked(y, n=bad)


def test_a_function_of_ones_own_does_all_the_work() -> None:
    calls = []

    def twice(dst: Array, a: Array, ith: int, nth: int) -> None:
        calls.append((ith, nth, a.dtype, a.shape, dst.dtype))
        dst[...] = 2 * a

    t = Context().tensor(np.arange(6).reshape(2, 3))
    assert walked(ops.map_custom(twice, ops.transpose(t), type="f16")).tolist() == [[0, 6], [2, 8], [4, 10]]
    assert calls == [(0, 1, np.int32, (3, 2), np.float16)]


def test_bad_data() -> None:
    ctx = Context()
    with pytest.raises(GgtuiError, match="get_rows: row 5 of 4"):
        walked(ops.get_rows(ctx.tensor(normal(4, 3)), ctx.tensor(np.array([5]))))
    with pytest.raises(GgtuiError, match="has no data"):
        walked(ops.neg(Tensor(ctx.new_tensor("f32", (3,)).type, (3,))))
