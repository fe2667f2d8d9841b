"""Figures from the records of a run: where the time went, against what the machine allows, and against another run."""

from __future__ import annotations

from pathlib import Path

from ggtui.core.engine import trace_file as _trace_file
from ggtui.core.errors import UsageError
from ggtui.core.runtime.record import Trace


def load(path: str | Path) -> Trace:
    """A saved trace. Raises UsageError for a file that is none, OSError for one that can't be read.

    Works without the compiled module, so on any machine.
    """
    try:
        return _trace_file.load(path)
    except ValueError as error:
        raise UsageError(str(error)) from error
