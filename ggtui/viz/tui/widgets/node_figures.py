"""Figures of a graph's nodes over its newest evaluations. Each record is looked at once, when it is new."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ggtui.core.runtime.record import GraphInfo, TokenRecord, Trace
from ggtui.perf import aggregate
from ggtui.perf.aggregate import Floats
from ggtui.perf.costs import Costs

NEWEST = 64  # evaluations that the figures of a run under way are of


@dataclass(frozen=True)
class Figures:
    """What one evaluation takes. The lists go by the number of the node.

    n         evaluations that these figures are of
    time      nanoseconds of the slowest thread at work, the median; of a light profile, which has no other, the mean
    wait      nanoseconds of waiting for other threads after it, the mean over threads and evaluations
    flops, traffic   operations and bytes, the mean
    memory, compute  nanoseconds the machine's limits allow for the bytes and the operations; empty if not known
    history   nanoseconds (evaluations, nodes), the oldest first; None of a light profile
    evaluation  nanoseconds of all of it, the median
    parts     nanoseconds (nodes, parts) of each evaluation
    """

    n: int
    evaluation: float
    time: list[float]
    wait: list[float]
    flops: list[float]
    traffic: list[float]
    memory: list[float]
    compute: list[float]
    history: Floats | None
    parts: Sequence[Floats]

    def part_times(self, node: int) -> list[float]:
        """Nanoseconds of the loops of a node, as `time`."""
        times: list[float] = np.median([parts[node] for parts in self.parts], axis=0).tolist()
        return times

    @property
    def typical(self) -> str:
        """What the times are, in a word."""
        return "mean" if self.history is None else "median"

    def share(self, nodes: Iterable[int]) -> float:
        """Of an evaluation."""
        return sum(self.time[i] for i in nodes) / self.evaluation if self.evaluation else 0.0

    def limit(self, nodes: Sequence[int]) -> tuple[str, float | None]:
        """Which of memory and compute binds these nodes, and what part of it they reach; None if not known."""
        ns = sum(self.time[i] for i in nodes)
        if not self.memory or not ns:
            return "", None
        memory, compute = (sum(column[i] for i in nodes) for column in (self.memory, self.compute))
        if not memory and not compute:
            return "", None
        return ("memory" if memory >= compute else "compute"), max(memory, compute) / ns


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """A record as arrays: (nodes,), and parts (nodes, parts). It keeps the record, so that its id stays its own."""

    record: TokenRecord
    time: Floats
    wait: Floats
    parts: Floats


class NodeFigures:
    """The figures of the graphs of a run, brought up to date as records come."""

    def __init__(self) -> None:
        self._known: dict[int, dict[int, _Evaluation]] = {}  # by graph and by the record's id
        self._graphs: dict[int, GraphInfo] = {}
        self._costs: dict[int, Costs] = {}

    def of(self, trace: Trace, index: int, newest: int | None = NEWEST) -> Figures | None:
        """Of graph `index` over its `newest` evaluations; None where none was recorded."""
        graph = trace.graphs[index]
        if self._graphs.get(index) is not graph:
            self._graphs[index], self._known[index], self._costs[index] = graph, {}, Costs(graph)
        records = [t for t in trace.tokens if t.graph == index]
        usable = (t for t in reversed(records) if not t.dropped and len(t.records))
        whole = list(islice(usable, newest))[::-1]
        if not whole:
            return self._light(trace, index, records)
        known = self._known[index]
        new = [t for t in whole if id(t) not in known]
        known |= _arrays(trace, index, new) if new else {}
        rows = [known[id(t)] for t in whole]
        self._known[index] = {id(row.record): row for row in rows}
        history = np.stack([row.time for row in rows])
        wait = np.mean([row.wait for row in rows], axis=0)
        flops, traffic = self._costs[index].mean(whole)
        parts = [row.parts for row in rows]
        return _figures(trace, index, whole, np.median(history, axis=0), wait, flops, traffic, history, parts)

    def _light(self, trace: Trace, index: int, records: Sequence[TokenRecord]) -> Figures | None:
        """From what a light profile added up."""
        totals = tuple(t for t in trace.totals if t.graph == index)
        if not totals or not records:
            return None
        plain = Trace(trace.graphs, tuple(records), trace.memory, trace.run, totals, trace.limits)
        stage = aggregate.stages(plain)[0]
        time, wait, parts = (a[0] for a in _times(stage))
        return _figures(trace, index, stage.tokens, time, wait, stage.flops, stage.traffic, None, [parts])


def _times(stage: aggregate.Stage) -> tuple[Floats, Floats, Floats]:
    """Work of the slowest thread and mean wait (evaluations, nodes), and work of parts (evaluations, nodes, parts)."""
    return stage.work.sum(axis=2).max(axis=2), stage.wait.sum(axis=2).mean(axis=2), stage.work.max(axis=3)


def _arrays(trace: Trace, index: int, records: Sequence[TokenRecord]) -> dict[int, _Evaluation]:
    stage = aggregate.stages(Trace(trace.graphs, tuple(records), trace.memory))[0]
    made = {}
    for record, time, wait, parts in zip(records, *_times(stage), strict=True):
        made[id(record)] = _Evaluation(record, time, wait, parts)
    return made


def _figures(
    trace: Trace,
    index: int,
    records: Sequence[TokenRecord],
    time: Floats,
    wait: Floats,
    flops: Floats,
    traffic: Floats,
    history: Floats | None,
    parts: Sequence[Floats],
) -> Figures:
    limits, memory, compute = trace.limits, np.zeros(0), np.zeros(0)
    rate = aggregate.read_rate(limits, float(traffic.sum())) if limits is not None else None
    if limits is not None and rate:
        memory = traffic * (1e9 / rate)
        compute = flops * 1e9 / np.array([aggregate.peak(limits, n) for n in trace.graphs[index].nodes])
    evaluation = float(np.median([t.eval_ns for t in records]))
    return Figures(
        len(records), evaluation, time.tolist(), wait.tolist(), flops.tolist(), traffic.tolist(), memory.tolist(),
        compute.tolist(), history, parts,
    )  # fmt: skip
