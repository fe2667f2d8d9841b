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


@pytest.fixture(params=NAMES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A reference's model, with a vocabulary beside it: each byte a token."""
    folder = tmp_path / request.param
    shutil.copytree(REFERENCES / request.param, folder)
    (folder / "vocab.json").write_text(json.dumps({c: i for i, c in enumerate(BYTE_ALPHABET)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder


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
    print(f"{folder.name}: {error(got, want):.2g}")
    assert error(got, want) < 1e-4
    assert np.array_equal(got.argmax(axis=1), want.argmax(axis=1))
    for threads, chunk in ((2, len(tokens)), (1, 7), (2, 7)):
        assert np.array_equal(logits(folder, tokens, threads, chunk), got)


@pytest.mark.pool
def test_converted_to_gguf_it_is_the_same_model(folder: Path, saved: Saved, tmp_path: Path) -> None:
    tokens, _ = saved
    with open_model(folder) as file:
        convert(file, tmp_path / "m.gguf", "f32")
        convert(file, tmp_path / "as-it-is.gguf")
    want = logits(folder, tokens)
    assert np.array_equal(logits(tmp_path / "as-it-is.gguf", tokens), want)
    in_f32 = logits(tmp_path / "m.gguf", tokens)  # matrices are multiplied in another order than bf16
    assert error(in_f32, want) < 1e-5
