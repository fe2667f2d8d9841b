"""Two quantizations of one model on the same tokens: which nodes lose precision, and what comes of it.

Both run every op by itself and keep its result, so that each node of one can be held against that of the other.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ggtui.core.engine.batch import Piece
from ggtui.core.engine.session import Session
from ggtui.core.errors import UsageError
from ggtui.core.runtime.record import GraphInfo, MemoryUse, TokenRecord, Trace
from ggtui.perf.stage import stages
from ggtui.perf.table import rows

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class NodeBlame:
    """A node of the second model held against that of the first.

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
    """nodes: what brings in most first. kl: mean over tokens of the Kullback-Leibler divergence of the second model's
    next-token distribution from the first's, in nats; same_top: for what part of them the likeliest token is the same.
    ns, ns2: the median time of a whole evaluation."""

    n_tokens: int
    nodes: tuple[NodeBlame, ...]
    kl: float
    same_top: float
    ns: float
    ns2: float


@dataclass(frozen=True)
class _Run:
    graph: GraphInfo
    values: dict[str, NDArray[np.float64]]
    logits: NDArray[np.float64]
    times: dict[str, float]
    ns: float


def against(first: Session, second: Session, tokens: Sequence[int]) -> Blame:
    """Both models read `tokens` from an empty context. Raises UsageError for models of different shapes, and for no
    tokens or more than a batch."""
    if first.hparams != second.hparams:
        raise UsageError(f"--against: other sizes than the first model's: {_first_difference(first, second)}")
    if not 1 <= len(tokens) <= min(first.batch, second.batch):
        raise UsageError(f"--against: {len(tokens)} tokens; must be 1 to {min(first.batch, second.batch)}")
    a, b = _run(first, tokens), _run(second, tokens)
    others = {n.key: n for n in b.graph.nodes}
    nmse = {key: _nmse(value, b.values[key]) for key, value in a.values.items()}
    nodes = []
    for n in a.graph.nodes:
        if n.key not in nmse:
            continue
        read = max((nmse.get(a.graph.nodes[i].key, 0.0) for i in n.src), default=0.0)
        nodes.append(
            NodeBlame(
                n.key, n.op, n.type, others[n.key].type, nmse[n.key], max(nmse[n.key] - read, 0.0),
                _cosine(a.values[n.key], b.values[n.key]), a.times[n.key], b.times[n.key],
            )
        )  # fmt: skip
    nodes.sort(key=lambda n: -n.added)
    log_p, log_q = (_log_softmax(r.logits) for r in (a, b))
    kl = float((np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean())
    same_top = float((log_p.argmax(axis=1) == log_q.argmax(axis=1)).mean())
    return Blame(len(tokens), tuple(nodes), max(kl, 0.0), same_top, a.ns, b.ns)


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
    graph, feed = session.engine.new_graph(n)
    kept = {node.dst for node in graph.dag().nodes}  # not what a device makes besides
    for t in kept:
        graph.keep(t)
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
    values = {
        described.key: np.array(node.dst.numpy(), np.float64)
        for described, node in zip(info.nodes, plan.dag.nodes, strict=True)
        if node.dst in kept and node.dst.view_src is None  # what is written into the cache was computed before
    }
    logits = np.array(graph.logits.numpy(), np.float64).reshape(n, -1)
    return _Run(info, values, logits, times, stage.evals.mean)


def _nmse(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    power, error = float((a * a).sum()), float(((a - b) ** 2).sum())
    return error / power if power else 0.0 if not error else float("inf")


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm else 1.0


def _log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))
