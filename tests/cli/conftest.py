"""The command line, run in this process or as a program, away from the user's own files and settings."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ggtui.cli import main
from ggtui.core.runtime.busy import Busy, Watch

ROOT = Path(__file__).resolve().parent.parent.parent


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GGTUI_")]:
        monkeypatch.delenv(name)
    for kind in ("CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / kind.lower()))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("GGTUI_THREADS", "1")  # the tests are many, and the machine may be small


@pytest.fixture
def ggtui(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs main in this process, with `stdin` as piped input, on a machine that is called quiet."""
    monkeypatch.setattr(Watch, "busy", Busy())

    def run(*args: str, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(args)
        return Result(code, *capfd.readouterr())

    return run


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[bytes]]:
    """Starts the program itself; standard input is empty unless given."""

    def popen(*args: str, **options: Any) -> subprocess.Popen[bytes]:
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        # bufsize: what `read` leaves is there for `communicate`
        command = [sys.executable, "-c", "from ggtui.cli import program; program()", *args]
        return subprocess.Popen(command, bufsize=0, **{**streams, **options})

    return popen
