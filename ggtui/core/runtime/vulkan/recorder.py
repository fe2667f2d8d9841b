"""What the queue's time stamps say of runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from ggtui.core.runtime.cpu.native import ffi
from ggtui.core.runtime.record import WAKE, NodeTotal, Records, Unscheduled

ONE_OF = 7  # runs that a light profile takes stamps in: each stamp costs a barrier. No rhythm of a generation has it


class Recorder:
    """The records of the last run, and sums over runs. A light profile has sums alone, of one run of ONE_OF.

    submitted  nanoseconds from when the last run was asked for until the queue had it; None where it has no stamps
    """

    threads = 1

    def __init__(self, n_steps: int, *, light: bool) -> None:
        self._light, self._every = light, ONE_OF if light else 1
        self._stamps = np.zeros(n_steps + 1, np.int64)
        self._c = ffi.new("gg_vk_times *")
        self._c.stamps = ffi.cast("int64_t *", self._stamps.__array_interface__["data"][0])
        self.submitted: int | None = None
        self.clear()

    def begin(self) -> Any:
        """What C is to fill in the run to come."""
        self._passed += 1
        self.submitted = None
        return self._c if self._passed % self._every == 0 else ffi.NULL

    def ran(self) -> None:
        """That run is over. Of a full profile its records are taken, or not: nothing is added up."""
        if self._passed % self._every:
            return
        self.submitted = self._c.submitted - self._c.asked
        if not self._light:
            return
        works = np.diff(self._stamps[: self._c.n])
        n = len(works)
        self._count[:n] += 1
        self._work[:n] += works
        self._squared[:n] += works.astype(np.float64) ** 2
        self._least[:n] = np.minimum(self._least[:n], works)
        self._most[:n] = np.maximum(self._most[:n], works)

    @property
    def error_ns(self) -> float:
        """By how much the stamps may be off the processor's clock."""
        return float(self._c.error_ns)

    def take(self) -> Records:
        """The records of the last run, in nanoseconds since it was asked for."""
        stamps = np.maximum(self._stamps[: self._c.n] - self._c.asked, 0)
        n = max(len(stamps) - 1, 0)
        table = np.zeros((n + 1, 6), np.int64)
        table[:, 0] = np.arange(WAKE, n)
        table[0, 5] = stamps[0] if len(stamps) else self._c.done - self._c.asked
        if n:
            table[1:, 3], table[1:, 4], table[1:, 5] = stamps[:-1], stamps[1:], stamps[1:]
        return Records(table)

    def told(self) -> tuple[tuple[Unscheduled, ...], int]:
        """Nothing: the system knows nothing of the queue."""
        return (), 0

    def clear(self) -> None:
        """Begin the sums anew, with the next run."""
        n = len(self._stamps) - 1
        self._passed = -1
        self._count, self._work, self._most = (np.zeros(n, np.int64) for _ in range(3))
        self._least, self._squared = np.full(n, np.iinfo(np.int64).max), np.zeros(n)

    def node_totals(self, graph: int) -> list[NodeTotal]:
        """What was added up since `clear`."""
        columns = (self._count, self._work, self._least, self._most, self._squared)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        return [
            NodeTotal(graph, node, 0, 0, count, work, least, most, 0, squared)
            for node, (count, work, least, most, squared) in enumerate(rows)
            if count
        ]

    @property
    def n_bytes(self) -> int:
        return 6 * int(self._stamps.nbytes)
