"""The keys and values of all tokens so far, layer by layer."""

from __future__ import annotations

from ggtui.core.errors import UsageError
from ggtui.core.graph.tensor import Context, Tensor

KV_TYPES = ("f16", "f32")


class KVCache:
    """Room for n_ctx tokens.

    k[layer]  (d_head, n_ctx, n_head_kv), packed: 32 positions side by side, so that one pass over d_head scores them
    all v[layer]  (d_head, n_ctx, n_head_kv): a row for each position, heads apart
    """

    def __init__(self, n_layer: int, d_head: int, n_head_kv: int, n_ctx: int, type: str = "f16") -> None:
        if type not in KV_TYPES:
            raise UsageError(f"kv-type {type!r}: choose one of {', '.join(KV_TYPES)}")
        self.context = Context(huge_pages=False)
        ne = (d_head, n_ctx, n_head_kv)
        self.k = [self.context.new_tensor(type, ne, f"blk.{i}.k_cache", packed=True) for i in range(n_layer)]
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
