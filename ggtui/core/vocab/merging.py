"""Merging the bytes of a text to tokens, two neighbours at a time. tiktoken does it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import tiktoken

# Where look-ahead is needed, tiktoken's matcher remembers each character of a run, and gives up by a panic after a
# million. Runs of white space are all that the patterns of ggtui look ahead of.
_LONG_RUN = 1 << 16
_WHITE_SPACE = re.compile(r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]++")


class Merger:
    """Of two neighbours that together are a token the pair with the lowest rank is joined first, of equals the first
    pair; a token's rank is its place in the list. A piece that is a token is that token."""

    def __init__(self, tokens: Sequence[bytes], pattern: str) -> None:
        """tokens: by their rank, all different; every byte that text can have is among them. pattern: what it matches
        of a text are the pieces."""
        ranks = dict(zip(tokens, range(len(tokens)), strict=True))
        self._encoding = tiktoken.Encoding("ggtui", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
        ranks.clear()  # it has its own by now, and holds on to these

    @classmethod
    def of_reached(cls, tokens: Sequence[bytes], pattern: str) -> tuple[Merger, list[bytes]]:
        """One without the tokens that merging never comes to, which as a whole piece would be that token; and those
        that are left. A byte 0xFF, which is in no text, keeps it from taking them as whole pieces."""
        merger = cls(tokens, pattern)
        reached = [token for token in tokens if len(merger.ranks_of_piece(token + b"\xff")) == 2]
        return (merger if len(reached) == len(tokens) else cls(reached, pattern)), reached

    def ranks(self, text: str) -> list[int]:
        """The ranks of the tokens of a text that has no `long_run`."""
        return self._encoding.encode_ordinary(text)

    def ranks_of_piece(self, piece: bytes) -> list[int]:
        """The ranks of the tokens of what is one piece already."""
        return self._encoding._encode_single_piece(piece)


def long_run(text: str) -> bool:
    """Whether it has more white space in a row than tiktoken's matcher can split."""
    return len(text) > _LONG_RUN and any(run.end() - run.start() > _LONG_RUN for run in _WHITE_SPACE.finditer(text))
