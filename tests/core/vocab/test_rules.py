"""Each rule against the expressions as the models' makers wrote them, applied as plainly as can be."""

from __future__ import annotations

import pytest
import regex
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ggtui.core.vocab.bpe import BYTE_ALPHABET, Tokenizer
from ggtui.core.vocab.rules import PRE
from ggtui.core.vocab.splitting import Splitter

SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r"\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"


def words(short: str, digits: str) -> str:
    first = r"[^\r\n\p{L}\p{N}]?"
    return (
        rf"{first}{UPPER}*{LOWER}+{short}|{first}{UPPER}+{LOWER}*{short}"
        rf"|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{TAIL}"
    )


def gpt4(digits: str) -> str:
    return rf"{SHORT}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{TAIL}"


ORIGINALS: dict[str, tuple[str, ...]] = {
    "gpt-2": (GPT2,),
    "smollm": (r"\p{N}", GPT2),
    "llama-bpe": (gpt4("{1,3}"),),
    "qwen2": (gpt4(""),),
    "qwen35": (
        rf"{SHORT}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{TAIL}",
    ),
    "tekken": (words("", ""),),
    "gpt-4o": (words(f"{SHORT}?", "{1,3}"),),
    "deepseek-coder": (
        "[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", r"\p{N}",
    ),
    "deepseek-v3": (
        r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
        rf"| ?[\p{{P}}\p{{S}}]+[\r\n]*|{TAIL}",
    ),
    "falcon": (r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"),
    "default": (r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"),
}  # fmt: skip

PARTS = [
    "a", "Z", "é", "\u01c4", "\u01c5", "\u02b0", "ß", "\u017f", "中", "の", "ー", "・", "한", "\u0627", "ก", "\u0301",
    "\u0e31", "1", "23", "4567", "٣", "²", "Ⅷ", "'", "'s", "'LL", "'\u017f", "!", "/", "$", "=", "`", "。", "😀",
    "\u200d", "\x00", "\x1c", "\xad", " ", "  ", "\t", "\n", "\r", "\r\n", "\n\n", "\x85", "\xa0", "\u3000", "\u2028",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PARTS), max_size=14).map("".join)


def split(text: str, expressions: tuple[str, ...]) -> list[str]:
    pieces = [text]
    for expression in expressions:
        pieces = [part for piece in pieces for part in regex.split(f"({expression})", piece) if part]
    return pieces


@pytest.mark.parametrize("name", ORIGINALS)
@given(TEXTS)
@settings(max_examples=150, deadline=None)
@example("a  1 \n 'S\r\n\n x'll  ")
def test_pieces_are_those_of_the_original(name: str, text: str) -> None:
    assert Splitter(PRE[name].splits).pieces(text) == split(text, ORIGINALS[name])


@pytest.mark.parametrize("name", [name for name in ORIGINALS if len(ORIGINALS[name]) == 1 or name == "smollm"])
def test_tiktoken_splits_alike(name: str) -> None:
    """By a vocabulary that joins whatever neighbours it has in a piece of two bytes: so ends of pieces show."""
    pairs = [a + b for a in BYTE_ALPHABET for b in BYTE_ALPHABET]
    t = Tokenizer([*BYTE_ALPHABET, *pairs], [f"{a} {b}" for a, b in pairs], pre=name)

    @given(TEXTS)
    @settings(max_examples=150, deadline=None)
    def check(text: str) -> None:
        expected = [id for piece in split(text, ORIGINALS[name]) for id in t._merger.ranks_of_piece(piece.encode())]
        assert t.encode(text) == t._to_ids(expected)

    check()


@pytest.mark.parametrize("name", PRE)
@pytest.mark.parametrize("part", [" ", "\n", " \n", "a", "A", "1", "!", "'", "\x00", "\u0301", "中"])
def test_long_runs_are_split_in_little_time(name: str, part: str) -> None:
    text = part * 70_000 + "x"
    assert "".join(Splitter(PRE[name].splits).pieces(text)) == text
