"""A second architecture, as unlike GPT-2 as can be: separate q, k and v, query heads in groups, RoPE, RMSNorm, SwiGLU,
a window on every other layer, and layers that keep keys and values of different sizes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import sqrt
from typing import Any

import numpy as np

from ggtui.core.engine.engine import Engine
from ggtui.core.graph import ops
from ggtui.core.graph.tensor import Tensor
from ggtui.core.models.attending import Attention
from ggtui.core.models.base import Inputs, ModelGraph, named
from ggtui.core.models.store import KeysValues
from ggtui.core.runtime.context import Context
from ggtui.core.runtime.several import device

N_EMBD, N_HEAD, N_FF, N_VOCAB = 96, 6, 160, 211
LAYERS = (KeysValues(32, 64, 2), KeysValues(64, 32, 1, 40), KeysValues(32, 32, 1), KeysValues(32, 32, 2, 40))


@dataclass(frozen=True)
class Hparams:
    n_vocab: int = N_VOCAB
    n_ctx: int = 700


class Tokenizer:
    """Of tokens that are no text."""

    n_vocab, ends = N_VOCAB, frozenset[int]()

    def begin(self, text: str) -> list[int]:
        return [0]

    def stream(self) -> Tokenizer:
        return self

    def push(self, token: int) -> str:
        return f"{token} "

    def flush(self) -> str:
        return ""


class Grouped:
    """The model, with random weights: matrices of `type`."""

    hparams = Hparams()
    layers = LAYERS
    tokenizer = Tokenizer()

    def __init__(self, type: str, device_name: str = "cpu") -> None:
        self.device = device(device_name)
        self._context, rng = Context(), np.random.default_rng(2)
        packed = device_name == "cpu"

        def matrix(name: str, n_in: int, n_out: int) -> tuple[str, Tensor]:
            values = rng.standard_normal((n_out, n_in), np.float32) / np.float32(sqrt(n_in))
            return name, self._context.tensor(values, name, type, packed=packed)

        self.weights: dict[str, Tensor] = dict(
            [matrix("token_embd", N_EMBD, N_VOCAB), matrix("output", N_EMBD, N_VOCAB)]
        )
        for il, keep in enumerate(LAYERS):
            for name, n_in, n_out in (
                ("attn_q", N_EMBD, keep.d_k * N_HEAD), ("attn_k", N_EMBD, keep.d_k * keep.n_head_kv),
                ("attn_v", N_EMBD, keep.d_v * keep.n_head_kv), ("attn_output", keep.d_v * N_HEAD, N_EMBD),
                ("ffn_gate", N_EMBD, N_FF), ("ffn_up", N_EMBD, N_FF), ("ffn_down", N_FF, N_EMBD),
            ):  # fmt: skip
                self.weights.update([matrix(f"blk.{il}.{name}", n_in, n_out)])
            for name in ("attn_norm", "ffn_norm"):
                scale = self._context.tensor(rng.uniform(0.5, 2, N_EMBD).astype(np.float32), f"blk.{il}.{name}")
                self.weights[scale.name] = scale

    def graph(self, attention: Attention, inputs: Inputs) -> ModelGraph:
        g, w = ModelGraph(), self.weights

        def norm(name: str, x: Tensor) -> Tensor:
            return ops.mul(ops.rms_norm(x, 1e-6), w[name])

        def heads(name: str, x: Tensor, d: int, n: int, *, turned: bool) -> Tensor:
            x = ops.reshape(ops.mul_mat(w[name], x), d, n, inputs.n_tokens)
            return ops.rope(x, inputs.positions, mode="neox") if turned else x

        x = ops.get_rows(w["token_embd"], inputs.tokens)
        for il, keep in enumerate(LAYERS):
            blk = f"blk.{il}"
            cur = norm(f"{blk}.attn_norm", x)
            q = heads(f"{blk}.attn_q", cur, keep.d_k, N_HEAD, turned=True)
            k = heads(f"{blk}.attn_k", cur, keep.d_k, keep.n_head_kv, turned=True)
            v = heads(f"{blk}.attn_v", cur, keep.d_v, keep.n_head_kv, turned=False)
            attn = attention.attend(il, q, k, v, 1 / sqrt(keep.d_k))
            if il == len(LAYERS) - 1 and inputs.outputs is not None:
                attn, x = ops.get_rows(attn, inputs.outputs), ops.get_rows(x, inputs.outputs)
            x = ops.add(ops.mul_mat(w[f"{blk}.attn_output"], attn), x)
            cur = norm(f"{blk}.ffn_norm", x)
            gate, up = (ops.mul_mat(w[f"{blk}.ffn_{name}"], cur) for name in ("gate", "up"))
            x = ops.add(ops.mul_mat(w[f"{blk}.ffn_down"], ops.swiglu(gate, up)), x)
        g.logits = named("output", ops.mul_mat(w["output"], ops.rms_norm(x, 1e-6)))
        g.build_forward_expand(g.logits)
        return g


@cache
def model(type: str = "f32", device_name: str = "cpu") -> Any:
    return Grouped(type, device_name)


def engine(type: str = "f32", device_name: str = "cpu", **options: Any) -> Engine:
    return Engine(
        model(type, device_name), **{"n_sequences": 8, "batch": 96, "kv_type": "f32", "threads": 1, **options}
    )


def text(n: int, seed: int = 0) -> list[int]:
    """n tokens."""
    return [int(token) for token in np.random.default_rng(seed).integers(0, N_VOCAB, n)]
