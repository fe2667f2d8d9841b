"""Vulkan's passes: a Dag in, a ScheduledDag out. Neighbours are joined by the patterns that all devices share."""

from __future__ import annotations

from ggtui.core.graph.dag import Dag, Node
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.passes.allocate import allocate
from ggtui.core.runtime.passes.fuse import fuse, name_parts
from ggtui.core.runtime.passes.parts import Product
from ggtui.core.runtime.passes.scheduled import ScheduledDag
from ggtui.core.runtime.vulkan.kernels.mul_mat import reads


def run_passes(dag: Dag, *, fused: bool) -> ScheduledDag:
    """All passes in their order; `fused=False` leaves every op a node of its own."""
    dag = name_parts(dag)
    return allocate(in_phases(fuse(dag, _both_read) if fused else dag))


def _both_read(gate: Product, up: Product) -> bool:
    return reads(gate.weights) and reads(up.weights)


def in_phases(dag: Dag) -> ScheduledDag:
    """Each node in the first phase that it can be in: nodes of a phase don't depend on each other, so that the device
    may do them side by side, and between phases what was written before must be there."""
    phase: dict[Node, int] = {}
    written: dict[Tensor, int] = {}  # the phase in which a root was written last, and read last
    read: dict[Tensor, int] = {}
    for node in dag.nodes:
        root = node.dst.root
        sources = {s.root for s in node.src if s is not None}
        after = [written.get(root, -1), read.get(root, -1), *(written.get(s, -1) for s in sources)]
        phase[node] = max(after) + 1
        for s in sources:
            read[s] = max(read.get(s, 0), phase[node])
        written[root] = phase[node]
    return ScheduledDag(sorted(dag.nodes, key=phase.__getitem__), dag.outputs, dag.kept, dag.given, phase)
