"""The order of graphs, what they print, what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from ggtui import Context, Graph, ops
from ggtui.core.errors import GgtuiError, UsageError
from ggtui.core.runtime.several import device


def test_each_node_comes_after_its_sources_and_once() -> None:
    ctx = Context()
    a = ctx.tensor(np.ones((2, 3), np.float32), name="a")
    b = ops.add(a, a)
    c = ops.mul(b, ops.sqr(b))
    g = Graph()
    g.build_forward_expand(c)
    g.build_forward_expand(c)
    assert [node.op for node in g.dag().nodes] == ["add", "sqr", "mul"]


def test_a_deep_graph_does_not_end_the_stack() -> None:
    ctx = Context()
    t = ctx.tensor(np.zeros(4, np.float32))
    for _ in range(5000):
        t = ops.scale(t, 1.0, 1.0)
    g = Graph()
    g.build_forward_expand(t)
    g.compute()
    assert t.numpy().tolist() == [5000.0] * 4


def test_print_names_op_types_and_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    ctx = Context()
    y = ops.mul_mat(
        ctx.tensor(np.ones((3, 32), np.float32), "w", "q8_0"), ctx.tensor(np.ones((2, 32), np.float32), "x")
    )
    g = Graph()
    g.build_forward_expand(y)
    g.print()
    line = capsys.readouterr().out
    for part in ("mul_mat", "w q8_0 (32, 3)", "x f32 (32, 2)", "f32 (3, 2)"):
        assert part in line


def test_an_intermediate_must_be_kept_to_be_read() -> None:
    ctx = Context()
    x = ctx.tensor(np.arange(6, dtype=np.float32).reshape(2, 3))
    middle = ops.sum_rows(x)
    y = ops.sqr(middle)
    g = Graph()
    g.build_forward_expand(y)
    with pytest.raises(GgtuiError, match="no graph"):
        y.numpy()
    g.compute()
    assert y.numpy().tolist() == [[9.0], [144.0]]
    with pytest.raises(GgtuiError, match="keep"):
        middle.numpy()
    g.keep(middle)
    g.compute()
    assert middle.numpy().tolist() == [[3.0], [12.0]]


def test_a_kept_node_is_not_fused_away() -> None:
    ctx = Context()
    w, x = ctx.tensor(np.eye(4, dtype=np.float32)), ctx.tensor(np.ones((2, 4), np.float32))
    product = ops.mul_mat(w, x)
    y = ops.add(product, ctx.tensor(np.full(4, 5, np.float32)))
    g = Graph()
    g.build_forward_expand(y)
    g.compute()
    with pytest.raises(GgtuiError, match="fused"):
        product.numpy()
    g.keep(product)
    g.compute()
    assert product.numpy().tolist() == [[1.0] * 4] * 2
    assert y.numpy().tolist() == [[6.0] * 4] * 2


def test_numbers_of_threads_out_of_range_are_refused() -> None:
    ctx = Context()
    g = Graph()
    g.build_forward_expand(ops.neg(ctx.tensor(np.ones(3, np.float32))))
    for threads in (0, -1, 513):
        with pytest.raises(UsageError, match="threads"):
            g.compute(threads=threads)


def test_a_graph_runs_again_on_new_data() -> None:
    ctx = Context()
    x = ctx.new_tensor_1d("f32", 5)
    y = ops.scale(x, 2.0)
    g = Graph()
    g.build_forward_expand(y)
    for value in (1.0, 4.0):
        x.set(np.full(5, value, np.float32))
        g.compute(threads=2)
        assert y.numpy().tolist() == [2 * value] * 5


@pytest.mark.parametrize("device_name", ["cpu", "reference"])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_run_stops_after_a_node(device_name: str, threads: int) -> None:
    """Of what is kept, it has the values of a whole run up to there; what follows is left as it was."""
    ctx, g = Context(), Graph()
    x = ctx.tensor(np.arange(-50, 50, dtype=np.float32).reshape(4, 25))
    made = [x]
    for op in (ops.sqr, ops.sum_rows, ops.neg, ops.exp, ops.neg):
        made.append(op(made[-1]))
        g.keep(made[-1])
    g.build_forward_expand(made[-1])
    plan, pool = g.plan(fused=False, device_name=device_name), device(device_name).pool(threads)
    plan.show()
    plan.run(pool)
    whole, n = [t.numpy().copy() for t in made], len(plan.info(threads).nodes)
    x.set(2 * x.numpy())
    plan.run(pool)
    twice = [t.numpy().copy() for t in made]
    x.set(whole[0])
    for last in range(n):
        recorder = plan.recorder("full", pool.threads)
        told = plan.run(pool, recorder=recorder, stop_after=last)
        for i, t in enumerate(made):
            assert np.array_equal(t.numpy(), (whole if i <= last + 1 else twice)[i])
        assert {r.node for r in recorder.take()} == set(range(-1, last + 1))
        assert not told or not recorder.told()[1]
        x.set(2 * x.numpy())
        plan.run(pool)
        x.set(whole[0])
    for bad in (-1, n):
        with pytest.raises(UsageError, match=f"stop_after {bad}: the nodes are 0 to {n - 1}"):
            plan.run(pool, stop_after=bad)
