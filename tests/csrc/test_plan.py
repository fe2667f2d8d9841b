"""The node loop: run-time sizes, refusals, failures and stops, records, driven through the C interface."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from plans import (
    BARRIER,
    ONE,
    OPS,
    THREADS,
    Chain,
    Trace,
    custom_steps,
    matrix,
    own,
    plan_of,
    run,
    step,
)

from ggtui.core.runtime.cpu.native import ffi, last_error, lib

pytestmark = pytest.mark.pool


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
        ({"flags": 16}, "unknown flags 16"),
        ({"flags": lib.GG_BY_HEAD}, f"unknown flags {lib.GG_BY_HEAD}"),
        ({"dst": {**own(0, 1, 1), "type": 4711}}, "dst has the unknown type 4711"),
        ({"src": [own(0, 1, 1), {**own(0, 1, 1), "type": 4}]}, "src1 has the unknown type 4"),
        ({"src": [own(0, -5, 1)]}, "src0 has sizes or strides that are negative or too large: ne = -5"),
        ({"src": [{**matrix(ONE), "nb": [4, -4, 4, 4]}]}, "src0 has sizes or strides that are negative"),
        (
            {"src": [{**matrix(ONE), "ne": [1 << 30, 1 << 30, 4, 1]}]},
            "src0 has sizes or strides that are negative or too",
        ),
        (
            {"src": [{**matrix(ONE), "ne": [2, 1, 1, 1 << 40], "nb": [4, 8, 8, 1 << 40]}]},
            "src0 has sizes or strides that",
        ),
        ({"dst": own(32, 9, 1)}, "dst lies at byte 32 of 64"),
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
        assert lib.gg_plan_new(ffi.NULL, n_steps, ffi.NULL, n_patches, own_bytes, 0, ffi.NULL) == ffi.NULL
        assert last_error()
    assert lib.gg_plan_new(ffi.NULL, 0, ffi.NULL, 0, 0, 99, ffi.NULL) == ffi.NULL
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
        assert {node for node, _ in calls} == {0, 1, 2}  # everybody saw it at the barrier before step 3
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
            assert trace.n_dropped[thread] == 0
            assert all(r.start <= r.end <= r.done for r in records)
            assert n_threads > 1 or all(r.end == r.done for r in records[:-1])  # nobody to wait for
        by_step = list(zip(*(trace.of(t) for t in range(n_threads)), strict=True))
        asked, ended = {r.start for r in by_step[0]}, {r.done for r in by_step[-1]}
        assert len(asked) == len(ended) == 1
        assert before <= asked.pop() <= ended.pop() <= after
        for row in by_step[1:]:  # nobody leaves a barrier before the last one has come
            assert min(r.done for r in row) >= max(r.end for r in row)


def test_only_barriers_are_waited_for(new_pool: Any, custom: Any) -> None:
    def function(_node: int, ith: int, _nth: int) -> int:
        time.sleep(0.02 * ith)
        return 0

    custom(function)
    steps = custom_steps(3, flags=0)
    steps[2]["flags"] = BARRIER
    trace = Trace(2, 4)
    assert run(plan_of(steps), new_pool(2), trace=trace.c) == lib.GG_OK
    ms = lib.gg_tick_ns() / 1e6
    work = [[(r.end - r.start) * ms for r in trace.of(t)[1:]] for t in range(2)]
    wait = [[(r.done - r.end) * ms for r in trace.of(t)[1:]] for t in range(2)]
    assert wait[0][0] == wait[1][0] == 0
    assert min(work[1]) > 19
    # At the meeting, and at the end, thread 0 waits for thread 1; for how long depends on when it got a core itself.
    for first, second in zip(trace.of(0)[2:], trace.of(1)[2:], strict=True):
        assert first.done >= second.end


def test_what_does_not_fit_is_counted(new_pool: Any) -> None:
    pool, chain = new_pool(3), Chain()
    for capacity in (0, 1, 4, chain.n_steps, chain.n_steps + 9):
        trace = Trace(3, capacity)
        chain.check(pool, 2, trace.c)
        kept = min(capacity, chain.n_steps + 1)
        assert trace.steps() == [list(range(-1, kept - 1))] * 3
        assert list(trace.n_dropped) == [chain.n_steps + 1 - kept] * 3


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
    # Each stamp lies between two of the clock's, however long the system puts this thread aside meanwhile.
    before, start, after = time.perf_counter_ns(), lib.gg_ticks(), time.perf_counter_ns()
    time.sleep(0.05)
    earlier, end, later = time.perf_counter_ns(), lib.gg_ticks(), time.perf_counter_ns()
    took = (end - start) * lib.gg_tick_ns()
    assert (earlier - after) * 0.99 <= took <= (later - before) * 1.01
