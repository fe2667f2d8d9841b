"""Plans made by hand through the C interface, for the tests of the executor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ggtui.core.runtime.cpu.native import ffi, last_error, lib

OPS = {ffi.string(lib.gg_op_name(i)).decode(): i for i in range(lib.gg_n_ops())}
BARRIER, EVERY = lib.GG_BARRIER, lib.GG_EVERY
THREADS = (1, 2, 3, 7)
ONE = np.ones((1, 1), np.float32)


def matrix(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    """A contiguous array of two dimensions as a gg_tensor: (columns, rows)."""
    n_rows, n = array.shape
    size = array.itemsize
    types = {"f": 0, "i": 26}
    return {
        "data": ffi.cast("void *", array.ctypes.data),
        "ne": [n, n_rows, 1, 1],
        "nb": [size, n * size, n_rows * n * size, n_rows * n * size],
        "type": types[array.dtype.kind],
    }


def own(offset: int, n: int, n_rows: int) -> dict[str, Any]:
    """An f32 tensor in each thread's own scratch."""
    nb = [4, 4 * n, 4 * n * n_rows, 4 * n * n_rows]
    return {"data": ffi.cast("void *", offset), "ne": [n, n_rows, 1, 1], "nb": nb, "type": 0, "own": 1}


def step(op: str, dst: Any, *src: Any, flags: int = 0, params: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    return {"op": OPS[op], "dst": dst, "src": list(src), "flags": flags, "params": list(params)}


def plan_of(steps: Sequence[dict[str, Any]], patches: Sequence[dict[str, int]] = (), own_bytes: int = 0) -> Any:
    """A new plan, freed with the object; NULL where gg_plan_new refuses."""
    array = ffi.new("gg_step[]", list(steps))
    patch_array = ffi.new("gg_patch[]", list(patches))
    plan = lib.gg_plan_new(array, len(steps), patch_array, len(patches), own_bytes, 0, ffi.NULL)
    return ffi.gc(plan, lib.gg_plan_free) if plan else plan


def run(plan: Any, pool: Any, *variables: int, size: int = 1, n_steps: int = -1, trace: Any = ffi.NULL) -> int:
    """A gg_status; what there is told of a run that went well is looked at in the trace."""
    status = int(lib.gg_plan_run(plan, pool, ffi.new("int64_t[]", list(variables)), size, n_steps, trace))
    return int(lib.GG_OK) if status == lib.GG_TOLD else status


def custom_steps(n: int, flags: int = BARRIER) -> list[dict[str, Any]]:
    return [{**step("map_custom", matrix(ONE), flags=flags), "node": i} for i in range(n)]


class Chain:
    """Steps that turn a column of numbers by one place and add one, again and again.

    Each needs what other threads wrote in the step before. The turns come from a copy (rows split evenly) and from a
    mul_mat (chunks) in turn.
    """

    n_rows = 48
    n_turns = 8

    def __init__(self, flags: int = BARRIER) -> None:
        n = self.n_rows
        self.a, self.b = np.zeros((n, 1), np.float32), np.zeros((n, 1), np.float32)
        turn = np.roll(np.eye(n, dtype=np.float32), 1, axis=1)  # (turn @ x)[i] = x[i + 1]
        self.keep = turn
        a, b = matrix(self.a), matrix(self.b)
        a_row, b_row = matrix(self.a.reshape(1, n)), matrix(self.b.reshape(1, n))
        rest, first = matrix(self.a[1:]), matrix(self.a[:1])
        steps = []
        for i in range(self.n_turns):
            if i % 2:
                steps.append(step("mul_mat", b_row, matrix(turn), a_row, flags=flags))
            else:
                steps.append(step("concat", b, rest, first, flags=flags, params=[{"i": 1}]))
            steps.append(step("scale", a, b, flags=flags, params=[{"f": 1.0}, {"f": 1.0}]))
        self.plan = plan_of(steps)
        assert self.plan, last_error()
        self.n_steps = len(steps)

    def check(self, pool: Any, n_runs: int, trace: Any = ffi.NULL) -> None:
        start = np.arange(self.n_rows, dtype=np.float32) * 1000
        self.a[:, 0] = start
        for _ in range(n_runs):
            assert run(self.plan, pool, trace=trace) == lib.GG_OK, last_error()
        turns = n_runs * self.n_turns
        assert np.array_equal(self.a[:, 0], np.roll(start, -turns) + turns)


class Stamps(NamedTuple):
    """A record as a reader of traces wants it."""

    step: int
    start: int
    end: int
    done: int


class Trace:
    """Room for the records of n_runs runs."""

    def __init__(self, n_threads: int, capacity: int, n_runs: int = 1) -> None:
        self.n_threads, self.capacity = n_threads, capacity
        self.records = ffi.new("gg_record[]", n_runs * n_threads * capacity)
        self.counts, self.n_dropped = ffi.new("int64_t[]", n_runs * n_threads), ffi.new("int64_t[]", n_threads)
        self.scheduled = ffi.new("gg_scheduled[]", n_threads)
        self.c = ffi.new("gg_trace *", {
            "records": self.records, "n_records": self.counts, "n_dropped": self.n_dropped, "n_threads": n_threads,
            "capacity": capacity, "n_runs": n_runs, "scheduled": self.scheduled, "every": lib.gg_ask_every(),
        })  # fmt: skip

    @property
    def n_records(self) -> list[int]:
        """Of the last run, by thread."""
        first = (self.c.n - 1) * self.n_threads
        return list(self.counts[first : first + self.n_threads])

    def of(self, thread: int) -> list[Stamps]:
        """Those of the last run."""
        first, n = ((self.c.n - 1) * self.n_threads + thread) * self.capacity, self.n_records[thread]
        rows = [(self.records[i].end, self.records[i].done) for i in range(first, first + n)]
        waking = [Stamps(-1, asked, began, began) for asked, began in rows[:1]]
        steps = [Stamps(i, rows[i][1], *rows[i + 1]) for i in range(n - 1)]
        return [*waking, *steps]

    def steps(self) -> list[list[int]]:
        return [[r.step for r in self.of(t)] for t in range(self.n_threads)]
