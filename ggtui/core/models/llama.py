"""Llama (Touvron et al. 2023), and what is built alike: Mistral and SmolLM2, and with other sizes Qwen2 and Phi-3.

RMS norm before each half of a block, rotary positions, query heads that share keys and values, and a gated
feed-forward. Llama 3's frequencies, biases and windows are there where the file has them.
"""

from __future__ import annotations

from ggtui.core.files import ModelFile
from ggtui.core.graph import ops
from ggtui.core.models.attending import Attention
from ggtui.core.models.base import Inputs, ModelGraph, Weights, named
from ggtui.core.models.blocks import Blocks
from ggtui.core.models.hparams import Hparams, listed_windows, read_hparams


def hparams(file: ModelFile) -> Hparams:
    return read_hparams(file, "llama", mode="normal", windows=listed_windows)


def build(h: Hparams, w: Weights, attention: Attention, inputs: Inputs) -> ModelGraph:
    """The graph that reads inputs.tokens at inputs.positions and gives logits (n_vocab, n_outputs)."""
    b, layers = Blocks(h, w), []
    x = b.embed(inputs.tokens)
    factors = b.rope_factors(attention.n_ctx)
    for il in range(h.n_layer):
        blk = f"blk.{il}"
        q, k, v = b.qkv(blk, b.norm(f"{blk}.attn_norm", x))
        q = b.turn(il, f"{blk}.attn_q", q, inputs.positions, factors)
        k = b.turn(il, f"{blk}.attn_k", k, inputs.positions, factors)
        attn = b.attend(il, q, k, v, attention)
        attn, x = b.outputs(il, attn, x, inputs)
        x = named(f"{blk}.attn_residual", ops.add(b.linear(f"{blk}.attn_output", attn, h.n_embd), x))
        ffn = b.feed_forward(blk, b.norm(f"{blk}.ffn_norm", x))
        x = named(f"{blk}.ffn_residual", ops.add(ffn, x))
        layers.append(x)
    return b.graph(x, layers)
