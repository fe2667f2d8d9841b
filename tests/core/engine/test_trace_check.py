"""What must hold between the records of a trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import made_up
import numpy as np
import pytest

from ggtui.core.engine.trace_check import MAX_GRAPHS, MAX_LANES, MAX_PARTS, check
from ggtui.core.runtime.record import GraphInfo, Lane, NodeTotal, Records, Trace, Unscheduled, thread_lanes

BASE = made_up.trace()
RUN = made_up.RUN
TOTAL = NodeTotal(graph=0, node=0, part=0, lane=0, count=2, work=30, least=10, most=20, wait=5, work_squared=500.0)


def with_graph(change: Callable[[GraphInfo], GraphInfo]) -> Trace:
    return replace(BASE, graphs=(change(BASE.graphs[0]),))


def with_node(i: int, **fields: object) -> Trace:
    nodes = list(BASE.graphs[0].nodes)
    nodes[i] = replace(nodes[i], **fields)  # type: ignore[arg-type]
    return with_graph(lambda graph: replace(graph, nodes=tuple(nodes)))


def with_parts(*parts: tuple[int, int, int]) -> Trace:
    return with_token(parts=parts)


def with_token(**values: Any) -> Trace:
    return replace(BASE, tokens=(replace(BASE.tokens[0], **values), *BASE.tokens[1:]))


def with_totals(*totals: NodeTotal) -> Trace:
    return replace(BASE, totals=totals)


def test_true_traces_pass() -> None:
    check(BASE)
    check(with_totals(TOTAL, replace(TOTAL, node=-1)))
    check(Trace((), (), BASE.memory))


@pytest.mark.parametrize(
    ("trace", "problem"),
    [
        (replace(BASE, run=replace(RUN, others=1.5)), "other programs used 1.5 of the cores' time; it is a part"),
        (replace(BASE, run=replace(RUN, stolen=2.0)), "other machines took 2 of the cores' time"),
        (replace(BASE, run=replace(RUN, threads=10**9)), "it ran on 1000000000 threads, over the limit of 512"),
        (
            with_token(records=made_up.trace(scale=10).tokens[0].records),
            "a record of graph 0 ends at .* ns of an evaluation of 3660 ns",
        ),
        (with_token(unscheduled=(Unscheduled(0, 1, 100),)), "a thread of graph 0 lost 100 of 1 ns"),
        (with_graph(lambda g: replace(g, nodes=())), "graph 0 has no nodes"),
        (
            with_graph(lambda g: replace(g, lanes=thread_lanes(MAX_LANES + 1))),
            "graph 0 is on 577 lanes; 1 to 576 can be",
        ),
        (
            with_graph(lambda g: replace(g, lanes=(*g.lanes, Lane("thread 1")))),
            "graph 0 has two lanes of one device and name",
        ),
        (
            with_token(unscheduled=(Unscheduled(2, 100, 1),)),
            "the system said something of lane 2 of graph 0, which is no thread of it",
        ),
        (replace(BASE, graphs=BASE.graphs * (MAX_GRAPHS + 1)), "65 graphs, over the limit of 64"),
        (with_node(1, id=2), "node 1 of graph 0 has the id 2"),
        (with_node(1, src=(1,)), "node 1 of graph 0 reads node 1, which does not run before it"),
        (with_node(1, key="output"), "node 2 of graph 0 has a key that is empty, or that of another node"),
        (with_node(0, key=""), "node 0 of graph 0 has a key that is empty"),
        (with_node(0, parts=(), kinds=()), "node 0 of graph 0 has 0 parts and 0 kinds"),
        (with_node(0, kinds=("a", "b")), "1 parts and 2 kinds"),
        (with_parts((0, 0, 0), (1, 0, 1)), r"reads 1 tokens, but its parts \[0, 1\]"),
        (with_parts((0, 0, 1), (1, 0, 1)), r"reads 1 tokens, but its parts \[1, 1\]"),
        (with_node(0, parts=("a",) * 65, kinds=("a",) * 65), f"1 to {MAX_PARTS} of each can be"),
        (with_totals(replace(TOTAL, graph=1)), "there is no graph 1; there are 1"),
        (with_totals(replace(TOTAL, node=3)), "of node 3, outside of the graph's 3"),
        (with_totals(replace(TOTAL, part=1)), "of part 1 of node 0, which has 1"),
        (with_totals(replace(TOTAL, node=-1, part=1)), "of part 1 of node -1, which has 1"),
        (with_totals(replace(TOTAL, lane=2)), "of lane 2 of node 0, which has 2"),
        (with_totals(replace(TOTAL, least=21)), "a total of graph 0 contradicts itself"),
        (with_totals(replace(TOTAL, work=10)), "contradicts itself"),
        (with_totals(replace(TOTAL, work=50)), "contradicts itself"),
        (with_totals(replace(TOTAL, work_squared=1e9)), "contradicts itself"),
    ],
)
def test_what_does_not_fit_is_refused(trace: Trace, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check(trace)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ((3, 0, 0), "a record of graph 0 is of node 3"),
        ((-2, 0, 0), "of node -2"),
        ((0, 1, 0), "of part 1 of node 0"),
        ((0, -1, 0), "of part -1"),
        ((0, 0, 2), "of lane 2 of node 0, which has 2"),
    ],
)
def test_records_of_what_is_not_there_are_refused(row: tuple[int, int, int], problem: str) -> None:
    table = np.array([[*row, 0, 1, 2]], np.int64)
    with pytest.raises(ValueError, match=problem):
        check(replace(BASE, tokens=(replace(BASE.tokens[0], records=Records(table)),)))


def test_tables_that_records_would_not_fill_are_refused() -> None:
    """A small file must not ask for much memory: here for 576 lanes, of which one was recorded."""
    node = BASE.graphs[0].nodes[0]
    nodes = tuple(replace(node, id=i, key=f"x{i}") for i in range(5000))
    graph = replace(BASE.graphs[0], nodes=nodes, lanes=thread_lanes(MAX_LANES))
    token = replace(BASE.tokens[0], records=Records(np.array([[0, 0, 0, 0, 1, 2]], np.int64)))
    with pytest.raises(ValueError, match="graph 0 would need 2,880,576 places in a table for 1 records"):
        check(replace(BASE, graphs=(graph,), tokens=(token,)))
    with pytest.raises(ValueError, match="places in a table for 1 records"):
        check(Trace((graph,), (), BASE.memory, totals=(TOTAL,)))
    check(Trace((graph,), (), BASE.memory))
    check(replace(BASE, graphs=(graph,), tokens=(replace(token, dropped=9),)))  # which no table is made of
