"""Vocabularies: text to tokens and back. One table, one file a kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ggtui.core.errors import ModelFileError
from ggtui.core.files.fields import Fields
from ggtui.core.vocab.bpe import Tokenizer

# tokenizer.ggml.model of the file -> how to make it from the file's metadata
VOCABULARIES: dict[str, Callable[[Mapping[str, Any], str | Path], Tokenizer]] = {
    "gpt2": Tokenizer.from_metadata,  # byte-level BPE
}


def vocabulary(metadata: Mapping[str, Any], path: str | Path) -> Tokenizer:
    """The vocabulary of a model file. Raises ModelFileError, in the name of `path`, for a damaged one, for none, and
    for a kind that ggtui does not know."""

    fields, key = Fields.of(metadata, path), "tokenizer.ggml.model"
    if key not in fields:
        raise ModelFileError(path, key, "is missing; the file has no vocabulary")
    return VOCABULARIES[fields.choice(key, tuple(VOCABULARIES))](metadata, path)
