"""A profiling session: what is run, what is recorded of it, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

import ggtui
from ggtui.core.engine.session import Session
from ggtui.core.errors import UsageError
from ggtui.core.files import open_model
from ggtui.core.files.convert import convert
from ggtui.perf.compare import differences
from ggtui.perf.measure import made_up_prompt, measure
from ggtui.perf.stage import stages
from ggtui.perf.table import rows


@pytest.mark.parametrize("profile", ["full", "light"])
def test_every_evaluation_is_recorded_once(profile: str) -> None:
    session = ggtui.load(threads=2, record=profile)
    prompt = made_up_prompt(session, 10)
    seen = []
    trace = measure(session, prompt, 6, 3, lambda done, total: seen.append((done, total)))
    assert seen == [(i, 6) for i in range(1, 7)]
    assert sorted(t.n_past for t in trace.tokens if t.n_tokens == 1) == sorted([10, 11, 12, 13, 14] * 3)
    assert [t.n_tokens for t in trace.tokens if t.n_past == 0] == [10] * 3
    assert all(bool(len(t.records)) == (profile == "full") for t in trace.tokens)
    assert {s.name for s in stages(trace)} == {"generation", "prompt"}
    calls = {r.calls for s in stages(trace) for r in rows(s)}
    assert calls == {15, 3}
    if profile == "light":
        counts = {(t.graph, t.count) for t in trace.totals}  # all but those that something interrupted
        generated, read = (count for _, count in sorted(counts))
        assert 1 <= generated <= 15 and 1 <= read <= 3
    run = trace.run
    assert run.profile == profile and run.token_ns > 0 and run.plain_token_ns > 0 and run.stamp_ns > 0
    assert session.recording


@pytest.mark.parametrize("profile", ["full", "light"])
def test_the_model_is_loaded_again_for_each_time(profile: str) -> None:
    session = ggtui.load(threads=2, record=profile)
    loaded: list[Session] = []

    def again() -> Session:
        loaded.append(ggtui.load(threads=2, record=profile))
        return loaded[-1]

    trace = measure(session, made_up_prompt(session, 10), 6, 3, again=again)
    assert trace.run.loads == 3 and len(loaded) == 2
    assert [t.n_past for t in trace.tokens if t.n_tokens == 1 and t.n_past == 10] == [10] * 3
    assert [t.start_ns for t in trace.tokens] == sorted(t.start_ns for t in trace.tokens)
    if profile == "light":  # the sums are those of all three
        assert max(t.count for t in trace.totals) >= 3
    for each in (session, *loaded):
        with pytest.raises(UsageError, match="closed"):
            each.eval([1])


def test_another_model_in_the_same_file_is_refused(tmp_path: Path) -> None:
    session = ggtui.load(threads=1, record="full")
    other = tmp_path / "other.gguf"
    with open_model(session.path) as file:
        convert(file, other, "f16")
    with pytest.raises(UsageError, match="it is another model than when the measurement began"):
        measure(session, made_up_prompt(session, 4), 2, 2, again=lambda: ggtui.load(other, threads=1, record="full"))


def test_a_prompt_in_several_batches_is_recorded_whole() -> None:
    session = ggtui.load(threads=1, batch=16, record="full")
    trace = measure(session, made_up_prompt(session, 40), 2, 1)
    assert [(t.n_past, t.n_tokens) for t in trace.tokens if t.n_tokens > 1] == [(0, 16), (16, 16), (32, 8)]
    assert all(len(t.records) for t in trace.tokens)


def test_two_measurements_can_be_compared() -> None:
    traces = []
    for _ in range(2):
        session = ggtui.load(threads=1, record="full")
        traces.append(measure(session, made_up_prompt(session, 8), 4, 1))
    assert differences(*traces) == []
    session = ggtui.load(threads=1, isa="scalar", record="full")
    scalar = measure(session, made_up_prompt(session, 8), 4, 1)
    if traces[0].run.isa != "scalar":
        assert "instruction set" in differences(traces[0], scalar)[0]


def test_what_does_not_fit_is_refused() -> None:
    session = ggtui.load(threads=1, ctx=32, record="full")
    with pytest.raises(UsageError, match="30 tokens of prompt and 4 generated ones"):
        measure(session, made_up_prompt(session, 30), 4, 1)
    assert len(measure(session, made_up_prompt(session, 30), 3, 1).tokens) == 3
