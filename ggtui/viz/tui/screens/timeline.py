"""The Timeline screen."""

from __future__ import annotations

from typing import ClassVar

from ggtui.viz.tui.base import RunScreen


class TimelineScreen(RunScreen):
    """Nothing yet."""

    TAB: ClassVar[str] = "time"
