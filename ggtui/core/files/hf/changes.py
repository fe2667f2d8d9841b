"""Tensors whose rows GGUF has in another order, or with other values, than Hugging Face's files."""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt

from ggtui.core.files.model_file import Bytes, Rows, RowsOf, TensorInfo
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.cpu.codec import decode_rows

_CHUNK = 1 << 20

Order = npt.NDArray[np.int64]


def pairs(n: int, n_head: int) -> Order:
    """Which of n stored rows goes where, so that what is half a head apart is side by side."""
    return np.arange(n).reshape(n_head, 2, -1).swapaxes(1, 2).reshape(-1)


def by_part(n: int, n_head: int) -> Order:
    """Which of n stored rows goes where, so that q, k, v of each head become all q, all k, all v."""
    return np.arange(n).reshape(n_head, 3, -1).swapaxes(0, 1).reshape(-1)


class Reordered:
    """Rows in another order, read when they are asked for: a slice is (n, row bytes). Within `group` rows after one
    another, what is stored lies close together."""

    def __init__(self, rows: Rows, order: Order, group: int) -> None:
        self._rows, self._order, self._group = rows, order, group

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, rows: slice) -> Bytes:
        start, stop, _ = rows.indices(len(self))
        parts = [self._rows[:0]]
        while start < stop:
            end = min(stop, start - start % self._group + self._group)
            at = self._order[start:end]
            low = int(at.min())
            parts.append(self._rows[low : int(at.max()) + 1][at - low])
            start = end
        return np.concatenate(parts)


def reordered(rows: Rows, info: TensorInfo, order: Order, group: int) -> RowsOf:
    """The rows of a matrix, or the numbers of a vector, in that order."""
    if info.ne[1] > 1:
        return Reordered(rows, order, group)
    return rows[:].view(f"u{info.type.bytes}")[:, order].view(np.uint8)


def transposed(rows: Rows, info: TensorInfo) -> Bytes:
    """A matrix that is stored with its rows as columns. `info`: as it is to be."""
    kind = f"u{info.type.bytes}"
    made, step = np.empty((info.ne[1], info.ne[0]), kind), max(1, _CHUNK // rows[:1].size)
    for i in range(0, len(rows), step):
        made[:, i : i + step] = rows[i : i + step].view(kind).T
    return made.view(np.uint8)


def plus_one(rows: Rows, info: TensorInfo) -> Bytes:
    """A norm's weight as what it multiplies with: f32. `info`: as it is stored."""
    return (decode_rows(info.type, rows[:]) + np.float32(1)).view(np.uint8)


def as_f32(info: TensorInfo) -> TensorInfo:
    """The tensor with its numbers as f32."""
    return TensorInfo(info.name, TYPES["f32"], info.ne, info.offset, 4 * prod(info.ne))
