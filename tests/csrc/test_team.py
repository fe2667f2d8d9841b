"""How many threads runs get where other programs use the cores."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from plans import Chain, Trace

from ggtui.core.runtime.cpu.native import ffi, lib

pytestmark = pytest.mark.pool
MS = 1_000_000


def teams(*times: tuple[int, Sequence[int], int]) -> list[int]:
    """The threads of each run. `times`: for so many runs the nanoseconds with 1, 2, ... threads, and how many threads
    of them lose no time."""
    most = len(times[0][1])
    ns = np.array([took for n, took, _ in times for _ in range(n)], np.int64)
    alone = np.array([free for n, _, free in times for _ in range(n)], np.int32)
    found = np.zeros(len(ns), np.int32)
    lib.gg_test_team(
        most,
        len(ns),
        ffi.from_buffer("int64_t[]", ns),
        ffi.from_buffer("int[]", alone),
        ffi.from_buffer("int[]", found),
    )
    return found.tolist()


def test_all_threads_work_while_none_loses_time() -> None:
    """Whatever they take: how fast fewer are is no reason to look."""
    assert set(teams((10_000, (MS, MS * 3 // 2), 2))) == {2}


def test_one_rests_where_that_is_faster() -> None:
    found = teams((4000, (MS, 2 * MS), 1))
    first = found.index(1)
    assert set(found[:first]) == {2} and 5 <= first <= 10, "after 12 ms"
    assert np.mean(np.array(found[first:]) == 2) < 0.05, "it costs little to see now and then whether the other is gone"


def test_none_rests_where_that_is_slower() -> None:
    found = teams((4000, (2 * MS, MS), 1))
    assert np.mean(np.array(found) == 1) < 0.05


def test_all_work_again_when_the_others_have_gone() -> None:
    found = teams((2000, (MS, 3 * MS), 1), (3000, (MS, MS // 2), 2))
    back = len(found) - found[::-1].index(1)
    assert found[1999] == 1 and back - 2000 < 1700, "at most every 1.6 s it is tried"
    assert set(found[back:]) == {2}


def test_as_many_rest_as_there_are_others() -> None:
    """Eight threads on eight cores, three of which others use: from six threads on they wait for the slowest."""
    found = teams((20_000, [8 * MS // n if n < 6 else 2 * MS for n in range(1, 9)], 5))
    late = found[len(found) // 2 :]
    assert np.mean(np.array(late) == 5) > 0.9


def test_long_runs_are_tried_too() -> None:
    found = teams((400, (100 * MS, 300 * MS), 1))
    assert found[-1] == 1 and np.mean(np.array(found[50:]) == 2) < 0.15


@pytest.mark.skipif(sys.platform != "linux", reason="needs to hold threads to one core")
@pytest.mark.parametrize("n_threads", [2, 3])
def test_results_and_records_hold_where_threads_rest(new_pool: Any, n_threads: int) -> None:
    chain = Chain()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        pool, trace = new_pool(n_threads), Trace(n_threads, chain.n_steps + 1)
        lib.gg_pool_let_rest(pool)
        end = time.monotonic() + 60
        while lib.gg_plan_team(chain.plan) != 1 and time.monotonic() < end:
            chain.check(pool, 50, trace.c)
        assert lib.gg_plan_team(chain.plan) == 1
        while trace.of(1)[0].end != trace.of(0)[-1].done:  # a trial
            chain.check(pool, 1, trace.c)
    finally:
        os.sched_setaffinity(0, before)
    assert [len(trace.of(thread)) for thread in range(n_threads)] == [chain.n_steps + 1] * n_threads
    waking, *steps = trace.of(n_threads - 1)
    done = trace.of(0)[-1].done
    assert (waking.start, waking.end) == (trace.of(0)[0].start, done), "the time that it rested"
    assert all((s.start, s.end, s.done) == (done, done, done) for s in steps)
    chain.check(pool, 200)


def test_a_pool_ends_also_while_threads_rest(new_pool: Any) -> None:
    """And works on for plans that want all of its threads, and for functions that are no plans."""
    if sys.platform != "linux":
        pytest.skip("needs to hold threads to one core")
    chain, other = Chain(), Chain()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        pool = new_pool(3)
        lib.gg_pool_let_rest(pool)
        end = time.monotonic() + 60
        while lib.gg_plan_team(chain.plan) != 1 and time.monotonic() < end:
            chain.check(pool, 50)
        for _ in range(20):
            chain.check(pool, 3)
            other.check(pool, 3)
            assert lib.gg_limit(pool, lib.GG_LIMIT_BARRIER, 0, 0) > 0
            chain.check(pool, 3)
    finally:
        os.sched_setaffinity(0, before)
