"""Writes a GPT-2 of a known size with random weights as GGUF, so that speed can be measured with no model at hand.

    python benchmarks/random_model.py 124M q4_0 model.gguf [--head q8_0]

The vocabulary is made up: the 256 bytes and then enough merges; its texts mean nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggtui.core.files import OutTensor, write_gguf
from ggtui.core.models.gpt2 import Hparams, tensors
from ggtui.core.native import check, ffi, lib
from ggtui.core.tokenizer import BYTE_ALPHABET
from ggtui.core.types import TensorType, type_of

# name -> n_embd, n_head, n_layer; all have 50,257 tokens and a context of 1,024
SHAPES = {"124M": (768, 12, 12), "355M": (1024, 16, 24), "774M": (1280, 20, 36), "1558M": (1600, 25, 48)}
N_VOCAB, N_CTX = 50257, 1024


def vocabulary() -> dict[str, Any]:
    """256 byte tokens, a merge for each pair of printable ones, then one for each pair of those, until it is full."""
    tokens = list(BYTE_ALPHABET)
    merges = []
    for left, right in islice(product(BYTE_ALPHABET, repeat=2), N_VOCAB - 257):
        merges.append(f"{left} {right}")
        tokens.append(left + right)
    tokens.append("<|endoftext|>")
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.token_type": [*[1] * (len(tokens) - 1), 3],
        "tokenizer.ggml.bos_token_id": len(tokens) - 1,
        "tokenizer.ggml.eos_token_id": len(tokens) - 1,
    }


def weights(ne: tuple[int, ...], kind: TensorType, rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """Bytes of a tensor, some rows at a time, drawn from GPT-2's initial distribution."""
    n_rows = ne[1] if len(ne) > 1 else 1
    for at in range(0, n_rows, 4096):
        n = min(4096, n_rows - at)
        rows = 0.02 * rng.standard_normal((n, ne[0]), dtype=np.float32)
        out = np.empty(n * kind.row_bytes(ne[0]), np.uint8)
        check(lib.gg_quantize(kind.id, rows.size, ffi.from_buffer("float[]", rows), ffi.from_buffer("char[]", out)))
        yield out


def write_random(path: Path, shape: str, type: str, head: str | None = None) -> None:
    """Write a model of a row of SHAPES, matrices in `type`, the token embedding (and so the output) in `head`."""
    n_embd, n_head, n_layer = SHAPES[shape]
    h = Hparams(N_VOCAB, N_CTX, n_embd, n_head, n_layer, 4 * n_embd, 1e-5)
    rng = np.random.default_rng(0)
    out = []
    for name, spec in tensors(h).items():
        if spec.optional:
            continue
        kind = type_of((head or type) if name == "token_embd.weight" else type if spec.matrix else "f32")
        out.append(OutTensor(name, kind, spec.ne, partial(weights, spec.ne, kind, rng)))
    metadata = {
        "general.architecture": "gpt2",
        "general.name": f"random GPT-2 {shape}",
        "gpt2.context_length": N_CTX,
        "gpt2.embedding_length": n_embd,
        "gpt2.feed_forward_length": 4 * n_embd,
        "gpt2.block_count": n_layer,
        "gpt2.attention.head_count": n_head,
        "gpt2.attention.layer_norm_epsilon": 1e-5,
        **vocabulary(),
    }
    write_gguf(path, metadata, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("type")
    parser.add_argument("path", type=Path)
    parser.add_argument("--head", help="type of the token embedding and output matrix (default: as the rest)")
    args = parser.parse_args()
    write_random(args.path, args.shape, args.type, args.head)


if __name__ == "__main__":
    main()
