"""Where a training writes: what is refused before it begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ggtui.core.errors import UsageError
from ggtui.core.training.places import check_places
from ggtui.core.training.settings import Settings


@pytest.fixture
def asked(tmp_path: Path) -> Settings:
    """With texts in a folder, and a base model, that are there."""
    (tmp_path / "texts").mkdir()
    for name in ("texts/a.txt", "valid.txt", "base.gguf"):
        (tmp_path / name).write_text("mine")
    places = str(tmp_path / "texts"), str(tmp_path / "valid.txt")
    return Settings(places[:1], str(tmp_path / "m.gguf"), places[1:], model=str(tmp_path / "base.gguf"))


def test_new_places(asked: Settings, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    check_places(asked, str(tmp_path / "log.jsonl"))
    check_places(asked, "/dev/null")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["m.gguf", "m.gguf.checkpoint", "log.jsonl"])
def test_what_is_there(asked: Settings, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    log = str(tmp_path / "log.jsonl")
    with pytest.raises(UsageError, match=f"{name}: exists; go on with it by --resume, give --force"):
        check_places(asked, log)
    check_places(asked, log, overwrite=True)
    check_places(asked, log, goes_on=True)


@pytest.mark.parametrize("name", ["texts/a.txt", "valid.txt", "base.gguf", "texts/../base.gguf"])
def test_what_is_read_is_never_written(asked: Settings, tmp_path: Path, name: str) -> None:
    for out, log in ((name, None), ("m.gguf", name)):
        with pytest.raises(UsageError, match="is what the training reads; choose another name"):
            check_places(replace(asked, out=str(tmp_path / out)), log and str(tmp_path / log), overwrite=True)


def test_each_has_a_place_of_its_own(asked: Settings, tmp_path: Path) -> None:
    for name in ("m.gguf", "m.gguf.checkpoint"):
        with pytest.raises(UsageError, match="is written already"):
            check_places(asked, str(tmp_path / name))


@pytest.mark.parametrize("out", ["", "texts", "m.gguf/", "none/m.gguf", "/proc/m.gguf"])
def test_what_can_t_be_written(asked: Settings, tmp_path: Path, out: str) -> None:
    place = out if out.startswith("/") or not out else f"{tmp_path}/{out}"
    with pytest.raises(UsageError, match=r"is no name of a file|can't be written there") as caught:
        check_places(replace(asked, out=place), overwrite=True, goes_on=True)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError):
        check_places(asked, place)


def test_a_folder_where_the_checkpoint_would_be(asked: Settings, tmp_path: Path) -> None:
    (tmp_path / "m.gguf.checkpoint").mkdir()
    with pytest.raises(UsageError, match=r"its checkpoint .* is no name of a file"):
        check_places(asked, overwrite=True)
