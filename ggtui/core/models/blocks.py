"""The pieces that decoders are made of. Each names its nodes after the tensors of the file that it reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from ggtui.core.graph import ops
from ggtui.core.graph.tensor import Tensor
from ggtui.core.models.attending import Attention
from ggtui.core.models.base import Inputs, ModelGraph, Weights, constant, matrix, named, product, softcapped, vector
from ggtui.core.models.hparams import Hparams
from ggtui.core.models.store import KeysValues

# an activation function in Hugging Face's words -> the op between two feed-forward matrices
ACTIVATIONS = {
    "gelu_new": ops.gelu,
    "gelu": ops.gelu_erf,
    "quick_gelu": ops.gelu_quick,
    "silu": ops.silu,
    "relu": ops.relu,
}

Norm = Callable[[Tensor, float], Tensor]
Glu = Callable[[Tensor, Tensor], Tensor]


def layers(h: Hparams) -> list[KeysValues]:
    """What each layer keeps of a token."""
    return [KeysValues(h.d_head, h.d_head, h.n_head_kv, window) for window in h.windows]


class Blocks:
    """The pieces of one model. A name such as "blk.3.attn_q" stands for the tensors "blk.3.attn_q.weight" and, where
    the file has it, ".bias". Activations are (n, n_tokens), heads (d_head, n_head, n_tokens)."""

    def __init__(self, h: Hparams, w: Weights, *, norm: Norm = ops.rms_norm) -> None:
        self.h, self.w, self._norm = h, w, norm

    def embed(self, tokens: Tensor) -> Tensor:
        """The rows of the token embedding."""
        embd = matrix(self.w, "token_embd.weight", self.h.n_embd, self.h.n_vocab)
        return named("token_embd", ops.get_rows(embd, tokens))

    def norm(self, name: str, x: Tensor) -> Tensor:
        """Each row brought to one size, times the weight, plus the bias."""
        y = named(name, self._norm(x, self.h.eps))
        y = named(f"{name}.scaled", ops.mul(y, vector(self.w, f"{name}.weight", x.ne[0])))
        return self._biased(name, y)

    def linear(self, name: str, x: Tensor, n_out: int) -> Tensor:
        """weight . x, plus the bias."""
        return self._biased(name, product(self.w, name, x, n_out))

    def _biased(self, name: str, x: Tensor) -> Tensor:
        if not self.w.has(f"{name}.bias"):
            return x
        return named(f"{name}.biased", ops.add(x, vector(self.w, f"{name}.bias", x.ne[0])))

    def qkv(self, blk: str, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Heads of queries, keys and values, from three tensors or from one."""
        d, counts = self.h.d_head, (self.h.n_head, self.h.n_head_kv, self.h.n_head_kv)
        n_tokens = x.ne[1]
        if not self.w.has(f"{blk}.attn_qkv.weight"):
            q, k, v = (
                ops.reshape(self.linear(f"{blk}.attn_{part}", x, d * n), d, n, n_tokens)
                for part, n in zip("qkv", counts, strict=True)
            )
            return q, k, v
        qkv = self.linear(f"{blk}.attn_qkv", x, d * sum(counts))
        size = qkv.type.bytes
        q, k, v = (
            ops.view(qkv, (d, n, n_tokens), (d * size, qkv.nb[1]), offset=first * d * size)
            for n, first in zip(counts, (0, self.h.n_head, self.h.n_head + self.h.n_head_kv), strict=True)
        )
        return q, k, v

    def turn(self, il: int, name: str, heads: Tensor, positions: Tensor, factors: Tensor | None = None) -> Tensor:
        """Rotary positions of layer `il`."""
        rope = self.h.rope_window if self.h.windows[il] else self.h.rope
        return named(f"{name}.rope", ops.rope(heads, positions, freq_factors=factors, **asdict(rope)))

    def rope_factors(self, n_ctx: int) -> Tensor | None:
        """By which the frequencies of all layers are divided: llama 3's, or of a pair for short and for long texts the
        one for n_ctx tokens."""
        n, kinds = self.h.rope.n_dims // 2, ("rope_freqs", "rope_factors_short", "rope_factors_long")
        found = {kind: constant(self.w, f"{kind}.weight", n) for kind in kinds if self.w.has(f"{kind}.weight")}
        longer = n_ctx > (self.h.rope.n_ctx_orig or self.h.n_ctx)
        return found.get("rope_freqs") or found.get("rope_factors_long" if longer else "rope_factors_short")

    def attend(self, il: int, q: Tensor, k: Tensor, v: Tensor, attention: Attention) -> Tensor:
        """What the queries make of keys and values: (d_head n_head, n_tokens)."""
        return attention.attend(il, q, k, v, self.h.attn_scale, self.h.attn_softcap)

    def outputs(self, il: int, attn: Tensor, x: Tensor, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """From the last layer's attention on, only the rows that are asked for."""
        if il < self.h.n_layer - 1 or inputs.outputs is None:
            return attn, x
        attn = named(f"blk.{il}.attn_rows", ops.get_rows(attn, inputs.outputs))
        return attn, named(f"blk.{il}.input_rows", ops.get_rows(x, inputs.outputs))

    def feed_forward(self, blk: str, x: Tensor, glu: Glu = ops.swiglu) -> Tensor:
        """down . glu(gate . x, up . x), gate and up from two tensors or, one behind the other, from one."""
        n_ff = self.h.n_ff
        if self.w.has(f"{blk}.ffn_gate.weight"):
            gate, up = self.linear(f"{blk}.ffn_gate", x, n_ff), self.linear(f"{blk}.ffn_up", x, n_ff)
        else:
            both = self.linear(f"{blk}.ffn_up", x, 2 * n_ff)
            size, n_rows = both.type.bytes, x.ne[1]
            gate, up = (ops.view(both, (n_ff, n_rows), (both.nb[1],), offset=i * n_ff * size) for i in range(2))
        return self.linear(f"{blk}.ffn_down", named(f"{blk}.ffn_act", glu(gate, up)), self.h.n_embd)

    def head(self, x: Tensor) -> Tensor:
        """Logits: (n_vocab, n_tokens)."""
        weight = "output.weight" if self.w.has("output.weight") else "token_embd.weight"
        logits = ops.mul_mat(matrix(self.w, weight, self.h.n_embd, self.h.n_vocab), self.norm("output_norm", x))
        logits = self._biased("output", named("output", logits))
        return softcapped("output", logits, self.h.logit_softcap)

    def graph(self, x: Tensor, outputs_of_layers: list[Tensor]) -> ModelGraph:
        """The whole graph, by what its last layer hands on."""
        g = ModelGraph()
        g.layers, g.head, g.logits = outputs_of_layers, self.head, self.head(x)
        g.build_forward_expand(g.logits)
        return g
