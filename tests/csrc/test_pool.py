"""The thread pool: order and meetings, pools shared and left behind, threads as the system sees them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plans import EVERY, ONE, THREADS, Chain, custom_steps, matrix, own, plan_of, run, step

from ggtui.core.runtime.cpu.native import last_error, lib

pytestmark = pytest.mark.pool

TASKS = Path("/proc/self/task")
on_linux = pytest.mark.skipif(not TASKS.exists(), reason="looks into /proc")


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


def new_threads(before: set[str]) -> dict[str, Path]:
    """The pool's threads that are not among the tasks `before`: name, and folder in /proc."""
    found = {}
    for task in TASKS.iterdir():
        try:
            name = (task / "comm").read_text().strip()
        except OSError:  # it has just ended
            continue
        if name.startswith("ggtui/") and task.name not in before:
            found[name] = task
    return found


@on_linux
def test_threads_have_names_leave_signals_alone_and_end_with_their_pool(new_pool: Any, custom: Any) -> None:
    before = {task.name for task in TASKS.iterdir()}
    custom(lambda node, ith, nth: 0)
    for n_threads in (1, 2, 3, 9) * 5:
        pool = lib.gg_pool_new(n_threads)
        assert pool, last_error()
        if n_threads == 3:  # once they have run they have their names
            assert run(plan_of(custom_steps(2)), pool) == lib.GG_OK
            threads = new_threads(before)
            assert sorted(threads) == ["ggtui/1", "ggtui/2"]
            for task in threads.values():
                status = (task / "status").read_text()
                blocked = int(status.split("SigBlk:")[1].split()[0], 16)
                assert blocked & 1 << 1 and blocked & 1 << 14  # SIGINT, SIGTERM
                assert not blocked & 1 << 10  # SIGSEGV
        lib.gg_pool_free(pool)
    for _ in range(100):  # a joined thread's entry may outlive it for a moment
        if not new_threads(before):
            break
        time.sleep(0.01)
    assert not new_threads(before)


@on_linux
@pytest.mark.bare
def test_threads_that_cannot_start_leave_nothing_behind() -> None:
    script = """
import os, resource
from ggtui.core.runtime.cpu.native import last_error, lib
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
    plan = plan_of([step("scale", matrix(ONE), matrix(ONE))])
    assert run(plan, pool) == lib.GG_OK
    child = os.fork()
    if child == 0:
        refused = run(plan, pool) == lib.GG_NO_THREAD and "fork" in last_error()
        lib.gg_pool_free(pool)  # must not wait for threads that are not there
        os._exit(0 if refused else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert run(plan, pool) == lib.GG_OK
    lib.gg_pool_free(pool)
