"""Tensors, their strides, and the memory of contexts."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from ggtui import Context, ops
from ggtui.core.errors import GgtuiError, ShapeError, UsageError
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.reference.quants import dequantize, quantize


def test_ne_is_the_shape_turned_round() -> None:
    t = Context().tensor(np.zeros((5, 3, 2), np.float32))
    assert t.ne == (2, 3, 5, 1)
    assert t.nb == (4, 8, 24, 120)
    assert t.numpy().shape == (5, 3, 2)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("type", ["f16", "bf16", "q4_0", "q8_0"])
@pytest.mark.parametrize("rows", [1, 15, 16, 32, 33])
def test_a_type_is_converted_to_on_the_way_in(type: str, rows: int, packed: bool) -> None:
    values = np.random.default_rng(0).standard_normal((rows, 64), dtype=np.float32)
    t = Context().tensor(values, type=type, packed=packed)
    want = dequantize(quantize(values, type), type, 64).reshape(rows, 64)
    assert np.array_equal(np.asarray(t.numpy(), np.float32), want)
    assert t.type is TYPES[type]


def test_numpy_of_a_plain_type_is_a_view() -> None:
    t = Context().new_tensor_2d("f32", 4, 2)
    t.numpy()[1, 2] = 7
    assert t.numpy()[1, 2] == 7


def test_a_view_keeps_the_memory_alive() -> None:
    view = Context().tensor(np.full((1000, 1000), 3, np.float32)).numpy()
    gc.collect()
    assert view.sum() == 3e6


@pytest.mark.parametrize("n_bytes", [1, 64 << 10, 20 << 20])
def test_memory_in_huge_pages(n_bytes: int) -> None:
    """Zeroed, aligned, apart from one another and counted like any other; whether pages are huge is for the system."""
    context = Context(huge_pages=True)
    pieces = [context.allocate(n_bytes) for _ in range(3)]
    assert context.used_mem() == 3 * -(-n_bytes // 64) * 64
    for i, piece in enumerate(pieces):
        assert piece.nbytes == n_bytes and piece.__array_interface__["data"][0] % 64 == 0 and not piece.any()
        piece[:] = i + 1
    assert [int(piece.min()) for piece in pieces] == [int(piece.max()) for piece in pieces] == [1, 2, 3]


def test_memory_is_counted_and_aligned() -> None:
    ctx = Context()
    assert ctx.used_mem() == 0
    tensors = [ctx.new_tensor_1d("f32", n) for n in (1, 16, 17)]
    assert ctx.used_mem() == 64 + 64 + 128
    assert all(t.bytes().__array_interface__["data"][0] % 64 == 0 for t in tensors)


@pytest.mark.parametrize(
    ("type", "ne", "error", "words"),
    [
        ("q8_0", (33, 2), ShapeError, "no whole number"),
        ("q9_9", (32,), UsageError, "q9_9"),
        ("f32", (), ShapeError, "1 to 4"),
        ("f32", (1, 1, 1, 1, 1), ShapeError, "1 to 4"),
        ("f32", (4, -1), ShapeError, "negative"),
    ],
)
def test_bad_sizes_are_refused(type: str, ne: tuple[int, ...], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Context().new_tensor(type, ne)


def test_set_refuses_another_shape() -> None:
    with pytest.raises(ShapeError, match="does not fill"):
        Context().new_tensor_2d("f32", 4, 2).set(np.zeros((4, 2), np.float32))


def test_a_tensor_without_memory_says_so() -> None:
    with pytest.raises(GgtuiError, match="no data"):
        Tensor(TYPES["f32"], (3,)).numpy()


def test_views_of_views_count_bytes_from_the_first() -> None:
    ctx = Context()
    a = ctx.tensor(np.arange(24, dtype=np.float32).reshape(4, 6))
    inner = ops.view(ops.view(a, (4, 3), (24,), offset=24), (2, 2), (24,), offset=28)
    assert inner.view_src is a
    assert inner.view_offs == 52
    assert inner.numpy().tolist() == [[13.0, 14.0], [19.0, 20.0]]
    assert ops.transpose(inner).numpy().tolist() == [[13.0, 19.0], [14.0, 20.0]]
    assert ops.permute(a, 1, 0, 2, 3).numpy().tolist() == a.numpy().T.tolist()
