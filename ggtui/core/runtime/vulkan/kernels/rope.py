"""Rotary position embedding, in all modes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ggtui.core.graph.dag import Node
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.ops.in_numpy import Array
from ggtui.core.graph.ops.in_numpy.rope import NORMAL, turning
from ggtui.core.graph.tensor import Param
from ggtui.core.runtime.vulkan.kernels.base import Kernel, Maker

_HEADS = 4  # that turn by an angle once it is there, as shaders/rope.comp has it


def _rope(node: Node) -> Kernel | None:
    inverse = node.params[13]
    if inverse or any(isinstance(p, Dim) for p in node.params):
        return None
    made = _turns(node.params)
    if made is None:
        return None
    table, attn_factor = made
    neighbours = int(node.params[1] == NORMAL)
    params = (len(table) // 4, attn_factor)
    return Kernel("rope", (neighbours,), per=(2 * _HEADS * 256, 1, 1), params=params, tables=(table,))


@lru_cache(maxsize=64)
def _turns(params: tuple[Param, ...]) -> tuple[Array, float] | None:
    """Four numbers of each pair: by what share of a full turn it turns from one position to the next, and its section;
    and what all sizes are multiplied by. None where a pair does not turn, or turns back.

    The share is mantissa * 2^-shift. The mantissa has 64 bits, of which the first is set, the lower half before the
    upper one.
    """
    freq, section, attn_factor = turning(params)
    if freq.min() <= 0:
        return None
    fraction, exponent = np.frexp(freq / (2 * np.pi))
    mantissa = np.ldexp(fraction, 64).astype(np.uint64)
    table = np.empty((len(freq), 4), np.int32)
    table[:, :2] = mantissa.view(np.int32).reshape(-1, 2)
    table[:, 2], table[:, 3] = 64 - exponent, section
    return table.reshape(-1), attn_factor


KERNELS: dict[str, Maker] = {"rope": _rope}
