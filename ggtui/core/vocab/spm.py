"""BPE over characters, as SentencePiece's: they are merged by the scores of what they make, and what has no token falls
back to tokens for bytes. csrc/text/merge.c does the merging."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ggtui.core.errors import GgtuiError
from ggtui.core.files.fields import Fields, shown
from ggtui.core.files.texts import LENGTH_BYTES, Texts
from ggtui.core.runtime.cpu.native import ffi, last_error, lib
from ggtui.core.vocab.base import Vocabulary
from ggtui.core.vocab.kinds import BYTE, CONTROL, MAX_MERGES, NORMAL, UNKNOWN, UNUSED, USER_DEFINED
from ggtui.core.vocab.roles import ENDS, Said, Tokens, truth

SPACE = "\u2581"  # stands for a space
# Before which texts a space is put: any that begin or follow a named token; those of them that have none there; those
# alone that nothing comes before and that have none there.
PREFIXES = ("any", "always", "first")
_BYTE_NAME = re.compile(r"<0x([0-9A-F]{2})>")
_LONGER = np.array([0xC0, 0xE0, 0xF0], np.uint8)  # from these first bytes on a character of UTF-8 has one byte more

Scores = NDArray[np.float64]


class SentencePiece(Vocabulary):
    """A vocabulary of characters that are merged, and of bytes.

    Where the file asks for it, a space is put before a text, and before what follows a named token: `decode` leaves it
    there, since it cannot know whether tokens begin a text.
    """

    def __init__(
        self, tokens: Tokens, scores: Scores, split: int, said: Said, *,
        prefix: str, unknown: int | None, notes: Iterable[str] = (),
    ) -> None:  # fmt: skip
        """scores: of each token (n_vocab); a normal one that no merging makes, though it may be a single character, has
        -inf. split: where merging stops, of gg_merge_pieces. prefix: before which texts a space is put, of PREFIXES, or
        "" for none. unknown: instead of bytes that have no token. Raises
        ModelFileError, in the name of the tokens' file."""
        texts = tokens.texts
        self._texts = texts if isinstance(texts, Texts) else Texts.of(texts)
        self._kinds, self._scores = tokens.kinds, scores  # which the merger looks into, as into the texts
        self._merged = (tokens.kinds == NORMAL) & (~np.isneginf(scores) | _are_single(self._texts))
        repeated, key = ffi.new("int64_t *"), int.from_bytes(os.urandom(8), "little")
        data, ends = ffi.from_buffer(self._texts.data), ffi.from_buffer("int64_t[]", self._texts.ends)
        merged, given = ffi.from_buffer(self._merged.view(np.uint8)), ffi.from_buffer("double[]", scores)
        merger = lib.gg_merger_new(len(texts), data, ends, merged, given, split, key, repeated)
        self._merger = ffi.gc(merger, lib.gg_merger_free)
        if self._merger == ffi.NULL:
            raise GgtuiError(last_error())
        if repeated[0] >= 0:
            tokens.refuse("tokenizer.ggml.tokens", f"{shown(texts[repeated[0]])} is there more than once")
        self._of_byte = np.array(_byte_tokens(tokens, unknown), np.int32)
        super().__init__(tokens.roles(said, self._unmade(said), True, SPACE), notes)
        self._prefix = prefix

    def _unmade(self, said: Said) -> list[int]:
        """Of the normal tokens that may begin or end a text those that text never becomes."""
        told = {said.bos, said.eos, *said.ends} - {None}
        ids = [id for text in ENDS for id in self._texts.places(text.encode())]
        return [
            id
            for id in sorted({*ids, *(id for id in told if id is not None and 0 <= id < len(self._texts))})
            if self._kinds[id] == NORMAL and self._merge(self._texts.raw(id)) != [id]
        ]

    @property
    def n_vocab(self) -> int:
        return len(self._texts)

    def token_bytes(self, id: int) -> bytes:
        self._check(id)
        return _bytes_of(self._texts[id], int(self._kinds[id]))

    def _encode_plain(self, text: str, begins: bool, after_name: bool) -> list[int]:
        text = text.replace(" ", SPACE)
        wanted = begins or (after_name and self._prefix != "first")
        if wanted and self._prefix and (self._prefix == "any" or not text.startswith(SPACE)):
            text = SPACE + text
        return self._merge(text.encode())

    def _merge(self, text: bytes) -> list[int]:
        ids = np.empty(len(text), np.int32)
        n = lib.gg_merge(self._merger, len(text), text, ffi.from_buffer("int32_t[]", ids))
        if n < 0:
            raise GgtuiError(last_error())
        ids = ids[:n]
        bytes_at = np.flatnonzero(ids < 0)
        ids[bytes_at] = self._of_byte[-1 - ids[bytes_at]]
        return ids.tolist()


# What the first tokens are where a file does not say it, as in llama.cpp, if they are of that kind
_USUAL = (("unknown", UNKNOWN), ("bos", CONTROL), ("eos", CONTROL))


def by_scores(metadata: Mapping[str, Any], path: str | Path, pre: str | None = None) -> SentencePiece:
    """From GGUF's `tokenizer.ggml.*` keys of the kind "llama", where the scores say what is merged first. pre: of no
    use here. Raises ModelFileError, in the name of `path`, for damaged ones."""
    tokens = _tokens(metadata, path)
    scores = _scores(metadata, tokens)
    scores[np.isneginf(scores)] = np.finfo(np.float64).min
    split = lib.GG_WHOLE if _has_space_within(tokens) else lib.GG_BY_WORDS
    kinds = tokens.kinds[: len(_USUAL)].tolist()
    known = zip(_USUAL, kinds, strict=False)
    usual = {f"tokenizer.ggml.{key}_token_id": id for id, ((key, kind), own) in enumerate(known) if own == kind}
    return _made({**usual, **metadata}, tokens, scores, split, add_space_prefix=True, pre=pre)


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
    scores = np.full(len(tokens.texts), -np.inf)
    for i, merge in enumerate(merges):
        left, _, right = merge.partition(" ")
        id = ids.get(left + right)
        if id is None or left not in ids or right not in ids:
            part = next(part for part in (left, right, left + right) if part not in ids)
            tokens.refuse(f"{key}[{i}]", f"{shown(merge)}: there is no token {shown(part)}")
        scores[id] = max(scores[id], -i)  # what several merges make is as good as the first of them
    return _made(metadata, tokens, scores, lib.GG_BY_LINES, add_space_prefix=False, pre=pre)


def _made(
    metadata: Mapping[str, Any], tokens: Tokens, scores: Scores, split: int, *, add_space_prefix: bool, pre: str | None
) -> SentencePiece:
    """add_space_prefix: where the file does not say it."""
    path, key, unknown = tokens.path, "tokenizer.ggml.add_space_prefix", "tokenizer.ggml.unknown_token_id"
    fields = Fields.of(metadata, path)
    wanted, scheme = truth(metadata, path, key, None), "ggtui.tokenizer.prepend_scheme"
    prefix = fields.choice(scheme, PREFIXES, PREFIXES[0]) if (add_space_prefix if wanted is None else wanted) else ""
    no_use = f"{path}: --pre {pre} is of no use: this kind of vocabulary does not split text"
    return SentencePiece(
        tokens, scores, split, Said.of(metadata, path),
        prefix=prefix,
        unknown=fields.whole(unknown, -1 << 63, 1 << 64) if unknown in fields else None,
        notes=[] if pre is None else [no_use],
    )  # fmt: skip


def _tokens(metadata: Mapping[str, Any], path: str | Path) -> Tokens:
    fields, kinds = Fields.of(metadata, path), "tokenizer.ggml.token_type"
    return Tokens(path, fields.texts("tokenizer.ggml.tokens"), fields.wholes(kinds))


def _scores(metadata: Mapping[str, Any], tokens: Tokens) -> Scores:
    """Of each token, higher for what is merged earlier."""
    key = "tokenizer.ggml.scores"
    value = metadata.get(key)
    if value is None:
        tokens.refuse(key, "is missing")
    try:
        scores = np.array(value, np.float64)
    except (TypeError, ValueError):
        scores = np.empty(())
    if scores.ndim != 1 or np.isnan(scores).any():
        tokens.refuse(key, f"is {shown(value)}, not a list of numbers")
    if len(scores) != len(tokens.texts):
        tokens.refuse(key, f"has {len(scores)} entries for {len(tokens.texts)} tokens")
    return scores


def _byte_tokens(tokens: Tokens, unknown: int | None) -> list[int]:
    """The token of each byte."""
    texts = tokens.texts
    found: dict[int, int] = {}
    for id in np.flatnonzero(tokens.kinds == BYTE).tolist():
        name = _BYTE_NAME.fullmatch(texts[id])
        if name is None:
            tokens.refuse(f"tokenizer.ggml.tokens[{id}]", f"{shown(texts[id])} is no byte, such as <0x0A>")
        found.setdefault(int(name[1], 16), id)
    missing = next((byte for byte in range(256) if byte not in found), None)
    if missing is not None and (unknown is None or not 0 <= unknown < len(texts)):
        tokens.refuse("tokenizer.ggml.tokens", f"has no token <0x{missing:02X}>, and there is none for what is unknown")
    return [found.get(byte, -1 if unknown is None else unknown) for byte in range(256)]


def _has_space_within(tokens: Tokens) -> bool:
    """Whether a normal token has a space after something else."""
    texts, space = tokens.texts, SPACE.encode()
    texts = texts if isinstance(texts, Texts) else Texts.of(texts)
    at = np.array([match.start() for match in re.finditer(space, texts.data)], np.int64)
    ids = np.searchsorted(texts.ends, at, "right") - 1
    within = at > texts.ends[ids] + LENGTH_BYTES  # neither in a length nor at a text's begin
    after_another = np.diff(at, prepend=-1) == len(space)
    return bool((within & ~after_another & (tokens.kinds[ids] == NORMAL)).any())


def _are_single(texts: Texts) -> NDArray[np.bool_]:
    """Which of them are a single character: (n)."""
    lengths = np.diff(texts.ends) - LENGTH_BYTES
    single: NDArray[np.bool_] = lengths == 1
    some = np.flatnonzero((lengths > 1) & (lengths <= 4))
    first = np.frombuffer(texts.data, np.uint8)[texts.ends[some] + LENGTH_BYTES]  # it tells how many bytes there are
    for id in some[np.searchsorted(_LONGER, first, "right") + 1 == lengths[some]].tolist():
        single[id] = len(texts[id]) == 1
    return single


def _bytes_of(text: str, kind: int) -> bytes:
    if kind == BYTE:
        return bytes([int(text[3:5], 16)])
    raw = text.replace(SPACE, " ") if kind in (NORMAL, USER_DEFINED, UNUSED) else text
    return raw.encode("utf-8", "replace")
