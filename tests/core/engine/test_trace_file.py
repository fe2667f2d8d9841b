"""Saved traces: what is saved comes back, and damage is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ggtui
from ggtui.core import reading
from ggtui.core.engine.trace_file import dumps, load, save
from ggtui.core.graph.cost import Cost
from ggtui.core.runtime.cpu.recorder import TotalBuffer
from ggtui.core.runtime.record import (
    COLUMNS,
    WAKE,
    GraphInfo,
    Lane,
    Limits,
    MemoryUse,
    NodeInfo,
    NodeRecord,
    NodeTotal,
    Records,
    RunInfo,
    TensorInfo,
    TokenRecord,
    Trace,
    Unscheduled,
    thread_lanes,
)

ROOT = Path(__file__).parents[3]
ROWS = (NodeRecord(WAKE, 0, 0, 0, 5, 5), NodeRecord(0, 0, 0, 5, 20, 30))


def small() -> Trace:
    result = TensorInfo("x", "f32", (4, 1, 1, 1))
    node = NodeInfo(
        0, "x", "add", result, (), (result,), (), ("add",), 0, Cost.of(4), Cost(((48, ()), (2, ("n_kv", "n_tokens")))),
        kinds=("binary",), key="x", type="f32",
    )  # fmt: skip
    token = TokenRecord(0, 1, 40, 3, records=ROWS, kv_bytes=9)
    limits = Limits("scalar", 1, ((1024, 1e9),), 1e9, 2e9, 50.0)
    total = NodeTotal(0, 0, 0, 0, 2, 30, 10, 20, 5, 500.0)
    run = RunInfo(isa="scalar", types={"f32": 1}, stamp_ns=20.0)
    kl = {"x.weight": {"q8_0": 0.0, "q4_k": 1.5e-4}}
    return Trace((GraphInfo((node,), "scalar", thread_lanes(1)),), (token,), MemoryUse(kv=7), run, (total,), limits, kl)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    save(small(), tmp_path / "a.json")
    assert load(tmp_path / "a.json") == small()
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    data = json.loads((tmp_path / "a.json").read_text())
    assert (data["schema"], data["version"]) == ("ggtui-trace", 6)
    assert data["record_columns"] == list(COLUMNS)
    assert data["tokens"][0]["records"] == [[-1, 0, 0, 0, 5, 5], [0, 0, 0, 5, 20, 30]]


def with_threads(data: dict[str, Any]) -> dict[str, Any]:
    """As graphs said it before version 5: a number of threads, and no device of a node."""
    for graph in data["graphs"]:
        graph["threads"] = len(graph.pop("lanes"))
        for node in graph["nodes"]:
            node.pop("device", None)
    if data["limits"]:
        data["limits"].pop("device", None)
    return data


def test_a_trace_of_version_4_still_opens(tmp_path: Path) -> None:
    """Its graphs had a number of threads."""
    data = with_threads(json.loads(dumps(small())))
    data["version"], data["graphs"][0]["threads"] = 4, 3
    (tmp_path / "old.json").write_text(json.dumps(data))
    assert load(tmp_path / "old.json").graphs[0].lanes == thread_lanes(3)
    data["run"]["device"] = "reference"
    (tmp_path / "old.json").write_text(json.dumps(data))
    assert load(tmp_path / "old.json").graphs[0].lanes == (Lane("reference", "reference"),)
    for threads, problem in ((0, "on 0 threads; 1 to 512 can be"), (10**9, "on 1000000000"), ("x", "on 'x' threads")):
        data["graphs"][0]["threads"] = threads
        (tmp_path / "bad.json").write_text(json.dumps(data))
        with pytest.raises(ValueError, match=f"a damaged trace: a graph is {problem}"):
            load(tmp_path / "bad.json")


def test_a_trace_of_version_2_still_opens(tmp_path: Path) -> None:
    data = json.loads(dumps(small()))
    data["version"] = 2
    with_threads(data)
    for name in ("others", "stolen"):
        del data["run"][name]
    for token in data["tokens"]:
        del token["start_ns"], token["unscheduled"]
    (tmp_path / "old.json").write_text(json.dumps(data))
    assert load(tmp_path / "old.json") == small()


def test_what_the_system_said_comes_back(tmp_path: Path) -> None:
    base = small()
    said = replace(base.tokens[0], start_ns=7, unscheduled=(Unscheduled(0, 10_000, 300),))
    trace = replace(base, tokens=(said,), run=replace(base.run, others=0.4, stolen=0.1))
    save(trace, tmp_path / "a.json")
    assert load(tmp_path / "a.json") == trace
    for bad in (Unscheduled(5, 10, 3), Unscheduled(0, 0, 3), Unscheduled(0, 10, -3)):
        save(replace(base, tokens=(replace(said, unscheduled=(bad,)),)), tmp_path / "bad.json")
        with pytest.raises(ValueError, match=r"damaged trace: .*(lane 5|span_ns is 0|lost_ns is -3)"):
            load(tmp_path / "bad.json")


def test_a_trace_of_version_3_still_opens(tmp_path: Path) -> None:
    """Its parts had no numbers of sequences."""
    token = replace(small().tokens[0], n_tokens=5, parts=((0, 10, 2), (1, 0, 3)))
    data = json.loads(dumps(replace(small(), tokens=(token,))))
    data["version"] = 3
    with_threads(data)
    for said in data["tokens"]:
        said["parts"] = [part[1:] for part in said["parts"]]
        del said["sequence"]
    (tmp_path / "old.json").write_text(json.dumps(data))
    assert load(tmp_path / "old.json").tokens == (token,)
    data["tokens"][0]["parts"] = [3]
    (tmp_path / "bad.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match="a damaged trace: something is not as version 3 has it"):
        load(tmp_path / "bad.json")


def of_version_1(trace: Trace) -> dict[str, Any]:
    """As it was saved before: costs of each evaluation, and a backend."""
    data = json.loads(dumps(trace))
    data["version"] = 1
    with_threads(data)
    data["run"]["backend"] = data["run"].pop("device")
    data["limits"]["meeting_ns"] = data["limits"].pop("barrier_ns")
    for graph in data["graphs"]:
        for node in graph["nodes"]:
            del node["kinds"]
    for graph, said in zip(trace.graphs, data["graphs"], strict=True):
        for node, n in zip(graph.nodes, said["nodes"], strict=True):
            n |= {name: getattr(node, name).at(trace.tokens[-1].sizes) for name in ("flops", "traffic")}
    for token, said in zip(trace.tokens, data["tokens"], strict=True):
        nodes = trace.graphs[token.graph].nodes
        said |= {name: [getattr(n, name).at(token.sizes) for n in nodes] for name in ("flops", "traffic")}
    return data


def test_a_trace_of_version_1_still_opens(tmp_path: Path) -> None:
    base = small()
    tokens = tuple(replace(base.tokens[0], n_past=n) for n in (0, 3, 7))
    graph = base.graphs[0]
    grows = replace(graph.nodes[0], traffic=Cost(((48, ()), (2, ("n_kv",)))))
    trace = replace(base, tokens=tokens, graphs=(replace(graph, nodes=(grows,)),), run=replace(base.run, device="cpu"))
    (tmp_path / "old.json").write_text(json.dumps(of_version_1(trace)))
    assert load(tmp_path / "old.json") == trace

    damaged = of_version_1(trace)
    damaged["tokens"][1]["flops"] = [1, 2]
    (tmp_path / "bad.json").write_text(json.dumps(damaged))
    with pytest.raises(ValueError, match="not those of 1 nodes"):
        load(tmp_path / "bad.json")


def test_costs_of_version_1_that_are_no_line_are_their_mean(tmp_path: Path) -> None:
    base = small()
    old = of_version_1(replace(base, tokens=tuple(replace(base.tokens[0], n_past=n) for n in (0, 1, 2))))
    for token, flops in zip(old["tokens"], (1, 2, 9), strict=True):
        token["flops"] = [flops]
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert load(tmp_path / "old.json").graphs[0].nodes[0].flops == Cost.of(4)


def test_records_are_a_sequence() -> None:
    records = Records.of(ROWS)
    assert list(records) == list(ROWS) and records[1] == ROWS[1] and records[-1] == ROWS[1]
    assert list(records[1:]) == [ROWS[1]] and len(records) == 2 and records == ROWS
    assert records != ROWS[:1] and not Records.of(())


def test_records_are_made_when_they_are_looked_at() -> None:
    made = []

    def table() -> Any:
        made.append(1)
        return np.zeros((3, 6), np.int64)

    records = Records(table)
    assert not made
    assert len(records) == 3 and len(records.table) == 3 and len(made) == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: d.update(schema="other"), "not a trace that ggtui saved"),
        (lambda d: d.update(version=99), "trace version 99; this ggtui reads version 1 and 2"),
        (lambda d: d.update(version=True), "trace version True"),
        (lambda d: d.update(version=[1]), r"trace version \[1\]"),
        (lambda d: d.pop("graphs"), "damaged trace: it has no graphs"),
        (lambda d: d.update(tokens={}), "damaged trace: tokens is {}, not a list"),
        (lambda d: d["tokens"][0].update(graph=5), "there is no graph 5; there are 1"),
        (lambda d: d["tokens"][0].update(records=[[0, 0, 0]]), "not a row of node, part, lane, start, end, done"),
        (lambda d: d["tokens"][0].update(records=[[7, 0, 0, 0, 0, 0]]), "outside of the graph's 1"),
        (lambda d: d["tokens"][0].update(records=[[0, 0, 0, 0, 0, 1 << 70]]), "does not fit into 64 bits"),
        (
            lambda d: d["graphs"][0]["nodes"][0].update(flops=[[1, ["n_cats"]]]),
            r"graphs\.nodes\.flops is multiplied with .*n_cats.*, but sizes are",
        ),
        (lambda d: d["graphs"][0]["nodes"][0].update(flops=[[1.5, []]]), r"flops is 1\.5, not a whole number"),
        (lambda d: d["graphs"][0]["nodes"][0].update(flops=7), "flops is 7, not a list"),
        (lambda d: d["tokens"][0].update(records=[[0, 3, 0, 0, 0, 0]]), "part 3"),
        (lambda d: d["tokens"][0].update(records=[[0, 0, 4, 0, 0, 0]]), "lane 4"),
        (
            lambda d: d["totals"].append([0, 9, 0, 0, 1, 1, 1, 1, 1, 1.0]),
            "a total of graph 0 is of node 9, outside of the graph's 1",
        ),
        (
            lambda d: d["totals"].append([0, 0, 0, 0, 0, 1, 1, 1, 1, 1.0]),
            r"totals\.count is 0, not a whole number from 1",
        ),
        (lambda d: d["tokens"][0].update(eval_ns="soon"), r"eval_ns is .*soon"),
        (lambda d: d["tokens"][0].update(eval_ns=-5), r"tokens\.eval_ns is -5, not a whole number from 0"),
        (lambda d: d["kl"].update(x={"q4_k": -1.0}), r"kl is -1\.0, not a number from 0"),
        (lambda d: d.update(kl=[]), "kl is \\[\\], not an object"),
        (lambda d: d["limits"].update(f32=0.0), r"limits\.f32 is 0\.0, not a number from 1"),
        (lambda d: d["memory"].update(kv=True), r"memory\.kv is True"),
        (lambda d: d["run"]["types"].update(f32="x"), r"run\.types is 'x', not a whole number"),
        (
            lambda d: d["graphs"][0]["nodes"][0].update(src=[4]),
            "node 0 of graph 0 reads node 4, which does not run before it",
        ),
        (lambda d: d["graphs"][0].update(lanes=[]), "graph 0 is on 0 lanes; 1 to 576 can be"),
        (lambda d: d["run"].update(unknown=1), "run has 'unknown', which is no field of it"),
        (lambda d: d.update(memory=[1]), r"memory is \[1\], not an object"),
    ],
)
def test_damage_is_refused(change: Any, problem: str, tmp_path: Path) -> None:
    data = json.loads(dumps(small()))
    change(data)
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=problem):
        load(tmp_path / "a.json")


def test_damage_of_version_1_is_refused(tmp_path: Path) -> None:
    """It is brought up to date before it is checked, so that is what meets the damage."""
    base = replace(small(), run=replace(small().run, device="cpu"))
    for change in (
        lambda d: d.update(run=[]),
        lambda d: d["run"].pop("backend"),
        lambda d: d.update(limits="x"),
        lambda d: d.update(graphs=7),
        lambda d: d["graphs"][0].update(nodes={"a": 1}),
        lambda d: d["tokens"][0].update(graph=[]),
        lambda d: d["tokens"][0].update(flops={"a": 1}),
        lambda d: d["tokens"][0].update(flops=["x"]),
        lambda d: d["tokens"][0].update(n_past=None),
        lambda d: d["tokens"].append(3),
    ):
        data = of_version_1(base)
        change(data)
        (tmp_path / "a.json").write_text(json.dumps(data))
        with pytest.raises(ValueError, match="a damaged trace"):
            load(tmp_path / "a.json")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_finite_number_is_refused(number: str, tmp_path: Path) -> None:
    text = dumps(small()).replace('"stamp_ns":20.0', f'"stamp_ns":{number}')
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(
        ValueError, match=r"a\.json: (not a trace: it has -?(NaN|Infinity), which is not JSON|.*stamp_ns is inf)"
    ):
        load(tmp_path / "a.json")


def test_what_is_no_file_of_json_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="Is a directory"):
        load(tmp_path)
    with pytest.raises(OSError, match="is not a regular file"):
        load("/dev/zero")
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setattr(reading, "WRITER_WITHIN_S", 0.1)
    with pytest.raises(OSError, match="is a pipe that nobody opened for writing"):
        load(tmp_path / "fifo")


def test_a_pipe_is_read_as_a_file_is(tmp_path: Path) -> None:
    """A shell's <(command)."""
    read_end, write_end = os.pipe()
    with ThreadPoolExecutor() as pool, open(write_end, "w") as out:
        found = pool.submit(load, f"/dev/fd/{read_end}")
        out.write(dumps(small()))
        out.close()
        assert found.result() == small()
    os.close(read_end)


@pytest.mark.bare
def test_60_000_nodes_open_in_seconds(tmp_path: Path) -> None:
    """And whatever is made of all nodes at once: some of it was done anew for each of them."""
    data, n = json.loads(dumps(small())), 60_000
    (node,), (total,), (token,) = data["graphs"][0]["nodes"], data["totals"], data["tokens"]
    data["graphs"][0]["nodes"] = [{**node, "id": i, "key": f"x{i}", "name": f"x{i}"} for i in range(n)]
    records = [[i, 0, 0, 2 * i, 2 * i + 1, 2 * i + 2] for i in range(n)]
    data["tokens"] = [{**token, "eval_ns": 2 * n, "records": records}] * 3
    data["totals"] = [[0, i, *total[2:]] for i in range(n)]
    (tmp_path / "a").write_text(json.dumps(data))
    limit = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (20, 20))"
    script = f"{limit}; from ggtui.cli import main; raise SystemExit(main(['perf', '--open', '{tmp_path / 'a'}']))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0 and "59980 more" in done.stdout, done.stderr


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}'])
def test_what_is_no_trace_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match="not a trace"):
        load(tmp_path / "a.json")


def test_a_trace_of_a_session_comes_back(tmp_path: Path) -> None:
    session = ggtui.load(threads=2, record="full")
    steps = list(session.generate([1, 2, 3, 4], 3, ignore_eos=True))
    trace = session.trace(run for step in steps for run in step.runs)
    save(trace, tmp_path / "a.json")
    back = load(tmp_path / "a.json")
    assert back == replace(trace, run=back.run) and back.run.types == trace.run.types
    assert [t.kv_bytes for t in back.tokens] == [n * session.kv.bytes_per_token for n in (4, 5, 6)]
    assert all(len(t.records) for t in back.tokens)
    assert all(n.traffic.at(t.sizes) > 0 for t in back.tokens for n in back.graphs[t.graph].nodes)


def test_keys_of_nodes_are_those_of_other_plans() -> None:
    session = ggtui.load(threads=1, record="full")
    list(session.generate([1, 2, 3, 4], 2))
    keys = [{n.key for n in g.nodes} for g in session.graphs()]
    assert all(len(k) == len(g.nodes) for k, g in zip(keys, session.graphs(), strict=True))
    assert "blk.0.ffn_up" in keys[0] & keys[1] and "output" in keys[0] & keys[1]
    up = next(n for n in session.graphs()[1].nodes if n.key == "blk.3.ffn_up")
    assert up.layer == 3 and up.type == "q8_0"
    assert next(n for n in session.graphs()[1].nodes if n.key == "output").layer is None


def test_totals_are_the_sums_of_records() -> None:
    """Of the same run they can't both be taken; counts agree, and the sums fill the time as records do. What something
    interrupted is left out."""
    session = ggtui.load(threads=2, record="light")
    list(session.generate([1, 2, 3], 2))
    session.clear_totals()
    steps = list(session.generate([], 36, ignore_eos=True))
    trace = session.trace(run for step in steps for run in step.runs)
    assert all(len(t.records) == 0 for t in trace.tokens)
    (count,) = {t.count for t in trace.totals if t.graph == 0}
    quick = all(t.eval_ns < TotalBuffer.LONGEST_NS for t in trace.tokens)  # of those one in seven is recorded
    assert 1 <= count <= (6 if quick else 36)
    for thread in (0, 1):
        mine = [t for t in trace.totals if t.lane == thread and t.graph == 0]
        total = sum(t.work + t.wait for t in mine)
        times = sorted(t.eval_ns for t in trace.tokens)  # of 36, of which one in seven was recorded
        assert sum(times[:count]) * 0.7 - 100_000 * count <= total <= sum(times[-count:]) * 1.001 + 1000
        assert all(t.least * t.count <= t.work + t.count and t.work <= t.most * t.count + t.count for t in mine)
        assert all(t.work_squared >= t.work**2 / t.count * 0.99 - t.count for t in mine)


def test_the_format_is_documented() -> None:
    text = (ROOT / "docs" / "trace-format.md").read_text()
    kinds = (Trace, RunInfo, MemoryUse, Limits, GraphInfo, NodeInfo, TensorInfo, TokenRecord, NodeRecord, NodeTotal)
    kinds += (Unscheduled, Lane)
    missing = {f"{kind.__name__}.{f.name}" for kind in kinds for f in fields(kind) if f"`{f.name}`" not in text}
    assert not missing
    assert "This is version 6;" in text


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name in ("ggtui._native", "_cffi_backend"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
import io
import ggtui
from ggtui.perf import compare, export, stage, table
from ggtui.viz import tables
trace = ggtui.perf.load(sys.argv[1])
print(len(stage.stages(trace)), len(compare.compare(trace, trace).changes) > 0)
for exporter in export.EXPORTERS:
    exporter.save(trace, sys.argv[2])
out = io.StringIO()
for found in stage.stages(trace):
    tables.write(out, *tables.node_table(found))
print("blk.0.ffn_up" in out.getvalue(), any(name.startswith("ggtui._native") for name in sys.modules))
"""


def test_a_saved_trace_opens_without_the_compiled_module(tmp_path: Path) -> None:
    session = ggtui.load(threads=2, record="full")
    steps = list(session.generate([1, 2, 3, 4], 3, ignore_eos=True))
    save(session.trace(run for step in steps for run in step.runs), tmp_path / "a.json")
    command = [sys.executable, "-c", BLOCKED, str(tmp_path / "a.json"), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == "2 True\nTrue False\n", done.stderr
