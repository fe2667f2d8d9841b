"""The exceptions of ggtui. Each knows the exit code that the command line ends with.

A message is one line: what is wrong, where, and what to do.
"""

from __future__ import annotations

from pathlib import Path

_LONG = 300  # characters


def _short_line(text: str) -> str:
    """What stands in a file may be of any length, and longer still where it is shown escaped."""
    line = _one_line(text[: _LONG + 1])
    return line if len(line) <= _LONG else f"{line[:_LONG]}..."


def _one_line(text: str) -> str:
    """What stands in a file, or is its name, may hold anything, line feeds too."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class GgtuiError(Exception):
    """Anything that ggtui itself refuses or fails at. `exit_code` is what `ggtui` ends with."""

    exit_code = 1


class NoKernelError(GgtuiError):
    """A device has nothing that runs a node, and no other one may."""


class UsageError(GgtuiError):
    """A flag, an argument or a parameter of the API has a value outside its range."""

    exit_code = 2


class ShapeError(GgtuiError, ValueError):
    """Tensors do not fit the op; the message names the op and both operands."""


class ContextFullError(GgtuiError):
    """More tokens than the context holds."""


class LogitsError(GgtuiError):
    """Logits that are not all numbers: there is no next token to choose."""


class NumbersError(GgtuiError):
    """A training came to a loss, gradients or weights that are no numbers."""


class ModelFileError(GgtuiError):
    """A model file is missing, damaged, or of a kind ggtui does not read.

    `path` is the file, `offset` the byte where the trouble stands (None where no byte is to blame), `field` what was
    being read there, `problem` what is wrong with it.
    """

    exit_code = 4

    def __init__(self, path: str | Path, field: str, problem: str, offset: int | None = None) -> None:
        self.path, self.field, self.problem, self.offset = Path(path), field, problem, offset
        where = _one_line(str(path)) + ("" if offset is None else f": byte {offset}")
        super().__init__(f"{where}: {_short_line(field)}: {_short_line(problem)}")


class UnknownModelError(ModelFileError):
    """What was named is no file, and no model on this machine has such a name."""


class TemplateError(GgtuiError):
    """A chat template, which comes from a model file, is damaged, takes too much, or (`refused`) does not take such
    messages."""

    exit_code = 4

    def __init__(self, problem: str, *, refused: bool = False) -> None:
        self.refused = refused
        super().__init__(f"chat template: {_short_line(problem)}")


class MissingPartError(GgtuiError):
    """Something ggtui needs for this is not on the machine (an instruction set, a device, a program)."""

    exit_code = 5
