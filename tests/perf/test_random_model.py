"""Models with random weights: their sizes, their types, and that they are models like others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ggtui
from ggtui.core.errors import UsageError
from ggtui.core.files import open_model
from ggtui.core.files.check import bad_blocks
from ggtui.core.files.convert import convert
from ggtui.core.graph.types import TYPES
from ggtui.core.runtime.cpu.native import lib
from ggtui.core.training.shapes import Shape
from ggtui.perf.bench import model_of
from ggtui.perf.random_model import SHAPES, RandomModel, random_model

SMALL = Shape.parse("gpt2:embd=256,layer=2,head=4,ctx=32"), 300
LLAMA = Shape.parse("llama:embd=256,layer=2,head=4,kv=2,ff=512,ctx=32,tied=0"), 400


@pytest.mark.parametrize("kind", [t.name for t in TYPES.values() if t.file and lib.gg_packable(t.id)])
def test_every_type_gives_logits(kind: str) -> None:
    model = RandomModel("small", *SMALL, TYPES[kind])  # the name alone can mean a mix
    logits = ggtui.load(model, threads=1).eval([1, 2, 3])
    assert logits.shape == (300,) and np.isfinite(logits).all() and logits.std() > 0
    assert {info.type.name for info in model.tensors.values()} == {kind, "f32"}


@pytest.mark.parametrize(
    ("type", "head", "want"),
    [("q4_0", "q8_0", "q8_0"), ("Q4_K_M", None, "q6_k"), ("q4_0", None, "q4_0"), ("f16", "q4_k_m", "q6_k")],
)
def test_the_head_has_its_own_type(type: str, head: str | None, want: str) -> None:
    assert RandomModel("small", *SMALL, type, head).tensors["token_embd.weight"].type.name == want


def test_a_llama_has_an_output_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    convert(RandomModel("small", *LLAMA, "q4_0", "q8_0"), path)
    with open_model(path) as file:
        assert file.tensors["output.weight"].type.name == "q8_0"
        assert file.tensors["token_embd.weight"].type.name == "q4_0"
    session = ggtui.load(path, threads=1)
    logits = session.eval([1, 2, 3])
    assert logits.shape == (400,) and np.isfinite(logits).all() and logits.std() > 0
    assert session.tokenizer.decode(session.tokenizer.encode("ab, c")).strip() == "ab, c"


def test_a_mix_in_a_llama_is_what_converting_to_it_gives(tmp_path: Path) -> None:
    path = tmp_path / "mixed.gguf"
    convert(RandomModel("small", *LLAMA, "f16"), path, "q4_k_m")
    mixed = RandomModel("small", *LLAMA, "q4_k_m").tensors
    with open_model(path) as file:
        assert {n: t.type.name for n, t in file.tensors.items()} == {n: t.type.name for n, t in mixed.items()}


def test_rows_that_are_no_whole_blocks_get_another_type() -> None:
    types = {info.type.name for info in random_model("1558M", "q4_k").tensors.values() if info.ne[0] == 1600}
    assert types == {"f32", "q5_0"}


def test_it_is_always_the_same_and_written_to_a_file_too(tmp_path: Path) -> None:
    models = [RandomModel("small", *SMALL, "q4_0") for _ in range(2)]
    for name in models[0].tensors:
        data = models[0].data(name)
        assert data.nbytes == models[0].tensors[name].n_bytes
        assert np.array_equal(data, models[1].data(name)), name
    assert bad_blocks(models[0]) == []
    path = tmp_path / "small.gguf"
    convert(models[0], path)
    with open_model(path) as file:
        assert dict(file.tensors) != {} and model_of(file) == model_of(models[0])
    want = ggtui.load(models[0], threads=1).eval([5, 6])
    assert np.array_equal(ggtui.load(path, threads=1).eval([5, 6]), want)


@pytest.mark.parametrize(("shape", "n_params"), [("124M", 124439808), ("355M", 354823168), ("1558M", 1557611200)])
def test_sizes_are_those_of_gpt2(shape: str, n_params: int) -> None:
    assert model_of(random_model(shape, "f16"))[::2] == (f"gpt2 {shape} F16", n_params)


def test_sizes_are_those_of_tinyllama() -> None:
    assert model_of(random_model("1.1B", "f16"))[::2] == ("llama 1100M F16", 1100048384)


def test_sizes_are_those_of_the_first_llama() -> None:
    kind, n_bytes, n_params = model_of(random_model("7B", "q4_0"))
    assert (kind, n_params) == ("llama 6738M Q4_0", 6738415616) and 3.7e9 < n_bytes < 3.9e9


def test_its_vocabulary_is_one() -> None:
    session = ggtui.load(RandomModel("small", *SMALL, "f32"), threads=1)
    assert session.tokenizer.n_vocab == 300 and session.tokenizer.eos == 299
    assert session.tokenizer.encode("!!x") != session.tokenizer.encode("! !x")
    assert {name: n for name, (_, n) in SHAPES.items() if n != 50257} == {"1.1B": 32000, "7B": 32000}


def test_a_type_that_holds_no_weights_is_refused() -> None:
    with pytest.raises(UsageError, match="choose one of f32"):
        RandomModel("small", *SMALL, "i32")
