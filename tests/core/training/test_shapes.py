"""Shapes in a line make models that ggtui runs and that other programs know, and begin as GPT-2 does."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ggtui
from ggtui.core.engine.model import BUILT_IN
from ggtui.core.errors import UsageError
from ggtui.core.files import OutTensor, TensorInfo, open_model, write_gguf
from ggtui.core.graph.types import TYPES
from ggtui.core.models import check_model
from ggtui.core.training.shapes import FAMILIES, Shape, initial
from ggtui.core.training.vocabulary import vocabulary_of

SMALL = {
    "gpt2": Shape("gpt2", 32, 3, 4, 4, 48, 64, True),
    "llama": Shape("llama", 32, 3, 4, 2, 48, 64, False),
}


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("gpt2:embd=256,layer=6,head=4,ff=1000,ctx=512", Shape("gpt2", 256, 6, 4, 4, 1000, 512, True)),
        ("gpt2:head=4,embd=256,layer=6,tied=0", Shape("gpt2", 256, 6, 4, 4, 1024, 256, False)),
        ("llama:embd=512,layer=8,head=8,kv=2", Shape("llama", 512, 8, 8, 2, 1376, 256, True)),
        ("llama:embd=48,layer=1,head=2,ctx=32", Shape("llama", 48, 1, 2, 2, 128, 32, True)),
    ],
)
def test_a_line_and_what_it_leaves_out(text: str, shape: Shape) -> None:
    assert Shape.parse(text) == shape and Shape.parse(text).tied is shape.tied


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("mamba:embd=8", r"shape 'mamba': is no architecture .*; begin with gpt2: or llama:"),
        ("", r"shape '': is no architecture"),
        ("gpt2", "shape key embd: is missing; write gpt2:embd=NUMBER"),
        ("gpt2:embd=8,layer=2", "shape key head: is missing"),
        ("gpt2:embd=8,layer=2,head=2,kv=1", "shape key 'kv': is unknown; those of gpt2 are embd, layer, head, ff"),
        ("llama:embd=8,layers=2", "shape key 'layers': is unknown; those of llama are embd, layer, head, kv, ff, ctx"),
        ("llama:embd=8,,layer=2", "shape key '': is unknown"),
        ("llama:embd", "shape key embd: is '', not a whole number from 1 to 16777216"),
        ("llama:embd=2²", "shape key embd: is '2²', not a whole number"),
        ("llama:embd=-8", "shape key embd: is '-8', not a whole number"),
        (f"llama:embd={'9' * 5000}", "shape key embd: is '999.*99', not a whole number"),
        ("llama:embd=8,embd=8", "shape key embd: is there more than once"),
        ("llama:embd=8,layer=0,head=2", "shape key layer: is 0, not a whole number from 1 to 1024"),
        ("llama:embd=8,layer=1025,head=2", "shape key layer: is 1025"),
        ("llama:embd=8,layer=1,head=2,tied=2", "shape key tied: is 2, not a whole number from 0 to 1"),
        ("llama:embd=8,layer=1,head=3", "shape key head: 3 does not divide embd 8"),
        ("llama:embd=8,layer=1,head=8", "shape key head: 8 of embd 8 have 1 numbers, an odd one"),
        ("llama:embd=32,layer=1,head=8,kv=3", "shape key kv: 3 does not divide head 8"),
        ("llama:embd=16777216,layer=1,head=8", "shape key ff: is 44739264, not"),
    ],
)  # fmt: skip
def test_a_line_that_makes_no_model(text: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        Shape.parse(text)
    assert len(str(caught.value)) < 250


def test_sizes_that_make_no_model() -> None:
    with pytest.raises(UsageError, match="shape key kv: gpt2 has as many as heads, 4"):
        Shape("gpt2", 8, 1, 4, 2, 8, 8, True)
    with pytest.raises(UsageError, match="shape key head: is 0"):
        Shape("gpt2", 8, 1, 0, 0, 8, 8, True)


@pytest.mark.parametrize(
    ("text", "n_vocab", "n_weights"),
    [
        ("gpt2:embd=768,layer=12,head=12,ctx=1024", 50257, 124_439_808),
        ("llama:embd=2048,layer=22,head=32,kv=4,ff=5632,ctx=2048,tied=0", 32000, 1_100_048_384),  # TinyLlama
        ("llama:embd=576,layer=30,head=9,kv=3,ff=1536,ctx=2048", 49152, 134_515_008),  # SmolLM2
    ],
)
def test_published_models_have_as_many_weights(text: str, n_vocab: int, n_weights: int) -> None:
    assert sum(map(math.prod, Shape.parse(text).tensors(n_vocab).values())) == n_weights


def test_the_built_in_model_has_these_tensors_and_sizes() -> None:
    shape = Shape.parse("gpt2:embd=256,layer=6,head=4,ctx=512")
    with open_model(BUILT_IN) as file:
        assert {
            name: (*ne, 1, 1)[:4] if len(ne) == 2 else (*ne, 1, 1, 1) for name, ne in shape.tensors(4096).items()
        } == {name: info.ne for name, info in file.tensors.items()}
        said = {key: value for key, value in file.metadata.items() if key.startswith("gpt2.")}
    assert shape.metadata(4096) == said | {
        "general.architecture": "gpt2",
        "gpt2.vocab_size": 4096,
        "gpt2.attention.layer_norm_epsilon": pytest.approx(1e-5),
    }


@pytest.mark.parametrize("arch", FAMILIES)
def test_other_programs_know_the_names(arch: str) -> None:
    number = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}[arch]
    known = {gguf.TENSOR_NAMES[t].format(bid=il) for t in gguf.MODEL_TENSORS[number] for il in range(3)}
    names = SMALL[arch].tensors(99)
    assert {name.rpartition(".")[0] for name in names} <= known
    keys = {v for group in (gguf.Keys.LLM, gguf.Keys.Attention, gguf.Keys.Rope) for v in vars(group).values()}
    found = {key.replace(f"{arch}.", "{arch}.", 1) for key in SMALL[arch].metadata(99)}
    assert found - {"general.architecture"} <= keys


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    arch = draw(st.sampled_from(list(FAMILIES)))
    kv, group, pairs = (draw(st.integers(1, 5)) for _ in range(3))
    head = kv * group
    n_embd = head * pairs * (2 if FAMILIES[arch].rotary else 1)
    sizes = [draw(st.integers(1, 70)) for _ in range(2)]
    return Shape(
        arch, n_embd, draw(st.integers(1, 4)), head, kv if arch == "llama" else head, *sizes, draw(st.booleans())
    )


@given(shapes(), st.integers(1, 500))
def test_every_shape_is_a_model(shape: Shape, n_vocab: int) -> None:
    tensors = {
        name: TensorInfo(name, TYPES["f32"], (*ne, 1, 1, 1)[:4], 0, 0)  # type: ignore[arg-type]
        for name, ne in shape.tensors(n_vocab).items()
    }
    file: Any = SimpleNamespace(path=Path("model"), metadata=shape.metadata(n_vocab), tensors=tensors)
    check_model(file)
    assert ("output.weight" in tensors) != shape.tied
    text = ",".join(
        f"{key}={value:d}"
        for key, value in {
            "embd": shape.n_embd, "layer": shape.n_layer, "head": shape.n_head, "kv": shape.n_head_kv,
            "ff": shape.n_ff, "ctx": shape.n_ctx, "tied": shape.tied,
        }.items()
        if (shape.arch, key) != ("gpt2", "kv")
    )  # fmt: skip
    assert Shape.parse(f"{shape.arch}:{text}") == shape


@pytest.mark.parametrize("arch", FAMILIES)
def test_what_it_begins_with_runs_and_knows_nothing(arch: str, tmp_path: Path) -> None:
    vocabulary = vocabulary_of("built-in")
    shape = SMALL[arch]
    weights = initial(shape, 4096, 1)
    tensors = [
        OutTensor(name, TYPES["f32"], ne, partial(lambda name: [weights[name]], name))
        for name, ne in shape.tensors(4096).items()
    ]
    path = tmp_path / "begun.gguf"
    write_gguf(path, shape.metadata(4096) | vocabulary, tensors)
    session = ggtui.load(path, threads=1)
    logits = session.eval(session.tokenizer.encode("Once upon a time")).astype(np.float64)
    assert np.isfinite(logits).all() and logits.std() > 0
    p = np.exp(logits - logits.max())
    p /= p.sum()
    assert math.log(4096) - 0.02 < -(p * np.log(p)).sum() <= math.log(4096)


@pytest.mark.parametrize("arch", FAMILIES)
def test_it_begins_as_gpt2_does(arch: str) -> None:
    shape = Shape(arch, 96, 8, 4, 4, 200, 64, False)
    weights = initial(shape, 400, 7)
    assert {name: w.shape[::-1] for name, w in weights.items()} == shape.tensors(400)
    assert {w.dtype for w in weights.values()} == {np.dtype(np.float32)}
    wanted = {"attn_output.weight": 0.005, "ffn_down.weight": 0.005, "position_embd.weight": 0.01}
    for name, w in weights.items():
        if w.ndim == 1:
            assert (w == name.endswith("norm.weight")).all(), name
            continue
        std = next((std for end, std in wanted.items() if name.endswith(end)), 0.02)
        assert abs(w.std() / std - 1) < 0.05 and abs(w.mean()) < 0.05 * std, name


def test_weights_depend_on_the_seed_their_name_and_size_alone() -> None:
    weights, again = initial(SMALL["gpt2"], 99, 5), initial(SMALL["gpt2"], 99, 5)
    assert all(np.array_equal(w, again[name]) for name, w in weights.items())
    matrices = {name: w for name, w in weights.items() if w.ndim == 2}
    assert len({w[:8, :8].tobytes() for w in matrices.values()}) == len(matrices)
    other_seed = initial(SMALL["gpt2"], 99, 6)
    assert not any(np.array_equal(w, other_seed[name]) for name, w in matrices.items())
    deeper = initial(Shape("gpt2", 32, 12, 4, 4, 48, 64, False), 99, 5)
    for name, w in weights.items():
        factor = 2.0 if name.endswith(("attn_output.weight", "ffn_down.weight")) else 1.0
        np.testing.assert_allclose(w, factor * deeper[name], rtol=1e-6, err_msg=name)
