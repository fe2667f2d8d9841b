"""GPT-NeoX (Black et al. 2022), as Pythia is built.

Layer norms with biases, rotary positions in a part of each head, and a feed-forward with a GELU. Both halves of a block
read its input, so that neither waits for the other; where the file says so, one reads what the other made.
"""

from __future__ import annotations

from dataclasses import replace

from ggtui.core.files import ModelFile
from ggtui.core.graph import ops
from ggtui.core.models.attending import Attention
from ggtui.core.models.base import Inputs, ModelGraph, Weights, named
from ggtui.core.models.blocks import ACTIVATIONS, Blocks
from ggtui.core.models.hparams import Hparams, Keys, read_hparams


def hparams(file: ModelFile) -> Hparams:
    h, keys = read_hparams(file, "gptneox", mode="neox", eps="attention.layer_norm_epsilon"), Keys(file, "gptneox")
    activation = keys.choice("activation_function", tuple(ACTIVATIONS), "gelu")
    return replace(h, parallel=keys.flag("use_parallel_residual", True), activation=activation)


def build(h: Hparams, w: Weights, attention: Attention, inputs: Inputs) -> ModelGraph:
    """The graph that reads inputs.tokens at inputs.positions and gives logits (n_vocab, n_outputs)."""
    b, layers = Blocks(h, w, norm=ops.norm), []
    x = b.embed(inputs.tokens)
    for il in range(h.n_layer):
        blk = f"blk.{il}"
        q, k, v = b.qkv(blk, b.norm(f"{blk}.attn_norm", x))
        q = b.turn(il, f"{blk}.attn_q", q, inputs.positions)
        k = b.turn(il, f"{blk}.attn_k", k, inputs.positions)
        attn = b.attend(il, q, k, v, attention)
        attn, x = b.outputs(il, attn, x, inputs)
        attended = named(f"{blk}.attn_residual", ops.add(b.linear(f"{blk}.attn_output", attn, h.n_embd), x))
        up = b.linear(f"{blk}.ffn_up", b.norm(f"{blk}.ffn_norm", x if h.parallel else attended), h.n_ff)
        up = named(f"{blk}.ffn_act", ACTIVATIONS[h.activation](up))
        x = named(f"{blk}.ffn_residual", ops.add(b.linear(f"{blk}.ffn_down", up, h.n_embd), attended))
        layers.append(x)
    return b.graph(x, layers)
