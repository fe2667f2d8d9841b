"""Saved chats: load one, or keep this one under a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from ggtui.chat import saved as saved_chats
from ggtui.core.errors import GgtuiError
from ggtui.viz.live import Live
from ggtui.viz.text import printable_line
from ggtui.viz.tui.base import Send
from ggtui.viz.tui.dialogs.base import Dialog
from ggtui.viz.tui.saving import Saving

ROWS = 10


class Sessions(Dialog):
    """A name, and the names that there are. `load` does it, returns what to tell, and raises GgtuiError or OSError."""

    TITLE_TEXT = "Saved chats"
    KEYS = "arrows: choose   Enter: load   ^S: save   Esc: close"
    DEFAULT_CSS = """
    Sessions Input { background: $surface; margin-bottom: 1; }
    Sessions .rows { height: auto; max-height: 12; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "choose(-1)", show=False),
        Binding("down", "choose(1)", show=False),
        Binding("ctrl+s", "save", show=False),
    ]

    def __init__(self, live: Live, send: Send, saving: Saving, load: Callable[[str], str]) -> None:
        super().__init__(live, send)
        self._saving, self._load = saving, load
        self._names: list[str] = []
        self._at: int | None = None
        self._sure = ""  # what Enter or ^S, pressed once more, may do
        self._told = ""  # the name that something was told of

    def content(self) -> ComposeResult:
        yield Input(placeholder="a name to load, or to save this chat under", compact=True)
        yield Static(classes="rows", markup=False)
        yield Static(classes="note", markup=False)

    def on_mount(self) -> None:
        super().on_mount()
        self._read()

    def _read(self) -> None:
        try:
            self._names = saved_chats.names()
        except (GgtuiError, OSError) as error:
            self._say(str(error))
        self._draw()

    def _draw(self) -> None:
        top = min(max((self._at or 0) - ROWS + 1, 0), max(len(self._names) - ROWS, 0))
        rows = Text("No chats are saved yet." if not self._names else "")
        for n, name in list(enumerate(self._names))[top : top + ROWS]:
            rows.append(f"{'>' if n == self._at else ' '} {printable_line(name)}\n", "bold" if n == self._at else "")
        if len(self._names) > ROWS:
            rows.append(f"  {len(self._names)} in all")
        self.query_one(".rows", Static).update(rows)

    def _say(self, line: str) -> None:
        self._told = self.query_one(Input).value
        self.query_one(".note", Static).update(printable_line(line))

    def action_choose(self, by: int) -> None:
        if self._names:
            start = -1 if by > 0 else len(self._names)
            self._at = min(max((start if self._at is None else self._at) + by, 0), len(self._names) - 1)
            self.query_one(Input).value = self._names[self._at]
            self._draw()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.value != self._told:
            self._sure = ""
            self._say("")

    def _do(self, what: Callable[[str], str], ask: str) -> bool:
        """Do it, after another press of the key where there is something to ask."""
        if ask and self._sure != ask:
            self._sure = ask
            self._say(ask)
            return False
        self._sure = ""
        try:
            self._say(what(self.query_one(Input).value.strip()))
        except (GgtuiError, OSError) as error:
            self._say(str(error))
            return False
        return True

    def on_input_submitted(self) -> None:
        unsaved = self._saving.unsaved
        if self._do(self._load, "This chat is not saved; Enter again loads the other one over it." * unsaved):
            self.dismiss()

    def action_save(self) -> None:
        name = self.query_one(Input).value.strip()
        over = name in self._names and self._saving.overwrites(name)
        if self._do(self._saving.save, f"{name} is there already; ^S again writes over it." * over):
            self._read()
