"""How many threads runs get where other programs use the cores."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plans import Chain, Trace

from ggtui.core.runtime.cpu.native import ffi, lib

pytestmark = pytest.mark.pool
MS = 1_000_000


def teams(*times: tuple[int, Sequence[int], int], pauses: dict[int, int] | None = None, n_sizes: int = 1) -> list[int]:
    """The threads of each run. `times`: for so many runs the nanoseconds with 1, 2, ... threads, and how many threads
    of them lose no time. `pauses`: before some runs, in nanoseconds. Runs are of so many sizes in turn."""
    most = len(times[0][1])
    ns = np.array([took for n, took, _ in times for _ in range(n)], np.int64)
    alone = np.array([free for n, _, free in times for _ in range(n)], np.int32)
    sizes, paused = np.arange(len(ns)) % n_sizes, np.zeros(len(ns), np.int64)
    for run, pause in (pauses or {}).items():
        paused[run] = pause
    found = np.zeros(len(ns), np.int32)
    lib.gg_test_team(
        most,
        len(ns),
        ffi.from_buffer("int64_t[]", sizes),
        ffi.from_buffer("int64_t[]", paused),
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


@pytest.mark.parametrize("most", [8, 24, 64])
def test_all_work_again_however_many_there_are(most: int) -> None:
    """Of many threads one more is hardly faster: from half of them on it must not go up by single ones alone."""
    quiet = [640 * MS // n // 10 for n in range(1, most + 1)]
    busy = [ns if n <= most // 2 else 3 * quiet[most // 2 - 1] for n, ns in enumerate(quiet, 1)]
    n_busy, n_quiet = 20_000 * MS // busy[most // 2 - 1], 10_000 * MS // quiet[-1]
    found = teams((n_busy, busy, most // 2), (n_quiet, quiet, most))
    assert np.mean(np.array(found[n_busy // 2 : n_busy]) <= most // 2) > 0.9
    assert set(found[-n_quiet // 2 :]) == {most}


def test_all_work_again_also_where_they_gain_little() -> None:
    quiet = [int(4 * MS / min(n, 4) / 1.01 ** max(n - 4, 0)) for n in range(1, 9)]
    busy = [ns if n <= 4 else 3 * quiet[3] for n, ns in enumerate(quiet, 1)]
    found = teams((20_000, busy, 4), (10_000, quiet, 8))
    assert found[19_999] == 4 and found[-1] == 8


def test_one_interruption_now_and_then_changes_little() -> None:
    quiet = [24 * MS // n for n in range(1, 25)]
    second = [(999, quiet, 24), (1, [ns + 5 * MS for ns in quiet], 0)]
    found = teams(*second * 60)
    assert np.mean(np.array(found) == 24) > 0.7 and min(found) > 20


def test_what_was_before_a_pause_is_forgotten() -> None:
    """The machine has become quiet meanwhile: fewer threads look faster than what was measured before."""
    busy, quiet = (26 * MS, 26 * MS), (20 * MS, 10 * MS)
    assert set(teams((60, busy, 0))[-4:]) == {2}
    found = teams((58, busy, 0), (400, quiet, 2), pauses={58: 600_000 * MS})
    assert set(found[58:]) == {2}


def test_runs_of_sizes_in_turn_try_nothing() -> None:
    assert set(teams((4000, (MS, 2 * MS), 1), n_sizes=2)) == {2}


@pytest.mark.parametrize("most", [2, 3, 5])
def test_teams_change_between_runs_and_nobody_is_missed(new_pool: Any, most: int) -> None:
    """More threads than cores are put aside now and then: what a late one does must be of its own run."""
    chosen = np.random.default_rng(0).integers(1, most + 1, 997).astype(np.int32)
    pool = new_pool(most)
    for n_barriers in (0, 1, 4):
        assert lib.gg_test_runs(pool, 1500, len(chosen), ffi.from_buffer("int[]", chosen), n_barriers) == 0


@pytest.mark.bare
def test_a_thread_late_from_one_run_does_not_end_the_next(tmp_path: Path) -> None:
    here = Path(__file__).parent
    csrc = here.parents[1] / "ggtui/csrc"
    base = [str(path) for path in (csrc / "base").glob("*.c") if path.name != "pool.c"]
    made = tmp_path / "late_thread"
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-pthread", f"-I{csrc}"]
    subprocess.run(["cc", *flags, str(here / "late_thread.c"), *base, "-o", str(made), "-lm"], check=True)
    assert subprocess.run([made], timeout=30, check=False).returncode == 0


@pytest.mark.bare
def test_a_team_stays_for_a_million_runs(new_pool: Any) -> None:
    """After 2^20 of them it is said anew."""
    assert lib.gg_test_runs(new_pool(2), 1_100_000, 1, ffi.new("int[]", [2]), 0) == 0


def worked_alone(chain: Chain, pool: Any, trace: Any = ffi.NULL) -> None:
    """Runs until one thread works and the others rest."""
    end = time.monotonic() + 60
    while lib.gg_plan_team(chain.plan) != 1 and time.monotonic() < end:
        chain.check(pool, 50, trace)
    assert lib.gg_plan_team(chain.plan) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs to hold threads to one core")
@pytest.mark.parametrize("n_threads", [2, 3])
def test_results_and_records_hold_where_threads_rest(new_pool: Any, n_threads: int) -> None:
    chain = Chain()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        pool, trace = new_pool(n_threads), Trace(n_threads, chain.n_steps + 1)
        lib.gg_pool_let_rest(pool)
        worked_alone(chain, pool, trace.c)
        for _ in range(1000):
            chain.check(pool, 1, trace.c)
            n_records = [len(trace.of(thread)) for thread in range(n_threads)]
            n_rest = n_records.count(1)
            assert n_records == [chain.n_steps + 1] * (n_threads - n_rest) + [1] * n_rest
            if n_rest == n_threads - 1:  # no trial
                break
    finally:
        os.sched_setaffinity(0, before)
    done = trace.of(0)[-1].done
    for thread in range(1, n_threads):
        (waking,) = trace.of(thread)
        assert (waking.start, waking.end) == (trace.of(0)[0].start, done), "the time that it rested"
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
        worked_alone(chain, pool)
        for _ in range(20):
            chain.check(pool, 3)
            other.check(pool, 3)
            assert lib.gg_limit(pool, lib.GG_LIMIT_BARRIER, 0, 0) > 0
            chain.check(pool, 3)
        worked_alone(chain, pool)
    finally:
        os.sched_setaffinity(0, before)
    del pool
