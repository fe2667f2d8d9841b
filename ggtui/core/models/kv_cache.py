"""The keys and values of all tokens so far, layer by layer."""

from __future__ import annotations

from collections.abc import Callable

from ggtui.core.errors import UsageError
from ggtui.core.graph.ops import PAGE
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import TensorType, type_of
from ggtui.core.runtime.context import Context

KV_TYPES = ("f16", "f32")


class KVCache:
    """Room for n_ctx tokens, in whole pages, in the layout of a device (Device.layout).

    k[layer]  (d_head, PAGE n_pages, n_head_kv): on the CPU 32 positions side by side, so that one pass over d_head
              scores all
    v[layer]  (d_head, PAGE n_pages, n_head_kv): a row for each position, heads apart
    """

    def __init__(
        self, n_layer: int, d_head: int, n_head_kv: int, n_ctx: int, type: str, layout: Callable[[TensorType, str], int]
    ) -> None:
        if type not in KV_TYPES:
            raise UsageError(f"kv-type {type!r}: choose one of {', '.join(KV_TYPES)}")
        self.context = Context(huge_pages=False)
        ne, packed = (d_head, -(-n_ctx // PAGE) * PAGE, n_head_kv), layout(type_of(type), "keys") > 1
        self.k = [self.context.new_tensor(type, ne, f"blk.{i}.k_cache", packed=packed) for i in range(n_layer)]
        self.v = [self.context.new_tensor(type, ne, f"blk.{i}.v_cache") for i in range(n_layer)]

    def make_room(self, n_past: int, n_tokens: int) -> None:
        """To be called before so many tokens are added."""
        if n_past == 0 and 4 * n_tokens > self.k[0].ne[1]:  # else most of a huge page would be empty
            self.context.use_huge_pages()

    @property
    def n_bytes(self) -> int:
        return self.context.used_mem()

    @property
    def bytes_per_token(self) -> int:
        """What one more token takes."""
        return sum(_row(t) for t in (*self.k, *self.v))


def _row(t: Tensor) -> int:
    return t.nb[1] * t.ne[2]
