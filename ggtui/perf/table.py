"""The lines of a stage's table: a node, or all nodes of an op, a layer or a type.

A node's time is that of its slowest lane at work, so it is what the node takes of the run, and rates are bytes or
operations over that time. Its share is of the time of all lanes of its device: on a busy machine one thread does what
another has no core for, and only their sum stays as it is. What lanes wait for each other is told apart, the mean over
the lanes of a device.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt

import numpy as np

from ggtui.core.runtime.record import NodeInfo
from ggtui.perf.scheduling import Floats
from ggtui.perf.stage import Spread, Stage, spreads

BY = ("node", "op", "layer", "type")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    key      what it is joined on with another trace: the node's key, the op, the layer, the type
    calls    how often one of its nodes ran
    time     of one evaluation, all its nodes together; wait_ns: waiting after them, the mean over a device's lanes
    share    of its device's lanes' time in an evaluation: with those of other rows and all that is no work it comes to
             1 for each device; work_share: of the work of all nodes
    flops, traffic   operations and bytes of one evaluation
    limit, of_limit  what binds it and what part of that was reached, see Stage.limit
    parts    the loops of a node and the mean time of each
    kl       by type, what the matrices that its nodes read would cost in it, all together, see Trace.kl
    """

    stage: str
    key: str
    op: str
    type: str
    shape: tuple[int, ...]
    calls: int
    time: Spread
    share: float
    work_share: float
    wait_ns: float
    flops: float
    traffic: float
    limit: str = ""
    of_limit: float | None = None
    parts: tuple[tuple[str, float], ...] = ()
    kl: Mapping[str, float] = field(default_factory=dict)

    @property
    def bytes_per_s(self) -> float:
        return self.traffic / self.time.mean * 1e9 if self.time.mean else 0.0

    @property
    def flops_per_s(self) -> float:
        return self.flops / self.time.mean * 1e9 if self.time.mean else 0.0


class Groups:
    """The lines of a stage's table in their order in the graph: which nodes, by op which parts of nodes, each holds.

    keys, members  of the groups, and the items of each; of: the group of each item, nodes: its node, parts: its part
                   (None where it is a whole node), paid: whether the costs of the node are its own
    times    (typical evaluations, groups) nanoseconds, each item's that of its slowest lane
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
        """(evaluations, items, lanes) of a stage's array."""
        found: Floats = values.sum(axis=2) if self.parts is None else values[:, self.nodes, self.parts]
        return found

    def sums(self, values: Floats) -> list[float]:
        """Of one value for each item, a sum for each group."""
        return [*map(float, np.bincount(self.of, values, len(self.keys)))]


def rows(stage: Stage, by: str = "node") -> list[Row]:
    """The table of a stage, what takes most of the lanes' time first. `by` is one of BY.

    By op the parts of a node count for themselves: preparing activations is not the product.
    """
    groups, nodes = Groups(stage, by), stage.graph.nodes
    times = spreads(groups.times) if stage.light is None else _light_spreads(stage, groups)
    devices = Counter(lane.device for lane in stage.graph.lanes)
    part = np.array([1 / devices[lane.device] for lane in stage.graph.lanes])  # of its device's time
    waits, works = (groups.sums(groups.items(a).mean(axis=0) @ part) for a in (stage.wait, stage.work))
    flops, traffic = (groups.sums(costs[groups.nodes] * groups.paid) for costs in (stage.flops, stage.traffic))
    compute = groups.sums(stage.compute_seconds[groups.nodes] * groups.paid)
    parts = stage.work.max(axis=3).mean(axis=0).tolist() if by == "node" else []
    evaluation, calls = stage.evals.mean, len(stage.tokens)
    work = sum(works)
    made = []
    of_node = groups.nodes.tolist()
    for g, key in enumerate(groups.keys):
        mine = [nodes[of_node[item]] for item in groups.members[g]]
        first, spread, op, type, shape = mine[0], times[g], mine[0].op, mine[0].type, mine[0].result.ne
        if len(mine) > 1 and any(n is not first for n in mine):
            op, type, shape = _only([n.op for n in mine]), _only([n.type for n in mine]), ()
        made.append(Row(
            stage.name, key, key if by == "op" else op, type, shape, calls * len(mine), spread,
            works[g] / evaluation if evaluation else 0.0, works[g] / work if work else 0.0, waits[g], flops[g],
            traffic[g], *stage.limit([n.id for n in mine], traffic[g], compute[g], spread.mean),
            tuple(zip(first.parts, parts[first.id], strict=False)) if parts and len(first.parts) > 1 else (),
            _kl(stage, mine),
        ))  # fmt: skip
    return sorted(made, key=lambda row: -row.share)


def _kl(stage: Stage, nodes: Sequence[NodeInfo]) -> Mapping[str, float]:
    """Each matrix counts once, however many of the nodes read it."""
    read = dict.fromkeys(t.name for node in nodes for t in node.inputs) if stage.kl else ()
    found: dict[str, float] = {}
    for name in read:
        for type, nats in stage.kl.get(name, {}).items():
            found[type] = found.get(type, 0.0) + nats
    return found


def _key(node: NodeInfo, by: str) -> str:
    if by == "layer":
        return f"blk.{node.layer}" if node.layer is not None else "outside layers"
    return node.key or node.name if by == "node" else node.type


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
