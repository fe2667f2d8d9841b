"""ModelFile: what every reader gives. What is read of the file is copied, so what was read stays as it was."""

from __future__ import annotations

import os
import stat
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, Protocol, Self

import numpy as np
import numpy.typing as npt

from ggtui.core.errors import GgtuiError, ModelFileError, UsageError
from ggtui.core.graph.types import TensorType

Bytes = npt.NDArray[np.uint8]

_BLOCK = 1 << 16  # bytes read at a time where fields are taken one by one


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor of a model file: `ne` elements, ne[0] the row, from byte `offset` of the file on."""

    name: str
    type: TensorType
    ne: tuple[int, int, int, int]
    offset: int
    n_bytes: int


class RowsOf(Protocol):
    """The rows of a tensor: a slice is (n, row bytes)."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: slice, /) -> Bytes: ...


class ModelFile:
    """A model file, open for reading. A reader fills `metadata` and `tensors` while it is constructed.

    `metadata` uses GGUF's keys, whatever the format. Use it in a `with`, or call `close()`.
    The file is never mapped: under a map that another program cuts short, the process is killed.
    """

    size: int  # bytes
    notes: tuple[str, ...] = ()  # what of the model is left out or not done, in a line each

    def __init__(self, path: str | Path) -> None:
        """Raises ModelFileError if the file is missing, empty, not a regular file, or cannot be read."""
        self.path = Path(path)
        self.metadata: Mapping[str, Any] = MappingProxyType({})
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType({})
        self._open_file()

    def _open_file(self) -> None:
        self._block, self._block_at = b"", 0
        try:
            # Without O_NONBLOCK, opening a named pipe would wait for its writer.
            self._fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
            self._closing = weakref.finalize(self, os.close, self._fd)
            status = os.fstat(self._fd)
        except FileNotFoundError:
            self.refuse("file", "does not exist; check the spelling")
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
            self._refuse_to_read(error)
        problem = "is not a regular file" if not stat.S_ISREG(status.st_mode) else ""
        if not problem and status.st_size == 0:
            problem = "is empty; copy or download it again"
        if problem:
            self._closing()  # what a subclass closes beside it is not there yet
            self.refuse("file", problem)
        self.size, self._changed_ns = status.st_size, status.st_mtime_ns

    def refuse(self, field: str, problem: str, offset: int | None = None) -> NoReturn:
        """Raise ModelFileError for this file."""
        raise ModelFileError(self.path, field, problem, offset)

    def _refuse_to_read(self, error: Exception) -> NoReturn:
        self.refuse("file", f"cannot be read: {getattr(error, 'strerror', None) or error}")

    def read(self, offset: int, n: int) -> Bytes:
        """`n` bytes from `offset` on, in memory of their own; from any thread.

        Raises ModelFileError where the file cannot be read or was changed since it was opened, GgtuiError after
        `close()`.
        """
        if not self._closing.alive:
            raise GgtuiError(f"{self.path}: is closed; read its tensors before")
        data, done = np.empty(n, np.uint8), 0
        try:
            while done < n and (got := os.preadv(self._fd, [data[done:].data], offset + done)):
                done += got
            status = os.fstat(self._fd)
        except OSError as error:
            self._refuse_to_read(error)
        if done < n or (status.st_size, status.st_mtime_ns) != (self.size, self._changed_ns):
            self.refuse("file", "was changed while it was read; try again when nothing writes to it")
        return data

    def head(self, n: int) -> bytes:
        """The first `n` bytes of the file, fewer where it is shorter."""
        return self.read(0, min(n, self.size)).tobytes()

    def field(self, offset: int, n: int) -> bytes:
        """As `read`, for what is small and near to what was taken last: it is read in blocks."""
        if not self._block_at <= offset <= offset + n <= self._block_at + len(self._block):
            self._block = self.read(offset, max(n, min(_BLOCK, self.size - offset))).tobytes()
            self._block_at = offset
        return self._block[offset - self._block_at : offset - self._block_at + n]

    def data(self, name: str) -> Bytes:
        """The bytes of a tensor, (n_bytes,). Raises UsageError for an unknown name, and what `read` raises."""
        return self.rows(name)[:].reshape(-1)

    def rows(self, name: str) -> RowsOf:
        """The rows of a tensor, (n, row bytes), to be sliced. Raises UsageError for an unknown name, and what `read`
        raises."""
        return Rows(self._file_of(name), self._info(name))

    def _file_of(self, name: str) -> ModelFile:
        """The one that a tensor lies in, where a model is in several."""
        return self

    def reads_whole(self, name: str) -> bool:
        """Whether `rows` of a tensor has read all of them. Raises UsageError for an unknown name."""
        self._info(name)
        return False

    def _info(self, name: str) -> TensorInfo:
        if name not in self.tensors:
            raise UsageError(f"{self.path}: has no tensor {name!r}")
        return self.tensors[name]

    def close(self) -> None:
        """Let go of the file; what was read stays good."""
        self._closing()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Rows:
    """The rows of a tensor that are read when they are asked for: a slice is (n, row bytes), in memory of its own."""

    def __init__(self, file: ModelFile, info: TensorInfo) -> None:
        self._file, self._offset = file, info.offset
        self._n = prod(info.ne[1:])
        self._row_bytes = info.n_bytes // self._n

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, rows: slice) -> Bytes:
        start, stop, _ = rows.indices(self._n)
        n = max(stop - start, 0)
        return self._file.read(self._offset + start * self._row_bytes, n * self._row_bytes).reshape(n, self._row_bytes)
