"""Passes change how a graph runs and never what comes out."""

from __future__ import annotations

import numpy as np
import pytest

from ggtui import Context, Graph, Tensor, ops
from ggtui.core.graph.dag import Dag
from ggtui.core.runtime.cpu.passes import allocate, fuse, prune, run_passes, schedule

RNG = np.random.default_rng(7)


def block(ctx: Context, *, packed: bool, type: str, n: int) -> tuple[Graph, Tensor]:
    """A norm with weights, a linear layer with GELU, another one added to the input."""
    k = 64
    x = ctx.tensor(RNG.standard_normal((n, k), dtype=np.float32), "x")
    up = ctx.tensor(RNG.standard_normal((96, k), dtype=np.float32), "up", type, packed=packed)
    down = ctx.tensor(RNG.standard_normal((k, 96), dtype=np.float32), "down", type, packed=packed)
    w, b = (ctx.tensor(RNG.standard_normal(k, dtype=np.float32)) for _ in range(2))
    b_up = ctx.tensor(RNG.standard_normal(96, dtype=np.float32))
    cur = ops.add(ops.mul(ops.norm(x), w), b)
    cur = ops.gelu(ops.add(ops.mul_mat(up, cur), b_up))
    y = ops.add(ops.add(ops.mul_mat(down, cur), b), x)
    g = Graph()
    g.build_forward_expand(y)
    return g, y


@pytest.mark.parametrize("n", [1, 2, 9])
@pytest.mark.parametrize(
    ("type", "packed"), [("f32", False), ("f32", True), ("f16", True), ("q8_0", True), ("q4_0", True)]
)
def test_fused_gives_what_separate_gives(type: str, packed: bool, n: int) -> None:
    g, y = block(Context(), packed=packed, type=type, n=n)
    results = []
    for fused in (False, True):
        for threads in (1, 2, 3):
            g.compute(threads=threads, fused=fused)
            results.append(y.numpy().copy())
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[3], results[5])
    scale = np.abs(results[0]).max()
    # A norm fused with its weights rounds once less, and the quants of its result may round the other way.
    assert np.abs(results[0] - results[3]).max() < (1e-5 if type in ("f32", "f16") else 2e-2) * scale


def test_fuse_joins_what_the_table_says_and_lists_the_originals() -> None:
    g, _ = block(Context(), packed=True, type="q8_0", n=1)
    nodes = fuse(prune(g.dag())).nodes
    assert [[t.op for t in node.originals] for node in nodes] == [
        ["norm", "mul", "add", "mul_mat", "add", "gelu"],
        ["mul_mat", "add", "add"],
    ]
    plain, _ = block(Context(), packed=False, type="f32", n=1)
    nodes = fuse(prune(plain.dag())).nodes
    assert [node.op for node in nodes] == ["norm", "mul_mat", "mul_mat"]


def test_every_original_stands_in_one_node() -> None:
    g, _ = block(Context(), packed=True, type="q8_0", n=3)
    dag = g.dag()
    fused = fuse(prune(dag))
    assert sorted(map(id, (t for node in fused.nodes for t in node.originals))) == sorted(id(n.dst) for n in dag.nodes)


def test_prune_drops_what_nobody_needs() -> None:
    ctx = Context()
    x = ctx.tensor(np.ones(4, np.float32))
    wanted, other = ops.sqr(x), ops.neg(x)
    g = Graph()
    g.build_forward_expand(wanted)
    g.build_forward_expand(other)
    dag = g.dag()
    dag.outputs = [wanted]
    assert [node.op for node in prune(dag).nodes] == ["sqr"]


def phases(*outputs: Tensor) -> list[tuple[str, int]]:
    g = Graph()
    for t in outputs:
        g.build_forward_expand(t)
    return [(node.op, node.phase) for node in schedule(g.dag()).nodes]


def test_row_by_row_ops_need_no_meeting() -> None:
    x = Context().tensor(np.ones((5, 8), np.float32))
    y = ops.soft_max(ops.norm(ops.silu(ops.add(x, x))))
    assert phases(y) == [("add", 0), ("silu", 0), ("norm", 0), ("soft_max", 0)]


def test_what_reads_other_rows_meets_first() -> None:
    ctx = Context()
    x = ctx.tensor(np.ones((5, 8), np.float32))
    y = ops.mul_mat(ctx.tensor(np.ones((3, 8), np.float32)), ops.neg(x))
    assert phases(ops.sum(ops.relu(y))) == [("neg", 0), ("mul_mat", 1), ("relu", 2), ("sum", 3)]
    assert phases(ops.sqr(ops.cont(ops.transpose(ops.neg(x))))) == [("neg", 0), ("cont", 1), ("sqr", 1)]
    row = ops.neg(ctx.tensor(np.ones(8, np.float32)))
    assert phases(ops.add(x, row)) == [("neg", 0), ("add", 1)]


def test_overwriting_what_others_still_read_meets_first() -> None:
    ctx = Context()
    x, y = (ctx.tensor(np.ones((5, 8), np.float32)) for _ in range(2))
    total = ops.sum(x)
    written = ops.cpy(y, x)
    assert phases(total, written) == [("sum", 0), ("cpy", 1)]


def test_memory_is_shared_only_across_phases() -> None:
    g, _ = block(Context(), packed=True, type="q8_0", n=4)
    dag = run_passes(g.dag(), fused=False)
    lives = []
    for node in dag.nodes:
        root = node.dst.root
        readers = [n.phase for n in dag.nodes if any(s is not None and s.root is root for s in n.src)]
        lives.append((dag.offsets[root], root.n_bytes, node.phase, max([node.phase, *readers])))
    lives.sort()
    for i, (at, size, born, died) in enumerate(lives):
        assert at + size <= dag.arena_bytes
        for other_at, _, other_born, other_died in lives[i + 1 :]:
            apart = other_at >= at + size
            assert apart or other_born > died or born > other_died
    assert dag.arena_bytes < sum(size for _, size, _, _ in lives)


def test_an_empty_graph_is_no_trouble() -> None:
    assert allocate(schedule(Dag())).arena_bytes == 0
    Graph().compute()
