"""Which shader runs which node: one table, a file a family."""

from __future__ import annotations

from ggtui.core.graph.dag import Node
from ggtui.core.graph.ops import OPS
from ggtui.core.runtime.passes.fuse import CHAINS
from ggtui.core.runtime.passes.parts import Joined
from ggtui.core.runtime.vulkan.kernels import (
    attention,
    elementwise,
    gather,
    mul_mat,
    norm,
    reduce,
    rope,
    shape,
    soft_max,
)
from ggtui.core.runtime.vulkan.kernels.base import Kernel, Maker

FAMILIES = (attention, elementwise, gather, mul_mat, norm, reduce, rope, shape, soft_max)
KERNELS: dict[str, Maker] = {op: maker for family in FAMILIES for op, maker in family.KERNELS.items()}

# of which types tensors of a use can lie on the device, see USES of runtime/context.py
HELD: dict[str, tuple[str, ...]] = {
    "weights": ("f32", "f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q4_k", "q5_k", "q6_k"),
    "rows": ("f32", "f16", "bf16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q4_k", "q5_k", "q6_k"),
    "keys": ("f32", "f16", "q8_0"),
    "values": ("f32", "f16", "q8_0"),
    "inputs": ("f32", "f16", "bf16", "i32", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q4_k", "q5_k", "q6_k"),
}


def kernel_of(node: Node) -> Kernel | None:
    """How a node runs; None where the device has nothing for it. Products and norms have parts by name."""
    maker = KERNELS.get(node.op)
    if maker is not None and OPS[node.op].kind in CHAINS and not isinstance(node, Joined):
        node = Joined.of(node)
    return None if maker is None else maker(node)
