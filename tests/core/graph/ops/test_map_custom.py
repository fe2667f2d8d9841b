"""map_custom: a Python function as an op, on every thread; what it raises comes out, and the pool works on."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

import numpy as np
import pytest
from every_way import Array, graph_of

from ggtui import Context, Tensor, ops
from ggtui.core.errors import GgtuiError
from ggtui.core.graph.dim import Dim
from ggtui.core.runtime.cases.shape import twice
from ggtui.core.runtime.cpu.pool import Pool


def mine(n: int, ith: int, nth: int) -> slice:
    return slice(n * ith // nth, n * (ith + 1) // nth)


def custom(function: Callable[..., None], n: int = 4) -> Tensor:
    return ops.map_custom(function, Context().tensor(np.ones((n, 2), np.float32)))


@pytest.mark.pool
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_every_thread_calls_it_once(threads: int) -> None:
    calls = []
    y = custom(lambda dst, x, ith, nth: calls.append((ith, nth, threading.get_ident(), x.shape)))
    graph_of(y).compute(threads=threads)
    assert sorted(call[:2] for call in calls) == [(i, threads) for i in range(threads)]
    assert len({call[2] for call in calls}) == threads
    assert {call[3] for call in calls} == {(4, 2)}


class OwnError(Exception):
    """What a function of a user's own raises."""


@pytest.mark.pool
@pytest.mark.parametrize("error", [OwnError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("who", [0, "last", "all"])
def test_what_it_raises_comes_out_and_the_pool_works_on(
    error: type[BaseException], threads: int, who: int | str
) -> None:
    broken = True

    def function(dst: Array, x: Array, ith: int, nth: int) -> None:
        if broken and (who == "all" or ith == (nth - 1 if who == "last" else who)):
            raise error(f"thread {ith}")
        twice(dst, x, ith, nth)

    # Nodes before and after it, so that others wait at meetings for the thread that failed.
    y = ops.sum(ops.cont(ops.transpose(ops.map_custom(function, ops.cont(ops.transpose(custom(twice)))))))
    g = graph_of(y)
    for _ in range(3):
        with pytest.raises(error, match="thread"):
            g.compute(threads=threads)
    broken = False
    g.compute(threads=threads)
    assert y.numpy().tolist() == [32.0]


def test_nodes_after_it_do_not_run() -> None:
    calls = []

    def fail(dst: Array, x: Array, ith: int, nth: int) -> None:
        raise OwnError

    first = custom(fail)
    with pytest.raises(OwnError):
        graph_of(ops.map_custom(lambda *_, **__: calls.append(1), first)).compute(threads=3)
    assert not calls


def test_an_exception_does_not_come_out_a_second_time() -> None:
    failing = {"a", "b"}

    def function(name: str) -> Callable[..., None]:
        def call(dst: Array, x: Array, ith: int, nth: int) -> None:
            if name in failing:
                raise OwnError(name)

        return call

    # None of these waits for another.
    g = graph_of(*(custom(function(name)) for name in ("a", "b", "c")))
    for _ in range(20):
        with pytest.raises(OwnError, match=r"[ab]"):
            g.compute(threads=2)
        failing = {"c"}
        with pytest.raises(OwnError, match="c"):
            g.compute(threads=2)
        failing = {"a", "b"}
    failing = set()
    g.compute(threads=2)


def test_its_arrays_are_views_of_the_tensors() -> None:
    seen = []
    x = Context().tensor(np.arange(6, dtype=np.float32).reshape(2, 3))
    y = ops.map_custom(
        lambda dst, x, ith, nth: seen.append((dst.dtype, x.dtype, x.strides)), ops.transpose(x), type="i32"
    )
    graph_of(y).compute()
    assert seen == [(np.int32, np.float32, (4, 12))]


def test_a_run_time_size_is_what_it_is_in_the_run() -> None:
    shapes = []

    def function(dst: Array, x: Array, ith: int, nth: int) -> None:
        shapes.append((dst.shape, x.shape))
        twice(dst, x, ith, nth)

    ctx = Context()
    x = ctx.new_tensor("f32", (3, Dim("n", 9)))
    x.set(np.arange(27, dtype=np.float32).reshape(9, 3))
    y = ops.map_custom(function, x)
    g = graph_of(y)
    for n in (9, 0, 4):
        g.compute(values={"n": n}, threads=2)
        assert shapes == [((n, 3), (n, 3))] * 2
        assert np.array_equal(y.numpy(), 2 * x.numpy()[:n])
        shapes.clear()


def test_it_may_compute_a_graph_of_its_own() -> None:
    def function(dst: Array, x: Array, ith: int, nth: int) -> None:
        inner = ops.scale(Context().tensor(x), 3.0)
        graph_of(inner).compute(threads=3)
        rows = mine(len(x), ith, nth)
        dst[rows] = inner.numpy()[rows]

    y = custom(function)
    graph_of(y).compute(threads=2)
    assert (y.numpy() == 3).all()


def test_an_array_that_is_kept_stays_readable() -> None:
    """It holds on to its memory, whatever becomes of the graph."""
    kept: list[Array] = []

    def function(dst: Array, x: Array, ith: int, nth: int) -> None:
        kept.extend((dst, x))
        dst[...] = x

    x = Context().tensor(np.arange(1 << 20, dtype=np.float32))
    y = ops.map_custom(function, ops.neg(x))
    graph_of(ops.neg(y)).compute()
    del x, y
    gc.collect()
    assert all(np.isfinite(array).all() for array in kept)
    assert kept[0].flags.writeable and not kept[1].flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        kept[1][0] = 1


def test_a_source_of_one_row_after_a_norm() -> None:
    x = Context().tensor(np.arange(32, dtype=np.float32))
    y = ops.map_custom(twice, ops.norm(x))
    graph_of(y).compute(threads=3)
    want = (np.arange(32) - 15.5) / np.sqrt(np.var(np.arange(32)) + 1e-5) * 2
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-5)


@pytest.mark.pool
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_function_that_computes_on_its_own_threads_is_refused(threads: int) -> None:
    """It would wait for itself."""
    x = Context().tensor(np.ones(8, np.float32))
    inner = graph_of(ops.neg(x))

    def function(dst: Array, _: Array, ith: int, nth: int) -> None:
        inner.compute(threads=threads)

    outer = graph_of(ops.map_custom(function, x))
    with pytest.raises(GgtuiError, match="on the threads of that very run"):
        outer.compute(threads=threads)
    again = graph_of(ops.map_custom(lambda dst, x, ith, nth: outer.compute(threads=threads + 1), x))
    with pytest.raises(GgtuiError, match="that very run"):
        again.compute(threads=threads)


@pytest.mark.pool
def test_a_function_may_compute_on_other_threads() -> None:
    x = Context().tensor(np.ones(8, np.float32))
    y = ops.neg(x)
    inner = graph_of(y)

    def function(dst: Array, _: Array, ith: int, nth: int) -> None:
        inner.compute(threads=1)
        if ith == 0:
            dst[...] = y.numpy()

    z = ops.map_custom(function, x)
    graph_of(z).compute(threads=2)
    assert z.numpy().tolist() == [-1] * 8


@pytest.mark.pool
def test_functions_that_would_wait_for_each_other_are_refused() -> None:
    """Each holds the threads that the other one asks for."""
    x = Context().tensor(np.ones(8, np.float32))
    both = threading.Barrier(2)
    outcomes = []

    def compute(own: int, others: int) -> None:
        inner = graph_of(ops.neg(x))

        def function(dst: Array, _: Array, ith: int, nth: int) -> None:
            if ith == 0:
                both.wait(60)
                inner.compute(threads=others)

        try:
            graph_of(ops.map_custom(function, x)).compute(threads=own)
            outcomes.append("")
        except GgtuiError as error:
            outcomes.append(str(error))

    for _ in range(20):
        outcomes.clear()
        workers = [threading.Thread(target=compute, args=threads) for threads in ((2, 3), (3, 2))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert any("or on such as wait for it" in outcome for outcome in outcomes) and "" in outcomes


@pytest.mark.pool
def test_what_two_graphs_raise_is_not_mixed_up() -> None:
    """Each in a thread of its own, at the same time."""
    begun = threading.Barrier(2)

    def failing(name: str) -> Tensor:
        def function(dst: Array, _: Array, ith: int, nth: int) -> None:
            begun.wait(60)
            raise ValueError(name)

        return ops.map_custom(function, Context().tensor(np.ones(8, np.float32)))

    found: dict[str, str] = {}

    def run(name: str) -> None:
        plan, pool = graph_of(failing(name)).plan(), Pool(1)
        for _ in range(50):
            with pytest.raises(ValueError) as raised:
                plan.run(pool)
            found.setdefault(name, str(raised.value))
            if found[name] != name:
                found[name] = str(raised.value)

    workers = [threading.Thread(target=run, args=(name,)) for name in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == {"a": "a", "b": "b"}
