"""Contexts: whose memory tensors lie in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ggtui.core.errors import ShapeError, UsageError
from ggtui.core.graph.tensor import Buffer, Bytes, Tensor, tiled_nb
from ggtui.core.graph.types import TensorType, type_of
from ggtui.core.runtime.cpu.buffer import RowBuffer, TileBuffer
from ggtui.core.runtime.cpu.native import lib
from ggtui.core.runtime.memory import ALIGNMENT, Pages, aligned_zeros

_CHUNK = 1 << 20
_LARGE_CHUNK = 64 << 20


# What the memory of a tensor is for -> whether it is taken in huge pages: at once where every token reads all of it,
# later where it is filled little by little, see Pages; never for what is small.
USES: dict[str, bool | None] = {
    "weights": True,  # matrices that products read; as "rows" they don't change once they are filled
    "rows": True,  # what is read row by row or value by value: norms, biases, positions
    "keys": False,
    "values": False,
    "inputs": None,  # what is written between runs, and all that is made by hand
}
CONSTANT = ("weights", "rows")


class _Arena:
    """Memory that grows by chunks, in huge pages or not, see USES."""

    def __init__(self, huge_pages: bool | None) -> None:
        self._huge_pages = huge_pages
        self._pages: list[Pages] = []
        self._chunk: Bytes = np.empty(0, np.uint8)
        self._used = 0  # of the chunk

    def allocate(self, size: int) -> Bytes:
        chunk = _CHUNK if self._huge_pages is None else _LARGE_CHUNK
        if size > chunk // 4:
            return self._zeros(size)
        if self._used + size > len(self._chunk):
            self._chunk, self._used = self._zeros(chunk), 0
        self._used += size
        return self._chunk[self._used - size : self._used]

    def _zeros(self, n_bytes: int) -> Bytes:
        if self._huge_pages is None:
            return aligned_zeros(n_bytes)
        self._pages.append(Pages(n_bytes, huge=self._huge_pages))
        return self._pages[-1].data

    def use_huge_pages(self) -> None:
        for pages in self._pages:
            pages.use_huge()


class Context:
    """Owns the memory of tensors, which is given back as a whole. Those of other devices have memory of these."""

    device = "cpu"
    packs = True  # whether rows may lie in tiles; else who asks for that gets them as they are

    def __init__(self) -> None:
        self._arenas: dict[bool | None, _Arena] = {}
        self._total = 0

    def used_mem(self) -> int:
        """Bytes given to tensors so far."""
        return self._total

    def allocate(self, n_bytes: int, use: str = "inputs") -> Bytes:
        """`n_bytes` of zeroed memory, aligned to 64 bytes, owned by this context. Raises GgtuiError where the system
        has no such room."""
        size = -(-n_bytes // ALIGNMENT) * ALIGNMENT
        self._total += size
        huge_pages = USES[use]
        if huge_pages not in self._arenas:
            self._arenas[huge_pages] = _Arena(huge_pages)
        return self._arenas[huge_pages].allocate(size)[:n_bytes]

    def use_huge_pages(self) -> None:
        """Where they were small until now. What was written to them is lost."""
        for arena in self._arenas.values():
            arena.use_huge_pages()

    def tile(self, type: TensorType, use: str) -> int:
        """How many rows of a tensor lie side by side where it is not said otherwise: weights and keys lie in tiles
        where a kernel reads them so."""
        return TileBuffer.tile if use in ("weights", "keys") and lib.gg_packable(type.id) else 1

    def new_buffer(self, n_bytes: int, tile: int, use: str) -> Buffer:
        """Zeroed memory of this context's."""
        kind = TileBuffer if tile > 1 else RowBuffer
        return kind(self.allocate(n_bytes, use), device=self.device, use=use)

    def new_tensor(
        self,
        type: str | TensorType,
        ne: Sequence[int],
        name: str = "",
        *,
        packed: bool | None = None,
        use: str = "inputs",
    ) -> Tensor:
        """A tensor of the given sizes, ne[0] the row, filled with zeros, for one of USES.

        `packed` lays its rows in tiles of 32, which the fast mul_mat kernels read; None: as its use wants it. Raises
        UsageError for an unknown type or one that can't be packed, ShapeError for rows that are no whole number of
        blocks, and for sizes that no memory has.
        """
        kind = type_of(type)
        packed = packed if self.packs else False
        if packed and not lib.gg_packable(kind.id):
            raise UsageError(f"type {kind.name} can't be packed")
        if not isinstance(ne, Sequence):
            raise ShapeError(f"new_tensor: sizes {ne!r} must be given as a sequence, the row first")
        full = (*ne, *[1] * (4 - len(ne)))
        if len(ne) and isinstance(full[0], int) and full[0] % kind.block:
            raise ShapeError(
                f"new_tensor: a row of {full[0]} is no whole number of {kind.name} blocks ({kind.block} each)"
            )
        tile = self.tile(kind, use) if packed is None else TileBuffer.tile if packed else 1
        t = Tensor(kind, ne, name=name, nb=tiled_nb(kind, full, tile) if tile > 1 else None)
        t.place(self.new_buffer(t.n_bytes_in(tile), tile, use))
        return t

    def new_tensor_1d(self, type: str | TensorType, ne0: int, name: str = "") -> Tensor:
        return self.new_tensor(type, (ne0,), name)

    def new_tensor_2d(self, type: str | TensorType, ne0: int, ne1: int, name: str = "") -> Tensor:
        return self.new_tensor(type, (ne0, ne1), name)

    def new_tensor_3d(self, type: str | TensorType, ne0: int, ne1: int, ne2: int, name: str = "") -> Tensor:
        return self.new_tensor(type, (ne0, ne1, ne2), name)

    def new_tensor_4d(self, type: str | TensorType, ne0: int, ne1: int, ne2: int, ne3: int, name: str = "") -> Tensor:
        return self.new_tensor(type, (ne0, ne1, ne2, ne3), name)

    def tensor(
        self,
        array: Any,
        name: str = "",
        type: str | TensorType | None = None,
        *,
        packed: bool | None = None,
        use: str = "inputs",
    ) -> Tensor:
        """A tensor with the values of `array`, whose shape turned round is ne.

        `type` converts or quantizes on the way in; without it integers become i32, float16 stays f16, all else f32.
        """
        values = np.asarray(array)
        if values.ndim == 0:
            values = values.reshape(1)
        if type is None:
            type = "f16" if values.dtype == np.float16 else "i32" if values.dtype.kind in "iub" else "f32"
            limits = np.iinfo(np.int32)
            if type == "i32" and values.size and not limits.min <= values.min() <= values.max() <= limits.max:
                raise UsageError("tensor: a value does not fit into i32; say type='f32' to have it rounded")
        if values.dtype.kind not in "iubf":
            raise UsageError(f"tensor: values of {values.dtype} are no numbers that a tensor has")
        t = self.new_tensor(type, tuple(reversed(values.shape)), name, packed=packed, use=use)
        t.set(values)
        return t
