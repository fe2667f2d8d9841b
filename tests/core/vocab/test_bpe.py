from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggtui.core import vocab
from ggtui.core.errors import ModelFileError, UsageError
from ggtui.core.files import open_model
from ggtui.core.files.texts import Texts, find_texts
from ggtui.core.vocab.bpe import BYTE_ALPHABET, CONTROL, NORMAL, UNUSED, USER_DEFINED, Tokenizer, printable

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def gpt2() -> Tokenizer:
    path = DATA / "ggml-vocab-gpt-2.gguf"
    with open_model(path) as file:
        return Tokenizer.from_metadata(file.metadata, path)


def reference_cases() -> list[tuple[str, list[int]]]:
    texts = (DATA / "ggml-vocab-gpt-2.gguf.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    lines = (DATA / "ggml-vocab-gpt-2.gguf.out").read_text().split("\n")
    return [(text, [int(id) for id in line.split()]) for text, line in zip(texts, lines, strict=True)]


@pytest.mark.parametrize(("text", "ids"), reference_cases())
def test_the_ids_of_llama_cpp(gpt2: Tokenizer, text: str, ids: list[int]) -> None:
    assert gpt2.encode(text) == ids
    assert gpt2.decode(ids) == text


def test_gpt2(gpt2: Tokenizer) -> None:
    assert (gpt2.n_vocab, gpt2.bos, gpt2.eos) == (50257, 50256, 50256)
    assert gpt2.token_bytes(262) == b" the"
    assert gpt2.encode("") == []


def test_control_tokens_only_when_asked_for(gpt2: Tokenizer) -> None:
    text = "a<|endoftext|> b"
    assert gpt2.encode(text, special=True) == [64, 50256, 275]
    assert 50256 not in gpt2.encode(text)
    assert gpt2.decode(gpt2.encode(text)) == gpt2.decode(gpt2.encode(text, special=True)) == text


@settings(max_examples=50)
@given(st.text(st.characters(codec="utf-8")), st.booleans())
def test_decode_undoes_encode(gpt2: Tokenizer, text: str, special: bool) -> None:
    assert gpt2.decode(gpt2.encode(text, special)) == text


@given(st.text(st.sampled_from(" \t\n\u3000aé1.'🦙"), max_size=40))
def test_a_stream_says_what_decode_says(gpt2: Tokenizer, text: str) -> None:
    stream = gpt2.stream()
    pieces = [stream.push(id) for id in gpt2.encode(text)]
    assert "".join(pieces) == text
    assert stream.flush() == ""


def test_a_character_over_several_tokens_comes_with_the_last(gpt2: Tokenizer) -> None:
    ids = gpt2.encode("🦙!")
    assert len(ids) == 4
    stream = gpt2.stream()
    assert [stream.push(id) for id in ids] == ["", "", "🦙", "!"]
    assert [stream.push(id) for id in ids[:2]] == ["", ""]
    assert stream.flush() == "\ufffd"
    assert stream.push(ids[3]) == "!"


def test_bytes_that_are_no_utf8_are_replaced(gpt2: Tokenizer) -> None:
    half, following = gpt2.encode("🦙")[:1], gpt2.encode("a")
    assert gpt2.decode(half + following) == "\ufffda"
    assert gpt2.encode("a\udc80b") == gpt2.encode("a\ufffdb")  # what is no text at all, as from a terminal


@pytest.mark.parametrize("id", [-1, 50257, 1 << 40])
def test_no_such_token(gpt2: Tokenizer, id: int) -> None:
    for use in (gpt2.token_bytes, lambda id: gpt2.decode([id]), gpt2.stream().push):
        with pytest.raises(UsageError, match=f"token {id}: the vocabulary has 0 to 50256"):
            use(id)


@pytest.mark.parametrize("text", ["a", " ", "\n", "!", "1", "ab", "é", "🦙"])
def test_long_runs_are_no_trouble(gpt2: Tokenizer, text: str) -> None:
    text *= 20000
    assert gpt2.decode(gpt2.encode(text)) == text


@pytest.mark.parametrize("end", ["", "x", "\tx", " \n"])
def test_white_space_beyond_what_the_matcher_can_do(gpt2: Tokenizer, end: str) -> None:
    """A run of 1.2 million is cut, and the tokens are as those of a short one."""
    tail = gpt2.encode(" " * 5 + end)[5 - end.startswith("x") :]
    ids = gpt2.encode("b" + " " * 1_200_000 + end)
    assert ids[:2] == gpt2.encode("b ")
    assert ids[len(ids) - len(tail) :] == tail
    assert gpt2.decode(ids) == "b" + " " * 1_200_000 + end


# ---- small vocabularies made here ----

BYTES = list(BYTE_ALPHABET)
MERGES = ["a b", "ab c", "Ġ ab", "b c"]  # in ranks: ab, abc, _ab, bc


def vocabulary(**changes: Any) -> dict[str, Any]:
    made = ["ab", "abc", "Ġab", "bc"]
    return {
        "tokens": [*BYTES, *made, "<end>"],
        "merges": MERGES,
        "types": [NORMAL] * 260 + [CONTROL],
        "eos": 260,
    } | changes


def test_merges_go_by_rank() -> None:
    t = Tokenizer(**vocabulary())
    assert [t.token_bytes(id) for id in t.encode("abc bc ab")] == [b"abc", b" ", b"bc", b" ab"]
    for merges, pieces in ((["a b", "b c"], ["ab", "c"]), (["b c", "a b"], ["a", "bc"])):
        t = Tokenizer([*BYTES, "ab", "bc"], merges)
        assert [t.decode([id]) for id in t.encode("abc")] == pieces


def test_ids_need_not_be_in_the_order_of_the_merges() -> None:
    ordered = Tokenizer(**vocabulary())
    order = [260, *reversed(range(260))]  # the new id of each place, and the control token first
    parts = vocabulary()
    shuffled = Tokenizer([parts["tokens"][i] for i in order], MERGES, [parts["types"][i] for i in order], eos=0)
    for text in ("abc bc ab cab", "<end>", "ü<end>ab"):
        for special in (False, True):
            ids = ordered.encode(text, special)
            assert shuffled.encode(text, special) == [order.index(id) for id in ids]
            assert shuffled.decode(shuffled.encode(text, special)) == text
    assert shuffled.encode("<end>", special=True) == [0]


def test_the_kinds_of_tokens() -> None:
    parts = vocabulary()
    parts["tokens"] += ["<user x>", "<unused>", "<ü>"]
    parts["types"] += [USER_DEFINED, UNUSED, CONTROL]
    t = Tokenizer(**parts)
    assert t.encode("<user x><ü>", special=True) == [261, 263]
    assert t.token_bytes(261) == b"<user x>"
    assert t.token_bytes(262) == b"<unused>"
    assert t.token_bytes(263) == "<ü>".encode()
    assert 262 not in t.encode("<unused>", special=True)


def test_without_types_the_end_token_is_special() -> None:
    t = Tokenizer(**vocabulary(types=None))
    assert t.encode("<end>", special=True) == [260]
    assert 260 not in t.encode("<end>")


def test_tokens_without_a_merge_are_decoded_and_never_produced() -> None:
    """Also those that later merges could make of them, or tiktoken of other neighbours."""
    parts = vocabulary(tokens=[*TOKENS[:-1], "<s>", "b c", TOKENS[-1]], types=[NORMAL] * 262 + [CONTROL], eos=262)
    t = Tokenizer(**parts | {"merges": ["ab c", "Ġ ab", "b c"]})  # nothing makes ab, so nothing makes abc
    assert [t.token_bytes(id) for id in (256, 257, 260, 261)] == [b"ab", b"abc", b"<s>", b"b c"]
    assert [t.decode([id]) for id in t.encode("abc ab<s>")] == ["a", "bc", " ", "a", "b", "<", "s", ">"]


def test_a_whole_piece_may_be_a_token_without_a_merge() -> None:
    parts = vocabulary(merges=["b c"])
    for pre, ids in (("llama-bpe", [257]), ("gpt-2", [ord("a"), 259])):
        t = Tokenizer(**parts, pre=pre)
        assert t.encode("abc") == ids
        assert t.encode("<end>abcc", special=True)[0] == 260
        assert 257 not in t.encode("abcc")  # a part of a piece is not


@pytest.mark.parametrize("id", [-1, 261, 1 << 40, None])
def test_without_bos_and_eos(id: int | None) -> None:
    t = Tokenizer(**vocabulary(types=None, eos=id, bos=id))
    assert (t.bos, t.eos, t.ends, t.add_bos) == (None, None, frozenset(), False)
    assert 260 not in t.encode("<end>", special=True)


def test_an_ordinary_word_may_end_a_text() -> None:
    t = Tokenizer(**vocabulary(types=None, eos=257, bos=256))
    assert (t.bos, t.eos, t.ends) == (256, 257, {257})
    assert t.encode("abc") == t.encode("abc", special=True) == [257]
    assert t.encode("xabc", special=True)[1:] == [257]


def test_bytes_without_a_token_are_lost() -> None:
    t = Tokenizer(**vocabulary(tokens=without("Ã"), types=None, eos=259))  # 0xC3
    assert t.decode(t.encode("abcéab")) == "abc\ufffdab"
    assert t.notes == ("vocabulary: 0xC3 have no token; characters whose UTF-8 has these bytes are lost",)
    for byte in "ñÿ":  # of planes that no character is in, and of no UTF-8
        t = Tokenizer(**vocabulary(tokens=without(byte), types=None, eos=259))
        assert t.notes == ()
    assert t.decode(t.encode("abc\U00050000ab")) == "abc\U00050000ab"


def test_the_printable_alphabet() -> None:
    assert len(set(BYTE_ALPHABET)) == 256
    assert printable(b" a\n\xad~") == "ĠaĊŃ~"
    assert all(c.isprintable() and c != " " for c in BYTE_ALPHABET)


def without(token: str) -> list[str]:
    return [t for t in vocabulary()["tokens"] if t != token]


TOKENS = vocabulary()["tokens"]
DAMAGED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no tokens": ({"tokens": []}, "tokens", "is empty"),
    "tokens that are no text": ({"tokens": [1, 2]}, "tokens", "is no list of texts"),
    "missing byte": ({"tokens": without("Ġ"), "types": None, "eos": None}, "tokens", r"no token for the byte 32 "),
    "byte that is no normal token": ({"types": [CONTROL] * 261}, "tokens", "no token for the byte 32 "),
    "repeated token": ({"tokens": [*TOKENS[:-1], "ab"]}, "tokens", "'ab' is there more than once"),
    "merge to a token outside the alphabet": (
        {"tokens": [*TOKENS[:-1], "b🦙"], "types": None, "merges": [*MERGES, "b 🦙"], "eos": None},
        r"merges\[4\]", "'b 🦙': there is no token '🦙'",
    ),
    "too few types": ({"types": [NORMAL] * 260}, "token_type", "has 260 entries for 261 tokens"),
    "unknown type": ({"types": [NORMAL] * 260 + [7]}, r"token_type\[260\]", "is 7, not 1 to 6"),
    "type 0": ({"types": [0] + [NORMAL] * 260}, r"token_type\[0\]", "is 0, not 1 to 6"),
    "merge of nothing": ({"merges": ["a x", *MERGES]}, r"merges\[0\]", "'a x': there is no token 'ax'"),
    "merge with an unknown part": ({"merges": [*MERGES, "aa b"]}, r"merges\[4\]", "'aa b': there is no token 'aa'"),
    "merge without a space": ({"merges": [*MERGES, "ab"]}, r"merges\[4\]", "'ab': there is no token ''"),
    "merge of three": ({"merges": ["a b c", *MERGES]}, r"merges\[0\]", "'a b c': there is no token 'b c'"),
    "merge to a control token": (
        {"tokens": [*TOKENS, "cc"], "types": [*vocabulary()["types"], CONTROL], "merges": [*MERGES, "c c"]},
        r"merges\[4\]", "'c c': there is no token 'cc'",
    ),
    "repeated merge": ({"merges": [*MERGES, "a b"]}, "merges", "'a b' is there more than once"),
    "unknown splitting": ({"pre": "x"}, "pre", "is 'x', which ggtui does not know; --pre NAME forces one of default"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_vocabulary_is_refused(name: str) -> None:
    changes, field, problem = DAMAGED[name]
    with pytest.raises(ModelFileError, match=rf"^some\.gguf: tokenizer\.ggml\.{field}: .*{problem}"):
        Tokenizer(**vocabulary(**changes), path="some.gguf")


def test_of_several_repeated_ones_the_first_is_named() -> None:
    for part, words in (("tokens", [*TOKENS, "bc", "b", "ab"]), ("merges", [*MERGES, "b c", "Ġ ab", "ab c"])):
        first = "b" if part == "tokens" else "ab c"
        with pytest.raises(ModelFileError, match=f"{part}: '{first}' is there more than once"):
            Tokenizer(**vocabulary(**{part: words}, types=None))


def plainly(tokens: list[str], merges: list[str]) -> list[str]:
    """The tokens by rank: the bytes by their ids, then what each merge makes."""
    ranked = [t for t in tokens if len(t) == 1]
    return ranked + list(dict.fromkeys(merge.replace(" ", "") for merge in merges))


@given(st.data())
def test_any_merges(data: st.DataObject) -> None:
    """Vocabularies that are larger than those above, in any order, as strings and as a file has them."""
    tokens, merges = list(BYTES), []
    for _ in range(data.draw(st.integers(0, 60))):
        left, right = (data.draw(st.sampled_from(tokens[-80:])) for _ in range(2))
        if f"{left} {right}" not in merges:
            merges.append(f"{left} {right}")
            tokens += [left + right] if left + right not in tokens else []
    shuffled = data.draw(st.permutations(tokens))
    alphabet = {c: i for i, c in enumerate(BYTE_ALPHABET)}
    for t in (Tokenizer(shuffled, merges), Tokenizer(Texts.of(shuffled), Texts.of(merges))):
        assert [t.token_bytes(id) for id in range(t.n_vocab)] == [bytes(alphabet[c] for c in s) for s in shuffled]
        for text in ("".join(plainly(shuffled, merges)[-3:]), "abc", "ü"):
            assert t.decode(t.encode(text)) == text
        ids = t._ids or list(range(t.n_vocab))
        assert [shuffled[id] for id in ids] == plainly(shuffled, merges)


@pytest.mark.parametrize("n", [1, 6, 7, 8, 13, 14, 15, 100])
def test_long_tokens_are_told_apart(n: int) -> None:
    runs = ["a" * i for i in range(2, n + 3)]
    merges = [f"a {'a' * i}" for i in range(1, n + 2)]
    t = Tokenizer([*BYTES, *runs, "b" * 2], [*merges, "b b"])
    assert [t.token_bytes(256 + i) for i in range(len(runs))] == [run.encode() for run in runs]
    with pytest.raises(ModelFileError, match=f"there is no token '{'a' * (n + 3)}'"):
        Tokenizer([*BYTES, *runs], [*merges, f"a {'a' * (n + 2)}"])


def test_names_that_are_no_text() -> None:
    """Bytes that are no UTF-8 in a name become question marks, also where the kind says that it is in the alphabet."""
    raw = Texts.of([*TOKENS, "<x>"])
    damaged = raw.data.replace(b"<x>", b"<\xff>")
    for kind in (CONTROL, NORMAL):
        t = Tokenizer(Texts(damaged, raw.ends), MERGES, [*vocabulary()["types"], kind])
        assert t.token_bytes(261) == b"<?>"
        assert 261 not in t.encode("<?><\udcff>", special=True)


def metadata(**changes: Any) -> dict[str, Any]:
    parts = {
        "model": "gpt2",
        "tokens": TOKENS,
        "merges": MERGES,
        "token_type": vocabulary()["types"],
        "eos_token_id": 260,
    }
    return {f"tokenizer.ggml.{k}": v for k, v in (parts | changes).items() if v is not None}


def test_from_metadata() -> None:
    for changes in ({}, {"pre": "gpt-2"}, {"pre": "default"}, {"token_type": None}, {"bos_token_id": -1}):
        t = vocab.vocabulary(metadata(**changes), "some.gguf")
        assert len(t.notes) == ("pre" not in changes)
        assert (t.n_vocab, t.bos, t.eos) == (261, None, 260)
        assert t.encode("abc<end>", special=True) == [257, 260]


def test_a_rule_is_forced() -> None:
    parts = metadata(pre="unheard-of")
    for pre, n in (("gpt-2", 1), ("smollm", 2)):  # a space before a digit, with it or apart
        parts = metadata(pre="unheard-of", tokens=[*TOKENS, "Ġ1"], token_type=None, merges=[*MERGES, "Ġ 1"])
        t = vocab.vocabulary(parts, "some.gguf", pre)
        assert len(t.encode(" 1")) == n
        assert t.notes == ()
    with pytest.raises(ModelFileError, match=r"pre: is 'x', which ggtui does not know; --pre NAME forces one of"):
        vocab.vocabulary(parts, "some.gguf", "x")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": None}, "model: is missing; the file has no vocabulary"),
        ({"model": "bert"}, "model: is 'bert'; ggtui knows gpt2, llama, gemma4"),
        ({"model": 3}, "model: is 3; ggtui knows gpt2"),
        ({"tokens": None}, "tokens: is missing"),
        ({"tokens": "abc"}, "tokens: is 'abc', not a list of texts"),
        ({"merges": 1}, "merges: is 1, not a list of texts"),
        ({"merges": [1]}, r"merges: is \[1\], not a list of texts"),
        ({"token_type": ["a"] * 261}, r"token_type: is \['a', .*\], not a list of whole numbers"),
        ({"eos_token_id": 0.5}, "eos_token_id: is 0.5, not a whole number"),
        ({"pre": "qwen9"}, "pre: is 'qwen9', which ggtui does not know"),
        ({"pre": 3}, "pre: is 3, not a text"),
    ],
)
def test_metadata_of_another_kind_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelFileError, match=rf"^some\.gguf: tokenizer\.ggml\.{said}"):
        vocab.vocabulary(metadata(**changes), "some.gguf")


def test_a_character_has_one_text() -> None:
    """In more bytes than it needs it is no UTF-8, and stands for no byte: else more than 256 were of one byte."""
    raw = [c.encode() for c in BYTES] + [bytes([0xC0 | c >> 6, 0x80 | c & 0x3F]) for c in range(0x21, 0x7F)]
    data = b"".join(len(r).to_bytes(8, "little") + r for r in raw)
    tokens = Texts(data, find_texts(data, len(raw), len(data)))
    assert len(tokens) == len(raw)
    assert max(Tokenizer(tokens, []).encode("".join(map(chr, range(256))))) < 256
