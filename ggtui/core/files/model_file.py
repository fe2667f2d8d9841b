"""ModelFile: what every reader gives. The file is mapped: a tensor costs no memory until it is read."""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, Self

import numpy as np
import numpy.typing as npt

from ggtui.core.errors import GgtuiError, ModelFileError, UsageError
from ggtui.core.graph.types import TensorType

ALIGNMENT = 8  # of the numbers that C reads


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor of a model file: `ne` elements, ne[0] the row, from byte `offset` of the file on."""

    name: str
    type: TensorType
    ne: tuple[int, int, int, int]
    offset: int
    n_bytes: int


class ModelFile:
    """A model file, mapped read-only. A reader fills `metadata` and `tensors` while it is constructed.

    `metadata` uses GGUF's keys, whatever the format. Use it in a `with`, or call `close()`.
    """

    def __init__(self, path: str | Path) -> None:
        """Raises ModelFileError if the file is missing, empty, not a regular file, or cannot be read."""
        self.path = Path(path)
        self.metadata: Mapping[str, Any] = MappingProxyType({})
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType({})
        self._map = self._open_map()
        self._bytes: npt.NDArray[np.uint8] | None = np.frombuffer(self._map, np.uint8)

    def _open_map(self) -> mmap.mmap:
        try:
            # Without O_NONBLOCK, opening a named pipe would wait for its writer.
            fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                status = os.fstat(fd)
                if not stat.S_ISREG(status.st_mode):
                    self.refuse("file", "is not a regular file")
                if status.st_size == 0:
                    self.refuse("file", "is empty; copy or download it again")
                return mmap.mmap(fd, status.st_size, access=mmap.ACCESS_READ)
            finally:
                os.close(fd)
        except FileNotFoundError:
            self.refuse("file", "does not exist; check the spelling")
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
            self.refuse("file", f"cannot be read: {getattr(error, 'strerror', None) or error}")

    def refuse(self, field: str, problem: str, offset: int | None = None) -> NoReturn:
        """Raise ModelFileError for this file."""
        raise ModelFileError(self.path, field, problem, offset)

    def head(self, n: int) -> bytes:
        """The first `n` bytes of the file, fewer where it is shorter."""
        return self._map[:n]

    def data(self, name: str) -> npt.NDArray[np.uint8]:
        """The bytes of a tensor, read-only, (n_bytes,): a view of the map, or a copy where they are not aligned there.

        They stay good after `close()`. Raises UsageError for an unknown name, GgtuiError after `close()`.
        """
        return self.view(self._info(name))

    def view(self, info: TensorInfo) -> npt.NDArray[np.uint8]:
        """As `data`, for a tensor that this file holds whether or not it is listed in `tensors`."""
        if self._bytes is None:
            raise GgtuiError(f"{self.path}: is closed; read its tensors before")
        data = self._bytes[info.offset : info.offset + info.n_bytes]
        if info.offset % ALIGNMENT:
            data = data.copy()
            data.flags.writeable = False
        return data

    def copies(self, name: str) -> bool:
        """Whether `data` of a tensor is a copy. Raises UsageError for an unknown name."""
        return self._info(name).offset % ALIGNMENT != 0

    def release(self, name: str) -> None:
        """Give back the memory that reading a tensor took; what `data` gave stays good and is read from the file anew.

        Raises UsageError for an unknown name.
        """
        self.release_view(self._info(name))

    def release_view(self, info: TensorInfo) -> None:
        """As `release`, for what `view` gave."""
        start = info.offset // mmap.PAGESIZE * mmap.PAGESIZE
        self._map.madvise(mmap.MADV_DONTNEED, start, info.offset + info.n_bytes - start)

    def _info(self, name: str) -> TensorInfo:
        if name not in self.tensors:
            raise UsageError(f"{self.path}: has no tensor {name!r}")
        return self.tensors[name]

    def close(self) -> None:
        """Let go of the file. The map itself goes with the last view that `data` has given."""
        self._bytes = None
        with contextlib.suppress(BufferError):  # views are still about
            self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
