"""What is made of a trace whose nodes ran on two devices."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_up
import pytest
from two_devices import GRAPH, LANES, QUEUE, RECORDS, TIMES, WALL, light, trace

from ggtui.core.engine.trace_file import load, save
from ggtui.core.runtime.record import WAKE, GraphInfo, Lane, NodeRecord, Trace, Unscheduled, thread_lanes
from ggtui.perf.compare import compare, differences
from ggtui.perf.export import EXPORTERS, spans, to_chrome, to_csv, to_speedscope
from ggtui.perf.lanes import calling, in_words, lanes_of, others, whose
from ggtui.perf.stage import Stage, stages
from ggtui.perf.table import Row, rows
from ggtui.perf.words import overhead, stage_in_words
from ggtui.viz.tables import lane_table, node_table, notes


def of(t: Trace) -> Stage:
    return stages(t)[0]


def one(t: Trace, key: str) -> Row:
    return next(row for row in rows(of(t)) if row.key == key)


def test_names() -> None:
    assert (in_words(LANES), others(LANES), whose(LANES)) == (
        "2 threads, vulkan queue",
        "other lanes",
        "the lanes' time",
    )
    assert (in_words(thread_lanes(1)), others(thread_lanes(1))) == ("1 thread", "other threads")
    assert in_words((QUEUE,)) == "vulkan queue" and (calling((QUEUE, *LANES[:2])), calling((QUEUE,))) == (1, 0)


def test_lanes_of_several_graphs_are_one_by_device_and_name() -> None:
    other = replace(GRAPH, lanes=(replace(QUEUE, error_ns=7.0), *thread_lanes(3)))
    assert lanes_of((GRAPH, other)) == ((*LANES, Lane("thread 2")), ((0, 1, 2), (2, 0, 1, 3)))
    assert lanes_of((other, GRAPH))[1] == ((0, 1, 2, 3), (1, 2, 0))
    assert lanes_of((GRAPH, replace(GRAPH, lanes=(Lane("thread 0", "vulkan"),))))[1][1] == (3,)
    assert lanes_of(()) == ((), ())


@pytest.mark.parametrize("made", [trace, light])
def test_lanes_add_up_to_the_wall_time(made: Any) -> None:
    lanes = of(made()).lanes
    assert [(t.work, t.wait, t.wake) for t in lanes] == [pytest.approx(times) for times in TIMES]
    assert [t.total for t in lanes] == [pytest.approx(WALL)] * 3
    assert not any(t.rest or t.lost or t.held or t.call for t in lanes)


@pytest.mark.parametrize("made", [trace, light])
def test_the_table(made: Any) -> None:
    found = made()
    times = {row.key: (row.time.mean, row.wait_ns) for row in rows(of(found))}
    assert times == {
        "token_embd": (100, pytest.approx((4890 + 4920) / 2)),  # the mean over two threads, and the queue's own
        "blk.0.ffn_up": (4300, pytest.approx(5200)),
        "output": (5000, pytest.approx(1000 / 2)),
    }
    lanes = of(found).lanes
    threads, queue = sum(t.work for t in lanes[:2]) / 2, lanes[2].work
    assert sum(row.share for row in rows(of(found))) == pytest.approx((threads + queue) / WALL)
    assert {row.key for row in rows(of(found), "op")} == {"get_rows", "mul_mat"}


def test_nodes_of_another_device_are_not_held_against_the_limits() -> None:
    assert (one(trace(), "blk.0.ffn_up").limit, one(trace(), "blk.0.ffn_up").of_limit) == ("", None)
    assert one(trace(), "output").of_limit and one(trace(), "token_embd").of_limit
    by_op = {row.key: row.of_limit for row in rows(of(trace()), "op")}
    assert by_op["get_rows"] and by_op["mul_mat"] is None  # of which some run here and some there
    assert of(trace()).bound == ("", None) and "MB an evaluation" in " ".join(stage_in_words(of(trace())))
    # Of what memory or caches give only the bytes touched on the CPU count.
    alone = replace(
        trace(),
        graphs=(
            replace(
                GRAPH, nodes=(GRAPH.nodes[0], replace(GRAPH.nodes[1], traffic=GRAPH.nodes[1].flops), GRAPH.nodes[2])
            ),
        ),
    )
    assert one(alone, "output").of_limit == one(trace(), "output").of_limit
    theirs = replace(trace(), limits=replace(made_up.LIMITS, device="vulkan"))
    assert one(theirs, "blk.0.ffn_up").of_limit and one(theirs, "output").of_limit is None


def test_words() -> None:
    said = stage_in_words(of(trace()))
    told = (
        "generation: the time of 2 threads and vulkan queue is 44.9% work, 55.0% waiting for each other, 0.1% waking up"
    )
    assert told in said and "generation: beside thread 0, times may be off: vulkan queue by 2.0 us" in said
    queue = replace(GRAPH, lanes=(replace(QUEUE, error_ns=0.0),), nodes=(replace(GRAPH.nodes[1], id=0, src=()),))
    only = tuple(replace(r, node=min(r.node, 0), lane=0) for r in RECORDS if r.lane == 2)
    alone = replace(trace(records=only), graphs=(queue,))
    assert "generation: its time is 43.0% work, 57.0% waiting, 0.0% waking up" in " ".join(stage_in_words(of(alone)))
    assert not any("thread" in line for line in notes(alone)[:-1])


def test_stamps_are_those_of_the_callers_device() -> None:
    assert overhead(trace())["stamps"] == 2 + 2 + 1


def test_lines_of_tables() -> None:
    title, columns, lines = lane_table(of(trace()))
    assert title.startswith("generation: lanes, ") and columns[0] == ("lane", "left")
    assert [line[0] for line in lines] == ["thread 0", "thread 1", "vulkan queue"]
    limit = {line[0]: line[-1] for line in node_table(of(trace()))[2]}
    assert limit["blk.0.ffn_up"] != limit["output"] and "%" not in limit["blk.0.ffn_up"]


def test_what_is_lost_beside_a_queue() -> None:
    """Of a thread that lost its core in the last node; the queue, which has nothing to do then, is not held up."""
    ns = 4_000_000
    longer = tuple(
        replace(r, end=r.end + ns * (r.lane == 1), done=r.done + ns)
        if r.node == 2 or (r.lane == 2 and r.node == 1)
        else r
        for r in RECORDS
    )
    base = trace(20)
    slow = replace(base.tokens[9], records=longer, eval_ns=WALL + ns, unscheduled=(Unscheduled(1, ns + WALL, ns),))
    stage = of(replace(base, tokens=(*base.tokens[:9], slow, *base.tokens[10:])))
    assert stage.times.lost[9].tolist() == [0, pytest.approx(ns, rel=0.01), 0]
    assert stage.times.held[9].tolist() == [pytest.approx(ns, rel=0.01), 0, 0]
    assert stage.alone[9] == pytest.approx(WALL, abs=0.01 * ns)
    assert [t.total for t in stage.lanes] == [pytest.approx(WALL + ns / 20)] * 3


def test_to_wait_for_another_device_is_no_lateness() -> None:
    """Though a thread had no core then, which it did not want."""
    base = trace(20)
    said = replace(base.tokens[9], unscheduled=(Unscheduled(0, WALL, 4000),))
    stage = of(replace(base, tokens=(*base.tokens[:9], said, *base.tokens[10:])))
    assert not stage.times.lost.any() and not stage.times.held.any()
    assert stage.late is not None and not stage.late[:, 0].any() and not stage.late[..., 2].any()


def test_threads_rest_and_queues_wait() -> None:
    """Each with a record of waking up alone, here while one thread does all."""
    alone = tuple(r for r in RECORDS if r.lane == 0)
    idle = (NodeRecord(WAKE, 0, 1, 0, 9000, WALL), NodeRecord(WAKE, 0, 2, 0, 0, WALL))
    t = trace(records=(*alone, *idle))
    lanes = of(t).lanes
    assert (lanes[1].rest, lanes[1].wait, lanes[1].wake) == (9000, 1000, 0)
    assert (lanes[2].rest, lanes[2].wait, lanes[2].wake) == (0, WALL, 0)
    assert [lane.total for lane in lanes] == [WALL] * 3
    told = [(span.lane, span.name) for span in spans(t) if span.token is t.tokens[0] and span.depth and span.lane]
    assert told == [(1, "rest"), (1, "wait"), (2, "wait")]


def test_other_lanes_are_not_compared() -> None:
    assert not differences(trace(), trace()) and not compare(trace(), trace(), 0.05).worse
    other = replace(trace(), graphs=(replace(GRAPH, lanes=(*thread_lanes(2), Lane("cuda queue", "cuda"))),))
    assert differences(trace(), other) == [
        "lanes: generation ran on 2 threads, vulkan queue in the base, on 2 threads, cuda queue now"
    ]
    here = replace(GRAPH, nodes=(*GRAPH.nodes[:2], replace(GRAPH.nodes[2], device="vulkan")))
    (told,) = differences(trace(), replace(trace(), graphs=(here,)))
    assert told.startswith("graph: generation differs at output: ") and "on cpu in the base" in told


# ---- files ----


@pytest.mark.parametrize("made", [trace, light])
def test_what_is_saved_comes_back(made: Any, tmp_path: Path) -> None:
    save(made(), tmp_path / "a.json")
    assert load(tmp_path / "a.json") == made()
    data = json.loads((tmp_path / "a.json").read_text())
    assert data["graphs"][0]["lanes"][2] == {"name": "vulkan queue", "device": "vulkan", "error_ns": 2000.0}


def test_what_a_lane_need_not_say(tmp_path: Path) -> None:
    save(trace(), tmp_path / "a.json")
    data = json.loads((tmp_path / "a.json").read_text())
    data["graphs"][0]["lanes"][:2] = [{"name": "thread 0"}, {"name": "thread 1"}]
    (tmp_path / "a.json").write_text(json.dumps(data))
    assert load(tmp_path / "a.json") == trace()
    data["graphs"][0]["lanes"][2]["error_ns"] = -1
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"graphs\.lanes\.error_ns is -1, not a number from 0"):
        load(tmp_path / "a.json")


def test_chrome() -> None:
    events = json.loads(to_chrome(trace()))["traceEvents"]
    meta = {(e["name"], e["pid"], e["tid"]): e["args"]["name"] for e in events if e["ph"] == "M"}
    assert meta == {
        ("process_name", 1, 0): "ggtui model.gguf avx2", ("process_name", 2, 0): "ggtui model.gguf vulkan",
        ("thread_name", 1, 0): "thread 0", ("thread_name", 1, 1): "thread 1", ("thread_name", 2, 2): "vulkan queue",
    }  # fmt: skip
    tracks = {(e["pid"], e["tid"]) for e in events if e["ph"] == "X"}
    assert tracks == {(1, 0), (1, 1), (2, 2)}
    for pid, lane, (work, wait, wake) in zip((1, 1, 2), range(3), TIMES, strict=True):
        mine = [e for e in events if e["ph"] == "X" and (e["pid"], e["tid"]) == (pid, lane)]
        spent = {kind: sum(e["dur"] for e in mine if (e["name"] == "wait", e["cat"]) == kind) for kind in
                 ((False, "node"), (True, "run"))}  # fmt: skip
        assert spent == {(False, "node"): pytest.approx(3 * work / 1e3), (True, "run"): pytest.approx(3 * wait / 1e3)}
        assert sum(e["dur"] for e in mine if e["name"] == "wake") == pytest.approx(3 * wake / 1e3)
    assert {e["tid"] for e in events if e["name"] == "sample"} == {0}


def test_tracks_of_graphs_with_other_lanes() -> None:
    """Whatever numbers a lane has in each graph, it has one track; tokens are chosen on a thread."""
    turned = replace(GRAPH, lanes=(QUEUE, *thread_lanes(2)))
    records = tuple(replace(r, lane=(r.lane + 1) % 3) for r in RECORDS)
    tokens = (*trace(1).tokens, replace(trace(1).tokens[0], graph=1, records=records, n_past=1))
    t = replace(trace(), graphs=(GRAPH, turned), tokens=tokens)
    first, second = ([(s.lane, s.name) for s in spans(t) if s.token is token and s.depth] for token in tokens)
    assert sorted(first) == sorted(second)
    assert [s.lane for s in spans(t) if s.name == "sample"] == [0, 0]
    bare = replace(t, tokens=tuple(replace(token, records=()) for token in tokens))
    assert {s.lane for s in spans(bare)} == {0}


def test_speedscope() -> None:
    profiles = json.loads(to_speedscope(trace()))["profiles"]
    assert [profile["name"] for profile in profiles] == ["thread 0", "thread 1", "vulkan queue"]
    assert {profile["endValue"] for profile in profiles} == {3 * WALL + 90, 3 * WALL + 60}


def test_csv() -> None:
    header, *lines = (line.split(",") for line in to_csv(trace()).splitlines())
    devices = {line[header.index("key")]: line[header.index("device")] for line in lines}
    assert devices == {"token_embd": "cpu", "blk.0.ffn_up": "vulkan", "output": "cpu"}


def test_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    next(e for e in EXPORTERS if e.name == "sqlite").save(trace(), path)
    query = """SELECT l.name, l.device, l.error_ns, sum(r.done_ns - r.start_ns) FROM records r
               JOIN tokens t ON t.id = r.token JOIN lanes l ON l.graph = t.graph AND l.id = r.lane
               GROUP BY l.id ORDER BY l.id"""
    with closing(sqlite3.connect(path)) as db:
        assert db.execute(query).fetchall() == [(a.name, a.device, a.error_ns, 3 * WALL) for a in LANES]
        assert db.execute("SELECT device FROM nodes ORDER BY id").fetchall() == [("cpu",), ("vulkan",), ("cpu",)]


def test_a_graph_of_another_device_alone_has_no_threads() -> None:
    alone = GraphInfo(GRAPH.nodes, "", (QUEUE,))
    assert alone.n_threads == 0 and GRAPH.n_threads == 2
