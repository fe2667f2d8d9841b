"""What the system says of threads: for how long they were not scheduled, though they did not sleep."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from plans import Chain, Trace, custom_steps, plan_of, run

from ggtui.core.runtime.cpu.native import lib

pytestmark = [
    pytest.mark.pool,
    pytest.mark.skipif(sys.platform != "linux", reason="the oracle is Linux's own account of its scheduler"),
]
SCHEDSTAT = Path("/proc/thread-self/schedstat")


def queued_ns() -> int:
    """For how long this thread has been runnable without running, by the scheduler's own account."""
    return int(SCHEDSTAT.read_text().split()[1])


@pytest.fixture
def busy_core() -> Iterator[None]:
    """This process on one core, beside another one that never rests."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    beside = subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
    assert beside.stdout is not None and beside.stdout.readline()
    yield
    beside.kill()
    beside.communicate()
    os.sched_setaffinity(0, before)


def test_time_without_a_core_is_told(new_pool: Any, busy_core: None) -> None:
    chain, pool = Chain(), new_pool(1)
    trace = Trace(1, chain.n_steps + 1)
    every, trace.c.every = trace.c.every, 0
    for _ in range(2):  # the first time only where it begins
        assert run(chain.plan, pool, trace=trace.c) == lib.GG_OK
    assert trace.c.n_asked == 1
    trace.c.every = every
    said = lost = 0
    started, first = time.perf_counter(), queued_ns()
    queued = 0  # up to the last time that the system was asked: what comes later is told the next time
    while time.perf_counter() - started < 0.4:
        assert run(chain.plan, pool, trace=trace.c) == lib.GG_OK
        if trace.c.n_asked:
            said += trace.scheduled[0].span
            lost += trace.scheduled[0].lost
            queued = queued_ns() - first
    assert queued > 50e6 and said > 200e6
    assert lost == pytest.approx(queued, rel=0.1, abs=12e6)


def test_waiting_for_another_thread_is_no_time_without_a_core(new_pool: Any, custom: Any) -> None:
    def function(_node: int, ith: int, _nth: int) -> int:
        time.sleep(0.06 * ith)
        return 0

    custom(function)
    steps = custom_steps(2, flags=0)
    steps[1]["flags"] = lib.GG_BARRIER
    plan, pool, trace = plan_of(steps), new_pool(2), Trace(2, 3)
    assert run(plan, pool, trace=trace.c) == lib.GG_OK
    queued = queued_ns()
    assert run(plan, pool, trace=trace.c) == lib.GG_OK
    queued = queued_ns() - queued
    assert trace.c.n_asked == 2
    for thread in range(2):
        assert trace.scheduled[thread].span > 50e6
    # Thread 0 slept at the barrier, thread 1 in the function: each by its own will.
    assert trace.scheduled[0].lost <= queued + 10e6


def test_the_system_is_asked_at_most_every_so_often(new_pool: Any) -> None:
    chain, pool = Chain(), new_pool(1)
    trace = Trace(1, chain.n_steps + 1)
    trace.c.every = int(3600e9 / lib.gg_tick_ns())
    asked = 0
    for _ in range(100):
        assert run(chain.plan, pool, trace=trace.c) == lib.GG_OK
        trace.c.typical = int(3600e9 / lib.gg_tick_ns())  # no run is longer than that
        asked += trace.c.n_asked
    assert asked <= 1
    trace.c.typical = 1
    assert run(chain.plan, pool, trace=trace.c) == lib.GG_OK and trace.c.n_asked == 1  # a long run
    trace.c.every = 0
    assert run(chain.plan, pool, trace=trace.c) == lib.GG_OK and trace.c.n_asked == 1  # long ago


def test_another_thread_that_calls_is_asked_for_itself(new_pool: Any) -> None:
    chain, pool = Chain(), new_pool(1)
    trace = Trace(1, chain.n_steps + 1)
    trace.c.every = 0
    for _ in range(2):
        assert run(chain.plan, pool, trace=trace.c) == lib.GG_OK
    assert trace.c.n_asked == 1
    time.sleep(0.05)
    started = time.perf_counter_ns()
    other = Thread(target=lambda: run(chain.plan, pool, trace=trace.c))
    other.start()
    other.join()
    assert trace.scheduled[0].span <= time.perf_counter_ns() - started  # nothing is known of a time before
