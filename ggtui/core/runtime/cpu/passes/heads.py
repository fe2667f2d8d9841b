"""Finds attention that threads can share by heads, from its queries, keys and values to its result.

For one token, a mul_mat makes q, k and v of all heads, set_rows stores k and v, flash_attn_ext reads them: what is made
of one head, the other heads never see. So a thread that goes through all four with heads of its own need not meet the
others.
"""

from __future__ import annotations

from dataclasses import replace

from ggtui.core.graph.dag import Dag, Node
from ggtui.core.graph.tensor import Dim, Tensor
from ggtui.core.runtime.cpu.native import lib

HEADS_NODES = 4  # that follow each other: mul_mat, set_rows twice, flash_attn_ext
_MAX_UNEVEN = 1.25  # how much longer the thread with most heads may take than with the same share for all


def share_heads(dag: Dag, threads: int | None) -> Dag:
    """Sets `heads` where it can be done, and where so many threads get about as many heads each."""
    nodes = list(dag.nodes)
    for first in range(len(nodes) - HEADS_NODES + 1):
        group = nodes[first : first + HEADS_NODES]
        heads = _heads(*group)
        if heads is not None and (threads is None or _even(heads[0], threads)):
            nodes[first : first + HEADS_NODES] = [replace(node, heads=heads) for node in group]
    return dag.with_nodes(nodes)


def _even(n_head: int, threads: int) -> bool:
    return -(-n_head // threads) * threads <= _MAX_UNEVEN * n_head


def _heads(qkv: Node, k_store: Node, v_store: Node, attn: Node) -> tuple[int, int] | None:
    """Heads and values of each, where the four nodes are one token's attention."""
    if [qkv.op, k_store.op, v_store.op, attn.op] != ["mul_mat", "set_rows", "set_rows", "flash_attn_ext"]:
        return None
    weights, (q, k, v) = qkv.src[0], attn.src[:3]
    assert weights is not None and q is not None and k is not None and v is not None
    d_head, n_tokens, n_head, ne3 = q.ne
    if n_tokens != 1 or isinstance(n_tokens, Dim) or ne3 != 1 or n_head > lib.GG_MAX_HEADS:
        return None
    if not weights.packed or d_head % lib.GG_TILE or qkv.dst.n_rows != 1 or qkv.dst.ne[0] % (d_head * n_head):
        return None
    parts = (q, k_store.src[0], v_store.src[0])
    stored = k.root is k_store.dst.root and v.root is v_store.dst.root and k.root is not v.root
    apart = all(_whole(seen, store.dst, n_head) for seen, store in ((k, k_store), (v, v_store)))
    fits = stored and apart and all(part is not None and _is_part(part, q, qkv.dst) for part in parts)
    return (n_head, d_head) if fits else None


def _is_part(part: Tensor, q: Tensor, made: Tensor) -> bool:
    """Whether it is like `q`: all heads, one after the other, of a part of what was made."""
    size = q.type.bytes
    return (
        part.root is made.root
        and part.ne == q.ne
        and (part.nb[0], part.nb[2]) == (size, q.ne[0] * size)
        and (part.view_offs - made.view_offs) % (q.ne[0] * q.ne[2] * size) == 0
    )


def _whole(seen: Tensor, cache: Tensor, n_head: int) -> bool:
    """Whether head for head the same is seen of a cache as is written to it."""
    return seen.view_offs == cache.view_offs and seen.nb[2] == cache.nb[2] and seen.ne[2] == cache.ne[2] == n_head
