"""The vocabularies of Hugging Face folders."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui.core.errors import ModelFileError
from ggtui.core.files import open_model
from ggtui.core.vocab.bpe import CONTROL, NORMAL, UNUSED, USER_DEFINED, Tokenizer


def refusal(path: Path) -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        open_model(path)
    return caught.value


def vocabulary_of(folder: Path) -> dict[str, Any]:
    with open_model(folder) as file:
        return {key: value for key, value in file.metadata.items() if key.startswith("tokenizer")}


def tokenizer_json(small: Any, **changes: Any) -> dict[str, Any]:
    bpe = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": ""}
    bpe |= {"fuse_unk": False, "byte_fallback": False, "ignore_merges": False}
    return {
        "version": "1.0",
        "truncation": None,
        "added_tokens": [{"id": 263, "content": "<|endoftext|>", "special": True, "normalized": True}],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        "decoder": {"type": "ByteLevel"},
        "model": {**bpe, "vocab": small.vocab, "merges": list(small.merges)} | changes.pop("model", {}),
        **changes,
    }


def test_vocabulary(folder: Path, model: Any) -> None:
    metadata = vocabulary_of(folder)
    assert metadata == {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": list(model.vocab),
        "tokenizer.ggml.token_type": [NORMAL] * 263 + [CONTROL],
        "tokenizer.ggml.merges": list(model.merges),
        "tokenizer.ggml.bos_token_id": 263,
        "tokenizer.ggml.eos_token_id": 263,
    }
    tokenizer = Tokenizer.from_metadata(metadata, folder)
    assert [tokenizer.token_bytes(id) for id in tokenizer.encode("the hers")] == [b"t", b"he", b" ", b"her", b"s"]


def test_tokenizer_json_says_the_same(folder: Path, model: Any) -> None:
    expected = vocabulary_of(folder)
    (folder / "vocab.json").unlink()
    sequence = {
        "type": "Sequence",
        "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}],
    }
    old = tokenizer_json(model)
    old["model"] = {"vocab": model.vocab, "merges": [m.split(" ") for m in model.merges]}
    for written in (tokenizer_json(model), tokenizer_json(model, pre_tokenizer=sequence), old):
        (folder / "tokenizer.json").write_text(json.dumps(written))
        assert vocabulary_of(folder) == expected


def test_added_tokens(model: Any, tmp_path: Path) -> None:
    model.weights["wte.weight"] = np.zeros((268, 64), np.float32)
    model.config["vocab_size"] = 268
    added = [{"id": 264, "content": "<|user|>", "special": True}, {"id": 266, "content": "é é", "special": False}]
    folder = model.write(tmp_path / "m")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json(model, added_tokens=added)))
    metadata = vocabulary_of(folder)
    assert metadata["tokenizer.ggml.tokens"][263:] == ["<|endoftext|>", "<|user|>", "[PAD265]", "é é", "[PAD267]"]
    assert metadata["tokenizer.ggml.token_type"][262:] == [NORMAL, CONTROL, CONTROL, UNUSED, USER_DEFINED, UNUSED]
    tokenizer = Tokenizer.from_metadata(metadata, folder)
    assert tokenizer.encode("<|user|>é é", special=True) == [264, 266]
    assert tokenizer.decode([264, 266]) == "<|user|>é é"

    (folder / "tokenizer.json").unlink()
    (folder / "added_tokens.json").write_text(json.dumps({"<|user|>": 264}))
    metadata = vocabulary_of(folder)
    assert metadata["tokenizer.ggml.tokens"][263:265] == ["<|endoftext|>", "<|user|>"]
    assert metadata["tokenizer.ggml.token_type"][262:] == [NORMAL, CONTROL, CONTROL, UNUSED, UNUSED, UNUSED]


def test_special_tokens_of_the_vocabulary(model: Any, tmp_path: Path) -> None:
    model.weights["wte.weight"] = np.zeros((266, 64), np.float32)
    model.config["vocab_size"] = 266
    model.vocab |= {"<pad>": 264, "<x>": 265}
    folder = model.write(tmp_path / "m")
    roles = {
        "pad_token": "<pad>",
        "bos_token": {"content": "<|endoftext|>"},
        "additional_special_tokens": ["<x>", "<y>"],
    }
    (folder / "special_tokens_map.json").write_text(json.dumps(roles))
    metadata = vocabulary_of(folder)
    assert metadata["tokenizer.ggml.token_type"][262:] == [NORMAL, CONTROL, CONTROL, CONTROL]
    assert Tokenizer.from_metadata(metadata, folder).encode("<pad><x>", special=True) == [264, 265]


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"model": {"type": "WordPiece"}}, "model.type", "is 'WordPiece'; ggtui reads only 'BPE'"),
        ({"model": {"type": "Unigram", "scores": []}}, "model.type", "is 'Unigram'; ggtui reads only 'BPE'"),
        ({"model": {"dropout": 0.1}}, "model.dropout", "is 0.1; ggtui reads only None"),
        ({"model": {"byte_fallback": True}}, "model.byte_fallback", "is True; ggtui reads only False"),
        ({"model": {"ignore_merges": True}}, "model.ignore_merges", "is True"),
        ({"model": {"end_of_word_suffix": "</w>"}}, "model.end_of_word_suffix", "is '</w>'"),
        ({"model": {"novelty": 1}}, "model.novelty", "is 1, which ggtui does not know"),
        ({"model": {"vocab": None}}, "model.vocab", "is missing"),
        ({"model": {"vocab": {"a": 264}}}, "id of 'a'", "is 264; the model has tokens 0 to 263"),
        ({"model": {"vocab": {"a": 1, "b": 1}}}, "id of 'b'", "is 1, as that of 'a'"),
        ({"model": {"vocab": {"a": None}}}, "id of 'a'", "is None"),
        ({"model": {"merges": None}}, "model.merges", "is missing"),
        ({"model": {"merges": ["a b", "abc"]}}, "model.merges 1", "is 'abc', not two parts with a space between"),
        ({"model": {"merges": [["a", "b", "c"]]}}, "model.merges 0", "is 'a b c', not two parts"),
        ({"model": {"merges": [["a b", ""]]}}, "model.merges 0", "is 'a b ', not two parts"),
        ({"model": {"merges": [7]}}, "model.merges 0", "is 7, not two parts"),
        ({"pre_tokenizer": None}, "pre_tokenizer", "is missing"),
        (
            {"pre_tokenizer": {"type": "Metaspace"}},
            "pre_tokenizer.type",
            "is 'Metaspace'; ggtui reads only 'ByteLevel'",
        ),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": []}}, "pre_tokenizer.type", "is 'Sequence'"),
        (
            {"pre_tokenizer": {"type": "ByteLevel"}},
            "pre_tokenizer.add_prefix_space",
            "is True; ggtui reads only False",
        ),
        (
            {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}},
            "pre_tokenizer.use_regex",
            "is False; ggtui reads only True",
        ),
        ({"normalizer": {"type": "NFC"}}, "normalizer", r"is .*NFC.*; ggtui reads only"),
        ({"added_tokens": [{"id": 1}]}, "added_tokens", "is not a list of tokens"),
        ({"added_tokens": {"a": 1}}, "added_tokens", "is not a list of tokens"),
        ({"added_tokens": [{"id": 264, "content": "x"}]}, "id of 'x'", "is 264; the model has"),
        ({"added_tokens": [{"id": 5, "content": "x"}]}, "id of 'x'", "is 5, as that of '"),
    ],
)
def test_tokenizers_that_are_refused(folder: Path, model: Any, changes: Any, field: str, said: str) -> None:
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json(model, **changes)))
    error = refusal(folder)
    assert (error.path, error.field) == (folder / "tokenizer.json", field)
    assert re.match(said, error.problem), error.problem


def test_vocabularies_that_are_refused(folder: Path) -> None:
    merges = (folder / "merges.txt").read_bytes()
    (folder / "merges.txt").write_bytes(merges.replace(b"t h", b"th"))
    error = refusal(folder)
    assert (error.path, error.field) == (folder / "merges.txt", "line 3")
    (folder / "merges.txt").write_bytes(merges.replace(b"t h", b"t \xff"))
    error = refusal(folder)
    assert (error.field, error.offset) == ("merges", merges.index(b"t h") + 2)
    (folder / "merges.txt").unlink()
    assert refusal(folder).path == folder / "merges.txt"
    (folder / "vocab.json").unlink()
    assert "neither tokenizer.json nor vocab.json" in refusal(folder).problem


def test_merges_with_other_line_ends_and_no_version(folder: Path, model: Any) -> None:
    expected = vocabulary_of(folder)
    (folder / "merges.txt").write_bytes("\r\n".join([*model.merges, ""]).encode())
    assert vocabulary_of(folder) == expected
