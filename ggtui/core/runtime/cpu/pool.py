"""The thread pool."""

from __future__ import annotations

from ggtui.core.errors import GgtuiError, UsageError
from ggtui.core.runtime.cpu.native import ffi, last_error, lib

MAX_THREADS = 512
MAY_REST = True  # only tests change it


class Pool:
    """Threads that run plans: the caller and n - 1 others, who sleep between runs. Not to be used after a fork.

    rest   some of the others may sleep in runs that are faster without them, since other programs use the cores;
           results have the same bits
    """

    def __init__(self, threads: int, *, rest: bool = True) -> None:
        if not isinstance(threads, int) or not 1 <= threads <= MAX_THREADS:
            raise UsageError(f"threads {threads}: must be 1 to {MAX_THREADS}")
        pool = lib.gg_pool_new(threads)
        if pool == ffi.NULL:
            raise GgtuiError(last_error())
        if rest and MAY_REST:
            lib.gg_pool_let_rest(pool)
        self.threads = threads
        self.handle = ffi.gc(pool, lib.gg_pool_free)
