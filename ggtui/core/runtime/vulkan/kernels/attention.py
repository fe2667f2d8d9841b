"""Fused attention, over keys and values in one piece or in pages."""

from __future__ import annotations

from ggtui.core.graph.dag import Node
from ggtui.core.graph.dim import Dim
from ggtui.core.graph.tensor import Tensor
from ggtui.core.runtime.vulkan.kernels.base import Kernel, Maker

# as shaders/attention.comp has it
_ROWS = 8  # queries of a tile: a query head of a token each
_LONGEST = 512
_GROUP = 256


def _in_fours(t: Tensor) -> bool:
    """Whether each row is whole vectors of 4 values that lie where the device reads them at once. Blocks always are."""
    if t.type.block > 1:
        return True
    four = 4 * t.type.bytes
    return t.ne[0] % 4 == 0 and t.nb[0] == t.type.bytes and all(n % four == 0 for n in (t.view_offs, *t.nb[1:]))


def _attention(node: Node) -> Kernel | None:
    paged = node.op == "paged_attention"
    q, k, v = node.src[:3]
    assert q is not None and k is not None and v is not None
    fixed = (k.ne[0], v.ne[0], q.ne[2], k.ne[2])
    d_k, d_v, n_head, n_head_kv = fixed
    if any(isinstance(n, Dim) or n == 0 for n in fixed) or max(d_k, d_v) > _LONGEST:
        return None
    if k.type.name not in ("f32", "f16", "q8_0"):
        return None
    group = n_head // n_head_kv
    parts = -(-group // _ROWS)  # a large group is shared by several workgroups
    heads = -(-group // parts)
    tokens = _ROWS // heads
    constants = (k.type.id, int(paged), d_k, d_v, heads, tokens, int(_in_fours(k)), int(_in_fours(v)))
    # of the result (d_v, n_head, n_tokens, ne3)
    return Kernel("attention", constants, _GROUP, dims=(0b0010, 0b0100, 0b1000), per=(group // parts, 1, 1))


KERNELS: dict[str, Maker] = dict.fromkeys(("paged_attention", "flash_attn_ext"), _attention)
