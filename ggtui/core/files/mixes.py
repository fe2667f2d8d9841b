"""Which tensor type each matrix of a model gets: the mixes that llama.cpp names, and what stands in for a type that
does not fit a row.

A mix gives more bits to the matrices that lose most: the head, the values' part of attention, and the way down. The
rules are those of llama.cpp's quantizer without an importance matrix.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ggtui.core.errors import UsageError
from ggtui.core.graph.types import TYPES, TensorType, type_of

# What takes the place of a type in rows that are no whole number of its blocks; f16 comes after these.
FALLBACKS = {"q2_k": "q4_0", "q3_k": "q4_0", "q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0", "iq4_xs": "iq4_nl"}
# GGUF's `general.file_type` of a model whose matrices are mostly of a type, as llama.cpp numbers them.
FILE_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q2_k": 10, "q3_k": 12}
FILE_TYPES |= {"q4_k": 15, "q5_k": 17, "q6_k": 18, "iq4_nl": 25, "iq4_xs": 30, "bf16": 32}

_HEAD = "q6_k"
# In models of so many layers whose heads share keys and values those are small, and worth more bits.
_LARGE, _IN_LARGE = 80, {"q3_k": "q5_k", "q4_k": "q5_k"}
_PART = re.compile(r"blk\.(\d+)\.(\w+)\.weight")

Layers = Callable[[int, int], bool]  # whether a rule holds in layer i of n


def _all(i: int, n: int) -> bool:
    return True


def _more_bits(i: int, n: int) -> bool:
    return i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2


def _first(count: int) -> Layers:
    return lambda i, n: i < count


def _first_part(parts: int) -> Layers:
    return lambda i, n: i < n // parts


class Rule(NamedTuple):
    """The matrices of a part of the layers, `part`, get `type` in the layers that `holds` says, in models of which so
    many query heads or more share keys and values."""

    part: str
    type: str
    holds: Layers = _all
    shared_by: int = 1


@dataclass(frozen=True, slots=True)
class Mix:
    """A type for most matrices, and rules for others: the first that holds counts.

    file_type: what GGUF's `general.file_type` says of it.
    """

    name: str
    file_type: int
    base: str
    rules: tuple[Rule, ...] = ()

    def type_of(self, name: str, n_layer: int, *, tied: bool, shared_by: int = 1) -> TensorType:
        """The type of the matrix called `name`, wherever its rows fit (see `fitting`).

        tied: the token embedding is the head, too. shared_by: so many query heads share keys and values.
        """
        if name == "output.weight" or (tied and name == "token_embd.weight"):
            return TYPES[_HEAD]
        found = _PART.fullmatch(name)
        type = self.base
        if found is not None:
            layer, part = int(found[1]), found[2]
            part = "attn_v" if part == "attn_qkv" else part  # which has the values in it
            for rule in self.rules:
                if part == rule.part and shared_by >= rule.shared_by and rule.holds(layer, n_layer):
                    type = rule.type
                    break
            if part == "attn_v" and n_layer == _LARGE and shared_by > 1:
                type = _IN_LARGE.get(type, type)
        return TYPES[type]


_ROWS = (
    Mix(
        "q2_k",
        10,
        "q2_k",
        (
            Rule("attn_v", "q4_k", shared_by=4),
            Rule("attn_v", "q3_k"),
            Rule("attn_output", "q3_k"),
            Rule("ffn_down", "q3_k"),
        ),
    ),
    Mix("q3_k_s", 11, "q3_k"),
    Mix(
        "q3_k_m",
        12,
        "q3_k",
        (
            Rule("attn_v", "q5_k", _first(2)),
            Rule("attn_v", "q4_k"),
            Rule("attn_output", "q4_k"),
            Rule("ffn_down", "q5_k", _first_part(16)),
            Rule("ffn_down", "q4_k"),
        ),
    ),
    Mix("q3_k_l", 13, "q3_k", (Rule("attn_v", "q5_k"), Rule("attn_output", "q5_k"), Rule("ffn_down", "q5_k"))),
    Mix("q4_k_s", 14, "q4_k", (Rule("attn_v", "q5_k", _first(4)), Rule("ffn_down", "q5_k", _first_part(8)))),
    Mix("q4_k_m", 15, "q4_k", (Rule("attn_v", "q6_k", _more_bits), Rule("ffn_down", "q6_k", _more_bits))),
    Mix("q5_k_s", 16, "q5_k"),
    Mix("q5_k_m", 17, "q5_k", (Rule("attn_v", "q6_k", _more_bits), Rule("ffn_down", "q6_k", _more_bits))),
    Mix("q6_k", 18, "q6_k"),
    Mix("iq4_nl", 25, "iq4_nl", (Rule("attn_v", "q5_k", shared_by=4), Rule("ffn_down", "q5_k", _first_part(8)))),
    Mix("iq4_xs", 30, "iq4_xs", (Rule("attn_v", "q5_k", shared_by=4), Rule("ffn_down", "q5_k", _first_part(8)))),
)
MIXES: dict[str, Mix] = {mix.name: mix for mix in _ROWS}


def mix_or_type(name: str | TensorType) -> Mix | TensorType:
    """The mix called `name`, else the type; a name that is both means the mix. Case does not matter.

    Raises UsageError for a name that is neither, and for a type that holds no weights.
    """
    if isinstance(name, str):
        mix = MIXES.get(name.lower())
        if mix is not None:
            return mix
    known = [t.name for t in TYPES.values() if _holds_weights(t)] + [m for m in MIXES if m not in TYPES]
    if isinstance(name, str) and name.lower() not in TYPES:
        raise UsageError(f"tensor type {name!r}: choose one of {', '.join(known)}")
    type = type_of(name)
    if not _holds_weights(type):
        raise UsageError(f"type {type.name}: holds no weights; choose one of {', '.join(known)}")
    return type


def fitting(type: TensorType, ne0: int) -> TensorType:
    """`type`, or what stands in for it in rows of `ne0` weights that are no whole number of its blocks."""
    while ne0 % type.block:
        type = TYPES[FALLBACKS.get(type.name, "f16")]
    return type


def _holds_weights(type: TensorType) -> bool:
    return type.file and type.name != "i32"
