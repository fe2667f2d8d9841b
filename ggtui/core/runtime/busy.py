"""What else uses the cores: other programs, and where this is a virtual machine, other machines."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from ggtui.core.runtime.cores import usable_cpus

BUSY = 0.05  # of the cores: less than that of others is nothing to speak of


@dataclass(frozen=True, slots=True)
class Busy:
    """Parts, 0 to 1, of the time of the cores that this process may use: what other programs used, and what the
    hypervisor gave to others ("steal")."""

    others: float = 0.0
    stolen: float = 0.0


@dataclass(frozen=True, slots=True)
class _Reading:
    """Seconds so far: of all cores that may be used, not idle, stolen, and of this process and those that it started
    and waited for."""

    total: float
    used: float
    stolen: float
    own: float


class Watch:
    """Since it was begun. `own` are the numbers of processes that count as this program too, as its screen does; those
    that it started count once it has waited for their end.

    On systems that do not say how busy each core is, nothing is: all is 0.
    """

    def __init__(self, own: tuple[int, ...] = (), root: Path = Path("/")) -> None:
        self._own, self._root = own, root
        self.begin()

    def begin(self) -> None:
        self._start = self._read()

    @property
    def busy(self) -> Busy:
        now, start = self._read(), self._start
        if now is None or start is None or now.total - start.total < _LEAST_SECONDS:
            return Busy()
        total = now.total - start.total
        others = now.used - start.used - (now.own - start.own)
        return Busy(min(max(others / total, 0.0), 1.0), min(max((now.stolen - start.stolen) / total, 0.0), 1.0))

    def _read(self) -> _Reading | None:
        """Of each core the system counts user, nice, system, idle, iowait, irq, softirq and steal, in hundredths."""
        try:
            lines = (self._root / "proc/stat").read_text().splitlines()
            counts = {line.split()[0]: [int(n) for n in line.split()[1:9]] for line in lines if line.startswith("cpu")}
            mine = [counts[f"cpu{cpu}"] for cpu in usable_cpus()]
            ticks = os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, KeyError, IndexError):
            return None
        if any(len(core) < 8 for core in mine):
            return None
        total, idle, stolen = (
            sum(sum(core[i] for i in kinds) for core in mine) / ticks for kinds in (range(8), (3, 4), (7,))
        )
        own = time.process_time() + sum(os.times()[2:4]) + sum(map(self._seconds_of, self._own))
        return _Reading(total, total - idle - stolen, stolen, own)

    def _seconds_of(self, pid: int) -> float:
        """On a core, of another process; 0 once it is gone."""
        try:
            after_name = (self._root / f"proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return 0.0


_LEAST_SECONDS = 0.1  # of all cores together: ten of the system's hundredths
