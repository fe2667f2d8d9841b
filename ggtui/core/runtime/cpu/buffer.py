"""Memory that C works on: rows one after the other, or in tiles for the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from ggtui.core.errors import ShapeError
from ggtui.core.graph.tensor import NUMPY_TYPES, Bytes, Tensor, describe
from ggtui.core.runtime.cpu.codec import decode_rows, encode_rows
from ggtui.core.runtime.cpu.native import check, ffi, lib


class RowBuffer:
    """Rows that lie as a tensor's nb says. Arrays that it hands out hold on to its memory."""

    __slots__ = ("data", "device", "kept", "use")
    tile = 1

    def __init__(self, data: Bytes, *, kept: bool = True, device: str = "cpu", use: str = "inputs") -> None:
        self.data = data
        self.kept, self.device, self.use = kept, device, use

    @property
    def n_bytes(self) -> int:
        return len(self.data)

    def bytes(self, t: Tensor) -> Bytes:
        return self.data[t.view_offs : t.view_offs + t.n_bytes]

    def read(self, t: Tensor, n_bytes: int) -> Bytes:
        return self.bytes(t)[:n_bytes]

    def write(self, t: Tensor, data: Bytes) -> None:
        self.bytes(t)[: len(data)] = data

    def fill_rows(self, t: Tensor, first: int, rows: Bytes) -> None:
        self.bytes(t).reshape(t.n_rows, -1)[first : first + len(rows)] = rows

    def copy_within(self, t: Tensor, source: int, target: int, n_bytes: int) -> None:
        data = self.bytes(t)
        data[target : target + n_bytes] = data[source : source + n_bytes]

    def download(self, t: Tensor) -> NDArray[Any]:
        dtype = NUMPY_TYPES.get(t.type.name)
        if dtype is not None:
            return numbers(self.bytes(t), dtype, t.shape, t.nb[: t.n_dims])
        row_bytes = t.type.row_bytes(t.ne[0])
        shape, strides = (*reversed(t.ne[1:]), t.ne[0] // t.type.block, t.type.bytes), (*reversed(t.nb), 1)
        if t.type.head:  # such a row is one piece
            shape, strides = (*reversed(t.ne[1:]), row_bytes), (*reversed(t.nb[1:]), 1)
        rows = as_strided(self.bytes(t), shape, strides, writeable=False).reshape(t.n_rows, row_bytes)
        whole = decode_rows(t.type, rows).reshape(tuple(reversed(t.ne[: t.n_dims])))
        return whole[tuple(slice(n) for n in t.shape)]

    def upload(self, t: Tensor, array: NDArray[Any]) -> None:
        if t.type.name in NUMPY_TYPES:
            self.download(t)[...] = array
            return
        if not t.is_contiguous:
            raise ShapeError(f"set: {describe(t)} is not contiguous")
        rows = np.ascontiguousarray(array, np.float32).reshape(t.n_rows, t.ne[0])
        if rows.size:
            self.bytes(t)[:] = encode_rows(t.type, rows).reshape(-1)


class TileBuffer(RowBuffer):
    """Rows in tiles of 32: see gg_pack in gg.h."""

    __slots__ = ()
    tile = int(lib.GG_TILE)

    def download(self, t: Tensor) -> NDArray[Any]:
        out = np.empty((t.n_rows, t.ne[0]), np.float32)
        data = self.bytes(t)
        for i, at in enumerate(_matrices(t)):
            for i1, row in enumerate(out[i * t.ne[1] : (i + 1) * t.ne[1]]):
                check(lib.gg_unpack_row(t.type.id, t.ne[0], i1, pointer(data[at:]), pointer(row, "float *")))
        whole = out.reshape(tuple(reversed(t.ne[: t.n_dims])))
        return whole[tuple(slice(n) for n in t.shape)]

    def upload(self, t: Tensor, array: NDArray[Any]) -> None:
        rows = np.ascontiguousarray(array, np.float32).reshape(t.n_rows, t.ne[0])
        if rows.size:
            self.pack(t, encode_rows(t.type, rows).reshape(-1))

    def read(self, t: Tensor, n_bytes: int) -> Bytes:
        row_bytes, data = t.type.row_bytes(t.ne[0]), self.bytes(t)
        out = np.empty((t.n_rows, row_bytes), np.uint8)
        for i, at in enumerate(_matrices(t)):
            rows = out[i * t.ne[1] : (i + 1) * t.ne[1]]
            check(lib.gg_unpack(t.type.id, t.ne[0], len(rows), pointer(data[at:]), pointer(rows)))
        return out.reshape(-1)[:n_bytes]

    def write(self, t: Tensor, data: Bytes) -> None:
        self.pack(t, data)

    def pack(self, t: Tensor, plain: Bytes) -> None:
        """Fill a tensor from the bytes of the plain layout, as a model file holds them."""
        rows = plain.reshape(t.n_rows, -1)
        for first in range(0, t.n_rows, t.ne[1]):
            self.fill_rows(t, first, rows[first : first + t.ne[1]])

    def fill_rows(self, t: Tensor, first: int, rows: Bytes) -> None:
        matrix, row = divmod(first, t.ne[1])
        to = _matrices(t)[matrix] + row * t.type.row_bytes(t.ne[0])
        dst = pointer(self.bytes(t)[to:])
        check(lib.gg_pack(t.type.id, t.ne[0], len(rows), pointer(np.ascontiguousarray(rows)), dst))


def numbers(data: Bytes, dtype: Any, shape: tuple[int, ...], nb: tuple[int, ...]) -> NDArray[Any]:
    """Bytes as an array of numbers: shape is numpy's, nb are the strides of its dimensions turned round."""
    flat = data[: len(data) - len(data) % np.dtype(dtype).itemsize].view(dtype)
    return as_strided(flat, shape=shape, strides=tuple(reversed(nb)))


def pointer(data: NDArray[Any], kind: str = "void *") -> Any:
    """Where an array lies. It must live for as long as C uses that."""
    return ffi.cast(kind, data.__array_interface__["data"][0])


def _matrices(t: Tensor) -> list[int]:
    """Where each matrix of a tensor begins, in bytes."""
    return [i2 * t.nb[2] + i3 * t.nb[3] for i3 in range(t.ne[3]) for i2 in range(t.ne[2])]
