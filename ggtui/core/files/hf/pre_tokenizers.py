r"""How text is split before byte-level BPE: what tokenizer.json says -> GGUF's name for it.

The regular expressions are those of the models' makers, letter by letter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

UNKNOWN = "unknown"  # no rule's name: who uses the vocabulary is asked for one

_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_BEFORE = r"[^\r\n\p{L}\p{N}]?"
_BY_CASE_TAIL = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _split(pattern: str) -> tuple[str, str]:
    return ("Split", pattern)


_BYTES = ("ByteLevel", "")  # without a pattern of its own
_GPT2 = ("ByteLevel", "gpt-2")
_DIGITS = ("Digits", "each")
_LLAMA3 = _split(rf"{_SHORT}|{_WORD}|\p{{N}}{{1,3}}|{_TAIL}")
_CL100K = _split(
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
_QWEN2 = _split(rf"{_SHORT}|{_WORD}|\p{{N}}|{_TAIL}")
_QWEN35 = _split(
    rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEKKEN = _split(rf"{_BEFORE}{_UPPER}*{_LOWER}+|{_BEFORE}{_UPPER}+{_LOWER}*|\p{{N}}|{_BY_CASE_TAIL}")
_GPT_4O = _split(
    rf"{_BEFORE}{_UPPER}*{_LOWER}+{_SHORT}?|{_BEFORE}{_UPPER}+{_LOWER}*{_SHORT}?|\p{{N}}{{1,3}}|{_BY_CASE_TAIL}"
)

# The steps, and whether a piece that is a token becomes that token whatever merges say -> tokenizer.ggml.pre
_NAMES: dict[tuple[tuple[tuple[str, str], ...], bool], str] = {
    ((_GPT2,), False): "gpt-2",
    ((_DIGITS, _GPT2), False): "smollm",
    ((_LLAMA3, _BYTES), True): "llama-bpe",
    ((_LLAMA3, _BYTES), False): "dbrx",
    ((_CL100K, _BYTES), False): "dbrx",
    ((_QWEN2, _BYTES), False): "qwen2",
    ((_QWEN35, _BYTES), False): "qwen35",
    ((_TEKKEN, _BYTES), True): "tekken",
    ((_GPT_4O, _BYTES), True): "gpt-4o",
}


def parts(part: Any, key: str) -> Iterator[Any]:
    """The parts of a Sequence one after the other, whatever is within them; of anything else but None itself."""
    stack = [part]
    while stack:
        one = stack.pop()
        if isinstance(one, dict) and one.get("type") == "Sequence" and isinstance(one.get(key), list):
            stack += reversed(one[key])
        elif one is not None:
            yield one


def pre_name(steps: list[Any], ignore_merges: bool) -> str:
    """tokenizer.ggml.pre for these pre-tokenizers; UNKNOWN where GGUF has none that ggtui knows."""
    return _NAMES.get((tuple(map(_step, steps)), ignore_merges), UNKNOWN)


def _step(step: Any) -> tuple[str, str]:
    """What a pre-tokenizer does, the same for all ways to say it."""
    unknown = ("unknown", "")
    if not isinstance(step, dict):
        return unknown
    kind = step.get("type")
    if kind == "ByteLevel":
        return _GPT2 if step.get("use_regex", True) is True else _BYTES
    if kind == "Digits" and step.get("individual_digits") is True:
        return _DIGITS
    pattern = step.get("pattern")
    regex = pattern.get("Regex") if isinstance(pattern, dict) else None
    isolated = (step.get("behavior"), bool(step.get("invert"))) in (("Isolated", False), ("Removed", True))
    return _split(regex) if kind == "Split" and isinstance(regex, str) and isolated else unknown
