"""Vocabularies made of texts are what the library that makes them takes them for, and go through a file."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggtui.core.engine.model import BUILT_IN
from ggtui.core.errors import ModelFileError, UsageError
from ggtui.core.files import open_model, write_gguf
from ggtui.core.training.vocabulary import END, n_vocab, train_vocabulary, vocabulary_of
from ggtui.core.vocab import vocabulary
from ggtui.core.vocab.bpe import BYTE_ALPHABET

tokenizers = pytest.importorskip("tokenizers")

DATA = Path(__file__).parents[2] / "data"
HELD_OUT = (DATA / "heldout.txt").read_text(encoding="utf-8")
# Unassigned code points may be letters in one library's Unicode and nothing in the other's.
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cn"])) | st.text(st.sampled_from("the and a\n é1.'s"))


def theirs(metadata: dict[str, Any]) -> Any:
    """The same vocabulary in the library that learnt it."""
    tokens, merges = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.merges"]
    ids = {token: id for id, token in enumerate(tokens) if token != END}
    t = tokenizers.Tokenizer(tokenizers.models.BPE(ids, [tuple(merge.split(" ")) for merge in merges]))
    t.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = tokenizers.decoders.ByteLevel()
    return t


@pytest.fixture(scope="module")
def learnt() -> dict[str, Any]:
    return train_vocabulary([HELD_OUT, HELD_OUT[:1000]], 700)


def test_it_is_laid_out_as_gpt2(learnt: dict[str, Any]) -> None:
    tokens = learnt["tokenizer.ggml.tokens"]
    assert n_vocab(learnt) == len(set(tokens)) == 700
    assert set(tokens[:256]) == set(BYTE_ALPHABET) and tokens[-1] == END
    assert len(learnt["tokenizer.ggml.merges"]) == 700 - 257
    assert learnt["tokenizer.ggml.merges"][0].replace(" ", "") == tokens[256]
    t = vocabulary(learnt, "learnt")
    assert (t.n_vocab, t.bos, t.eos, t.ends, t.add_bos, t.notes) == (700, 699, 699, {699}, False, ())
    assert t.encode(f"a{END}", special=True)[-1] == 699 not in t.encode(f"a{END}")


@settings(max_examples=300)
@given(TEXTS)
def test_tokens_are_those_of_the_library(learnt: dict[str, Any], text: str) -> None:
    ids = vocabulary(learnt, "learnt").encode(text)
    assert ids == theirs(learnt).encode(text).ids
    assert vocabulary(learnt, "learnt").decode(ids) == text


def test_tokens_of_a_long_text_are_those_of_the_library(learnt: dict[str, Any]) -> None:
    ids = vocabulary(learnt, "learnt").encode(HELD_OUT)
    assert ids == theirs(learnt).encode(HELD_OUT).ids
    assert len(ids) < 0.5 * len(HELD_OUT)


@pytest.mark.parametrize("seed", range(20))
def test_few_letters_make_many_ways_to_merge(seed: int) -> None:
    rng = random.Random(seed)
    texts = ["".join(rng.choices("aaab -", k=600)) for _ in range(9)]
    made = train_vocabulary(texts[:6], 310)
    ours = vocabulary(made, "made")
    for text in texts:
        assert ours.encode(text) == theirs(made).encode(text).ids


def test_the_first_merge_is_of_what_is_most_often_together() -> None:
    made = train_vocabulary(["hug hug hug hug pun pun pug"], 259)
    assert made["tokenizer.ggml.merges"] == ["u g", "h ug"]


def test_a_text_may_be_taken_in_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    spaces = [HELD_OUT, HELD_OUT[:1000].replace(" ", " \n\n "), " \n" * 300 + "a" * 300]
    whole = train_vocabulary(spaces, 600)
    monkeypatch.setattr("ggtui.core.training.vocabulary._SHARE", 7)
    assert train_vocabulary(spaces, 600) == whole != train_vocabulary([HELD_OUT], 600)


def test_it_is_always_the_same(learnt: dict[str, Any]) -> None:
    assert train_vocabulary(iter([HELD_OUT, HELD_OUT[:1000]]), 700) == learnt


@pytest.mark.parametrize("size", [257, 300])
def test_it_goes_through_a_file(size: int, tmp_path: Path) -> None:
    made = train_vocabulary([HELD_OUT], size)
    path = tmp_path / "vocabulary.gguf"
    write_gguf(path, {"general.architecture": "gpt2", **made, "tokenizer.chat_template": "{{ messages }}"}, [])
    found = vocabulary_of(path)
    assert found.keys() == made.keys() and n_vocab(found) == size
    assert {key: list(v) if key.endswith(("s", "type")) else v for key, v in found.items()} == made
    text = HELD_OUT[:500]
    assert vocabulary(found, path).encode(text) == vocabulary(made, "made").encode(text)


def test_the_vocabulary_of_a_model() -> None:
    found = vocabulary_of("built-in")
    with open_model(BUILT_IN) as file:
        assert found.keys() == {key for key in file.metadata if key.startswith("tokenizer.")}
        assert vocabulary(found, "it").encode(HELD_OUT) == vocabulary(file.metadata, BUILT_IN).encode(HELD_OUT)
    assert n_vocab(found) == 4096


def test_what_ggtui_alone_says_of_a_vocabulary_goes_along(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf", {"tokenizer.ggml.model": "gpt2", "ggtui.tokenizer.nfc": True, "ggtui.x": 1}, [])
    assert vocabulary_of(tmp_path / "m.gguf") == {"tokenizer.ggml.model": "gpt2", "ggtui.tokenizer.nfc": True}


def test_a_model_without_a_vocabulary(tmp_path: Path) -> None:
    for metadata, problem in (({}, "is missing"), ({"tokenizer.ggml.model": "bert"}, "ggtui knows gpt2, llama")):
        write_gguf(tmp_path / "m.gguf", metadata, [])
        with pytest.raises(ModelFileError, match=f"tokenizer.ggml.model: .*{problem}"):
            vocabulary_of(tmp_path / "m.gguf")


@pytest.mark.parametrize("size", [256, 0, 3 << 18])
def test_a_size_out_of_range(size: int) -> None:
    with pytest.raises(UsageError, match=f"vocabulary {size}: must be 257 to 393216 tokens"):
        train_vocabulary(["text"], size)


@pytest.mark.parametrize(("texts", "n"), [([], 257), (["abcab"], 258), (["ab " * 9], 259)])
def test_texts_too_short_for_so_many_tokens(texts: Sequence[str], n: int) -> None:
    with pytest.raises(UsageError, match=f"make a vocabulary of {n} tokens, fewer than 300; ask for fewer"):
        train_vocabulary(texts, 300)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UsageError, match=r'pip install "ggtui\[train\]"'):
        train_vocabulary(["text"], 300)
