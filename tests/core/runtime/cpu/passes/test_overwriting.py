"""Nodes that write into memory that others read: threads meet where they must, and fusing moves nobody past them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from ggtui import Context, Graph, Tensor, ops
from ggtui.core.runtime.cpu.passes import packed_alike, run_passes, schedule
from ggtui.core.runtime.passes.fuse import fuse, name_parts


def graph(*outputs: Tensor) -> Graph:
    g = Graph()
    for t in outputs:
        g.build_forward_expand(t)
    return g


def phases(*outputs: Tensor) -> list[tuple[str, int]]:
    dag = schedule(name_parts(graph(*outputs).dag()))
    return [(node.op, dag.phase[node]) for node in dag.nodes]


def square(n: int = 8) -> Tensor:
    return Context().tensor(np.arange(n * n, dtype=np.float32).reshape(n, n))


def test_threads_that_read_the_rows_they_overwrite_need_not_meet() -> None:
    x = square()
    assert phases(ops.neg(x), ops.scale(x, 2.0, inplace=True)) == [("neg", 0), ("scale", 0)]


def test_an_earlier_reader_counts_as_well_as_the_last() -> None:
    x = square()
    assert phases(ops.sum(x), ops.neg(x), ops.scale(x, 2.0, inplace=True)) == [("sum", 0), ("neg", 0), ("scale", 1)]


def test_rows_seen_another_way_are_others_rows() -> None:
    x, y = square(), square()
    assert phases(ops.add(y, ops.transpose(x)), ops.scale(x, 2.0, inplace=True)) == [("add", 0), ("scale", 1)]
    upper, lower = ops.view(x, (8, 4)), ops.view(x, (8, 4), offset=4 * x.nb[1])
    assert phases(ops.neg(lower), ops.scale(upper, 2.0, inplace=True)) == [("neg", 0), ("scale", 1)]


def test_a_mask_is_not_read_by_rows_of_its_own() -> None:
    x, m = square(), square()
    assert phases(ops.soft_max(x, m), ops.scale(m, 2.0, inplace=True)) == [("soft_max", 0), ("scale", 1)]


def results(g: Graph, inputs: list[Tensor], *outputs: Tensor) -> list[list[bytes]]:
    """Of fused and separate nodes, with several numbers of threads."""
    before = [t.numpy().copy() for t in inputs]
    found = []
    for fused in (False, True):
        for threads in (1, 2, 7):
            for t, values in zip(inputs, before, strict=True):
                t.set(values)
            g.compute(threads=threads, fused=fused)
            found.append([y.numpy().tobytes() for y in outputs])
    return found


@pytest.mark.parametrize("op", ["inplace", "cpy", "set_rows"])
def test_a_product_is_not_moved_behind_what_overwrites_its_operand(op: str) -> None:
    ctx = Context()
    w, x, bias = (ctx.tensor(np.ones(shape, np.float32)) for shape in ((5, 8), (8, 8), (5,)))
    product = ops.mul_mat(w, x)
    written = {
        "inplace": lambda: ops.scale(x, 3.0, inplace=True),
        "cpy": lambda: ops.cpy(square(), x),
        "set_rows": lambda: ops.set_rows(x, square(), ctx.tensor(np.arange(8))),
    }[op]()
    y = ops.add(ops.add(product, ops.view(written, (5,))), bias)
    g = graph(y)
    assert [node.op for node in g.dag().nodes] == ["mul_mat", op if op != "inplace" else "scale", "add", "add"]
    found = results(g, [x], y)
    assert all(f == found[0] for f in found)
    before = x.numpy()[0, :5]
    assert np.array_equal(y.numpy()[0], 8 + before + 1)


def test_a_result_that_is_overwritten_is_not_fused_away() -> None:
    ctx = Context()
    w, x, bias = (ctx.tensor(np.ones(shape, np.float32)) for shape in ((5, 8), (3, 8), (5,)))
    product = ops.mul_mat(w, x)
    cleared = ops.cpy(ctx.tensor(np.zeros((3, 5), np.float32)), product)
    y = ops.add(product, bias)
    g = graph(ops.sum_rows(cleared), y)
    found = results(g, [], y)
    assert all(f == found[0] for f in found)
    assert [node.op for node in fuse(name_parts(g.dag()), packed_alike).nodes] == ["mul_mat", "cpy", "sum_rows", "add"]
    assert y.numpy().tolist() == [[1.0] * 5] * 3


def test_memory_that_lives_in_one_phase_is_nobody_else_s_in_that_phase() -> None:
    """Over all pairs of results, rounded activations too."""
    ctx, rng = Context(), np.random.default_rng(0)
    x = ctx.tensor(rng.standard_normal((6, 64), np.float32))
    w = ctx.tensor(rng.standard_normal((64, 64), np.float32), type="q8_0", packed=True)
    outputs = []
    for _ in range(3):
        x = ops.add(ops.mul_mat(w, ops.neg(x)), ops.sqr(x))
        # These wait for nobody, and would fit where the product still reads.
        outputs += [x, *(ops.sum_rows(ops.relu(ctx.tensor(np.ones(64, np.float32)))) for _ in range(9))]
    dag = run_passes(graph(*outputs).dag())
    lives: dict[Tensor, tuple[int, int, set[int]]] = {}  # offset, size, phases
    assert sum(node.op == "quantize" for node in dag.nodes) == 3
    for node in dag.nodes:
        phase = dag.phase[node]
        lives[node.dst] = (dag.offsets[node.dst], node.dst.n_bytes, {phase})
        for s in node.src:
            if s in dag.offsets:
                lives[s][2].update(range(min(lives[s][2]), phase + 1))
    for (at, size, phases), (other_at, other_size, other_phases) in combinations(lives.values(), 2):
        assert at + size <= other_at or other_at + other_size <= at or not phases & other_phases


def test_in_place_on_an_intermediate() -> None:
    x = square(33)
    middle = ops.sqr(x)
    y = ops.add(ops.sum_rows(middle), ops.sum_rows(ops.scale(middle, 2.0, inplace=True)))
    found = results(graph(y), [x], y)
    assert all(f == found[0] for f in found)
    assert np.array_equal(y.numpy(), 3 * np.square(x.numpy()).sum(axis=1, keepdims=True))


def test_a_tensor_shows_what_was_computed_last() -> None:
    ctx = Context()
    x = ctx.tensor(np.ones(4, np.float32))
    y = ops.scale(x, 2.0)
    one, other = graph(y), graph(ops.neg(y))
    for value in (1.0, 2.0, 3.0):
        for g, options in ((one, {}), (one, {"isa": "scalar"}), (other, {}), (one, {"fused": False})):
            x.set(np.full(4, value, np.float32))
            g.keep(y)
            g.compute(**options)
            assert y.numpy().tolist() == [2 * value] * 4
            value += 10
