r"""How text is split into pieces before byte-level BPE merges within them: one table, by `tokenizer.ggml.pre`.

The regular expressions say what those of the models' makers say (Hugging Face's tokenizer.json), written so that both
tiktoken's matcher and the `regex` package run them in linear time: all that needs no look-ahead is one group, which
tiktoken leaves to an automaton as a whole, and what is left is the white space before a word. The makers write

    \s+(?!\S)|\s+    white space but for its last character, which goes with the word after it; else all

of which the second comes to mean one character: a longer run matches the first.
"""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """splits: regular expressions that are applied one after the other, each to all pieces that those before it have
    left: what it matches is a piece, and so is what lies between. ignore_merges: a piece that is a token becomes that
    token, whether or not merges make it. add_bos: whether a text begins with bos where the file does not say."""

    splits: tuple[str, ...]
    ignore_merges: bool = False
    add_bos: bool = False


_TAIL = r"\s+(?!\S)|\s"
_GPT2 = rf"(?:'(?:[sdmt]|ll|ve|re)| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+)|{_TAIL}"
# Each digit apart, then GPT-2. White space before a digit is thus at the end of what GPT-2 sees, and stays whole.
_DIGITS_GPT2 = r"(?:'(?:[sdmt]|ll|ve|re)|\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+)|\s+(?![^\s\p{N}])|\s"


_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"


def _cl100k(digits: str) -> str:
    """The pattern of GPT-4 and what came after it, with so many digits in a piece."""
    return (
        rf"(?:{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+)|{_TAIL}"
    )


def _o200k(digits: str, short: str) -> str:
    """The pattern of GPT-4o, which also splits words before capitals."""
    upper, lower = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
    before = r"[^\r\n\p{L}\p{N}]?"
    return (
        rf"(?:{before}{upper}*{lower}+{short}|{before}{upper}+{lower}*{short}"
        rf"|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+)|{_TAIL}"
    )


_QWEN35 = (
    rf"(?:{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|\s*[\r\n]+)|{_TAIL}"
)
_DEEPSEEK_V3 = (
    r"[!\x22#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    rf"| ?[\p{{P}}\p{{S}}]+[\r\n]*|\s*[\r\n]+|{_TAIL}"
)
_CJK_V3 = r"[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_CJK = r"[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
# The letters that DeepSeek LLM lists: of most scripts that tell capitals from small ones
_CASED = (
    r"A-Za-z\xb5\xc0-\xd6\xd8-\xf6\xf8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377"
    r"\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f"
    r"\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
    r"\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d"
    r"\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb"
    r"\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128"
    r"\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4"
    r"\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf"
    r"\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
    r"\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
)
_PUNCTUATION = r"[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]"

_BY_CASE = _o200k("{1,3}", rf"{_SHORT}?")
_LLAMA3 = Rule((_cl100k("{1,3}"),), ignore_merges=True, add_bos=True)
_GPT_2, _SMOLLM, _QWEN2 = Rule((_GPT2,)), Rule((_DIGITS_GPT2,)), Rule((_cl100k(""),))
# tiktoken's own vocabularies, in which it takes a piece that is a token as that token
_GPT_4O, _DBRX = Rule((_BY_CASE,), ignore_merges=True), Rule((_cl100k("{1,3}"),))
_NEWLINE = r"[\r\n]"
_ASCII_MARKS = r"[\p{P}$+<=>^~|`]+"

# tokenizer.ggml.pre of the file -> how its text is split
PRE: dict[str, Rule] = {
    "default": Rule((r"[\p{P}$+<=>^~|]+", _GPT2, r"\p{N}+", r"[0-9][0-9][0-9]")),
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais", "exaone4", "mellum", "gigachat"), _GPT_2),
    **dict.fromkeys(("trillion", "granite-docling", "modern-bert"), _GPT_2),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), _SMOLLM),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "lfm2", "falcon3", "falcon-h1", "pixtral"), _LLAMA3),
    **dict.fromkeys(("dbrx", "smaug-bpe", "chatglm-bpe"), _DBRX),
    "glm4": _DBRX._replace(ignore_merges=True),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan", "grok-2"), _QWEN2),
    "qwen35": Rule((_QWEN35,)),
    "falcon": Rule((_ASCII_MARKS, _GPT2, r"[0-9][0-9][0-9]")),
    "deepseek-llm": Rule((_NEWLINE, rf"\s?[{_CASED}]+", rf"\s?{_PUNCTUATION}+", r"(?<!\s)\s++\Z", _CJK, r"\p{N}+")),
    "deepseek-coder": Rule((_NEWLINE, r"\s?\p{L}+", r"\s?\p{P}+", _CJK, r"\p{N}")),
    **dict.fromkeys(("deepseek-v3", "hunyuan-dense"), Rule((r"\p{N}{1,3}", _CJK_V3, _DEEPSEEK_V3))),
    "tekken": Rule((_o200k("", ""),), ignore_merges=True, add_bos=True),
    **dict.fromkeys(("gpt-4o", "llama4"), _GPT_4O),
}
