"""What the CPU adds to the table of ops: what several nodes share is made by a node of its own."""

from __future__ import annotations

from collections.abc import Sequence

from ggtui.core.graph.cost import Cost
from ggtui.core.graph.dag import Node
from ggtui.core.graph.ops import OPS, Op
from ggtui.core.graph.ops.base import per_element, plain_traffic
from ggtui.core.graph.tensor import Param, Tensor
from ggtui.core.graph.types import TYPES

ROUNDED = TYPES["q8_a"]
_ANGLE_FLOPS = 20  # a sine or a cosine of double precision


def quantize(x: Tensor) -> Tensor:
    """`x` in 8 bits, 32 values sharing a scale: what products with weights in blocks read."""
    name = x.name or x.root.name
    return Tensor.of_op("quantize", ROUNDED, x.ne, (x,), n_dims=x.n_dims, name=f"{name}:round" if name else "")


def rope_angles(positions: Tensor, factors: Tensor | None, n_pairs: int, params: Sequence[Param]) -> Tensor:
    """By what the pairs of a token's heads turn, for all ropes of these parameters: f32 (2 n_pairs, n_tokens), cosines
    and then sines, times attn_factor."""
    name = f"{positions.name}:angles" if positions.name else ""
    ne = (2 * n_pairs, positions.ne[0])
    return Tensor.of_op("rope_angles", TYPES["f32"], ne, (positions, factors), op_params=params, n_dims=2, name=name)


CPU_OPS: dict[str, Op] = {
    **OPS,
    "rope_angles": Op(rope_angles, "rope", per_element(_ANGLE_FLOPS), plain_traffic, ()),
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
