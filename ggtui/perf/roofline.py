"""What this machine allows, measured by loops of our own and kept per machine under $XDG_CACHE_HOME/ggtui."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggtui.core import saving
from ggtui.core.engine.trace_file import limits_of
from ggtui.core.errors import GgtuiError
from ggtui.core.reading import read_object
from ggtui.core.runtime.cores import here
from ggtui.core.runtime.device import Device
from ggtui.core.runtime.record import Limits
from ggtui.perf.bounds import read_least, read_rate

if TYPE_CHECKING:
    from ggtui.core.engine.session import Session

VERSION = 5  # of the measurement; a file of another one is measured anew
PROBES = 3
KEPT = 16  # measurements of a device with so many threads and an instruction set
_MOST = 1 << 20  # bytes of the file that keeps them


def measure(device: Device, pool: Any, isa: str | None = None, more_sizes: Sequence[int] = ()) -> Limits | None:
    """What a device allows a pool of its own, by PROBES one after the other; None where that is not known. Takes a
    second at most. `more_sizes`: bytes to read beside those that the device chooses, such as those of a model. Raises
    GgtuiError where it can't be measured."""
    return joined(*(device.limits(pool, isa, more_sizes) for _ in range(PROBES)))


def joined(*found: Limits | None) -> Limits | None:
    """What all probes together say, the most that any reached and the least that one did; None where there are none."""
    probes = [probe for probe in found if probe is not None]
    if not probes:
        return None
    most: dict[int, float] = {}
    least: dict[int, float] = {}
    for probe in probes:
        lows = probe.least[2:] or [rate for _, rate in probe.read]
        for (size, rate), low in zip(probe.read, lows, strict=True):
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
        device=probes[0].device,
        f16=max(p.f16 for p in probes),
        submit_ns=min(p.submit_ns for p in probes),
    )


def limits(device: Device, pool: Any, isa: str | None = None) -> Limits | None:
    """The limits, measured now and kept, beside what earlier measurements said; None where they are not known."""
    return keep(measure(device, pool, isa), device.limits_key(pool.threads, isa))


def keep(found: Limits | None, key: str) -> Limits | None:
    """Keep them for `known_limits`, by the key that their device has for them, and return them beside what was kept
    before."""
    if found is None:
        return None
    path = cache_file()
    known = _read(path)
    *before, found = [*known.get(key, []), found][-KEPT:]
    _write(path, known | {key: [*before, found]})
    return _beside(found, before)


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


def runs_on(session: Session) -> tuple[Device, Any, str | None]:
    """The device of a session, its pool and the instruction set that was asked for: what its limits hang on."""
    return session.engine.device, session.pool, session.options["isa"]


def known_limits(device: Device, threads: int, isa: str | None) -> Limits | None:
    """What was measured last, beside what was before; None if nothing was. Measures nothing."""
    found = _read(cache_file()).get(device.limits_key(threads, isa))
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
