"""The evaluations of a trace: made by hand, and real ones against the clock."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_up import GRAPH, records, rested, trace

import ggtui
from ggtui.core.engine.batch import Piece
from ggtui.core.engine.session import Session
from ggtui.core.runtime.record import WAKE, NodeTotal, Trace
from ggtui.perf.stage import Spread, stages
from ggtui.perf.table import Row, rows
from ggtui.perf.words import in_words, stage_in_words


def one(trace: Trace, key: str, by: str = "node") -> Row:
    return next(row for row in rows(stages(trace)[0], by) if row.key == key)


def test_spread() -> None:
    values = [1.0, 2.0, 3.0, 10.0]
    spread = Spread.of(values)
    assert (spread.mean, spread.median, spread.least, spread.most) == (4.0, 2.5, 1.0, 10.0)
    assert spread.sd == pytest.approx(np.std(values, ddof=1)) and spread.p95 == pytest.approx(np.percentile(values, 95))
    assert Spread.of([5.0]).sd == 0.0 and Spread.of([]) == Spread()


def test_the_limit_of_a_whole_evaluation() -> None:
    stage = stages(trace(n=1))[0]
    seconds = {"compute": 3000 / 2e9 + 1000 / 1e9, "memory": 12100 / (stage.read_limit or 0)}
    binds = max(seconds, key=lambda k: seconds[k])
    assert stage.bound == (binds, pytest.approx(seconds[binds] * 1e9 / stage.evals.mean))
    assert stage.compute_limit == pytest.approx(4000 / seconds["compute"])
    assert any(line.startswith(f"generation is {binds}-bound") for line in stage_in_words(stage))
    assert stages(replace(trace(), limits=None))[0].bound == ("", None)


def test_threads_fill_the_evaluation() -> None:
    t = trace(n=3)
    wall = np.mean([max(r.done for r in token.records) for token in t.tokens])
    for thread in stages(t)[0].lanes:
        assert thread.total == thread.work + thread.wait + thread.wake == pytest.approx(wall)


def added_up(full: Trace) -> Trace:
    """The same as a light profile keeps it: a thread that rested has no part in the sums."""
    totals = []
    for node, part, thread in {(r.node, r.part, r.lane) for t in full.tokens for r in t.records}:
        working = [t for t in full.tokens if sum(r.lane == thread for r in t.records) > 1]
        mine = [r for t in working for r in t.records if (r.node, r.part, r.lane) == (node, part, thread)]
        if not mine:
            continue
        work = [r.end - r.start for r in mine]
        wait = sum(r.done - r.end for r in mine)
        squared = float(sum(w * w for w in work))
        totals.append(NodeTotal(0, node, part, thread, len(mine), sum(work), min(work), max(work), wait, squared))
    bare = tuple(replace(t, records=()) for t in full.tokens)
    return replace(full, tokens=bare, totals=tuple(totals))


def test_sums_of_a_light_profile() -> None:
    full = trace(n=4)
    light = added_up(full)
    for row in rows(stages(full)[0]):
        same = one(light, row.key)
        assert same.time.mean == pytest.approx(row.time.mean) and same.wait_ns == pytest.approx(row.wait_ns)
        assert same.calls == row.calls and same.time.p95 is None and same.time.median is None
    assert one(light, "output").time.sd == pytest.approx(one(full, "output").time.sd)
    assert one(light, "output").time.least == 2000 and one(light, "output").time.most == 2060


@pytest.mark.parametrize("n_rested", [0, 1, 3, 4])
def test_sums_of_a_thread_that_rested(n_rested: int) -> None:
    """In evaluations of other length than the rest: that is why it did."""
    slow, fast = trace(n=4, scale=3.0), rested(trace(n=4))
    mixed = replace(slow, tokens=fast.tokens[:n_rested] + slow.tokens[n_rested:])
    light = stages(added_up(mixed))[0].lanes
    for a, b in zip(stages(mixed)[0].lanes, light, strict=True):
        for name in ("work", "wait", "wake", "rest"):
            assert getattr(b, name) == pytest.approx(getattr(a, name)), name
    assert (light[1].rest > 0) == (n_rested > 0) and not light[0].rest


def test_without_sums_of_waking_nobody_rests() -> None:
    """As other devices have it."""
    light = added_up(trace(n=4))
    light = replace(light, totals=tuple(t for t in light.totals if t.node != WAKE))
    assert not any(thread.rest for thread in stages(light)[0].lanes)


def test_what_was_dropped_is_told_and_left_out() -> None:
    t = trace(n=3)
    broken = replace(t.tokens[1], dropped=7, records=t.tokens[1].records[:3])
    t = replace(t, tokens=(t.tokens[0], broken, t.tokens[2]))
    assert len(stages(t)[0].work) == 2
    assert any("7 records did not fit" in line for line in in_words(t))


@pytest.fixture(scope="module")
def session() -> Session:
    return ggtui.load(threads=2, record="full")


def test_all_parts_fill_the_wall_time_on_every_thread(session: Session) -> None:
    runs = []
    for _ in range(5):
        session.reset()
        runs += [run for step in session.generate(list(range(1, 257)), 3, ignore_eos=True) for run in step.runs]
    for stage in stages(session.trace(runs)):
        times = stage.times
        for i, token in enumerate(stage.tokens):
            for thread in range(2):
                at_nodes = times.work[i, ..., thread].sum() + times.wait[i, ..., thread].sum()
                filled = at_nodes + times.wake[i, thread] + times.lost[i, thread] + times.held[i, thread]
                assert filled == pytest.approx(max(r.done for r in token.records), rel=0.02)
                assert filled <= token.eval_ns * 1.001 + 100
        parts = [stage.part(name) for name in ("work", "wait", "wake", "lost", "held", "call")]
        assert sum(parts) == pytest.approx(1) and min(parts) >= 0
    # The clock around the call says the same. Of five prompts one at least is not put aside by the system meanwhile.
    prompts = next(stage for stage in stages(session.trace(runs)) if stage.name == "prompt").tokens
    outside = [1 - max(r.done for r in token.records) / token.eval_ns for token in prompts]
    assert 0 <= min(outside) < 0.02


def interrupted(ns: int, at: int = 20, n: int = 40) -> Trace:
    """A node of one evaluation takes `ns` longer, for whatever reason."""
    t = trace(n=n)
    mine = t.tokens[at]
    first = next(r for r in mine.records if r.node == 1 and r.part == 1 and r.lane == 0)
    later = [r for r in mine.records if r.start >= first.start]
    moved = {id(r): replace(r, start=r.start + (r is not first) * ns, end=r.end + ns, done=r.done + ns) for r in later}
    records = tuple(moved.get(id(r), r) for r in mine.records)
    slow = replace(mine, records=records, eval_ns=mine.eval_ns + ns)
    return replace(t, tokens=(*t.tokens[:at], slow, *t.tokens[at + 1 :]))


def test_one_interruption_moves_no_figure() -> None:
    quiet, noisy = stages(trace(n=40))[0], stages(interrupted(6_700_000))[0]
    for a, b in zip(rows(quiet), rows(noisy), strict=True):
        assert a.key == b.key and b.time.mean == pytest.approx(a.time.mean, rel=0.02)
        assert b.share == pytest.approx(a.share, rel=0.02) and b.time.mean <= (b.time.p95 or 0)
    assert noisy.evals.mean == pytest.approx(quiet.evals.mean, rel=0.02)
    assert quiet.interruptions == () and quiet.typical.all()
    (said,) = noisy.interruptions
    assert said.n_past == 20 and said.ns == pytest.approx(6_700_000, rel=0.001)
    assert noisy.typical.tolist() == [i != 20 for i in range(40)]
    # What one who waits for the tokens sees is all of it.
    assert noisy.tokens_per_s < quiet.tokens_per_s / 20


def test_prompts_of_other_sizes_are_no_interruptions() -> None:
    long = replace(trace(scale=50.0, n=1).tokens[0], n_tokens=100)
    t = trace(n=10)
    assert stages(replace(t, tokens=(*t.tokens, long)))[0].interruptions == ()


def test_rows_of_every_grouping_add_up_to_the_same() -> None:
    stage = stages(interrupted(50_000))[0]
    sums = [sum(row.time.mean for row in rows(stage, by)) for by in ("node", "op", "layer", "type")]
    assert sums == pytest.approx([sums[0]] * 4)
    assert sum(row.work_share for row in rows(stage)) == pytest.approx(1)


def test_records_of_one_evaluation_by_hand() -> None:
    made = records()
    assert sum(r.node == WAKE for r in made) == 2 and len(made) == 10
    assert len(GRAPH.nodes) == 3


def test_runs_of_one_graph_are_told_apart_by_their_stage() -> None:
    model = ggtui.Model()
    with ggtui.Engine(model, threads=1, ctx=64, batch=32, n_sequences=2, record="full") as engine:
        one, other = engine.open(), engine.open()
        runs = [engine.step([Piece(one, [1] * 8)]), engine.step([Piece(one, [2]), Piece(other, [1] * 8)])]
        runs += [engine.step([Piece(one, [3]), Piece(other, [4])]) for _ in range(3)]
        runs += [engine.step([Piece(one, [3])])]
        tokens = tuple(run.record for run in runs)
        trace = Trace(engine.graphs(), tokens, engine.memory_use())
    assert [t.stage for t in tokens] == ["prompt", "mixed", *["token"] * 4]
    assert [(s.name, len(s.tokens)) for s in stages(trace)] == [
        ("generation", 1),
        ("batch", 3),
        ("prompt", 1),
        ("mixed", 1),
    ]
    told = {s.name: stage_in_words(s)[0] for s in stages(trace)}
    assert "a batch of 2 tokens takes" in told["batch"] and "a mixed batch of 9 tokens takes" in told["mixed"]
    totals = tuple(NodeTotal(g, n, 0, 0, 4, 400, 100, 100, 0, 4e4) for g in (0, 1) for n in (0, 1))
    light = replace(trace, tokens=tuple(replace(t, records=()) for t in tokens), totals=totals)
    assert [(s.name, len(s.tokens)) for s in stages(light)] == [("generation", 1), ("mixed", 5)]
