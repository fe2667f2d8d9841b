"""Real models against what transformers and llama.cpp say of them; with GGTUI_TEST_MODELS=1, for they are fetched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ggtui.core.engine.batch import Piece
from ggtui.core.engine.engine import Engine
from ggtui.core.engine.model import Model
from ggtui.core.engine.perplexity import perplexity
from ggtui.core.engine.session import load
from ggtui.core.files import open_model
from ggtui.core.files.catalogue import CATALOGUE, ROWS
from ggtui.core.files.convert import convert
from ggtui.core.files.fetching import fetch

TESTS = Path(__file__).parents[2]

if os.environ.get("GGTUI_TEST_MODELS") == "1":

    @pytest.fixture(scope="module", params=sorted(row.name for row in ROWS if row.parts))
    def name(request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture(scope="module")
    def path(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp(name) / f"{name}.gguf"
        fetch(CATALOGUE[name], path)
        return path

    @pytest.fixture(scope="module")
    def saved(name: str) -> Any:
        return np.load(TESTS / "references" / "pulled" / f"{name}.npz")

    @pytest.mark.timeout(600)
    def test_logits_are_those_of_transformers(path: Path, saved: Any, tmp_path: Path) -> None:
        with open_model(path) as file:
            convert(file, tmp_path / "f32.gguf", "f32")
        with load(tmp_path / "f32.gguf", kv_type="f32", ctx=512) as session:
            text = (TESTS / "data" / "heldout.txt").read_text()
            assert session.tokenizer.begin(text)[: len(saved["tokens"])] == saved["tokens"].tolist()
            got = session.eval(saved["tokens"].tolist(), all_logits=True)
        assert np.array_equal(got.argmax(axis=1), saved["argmax"])
        off = np.abs(got[np.ix_(saved["positions"], saved["columns"])] - saved["logits"]).max()
        assert off < 1e-4 * saved["range"]  # 4e-6 were measured

    @pytest.mark.timeout(600)
    def test_perplexity_is_that_of_llama_cpp(path: Path, saved: Any) -> None:
        text = (TESTS / "data" / "heldout.txt").read_text()[:40_000]
        with load(path, ctx=512) as session:
            found = perplexity(session, session.tokenizer.begin(text), ctx=512)
        assert found.value == pytest.approx(float(saved["perplexity"]), rel=0.005)

    @pytest.mark.timeout(900)
    def test_vulkan_says_what_the_reference_says(path: Path, saved: Any) -> None:
        """And two sequences in one batch say what each says alone."""
        ids = saved["tokens"].tolist()[:12]
        sizes: dict[str, Any] = {"ctx": 128, "batch": 16}
        with load(path, device="reference", **sizes) as session:
            want = session.eval(ids, all_logits=True).astype(np.float64)
        model = Model(path, device="vulkan")
        with Engine(model, n_sequences=2, **sizes) as engine:
            first, second = engine.open(), engine.open()
            got, _ = engine.step([Piece(first, ids, range(len(ids)))])
            assert nmse(got, want) < 1e-5
            engine.rewind(first, 4)
            got, _ = engine.step([Piece(second, ids[:6]), Piece(first, ids[4:8])])
            assert nmse(got, want[[5, 7]]) < 1e-5
        with load(path, device="cpu", **sizes) as cpu, load(path, device="vulkan", **sizes) as vulkan:
            assert nmse(vulkan.eval(ids), cpu.eval(ids)) < 3e-3  # which rounds activations to 8 bits
            for ours, theirs in zip(*(list(s.generate([], 6, temp=0)) for s in (vulkan, cpu)), strict=True):
                assert abs(ours.logprob - theirs.logprob) < 0.2
                if ours.token != theirs.token:
                    assert abs(ours.logprob - theirs.logprob) < 0.05
                    break


def nmse(got: Any, want: Any) -> float:
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    return float(((got - want) ** 2).sum() / (want**2).sum())
