"""A model's weights on their way from its file into memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from types import TracebackType
from typing import Self

from ggtui.core.files import ModelFile, TensorInfo
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TYPES
from ggtui.core.models.base import TensorSpec
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cpu.codec import decode_rows
from ggtui.core.runtime.cpu.native import lib
from ggtui.core.runtime.device import Device

Progress = Callable[[int, int], None]  # bytes of the weights that are in memory, and of all
_SHARE = 1 << 20  # bytes of a matrix that a thread reads at a time


def place_weights(
    file: ModelFile, specs: Mapping[str, TensorSpec], device: Device, *, packed: bool | None = None
) -> dict[str, Tensor]:
    """The file's tensors in the memory of a device, in the layout that it reads them in, or with `packed` False row by
    row: room for matrices and rows, which Filling fills; small ones as f32."""
    context = device.context()
    return {name: _place(file, name, specs[name], context, packed) for name in specs if name in file.tensors}


def _place(file: ModelFile, name: str, spec: TensorSpec, context: Context, packed: bool | None) -> Tensor:
    info: TensorInfo = file.tensors[name]
    if spec.as_f32 and not info.type.own:
        values = decode_rows(info.type, file.data(name).reshape(1, -1))[0]
        return context.tensor(values, name, TYPES["f32"], use="rows")
    use = "weights" if spec.use == "matrix" else "rows"
    return context.new_tensor(info.type, info.ne[: len(spec.ne)], name, use=use, packed=packed)


def _parts(t: Tensor, n_bytes: int) -> Iterator[slice]:
    """All rows of a tensor, in whole tiles of each of its matrices, about `n_bytes` at a time."""
    assert t.buffer is not None
    step = max(1, n_bytes // (t.nb[1] * t.buffer.tile)) * t.buffer.tile
    for first in range(0, t.n_rows, t.ne[1]):
        for row in range(first, first + t.ne[1], step):
            yield slice(row, min(row + step, first + t.ne[1]))


def _n_bytes(t: Tensor, n_rows: int) -> int:
    """Of so many rows of a tensor."""
    return n_rows * t.type.row_bytes(t.ne[0])


class Filling:
    """Fills tensors from a file, packed for the kernels where they lie in tiles, in threads that seldom need the GIL,
    from when it is made on.

    `finish` lends a hand and waits for the end. Each thread reads a share and packs it, so that of the file there is
    little in memory. In a `with`, so that no thread outlives the file; where that ends by an error, what is not filled
    yet stays so.

    `progress` is called at once and after each share, from the thread that filled it, one call at a time: what it takes
    the others may wait for. Its bytes only grow, and are all in the last call. What it raises comes out of `finish`.
    """

    def __init__(
        self, file: ModelFile, weights: Mapping[str, Tensor], threads: int, progress: Progress | None = None
    ) -> None:
        self._file = file
        self._shares = deque(
            (name, t, part)
            for name, t in weights.items()
            if t.type is file.tensors[name].type and t.n_bytes
            for part in _parts(t, t.n_bytes if file.reads_whole(name) else _SHARE)
        )
        self._progress, self._counting = progress, Lock()
        self._all = sum(_n_bytes(t, t.n_rows) for t in weights.values())  # without what fills up tiles
        left = sum(_n_bytes(t, part.stop - part.start) for _, t, part in self._shares)
        self._done = self._all - left  # small tensors, which lie there already
        if progress is not None:
            progress(self._done, self._all)
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
        """Fill what is left, together with the other threads. Raises what they raised."""
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
            assert t.buffer is not None
            t.buffer.fill_rows(t, part.start, self._file.rows(name)[part])
            if self._progress is not None:
                with self._counting:
                    self._done += _n_bytes(t, part.stop - part.start)
                    self._progress(self._done, self._all)
