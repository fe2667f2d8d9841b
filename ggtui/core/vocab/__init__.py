"""Vocabularies: text to tokens and back. One table, one file a kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ggtui.core.errors import ModelFileError
from ggtui.core.files.fields import Fields
from ggtui.core.vocab.base import TokenStream, Vocabulary
from ggtui.core.vocab.bpe import Tokenizer
from ggtui.core.vocab.pieces import Piece
from ggtui.core.vocab.spm import by_merges, by_scores

__all__ = ["TEMPLATE", "VOCABULARIES", "Piece", "TokenStream", "Vocabulary", "vocabulary"]

TEMPLATE = "tokenizer.chat_template"  # where metadata has it

# tokenizer.ggml.model of the file -> how to make it from the file's metadata, and the rule of splitting forced by --pre
VOCABULARIES: dict[str, Callable[[Mapping[str, Any], str | Path, str | None], Vocabulary]] = {
    "gpt2": Tokenizer.from_metadata,  # byte-level BPE
    "llama": by_scores,  # SentencePiece's BPE
    "gemma4": by_merges,  # the same with a list of merges
}


def vocabulary(metadata: Mapping[str, Any], path: str | Path, pre: str | None = None) -> Vocabulary:
    """The vocabulary of a model file. pre: how text is split before merging, by a name of rules.PRE, whatever the file
    says. Raises ModelFileError, in the name of `path`, for a damaged one, for none, and for a kind that ggtui does not
    know."""

    fields, key = Fields.of(metadata, path), "tokenizer.ggml.model"
    if key not in fields:
        raise ModelFileError(path, key, "is missing; the file has no vocabulary")
    return VOCABULARIES[fields.choice(key, tuple(VOCABULARIES))](metadata, path, pre)
