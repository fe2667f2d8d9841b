"""Ops that move values: to another type, layout or shape, over and over, joined, rows by index into a store."""

from __future__ import annotations

from ggtui.core.graph.dag import Node
from ggtui.core.graph.ops.base import same_shape
from ggtui.core.graph.types import TYPES, TensorType
from ggtui.core.runtime.vulkan.kernels.base import Kernel, Maker
from ggtui.core.runtime.vulkan.kernels.elementwise import grid, without_gaps

_COPY, _RESHAPE, _REPEAT, _CONCAT = range(4)  # as shaders/copy.comp has them
_PLAIN = ("f32", "f16", "bf16", "i32")
_STORED = (*_PLAIN, "q8_0")
_WORD = 2  # bytes: every type of blocks is made of whole ones
_GROUP, _LANE_VALUES = 64, 4  # of set_rows; values of a block that a thread has


def _moved(op: int, flat: bool, node: Node) -> Kernel | None:
    """A dispatch of copy.comp; None for what would have to be decoded, or encoded."""
    source, target = (t.type for t in (node.src[0], node.dst) if t is not None)
    if source is target and source.block > 1 and not source.own and source.bytes % _WORD == 0:
        source = target = TYPES["f16"]  # words are moved as this type's values are
    elif source.name not in _PLAIN or target.name not in _PLAIN:
        return None
    block, words = _unit(node.dst.type)
    layout, groups = grid(node.dst, flat)
    return Kernel("copy", (op, source.id, target.id, block, words, layout), **groups)


def _unit(type: TensorType) -> tuple[int, int]:
    """The values that lie together, and the elements that they are moved as."""
    return (type.block, type.bytes // _WORD) if type.block > 1 else (1, 1)


def _copy(node: Node) -> Kernel | None:
    a = node.src[0]
    assert a is not None
    flat = without_gaps(a) and without_gaps(node.dst)
    return _moved(_COPY if same_shape(a, node.dst) else _RESHAPE, flat, node)


def _repeat(node: Node) -> Kernel | None:
    return _moved(_REPEAT, False, node)


def _concat(node: Node) -> Kernel | None:
    return _moved(_CONCAT, False, node)


def _set_rows(node: Node) -> Kernel | None:
    if node.dst.packed or node.dst.type.name not in _STORED:
        return None
    per = _GROUP * (_LANE_VALUES if node.dst.type.block > 1 else 1)
    return Kernel("set_rows", (node.dst.type.id,), _GROUP, covers=0, dims=(0b1101, 0, 0), per=(per, 1, 1))


KERNELS: dict[str, Maker] = {
    **dict.fromkeys(("dup", "cont", "cpy"), _copy),
    "repeat": _repeat,
    "concat": _concat,
    "set_rows": _set_rows,
}
