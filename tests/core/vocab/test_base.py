from __future__ import annotations

from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggtui.core import vocab
from ggtui.core.errors import ModelFileError
from ggtui.core.vocab.base import WHITE_SPACE
from ggtui.core.vocab.kinds import CONTROL, NORMAL, UNKNOWN, USER_DEFINED
from ggtui.core.vocab.parts import BYTE_ALPHABET
from ggtui.core.vocab.pieces import Piece

NAMES = {"<unk>": UNKNOWN, "<|im_end|>": CONTROL, "<user>": USER_DEFINED, "<users>": USER_DEFINED, "<b>": CONTROL}
UNK, IM_END, USER, USERS, B = range(256, 261)


def made(names: dict[str, int] = NAMES, **more: Any) -> vocab.Vocabulary:
    """A vocabulary of bytes and these names."""
    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": [*BYTE_ALPHABET, *names],
        "tokenizer.ggml.token_type": [NORMAL] * 256 + list(names.values()),
    }
    return vocab.vocabulary(metadata | more, "some.gguf")


def spelled(t: vocab.Vocabulary, ids: list[int]) -> list[str | int]:
    """The bytes as text, the named tokens by their ids."""
    parts: list[str | int] = []
    for named, group in groupby(ids, (256).__le__):
        run = list(group)
        parts += run if named else [t.decode(run)]
    return parts


def test_user_defined_tokens_match_in_any_text() -> None:
    t = made()
    text = "a<user><users><unk><|im_end|><b>"
    assert spelled(t, t.encode(text)) == ["a", USER, USERS, "<unk><|im_end|><b>"]
    assert spelled(t, t.encode(text, special=True)) == ["a", USER, USERS, UNK, IM_END, B]


def test_only_marks_name_control_tokens() -> None:
    t = made()
    pieces = [Piece("<|im_", True), Piece("end|><b>", True), Piece("<|im_end|><user>", False), Piece("<b>", True)]
    assert spelled(t, t.encode_pieces(pieces)) == [IM_END, B, "<|im_end|>", USER, B]
    assert spelled(t, t.encode_pieces([Piece("<|im_", False), Piece("end|>", True)])) == ["<|im_end|>"]
    assert t.encode_pieces([]) == t.encode_pieces([Piece("", True)]) == []


def test_text_is_split_across_pieces() -> None:
    t = made({"ĊĊ": NORMAL}, **{"tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.merges": ["Ċ Ċ"]})
    assert t.encode_pieces([Piece("\n", True), Piece("\n", False)]) == [256]


def test_who_wrote_each_token() -> None:
    t = made()
    pieces = [Piece("<b>\n", True), Piece("\né<user>", False), Piece("x", True), Piece("<b>", False)]
    ids, marks = t.encode_marked(pieces)
    assert ids == t.encode_pieces(pieces)
    assert spelled(t, ids) == [B, "\n\né", USER, "x<b>"]
    assert marks == [True, True, False, False, False, False, True, False, False, False]
    assert t.encode_marked([]) == ([], [])
    t = made({"ĊĊ": NORMAL}, **{"tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.merges": ["Ċ Ċ"]})
    assert t.encode_marked([Piece("\n", True), Piece("\n", False)]) == ([256], [False])  # whose end it is


def test_whose_a_token_is_where_white_space_was_taken() -> None:
    t = made(**{"ggtui.tokenizer.lstrip": [B], "ggtui.tokenizer.rstrip": [B]})
    pieces = [Piece("<b> ", True), Piece("  a", False), Piece("b ", True), Piece("<b>", True)]
    ids, marks = t.encode_marked(pieces)
    assert spelled(t, ids) == [B, "ab", B] and marks == [True, False, True, True]


@given(st.lists(st.tuples(st.text("ab é<", max_size=4), st.booleans()), max_size=5))
def test_every_byte_is_the_one_s_who_wrote_it(written: list[tuple[str, bool]]) -> None:
    t = made()
    ids, marks = t.encode_marked([Piece(text, by) for text, by in written])
    assert ids == t.encode_pieces([Piece(text, by) for text, by in written])
    assert marks == [by for text, by in written for _ in text.encode()]


def test_tokens_that_take_white_space() -> None:
    t = made(**{"ggtui.tokenizer.lstrip": [B, USER], "ggtui.tokenizer.rstrip": [B, 1 << 40]})
    around = WHITE_SPACE + "\x1c"
    assert spelled(t, t.encode(f"a {around}<b>{WHITE_SPACE}c", special=True)) == ["a " + around, B, "c"]
    assert spelled(t, t.encode("a <user> b <users> c")) == ["a", USER, " b ", USERS, " c"]
    assert spelled(t, t.encode_pieces([Piece("<b>", True), Piece(" \n", False), Piece("<b>", True)])) == [B, B]


def test_what_ends_a_turn() -> None:
    assert made().ends == {IM_END}
    more = {"eos": B, "eot": USER, "eom": USERS}
    t = made(**{f"tokenizer.ggml.{key}_token_id": id for key, id in more.items()})
    assert (t.eos, t.ends) == (B, {IM_END, B, USER, USERS})
    assert spelled(t, t.encode("<user>")) == ["<user>"]  # it is a control token now
    assert made(**{"ggtui.tokenizer.end_ids": [USER, 1 << 40, -1]}).ends == {USER, IM_END}
    assert made({"</s>": CONTROL}).ends == frozenset()
    assert made({"</s>": CONTROL}, **{"tokenizer.ggml.eos_token_id": 256}).ends == {256}
    assert made({"<|end|>": USER_DEFINED}).ends == {256}
    assert made({"<|end|>": CONTROL, "<|return|>": CONTROL, "<|call|>": CONTROL}).ends == {257, 258}


def test_whether_a_text_begins_with_bos() -> None:
    bos = {"tokenizer.ggml.bos_token_id": B}
    assert not made().add_bos
    assert not made(**bos).add_bos
    assert made(**bos, **{"tokenizer.ggml.pre": "llama-bpe"}).add_bos
    for said in (False, True):
        assert made(**bos, **{"tokenizer.ggml.pre": "tekken", "tokenizer.ggml.add_bos_token": said}).add_bos is said
    assert not made(**{"tokenizer.ggml.add_bos_token": True}).add_bos  # there is none


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("tokenizer.ggml.add_bos_token", 1, "is 1, not true or false"),
        ("tokenizer.ggml.eot_token_id", "x", "is 'x', not a whole number"),
        ("ggtui.tokenizer.end_ids", 3, "is 3, not a list of whole numbers"),
        ("ggtui.tokenizer.lstrip", [0.5], r"is \[0.5\], not a list of whole numbers"),
    ],
)
def test_metadata_of_another_kind_is_refused(key: str, value: Any, said: str) -> None:
    with pytest.raises(ModelFileError, match=rf"^some\.gguf: {key}: {said}"):
        made(**{key: value})


def test_too_many_names_are_refused() -> None:
    for names, said in (
        ({f"<{i}>": CONTROL for i in range((1 << 14) + 1)}, "has 16385 control and user-defined tokens with names"),
        ({"a" * 3000 + str(1000 + i): USER_DEFINED for i in range(90)}, "with names of 270360 characters in all"),
        ({"ab" * i: CONTROL for i in range(1, 130)}, "and 129 lengths; at most"),
    ):
        with pytest.raises(ModelFileError, match=rf"^some\.gguf: tokenizer\.ggml\.token_type: .*{said}"):
            made(names)


def test_halves_of_surrogate_pairs() -> None:
    t = made()
    assert t.decode(t.encode("a\ud83d<user>\ude00\ud83d\ude00")) == "a\ufffd<user>\ufffd😀"


def test_texts_are_brought_to_a_normal_form_where_the_file_says_so() -> None:
    decomposed = "e\u0301"
    assert made().decode(made().encode(decomposed)) == decomposed
    t = made(**{"ggtui.tokenizer.nfc": True})
    assert t.decode(t.encode(decomposed)) == "\u00e9"
    ids, marks = t.encode_marked([Piece("<b>" + decomposed, True), Piece("e\u0301<user>", False)])
    assert t.decode(ids[1:-1]) == "\u00e9\u00e9"
    assert marks == [True, True, True, False, False, False]
    with pytest.raises(ModelFileError, match=r"ggtui.tokenizer.nfc: is 1, not true or false"):
        made(**{"ggtui.tokenizer.nfc": 1})
