"""GPT-2 (Radford et al. 2019), top to bottom: its sizes, and its graph.

Layer norm before each half of a block, learned positions, one weight for q, k and v, GELU between the two matrices of
the feed-forward, and an output matrix that is usually the token embedding itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from ggtui.core.errors import ModelFileError
from ggtui.core.files import ModelFile
from ggtui.core.files.fields import Fields
from ggtui.core.graph import ops
from ggtui.core.graph.tensor import Tensor
from ggtui.core.models.attending import Attention
from ggtui.core.models.base import Inputs, ModelGraph, TensorSpec, Weights, matrix, named, product, vector
from ggtui.core.models.blocks import ACTIVATIONS
from ggtui.core.models.store import KeysValues

MAX_LAYERS = 1024


@dataclass(frozen=True, slots=True)
class Hparams:
    """The sizes of a GPT-2. `eps` is that of the layer norms, `activation` a key of ACTIVATIONS."""

    n_vocab: int
    n_ctx: int
    n_embd: int
    n_head: int
    n_layer: int
    n_ff: int
    eps: float
    activation: str = "gelu_new"

    @property
    def d_head(self) -> int:
        return self.n_embd // self.n_head


def hparams(file: ModelFile) -> Hparams:
    """Read from the file's metadata, and checked against one another. Raises ModelFileError."""

    fields = Fields.of(file.metadata, file.path)

    def number(key: str, default: int | None = None, high: int = 1 << 24) -> int:
        return fields.whole(f"gpt2.{key}", 1, high, default)

    n_embd = number("embedding_length")
    if "token_embd.weight" not in file.tensors:
        raise ModelFileError(file.path, "token_embd.weight", "the tensor is missing")
    h = Hparams(
        n_vocab=file.tensors["token_embd.weight"].ne[1],
        n_ctx=number("context_length"),
        n_embd=n_embd,
        n_head=number("attention.head_count"),
        n_layer=number("block_count", high=MAX_LAYERS),
        n_ff=number("feed_forward_length", default=4 * n_embd),
        eps=fields.fraction("gpt2.attention.layer_norm_epsilon", 1e-5),
        activation=fields.choice("gpt2.activation_function", tuple(ACTIVATIONS), "gelu_new"),
    )
    if n_embd % h.n_head:
        raise ModelFileError(file.path, "gpt2.attention.head_count", f"{h.n_head} does not divide {n_embd}")
    return h


def layers(h: Hparams) -> list[KeysValues]:
    """What each layer keeps of a token."""
    return [KeysValues(h.d_head, h.d_head, h.n_head)] * h.n_layer


def build(h: Hparams, w: Weights, attention: Attention, inputs: Inputs) -> ModelGraph:
    """The graph that reads inputs.tokens at inputs.positions and gives logits (n_vocab, n_outputs)."""
    g = ModelGraph()

    def layer_norm(name: str, x: Tensor) -> Tensor:
        x = named(name, ops.norm(x, h.eps))
        x = named(f"{name}.scaled", ops.mul(x, vector(w, f"{name}.weight", h.n_embd)))
        return named(f"{name}.biased", ops.add(x, vector(w, f"{name}.bias", h.n_embd)))

    def linear(name: str, x: Tensor, n_out: int) -> Tensor:
        return named(f"{name}.biased", ops.add(product(w, name, x, n_out), vector(w, f"{name}.bias", n_out)))

    def head(x: Tensor) -> Tensor:
        weight = "output.weight" if w.has("output.weight") else "token_embd.weight"
        return named("output", ops.mul_mat(matrix(w, weight, h.n_embd, h.n_vocab), layer_norm("output_norm", x)))

    embd = matrix(w, "token_embd.weight", h.n_embd, h.n_vocab)
    x = named("token_embd", ops.get_rows(embd, inputs.tokens))  # (n_embd, n_tokens)
    position_embd = w.get("position_embd.weight", TensorSpec((h.n_embd, h.n_ctx), "rows"))
    position = named("position_embd", ops.get_rows(position_embd, inputs.positions))
    x = named("embd", ops.add(x, position))
    for il in range(h.n_layer):
        blk = f"blk.{il}"
        qkv = linear(
            f"{blk}.attn_qkv", layer_norm(f"{blk}.attn_norm", x), 3 * h.n_embd
        )  # (3 n_embd, n_tokens): q, then k, then v
        q, k, v = (_heads(qkv, h, part, inputs.n_tokens) for part in range(3))  # (d_head, n_head, n_tokens)
        attn = attention.attend(il, q, k, v, 1 / sqrt(h.d_head))  # (n_embd, n_tokens)
        if il == h.n_layer - 1 and inputs.outputs is not None:  # from here on only the rows that are asked for
            attn = named(f"{blk}.attn_rows", ops.get_rows(attn, inputs.outputs))
            x = named(f"{blk}.input_rows", ops.get_rows(x, inputs.outputs))
        x = named(f"{blk}.attn_residual", ops.add(linear(f"{blk}.attn_output", attn, h.n_embd), x))
        up = linear(f"{blk}.ffn_up", layer_norm(f"{blk}.ffn_norm", x), h.n_ff)
        up = named(f"{blk}.ffn_act", ACTIVATIONS[h.activation](up))
        x = named(f"{blk}.ffn_residual", ops.add(linear(f"{blk}.ffn_down", up, h.n_embd), x))
        g.layers.append(x)
    g.head, g.logits = head, head(x)
    g.build_forward_expand(g.logits)
    return g


def _heads(qkv: Tensor, h: Hparams, part: int, n_tokens: int) -> Tensor:
    """One of q, k, v as (d_head, n_head, n_tokens), out of qkv (3 n_embd, n_tokens)."""
    size = qkv.type.bytes
    ne, nb = (h.d_head, h.n_head, n_tokens), (h.d_head * size, qkv.nb[1])
    return ops.view(qkv, ne, nb, offset=part * h.n_embd * size)
