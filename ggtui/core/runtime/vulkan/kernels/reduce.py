"""Ops that make one value of many."""

from __future__ import annotations

from ggtui.core.graph.dag import Node
from ggtui.core.runtime.vulkan.kernels.base import ROWS, Kernel, Maker, threads_for

# numbers of the ops, as shaders/reduce.comp has them
_REDUCTIONS = {"sum": 0, "sum_rows": 1, "mean": 2, "argmax": 3}


def _reduction(node: Node) -> Kernel | None:
    a = node.src[0]
    assert a is not None
    constants = (_REDUCTIONS[node.op],)
    if node.op == "sum":  # there is one result, so one workgroup
        return Kernel("reduce", constants)
    return Kernel("reduce", constants, threads_for(a), covers=0, dims=ROWS, per=(1, 1, 1))


KERNELS: dict[str, Maker] = dict.fromkeys(_REDUCTIONS, _reduction)
