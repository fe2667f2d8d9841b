"""Traces in files, as JSON (docs/trace-format.md). A file is checked in every field before anything relies on it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from ggtui.core import saving
from ggtui.core.graph.cost import Cost
from ggtui.core.runtime import record as kinds
from ggtui.core.runtime.record import (
    COLUMNS,
    WAKE,
    GraphInfo,
    Limits,
    MemoryUse,
    NodeInfo,
    NodeRecord,
    NodeTotal,
    OriginalInfo,
    Records,
    RunInfo,
    TensorInfo,
    TokenRecord,
    Trace,
    Unscheduled,
)

SCHEMA = "ggtui-trace"
VERSION = 3
READABLE = (1, 2, 3)  # version 2 did not say when an evaluation began, nor what the system said of threads
SIZES = ("n_tokens", "n_kv")  # of TokenRecord.sizes
MAX_THREADS = 4096  # of a trace that can be true


def dumps(trace: Trace) -> str:
    """A trace as JSON. Node records and totals are rows; docs/trace-format.md names their columns."""
    data = {
        "schema": SCHEMA,
        "version": VERSION,
        "run": asdict(trace.run),
        "memory": asdict(trace.memory),
        "limits": asdict(trace.limits) if trace.limits else None,
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
    """Read what `save` wrote. Raises ValueError for anything else."""
    try:
        data: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a trace: {error}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ValueError(f"{path}: not a trace that ggtui saved")
    if data.get("version") not in READABLE:
        known = " and ".join(map(str, READABLE))
        raise ValueError(f"{path}: trace version {data.get('version')}; this ggtui reads version {known}")
    try:
        if data["version"] == 1:
            _bring_up_to_date(data)
        trace = Trace(
            graphs=tuple(_graph(g) for g in data["graphs"]),
            tokens=tuple(_token(t) for t in data["tokens"]),
            memory=MemoryUse(**data["memory"]),
            run=RunInfo(**data["run"]),
            totals=tuple(NodeTotal(*row) for row in data["totals"]),
            limits=_limits(data["limits"]) if data["limits"] else None,
        )
        _check(trace)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: a damaged trace: {error!r}") from error
    return trace


_TOTAL_COLUMNS = tuple(f.name for f in fields(NodeTotal))


def _graph_data(graph: GraphInfo) -> dict[str, Any]:
    data = asdict(graph)
    for node, said in zip(graph.nodes, data["nodes"], strict=True):
        said |= {name: getattr(node, name).terms for name in _COSTS}
    return data


_COSTS = ("flops", "traffic")


def _token_data(token: TokenRecord) -> dict[str, Any]:
    data = {f.name: getattr(token, f.name) for f in fields(token)}
    said = [[u.thread, u.span_ns, u.lost_ns] for u in token.unscheduled]
    return {**data, "records": Records.of(token.records).table.tolist(), "unscheduled": said}


def _tensor(data: Any) -> TensorInfo:
    return TensorInfo(data["name"], data["type"], tuple(data["ne"]))


def _graph(data: Any) -> GraphInfo:
    nodes = []
    for n in data["nodes"]:
        originals = tuple(OriginalInfo(o["name"], o["op"], _tensor(o["result"])) for o in n["originals"])
        n = {**n, "result": _tensor(n["result"]), "src": tuple(n["src"]), "inputs": tuple(map(_tensor, n["inputs"]))}
        costs = {name: _cost(n[name]) for name in _COSTS}
        texts = {name: tuple(n[name]) for name in ("parts", "kinds")}
        nodes.append(NodeInfo(**{**n, **costs, **texts, "originals": originals}))
    return GraphInfo(**{**data, "nodes": tuple(nodes)})


def _token(data: Any) -> TokenRecord:
    rows = np.array(data["records"], np.int64).reshape(-1, len(COLUMNS))
    said = tuple(Unscheduled(*row) for row in data.get("unscheduled", ()))
    return TokenRecord(**{**data, "records": Records(rows), "unscheduled": said})


def _cost(terms: Any) -> Cost:
    return Cost(tuple((n, tuple(names)) for n, names in terms))


def _bring_up_to_date(data: Any) -> None:
    """Version 1 as version 2. Of one token costs grow evenly with n_kv, so two evaluations tell the polynomial, and a
    third must agree; of prompts the mean of what was recorded stands for all."""
    data["run"]["device"] = data["run"].pop("backend")
    if data["limits"]:
        data["limits"]["barrier_ns"] = data["limits"].pop("meeting_ns")
    for index, graph in enumerate(data["graphs"]):
        tokens = [t for t in data["tokens"] if t["graph"] == index]
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


def _limits(data: Any) -> Limits:
    return Limits(**{**data, "read": tuple((int(n), float(rate)) for n, rate in data["read"])})


def _check(trace: Trace) -> None:
    """Raise ValueError where a value is not of its field's kind, or a number points outside of what it counts."""
    _check_kind(trace, Trace, "trace")
    if trace.limits and min(trace.limits.int8, trace.limits.f32, *(n for row in trace.limits.read for n in row)) <= 0:
        raise ValueError(f"limits of {trace.limits}")
    for graph in trace.graphs:
        if not 1 <= graph.threads <= MAX_THREADS:
            raise ValueError(f"a graph on {graph.threads} threads")
        for i, node in enumerate(graph.nodes):
            for cost in (node.flops, node.traffic):
                if any(name not in SIZES for _, names in cost.terms for name in names):
                    raise ValueError(f"node {i} costs {cost.terms}, but sizes are {', '.join(SIZES)}")
            parts = 0 < len(node.parts) == len(node.kinds)
            if node.id != i or not parts or not all(0 <= s < len(graph.nodes) for s in node.src):
                raise ValueError(f"node {i} has a wrong id, a wrong source or no parts")
    for token in trace.tokens:
        graph = _at(trace.graphs, token.graph, "graph")
        n_nodes = len(graph.nodes)
        counts = (
            token.n_past, token.n_tokens, token.eval_ns, token.sample_ns, token.dropped, token.kv_bytes, token.start_ns
        )  # fmt: skip
        if min(counts) < 0:
            raise ValueError(f"an evaluation with the numbers {counts}")
        for said in token.unscheduled:
            if not (0 <= said.thread < graph.threads and said.lost_ns >= 0 and said.span_ns > 0):
                raise ValueError(f"an evaluation of which the system said {said}")
        table = Records.of(token.records).table
        if len(table):
            if not (table[:, 0].min() >= WAKE and table[:, 0].max() < n_nodes):
                raise ValueError(f"a record of a node outside of the graph's {n_nodes}")
            _check_places(graph, table)
    for total in trace.totals:
        graph = _at(trace.graphs, total.graph, "graph")
        if total.node != WAKE:
            _at(graph.nodes, total.node, "node")
        if not total.count > 0:
            raise ValueError("a total of no evaluation")
        _check_places(graph, np.array([[total.node, total.part, total.thread]], np.int64))


def _check_kind(value: Any, kind: Any, where: str) -> None:
    """Raise ValueError unless `value` is what the annotation `kind` of a field here says."""
    origin, args = get_origin(kind), get_args(kind)
    fits = True
    if kind == Sequence[NodeRecord]:
        return  # an array of numbers already
    if isinstance(kind, type) and is_dataclass(kind):
        fits = isinstance(value, kind)
        for name, hint in _hints(kind.__name__).items() if fits else ():
            _check_kind(getattr(value, name), hint, f"{where}.{name}")
    elif kind is Cost:
        fits = all(isinstance(n, int) and abs(n) < 1 << 62 and isinstance(names, tuple) for n, names in value.terms)
    elif origin is tuple:
        kinds = [args[0]] * len(value) if args[-1] is Ellipsis else args
        for i, (item, hint) in enumerate(zip(value, kinds, strict=True)):
            _check_kind(item, hint, f"{where}[{i}]")
    elif origin is Mapping:
        for key, item in value.items():
            _check_kind(item, args[1], f"{where}[{key!r}]")
    elif args:  # X | None
        if value is not None:
            _check_kind(value, args[0], where)
    elif kind is float:
        fits = isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value)
    elif kind is int:
        fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 62
    else:
        fits = isinstance(value, kind)
    if not fits:
        raise ValueError(f"{where} is {value!r}")


@cache
def _hints(name: str) -> dict[str, Any]:
    return get_type_hints(getattr(kinds, name))


def _check_places(graph: GraphInfo, table: NDArray[np.int64]) -> None:
    """Parts and threads of records whose nodes exist."""
    n_parts = np.array([*(len(n.parts) for n in graph.nodes), 1])[table[:, 0]]
    for column, what, limits in ((1, "part", n_parts), (2, "thread", graph.threads)):
        bad = (table[:, column] < 0) | (table[:, column] >= limits)
        if bad.any():
            raise ValueError(f"there is no {what} {table[bad][0, column]} of node {table[bad][0, 0]}")


def _at(items: Sequence[Any], index: int, what: str) -> Any:
    if not isinstance(index, int) or not 0 <= index < len(items):
        raise ValueError(f"there is no {what} {index!r}")
    return items[index]
