"""Where the keys and values of tokens lie: in pages, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ggtui.core.errors import UsageError
from ggtui.core.graph.ops import KV_TYPES, PAGE
from ggtui.core.graph.tensor import Tensor
from ggtui.core.graph.types import type_of
from ggtui.core.runtime.device import Device


class KeysValues(NamedTuple):
    """What a layer keeps of each token: for each of n_head_kv heads a key of d_k numbers and a value of d_v; of all
    tokens, or where there is a window of the last so many."""

    d_k: int
    d_v: int
    n_head_kv: int
    window: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """The layers of one window. They keep the same positions, so a page has the same number in all of them."""

    window: int
    layers: tuple[int, ...]
    n_pages: int


class Store:
    """Room for the keys and values of n_sequences sequences of up to n_ctx tokens, in the layout of a device.

    k[layer]  (d_k, PAGE n_pages, n_head_kv): on the CPU 32 positions side by side, so that one pass over d_k scores all
    v[layer]  (d_v, PAGE n_pages, n_head_kv): a row for each position, heads apart
    groups    in the order in which their first layers come; group_of[layer] is the number of a layer's

    A layer with a window has room for what a sequence still sees while `batch` more tokens are read. The system gives
    memory as pages are written.
    """

    def __init__(
        self, layers: Sequence[KeysValues], n_ctx: int, type: str, device: Device, *, batch: int, n_sequences: int = 1
    ) -> None:
        if type not in KV_TYPES:
            raise UsageError(f"kv-type {type!r}: choose one of {', '.join(KV_TYPES)}")
        block = type_of(type).block
        odd = next((d for layer in layers for d in (layer.d_k, layer.d_v) if d % block), None)
        if odd is not None:
            raise UsageError(f"kv-type {type}: heads of {odd} numbers are not whole blocks of {block}; use f16")
        self.type, self.context, self.n_ctx = type, device.context(), n_ctx
        by_window: dict[int, list[int]] = {}
        for il, layer in enumerate(layers):
            by_window.setdefault(layer.window, []).append(il)
        self.groups = tuple(
            Group(window, tuple(members), n_sequences * pages_of(n_ctx, window, batch))
            for window, members in by_window.items()
        )
        number = {il: i for i, group in enumerate(self.groups) for il in group.layers}
        self.group_of = tuple(number[il] for il in range(len(layers)))
        self.k: list[Tensor] = []
        self.v: list[Tensor] = []
        for il, layer in enumerate(layers):
            n = PAGE * self.groups[self.group_of[il]].n_pages
            k, v = ((d, n, layer.n_head_kv) for d in (layer.d_k, layer.d_v))
            self.k.append(self.context.new_tensor(type, k, f"blk.{il}.k_cache", use="keys"))
            self.v.append(self.context.new_tensor(type, v, f"blk.{il}.v_cache", use="values"))

    def expect(self, n_tokens: int) -> None:
        """To be called before so many tokens are written, where nothing is in it yet."""
        if 4 * n_tokens > PAGE * max(group.n_pages for group in self.groups):  # else most of a huge page would be empty
            self.context.use_huge_pages()

    def copy_page(self, group: int, source: int, target: int) -> None:
        """All that a page holds, into another one."""
        for il in self.groups[group].layers:
            for t in (self.k[il], self.v[il]):
                n = PAGE * t.nb[1]
                for head in range(t.ne[2]):
                    assert t.buffer is not None
                    t.buffer.copy_within(t, head * t.nb[2] + source * n, head * t.nb[2] + target * n, n)

    @property
    def n_bytes(self) -> int:
        return self.context.used_mem()

    @property
    def bytes_per_token(self) -> int:
        """What one more token takes."""
        return sum(t.nb[1] * t.ne[2] for t in (*self.k, *self.v))


def pages_of(n_ctx: int, window: int, batch: int) -> int:
    """The most pages that a sequence of n_ctx tokens has in a group, while it reads `batch` more: as many as its tokens
    fill, or those that a window and the batch touch."""
    filled = -(-n_ctx // PAGE)
    return min(filled, -(-(window + batch) // PAGE) + 1) if window else filled
