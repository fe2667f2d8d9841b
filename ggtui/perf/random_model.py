"""GPT-2s and Llamas of known sizes with random weights, so that speed can be measured with no model at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice, product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from ggtui.core.files import ModelFile, TensorInfo
from ggtui.core.files.mixes import FILE_TYPES, Mix, fitting, mix_or_type
from ggtui.core.graph.types import TYPES, TensorType
from ggtui.core.runtime.cpu.codec import encode_rows
from ggtui.core.training.shapes import Shape
from ggtui.core.vocab.bpe import BYTE_ALPHABET
from ggtui.perf.random_llama import llama_vocabulary

# The published GPT-2s by their parameters; 1.1B is TinyLlama, 7B the first Llama; and the sizes of their vocabularies
SHAPES: dict[str, tuple[Shape, int]] = {
    name: (Shape.parse(text), n_vocab)
    for name, text, n_vocab in (
        ("124M", "gpt2:embd=768,layer=12,head=12,ctx=1024", 50257),
        ("355M", "gpt2:embd=1024,layer=24,head=16,ctx=1024", 50257),
        ("774M", "gpt2:embd=1280,layer=36,head=20,ctx=1024", 50257),
        ("1558M", "gpt2:embd=1600,layer=48,head=25,ctx=1024", 50257),
        ("1.1B", "llama:embd=2048,layer=22,head=32,kv=4,ff=5632,ctx=2048,tied=0", 32000),
        ("7B", "llama:embd=4096,layer=32,head=32,ff=11008,ctx=2048,tied=0", 32000),
    )
}
_ROWS = 64  # that differ; a larger tensor repeats them


class RandomModel(ModelFile):
    """A model that is in no file: each tensor is made when it is read, always the same, from the distribution that
    GPT-2 begins its training with.

    type, head: of the matrices and of the output, which is the token embedding where these are tied; a type or a mix.
    Rows that are no whole number of its blocks get what stands in for it. Raises UsageError for one that holds no
    weights.
    """

    def __init__(
        self, name: str, shape: Shape, n_vocab: int, type: str | TensorType, head: str | TensorType | None = None
    ) -> None:
        super().__init__(name)
        self._wanted = mix_or_type(type)
        self._head = self._wanted if head is None else mix_or_type(head)
        self._made: dict[tuple[str, int, bool], npt.NDArray[np.uint8]] = {}
        infos = {}
        for tensor, spec in shape.specs(n_vocab).items():
            is_matrix, (ne0, ne1) = spec.use == "matrix", (*spec.ne, 1)[:2]
            kind = fitting(self._type_of(tensor, shape), ne0) if is_matrix else TYPES["f32"]
            infos[tensor] = TensorInfo(tensor, kind, (ne0, ne1, 1, 1), 0, ne1 * kind.row_bytes(ne0))
        self.tensors = infos
        wanted = self._wanted
        number = wanted.file_type if isinstance(wanted, Mix) else FILE_TYPES.get(wanted.name)
        self.metadata = {
            "general.name": name,
            **({} if number is None else {"general.file_type": number}),
            **shape.metadata(n_vocab),
            **_VOCABULARIES[shape.arch](n_vocab),
        }

    def _type_of(self, name: str, shape: Shape) -> TensorType:
        wanted = self._head if name == ("token_embd.weight" if shape.tied else "output.weight") else self._wanted
        if not isinstance(wanted, Mix):
            return wanted
        return wanted.type_of(name, shape.n_layer, tied=shape.tied, shared_by=shape.n_head // shape.n_head_kv)

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
    return RandomModel(f"random-{shape}-{kind}", *SHAPES[shape], type, head)


def _gpt2_vocabulary(n: int) -> Mapping[str, Any]:
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


# by the architecture: how to make one of so many tokens
_VOCABULARIES: dict[str, Callable[[int], Mapping[str, Any]]] = {"gpt2": _gpt2_vocabulary, "llama": llama_vocabulary}
