"""Attention of one token that threads share by heads: when they do, and that nothing else comes out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ggtui import Context, Graph, Tensor, load, ops
from ggtui.core.graph.dag import Node
from ggtui.core.runtime.cpu.passes import run_passes

RNG = np.random.default_rng(11)
D_HEAD, N_CTX = 32, 20


class Attention:
    """One token's attention as a model writes it, and its parts to spoil."""

    def __init__(self, n_head: int = 4, d_head: int = D_HEAD, n_tokens: int = 1, type: str = "q8_0") -> None:
        ctx, n_embd = Context(), n_head * d_head
        self.ctx, self.n_head, self.d_head, self.n_tokens = ctx, n_head, d_head, n_tokens
        self.x = ctx.tensor(RNG.standard_normal((n_tokens, n_embd), dtype=np.float32), "x")
        self.w = ctx.tensor(RNG.standard_normal((3 * n_embd, n_embd), dtype=np.float32), "w", type, packed=True)
        self.bias = ctx.tensor(RNG.standard_normal(3 * n_embd, dtype=np.float32), "bias")
        self.k = ctx.new_tensor("f16", (d_head, N_CTX, n_head), "k", packed=True)
        self.v = ctx.new_tensor("f16", (d_head, N_CTX, n_head), "v")
        self.positions = ctx.tensor(np.arange(n_tokens, dtype=np.int32), "positions")

    def part(self, qkv: Tensor, i: int) -> Tensor:
        nb = (self.d_head * 4, qkv.nb[1])
        seen = ops.view(qkv, (self.d_head, self.n_head, self.n_tokens), nb, offset=i * self.n_head * self.d_head * 4)
        return ops.permute(seen, 0, 2, 1, 3)

    def graph(self, parts: tuple[int, int, int] = (0, 1, 2), first_head: int = 0) -> tuple[Graph, Tensor]:
        qkv = ops.add(ops.mul_mat(self.w, self.x), self.bias)
        q, k, v = (self.part(qkv, i) for i in parts)
        stored = [ops.set_rows(to, rows, self.positions) for to, rows in ((self.k, k), (self.v, v))]
        ne = (self.d_head, self.n_tokens, self.n_head)
        out = ops.flash_attn_ext(q, *(ops.view(t, ne) for t in stored), scale=0.5, causal=True)
        g = Graph()
        g.build_forward_expand(out)
        return g, out


def nodes(g: Graph, threads: int | None = None) -> list[Node]:
    return run_passes(g.dag(), threads=threads).nodes


def test_threads_keep_their_heads_from_the_product_to_the_result() -> None:
    g, _ = Attention().graph()
    found = nodes(g)
    assert [n.op for n in found] == ["mul_mat", "set_rows", "set_rows", "flash_attn_ext"]
    assert [n.heads for n in found] == [(4, D_HEAD)] * 4 and {n.phase for n in found} == {0}


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"n_tokens": 2}, "several tokens are shared by rows and columns"),
        ({"d_head": 24}, "a head is no whole number of tiles"),
        ({"n_head": 264, "d_head": 16, "type": "f32"}, "more heads than a thread can remember"),
    ],
)
def test_what_does_not_come_apart_is_not_shared(options: dict[str, Any], why: str) -> None:
    g, _ = Attention(**options).graph()
    assert {n.heads for n in nodes(g)} == {None}, why


def test_queries_that_are_no_heads_of_the_product_are_not_shared() -> None:
    a = Attention()
    a.part = lambda qkv, i: ops.permute(  # type: ignore[method-assign]
        ops.view(qkv, (D_HEAD, 4, 1), (2 * D_HEAD * 4, qkv.nb[1]), offset=i * D_HEAD * 4), 0, 2, 1, 3
    )
    assert {n.heads for n in nodes(a.graph()[0])} == {None}


def test_heads_that_threads_cannot_share_evenly_are_not_shared() -> None:
    g, _ = Attention(n_head=4).graph()
    assert [nodes(g, threads)[0].heads is not None for threads in (1, 2, 3, 4, 6)] == [True, True, False, True, False]


@pytest.mark.parametrize("type", ["f32", "f16", "q4_0", "q8_0", "q6_k"])
@pytest.mark.parametrize("parts", [(0, 1, 2), (2, 0, 1), (1, 1, 1)])
def test_the_result_is_that_of_separate_nodes(type: str, parts: tuple[int, int, int]) -> None:
    a = Attention(n_head=8, type=type)
    g, out = a.graph(parts)
    assert nodes(g)[0].heads == (8, D_HEAD)
    results = []
    for fused in (False, True):
        for threads in (1, 2, 3, 8, 11):
            a.k.bytes()[:], a.v.bytes()[:] = 0, 0
            g.compute(threads=threads, fused=fused)
            results.append((out.numpy().tobytes(), a.k.bytes().tobytes(), a.v.bytes().tobytes()))
    assert len(set(results)) == 1


def test_what_comes_from_outside_the_heads_is_waited_for() -> None:
    """A mask that is made right before, a cache that is read right before it is written, and one that two share."""
    a = Attention()
    qkv = ops.add(ops.mul_mat(a.w, a.x), a.bias)
    q, k, v = (a.part(qkv, i) for i in range(3))
    ne = (D_HEAD, 1, 4)
    before = ops.cont(a.v)
    mask = ops.neg(a.ctx.tensor(np.ones((1, 1), np.float32)))
    seen = [ops.view(ops.set_rows(to, rows, a.positions), ne) for to, rows in ((a.k, k), (a.v, v))]

    def phases(*outputs: Tensor) -> list[tuple[str, int]]:
        g = Graph()
        for t in outputs:
            g.build_forward_expand(t)
        return [(n.op, n.phase) for n in nodes(g) if n.heads or n.op in ("neg", "cont")]

    group = ["mul_mat", "set_rows", "set_rows", "flash_attn_ext"]
    masked = ops.flash_attn_ext(q, *seen, mask)
    assert phases(mask, masked) == [("neg", 0), *[(op, 1) for op in group]]
    assert phases(before, ops.flash_attn_ext(q, *seen)) == [("cont", 0), *[(op, 1) for op in group]]
    twice = [a.graph()[1] for _ in range(2)]
    assert phases(*twice) == [(op, phase) for phase in (0, 1) for op in group]


def test_a_model_s_token_takes_four_meetings_a_layer() -> None:
    session = load(threads=2)
    info = session.graphs()[0]
    assert max(n.phase for n in info.nodes) == 4 * session.hparams.n_layer + 1
    assert {n.phase for n in info.nodes if n.layer == 1 and "ffn" not in n.name} == {5, 6}
