"""Byte-level BPE: text to tokens and back, by the vocabulary and merges that come with the model.

tiktoken does the merging. It wants the bytes of each token and their rank, which is the order of the merges;
ids are the model's own and usually the same numbers. It joins two neighbours whenever together they are a
token; with merges that come out of training that is the same as going by the merges.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import tiktoken

from ggtui.core.errors import ModelFileError, UsageError
from ggtui.core.files.fields import Fields, are_texts, shown
from ggtui.core.files.texts import Texts
from ggtui.core.runtime.cpu.native import check, ffi, lib

# GGUF's types of tokens
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = _TYPES = range(1, 7)
_SPECIAL = (CONTROL, USER_DEFINED)

# More than any vocabulary has, and few enough to be read at once. Special tokens are the branches of one pattern.
MAX_TOKENS = 3 << 17
MAX_MERGES = 3 << 18
MAX_SPECIAL, MAX_SPECIAL_TEXT = 1 << 14, 1 << 18

# How text is split before merging. This is GPT-2's pattern,
#   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
# written so that the matcher seldom needs to go back.
_GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
PATTERNS: dict[str, str] = {"gpt-2": _GPT2, "default": _GPT2}

# tiktoken's matcher gives up (by a panic) after a million steps back in one run of white space. Cut before
# the last character of such a run, a text is split as if it were whole.
_LONG_RUN = 1 << 16
_WHITE_SPACE = re.compile(r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]++")


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


class Tokenizer:
    """Turns text into token ids and back. `bos` and `eos` begin and end a text; None without one."""

    def __init__(
        self,
        tokens: Sequence[str],
        merges: Sequence[str],
        types: Sequence[int] | npt.NDArray[np.integer[Any]] | None = None,
        *,
        bos: int | None = None,
        eos: int | None = None,
        pre: str = "gpt-2",
        path: str | Path = "vocabulary",
    ) -> None:
        """From the parts of a vocabulary, in GPT-2's printable alphabet.

        merges: "left right", in their order. types: GGUF's kind of each token; without them all tokens but
        `bos` and `eos` are normal. Raises ModelFileError, in the name of `path`, for parts that do not fit
        together.
        """
        parts = _Parts(path, tokens, types, bos, eos)
        if pre not in PATTERNS:
            known = ", ".join(PATTERNS)
            parts.refuse("tokenizer.ggml.pre", f"is {pre!r}, which ggtui does not know; it knows {known}")
        self.bos, self.eos = bos, eos
        # By rank: the 256 bytes, then what each merge makes, then the special tokens, which are never merged.
        ranked = parts.read(merges)
        special = parts.special(ranked, bos, eos)
        ids = np.concatenate([ranked, np.array(special, np.int32)])
        self._ids = None if np.array_equal(ids, np.arange(len(ids))) else ids.tolist()  # None: the ranks are the ids
        self._bytes, self._ends, self._others = parts.bytes, parts.ends.data, parts.others
        raw = list(map(BytesIO(self._bytes).read, np.diff(parts.ends).tolist()))
        ranks = dict(zip(map(raw.__getitem__, ranked.tolist()), range(len(ranked)), strict=True))
        special_ranks = {tokens[id]: len(ranked) + i for i, id in enumerate(special)}
        self._encoding = tiktoken.Encoding(
            "ggtui", pat_str=PATTERNS[pre], mergeable_ranks=ranks, special_tokens=special_ranks
        )
        ranks.clear()  # it has its own by now, and holds on to these

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], path: str | Path) -> Tokenizer:
        """From GGUF's `tokenizer.ggml.*` keys. Raises ModelFileError, in the name of `path`, for damaged ones."""
        fields, key = Fields.of(metadata, path), "tokenizer.ggml.{}".format
        bos, eos = (
            fields.whole(name, 0, MAX_TOKENS) if (name := key(f"{end}_token_id")) in fields else None
            for end in ("bos", "eos")
        )
        return cls(
            fields.texts(key("tokens")),
            fields.texts(key("merges"), []),
            fields.wholes(key("token_type")) if key("token_type") in fields else None,
            bos=bos,
            eos=eos,
            pre=fields.text(key("pre"), "default"),
            path=path,
        )

    @property
    def n_vocab(self) -> int:
        return len(self._ends) - 1

    def encode(self, text: str, special: bool = False) -> list[int]:
        """The tokens of `text`.

        With `special`, the names of control tokens in it, such as <|endoftext|>, become those tokens;
        otherwise they are text like any other.
        """
        ranks: list[int] = []
        for part in _parts_of(text):
            if special:
                ranks += self._encoding.encode(part, allowed_special="all")
            else:
                ranks += self._encoding.encode_ordinary(part)
        return ranks if self._ids is None else list(map(self._ids.__getitem__, ranks))

    def token_bytes(self, id: int) -> bytes:
        """The bytes of a token, maybe a part of a character. Raises UsageError if there is no such token."""
        if not 0 <= id < self.n_vocab:
            raise UsageError(f"token {id}: the vocabulary has 0 to {self.n_vocab - 1}")
        other = self._others.get(id)
        return self._bytes[self._ends[id] : self._ends[id + 1]] if other is None else other

    def decode(self, ids: Iterable[int]) -> str:
        """The text of tokens, U+FFFD for what is no UTF-8. Raises UsageError if there is no such token."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")

    def stream(self) -> TokenStream:
        """A decoder for tokens that come one at a time."""
        return TokenStream(self)


class TokenStream:
    """Text of tokens as they come. A character spread over several tokens comes with the last of them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, id: int) -> str:
        """What the token adds to the text. Raises UsageError if there is no such token."""
        return self._decoder.decode(self._tokenizer.token_bytes(id))

    def flush(self) -> str:
        """The end of the text: U+FFFD if a character was left incomplete, else nothing."""
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return text


def _parts_of(text: str) -> Iterator[str]:
    start = 0
    if len(text) > _LONG_RUN:
        for run in _WHITE_SPACE.finditer(text):
            if run.end() - run.start() > _LONG_RUN:
                yield text[start : run.end() - 1]
                start = run.end() - 1
    yield text[start:]


class _Parts:
    """The parts of a vocabulary, and the checks that they fit together. csrc/vocabulary.c does most of the work.

    bytes, ends  of all normal tokens, one after the other, and where each of all tokens ends, after a 0
    others       the bytes of tokens that are not normal: these are plain text, not in the printable alphabet
    """

    def __init__(
        self,
        path: str | Path,
        tokens: Sequence[str],
        types: Sequence[int] | npt.NDArray[np.integer[Any]] | None,
        bos: int | None,
        eos: int | None,
    ) -> None:
        self.path, self.tokens = path, tokens
        if not len(tokens) or not are_texts(tokens):
            self.refuse("tokenizer.ggml.tokens", "is no list of texts" if len(tokens) else "is empty")
        if len(tokens) > MAX_TOKENS:
            self.refuse("tokenizer.ggml.tokens", f"has {len(tokens)} entries, over the limit of {MAX_TOKENS}")
        for key, id in (("bos_token_id", bos), ("eos_token_id", eos)):
            if id is not None and not 0 <= id < len(tokens):
                self.refuse(f"tokenizer.ggml.{key}", f"is {id}; the vocabulary has 0 to {len(tokens) - 1}")
        kinds = np.full(len(tokens), NORMAL) if types is None else np.asarray(types)
        if len(kinds) != len(tokens):
            self.refuse("tokenizer.ggml.token_type", f"has {len(kinds)} entries for {len(tokens)} tokens")
        known = np.isin(kinds, _TYPES)
        if not known.all():
            id = int(np.argmin(known))
            self.refuse(f"tokenizer.ggml.token_type[{id}]", f"is {kinds[id]}, not 1 to 6")
        self.types = kinds.astype(np.uint8)
        self.normal = self.types == NORMAL

    def refuse(self, field: str, problem: str) -> NoReturn:
        raise ModelFileError(self.path, field, problem)

    def read(self, merges: Sequence[str]) -> npt.NDArray[np.int32]:
        """Find the bytes of all tokens. Returns the ids of those of one byte, ascending, and of what the merges make,
        in their order."""
        if not are_texts(merges):
            self.refuse("tokenizer.ggml.merges", "is no list of texts")
        if len(merges) > MAX_MERGES:
            self.refuse("tokenizer.ggml.merges", f"has {len(merges)} entries, over the limit of {MAX_MERGES}")
        texts = self.tokens if isinstance(self.tokens, Texts) else Texts.of(self.tokens)
        pairs = merges if isinstance(merges, Texts) else Texts.of(merges)
        made = np.empty(len(texts.data), np.uint8)
        self.ends = np.empty(len(texts) + 1, np.int64)
        ranked = np.empty(len(BYTE_ALPHABET) + len(pairs), np.int32)
        v = ffi.new("gg_vocabulary *")
        v.n_tokens, v.n_merges, v.n_codes = len(texts), len(pairs), len(_BYTE_OF)
        v.key = int.from_bytes(os.urandom(8), "little")
        arrays = {
            "tokens": texts.data, "token_ends": texts.ends, "merges": pairs.data, "merge_ends": pairs.ends,
            "normal": self.normal, "byte_of": _BYTE_OF, "bytes": made, "byte_ends": self.ends, "ranked": ranked,
        }  # fmt: skip
        for name, array in arrays.items():
            setattr(v, name, ffi.cast("void *", ffi.from_buffer(array)))
        check(lib.gg_read_vocabulary(v))
        if v.problem != lib.GG_SOUND:
            self._explain(v.problem, v.at, merges)
        self.bytes = made[: self.ends[-1]].tobytes()
        others = np.flatnonzero(~self.normal).tolist()
        self.others = {id: self.tokens[id].encode("utf-8", "replace") for id in others}
        return ranked[: v.n_ranked]

    def _explain(self, problem: int, at: int, merges: Sequence[str]) -> NoReturn:
        tokens, field = self.tokens, "tokenizer.ggml.merges"
        if problem == lib.GG_REPEATED_TOKEN:
            self.refuse("tokenizer.ggml.tokens", f"{shown(tokens[at])} is there more than once")
        if problem == lib.GG_NO_BYTE:
            self.refuse(f"tokenizer.ggml.tokens[{at}]", f"{shown(tokens[at])} has characters that stand for no byte")
        if problem == lib.GG_MISSING_BYTE:
            self.refuse("tokenizer.ggml.tokens", f"has no token for the byte {at} ({BYTE_ALPHABET[at]!r})")
        if problem == lib.GG_REPEATED_MERGE:
            self.refuse(field, f"{shown(merges[at])} is there more than once")
        left, _, right = merges[at].partition(" ")
        normal = {token for token, is_normal in zip(tokens, self.normal, strict=True) if is_normal}
        part = next(part for part in (left, right, left + right) if part not in normal)
        self.refuse(f"{field}[{at}]", f"{shown(merges[at])}: there is no token {shown(part)}")

    def special(self, ranked: npt.NDArray[np.int32], bos: int | None, eos: int | None) -> list[int]:
        """The ids of the tokens that stand for themselves, ascending. All normal tokens must be `ranked`."""
        left = self.normal.copy()
        left[ranked] = False
        unmade = set(np.flatnonzero(left).tolist())
        special = {id for id in (bos, eos) if id in unmade}
        if unmade > special:
            id = min(unmade - special)
            problem = f"{shown(self.tokens[id])} is neither a byte nor made by any of the merges"
            self.refuse(f"tokenizer.ggml.tokens[{id}]", problem)
        special.update(id for id in self.others if self.types[id] in _SPECIAL and _is_name(self.tokens[id]))
        size = sum(len(self.tokens[id]) for id in special)
        if len(special) > MAX_SPECIAL or size > MAX_SPECIAL_TEXT:
            problem = f"has {len(special)} control and user-defined tokens with names of {size} characters in all"
            self.refuse("tokenizer.ggml.token_type", f"{problem}; at most {MAX_SPECIAL} of {MAX_SPECIAL_TEXT} are read")
        return sorted(special)


def _is_name(text: str) -> bool:
    """Whether a text can hold it."""
    return bool(text) and not any("\ud800" <= c <= "\udfff" for c in text)
