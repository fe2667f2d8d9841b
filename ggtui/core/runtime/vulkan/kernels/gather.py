"""Rows by index."""

from __future__ import annotations

from ggtui.core.graph.dag import Node
from ggtui.core.runtime.vulkan.kernels.base import Kernel, Maker
from ggtui.core.runtime.vulkan.kernels.mul_mat import PIECE, reads

_GROUP = 64


def _get_rows(node: Node) -> Kernel | None:
    a = node.src[0]
    assert a is not None
    if not (a.type.name == "i32" or (a.type.block == 1 and not a.packed) or reads(a)):
        return None
    columns = _GROUP * (PIECE if a.type.block > 1 else 1)
    return Kernel("get_rows", (a.type.id,), group=_GROUP, dims=(0b0001, 0b1110, 0), per=(columns, 1, 1))


KERNELS: dict[str, Maker] = {"get_rows": _get_rows}
