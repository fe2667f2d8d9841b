"""Adds up the records of a trace: per node, op, layer or type, for prompts and for generation apart.

A node's time is that of its slowest thread at work, so it is what the node takes of the run, and rates are bytes or
operations over that time. What threads wait for each other is told apart, as the mean over threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggtui.core.runtime.record import WAKE, GraphInfo, Limits, NodeInfo, NodeTotal, Records, TokenRecord, Trace
from ggtui.perf.costs import Costs

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
        return _spreads(a[:, np.newaxis])[0] if len(a) else cls()


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

    @cached_property
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
    def _costs(self) -> tuple[Floats, Floats]:
        return Costs(self.graph).mean(self.tokens)

    @property
    def flops(self) -> Floats:
        """Mean operations of each node."""
        return self._costs[0]

    @property
    def traffic(self) -> Floats:
        """Mean bytes of each node."""
        return self._costs[1]

    @cached_property
    def read_limit(self) -> float | None:
        """Bytes a second that memory gives for as many bytes as an evaluation touches; None if not measured."""
        return read_rate(self.limits, float(self.traffic.sum())) if self.limits else None

    @cached_property
    def compute_seconds(self) -> Floats:
        """What arithmetic of the machine needs at least for each node; 0 if not measured."""
        if self.limits is None:
            return np.zeros(len(self.graph.nodes))
        return np.asarray(self.flops / np.array([peak(self.limits, n) for n in self.graph.nodes]))

    @property
    def bound(self) -> tuple[str, float | None]:
        """What binds a whole evaluation, "memory" or "compute", and what part of it was reached; None if not known."""
        memory = float(self.traffic.sum()) / self.read_limit if self.read_limit else None
        return _binding(memory, float(self.compute_seconds.sum()), self.evals.mean)

    @property
    def compute_limit(self) -> float:
        """Operations a second that the machine allows this mixture of nodes; 0 if not known."""
        seconds = float(self.compute_seconds.sum())
        return float(self.flops.sum()) / seconds if seconds else 0.0

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
    tables = [Records.of(token.records).table for token in tokens]
    node, part, thread, start, end, done = np.concatenate(tables).T
    evaluation = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    n_nodes, n_parts, threads = _size(graph)
    # Parts and threads lie outermost, since sums over so few values are slow where they lie innermost, and waking up
    # before the nodes; one flat index is much faster than four.
    size = (n_parts, threads, len(tables), n_nodes + 1)
    at = ((part * threads + thread) * len(tables) + evaluation) * (n_nodes + 1) + node - WAKE
    work, wait = np.zeros(size), np.zeros(size)
    work.reshape(-1)[at] = end - start
    wait.reshape(-1)[at] = done - end
    work, wait = work.transpose(2, 3, 0, 1), wait.transpose(2, 3, 0, 1)
    return work[:, 1:], wait[:, 1:], work[:, 0, 0]


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


class Groups:
    """The lines of a stage's table in their order in the graph: which nodes, by op which parts of nodes, each holds.

    keys, members  of the groups, and the items of each; of: the group of each item, nodes: its node, parts: its part
                   (None where it is a whole node), paid: whether the costs of the node are its own
    times    (evaluations, groups) nanoseconds, each item's that of its slowest thread
    """

    def __init__(self, stage: Stage, by: str) -> None:
        nodes, by_op = stage.graph.nodes, by == "op"
        parts = [len(n.parts) if by_op else 1 for n in nodes]
        self.nodes = np.repeat(np.arange(len(nodes)), parts)
        self.parts = np.concatenate([np.arange(n) for n in parts]) if by_op and parts else None
        names = [op for n in nodes for op in n.parts] if by_op else [_key(n, by) for n in nodes]
        numbers = {key: i for i, key in enumerate(dict.fromkeys(names))}
        self.keys = list(numbers)
        self.of = np.array([numbers[name] for name in names], np.int64)
        self.members: list[list[int]] = [[] for _ in self.keys]
        for item, group in enumerate(self.of.tolist()):
            self.members[group].append(item)
        # The costs of a node belong to its last part, which makes its result.
        self.paid = self.parts == np.repeat(parts, parts) - 1 if self.parts is not None else np.ones(len(names))
        slowest = self.items(stage.work).max(axis=2)
        order = np.argsort(self.of, kind="stable")
        starts = np.searchsorted(self.of[order], np.arange(len(self.keys)))
        self.times: Floats = np.add.reduceat(slowest[:, order], starts, axis=1) if names else slowest

    def items(self, values: Floats) -> Floats:
        """(evaluations, items, threads) of a stage's array."""
        found: Floats = values.sum(axis=2) if self.parts is None else values[:, self.nodes, self.parts]
        return found

    def sums(self, values: Floats) -> list[float]:
        """Of one value for each item, a sum for each group."""
        return [*map(float, np.bincount(self.of, values, len(self.keys)))]


def rows(stage: Stage, by: str = "node") -> list[Row]:
    """The table of a stage, what takes longest first. `by` is one of BY.

    By op the parts of a node count for themselves: preparing activations is not the product.
    """
    groups, nodes = Groups(stage, by), stage.graph.nodes
    spreads = _spreads(groups.times) if stage.light is None else _light_spreads(stage, groups)
    waits = groups.sums(groups.items(stage.wait).mean(axis=(0, 2)))
    flops, traffic = (groups.sums(costs[groups.nodes] * groups.paid) for costs in (stage.flops, stage.traffic))
    compute = groups.sums(stage.compute_seconds[groups.nodes] * groups.paid)
    parts = stage.work.max(axis=3).mean(axis=0).tolist() if by == "node" else []
    evaluation, calls, read = stage.evals.mean, len(stage.tokens), stage.read_limit
    made = []
    of_node = groups.nodes.tolist()
    for g, key in enumerate(groups.keys):
        mine = [nodes[of_node[item]] for item in groups.members[g]]
        first, spread, op, type, shape = mine[0], spreads[g], mine[0].op, mine[0].type, mine[0].result.ne
        if len(mine) > 1 and any(n is not first for n in mine):
            op, type, shape = _only([n.op for n in mine]), _only([n.type for n in mine]), ()
        limit, of_limit = _binding(traffic[g] / read if read else None, compute[g], spread.mean)
        made.append(Row(
            stage.name, key, key if by == "op" else op, type, shape, calls * len(mine), spread,
            spread.mean / evaluation if evaluation else 0.0, waits[g], flops[g], traffic[g], limit, of_limit,
            tuple(zip(first.parts, parts[first.id], strict=False)) if parts and len(first.parts) > 1 else (),
        ))  # fmt: skip
    return sorted(made, key=lambda row: -row.time.mean)


def _key(node: NodeInfo, by: str) -> str:
    if by == "layer":
        return f"blk.{node.layer}" if node.layer is not None else "outside layers"
    return node.key or node.name if by == "node" else node.type


def _spreads(times: Floats) -> list[Spread]:
    """Of each column."""
    n = len(times)
    ordered = np.sort(times, axis=0)
    sd = times.std(axis=0, ddof=1) if n > 1 else np.zeros(times.shape[1])
    columns = (times.mean(axis=0), sd, ordered[0], ordered[-1], _quantile(ordered, 0.5), _quantile(ordered, 0.95))
    return [Spread(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]


def _quantile(ordered: Floats, q: float) -> Floats:
    """Between the two nearest, as numpy does, of values in order along the first axis."""
    at = q * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return np.asarray(ordered[low] + (at - low) * (ordered[high] - ordered[low]))


def _only(values: Sequence[str]) -> str:
    """The value that all have, or how many there are."""
    distinct = set(values)
    return values[0] if len(distinct) == 1 else f"{len(distinct)} kinds"


def _light_spreads(stage: Stage, groups: Groups) -> list[Spread]:
    """Of sums over all evaluations. Several nodes together: their deviations are taken as independent."""
    assert stage.light is not None
    sd, least, most = stage.light
    slowest = groups.items(stage.work)[0].argmax(axis=1)
    at = 0, np.arange(len(slowest)), slowest
    variance, low, high = (groups.sums(groups.items(a[np.newaxis])[at]) for a in (sd * sd, least, most))
    columns = (groups.times[0].tolist(), [sqrt(v) for v in variance], low, high)
    return [Spread(*values) for values in zip(*columns, strict=True)]


def peak(limits: Limits, node: NodeInfo) -> float:
    """Operations a second that the machine allows a node: 8-bit products for quantized weights, else f32."""
    return limits.int8 if "product" in node.kinds and node.type not in _FLOATS else limits.f32


def _binding(memory: float | None, compute: float, ns: float) -> tuple[str, float | None]:
    """What binds, of the seconds that memory (None: not measured) and arithmetic need at least, and how near it is."""
    if memory is None or not ns or not (memory or compute):
        return "", None
    return ("memory" if memory >= compute else "compute"), max(memory, compute) * 1e9 / ns


def read_rate(limits: Limits, n_bytes: float) -> float | None:
    """Bytes a second at which so many bytes are read over and over, between the measured sizes on a log scale."""
    known = sorted(limits.read)
    if not known:
        return None
    sizes, rates = [log(size) for size, _ in known], [rate for _, rate in known]
    return float(np.interp(log(max(n_bytes, 1.0)), sizes, rates))


def summary(trace: Trace) -> list[str]:
    """The run in plain words, a line each."""
    return [line for stage in stages(trace) for line in stage_summary(stage)]


def stage_summary(stage: Stage) -> list[str]:
    """A stage in plain words: how fast it is, what binds it, how much waiting there is."""
    lines = [_speed(stage), *_bound(stage), _waiting(stage)]
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
    binds, reached = stage.bound
    if reached is None:
        return [f"{stage.name} moves {total / 1e6:.1f} MB an evaluation{share}"] if total else []
    if binds == "memory":
        bound = f"memory-bound: {reached:.0%} of {(stage.read_limit or 0.0) / 1e9:.1f} GB/s"
    else:
        bound = f"compute-bound: {reached:.0%} of {stage.compute_limit / 1e9:.0f} GFLOP/s"
    if reached < 0.4:
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
        barriers = max(n.phase for n in stage.graph.nodes) + 1 if stage.graph.threads > 1 else 0
        stamps = float(steps + barriers + 1)
    share = stamps * run.stamp_ns / stage.evals.mean if stage is not None and stage.evals.mean else 0.0
    measured = run.token_ns / run.plain_token_ns - 1 if run.plain_token_ns and run.token_ns else None
    return {"stamps": stamps, "stamp_ns": run.stamp_ns, "share": share, "end_to_end": measured}
