"""Ops that work value by value."""

from __future__ import annotations

from typing import Any

from ggtui.core.graph.dag import Node
from ggtui.core.graph.dim import Dim, same_dim
from ggtui.core.graph.ops import OPS
from ggtui.core.graph.ops.base import same_shape
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.vulkan.kernels.base import Kernel, Maker

# numbers of the functions, as shaders/activations.glsl has them; products are followed by them too, 0 is none
UNARY = {
    "": 0, "sqr": 1, "sqrt": 2, "neg": 3, "log": 4, "exp": 5, "relu": 6, "tanh": 7, "sigmoid": 8, "silu": 9,
    "gelu": 10, "gelu_erf": 11, "gelu_quick": 12,
}  # fmt: skip

# op -> its constants 1 and 2, as shaders/elementwise.comp has them: what kind it is, and which one of those
_NUMBERS = {
    "add": (0, 0), "sub": (0, 1), "mul": (0, 2), "div": (0, 3),
    **{op: (1, number) for op, number in UNARY.items() if op},
    "scale": (2, 0), "clamp": (3, 0), "diag_mask_inf": (4, 0),
    **{op: (5, UNARY[OPS[op].activation]) for op in ("swiglu", "geglu")},
}  # fmt: skip
_GROUP, _VALUES, _ROWS = 256, 4, 4  # threads of a group; values of a thread, in each of so many rows
_SHORT = 64  # rows below it fill no group


def without_gaps(t: Tensor) -> bool:
    """Whether in every run each value follows the one before. A size that varies leaves a gap behind all it holds."""
    inner = list(t.ne)
    while len(inner) > 1 and inner[-1] == 1 and not isinstance(inner[-1], Dim):
        inner.pop()
    return t.is_contiguous and not any(isinstance(n, Dim) for n in inner[:-1])


def _repeats(b: Tensor, a: Tensor) -> bool:
    """Whether a is b over and over: inner sizes are the same, and outer ones of b are 1."""
    n = 4
    while n and b.ne[n - 1] == 1 and not isinstance(b.ne[n - 1], Dim):
        n -= 1
    return all(same_dim(b.ne[d], a.ne[d]) for d in range(n))


def _flat(node: Node) -> bool:
    """Whether value i of the result is made of those at i of the sources, wherever i lies in its row."""
    a, *others = (s for s in node.src if s is not None)
    fits = same_shape(a, node.dst) and all(_repeats(b, a) and without_gaps(b) for b in others)
    return fits and without_gaps(a) and without_gaps(node.dst) and node.op != "diag_mask_inf"


def grid(y: Tensor, flat: bool) -> tuple[int, dict[str, Any]]:
    """How groups are cut from a result: the number of the layout that the shaders call COUNTED, FLAT or ROWS, and what
    is said of the groups."""
    if flat or y.ne[0] < _SHORT:
        return int(flat), {"group": _GROUP, "per": (_GROUP * _VALUES, 1, 1)}
    group = _GROUP if y.ne[0] >= _GROUP else _SHORT
    return 2, {"group": group, "dims": (0b0001, 0b1110, 0), "per": (group * _VALUES, _ROWS, 1)}


def _elementwise(node: Node) -> Kernel | None:
    layout, groups = grid(node.dst, _flat(node))
    return Kernel("elementwise", (*_NUMBERS[node.op], layout), **groups)


KERNELS: dict[str, Maker] = dict.fromkeys(_NUMBERS, _elementwise)
