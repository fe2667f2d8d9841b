"""Types of a user's own, registered and used by several threads at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

from ggtui import Context, Graph, ops, register_type
from ggtui.core.runtime.cpu.pool import Pool


def random(*shape: int) -> Any:
    return np.random.default_rng(1).standard_normal(shape, np.float32)


@pytest.mark.pool
def test_what_codecs_of_two_runs_raise_is_not_mixed_up() -> None:
    def failing(name: str) -> Any:
        class Failing:
            block, bytes, head = 1, 4, 0

            @staticmethod
            def encode(rows: Any) -> Any:
                return np.ascontiguousarray(rows).view(np.uint8)

            @staticmethod
            def decode(rows: Any) -> Any:
                raise ValueError(name)

        Failing.name = name
        return register_type(Failing)

    found: dict[str, set[str]] = {"test_fails_a": set(), "test_fails_b": set()}
    for name in found:
        failing(name)

    def run(name: str) -> None:
        ctx = Context()
        g = Graph()
        g.build_forward_expand(ops.mul_mat(ctx.tensor(random(40, 64), type=name), ctx.tensor(random(1, 64))))
        plan, pool = g.plan(), Pool(2)
        for _ in range(100):
            with pytest.raises(ValueError) as raised:
                plan.run(pool)
            found[name].add(str(raised.value))

    workers = [threading.Thread(target=run, args=(name,)) for name in found]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == {name: {name} for name in found}


_TOLD_AT_ONCE = """
import sys, threading
import numpy as np
from ggtui import Context, Graph, ops, register_type

def add(i):
    class Own:
        name, block, bytes, head = f"own_{i}", 1, 4, 0
        encode = staticmethod(lambda rows: np.ascontiguousarray(rows).view(np.uint8))
        decode = staticmethod(lambda rows: rows.view(np.float32))
    register_type(Own)

def run(first):
    for i in range(first, 60, 4):
        add(i)
        met.wait()
        ctx, g = Context(), Graph()
        a, b = np.full((8, 16), i, np.float32), np.ones((1, 16), np.float32)
        c = ops.mul_mat(ctx.tensor(a, type=f"own_{i}"), ctx.tensor(b))
        g.build_forward_expand(c)
        g.compute()
        assert (c.numpy() == 16 * i).all(), i
        done.append(i)

sys.setswitchinterval(1e-6)
met, done = threading.Barrier(4, timeout=20), []
threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
for t in threads: t.start()
for t in threads: t.join(20)
sys.exit(sorted(done) != list(range(60)))
"""


@pytest.mark.pool
def test_types_that_threads_register_and_use_at_once_are_told_to_the_compiled_part_once() -> None:
    subprocess.run([sys.executable, "-c", _TOLD_AT_ONCE], check=True, timeout=60)
