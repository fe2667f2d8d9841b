"""What the CPU adds to the table of ops: rounding activations to 8 bits, as a node of its own."""

from __future__ import annotations

from ggtui.core.graph.cost import Cost
from ggtui.core.graph.dag import Node
from ggtui.core.graph.ops import OPS, Op
from ggtui.core.graph.ops.base import per_element, plain_traffic
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TYPES

ROUNDED = TYPES["q8_a"]


def quantize(x: Tensor) -> Tensor:
    """`x` in 8 bits, 32 values sharing a scale: what products with weights in blocks read."""
    name = x.name or x.root.name
    return Tensor.of_op("quantize", ROUNDED, x.ne, (x,), n_dims=x.n_dims, name=f"{name}:round" if name else "")


CPU_OPS: dict[str, Op] = {
    **OPS,
    "quantize": Op(quantize, "round", per_element(4), plain_traffic, (0,)),
}


def op_of(node: Node) -> Op:
    """The row of the op that a node runs as."""
    return CPU_OPS[node.op]


def kind(node: Node) -> str:
    return op_of(node).kind


def flops(node: Node) -> Cost:
    """Operations of all that a node computes."""
    total = Cost()
    for t in node.originals:
        total = total.plus(CPU_OPS[t.op].flops(t))
    return total


def traffic(node: Node) -> Cost:
    """Bytes that a node reads and writes: what lies between the ops that it joins is neither."""
    return op_of(node).traffic(node.dst, node.src)
