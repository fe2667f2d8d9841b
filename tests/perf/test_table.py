"""The lines of a table: times made by hand, and costs against the formulas."""

from __future__ import annotations

import time
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
import pytest
from made_up import LIMITS, trace
from real_runs import traced

import ggtui
from ggtui.core.engine.session import Session
from ggtui.core.graph import ops
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.record import TensorInfo, Trace
from ggtui.perf.bounds import read_rate
from ggtui.perf.costs import Costs
from ggtui.perf.stage import stages
from ggtui.perf.table import BY, Groups, Row, rows


def one(trace: Trace, key: str, by: str = "node") -> Row:
    return next(row for row in rows(stages(trace)[0], by) if row.key == key)


def test_the_time_of_a_node_is_that_of_its_slowest_thread() -> None:
    t = trace(n=1)
    up = one(t, "blk.0.ffn_up")
    assert up.time.mean == 50 + 1500 and up.calls == 1
    assert up.wait_ns == 250 and up.parts == (("quantize", 50.0), ("mul_mat", 1500.0))
    assert one(t, "token_embd").time.mean == 100 and one(t, "token_embd").wait_ns == pytest.approx((0 + 90) / 2)
    assert one(t, "output").share == pytest.approx((2000 + 1900) / 2 / t.tokens[0].eval_ns)
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


def test_each_matrix_costs_once_whoever_reads_it() -> None:
    t = trace(n=1)
    tied, up = TensorInfo("token_embd.weight", "q8_0", (4, 8)), TensorInfo("up.weight", "q8_0", (4, 4))
    reads = {0: (tied,), 1: (up, TensorInfo("up.bias", "f32", (4,))), 2: (tied,)}
    nodes = tuple(replace(node, inputs=reads[node.id]) for node in t.graphs[0].nodes)
    kl = {tied.name: {"q8_0": 0.0, "q4_k": 2e-3}, up.name: {"q8_0": 1e-4, "q4_k": 3e-3}}
    t = replace(t, graphs=(replace(t.graphs[0], nodes=nodes),), kl=kl)
    assert {row.key: row.kl for row in rows(stages(t)[0])} == {
        "token_embd": kl[tied.name], "output": kl[tied.name], "blk.0.ffn_up": kl[up.name]
    }  # fmt: skip
    assert one(t, "outside layers", "layer").kl == kl[tied.name]
    assert one(t, "mul_mat", "op").kl == pytest.approx({"q8_0": 1e-4, "q4_k": 5e-3})
    assert not any(row.kl for row in rows(stages(trace())[0]))


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


@pytest.fixture(scope="module")
def session() -> Session:
    return ggtui.load(threads=2, record="full")


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
