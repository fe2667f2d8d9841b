"""Memory that tensors lie in: zeroed, aligned, and in huge pages where that pays."""

from __future__ import annotations

import contextlib
import mmap
import sys

import numpy as np
from numpy.typing import NDArray

from ggtui.core.errors import GgtuiError

Bytes = NDArray[np.uint8]
ALIGNMENT = 64  # of every tensor in an arena: a cache line, and the widest vector
HUGE_PAGE = 2 << 20


def aligned_zeros(n_bytes: int) -> Bytes:
    """Zeroed memory whose first byte is aligned; its pages are only taken when they are touched. Raises GgtuiError
    where the system has no such room, as Pages does."""
    try:
        raw = np.zeros(n_bytes + ALIGNMENT, np.uint8)
    except (MemoryError, OverflowError, ValueError) as error:
        raise _lacking(n_bytes, error) from error
    skip = -_address(raw) % ALIGNMENT
    return raw[skip : skip + n_bytes]


class Pages:
    """Zeroed memory, `data`, at a multiple of 2 MiB. `huge`: in pages of that size, where the system grants them.

    The addresses of a huge page are looked up much faster, but it is in memory as a whole as soon as one byte of it is
    touched. So what is long used in part only begins with small ones.
    """

    def __init__(self, n_bytes: int, *, huge: bool) -> None:
        try:
            self._map = mmap.mmap(-1, n_bytes + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except (OSError, OverflowError, ValueError) as error:
            raise _lacking(n_bytes, error) from error
        raw = np.frombuffer(self._map, np.uint8)
        start = -_address(raw) % HUGE_PAGE
        self.data: Bytes = raw[start : start + n_bytes]
        self._huge = False
        if huge:
            self.use_huge()

    def use_huge(self) -> None:
        """Let the pages be huge from now on. What was written is lost if they were not."""
        if not self._huge:
            self._huge = True
            self.give_back()
            if hasattr(mmap, "MADV_HUGEPAGE"):
                with contextlib.suppress(OSError):  # a kernel without them
                    self._map.madvise(mmap.MADV_HUGEPAGE)

    def give_back(self) -> None:
        """Let the system have the memory; what is written to it next finds zeros there."""
        if hasattr(mmap, "MADV_DONTNEED") and sys.platform == "linux":  # elsewhere it may mean less
            with contextlib.suppress(OSError):  # a process that has all its memory locked
                self._map.madvise(mmap.MADV_DONTNEED)


def _lacking(n_bytes: int, error: Exception) -> GgtuiError:
    return GgtuiError(f"no memory for {n_bytes} bytes of tensors: {error}")


def _address(data: Bytes) -> int:
    return int(data.__array_interface__["data"][0])
