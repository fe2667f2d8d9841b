"""Each format, read by a reader of that format."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_up import RUN, rested, trace

import ggtui
from ggtui.core.engine.trace_file import load
from ggtui.core.errors import GgtuiError
from ggtui.core.runtime.record import Trace
from ggtui.perf.export import EXPORTERS, spans, to_chrome, to_csv, to_markdown, to_speedscope
from ggtui.perf.stage import stages
from ggtui.perf.table import rows

BY_NAME = {e.name: e for e in EXPORTERS}


@pytest.fixture(scope="module")
def real() -> Trace:
    session = ggtui.load(threads=2, record="full")
    steps = list(session.generate([1, 2, 3, 4, 5], 4, ignore_eos=True))
    return session.trace(run for step in steps for run in step.runs)


@pytest.fixture(params=["made up", "real", "light", "empty"])
def any_trace(request: pytest.FixtureRequest, real: Trace) -> Trace:
    if request.param == "real":
        return real
    made = trace(n=3)
    if request.param == "light":
        return replace(made, tokens=tuple(replace(t, records=()) for t in made.tokens))
    return made if request.param == "made up" else replace(made, tokens=())


def test_json(any_trace: Trace, tmp_path: Path) -> None:
    BY_NAME["json"].save(any_trace, tmp_path / "a")
    assert load(tmp_path / "a") == any_trace


def test_csv(any_trace: Trace) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(any_trace))))
    want = [row for stage in stages(any_trace) for row in rows(stage)]
    assert [(line["stage"], line["key"]) for line in lines] == [(r.stage, r.key) for r in want]
    for line, row in zip(lines, want, strict=True):
        assert float(line["mean_ns"]) == row.time.mean and float(line["bytes"]) == row.traffic
        assert line["p95_ns"] == ("" if row.time.p95 is None else str(row.time.p95))


def test_sqlite(any_trace: Trace, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_text("what was here before")
    BY_NAME["sqlite"].save(any_trace, path)
    with closing(sqlite3.connect(path)) as db:
        count = {t: db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("tokens", "records", "nodes")}
        assert count["tokens"] == len(any_trace.tokens)
        assert count["records"] == sum(len(t.records) for t in any_trace.tokens)
        assert count["nodes"] == sum(len(g.nodes) for g in any_trace.graphs)
        assert db.execute("SELECT value FROM run WHERE name = 'isa'").fetchone() == (any_trace.run.isa,)
        query = """SELECT n.key, sum(r.end_ns - r.start_ns) FROM records r JOIN tokens t ON t.id = r.token
                   JOIN nodes n ON n.graph = t.graph AND n.id = r.node GROUP BY n.key"""
        spent = dict(db.execute(query).fetchall())
    want: dict[str, int] = defaultdict(int)
    for t in any_trace.tokens:
        for r in t.records:
            if r.node >= 0:
                want[any_trace.graphs[t.graph].nodes[r.node].key] += r.end - r.start
    assert spent == want


def check_nesting(intervals: list[tuple[int, int]]) -> None:
    """Each begins after those before have ended, or lies within one of them."""
    stack: list[tuple[int, int]] = []
    for start, end in sorted(intervals, key=lambda i: (i[0], -i[1])):
        while stack and stack[-1][1] <= start:
            stack.pop()
        assert start < end and (not stack or (stack[-1][0] <= start and end <= stack[-1][1]))
        stack.append((start, end))


def test_chrome(any_trace: Trace) -> None:
    data = json.loads(to_chrome(any_trace))
    tracks: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for event in data["traceEvents"]:
        assert event["ph"] in "XMC" and event["pid"] == 1
        if event["ph"] == "X":
            assert event["dur"] > 0
            start = round(event["ts"] * 1000)
            tracks[event["tid"]].append((start, start + round(event["dur"] * 1000)))
    for intervals in tracks.values():
        check_nesting(intervals)
    counters = [e for e in data["traceEvents"] if e["ph"] == "C"]
    names = {"tok/s", "KV cache in use", "memory"} if any_trace.tokens else set()
    assert {e["name"] for e in counters} == names and len(counters) == 3 * len(any_trace.tokens)
    named = {e["tid"] for e in data["traceEvents"] if e["name"] == "thread_name"}
    assert named == set(tracks)
    if any_trace.tokens and len(any_trace.tokens[0].records):
        assert set(tracks) == {0, 1}


def test_speedscope(any_trace: Trace) -> None:
    data = json.loads(to_speedscope(any_trace))
    assert data["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    n_frames = len(data["shared"]["frames"])
    for profile in data["profiles"]:
        assert profile["type"] == "evented" and profile["unit"] == "nanoseconds"
        stack: list[int] = []
        at = profile["startValue"]
        for event in profile["events"]:
            assert at <= event["at"] <= profile["endValue"] and 0 <= event["frame"] < n_frames
            at = event["at"]
            if event["type"] == "O":
                stack.append(event["frame"])
            else:
                assert event["type"] == "C" and stack.pop() == event["frame"]
        assert not stack


def test_markdown(any_trace: Trace) -> None:
    text = to_markdown(any_trace)
    tables: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("| node"):
            tables.append([])
        if line.startswith("|"):
            tables[-1].append(line)
    assert [len(t) - 2 for t in tables] == [len(rows(s)) for s in stages(any_trace)]
    for table in tables:
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in table}
        assert widths == {14}


def test_names_of_a_model_do_no_harm() -> None:
    bad = trace(n=1)
    nodes = (replace(bad.graphs[0].nodes[0], key="a|b\n\x1b[2J", name="a|b"), *bad.graphs[0].nodes[1:])
    bad = replace(bad, graphs=(replace(bad.graphs[0], nodes=nodes),))
    text = to_markdown(bad)
    assert "\x1b" not in text and "a\\|b??[2J" in text
    json.loads(to_chrome(bad))


def test_a_thread_that_rested_is_called_so() -> None:
    t = rested(trace(n=2))
    mine = [span for span in spans(t) if span.lane == 1 and span.depth]
    assert [(span.name, span.end - span.start) for span in mine] == [("rest", token.eval_ns) for token in t.tokens]


def test_spans_of_an_evaluation() -> None:
    found = [s for s in spans(trace(n=1)) if s.lane == 0]
    assert [s.name for s in found] == [
        "generation, 1 tokens", "wake", "token_embd", "blk.0.ffn_up (quantize)", "blk.0.ffn_up", "wait", "output",
        "sample",
    ]  # fmt: skip
    assert found[-1].start == trace(n=1).tokens[0].eval_ns and found[-1].end - found[-1].start == 30


def test_a_full_disk_for_the_database_is_one_line(tmp_path: Path, full_disk: Any) -> None:
    path = tmp_path / "a"
    path.write_text("before")
    told = r"^no database could be made in \S+: .*; name another folder in TMPDIR$"
    with full_disk(5000), pytest.raises(GgtuiError, match=told):
        BY_NAME["sqlite"].save(trace(), path)
    assert path.read_text() == "before" and [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_failed_save_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("before")

    def fail(_: Any) -> str:
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        replace(BY_NAME["csv"], text=fail).save(trace(), path)
    assert path.read_text() == "before" and [p.name for p in tmp_path.iterdir()] == ["a"]
    assert RUN.isa == "avx2"
