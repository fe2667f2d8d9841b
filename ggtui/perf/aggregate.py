"""Adds up the records of a trace: per node, op, layer or type, for prompts and for generation apart.

A node's time is that of its slowest thread at work, so it is what the node takes of the run, and rates are bytes or
operations over that time. What threads wait for each other is told apart, as the mean over threads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggtui.core.trace import WAKE, GraphInfo, Limits, NodeInfo, NodeTotal, Records, TokenRecord, Trace

BY = ("node", "op", "layer", "type")
STAGES = ("generation", "prompt")
Floats = NDArray[np.float64]
_FLOATS = ("f32", "f16", "bf16", "i32")


@dataclass(frozen=True, slots=True)
class Spread:
    """Nanoseconds of one evaluation. A light profile knows no median and no p95: they are None."""

    mean: float = 0.0
    sd: float = 0.0
    least: float = 0.0
    most: float = 0.0
    median: float | None = None
    p95: float | None = None

    @classmethod
    def of(cls, values: Floats | Sequence[float]) -> Spread:
        a = np.asarray(values, np.float64)
        if not len(a):
            return cls()
        sd = float(a.std(ddof=1)) if len(a) > 1 else 0.0
        ends = float(a.min()), float(a.max())
        return cls(float(a.mean()), sd, *ends, float(np.median(a)), float(np.percentile(a, 95)))


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: a node, or all nodes of an op, a layer or a type.

    key      what it is joined on with another trace: the node's key, the op, the layer, the type
    calls    how often one of its nodes ran
    time     of one evaluation, all its nodes together; wait_ns: waiting after them, the mean over threads
    share    of the stage's evaluations
    flops, traffic   operations and bytes of one evaluation
    limit    "memory" or "compute", whichever allows less; of_limit: what part of it was reached, None if not known
    parts    the loops of a node and the mean time of each
    """

    stage: str
    key: str
    op: str
    type: str
    shape: tuple[int, ...]
    calls: int
    time: Spread
    share: float
    wait_ns: float
    flops: float
    traffic: float
    limit: str = ""
    of_limit: float | None = None
    parts: tuple[tuple[str, float], ...] = ()

    @property
    def bytes_per_s(self) -> float:
        return self.traffic / self.time.mean * 1e9 if self.time.mean else 0.0

    @property
    def flops_per_s(self) -> float:
        return self.flops / self.time.mean * 1e9 if self.time.mean else 0.0


@dataclass(frozen=True, slots=True)
class ThreadTime:
    """Mean nanoseconds of an evaluation that a thread worked, waited for others, and took to wake up."""

    work: float
    wait: float
    wake: float


@dataclass(frozen=True)
class Stage:
    """The evaluations of one graph, prompt or generation, as arrays: (evaluations, nodes, parts, threads).

    work, wait  nanoseconds; wake: (evaluations, threads). Of a light profile there is one "evaluation", the mean, and
    `squares` (nodes, parts, threads) and the shortest and longest times stand beside it
    """

    name: str
    graph: GraphInfo
    tokens: tuple[TokenRecord, ...]
    work: Floats
    wait: Floats
    wake: Floats
    limits: Limits | None
    light: tuple[Floats, Floats, Floats] | None = None  # sd, least, most: (nodes, parts, threads)

    @property
    def evals(self) -> Spread:
        """Whole evaluations, as the caller saw them."""
        return Spread.of([float(t.eval_ns) for t in self.tokens])

    @property
    def samples(self) -> Spread:
        """Choosing the next token, where one was chosen."""
        return Spread.of([float(t.sample_ns) for t in self.tokens if t.sample_ns])

    @property
    def n_tokens(self) -> int:
        return sum(t.n_tokens for t in self.tokens)

    @property
    def tokens_per_s(self) -> float:
        total = sum(t.eval_ns for t in self.tokens)
        return self.n_tokens / total * 1e9 if total else 0.0

    @property
    def dropped(self) -> int:
        return sum(t.dropped for t in self.tokens)

    @cached_property
    def flops(self) -> Floats:
        """Mean operations of each node."""
        return self._costs("flops")

    @cached_property
    def traffic(self) -> Floats:
        """Mean bytes of each node."""
        return self._costs("traffic")

    def _costs(self, name: str) -> Floats:
        rows = [getattr(t, name) for t in self.tokens if getattr(t, name)]
        if rows:
            return np.asarray(np.mean(np.array(rows, np.float64), axis=0))
        return np.array([getattr(n, name) for n in self.graph.nodes], np.float64)

    @cached_property
    def read_limit(self) -> float | None:
        """Bytes a second that memory gives for as many bytes as an evaluation touches; None if not measured."""
        return read_rate(self.limits, float(self.traffic.sum())) if self.limits else None

    def threads(self) -> tuple[ThreadTime, ...]:
        work, wait = (a.sum(axis=(1, 2)).mean(axis=0) for a in (self.work, self.wait))
        return tuple(ThreadTime(*map(float, t)) for t in zip(work, wait, self.wake.mean(axis=0), strict=True))


def stages(trace: Trace) -> tuple[Stage, ...]:
    """Generation and prompts, those of the two that ran and were recorded."""
    found = []
    for index, graph in enumerate(trace.graphs):
        tokens = tuple(t for t in trace.tokens if t.graph == index)
        if not tokens:
            continue
        name = "generation" if graph.n_tokens == 1 else "prompt"
        whole = [t for t in tokens if len(t.records) and not t.dropped]
        if whole:
            found.append(Stage(name, graph, tokens, *_arrays(graph, whole), trace.limits))
            continue
        totals = [t for t in trace.totals if t.graph == index]
        if totals:
            work, wait, wake, *light = _means(graph, totals)
            found.append(Stage(name, graph, tokens, work, wait, wake, trace.limits, (light[0], light[1], light[2])))
    return tuple(sorted(found, key=lambda stage: STAGES.index(stage.name)))


def _size(graph: GraphInfo) -> tuple[int, int, int]:
    return len(graph.nodes), max((len(n.parts) for n in graph.nodes), default=1), graph.threads


def _arrays(graph: GraphInfo, tokens: Sequence[TokenRecord]) -> tuple[Floats, Floats, Floats]:
    work = np.zeros((len(tokens), *_size(graph)))
    wait = np.zeros_like(work)
    wake = np.zeros((len(tokens), graph.threads))
    for i, token in enumerate(tokens):
        table = Records.of(token.records).table
        node, part, thread, start, end, done = table.T
        ran = node != WAKE
        at = node[ran], part[ran], thread[ran]
        work[i][at] = (end - start)[ran]
        wait[i][at] = (done - end)[ran]
        wake[i, thread[~ran]] = (end - start)[~ran]
    return work, wait, wake


def _means(graph: GraphInfo, totals: Iterable[NodeTotal]) -> tuple[Floats, ...]:
    work, wait = np.zeros((1, *_size(graph))), np.zeros((1, *_size(graph)))
    wake = np.zeros((1, graph.threads))
    sd, least, most = (np.zeros(_size(graph)) for _ in range(3))
    for t in totals:
        mean = t.work / t.count
        if t.node == WAKE:
            wake[0, t.thread] = mean
            continue
        at = t.node, t.part, t.thread
        work[0][at], wait[0][at], least[at], most[at] = mean, t.wait / t.count, t.least, t.most
        sd[at] = sqrt(max(t.work_squared - t.count * mean * mean, 0.0) / (t.count - 1)) if t.count > 1 else 0.0
    return work, wait, wake, sd, least, most


def rows(stage: Stage, by: str = "node") -> list[Row]:
    """The table of a stage, what takes longest first. `by` is one of BY.

    By op the parts of a node count for themselves: preparing activations is not the product.
    """
    groups: dict[str, list[tuple[int, int | None]]] = defaultdict(list)
    for node in stage.graph.nodes:
        if by == "op":
            for part, op in enumerate(node.parts):
                groups[op].append((node.id, part))
        else:
            groups[_key(node, by)].append((node.id, None))
    made = [_row(stage, by, key, members) for key, members in groups.items()]
    return sorted(made, key=lambda row: -row.time.mean)


def _key(node: NodeInfo, by: str) -> str:
    if by == "layer":
        return f"blk.{node.layer}" if node.layer is not None else "outside layers"
    return node.key or node.name if by == "node" else node.type


def _row(stage: Stage, by: str, key: str, members: Sequence[tuple[int, int | None]]) -> Row:
    nodes = [stage.graph.nodes[i] for i, _ in members]
    times = np.zeros(len(stage.work))
    wait = 0.0
    for i, part in members:
        chosen = slice(None) if part is None else slice(part, part + 1)
        times += stage.work[:, i, chosen].sum(axis=1).max(axis=1)
        wait += float(stage.wait[:, i, chosen].sum(axis=1).mean())
    # The costs of a node belong to its last part, which makes its result.
    paid = [i for i, part in members if part is None or part == len(stage.graph.nodes[i].parts) - 1]
    flops, traffic = (float(costs[paid].sum()) for costs in (stage.flops, stage.traffic))
    spread = Spread.of(times) if stage.light is None else _light_spread(stage, members, float(times[0]))
    limit, of_limit = _limit(stage, paid, spread.mean)
    first = nodes[0]
    one = len(set(i for i, _ in members)) == 1
    parts: tuple[tuple[str, float], ...] = ()
    if by == "node" and len(first.parts) > 1:
        mean = stage.work[:, first.id].max(axis=2).mean(axis=0)
        parts = tuple(zip(first.parts, mean.tolist(), strict=False))
    evaluation = stage.evals.mean
    return Row(
        stage.name,
        key,
        _only(n.op for n in nodes) if by != "op" else key,
        _only(n.type for n in nodes),
        first.result.ne if one else (),
        len(stage.tokens) * len(members),
        spread,
        spread.mean / evaluation if evaluation else 0.0,
        wait,
        flops,
        traffic,
        limit,
        of_limit,
        parts,
    )


def _only(values: Iterable[str]) -> str:
    """The value that all have, or how many there are."""
    distinct = sorted(set(values))
    return distinct[0] if len(distinct) == 1 else f"{len(distinct)} kinds"


def _light_spread(stage: Stage, members: Sequence[tuple[int, int | None]], mean: float) -> Spread:
    """Of sums over all evaluations. Several nodes together: their deviations are taken as independent."""
    assert stage.light is not None
    variance, least, most = 0.0, 0.0, 0.0
    for i, part in members:
        chosen = slice(None) if part is None else slice(part, part + 1)
        thread = int(stage.work[0, i, chosen].sum(axis=0).argmax())
        sd, low, high = (a[i, chosen, thread] for a in stage.light)
        variance, least, most = variance + float((sd * sd).sum()), least + float(low.sum()), most + float(high.sum())
    return Spread(mean, sqrt(variance), least, most)


def peak(limits: Limits, node: NodeInfo) -> float:
    """Operations a second that the machine allows a node: 8-bit products for quantized weights, else f32."""
    return limits.int8 if node.op == "mul_mat" and node.type not in _FLOATS else limits.f32


def _limit(stage: Stage, members: Iterable[int], ns: float) -> tuple[str, float | None]:
    """What binds, and how near these nodes come to it."""
    limits, rate = stage.limits, stage.read_limit
    if limits is None or not rate or not ns:
        return "", None
    memory = sum(stage.traffic[i] for i in members) / rate
    compute = sum(stage.flops[i] / peak(limits, stage.graph.nodes[i]) for i in members)
    if not memory and not compute:
        return "", None
    return ("memory" if memory >= compute else "compute"), float(max(memory, compute) * 1e9 / ns)


def read_rate(limits: Limits, n_bytes: float) -> float | None:
    """Bytes a second at which so many bytes are read over and over, between the measured sizes on a log scale."""
    known = sorted(limits.read)
    if not known:
        return None
    sizes, rates = [log(size) for size, _ in known], [rate for _, rate in known]
    return float(np.interp(log(max(n_bytes, 1.0)), sizes, rates))


def summary(trace: Trace) -> list[str]:
    """The run in plain words, a line each."""
    lines = []
    for stage in stages(trace):
        lines.append(_speed(stage))
        lines += _bound(stage)
        lines.append(_waiting(stage))
        if stage.dropped:
            lines.append(f"{stage.name}: {stage.dropped} records did not fit and are missing")
    return lines


def _speed(stage: Stage) -> str:
    evals, n = stage.evals, len(stage.tokens)
    p95 = f", p95 {evals.p95 / 1e6:.2f} ms" if evals.p95 is not None else ""
    what = "token" if stage.name == "generation" else f"prompt of {stage.n_tokens / n:.0f} tokens"
    sampling = stage.samples
    chosen = f", and {sampling.mean / 1e6:.3f} ms to choose the next" if sampling.mean else ""
    return f"{stage.name}: {stage.tokens_per_s:.1f} tok/s; a {what} takes {evals.mean / 1e6:.2f} ms{p95}{chosen}"


def _bound(stage: Stage) -> list[str]:
    traffic, total = stage.traffic, float(stage.traffic.sum())
    heaviest = stage.graph.nodes[int(traffic.argmax())] if total else None
    share = f"; {heaviest.key or heaviest.name} is {traffic.max() / total:.0%} of the bytes" if heaviest else ""
    limits, rate, ns = stage.limits, stage.read_limit, stage.evals.mean
    if limits is None or not rate or not ns:
        return [f"{stage.name} moves {total / 1e6:.1f} MB an evaluation{share}"] if total else []
    memory = total / rate * 1e9 / ns
    seconds = sum(f / peak(limits, n) for f, n in zip(stage.flops.tolist(), stage.graph.nodes, strict=True))
    compute = seconds * 1e9 / ns
    allowed = float(stage.flops.sum()) / seconds if seconds else 0.0
    if memory >= compute:
        bound = f"memory-bound: {memory:.0%} of {rate / 1e9:.1f} GB/s"
    else:
        bound = f"compute-bound: {compute:.0%} of {allowed / 1e9:.0f} GFLOP/s"
    if max(memory, compute) < 0.4:
        bound = f"far from what the machine allows ({bound})"
    return [f"{stage.name} is {bound}{share}"]


def _waiting(stage: Stage) -> str:
    threads = stage.threads()
    total = sum(t.work + t.wait + t.wake for t in threads)
    if not total:
        return f"{stage.name}: nothing was recorded"
    wait, wake = (sum(getattr(t, name) for t in threads) / total for name in ("wait", "wake"))
    each = ", ".join(f"{t.wait / max(t.work + t.wait + t.wake, 1.0):.0%}" for t in threads)
    by_thread = f" (by thread {each})" if len(threads) > 1 else ""
    return f"{stage.name}: threads wait for each other {wait:.1%} of the time{by_thread}, waking up takes {wake:.1%}"


def overhead(trace: Trace) -> dict[str, Any]:
    """What profiling cost the generation: stamps taken in one evaluation by one thread, what they take of it, and the
    time of a token against one without a profile (None where that was not measured)."""
    run = trace.run
    stage = next((s for s in stages(trace) if s.name == "generation"), None)
    stamps = 0.0
    if stage is not None:
        steps = sum(len(n.parts) for n in stage.graph.nodes)
        meetings = max(n.phase for n in stage.graph.nodes) + 1 if stage.graph.threads > 1 else 0
        stamps = float(steps + meetings + 1)
    share = stamps * run.stamp_ns / stage.evals.mean if stage is not None and stage.evals.mean else 0.0
    measured = run.token_ns / run.plain_token_ns - 1 if run.plain_token_ns and run.token_ns else None
    return {"stamps": stamps, "stamp_ns": run.stamp_ns, "share": share, "end_to_end": measured}
