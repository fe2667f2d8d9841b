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
from ggtui.core.vocab.bpe import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED, Tokenizer


def refusal(path: Path) -> ModelFileError:
    with pytest.raises(ModelFileError) as caught:
        open_model(path)
    return caught.value


def vocabulary_of(folder: Path) -> dict[str, Any]:
    with open_model(folder) as file:
        return {key: value for key, value in file.metadata.items() if key.startswith(("tokenizer", "ggtui.tokenizer"))}


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


def template(steps: list[Any]) -> dict[str, Any]:
    """A post-processor: tokens by their names, None for the text."""
    single = [
        {"Sequence": {"id": "A", "type_id": 0}}
        if step is None
        else {"SpecialToken": {"id": step, "type_id": 0}}
        if isinstance(step, str)
        else step
        for step in steps
    ]
    return {"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": {}}


def write(folder: Path, name: str, value: Any) -> None:
    (folder / name).write_text(json.dumps(value))


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
        ({"model": {"byte_fallback": 1}}, "model.byte_fallback", "is 1; ggtui reads only False"),
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
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": []}}, "pre_tokenizer", "is missing"),
        (
            {"pre_tokenizer": {"type": "ByteLevel"}},
            "pre_tokenizer.add_prefix_space",
            "is True; ggtui reads only False",
        ),
        ({"normalizer": {"type": "NFKC"}}, "normalizer", r"is .*NFKC.*; ggtui reads only"),
        ({"post_processor": {"type": "RobertaProcessing"}}, "post_processor", "is .*RobertaProcessing"),
        ({"post_processor": {"type": "TemplateProcessing"}}, "post_processor", "is .*TemplateProcessing"),
        ({"post_processor": template([])}, "post_processor.single", r"is \[\]; ggtui knows one token before a text"),
        ({"post_processor": template(["a", "b", None])}, "post_processor.single", "is .*; ggtui knows one token"),
        ({"post_processor": template([None, None])}, "post_processor.single", "has .*Sequence.*, which ggtui does"),
        ({"post_processor": template([3])}, "post_processor.single", "has 3, which ggtui does not know there"),
        ({"post_processor": template(["<z>", None])}, "post_processor", "has '<z>', which is no token"),
        ({"added_tokens": [{"id": 1}]}, "added_tokens", "is not a list of tokens"),
        ({"added_tokens": {"a": 1}}, "added_tokens", "is not a list of tokens"),
        ({"added_tokens": [{"id": -1, "content": "x"}]}, "id of 'x'", "is -1; the model has"),
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


def test_byte_order_marks(folder: Path) -> None:
    expected = vocabulary_of(folder)
    for name in ("vocab.json", "merges.txt", "config.json"):
        path = folder / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert vocabulary_of(folder) == expected


def test_added_tokens_without_weights_are_left_out(folder: Path, model: Any) -> None:
    expected = vocabulary_of(folder)
    write(folder, "added_tokens.json", {"[PAD]": 264})
    with open_model(folder) as file:
        assert file.metadata["tokenizer.ggml.tokens"] == expected["tokenizer.ggml.tokens"]
        assert file.notes == ("1 added tokens have no weights and are left out: '[PAD]'",)
    added = [{"id": 263, "content": "<|endoftext|>", "special": True}, {"id": 999, "content": "<x>"}]
    write(folder, "tokenizer.json", tokenizer_json(model, added_tokens=added))
    assert vocabulary_of(folder) == expected


@pytest.mark.parametrize(
    ("generation", "config", "named", "eos", "ends"),
    [
        (None, 263, None, 263, None),
        (262, 263, None, 262, None),
        ([261, 262], 263, None, 261, [261, 262]),
        ([261, 262], 263, "262", 262, [261, 262]),
        (None, [262, 263], None, 262, [262, 263]),
        (None, None, "<|endoftext|>", 263, None),
        (None, 262, {"content": "<|endoftext|>"}, 262, [262, 263]),
        (None, None, "nowhere", None, None),
    ],
)
def test_what_ends_a_text(
    model: Any, tmp_path: Path, generation: Any, config: Any, named: Any, eos: int | None, ends: Any
) -> None:
    model.config["eos_token_id"] = config
    folder = model.write(tmp_path / "m")
    if generation is not None:
        write(folder, "generation_config.json", {"eos_token_id": generation})
    if named is not None:
        tokens = list(model.vocab)
        write(folder, "tokenizer_config.json", {"eos_token": tokens[262] if named == "262" else named})
    metadata = vocabulary_of(folder)
    assert metadata.get("tokenizer.ggml.eos_token_id") == eos
    assert metadata.get("ggtui.tokenizer.end_ids") == ends
    assert all(metadata["tokenizer.ggml.token_type"][id] == CONTROL for id in ends or ())


def test_ends_that_are_no_tokens_are_refused(folder: Path) -> None:
    write(folder, "generation_config.json", {"eos_token_id": [1, 264]})
    error = refusal(folder)
    assert (error.path, error.field) == (folder / "generation_config.json", "eos_token_id")
    assert error.problem == "is [1, 264], not whole numbers from 0 to 263"


def test_what_begins_a_text(folder: Path, model: Any) -> None:
    sequence = {"type": "Sequence", "processors": [{"type": "ByteLevel"}, template(["<|endoftext|>", None, "a"])]}
    write(folder, "tokenizer.json", tokenizer_json(model, post_processor=sequence))
    metadata = vocabulary_of(folder)
    assert metadata["tokenizer.ggml.add_bos_token"] is metadata["tokenizer.ggml.add_eos_token"] is True
    assert metadata["tokenizer.ggml.bos_token_id"] == 263
    assert metadata["tokenizer.ggml.eos_token_id"] == model.vocab["a"]
    write(folder, "tokenizer_config.json", {"add_bos_token": True})
    write(folder, "tokenizer.json", tokenizer_json(model, post_processor=template([None])))
    assert "tokenizer.ggml.add_bos_token" not in vocabulary_of(folder)  # none, as readers take for granted
    write(folder, "tokenizer.json", tokenizer_json(model))
    assert vocabulary_of(folder)["tokenizer.ggml.add_bos_token"] is True


def test_white_space_that_added_tokens_take(folder: Path, model: Any) -> None:
    added = [
        {"id": 263, "content": "<|endoftext|>", "special": True, "rstrip": True},
        {"id": 5, "content": list(model.vocab)[5], "lstrip": True, "rstrip": True},
    ]
    write(folder, "tokenizer.json", tokenizer_json(model, added_tokens=added))
    metadata = vocabulary_of(folder)
    assert metadata["ggtui.tokenizer.lstrip"] == [5]
    assert metadata["ggtui.tokenizer.rstrip"] == [5, 263]


def test_rules_of_splitting_and_normal_forms(folder: Path, model: Any) -> None:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    digits = {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level]}
    write(folder, "tokenizer.json", tokenizer_json(model, pre_tokenizer=digits, normalizer={"type": "NFC"}))
    with open_model(folder) as file:
        assert file.metadata["tokenizer.ggml.pre"] == "smollm"
        assert file.metadata["ggtui.tokenizer.nfc"] is True and file.notes == ()
    other = {"type": "Split", "pattern": {"Regex": "x+"}, "behavior": "Isolated", "invert": False}
    steps = {"type": "Sequence", "pretokenizers": [other, byte_level | {"use_regex": False}]}
    write(folder, "tokenizer.json", tokenizer_json(model, pre_tokenizer=steps))
    with open_model(folder) as file:
        assert file.metadata["tokenizer.ggml.pre"] == "unknown"
        (note,) = file.notes
        assert note.startswith("how its tokenizer splits text is not known: ")


SPM = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "\u2581", "t", "h", "\u2581t", "\u2581th"]
SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
PREPEND = {"type": "Prepend", "prepend": "\u2581"}


def spm_json(**changes: Any) -> dict[str, Any]:
    ids = {token: id for id, token in enumerate(SPM)}
    merges = [["\u2581", "t"], ["\u2581t", "h"]]
    bpe = {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "vocab": ids, "merges": merges}
    return {
        "added_tokens": [{"id": id, "content": SPM[id], "special": True} for id in range(3)],
        "normalizer": {"type": "Sequence", "normalizers": [PREPEND, SPACES]},
        "pre_tokenizer": None,
        "post_processor": template(["<s>", None]),
        "model": bpe,
        **changes,
    }


def test_what_is_made_of_sentencepiece(folder: Path) -> None:
    write(folder, "config.json", json.loads((folder / "config.json").read_text()) | {"eos_token_id": 2})
    write(folder, "tokenizer.json", spm_json())
    metadata = vocabulary_of(folder)
    assert metadata["tokenizer.ggml.tokens"] == SPM
    assert metadata["tokenizer.ggml.token_type"] == [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * 5
    assert metadata["tokenizer.ggml.scores"][-6:] == [-2.0, -2.0, -2.0, -2.0, 0.0, -1.0]
    expected = {"model": "llama", "pre": "default", "add_space_prefix": True, "unknown_token_id": 0}
    expected |= {"bos_token_id": 1, "eos_token_id": 2}
    small = {key: value for key, value in metadata.items() if not isinstance(value, list)}
    assert small == {f"tokenizer.ggml.{key}": value for key, value in expected.items()}


@pytest.mark.parametrize(
    ("changes", "prefix"),
    [
        ({"normalizer": SPACES}, False),
        ({"normalizer": SPACES, "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}}}, False),
        ({"normalizer": None, "pre_tokenizer": {"prepend_scheme": "first"}}, True),
        ({"normalizer": None, "pre_tokenizer": {"prepend_scheme": "never"}}, False),
    ],
)
def test_spaces_of_sentencepiece(folder: Path, changes: dict[str, Any], prefix: bool) -> None:
    pre = changes.get("pre_tokenizer")
    if pre is not None and "type" not in pre:
        changes["pre_tokenizer"] = {"type": "Metaspace", "replacement": "\u2581", "split": False, **pre}
    write(folder, "tokenizer.json", spm_json(**changes, post_processor=None))
    metadata = vocabulary_of(folder)
    assert metadata["tokenizer.ggml.add_space_prefix"] is prefix
    scheme = (pre or {}).get("prepend_scheme")
    assert metadata.get("ggtui.tokenizer.prepend_scheme") == (scheme if prefix else None)
    assert metadata["tokenizer.ggml.add_bos_token"] is False


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"normalizer": None}, "normalizer", "does not replace spaces by"),
        ({"normalizer": {"type": "Precompiled"}}, "normalizer", "is .*Precompiled.*, which ggtui does not know"),
        ({"pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581"}}, "pre_tokenizer", "is .*Metaspace"),
        (
            {"pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "split": False, "prepend_scheme": "x"}},
            "pre_tokenizer.prepend_scheme",
            "is 'x'",
        ),
    ],
)
def test_sentencepiece_that_is_refused(folder: Path, changes: dict[str, Any], field: str, said: str) -> None:
    write(folder, "tokenizer.json", spm_json(**changes))
    error = refusal(folder)
    assert (error.path, error.field) == (folder / "tokenizer.json", field)
    assert re.match(said, error.problem), error.problem


def test_a_sentencepiece_model_alone(folder: Path) -> None:
    (folder / "vocab.json").rename(folder / "tokenizer.model")
    assert (
        refusal(folder).problem == "has tokenizer.model alone, which ggtui does not read; download tokenizer.json too"
    )
