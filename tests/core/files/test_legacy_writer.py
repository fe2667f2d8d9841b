"""The writer of legacy ggml files: round trips, its bytes, and what the format cannot hold."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui.core.errors import GgtuiError, UsageError
from ggtui.core.files import ModelFile, open_model
from ggtui.core.files.convert import convert
from ggtui.core.files.gguf_writer import OutTensor
from ggtui.core.files.legacy import LegacyFile
from ggtui.core.files.legacy_writer import write_legacy
from ggtui.core.graph.types import TYPES
from ggtui.core.models import check_model


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.bin"


@pytest.mark.parametrize("type", ["f32", "f16", "q4_0", "q8_0"])
def test_round_trip(folder: Path, path: Path, type: str) -> None:
    with open_model(folder) as src:
        convert(src, path, type)
        convert(src, path.with_suffix(".gguf"), type)
    with open_model(path) as legacy, open_model(path.with_suffix(".gguf")) as gguf:
        assert isinstance(legacy, LegacyFile)
        for name, value in legacy.metadata.items():
            if name not in ("general.name", "gpt2.attention.layer_norm_epsilon"):
                np.testing.assert_equal(gguf.metadata[name], value, err_msg=name)
        assert legacy.tensors.keys() == gguf.tensors.keys()
        for name, info in legacy.tensors.items():
            assert (info.type, info.ne) == (gguf.tensors[name].type, gguf.tensors[name].ne)
            assert legacy.data(name).tobytes() == gguf.data(name).tobytes()
        check_model(legacy)
    again = path.with_name("again.bin")
    with open_model(path.with_suffix(".gguf")) as src:
        convert(src, again)
    assert again.read_bytes() == path.read_bytes()


def test_the_bytes(folder: Path, path: Path, model: Any) -> None:
    with open_model(folder) as src:
        convert(src, path, "f16")
    raw = path.read_bytes()
    numbers = (0x67676D6C, 264, 16, 64, 4, 2, 1, 264)  # magic, n_vocab, n_ctx, n_embd, n_head, n_layer, ftype, n_vocab
    assert raw.startswith(struct.pack("<8i", *numbers) + struct.pack("<i", 1) + b"!")
    wte = struct.pack("<5i", 2, len("model/wte"), 1, 64, 264) + b"model/wte"
    at = raw.index(wte) + len(wte)
    assert raw[at - len(wte) - 13 : at - len(wte)] == b"<|endoftext|>"
    halves = model.weights["wte.weight"].astype("<f2").tobytes()
    wpe = struct.pack("<5i", 2, len("model/wpe"), 0, 64, 16) + b"model/wpe"
    assert raw[at:].startswith(halves + wpe + model.weights["wpe.weight"].tobytes())
    c_fc = struct.pack("<5i", 2, len("model/h1/mlp/c_fc/w"), 1, 64, 256) + b"model/h1/mlp/c_fc/w"
    assert c_fc + model.weights["h.1.mlp.c_fc.weight"].T.astype("<f2").tobytes() in raw


Parts = tuple[dict[str, Any], list[OutTensor]]


def chunk(file: ModelFile, name: str) -> list[Any]:
    return [file.data(name)]


@pytest.fixture
def parts(folder: Path) -> Iterator[Parts]:
    """What `write_legacy` takes, of a model it can write."""
    with open_model(folder) as file:
        out = [
            OutTensor(t.name, t.type, t.ne[: 2 if t.ne[1] > 1 else 1], partial(chunk, file, t.name))
            for t in file.tensors.values()
        ]
        yield dict(file.metadata), out


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("general.architecture", "llama", "a model of architecture 'llama'"),
        ("gpt2.activation_function", "relu", "gpt2.activation_function 'relu', only 'gelu_new'"),
        ("gpt2.feed_forward_length", 96, "gpt2.feed_forward_length 96, only 256"),
        ("gpt2.attention.layer_norm_epsilon", 1e-6, "gpt2.attention.layer_norm_epsilon 1e-06, only 1e-05"),
        ("gpt2.context_length", 0, "n_ctx 0, only 1 to"),
        ("gpt2.block_count", "1", "n_layer '1', only 1 to 1024"),
        ("gpt2.block_count", 3, "a model without the tensor blk.2.attn_norm.weight"),
        ("tokenizer.ggml.model", "llama", "the vocabulary 'llama' 'gpt-2', only GPT-2's"),
        ("tokenizer.ggml.pre", "qwen2", "the vocabulary 'gpt2' 'qwen2'"),
        ("tokenizer.ggml.tokens", [], "n_vocab 0, only"),
        ("tokenizer.ggml.merges", ["t h", "h e"], "this vocabulary, whose ids are not in the order of its merges"),
        ("tokenizer.ggml.merges", ["h e"], "this vocabulary, whose ids"),
        ("tokenizer.ggml.eos_token_id", 7, "the end-of-text token 7"),
    ],
)
def test_what_the_format_cannot_hold(parts: Parts, path: Path, key: str, value: Any, said: str) -> None:
    metadata, out = parts
    write_legacy(path, metadata, out)
    path.unlink()
    with pytest.raises(UsageError, match="cannot hold " + re.escape(said)) as caught:
        write_legacy(path, metadata | {key: value}, out)
    assert str(caught.value).endswith("; write GGUF")
    assert not path.exists()


def test_tensors_that_the_format_cannot_hold(parts: Parts, path: Path) -> None:
    metadata, out = parts

    def said(name: str, change: Callable[[OutTensor], OutTensor | None]) -> str:
        changed = [change(t) if t.name == name else t for t in out]
        with pytest.raises(GgtuiError) as caught:
            write_legacy(path, metadata, [t for t in changed if t is not None])
        assert [p.name for p in path.parent.iterdir()] == ["small"]
        return str(caught.value)

    def typed(type: str) -> Callable[[OutTensor], OutTensor]:
        return lambda t: OutTensor(t.name, TYPES[type], t.ne, t.chunks)

    assert "cannot hold matrices of several types, f16, f32" in said("blk.0.ffn_up.weight", typed("f16"))
    assert "cannot hold output_norm.bias as f16, only as f32" in said("output_norm.bias", typed("f16"))
    assert "cannot hold position_embd.weight as f16" in said("position_embd.weight", typed("f16"))
    assert "a model without the tensor output_norm.bias" in said("output_norm.bias", lambda t: None)
    renamed = said("output_norm.bias", lambda t: OutTensor("rope_freqs.weight", t.type, t.ne, t.chunks))
    assert "cannot hold a model without the tensor output_norm.bias" in renamed
    fewer = said("token_embd.weight", lambda t: OutTensor(t.name, t.type, (64, 263), t.chunks))
    assert "cannot hold 264 tokens for token_embd.weight of (64, 263)" in fewer
    short = said("output_norm.bias", lambda t: OutTensor(t.name, t.type, t.ne, lambda: [bytes(4)]))
    assert "tensor output_norm.bias: takes 256 bytes, 4 were given" in short
    all_bf16 = [typed("bf16")(t) if len(t.ne) == 2 and t.name != "position_embd.weight" else t for t in out]
    with pytest.raises(UsageError, match="cannot hold matrices of type bf16, only f32, f16, q4_0"):
        write_legacy(path, metadata, all_bf16)
