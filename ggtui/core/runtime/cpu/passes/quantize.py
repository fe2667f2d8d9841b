"""Rounds the activations of products with packed weights in blocks, once for all products that read them.

With a norm before it, of which nothing else is wanted, rounding becomes one node: the normed row stays in the cache.
"""

from __future__ import annotations

from typing import Any

from ggtui.core.graph.dag import Dag, Node
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.cpu.ops import quantize
from ggtui.core.runtime.passes.parts import Joined, Norm, Product, Rounding, wants_rounded


def round_activations(dag: Dag, *, fused: bool) -> Dag:
    """Adds the nodes that round; `fused`: with the norms before them in the same node."""
    nodes: list[Node] = []
    made: dict[Any, Tensor] = {}  # the rounded form of what lies at a place, as it is now
    writes: dict[Tensor, int] = {}  # how often memory was written so far
    for node in dag.nodes:
        if isinstance(node, Joined) and isinstance(node.parts, Product) and wants_rounded(node.parts):
            x = node.parts.x
            key = (x.root, writes.get(x.root, 0), x.view_offs, x.ne, x.nb)
            if key not in made:
                made[key] = quantize(x)
                nodes.append(Joined.made_of(made[key], "quantize", Rounding(x)))
            node = node.with_parts(x=made[key])
        nodes.append(node)
        writes[node.dst.root] = writes.get(node.dst.root, 0) + 1
    dag = dag.with_nodes(nodes)
    return _with_norms(dag) if fused else dag


def _with_norms(dag: Dag) -> Dag:
    """Norms join the node that rounds them, where that is all that reads them."""
    readers: dict[Tensor, list[int]] = {}
    for i, node in enumerate(dag.nodes):
        for s in node.src:
            if s is not None:
                readers.setdefault(s.root, []).append(i)
    nodes: list[Node | None] = list(dag.nodes)
    for at, norm in enumerate(dag.nodes):
        if not (isinstance(norm, Joined) and isinstance(norm.parts, Norm)) or norm.dst in dag.must_stay():
            continue
        i, *others = readers.get(norm.dst, [at])
        rounding, parts = dag.nodes[i], norm.parts
        if others or rounding.op != "quantize" or rounding.src[0] is not norm.dst or _written(dag, norm, at, i):
            continue
        rounding.dst.name = next((t.name for t in norm.originals if t.name), "")
        whole = Rounding(parts.x, norm.op, parts.eps, parts.weight, parts.bias)
        nodes[i] = Joined.made_of(rounding.dst, "quantize", whole, (*norm.originals, rounding.dst))
        nodes[at] = None
    return dag.with_nodes([node for node in nodes if node is not None])


def _written(dag: Dag, norm: Node, at: int, to: int) -> bool:
    """Whether something in between writes what the norm reads."""
    roots = {s.root for s in norm.src if s is not None}
    return any(node.dst.root in roots for node in dag.nodes[at + 1 : to])
