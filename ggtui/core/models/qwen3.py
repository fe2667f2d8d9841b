"""Qwen3 (Yang et al. 2025): as Llama, with queries and keys brought to one size head by head before they turn."""

from __future__ import annotations

from ggtui.core.files import ModelFile
from ggtui.core.graph import ops
from ggtui.core.models.attending import Attention
from ggtui.core.models.base import Inputs, ModelGraph, Weights, named
from ggtui.core.models.blocks import Blocks
from ggtui.core.models.hparams import Hparams, listed_windows, read_hparams


def hparams(file: ModelFile) -> Hparams:
    return read_hparams(file, "qwen3", mode="neox", windows=listed_windows)


def build(h: Hparams, w: Weights, attention: Attention, inputs: Inputs) -> ModelGraph:
    """The graph that reads inputs.tokens at inputs.positions and gives logits (n_vocab, n_outputs)."""
    b, layers = Blocks(h, w), []
    x = b.embed(inputs.tokens)
    for il in range(h.n_layer):
        blk = f"blk.{il}"
        q, k, v = b.qkv(blk, b.norm(f"{blk}.attn_norm", x))
        q = b.turn(il, f"{blk}.attn_q", b.norm(f"{blk}.attn_q_norm", q), inputs.positions)
        k = b.turn(il, f"{blk}.attn_k", b.norm(f"{blk}.attn_k_norm", k), inputs.positions)
        attn = b.attend(il, q, k, v, attention)
        attn, x = b.outputs(il, attn, x, inputs)
        x = named(f"{blk}.attn_residual", ops.add(b.linear(f"{blk}.attn_output", attn, h.n_embd), x))
        ffn = b.feed_forward(blk, b.norm(f"{blk}.ffn_norm", x))
        x = named(f"{blk}.ffn_residual", ops.add(ffn, x))
        layers.append(x)
    return b.graph(x, layers)
