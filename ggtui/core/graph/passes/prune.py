"""Drops the nodes that no output needs."""

from __future__ import annotations

from ggtui.core.graph.dag import Dag, topological


def prune(dag: Dag) -> Dag:
    """Keeps what outputs and kept tensors depend on. An op that writes into another tensor's memory (set_rows, cpy) is
    needed only where it was asked for or where its result is read, as in ggml."""
    needed = set(topological([*dag.outputs, *dag.kept]))
    return dag.with_nodes([node for node in dag.nodes if node.dst in needed])
