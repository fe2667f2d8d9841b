"""A question before something that cannot be undone."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from ggtui.viz.live import Live
from ggtui.viz.text import printable_line
from ggtui.viz.tui.base import Send
from ggtui.viz.tui.dialogs.base import Dialog


class Sure(Dialog):
    """`do` is done when the answer is yes."""

    TITLE_TEXT = "Are you sure?"
    KEYS = "Enter: yes  Esc: no"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,y", "yes", show=False), Binding("n", "dismiss", show=False)]

    def __init__(self, live: Live, send: Send, question: str, do: Callable[[], None]) -> None:
        super().__init__(live, send)
        self._question, self._do = question, do

    def content(self) -> ComposeResult:
        yield Static(printable_line(self._question), markup=False)

    def action_yes(self) -> None:
        self.dismiss()
        self._do()
