"""What runs are recorded into: buffers that C fills, made beforehand so that recording allocates nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggtui.core.runtime.cpu.native import ffi, lib
from ggtui.core.runtime.record import WAKE, NodeTotal, Records, Unscheduled

_RECORD = np.dtype([("end", "i8"), ("done", "i8")])  # gg_record, field by field


class _Buffer:
    """A gg_trace, and what it points at that is of every kind."""

    def __init__(self, threads: int, capacity: int) -> None:
        self.threads, self.capacity = threads, capacity
        self._counts = ffi.new("int64_t[]", 2 * threads)  # records of each thread, dropped ones of each
        self._scheduled = ffi.new("gg_scheduled[]", threads)
        self.c = ffi.new("gg_trace *")
        self.c.capacity = capacity
        self.c.n_records, self.c.n_dropped = self._counts, self._counts + threads
        self.c.scheduled, self.c.every = self._scheduled, lib.gg_ask_every()

    def unscheduled(self) -> tuple[Unscheduled, ...]:
        """What the system was asked at the end of the last run; mostly nothing."""
        if not self.c.n_asked:
            return ()
        said = [(thread, self._scheduled[thread]) for thread in range(self.threads)]
        return tuple(Unscheduled(thread, s.span, s.lost) for thread, s in said if s.span)


class RecordBuffer(_Buffer):
    """The records of each run of a plan of so many steps.

    Runs write one behind the other into a block; when it is full a new one is made, and the old one lives as long as
    someone holds its records.
    """

    _RUNS = 64  # of a block

    def __init__(self, threads: int, n_steps: int, capacity: int | None = None) -> None:
        super().__init__(threads, n_steps + 1 if capacity is None else capacity)
        self._new_block()

    def _new_block(self) -> None:
        self._block: NDArray[Any] = np.empty((self._RUNS, self.threads, self.capacity), _RECORD)
        self._block.view(np.uint8).fill(0)  # touches its pages now and not in a run
        first = ffi.cast("gg_record *", self._block.__array_interface__["data"][0])
        n = self.threads * self.capacity
        self._places = iter([(block, first + i * n) for i, block in enumerate(self._block)])
        self._next_place()

    def _next_place(self) -> None:
        place = next(self._places, None)
        if place is None:
            self._new_block()
        else:
            self._records, self.c.records = place

    def take(self) -> tuple[Records, int]:
        """Of the last run the records, in nanoseconds since the caller woke the pool, and how many did not fit; the
        next run writes to another place. A few hundred nanoseconds: a generation waits for it."""
        taken, counts = self._records, ffi.unpack(self._counts, 2 * self.threads)
        self._next_place()
        return Records(partial(_table, taken, counts[: self.threads])), sum(counts[self.threads :])

    @property
    def n_bytes(self) -> int:
        return int(self._block.nbytes)


def _table(records: NDArray[Any], counts: list[int]) -> NDArray[np.int64]:
    """Made when it is looked at: a run must not wait for it. The first record of a thread is of waking up, those after
    it are of the steps, which are nodes of one part each."""
    made = np.zeros((sum(counts), 6), np.int64)
    origin, scale, at = records["end"][0, 0] if len(made) else 0, lib.gg_tick_ns(), 0
    for thread, count in enumerate(counts):
        if count == 0:
            continue
        mine, rows = records[thread, :count], made[at : at + count]
        end, done = (np.rint((mine[key] - origin) * scale) for key in ("end", "done"))
        rows[:, 0] = np.arange(WAKE, count - 1)
        rows[:, 2] = thread
        rows[1:, 3], rows[1:, 4], rows[:, 5] = done[:-1], end[1:], done
        rows[0, 4] = done[0]  # waking up begins when it was asked for, the origin, and is work alone
        at += count
    return made


class TotalBuffer(_Buffer):
    """Sums over the records of all runs but the disturbed ones, kept by C: what a light profile has in place of
    records."""

    _TOTAL = np.dtype(
        [("count", "i8"), ("work", "i8"), ("least", "i8"), ("most", "i8"), ("wait", "i8"), ("squared", "f8")]
    )  # gg_total, field by field

    def __init__(self, threads: int, n_steps: int) -> None:
        super().__init__(threads, n_steps + 1)
        self._records: NDArray[Any] = np.zeros((threads, n_steps + 1), _RECORD)  # of one run
        self.c.records = ffi.cast("gg_record *", self._records.__array_interface__["data"][0])
        self.totals: NDArray[Any] = np.zeros((threads, n_steps + 1), self._TOTAL)
        self.c.totals = ffi.cast("gg_total *", self.totals.__array_interface__["data"][0])

    def _finish(self) -> None:
        lib.gg_trace_finish(self.c, self.capacity - 1, self.threads)

    def clear(self) -> None:
        self._finish()
        self.totals[:] = 0

    def node_totals(self, graph: int) -> list[NodeTotal]:
        """What it has added up, in nanoseconds; `graph` is the number of the plan's graph in the trace."""
        self._finish()
        scale = lib.gg_tick_ns()
        found = []
        for thread, rows in enumerate(self.totals):
            for node, row in enumerate(rows, start=WAKE):
                count, *times = (int(row[key]) for key in ("count", "work", "least", "most", "wait"))
                if count:
                    work, least, most, wait = (round(t * scale) for t in times)
                    squared = float(row["squared"]) * scale * scale
                    found.append(NodeTotal(graph, node, 0, thread, count, work, least, most, wait, squared))
        return found

    @property
    def n_bytes(self) -> int:
        return int(self.totals.nbytes + self._records.nbytes)


def stamp_ns(threads: int) -> float:
    """What taking a time stamp costs, in nanoseconds, measured now: of the two stamps at a barrier the one after
    the wait costs more."""
    kinds = (0,) if threads == 1 else (0, 1)
    return sum(float(lib.gg_stamp_ns(fenced)) for fenced in kinds) / len(kinds)
