"""What a run leaves behind: plain frozen records, and a JSON file that holds them (docs/trace-format.md).

Screens, tables, drawings and exports are functions of these records. Times are nanoseconds; within an evaluation they
count from the moment the caller woke the pool. This module imports nothing of ours, so a saved trace opens anywhere.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints, overload

import numpy as np
from numpy.typing import NDArray

SCHEMA = "ggtui-trace"
VERSION = 1
WAKE = -1  # the node number of waking up
MAX_THREADS = 4096  # of a trace that can be true


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor as a trace knows it: its name, type and sizes (ne[0] the row; the largest ones of run-time sizes)."""

    name: str
    type: str
    ne: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OriginalInfo:
    """An op of the user's graph that a node computes."""

    name: str
    op: str
    result: TensorInfo


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """A node of the graph that ran.

    id, src  its number, and those of the nodes it reads
    inputs   the tensors it reads that no node made
    parts    the loops it consists of
    phase    nodes of one phase ran without the threads meeting
    flops, traffic  operations, and bytes read and written, at the sizes of the last run
    key      its name, made unique: the same node has the same key in every graph of the model
    layer    the number of its layer; None outside of them
    type     of the tensor that most of the bytes it reads belong to: weights, keys and values
    """

    id: int
    name: str
    op: str
    result: TensorInfo
    src: tuple[int, ...]
    inputs: tuple[TensorInfo, ...]
    originals: tuple[OriginalInfo, ...]
    parts: tuple[str, ...]
    phase: int
    flops: int
    traffic: int
    key: str = ""
    layer: int | None = None
    type: str = ""


@dataclass(frozen=True, slots=True)
class GraphInfo:
    """The graph that ran, and on what. `n_tokens` is the most that one evaluation of it reads: 1 for generation."""

    nodes: tuple[NodeInfo, ...]
    isa: str
    threads: int
    n_tokens: int = 1


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One part of a node on one thread: it worked from start to end and waited for the others until done."""

    node: int
    part: int
    thread: int
    start: int
    end: int
    done: int


COLUMNS = tuple(f.name for f in fields(NodeRecord))


class Records(Sequence[NodeRecord]):
    """The node records of an evaluation, as rows of one array; `table` has COLUMNS, int64 (n, 6).

    Made from the array, or from a function that makes it when it is first looked at, so that taking records costs a
    run next to nothing.
    """

    __slots__ = ("_table",)

    def __init__(self, table: NDArray[np.int64] | Callable[[], NDArray[np.int64]]) -> None:
        self._table = table

    @classmethod
    def of(cls, records: Sequence[NodeRecord]) -> Records:
        """Any sequence of records as this kind."""
        if isinstance(records, Records):
            return records
        rows = [[getattr(r, name) for name in COLUMNS] for r in records]
        return cls(np.array(rows, np.int64).reshape(-1, len(COLUMNS)))

    @property
    def table(self) -> NDArray[np.int64]:
        if not isinstance(self._table, np.ndarray):
            self._table = self._table()
        return self._table

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, index: int) -> NodeRecord: ...
    @overload
    def __getitem__(self, index: slice) -> Records: ...
    def __getitem__(self, index: int | slice) -> NodeRecord | Records:
        if isinstance(index, slice):
            return Records(self.table[index])
        return NodeRecord(*self.table[index].tolist())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(self) != len(other):
            return NotImplemented if not isinstance(other, Sequence) else False
        return bool(np.array_equal(self.table, Records.of(other).table))


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """One evaluation: n_tokens tokens after n_past earlier ones.

    eval_ns, sample_ns  the time of the graph and of choosing the next token
    graph    index of the graph that ran, in the trace's list
    records  of its nodes, where they were asked for; dropped counts those there was no room for
    kv_bytes bytes of the KV cache in use afterwards
    flops, traffic  of each node at the sizes of this evaluation; empty until a trace is made of it
    """

    n_past: int
    n_tokens: int
    eval_ns: int
    sample_ns: int = 0
    graph: int = 0
    records: Sequence[NodeRecord] = ()
    dropped: int = 0
    kv_bytes: int = 0
    flops: tuple[int, ...] = ()
    traffic: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeTotal:
    """All records of one part of a node on one thread added up: what a light profile keeps instead of them.

    work is nanoseconds of `count` evaluations, least and most those of one, work_squared the sum of their squares, and
    wait the nanoseconds of waiting for others afterwards.
    """

    graph: int
    node: int
    part: int
    thread: int
    count: int
    work: int
    least: int
    most: int
    wait: int
    work_squared: float


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Bytes by owner. `activations` is one token's, what ggml's example prints as mem per token."""

    weights: int = 0
    kv: int = 0
    activations: int = 0
    batch_activations: int = 0
    scratch: int = 0
    records: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a machine allows so many threads with an instruction set.

    read     (bytes, bytes a second): reading so many bytes, all threads together, over and over
    int8, f32   operations a second of multiply-adds, each counted as two
    meeting_ns  the threads meeting once
    """

    isa: str
    threads: int
    read: tuple[tuple[int, float], ...]
    int8: float
    f32: float
    meeting_ns: float


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What ran, where and how: what two traces must share to be compared.

    types    bytes of the model's matrices by their type
    profile  "full": every record; "light": totals alone; "off": neither
    stamp_ns what taking one time stamp costs, measured in this run; 0 where it was not
    token_ns, plain_token_ns  median time of a generated token with this profile and without any; 0: not measured
    """

    ggtui: str = ""
    created: str = ""
    system: str = ""
    processor: str = ""
    cores: int = 0
    backend: str = ""
    isa: str = ""
    threads: int = 0
    model: str = ""
    architecture: str = ""
    types: Mapping[str, int] = field(default_factory=dict)
    kv_type: str = ""
    n_ctx: int = 0
    batch: int = 0
    fused: bool = True
    profile: str = "off"
    stamp_ns: float = 0.0
    token_ns: float = 0.0
    plain_token_ns: float = 0.0


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything one session recorded."""

    graphs: tuple[GraphInfo, ...]
    tokens: tuple[TokenRecord, ...]
    memory: MemoryUse
    run: RunInfo = field(default_factory=RunInfo)
    totals: tuple[NodeTotal, ...] = ()
    limits: Limits | None = None


def dumps(trace: Trace) -> str:
    """A trace as JSON. Node records and totals are rows; docs/trace-format.md names their columns."""
    data = {
        "schema": SCHEMA,
        "version": VERSION,
        "run": asdict(trace.run),
        "memory": asdict(trace.memory),
        "limits": asdict(trace.limits) if trace.limits else None,
        "graphs": [asdict(graph) for graph in trace.graphs],
        "record_columns": COLUMNS,
        "tokens": [_token_data(token) for token in trace.tokens],
        "total_columns": _TOTAL_COLUMNS,
        "totals": [[getattr(total, name) for name in _TOTAL_COLUMNS] for total in trace.totals],
    }
    return json.dumps(data, separators=(",", ":"))


def save(trace: Trace, path: str | Path) -> None:
    """Write a trace as JSON, under a temporary name first."""
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(dumps(trace), encoding="utf-8")
    temporary.replace(path)


def load(path: str | Path) -> Trace:
    """Read what `save` wrote. Raises ValueError for anything else."""
    try:
        data: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a trace: {error}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ValueError(f"{path}: not a trace that ggtui saved")
    if data.get("version") != VERSION:
        raise ValueError(f"{path}: trace version {data.get('version')}; this ggtui reads version {VERSION}")
    try:
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


def _token_data(token: TokenRecord) -> dict[str, Any]:
    data = {f.name: getattr(token, f.name) for f in fields(token)}
    return {**data, "records": Records.of(token.records).table.tolist()}


def _tensor(data: Any) -> TensorInfo:
    return TensorInfo(data["name"], data["type"], tuple(data["ne"]))


def _graph(data: Any) -> GraphInfo:
    nodes = []
    for n in data["nodes"]:
        originals = tuple(OriginalInfo(o["name"], o["op"], _tensor(o["result"])) for o in n["originals"])
        n = {**n, "result": _tensor(n["result"]), "src": tuple(n["src"]), "inputs": tuple(map(_tensor, n["inputs"]))}
        nodes.append(NodeInfo(**{**n, "originals": originals, "parts": tuple(n["parts"])}))
    return GraphInfo(**{**data, "nodes": tuple(nodes)})


def _token(data: Any) -> TokenRecord:
    rows = np.array(data["records"], np.int64).reshape(-1, len(COLUMNS))
    lists = {name: tuple(data[name]) for name in ("flops", "traffic")}
    return TokenRecord(**{**data, **lists, "records": Records(rows)})


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
            if node.id != i or not node.parts or not all(0 <= s < len(graph.nodes) for s in node.src):
                raise ValueError(f"node {i} has a wrong id, a wrong source or no parts")
    for token in trace.tokens:
        graph = _at(trace.graphs, token.graph, "graph")
        n_nodes = len(graph.nodes)
        counts = (token.n_past, token.n_tokens, token.eval_ns, token.sample_ns, token.dropped, token.kv_bytes)
        if min(counts) < 0:
            raise ValueError(f"an evaluation with the numbers {counts}")
        table = Records.of(token.records).table
        if len(table):
            if not (table[:, 0].min() >= WAKE and table[:, 0].max() < n_nodes):
                raise ValueError(f"a record of a node outside of the graph's {n_nodes}")
            _check_places(graph, table)
        if any(len(costs) not in (0, n_nodes) for costs in (token.flops, token.traffic)):
            raise ValueError(f"the costs of an evaluation are not those of {n_nodes} nodes")
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
    return get_type_hints(globals()[name])


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
