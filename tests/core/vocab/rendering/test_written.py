"""Strings that know who wrote them, against strings in which each character is alone and has a flag."""

from __future__ import annotations

from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggtui.core.vocab.rendering.written import Written, concat, spans_of, written

Flagged = list[tuple[str, bool]]


def flagged(text: str) -> Flagged:
    own = {at for start, stop in spans_of(text) for at in range(start, stop)}
    return [(char, at in own) for at, char in enumerate(text)]


def check(text: str) -> None:
    """Spans lie within the text, in order and apart."""
    ends = [-1, *(end for span in spans_of(text) for end in span), len(text) + 1]
    assert all(a < b for a, b in pairwise(ends)), (text, spans_of(text))
    assert type(text) is str or isinstance(text, Written)


CHARS = st.text(alphabet="aB \n<é", max_size=6)
TEXTS = st.lists(st.tuples(CHARS, st.booleans()), max_size=5).map(
    lambda runs: concat(written(text) if own else text for text, own in runs)
)


@given(TEXTS, TEXTS, st.lists(TEXTS, max_size=4))
def test_joining(a: str, b: str, others: list[str]) -> None:
    assert flagged(a + b) == flagged(a) + flagged(b)
    assert flagged(concat([a, *others])) == list(chain(*map(flagged, [a, *others])))
    if isinstance(a, Written):
        between = [flagged(text) if not at else flagged(a) + flagged(text) for at, text in enumerate(others)]
        assert flagged(a.join(others)) == list(chain(*between))
    check(concat([a, b, *others]))


@given(TEXTS, st.integers(-8, 30), st.integers(-8, 30), st.integers(0, 20))
def test_cutting(a: str, start: int, stop: int, at: int) -> None:
    for cut in (slice(start, stop), slice(start, None), slice(None, stop)):
        assert flagged(a[cut]) == flagged(a)[cut]
        check(a[cut])
    assert a[::-1] == str(a)[::-1] and a[start:stop:2] == str.__str__(a)[start:stop:2]
    if at < len(a):
        assert flagged(a[at]) == [flagged(a)[at]] and flagged(a[-1]) == flagged(a)[-1:]
    assert [flagged(char)[0] for char in a] == (flagged(a) if isinstance(a, Written) else [(c, False) for c in a])


@given(TEXTS, st.sampled_from([None, " ", "a", "a \n"]), CHARS)
def test_stripping(a: str, chars: str | None, other: str) -> None:
    plain, own = str.__str__(a), flagged(a)
    n_left = len(plain) - len(plain.lstrip(chars))
    assert flagged(a.lstrip(chars)) == own[n_left:]
    assert flagged(a.rstrip(chars)) == own[: len(plain.rstrip(chars))]
    assert flagged(a.strip(chars)) == own[n_left:][: len(plain.strip(chars))]
    assert flagged(a.removeprefix(other)) == own[len(plain) - len(plain.removeprefix(other)) :]
    assert flagged(a.removesuffix(other)) == own[: len(plain.removesuffix(other))]


@given(TEXTS, st.sampled_from([None, " ", "a", "a ", "\n"]), st.integers(-1, 3))
def test_splitting(a: str, sep: str | None, most: int) -> None:
    plain = str.__str__(a)
    assert a.split(sep, most) == plain.split(sep, most) and a.rsplit(sep, most) == plain.rsplit(sep, most)
    for texts in (a.split(sep, most), a.rsplit(sep, most)):
        for text in texts:
            check(text)
        if sep is not None:
            pairs = [flagged(text) for text in texts]
            gone = [flag for flag in flagged(a) if flag[0] not in sep]
            assert [flag for pair in pairs for flag in pair if flag[0] not in sep] == gone
    if sep is not None:
        for parted in (a.partition(sep), a.rpartition(sep)):
            assert list(chain(*map(flagged, parted))) == flagged(a)


@given(TEXTS, st.sampled_from(["a", "a ", "<", ""]), CHARS, st.integers(-1, 2))
def test_replacing(a: str, old: str, new: str, count: int) -> None:
    """What stands in place of another's words is not the template's."""
    got = a.replace(old, written(new), count)
    assert got == str.__str__(a).replace(old, new, count)
    check(got)
    if spans_of(a) == ((0, len(a)),) and old:
        assert all(own for _, own in flagged(got))
    if not spans_of(a):
        assert not spans_of(got)


@given(TEXTS)
def test_case(a: str) -> None:
    for got, plain in ((a.upper(), str.upper(a)), (a.lower(), str.lower(a)), (a.title(), str.title(a))):
        assert got == plain and [own for _, own in flagged(got)] == [own for _, own in flagged(a)]


def test_what_loses_track_is_plain() -> None:
    token = written("<|end|>")
    for text in (f"{token}.", "".join(["x", token]), token * 2, token.center(20), token.swapcase()):
        assert not spans_of(text)
    assert not spans_of(written("ß").upper())  # becomes two characters


def test_it_fails_as_str_does() -> None:
    with pytest.raises(TypeError, match="can only concatenate str"):
        written("a") + 1  # type: ignore[operator]
    with pytest.raises(TypeError):
        1 + written("a")  # type: ignore[operator]
    with pytest.raises(TypeError, match="sequence item 1"):
        written("a").join(["b", 1])  # type: ignore[list-item]
    with pytest.raises(IndexError):
        written("a")[1]
