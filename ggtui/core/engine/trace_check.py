"""What must hold between the records of a trace, so that all that is made of it can rely on it: numbers that point at
something, and no more room than its records fill."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ggtui.core.runtime.record import WAKE, GraphInfo, NodeTotal, Records, TokenRecord, Trace

# Of a trace that can be true.
MAX_THREADS, MAX_GRAPHS, MAX_PARTS = 512, 64, 64
MAX_LANES = MAX_THREADS + 64
# Tables of a trace have a place for each part of each node on each lane: at most so many for each that is filled, or
# as many as cost nothing.
_EMPTY, _FREE = 64, 1 << 20
# An evaluation and its records are timed by different clocks.
_LATER, _LATER_NS = 1.1, 10_000


def check(trace: Trace) -> None:
    """Raise ValueError where records of a trace do not fit each other."""
    for what, part in (("other programs used", trace.run.others), ("other machines took", trace.run.stolen)):
        if part > 1:
            raise ValueError(f"{what} {part:g} of the cores' time; it is a part from 0 to 1")
    if trace.run.threads > MAX_THREADS:
        raise ValueError(f"it ran on {trace.run.threads} threads, over the limit of {MAX_THREADS}")
    if len(trace.graphs) > MAX_GRAPHS:
        raise ValueError(f"there are {len(trace.graphs)} graphs, over the limit of {MAX_GRAPHS}")
    for index, graph in enumerate(trace.graphs):
        _check_graph(f"graph {index}", graph)
    sizes = [(len(graph.nodes) + 1, _most_parts(graph)) for graph in trace.graphs]
    places = len(sizes) * max((n for n, _ in sizes), default=0) * max((n for _, n in sizes), default=0)
    _check_room("the graphs", places, sum(n for n, _ in sizes))
    for index in (*(t.graph for t in trace.tokens), *(t.graph for t in trace.totals)):
        if index >= len(trace.graphs):
            raise ValueError(f"there is no graph {index}; there are {len(trace.graphs)}")
    for index, graph in enumerate(trace.graphs):
        _check_tokens(f"graph {index}", graph, [t for t in trace.tokens if t.graph == index])
        _check_totals(f"graph {index}", graph, [t for t in trace.totals if t.graph == index])


def _check_graph(name: str, graph: GraphInfo) -> None:
    if not 0 < len(graph.lanes) <= MAX_LANES:
        raise ValueError(f"{name} is on {len(graph.lanes)} lanes; 1 to {MAX_LANES} can be")
    if len({(lane.device, lane.name) for lane in graph.lanes}) < len(graph.lanes):
        raise ValueError(f"{name} has two lanes of one device and name")
    if not graph.nodes:
        raise ValueError(f"{name} has no nodes")
    keys: set[str] = set()
    for i, node in enumerate(graph.nodes):
        where = f"node {i} of {name}"
        n_parts, n_kinds = len(node.parts), len(node.kinds)
        if node.id != i:
            raise ValueError(f"{where} has the id {node.id}")
        if node.src and max(node.src) >= i:
            raise ValueError(f"{where} reads node {max(node.src)}, which does not run before it")
        if not 0 < n_parts <= MAX_PARTS or n_parts != n_kinds:
            raise ValueError(f"{where} has {n_parts} parts and {n_kinds} kinds; 1 to {MAX_PARTS} of each can be")
        if not node.key or node.key in keys:
            raise ValueError(f"{where} has a key that is empty, or that of another node")
        keys.add(node.key)


def _most_parts(graph: GraphInfo) -> int:
    return max(len(node.parts) for node in graph.nodes)


def _check_tokens(name: str, graph: GraphInfo, tokens: Sequence[TokenRecord]) -> None:
    for token in tokens:
        counts = [n for _, _, n in token.parts]
        if counts and (min(counts) < 1 or sum(counts) != token.n_tokens or len(token.parts) < 2):
            raise ValueError(f"an evaluation of {name} reads {token.n_tokens} tokens, but its parts {counts}")
        if len({sequence for sequence, _, _ in token.parts}) < len(counts):
            raise ValueError(f"an evaluation of {name} has two parts of one sequence")
    for said in (said for token in tokens for said in token.unscheduled):
        if said.thread >= len(graph.lanes) or not graph.lanes[said.thread].is_thread:
            raise ValueError(f"the system said something of lane {said.thread} of {name}, which is no thread of it")
        if said.lost_ns > said.span_ns:
            raise ValueError(f"a thread of {name} lost {said.lost_ns} of {said.span_ns} ns")
    whole = [not token.dropped for token in tokens if len(token.records)]
    if not whole:
        return
    table = np.concatenate([Records.of(token.records).table for token in tokens])
    _check_places(f"a record of {name}", graph, table[:, 0], table[:, 1], table[:, 2])
    eval_ns = np.repeat([token.eval_ns for token in tokens], [len(token.records) for token in tokens])
    late = table[:, 5] > _LATER * eval_ns + _LATER_NS
    if late.any():
        raise ValueError(f"a record of {name} ends at {table[late][0, 5]} ns of an evaluation of {eval_ns[late][0]} ns")
    _check_room(name, sum(whole) * _room(graph), len(table))  # others are not in tables


def _check_totals(name: str, graph: GraphInfo, totals: Sequence[NodeTotal]) -> None:
    if not totals:
        return
    for t in totals:
        # Each time is rounded to whole nanoseconds for itself.
        fits = t.least <= t.most and t.least * t.count <= t.work + t.count and t.work <= (t.most + 1) * t.count
        if not fits or t.work_squared > 1.01 * t.count * (t.most + 1) ** 2:
            raise ValueError(f"a total of {name} contradicts itself: {t}")
    places = np.array([(t.node, t.part, t.lane) for t in totals], np.int64)
    _check_places(f"a total of {name}", graph, *places.T)
    _check_room(name, _room(graph), len(totals))


def _room(graph: GraphInfo) -> int:
    return (len(graph.nodes) + 1) * _most_parts(graph) * len(graph.lanes)


def _check_room(name: str, places: int, filled: int) -> None:
    if places > _EMPTY * filled + _FREE:
        raise ValueError(f"{name} would need {places:,} places in a table for {filled:,} records")


Column = NDArray[np.int64]


def _check_places(what: str, graph: GraphInfo, node: Column, part: Column, lane: Column) -> None:
    n_nodes = len(graph.nodes)
    bad = (node < WAKE) | (node >= n_nodes)
    if bad.any():
        raise ValueError(f"{what} is of node {node[bad][0]}, outside of the graph's {n_nodes}")
    n_parts = np.array([*(len(n.parts) for n in graph.nodes), 1])[node]  # the last is that of waking up
    for values, word, limits in ((part, "part", n_parts), (lane, "lane", np.full(len(node), len(graph.lanes)))):
        bad = (values < 0) | (values >= limits)
        if bad.any():
            raise ValueError(f"{what} is of {word} {values[bad][0]} of node {node[bad][0]}, which has {limits[bad][0]}")
