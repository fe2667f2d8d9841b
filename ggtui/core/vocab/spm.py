"""BPE over characters, as SentencePiece's: they are merged by the scores of what they make, and what has no token falls
back to tokens for bytes.

The merging is tiktoken's, which begins with bytes. So that it comes to characters first, the beginnings of each
character, and the character, rank right after the bytes; then follow the tokens, the best first.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ggtui.core.files.fields import Fields, shown
from ggtui.core.vocab.base import Vocabulary
from ggtui.core.vocab.kinds import BYTE, MAX_MERGES, NORMAL, UNUSED, USER_DEFINED
from ggtui.core.vocab.merging import Merger
from ggtui.core.vocab.roles import Said, Tokens, truth
from ggtui.core.vocab.ties import Ties

SPACE = "\u2581"  # stands for a space
_BYTE_NAME = re.compile(r"<0x([0-9A-F]{2})>")
_WORDS, _WHOLE = rf"{SPACE}+[^{SPACE}]*|[^{SPACE}]+", r"(?s:.+)"
_LINES = r"\n+|[^\n]+"
_SPACE_WITHIN = re.compile(f"[^{SPACE}]{SPACE}")


class SentencePiece(Vocabulary):
    """A vocabulary of characters that are merged, and of bytes.

    Where the file asks for it, a space is put before a text, and before what follows a named token: `decode` leaves it
    there, since it cannot know whether tokens begin a text.
    """

    def __init__(
        self, tokens: Tokens, best_first: Sequence[int], pattern: str, said: Said, *,
        add_space_prefix: bool, unknown: int | None, ties: Ties, notes: Iterable[str] = (),
    ) -> None:  # fmt: skip
        """best_first: the ids that merging makes, of normal tokens. pattern: what merging does not cross. unknown:
        instead of bytes that have no token. ties: the tokens that `best_first` has in no particular order. Raises
        ModelFileError, in the name of the tokens' file."""
        texts, kinds = tokens.texts, tokens.kinds.tolist()
        raw = [_utf8(text) for text in texts]
        ids = {raw[id]: id for id, kind in enumerate(kinds) if kind == NORMAL}
        if len(ids) < kinds.count(NORMAL):
            again = next(id for id, kind in enumerate(kinds) if kind == NORMAL and ids[raw[id]] != id)
            tokens.refuse("tokenizer.ggml.tokens", f"{shown(texts[again])} is there more than once")
        made = list(map(texts.__getitem__, best_first))
        characters = set().union(*map(set, made), (texts[id] for id in ids.values() if len(texts[id]) == 1))
        ranked = list(dict.fromkeys([*_singles(), *_beginnings(characters), *map(_utf8, made)]))
        self._merger, reached = Merger.of_reached(ranked, pattern)
        self._pieces, self._ties, self._normal = re.compile(pattern), ties, ids
        self._bytes_ids = of_byte = _byte_tokens(tokens, texts, kinds, unknown)
        self._ids = [[ids[token]] if token in ids else [of_byte[byte] for byte in token] for token in reached]
        unmade = set(ids.values()).difference(*self._ids)
        super().__init__(tokens.roles(said, unmade, True, SPACE), notes)
        self._prefix = SPACE if add_space_prefix else ""
        self._bytes = [_bytes_of(text, kind) for text, kind in zip(texts, kinds, strict=True)]

    @property
    def n_vocab(self) -> int:
        return len(self._bytes)

    def token_bytes(self, id: int) -> bytes:
        self._check(id)
        return self._bytes[id]

    def _encode_plain(self, text: str, first: bool) -> list[int]:
        text = (self._prefix if first else "") + text.replace(" ", SPACE)
        if not self._ties.are_in(text):
            return [id for rank in self._merger.ranks(text) for id in self._ids[rank]]
        ids: list[int] = []
        for piece in self._pieces.findall(text):
            if self._ties.are_in(piece):
                ids += [id for token in self._ties.merge(piece) for id in self._ids_of(token)]
            else:
                ids += [id for rank in self._merger.ranks(piece) for id in self._ids[rank]]
        return ids

    def _ids_of(self, token: str) -> list[int]:
        id = self._normal.get(raw := _utf8(token))
        return [self._bytes_ids[byte] for byte in raw] if id is None else [id]


def by_scores(metadata: Mapping[str, Any], path: str | Path, pre: str | None = None) -> SentencePiece:
    """From GGUF's `tokenizer.ggml.*` keys of the kind "llama", where the scores say what is merged first. pre: of no
    use here. Raises ModelFileError, in the name of `path`, for damaged ones."""
    tokens = _tokens(metadata, path)
    scores = _scores(metadata, tokens)
    texts = {id: tokens.texts[id] for id in np.flatnonzero(tokens.kinds == NORMAL).tolist()}
    ties = Ties({text: scores[id] for id, text in texts.items() if len(text) > 1})
    # Of equal ones the longer first: see Ties.
    best_first = sorted(texts, key=lambda id: (-scores[id], -len(texts[id])))
    pattern = _WHOLE if any(map(_SPACE_WITHIN.search, texts.values())) else _WORDS
    return _made(metadata, tokens, best_first, pattern, add_space_prefix=True, pre=pre, ties=ties)


def by_merges(metadata: Mapping[str, Any], path: str | Path, pre: str | None = None) -> SentencePiece:
    """As `by_scores`, of the kind "gemma4", where a list of merges says what is merged, and in what order."""
    tokens, key = _tokens(metadata, path), "tokenizer.ggml.merges"
    merges = list(Fields.of(metadata, path).texts(key))
    if len(merges) > MAX_MERGES:
        tokens.refuse(key, f"has {len(merges)} entries, over the limit of {MAX_MERGES}")
    if len(set(merges)) < len(merges):
        again = next(merge for merge, n in Counter(merges).items() if n > 1)
        tokens.refuse(key, f"{shown(again)} is there more than once")
    ids = {text: id for id, text in enumerate(tokens.texts) if tokens.kinds[id] == NORMAL}
    best_first: dict[int, None] = {}
    for i, merge in enumerate(merges):
        left, _, right = merge.partition(" ")
        id = ids.get(left + right)
        if id is None or left not in ids or right not in ids:
            part = next(part for part in (left, right, left + right) if part not in ids)
            tokens.refuse(f"{key}[{i}]", f"{shown(merge)}: there is no token {shown(part)}")
        best_first[id] = None
    return _made(metadata, tokens, list(best_first), _LINES, add_space_prefix=False, pre=pre, ties=Ties({}))


def _made(
    metadata: Mapping[str, Any], tokens: Tokens, best_first: Sequence[int], pattern: str, *,
    add_space_prefix: bool, pre: str | None, ties: Ties,
) -> SentencePiece:  # fmt: skip
    """add_space_prefix: where the file does not say it."""
    path, key, unknown = tokens.path, "tokenizer.ggml.add_space_prefix", "tokenizer.ggml.unknown_token_id"
    fields = Fields.of(metadata, path)
    prefix = truth(metadata, path, key, None)
    no_use = f"{path}: --pre {pre} is of no use: this kind of vocabulary does not split text"
    return SentencePiece(
        tokens, best_first, pattern, Said.of(metadata, path),
        add_space_prefix=add_space_prefix if prefix is None else prefix,
        unknown=fields.whole(unknown, -1 << 63, 1 << 64) if unknown in fields else None,
        ties=ties, notes=[] if pre is None else [no_use],
    )  # fmt: skip


def _tokens(metadata: Mapping[str, Any], path: str | Path) -> Tokens:
    fields, kinds = Fields.of(metadata, path), "tokenizer.ggml.token_type"
    return Tokens(path, list(fields.texts("tokenizer.ggml.tokens")), fields.wholes(kinds))


def _scores(metadata: Mapping[str, Any], tokens: Tokens) -> list[float]:
    """Of each token, higher for what is merged earlier."""
    key = "tokenizer.ggml.scores"
    value = metadata.get(key)
    if value is None:
        tokens.refuse(key, "is missing")
    try:
        scores = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        scores = np.empty(())
    if scores.ndim != 1 or np.isnan(scores).any():
        tokens.refuse(key, f"is {shown(value)}, not a list of numbers")
    if len(scores) != len(tokens.texts):
        tokens.refuse(key, f"has {len(scores)} entries for {len(tokens.texts)} tokens")
    return list(map(float, scores))


def _byte_tokens(tokens: Tokens, texts: Sequence[str], kinds: Sequence[int], unknown: int | None) -> list[int]:
    """The token of each byte."""
    found: dict[int, int] = {}
    for id, kind in enumerate(kinds):
        if kind == BYTE:
            name = _BYTE_NAME.fullmatch(texts[id])
            if name is None:
                tokens.refuse(f"tokenizer.ggml.tokens[{id}]", f"{shown(texts[id])} is no byte, such as <0x0A>")
            found.setdefault(int(name[1], 16), id)
    missing = next((byte for byte in range(256) if byte not in found), None)
    if missing is not None and (unknown is None or not 0 <= unknown < len(texts)):
        tokens.refuse("tokenizer.ggml.tokens", f"has no token <0x{missing:02X}>, and there is none for what is unknown")
    return [found.get(byte, -1 if unknown is None else unknown) for byte in range(256)]


def _singles() -> list[bytes]:
    return [bytes([byte]) for byte in range(256)]


def _beginnings(characters: Iterable[str]) -> list[bytes]:
    """Of each character all its bytes, and the first ones, two or more; shorter ones first."""
    found = {raw[:n] for raw in map(_utf8, characters) for n in range(2, len(raw) + 1)}
    return sorted(found, key=lambda raw: (len(raw), raw))


def _utf8(text: str) -> bytes:
    """What is no UTF-8 in the file becomes what no text has."""
    return text.encode("utf-8", "surrogatepass")


def _bytes_of(text: str, kind: int) -> bytes:
    if kind == BYTE:
        return bytes([int(text[3:5], 16)])
    raw = text.replace(SPACE, " ") if kind in (NORMAL, USER_DEFINED, UNUSED) else text
    return raw.encode("utf-8", "replace")
