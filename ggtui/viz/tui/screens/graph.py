"""The Graph screen."""

from __future__ import annotations

from typing import ClassVar

from ggtui.viz.tui.base import RunScreen


class GraphScreen(RunScreen):
    """Nothing yet."""

    TAB: ClassVar[str] = "graph"
