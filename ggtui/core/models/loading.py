"""A model's weights on their way from its file into memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from ggtui.core.files import ModelFile, TensorInfo
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TYPES, TensorType
from ggtui.core.models.base import TensorSpec
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cpu.buffer import TileBuffer
from ggtui.core.runtime.cpu.codec import decode_rows
from ggtui.core.runtime.cpu.native import lib

_SHARE = 1 << 20  # bytes of a matrix that a thread reads at a time

Layout = Callable[[TensorType, str], int]  # Device.layout


def place_weights(
    file: ModelFile, specs: Mapping[str, TensorSpec], context: Context, layout: Layout
) -> dict[str, Tensor]:
    """The file's tensors, in the layout of a device: room for matrices in tiles, which Packing fills; small ones as
    f32; the rest as the file has them, copied."""
    return {name: _place(file, name, specs[name], context, layout) for name in specs if name in file.tensors}


def _place(file: ModelFile, name: str, spec: TensorSpec, context: Context, layout: Layout) -> Tensor:
    info: TensorInfo = file.tensors[name]
    ne = info.ne[: len(spec.ne)]
    if spec.use == "matrix" and layout(info.type, "weights") > 1:
        return context.new_tensor(info.type, ne, name, packed=True)
    if spec.use != "vector" or info.type.own:
        t, rows = context.new_tensor(info.type, ne, name), file.rows(name)
        held = t.bytes().reshape(len(rows), -1)
        for part in _parts(t, _SHARE):
            held[part] = rows[part]
        return t
    return context.tensor(decode_rows(info.type, file.data(name).reshape(1, -1))[0], name, TYPES["f32"])


def _parts(t: Tensor, n_bytes: int) -> Iterator[slice]:
    """All rows of a tensor, in whole tiles of each of its matrices, about `n_bytes` at a time."""
    step = max(1, n_bytes // (t.nb[1] * TileBuffer.tile)) * TileBuffer.tile
    for first in range(0, t.n_rows, t.ne[1]):
        for row in range(first, first + t.ne[1], step):
            yield slice(row, min(row + step, first + t.ne[1]))


class Packing:
    """Packs the matrices of a file for the kernels, in threads that seldom need the GIL, from when it is made on.

    `finish` lends a hand and waits for the end. Each thread reads a share and packs it, so that of the file there is
    little in memory. In a `with`, so that no thread outlives the file; where that ends by an error, what is not packed
    yet stays so.
    """

    def __init__(self, file: ModelFile, weights: Mapping[str, Tensor], threads: int) -> None:
        self._file = file
        self._shares = deque(
            (name, t, part)
            for name, t in weights.items()
            if t.packed
            for part in _parts(t, t.n_bytes if file.reads_whole(name) else _SHARE)
        )
        n = max(1, threads - 1)
        self._helps = threads > 1
        self._pool = ThreadPoolExecutor(n)
        self._others = [self._pool.submit(self._work) for _ in range(n)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, type: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._shares.clear()
        self._pool.shutdown()
        lib.gg_trim_heap()  # a file that was read, and what became a vocabulary, leave megabytes there

    def finish(self) -> None:
        """Pack what is left, together with the other threads. Raises what they raised."""
        if self._helps:
            self._work()
        for other in self._others:
            other.result()

    def _work(self) -> None:
        while True:
            try:
                name, t, part = self._shares.popleft()
            except IndexError:
                return
            buffer = t.buffer
            assert isinstance(buffer, TileBuffer)
            buffer.pack_rows(t, part.start, self._file.rows(name)[part])
