"""The vocabulary of a model that is to be trained: made from its texts, or another model's. It is what a GGUF file's
metadata says of it.

Hugging Face's tokenizers learn the merges. The library is an extra: pip install "ggtui[train]".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ggtui.core.errors import UsageError
from ggtui.core.files import open_model
from ggtui.core.files.fields import Fields
from ggtui.core.vocab import VOCABULARIES
from ggtui.core.vocab.bpe import BYTE_ALPHABET
from ggtui.core.vocab.kinds import CONTROL, MAX_TOKENS, NORMAL

END = "<|endoftext|>"  # the name of the token that ends a text, GPT-2's
LEAST = len(BYTE_ALPHABET) + 1  # tokens of a vocabulary: the bytes and END
_OFTEN = 2  # times that two neighbours are together at least, for a token of them
_SHARE = 1 << 16  # characters that the library gets at a time: for each it takes 100 bytes, and a thread does a share
_WORD_ENDS = re.compile(r"(?<=\S)[ \n]")  # no piece of GPT-2's pattern goes on over it
_PREFIXES = ("tokenizer.ggml.", "ggtui.tokenizer.")  # of the keys that say what tokens are


def train_vocabulary(texts: Iterable[str], n_vocab: int) -> dict[str, Any]:
    """Byte-level BPE (Sennrich et al. 2016, Radford et al. 2019) with so many tokens: the bytes, what merges of the
    neighbours that are most often together in `texts` make, and the one that ends a text, which is the one that begins
    it too. Text is split before merging as GPT-2 splits it. Always the same for the same texts.

    Raises UsageError for a number out of range, for texts too short for so many tokens, and without tokenizers.
    """
    if not LEAST <= n_vocab <= MAX_TOKENS:
        raise UsageError(f"vocabulary {n_vocab}: must be {LEAST} to {MAX_TOKENS} tokens")
    try:
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    except ImportError as error:
        problem = "tokenizers, which makes a vocabulary of texts, is not installed"
        raise UsageError(f'{problem}; install it with: pip install "ggtui[train]"') from error
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)  # splits as GPT-2
    trainer = trainers.BpeTrainer(
        vocab_size=n_vocab - 1, min_frequency=_OFTEN, show_progress=False, initial_alphabet=list(BYTE_ALPHABET)
    )
    tokenizer.train_from_iterator((share for text in texts for share in _shares(text)), trainer)
    learnt = json.loads(tokenizer.to_str())["model"]
    tokens = [*sorted(learnt["vocab"], key=learnt["vocab"].__getitem__), END]
    if len(tokens) < n_vocab:
        problem = f"the texts make a vocabulary of {len(tokens)} tokens, fewer than {n_vocab}"
        raise UsageError(f"{problem}; ask for fewer, or give longer texts")
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [*[NORMAL] * (n_vocab - 1), CONTROL],
        "tokenizer.ggml.merges": [f"{left} {right}" for left, right in learnt["merges"]],
        "tokenizer.ggml.bos_token_id": n_vocab - 1,
        "tokenizer.ggml.eos_token_id": n_vocab - 1,
    }


def _shares(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        found = _WORD_ENDS.search(text, at + _SHARE)
        end = found.start() if found else len(text)
        yield text[at:end]
        at = end


def vocabulary_of(model: str | Path) -> dict[str, Any]:
    """What a model says of its vocabulary, of whatever kind: a path, or a name as open_model takes it. Its chat
    template is none of that. Raises ModelFileError for what is no model, and for one without a vocabulary that ggtui
    reads."""
    with open_model(model) as file:
        Fields.of(file.metadata, file.path).choice("tokenizer.ggml.model", tuple(VOCABULARIES))
        return {key: value for key, value in file.metadata.items() if key.startswith(_PREFIXES)}


def n_vocab(metadata: Mapping[str, Any]) -> int:
    """How many tokens a vocabulary has."""
    return len(metadata["tokenizer.ggml.tokens"])
