"""The evaluations of a trace, by their stages, as arrays, and which of them are typical.

Figures are means over the typical evaluations: those that took no more than 1.5 times as long as half of their
neighbours. Means add up, and one evaluation that was put aside for a while does not move them: it is an interruption,
told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from ggtui.core.runtime.record import DISTURBED, WAKE, GraphInfo, Limits, NodeTotal, Records, TokenRecord, Trace, rested
from ggtui.perf.bounds import binding, limited, peak, read_rate
from ggtui.perf.costs import Costs
from ggtui.perf.lanes import calling
from ggtui.perf.scheduling import NEAR, Floats, Times, said_of, settle

# The stages of figures, and what an evaluation of each is called. A run of several sequences that read a token each has
# another graph than one of a single token.
EACH = {
    "generation": "token", "batch": "batch", "prompt": "prompt", "mixed": "mixed batch", "training": "step"
}  # fmt: skip
STAGES = tuple(EACH)
_DISTURBED = 1.1  # times as long as undisturbed: from there on the difference is said


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
        return spreads(a[:, np.newaxis])[0] if len(a) else cls()


@dataclass(frozen=True, slots=True)
class LaneTime:
    """Mean nanoseconds of an evaluation that a lane worked, waited for others at work, took to wake up, rested since
    fewer threads were faster beside other programs, was not scheduled, was held up by others that were not, and in
    which the caller got into C and out again."""

    work: float
    wait: float
    wake: float
    rest: float = 0.0
    lost: float = 0.0
    held: float = 0.0
    call: float = 0.0

    @property
    def total(self) -> float:
        """What an evaluation takes."""
        return self.work + self.wait + self.wake + self.rest + self.lost + self.held + self.call


@dataclass(frozen=True, slots=True)
class Interruption:
    """An evaluation, of the tokens after n_past, that took `ns` longer than its neighbours."""

    n_past: int
    ns: float


@dataclass(frozen=True)
class Stage:
    """The evaluations of one graph that are of one stage.

    tokens   all of them; times: of each, see Times. Of a light profile there is one "evaluation", the mean over the
             typical ones, and `light` has the deviation, least and most of the work (nodes, parts, lanes)
    late     of each wait of a thread for other threads (evaluations, nodes, parts, lanes) the nanoseconds after the
             last one had come
    kl       of the trace
    """

    name: str
    graph: GraphInfo
    tokens: tuple[TokenRecord, ...]
    times: Times
    limits: Limits | None
    dropped: int = 0  # records that there was no room for, of evaluations that are left out
    light: tuple[Floats, Floats, Floats] | None = None
    late: Floats | None = None
    kl: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @cached_property
    def alone(self) -> Floats:
        """Nanoseconds (evaluations,) that each would have taken had no thread lost any."""
        took = np.array([float(t.eval_ns) for t in self.tokens])
        if self.light:
            return took
        threads = [lane.is_thread for lane in self.graph.lanes]
        took_part = np.maximum((self.times.rest == 0)[:, threads].sum(axis=1), 1)
        return np.asarray(took - (self.times.lost + self.times.held).sum(axis=1) / took_part)

    @cached_property
    def _median(self) -> Floats:
        """Of each evaluation the median over its neighbours that read as many tokens."""
        found = np.empty(len(self.tokens))
        sizes = np.array([t.n_tokens for t in self.tokens])
        for size in set(sizes.tolist()):
            mine = np.flatnonzero(sizes == size)
            for near in np.split(mine, range(NEAR, len(mine), NEAR)):
                found[near] = np.median(self.alone[near])
        return found

    @cached_property
    def typical(self) -> NDArray[np.bool_]:
        """(evaluations,) which of them figures are of."""
        return np.asarray(self.alone <= DISTURBED * self._median)

    @cached_property
    def interruptions(self) -> tuple[Interruption, ...]:
        delays = np.array([float(t.eval_ns) for t in self.tokens]) - self._median
        disturbed = np.flatnonzero(delays > (DISTURBED - 1) * self._median)
        return tuple(Interruption(self.tokens[e].n_past, float(delays[e])) for e in disturbed)

    @cached_property
    def evals(self) -> Spread:
        """Whole evaluations, the typical ones, without what their threads lost: the whole that shares are parts of."""
        return Spread.of(self.alone[self.typical])

    @property
    def samples(self) -> Spread:
        """Choosing the next token, where one was chosen."""
        return Spread.of([float(t.sample_ns) for t in self.tokens if t.sample_ns])

    @property
    def n_tokens(self) -> int:
        return sum(t.n_tokens for t in self.tokens)

    @property
    def each(self) -> str:
        """What one of its evaluations is called."""
        return EACH[self.name]

    @property
    def tokens_per_s(self) -> float:
        """As one who waits for them sees it, with all that came between."""
        total = sum(t.eval_ns for t in self.tokens)
        return self.n_tokens / total * 1e9 if total else 0.0

    @property
    def undisturbed(self) -> str:
        """What to say of the time of an evaluation where others took much: that it is without that."""
        wall = sum(t.eval_ns for t in self.tokens) / len(self.tokens)
        return " undisturbed" if wall > _DISTURBED * self.evals.mean else ""

    def of_typical(self, values: Floats) -> Floats:
        """The values (evaluations, ...) of the typical ones."""
        return values if self.light else values[self.typical]

    @cached_property
    def work(self) -> Floats:
        """(typical evaluations, nodes, parts, lanes)"""
        return self.of_typical(self.times.work)

    @cached_property
    def wait(self) -> Floats:
        """(typical evaluations, nodes, parts, lanes)"""
        return self.of_typical(self.times.wait)

    @cached_property
    def node_times(self) -> Floats:
        """(typical evaluations, nodes): the work of each node's slowest lane."""
        found: Floats = self.work.sum(axis=2).max(axis=2)
        return found

    @cached_property
    def _costs(self) -> tuple[Floats, Floats]:
        tokens = [t for t, typical in zip(self.tokens, self.typical.tolist(), strict=True) if typical]
        return Costs(self.graph).mean(tokens)

    @property
    def flops(self) -> Floats:
        """Mean operations of each node."""
        return self._costs[0]

    @property
    def traffic(self) -> Floats:
        """Mean bytes of each node."""
        return self._costs[1]

    @cached_property
    def limited(self) -> NDArray[np.bool_]:
        """(nodes,) which of them run on the device whose limits were measured; all where none were."""
        return np.array([self.limits is None or limited(self.limits, n) for n in self.graph.nodes], np.bool_)

    @cached_property
    def limited_traffic(self) -> float:
        """Bytes that an evaluation touches on that device."""
        return float((self.traffic * self.limited).sum())

    @cached_property
    def read_limit(self) -> float | None:
        """Bytes a second that memory gives for as many bytes as an evaluation touches; None if not measured."""
        return read_rate(self.limits, self.limited_traffic) if self.limits else None

    @cached_property
    def compute_seconds(self) -> Floats:
        """What arithmetic of the machine needs at least for each node; 0 if not measured, or on another device."""
        if self.limits is None:
            return np.zeros(len(self.graph.nodes))
        return np.asarray(self.limited * self.flops / np.array([peak(self.limits, n) for n in self.graph.nodes]))

    def limit(self, nodes: Sequence[int], n_bytes: float, seconds: float, ns: float) -> tuple[str, float | None]:
        """What binds the work of `ns` of these nodes, on n_bytes and with so many seconds of arithmetic, and what part
        of it was reached, see bounds.binding. Not known where another device runs one of them."""
        limits = self.limits if self.limited[list(nodes)].all() else None
        return binding(limits, n_bytes, self.limited_traffic, seconds, ns)

    @property
    def bound(self) -> tuple[str, float | None]:
        """The same of a whole evaluation."""
        nodes = range(len(self.graph.nodes))
        return self.limit(nodes, self.limited_traffic, float(self.compute_seconds.sum()), self.evals.mean)

    @property
    def compute_limit(self) -> float:
        """Operations a second that the machine allows this mixture of nodes; 0 if not known."""
        seconds = float(self.compute_seconds.sum())
        return float((self.flops * self.limited).sum()) / seconds if seconds else 0.0

    @cached_property
    def lanes(self) -> tuple[LaneTime, ...]:
        """Of each lane, the mean over all evaluations, those too that were interrupted."""
        t = self.times
        columns = (t.work.sum(axis=(1, 2)), t.wait.sum(axis=(1, 2)) + t.first, t.wake, t.rest, t.lost, t.held)
        means = np.stack([column.mean(axis=0) for column in columns], axis=1)
        call = np.maximum(np.mean([t.eval_ns for t in self.tokens]) - means.sum(axis=1), 0.0)
        return tuple(LaneTime(*row) for row in np.column_stack((means, call)).tolist())

    @cached_property
    def handoffs(self) -> Floats | None:
        """Nanoseconds (typical evaluations,) from the last thread's coming to a barrier until another one went on, half
        of the times: how far apart the threads' cores are. None where that is not known."""
        if self.late is None or self.graph.n_threads < 2:
            return None
        late = self.of_typical(self.late)
        flat = np.sort(late.reshape(len(late), -1), axis=1)
        n_zeros = (flat <= 0).sum(axis=1)
        middle = np.minimum((n_zeros + flat.shape[1]) // 2, flat.shape[1] - 1)
        found = flat[np.arange(len(flat)), middle]
        return np.asarray(found) if found.all() else None

    def part(self, name: str) -> float:
        """What part of the lanes' time goes into one of LaneTime's."""
        total = sum(t.total for t in self.lanes)
        return sum(getattr(t, name) for t in self.lanes) / total if total else 0.0


def stage_name(graph: GraphInfo) -> str:
    """One of STAGES: what the graph is for."""
    if any("backward" in node.kinds for node in graph.nodes):
        return "training"
    return "generation" if graph.n_tokens == 1 else "prompt"


def stage_of(token: TokenRecord) -> str:
    """One of STAGES: that of an evaluation."""
    if token.training:
        return "training"
    if token.stage != "token":
        return token.stage
    return "generation" if token.n_tokens == 1 else "batch"


def stages(trace: Trace) -> tuple[Stage, ...]:
    """Generation, batches, prompts, what is mixed of these, and steps of a training: what ran and was recorded."""
    found = []
    said = said_of(trace.tokens)
    for index, name, numbers in _groups(trace.graphs, trace.tokens):
        graph, tokens = trace.graphs[index], tuple(trace.tokens[i] for i in numbers)
        whole = tuple(t for t in tokens if len(t.records) and not t.dropped)
        if whole:
            dropped = sum(t.dropped for t in tokens)
            times, late = _arrays(graph, whole)
            times = settle(graph, whole, times, late, said)
            found.append(Stage(name, graph, whole, times, trace.limits, dropped, late=late, kl=trace.kl))
            continue
        totals = [t for t in trace.totals if t.graph == index]
        if totals:
            times, light = _means(graph, tokens, totals)
            found.append(Stage(name, graph, tokens, times, trace.limits, light=light, kl=trace.kl))
    return tuple(sorted(found, key=lambda stage: STAGES.index(stage.name)))


def _groups(graphs: Sequence[GraphInfo], tokens: Sequence[TokenRecord]) -> list[tuple[int, str, list[int]]]:
    """The numbers of the tokens of each graph and stage, with the graph's number and the name of the stage. Those of
    large graphs come first: a prompt is the likelier one to be interrupted, so that what the system says of a time with
    a prompt in it is of that first. Sums of a light profile are of all runs of a graph."""
    numbers: dict[tuple[int, str], list[int]] = {}
    for i, token in enumerate(tokens):
        numbers.setdefault((token.graph, stage_of(token)), []).append(i)
    summed = {token.graph for token in tokens} - {token.graph for token in tokens if len(token.records)}
    for graph in summed:
        names = [name for of, name in numbers if of == graph]
        if len(names) > 1:
            numbers[graph, "mixed"] = sorted(i for name in names for i in numbers.pop((graph, name)))
    largest = sorted(numbers.items(), key=lambda group: -graphs[group[0][0]].n_tokens)
    return [(graph, name, mine) for (graph, name), mine in largest]


def lost_in_records(graphs: Sequence[GraphInfo], tokens: Sequence[TokenRecord]) -> dict[int, tuple[Floats, Floats]]:
    """Of evaluations by their number, those in which a thread was not scheduled: nanoseconds lost (records,) at work
    and in coming late after it."""
    found: dict[int, tuple[Floats, Floats]] = {}
    said = said_of(tokens)
    for index, _, numbers in _groups(graphs, tokens) if said else ():
        graph, mine = graphs[index], [i for i in numbers if len(tokens[i].records) and not tokens[i].dropped]
        whole = [tokens[i] for i in mine]
        lost_at = settle(graph, whole, *_arrays(graph, whole), said).lost_at if whole else None
        if lost_at is None:
            continue
        wake, work, late = lost_at
        for e, i in enumerate(mine):
            node, part, lane = Records.of(tokens[i].records).table.T[:3]
            waking, at = node == WAKE, (e, node, part, lane)
            found[i] = np.where(waking, wake[e, lane], work[at]), np.where(waking, 0.0, late[at])
    return found


def _size(graph: GraphInfo) -> tuple[int, int, int]:
    return len(graph.nodes), max((len(n.parts) for n in graph.nodes), default=1), len(graph.lanes)


def _arrays(graph: GraphInfo, tokens: Sequence[TokenRecord]) -> tuple[Times, Floats]:
    """Times, and `late` of a Stage."""
    tables = [Records.of(token.records).table for token in tokens]
    node, part, lane, start, end, done = np.concatenate(tables).T
    evaluation = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    n_nodes, n_parts, lanes = _size(graph)
    # Parts and lanes lie outermost, since sums over so few values are slow where they lie innermost, and waking up
    # before the nodes; one flat index is much faster than four.
    size = (n_parts, lanes, len(tables), n_nodes + 1)
    at = ((part * lanes + lane) * len(tables) + evaluation) * (n_nodes + 1) + node - WAKE
    work, wait, ends, late = (np.zeros(size) for _ in range(4))
    work.reshape(-1)[at] = end - start
    wait.reshape(-1)[at] = done - end
    ends.reshape(-1)[at] = end
    np.minimum(wait, np.maximum(ends + wait - ends.max(axis=1, keepdims=True), 0.0), out=late)
    work, wait, late = (a.transpose(2, 3, 0, 1) for a in (work, wait, late))
    if graph.n_threads < lanes:
        late[:, 1:] *= _meeting(graph)
    without = rested(evaluation, lane, len(tables), graph.lanes)
    return Times.of(work[:, 1:], wait[:, 1:], work[:, 0, 0], wait[:, 0, 0], without), late[:, 1:]


def _meeting(graph: GraphInfo) -> NDArray[np.bool_]:
    """(nodes, 1, lanes) where a thread that waits waits for other threads, and so may come late from it: not behind the
    nodes before which another device has its turn."""
    own = [node.device in ("", "cpu") for node in graph.nodes]
    followed = np.array([*own[1:], True], np.bool_) & own
    return np.asarray(followed[:, np.newaxis, np.newaxis] & [lane.is_thread for lane in graph.lanes])


def _means(
    graph: GraphInfo, tokens: Sequence[TokenRecord], totals: Sequence[NodeTotal]
) -> tuple[Times, tuple[Floats, Floats, Floats]]:
    work, wait = np.zeros((1, *_size(graph))), np.zeros((1, *_size(graph)))
    wake, lost, first = (np.zeros((1, len(graph.lanes))) for _ in range(3))
    sd, least, most = (np.zeros(_size(graph)) for _ in range(3))
    runs: dict[tuple[int, int, str], int] = {}  # of a thread that rested in some of them there are fewer
    for t, place in ((t, _place(graph, t)) for t in totals):
        runs[place] = max(runs.get(place, 1), t.count)
    short = ~np.isin(np.arange(len(graph.lanes)), [t.lane for t in totals])
    for t in totals:
        n = runs[_place(graph, t)]
        mean = t.work / n
        short[t.lane] |= t.count < n
        if t.node == WAKE:
            wake[0, t.lane], first[0, t.lane] = mean, t.wait / n
            continue
        at = t.node, t.part, t.lane
        work[0][at], wait[0][at], least[at], most[at] = mean, t.wait / n, t.least, t.most
        own = t.work / t.count
        sd[at] = sqrt(max(t.work_squared - t.count * own * own, 0.0) / (t.count - 1)) if t.count > 1 else 0.0
    for said in (u for token in tokens for u in token.unscheduled):
        lost[0, said.thread] += said.lost_ns / len(tokens)
    # Sums fill the runs that they are of, and the first thread, the caller's, never rests.
    filled, caller = wake + first + (work + wait).sum(axis=(1, 2)), calling(graph.lanes)
    resting = short & [lane.is_thread for lane in graph.lanes]
    rest = np.where(resting, np.maximum(filled[:, [caller]] - filled, 0.0), 0.0)
    return Times(work, wait, wake, rest, lost, np.zeros_like(lost), first), (sd, least, most)


def _place(graph: GraphInfo, total: NodeTotal) -> tuple[int, int, str]:
    """What a total is of, and on which device: each chooses for itself which runs it records."""
    return total.node, total.part, graph.lanes[total.lane].device


def spreads(times: Floats) -> list[Spread]:
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
