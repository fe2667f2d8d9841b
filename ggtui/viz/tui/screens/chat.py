"""The Chat screen."""

from __future__ import annotations

from typing import ClassVar

from ggtui.viz.tui.base import RunScreen


class ChatScreen(RunScreen):
    """Nothing yet."""

    TAB: ClassVar[str] = "chat"
