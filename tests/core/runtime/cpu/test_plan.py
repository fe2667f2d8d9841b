"""Plans: what a run records, what info() says of it, what is refused, and stopping."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from ggtui import Context, Graph, Tensor, ops
from ggtui.core.errors import GgtuiError, MissingPartError, UsageError
from ggtui.core.graph.cost import Cost
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.cpu.native import ISAS, compiled_isas, usable_isas
from ggtui.core.runtime.cpu.plan import Plan
from ggtui.core.runtime.cpu.pool import MAX_THREADS, Pool
from ggtui.core.runtime.cpu.recorder import RecordBuffer
from ggtui.core.runtime.record import WAKE, Records, thread_lanes

pytestmark = pytest.mark.pool


def graph(*outputs: Tensor) -> Graph:
    g = Graph()
    for t in outputs:
        g.build_forward_expand(t)
    return g


def layer(n: int = 5, type: str = "q8_0") -> Graph:
    """A norm, a product with bias and activation; and a sum over all, which one thread makes."""
    ctx, rng = Context(), np.random.default_rng(0)
    x = ctx.tensor(rng.standard_normal((n, 64), np.float32), "x")
    w = ctx.tensor(rng.standard_normal((96, 64), np.float32), "w", type, packed=True)
    gain, bias = ctx.tensor(np.ones(64, np.float32), "gain"), ctx.tensor(np.ones(96, np.float32), "bias")
    normed = ops.mul(ops.norm(x), gain)
    product = ops.mul_mat(w, normed)
    product.name = "up"
    return graph(ops.sum(ops.gelu(ops.add(product, bias))))


def recorded(plan: Plan, threads: int, capacity: int = 100) -> tuple[Records, int]:
    buffer = RecordBuffer(threads, plan.n_steps, capacity)
    told = plan.run(Pool(threads), recorder=buffer)
    return buffer.take(), buffer.told()[1] if told else 0


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_records_tile_the_time_of_every_thread(threads: int, fused: bool) -> None:
    plan = layer().plan(fused=fused)
    began = time.monotonic_ns()
    records, dropped = recorded(plan, threads)
    took = time.monotonic_ns() - began
    parts = [(i, 0) for i in range(plan.n_steps)]
    for thread in range(threads):
        own = [r for r in records if r.lane == thread]
        assert [(r.node, r.part) for r in own] == [(WAKE, 0), *parts]
        assert own[0].start == 0
        assert all(r.start <= r.end <= r.done for r in own)
        assert all(a.done == b.start for a, b in pairwise(own))
    assert len({r.done for r in records if (r.node, r.part) == parts[-1]}) == 1  # the end of the run, one for all
    assert 0 < records[-1].done <= took * 1.05 + 10_000  # two clocks
    assert dropped == 0


def test_a_slow_node_is_seen_and_those_who_waited_for_it() -> None:
    x = Context().tensor(np.ones((4, 4), np.float32))
    slow = ops.map_custom(lambda dst, x, ith, nth: time.sleep(0.02 * ith), ops.neg(x))
    g = graph(ops.sum(slow))
    records, _ = recorded(g.plan(), 2)
    took = {(r.node, r.lane): r for r in records}
    assert [n.op for n in g.plan().info(2).nodes] == ["neg", "map_custom", "sum"]
    late, early = took[1, 1], took[1, 0]
    assert late.end - late.start >= 20e6
    assert early.done >= late.end  # thread 0 waited


def test_nodes_between_which_threads_do_not_meet_have_no_wait() -> None:
    x = Context().tensor(np.ones((4, 4), np.float32))
    g = graph(ops.neg(ops.sqr(x)), ops.neg(x))
    records, _ = recorded(g.plan(), 2)
    first = [r for r in records if r.node == 0]
    assert {n.phase for n in g.plan().info(2).nodes} == {0}
    assert all(r.done == r.end for r in first)


def test_waking_up_is_a_record_of_its_own() -> None:
    plan = layer().plan()
    records, _ = recorded(plan, 3)
    waking = [r for r in records if r.node == WAKE]
    assert len(waking) == 3
    assert all(r.start == 0 and r.end == r.done for r in waking)


@pytest.mark.parametrize("capacity", [0, 1, 3])
def test_what_does_not_fit_is_counted(capacity: int) -> None:
    plan = layer().plan(fused=False)
    everything, _ = recorded(plan, 2)
    buffer = RecordBuffer(2, plan.n_steps, capacity)
    for _ in range(2):  # counts start anew
        assert plan.run(Pool(2), recorder=buffer)
        records, (_, dropped) = buffer.take(), buffer.told()
        assert len(records) == 2 * capacity
        assert dropped == len(everything) - 2 * capacity
        assert all(r.start <= r.end <= r.done for r in records)


def test_records_stay_whatever_becomes_of_later_runs() -> None:
    """Also of one that was stopped, or whose records nobody took, as the last place of a block is filled."""
    plan, pool = layer().plan(), Pool(2)
    buffer = RecordBuffer(2, plan.n_steps)
    taken: list[Records] = []
    for i in range(3 * buffer.RUNS):
        if i % 9 == 4 or buffer.c.n == buffer.RUNS - 1:
            plan.stop()
            with pytest.raises(GgtuiError, match="stopped"):
                plan.run(pool, recorder=buffer)
        plan.run(pool, recorder=buffer)
        if i % 5:
            taken.append(buffer.take())
    makers: list[Any] = [records._table for records in taken]  # nobody has looked at them yet
    assert len({(id(maker.args[0]), maker.args[2]) for maker in makers}) == len(taken), "two runs have one place"
    assert all(len(records) == 2 * (plan.n_steps + 1) for records in taken)


def test_recording_changes_no_result() -> None:
    x = Context().tensor(np.random.default_rng(1).standard_normal((9, 33), np.float32))
    y = ops.soft_max(ops.norm(x))
    plan = graph(y).plan()
    plan.run(Pool(2))
    plain = y.numpy().copy()
    recorded(plan, 2)
    assert np.array_equal(plain, y.numpy())


def test_an_empty_graph_records_only_waking_up() -> None:
    records, _ = recorded(Graph().plan(), 2)
    assert [(r.node, r.lane) for r in records] == [(WAKE, 0), (WAKE, 1)]
    assert Graph().plan().info(2).nodes == ()
    assert RecordBuffer(2, 4).take() == ()


def test_info_of_separate_nodes() -> None:
    info = layer().plan(fused=False).info(3)
    assert (info.lanes, info.isa) == (thread_lanes(3), usable_isas()[-1])
    assert [n.op for n in info.nodes] == ["norm", "mul", "quantize", "mul_mat", "add", "gelu", "sum"]
    assert [n.id for n in info.nodes] == list(range(7))
    assert [n.src for n in info.nodes] == [(), (0,), (1,), (2,), (3,), (4,), (5,)]
    assert [[t.name for t in n.inputs] for n in info.nodes] == [["x"], ["gain"], [], ["w"], ["bias"], [], []]
    rounding, product, bias = info.nodes[2:5]
    assert product.name == "up" and product.parts == ("mul_mat",)
    assert rounding.flops == Cost.of(4 * 64 * 5)
    assert rounding.traffic == Cost.of(64 * 5 * 4 + 64 * 5 // 32 * 48)
    assert product.flops == Cost.of(2 * 64 * 96 * 5)
    assert product.traffic == Cost.of(96 * 64 // 32 * 34 + 5 * 64 // 32 * 48 + 5 * 96 * 4)
    assert product.result.ne == (96, 5, 1, 1)
    assert bias.flops == Cost.of(96 * 5)
    assert bias.traffic == Cost.of(2 * 5 * 96 * 4 + 96 * 4)
    assert [n.phase for n in info.nodes] == [0, 0, 0, 1, 2, 2, 3]


def test_info_of_fused_nodes() -> None:
    separate = layer().plan(fused=False).info(1).nodes
    rounding, product, total = layer().plan().info(1).nodes
    assert total.op == "sum"
    assert (rounding.op, rounding.parts) == ("quantize", ("quantize",))
    assert [o.op for o in rounding.originals] == ["norm", "mul", "quantize"]
    assert {t.name for t in rounding.inputs} == {"x", "gain"}
    assert (product.op, product.name, product.parts) == ("mul_mat", "up", ("mul_mat",))
    assert [o.op for o in product.originals] == ["mul_mat", "add", "gelu"]
    assert {t.name for t in product.inputs} == {"w", "bias"}
    together = [sum(n.flops.at({}) for n in nodes) for nodes in (separate[:3], separate[3:6])]
    assert [rounding.flops.at({}), product.flops.at({})] == together
    # What lies between the parts is neither written nor read.
    assert rounding.traffic == Cost.of(5 * 64 * 4 + 64 * 4 + 5 * 64 // 32 * 48)
    assert product.traffic == Cost.of(96 * 64 // 32 * 34 + 5 * 64 // 32 * 48 + 5 * 96 * 4 + 96 * 4)


@pytest.mark.parametrize(
    ("type", "row", "x"), [("f32", 256, 256), ("f16", 128, 256), ("q4_0", 36, 96), ("q8_0", 68, 96)]
)
def test_costs_of_a_product_by_type(type: str, row: int, x: int) -> None:
    """`row` and `x` are bytes of 64 weights and of 64 activations."""
    (node,) = (n for n in layer(type=type).plan(fused=False).info(1).nodes if n.op == "mul_mat")
    assert node.flops == Cost.of(2 * 64 * 96 * 5)
    assert node.traffic == Cost.of(96 * row + 5 * x + 5 * 96 * 4)


def test_costs_hang_on_the_sizes_of_a_run() -> None:
    ctx = Context()
    w, x = ctx.new_tensor("f32", (8, 4)), ctx.new_tensor("f32", (8, Dim("n", 10)))
    node = graph(ops.mul_mat(w, x)).plan().info(1).nodes[0]
    assert node.result.ne == (4, 10, 1, 1)
    for n in (3, 10, 0):
        assert node.flops.at({"n": n}) == 2 * 8 * 4 * n
        assert node.traffic.at({"n": n}) == 4 * (8 * 4 + 8 * n + 4 * n)


def test_causal_attention_costs_what_is_looked_at() -> None:
    ctx = Context()
    q, k, v = (ctx.new_tensor("f32", ne) for ne in ((8, 3, 2), (8, 7, 2), (6, 7, 2)))
    everything, causal = (
        graph(ops.flash_attn_ext(q, k, v, causal=c)).plan().info(1).nodes[0].flops.at({}) for c in (False, True)
    )
    assert everything == (2 * (8 + 6) + 8) * 3 * 7 * 2
    assert causal == (2 * (8 + 6) + 8) * (5 + 6 + 7) * 2


def test_a_plan_is_made_once() -> None:
    g = layer()
    assert g.plan() is g.plan()
    assert g.plan(fused=False) is not g.plan()
    before = g.plan()
    g.build_forward_expand(ops.neg(Context().tensor(np.ones(3, np.float32))))
    assert g.plan() is not before


def test_isas() -> None:
    for isa in usable_isas():
        assert layer().plan(isa=isa).info(1).isa == isa
    with pytest.raises(UsageError, match="sse9"):
        layer().plan(isa="sse9")
    for isa in set(ISAS) - set(usable_isas()):
        with pytest.raises(MissingPartError, match=f"{isa}: not on this machine"):
            layer().plan(isa=isa)
    assert set(usable_isas()) <= set(compiled_isas()) < set(ISAS)


def test_devices() -> None:
    with pytest.raises(UsageError, match="tpu"):
        layer().plan(device_name="tpu")


def test_pools_and_buffers_that_do_not_fit() -> None:
    for threads in (0, -3, MAX_THREADS + 1):
        with pytest.raises(UsageError, match=f"threads {threads}"):
            Pool(threads)
    plan = layer().plan()
    for threads in (1, 3):
        with pytest.raises(UsageError, match=f"{threads} threads, but a pool of 2"):
            plan.run(Pool(2), recorder=RecordBuffer(threads, 10))


def test_a_tensor_without_memory_is_named() -> None:
    with pytest.raises(GgtuiError, match=r"'lost'.*no memory"):
        graph(ops.neg(Tensor(TYPES["f32"], (3,), name="lost"))).plan()


def test_scratch_grows_with_the_threads() -> None:
    plan = layer().plan()
    assert plan.scratch_bytes(3) == 3 * plan.scratch_bytes(1) > 0


def test_stop_ends_a_run_at_the_next_node() -> None:
    ran = []
    x = Context().tensor(np.ones(4, np.float32))
    first = ops.map_custom(lambda dst, x, ith, nth: plan.stop(), x)
    y = ops.map_custom(lambda dst, x, ith, nth: ran.append(ith), first)
    plan = graph(y).plan()
    for threads in (1, 3):
        with pytest.raises(GgtuiError, match="stopped"):
            plan.run(Pool(threads))
        assert not ran


def test_stop_from_another_thread() -> None:
    ran: list[int] = []
    begun = threading.Event()

    def function(dst: Any, x: Any, ith: int, nth: int) -> None:
        ran.append(ith)
        begun.set()
        time.sleep(0.001)

    x = Context().tensor(np.ones(4, np.float32))
    for _ in range(2000):
        x = ops.map_custom(function, x)
    plan = graph(x).plan()
    stopper = threading.Thread(target=lambda: begun.wait() and plan.stop())
    stopper.start()
    with pytest.raises(GgtuiError, match="stopped"):
        plan.run(Pool(2))
    stopper.join()
    assert len(ran) < 4000


def test_after_a_stop_it_runs_again() -> None:
    x = Context().tensor(np.full(4, 3, np.float32))
    y = ops.sqr(x)
    plan, pool = graph(y).plan(), Pool(2)
    plan.stop()  # with no run under way the next one ends
    with pytest.raises(GgtuiError, match="stopped"):
        plan.run(pool)
    plan.run(pool)
    assert y.numpy().tolist() == [9.0] * 4


def test_plans_share_a_pool_from_several_threads() -> None:
    pool = Pool(2)
    results: list[Any] = []

    def work(value: float) -> None:
        x = Context().tensor(np.full((50, 40), value, np.float32))
        y = ops.sum(ops.sqr(x))
        plan = graph(y).plan()
        for _ in range(50):
            plan.run(pool)
            results.append((value, float(y.numpy()[0])))

    workers = [threading.Thread(target=work, args=(float(i),)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 200
    assert all(total == 2000 * value**2 for value, total in results)
