"""Finding the names of tokens, such as <|im_end|>, in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_FIRST = 2  # characters of a name that are looked for; few places of a text begin like a name


class Names:
    """Names and their tokens. Of several that begin at one place the longest counts, and the first place goes first."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        self._ids = ids
        lengths: dict[str, set[int]] = {}
        for name in ids:
            lengths.setdefault(name[:_FIRST], set()).add(len(name))
        for first, own in lengths.items():
            if len(first) == _FIRST:  # a name of one character begins at the same place
                own.update(lengths.get(first[:1], ()))
        self._lengths = {first: sorted(own, reverse=True) for first, own in lengths.items()}
        longest_first = sorted(self._lengths, key=len, reverse=True)
        self._beginning = re.compile("|".join(map(re.escape, longest_first)), re.DOTALL) if ids else None

    def split(self, text: str) -> Iterator[str | int]:
        """The tokens that are named, and the texts between them, none of them empty."""
        done = at = 0
        while self._beginning and (found := self._beginning.search(text, at)):
            start = found.start()
            at = start + 1
            for length in self._lengths[found[0]]:
                id = self._ids.get(text[start : start + length])
                if id is not None:
                    if start > done:
                        yield text[done:start]
                    yield id
                    done = at = start + length
                    break
        if done < len(text):
            yield text[done:]
