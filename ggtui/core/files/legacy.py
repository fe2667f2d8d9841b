"""Reads the GPT-2 files of ggml from before GGUF: header, vocabulary, then tensors until the end of the file.

Every count and length is checked against the file's size before anything is made from it. The vocabulary has no merges,
but a token's id is the rank of the merge that makes it, which is enough to find them.
Format: examples/gpt-2 of https://github.com/ggml-org/ggml.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ggtui.core.files.model_file import ModelFile, TensorInfo
from ggtui.core.files.names.gpt2 import MAX_LAYERS, legacy_names
from ggtui.core.files.texts import Texts
from ggtui.core.graph.types import TYPES, type_by_id
from ggtui.core.vocab.bpe import BYTE_ALPHABET, CONTROL, MAX_TOKENS, NORMAL, UNUSED, USER_DEFINED

MAGIC = b"lmgg"  # 0x67676d6c, little endian
END_OF_TEXT = "<|endoftext|>"
MAX_TOKEN = 1024  # bytes
MAX_WORK = 1 << 24  # the sum of the tokens' squared lengths, to which the search for merges is bound
MAX_NAME = 63
EPS = 1e-5  # of the layer norms; the format cannot hold another
QUANTIZATION_VERSION = 2
_I32 = struct.Struct("<i")

# What the header's `ftype` says of the matrices, and the name of a type that tensors of ggml may have and ggtui's not.
FTYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9}
FTYPES |= {"q2_k": 10, "q3_k": 11, "q4_k": 12, "q5_k": 13, "q6_k": 14}
UNQUANTIZED = ("f32", "f16")
_NOT_READ = {9: "q8_1"}
# The header's numbers, in their order, and how large they may be.
HEADER = {"n_vocab": MAX_TOKENS, "n_ctx": 1 << 24, "n_embd": 1 << 24, "n_head": 1 << 16, "n_layer": MAX_LAYERS}


class LegacyFile(ModelFile):
    """A legacy ggml GPT-2 file."""

    def __init__(self, path: str | Path) -> None:
        """Raises ModelFileError, which names the byte and the field, for anything that is not a sound legacy file."""
        super().__init__(path)
        try:
            self._at = 0
            self._read()
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        magic = self._take(4, "magic")
        if magic != MAGIC:
            self.refuse("magic", f"is {magic!r}, not {MAGIC!r}: not a legacy ggml file", 0)
        h = {name: self._number(name, 1, most) for name, most in HEADER.items()}
        if h["n_embd"] % h["n_head"]:
            self.refuse("n_head", f"is {h['n_head']}, which does not divide n_embd, {h['n_embd']}", 16)
        self._check_ftype()
        metadata: dict[str, Any] = {
            "general.architecture": "gpt2",
            "general.name": self.path.stem,
            "gpt2.block_count": h["n_layer"],
            "gpt2.context_length": h["n_ctx"],
            "gpt2.embedding_length": h["n_embd"],
            "gpt2.feed_forward_length": 4 * h["n_embd"],
            "gpt2.attention.head_count": h["n_head"],
            "gpt2.attention.layer_norm_epsilon": EPS,
        }
        self.metadata = MappingProxyType(metadata | self._vocabulary(h["n_vocab"]))
        self.tensors = MappingProxyType(self._tensors(h["n_layer"]))

    def _check_ftype(self) -> None:
        at = self._at
        ftype = self._number("ftype", 0, 1 << 30)
        version, number = divmod(ftype, 1000)
        name = next((name for name, n in FTYPES.items() if n == number), f"type {number}")
        if version != QUANTIZATION_VERSION and not (version == 0 and name in UNQUANTIZED):
            problem = f"is {ftype}: {name} of quantization version {version}, of other blocks than those ggtui reads"
            self.refuse("ftype", f"{problem} (version {QUANTIZATION_VERSION}); quantize the model anew", at)
        if name not in TYPES:
            self.refuse("ftype", f"is {ftype}: {name}, which ggtui does not read", at)
        self._quantized = version != 0

    def _vocabulary(self, n_vocab: int) -> dict[str, Any]:
        at = self._at
        again = self._number("n_vocab of the vocabulary", 1, MAX_TOKENS)
        if again != n_vocab:
            self.refuse("n_vocab of the vocabulary", f"is {again}, the header says {n_vocab}", at)
        if n_vocab > (self.size - self._at) // 4:
            self.refuse("n_vocab", f"is {n_vocab}, but that many tokens do not fit into the file", 4)
        tokens: list[bytes] = []
        for id in range(n_vocab):
            length = self._number(f"length of token {id}", 0, MAX_TOKEN)
            tokens.append(self._take(length, f"token {id}"))
        try:
            return vocabulary(tokens)
        except ValueError as error:
            self.refuse("vocabulary", str(error), at + 4)

    def _tensors(self, n_layer: int) -> dict[str, TensorInfo]:
        names, tensors = legacy_names(n_layer), dict[str, TensorInfo]()
        while self._at < self.size:
            start, i = self._at, len(tensors)
            n_dims = self._number(f"n_dims of tensor {i}", 1, 2)
            length = self._number(f"name length of tensor {i}", 1, MAX_NAME)
            type_at = self._at
            id = self._number(f"type of tensor {i}", 0, 1 << 30)
            ne_at = self._at
            ne = [self._number(f"ne[{d}] of tensor {i}", 1, 1 << 30) for d in range(n_dims)] + [1] * (4 - n_dims)
            raw = self._take(length, f"name of tensor {i}").decode("utf-8", "replace")
            if raw not in names:
                self.refuse(f"name of tensor {i}", f"is {raw!r}; a GPT-2 of {n_layer} layers has no such tensor", start)
            name = names[raw]
            if name in tensors:
                self.refuse(raw, "stands in the file twice", start)
            type = type_by_id(id)
            if type is None or type.name not in FTYPES:
                problem = f"is {_NOT_READ.get(id, id)}, which ggtui does not read in such a file"
                self.refuse(f"type of {raw}", problem, type_at)
            if type.name not in UNQUANTIZED and not self._quantized:
                self.refuse(f"type of {raw}", f"is {type.name}, but by its ftype the file is not quantized", type_at)
            if ne[0] % type.block:
                problem = f"is {ne[0]}, no whole number of {type.name}'s blocks of {type.block}"
                self.refuse(f"ne[0] of {raw}", problem, ne_at)
            n_bytes = type.row_bytes(ne[0]) * prod(ne[1:])
            self._need(n_bytes, f"data of {raw}")
            tensors[name] = TensorInfo(name, type, (ne[0], ne[1], ne[2], ne[3]), self._at, n_bytes)
            self._at += n_bytes
        missing = next((raw for raw, name in names.items() if name not in tensors and name != "output.weight"), None)
        if missing is not None:
            self.refuse(missing, "the tensor is missing; the file is cut short or damaged, download it again", self._at)
        return tensors

    def _need(self, n: int, field: str) -> None:
        left = self.size - self._at
        if n > left:
            problem = f"needs {n} bytes where {left} are left; the file is cut short or damaged, download it again"
            self.refuse(field, problem, self._at)

    def _take(self, n: int, field: str) -> bytes:
        self._need(n, field)
        self._at += n
        return self.field(self._at - n, n)

    def _number(self, field: str, low: int, high: int) -> int:
        at = self._at
        (value,) = _I32.unpack(self._take(_I32.size, field))
        if not low <= value <= high:
            self.refuse(field, f"is {value}, not {low} to {high}", at)
        return int(value)


def vocabulary(tokens: Sequence[bytes]) -> dict[str, Any]:
    """The `tokenizer.ggml.*` metadata for tokens whose ids are the ranks of their merges.

    Empty tokens are called [PADn] and never used. Raises ValueError for what is no such vocabulary.
    """
    made, names, types = _merges(tokens), list[str](), list[int]()
    for id, token in enumerate(tokens):
        special = len(token) != 1 and token not in made
        if not special:
            names.append(_printable(token))
            types.append(NORMAL)
            continue
        try:
            names.append(token.decode() or f"[PAD{id}]")
        except UnicodeDecodeError:
            raise ValueError(f"token {id} is {token!r}, which neither a merge makes nor is text") from None
        types.append(UNUSED if not token else CONTROL if names[id] == END_OF_TEXT else USER_DEFINED)
    if len(set(names)) < len(names):
        name, n = Counter(names).most_common(1)[0]
        raise ValueError(f"has the token {name!r} {n} times")
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": names,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": Texts.of(f"{_printable(m.left)} {_printable(m.right)}" for m in made.values()),
    }
    if END_OF_TEXT in names:
        id = names.index(END_OF_TEXT)
        metadata |= {"tokenizer.ggml.bos_token_id": id, "tokenizer.ggml.eos_token_id": id}
    return metadata


def _merges(tokens: Sequence[bytes]) -> dict[bytes, _Merge]:
    """Each token that a merge makes -> that merge, of the two parts that are left when only those before it merge."""
    if sum(len(token) ** 2 for token in tokens) > MAX_WORK:
        raise ValueError("has far too many long tokens")
    made: dict[bytes, _Merge] = {}
    for id, token in enumerate(tokens):
        for i in range(1, len(token)):
            left, right = token[:i], token[i:]
            if (i == 1 or left in made) and (i == len(token) - 1 or right in made) and _stay(left, right, made):
                made[token] = _Merge(id, left, right)
                break
    return made


class _Merge(NamedTuple):
    rank: int
    left: bytes
    right: bytes


def _stay(left: bytes, right: bytes, made: dict[bytes, _Merge]) -> bool:
    """Whether the merges known so far, each in its turn, make these two of left + right.

    Undoes the merges on both sides of the border, latest first: what then meets there must not have merged earlier. Of
    equal merges the left one comes first.
    """
    while True:
        a, b = made.get(left), made.get(right)
        if a is not None and (b is None or a.rank > b.rank):
            left, limit = a.right, a.rank
        elif b is not None:
            right, limit = b.left, b.rank + 1
        else:
            return True
        across = made.get(left + right)
        if across is not None and across.rank < limit:
            return False


def _printable(raw: bytes) -> str:
    return raw.decode("latin-1").translate(BYTE_ALPHABET)
