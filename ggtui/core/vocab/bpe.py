"""Byte-level BPE: text to tokens and back, by the vocabulary and merges that come with the model.

tiktoken wants the bytes of each token and their rank, which is the order of the merges; ids are the model's own and
usually the same numbers. It joins two neighbours whenever together they are a token; with merges that come out of
training that is the same as going by the merges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ggtui.core.files.fields import Fields
from ggtui.core.vocab.base import TokenStream, Vocabulary
from ggtui.core.vocab.kinds import (
    BYTE,
    CONTROL,
    MAX_MERGES,
    MAX_SPECIAL,
    MAX_SPECIAL_TEXT,
    MAX_TOKENS,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
)
from ggtui.core.vocab.merging import Merger, long_run
from ggtui.core.vocab.parts import BYTE_ALPHABET, Parts, printable
from ggtui.core.vocab.roles import Said, Tokens
from ggtui.core.vocab.rules import PRE
from ggtui.core.vocab.splitting import Splitter

__all__ = [
    "BYTE", "BYTE_ALPHABET", "CONTROL", "MAX_MERGES", "MAX_SPECIAL", "MAX_SPECIAL_TEXT", "MAX_TOKENS", "NORMAL",
    "UNKNOWN", "UNUSED", "USER_DEFINED", "TokenStream", "Tokenizer", "printable",
]  # fmt: skip

# Bytes that UTF-8 does not have, or only for control characters and for planes of Unicode that are empty: many
# vocabularies lack some of them.
_HARDLY_IN_TEXT = {*range(0x20), 0xC0, 0xC1, 0xF1, 0xF2, *range(0xF5, 0x100)} - {0x09, 0x0A, 0x0D}
_MAX_CACHED, _MAX_CACHED_PIECE = 1 << 16, 64  # pieces, and characters of one


class Tokenizer(Vocabulary):
    """A vocabulary of byte-level BPE."""

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
        said: Said | None = None,
        notes: Iterable[str] = (),
    ) -> None:
        """From the parts of a vocabulary, in GPT-2's printable alphabet.

        merges: "left right", in their order. types: GGUF's kind of each token; without them all tokens but those
        of `bos` and `eos` that no merge makes are normal. pre: a rule of rules.PRE. said: what a file says of single
        tokens, instead of `bos` and `eos`; ids outside the vocabulary are as none. Raises ModelFileError, in the name
        of `path`, for parts that do not fit together.
        """
        own = Tokens(path, tokens, types)
        if pre not in PRE:
            known = ", ".join(PRE)
            problem = f"is {pre!r}, which ggtui does not know; --pre NAME forces one of {known}"
            own.refuse("tokenizer.ggml.pre", problem)
        rule = PRE[pre]
        parts = Parts(own, merges)
        said = Said(bos, eos) if said is None else said
        roles = own.roles(said, parts.unmade, rule.add_bos)
        lost = [bytes([byte]) for byte in parts.missing]
        if in_text := [f"0x{byte:02X}" for byte in parts.missing if byte not in _HARDLY_IN_TEXT]:
            some = ", ".join(in_text[:3]) + " ..." * (len(in_text) > 3)
            notes = [*notes, f"{path}: {some} have no token; characters whose UTF-8 has these bytes are lost"]
        super().__init__(roles, notes)
        self._bytes, self._byte_ends, self._others = parts.bytes, parts.ends.data, parts.others
        raw = list(map(BytesIO(self._bytes).read, np.diff(parts.ends).tolist()))
        ids = parts.ranked.tolist()
        ranked = list(map(raw.__getitem__, ids))
        control = set(roles.control.values())
        unmade = [id for id in parts.unmade if id not in control and id not in parts.others]
        if unmade:  # some merges are missing, so what later ones make may be out of reach
            self._merger, reached = Merger.of_reached([*ranked, *lost], rule.splits[-1])
            left = set(reached)
            unmade += [id for id, token in zip(ids, ranked, strict=True) if token not in left]
            ids = [id for id, token in zip(ids, ranked, strict=True) if token in left]
        else:
            self._merger = Merger([*ranked, *lost], rule.splits[-1])
        self._ids = None if ids == list(range(len(ids))) else ids  # None: the ranks are the ids
        self._n_ranked = len(ids) if lost else None  # ranks from there on stand for bytes without a token
        # What is a token only where it is a whole piece
        self._whole = {raw[id]: [id] for id in unmade} if rule.ignore_merges else {}
        self._splitter = Splitter(rule.splits)
        self._by_piece = len(rule.splits) > 1 or bool(self._whole)
        self._cache: dict[str, list[int]] = {}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any], path: str | Path, pre: str | None = None) -> Tokenizer:
        """From GGUF's `tokenizer.ggml.*` keys. pre: the rule of splitting, whatever the file says. Raises
        ModelFileError, in the name of `path`, for damaged ones."""
        fields, key = Fields.of(metadata, path), "tokenizer.ggml.{}".format
        guess = f'{path}: {key("pre")} is missing; text is split by the rule "default", maybe not as in training'
        return cls(
            fields.texts(key("tokens")),
            fields.texts(key("merges"), []),
            fields.wholes(key("token_type")) if key("token_type") in fields else None,
            pre=fields.text(key("pre"), "default") if pre is None else pre,
            path=path,
            said=Said.of(metadata, path),
            notes=[guess] if pre is None and key("pre") not in fields else [],
        )

    @property
    def n_vocab(self) -> int:
        return len(self._byte_ends) - 1

    def token_bytes(self, id: int) -> bytes:
        self._check(id)
        other = self._others.get(id)
        return self._bytes[self._byte_ends[id] : self._byte_ends[id + 1]] if other is None else other

    def _encode_plain(self, text: str, begins: bool, after_name: bool) -> list[int]:
        if not self._by_piece and not long_run(text):
            return self._to_ids(self._merger.ranks(text))
        ids: list[int] = []
        cache = self._cache
        for piece in self._splitter.pieces(text):
            own = cache.get(piece)
            if own is None:
                raw = piece.encode()
                own = self._whole.get(raw) or self._to_ids(self._merger.ranks_of_piece(raw))
                if len(piece) <= _MAX_CACHED_PIECE:
                    if len(cache) >= _MAX_CACHED:
                        cache.clear()
                    cache[piece] = own
            ids += own
        return ids

    def _to_ids(self, ranks: list[int]) -> list[int]:
        if self._n_ranked is not None:
            ranks = [rank for rank in ranks if rank < self._n_ranked]
        return ranks if self._ids is None else list(map(self._ids.__getitem__, ranks))
