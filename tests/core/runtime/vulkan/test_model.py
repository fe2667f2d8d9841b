"""Whole models on a Vulkan device: what they say, against the reference and the CPU, and what records say of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ggtui import load
from ggtui.core.engine.batch import Piece
from ggtui.core.engine.engine import Engine
from ggtui.core.engine.looking import Looker
from ggtui.core.engine.model import Model
from ggtui.core.engine.session import Session
from ggtui.core.errors import GgtuiError
from ggtui.core.runtime.cpu.native import lib, text
from ggtui.core.runtime.record import Records, TokenRecord
from ggtui.perf.export import to_chrome
from ggtui.perf.stage import stages

PROMPT = "Once upon a time there was a king who had three daughters, and the"
SIZES: dict[str, Any] = {
    "ctx": 128,
    "batch": 16,
    "kv_type": "f32",
}  # which is rounded nowhere, so that bounds are tight
# NMSE by the type of keys and values. Of f16, the default, and q8_0 a few round the other way: their bounds are below
# what rounding itself does, 3e-8 and 8e-6.
BOUNDS = {"f32": 1e-10, "f16": 1e-8, "q8_0": 1e-6}
BOUND = BOUNDS[SIZES["kv_type"]]


def nmse(got: Any, want: Any) -> float:
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    return float(((got - want) ** 2).sum() / (want**2).sum())


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with load(device="vulkan", record="full", threads=1, **SIZES) as made:
        yield made


@pytest.fixture(scope="module")
def ids(session: Session) -> list[int]:
    return session.tokenizer.encode(PROMPT)


@pytest.fixture(scope="module")
def want(ids: list[int]) -> Any:
    """Logits of each token, by the reference."""
    with load(device="reference", **SIZES) as reference:
        return reference.eval(ids, all_logits=True)


def test_logits(session: Session, ids: list[int], want: Any) -> None:
    """Against the reference, and against the CPU, which rounds activations to 8 bits; read at once and one by one."""
    session.reset()
    got = session.eval(ids, all_logits=True)
    assert nmse(got, want) < BOUND
    with load(device="cpu", threads=1, **SIZES) as cpu:
        assert nmse(got, cpu.eval(ids, all_logits=True)) < 1e-3
    session.reset()
    for i, token in enumerate(ids[:4]):
        assert nmse(session.eval([token]), want[i]) < BOUND
    assert {node.device for graph in session.graphs() for node in graph.nodes if node.op != "submit"} == {"vulkan"}


def test_greedy_text_is_that_of_the_cpu(session: Session) -> None:
    """Or it parts where two tokens are as likely."""
    with load(device="cpu", threads=1, **SIZES) as cpu:
        for one in (session, cpu):
            one.reset()
        steps = [list(one.generate(PROMPT, 8, temp=0)) for one in (session, cpu)]
    for ours, theirs in zip(*steps, strict=True):
        assert abs(ours.logprob - theirs.logprob) < 0.05
        if ours.token != theirs.token:
            break


@pytest.mark.parametrize("kv_type", BOUNDS)
def test_types_of_keys_and_values(ids: list[int], kv_type: str) -> None:
    logits = []
    for name in ("vulkan", "reference"):
        with load(device=name, **{**SIZES, "kv_type": kv_type}) as made:
            logits.append(made.eval(ids))
    assert nmse(*logits) < BOUNDS[kv_type]


def test_fusion_changes_little(ids: list[int], want: Any) -> None:
    with load(device="vulkan", fused=False, **SIZES) as made:
        assert nmse(made.eval(ids), want[-1]) < BOUND
        assert all(len(node.originals) <= 1 for graph in made.graphs() for node in graph.nodes)


def test_two_sequences_and_a_fork(ids: list[int], want: Any) -> None:
    """A fork shares pages, and gets copies of its own when it writes."""
    model = Model(device="vulkan")
    with Engine(model, n_sequences=3, **SIZES) as engine:
        a, b = engine.open(), engine.open()
        logits, _ = engine.step([Piece(a, ids[:6]), Piece(b, ids[:3])])
        assert nmse(logits, want[[5, 2]]) < BOUND
        c = a.fork()
        logits, record = engine.step([Piece(c, ids[6:8]), Piece(b, ids[3:4]), Piece(a, ids[6:7])])
        assert nmse(logits, want[[7, 3, 6]]) < BOUND and record.n_tokens == 4
        engine.rewind(c, 2)
        logits, _ = engine.step([Piece(c, ids[2:4])])
        assert nmse(logits, want[[3]]) < BOUND
        assert nmse(Looker(engine, ["blk.0.attn"]).at(a, 4).logits, want[4]) < BOUND


@pytest.mark.parametrize("spec", ["cpu,vulkan=2", "vulkan,cpu:paged_attention", "vulkan,reference:norm"])
def test_a_part_of_the_model(spec: str, ids: list[int], want: Any) -> None:
    with load(device=spec, threads=1, **SIZES) as made:
        assert nmse(made.eval(ids), want[-1]) < 1e-4
        names = {node.device for graph in made.graphs() for node in graph.nodes}
        assert "vulkan" in names and len(names) > 1
        if spec == "cpu,vulkan=2":
            layers = {n.layer for g in made.graphs() for n in g.nodes if n.device == "vulkan"}
            assert layers == {0, 1}


def records_of(session: Session, n: int = 3) -> list[TokenRecord]:
    session.reset()
    return [step.record for step in session.generate(PROMPT, n, temp=0)]


def test_lanes_add_up_to_the_wall_time(session: Session) -> None:
    """What lies before the first stamp and behind the last is no lane's: little, but where the system puts the process
    aside just there, so of many runs it is little in the best."""
    outside = []
    for record in records_of(session, 12):
        table = Records.of(record.records).table
        lanes = session.graphs()[record.graph].lanes
        assert [lane.device for lane in lanes] == ["cpu", "vulkan"]
        for i in range(len(lanes)):
            mine = table[table[:, 2] == i]
            assert (mine[1:, 3] == mine[:-1, 5]).all()
            inside = (mine[:, 5] - mine[:, 3]).sum()
            assert inside <= record.eval_ns
            outside.append(1 - inside / record.eval_ns)
        work = (table[:, 4] - table[:, 3])[table[:, 2] == 1].sum()
        assert 0 < work <= record.eval_ns
    assert min(outside) < 0.02


def test_a_trace_of_it_can_be_shown(session: Session) -> None:
    trace = session.trace(records_of(session))
    events = json.loads(to_chrome(trace))["traceEvents"]
    names = {e["args"]["name"] for e in events if e["ph"] == "M"}
    assert {"thread 0", "vulkan queue"} <= names
    assert any(e["name"] == "submit:vulkan" for e in events)
    for stage in stages(trace):
        totals = {lane.total for lane in stage.lanes}
        assert max(totals) == pytest.approx(min(totals), rel=0.02)


def test_a_light_profile_takes_stamps_in_some_runs() -> None:
    with load(device="vulkan", record="light", threads=1, **SIZES) as made:
        made.eval([5])
        made.clear_totals()
        for _ in range(8):
            made.eval([5])
        totals = made.trace([]).totals
    counts = {t.count for t in totals if t.lane == 1}
    assert counts == {2} and {t.count for t in totals if t.node == 0} == {2}


def test_no_call_was_wrong(session: Session) -> None:
    """Only where validation layers watch."""
    assert lib.gg_vk_n_validation() == 0, text(lib.gg_vk_validation())


def test_a_prompt_is_stopped_between_layers(session: Session, ids: list[int], want: Any) -> None:
    session.reset()
    session.eval(ids)  # plans, and shaders made ready
    session.reset()
    timer = threading.Timer(0.02, session.engine.stop)
    timer.start()
    with pytest.raises(GgtuiError, match="stopped"):
        for _ in range(100):
            session.eval(ids)
            session.reset()
    timer.join()
    session.reset()
    assert nmse(session.eval(ids), want[-1]) < BOUND
