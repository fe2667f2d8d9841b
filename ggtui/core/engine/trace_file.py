"""Traces in files, as JSON (docs/trace-format.md). A file is checked in every field before anything relies on it."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from reprlib import repr as shown
from typing import Any

from ggtui.core import saving
from ggtui.core.engine.trace_check import MAX_GRAPHS, MAX_THREADS, check
from ggtui.core.engine.trace_fields import read_records, read_rows
from ggtui.core.reading import read_object
from ggtui.core.runtime.record import (
    COLUMNS,
    GraphInfo,
    Lane,
    Limits,
    MemoryUse,
    NodeTotal,
    Records,
    RunInfo,
    TokenRecord,
    Trace,
    thread_lanes,
)

SCHEMA = "ggtui-trace"
VERSION = 6
READABLE = (1, 2, 3, 4, 5, 6)  # version 2 did not say when an evaluation began, nor what the system said of threads


def dumps(trace: Trace) -> str:
    """A trace as JSON. Node records and totals are rows; docs/trace-format.md names their columns."""
    data = {
        "schema": SCHEMA,
        "version": VERSION,
        "run": asdict(trace.run),
        "memory": asdict(trace.memory),
        "limits": asdict(trace.limits) if trace.limits else None,
        "kl": trace.kl,
        "graphs": [_graph_data(graph) for graph in trace.graphs],
        "record_columns": COLUMNS,
        "tokens": [_token_data(token) for token in trace.tokens],
        "total_columns": _TOTAL_COLUMNS,
        "totals": [[getattr(total, name) for name in _TOTAL_COLUMNS] for total in trace.totals],
    }
    return json.dumps(data, separators=(",", ":"))


def save(trace: Trace, path: str | Path) -> None:
    """Write a trace as JSON. Raises GgtuiError where that is not possible."""
    saving.write(path, dumps(trace))


def load(path: str | Path) -> Trace:
    """Read what `save` wrote. Raises ValueError for anything else, OSError for a file that can't be read."""
    with no_collection():
        return _load(path)


def _load(path: str | Path) -> Trace:
    try:
        data = read_object(path, pipe=True)
    except ValueError as error:
        raise ValueError(f"{path}: not a trace: {error}") from error
    if data.get("schema") != SCHEMA:
        raise ValueError(f"{path}: not a trace that ggtui saved")
    version = data.get("version")
    if type(version) is not int or version not in READABLE:
        known = " and ".join(map(str, READABLE))
        raise ValueError(f"{path}: trace version {shown(version)}; this ggtui reads version {known}")
    try:
        if version == 1:
            _bring_up_to_date(data)
        if version == 3:
            _number_sequences(data)
        if version < 5:
            _name_lanes(data)
        trace = _trace(data)
        check(trace)
    except ValueError as error:
        raise ValueError(f"{path}: a damaged trace: {error}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
        if version == VERSION:
            raise
        raise ValueError(f"{path}: a damaged trace: something is not as version {version} has it: {error!r}") from error
    return trace


def limits_of(data: object) -> Limits:
    """The limits of a machine as `asdict` told them. Raises ValueError for anything else."""
    (limits,) = read_records(Limits, [data], "limits")
    for name in ("least", "earlier"):
        values = getattr(limits, name)
        if values and len(values) != 2 + len(limits.read):
            raise ValueError(f"limits.{name} has {len(values)} values; int8, f32 and {len(limits.read)} sizes have one")
    return limits  # type: ignore[no-any-return]


@contextmanager
def no_collection() -> Iterator[None]:
    """Inside, nothing searches for cycles. A trace has none, and to look through its million objects takes longest."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _trace(data: dict[str, Any]) -> Trace:
    def part(name: str) -> Any:
        if name not in data:
            raise ValueError(f"it has no {name}")
        return data[name]

    def items(name: str) -> list[Any]:
        found = part(name)
        if not isinstance(found, list):
            raise ValueError(f"{name} is {shown(found)}, not a list")
        return found

    return Trace(
        graphs=tuple(read_records(GraphInfo, items("graphs"), "graphs")),
        tokens=tuple(read_records(TokenRecord, items("tokens"), "tokens")),
        memory=read_records(MemoryUse, [part("memory")], "memory")[0],
        run=read_records(RunInfo, [part("run")], "run")[0],
        totals=tuple(read_rows(NodeTotal, items("totals"), "totals")),
        limits=None if part("limits") is None else limits_of(data["limits"]),
        kl=read_records(Mapping[str, Mapping[str, float]], [data.get("kl", {})], "kl")[0],
    )


_TOTAL_COLUMNS = tuple(f.name for f in fields(NodeTotal))


def _graph_data(graph: GraphInfo) -> dict[str, Any]:
    data = asdict(graph)
    for node, said in zip(graph.nodes, data["nodes"], strict=True):
        said |= {name: getattr(node, name).terms for name in _COSTS}
    return data


_COSTS = ("flops", "traffic")


def _token_data(token: TokenRecord) -> dict[str, Any]:
    data = {f.name: getattr(token, f.name) for f in fields(token)}
    said = [asdict(u) for u in token.unscheduled]
    return {**data, "records": Records.of(token.records).table.tolist(), "unscheduled": said}


def _bring_up_to_date(data: Any) -> None:
    """Version 1 as version 2. Of one token costs grow evenly with n_kv, so two evaluations tell the polynomial, and a
    third must agree; of prompts the mean of what was recorded stands for all."""
    data["run"]["device"] = data["run"].pop("backend")
    if data["limits"]:
        data["limits"]["barrier_ns"] = data["limits"].pop("meeting_ns")
    tokens_of: dict[int, list[Any]] = {}
    for token in data["tokens"]:
        tokens_of.setdefault(token["graph"], []).append(token)
    for index, graph in enumerate(data["graphs"]):
        tokens = tokens_of.get(index, [])
        for node in graph["nodes"]:
            node["kinds"] = [_kind(op) for op in node["parts"]]
        for name in _COSTS:
            told = [(t["n_past"] + t["n_tokens"], t[name]) for t in tokens if t[name]]
            if any(len(costs) != len(graph["nodes"]) for _, costs in told):
                raise ValueError(f"the costs of an evaluation are not those of {len(graph['nodes'])} nodes")
            for i, node in enumerate(graph["nodes"]):
                points = [(n_kv, costs[i]) for n_kv, costs in told] or [(0, node[name])]
                node[name] = _through(points)
    for token in data["tokens"]:
        for name in _COSTS:
            del token[name]


def _number_sequences(data: Any) -> None:
    """Version 3, which told of several sequences without their numbers, as version 4."""
    for token in data["tokens"]:
        if token.get("parts"):
            token["parts"] = [[i, *part] for i, part in enumerate(token["parts"])]


def _name_lanes(data: Any) -> None:
    """Version 4, whose graphs had only a number of threads, as version 5."""
    if len(data["graphs"]) > MAX_GRAPHS:  # each of them gets many lanes
        raise ValueError(f"there are {len(data['graphs'])} graphs, over the limit of {MAX_GRAPHS}")
    for graph in data["graphs"]:
        n = graph.pop("threads")
        if type(n) is not int or not 0 < n <= MAX_THREADS:
            raise ValueError(f"a graph is on {shown(n)} threads; 1 to {MAX_THREADS} can be")
        alone = data["run"].get("device") == "reference"
        graph["lanes"] = [asdict(lane) for lane in ([Lane("reference", "reference")] if alone else thread_lanes(n))]


def _kind(op: str) -> str:
    """Of an op by its name, as far as it is known today."""
    from ggtui.core.graph.ops import OPS

    return OPS[op].kind if op in OPS else "round" if op == "quantize" else ""


def _through(points: list[tuple[int, int]]) -> list[Any]:
    """The terms of a cost that has these values at these n_kv, or their mean where no straight line passes through."""
    (x0, y0), (x1, y1) = points[0], points[-1]
    slope = (y1 - y0) // (x1 - x0) if x1 != x0 else 0
    if all(y == y0 + slope * (x - x0) for x, y in points):
        return [term for term in ([y0 - slope * x0, []], [slope, ["n_kv"]]) if term[0]]
    return [[round(sum(y for _, y in points) / len(points)), []]]
