"""Every architecture against logits that transformers computed (tests/references/architectures)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ggtui.core.engine.session import load
from ggtui.core.files import open_model
from ggtui.core.files.convert import convert
from ggtui.core.vocab.bpe import BYTE_ALPHABET

REFERENCES = Path(__file__).parents[2] / "references" / "architectures"
NAMES = sorted(folder.name for folder in REFERENCES.iterdir())

Saved = tuple[NDArray[np.int32], NDArray[np.float32]]


def with_vocabulary(name: str, where: Path) -> Path:
    """A copy of a reference's model, with a vocabulary beside it: each byte a token."""
    folder = where / name
    shutil.copytree(REFERENCES / name, folder)
    (folder / "vocab.json").write_text(json.dumps({c: i for i, c in enumerate(BYTE_ALPHABET)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder


@pytest.fixture(params=NAMES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return with_vocabulary(request.param, tmp_path)


@pytest.fixture
def saved(folder: Path) -> Saved:
    """Tokens, and the logits after each."""
    arrays = np.load(folder / "logits.npz")
    return arrays["tokens"], arrays["logits"]


def logits(path: Path, tokens: NDArray[np.int32], threads: int = 1, chunk: int = 1 << 20) -> NDArray[np.float32]:
    """After each token, in float32 all the way, `chunk` tokens read at a time."""
    with load(path, kv_type="f32", threads=threads) as session:
        parts = [tokens[i : i + chunk].tolist() for i in range(0, len(tokens), chunk)]
        return np.concatenate([session.eval(part, all_logits=True) for part in parts])


def error(got: NDArray[np.float32], want: NDArray[np.float32]) -> float:
    """The largest difference as a part of the range of what is wanted."""
    return float(np.abs(got - want).max() / (want.max() - want.min()))


@pytest.mark.pool
def test_logits_are_those_of_transformers(folder: Path, saved: Saved) -> None:
    tokens, want = saved
    got = logits(folder, tokens)
    assert error(got, want) < 1e-4
    assert np.array_equal(got.argmax(axis=1), want.argmax(axis=1))
    for threads, chunk in ((2, len(tokens)), (1, 7), (2, 7)):
        assert np.array_equal(logits(folder, tokens, threads, chunk), got)


@pytest.mark.pool
@pytest.mark.parametrize("type", [None, "f32"])
def test_converted_to_gguf_it_is_the_same_model(folder: Path, saved: Saved, tmp_path: Path, type: str | None) -> None:
    with open_model(folder) as file:
        convert(file, tmp_path / "m.gguf", type)
    assert np.array_equal(logits(tmp_path / "m.gguf", saved[0]), logits(folder, saved[0]))


@pytest.mark.pool
@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("llama", "rope_parameters.factor", 1.5),
        ("llama", "rope_parameters.original_max_position_embeddings", 256),
        ("llama", "rope_parameters.rope_theta", 1e4),
        ("llama-yarn", "rope_parameters.factor", 2.0),
        ("llama-yarn", "rope_parameters.attention_factor", 1.0),
        ("llama-yarn", "rope_parameters.beta_slow", 4.0),
        ("mistral", "sliding_window", 21),
        ("qwen2", "layer_types", ["sliding_attention"] * 3),
        ("qwen2", "rope_parameters.factor", 2.0),
        ("qwen3", "rope_parameters.rope_theta", 1e5),
        ("gemma2", "sliding_window", 25),
        ("gemma2", "query_pre_attn_scalar", 24),
        ("gemma2", "attn_logit_softcapping", None),
        ("gemma2", "final_logit_softcapping", 4.0),
        ("gemma3", "layer_types", ["sliding_attention"] * 7),
        ("gemma3", "rope_parameters.full_attention.factor", 4.0),
        ("gemma3", "rope_parameters.sliding_attention.rope_theta", 1e6),
        ("phi3", "rope_parameters.partial_rotary_factor", None),
        ("phi3", "rope_parameters.original_max_position_embeddings", 49),
        ("gpt_neox", "use_parallel_residual", False),
        ("gpt_neox-serial", "hidden_act", "quick_gelu"),
    ],
)
def test_what_the_config_says_shows_in_the_logits(name: str, key: str, value: object, tmp_path: Path) -> None:
    """Else the references would not tell whether it is heeded."""
    folder = with_vocabulary(name, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    *above, last = key.split(".")
    inner = config
    for part in above:
        inner = inner[part]
    inner[last] = value
    if key.endswith("partial_rotary_factor"):
        inner |= {kind: [*inner[kind], 9.0, 9.5] for kind in ("short_factor", "long_factor")}
    (folder / "config.json").write_text(json.dumps(config))
    arrays = np.load(folder / "logits.npz")
    assert error(logits(folder, arrays["tokens"]), arrays["logits"]) > 3e-4
