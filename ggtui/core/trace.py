"""What a run leaves behind: plain frozen records, and a JSON file that holds them.

Screens, tables, drawings and exports are functions of these records. Times are nanoseconds; within a run they count
from the moment the caller woke the pool. This module imports nothing of ours, so a saved trace opens anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SCHEMA = "ggtui-trace"
VERSION = 1
WAKE = -1  # the node number of waking up


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
    flops, traffic  operations, and bytes read and written
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


@dataclass(frozen=True, slots=True)
class GraphInfo:
    """The graph that ran, and on what."""

    nodes: tuple[NodeInfo, ...]
    isa: str
    threads: int


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One part of a node on one thread: it worked from start to end and waited for the others until done."""

    node: int
    part: int
    thread: int
    start: int
    end: int
    done: int


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """One evaluation: n_tokens tokens after n_past earlier ones.

    eval_ns, sample_ns  the time of the graph and of choosing the next token
    graph    index of the graph that ran, in the trace's list
    records  of its nodes, where they were asked for; dropped counts those there was no room for
    """

    n_past: int
    n_tokens: int
    eval_ns: int
    sample_ns: int = 0
    graph: int = 0
    records: tuple[NodeRecord, ...] = ()
    dropped: int = 0


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
class Trace:
    """Everything one session recorded."""

    graphs: tuple[GraphInfo, ...]
    tokens: tuple[TokenRecord, ...]
    memory: MemoryUse


def save(trace: Trace, path: str | Path) -> None:
    """Write a trace as JSON, under a temporary name first."""
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps({"schema": SCHEMA, "version": VERSION, **asdict(trace)}), encoding="utf-8")
    temporary.replace(path)


def load(path: str | Path) -> Trace:
    """Read what `save` wrote. Raises ValueError for anything else."""
    try:
        data: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not a trace: {error}") from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ValueError(f"{path}: not a trace that ggtui saved")
    if data.get("version") != VERSION:
        raise ValueError(f"{path}: trace version {data.get('version')}; this ggtui reads version {VERSION}")
    try:
        return Trace(
            graphs=tuple(_graph(g) for g in data["graphs"]),
            tokens=tuple(_token(t) for t in data["tokens"]),
            memory=MemoryUse(**data["memory"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: a damaged trace: {error!r}") from error


def _tensor(data: Any) -> TensorInfo:
    return TensorInfo(data["name"], data["type"], tuple(data["ne"]))


def _tensors(data: Sequence[Any]) -> tuple[TensorInfo, ...]:
    return tuple(_tensor(t) for t in data)


def _graph(data: Any) -> GraphInfo:
    nodes = []
    for n in data["nodes"]:
        originals = tuple(OriginalInfo(o["name"], o["op"], _tensor(o["result"])) for o in n["originals"])
        n = {**n, "result": _tensor(n["result"]), "src": tuple(n["src"]), "inputs": _tensors(n["inputs"])}
        nodes.append(NodeInfo(**{**n, "originals": originals, "parts": tuple(n["parts"])}))
    return GraphInfo(tuple(nodes), data["isa"], data["threads"])


def _token(data: Any) -> TokenRecord:
    return TokenRecord(**{**data, "records": tuple(NodeRecord(**r) for r in data["records"])})
