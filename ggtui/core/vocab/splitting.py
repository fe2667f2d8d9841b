"""Splitting text where tiktoken can't: by several regular expressions, or at white space too long for its matcher."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import regex


class Splitter:
    """Splits as `Rule.splits` says: what an expression matches is a piece, and so is what lies between."""

    def __init__(self, splits: Sequence[str]) -> None:
        self._splits = [regex.compile(split) for split in splits]

    def pieces(self, text: str) -> list[str]:
        """The pieces of a text, none of them empty; together they are the text."""
        found = [text]
        for split in self._splits:
            found = list(_split(split, found))
        return found


def _split(split: regex.Pattern[str], pieces: Iterable[str]) -> Iterator[str]:
    for piece in pieces:
        if len(piece) == 1:
            yield piece
            continue
        at = 0
        for match in split.finditer(piece):
            start, end = match.span()
            if start > at:
                yield piece[at:start]
            yield piece[start:end]
            at = end
        if at < len(piece):
            yield piece[at:]
