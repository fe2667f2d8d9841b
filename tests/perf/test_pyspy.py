"""py-spy: run as a program that stands in for it, and for real where the system permits."""

from __future__ import annotations

from pathlib import Path

import pytest

from ggtui.core.errors import GgtuiError, MissingPartError
from ggtui.perf import pyspy


def stand_in(folder: Path, script: str) -> Path:
    path = folder / "py-spy"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pyspy, "find", lambda: str(tmp_path / "py-spy"))
    return tmp_path


def test_the_command_it_runs(program: Path) -> None:
    stand_in(program, f'echo "$@" > {program}/args; for a; do [ "$p" = --output ] && echo "<svg/>" > "$a"; p=$a; done')
    assert pyspy.record(["perf", "-n", "4"], program / "out.svg") == 0
    assert (program / "out.svg").read_text() == "<svg/>\n"
    assert sorted(path.name for path in program.iterdir()) == ["args", "out.svg", "py-spy"]
    args = (program / "args").read_text().split()
    assert args[0] == "record" and args[-5:] == ["-m", "ggtui", "perf", "-n", "4"]


def test_what_goes_wrong_is_said(program: Path) -> None:
    stand_in(program, "echo 'Error: Permission Denied: Try running again with elevated permissions' >&2; exit 1")
    with pytest.raises(MissingPartError, match="does not permit ptrace"):
        pyspy.record([], program / "out.svg")
    stand_in(program, "echo 'Error: something else' >&2; exit 1")
    with pytest.raises(GgtuiError, match="made no flame graph: Error: something else"):
        pyspy.record([], program / "out.svg")
    assert not (program / "out.svg").exists()


def test_without_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pyspy, "find", lambda: None)
    with pytest.raises(MissingPartError, match="pip install py-spy"):
        pyspy.record([], tmp_path / "out.svg")


@pytest.mark.bare
@pytest.mark.skipif(pyspy.find() is None, reason="needs py-spy")
def test_the_real_one(tmp_path: Path) -> None:
    try:
        code = pyspy.record(["perf", "-n", "200", "-r", "1", "--top", "1", "-q", "-t", "1"], tmp_path / "out.svg")
    except MissingPartError as error:
        assert "ptrace" in str(error)
        pytest.skip("ptrace is not permitted here")
    assert code == 0 and "<svg" in (tmp_path / "out.svg").read_text()
