"""GPT-2s and a Llama of known sizes with random weights, so that speed can be measured with no model at hand."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice, product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from ggtui.core.files import ModelFile, TensorInfo
from ggtui.core.files.mixes import FILE_TYPES, Mix, fitting, mix_or_type
from ggtui.core.graph.types import TYPES, TensorType
from ggtui.core.models import ARCHITECTURES
from ggtui.core.models.gpt2 import Hparams
from ggtui.core.runtime.cpu.codec import encode_rows
from ggtui.core.vocab.bpe import BYTE_ALPHABET
from ggtui.perf.random_llama import LlamaSizes, llama_metadata, llama_specs

N_VOCAB, N_CTX = 50257, 1024
# n_embd, n_head and n_layer of the published GPT-2s, by their parameters; 1.1B is TinyLlama
SHAPES: dict[str, Hparams | LlamaSizes] = {
    name: Hparams(N_VOCAB, N_CTX, n_embd, n_head, n_layer, 4 * n_embd, 1e-5)
    for name, n_embd, n_head, n_layer in (
        ("124M", 768, 12, 12), ("355M", 1024, 16, 24), ("774M", 1280, 20, 36), ("1558M", 1600, 25, 48)
    )
} | {"1.1B": LlamaSizes(32000, 2048, 2048, 32, 4, 22, 5632, 1e-5)}  # fmt: skip
_ROWS = 64  # that differ; a larger tensor repeats them


class RandomModel(ModelFile):
    """A model that is in no file: each tensor is made when it is read, always the same, from the distribution that
    GPT-2 begins its training with.

    type, head: of the matrices and of the output, which in a GPT-2 is the token embedding too; a type or, for `type`, a
    mix. Rows that are no whole number of its blocks get what stands in for it. Raises UsageError for one that holds no
    weights.
    """

    def __init__(
        self, name: str, h: Hparams | LlamaSizes, type: str | TensorType, head: str | TensorType | None = None
    ) -> None:
        super().__init__(name)
        self._wanted = mix_or_type(type)
        self._head = self._wanted if head is None else mix_or_type(head)
        self._made: dict[tuple[str, int, bool], npt.NDArray[np.uint8]] = {}
        infos = {}
        specs = llama_specs(h) if isinstance(h, LlamaSizes) else ARCHITECTURES["gpt2"].specs(h)
        for tensor, spec in specs.items():
            is_matrix, (ne0, ne1) = spec.use == "matrix", (*spec.ne, 1)[:2]
            kind = fitting(self._type_of(tensor, h, "output.weight" not in specs), ne0) if is_matrix else TYPES["f32"]
            infos[tensor] = TensorInfo(tensor, kind, (ne0, ne1, 1, 1), 0, ne1 * kind.row_bytes(ne0))
        self.tensors = infos
        self.metadata = _metadata(name, h, self._wanted)

    def _type_of(self, name: str, h: Hparams | LlamaSizes, tied: bool) -> TensorType:
        wanted = self._head if name == ("token_embd.weight" if tied else "output.weight") else self._wanted
        shared_by = h.n_head // h.n_head_kv if isinstance(h, LlamaSizes) else 1
        return wanted.type_of(name, h.n_layer, tied=tied, shared_by=shared_by) if isinstance(wanted, Mix) else wanted

    def _open_file(self) -> None:
        """There is nothing to open."""

    def rows(self, name: str) -> npt.NDArray[np.uint8]:
        info = self._info(name)
        kind, ne0, is_norm = info.type, info.ne[0], name.endswith("norm.weight")
        key = (kind.name, ne0, is_norm)
        if key not in self._made:
            x = 0.02 * np.random.default_rng(ne0).standard_normal((_ROWS, ne0), dtype=np.float32)
            self._made[key] = encode_rows(kind, x + np.float32(is_norm))
        return np.resize(self._made[key], (prod(info.ne[1:]), info.n_bytes // prod(info.ne[1:])))

    def reads_whole(self, name: str) -> bool:
        return True

    def close(self) -> None:
        pass


def random_model(shape: str, type: str | TensorType, head: str | TensorType | None = None) -> RandomModel:
    """A model of a row of SHAPES."""
    kind = type.lower() if isinstance(type, str) else type.name
    return RandomModel(f"random-{shape}-{kind}", SHAPES[shape], type, head)


def _metadata(name: str, h: Hparams | LlamaSizes, wanted: Mix | TensorType) -> dict[str, Any]:
    number = wanted.file_type if isinstance(wanted, Mix) else FILE_TYPES.get(wanted.name)
    return {
        "general.name": name,
        **({} if number is None else {"general.file_type": number}),
        **(llama_metadata(h) if isinstance(h, LlamaSizes) else _gpt2_metadata(h)),
    }


def _gpt2_metadata(h: Hparams) -> dict[str, Any]:
    return {
        "general.architecture": "gpt2",
        "gpt2.context_length": h.n_ctx,
        "gpt2.embedding_length": h.n_embd,
        "gpt2.feed_forward_length": h.n_ff,
        "gpt2.block_count": h.n_layer,
        "gpt2.attention.head_count": h.n_head,
        "gpt2.attention.layer_norm_epsilon": h.eps,
        **_vocabulary(h.n_vocab),
    }


def _vocabulary(n: int) -> Mapping[str, Any]:
    """256 byte tokens, merges of two of them until it is full, and the end of text; its texts mean nothing."""
    pairs = list(islice(product(BYTE_ALPHABET, repeat=2), n - 257))
    tokens = [*BYTE_ALPHABET, *map("".join, pairs), "<|endoftext|>"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.merges": list(map(" ".join, pairs)),
        "tokenizer.ggml.token_type": [*[1] * (n - 1), 3],
        "tokenizer.ggml.bos_token_id": n - 1,
        "tokenizer.ggml.eos_token_id": n - 1,
    }
