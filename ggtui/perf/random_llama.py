"""The vocabulary of a Llama with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, islice, product
from string import ascii_letters
from typing import Any

from ggtui.core.vocab.kinds import BYTE, CONTROL, NORMAL, UNKNOWN

_LONGEST = 3  # letters of a token


def llama_vocabulary(n: int) -> Mapping[str, Any]:
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
