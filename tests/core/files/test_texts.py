from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggtui.core.files.texts import Texts, find_texts

ANY = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=8)


def packed(raw: list[bytes]) -> bytes:
    return b"".join(struct.pack("<Q", len(r)) + r for r in raw)


@given(ANY)
def test_it_is_the_list_it_was_made_of(texts: list[str]) -> None:
    t = Texts.of(texts)
    assert t == texts and texts == t and t == Texts.of(texts)
    assert len(t) == len(texts) and list(t) == texts and repr(t) == repr(texts)
    assert [t[i] for i in range(-len(texts), len(texts))] == texts * 2
    assert t[1:3] == texts[1:3] and t[::-1] == texts[::-1]
    assert t.data == packed([text.encode() for text in texts])
    with pytest.raises(IndexError):
        t[len(texts)]


def test_it_differs_from_others() -> None:
    t = Texts.of(["ab", "c"])
    assert t != ["ab"] and t != Texts.of(["a", "bc"]) and t != ("ab", "c") and t != "abc"


RAW = st.lists(st.binary(max_size=3) | st.sampled_from([b"", b"\x01" + bytes(7) + b"a", b"a"]), max_size=8)


@given(RAW, st.binary(max_size=3) | st.just(b"a"))
def test_places_of_a_text(raw: list[bytes], wanted: bytes) -> None:
    data = packed(raw)
    assert Texts(data, find_texts(data, len(raw), 100)).places(wanted) == [i for i, r in enumerate(raw) if r == wanted]


def test_bytes_that_are_no_utf8() -> None:
    data = packed([b"a\x80", b"\xed\xa0\x80"])
    t = Texts(data, find_texts(data, 2, 100))
    assert list(t) == ["a\udc80", "\udced\udca0\udc80"] and t.raw(0) == b"a\x80"
    assert len({Texts.of([c]).data for c in ("\ud800", "\udc80", "?", "\ufffd")}) == 4


@given(st.lists(st.binary(max_size=12), max_size=6), st.integers(0, 12), st.data())
def test_it_is_found_as_far_as_it_goes(raw: list[bytes], longest: int, data: st.DataObject) -> None:
    whole = packed(raw)
    cut = data.draw(st.integers(0, len(whole)))
    at = data.draw(st.integers(0, 3))
    ends = [0]
    for r in raw:
        if ends[-1] + 8 + len(r) > cut or len(r) > longest:
            break
        ends.append(ends[-1] + 8 + len(r))
    np.testing.assert_array_equal(find_texts(bytes(at) + whole[:cut], len(raw), longest, at), ends)


@pytest.mark.parametrize("length", [1, 8, 1 << 62, 1 << 63, (1 << 64) - 8, (1 << 64) - 1])
def test_a_length_beyond_the_end_is_no_text(length: int) -> None:
    data = struct.pack("<Q", 0) + struct.pack("<Q", length)
    assert find_texts(data, 2, (1 << 63) - 1).tolist() == [0, 8]
