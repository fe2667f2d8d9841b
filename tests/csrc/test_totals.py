"""Totals in place of records: what C adds up of the stamps it takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from plans import THREADS, Chain, run

from ggtui.core.runtime.cpu.native import ffi, lib, text

pytestmark = pytest.mark.pool

TOTAL = np.dtype([("count", "i8"), ("work", "i8"), ("least", "i8"), ("most", "i8"), ("wait", "i8"), ("squared", "f8")])


class Totals:
    def __init__(self, n_threads: int, n_steps: int) -> None:

        self.used = np.zeros((n_threads, n_steps + 1), TOTAL)
        self.c = ffi.new("gg_trace *")
        self.c.totals = ffi.cast("gg_total *", self.used.ctypes.data)


@pytest.mark.parametrize("n_threads", THREADS)
def test_totals_fill_the_time_of_every_thread(new_pool: Any, n_threads: int) -> None:
    chain = Chain()
    totals = Totals(n_threads, chain.n_steps)
    pool = new_pool(n_threads)
    started = time.perf_counter_ns()
    for n in range(1, 21):
        assert run(chain.plan, pool, trace=totals.c) == lib.GG_OK
        assert (totals.used["count"] == n).all()
    elapsed = time.perf_counter_ns() - started
    rows = totals.used
    filled = (rows["work"] + rows["wait"]).sum(axis=1) * lib.gg_tick_ns()
    # Every thread's records begin when the caller asks and end when the run ends: all sums are the same.
    assert filled.max() == pytest.approx(filled.min(), abs=100 * 20)
    assert filled.max() <= elapsed
    assert (rows["least"] * rows["count"] <= rows["work"]).all() and (
        rows["work"] <= rows["most"] * rows["count"]
    ).all()
    mean = rows["work"].astype(float) / 20
    assert (rows["squared"] >= 20 * mean * mean * 0.999).all()
    assert (rows["squared"] <= rows["most"].astype(float) * rows["work"] * 1.001).all()
    assert (rows["wait"][:, 0] == 0).all()  # waking up is work alone


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
    test_totals_fill_the_time_of_every_thread(new_pool, n_threads)
    assert 0 < lib.gg_ticks() - before < 60e9
    test_a_stamp_takes_some_nanoseconds()


def test_the_clock_of_stamps_is_the_machines_own_again() -> None:
    before = text(lib.gg_tick_source()), lib.gg_tick_ns()
    lib.gg_test_system_clock(1)
    lib.gg_test_system_clock(0)
    assert (text(lib.gg_tick_source()), lib.gg_tick_ns()) == before
