"""The Perf screen."""

from __future__ import annotations

from typing import ClassVar

from ggtui.viz.tui.base import RunScreen


class PerfScreen(RunScreen):
    """Nothing yet."""

    TAB: ClassVar[str] = "perf"
