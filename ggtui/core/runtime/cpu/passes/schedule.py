"""Decides where threads must meet, and so which nodes share a phase.

Every thread walks all nodes. Ops that work by rows split them in one way (gg_split), so a thread that reads, of an
operand with the same rows, only the rows that it writes itself needs no one else. In every other case it must know that
all have finished writing what it reads (and reading what it overwrites): the threads meet before the node. Nodes that
are shared by heads, one after the other, are one phase: what they hand on stays with the thread.
"""

from __future__ import annotations

from dataclasses import replace

from ggtui.core.graph.dag import Dag, Node
from ggtui.core.graph.ops import OPS
from ggtui.core.graph.ops.base import same_shape
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.cpu.passes.fuse import mul_mat_params, mul_mat_src
from ggtui.core.runtime.cpu.passes.heads import HEADS_NODES, share_heads


def prepares(node: Node) -> bool:
    """Whether the node first brings its activations into another form: a norm, or 8 bits for weights in blocks."""
    if node.op != "mul_mat":
        return False
    weights = mul_mat_src(node)[0]
    assert weights is not None
    return mul_mat_params(node)[1] != 0 or (weights.packed and weights.type.block > 1)


def prepares_together(node: Node) -> bool:
    """Whether the threads share that work and meet after it. For one row each does it alone, which is sooner done."""
    b = node.src[1] if node.op == "mul_mat" else None
    return b is not None and prepares(node) and b.n_rows > 1


def schedule(dag: Dag, threads: int | None = None) -> Dag:
    """Numbers the phases. A node that prepares together takes two of them. `threads`: how many are going to run it."""
    dag = share_heads(dag, threads)
    nodes: list[Node] = []
    phase = 0
    written: dict[Tensor, Node] = {}  # memory written, and who read what memory, in this phase
    read: dict[Tensor, list[Node]] = {}
    for i, node in enumerate(dag.nodes):
        together = [node]
        if node.heads is not None:  # the first of them waits for what any of them depends on
            together = dag.nodes[i : i + HEADS_NODES] if node.op == "mul_mat" else []
        if any(_must_meet(n, written, read) for n in together):
            phase += 1
            written, read = {}, {}
        nodes.append(replace(node, phase=phase))
        if prepares_together(node):
            phase += 1
            written, read = {}, {}
        written[node.dst.root] = node
        for s in node.src:
            if s is not None:
                read.setdefault(s.root, []).append(node)
    return dag.with_nodes(nodes)


def _must_meet(node: Node, written: dict[Tensor, Node], read: dict[Tensor, list[Node]]) -> bool:
    target = node.dst.root
    if target in written or not all(_reads_own_rows(reader, node) for reader in read.get(target, ())):
        return True
    for i, s in enumerate(node.src):
        if s is None or s.root not in written:
            continue
        maker = written[s.root]
        if i not in OPS[node.op].local or not OPS[maker.op].by_rows:
            return True
        if maker.dst is not s or not same_shape_rows(s, node.dst) or not same_shape_rows(maker.dst, node.dst):
            return True
    return False


def same_shape_rows(a: Tensor, b: Tensor) -> bool:
    """Equal sizes but for the length of the row."""
    return a.ne[1:] == b.ne[1:]


def _reads_own_rows(reader: Node, writer: Node) -> bool:
    """Whether each thread reads, of the memory that `writer` writes, only the rows that it will write itself."""
    target = writer.dst
    if not OPS[writer.op].by_rows or not same_shape_rows(reader.dst, target):
        return False
    return all(
        i in OPS[reader.op].local and same_shape(s, target) and s.nb == target.nb and s.view_offs == target.view_offs
        for i, s in enumerate(reader.src)
        if s is not None and s.root is target.root
    )
