"""Kernels called one at a time, on memory that ends where the data ends."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ggtui.core.runtime.cpu import native

Array = NDArray[Any]
PAGE = mmap.PAGESIZE
F32, F16, BF16, Q4_0, Q8_0 = 0, 1, 30, 2, 8
Q8_A = np.dtype([("d", "<f4"), ("nsum", "<i4"), ("dnsum", "<f4"), ("sums", "<i2", 2), ("qs", "i1", 32)])


def at_end(data: Array) -> Array:
    """A copy of `data` right before a page that nobody may touch: whoever reads or writes past it crashes."""
    data = np.ascontiguousarray(data)
    pages = -(-data.nbytes // PAGE) * PAGE
    memory = mmap.mmap(-1, pages + PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(address + pages), PAGE, 0) == 0
    copy = np.frombuffer(memory, data.dtype, data.size, pages - data.nbytes).reshape(data.shape)
    copy[...] = data
    return copy


def pointer(data: Array | None, kind: str = "void *") -> Any:
    return native.ffi.NULL if data is None else native.ffi.cast(kind, data.ctypes.data)


def pack(kind: int, weights: Array, ne0: int) -> Array:
    """Rows of a matrix as gg_pack lays them out, in bytes."""
    rows, row_bytes = weights.shape[0], weights.view(np.uint8).reshape(weights.shape[0], -1).shape[1]
    packed = np.full(-(-rows // 32) * 32 * row_bytes, 0xA5, np.uint8)
    native.check(native.lib.gg_pack(kind, ne0, rows, pointer(weights), pointer(packed)))
    return packed


def assert_same(a: Array, b: Array) -> None:
    """Bit by bit; one NaN is as good as another."""
    assert a.dtype == b.dtype and a.shape == b.shape
    if a.dtype == np.float32:
        nan = np.isnan(a)
        np.testing.assert_array_equal(nan, np.isnan(b))
        a, b = np.where(nan, 0, a).view(np.uint32), np.where(nan, 0, b).view(np.uint32)
    np.testing.assert_array_equal(a, b)


def nmse(a: Array, b: Array) -> float:
    """sum (a - b)^2 / sum a^2"""
    wide = a.astype(np.float64)
    return float(np.sum((wide - b) ** 2) / np.sum(wide**2))


class Kernels:
    """The kernels of one instruction set, and what tests of kernels need besides."""

    pack = staticmethod(pack)
    assert_same = staticmethod(assert_same)
    nmse = staticmethod(nmse)
    F32, F16, BF16, Q4_0, Q8_0 = F32, F16, BF16, Q4_0, Q8_0
    Q8_A = Q8_A

    def __init__(self, name: str) -> None:
        self.name = name
        self.isa = native.isa_index(name)

    def row(
        self,
        kernel: str,
        a: Array,
        b: Array | None = None,
        c: Array | None = None,
        s: float = 0.0,
        t: float = 0.0,
        out: int | None = None,
        dtype: Any = np.float32,
        n: int | None = None,
        before: Array | None = None,
    ) -> Array:
        """The kernel over n values, len(a) by default, into an array of `out` values, len(a) by default, or into what
        was there before."""
        y = at_end(np.full(len(a) if out is None else out, 77, dtype) if before is None else before)
        n = len(a) if n is None else n
        a, b, c = (at_end(x) if x is not None else None for x in (a, b, c))  # type: ignore[assignment]
        arguments = (pointer(y), pointer(a), pointer(b), pointer(c, "float *"), s, t)
        native.check(native.lib.gg_call_row(self.isa, native.ROW_KERNELS[kernel], n, *arguments))
        return y

    def row_in_place(self, kernel: str, a: Array, b: Array, s: float) -> Array:
        """The kernel over len(a) values, whose result takes the place of a."""
        y, b = at_end(a), at_end(b)
        arguments = (pointer(y), pointer(y), pointer(b), native.ffi.NULL, s, 0.0)
        native.check(native.lib.gg_call_row(self.isa, native.ROW_KERNELS[kernel], len(a), *arguments))
        return y

    def quantize(self, x: Array) -> Array:
        """Rows of activations (n, k) as the q8_a blocks that the integer mul_mat takes, (n, k / 32)."""
        rows = [self.row("quantize_q8_a", row, out=len(row) // 32, dtype=Q8_A) for row in x]
        return np.stack(rows)

    def mul_mat(
        self,
        kind: int,
        k: int,
        n_rows: int,
        packed: Array,
        x: Array,
        bias: Array | None = None,
        act: int = 0,
        residual: Array | None = None,
        gap: int = 0,
    ) -> Array:
        """y (n_cols, n_rows); `gap` values lie between the columns of y and must not change."""
        y = at_end(np.full((len(x), n_rows + gap), 77, np.float32)[:, : n_rows + gap])
        x, packed = at_end(x), at_end(packed)
        bias = at_end(bias) if bias is not None else None
        residual = at_end(residual) if residual is not None else None
        native.check(
            native.lib.gg_call_mul_mat(
                self.isa,
                kind,
                k,
                n_rows,
                pointer(packed),
                len(x),
                pointer(x),
                x.strides[0],
                pointer(y, "float *"),
                y.strides[0],
                pointer(bias, "float *"),
                act,
                pointer(residual, "float *"),
                residual.strides[0] if residual is not None else 0,
            )
        )
        assert (y[:, n_rows:] == 77).all()
        return y[:, :n_rows]

    def attention(
        self,
        q: Array,
        k: Array,
        v: Array,
        scale: float,
        mask: Array | None = None,
        slope: float = 1.0,
        sink: float | None = None,
        first: int | None = None,
        garbage: float = np.nan,
    ) -> Array:
        """out (n_q, d_v) of q (n_q, d_k), k (n_kv, d_k), v (n_kv, d_v); causal from position `first` on, if given.

        Places of k's last tile that hold no position are filled with `garbage`.
        """
        n_kv, d_k = k.shape
        tiles = np.full((-(-n_kv // 32) * 32, d_k), garbage, k.dtype)
        tiles[:n_kv] = k
        packed = at_end(tiles.reshape(-1, 32, d_k).transpose(0, 2, 1))
        q, v = at_end(q), at_end(v)
        mask = at_end(mask.astype(np.float32)) if mask is not None else None
        sinks = np.array([sink], np.float32) if sink is not None else None
        out = at_end(np.full((len(q), v.shape[1]), 77, np.float32))
        native.check(
            native.lib.gg_call_attention(
                self.isa,
                F16 if k.dtype == np.float16 else F32,
                d_k,
                v.shape[1],
                n_kv,
                len(q),
                pointer(q, "float *"),
                q.strides[0],
                pointer(packed),
                pointer(v),
                v.strides[0],
                scale,
                pointer(mask, "float *"),
                mask.strides[0] if mask is not None else 0,
                slope,
                pointer(sinks, "float *"),
                int(first is not None),
                first or 0,
                pointer(out, "float *"),
                out.strides[0],
            )
        )
        return out


@pytest.fixture(scope="session")
def scalar() -> Kernels:
    """The instruction set that the others are held against."""
    return Kernels("scalar")


@pytest.fixture(scope="session", params=native.usable_isas())
def kernels(request: pytest.FixtureRequest) -> Kernels:
    """Every instruction set in turn, scalar too."""
    return Kernels(request.param)


@pytest.fixture
def new_pool() -> Iterator[Callable[[int], Any]]:
    """Makes pools that are freed at the end of the test."""
    pools: list[Any] = []

    def make(n_threads: int) -> Any:
        pool = native.lib.gg_pool_new(n_threads)
        assert pool, native.last_error()
        pools.append(pool)
        return pool

    yield make
    for pool in pools:
        native.lib.gg_pool_free(pool)


@pytest.fixture
def custom() -> Iterator[Callable[[Callable[[int, int, int], int]], None]]:
    """Sets what map_custom steps call: function(node, ith, nth)."""
    kept = []

    def use(function: Callable[[int, int, int], int]) -> None:
        def called(_user: Any, c_step: Any, ith: int, nth: int) -> int:
            return function(native.ffi.cast("gg_step *", c_step).node, ith, nth)

        kept.append(native.ffi.callback("int(void *, void *, int, int)", called))
        native.lib.gg_set_map_custom(kept[-1])

    yield use
    native.lib.gg_set_map_custom(native.lib.gg_py_map_custom)
