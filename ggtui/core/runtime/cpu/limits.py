"""What the threads of a pool are allowed with an instruction set, by loops of csrc/cpu/limits.c."""

from __future__ import annotations

from collections.abc import Sequence

from ggtui.core.errors import GgtuiError
from ggtui.core.runtime.cpu.native import ISAS, last_error, lib
from ggtui.core.runtime.cpu.pool import Pool
from ggtui.core.runtime.record import Limits

# Bytes that all threads read together, over and over: from the innermost caches to far beyond them.
READ_SIZES = tuple((1 << 18) << shift for shift in range(0, 11, 2))
_MIN_STEP = 512


def probe(pool: Pool, isa: int, sizes: Sequence[int]) -> Limits:
    """One probe of all limits, reading READ_SIZES and `sizes` bytes. Takes a sixth of a second. Raises GgtuiError where
    it can't be measured."""
    sizes = sorted(size for size in {*READ_SIZES, *sizes} if size >= pool.threads * _MIN_STEP)
    return Limits(
        isa=ISAS[isa],
        threads=pool.threads,
        read=tuple((size, _limit(pool, lib.GG_LIMIT_READ, isa, size)) for size in sizes),
        int8=_limit(pool, lib.GG_LIMIT_INT8, isa),
        f32=_limit(pool, lib.GG_LIMIT_F32, isa),
        barrier_ns=_limit(pool, lib.GG_LIMIT_BARRIER, isa),
    )


def _limit(pool: Pool, kind: int, isa: int, n_bytes: int = 0) -> float:
    value = float(lib.gg_limit(pool.handle, kind, isa, n_bytes))
    if value < 0:
        raise GgtuiError(last_error())
    return value
