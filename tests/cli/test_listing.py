"""`ggtui list` in made-up homes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ggtui.core.engine.model import BUILT_IN
from ggtui.core.files import places
from ggtui.core.files.catalogue import CATALOGUE
from ggtui.core.files.places import own_folder, pulled_path

Run = Callable[..., Any]
VOCABULARY = Path(__file__).parents[1] / "data" / "ggml-vocab-gpt-2.gguf"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "HF_HOME", "HF_HUB_CACHE", "LLAMA_CACHE", "OLLAMA_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(places, "OLLAMA_SERVICE", tmp_path / "service")
    return tmp_path


def put(name: str, data: bytes) -> None:
    path = own_folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_an_empty_home(ggtui: Run) -> None:
    code, out, err = ggtui("list")
    first, _, title, *rows = out.splitlines()
    assert (code, err) == (0, "") and first == "no models are here but the built-in one"
    assert title == "to be fetched with: ggtui pull NAME"
    assert [row.split()[0] for row in rows] == list(CATALOGUE) and "Apache-2.0" in rows[0]


def test_rows(ggtui: Run) -> None:
    put("good.gguf", BUILT_IN.read_bytes())
    put("cut.gguf", BUILT_IN.read_bytes()[:1000])
    put("vocabulary.gguf", VOCABULARY.read_bytes())
    put("bad\x1bname.gguf", b"no model")
    put("empty.gguf", b"")
    code, out, _ = ggtui("list")
    table = out.split("\n\n")[0].splitlines()
    assert code == 0 and table[0].split() == ["name", "architecture", "types", "size", "place", "runs"]
    rows = {line.split()[0]: line for line in table[1:]}
    assert set(rows) == {"good", "cut", "vocabulary", "bad\\x1bname", "empty"} and "\x1b" not in out
    assert rows["good"].split()[1:] == ["gpt2", "q8_0,", "f32", "6.5", "MiB", "~/.local/share/ggtui/models", "yes"]
    assert "no: " in rows["cut"] and rows["vocabulary"].split()[1] == "gpt2"
    assert rows["vocabulary"].endswith("no: token_embd.weight: the tensor is missing")
    assert "no: format: is unknown" in rows["bad\\x1bname"] and "is empty" in rows["empty"]


def test_json(ggtui: Run) -> None:
    put("good.gguf", BUILT_IN.read_bytes())
    put("bad.gguf", b"no model")
    put("smollm2.gguf", b"no model either")
    facts = json.loads(ggtui("list", "--json").out)
    bad, good, _ = facts["models"]
    assert good == {
        "name": "good", "path": str(own_folder() / "good.gguf"), "owner": "ggtui", "place": str(own_folder()),
        "bytes": BUILT_IN.stat().st_size, "architecture": "gpt2", "types": ["q8_0", "f32"], "runs": True,
        "problem": None,
    }  # fmt: skip
    assert not bad["runs"] and bad["architecture"] is None and "is unknown" in bad["problem"]
    assert [row["name"] for row in facts["catalogue"]] == [
        name for name in CATALOGUE if name != "smollm2"
    ] and pulled_path("smollm2").exists()


def test_other_folders_are_read_only(ggtui: Run, home: Path) -> None:
    assert ggtui("list").code == 0
    assert list(home.iterdir()) == []
