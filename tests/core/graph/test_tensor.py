"""Tensors, their strides, and the memory of contexts."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from ggtui import Context, Graph, ops
from ggtui.core.errors import GgtuiError, ShapeError, UsageError
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.cpu.buffer import RowBuffer
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
    context = Context()
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


@pytest.mark.parametrize(
    "name", ["ne", "nb", "src", "type", "op", "op_params", "view_src", "view_offs", "buffer", "n_dims"]
)
def test_what_plans_rely_on_is_fixed(name: str) -> None:
    a = Context().tensor(np.ones((2, 3), np.float32))
    y = ops.neg(a)
    for t in (a, y):
        with pytest.raises(AttributeError, match=f"{name} of a tensor is fixed|has no setter|can't set"):
            setattr(t, name, getattr(t, name))
    y.name = "mine"
    assert y.name == "mine"


def test_memory_that_is_too_small_is_refused() -> None:
    t = Tensor(TYPES["f32"], (4, 4), name="t")
    with pytest.raises(GgtuiError, match="'t' takes 64 bytes, not 60"):
        t.place(RowBuffer(np.zeros(60, np.uint8)))
    with pytest.raises(GgtuiError, match="is a view"):
        ops.view(Context().new_tensor_1d("f32", 4), (2,)).place(RowBuffer(np.zeros(60, np.uint8)))


def test_a_view_made_by_hand_stays_inside_too() -> None:
    a = Context().new_tensor_1d("f32", 16)
    for ne, nb, offset in (
        ((17,), None, 0),
        ((4,), None, 52),
        ((4,), (4, -4, 4, 4), 16),
        ((4,), None, -4),
        ((4,), None, 2),
    ):
        with pytest.raises(ShapeError):
            Tensor.of_op("view", a.type, ne, (), nb=nb, view_src=a, view_offs=offset)


PACKED_VIEWS = [(64, 64, 1), (64, 10_000_000, 1), (64, 33), (32, 32), (64, 32, 2), (128, 16)]


@pytest.mark.parametrize("ne", PACKED_VIEWS)
def test_a_view_of_packed_memory_has_its_rows_alone(ne: tuple[int, ...]) -> None:
    ctx = Context()
    a, neighbour = ctx.new_tensor("f16", (64, 32, 1), packed=True), ctx.new_tensor("f16", (64, 32, 1))
    with pytest.raises(ShapeError, match=r"of packed .* only the first rows"):
        ops.view(a, ne)
    v = ops.view(a, (64, 20, 1))
    with pytest.raises(ShapeError, match="only the first rows"):
        ops.view(v, (64, 21, 1))
    g = Graph()
    g.build_forward_expand(ops.set_rows(v, ctx.tensor(np.ones((1, 1, 64), np.float32)), ctx.tensor(np.array([20]))))
    with pytest.raises(GgtuiError, match="row 20 of 20 is out of range"):
        g.compute()
    assert not neighbour.numpy().any()


def test_sizes_that_no_memory_has_are_refused() -> None:
    a = Context().new_tensor_1d("f32", 4)
    for ne, nb in (((4, 1 << 60), (0,)), ((4, 1 << 31), (0,)), ((4, 1 << 20, 1 << 20, 1 << 20), (0, 0, 0))):
        with pytest.raises(ShapeError, match=r"too often|more than"):
            ops.view(a, ne, nb)
    assert ops.view(a, (4, 1000), (0,)).numpy().shape == (1000, 4)
    for ne in ((1 << 62,), (1 << 32, 1 << 32), (1 << 21, 1 << 21)):
        with pytest.raises(ShapeError, match="more than"):
            Context().new_tensor("f32", ne)
    with pytest.raises(GgtuiError, match=r"no memory for \d+ bytes"):
        Context().new_tensor("f32", (1 << 40,))
    with pytest.raises(ShapeError, match="whole numbers"):
        Tensor(TYPES["f32"], (1.5,))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="op"):  # results of ops are made by ops alone, which check what they promise
        Tensor(TYPES["f32"], (4_000_000,), op="add")  # type: ignore[call-arg]
    for name, largest in (("n", 1.5), ("", 3), (None, 3)):
        with pytest.raises(ShapeError, match="Dim"):
            Dim(name, largest)  # type: ignore[arg-type]
