from __future__ import annotations

import io
import os
import select
import subprocess
import sys
import termios
import textwrap
from collections.abc import Callable

import pytest

from ggtui.viz import terminal
from ggtui.viz.terminal import Wrapped, keys_held


class Screen(io.StringIO):
    def fileno(self) -> int:
        return 1


@pytest.fixture
def wrap(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a terminal of so many columns shows of text written in pieces."""

    def run(pieces: list[str], columns: int) -> str:
        monkeypatch.setattr(terminal.os, "get_terminal_size", lambda _: os.terminal_size((columns, 24)))
        out = Screen()
        wrapped = Wrapped(out)
        for piece in pieces:
            wrapped.write(piece)
        shown: list[str] = []
        for c in out.getvalue():
            if c == "\b":
                shown.pop()
            else:
                shown.append(c)
        return "\n".join(line.rstrip() for line in "".join(shown).split("\n"))

    return run


TEXT = "In olden times, when wishing still helped, there lived a king whose daughters were all beautiful."


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 1000])
@pytest.mark.parametrize("columns", [22, 31, 80])
def test_lines_break_between_words_however_the_text_comes(wrap: Callable[..., str], n: int, columns: int) -> None:
    pieces = [TEXT[i : i + n] for i in range(0, len(TEXT), n)]
    assert wrap(pieces, columns) == textwrap.fill(TEXT, columns - 1)


def test_own_line_breaks_stay(wrap: Callable[..., str]) -> None:
    assert wrap(["one\n\n", " two\tthree\n"], 40) == "one\n\n two    three\n"


def test_a_word_longer_than_half_a_line_is_left_to_the_terminal(wrap: Callable[..., str]) -> None:
    assert wrap(["a " + "x" * 30], 20) == "a " + "x" * 30


def test_wide_characters_count_twice(wrap: Callable[..., str]) -> None:
    assert wrap(["ab 日本 日本"], 9) == "ab 日本\n日本"


def test_what_is_no_terminal_gets_the_text_as_it_is() -> None:
    out = io.StringIO()
    Wrapped(out).write(TEXT * 3 + "  \n\t")
    assert out.getvalue() == TEXT * 3 + "  \n\t"


def test_keys_held(monkeypatch: pytest.MonkeyPatch) -> None:
    keyboard, theirs = os.openpty()
    with open(theirs, "rb", buffering=0) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        before = termios.tcgetattr(theirs)
        with keys_held():
            iflag, _, _, lflag, *_ = termios.tcgetattr(theirs)
            assert not iflag & termios.ICRNL and not lflag & (termios.ECHO | termios.ICANON)
            assert lflag & termios.ISIG, "Ctrl+C interrupts"
            os.write(keyboard, b"ahead\r")
            assert select.select([stdin], [], [], 5)[0]
        assert stdin.read(6) == b"ahead\r", "what was typed is not lost, and Enter is Enter"
        assert termios.tcgetattr(theirs) == before
    os.close(keyboard)


def test_keys_of_a_pipe_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for stdin in (None, io.StringIO()):
        monkeypatch.setattr(sys, "stdin", stdin)
        with keys_held():
            pass


@pytest.mark.parametrize("stream", ["stdin", "stderr"])
def test_a_terminal_that_hung_up(stream: str) -> None:
    keyboard, theirs = os.openpty()
    nowhere = {name: subprocess.DEVNULL for name in ("stdin", "stderr")}
    command = [sys.executable, "-c", "from ggtui.viz.terminal import hung_up; print(hung_up())"]

    def said(**streams: int) -> bytes:
        return subprocess.run(command, stdout=subprocess.PIPE, check=True, **{**nowhere, **streams}).stdout

    assert said() == said(**{stream: theirs}) == b"False\n"
    os.close(keyboard)
    assert said(**{stream: theirs}) == b"True\n"
    os.close(theirs)
