"""The terminal while a program writes to it by itself."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO
from unicodedata import combining, east_asian_width

LEAST = (60, 16)  # columns and lines that the full screen needs
GONE = (errno.EIO, errno.ENXIO)  # what a terminal that hung up answers to everything


def full_screen() -> bool:
    """Whether there is room for the full screen: stdin, stdout and stderr are a terminal of at least LEAST, or the
    screen is shown in a browser, which textual-serve says by naming a driver."""
    if os.environ.get("TEXTUAL_DRIVER"):
        return True
    if os.environ.get("TERM", "dumb") in ("", "dumb") or not on_terminal(sys.stdin, sys.stdout, sys.stderr):
        return False
    columns, lines = os.get_terminal_size(sys.stdout.fileno())
    return columns >= LEAST[0] and lines >= LEAST[1]


def on_terminal(*streams: TextIO | None) -> bool:
    """Whether all these streams are a terminal; without any, stdin and stdout."""
    return all(stream is not None and stream.isatty() for stream in streams or (sys.stdin, sys.stdout))


def hung_up() -> bool:
    """Whether stdin, stdout or stderr is a terminal that is gone. SIGHUP tells the terminal's first process alone, and
    make, for one, does not pass it on."""
    import termios

    for fd in range(3):
        try:
            termios.tcgetattr(fd)
        except termios.error as error:
            if error.args[0] in GONE:
                return True
    return False


@contextmanager
def keys_held() -> Iterator[None]:
    """While inside, keys do not show and wait, as they are, for who reads next; Ctrl+C still interrupts.

    So text that streams is not torn by what is typed meanwhile, and that is not lost. Without a terminal, nothing.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        yield
        return
    import termios

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    held = termios.tcgetattr(terminal)
    held[0] &= ~termios.ICRNL  # Enter stays Enter
    held[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(terminal, termios.TCSADRAIN, held)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


class Wrapped:
    """Writes text that comes in pieces to a terminal, with line breaks between words; elsewhere, as it is."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self._column = 0
        self._spaces = 0  # not written yet: a line break may take their place
        self._word = ""  # what was written of the last word

    def write(self, text: str) -> None:
        columns = self._columns()
        if columns is None:
            self.out.write(text)
        else:
            for part in re.findall(r"\n|\t| +|[^ \t\n]+", text):
                self._write(part, columns)
        self.out.flush()

    def _columns(self) -> int | None:
        try:
            # One less: with its last column filled, a terminal's cursor is neither on this line nor on the next.
            return max(os.get_terminal_size(self.out.fileno()).columns - 1, 1)
        except (OSError, ValueError):  # no terminal, or not even a file
            return None

    def _write(self, part: str, columns: int) -> None:
        if part == "\n":
            self._break()
        elif part == "\t":
            self._spaces += 8 - (self._column + self._spaces) % 8
        elif part[0] == " ":
            self._spaces += len(part)
        else:
            self._write_word(part, columns)

    def _break(self) -> None:
        self.out.write("\n")
        self._column, self._spaces, self._word = 0, 0, ""

    def _write_word(self, part: str, columns: int) -> None:
        if self._spaces:
            self._word = ""
        before, width = _width(self._word), _width(part)
        fits = self._column + self._spaces + width <= columns
        if not fits and before + width <= columns // 2:  # take the whole word to the next line
            self.out.write("\b" * before + " " * before)
            part, width = self._word + part, before + width
            self._break()
        self.out.write(" " * self._spaces + part)
        self._column += self._spaces + width
        if self._column > columns:  # the terminal broke the line, at its last column
            self._column %= columns + 1
        self._spaces = 0
        self._word += part


def _width(text: str) -> int:
    """The columns that a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)
