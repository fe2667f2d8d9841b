"""Sums over records: times made by hand, and real runs against the clock and the formulas."""

from __future__ import annotations

import time
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import pytest
from made_up import GRAPH, LIMITS, records, trace

import ggtui
from ggtui.core.engine.session import Session
from ggtui.core.graph import ops
from ggtui.core.runtime.compute import Graph, shared_pool
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.record import WAKE, MemoryUse, NodeTotal, TokenRecord, Trace
from ggtui.perf.aggregate import BY, Groups, Spread, overhead, read_rate, rows, stage_summary, stages, summary
from ggtui.perf.costs import Costs


def one(trace: Trace, key: str, by: str = "node") -> Any:
    return next(row for row in rows(stages(trace)[0], by) if row.key == key)


def test_the_time_of_a_node_is_that_of_its_slowest_thread() -> None:
    t = trace(n=1)
    up = one(t, "blk.0.ffn_up")
    assert up.time.mean == 50 + 1500 and up.calls == 1
    assert up.wait_ns == 250 and up.parts == (("quantize", 50.0), ("mul_mat", 1500.0))
    assert one(t, "token_embd").time.mean == 100 and one(t, "token_embd").wait_ns == pytest.approx((0 + 90) / 2)
    assert one(t, "output").share == pytest.approx(2000 / t.tokens[0].eval_ns)
    assert (up.flops, up.traffic) == (3000, 8000)
    assert up.bytes_per_s == pytest.approx(8000 / 1550e-9) and up.flops_per_s == pytest.approx(3000 / 1550e-9)


def test_rows_are_ordered_and_grouped() -> None:
    t = trace()
    assert [r.key for r in rows(stages(t)[0])] == ["output", "blk.0.ffn_up", "token_embd"]
    assert {r.key for r in rows(stages(t)[0], "op")} == {"mul_mat", "quantize", "get_rows"}
    assert {r.key for r in rows(stages(t)[0], "layer")} == {"blk.0", "outside layers"}
    assert {r.key for r in rows(stages(t)[0], "type")} == {"q8_0", "f16"}
    assert one(t, "mul_mat", "op").time.mean == pytest.approx(3500 * 1.02, abs=2)
    assert one(t, "quantize", "op").flops == 0 and one(t, "mul_mat", "op").flops == 3000 + 1002
    for by in BY:
        total = sum(r.time.mean for r in rows(stages(t)[0], by))
        assert total == pytest.approx(3650 * 1.02, abs=3)


def test_groups_keep_the_time_of_each_evaluation() -> None:
    stage = stages(trace(n=3))[0]
    nodes, ops = Groups(stage, "node"), Groups(stage, "op")
    assert nodes.keys == ["token_embd", "blk.0.ffn_up", "output"] and ops.keys == ["get_rows", "quantize", "mul_mat"]
    assert nodes.times[:, 2].tolist() == [2000, 2020, 2040]
    assert ops.times[0].tolist() == [100, 50, 1500 + 2000] and ops.members[2] == [2, 3]
    for by in BY:
        groups = Groups(stage, by)
        for row in rows(stage, by):
            assert row.time.mean == pytest.approx(groups.times[:, groups.keys.index(row.key)].mean())


def test_the_limit_of_a_whole_evaluation() -> None:
    stage = stages(trace(n=1))[0]
    seconds = {"compute": 3000 / 2e9 + 1000 / 1e9, "memory": 12100 / (stage.read_limit or 0)}
    binds = max(seconds, key=lambda k: seconds[k])
    assert stage.bound == (binds, pytest.approx(seconds[binds] * 1e9 / stage.evals.mean))
    assert stage.compute_limit == pytest.approx(4000 / seconds["compute"])
    assert any(line.startswith(f"generation is {binds}-bound") for line in stage_summary(stage))
    assert stages(replace(trace(), limits=None))[0].bound == ("", None)


def test_spread() -> None:
    values = [1.0, 2.0, 3.0, 10.0]
    spread = Spread.of(values)
    assert (spread.mean, spread.median, spread.least, spread.most) == (4.0, 2.5, 1.0, 10.0)
    assert spread.sd == pytest.approx(np.std(values, ddof=1)) and spread.p95 == pytest.approx(np.percentile(values, 95))
    assert Spread.of([5.0]).sd == 0.0 and Spread.of([]) == Spread()


def test_the_limit_that_binds() -> None:
    t = trace(n=1)
    rate = read_rate(LIMITS, 12100)
    assert stages(t)[0].read_limit == rate and 4e9 < rate < 8e9
    up, output = one(t, "blk.0.ffn_up"), one(t, "output")
    # q8_0 counts against the 8-bit peak: 3000 / 2e9 = 1500 ns, its bytes take 8000 / rate
    seconds = {"compute": 3000 / 2e9, "memory": 8000 / rate}
    assert up.limit == max(seconds, key=lambda k: seconds[k])
    assert up.of_limit == pytest.approx(max(seconds.values()) * 1e9 / 1550)
    # f16 counts against the f32 peak
    assert output.limit == "compute" and output.of_limit == pytest.approx(1000 / 1e9 * 1e9 / 2000)
    assert one(t, "token_embd").limit == "memory"
    assert one(replace(t, limits=None), "output").of_limit is None


def test_read_rate_lies_between_what_was_measured() -> None:
    assert read_rate(LIMITS, 10) == 8e9 and read_rate(LIMITS, 1e9) == 4e9
    assert read_rate(LIMITS, 1000 * 1000**0.5) == pytest.approx(6e9)
    assert read_rate(replace(LIMITS, read=()), 10) is None


def test_threads_fill_the_evaluation() -> None:
    t = trace(n=3)
    wall = np.mean([max(r.done for r in token.records) for token in t.tokens])
    for thread in stages(t)[0].threads():
        assert thread.work + thread.wait + thread.wake == pytest.approx(wall)


def test_sums_of_a_light_profile() -> None:
    full = trace(n=4)
    totals = []
    for node, part, thread in {(r.node, r.part, r.thread) for r in full.tokens[0].records}:
        mine = [r for t in full.tokens for r in t.records if (r.node, r.part, r.thread) == (node, part, thread)]
        work = [r.end - r.start for r in mine]
        wait = sum(r.done - r.end for r in mine)
        squared = float(sum(w * w for w in work))
        totals.append(NodeTotal(0, node, part, thread, len(mine), sum(work), min(work), max(work), wait, squared))
    bare = tuple(replace(t, records=()) for t in full.tokens)
    light = replace(full, tokens=bare, totals=tuple(totals))
    for row in rows(stages(full)[0]):
        same = one(light, row.key)
        assert same.time.mean == pytest.approx(row.time.mean) and same.wait_ns == pytest.approx(row.wait_ns)
        assert same.calls == row.calls and same.time.p95 is None and same.time.median is None
    assert one(light, "output").time.sd == pytest.approx(one(full, "output").time.sd)
    assert one(light, "output").time.least == 2000 and one(light, "output").time.most == 2060


def test_what_was_dropped_is_told_and_left_out() -> None:
    t = trace(n=3)
    broken = replace(t.tokens[1], dropped=7, records=t.tokens[1].records[:3])
    t = replace(t, tokens=(t.tokens[0], broken, t.tokens[2]))
    assert len(stages(t)[0].work) == 2
    assert any("7 records did not fit" in line for line in summary(t))


def test_summary_says_what_binds() -> None:
    t = replace(trace(n=2), limits=replace(LIMITS, f32=1e12, int8=1e12))
    text = "\n".join(summary(t))
    assert (
        "generation: " in text
        and "generation is memory-bound: " in text
        and "GB/s" in text
        and "blk.0.ffn_up is 66% of the bytes" in text
    )
    assert "threads wait for each other" in text
    slow = replace(t, limits=replace(LIMITS, f32=1e7))
    assert "generation is compute-bound" in "\n".join(summary(slow))
    fast = replace(t, limits=replace(LIMITS, read=((1000, 1e12),), f32=1e12, int8=1e12))
    assert "far from what the machine allows" in "\n".join(summary(fast))
    assert summary(replace(t, tokens=())) == []


def test_overhead() -> None:
    cost = overhead(trace(n=1))
    # a step each for four loops, three meetings, and waking up
    assert cost["stamps"] == 8 and cost["stamp_ns"] == 20.0
    assert cost["share"] == pytest.approx(8 * 20 / trace(n=1).tokens[0].eval_ns)
    assert cost["end_to_end"] == pytest.approx(0.01)
    bare = trace(n=1)
    assert overhead(replace(bare, run=replace(bare.run, token_ns=0.0)))["end_to_end"] is None


# ---- real runs ----


@pytest.fixture(scope="module")
def session() -> Session:
    return ggtui.load(threads=2, record="full")


def test_work_and_wait_fill_the_wall_time_on_every_thread(session: Session) -> None:
    runs = []
    for _ in range(5):
        session.reset()
        runs += [run for step in session.generate(list(range(1, 257)), 3, ignore_eos=True) for run in step.runs]
    made = session.trace(runs)
    prompt = next(s for s in stages(made) if s.name == "prompt")
    generation = next(s for s in stages(made) if s.name == "generation")
    for stage in (prompt, generation):
        for i, token in enumerate(stage.tokens):
            for thread in range(2):
                filled = stage.work[i, ..., thread].sum() + stage.wait[i, ..., thread].sum() + stage.wake[i, thread]
                graph = max(r.done for r in token.records)
                assert filled == pytest.approx(graph, rel=0.02)
                assert filled <= token.eval_ns * 1.001 + 100
    # The clock around the call says the same. Of five prompts one at least is not put aside by the system meanwhile.
    outside = [1 - max(r.done for r in token.records) / token.eval_ns for token in prompt.tokens]
    assert 0 <= min(outside) < 0.02


def traced(result: Any, threads: int = 2, fused: bool = True) -> Trace:
    g = Graph()
    g.build_forward_expand(result)
    plan = g.plan(fused=fused)
    buffer, pool = plan.recorder("full", threads), shared_pool("cpu", threads)
    plan.run(pool, {}, buffer)
    started = time.perf_counter_ns()
    plan.run(pool, {}, buffer)
    token = TokenRecord(0, 1, time.perf_counter_ns() - started, records=buffer.take()[0])
    return Trace((plan.info(threads),), (token,), MemoryUse())


@pytest.mark.parametrize("who", [(0,), (0, 1)])
def test_a_node_that_sleeps_shows_its_true_time(who: tuple[int, ...]) -> None:
    slept = []

    def slow(dst: Any, x: Any, *, ith: int, nth: int) -> None:
        if ith in who:
            started = time.perf_counter_ns()
            time.sleep(0.05)
            slept.append(time.perf_counter_ns() - started)
        dst[:] = x

    context = Context()
    x = ops.scale(context.tensor(np.ones((4, 8), np.float32), "x"), 2.0)
    t = ops.map_custom(slow, x)
    t.name = "blk.0.slow"
    made = traced(ops.scale(t, 2.0))
    table = rows(stages(made)[0])
    assert table[0].key == "blk.0.slow"
    assert table[0].time.mean == pytest.approx(max(slept[-len(who) :]), rel=0.05)


@pytest.mark.parametrize("type", ["f32", "f16", "q8_0", "q4_0"])
@pytest.mark.parametrize(("k", "m", "n"), [(64, 96, 1), (128, 48, 5)])
def test_costs_of_mul_mat_are_the_formulas(type: str, k: int, m: int, n: int) -> None:
    context = Context()
    rng = np.random.default_rng(0)
    a = context.tensor(rng.standard_normal((m, k)).astype(np.float32), "a", type, packed=True)
    b = context.tensor(rng.standard_normal((n, k)).astype(np.float32), "b")
    (row,) = (row for row in rows(stages(traced(ops.mul_mat(a, b)))[0]) if row.op == "mul_mat")
    assert row.flops == 2 * k * m * n
    weights = {"f32": 4 * k * m, "f16": 2 * k * m, "q8_0": k * m // 32 * 34, "q4_0": k * m // 32 * 18}[type]
    activations = 4 * k * n if type in ("f32", "f16") else k * n // 32 * 48
    assert row.traffic == weights + activations + 4 * m * n


def test_costs_of_a_session_are_those_of_each_evaluation(session: Session) -> None:
    session.reset()
    steps = list(session.generate([1, 2, 3, 4, 5], 3, ignore_eos=True))
    made = session.trace(run for step in steps for run in step.runs)
    h = session.hparams
    costs = [Costs(graph) for graph in made.graphs]
    for token in made.tokens:
        flops, traffic = costs[token.graph].at(token.sizes)
        nodes = {n.key: n for n in made.graphs[token.graph].nodes}
        up, attn = nodes["blk.0.ffn_up"], nodes["blk.0.attn"]
        assert flops[up.id] >= 2 * h.n_embd * h.n_ff * token.n_tokens
        seen = sum(range(token.n_past + 1, token.n_past + token.n_tokens + 1))
        assert flops[attn.id] == (4 * h.d_head + 8) * seen * h.n_head
        weights = session.weights["blk.0.ffn_up.weight"]
        assert traffic[up.id] >= prod(weights.ne) // 32 * 34


def test_records_of_one_evaluation_by_hand() -> None:
    made = records()
    assert sum(r.node == WAKE for r in made) == 2 and len(made) == 10
    assert len(GRAPH.nodes) == 3
