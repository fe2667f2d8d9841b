"""Tensors in the memory of a Vulkan device: rows as their nb says, in the order of the model's file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggtui.core.errors import GgtuiError
from ggtui.core.graph.tensor import Bytes, Tensor
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cpu.buffer import RowBuffer
from ggtui.core.runtime.vulkan.opened import Memory, Opened

ALIGNMENT = 256
CHUNKS = {"local": 4 << 20, "shared": 64 << 10}  # bytes that small tensors share


class _Copied(RowBuffer):
    """A tensor's own bytes, its first one first."""

    def bytes(self, t: Tensor) -> Bytes:
        return self.data


class VulkanBuffer:
    """See Buffer in graph/tensor.py. `at`: where in that memory it begins."""

    __slots__ = ("at", "device", "kept", "memory", "n_bytes", "use")
    tile = 1

    def __init__(
        self, memory: Memory, at: int, n_bytes: int, *, device: str, kept: bool = True, use: str = "inputs"
    ) -> None:
        self.memory, self.at, self.n_bytes = memory, at, n_bytes
        self.device, self.kept, self.use = device, kept, use

    @property
    def address(self) -> int:
        return self.memory.address + self.at

    def bytes(self, t: Tensor) -> Bytes:
        if self.memory.host is None:
            raise GgtuiError(f"tensor {t.name!r} lies in the memory of {self.device}; numpy() has a copy of it")
        first = self.at + t.view_offs
        return self.memory.host[first : first + t.n_bytes]

    def read(self, t: Tensor, n_bytes: int) -> Bytes:
        if self.memory.host is not None:
            return self.bytes(t)[:n_bytes]
        return self.memory.download(self.at + t.view_offs, n_bytes)

    def write(self, t: Tensor, data: Bytes) -> None:
        self.memory.upload(self.at + t.view_offs, data)

    def fill_rows(self, t: Tensor, first: int, rows: Bytes) -> None:
        self.memory.upload(self.at + t.view_offs + first * t.nb[1], rows)

    def copy_within(self, t: Tensor, source: int, target: int, n_bytes: int) -> None:
        self.memory.copy(self.at + t.view_offs + source, self.at + t.view_offs + target, n_bytes)

    def download(self, t: Tensor) -> NDArray[Any]:
        return _Copied(self.read(t, t.n_bytes)).download(t)

    def upload(self, t: Tensor, array: NDArray[Any]) -> None:
        whole = _Copied(np.zeros(t.n_bytes, np.uint8) if t.is_contiguous else self.read(t, t.n_bytes).copy())
        whole.upload(t, array)
        self.write(t, whole.data)


class VulkanContext(Context):
    """Memory of the device: what is written between runs where the processor sees it, all else where shaders alone do.
    Small tensors share a piece."""

    packs = False

    def __init__(self, opened: Opened, device: str) -> None:
        super().__init__()
        self.device = device
        self._opened = opened
        self._pieces: dict[str, tuple[Memory, int]] = {}  # of each kind of memory, and how much of it is given out

    def new_buffer(self, n_bytes: int, tile: int, use: str) -> VulkanBuffer:
        where = "shared" if use == "inputs" else "local"
        size = -(-max(n_bytes, 1) // ALIGNMENT) * ALIGNMENT
        self._total += size
        chunk = CHUNKS[where]
        if size > chunk // 4:
            return VulkanBuffer(Memory(self._opened, size, where), 0, n_bytes, device=self.device, use=use)
        piece, filled = self._pieces.get(where, (None, 0))
        if piece is None or filled + size > piece.n_bytes:
            piece, filled = Memory(self._opened, chunk, where), 0
        self._pieces[where] = piece, filled + size
        return VulkanBuffer(piece, filled, n_bytes, device=self.device, use=use)

    def use_huge_pages(self) -> None:
        """The driver knows its pages."""
