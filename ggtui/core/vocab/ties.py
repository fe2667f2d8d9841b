"""Merging by scores where several tokens have the same, of which the first in the text is made first.

tiktoken can't: its ranks are all different. This is plain Python, for the few pieces of a text that have such tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from itertools import groupby

from ggtui.core.vocab.names import Names


class Ties:
    """The tokens of equal scores among those that merging makes, but for runs of one character. These are as if the
    longer were the better: what has been joined at the front of a run goes on to grow."""

    def __init__(self, scores: Mapping[str, float]) -> None:
        """scores: of the tokens of two characters or more."""
        tied: list[str] = []
        for _, group in groupby(sorted(scores, key=scores.__getitem__), key=scores.__getitem__):
            tokens = list(group)
            if len(tokens) > 1 and len(set("".join(tokens))) > 1:
                tied += tokens
        self._scores, self._tied = scores, Names({token: id for id, token in enumerate(tied)})

    def are_in(self, text: str) -> bool:
        """Whether the text has any of them."""
        return any(isinstance(part, int) for part in self._tied.split(text))

    def merge(self, piece: str) -> Iterable[str]:
        """The tokens of a piece, and the characters that are in none."""
        scores = self._scores
        ends = list(range(1, len(piece) + 1))  # of what begins at each place; 0 where nothing does any more
        before = list(range(-1, len(piece) - 1))  # where what is before it begins
        queue = [(-scores[pair], i, i + 2) for i in range(len(piece) - 1) if (pair := piece[i : i + 2]) in scores]
        heapify(queue)
        while queue:
            _, start, end = heappop(queue)
            middle = ends[start]
            if not middle or middle >= end or ends[middle] != end:
                continue  # one of the two is part of something else by now
            ends[start], ends[middle] = end, 0
            if end < len(piece):
                before[end] = start
                if (joined := piece[start : ends[end]]) in scores:
                    heappush(queue, (-scores[joined], start, ends[end]))
            if start and (joined := piece[before[start] : end]) in scores:
                heappush(queue, (-scores[joined], before[start], end))
        start = 0
        while start < len(piece):
            yield piece[start : ends[start]]
            start = ends[start]
