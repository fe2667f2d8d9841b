"""What runs are recorded into: buffers that C fills, made beforehand so that recording allocates nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggtui.core.runtime.cpu.buffer import pointer
from ggtui.core.runtime.cpu.native import ffi, lib
from ggtui.core.runtime.record import WAKE, NodeTotal, Records, Unscheduled

_RECORD = np.dtype([("end", "i8"), ("done", "i8")])  # gg_record, field by field


class _Buffer:
    """A gg_trace and the block of places that its ring has, which C fills one after the other."""

    RUNS = 64  # places

    def __init__(self, threads: int, capacity: int) -> None:
        self.threads, self.capacity = threads, capacity
        self._dropped = ffi.new("int64_t[]", threads)
        self._scheduled = ffi.new("gg_scheduled[]", threads)
        self.c = ffi.new("gg_trace *")
        self.c.n_threads, self.c.capacity, self.c.n_runs = threads, capacity, self.RUNS
        self.c.n_dropped, self.c.scheduled, self.c.every = self._dropped, self._scheduled, lib.gg_ask_every()
        self._new_block()

    def _new_block(self) -> None:
        self._records: NDArray[Any] = np.empty((self.RUNS, self.threads, self.capacity), _RECORD)
        self._records.view(np.uint8).fill(0)  # touches its pages now and not in a run
        self._counts: NDArray[np.int64] = np.zeros((self.RUNS, self.threads), np.int64)
        self.c.records, self.c.n_records = pointer(self._records, "gg_record *"), pointer(self._counts, "int64_t *")
        self.c.n = 0

    def told(self) -> tuple[tuple[Unscheduled, ...], int]:
        """Of the last run what the system was asked at its end, and how many records did not fit; mostly nothing."""
        said = [(thread, self._scheduled[thread]) for thread in range(self.threads)] if self.c.n_asked else []
        unscheduled = tuple(Unscheduled(thread, s.span, s.lost) for thread, s in said if s.span)
        return unscheduled, sum(ffi.unpack(self._dropped, self.threads))


class RecordBuffer(_Buffer):
    """The records of each run of a plan of so many steps.

    When the block is full a new one is made, and the old one lives as long as someone holds its records.
    """

    def __init__(self, threads: int, n_steps: int, capacity: int | None = None) -> None:
        super().__init__(threads, n_steps + 1 if capacity is None else capacity)

    def take(self) -> Records:
        """Of the last run the records, in nanoseconds since the caller woke the pool. Some hundred nanoseconds: a
        generation waits for it."""
        n = self.c.n
        records = Records(partial(_table, self._records, self._counts, n - 1) if n else np.empty((0, 6), np.int64))
        if n == self.RUNS:
            self._new_block()
        return records

    @property
    def n_bytes(self) -> int:
        return int(self._records.nbytes)


def _table(blocks: NDArray[Any], counts: NDArray[np.int64], run: int) -> NDArray[np.int64]:
    """Made when it is looked at: a run must not wait for it. The first record of a thread is of waking up, those after
    it are of the steps, which are nodes of one part each."""
    records = blocks[run]
    made = np.zeros((int(counts[run].sum()), 6), np.int64)
    origin, scale, at = records["end"][0, 0] if len(made) else 0, lib.gg_tick_ns(), 0
    for thread, count in enumerate(counts[run].tolist()):
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
    """Sums over the records of runs but the disturbed ones, kept by C: what a light profile has in place of records.

    Of short runs one of seven is recorded, a number that no other rhythm of a generation has.
    """

    RUNS = 32  # whose records wait to be added up
    ONE_OF, LONGEST_NS = 7, 5e6

    _TOTAL = np.dtype(
        [("count", "i8"), ("work", "i8"), ("least", "i8"), ("most", "i8"), ("wait", "i8"), ("squared", "f8")]
    )  # gg_total, field by field

    def __init__(self, threads: int, n_steps: int) -> None:
        super().__init__(threads, n_steps + 1)
        self.totals: NDArray[Any] = np.zeros((threads, n_steps + 1), self._TOTAL)
        self.c.totals = pointer(self.totals, "gg_total *")
        self.c.one_of, self.c.longest = self.ONE_OF, int(self.LONGEST_NS / lib.gg_tick_ns())

    def clear(self) -> None:
        """Begin anew, with the next run."""
        lib.gg_trace_finish(self.c)
        self.totals[:] = 0
        self.c.n_passed = self.ONE_OF

    def node_totals(self, graph: int) -> list[NodeTotal]:
        """What it has added up, in nanoseconds; `graph` is the number of the plan's graph in the trace."""
        lib.gg_trace_finish(self.c)
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
