"""The executor: the thread pool and the node loop, driven through the C interface."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui.core.native import ffi, last_error, lib

pytestmark = pytest.mark.pool

OPS = {ffi.string(lib.gg_op_name(i)).decode(): i for i in range(lib.gg_n_ops())}
MEET, EVERY = lib.GG_MEET, lib.GG_EVERY
THREADS = (1, 2, 3, 7)
TASKS = Path("/proc/self/task")
on_linux = pytest.mark.skipif(not TASKS.exists(), reason="looks into /proc")
sanitized = "san.so" in os.environ.get("LD_PRELOAD", "")
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
    plan = lib.gg_plan_new(array, len(steps), patch_array, len(patches), own_bytes, 0)
    return ffi.gc(plan, lib.gg_plan_free) if plan else plan


def run(plan: Any, pool: Any, *variables: int, trace: Any = ffi.NULL) -> int:
    return int(lib.gg_plan_run(plan, pool, ffi.new("int64_t[]", list(variables)), trace))


@pytest.fixture
def new_pool() -> Iterator[Callable[[int], Any]]:
    """Makes pools that are freed at the end of the test."""
    pools: list[Any] = []

    def make(n_threads: int) -> Any:
        pool = lib.gg_pool_new(n_threads)
        assert pool, last_error()
        pools.append(pool)
        return pool

    yield make
    for pool in pools:
        lib.gg_pool_free(pool)


@pytest.fixture
def custom() -> Iterator[Callable[[Callable[[int, int, int], int]], None]]:
    """Sets what map_custom steps call: function(node, ith, nth)."""
    kept = []

    def use(function: Callable[[int, int, int], int]) -> None:
        def called(c_step: Any, ith: int, nth: int) -> int:
            return function(ffi.cast("gg_step *", c_step).node, ith, nth)

        kept.append(ffi.callback("int(void *, int, int)", called))
        lib.gg_set_map_custom(kept[-1])

    yield use
    lib.gg_set_map_custom(lib.gg_py_map_custom)


def custom_steps(n: int, flags: int = MEET) -> list[dict[str, Any]]:
    return [{**step("map_custom", matrix(ONE), flags=flags), "node": i} for i in range(n)]


class Chain:
    """Steps that turn a column of numbers by one place and add one, again and again.

    Each needs what other threads wrote in the step before. The turns come from a copy (rows split evenly) and from a
    mul_mat (chunks) in turn.
    """

    n_rows = 48
    n_turns = 8

    def __init__(self, flags: int = MEET) -> None:
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


class Trace:
    def __init__(self, n_threads: int, capacity: int) -> None:
        self.n_threads, self.capacity = n_threads, capacity
        self.records = ffi.new("gg_record[]", n_threads * capacity)
        self.n_records, self.n_dropped = ffi.new("int64_t[]", n_threads), ffi.new("int64_t[]", n_threads)
        fields = {"records": self.records, "capacity": capacity}
        self.c = ffi.new("gg_trace *", {**fields, "n_records": self.n_records, "n_dropped": self.n_dropped})

    def of(self, thread: int) -> list[Any]:
        first = thread * self.capacity
        return [self.records[i] for i in range(first, first + self.n_records[thread])]

    def steps(self) -> list[list[int]]:
        return [[r.step for r in self.of(t)] for t in range(self.n_threads)]


# ---- order and meetings ----


@pytest.mark.parametrize("n_threads", THREADS)
def test_steps_see_what_other_threads_wrote_before(new_pool: Any, n_threads: int) -> None:
    pool = new_pool(n_threads)
    assert lib.gg_pool_n_threads(pool) == n_threads
    Chain().check(pool, 2000 if n_threads < 3 else 200)


def test_threads_run_ahead_where_no_meeting_is_asked_for(new_pool: Any, custom: Any) -> None:
    """Thread 1 waits in the first step for thread 0 to be in the second: only possible without a meeting."""
    ahead = threading.Event()

    def function(node: int, ith: int, _nth: int) -> int:
        if (node, ith) == (1, 0):
            ahead.set()
        return 0 if ith == 0 or ahead.wait(60) else 1

    custom(function)
    assert run(plan_of(custom_steps(2, flags=0)), new_pool(2)) == lib.GG_OK


def test_nobody_starts_a_step_that_meets_before_all_have_come(new_pool: Any, custom: Any) -> None:
    calls: list[int] = []

    def function(node: int, ith: int, nth: int) -> int:
        if ith == nth - 1:
            time.sleep(0.002)  # the others must sleep, not only spin
        calls.append(node)
        return 0

    custom(function)
    for n_threads in THREADS:
        calls.clear()
        assert run(plan_of(custom_steps(5)), new_pool(n_threads)) == lib.GG_OK
        assert calls == sorted(calls) and len(calls) == 5 * n_threads


def test_more_threads_than_cores_still_get_on(new_pool: Any) -> None:
    Chain().check(new_pool(4 * (os.cpu_count() or 1) + 1), 20)


@pytest.mark.parametrize("n_threads", THREADS)
def test_every_thread_does_a_step_into_its_own_scratch(new_pool: Any, n_threads: int) -> None:
    """The second step reads other rows than its own share of the first, and needs no meeting all the same."""
    n = 40
    x = np.arange(n, dtype=np.float32).reshape(n, 1)
    y = np.zeros((n, 1), np.float32)
    turn = np.roll(np.eye(n, dtype=np.float32), 1, axis=1)
    offset = 128
    steps = [
        step("scale", own(offset, 1, n), matrix(x), flags=EVERY, params=[{"f": 2.0}, {"f": 0.0}]),
        # In chunks: with one counter for all threads, no thread would get all of them.
        step("mul_mat", own(offset + 4 * n, n, 1), matrix(turn), own(offset, n, 1), flags=EVERY),
        step("scale", matrix(y), own(offset + 4 * n, 1, n), params=[{"f": 1.0}, {"f": 1.0}]),
    ]
    plan = plan_of(steps, own_bytes=offset + 8 * n)
    assert lib.gg_plan_scratch(plan) >= offset + 8 * n
    pool = new_pool(n_threads)
    for _ in range(200):
        y[:] = 0
        assert run(plan, pool) == lib.GG_OK
        assert np.array_equal(y[:, 0], 2 * np.roll(x[:, 0], -1) + 1)


def test_one_plan_runs_on_pools_of_different_sizes(new_pool: Any) -> None:
    x, y = np.ones((9, 1), np.float32), np.zeros((9, 1), np.float32)
    scale = [{"f": 1.0}, {"f": 1.0}]
    steps = [
        step("scale", own(0, 1, 9), matrix(x), flags=EVERY, params=scale),
        step("scale", matrix(y), own(0, 1, 9), params=scale),
    ]
    plan = plan_of(steps, own_bytes=36)
    for n_threads in (2, 1, 5, 3):
        y[:] = 0
        assert run(plan, new_pool(n_threads)) == lib.GG_OK
        assert (y == 3).all()


# ---- run-time variables ----


def test_variables_reach_their_places(new_pool: Any) -> None:
    x, y = np.ones((8, 4), np.float32), np.zeros((8, 4), np.float32)
    patches = [
        {"step": 0, "tensor": -1, "place": lib.GG_PATCH_NE, "index": 1, "var": 1},
        {"step": 0, "tensor": 0, "place": lib.GG_PATCH_NE, "index": 1, "var": 1},
        {"step": 0, "tensor": -1, "place": lib.GG_PATCH_PARAM, "index": 0, "var": 0},
    ]
    mask = step("diag_mask_inf", matrix(y), matrix(x), params=[{"i": 0}])
    plan, pool = plan_of([mask], patches), new_pool(2)
    for n_past, n in ((0, 8), (2, 3), (1, 0), (0, 8)):
        y[:] = 7
        assert run(plan, pool, n_past, n) == lib.GG_OK
        expected = np.where(np.arange(4) > n_past + np.arange(n)[:, None], -np.inf, 1)
        assert np.array_equal(y[:n], expected) and (y[n:] == 7).all()
        assert lib.gg_plan_step(plan, 0).dst.ne[1] == n
    assert lib.gg_plan_step(plan, 1) == ffi.NULL and lib.gg_plan_step(plan, -1) == ffi.NULL

    for wrong in (-1, 9, 1 << 40):
        y[:] = 7
        assert run(plan, pool, 0, wrong) == lib.GG_FAILED
        assert str(wrong) in last_error() and "ne[1]" in last_error() and "diag_mask_inf" in last_error()
        assert (y == 7).all()
    for wrong in (1 << 31, -(1 << 31) - 1):
        assert run(plan, pool, wrong, 1) == lib.GG_FAILED
        assert "params[0]" in last_error()
    assert run(plan, pool, 0, 8) == lib.GG_OK


def good_step() -> dict[str, Any]:
    return step("scale", matrix(ONE), matrix(ONE))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"op": 9999}, "no op 9999"),
        ({"op": -1}, "no op -1"),
        ({"op": OPS["view"]}, "view moves no data"),
        ({"flags": 8}, "unknown flags 8"),
        ({"dst": {**own(0, 1, 1), "type": 4711}}, "dst has the unknown type 4711"),
        ({"src": [own(0, 1, 1), {**own(0, 1, 1), "type": 3}]}, "src1 has the unknown type 3"),
        ({"src": [own(0, -5, 1)]}, "src0 has ne[0] = -5"),
        ({"dst": own(64, 1, 1)}, "dst lies at byte 64 of 64"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused(change: dict[str, Any], message: str) -> None:
    assert plan_of([good_step()], own_bytes=64)
    assert plan_of([good_step(), {**good_step(), **change}], own_bytes=64) == ffi.NULL
    assert last_error().startswith("step 1") and message in last_error()


@pytest.mark.parametrize(
    "change",
    [{"step": 1}, {"step": -1}, {"tensor": 6}, {"tensor": -2}, {"place": 2}, {"index": 4}, {"index": -1}, {"var": -1}],
)
def test_a_patch_out_of_range_is_refused(change: dict[str, int]) -> None:
    patch = {"step": 0, "tensor": -1, "place": lib.GG_PATCH_NE, "index": 0, "var": 0}
    assert plan_of([good_step()], [patch])
    assert plan_of([good_step()], [{**patch, **change}]) == ffi.NULL
    assert last_error().startswith("patch 0")


def test_other_nonsense_is_refused(new_pool: Any) -> None:
    for n_steps, n_patches, own_bytes in ((-1, 0, 0), (0, -1, 0), (0, 0, -1), (1, 0, 0), (0, 1, 0)):
        assert lib.gg_plan_new(ffi.NULL, n_steps, ffi.NULL, n_patches, own_bytes, 0) == ffi.NULL
        assert last_error()
    assert lib.gg_plan_new(ffi.NULL, 0, ffi.NULL, 0, 0, 99) == ffi.NULL
    assert "instruction set 99" in last_error()
    for n_threads in (0, -1, 513):
        assert lib.gg_pool_new(n_threads) == ffi.NULL
        assert "from 1 to 512" in last_error()
    lib.gg_pool_free(ffi.NULL)
    lib.gg_plan_free(ffi.NULL)
    assert run(plan_of([]), new_pool(2)) == lib.GG_OK
    assert run(plan_of([good_step()], own_bytes=1 << 62), new_pool(3)) == lib.GG_NO_MEMORY
    assert "scratch" in last_error()


# ---- failing and stopping ----


@pytest.mark.parametrize("n_threads", THREADS)
def test_a_failure_ends_the_run_and_leaves_the_pool_usable(new_pool: Any, custom: Any, n_threads: int) -> None:
    pool, plan = new_pool(n_threads), plan_of(custom_steps(6))
    calls: list[tuple[int, int]] = []
    failing = (2, 0)

    def function(node: int, ith: int, _nth: int) -> int:
        calls.append((node, ith))
        return int((node, ith) == failing)

    custom(function)
    for ith in range(n_threads):
        failing = (2, ith)
        calls.clear()
        assert run(plan, pool) == lib.GG_CUSTOM
        assert calls.count(failing) == 1
        assert {node for node, _ in calls} == {0, 1, 2}  # everybody saw it at the meeting before step 3
    failing = (6, 0)
    calls.clear()
    assert run(plan, pool) == lib.GG_OK
    assert len(calls) == 6 * n_threads
    Chain().check(pool, 5)


def test_a_worker_s_message_reaches_the_caller(new_pool: Any) -> None:
    x, y = np.ones((5, 1), np.float32), np.zeros((6, 1), np.float32)
    rows = np.array([[0, 1, 2, 3, 4, 77]], np.int32)  # the last one is the last thread's
    plan = plan_of([step("get_rows", matrix(y), matrix(x), matrix(rows))])
    pool = new_pool(3)
    for _ in range(50):
        assert run(plan, pool) == lib.GG_FAILED
        assert "77" in last_error()
    rows[0, 5] = 0
    assert run(plan, pool) == lib.GG_OK
    assert (y == 1).all()


@pytest.mark.parametrize("n_threads", THREADS)
def test_stop_from_another_thread(new_pool: Any, custom: Any, n_threads: int) -> None:
    pool, plan = new_pool(n_threads), plan_of(custom_steps(4))
    calls: list[int] = []
    inside, stopped = threading.Event(), threading.Event()

    def function(node: int, _ith: int, _nth: int) -> int:
        calls.append(node)
        inside.set()
        return 0 if node != 1 or stopped.wait(60) else 1

    def stop() -> None:
        inside.wait(60)
        lib.gg_plan_stop(plan)
        stopped.set()

    custom(function)
    stopper = threading.Thread(target=stop)
    stopper.start()
    assert run(plan, pool) == lib.GG_STOPPED
    stopper.join()
    assert last_error() == "the run was stopped"
    assert max(calls) <= 1
    calls.clear()
    assert run(plan, pool) == lib.GG_OK
    assert len(calls) == 4 * n_threads


def test_a_stop_between_runs_is_for_the_next_one(new_pool: Any, custom: Any) -> None:
    pool, plan = new_pool(2), plan_of(custom_steps(3))
    calls: list[int] = []

    def function(node: int, _ith: int, _nth: int) -> int:
        calls.append(node)
        return 0

    custom(function)
    lib.gg_plan_stop(plan)
    lib.gg_plan_stop(plan)
    assert run(plan, pool) == lib.GG_STOPPED and not calls
    assert run(plan, pool) == lib.GG_OK and len(calls) == 6


# ---- records ----


@pytest.mark.parametrize("n_threads", THREADS)
def test_records_tile_the_time_of_each_thread(new_pool: Any, n_threads: int) -> None:
    pool, chain = new_pool(n_threads), Chain()
    trace = Trace(n_threads, chain.n_steps + 1)
    for _ in range(20):
        before = lib.gg_ticks()
        chain.check(pool, 1, trace.c)
        after = lib.gg_ticks()
        for thread in range(n_threads):
            records = trace.of(thread)
            assert [r.step for r in records] == list(range(-1, chain.n_steps))
            assert {r.thread for r in records} == {thread} and trace.n_dropped[thread] == 0
            assert all(r.start <= r.end <= r.done for r in records)
            assert all(r.done == s.start for r, s in pairwise(records))
            assert records[0].end == records[0].done
            assert n_threads > 1 or all(r.end == r.done for r in records[:-1])  # nobody to wait for
        by_step = list(zip(*(trace.of(t) for t in range(n_threads)), strict=True))
        asked, ended = {r.start for r in by_step[0]}, {r.done for r in by_step[-1]}
        assert len(asked) == len(ended) == 1
        assert before <= asked.pop() <= ended.pop() <= after
        for row in by_step[1:]:  # nobody leaves a meeting before the last one has come
            assert min(r.done for r in row) >= max(r.end for r in row)


def test_only_meetings_are_waited_for(new_pool: Any, custom: Any) -> None:
    def function(_node: int, ith: int, _nth: int) -> int:
        time.sleep(0.02 * ith)
        return 0

    custom(function)
    steps = custom_steps(3, flags=0)
    steps[2]["flags"] = MEET
    trace = Trace(2, 4)
    assert run(plan_of(steps), new_pool(2), trace=trace.c) == lib.GG_OK
    ms = lib.gg_tick_ns() / 1e6
    work = [[(r.end - r.start) * ms for r in trace.of(t)[1:]] for t in range(2)]
    wait = [[(r.done - r.end) * ms for r in trace.of(t)[1:]] for t in range(2)]
    assert wait[0][0] == wait[1][0] == 0
    assert min(work[1]) > 19
    assert wait[0][1] > 19 and wait[0][2] > 10


def test_what_does_not_fit_is_counted(new_pool: Any) -> None:
    pool, chain = new_pool(3), Chain()
    for capacity in (0, 1, 4, chain.n_steps, chain.n_steps + 9):
        trace = Trace(3, capacity)
        chain.check(pool, 2, trace.c)
        kept = min(capacity, chain.n_steps + 1)
        assert trace.steps() == [list(range(-1, kept - 1))] * 3
        assert list(trace.n_dropped) == [chain.n_steps + 1 - kept] * 3
        for thread in range(3):
            records = trace.of(thread)
            assert all(r.done == s.start for r, s in pairwise(records))


def test_records_of_a_run_that_ends_early(new_pool: Any, custom: Any) -> None:
    custom(lambda node, ith, nth: int((node, ith) == (1, 1)))
    trace = Trace(2, 10)
    pool, plan = new_pool(2), plan_of(custom_steps(5))
    assert run(plan, pool, trace=trace.c) == lib.GG_CUSTOM
    assert trace.steps()[1] == [-1, 0, 1]
    assert trace.steps()[0] in ([-1, 0], [-1, 0, 1])  # thread 1 may have failed before thread 0 began step 1
    assert trace.of(0)[-1].done == trace.of(1)[-1].done
    lib.gg_plan_stop(plan)
    assert run(plan, pool, trace=trace.c) == lib.GG_STOPPED
    assert trace.steps() == [[-1]] * 2


def test_ticks_agree_with_the_clock() -> None:
    assert lib.gg_tick_ns() == lib.gg_tick_ns() > 0
    start_ns, start = time.perf_counter_ns(), lib.gg_ticks()
    time.sleep(0.05)
    ticks, ns = lib.gg_ticks() - start, time.perf_counter_ns() - start_ns
    assert ticks * lib.gg_tick_ns() == pytest.approx(ns, rel=0.05)


# ---- sharing, making and freeing ----


def in_two_threads(work: Callable[[int], None]) -> None:
    errors: list[BaseException] = []

    def guarded(i: int) -> None:
        try:
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("n_threads", THREADS)
def test_two_python_threads_share_a_pool(new_pool: Any, n_threads: int) -> None:
    pool, chains = new_pool(n_threads), [Chain(), Chain()]
    in_two_threads(lambda i: chains[i].check(pool, 100))


def test_one_plan_on_two_pools_at_once(new_pool: Any) -> None:
    pools = [new_pool(2), new_pool(3)]
    x = np.zeros((7, 1), np.float32)
    plan = plan_of([step("scale", matrix(x), matrix(x), params=[{"f": 1.0}, {"f": 1.0}])])

    def work(i: int) -> None:
        for _ in range(200):
            assert run(plan, pools[i]) == lib.GG_OK

    in_two_threads(work)
    assert (x == 400).all()


def task_names() -> list[str]:
    names = []
    for task in TASKS.iterdir():
        try:
            names.append((task / "comm").read_text().strip())
        except OSError:  # it has just ended
            continue
    return sorted(name for name in names if name.startswith("ggtui/"))


@on_linux
def test_threads_have_names_leave_signals_alone_and_end_with_their_pool(new_pool: Any, custom: Any) -> None:
    assert task_names() == []
    custom(lambda node, ith, nth: 0)
    for n_threads in (1, 2, 3, 9) * 5:
        pool = lib.gg_pool_new(n_threads)
        assert pool, last_error()
        if n_threads == 3:  # once they have run they have their names
            assert run(plan_of(custom_steps(2)), pool) == lib.GG_OK
            assert task_names() == ["ggtui/1", "ggtui/2"]
            for task in TASKS.iterdir():
                if (task / "comm").read_text().startswith("ggtui/"):
                    status = (task / "status").read_text()
                    blocked = int(status.split("SigBlk:")[1].split()[0], 16)
                    assert blocked & 1 << 1 and blocked & 1 << 14  # SIGINT, SIGTERM
                    assert not blocked & 1 << 10  # SIGSEGV
        lib.gg_pool_free(pool)
    for _ in range(100):  # a joined thread's entry may outlive it for a moment
        if not task_names():
            break
        time.sleep(0.01)
    assert task_names() == []


@on_linux
@pytest.mark.skipif(sanitized, reason="sanitizers need the address space")
def test_threads_that_cannot_start_leave_nothing_behind() -> None:
    script = """
import os, resource
from ggtui.core.native import last_error, lib
size = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGESIZE")
resource.setrlimit(resource.RLIMIT_AS, (size + (200 << 20), resource.RLIM_INFINITY))
before = len(os.listdir("/proc/self/task"))
for _ in range(3):
    assert not lib.gg_pool_new(512)
    assert "could not start thread" in last_error() and "of 512" in last_error(), last_error()
while len(os.listdir("/proc/self/task")) > before:
    pass
pool = lib.gg_pool_new(2)
assert pool, last_error()
lib.gg_pool_free(pool)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_process_is_refused_its_parent_s_pool(new_pool: Any) -> None:
    pool = lib.gg_pool_new(2)
    plan = plan_of([good_step()])
    assert run(plan, pool) == lib.GG_OK
    child = os.fork()
    if child == 0:
        refused = run(plan, pool) == lib.GG_NO_THREAD and "fork" in last_error()
        lib.gg_pool_free(pool)  # must not wait for threads that are not there
        os._exit(0 if refused else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert run(plan, pool) == lib.GG_OK
    lib.gg_pool_free(pool)
