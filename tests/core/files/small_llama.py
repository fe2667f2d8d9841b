"""A Llama of random weights with all that its file may hold: a vocabulary of characters, scaled rotary positions with
factors, a window, biases, a chat template."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ggtui.core.files import OutTensor, write_gguf
from ggtui.core.graph.types import TYPES
from ggtui.core.vocab.kinds import BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED

N_EMBD, N_HEAD, N_HEAD_KV, N_FF, N_LAYER = 64, 4, 2, 96, 2
WORDS = {"▁": -3.0, "▁the": -1.0, "e": -4.0, "r": -5.0, "er": -2.0, "▁o": -2.0, "▁day": -1.5}


def write_small_llama(path: Path) -> None:
    rng, tensors = np.random.default_rng(5), []

    def add(name: str, *shape: int) -> None:
        values = (rng.standard_normal(shape) / np.sqrt(shape[-1]) + (len(shape) == 1)).astype(np.float32)
        data = values.view(np.uint8).reshape(-1)
        tensors.append(OutTensor(name, TYPES["f32"], tuple(reversed(shape)), lambda: iter([data])))

    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *WORDS, "<extra>"]
    d_head = N_EMBD // N_HEAD
    add("token_embd.weight", len(tokens), N_EMBD)
    add("output_norm.weight", N_EMBD)
    add("rope_freqs.weight", d_head // 2)
    for il in range(N_LAYER):
        for name, n_out, n_in in (
            ("attn_q", N_EMBD, N_EMBD), ("attn_k", N_HEAD_KV * d_head, N_EMBD), ("attn_v", N_HEAD_KV * d_head, N_EMBD),
            ("attn_output", N_EMBD, N_EMBD), ("ffn_gate", N_FF, N_EMBD), ("ffn_up", N_FF, N_EMBD),
            ("ffn_down", N_EMBD, N_FF),
        ):  # fmt: skip
            add(f"blk.{il}.{name}.weight", n_out, n_in)
        add(f"blk.{il}.attn_q.bias", N_EMBD)
        add(f"blk.{il}.attn_norm.weight", N_EMBD)
        add(f"blk.{il}.ffn_norm.weight", N_EMBD)
    llama = {
        "block_count": N_LAYER, "context_length": 128, "embedding_length": N_EMBD, "feed_forward_length": N_FF,
        "attention.head_count": N_HEAD, "attention.head_count_kv": N_HEAD_KV,
        "attention.layer_norm_rms_epsilon": 1e-5, "attention.sliding_window": 20, "rope.dimension_count": d_head,
        "rope.freq_base": 500.0, "rope.scaling.type": "yarn", "rope.scaling.factor": 4.0,
        "rope.scaling.original_context_length": 32,
    }  # fmt: skip
    kinds = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(WORDS), USER_DEFINED]
    metadata = {
        "general.architecture": "llama",
        **{f"llama.{key}": value for key, value in llama.items()},
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": np.array([0.0] * 259 + [*WORDS.values(), 0.0], np.float32),
        "tokenizer.ggml.token_type": np.array(kinds, np.int32),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.chat_template": "{% for m in messages %}{{ m.role }}: {{ m.content }}</s>{% endfor %}",
    }
    write_gguf(path, metadata, tensors)
