"""What the dialogs share: a box over a screen that follows the run by itself."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from ggtui.viz.live import Live
from ggtui.viz.tui.base import Send

HZ = 20


class Dialog(ModalScreen[None]):
    """A box with a title, the dialog's `content` and a line of keys; Esc closes it. `follow` is called when the run
    has news."""

    TITLE_TEXT: ClassVar[str] = ""
    KEYS: ClassVar[str] = "Esc: close"
    DEFAULT_CSS = """
    Dialog { align: center middle; }
    Dialog > .box { width: 76; max-width: 100%; height: auto; max-height: 100%; background: $panel; padding: 1 2; }
    Dialog .title { text-style: bold; height: 1; margin-bottom: 1; }
    Dialog .keys { color: $secondary; height: 1; margin-top: 1; }
    Dialog .note { color: $warning; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "close", show=False)]

    def __init__(self, live: Live, send: Send) -> None:
        super().__init__()
        self.live, self.send = live, send
        self._seen = live.version

    def compose(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield Static(self.TITLE_TEXT, classes="title", markup=False)
            yield from self.content()
            yield Static(self.KEYS, classes="keys", markup=False)

    def content(self) -> ComposeResult:
        """The widgets between title and keys."""
        yield from ()

    def follow(self) -> None:
        """Bring it in line with the run."""

    def on_mount(self) -> None:
        self.set_interval(1 / HZ, self._follow)

    def _follow(self) -> None:
        if self.live.version != self._seen:
            self._seen = self.live.version
            self.follow()
