"""What a Llama with random weights is made of: its tensors, and what its file says of it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, islice, product
from string import ascii_letters
from typing import Any, NamedTuple

from ggtui.core.models.base import TensorSpec
from ggtui.core.vocab.kinds import BYTE, CONTROL, NORMAL, UNKNOWN

_LONGEST = 3  # letters of a token


class LlamaSizes(NamedTuple):
    """The sizes of a Llama with an output matrix of its own."""

    n_vocab: int
    n_ctx: int
    n_embd: int
    n_head: int
    n_head_kv: int
    n_layer: int
    n_ff: int
    eps: float


def llama_specs(h: LlamaSizes) -> dict[str, TensorSpec]:
    """Every tensor, by its name in the file."""
    n_kv = h.n_embd // h.n_head * h.n_head_kv
    layer = {
        "attn_norm": (h.n_embd,),
        "attn_q": (h.n_embd, h.n_embd),
        "attn_k": (h.n_embd, n_kv),
        "attn_v": (h.n_embd, n_kv),
        "attn_output": (h.n_embd, h.n_embd),
        "ffn_norm": (h.n_embd,),
        "ffn_gate": (h.n_embd, h.n_ff),
        "ffn_up": (h.n_embd, h.n_ff),
        "ffn_down": (h.n_ff, h.n_embd),
    }
    all_ne: dict[str, tuple[int, ...]] = {
        "token_embd": (h.n_embd, h.n_vocab),
        **{f"blk.{il}.{name}": ne for il in range(h.n_layer) for name, ne in layer.items()},
        "output_norm": (h.n_embd,),
        "output": (h.n_embd, h.n_vocab),
    }
    return {f"{name}.weight": TensorSpec(ne, ("vector", "matrix")[len(ne) - 1]) for name, ne in all_ne.items()}


def llama_metadata(h: LlamaSizes) -> dict[str, Any]:
    """The keys of its sizes and of its vocabulary."""
    return {
        "general.architecture": "llama",
        "llama.vocab_size": h.n_vocab,
        "llama.context_length": h.n_ctx,
        "llama.embedding_length": h.n_embd,
        "llama.feed_forward_length": h.n_ff,
        "llama.block_count": h.n_layer,
        "llama.attention.head_count": h.n_head,
        "llama.attention.head_count_kv": h.n_head_kv,
        "llama.attention.layer_norm_rms_epsilon": h.eps,
        "llama.rope.dimension_count": h.n_embd // h.n_head,
        **_vocabulary(h.n_vocab),
    }


def _vocabulary(n: int) -> Mapping[str, Any]:
    """SentencePiece's three special tokens, the 256 bytes, a space, and letters, pairs and triples of them until it is
    full; its texts mean nothing."""
    special, n_bytes = ["<unk>", "<s>", "</s>"], 256
    of_letters = map("".join, chain.from_iterable(product(ascii_letters, repeat=i + 1) for i in range(_LONGEST)))
    normal = ["\u2581", *islice(of_letters, n - len(special) - n_bytes - 1)]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [*special, *(f"<0x{byte:02X}>" for byte in range(n_bytes)), *normal],
        "tokenizer.ggml.scores": [*[0.0] * (len(special) + n_bytes), *(-float(i) for i in range(len(normal)))],
        "tokenizer.ggml.token_type": [UNKNOWN, CONTROL, CONTROL, *[BYTE] * n_bytes, *[NORMAL] * len(normal)],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    }
