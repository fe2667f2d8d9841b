"""argparse, with errors of one line and each command's arguments made only when that command is used."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from ggtui.chat.settings import nearest
from ggtui.core.errors import UsageError
from ggtui.viz.text import color_wanted


class Parser(argparse.ArgumentParser):
    """`fill` adds the arguments; it runs when they are first needed."""

    def __init__(self, *, fill: Callable[[Parser], None] | None = None, **options: Any) -> None:
        self._fill = fill
        super().__init__(**options, allow_abbrev=False, formatter_class=_formatter)

    def fill(self) -> None:
        fill, self._fill = self._fill, None
        if fill is not None:
            fill(self)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuses what is left over here, where the flags of the command are known."""
        self.fill()
        namespace, left = super().parse_known_args(args, namespace)
        if left:
            flag = left[0].partition("=")[0]
            kind = "flag" if flag.startswith("-") else "further argument"
            meant = nearest(flag, self._option_string_actions) if flag.startswith("--") else None
            self.error(f"{flag}: no such {kind}{_meant(meant)}")
        return namespace, left

    def format_help(self) -> str:
        """With the paragraphs of the description filled to the width; the examples stay as they are."""
        import textwrap

        self.fill()
        text = self.description or ""
        self.description = "\n\n".join(textwrap.fill(paragraph, _width()) for paragraph in text.split("\n\n"))
        return super().format_help()

    def _print_message(self, message: str, file: Any = None) -> None:
        """Unlike argparse's, lets a full disk or a closed pipe be known."""
        (file or sys.stderr).write(message)

    def error(self, message: str) -> NoReturn:
        """Called by argparse with its own sentences, some of which need to be clearer."""
        message = re.sub(r"^argument (?:-\w/)?([^:]+): ", r"\1: ", message)
        name, _, problem = message.partition(": ")
        if problem == "expected one argument":
            problem = f"needs a value; one that begins with a dash is written {name}=VALUE"
        choice = re.fullmatch(r"invalid choice: '(.*?)',? .*\(choose from (.*)\)", problem, re.DOTALL)
        if choice and name == "COMMAND":
            name, known = choice[1], re.findall(r"[\w-]+", choice[2])
            problem = f"no such command{_meant(nearest(name, known))}"
        raise UsageError(f"{name}: {problem}; see {self.prog} --help" if problem else f"{name}; see {self.prog} --help")


def _meant(word: str | None) -> str:
    return f"; did you mean {word}?" if word else ""


def _formatter(prog: str) -> argparse.HelpFormatter:
    """In colours on a terminal, without the import of rich elsewhere."""
    if sys.stdout is None or not color_wanted(sys.stdout):
        return argparse.RawDescriptionHelpFormatter(prog, max_help_position=28, width=_width())
    from rich_argparse import RawDescriptionRichHelpFormatter

    class Formatter(RawDescriptionRichHelpFormatter):
        group_name_formatter = str
        help_markup = text_markup = False

    return Formatter(prog, max_help_position=28, width=_width())


def _width() -> int:
    """Of help. shutil knows the terminal's too, but takes 5 ms to import."""
    columns = os.environ.get("COLUMNS", "")
    if columns.isdecimal():
        return _within(int(columns))
    try:
        return _within(os.get_terminal_size(1).columns)
    except OSError:
        return _within(80)


def _within(columns: int) -> int:
    return max(40, min(columns - 2, 110))
