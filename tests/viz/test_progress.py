"""The progress bar: drawn on a terminal alone."""

from __future__ import annotations

import os
import sys

import pytest

from ggtui.viz.progress import progress_bar


def test_without_a_terminal_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("working") as progress:
        assert progress is None
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    with open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        with progress_bar("quiet", quiet=True) as progress:
            assert progress is None
        with progress_bar("work[ing]") as progress:
            assert progress is not None
            progress(1, 4)
            drawn = ""
            while "25%" not in drawn:  # it is drawn ten times a second
                drawn += os.read(ours, 65536).decode(errors="replace")
    os.close(ours)
    assert "work[ing]" in drawn and "quiet" not in drawn
