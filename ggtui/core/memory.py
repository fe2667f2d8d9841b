"""Memory that tensors lie in: zeroed, aligned, and in huge pages where that pays."""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import sys
from functools import cache

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
ALIGNMENT = 64  # of every tensor in an arena: a cache line, and the widest vector
HUGE_PAGE = 2 << 20
_MADV_COLLAPSE = 25  # Python 3.11 has no name for it


def aligned_zeros(n_bytes: int) -> Bytes:
    """Zeroed memory whose first byte is aligned; its pages are only taken when they are touched."""
    raw = np.zeros(n_bytes + ALIGNMENT, np.uint8)
    skip = -_address(raw) % ALIGNMENT
    return raw[skip : skip + n_bytes]


class HugePages:
    """Zeroed memory, `data`, in pages of 2 MiB where the system grants them: its addresses are looked up much faster.

    Such a page is in memory as a whole as soon as one byte of it is touched. `later`: small pages at first, for what
    is long used in part only, until `use` is called; where the system can't do that, huge ones from the start.
    """

    def __init__(self, n_bytes: int, *, later: bool = False) -> None:
        self._map = mmap.mmap(-1, n_bytes + 2 * HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        raw = np.frombuffer(self._map, np.uint8)
        self._start = -_address(raw) % HUGE_PAGE
        self.data: Bytes = raw[self._start : self._start + n_bytes]
        self._small = later and _can_collapse()
        if not self._small:
            self._advise()

    def _advise(self) -> None:
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with contextlib.suppress(OSError):  # a kernel without them
                self._map.madvise(mmap.MADV_HUGEPAGE)

    def use(self, n_bytes: int) -> None:
        """Put the first `n_bytes` into huge pages if they are not yet. 40 MB take about 10 ms."""
        if self._small and n_bytes:
            self._small = False
            self._advise()
            with contextlib.suppress(OSError):  # none is free
                self._map.madvise(_MADV_COLLAPSE, self._start, -(-n_bytes // HUGE_PAGE) * HUGE_PAGE)

    def give_back(self) -> None:
        """Let the system have the memory; what is written to it next finds zeros there."""
        if hasattr(mmap, "MADV_DONTNEED") and sys.platform == "linux":  # elsewhere it may mean less
            self._map.madvise(mmap.MADV_DONTNEED)


def _address(data: Bytes) -> int:
    return int(data.__array_interface__["data"][0])


@cache
def _can_collapse() -> bool:
    """Whether the system makes small pages into a huge one when it is told to: Linux 6.1 and later."""
    name = os.uname()
    version = re.match(r"(\d+)\.(\d+)", name.release)
    return name.sysname == "Linux" and version is not None and (int(version[1]), int(version[2])) >= (6, 1)
