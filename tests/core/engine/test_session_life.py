"""How sessions end: their memory, their file, a child of fork()."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ggtui import Context, Graph, ops
from ggtui.core.engine.model import BUILT_IN
from ggtui.core.engine.session import load
from ggtui.core.errors import GgtuiError, UsageError

FORTY_LOADS = """
import gc, os, sys, weakref
gc.disable()
import ggtui

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE")

def files():
    return len(os.listdir("/proc/self/fd"))

seen = []
for i in range(40):
    session = ggtui.load(threads=2, record="full")
    steps = list(session.generate("Once", 2))
    there = [weakref.ref(t) for t in (session, session.weights["token_embd.weight"], session.engine.one.plan)]
    del session, steps
    assert all(ref() is None for ref in there), "something goes round in a circle"
    if i >= 4:
        seen.append((resident(), files()))
print(max(n for n, _ in seen) - min(n for n, _ in seen), len({n for _, n in seen}))
"""


@pytest.mark.bare
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_session_is_freed_by_its_last_reference() -> None:
    """With the collector off, 40 loads leave memory and open files as they were."""
    done = subprocess.run([sys.executable, "-c", FORTY_LOADS], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    grown, kinds = map(int, done.stdout.split())
    assert kinds == 1 and grown < 4 << 20


def test_a_file_is_let_go_when_all_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    shutil.copy(BUILT_IN, path)
    with load(path, threads=1) as session:
        assert str(path) not in Path("/proc/self/maps").read_text()
        before = session.eval([1, 2, 3]).copy()
        path.write_bytes(b"")  # what a session goes on using lies in memory of its own
        session.reset()
        assert np.array_equal(session.eval([1, 2, 3]), before)


def test_a_closed_session_says_so() -> None:
    with load(threads=1) as session:
        list(session.generate("Once", 1))
        weight = weakref.ref(session.weights["token_embd.weight"])
    assert weight() is None
    for use in (
        lambda: session.eval([1]),
        lambda: list(session.generate("Once", 1)),
        session.memory,
        session.graphs,
        lambda: session.engine.new_graph(1),
        lambda: session.isa,
    ):
        with pytest.raises(UsageError, match="closed"):
            use()
    session.close()
    session.stop()


def test_two_threads_on_one_session_are_told_so() -> None:
    """Texts would be mixed, and more tokens read than the context holds."""
    session, refused, counts = load(threads=1, ctx=256), 0, []

    def read(token: int) -> None:
        nonlocal refused
        for _ in range(60):
            try:
                session.eval([token] * 2)
                counts.append(2)
            except UsageError as error:
                assert "another thread reads tokens" in str(error)
                refused += 1

    threads = [threading.Thread(target=read, args=(token,)) for token in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert session.n_past == len(session.tokens) == sum(counts) and len(counts) + refused == 120
    pairs = zip(session.tokens[::2], session.tokens[1::2], strict=True)
    assert all(a == b for a, b in pairs), "no two texts are mixed"


def test_two_sessions_in_two_threads_give_what_each_gives_alone() -> None:
    def text(seed: int) -> str:
        return "".join(step.text for step in load(threads=2).generate("Once", 40, seed=seed))

    alone = [text(seed) for seed in (1, 2)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(text, (1, 2))) == alone


def test_looking_at_logits_from_another_thread_disturbs_nobody() -> None:
    session = load(threads=1)
    session.eval([1])
    over = threading.Event()
    problems: list[Exception] = []

    def look() -> None:
        while not over.is_set():
            try:
                session.top(1)
            except Exception as error:
                problems.append(error)

    looking = threading.Thread(target=look)
    looking.start()
    n = sum(1 for _ in session.generate("Once", 100, seed=1, ignore_eos=True))
    over.set()
    looking.join()
    assert n == 100 and not problems


def test_two_generations_in_turn_are_told_so() -> None:
    session = load(threads=1)
    first = session.generate("Once", 10, temp=0)
    next(first)
    second = session.generate(" upon", 10, temp=0)
    next(second)
    with pytest.raises(UsageError, match="since the last step of this generation"):
        next(first)
    assert len(list(second)) == 9
    for disturb in (session.reset, lambda: session.eval([1])):
        third = session.generate("Once", 10, temp=0)
        next(third)
        disturb()
        with pytest.raises(UsageError, match="since the last step"):
            next(third)


@pytest.mark.bare
def test_a_child_of_fork_makes_its_own_pool_and_never_hangs() -> None:
    """The parent evaluates all the while, so that locks are held when it forks."""
    session, x = load(threads=2), Context().tensor(np.ones(64, np.float32))
    y = ops.sum(ops.neg(x))
    g = Graph()
    g.build_forward_expand(y)
    ending = threading.Event()

    def work() -> None:
        while not ending.is_set():
            session.reset()
            session.eval([1, 2, 3])
            g.compute(threads=2)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for _ in range(8):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    g.compute(threads=2)
                    fresh = float(y.numpy()[0]) == -64
                    try:
                        session.eval([1])
                    except GgtuiError as error:
                        code = 0 if fresh and "after fork()" in str(error) else 2
                finally:
                    os._exit(code)
            for _ in range(600):
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    break
                time.sleep(0.1)
            else:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                pytest.fail("the child hangs")
            assert os.waitstatus_to_exitcode(status) == 0
    finally:
        ending.set()
        worker.join()


def test_after_close_every_question_gets_the_same_answer() -> None:
    """Also from a thread that was generating when another one closed it."""
    session = load(threads=1)
    session.close()
    for name in ("threads", "pool", "kv", "isa"):
        with pytest.raises(UsageError, match="the session is closed"):
            getattr(session, name)
    assert not hasattr(load(threads=1), "no_such_thing")

    for delay in range(10):
        with load(threads=2) as session:
            closing = threading.Timer(0.002 * delay, session.close)
            closing.start()
            try:
                for _ in session.generate("Once", n_predict=400):
                    pass
            except UsageError as error:
                assert "is closed" in str(error)  # the session, the engine or the sequence, as it came to it
            closing.join()


def test_closing_gives_back_at_once_what_a_generation_still_points_at() -> None:
    session = load(threads=1)
    generation = session.generate("Once", 5)
    next(generation)
    there = [weakref.ref(x) for x in (session.weights["token_embd.weight"], session.kv, session.pool)]
    tokens = list(session.tokens)
    session.close()
    assert [ref() for ref in there] == [None] * 3
    with pytest.raises(UsageError, match="is closed"):
        next(generation)
    assert session.stop_reason == "n_predict" and session.tokens == tokens and session.n_past == len(tokens) - 1
    assert session.tokenizer.n_vocab and session.metadata and session.n_ctx and len(session.logits)


def test_a_misspelt_option_is_no_option() -> None:
    with pytest.raises(TypeError, match="'temprature'"):
        load(threads=1).generate("Once", 2, temprature=0)  # type: ignore[call-arg]


def test_a_fork_during_the_first_run_of_a_process_does_no_harm() -> None:
    code = """
import os, threading
import ggtui
from ggtui import Context, Graph, ops
import numpy as np

def compute():
    y = ops.neg(Context().tensor(np.ones(8, np.float32)))
    g = Graph()
    g.build_forward_expand(y)
    g.compute(threads=2)

first = threading.Thread(target=compute)
first.start()
pid = os.fork()
if pid == 0:
    compute()
    os._exit(0)
first.join()
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""
    for _ in range(4):
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.pool
def test_a_child_of_fork_cannot_go_on_with_the_run_that_made_it(capfd: pytest.CaptureFixture[str]) -> None:
    """Its other threads are not there to be waited for."""
    parent, children = os.getpid(), []

    def function(dst: np.ndarray, _: np.ndarray, ith: int, nth: int) -> None:  # type: ignore[type-arg]
        pid = os.fork() if ith == 0 else 0
        if ith == 0 and os.getpid() == parent:
            children.append(pid)

    g = Graph()
    g.build_forward_expand(ops.map_custom(function, Context().tensor(np.ones(8, np.float32))))
    g.compute(threads=3)
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 1
    assert "can't go on with it" in capfd.readouterr().err
