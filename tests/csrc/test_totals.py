"""Totals in place of records: what C adds up of the stamps it takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from plans import THREADS, Chain, Trace, custom_steps, plan_of, run

from ggtui.core.runtime.cpu.native import ffi, lib, text

pytestmark = pytest.mark.pool

TOTAL = np.dtype([("count", "i8"), ("work", "i8"), ("least", "i8"), ("most", "i8"), ("wait", "i8"), ("squared", "f8")])


class Totals(Trace):
    """A trace whose records are added up; `used` is what they come to."""

    def __init__(self, n_threads: int, n_steps: int, n_runs: int = 1) -> None:
        super().__init__(n_threads, n_steps + 1, n_runs)
        self._used = np.zeros((n_threads, n_steps + 1), TOTAL)
        self.c.totals = ffi.cast("gg_total *", self._used.ctypes.data)

    @property
    def used(self) -> Any:
        lib.gg_trace_finish(self.c)
        return self._used


@pytest.mark.parametrize("n_runs", [1, 2, 7, 32])
@pytest.mark.parametrize("n_threads", THREADS)
def test_totals_are_the_sums_of_the_records(new_pool: Any, n_threads: int, n_runs: int) -> None:
    chain = Chain()
    totals = Totals(n_threads, chain.n_steps, n_runs)
    pool = new_pool(n_threads)
    times: list[Any] = []
    for _ in range(20):
        before = totals.c.n_disturbed
        assert run(chain.plan, pool, trace=totals.c) == lib.GG_OK
        if totals.c.n_disturbed == before:
            runs = [totals.of(thread) for thread in range(n_threads)]
            times.append([[(r.end - r.start, r.done - r.end) for r in records] for records in runs])
        if len(times) % 6 == 5:  # else they are added when there is no place left
            assert (totals.used["count"] == len(times)).all()
    work, wait = np.moveaxis(np.array(times, np.int64), -1, 0)
    rows = totals.used
    assert np.array_equal(rows["work"], work.sum(axis=0)) and np.array_equal(rows["wait"], wait.sum(axis=0))
    assert np.array_equal(rows["least"], work.min(axis=0)) and np.array_equal(rows["most"], work.max(axis=0))
    assert np.allclose(rows["squared"], (work.astype(float) ** 2).sum(axis=0), rtol=1e-12)
    assert (rows["wait"][:, 0] == 0).all()  # waking up is work alone


@pytest.mark.parametrize("n_threads", THREADS)
def test_the_records_of_a_thread_fill_the_time_of_the_run(new_pool: Any, n_threads: int) -> None:
    chain = Chain()
    trace, pool = Trace(n_threads, chain.n_steps + 1), new_pool(n_threads)
    for _ in range(5):
        started = time.perf_counter_ns()
        assert run(chain.plan, pool, trace=trace.c) == lib.GG_OK
        elapsed = time.perf_counter_ns() - started
        records = [trace.of(thread) for thread in range(n_threads)]
        assert len({r[0].start for r in records}) == len({r[-1].done for r in records}) == 1
        assert (records[0][-1].done - records[0][0].start) * lib.gg_tick_ns() <= elapsed * 1.001


def sleeps_once(custom: Any, seconds: float) -> Any:
    """A plan whose only step takes some time in the run after `slow` was set."""
    slow: list[int] = []

    def function(_node: int, ith: int, _nth: int) -> int:
        if slow and ith == 0:
            time.sleep(seconds)
        return 0

    custom(function)
    return plan_of(custom_steps(1)), slow


def test_a_run_that_takes_far_longer_than_others_is_left_out(new_pool: Any, custom: Any) -> None:
    plan, slow = sleeps_once(custom, 0.05)
    totals, pool = Totals(1, 1), new_pool(1)
    for _ in range(200):
        assert run(plan, pool, trace=totals.c) == lib.GG_OK
    kept, left_out = int(totals.used["count"][0, 1]), totals.c.n_disturbed
    assert left_out < kept == 200 - left_out  # half of the runs take no longer than is typical
    slow.append(1)
    assert run(plan, pool, trace=totals.c) == lib.GG_OK
    assert totals.c.n_disturbed == left_out + 1 and totals.used["count"][0, 1] == kept
    assert totals.used["most"][0, 1] * lib.gg_tick_ns() < 50e6


def test_a_run_that_fails_is_left_out(new_pool: Any, custom: Any) -> None:
    failing: list[int] = []
    custom(lambda node, _ith, _nth: int(bool(failing) and node == 1))
    plan, totals, pool = plan_of(custom_steps(3)), Totals(2, 3, 4), new_pool(2)
    for fails in (0, 1, 0, 1, 1, 0):
        failing[:] = [1] * fails
        assert run(plan, pool, trace=totals.c) == (lib.GG_CUSTOM if fails else lib.GG_OK)
    assert (totals.used["count"] == 3 - totals.c.n_disturbed).all()


def test_a_run_of_another_size_is_not_held_against_the_last(new_pool: Any, custom: Any) -> None:
    plan, slow = sleeps_once(custom, 0.02)
    totals, pool = Totals(1, 1), new_pool(1)
    for _ in range(10):
        assert run(plan, pool, trace=totals.c) == lib.GG_OK
    kept = int(totals.used["count"][0, 1])
    slow.append(1)
    assert run(plan, pool, size=512, trace=totals.c) == lib.GG_OK
    assert totals.used["count"][0, 1] == kept + 1 and totals.used["most"][0, 1] * lib.gg_tick_ns() >= 20e6


def test_a_stamp_takes_some_nanoseconds() -> None:
    assert all(0.5 < lib.gg_stamp_ns(fenced) < 100_000 for fenced in (0, 1))


@pytest.fixture
def system_clock() -> Iterator[None]:
    """Stamps as they are where the processor's counter does not run at one pace."""
    lib.gg_test_system_clock(1)
    yield
    lib.gg_test_system_clock(0)


@pytest.mark.parametrize("n_threads", THREADS)
def test_stamps_of_the_system_clock(system_clock: None, new_pool: Any, n_threads: int) -> None:
    assert lib.gg_tick_ns() == 1.0 and text(lib.gg_tick_source()).startswith("the system's clock")
    before = lib.gg_ticks()
    test_totals_are_the_sums_of_the_records(new_pool, n_threads, 3)
    test_the_records_of_a_thread_fill_the_time_of_the_run(new_pool, n_threads)
    assert 0 < lib.gg_ticks() - before < 60e9
    test_a_stamp_takes_some_nanoseconds()


def test_the_clock_of_stamps_is_the_machines_own_again() -> None:
    before = text(lib.gg_tick_source()), lib.gg_tick_ns()
    lib.gg_test_system_clock(1)
    lib.gg_test_system_clock(0)
    assert (text(lib.gg_tick_source()), lib.gg_tick_ns()) == before
