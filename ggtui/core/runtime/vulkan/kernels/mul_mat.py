"""Matrix multiplication: a shader for few columns, whose time is that of reading weights, and one for many."""

from __future__ import annotations

from ggtui.core.graph.dag import Node
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.passes.parts import Joined, Product
from ggtui.core.runtime.vulkan.kernels.base import Kernel, Maker
from ggtui.core.runtime.vulkan.kernels.elementwise import UNARY

# what weights can be, and where their rows must begin so that a shader may read several bytes at once
TYPES = {
    "f32": 4, "f16": 2, "bf16": 2,
    "q4_0": 2, "q4_1": 4, "q5_0": 2, "q5_1": 4, "q8_0": 2, "q4_k": 16, "q5_k": 16, "q6_k": 2,
}  # fmt: skip

_NO_TYPE = -1
# what shaders/product.glsl calls FLAGS
_X_ALIGNED, _WEIGHTS_ALIGNED, _UP_ALIGNED, _BIAS, _UP_BIAS, _RESIDUAL, _MATRICES, _CUT = (1 << i for i in range(8))
_MOST_COLUMNS = 8  # of the shader for few
PIECE = 16  # weights that a thread decodes at once


def reads(weights: Tensor) -> bool:
    """Whether shaders can read these weights: rows without gaps inside, of a type that they know, in its own order."""
    size = TYPES.get(weights.type.name)
    return size is not None and not weights.packed and weights.nb[0] == weights.type.bytes and _begin_at(weights, size)


def _begin_at(t: Tensor, size: int) -> bool:
    """Whether all rows begin at multiples of so many bytes; memory as a whole does."""
    return not any(n % size for n in (t.view_offs, *t.nb[1:]))


def _mul_mat(node: Node) -> Kernel | None:
    assert isinstance(node, Joined) and isinstance(node.parts, Product)
    parts = node.parts
    x, up, k = parts.x, parts.up, parts.weights.ne[0]
    if not reads(parts.weights) or (up is not None and not reads(up)) or x.type.name != "f32" or x.nb[0] != 4:
        return None
    flags = sum(
        flag
        for flag, holds in (
            (_X_ALIGNED, _begin_at(x, 16)),
            (_WEIGHTS_ALIGNED, _begin_at(parts.weights, 16)),
            (_UP_ALIGNED, up is not None and _begin_at(up, 16)),
            (_BIAS, parts.bias is not None),
            (_UP_BIAS, parts.up_bias is not None),
            (_RESIDUAL, parts.residual is not None),
            (_MATRICES, x.ne[2:] != (1, 1)),
            (_CUT, parts.weights.type.block == 1 and (isinstance(k, Dim) or k % PIECE)),
        )
        if holds
    )
    up_type = _NO_TYPE if up is None else up.type.id
    constants = (parts.weights.type.id, up_type, UNARY[parts.activation], flags)
    return _few_columns(constants, parts) if x.ne[1] <= _MOST_COLUMNS else _many_columns(constants, parts)


def _few_columns(constants: tuple[int, ...], parts: Product) -> Kernel:
    """Several rows a group let it read x less often; but there must be groups enough to keep the device busy."""
    k, m = parts.weights.ne[:2]
    columns = next(c for c in (1, 2, 4, _MOST_COLUMNS) if parts.x.ne[1] <= c)
    rows = 1 if m < 256 else 2 if m < 1024 else 4
    group = 64 if k > 32 * PIECE else 32
    return Kernel(
        "mul_mat_vec", (*constants, rows, columns), group=group, dims=(0b0001, 0b0010, 0b1100), per=(rows, columns, 1)
    )


def _many_columns(constants: tuple[int, ...], parts: Product) -> Kernel:
    """Large tiles need less of memory, small ones leave fewer threads without work: large ones for large results."""
    m, n = parts.weights.ne[1], parts.x.ne[1]
    if parts.up is not None:
        own_m, own_n, across, depth, group = 4, 8, 8, 2, 64
    elif n <= 32:
        own_m, own_n, across, depth, group = 8, 4, 8, 2, 64
    elif m * n < 128 * 128 * 128:
        own_m, own_n, across, depth, group = 8, 8, 8, 1, 64
    else:
        own_m, own_n, across, depth, group = 8, 8, 16, 1, 256
    per = (across * own_m, group // across * own_n, 1)
    constants = (*constants, own_m, own_n, across, depth)
    return Kernel("mul_mat", constants, group=group, dims=(0b0001, 0b0010, 0b1100), per=per)


KERNELS: dict[str, Maker] = {"mul_mat": _mul_mat}
