"""Figures from the records of a run: where the time went, against what the machine allows, and against another run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


def summary(trace: Trace) -> dict[str, dict[str, Any]]:
    """Of a trace's generation and prompts the figures, as plain values: see perf/figures.py for what they are."""
    from ggtui.perf.figures import summary  # with numpy, which reading a trace's run needs not

    return summary(trace)
