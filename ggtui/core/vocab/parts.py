"""The parts of a byte-level BPE vocabulary, and the checks that they fit together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ggtui.core.files.fields import are_texts, shown
from ggtui.core.files.texts import Texts
from ggtui.core.runtime.cpu.native import check, ffi, lib
from ggtui.core.vocab.kinds import MAX_MERGES, NORMAL
from ggtui.core.vocab.roles import Tokens


def _byte_alphabet() -> str:
    """GPT-2's character for each byte: the byte's own where that is printable, else one from 256 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return "".join(chr(b if b in printable else next(others)) for b in range(256))


BYTE_ALPHABET = _byte_alphabet()
_BYTE_OF = np.full(
    max(map(ord, BYTE_ALPHABET)) + 2, -1, np.int16
)  # by code point; -1 stands for none, as does the last
_BYTE_OF[list(map(ord, BYTE_ALPHABET))] = range(256)


def printable(raw: bytes) -> str:
    """Bytes in GPT-2's printable alphabet, as they stand in a vocabulary: b" a" is "Ġa"."""
    return raw.decode("latin-1").translate(dict(enumerate(BYTE_ALPHABET)))


class Parts:
    """What tokens and merges say together. csrc/text/vocabulary.c does most of the work.

    bytes, ends  of all normal tokens, one after the other, and where each of all tokens ends, after a 0
    ranked       int32, the ids of the tokens of one byte, ascending, and of what the merges make, in their order, but
                 for what they make of parts that none makes
    others       the bytes of tokens that are plain text, not in the printable alphabet: all that are not normal, and of
                 the normal ones those with characters that stand for no byte
    unmade       the ids of the normal tokens that no merge makes: they are decoded, and text seldom becomes them
    missing      the bytes that have no token: what of a text takes them is lost
    """

    def __init__(self, tokens: Tokens, merges: Sequence[str]) -> None:
        """Raises ModelFileError, in the name of the tokens' file."""
        self._tokens, self._merges = tokens, merges
        self._normal = tokens.kinds == NORMAL
        if not are_texts(merges):
            tokens.refuse("tokenizer.ggml.merges", "is no list of texts")
        if len(merges) > MAX_MERGES:
            tokens.refuse("tokenizer.ggml.merges", f"has {len(merges)} entries, over the limit of {MAX_MERGES}")
        texts = tokens.texts if isinstance(tokens.texts, Texts) else Texts.of(tokens.texts)
        pairs = merges if isinstance(merges, Texts) else Texts.of(merges)
        made = np.empty(len(texts.data), np.uint8)
        self.ends = np.empty(len(texts) + 1, np.int64)
        ranked = np.empty(len(BYTE_ALPHABET) + len(pairs), np.int32)
        v = ffi.new("gg_vocabulary *")
        v.n_tokens, v.n_merges, v.n_codes = len(texts), len(pairs), len(_BYTE_OF)
        v.key = int.from_bytes(os.urandom(8), "little")
        arrays = {
            "tokens": texts.data, "token_ends": texts.ends, "merges": pairs.data, "merge_ends": pairs.ends,
            "normal": self._normal, "byte_of": _BYTE_OF, "bytes": made, "byte_ends": self.ends, "ranked": ranked,
        }  # fmt: skip
        for name, array in arrays.items():
            setattr(v, name, ffi.cast("void *", ffi.from_buffer(array)))
        check(lib.gg_read_vocabulary(v))
        if v.problem != lib.GG_SOUND:
            self._explain(v.problem, v.at)
        self.bytes = made[: self.ends[-1]].tobytes()
        self.ranked: npt.NDArray[np.int32] = ranked[: v.n_ranked]
        others = np.flatnonzero(~self._normal).tolist()
        self.others = {id: tokens.texts[id].encode("utf-8", "replace") for id in others}
        first = self.ranked[: len(BYTE_ALPHABET)]
        single = first[self.ends[first + 1] - self.ends[first] == 1]
        there = {self.bytes[at] for at in self.ends[single].tolist()}
        self.missing = [byte for byte in range(256) if byte not in there]
        unmade = {tokens.texts[id] for id in np.flatnonzero(self._unmade()).tolist()}
        split = [merge.partition(" ") for merge in merges] if unmade else []
        if any(left in unmade or right in unmade for left, _, right in split):
            within = _made([BYTE_ALPHABET[byte] for byte in there], split)
            self.ranked = self.ranked[[tokens.texts[id] in within for id in self.ranked.tolist()]]
        self.unmade: list[int] = np.flatnonzero(self._unmade()).tolist()

    def _unmade(self) -> npt.NDArray[np.bool_]:
        unmade: npt.NDArray[np.bool_] = self._tokens.kinds == NORMAL
        unmade[self.ranked] = False
        return unmade

    def _explain(self, problem: int, at: int) -> NoReturn:
        tokens, merges, field = self._tokens.texts, self._merges, "tokenizer.ggml.merges"
        refuse: Any = self._tokens.refuse
        if problem == lib.GG_REPEATED_TOKEN:
            refuse("tokenizer.ggml.tokens", f"{shown(tokens[at])} is there more than once")
        if problem == lib.GG_MISSING_BYTE:
            refuse("tokenizer.ggml.tokens", f"has no token for the byte {at} ({BYTE_ALPHABET[at]!r})")
        if problem == lib.GG_REPEATED_MERGE:
            refuse(field, f"{shown(merges[at])} is there more than once")
        left, _, right = merges[at].partition(" ")
        normal = {token for token, is_normal in zip(tokens, self._normal, strict=True) if is_normal}
        part = next(part for part in (left, right, left + right) if part not in normal)
        self._tokens.refuse(f"{field}[{at}]", f"{shown(merges[at])}: there is no token {shown(part)}")


def _made(tokens: Iterable[str], merges: Sequence[tuple[str, str, str]]) -> set[str]:
    """What the merges, each with the space between its parts, make of tokens, and those."""
    made: set[str] = set()
    waiting: dict[str, list[tuple[str, str]]] = {}  # for the one, with the other part
    for left, _, right in merges:
        waiting.setdefault(left, []).append((right, left + right))
        waiting.setdefault(right, []).append((left, left + right))
    new = list(tokens)
    while new:
        token = new.pop()
        if token not in made:
            made.add(token)
            new += [whole for other, whole in waiting.pop(token, ()) if other in made]
    return made
