"""Gemma 2 and 3 (Gemma Team 2024, 2025).

As Llama, but: the embedding is scaled, each half of a block has a norm behind it too, the gate is a GELU, and most
layers see a window only. Gemma 2 caps scores and logits; Gemma 3 brings queries and keys to one size, and turns them
faster in layers with a window.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import sqrt

import numpy as np

from ggtui.core.files import ModelFile
from ggtui.core.graph import ops
from ggtui.core.models.attending import Attention
from ggtui.core.models.base import Inputs, ModelGraph, Weights, named
from ggtui.core.models.blocks import Blocks
from ggtui.core.models.hparams import Hparams, Keys, Rope, read_hparams


def hparams2(file: ModelFile) -> Hparams:
    keys, windows = Keys(file, "gemma2"), partial(_windows, default=4096, period=2)
    h = read_hparams(file, "gemma2", mode="neox", windows=windows)
    attn, logits = keys.number("attn_logit_softcapping", 0.0), keys.number("final_logit_softcapping", 0.0)
    return replace(h, attn_scale=_attn_scale(h, keys, 46), attn_softcap=attn, logit_softcap=logits)


def hparams3(file: ModelFile) -> Hparams:
    keys, windows = Keys(file, "gemma3"), partial(_windows, default=0, period=6)
    h = read_hparams(file, "gemma3", mode="neox", windows=windows)
    turns_in_window = Rope(h.rope.n_dims, "neox", keys.number("rope.freq_base_swa", 10000.0))
    softcap = keys.number("final_logit_softcapping", 0.0)
    return replace(h, rope_window=turns_in_window, attn_scale=_attn_scale(h, keys, 62), logit_softcap=softcap)


def _windows(keys: Keys, n_layer: int, default: int, period: int) -> tuple[int, ...]:
    """On the layers that the file says, or on all but each `period`-th."""
    window, pattern = keys.size("attention.sliding_window", default, low=0), "attention.sliding_window_pattern"
    flags = keys.flags(pattern, n_layer)
    if flags is None:
        period = keys.size(pattern, period)
        flags = [(il + 1) % period != 0 for il in range(n_layer)]
    return tuple(window if has_one else 0 for has_one in flags)


def _attn_scale(h: Hparams, keys: Keys, layers_27b: int) -> float:
    """Of the models with 27 B weights by n_embd / n_head, of all others by the size of a head, unless the file says."""
    return keys.number("attention.scale", 1 / sqrt(h.n_embd // h.n_head if h.n_layer == layers_27b else h.d_head))


def build(h: Hparams, w: Weights, attention: Attention, inputs: Inputs) -> ModelGraph:
    """The graph that reads inputs.tokens at inputs.positions and gives logits (n_vocab, n_outputs)."""
    b, layers = Blocks(h, w), []
    x = named("embd", ops.scale(b.embed(inputs.tokens), float(np.float32(sqrt(h.n_embd)))))
    for il in range(h.n_layer):
        blk = f"blk.{il}"
        q, k, v = b.qkv(blk, b.norm(f"{blk}.attn_norm", x))
        if w.has(f"{blk}.attn_q_norm.weight"):
            q, k = b.norm(f"{blk}.attn_q_norm", q), b.norm(f"{blk}.attn_k_norm", k)
        q = b.turn(il, f"{blk}.attn_q", q, inputs.positions)
        k = b.turn(il, f"{blk}.attn_k", k, inputs.positions)
        attn = b.attend(il, q, k, v, attention)
        attn, x = b.outputs(il, attn, x, inputs)
        attn = b.norm(f"{blk}.post_attention_norm", b.linear(f"{blk}.attn_output", attn, h.n_embd))
        x = named(f"{blk}.attn_residual", ops.add(attn, x))
        ffn = b.feed_forward(blk, b.norm(f"{blk}.ffn_norm", x), ops.geglu)
        x = named(f"{blk}.ffn_residual", ops.add(b.norm(f"{blk}.post_ffw_norm", ffn), x))
        layers.append(x)
    return b.graph(x, layers)
