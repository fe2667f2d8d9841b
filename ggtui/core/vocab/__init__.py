"""Vocabularies: text to tokens and back. One table, one file a kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ggtui.core.errors import ModelFileError
from ggtui.core.vocab.bpe import Tokenizer

# tokenizer.ggml.model of the file -> how to make it from the file's metadata
VOCABULARIES: dict[str, Callable[[Mapping[str, Any], str | Path], Tokenizer]] = {
    "gpt2": Tokenizer.from_metadata,  # byte-level BPE
}


def vocabulary(metadata: Mapping[str, Any], path: str | Path) -> Tokenizer:
    """The vocabulary of a model file. Raises ModelFileError, in the name of `path`, for a damaged one, for none, and
    for a kind that ggtui does not know."""
    kind = metadata.get("tokenizer.ggml.model")
    if kind is None:
        raise ModelFileError(path, "tokenizer.ggml.model", "is missing; the file has no vocabulary")
    if not isinstance(kind, str) or kind not in VOCABULARIES:
        known = ", ".join(VOCABULARIES)
        raise ModelFileError(path, "tokenizer.ggml.model", f"is {kind!r}; ggtui knows {known}")
    return VOCABULARIES[kind](metadata, path)
