"""Sizes of a model that is to be trained from nothing, said in a line, and what such a model begins with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ggtui.core.errors import UsageError
from ggtui.core.files import ModelFile, TensorInfo
from ggtui.core.files.fields import shown
from ggtui.core.graph.types import TYPES
from ggtui.core.models import ARCHITECTURES
from ggtui.core.models.base import TensorSpec
from ggtui.core.models.hparams import MAX_LAYERS, MAX_SIZE
from ggtui.core.training.seeds import generator

EPS = 1e-5  # of the norms
_DIGITS = 9  # of a number


class Family(NamedTuple):
    """An architecture that can be trained from nothing.

    lacks     keys that it has no use for
    n_ff      of n_embd, where it is not said
    eps       GGUF's key of its norms' epsilon
    rotary    whether positions turn the pairs of a head
    optional  the tensors of it that other models of the architecture lack; %d stands for the layer
    """

    lacks: tuple[str, ...]
    n_ff: Callable[[int], int]
    eps: str
    rotary: bool = False
    optional: tuple[str, ...] = ()


# general.architecture -> what is particular to it
FAMILIES: dict[str, Family] = {
    "gpt2": Family(("kv",), lambda n_embd: 4 * n_embd, "attention.layer_norm_epsilon"),
    # 8/3 n_embd (Touvron et al. 2023), up to a whole number of blocks of most quantized types
    "llama": Family(
        (),
        lambda n_embd: -(-8 * n_embd // 96) * 32,
        "attention.layer_norm_rms_epsilon",
        True,
        ("blk.%d.ffn_gate.weight",),
    ),
}


class Key(NamedTuple):
    """A number of a shape: its name in the text, the field of Shape, GGUF's key, what it may be, and what it is of
    those before it where it is not said; None if it must be."""

    name: str
    field: str
    gguf: str | None
    least: int
    most: int
    default: Callable[[Mapping[str, int], Family], int] | None = None

    def check(self, value: int | str) -> int:
        """Raises UsageError for a value out of range, or that is no number."""
        if isinstance(value, str) or not self.least <= value <= self.most:
            raise UsageError(f"shape key {self.name}: is {value}, not a whole number from {self.least} to {self.most}")
        return value


KEYS = (
    Key("embd", "n_embd", "embedding_length", 1, MAX_SIZE),
    Key("layer", "n_layer", "block_count", 1, MAX_LAYERS),
    Key("head", "n_head", "attention.head_count", 1, MAX_SIZE),
    Key("kv", "n_head_kv", "attention.head_count_kv", 1, MAX_SIZE, lambda given, _: given["head"]),
    Key("ff", "n_ff", "feed_forward_length", 1, MAX_SIZE, lambda given, family: family.n_ff(given["embd"])),
    Key("ctx", "n_ctx", "context_length", 1, MAX_SIZE, lambda *_: 256),
    Key("tied", "tied", None, 0, 1, lambda *_: 1),
)


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a model but for its vocabulary, in the words of Hparams. `tied`: whether the token embedding is the
    output matrix too. Raises UsageError for sizes that make no model."""

    arch: str
    n_embd: int
    n_layer: int
    n_head: int
    n_head_kv: int
    n_ff: int
    n_ctx: int
    tied: bool

    def __post_init__(self) -> None:
        family = _family(self.arch)
        for key in KEYS:
            key.check(getattr(self, key.field))
        if self.n_embd % self.n_head:
            raise UsageError(f"shape key head: {self.n_head} does not divide embd {self.n_embd}")
        if family.rotary and self.n_embd // self.n_head % 2:
            size = self.n_embd // self.n_head
            raise UsageError(f"shape key head: {self.n_head} of embd {self.n_embd} have {size} numbers, an odd one")
        if self.n_head % self.n_head_kv:
            raise UsageError(f"shape key kv: {self.n_head_kv} does not divide head {self.n_head}")
        if "kv" in family.lacks and self.n_head_kv != self.n_head:
            raise UsageError(f"shape key kv: {self.arch} has as many as heads, {self.n_head}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """From a line such as llama:embd=512,layer=8,head=8,kv=2,ctx=512: an architecture of FAMILIES, and of KEYS
        those that have no default or another value. Raises UsageError that names the key."""
        arch, _, rest = text.partition(":")
        family = _family(arch)
        known = {key.name: key for key in KEYS if key.name not in family.lacks}
        given: dict[str, int] = {}
        for item in rest.split(",") if rest else ():
            name, _, value = item.partition("=")
            if name not in known:
                raise UsageError(f"shape key {shown(name)}: is unknown; those of {arch} are {', '.join(known)}")
            if name in given:
                raise UsageError(f"shape key {name}: is there more than once")
            is_number = value.isascii() and value.isdigit() and len(value) <= _DIGITS
            given[name] = known[name].check(int(value) if is_number else shown(value))
        for key in KEYS:
            if key.name in given:
                continue
            if key.default is None:
                raise UsageError(f"shape key {key.name}: is missing; write {arch}:{key.name}=NUMBER,...")
            given[key.name] = key.default(given, family)
        fields: dict[str, Any] = {key.field: given[key.name] for key in KEYS}
        return cls(arch, **fields | {"tied": bool(given["tied"])})

    def metadata(self, n_vocab: int) -> dict[str, Any]:
        """GGUF's keys of the sizes."""
        family = FAMILIES[self.arch]
        sizes = {key.gguf: getattr(self, key.field) for key in KEYS if key.gguf and key.name not in family.lacks}
        sizes |= {"vocab_size": n_vocab, family.eps: EPS}
        sizes |= {"rope.dimension_count": self.n_embd // self.n_head} if family.rotary else {}
        return {"general.architecture": self.arch, **{f"{self.arch}.{key}": value for key, value in sizes.items()}}

    def specs(self, n_vocab: int) -> dict[str, TensorSpec]:
        """Every tensor by its name in the file, as the graph asks for it."""
        architecture = ARCHITECTURES[self.arch]
        optional = {name % il for name in FAMILIES[self.arch].optional for il in range(self.n_layer)}
        optional |= set() if self.tied else {"output.weight"}
        return architecture.specs(architecture.hparams(_Unwritten(self, n_vocab)), optional=optional)

    def tensors(self, n_vocab: int) -> dict[str, tuple[int, ...]]:
        """Every tensor's ne, by its name in the file."""
        return {name: spec.ne for name, spec in self.specs(n_vocab).items()}


def _family(arch: str) -> Family:
    if arch not in FAMILIES:
        names = " or ".join(f"{name}:" for name in FAMILIES)
        raise UsageError(f"shape {shown(arch)}: is no architecture to be trained from nothing; begin with {names}")
    return FAMILIES[arch]


class _Unwritten(ModelFile):
    """A model that is in no file yet, for who reads its sizes."""

    def __init__(self, shape: Shape, n_vocab: int) -> None:
        super().__init__(shape.arch)
        self.metadata = shape.metadata(n_vocab)
        ne = (shape.n_embd, n_vocab, 1, 1)  # the one place that the size of a vocabulary is read from
        self.tensors = {"token_embd.weight": TensorInfo("token_embd.weight", TYPES["f32"], ne, 0, 0)}

    def _open_file(self) -> None:
        """There is nothing to open."""


# The end of a tensor's name, its mean, its standard deviation, and whether that shrinks with the number of layers; the
# first row that fits. As GPT-2 begins (Radford et al. 2019): what writes to the residual stream does so twice a layer,
# and sums up to the same for any number of them.
INITIAL = (
    ("norm.weight", 1.0, 0.0, False),
    (".bias", 0.0, 0.0, False),
    ("position_embd.weight", 0.0, 0.01, False),
    (".attn_output.weight", 0.0, 0.02, True),
    (".ffn_down.weight", 0.0, 0.02, True),
    (".weight", 0.0, 0.02, False),
)


def initial(shape: Shape, n_vocab: int, seed: int) -> dict[str, NDArray[np.float32]]:
    """The weights that training begins with, by their names in the file: matrices (out, in), vectors (n,). Each depends
    on the seed, its name and its size alone. Raises UsageError for a seed out of range."""
    weights = {}
    for name, ne in shape.tensors(n_vocab).items():
        mean, std, shrinks = next(row[1:] for row in INITIAL if name.endswith(row[0]))
        weights[name] = np.full(ne[::-1], mean, np.float32)
        if std:
            weights[name] = generator(seed, *name.encode()).standard_normal(ne[::-1], np.float32)
            weights[name] *= np.float32(std / sqrt(2 * shape.n_layer) if shrinks else std)
    return weights
