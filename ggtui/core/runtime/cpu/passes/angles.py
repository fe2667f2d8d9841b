"""Computes the angles of ropes once for all that turn alike: queries and keys, in every layer."""

from __future__ import annotations

from typing import Any

from ggtui.core.graph.dag import Dag, Node
from ggtui.core.graph.ops import OPS
from ggtui.core.graph.ops.rope import ROPE_MODES
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.cpu.ops import rope_angles
from ggtui.core.runtime.passes.parts import Angles, Joined


def share_angles(dag: Dag) -> Dag:
    """Adds the nodes that make angles; ropes read those, and not positions."""
    nodes: list[Node] = []
    made: dict[Any, Tensor] = {}  # the angles at positions that lie at a place, as they are now
    writes: dict[Tensor, int] = {}  # how often memory was written so far
    for node in dag.nodes:
        if OPS[node.op].kind == "rope":
            x, positions, factors = node.src
            assert x is not None and positions is not None
            read = (positions,) if factors is None else (positions, factors)
            key = (node.params, *((t.root, writes.get(t.root, 0), t.view_offs, t.ne, t.nb) for t in read))
            n_dims, mode = node.params[:2]
            if key not in made:
                n_pairs = int(n_dims) if mode == ROPE_MODES["vision"] else int(n_dims) // 2
                made[key] = rope_angles(positions, factors, n_pairs, node.params)
                nodes.append(Joined.made_of(made[key], "rope_angles", Angles(positions, factors, node.params)))
            node = Node(node.dst, node.op, (x, made[key]), (n_dims, mode), node.replaced)
        nodes.append(node)
        writes[node.dst.root] = writes.get(node.dst.root, 0) + 1
    return dag.with_nodes(nodes)
