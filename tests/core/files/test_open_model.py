"""What `open_model` says to all the things that are not models, and that it goes by the content."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ggtui.core.errors import ModelFileError
from ggtui.core.files import READERS, open_model, write_gguf
from ggtui.core.files.gguf import GgufFile


def problem_of(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        open_model(path)
    assert caught.value.path == path
    assert str(path).replace("\0", "\\x00") in str(caught.value)
    return caught.value.problem


def test_a_model_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "model.txt"
    write_gguf(path, {"general.name": "x"}, [])
    with open_model(path) as file:
        assert isinstance(file, GgufFile)
        assert file.path == path
        assert file.metadata == {"general.name": "x"}
    with open_model(str(path)) as file:
        assert file.path == path


def test_no_such_file(tmp_path: Path) -> None:
    assert problem_of(tmp_path / "none.gguf") == "does not exist; check the spelling"


def test_a_file_taken_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"GGUF")
    assert problem_of(tmp_path / "file" / "model.gguf") == "cannot be read: Not a directory"


def test_an_impossible_path() -> None:
    assert "null byte" in problem_of(Path("a\0b"))
    assert problem_of(Path("x" * 5000)) == "cannot be read: File name too long"


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    assert problem_of(tmp_path).startswith("has no config.json in it")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    assert problem_of(tmp_path / "model.gguf").startswith("is empty")


def test_neither_pipes_nor_devices(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert problem_of(tmp_path / "pipe") == "is not a regular file"
    assert problem_of(Path("/dev/null")) == "is not a regular file"


@pytest.fixture
def not_root() -> Iterator[None]:
    """For the length of a test nobody, where the tests are run by root, who may read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


@pytest.fixture
def folder_of_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files that are no models, one of them not readable, in the current folder: those above it may be shut."""
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    for name, mode in (("open.gguf", 0o644), ("shut.gguf", 0)):
        (tmp_path / name).write_bytes(b"Once upon a time")
        (tmp_path / name).chmod(mode)


def test_a_file_that_may_not_be_read(folder_of_two: None, not_root: None) -> None:
    assert problem_of(Path("open.gguf")).startswith("is unknown")
    assert problem_of(Path("shut.gguf")) == "cannot be read: Permission denied"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04archive/data.pkl", "is a pickle"),
        (b"\x80\x02}q\x00", "is a pickle"),
        (b"tjgg\x03\0\0\0", "is an old llama.cpp model"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b"Once upon a time", r"is unknown: b'Once'; ggtui reads GGUF"),
        (b"x", r"is unknown: b'x'; ggtui reads GGUF"),
    ],
)
def test_other_kinds_are_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "model.gguf").write_bytes(content)
    assert said in problem_of(tmp_path / "model.gguf")


def test_a_damaged_model_is_refused_by_its_own_reader(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF\3\0")
    assert "needs 4 bytes, 2 are left" in problem_of(tmp_path / "model.gguf")


def test_every_reader_has_a_name() -> None:
    assert len({reader.name for reader in READERS}) == len(READERS)
