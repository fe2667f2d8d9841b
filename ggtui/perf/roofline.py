"""What this machine allows, measured by loops of our own and kept per machine under $XDG_CACHE_HOME/ggtui."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ggtui.core import saving
from ggtui.core.engine.trace_file import limits_of
from ggtui.core.errors import GgtuiError
from ggtui.core.reading import read_object
from ggtui.core.runtime.cores import here
from ggtui.core.runtime.cpu.native import ISAS, isa_index, last_error, lib
from ggtui.core.runtime.cpu.pool import Pool
from ggtui.core.runtime.record import Limits
from ggtui.perf.bounds import read_least, read_rate

if TYPE_CHECKING:
    from ggtui.core.engine.session import Session

VERSION = 5  # of the measurement; a file of another one is measured anew
# Bytes that all threads read together, over and over: from the innermost caches to far beyond them.
READ_SIZES = tuple((1 << 18) << shift for shift in range(0, 11, 2))
PROBES = 3
KEPT = 16  # measurements of so many threads with an instruction set
_MIN_STEP = 512
_MOST = 1 << 20  # bytes of the file that keeps them


def measure(pool: Pool, isa: str | None = None, more_sizes: Sequence[int] = ()) -> Limits:
    """The limits of a pool's threads together, of PROBES one after the other. Takes half a second. `more_sizes`: bytes
    to read beside READ_SIZES, such as those of a model. Raises GgtuiError where it can't be measured."""
    index = isa_index(isa)
    sizes = sorted(size for size in {*READ_SIZES, *more_sizes} if size >= pool.threads * _MIN_STEP)
    found = [_probe(pool, index, sizes) for _ in range(PROBES)]
    return joined(*found)


def _probe(pool: Pool, isa: int, sizes: Sequence[int]) -> Limits:
    return Limits(
        isa=ISAS[isa],
        threads=pool.threads,
        read=tuple((size, _limit(pool, lib.GG_LIMIT_READ, isa, size)) for size in sizes),
        int8=_limit(pool, lib.GG_LIMIT_INT8, isa),
        f32=_limit(pool, lib.GG_LIMIT_F32, isa),
        barrier_ns=_limit(pool, lib.GG_LIMIT_BARRIER, isa),
    )


def joined(*probes: Limits) -> Limits:
    """What all of them together say: the most that any reached, and the least that one did."""
    most: dict[int, float] = {}
    least: dict[int, float] = {}
    for found in probes:
        lows = found.least[2:] or [rate for _, rate in found.read]
        for (size, rate), low in zip(found.read, lows, strict=True):
            most[size] = max(rate, most.get(size, rate))
            least[size] = min(low, least.get(size, low))
    slowest = [min(p.least[i] if p.least else (p.int8, p.f32)[i] for p in probes) for i in range(2)]
    return Limits(
        isa=probes[0].isa,
        threads=probes[0].threads,
        read=tuple(sorted(most.items())),
        int8=max(p.int8 for p in probes),
        f32=max(p.f32 for p in probes),
        barrier_ns=min(p.barrier_ns for p in probes),
        least=(*slowest, *(least[size] for size in sorted(least))),
        barrier_most_ns=max(max(p.barrier_ns, p.barrier_most_ns) for p in probes),
    )


def _limit(pool: Pool, kind: int, isa: int, n_bytes: int = 0) -> float:
    value = float(lib.gg_limit(pool.handle, kind, isa, n_bytes))
    if value < 0:
        raise GgtuiError(last_error())
    return value


def limits(pool: Pool, isa: str | None = None) -> Limits:
    """The limits, measured now and kept, beside what earlier measurements said."""
    return keep(measure(pool, isa))


def keep(found: Limits) -> Limits:
    """Keep them for `known_limits`, and return them beside what was kept before."""
    path, key = cache_file(), _key(found.isa, found.threads)
    known = _read(path)
    *before, found = [*known.get(key, []), found][-KEPT:]
    _write(path, known | {key: [*before, found]})
    return _beside(found, before)


def _key(isa: str, threads: int) -> str:
    return f"{isa} {threads}"


def _beside(found: Limits, earlier: Sequence[Limits]) -> Limits:
    """`found` with what the earlier ones reached, at its sizes."""
    if not earlier:
        return found
    sizes = [size for size, _ in found.read]

    def low(of: Limits) -> tuple[float, ...]:
        return *(of.least[:2] or (of.int8, of.f32)), *(read_least(of, size) or 0.0 for size in sizes)

    def high(of: Limits) -> tuple[float, ...]:
        return of.int8, of.f32, *(read_rate(of, size) or 0.0 for size in sizes)

    lows, highs = (zip(*map(values, earlier), strict=True) for values in (low, high))
    return replace(found, earlier=tuple(zip(map(min, lows), map(max, highs), strict=True)), n_earlier=len(earlier))


def cpu_of(session: Session) -> tuple[Pool, str]:
    """The threads and the instruction set whose limits a session is held against: its own; as many threads and the best
    set for one on another device, of which no limits are known."""
    if session.device == "cpu":
        return session.pool, session.isa
    return Pool(session.threads), ISAS[isa_index(None)]


def known_limits(isa: str, threads: int) -> Limits | None:
    """What was measured last, beside what was before; None if nothing was. Measures nothing."""
    found = _read(cache_file()).get(_key(isa, threads))
    return _beside(found[-1], found[:-1]) if found else None


def cache_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the limits of this machine are kept: a file for each processor, since home folders are shared."""
    base = environ.get("XDG_CACHE_HOME", "")
    try:
        folder = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    except RuntimeError as error:
        raise GgtuiError("there is no home folder for ggtui's files; set XDG_CACHE_HOME") from error
    machine = here()
    mark = hashlib.sha256(f"{machine.system} {machine.processor} {machine.cores}".encode()).hexdigest()[:12]
    return folder / "ggtui" / f"limits-{mark}.json"


def _read(path: Path) -> dict[str, list[Limits]]:
    """The last measurements, the latest last. Empty where there is no such file, or not a sound one of this version."""
    try:
        data = read_object(path, _MOST)
        if data["version"] != VERSION:
            return {}
        return {key: [limits_of(found) for found in kept[-KEPT:]] for key, kept in data["limits"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write(path: Path, known: Mapping[str, Sequence[Limits]]) -> None:
    """Kept where that is possible: a read-only home is no reason to fail."""
    with suppress(OSError, GgtuiError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = {"version": VERSION, "limits": {key: [asdict(found) for found in kept] for key, kept in known.items()}}
        saving.write(path, json.dumps(data, indent=1))
