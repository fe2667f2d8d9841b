"""Traces for other programs: one table of formats."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ggtui.core import saving
from ggtui.core.engine.trace_file import dumps
from ggtui.core.errors import GgtuiError
from ggtui.core.runtime.record import WAKE, NodeInfo, Records, TokenRecord, Trace
from ggtui.perf.costs import Costs
from ggtui.perf.lanes import calling, lanes_of
from ggtui.perf.stage import stage_of, stages
from ggtui.perf.table import rows
from ggtui.perf.words import in_words

CSV_COLUMNS = (
    "stage", "key", "op", "type", "shape", "layer", "calls", "mean_ns", "sd_ns", "p95_ns", "median_ns", "least_ns",
    "most_ns", "share", "wait_ns", "flops", "bytes", "flops_per_s", "bytes_per_s", "limit", "of_limit", "device",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exporter:
    """A row of the table: a flag's name and help, and a function from a trace to the text of the file, or to its bytes
    where it is no text."""

    name: str
    help: str
    text: Callable[[Trace], str] | None = None
    binary: Callable[[Trace], bytes] | None = None

    def save(self, trace: Trace, path: str | Path) -> None:
        """Write the file. Raises GgtuiError where that is not possible."""
        if self.text is not None:
            saving.write(path, self.text(trace))
        elif self.binary is not None:
            saving.write(path, self.binary(trace))


# ---- tables ----


def _table(trace: Trace) -> Iterator[dict[str, Any]]:
    """A line for each node of each stage, with the columns of CSV_COLUMNS."""
    for stage in stages(trace):
        nodes = {n.key: n for n in stage.graph.nodes}
        for row in rows(stage):
            t, node = row.time, nodes[row.key]
            values = (
                row.stage, row.key, row.op, row.type, "x".join(map(str, row.shape)), node.layer, row.calls,
                t.mean, t.sd, t.p95, t.median, t.least, t.most, row.share, row.wait_ns, row.flops, row.traffic,
                row.flops_per_s, row.bytes_per_s, row.limit, row.of_limit, node.device,
            )  # fmt: skip
            yield dict(zip(CSV_COLUMNS, values, strict=True))


def to_csv(trace: Trace) -> str:
    """A line for each node of each stage; what is not known is empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_table(trace))
    return out.getvalue()


def to_markdown(trace: Trace) -> str:
    """The summary and a table of nodes for each stage."""
    lines = [f"- {line}" for line in in_words(trace)]
    for stage in stages(trace):
        lines += ["", f"## {stage.name}", ""]
        lines += ["| node | op | type | calls | time us | sd us | p95 us | share | wait us | GB/s | GFLOP/s | limit |"]
        lines += ["| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
        for r in rows(stage):
            p95 = "" if r.time.p95 is None else f"{r.time.p95 / 1e3:.2f}"
            limit = "" if r.of_limit is None else f"{r.of_limit:.0%} {r.limit}"
            times = f"{r.time.mean / 1e3:.2f} | {r.time.sd / 1e3:.2f} | {p95} | {r.share:.1%} | {r.wait_ns / 1e3:.2f}"
            rates = f"{r.bytes_per_s / 1e9:.2f} | {r.flops_per_s / 1e9:.2f} | {limit}"
            lines.append(f"| {_cell(r.key)} | {r.op} | {r.type} | {r.calls} | {times} | {rates} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text).replace("\\", "\\\\").replace("|", "\\|")


def to_sqlite(trace: Trace) -> bytes:
    """A database of the tables run (name, value), lanes, nodes, edges, tokens, records, totals and table_rows (the
    columns of the CSV). Raises GgtuiError where SQLite can't make it."""
    with TemporaryDirectory() as folder:  # SQLite knows files by their names alone
        made = Path(folder, "trace.db")
        try:
            with closing(sqlite3.connect(made)) as db, db:
                _fill_tables(db, trace)
        except sqlite3.Error as error:
            where = made.parent.parent
            raise GgtuiError(f"no database could be made in {where}: {error}; name another folder in TMPDIR") from error
        return made.read_bytes()


def _fill_tables(db: sqlite3.Connection, trace: Trace) -> None:
    run = [*asdict(trace.run).items(), *((f"memory.{k}", v) for k, v in asdict(trace.memory).items())]
    run += [(f"limits.{k}", v) for k, v in asdict(trace.limits).items()] if trace.limits else []
    _fill(db, "run", ("name", "value"), ((k, v if isinstance(v, str) else json.dumps(v)) for k, v in run))
    _fill(db, "lanes", ("graph", "id", "name", "device", "error_ns"), (
        (g, i, lane.name, lane.device, lane.error_ns)
        for g, graph in enumerate(trace.graphs) for i, lane in enumerate(graph.lanes)
    ))  # fmt: skip
    columns = (
        "graph", "id", "key", "name", "op", "type", "layer", "phase", "result_type", "ne", "flops", "traffic", "device",
    )  # fmt: skip
    _fill(db, "nodes", columns, (
        (g, n.id, n.key, n.name, n.op, n.type, n.layer, n.phase, n.result.type, "x".join(map(str, n.result.ne)),
         flops, traffic, n.device)
        for g, graph in enumerate(trace.graphs)
        for n, flops, traffic in zip(graph.nodes, *_costs(trace, g), strict=True)
    ))  # fmt: skip
    _fill(db, "edges", ("graph", "source", "node"), (
        (g, source, n.id) for g, graph in enumerate(trace.graphs) for n in graph.nodes for source in n.src
    ))  # fmt: skip
    _fill(db, "tokens", ("id", "graph", "n_past", "n_tokens", "eval_ns", "sample_ns", "kv_bytes", "dropped"), (
        (i, t.graph, t.n_past, t.n_tokens, t.eval_ns, t.sample_ns, t.kv_bytes, t.dropped)
        for i, t in enumerate(trace.tokens)
    ))  # fmt: skip
    _fill(db, "records", ("token", "node", "part", "lane", "start_ns", "end_ns", "done_ns"), (
        (i, *row) for i, t in enumerate(trace.tokens) for row in Records.of(t.records).table.tolist()
    ))  # fmt: skip
    names = ("graph", "node", "part", "lane", "count", "work", "least", "most", "wait", "work_squared")
    _fill(db, "totals", names, ([getattr(t, name) for name in names] for t in trace.totals))
    _fill(db, "table_rows", CSV_COLUMNS, (list(row.values()) for row in _table(trace)))


def _fill(db: sqlite3.Connection, name: str, columns: Iterable[str], lines: Iterable[Iterable[Any]]) -> None:
    columns = [f'"{column}"' for column in columns]
    db.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
    db.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(columns))})", (tuple(line) for line in lines))


# ---- timelines ----


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a lane's timeline, in nanoseconds of a clock that runs through the whole trace; `lane` is its number
    among those of all graphs (lanes_of), and spans contain those of depth one more."""

    lane: int
    depth: int
    name: str
    start: int
    end: int
    token: TokenRecord
    node: NodeInfo | None = None


def spans(trace: Trace) -> Iterator[Span]:
    """The evaluations of each lane, and in them waking or resting, work and waiting; strictly nested, in the order
    of starting.

    Evaluations are laid one after the other with the choosing of tokens between; what else passed is left out.
    """
    at = 0
    lanes, numbers = lanes_of(trace.graphs)
    for token in trace.tokens:
        graph, number = trace.graphs[token.graph], numbers[token.graph]
        table = Records.of(token.records).table
        stage = stage_of(token)
        length = max(token.eval_ns, int(table[:, 5].max()) if len(table) else 0)
        for own in sorted(set(table[:, 2].tolist())) or [calling(graph.lanes)]:
            lane = number[own]
            yield Span(lane, 0, f"{stage}, {token.n_past + token.n_tokens} tokens", at, at + length, token)
            mine = table[table[:, 2] == own].tolist()
            waking = "rest" if len(mine) == 1 and graph.lanes[own].is_thread else "wake"  # see record.rested
            for node, part, _, start, end, done in mine:
                name = waking if node == WAKE else _part_name(graph.nodes[node], part)
                if end > start:
                    yield Span(lane, 1, name, at + start, at + end, token, None if node == WAKE else graph.nodes[node])
                if done > end:
                    yield Span(lane, 1, "wait", at + end, at + done, token)
        at += length
        if token.sample_ns:
            yield Span(calling(lanes), 0, "sample", at, at + token.sample_ns, token)
            at += token.sample_ns


def _part_name(node: NodeInfo, part: int) -> str:
    whole = len(node.parts) < 2 or not 0 <= part < len(node.parts) or part == len(node.parts) - 1
    return node.key or node.name if whole else f"{node.key or node.name} ({node.parts[part]})"


def to_chrome(trace: Trace) -> str:
    """Trace events as chrome://tracing and Perfetto read them: a process for each device, in it a track for each lane,
    and counters for speed and memory.

    Times are microseconds with three digits.
    """
    run, lanes = trace.run, lanes_of(trace.graphs)[0]
    devices = list(dict.fromkeys(lane.device for lane in lanes))
    events: list[dict[str, Any]] = []
    for pid, device in enumerate(devices, start=1):
        name = f"ggtui {run.model} {run.isa if device == 'cpu' else device}".strip()
        events.append(_meta("process_name", pid, 0, {"name": name}))
    named: set[int] = set()
    counted: set[int] = set()
    for span in spans(trace):
        lane = lanes[span.lane]
        pid = devices.index(lane.device) + 1
        if span.lane not in named:
            named.add(span.lane)
            events.append(_meta("thread_name", pid, span.lane, {"name": lane.name}))
        event: dict[str, Any] = {
            "name": span.name, "cat": "node" if span.node else "run", "ph": "X", "pid": pid, "tid": span.lane,
            "ts": span.start / 1e3, "dur": (span.end - span.start) / 1e3,
        }  # fmt: skip
        if span.node is not None:
            n = span.node
            event["args"] = {"op": n.op, "type": n.type, "ne": list(n.result.ne), "phase": n.phase}
        events.append(event)
        if id(span.token) not in counted and span.depth == 0:
            counted.add(id(span.token))
            events += _counters(span, trace)
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ns", "otherData": asdict(run)})


def _meta(name: str, pid: int, tid: int, args: dict[str, str]) -> dict[str, Any]:
    return {"name": name, "ph": "M", "pid": pid, "tid": tid, "args": args}


def _counters(span: Span, trace: Trace) -> list[dict[str, Any]]:
    t, m = span.token, trace.memory
    speed = t.n_tokens / max(t.eval_ns + t.sample_ns, 1) * 1e9
    common = {"ph": "C", "pid": 1, "ts": span.start / 1e3}
    memory = {"weights": m.weights, "activations": m.activations + m.batch_activations, "scratch": m.scratch}
    return [
        {**common, "name": "tok/s", "args": {"tok/s": round(speed, 3)}},
        {**common, "name": "KV cache in use", "args": {"bytes": t.kv_bytes}},
        {**common, "name": "memory", "args": {**memory, "kv": m.kv}},
    ]


def to_speedscope(trace: Trace) -> str:
    """The file format of speedscope.app: a profile of events for each lane, in nanoseconds."""
    frames: dict[str, int] = {}
    events: dict[int, list[dict[str, Any]]] = {}
    open_spans: dict[int, list[Span]] = {}

    def close(lane: int, until: int | None) -> None:
        """Close the spans of a lane that have ended by then; all for None."""
        stack = open_spans[lane]
        while stack and (until is None or stack[-1].end <= until):
            span = stack.pop()
            events[lane].append({"type": "C", "frame": frames[span.name], "at": span.end})

    for span in spans(trace):
        events.setdefault(span.lane, [])
        open_spans.setdefault(span.lane, [])
        close(span.lane, span.start)
        frame = frames.setdefault(span.name, len(frames))
        events[span.lane].append({"type": "O", "frame": frame, "at": span.start})
        open_spans[span.lane].append(span)
    profiles, lanes = [], lanes_of(trace.graphs)[0]
    for lane in sorted(events):
        close(lane, None)
        mine = events[lane]
        profiles.append({"type": "evented", "name": lanes[lane].name, "unit": "nanoseconds",
                         "startValue": 0, "endValue": mine[-1]["at"], "events": mine})  # fmt: skip
    return json.dumps({
        "$schema": "https://www.speedscope.app/file-format-schema.json", "name": f"ggtui {trace.run.model}",
        "exporter": f"ggtui {trace.run.ggtui}", "activeProfileIndex": 0,
        "shared": {"frames": [{"name": name} for name in frames]}, "profiles": profiles,
    })  # fmt: skip


EXPORTERS = (
    Exporter("json", "the whole trace, for --open, --compare and programs", text=dumps),
    Exporter("csv", "the table of all nodes", text=to_csv),
    Exporter("chrome", "the timeline, for Perfetto and chrome://tracing", text=to_chrome),
    Exporter("speedscope", "the timeline, for speedscope.app", text=to_speedscope),
    Exporter("sqlite", "all of it as tables of a database", binary=to_sqlite),
    Exporter("markdown", "the table of all nodes", text=to_markdown),
)


def _costs(trace: Trace, graph: int) -> tuple[list[float], list[float]]:
    """Operations and bytes of each node, the mean over the evaluations of its graph."""
    flops, traffic = Costs(trace.graphs[graph]).mean(t for t in trace.tokens if t.graph == graph)
    return flops.tolist(), traffic.tolist()
