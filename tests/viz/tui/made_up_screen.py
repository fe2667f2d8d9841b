"""A screen that is not the app's, for test_screens.py: a file, as a new screen is."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from ggtui.viz.tui.base import RunScreen


class MadeUp(RunScreen):
    """Shows whether it has what it needs."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("z", "shout", "shout", tooltip="say it louder")]

    def body(self) -> ComposeResult:
        yield Static(id="made-up", markup=False)

    def show(self) -> None:
        self.query_one("#made-up", Static).update(self.lacking or "made up of a run")

    def action_shout(self) -> None:
        self.query_one("#made-up", Static).update("MADE UP")
