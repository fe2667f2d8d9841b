"""soft_max, with mask, slopes and sinks."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ggtui.core.graph.dag import Node
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.ops.in_numpy import Array
from ggtui.core.graph.ops.in_numpy.attention import alibi_slopes
from ggtui.core.runtime.vulkan.kernels.base import ROWS, Kernel, Maker, threads_for

# types of masks, as shaders/soft_max.comp has them
_MASKS = {"": 0, "f32": 1, "f16": 2}


def _soft_max(node: Node) -> Kernel | None:
    a, mask, _ = node.src
    scale, max_bias = node.params
    assert a is not None
    n_head = a.ne[2]
    if max_bias and isinstance(n_head, Dim):  # slopes hang on how many heads there are in all
        return None
    type = "" if mask is None else mask.type.name
    tables = (_slopes(n_head, float(max_bias)),) if max_bias else ()
    group = threads_for(a)
    return Kernel("soft_max", (_MASKS[type],), group, dims=ROWS, per=(1, 1, 1), params=(scale,), tables=tables)


@lru_cache(maxsize=64)
def _slopes(n_head: int, max_bias: float) -> Array:
    return alibi_slopes(n_head, max_bias).astype(np.float32)


KERNELS: dict[str, Maker] = {"soft_max": _soft_max}
