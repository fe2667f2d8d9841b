"""A model's weights on their way from its file into memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from types import TracebackType
from typing import Any, NamedTuple, Self

from ggtui.core.files import ModelFile, TensorInfo
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TYPES, TensorType
from ggtui.core.models.base import TensorSpec, Weights
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.cpu.buffer import TileBuffer
from ggtui.core.runtime.cpu.codec import decode_rows
from ggtui.core.runtime.cpu.native import check, ffi, lib

_GROUP = 256 << 20  # bytes of a file that are looked at before they are given back
_SHARE = 1 << 20  # bytes of a matrix that a thread packs at a time


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
    if spec.matrix and layout(info.type, "weights") > 1:
        return context.new_tensor(info.type, ne, name, packed=True)
    if spec.matrix or spec.any_type or info.type.own:
        t = context.new_tensor(info.type, ne, name)
        t.bytes()[:] = file.data(name)
        file.release(name)
        return t
    return context.tensor(decode_rows(info.type, file.data(name).reshape(1, -1))[0], name, TYPES["f32"])


class _Group(NamedTuple):
    """Matrices that are packed together. `next` is the first job that no thread has taken; `data` is what they read."""

    names: list[str]
    data: list[Any]
    jobs: Any
    next: Any


class Packing:
    """Packs the matrices of a file for the kernels, in threads that need no GIL, from when it is made on.

    `finish` lends a hand and waits for the end. Of the file's map as little as possible stays in memory. In a `with`,
    so that no thread outlives the file; where that ends by an error, what is not packed yet stays so.
    """

    def __init__(self, file: ModelFile, weights: Weights, threads: int) -> None:
        self._file, self._weights = file, weights
        self._names = [name for name, t in weights.items() if t.packed]
        self._copied = [name for name in self._names if file.copies(name)]
        self._mapped = [name for name in self._names if not file.copies(name)]
        self._lock = Lock()
        self._group: _Group | None = None  # under way
        n = max(1, threads - 1)
        self._helps = threads > 1
        self._pool = ThreadPoolExecutor(n)
        self._others = [self._pool.submit(self._work) for _ in range(n)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, type: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if type is not None:
            with self._lock:
                self._copied, self._mapped = [], []
                if self._group is not None:
                    self._group.next[0] = len(self._group.jobs)
        self._pool.shutdown()

    def finish(self) -> None:
        """Pack what is left, together with the other threads. Raises what they raised."""
        if self._helps:
            self._work()
        for other in self._others:
            other.result()
        for name in self._names:  # again: reading a neighbour maps what the system holds in one piece with it
            self._file.release(name)

    def _work(self) -> None:
        while (name := self._next_copied()) is not None:  # each thread copies and packs matrices of its own
            self._pack(self._group_of([name]))
        group = self._next_group(None)
        while group is not None:
            self._pack(group)
            group = self._next_group(group)

    def _pack(self, group: _Group) -> None:
        check(lib.gg_pack_all(group.jobs, len(group.jobs), group.next))
        for name in group.names:
            self._file.release(name)  # the packed copy is the only one

    def _next_copied(self) -> str | None:
        with self._lock:
            return self._copied.pop(0) if self._copied else None

    def _next_group(self, done: _Group | None) -> _Group | None:
        """The group that is under way; once that is `done`, another."""
        with self._lock:
            if self._group is done:
                names, n_bytes = [], 0
                while self._mapped and n_bytes < _GROUP:
                    names.append(self._mapped.pop(0))
                    n_bytes += self._file.tensors[names[-1]].n_bytes
                self._group = self._group_of(names) if names else None
            return self._group

    def _group_of(self, names: list[str]) -> _Group:
        data = [self._file.data(name) for name in names]
        jobs = [job for name, d in zip(names, data, strict=True) for job in self._jobs(self._weights[name], d)]
        return _Group(names, data, ffi.new("gg_pack_job[]", jobs), ffi.new("int64_t *"))

    def _jobs(self, t: Tensor, data: Any) -> list[Any]:
        buffer = t.buffer
        assert isinstance(buffer, TileBuffer)
        return buffer.pack_jobs(t, data, _SHARE)
