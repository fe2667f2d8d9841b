from __future__ import annotations

from ggtui.chat.conversation import Chat
from ggtui.viz.show import aligned, graph, info


def test_aligned() -> None:
    assert aligned([("a", 1), ("long", "x")]) == ["a     1", "long  x"]


def test_graph_has_every_node_once(chat: Chat) -> None:
    nodes = chat.session.graphs()[0].nodes
    rows = graph(chat)
    assert [int(row[:4]) for row in rows] == list(range(len(nodes)))
    assert [row.split()[1] for row in rows] == [node.name for node in nodes]


def test_parameters_are_counted(chat: Chat) -> None:
    n = sum(t.n_elements for t in chat.session.weights.values())
    assert f"parameters    {n:,}" in info(chat)
