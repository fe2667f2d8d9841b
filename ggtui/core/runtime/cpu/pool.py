"""The thread pool."""

from __future__ import annotations

from ggtui.core.errors import GgtuiError, UsageError
from ggtui.core.runtime.cpu.native import ffi, last_error, lib

MAX_THREADS = 512


class Pool:
    """Threads that run plans: the caller and n - 1 others, who sleep between runs. Not to be used after a fork."""

    def __init__(self, threads: int) -> None:
        if not isinstance(threads, int) or not 1 <= threads <= MAX_THREADS:
            raise UsageError(f"threads {threads}: must be 1 to {MAX_THREADS}")
        pool = lib.gg_pool_new(threads)
        if pool == ffi.NULL:
            raise GgtuiError(last_error())
        self.threads = threads
        self.handle = ffi.gc(pool, lib.gg_pool_free)
