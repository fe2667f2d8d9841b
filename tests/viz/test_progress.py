"""The progress bar: drawn on a terminal alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from ggtui.viz.progress import progress_bar


def test_without_a_terminal_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("working") as progress:
        assert progress is None
    assert capsys.readouterr() == ("", "")


ERASE, SHOW_CURSOR = "\x1b[2K", "\x1b[?25h"


@contextmanager
def a_terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """While inside, stderr is one; the other side of it."""
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    with open(theirs, "w") as stderr, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)
        patch.setenv("TERM", "xterm")
        yield ours
    os.close(ours)


def drawn_on(terminal: int) -> str:
    drawn = b""
    with suppress(BlockingIOError):
        while True:
            drawn += os.read(terminal, 65536)
    return drawn.decode(errors="replace")


@pytest.mark.parametrize("after", [0.0, 0.01])
def test_on_a_terminal(monkeypatch: pytest.MonkeyPatch, after: float) -> None:
    with a_terminal(monkeypatch) as terminal:
        with progress_bar("quiet", quiet=True, after=after) as progress:
            assert progress is None
        with progress_bar("work[ing]", after=after) as progress:
            assert progress is not None
            progress(1, 4)
            drawn = ""
            while "25%" not in drawn:  # it is drawn ten times a second
                drawn += drawn_on(terminal)
        rest = drawn_on(terminal)
    assert "work[ing]" in drawn and "quiet" not in drawn
    assert ERASE in rest and not rest.rpartition(ERASE)[2].strip(), "the line is empty again"


def test_a_long_name_leaves_room_for_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with a_terminal(monkeypatch) as terminal, progress_bar("work " * 40, after=0.01) as progress:
        assert progress is not None
        progress(1, 4)
        drawn = ""
        while "25%" not in drawn:
            drawn += drawn_on(terminal)
    assert "work work" in drawn and drawn.count("━") >= 10


def test_what_is_over_soon_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_terminal(monkeypatch) as terminal:
        with progress_bar("working", after=600.0) as progress:
            assert progress is not None
            progress(1, 4)
        assert drawn_on(terminal) == ""


def test_the_error_of_the_work_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_terminal(monkeypatch) as terminal:
        with pytest.raises(KeyboardInterrupt), progress_bar("working", after=0.01) as progress:
            assert progress is not None
            while "working" not in drawn_on(terminal):
                pass
            raise KeyboardInterrupt
        assert SHOW_CURSOR in drawn_on(terminal)
