"""Strings that know who wrote them.

Each string that stands in a template is a `Written`, which remembers which of its characters are the template's own;
all others are plain str. Joining, cutting and stripping keep that, and whatever loses it makes plain text. So a
message's words can never be taken for the template's, and a template sees its strings behave as ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from jinja2 import Undefined

Spans = tuple[tuple[int, int], ...]  # from, to; in order, apart


class Written(str):
    """A string of which the characters in `_spans` stood in the template."""

    __slots__ = ("_spans",)
    _spans: Spans

    def __new__(cls, text: str = "", spans: Spans = ()) -> Written:
        self = super().__new__(cls, text)
        self._spans = spans
        return self

    def __str__(self) -> str:
        return self

    def __add__(self, other: object) -> str:
        if isinstance(other, Undefined):
            return NotImplemented  # it says which name that is
        return concat((self, other)) if isinstance(other, str) else super().__add__(other)  # type: ignore[operator]

    def __radd__(self, other: object) -> str:
        return concat((other, self)) if isinstance(other, str) else NotImplemented

    def __getitem__(self, at: Any) -> str:
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            return part(self, start, max(start, stop)) if step == 1 else super().__getitem__(at)
        at = range(len(self))[at]
        return part(self, at, at + 1)

    def __iter__(self) -> Iterator[str]:
        return (part(self, at, at + 1) for at in range(len(self)))

    def lstrip(self, chars: str | None = None, /) -> str:
        return part(self, len(self) - len(super().lstrip(chars)), len(self))

    def rstrip(self, chars: str | None = None, /) -> str:
        return part(self, 0, len(super().rstrip(chars)))

    def strip(self, chars: str | None = None, /) -> str:
        start = len(self) - len(super().lstrip(chars))
        return part(self, start, start + len(super().strip(chars)))

    def removeprefix(self, prefix: str, /) -> str:
        return part(self, len(self) - len(super().removeprefix(prefix)), len(self))

    def removesuffix(self, suffix: str, /) -> str:
        return part(self, 0, len(super().removesuffix(suffix)))

    def split(self, sep: str | None = None, maxsplit: Any = -1) -> list[str]:
        return _parts(self, super().split(sep, maxsplit), len(sep or ""))

    def rsplit(self, sep: str | None = None, maxsplit: Any = -1) -> list[str]:
        return _parts(self, super().rsplit(sep, maxsplit), len(sep or ""))

    def partition(self, sep: str, /) -> tuple[str, str, str]:
        a, b, c = _parts(self, super().partition(sep), 0)
        return a, b, c

    def rpartition(self, sep: str, /) -> tuple[str, str, str]:
        a, b, c = _parts(self, super().rpartition(sep), 0)
        return a, b, c

    def replace(self, old: str, new: str, count: Any = -1, /) -> str:
        """What takes the place of a message's words is no more the template's than they were."""
        if not old:
            return super().replace(old, new, count)
        rest = super().split(old, count)
        out, at = [], 0
        for number, text in enumerate(rest):
            if number:
                out.append(new if _is_whole(part(self, at, at + len(old))) else str.__str__(new))
                at += len(old)
            out.append(part(self, at, at + len(text)))
            at += len(text)
        return concat(out)

    def join(self, texts: Iterable[str], /) -> str:
        texts = list(texts)
        if not all(isinstance(text, str) for text in texts):
            return super().join(texts)  # says which is not
        return concat(text for at, words in enumerate(texts) for text in ((self, words) if at else (words,)))

    def upper(self) -> str:
        return _cased(self, super().upper())

    def lower(self) -> str:
        return _cased(self, super().lower())

    def capitalize(self) -> str:
        return _cased(self, super().capitalize())

    def title(self) -> str:
        return _cased(self, super().title())


# As a template's errors name it.
Written.__name__, Written.__module__ = "str", "builtins"


def written(text: str) -> str:
    """All of it the template's."""
    return Written(text, ((0, len(text)),)) if text else Written()


def spans_of(text: str) -> Spans:
    return text._spans if isinstance(text, Written) else ()


def concat(texts: Iterable[str]) -> str:
    texts = list(texts)
    spans: list[tuple[int, int]] = []
    at = 0
    for text in texts:
        for start, stop in spans_of(text):
            if spans and spans[-1][1] == at + start:
                spans[-1] = (spans[-1][0], at + stop)
            else:
                spans.append((at + start, at + stop))
        at += len(text)
    return Written("".join(texts), tuple(spans)) if spans else "".join(texts)


def part(text: Written, start: int, stop: int) -> str:
    cut = ((max(a, start) - start, min(b, stop) - start) for a, b in text._spans if max(a, start) < min(b, stop))
    return Written(str.__getitem__(text, slice(start, stop)), tuple(cut))


def _parts(text: Written, found: Iterable[str], n_between: int) -> list[str]:
    out, at = [], 0
    for words in found:
        start = text.find(words, at)
        at = start + len(words)
        out.append(part(text, start, at))
        at += n_between
    return out


def _cased(text: Written, changed: str) -> str:
    return Written(changed, text._spans) if len(changed) == len(text) else changed


def _is_whole(text: str) -> bool:
    return spans_of(text) == ((0, len(text)),)
