"""Real models against what transformers and llama.cpp say of them; with GGTUI_TEST_MODELS=1, for they are fetched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
