"""Which rule of splitting a tokenizer.json describes."""

from __future__ import annotations

from typing import Any

import pytest

from ggtui.core.files.hf.pre_tokenizers import UNKNOWN, parts, pre_name

WITHOUT = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + TAIL
QWEN2 = LLAMA3.replace("{1,3}", "")
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
GPT_4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def split(regex: str, behavior: str = "Isolated", invert: bool = False) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}


@pytest.mark.parametrize(
    ("steps", "ignore_merges", "name"),
    [
        ([WITHOUT | {"use_regex": True}], False, "gpt-2"),
        ([{"type": "ByteLevel", "add_prefix_space": False}], False, "gpt-2"),
        ([{"type": "Digits", "individual_digits": True}, WITHOUT | {"use_regex": True}], False, "smollm"),
        ([{"type": "Digits", "individual_digits": False}, WITHOUT | {"use_regex": True}], False, UNKNOWN),
        ([split(LLAMA3), WITHOUT], True, "llama-bpe"),
        ([split(LLAMA3, "Removed", True), WITHOUT], True, "llama-bpe"),
        ([split(LLAMA3, "Removed"), WITHOUT], True, UNKNOWN),
        ([split(LLAMA3), WITHOUT], False, "dbrx"),
        ([split(QWEN2), WITHOUT], False, "qwen2"),
        ([split(QWEN2), WITHOUT | {"use_regex": True}], False, UNKNOWN),
        ([split(TEKKEN), WITHOUT], True, "tekken"),
        ([split(GPT_4O), WITHOUT], True, "gpt-4o"),
        ([split("x"), WITHOUT], False, UNKNOWN),
        ([{"type": "Split", "pattern": {"String": "x"}, "behavior": "Isolated"}, WITHOUT], False, UNKNOWN),
        ([{"type": "Punctuation"}, WITHOUT], False, UNKNOWN),
        ([3], False, UNKNOWN),
        ([WITHOUT], False, UNKNOWN),
    ],
)
def test_names(steps: list[Any], ignore_merges: bool, name: str) -> None:
    assert pre_name(steps, ignore_merges) == name


def test_parts() -> None:
    inner = {"type": "Sequence", "steps": [2, None, 3]}
    assert list(parts({"type": "Sequence", "steps": [1, inner, 4]}, "steps")) == [1, 2, 3, 4]
    assert list(parts(None, "steps")) == []
    assert list(parts({"type": "Sequence", "steps": 1}, "steps")) == [{"type": "Sequence", "steps": 1}]
