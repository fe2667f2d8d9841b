"""A model's weights on their way from its file into memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from types import TracebackType
from typing import Any, NamedTuple, Self

from ggtui.core.files import ModelFile, TensorInfo
from ggtui.core.models.base import TensorSpec, Weights
from ggtui.core.native import check, ffi, lib
from ggtui.core.own_types import decode_rows
from ggtui.core.tensor import Context, Tensor
from ggtui.core.types import TYPES

_GROUP = 256 << 20  # bytes of a file that are looked at before they are given back
_SHARE = 1 << 20  # bytes of a matrix that a thread packs at a time


def place_weights(file: ModelFile, specs: Mapping[str, TensorSpec], context: Context) -> dict[str, Tensor]:
    """The file's tensors: room for the matrices, which Packing fills; small ones as f32; the rest where the file's map
    has them."""
    return {name: _place(file, name, specs[name], context) for name in specs if name in file.tensors}


def _place(file: ModelFile, name: str, spec: TensorSpec, context: Context) -> Tensor:
    info: TensorInfo = file.tensors[name]
    if spec.matrix and not info.type.own:
        return context.new_tensor(info.type, info.ne[: len(spec.ne)], name, packed=True)
    if spec.any_type or info.type.own:  # read by a row now and then, from the map
        t = Tensor(info.type, info.ne[: len(spec.ne)], name=name)
        t.buffer = file.data(name)
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
    so that no thread outlives the file.
    """

    def __init__(self, file: ModelFile, weights: Weights, threads: int) -> None:
        self._file, self._weights = file, weights
        self._names = [name for name, t in weights.items() if t.packed]
        self._groups, self._lock = self._all_groups(), Lock()
        self._group: _Group | None = None  # under way
        n = max(1, threads - 1)
        self._helps = threads > 1
        self._pool = ThreadPoolExecutor(n)
        self._others = [self._pool.submit(self._work) for _ in range(n)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, type: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
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
        group = self._next(None)
        while group is not None:
            check(lib.gg_pack_all(group.jobs, len(group.jobs), group.next))
            for name in group.names:
                self._file.release(name)  # the packed copy is the only one
            group = self._next(group)

    def _next(self, done: _Group | None) -> _Group | None:
        """The group that is under way; once that is `done`, another."""
        with self._lock:
            if self._group is done:
                self._group = next(self._groups, None)
            return self._group

    def _all_groups(self) -> Iterator[_Group]:
        left = list(self._names)
        while left:
            names: list[str] = []
            data, jobs, n_bytes = [], [], 0
            while left and n_bytes < _GROUP:
                name = left.pop(0)
                t, plain = self._weights[name], self._file.data(name)
                jobs += t.pack_jobs(plain, _SHARE)
                names.append(name)
                data.append(plain)
                n_bytes += len(plain)
            yield _Group(names, data, ffi.new("gg_pack_job[]", jobs), ffi.new("int64_t *"))
