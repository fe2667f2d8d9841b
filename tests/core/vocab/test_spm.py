"""Character vocabularies, against merging as plainly as can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggtui.core import vocab
from ggtui.core.errors import ModelFileError, UsageError
from ggtui.core.vocab.kinds import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED
from ggtui.core.vocab.pieces import Piece

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
SPECIAL = {"<unk>": UNKNOWN, "<s>": CONTROL, "</s>": CONTROL}
FIRST = len(SPECIAL) + len(BYTES)  # the id of the first other token


def metadata(words: Mapping[str, float], kinds: Mapping[str, int] = {}, **changes: Any) -> dict[str, Any]:
    """A vocabulary of these normal tokens with their scores, and others."""
    parts = {
        "model": "llama",
        "tokens": [*SPECIAL, *BYTES, *words, *kinds],
        "token_type": [*SPECIAL.values(), *[BYTE] * 256, *[NORMAL] * len(words), *kinds.values()],
        "scores": np.array([0.0] * FIRST + [*words.values()] + [0.0] * len(kinds), np.float32),
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return {f"tokenizer.ggml.{k}": v for k, v in (parts | changes).items() if v is not None}


def made(words: Mapping[str, float], kinds: Mapping[str, int] = {}, **changes: Any) -> vocab.Vocabulary:
    return vocab.vocabulary(metadata(words, kinds, **changes), "some.gguf")


def plainly(words: Mapping[str, float], text: str) -> list[int]:
    """The best pair first, of equals the first."""
    ids = {word: FIRST + i for i, word in enumerate(words)}
    parts = list(text)
    while pairs := [(-words[whole], i) for i in range(len(parts) - 1) if (whole := parts[i] + parts[i + 1]) in words]:
        i = min(pairs)[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return [id for p in parts for id in ([ids[p]] if p in ids else [3 + byte for byte in p.encode()])]


SCORES = st.sampled_from([-1.0, -2.0, -3.5, 0.0])
WORDS = st.dictionaries(st.text("▁abü🦙", min_size=1, max_size=4), SCORES, max_size=40)


@given(WORDS, st.text("▁abü🦙\u2582c", max_size=30), st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_scores(words: dict[str, float], text: str, distinct: bool) -> None:
    if distinct:
        words = {word: -float(i) for i, word in enumerate(words)}
    t = made(words, add_space_prefix=False)
    ids = t.encode(text)
    assert ids == plainly(words, text)
    assert t.decode(ids).replace("▁", " ") == text.replace("▁", " ")


@given(st.integers(1, 7), st.integers(0, 40), st.text("a▁", max_size=8))
def test_runs_of_equal_scores(longest: int, n: int, after: str) -> None:
    words = {"▁" * i: -1e9 for i in range(2, longest + 2)} | {"▁": -3.0, "▁a": -1.0, "aa": -2.0}
    text = "▁" * n + after
    assert made(words, add_space_prefix=False).encode(text) == plainly(words, text)


def test_a_space_is_put_before_a_text() -> None:
    words = {"▁": -9.0, "a": -8.0, "▁a": -1.0}
    space, a, space_a = range(FIRST, FIRST + 3)
    t = made(words, {"<x>": USER_DEFINED, "▁▁": USER_DEFINED})
    x, spaces = FIRST + 3, FIRST + 4
    assert (t.encode(""), t.encode("a"), t.encode(" a")) == ([], [space_a], [space, space_a])
    assert t.encode("a</s>a<x>aa", special=True) == [space_a, 2, space_a, x, space_a, a]
    assert t.encode("aa  a") == [space_a, a, spaces, space_a]
    assert t.token_bytes(spaces) == b"  "
    assert t.decode(t.encode("a a")) == " a a"
    assert made(words, add_space_prefix=False).encode("a a") == [a, space_a]


def test_where_a_folder_says_when_a_space_is_put() -> None:
    words = {"▁": -9.0, "a": -8.0, "▁a": -1.0}
    space, a, space_a, x = range(FIRST, FIRST + 4)
    for scheme, after_name, doubled in ((None, space_a, True), ("always", space_a, False), ("first", a, False)):
        m = metadata(words, {"<x>": USER_DEFINED}) | ({"ggtui.tokenizer.prepend_scheme": scheme} if scheme else {})
        t = vocab.vocabulary(m, "some.gguf")
        assert t.encode("a<x>a") == [space_a, x, after_name]
        assert t.encode(" a<x> a") == [
            *([space] if doubled else []),
            space_a,
            x,
            *([space] if doubled else []),
            space_a,
        ]
    with pytest.raises(ModelFileError, match="prepend_scheme: is 'never'; ggtui knows any, always, first"):
        vocab.vocabulary(metadata(words) | {"ggtui.tokenizer.prepend_scheme": "never"}, "some.gguf")


def test_what_has_no_token_is_bytes() -> None:
    t = made({"a": -1.0, "é": -2.0}, add_space_prefix=False)
    assert t.encode("aé\n🦙") == [FIRST, FIRST + 1, *(3 + byte for byte in "\n🦙".encode())]
    assert t.decode(t.encode("\n🦙é")) == "\n🦙é"
    without = metadata({"a": -1.0}, tokens=[*SPECIAL, "a"], token_type=[*SPECIAL.values(), NORMAL], scores=[0] * 4)
    assert vocab.vocabulary(without | {"tokenizer.ggml.unknown_token_id": 0}, "").encode("aa") == [0, 0, 0, 3, 3]
    assert vocab.vocabulary(without, "").encode("aa") == [0, 0, 0, 3, 3]  # the first token, if it is of that kind
    without["tokenizer.ggml.token_type"][0] = CONTROL
    with pytest.raises(ModelFileError, match="has no token <0x00>, and there is none for what is unknown"):
        vocab.vocabulary(without, "some.gguf")


def test_the_kinds_of_tokens() -> None:
    t = made({"u": -1.0, "n": -2.0, "un": -3.0}, {"nn": UNUSED, "<c>": CONTROL, "<u>": USER_DEFINED})
    assert (t.n_vocab, t.bos, t.eos, t.ends, t.add_bos) == (FIRST + 6, 1, 2, {2}, True)
    assert FIRST + 3 not in t.encode("nn")
    assert t.encode("<c><u>")[-1] == FIRST + 5
    assert t.encode("<c><u><unk>", special=True) == [FIRST + 4, FIRST + 5, 0]
    assert t.token_bytes(3 + 10) == b"\n"
    with pytest.raises(UsageError, match=f"token {FIRST + 6}: the vocabulary has 0 to {FIRST + 5}"):
        t.token_bytes(FIRST + 6)
    assert t.decode(t.encode("a\ud83db")) == "▁a\ufffdb"  # there is no token for a space


def test_what_begins_and_ends_a_text_where_the_file_does_not_say_it() -> None:
    t = made({"a": -1.0}, bos_token_id=None, eos_token_id=None)
    assert (t.bos, t.eos, t.add_bos) == (1, 2, True) and t.begin("a")[0] == 1
    parts = metadata({"a": -1.0}, bos_token_id=None, eos_token_id=None)
    parts["tokenizer.ggml.token_type"][1:3] = [NORMAL, NORMAL]
    t = vocab.vocabulary(parts, "some.gguf")
    assert (t.bos, t.eos, t.add_bos) == (None, None, False)


def test_merges_in_their_order() -> None:
    """Of a vocabulary that has a list of merges, and lines."""
    words = ["a", "b", "▁", "\n", "ab", "b▁", "\n\n", "▁a"]
    t = made(dict.fromkeys(words, 0.0), model="gemma4", scores=None, merges=["b ▁", "a b", "\n \n"])
    assert t.add_bos
    assert [t.decode([id]) for id in t.encode("ab ab")] == ["a", "b ", "ab"]
    assert [t.decode([id]) for id in t.encode("b\n\n\n a")] == ["b", "\n\n", "\n", " ", "a"]  # nothing makes ▁a
    with pytest.raises(ModelFileError, match=r"merges\[0\]: 'a \*': there is no token '\*'"):
        made(dict.fromkeys(words, 0.0), model="gemma4", merges=["a *"])
    with pytest.raises(ModelFileError, match="merges: 'a b' is there more than once"):
        made(dict.fromkeys(words, 0.0), model="gemma4", merges=["a b", "a b"])
    with pytest.raises(ModelFileError, match="merges: is missing"):
        made(dict.fromkeys(words, 0.0), model="gemma4")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scores": None}, "scores: is missing"),
        ({"scores": [0.0]}, "scores: has 1 entries for 260 tokens"),
        ({"scores": "abc"}, "scores: is 'abc', not a list of numbers"),
        ({"scores": [float("nan")] * 260}, r"scores: is \[nan, .*\], not a list of numbers"),
        ({"token_type": None}, "token_type: is missing"),
        ({"tokens": [*SPECIAL, "<0x0g>", *BYTES[1:], "a"]}, r"tokens\[3\]: '<0x0g>' is no byte, such as <0x0A>"),
        ({"tokens": [*SPECIAL, *BYTES[1:], "a", "a"], "token_type": [NORMAL] * 260}, "'a' is there more than once"),
        ({"add_space_prefix": 1}, "add_space_prefix: is 1, not true or false"),
        ({"unknown_token_id": 0.5}, "unknown_token_id: is 0.5, not a whole number"),
    ],
)
def test_a_damaged_vocabulary_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelFileError, match=rf"^some\.gguf: tokenizer\.ggml\..*{said}"):
        made({"a": -1.0}, **changes)


@pytest.fixture(scope="module")
def llama(listed: Callable[[str], Any]) -> vocab.Vocabulary:
    return vocab.vocabulary(listed("llama-spm").metadata, "llama-spm")


@given(st.text(st.characters(codec="utf-8"), max_size=20))
@settings(max_examples=100, deadline=None)
def test_decode_undoes_encode(llama: vocab.Vocabulary, text: str) -> None:
    assert llama.decode(llama.encode(text)) == (" " + text if text else "").replace("▁", " ")


@pytest.mark.parametrize("text", ["a", " ", "\n", "é", "中", "🦙", "a "])
def test_long_runs_are_no_trouble(llama: vocab.Vocabulary, text: str) -> None:
    assert llama.decode(llama.encode(text * 100_000)) == " " + text * 100_000


def test_the_space_ahead_of_a_text_is_whose_the_text_is() -> None:
    words = {"▁a": -1.0, "a": -2.0, "▁": -3.0, "b": -4.0, "▁b": -5.0}
    t = made(words)
    ids, marks = t.encode_marked([Piece("a", False), Piece(" b", True), Piece("a", False)])
    assert t.decode(ids) == " a ba" and len(ids) == len(marks)
    found = ""
    for id, by in zip(ids, marks, strict=True):
        found += ("T" if by else "y") * len(t.token_bytes(id))
    assert found == "yyTTy"
