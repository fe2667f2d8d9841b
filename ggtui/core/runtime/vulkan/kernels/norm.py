"""Norms, with the weight and the bias that follow them."""

from __future__ import annotations

from ggtui.core.graph.dag import Node
from ggtui.core.runtime.passes.parts import Joined, Norm
from ggtui.core.runtime.vulkan.kernels.base import ROWS, Kernel, Maker, threads_for

# numbers of the ops, as shaders/norm.comp has them
_NORMS = {"norm": 0, "rms_norm": 1, "l2_norm": 2}


def _norm(node: Node) -> Kernel | None:
    assert isinstance(node, Joined) and isinstance(node.parts, Norm)
    group = threads_for(node.parts.x)
    return Kernel("norm", (_NORMS[node.op],), group, dims=ROWS, per=(1, 1, 1), params=(node.parts.eps,))


KERNELS: dict[str, Maker] = dict.fromkeys(_NORMS, _norm)
