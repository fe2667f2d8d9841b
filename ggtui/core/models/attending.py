"""What the layers of a model ask for when tokens attend to others: of a session, whose keys and values lie in pages, or
of whole texts at once, as training reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ggtui.core.graph import ops
from ggtui.core.graph.tensor import Tensor
from ggtui.core.models.base import Attended, named, softcapped
from ggtui.core.models.store import KeysValues
from ggtui.core.runtime.context import Context


class Attention(Protocol):
    """n_ctx: how long a text may be."""

    n_ctx: int

    def attend(self, il: int, q: Tensor, k: Tensor, v: Tensor, scale: float, softcap: float = 0.0) -> Tensor:
        """What the queries of layer `il` make of the keys and values of all that they see: (d_v n_head, n_tokens), from
        heads q (d_k, n_head, n_tokens), k (d_k, n_head_kv, n_tokens), v (d_v, n_head_kv, n_tokens)."""
        ...


class Cache(Protocol):
    """Where keys and values are written, and read: of each layer a tensor, see Store."""

    n_ctx: int
    k: list[Tensor]
    v: list[Tensor]


class Paged:
    """Keys and values are stored, and queries see what is there of their sequence: `layers` says of each layer where
    it writes and reads."""

    def __init__(self, cache: Cache, layers: Sequence[Attended]) -> None:
        self.n_ctx, self._cache, self._layers = cache.n_ctx, cache, layers

    def attend(self, il: int, q: Tensor, k: Tensor, v: Tensor, scale: float, softcap: float = 0.0) -> Tensor:
        blk, (slots, seen, pages) = f"blk.{il}", self._layers[il]
        q, k, v = (ops.permute(heads, 0, 2, 1, 3) for heads in (q, k, v))  # (d, n_tokens, n_head)
        k_all = named(f"{blk}.k_store", ops.set_rows(self._cache.k[il], k, slots))
        v_all = named(f"{blk}.v_store", ops.set_rows(self._cache.v[il], v, slots))
        attn = ops.paged_attention(q, k_all, v_all, seen, pages, scale=scale, softcap=softcap)
        return ops.reshape(named(f"{blk}.attn", attn), attn.ne[0] * attn.ne[1], attn.ne[2])


class Whole:
    """`batch` texts of n_ctx tokens each, one behind the other: a token sees those before it in its text. Nothing is
    stored, so that there are gradients."""

    def __init__(self, layers: Sequence[KeysValues], batch: int, n_ctx: int) -> None:
        self.n_ctx, self._batch, self._windows = n_ctx, batch, [layer.window for layer in layers]
        context = Context()
        self._masks = {
            window: context.tensor(_window(n_ctx, window), f"window.{window}")
            for window in sorted(set(self._windows))
            if 0 < window < n_ctx
        }

    def attend(self, il: int, q: Tensor, k: Tensor, v: Tensor, scale: float, softcap: float = 0.0) -> Tensor:
        name, mask = f"blk.{il}.attn", self._masks.get(self._windows[il])
        q, k, v = (
            ops.permute(self._texts(f"{name}_{part}", heads), 0, 2, 1, 3)
            for part, heads in zip("qkv", (q, k, v), strict=True)
        )  # (d, n_ctx, n_head, batch)
        if not softcap:
            attn = named(name, ops.flash_attn_ext(q, k, v, mask, scale=scale, causal=True))
        else:
            scores = named(f"{name}.scores", ops.mul_mat(k, q))  # (n_ctx, n_ctx, n_head, batch)
            capped = softcapped(f"{name}.scores", named(f"{name}.scaled", ops.scale(scores, scale)), softcap)
            masked = named(f"{name}.masked", ops.diag_mask_inf(capped, 0))
            weights = named(f"{name}.weights", ops.soft_max(masked, mask))
            attn = named(name, ops.mul_mat(ops.transpose(v), weights))  # (d_v, n_ctx, n_head, batch)
            attn = named(name, ops.cont(ops.permute(attn, 0, 2, 1, 3)))
        return ops.reshape(attn, attn.ne[0] * attn.ne[1], attn.ne[2] * attn.ne[3])

    def _texts(self, name: str, heads: Tensor) -> Tensor:
        """(d, n_head, n_tokens) as (d, n_head, n_ctx, batch)."""
        heads = heads if heads.is_contiguous else named(f"{name}.cont", ops.cont(heads))
        return ops.reshape(heads, heads.ne[0], heads.ne[1], self.n_ctx, self._batch)


def _window(n_ctx: int, window: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """-inf where a token is too far behind: (token, seen)."""
    far = np.subtract.outer(np.arange(n_ctx), np.arange(n_ctx)) >= window
    return np.where(far, np.float32(-np.inf), np.float32(0))
