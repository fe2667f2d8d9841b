"""Two quantizations of one model, or two devices, on the same tokens: which nodes lose precision, and what comes of it.

Both run every op by itself and keep its result, so that each node of one can be held against that of the other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ggtui.core.engine.batch import Piece
from ggtui.core.engine.session import Session
from ggtui.core.errors import UsageError
from ggtui.core.graph.dag import Node
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.record import MemoryUse, NodeInfo, TokenRecord, Trace
from ggtui.perf.stage import stages
from ggtui.perf.table import rows

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class NodeBlame:
    """A node of the second run held against that of the first.

    nmse    sum of squared differences over the sum of squares of the first
    added   how much more that is than the worst of the nodes it reads: what this node itself brings in
    cosine  of the angle between the two results
    type, type2  of the weights it reads; ns, ns2  its time, the median of a few runs
    """

    key: str
    op: str
    type: str
    type2: str
    nmse: float
    added: float
    cosine: float
    ns: float
    ns2: float


@dataclass(frozen=True, slots=True)
class Blame:
    """first, second: what ran, and on which device. nodes: what brings in most first. kl: mean over tokens of the
    Kullback-Leibler divergence of the second's next-token distribution from the first's, in nats; same_top: for what
    part of them the likeliest token is the same. ns, ns2: the median time of a whole evaluation."""

    first: str
    second: str
    n_tokens: int
    nodes: tuple[NodeBlame, ...]
    kl: float
    same_top: float
    ns: float
    ns2: float


@dataclass(frozen=True, slots=True)
class _Made:
    """What a run made of a node of the graph. value: None of what is written into the cache; ns: its time. reads: the
    nodes that made its sources, by their place."""

    op: str
    info: NodeInfo
    reads: tuple[int, ...]
    value: NDArray[np.float64] | None
    ns: float


@dataclass(frozen=True, slots=True)
class _Run:
    nodes: tuple[_Made, ...]
    logits: NDArray[np.float64]
    ns: float


def against(first: Session, second: Session, tokens: Sequence[int]) -> Blame:
    """Both models read `tokens` from an empty context. Raises UsageError for models of different shapes, and for no
    tokens or more than a batch."""
    if first.hparams != second.hparams:
        raise UsageError(f"--against: other sizes than the first model's: {_first_difference(first, second)}")
    if not 1 <= len(tokens) <= min(first.batch, second.batch):
        raise UsageError(f"--against: {len(tokens)} tokens; must be 1 to {min(first.batch, second.batch)}")
    a, b = _run(first, tokens), _run(second, tokens)
    if [(m.op, m.reads) for m in a.nodes] != [(m.op, m.reads) for m in b.nodes]:
        raise UsageError("--against: another graph than the first model's")
    nodes = []
    nmse: list[float] = []
    for m, m2 in zip(a.nodes, b.nodes, strict=True):
        read = max((nmse[i] for i in m.reads), default=0.0)
        if m.value is None or m2.value is None:
            nmse.append(read)
            continue
        nmse.append(_nmse(m.value, m2.value))
        nodes.append(
            NodeBlame(
                m.info.key, m.op, m.info.type, m2.info.type, nmse[-1], max(nmse[-1] - read, 0.0),
                _cosine(m.value, m2.value), m.ns, m2.ns,
            )
        )  # fmt: skip
    nodes.sort(key=lambda n: -n.added)
    log_p, log_q = (_log_softmax(r.logits) for r in (a, b))
    kl = float((np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean())
    same_top = float((log_p.argmax(axis=1) == log_q.argmax(axis=1)).mean())
    return Blame(_name(first), _name(second), len(tokens), tuple(nodes), max(kl, 0.0), same_top, a.ns, b.ns)


def _name(session: Session) -> str:
    return f"{session.path.name} on {session.device}"


def _first_difference(first: Session, second: Session) -> str:
    for name in dir(first.hparams):
        if name.startswith("_"):
            continue
        a, b = getattr(first.hparams, name), getattr(second.hparams, name, None)
        if a != b:
            return f"{name} is {b} and not {a}"
    return "another architecture"


def _run(session: Session, tokens: Sequence[int]) -> _Run:
    """One graph of its own, every op a node that keeps its result, timed over a few runs."""
    n = len(tokens)
    session.reset()
    graph, feed = session.engine.new_graph(n)
    written = graph.dag().nodes  # the same for every device, whatever each makes besides
    for node in written:
        graph.keep(node.dst)
    plan = graph.plan(fused=False, **session.options)
    session.sequence.make_room(n)
    sizes = feed.fill([Piece(session.sequence, tokens)])
    recorder = plan.recorder("full", session.threads)
    plan.use_huge_pages()
    records = []
    for _ in range(ROUNDS):
        started = time.perf_counter_ns()
        plan.run(session.pool, sizes, recorder)
        records.append(TokenRecord(0, n, time.perf_counter_ns() - started, records=recorder.take()))
    info = plan.info(session.threads)
    stage = stages(Trace((info,), tuple(records), MemoryUse()))[0]
    times = {row.key: row.time.mean for row in rows(stage)}
    told = {t: described for t, described in zip(plan.results, info.nodes, strict=True) if t is not None}
    nodes = tuple(
        _Made(node.op, told[node.dst], reads, _value(node.dst), times[told[node.dst].key])
        for node, reads in zip(written, _reads(written), strict=True)
    )
    logits = np.array(graph.logits.numpy(), np.float64).reshape(n, -1)
    return _Run(nodes, logits, stage.evals.mean)


def _value(t: Tensor) -> NDArray[np.float64] | None:
    return np.array(t.numpy(), np.float64) if t.view_src is None else None  # else it was computed before


def _reads(nodes: Sequence[Node]) -> Iterator[tuple[int, ...]]:
    """Of each node those that wrote its sources last, but for what it writes into itself."""
    writers: dict[Tensor, int] = {}
    for i, node in enumerate(nodes):
        roots = dict.fromkeys(s.root for s in node.src if s is not None and s.root is not node.dst.root)
        yield tuple(writers[root] for root in roots if root in writers)
        writers[node.dst.root] = i


def _nmse(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    power, error = float((a * a).sum()), float(((a - b) ** 2).sum())
    return error / power if power else 0.0 if not error else float("inf")


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm else 1.0


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
