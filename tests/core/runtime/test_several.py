"""Graphs over several devices: where nodes run, what is copied, and what records say of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ggtui.core.errors import GgtuiError, UsageError
from ggtui.core.graph import ops
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.compute import Graph, shared_pool
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.device import one_device
from ggtui.core.runtime.record import WAKE, GraphInfo, Records
from ggtui.core.runtime.several import device

pytestmark = pytest.mark.pool


def random(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape, np.float32)


def graph(*outputs: Tensor) -> Graph:
    g = Graph()
    for t in outputs:
        g.build_forward_expand(t)
    return g


def named(name: str, t: Tensor) -> Tensor:
    t.name = name
    return t


def chain(n_tokens: int = 5) -> tuple[Graph, Tensor]:
    """w . x, soft_max of it, and the sum of both."""
    ctx = Context()
    w, x = ctx.tensor(random(7, 32), "w"), ctx.tensor(random(n_tokens, 32), "x")
    product = named("product", ops.mul_mat(w, x))
    y = named("y", ops.add(named("weights", ops.soft_max(product)), product))
    return graph(y), y


def ran_on(info: GraphInfo) -> dict[str, str]:
    return {node.key: node.device for node in info.nodes}


@pytest.mark.parametrize(
    "name",
    [
        "cpu,reference:soft_max",
        "cpu,reference:mul_mat:add",
        "reference,cpu:mul_mat",
        "cpu,reference:add,reference:mul_mat",
    ],
)
@pytest.mark.parametrize("fused", [True, False])
def test_single_ops_run_elsewhere(name: str, fused: bool) -> None:
    g, y = chain()
    g.compute(device="reference")
    want = y.numpy().copy()
    g.compute(threads=2, device=name, fused=fused)
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-4, atol=1e-6)


def test_nodes_copies_and_what_reads_them() -> None:
    g, _ = chain()
    nodes = g.plan(device_name="cpu,reference:soft_max").info(2).nodes
    assert [(n.key, n.op, n.device, n.src) for n in nodes] == [
        ("product", "mul_mat", "cpu", ()),
        ("product:to reference", "copy", "cpu", (0,)),
        ("weights", "soft_max", "reference", (1,)),
        ("weights:to cpu", "copy", "cpu", (2,)),
        ("y", "add", "cpu", (0, 3)),
    ]
    assert [n.phase for n in nodes] == sorted(n.phase for n in nodes)
    assert nodes[1].traffic.at({}) == 2 * 4 * 7 * 5 and not nodes[1].inputs


def test_lanes_add_up_to_the_run() -> None:
    g, _ = chain()
    plan, pool = g.plan(device_name="cpu,reference:soft_max"), shared_pool("cpu,reference:soft_max", 2)
    recorder = plan.recorder("full", 2)
    plan.run(pool, {}, recorder)
    info, table = plan.info(2), Records.of(recorder.take()).table
    assert [lane.name for lane in info.lanes] == ["thread 0", "thread 1", "reference"]
    ends = set()
    for i in range(3):
        mine = table[table[:, 2] == i]
        assert mine[0, 0] == WAKE and mine[0, 3] == 0
        assert (mine[1:, 3] == mine[:-1, 5]).all() and (np.diff(mine[:, 3:], axis=1) >= 0).all()
        ends.add(int(mine[-1, 5]))
    assert len(ends) == 1
    by_node = {int(row[0]): int(row[2]) for row in table if row[0] != WAKE and row[2] != 1}
    assert by_node == {0: 0, 1: 0, 2: 2, 3: 0, 4: 0}  # copies are the caller's


def test_a_light_profile_adds_up_all_nodes() -> None:
    g, _ = chain()
    plan, pool = g.plan(device_name="reference,cpu:add"), shared_pool("reference,cpu:add", 1)
    recorder = plan.recorder("light", 1)
    for _ in range(3):
        plan.run(pool, {}, recorder)
    totals = {t.node: t for t in recorder.node_totals(0)}
    assert set(range(len(plan.info(1).nodes))) <= set(totals)
    copies = [n.id for n in plan.info(1).nodes if n.op == "copy"]
    assert copies and all(totals[i].count == 3 and totals[i].lane == 0 for i in copies)
    recorder.clear()
    assert not [t for t in recorder.node_totals(0) if t.node in copies]


def test_what_is_stored_is_written_where_it_lies() -> None:
    """Whatever was asked for; and what another device reads of it is what it is now."""
    ctx = one_device("cpu").context()
    store = ctx.new_tensor("f32", (4, 6), "store", use="values")
    rows, at = ctx.tensor(random(2, 4), "rows"), ctx.tensor([1, 4], "at")
    before = named("before", ops.sum_rows(store))
    stored = named("stored", ops.set_rows(store, ops.scale(rows, 2), at))
    after = named("after", ops.sum_rows(stored))
    g = graph(before, stored, after)
    plan = g.plan(device_name="cpu,reference:set_rows:sum_rows:scale")
    where = ran_on(plan.info(1))
    assert (where["stored"], where["before"], where["after"]) == ("cpu", "reference", "reference")
    g.compute(device="cpu,reference:set_rows:sum_rows:scale")
    want = np.zeros((6, 4), np.float32)
    want[[1, 4]] = 2 * rows.numpy()
    np.testing.assert_array_equal(store.numpy(), want)
    assert not before.numpy().any()
    np.testing.assert_allclose(after.numpy().reshape(-1), want.sum(axis=1), rtol=1e-6)


def test_constants_are_copied_once_for_all_graphs() -> None:
    """Also packed ones, to the bit; inputs are copied in each run."""
    ctx, name = Context(), "cpu,reference:mul_mat:neg"
    w = ctx.tensor(random(70, 64), "w", "q4_0", use="weights")
    x = ctx.tensor(random(3, 64), "x")
    assert w.packed
    y, z = ops.mul_mat(w, x), ops.mul_mat(w, ops.neg(x))
    for t, sign in ((y, 1), (z, -1)):
        g = graph(t)
        assert [n.name for n in g.plan(device_name=name).info(1).nodes if n.op == "copy"] == ["x:to reference"]
        g.compute(device=name)
        np.testing.assert_allclose(t.numpy(), sign * (x.numpy() @ w.numpy().T), rtol=1e-4, atol=1e-4)
    places = device(name)._constants[w]  # type: ignore[attr-defined]
    assert list(places) == ["reference"] and not places["reference"].packed
    np.testing.assert_array_equal(places["reference"].numpy(), w.numpy())
    x.set(2 * x.numpy())
    g.compute(device=name)
    np.testing.assert_allclose(z.numpy(), -(x.numpy() @ w.numpy().T), rtol=1e-4, atol=1e-4)


def test_run_time_sizes() -> None:
    """Of a tensor with fewer rows in a run than it could have only those are copied."""
    ctx, name = Context(), "cpu,reference:soft_max"
    x = ctx.new_tensor("f32", (3, Dim("n_tokens", 4)), "x")
    x.bytes().view(np.float32)[:] = np.arange(12)
    y = ops.neg(ops.soft_max(ops.scale(x, 0.5)))
    g = graph(y)
    for n in (4, 1, 3, 0):
        g.compute(values={"n_tokens": n}, device=name)
        e = np.exp(np.arange(3) / 2)
        np.testing.assert_allclose(y.numpy(), np.tile(-e / e.sum(), (n, 1)), rtol=1e-6)
    with pytest.raises(UsageError, match="n_tokens is 5"):
        g.compute(values={"n_tokens": 5}, device=name)


def test_in_place_and_views_follow_their_memory() -> None:
    ctx, name = Context(), "cpu,reference:add:mul"
    x = ctx.tensor(random(4, 6), "x")
    made = ops.neg(x)
    half = ops.view(made, (3, 4), (made.nb[1],), offset=12)
    changed = ops.scale(made, 3.0, inplace=True)
    y = ops.mul(half, half)
    z = ops.add(changed, made)
    g = graph(z, y)
    g.compute(device=name)
    np.testing.assert_allclose(z.numpy(), -6 * x.numpy(), rtol=1e-6)
    np.testing.assert_allclose(y.numpy(), 9 * x.numpy()[:, 3:] ** 2, rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["cpu,reference:sqr", "cpu,reference:scale", "reference,cpu:sqr", "reference,cpu:scale"]
)
def test_a_later_part_writes_into_what_an_earlier_one_made(name: str) -> None:
    ctx = Context()
    x = ctx.tensor(random(4, 6), "x")
    made = ops.neg(x)
    other = ops.sqr(x)  # a part of its own, between the two
    y = ops.add(ops.scale(ops.add(made, other, inplace=True), 2.0), made)
    g = graph(y)
    for _ in range(2):
        g.compute(device=name)
        np.testing.assert_allclose(y.numpy(), 3 * (x.numpy() ** 2 - x.numpy()), rtol=1e-6)


def test_gradients_are_the_same_wherever_an_op_runs() -> None:
    ctx = Context()
    a, w = ctx.tensor(random(2, 6), "a"), ctx.tensor(random(5, 6), "w")
    halves = (ops.view(a, (6,), offset=24 * i) for i in range(2))
    product = ops.mul_mat(w, ops.mul(*halves))
    loss = ops.sum(ops.mul(ops.sqr(product), ops.soft_max(product)))
    g = Graph()
    found = g.build_backward_expand(loss, [a, w])
    g.compute()
    expected = [t.numpy().copy() for t in found]
    for op in {node.op for node in g.plan().dag.nodes} | {"acc", "fill", "sqr", "soft_max"}:
        for _ in range(2):
            g.compute(device=f"cpu,reference:{op}")
            for t, values in zip(found, expected, strict=True):
                np.testing.assert_allclose(t.numpy(), values, rtol=1e-5, atol=1e-6, err_msg=op)


def test_a_run_ends_after_the_node_asked_for() -> None:
    g, y = chain()
    name = "cpu,reference:soft_max"
    weights = g.dag().nodes[1].dst
    g.keep(weights)
    plan = g.plan(device_name=name)
    keys = [n.key for n in plan.info(1).nodes]
    y.numpy()[:] = 7
    plan.run(shared_pool(name, 1), {}, stop_after=keys.index("weights"))
    np.testing.assert_allclose(weights.numpy().sum(axis=1), 1, rtol=1e-6)
    assert (y.numpy() == 7).all()


def test_a_stop_ends_the_next_run() -> None:
    g, _ = chain()
    name = "cpu,reference:soft_max"
    plan = g.plan(device_name=name)
    plan.stop()
    with pytest.raises(GgtuiError, match="stopped"):
        plan.run(shared_pool(name, 1))
    plan.stop()
    plan.forget_stop()
    plan.run(shared_pool(name, 1))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("tpu", "'tpu' is none of cpu, reference, vulkan"),
        ("cpu,tpu:add", "'tpu' is none of"),
        ("cpu:add", "the first device is for all ops"),
        ("cpu,reference", "say reference:soft_max for single ops, reference=20"),
        ("cpu,reference:softmax", "no op 'softmax'; did you mean soft_max"),
        ("cpu,reference:view", "no op 'view'"),
        ("cpu:1", "cpu:1: there is one"),
        ("cpu,", "'' is none of"),
        ("", "'' is none of"),
    ],
)
def test_names_that_say_nothing(name: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        device(name)


def test_a_session_over_two_devices_says_the_same() -> None:
    from ggtui import load

    texts = []
    for name in ("cpu", "cpu,reference:paged_attention", "cpu,reference:norm:set_rows"):
        with load(device=name, threads=1, ctx=64, batch=32, record="full") as session:
            steps = list(session.generate("Once upon a time", 4, temp=0))
            texts.append("".join(step.text for step in steps))
            graph = session.graphs()[steps[-1].record.graph]
            assert {node.device for node in graph.nodes} == ({"cpu"} if name == "cpu" else {"cpu", "reference"})
    assert len(set(texts)) == 1 and texts[0]


def test_results_are_those_of_info() -> None:
    """Also where copies stand between, and where nodes are joined."""
    for name in ("cpu", "reference", "cpu,reference:soft_max"):
        g, y = chain()
        plan = g.plan(device_name=name)
        nodes = plan.info(1).nodes
        assert len(nodes) == len(plan.results) and y in plan.results
        for node, t in zip(nodes, plan.results, strict=True):
            assert (t is None) == (node.op == "copy") and (t is None or t.name == node.result.name)


def test_constants_are_copied_when_they_are_filled() -> None:
    """Plans are made while weights are on their way; and one that can't be made leaves nothing behind."""
    ctx, name = one_device("cpu").context(), "cpu,reference:add"
    w = ctx.new_tensor("f32", (5,), "w", use="rows")
    x = ctx.tensor(np.zeros((2, 5), np.float32), "x")
    lost = ops.add(ops.neg(Tensor(w.type, (5,), name="lost")), w)
    with pytest.raises(GgtuiError, match="'lost'"):
        graph(lost).plan(device_name=name)
    y = ops.add(x, w)
    g = graph(y)
    g.plan(device_name=name)
    w.set(np.arange(5, dtype=np.float32))
    g.compute(device=name)
    np.testing.assert_array_equal(y.numpy(), np.tile(np.arange(5), (2, 1)))


@pytest.mark.parametrize("name", ["cpu:0,reference:soft_max", "reference:0,cpu:0:add"])
def test_a_number_changes_no_device(name: str) -> None:
    g, y = chain()
    g.compute(device=name)
    want = y.numpy().copy()
    g.compute()
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-4, atol=1e-6)


def test_views_of_constants() -> None:
    ctx, name = one_device("cpu").context(), "reference,cpu:cont"
    w = one_device("reference").context().tensor(random(40, 64), "w", use="weights")
    y = ops.cont(ops.transpose(w))
    z = ops.add(ops.cont(ops.view(w, (64, 3), (w.nb[1],), offset=w.nb[1])), ctx.tensor(np.zeros((3, 64), np.float32)))
    graph(y, z).compute(device=name)
    np.testing.assert_array_equal(y.numpy(), w.numpy().T)
    np.testing.assert_array_equal(z.numpy(), w.numpy()[1:4])
