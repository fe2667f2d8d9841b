"""Adapters: what they add, files that are none, and models that they are merged into."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui import load
from ggtui.core.errors import ModelFileError
from ggtui.core.files import open_model
from ggtui.core.files.gguf_writer import OutTensor, write_gguf
from ggtui.core.graph.types import TYPES
from ggtui.core.models.adapters import Merged, read_adapter
from ggtui.core.runtime.context import Context

NAMES = ("blk.0.attn_qkv.weight", "blk.3.ffn_up.weight")
SIZES = {"blk.0.attn_qkv.weight": (256, 768), "blk.3.ffn_up.weight": (256, 1024)}
RANK, ALPHA = 3, 6.0
ABOUT = {
    "general.type": "adapter", "general.architecture": "gpt2", "adapter.type": "lora", "adapter.lora.alpha": ALPHA
}  # fmt: skip


def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    made = {}
    for name, (n_in, n_out) in SIZES.items():
        made[f"{name}.lora_a"] = 0.4 * rng.standard_normal((RANK, n_in), np.float32)
        made[f"{name}.lora_b"] = 0.4 * rng.standard_normal((n_out, RANK), np.float32)
    return made


def written(path: Path, about: dict[str, Any] = ABOUT, tensors: dict[str, Any] | None = None) -> Path:
    tensors = arrays() if tensors is None else tensors
    out = [OutTensor(n, TYPES["f32"], a.shape[::-1], lambda a=a: [a]) for n, a in tensors.items()]  # type: ignore[misc]
    write_gguf(path, {k: v for k, v in about.items() if v is not None}, out)
    return path


def test_a_model_with_it_says_what_the_merged_one_says(tmp_path: Path) -> None:
    path = written(tmp_path / "adapter.gguf")
    with open_model("built-in") as file, load(file, threads=1, adapter=path) as session:
        ids = session.tokenizer.encode("Once upon a time there was a king")
        got = session.eval(ids, all_logits=True)
        merged = Merged(file, read_adapter(path))
        for name in NAMES:
            w = np.frombuffer(merged.rows(name)[:].tobytes(), np.float32).reshape(SIZES[name][::-1])
            a, b = arrays()[f"{name}.lora_a"], arrays()[f"{name}.lora_b"]
            plain = np.asarray(session.weights[name].numpy())
            assert np.allclose(w, plain + ALPHA / RANK * (b @ a), atol=1e-6)
        with load(merged, threads=1) as other, load(threads=1) as without:
            wanted = other.eval(ids, all_logits=True)
            assert np.abs(got - wanted).max() < 2e-2 * np.ptp(
                wanted
            )  # the model's products round activations to 8 bits
            assert np.abs(without.eval(ids, all_logits=True) - wanted).max() > 0.2 * np.ptp(wanted)


@pytest.mark.parametrize(
    ("about", "change", "said"),
    [
        ({"general.type": "model"}, {}, "general.type: is no adapter"),
        ({"adapter.type": "other"}, {}, "adapter.type"),
        ({"adapter.lora.alpha": -1.0}, {}, "adapter.lora.alpha: is -1.0, not a number above 0 and up to 1e\\+06"),
        ({"adapter.lora.alpha": float("nan")}, {}, "adapter.lora.alpha: is nan"),
        ({}, {f"{NAMES[0]}.lora_b": None}, f"{NAMES[0]}.lora_b: the tensor is missing"),
        ({}, {f"{NAMES[0]}.lora_b": np.zeros((768, 2), np.float32)}, "its rank is 2, that of lora_a is 3"),
        ({}, {f"{NAMES[0]}.lora_a": np.full((3, 256), np.nan, np.float32)}, "holds what is no number"),
        (
            {},
            {"token_embd.weight.lora_a": np.zeros((4096, 3), np.float32)},
            "lora_a: is of a matrix outside of the layers",
        ),
        ({}, {"blk.9.more": np.zeros((1, 1), np.float32)}, "blk.9.more: is no part of an adapter"),
        ({}, dict.fromkeys(arrays()), "is no part of an adapter"),
    ],
)
def test_files_that_are_none(about: dict[str, Any], change: dict[str, Any], said: str, tmp_path: Path) -> None:
    tensors = {name: a for name, a in {**arrays(), **change}.items() if a is not None}
    path = written(tmp_path / "adapter.gguf", {**ABOUT, **about}, tensors or {"x": np.zeros((1, 1), np.float32)})
    with pytest.raises(ModelFileError, match=said):
        read_adapter(path)


@pytest.mark.parametrize("alpha", [None, 0.0])
def test_without_an_alpha_it_is_added_as_it_is(alpha: float | None, tmp_path: Path) -> None:
    """As llama.cpp does: get_scale in llama-adapter.h."""
    adapter = read_adapter(written(tmp_path / "adapter.gguf", {**ABOUT, "adapter.lora.alpha": alpha}))
    for name, (a, b) in adapter.pairs.items():
        assert np.array_equal(adapter.delta(name), b @ a)
    assert {pair.scale for pair in adapter.placed(Context()).values()} == {1.0}


@pytest.mark.parametrize(
    ("about", "name", "sizes", "said"),
    [
        ({"general.architecture": "llama"}, NAMES[0], (256, 768), "it was made for a llama"),
        ({}, "blk.9.ffn_up.weight", (256, 1024), "has no such matrix"),
        ({}, NAMES[0], (255, 768), r"its sizes are \(255, 768\)"),
    ],
)
def test_adapters_of_other_models(
    about: dict[str, Any], name: str, sizes: tuple[int, int], said: str, tmp_path: Path
) -> None:
    tensors = {
        f"{name}.lora_a": np.ones((2, sizes[0]), np.float32),
        f"{name}.lora_b": np.ones((sizes[1], 2), np.float32),
    }
    path = written(tmp_path / "adapter.gguf", {**ABOUT, **about}, tensors)
    with pytest.raises(ModelFileError, match=said):
        load(threads=1, adapter=path)
